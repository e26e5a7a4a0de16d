package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	last     trouble   // outlasts the series
}

// A trouble is what went wrong last.
type trouble struct {
	text string
	at   int64 // ms, 0 for never
}

// counts are what a run has done since the server started.
type counts struct{ batches, records, bytes int64 }

// Run runs the tasks until ctx ends and their batches on the way have ended,
// which takes a few seconds at most.
func (t *Tasks) Run(ctx context.Context) error {
	t.Begin()
	tick := time.NewTicker(t.opts.Tick)
	defer tick.Stop()
	for {
		t.sweep()
		select {
		case <-ctx.Done():
			t.Halt()
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
	oldest, _ := log.Bounds()
	end := durable(log)
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
			err := t.newDelivery(k, r, log).deliver(ctx)
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

// logger names a task, its stream and, unless r is nil, a partition.
func (t *Tasks) logger(k *task, r *run) *slog.Logger {
	l := t.opts.Logger.With("task", k.name, "stream_id", k.streamID)
	if stream, err := t.opts.Streams.Describe(k.streamID); err == nil {
		l = l.With("project", stream.Project, "stream", stream.Name)
	}
	if r != nil {
		l = l.With("partition", r.partition)
	}
	return l
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
		t.logger(k, r).Error("a transfer task diverted a batch", "error", err)
		k.fail(r, failure{err: err, last: trouble{err.Error(), t.now()}})
	case err != nil:
		t.fail(k, r, err)
	case before.err != nil:
		t.logger(k, r).Info("a transfer task delivers again")
		k.fail(r, failure{last: before.last})
	}
}

// fail replaces what is known of the failures of a run.
func (k *task) fail(r *run, f failure) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r.failure = f
}

// refused stops the task, unless the batch was meant for a destination, a schema or
// columns that are others by now: it is then addressed anew.
func (t *Tasks) refused(k *task, r *run, err error) {
	if r.intent != nil {
		if anew, changed := t.newDelivery(k, r, nil).readdress(); changed {
			if anew != nil {
				t.fail(k, r, anew)
			}
			return
		}
	}
	t.logger(k, r).Error("a transfer task stops: its destination refused a batch", "error", err)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failed, r.failure.last = err, trouble{err.Error(), t.now()}
}

// maxBackoff is the longest pause between two attempts (D-8).
const maxBackoff = time.Minute

// fail notes a failed attempt and when to try again: after 1, 2, 4 … 60 s.
func (t *Tasks) fail(k *task, r *run, err error) {
	now := t.opts.Now()
	k.mu.Lock()
	f := &r.failure
	first := f.attempts == 0
	f.err, f.last = err, trouble{err.Error(), now.UnixMilli()}
	f.retry = now.Add(min(time.Second<<min(f.attempts, 6), maxBackoff))
	f.attempts++
	k.mu.Unlock()
	if first {
		t.logger(k, r).Warn("a transfer task cannot deliver and tries again", "error", err)
	}
}
