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
	since    time.Time
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
	if diverted {
		outcome = Diverted
	}
	if err := t.attest(ctx, &b.Batch, r.position.Start, outcome, discarded); err != nil {
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
		Generated: t.opts.Now().UnixMilli(), Zone: t.opts.Zone.String(), FileName: t.opts.FileName,
		Revision: row.Revision, Descriptor: row.Descriptor, Stream: stream, Version: intentVersion,
	}
	if err := t.record(k, row, r, intent); err != nil {
		return nil, err
	}
	return t.assemble(row, r, c.Records)
}

// A batch in hand.
type batch struct {
	Batch
	spoiled []bad
}

func (t *Tasks) assemble(row *Task, r *run, records []storage.Record) (*batch, error) {
	b, err := t.batch(row, r.partition, r.intent)
	if err != nil {
		return nil, err
	}
	out := &batch{Batch: b}
	out.spoiled, err = out.fill(records)
	return out, err
}

// record makes an intent durable, in place of an earlier one.
func (t *Tasks) record(k *task, row *Task, r *run, i *Intent) error {
	err := t.opts.DB.Update(func(tx *catalog.Tx) error {
		if err := row.stored(tx); err != nil {
			return err
		}
		return intents.Put(tx, *i, row.key(r.partition)...)
	})
	if err == nil {
		k.mu.Lock()
		r.intent = i
		k.mu.Unlock()
	}
	return err
}

// resumeBatch reads the records of an open intent again.
func (t *Tasks) resumeBatch(ctx context.Context, k *task, row *Task, r *run, log storage.Log) (*batch, error) {
	records, err := readRange(ctx, log, r.intent.First, r.intent.Last)
	if errors.Is(err, storage.ErrTrimmed) {
		return nil, t.settle(ctx, k, row, r, log)
	}
	if err != nil {
		return nil, err
	}
	return t.assemble(row, r, records)
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
	done, err := t.delivered(ctx, b)
	if err != nil {
		return err
	}
	if !done {
		return t.skipLost(ctx, k, row, r, log)
	}
	if err := t.attest(ctx, &b, r.position.Start, Settled, 0); err != nil {
		return err
	}
	return t.pass(k, row, r, &batch{Batch: b}, 0)
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
	t.opts.Logger.Error("retention removed records before a transfer task read them", "task", k.name,
		"stream_id", k.streamID, "partition", r.partition, "first", first, "last", oldest-1)
	return t.move(k, row, r, p, func(tx *catalog.Tx) error {
		key := append(row.key(r.partition), padded(int64(first), 19))
		return gaps.Put(tx, Gap{Last: oldest - 1, Found: t.opts.Now().UnixMilli()}, key...)
	})
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

// move records a new position and the end of the intent, in one transaction
// with whatever also does.
func (t *Tasks) move(k *task, row *Task, r *run, p Position, also func(*catalog.Tx) error) error {
	err := t.opts.DB.Update(func(tx *catalog.Tx) error {
		if err := row.stored(tx); err != nil {
			return err
		}
		key := row.key(r.partition)
		return errors.Join(positions.Put(tx, p, key...), intents.Delete(tx, key...), also(tx))
	})
	if err == nil {
		k.mu.Lock()
		r.position, r.intent = p, nil
		k.mu.Unlock()
	}
	return err
}

// deliver hands a batch to the destination, after its bad records were set
// aside, or to the error directory when the destination had time enough. It
// returns how many records did not reach the destination.
func (t *Tasks) deliver(ctx context.Context, k *task, row *Task, r *run, b *batch) (discarded int64, err error) {
	discarded = int64(len(b.spoiled))
	if err := t.setAside(ctx, b); err != nil {
		return 0, err
	}
	if len(b.Records) == 0 {
		return discarded, nil
	}
	if !r.intent.Diverted {
		rejected, err := t.offer(ctx, b.Batch)
		if err == nil || !t.exhausted(k, r, b) || errors.Is(err, ErrRefused) || ctx.Err() != nil {
			return discarded + rejected, err
		}
		diverted := *r.intent
		diverted.Diverted = true
		if err := t.record(k, row, r, &diverted); err != nil {
			return 0, err
		}
	}
	return discarded + int64(len(b.Records)), t.divert(ctx, b)
}

func (t *Tasks) offer(ctx context.Context, b Batch) (rejected int64, err error) {
	sink, err := t.openSink(ctx, b.Target)
	if err != nil {
		return 0, err
	}
	defer sink.Close()
	return sink.Deliver(ctx, b)
}

// exhausted reports whether a batch has failed as long as it may. OBS tasks try
// without end (D-8, D-11).
func (t *Tasks) exhausted(k *task, r *run, b *batch) bool {
	d := b.Target.Descriptor
	if d.Type == OBS {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	since, now := r.failure.since, t.opts.Now()
	if r.failure.attempts == 0 {
		since = now
	}
	return now.Sub(since) >= d.Retry()
}

// setAside writes the bad records of a batch, with the reason of each, to the
// error directory.
func (t *Tasks) setAside(ctx context.Context, b *batch) error {
	if len(b.spoiled) == 0 {
		return nil
	}
	bucket, key := b.errorObject(".bad.json")
	if bucket == "" {
		return nil // CT-7
	}
	return b.Target.Store.Put(ctx, bucket, key, lines(b.spoiled))
}

// divert writes a batch to the error directory, as it would have been staged.
func (t *Tasks) divert(ctx context.Context, b *batch) error {
	ext := ".txt"
	if kind := b.Target.Descriptor.Type; kind == DWS || kind == DLI {
		ext = ".csv"
	}
	bucket, key := b.errorObject(ext)
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
	if err := t.move(k, row, r, p, func(*catalog.Tx) error { return nil }); err != nil {
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

// refused stops the task, unless the batch was meant for a destination that the
// task no longer has: it is then addressed anew.
func (t *Tasks) refused(k *task, r *run, err error) {
	row := k.snapshot()
	if r.intent != nil && r.intent.Revision != row.Revision {
		anew := *r.intent
		anew.Revision, anew.Descriptor = row.Revision, row.Descriptor
		if err := t.record(k, &row, r, &anew); err != nil {
			t.fail(k, r, err)
		}
		return
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
		f.since = now
		t.opts.Logger.Warn("a transfer task cannot deliver and tries again", "task", k.name,
			"stream_id", k.streamID, "partition", r.partition, "error", err)
	}
	f.err = err
	f.retry = now.Add(min(time.Second<<min(f.attempts, 6), maxBackoff))
	f.attempts++
}
