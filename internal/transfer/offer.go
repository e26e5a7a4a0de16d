package transfer

import (
	"context"
	"errors"

	"disd/internal/transfer/kind"
)

// setAside writes the bad records of a batch, with the reason of each, to the error
// directory.
func (d *delivery) setAside(ctx context.Context) (state, error) {
	d.discarded = int64(len(d.batch.spoiled))
	if err := d.writeBad(ctx); err != nil {
		return ended, err
	}
	switch {
	case len(d.batch.Records) == 0:
		return passing, nil
	case d.run.intent.Diverted:
		return diverting, nil
	}
	return offering, nil
}

func (d *delivery) writeBad(ctx context.Context) error {
	bucket, key := badObject(&d.batch.Batch)
	if len(d.batch.spoiled) == 0 || bucket == "" { // CT-7
		return nil
	}
	if i := d.run.intent; i.from() > i.First {
		if there, err := has(ctx, &d.batch.Batch, badObject); err != nil || there { // with others that are gone
			return err
		}
	}
	return d.batch.Target.Store.Put(ctx, bucket, key, lines(d.batch.spoiled))
}

// offer hands the batch to the destination.
func (d *delivery) offer(ctx context.Context) (state, error) {
	b := d.batch.Batch
	b.Committing = func() error {
		committing := *d.run.intent
		committing.Committing = true
		return d.record(&committing)
	}
	sink, err := d.open(ctx, b.Target)
	if err == nil {
		d.receipt, err = sink.Deliver(ctx, b)
	}
	if err != nil {
		return d.giveUp(ctx, err)
	}
	d.discarded += d.receipt.Rejected
	return passing, nil
}

// giveUp diverts a batch that has failed as long as it may, by its intent. Else the
// attempt ends with the failure.
func (d *delivery) giveUp(ctx context.Context, failure error) (state, error) {
	b, next := d.batch, *d.run.intent
	if !b.Target.Kind.GivesUp || errors.Is(failure, kind.ErrRefused) || ctx.Err() != nil {
		return ended, failure // OBS tasks try without end (D-8, D-11)
	}
	if next.Failed == 0 {
		next.Failed = d.now()
	}
	if next.Diverted = d.since(&next) >= b.Target.Settings.Task().Patience(); next.Diverted && next.Committing {
		there, err := d.delivered(ctx, b.Batch)
		if err != nil || there { // the next attempt will find it, or out
			return ended, errors.Join(failure, err)
		}
	}
	if !next.Diverted && next.Failed == d.run.intent.Failed {
		return ended, failure
	}
	if err := d.record(&next); err != nil {
		return ended, errors.Join(failure, err)
	}
	if !next.Diverted {
		return ended, failure
	}
	d.cause = failure
	return aside, nil
}

// divert writes the batch to the error directory, as it would have been staged.
func (d *delivery) divert(ctx context.Context) (state, error) {
	d.discarded += int64(len(d.batch.Records))
	bucket, key := divertedObject(&d.batch.Batch)
	if bucket == "" {
		return passing, nil // CT-7
	}
	return passing, d.batch.Target.Store.Put(ctx, bucket, key, kind.Delimited(d.batch.Records, "\n"))
}
