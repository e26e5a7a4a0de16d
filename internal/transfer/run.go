package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"disd/internal/storage"
	"disd/internal/transfer/kind"
)

// A run is a task at work on one partition. Its fields are guarded by the
// task's mu; while it is busy, only its batch in hand changes position and
// intent.
type run struct {
	partition int32
	busy      bool
	position  Position
	intent    *Intent // sealed and not yet passed
	resumed   bool    // the intent is from before the server started
	failure   failure
	counts    counts
	opened    struct { // the first record to deliver
		seq  storage.Seq
		time int64 // ms when it was accepted; 0 when not looked up yet
	}
}

// A failure is a series of attempts that did not succeed.
type failure struct {
	err      error // of the last attempt, nil when it succeeded
	attempts int
	retry    time.Time // the next attempt
}

// counts are what a run has done since the server started.
type counts struct{ batches, records, bytes int64 }

// Run runs the tasks until ctx ends and their batches on the way have ended,
// which takes a few seconds at most.
func (t *Tasks) Run(ctx context.Context) error {
	t.running.Store(true)
	tick := time.NewTicker(t.opts.Tick)
	defer tick.Stop()
	for {
		t.sweep()
		select {
		case <-ctx.Done():
			t.running.Store(false)
			haltAll(t.live(), t.opts.Grace)
			t.leaving.Wait()
			return nil
		case <-tick.C:
		case <-t.wake:
		}
	}
}

func (t *Tasks) live() (all []*task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, names := range t.byID {
		for _, k := range names {
			if k != nil {
				all = append(all, k)
			}
		}
	}
	return all
}

// sweep begins every batch that is due. It does not wait for them.
func (t *Tasks) sweep() {
	now := t.opts.Now()
	for _, k := range t.live() {
		stream, err := t.opts.Streams.Describe(k.streamID)
		if err != nil { // deleted, and the task with it
			k.abandon()
			t.drop(k)
			t.leaving.Go(func() {
				k.working.Wait()
				t.tidy(k, k.all()...)
			})
			continue
		}
		if stream.Frozen {
			continue
		}
		for id, status := range stream.Partitions {
			if log := t.due(k, int32(id), status, now); log != nil {
				t.begin(k, int32(id), log)
			}
		}
	}
}

// abandon ends a task whose stream is gone. Its batches on the way fail when
// they want to record that they were delivered.
func (k *task) abandon() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.halted = true
	k.cancel()
}

// due returns the log of a partition that has a batch to deliver now.
func (t *Tasks) due(k *task, partition int32, status kind.PartitionState, now time.Time) storage.Log {
	k.mu.Lock()
	r := k.run(partition)
	next, begun, opened := r.position.Next, r.intent != nil, r.opened
	ctx, idle := k.ctx, !k.halted && !k.row.Paused && k.failed == nil && !r.busy && !now.Before(r.failure.retry)
	interval := k.meant.settings.Task().Every()
	k.mu.Unlock()
	if !idle {
		return nil
	}
	log, err := t.opts.Logs.Open(ctx, storage.LogID{Stream: k.streamID, Partition: partition})
	if err != nil {
		t.fail(k, r, fmt.Errorf("open partition %d: %w", partition, err))
		return nil
	}
	oldest, end := log.Bounds()
	switch {
	case begun:
		return log
	case end <= next:
		return nil // OBS-7
	case next < oldest || status != kind.Active || t.full(log, oldest, next, end):
		return log
	}
	if opened.time == 0 || opened.seq != next {
		opened.seq, opened.time = next, acceptedAt(ctx, log, next)
		k.mu.Lock()
		r.opened = opened
		k.mu.Unlock()
	}
	if now.UnixMilli()-opened.time >= interval.Milliseconds() {
		return log
	}
	return nil
}

// full reports whether the records from next on, as far as the average size of
// the log's records tells, fill a batch (D-6). Sealing looks at the real sizes.
func (t *Tasks) full(log storage.Log, oldest, next, end storage.Seq) bool {
	waiting := float64(end - next)
	size := float64(log.Size()) / float64(end-oldest)
	return waiting >= float64(t.opts.MaxRecords) || waiting*size >= float64(t.opts.MaxBytes)
}

