package transfer

import (
	"cmp"
	"context"
	"slices"
	"time"

	"disd/internal/storage"
	"disd/internal/transfer/kind"
)

// A Status is a task as it is shown (E23, E25).
type Status struct {
	Task
	State      State
	Error      string // why State is ABNORMAL or ERROR
	Delivered  int64  // ms of the last delivery, 0 before the first
	Partitions []Progress
}

// A Progress is how far a task has come in one partition.
type Progress struct {
	Partition int32
	State     State
	Position

	Attempts    int    // that failed since the last one that did not
	NextAttempt int64  // ms, 0 when the last one did not fail
	LastError   string // of the last attempt that failed since the server started, "" for none
	Failed      int64  // ms, when that was
}

// List shows the tasks of a stream, the oldest first (E23).
func (t *Tasks) List(streamID string) ([]Status, error) {
	stream, err := t.opts.Streams.Describe(streamID)
	if err != nil {
		return nil, err
	}
	var list []Status
	for _, k := range t.live() {
		if k.streamID == streamID {
			list = append(list, t.status(k, stream))
		}
	}
	slices.SortFunc(list, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Created, b.Created), cmp.Compare(a.Name, b.Name))
	})
	return list, nil
}

// Get shows a task (E25). ErrTaskNotFound.
func (t *Tasks) Get(streamID, name string) (Status, error) {
	stream, err := t.opts.Streams.Describe(streamID)
	if err != nil {
		return Status{}, err
	}
	k, err := t.find(streamID, name)
	if err != nil {
		return Status{}, err
	}
	return t.status(k, stream), nil
}

func (t *Tasks) status(k *task, stream kind.Stream) Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := Status{Task: k.row, State: t.state(k, stream)}
	if k.failed != nil {
		s.Error = k.failed.Error()
	}
	for id, status := range stream.Partitions {
		if status == kind.Expired {
			continue
		}
		r := k.run(int32(id))
		f := &r.failure
		p := Progress{
			Partition: int32(id), State: s.State, Position: r.position,
			Attempts: f.attempts, LastError: f.last.text, Failed: f.last.at,
		}
		if !f.retry.IsZero() {
			p.NextAttempt = f.retry.UnixMilli()
		}
		s.Delivered = max(s.Delivered, p.Delivered)
		if s.State == Running && r.failure.err != nil {
			p.State = Abnormal
			s.Error = r.failure.err.Error()
		}
		s.Partitions = append(s.Partitions, p)
	}
	if s.State == Running && s.Error != "" {
		s.State = Abnormal
	}
	return s
}

// state is that of the task without its partitions. k.mu is held.
func (t *Tasks) state(k *task, stream kind.Stream) State {
	switch {
	case k.row.Paused || stream.Frozen:
		return Paused
	case k.failed != nil:
		return Failed
	case !t.running.Load():
		return Starting
	}
	return Running
}

// A Stat is what a task has done and has to do in one partition, for metrics.
type Stat struct {
	Project, StreamID, Stream string
	Task                      string
	Type                      kind.Type
	Partition                 int32
	State                     State

	// Since the server started.
	Batches, Records, Bytes int64

	// Discarded is the number of records that did not reach the destination,
	// over the life of the task.
	Discarded int64

	Lag     int64         // records not delivered yet
	LagTime time.Duration // the age of the oldest of them, 0 when there is none

	// UntilLoss is how long retention keeps the oldest of them, 0 when there is
	// none. At its end it may be removed undelivered.
	UntilLoss time.Duration

	Attempts int    // that failed since the last one that did not
	Error    string // of the last attempt, "" when it succeeded
}

// Stats tells about all tasks.
func (t *Tasks) Stats(ctx context.Context) (all []Stat) {
	now := t.opts.Now().UnixMilli()
	for _, k := range t.live() {
		stream, err := t.opts.Streams.Describe(k.streamID)
		if err != nil {
			continue
		}
		status := t.status(k, stream)
		for _, p := range status.Partitions {
			s := Stat{
				Project: stream.Project, StreamID: stream.ID, Stream: stream.Name, Task: k.name, Type: status.Descriptor.Type,
				Partition: p.Partition, State: p.State, Discarded: p.Discarded,
			}
			k.mu.Lock()
			r := k.run(p.Partition)
			s.Batches, s.Records, s.Bytes = r.counts.batches, r.counts.records, r.counts.bytes
			s.Attempts = r.failure.attempts
			if r.failure.err != nil {
				s.Error = r.failure.err.Error()
			}
			k.mu.Unlock()
			t.addLag(ctx, &s, p.Next, now, stream.Retention)
			all = append(all, s)
		}
	}
	return all
}

func (t *Tasks) addLag(ctx context.Context, s *Stat, next storage.Seq, now int64, retention time.Duration) {
	log, err := t.opts.Logs.Open(ctx, storage.LogID{Stream: s.StreamID, Partition: s.Partition})
	if err != nil {
		return
	}
	oldest, end := log.Bounds()
	if s.Lag = int64(end - next); s.Lag > 0 {
		age := now - acceptedAt(ctx, log, max(next, oldest))
		s.LagTime = time.Duration(age) * time.Millisecond
		s.UntilLoss = max(0, retention-s.LagTime)
	}
}
