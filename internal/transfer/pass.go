package transfer

import (
	"context"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
)

// pass writes the manifest of a batch that is done, and records that it is.
func (d *delivery) pass(ctx context.Context) (state, error) {
	i := d.run.intent
	if d.outcome == "" {
		d.outcome = Delivered
		switch {
		case i.Diverted:
			d.outcome = Diverted
		case i.From > i.First:
			d.outcome = Settled
		}
	}
	if err := d.attest(ctx, d.batch, d.run.position.Start, d.outcome, d.discarded+i.Lost, d.receipt.Files); err != nil {
		return ended, err
	}
	return ended, d.passed()
}

// passed moves the position behind the batch.
func (d *delivery) passed() error {
	p, diverted := d.run.position, d.run.intent.Diverted
	p.Next, p.Discarded = d.batch.Last+1, p.Discarded+d.discarded
	if !diverted {
		p.Last, p.Delivered = d.batch.Last, d.now()
	}
	if err := d.update(p, nil, nil); err != nil || diverted {
		return err
	}
	d.task.mu.Lock()
	defer d.task.mu.Unlock()
	c := &d.run.counts
	c.batches++
	c.records += int64(len(d.batch.Records))
	for i := range d.batch.Records {
		c.bytes += int64(len(d.batch.Records[i].Data))
	}
	return nil
}

// skipLost moves the position past records that retention removed before they
// were read, and records the gap (D-9, E26-R2). An open intent ends with it.
func (d *delivery) skipLost(ctx context.Context) error {
	oldest, _ := d.log.Bounds()
	p := d.run.position
	if oldest <= p.Next {
		return nil
	}
	if err := d.attestLoss(ctx, p.Next, oldest-1); err != nil {
		return err
	}
	first := p.Next
	if d.run.intent != nil {
		first = d.run.intent.from()
	}
	p.Discarded += int64(oldest - first)
	p.Next = oldest
	gap := Gap{Last: oldest - 1, Found: d.now()}
	d.lost(first, gap)
	return d.update(p, nil, func(tx catalog.Tx) error {
		return gaps.Put(tx, d.row.gapKey(d.run.partition, first), gap)
	})
}

func (d *delivery) lost(first storage.Seq, gap Gap) {
	d.logger().Error("retention removed records before a transfer task delivered them",
		"first", first, "last", gap.Last, "delivered_of_them", gap.Kept)
}

// attestLoss writes the manifest of records that were lost.
func (d *delivery) attestLoss(ctx context.Context, first, last storage.Seq) error {
	if !d.opts.Manifest {
		return nil
	}
	stream, err := d.opts.Streams.Describe(d.row.StreamID)
	if err != nil {
		return err
	}
	b, err := d.batchOf(&d.row, d.run.partition, &Intent{
		First: first, Last: last, Generated: d.now(), Zone: d.opts.Zone.String(),
		Descriptor: d.row.Descriptor, Stream: stream, Version: intentVersion,
	})
	if err != nil {
		return err
	}
	return d.attest(ctx, &batch{Batch: b}, d.run.position.Start, Lost, int64(last-first)+1, nil)
}
