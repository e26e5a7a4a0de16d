package transfer

import (
	"context"
	"time"

	"disd/internal/clock"
	"disd/internal/storage"
	"disd/internal/transfer/kind"
)

// Begin lets tasks run: from now on Step is called when it is due, in place of Run.
func (t *Tasks) Begin() { t.running.Store(true) }

// Halt lets no batch begin any more and waits until those on their way have ended,
// which takes a few seconds at most.
func (t *Tasks) Halt() {
	t.running.Store(false)
	haltAll(t.live(), t.opts.Grace)
	t.leaving.Wait()
}

// Step begins every batch that is due and returns when another one is, zero when none
// will be without new records. As long as a batch is on its way that is now. Two calls
// must not overlap.
func (t *Tasks) Step() (next time.Time) {
	t.sweep()
	for _, d := range t.Due() {
		next = clock.Earlier(next, d.At)
	}
	return next
}

// Wake asks for a Step: a batch has ended, and there may be more.
func (t *Tasks) Wake() <-chan struct{} { return t.wake }

// Settle waits until no batch is on its way, or returns the error of ctx.
func (t *Tasks) Settle(ctx context.Context) error {
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		for _, k := range t.live() {
			k.working.Wait()
		}
		t.leaving.Wait()
	}()
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Due returns when the next batch of each partition is due: a "delivery", or a "retry"
// of one that failed.
func (t *Tasks) Due() (due []clock.Due) {
	now := t.opts.Now()
	for _, k := range t.live() {
		stream, err := t.opts.Streams.Describe(k.streamID)
		if err != nil || stream.Frozen {
			continue
		}
		for id, status := range stream.Partitions {
			if what, at := t.when(k, int32(id), status, now); what != "" {
				due = append(due, clock.Due{At: at, What: what, Project: stream.Project, Name: k.name})
			}
		}
	}
	return due
}

// when returns what a partition has to do next and when, "" for nothing.
func (t *Tasks) when(k *task, partition int32, status kind.PartitionState, now time.Time) (what string, at time.Time) {
	k.mu.Lock()
	r := k.run(partition)
	next, busy, begun, failure := r.position.Next, r.busy, r.intent != nil, r.failure
	ctx, idle := k.ctx, k.halted || k.row.Paused || k.failed != nil
	interval, opened := k.meant.settings.Task().Every(), r.opened
	k.mu.Unlock()
	switch {
	case busy:
		return "delivery", now
	case idle:
		return "", at
	case failure.err != nil && failure.retry.After(now):
		return "retry", failure.retry
	case begun:
		return "delivery", now
	}
	log, err := t.opts.Logs.Open(ctx, storage.LogID{Stream: k.streamID, Partition: partition})
	if err != nil {
		return "retry", failure.retry
	}
	oldest, end := log.Bounds()
	switch {
	case end <= next:
		return "", at
	case next < oldest || status != kind.Active || t.full(log, oldest, next, end):
		return "delivery", now
	}
	if opened.time == 0 || opened.seq != next {
		opened.time = acceptedAt(ctx, log, next)
	}
	return "delivery", time.UnixMilli(opened.time).Add(interval)
}