// acceptedAt returns when a record was accepted. An unreadable one counts as
// accepted long ago: its batch is due and will say what is wrong.
func acceptedAt(ctx context.Context, log storage.Log, seq storage.Seq) int64 {
	var c storage.Chunk
	err := log.Read(ctx, seq, storage.Limit{Records: 1, Bytes: 1, AtLeastOne: true}, &c)
	if err != nil || len(c.Records) == 0 {
		return 0
	}
	return c.Records[0].AppendTime
}

// begin sends a batch on its way, as soon as one of the workers is free.
func (t *Tasks) begin(k *task, partition int32, log storage.Log) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.halted {
		return
	}
	r, ctx, place := k.run(partition), k.ctx, k.meant.place()
	if r.intent != nil {
		if m, err := t.read(r.intent.Descriptor); err == nil {
			place = m.place()
		}
	}
	r.busy = true
	k.working.Add(1)
	go func() {
		defer k.working.Done()
		l := t.join(place)
		t.work(ctx, l, func() error {
			err := t.deliverNext(ctx, k, r, log)
			t.report(k, r, err)
			return err
		})
		t.quit(place, l)
		k.mu.Lock()
		r.busy = false
		k.mu.Unlock()
		select {
		case t.wake <- struct{}{}: // there may be more
		default:
		}
	}()
}

// report notes how a batch ended.
func (t *Tasks) report(k *task, r *run, err error) {
	k.mu.Lock()
	before, stopping := r.failure, k.ctx.Err() != nil
	k.mu.Unlock()
	switch {
	case errors.Is(err, ErrTaskNotFound):
		k.abandon()
	case stopping:
		// given back; the intent stays
	case errors.Is(err, kind.ErrRefused):
		t.refused(k, r, err)
	case errors.Is(err, errDiverted):
		t.opts.Logger.Error("a transfer task diverted a batch", "task", k.name, "stream_id", k.streamID, "partition", r.partition, "error", before.err)
		k.setFailure(r, failure{err: err})
	case err != nil:
		t.fail(k, r, err)
	case before.err != nil:
		t.opts.Logger.Info("a transfer task delivers again", "task", k.name, "stream_id", k.streamID, "partition", r.partition)
		k.setFailure(r, failure{})
	}
}

func (k *task) setFailure(r *run, f failure) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r.failure = f
}

// refused stops the task, unless the batch was meant for a destination or a schema
// that the task no longer has: it is then addressed anew.
func (t *Tasks) refused(k *task, r *run, err error) {
	row := k.snapshot()
	if r.intent != nil {
		stream, gone := t.opts.Streams.Describe(k.streamID)
		if gone == nil && (r.intent.Revision != row.Revision || !r.intent.Stream.Same(stream)) {
			t.tidy(k, r)
			anew := *r.intent
			anew.Revision, anew.Descriptor, anew.Stream, anew.Parts = row.Revision, row.Descriptor, stream, nil
			if err := t.record(k, &row, r, &anew); err != nil {
				t.fail(k, r, err)
			}
			return
		}
	}
	t.opts.Logger.Error("a transfer task stops: its destination refused a batch", "task", k.name,
		"stream_id", k.streamID, "partition", r.partition, "error", err)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failed = err
}

// maxBackoff is the longest pause between two attempts (D-8).
const maxBackoff = time.Minute

// fail notes a failed attempt and when to try again: after 1, 2, 4 … 60 s.
func (t *Tasks) fail(k *task, r *run, err error) {
	now := t.opts.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	f := &r.failure
	if f.attempts == 0 {
		t.opts.Logger.Warn("a transfer task cannot deliver and tries again", "task", k.name,
			"stream_id", k.streamID, "partition", r.partition, "error", err)
	}
	f.err = err
	f.retry = now.Add(min(time.Second<<min(f.attempts, 6), maxBackoff))
	f.attempts++
}
