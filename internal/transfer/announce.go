package transfer

import (
	"context"

	"disd/internal/storage"
)

// piece is how many bytes of the log are read at once, so that memory is taken by
// what records become and not by what they came as.
const piece = 8 << 20

// announce cuts the next batch and records it, before anything of it is sent.
func (d *delivery) announce(ctx context.Context) (state, error) {
	if err := d.skipLost(ctx); err != nil {
		return ended, err
	}
	next := d.run.position.Next
	if next >= durable(d.log) {
		return ended, nil
	}
	stream, err := d.opts.Streams.Describe(d.task.streamID)
	if err != nil {
		return ended, err
	}
	if err := d.m.settings.Suits(stream); err != nil {
		return ended, err // the stream was changed since (E8-R6)
	}
	intent := &Intent{
		First: next, Last: next, Generated: d.now(), Zone: d.opts.Zone.String(), FileName: d.template(&d.row),
		Revision: d.row.Revision, Descriptor: d.row.Descriptor, Stream: stream, Version: intentVersion,
		Floor: d.run.position.Floor,
	}
	failure := d.ask(ctx, intent)
	if err := d.assemble(intent, nil); err != nil {
		return ended, err
	}
	if n, err := d.fill(ctx, intent); n == 0 {
		return ended, err // of damaged records, the intact ones before them come first
	}
	if err := d.record(intent); err != nil {
		return ended, err
	}
	if failure == nil {
		return aside, nil
	}
	return d.giveUp(ctx, failure)
}

// ask gets the columns of the destination, as long as an intent has none (DLI-22).
func (d *delivery) ask(ctx context.Context, i *Intent) error {
	b, err := d.batchOf(&d.row, d.run.partition, i)
	if err != nil {
		return err
	}
	sink, err := d.open(ctx, b.Target)
	if err != nil {
		return err
	}
	i.Columns, err = sink.Columns(ctx)
	return err
}

// fill reads records into the batch of a new intent until it is full: by their
// number, by the bytes of their data once it is decompressed, or by the memory that
// they take in the form of the destination (D-6). It returns how many were read; an
// error if there is none.
func (d *delivery) fill(ctx context.Context, i *Intent) (n int, err error) {
	limit := storage.Limit{AtLeastOne: true}
	for full := false; !full && n < d.opts.MaxRecords; {
		limit.Records, limit.Bytes = d.opts.MaxRecords-n, min(piece, max(d.opts.MaxBytes-d.batch.size, 1))
		var c storage.Chunk
		if err := d.log.Read(ctx, i.First+storage.Seq(n), limit, &c); len(c.Records) == 0 {
			if n > 0 {
				break
			}
			return 0, err
		}
		for _, r := range c.Records {
			if full = r.Seq >= durable(d.log) || !d.batch.take(r, d.opts.MaxBytes); full {
				break
			}
			i.Last, i.Ceiling = r.Seq, max(i.Floor, i.Ceiling-1, r.AppendTime)+1
			n++
		}
		limit.AtLeastOne = false
	}
	d.batch.Last = i.Last
	i.Parts, i.Bad = d.batch.Form.Parts(), int64(len(d.batch.spoiled))
	d.batch.Parts = i.Parts
	return n, nil
}

// durable is the number before which records may be delivered: a batch of records
// that a loss of power can take back would have the numbers of others afterwards.
func durable(log storage.Log) storage.Seq {
	_, next := log.Bounds()
	return next
}
