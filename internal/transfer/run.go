package transfer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
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
func (t *Tasks) due(k *task, partition int32, status PartitionState, now time.Time) storage.Log {
	k.mu.Lock()
	r := k.run(partition)
	next, begun, opened := r.position.Next, r.intent != nil, r.opened
	idle := !k.halted && !k.row.Paused && k.failed == nil && !r.busy && !now.Before(r.failure.retry)
	interval := k.row.Descriptor.Interval()
	k.mu.Unlock()
	if !idle {
		return nil
	}
	log, err := t.opts.Logs.Open(k.ctx, storage.LogID{Stream: k.streamID, Partition: partition})
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
	case next < oldest || status != Active || t.full(log, oldest, next, end):
		return log
	}
	if opened.time == 0 || opened.seq != next {
		opened.seq, opened.time = next, acceptedAt(k.ctx, log, next)
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
	r, ctx, place := k.run(partition), k.ctx, k.row.Descriptor.place()
	if r.intent != nil {
		place = r.intent.Descriptor.place()
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

// deliverNext moves one batch. It is recorded before anything of it is sent and
// passed only when the destination has it, so after a crash the same records go
// out again under the same names.
func (t *Tasks) deliverNext(ctx context.Context, k *task, r *run, log storage.Log) error {
	row := k.snapshot()
	b, err := t.announce(ctx, k, &row, r, log)
	if err != nil || b == nil {
		return err
	}
	t.witness(b)
	discarded, err := t.deliver(ctx, k, &row, r, b)
	if err != nil {
		return err
	}
	diverted, outcome := r.intent.Diverted, Delivered
	switch {
	case diverted:
		outcome = Diverted
	case r.intent.From > r.intent.First:
		outcome = Settled
	}
	if err := t.attest(ctx, &b.Batch, r.position.Start, outcome, discarded+r.intent.Lost); err != nil {
		return err
	}
	if err := t.pass(k, &row, r, b, discarded); err != nil || !diverted {
		return err
	}
	return errDiverted
}

// errDiverted is a batch that went to the error directory: the task goes on, but
// is not well until a batch is delivered (4.2).
var errDiverted = errors.New("a batch was written to the error directory")

// announce returns the batch to deliver: the one a crash left open, or a new
// one, which is recorded. nil when there is none.
func (t *Tasks) announce(ctx context.Context, k *task, row *Task, r *run, log storage.Log) (*batch, error) {
	if r.intent != nil {
		return t.resumeBatch(ctx, k, row, r, log)
	}
	if err := t.skipLost(ctx, k, row, r, log); err != nil {
		return nil, err
	}
	var c storage.Chunk
	err := log.Read(ctx, r.position.Next, storage.Limit{Records: t.opts.MaxRecords, Bytes: t.opts.MaxBytes, AtLeastOne: true}, &c)
	if len(c.Records) == 0 {
		return nil, err // of damaged records, the intact ones before them come first
	}
	stream, err := t.opts.Streams.Describe(k.streamID)
	if err != nil {
		return nil, err
	}
	if err := row.Descriptor.suits(stream); err != nil {
		return nil, err // the stream was changed since (E8-R6)
	}
	intent := &Intent{
		First: r.position.Next, Last: c.Records[len(c.Records)-1].Seq,
		Generated: t.opts.Now().UnixMilli(), Zone: t.opts.Zone.String(), FileName: t.template(row),
		Revision: row.Revision, Descriptor: row.Descriptor, Stream: stream, Version: intentVersion,
	}
	b, err := t.assemble(row, r.partition, intent, c.Records)
	if err != nil {
		return nil, err
	}
	intent.Parts = b.parts()
	return b, t.record(k, row, r, intent)
}

// A batch in hand.
type batch struct {
	Batch
	spoiled []bad
}

// assemble makes the batch of an intent from those of its records that are left.
func (t *Tasks) assemble(row *Task, partition int32, i *Intent, records []storage.Record) (*batch, error) {
	b, err := t.batch(row, partition, i)
	if err != nil {
		return nil, err
	}
	out := &batch{Batch: b}
	out.spoiled, err = out.fill(records)
	return out, err
}

// record makes an intent durable, in place of an earlier one.
func (t *Tasks) record(k *task, row *Task, r *run, i *Intent) error {
	return t.update(k, row, r, r.position, i, nil)
}

// resumeBatch reads the records of an open intent again.
func (t *Tasks) resumeBatch(ctx context.Context, k *task, row *Task, r *run, log storage.Log) (*batch, error) {
	if r.resumed {
		if err := t.clean(ctx, row, r); err != nil && !errors.Is(err, ErrRefused) {
			return nil, err
		}
		r.resumed = false
	}
	records, err := readRange(ctx, log, r.intent.from(), r.intent.Last)
	if errors.Is(err, storage.ErrTrimmed) {
		return nil, t.settle(ctx, k, row, r, log)
	}
	if err != nil {
		return nil, err
	}
	b, err := t.assemble(row, r.partition, r.intent, records)
	if err != nil {
		return nil, err
	}
	if r.intent.Parts != nil {
		b.restrict(r.intent.Parts)
		return b, nil
	}
	parts := b.parts()
	if parts == nil {
		return b, nil
	}
	anew := *r.intent // addressed to a task whose batches are split
	anew.Parts = parts
	return b, t.record(k, row, r, &anew)
}

func readRange(ctx context.Context, log storage.Log, first, last storage.Seq) (all []storage.Record, err error) {
	for next := first; next <= last; next = all[len(all)-1].Seq + 1 {
		var c storage.Chunk
		err := log.Read(ctx, next, storage.Limit{Records: int(last-next) + 1, Bytes: math.MaxInt, AtLeastOne: true}, &c)
		if len(c.Records) == 0 {
			return nil, errors.Join(err, fmt.Errorf("record %d of a batch cannot be read", next))
		}
		all = append(all, c.Records...)
	}
	return all, nil
}

// settle ends an intent whose records retention has removed: the destination is
// asked whether it got them. If not, they are a gap.
func (t *Tasks) settle(ctx context.Context, k *task, row *Task, r *run, log storage.Log) error {
	b, err := t.batch(row, r.partition, r.intent)
	if err != nil {
		return err
	}
	attested, err := t.attested(ctx, &b)
	if err != nil {
		return err
	}
	if attested {
		return t.pass(k, row, r, &batch{Batch: b}, 0)
	}
	if r.intent.Parts != nil {
		return t.settleParts(ctx, k, row, r, log)
	}
	done, err := t.delivered(ctx, b)
	if err != nil {
		return err
	}
	if !done {
		if err := t.clean(ctx, row, r); err != nil && !errors.Is(err, ErrRefused) {
			return err
		}
		return t.skipLost(ctx, k, row, r, log)
	}
	if err := t.attest(ctx, &b, r.position.Start, Settled, 0); err != nil {
		return err
	}
	return t.pass(k, row, r, &batch{Batch: b}, 0)
}

// settleParts takes out of an intent the records that retention removed. Those are
// no gap that lie in parts which are at the destination; nothing else of such a part
// is delivered again either.
func (t *Tasks) settleParts(ctx context.Context, k *task, row *Task, r *run, log storage.Log) error {
	i := *r.intent
	oldest, _ := log.Bounds()
	gone := min(oldest, i.Last+1)
	records, err := readRange(ctx, log, gone, i.Last)
	if err != nil {
		return err
	}
	b, err := t.assemble(row, r.partition, &i, records)
	if err != nil {
		return err
	}
	bucket, _ := b.Target.Descriptor.backup()
	left := make(map[string]int) // good records by directory
	for _, f := range b.files {
		left[f.Dir] = f.Records
	}
	from := i.from()
	var kept int64                                        // of the records that are gone
	bad := int64(i.Last-from) + 1 - int64(len(b.spoiled)) // of the same, once the good ones are taken off
	i.Parts = []Part{}
	for _, p := range r.intent.Parts {
		bad -= int64(p.Records)
		if p.There, err = b.Target.Store.Has(ctx, bucket, b.key(p)); err != nil {
			return err
		}
		if p.There {
			kept += int64(p.Records - left[p.Dir])
		}
		if p.Records = left[p.Dir]; p.Records > 0 {
			i.Parts = append(i.Parts, p)
		} else if err := b.Target.Store.Abandon(ctx, bucket, b.key(p)); err != nil {
			return err
		}
	}
	discarded := int64(gone-from) - kept
	i.From, i.Lost = gone, i.Lost+discarded
	p := r.position
	p.Discarded += discarded
	if aside, err := b.aside(ctx); err != nil {
		return err
	} else if aside {
		kept += bad
	}
	gap := Gap{Last: gone - 1, Found: t.opts.Now().UnixMilli(), Kept: kept}
	lost := int64(gone-from) - kept
	if lost > 0 {
		t.lost(k, r, from, gap)
	}
	return t.update(k, row, r, p, &i, func(tx *catalog.Tx) error {
		if lost == 0 {
			return nil
		}
		return gaps.Put(tx, gap, append(row.key(r.partition), padded(int64(from), 19))...)
	})
}

func (t *Tasks) delivered(ctx context.Context, b Batch) (bool, error) {
	sink, err := t.openSink(ctx, b.Target)
	if err != nil {
		return false, err
	}
	defer sink.Close()
	if s, can := sink.(Settler); can {
		return s.Delivered(ctx, b)
	}
	return false, nil
}

func (t *Tasks) openSink(ctx context.Context, target Target) (Sink, error) {
	opener, err := t.opener(target.Descriptor.Type)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return opener.Open(ctx, target)
}

// skipLost moves the position past records that retention removed before they
// were read, and records the gap (D-9, E26-R2). An open intent ends with it.
func (t *Tasks) skipLost(ctx context.Context, k *task, row *Task, r *run, log storage.Log) error {
	oldest, _ := log.Bounds()
	p := r.position
	if oldest <= p.Next {
		return nil
	}
	first := p.Next
	p.Discarded += int64(oldest - first)
	p.Next = oldest
	if err := t.attestLoss(ctx, row, r, first, oldest-1); err != nil {
		return err
	}
	gap := Gap{Last: oldest - 1, Found: t.opts.Now().UnixMilli()}
	t.lost(k, r, first, gap)
	return t.update(k, row, r, p, nil, func(tx *catalog.Tx) error {
		return gaps.Put(tx, gap, append(row.key(r.partition), padded(int64(first), 19))...)
	})
}

func (t *Tasks) lost(k *task, r *run, first storage.Seq, gap Gap) {
	t.opts.Logger.Error("retention removed records before a transfer task delivered them", "task", k.name,
		"stream_id", k.streamID, "partition", r.partition, "first", first, "last", gap.Last, "delivered_of_them", gap.Kept)
}

// attestLoss writes the manifest of records that were lost.
func (t *Tasks) attestLoss(ctx context.Context, row *Task, r *run, first, last storage.Seq) error {
	if !t.opts.Manifest {
		return nil
	}
	stream, err := t.opts.Streams.Describe(row.StreamID)
	if err != nil {
		return err
	}
	b, err := t.batch(row, r.partition, &Intent{
		First: first, Last: last, Generated: t.opts.Now().UnixMilli(), Zone: t.opts.Zone.String(),
		Descriptor: row.Descriptor, Stream: stream, Version: intentVersion,
	})
	if err != nil {
		return err
	}
	return t.attest(ctx, &b, r.position.Start, Lost, int64(last-first)+1)
}

// update records a position, and the intent or, if that is nil, its end, in one
// transaction with whatever also does; nil does nothing.
func (t *Tasks) update(k *task, row *Task, r *run, p Position, i *Intent, also func(*catalog.Tx) error) error {
	err := t.opts.DB.Update(func(tx *catalog.Tx) error {
		if err := row.stored(tx); err != nil {
			return err
		}
		key := row.key(r.partition)
		errs := []error{positions.Put(tx, p, key...)}
		if i != nil {
			errs = append(errs, intents.Put(tx, *i, key...))
		} else {
			errs = append(errs, intents.Delete(tx, key...))
		}
		if also != nil {
			errs = append(errs, also(tx))
		}
		return errors.Join(errs...)
	})
	if err == nil {
		k.mu.Lock()
		r.position, r.intent = p, i
		k.mu.Unlock()
	}
	return err
}

// deliver hands a batch to the destination, after its bad records were set
// aside, or to the error directory when the destination had time enough. It
// returns how many records did not reach the destination.
func (t *Tasks) deliver(ctx context.Context, k *task, row *Task, r *run, b *batch) (discarded int64, err error) {
	discarded = int64(len(b.spoiled))
	if err := t.setAside(ctx, r, b); err != nil {
		return 0, err
	}
	if len(b.Records) == 0 {
		return discarded, nil
	}
	if !r.intent.Diverted {
		b.Committing = func() error {
			committing := *r.intent
			committing.Committing = true
			return t.record(k, row, r, &committing)
		}
		rejected, err := t.offer(ctx, b.Batch)
		if err != nil {
			err = t.giveUp(ctx, k, row, r, b, err)
		}
		if !r.intent.Diverted {
			return discarded + rejected, err
		}
	}
	return discarded + int64(len(b.Records)), t.divert(ctx, b)
}

// giveUp diverts a batch that has failed as long as it may, by its intent. It
// returns why it failed.
func (t *Tasks) giveUp(ctx context.Context, k *task, row *Task, r *run, b *batch, failure error) error {
	d := b.Target.Descriptor
	if d.Type == OBS || errors.Is(failure, ErrRefused) || ctx.Err() != nil {
		return failure // OBS tasks try without end (D-8, D-11)
	}
	next, now := *r.intent, t.opts.Now()
	if next.Failed == 0 {
		next.Failed = now.UnixMilli()
	}
	since := time.UnixMilli(max(next.Failed, row.Started))
	if next.Diverted = now.Sub(since) >= d.Retry(); next.Diverted && next.Committing {
		there, err := t.delivered(ctx, b.Batch)
		if err != nil || there { // the next attempt will find it, or out
			return errors.Join(failure, err)
		}
	}
	if !next.Diverted && next.Failed == r.intent.Failed {
		return failure
	}
	if err := t.record(k, row, r, &next); err != nil {
		return errors.Join(failure, err)
	}
	return failure
}

func (t *Tasks) offer(ctx context.Context, b Batch) (rejected int64, err error) {
	sink, err := t.openSink(ctx, b.Target)
	if err != nil {
		return 0, err
	}
	defer sink.Close()
	return sink.Deliver(ctx, b)
}

// clean removes what unfinished attempts to write a batch left, under any name that
// the batch may have.
func (t *Tasks) clean(ctx context.Context, row *Task, r *run) error {
	b, err := t.batch(row, r.partition, r.intent)
	if err != nil {
		return err
	}
	bucket, bad := b.errorObject(".bad.json")
	if bucket == "" {
		return nil
	}
	_, diverted := b.diverted()
	keys := []string{bad, diverted}
	switch parts := r.intent.Parts; {
	case b.Target.Descriptor.Type != OBS:
		_, staged, _ := b.Staged()
		if err := b.Target.Store.Delete(ctx, bucket, staged); err != nil {
			return err
		}
		keys = append(keys, staged)
	case parts == nil:
		keys = append(keys, b.key(b.whole()))
	default:
		for _, p := range parts {
			keys = append(keys, b.key(p))
		}
	}
	for _, key := range keys {
		if err := b.Target.Store.Abandon(ctx, bucket, key); err != nil {
			return err
		}
	}
	return nil
}

// tidy cleans up after batches at rest that will not be written, at least not under
// the names they have. It does not take long.
func (t *Tasks) tidy(k *task, runs ...*run) {
	ctx, cancel := context.WithTimeout(context.Background(), t.opts.Grace)
	defer cancel()
	row := k.snapshot()
	for _, r := range runs {
		if r.intent == nil {
			continue
		}
		if err := t.clean(ctx, &row, r); err != nil {
			t.opts.Logger.Warn("parts of unfinished files of a transfer task may be left", "task", k.name,
				"stream_id", k.streamID, "partition", r.partition, "error", err)
		}
	}
}

// setAside writes the bad records of a batch, with the reason of each, to the
// error directory.
func (t *Tasks) setAside(ctx context.Context, r *run, b *batch) error {
	bucket, key := b.errorObject(".bad.json")
	if len(b.spoiled) == 0 || bucket == "" { // CT-7
		return nil
	}
	if r.intent.from() > r.intent.First {
		if aside, err := b.aside(ctx); err != nil || aside { // with others that are gone
			return err
		}
	}
	return b.Target.Store.Put(ctx, bucket, key, lines(b.spoiled))
}

// aside reports whether the bad records of a batch were set aside.
func (b *Batch) aside(ctx context.Context) (bool, error) {
	bucket, key := b.errorObject(".bad.json")
	if bucket == "" {
		return false, nil
	}
	return b.Target.Store.Has(ctx, bucket, key)
}

// divert writes a batch to the error directory, as it would have been staged.
func (t *Tasks) divert(ctx context.Context, b *batch) error {
	bucket, key := b.diverted()
	if bucket == "" {
		return nil // CT-7
	}
	return b.Target.Store.Put(ctx, bucket, key, delimited(b.Records, "\n"))
}

// pass records that a batch is done.
func (t *Tasks) pass(k *task, row *Task, r *run, b *batch, discarded int64) error {
	p := r.position
	p.Next, p.Discarded = b.Last+1, p.Discarded+discarded
	diverted := r.intent.Diverted
	if !diverted {
		p.Last, p.Delivered = b.Last, t.opts.Now().UnixMilli()
	}
	if err := t.update(k, row, r, p, nil, nil); err != nil {
		return err
	}
	if diverted {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	r.counts.batches++
	r.counts.records += int64(len(b.Records))
	for i := range b.Records {
		r.counts.bytes += int64(len(b.Records[i].Data))
	}
	return nil
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
	case errors.Is(err, ErrRefused):
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
		if gone == nil && (r.intent.Revision != row.Revision || !r.intent.Stream.same(stream)) {
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
