package transfer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/transfer/kind"
)

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
	if err := k.meaning().settings.Suits(stream); err != nil {
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
	intent.Parts, intent.Bad = b.Form.Parts(), int64(len(b.spoiled))
	return b, t.record(k, row, r, intent)
}

// A batch in hand.
type batch struct {
	kind.Batch
	spoiled []bad
}

// assemble makes the batch of an intent from those of its records that are left.
func (t *Tasks) assemble(row *Task, partition int32, i *Intent, records []storage.Record) (*batch, error) {
	b, err := t.batch(row, partition, i)
	if err != nil {
		return nil, err
	}
	out := &batch{Batch: b}
	return out, out.fill(records)
}

// record makes an intent durable, in place of an earlier one.
func (t *Tasks) record(k *task, row *Task, r *run, i *Intent) error {
	return t.update(k, row, r, r.position, i, nil)
}

// resumeBatch reads the records of an open intent again.
func (t *Tasks) resumeBatch(ctx context.Context, k *task, row *Task, r *run, log storage.Log) (*batch, error) {
	if r.resumed {
		if err := t.clean(ctx, row, r); err != nil && !errors.Is(err, kind.ErrRefused) {
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
		b.Records = b.Form.Keep(r.intent.Parts)
		return b, nil
	}
	parts := b.Form.Parts()
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

// update records a position, and the intent or, if that is nil, its end, in one
// transaction with whatever also does; nil does nothing.
func (t *Tasks) update(k *task, row *Task, r *run, p Position, i *Intent, also func(catalog.Tx) error) error {
	err := t.opts.DB.Update(func(tx catalog.Tx) error {
		if err := row.stored(tx); err != nil {
			return err
		}
		key := row.runKey(r.partition)
		errs := []error{positions.Put(tx, key, p)}
		if i != nil {
			errs = append(errs, intents.Put(tx, key, *i))
		} else {
			errs = append(errs, intents.Delete(tx, key))
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
		receipt, err := t.offer(ctx, b.Batch)
		if err != nil {
			err = t.giveUp(ctx, k, row, r, b, err)
		}
		if !r.intent.Diverted {
			return discarded + receipt.Rejected, err
		}
	}
	return discarded + int64(len(b.Records)), t.divert(ctx, b)
}

// giveUp diverts a batch that has failed as long as it may, by its intent. It
// returns why it failed.
func (t *Tasks) giveUp(ctx context.Context, k *task, row *Task, r *run, b *batch, failure error) error {
	if !b.Target.Kind.GivesUp || errors.Is(failure, kind.ErrRefused) || ctx.Err() != nil {
		return failure // OBS tasks try without end (D-8, D-11)
	}
	next, now := *r.intent, t.opts.Now()
	if next.Failed == 0 {
		next.Failed = now.UnixMilli()
	}
	since := time.UnixMilli(max(next.Failed, row.Started))
	if next.Diverted = now.Sub(since) >= b.Target.Settings.Task().Patience(); next.Diverted && next.Committing {
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

func (t *Tasks) offer(ctx context.Context, b kind.Batch) (kind.Receipt, error) {
	sink, err := openSink(ctx, b.Target)
	if err != nil {
		return kind.Receipt{}, err
	}
	defer sink.Close()
	return sink.Deliver(ctx, b)
}

// delivered asks the destination whether it has a batch.
func (t *Tasks) delivered(ctx context.Context, b kind.Batch) (bool, error) {
	sink, err := openSink(ctx, b.Target)
	if err != nil {
		return false, err
	}
	defer sink.Close()
	return sink.Delivered(ctx, b)
}

func openSink(ctx context.Context, target kind.Target) (kind.Sink, error) {
	opener, err := opener(target.Kind)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", kind.ErrRefused, err)
	}
	return opener.Open(ctx, target)
}

// setAside writes the bad records of a batch, with the reason of each, to the
// error directory.
func (t *Tasks) setAside(ctx context.Context, r *run, b *batch) error {
	bucket, key := aside(&b.Batch)
	if len(b.spoiled) == 0 || bucket == "" { // CT-7
		return nil
	}
	if r.intent.from() > r.intent.First {
		if aside, err := has(ctx, &b.Batch, aside); err != nil || aside { // with others that are gone
			return err
		}
	}
	return b.Target.Store.Put(ctx, bucket, key, lines(b.spoiled))
}

// aside returns bucket and key of the bad records of a batch.
func aside(b *kind.Batch) (bucket, key string) { return errorObject(b, ".bad.json") }

// has reports whether an object of a batch is there.
func has(ctx context.Context, b *kind.Batch, name func(*kind.Batch) (bucket, key string)) (bool, error) {
	bucket, key := name(b)
	if bucket == "" {
		return false, nil
	}
	return b.Target.Store.Has(ctx, bucket, key)
}

// divert writes a batch to the error directory, as it would have been staged.
func (t *Tasks) divert(ctx context.Context, b *batch) error {
	bucket, key := diverted(&b.Batch)
	if bucket == "" {
		return nil // CT-7
	}
	return b.Target.Store.Put(ctx, bucket, key, kind.Delimited(b.Records, "\n"))
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
