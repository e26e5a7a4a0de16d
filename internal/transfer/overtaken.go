package transfer

import (
	"context"
	"errors"

	"disd/internal/storage/catalog"
	"disd/internal/transfer/kind"
)

// settle ends an intent whose records retention has removed: the destination is
// asked whether it got them. If not, they are a gap.
func (d *delivery) settle(ctx context.Context) (state, error) {
	i := d.run.intent
	b, err := d.batchOf(&d.row, d.run.partition, i)
	if err != nil {
		return ended, err
	}
	d.batch, d.discarded = &batch{Batch: b}, i.Bad
	if i.Diverted {
		d.discarded = int64(b.Last-b.First) + 1
	}
	attested, err := d.attested(ctx, &b)
	switch {
	case err != nil:
		return ended, err
	case attested:
		return ended, d.passed()
	case i.Parts != nil:
		return ended, d.settleParts(ctx)
	}
	there := false
	if i.Diverted {
		there, err = has(ctx, &b, divertedObject)
	} else {
		there, err = d.delivered(ctx, b)
	}
	if err != nil {
		return ended, err
	}
	if there {
		d.outcome = Settled
		return passing, nil
	}
	if err := d.clean(ctx); err != nil && !errors.Is(err, kind.ErrRefused) {
		return ended, err
	}
	return ended, d.skipLost(ctx)
}

// settleParts takes out of an intent the records that retention removed. Records
// whose part already reached the destination are not a gap. The rest of that part is
// not delivered again.
func (d *delivery) settleParts(ctx context.Context) error {
	before, i := d.run.intent, *d.run.intent
	oldest, _ := d.log.Bounds()
	gone := min(oldest, i.Last+1)
	records, err := readRange(ctx, d.log, gone, i.Last)
	if err != nil {
		return err
	}
	if err := d.assemble(&i, records); err != nil {
		return err
	}
	var kept int64 // of the records that are gone
	if i.Parts, kept, err = d.partsLeft(ctx, before.Parts); err != nil {
		return err
	}
	from := i.from()
	discarded := int64(gone-from) - kept
	i.From, i.Lost, i.Bad = gone, i.Lost+discarded, int64(len(d.batch.spoiled))
	p := d.run.position
	p.Discarded += discarded
	if aside, err := has(ctx, &d.batch.Batch, badObject); err != nil {
		return err
	} else if aside {
		kept += before.Bad - i.Bad
	}
	gap := Gap{Last: gone - 1, Found: d.now(), Kept: kept}
	lost := int64(gone-from) - kept
	if lost > 0 {
		d.lost(from, gap)
	}
	return d.update(p, &i, func(tx catalog.Tx) error {
		if lost == 0 {
			return nil
		}
		return gaps.Put(tx, d.row.gapKey(d.run.partition, from), gap)
	})
}

// partsLeft returns the parts of which the batch in hand still has records, and how
// many of the records that it has no more are at the destination.
func (d *delivery) partsLeft(ctx context.Context, parts []kind.Part) (left []kind.Part, kept int64, err error) {
	records := make(map[string]int) // good ones by directory
	for _, p := range d.batch.Form.Parts() {
		records[p.Dir] = p.Records
	}
	left = []kind.Part{}
	for _, p := range parts {
		one := d.batch.Batch
		one.Parts, one.Records, one.Form = []kind.Part{p}, nil, nil
		if p.There, err = d.delivered(ctx, one); err != nil {
			return nil, 0, err
		}
		if p.There {
			kept += int64(p.Records - records[p.Dir])
		}
		if p.Records = records[p.Dir]; p.Records > 0 {
			left = append(left, p)
		} else if err := d.sink.Clean(ctx, one); err != nil {
			return nil, 0, err
		}
	}
	return left, kept, nil
}
