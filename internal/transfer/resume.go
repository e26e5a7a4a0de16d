package transfer

import (
	"context"
	"errors"
	"fmt"
	"math"

	"disd/internal/storage"
	"disd/internal/transfer/kind"
)

// resume reads the records of an open intent again.
func (d *delivery) resume(ctx context.Context) (state, error) {
	r := d.run
	if r.resumed {
		if err := d.clean(ctx); err != nil && !errors.Is(err, kind.ErrRefused) {
			return ended, err
		}
		if err := d.survive(ctx); err != nil {
			return ended, err
		}
		r.resumed = false
	}
	records, err := readRange(ctx, d.log, r.intent.from(), r.intent.Last)
	if errors.Is(err, storage.ErrTrimmed) {
		return overtaken, nil
	}
	if err != nil {
		return ended, err
	}
	i := *r.intent
	failure := error(nil)
	if i.Columns == nil && !i.Diverted {
		failure = d.ask(ctx, &i)
	}
	if err := d.assemble(&i, records); err != nil {
		return ended, err
	}
	if i.Parts != nil {
		d.batch.Records = d.batch.Form.Keep(i.Parts)
	} else if err := d.complete(&i); err != nil {
		return ended, err
	}
	if failure != nil {
		return d.giveUp(ctx, failure)
	}
	return aside, nil
}

// complete adds to an intent what was not known when it was recorded: columns that
// the destination has told since, or the parts of one that was addressed anew.
func (d *delivery) complete(i *Intent) error {
	i.Parts = d.batch.Form.Parts()
	d.batch.Parts = i.Parts
	if i.Parts == nil && len(i.Columns) == len(d.run.intent.Columns) {
		return nil
	}
	i.Bad = int64(len(d.batch.spoiled))
	return d.record(i)
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

// deaths is how many starts a batch may have been taken up again at without that an
// attempt ended, before it counts as what ends the server.
const deaths = 3

// survive counts the starts of the server at which the batch was taken up again. One
// that has ended the server several times is made smaller; a single record that has
// is set aside as bad. An attempt that ends, well or not, sets the count back.
func (d *delivery) survive(ctx context.Context) error {
	i := *d.run.intent
	if i.Starts++; i.Starts <= deaths || i.Fatal {
		return d.record(&i)
	}
	there, err := d.begun(ctx, &i)
	if err != nil || there {
		return err
	}
	first, n := i.from(), int(i.Last-i.from())+1
	d.logger().Error("the server has ended several times while it delivered a batch of a transfer task, which is made smaller",
		"first", first, "last", i.Last, "starts", i.Starts)
	i.Starts, i.Parts, i.Bad = 0, nil, 0
	if n == 1 {
		i.Fatal = true
	} else {
		i.Last = first + storage.Seq(n/2) - 1
	}
	return d.record(&i)
}

// survived notes that an attempt has ended.
func (d *delivery) survived() error {
	if d.run.intent == nil || d.run.intent.Starts == 0 {
		return nil
	}
	i := *d.run.intent
	i.Starts = 0
	return d.record(&i)
}

// begun reports whether anything of the batch of an intent may be somewhere already,
// so that it must go out as it is.
func (d *delivery) begun(ctx context.Context, i *Intent) (bool, error) {
	if i.Committing || i.From > i.First {
		return true, nil
	}
	b, err := d.batchOf(&d.row, d.run.partition, i)
	if err != nil {
		return false, err
	}
	if i.Diverted {
		return has(ctx, &b, divertedObject)
	}
	for _, one := range split(b) {
		if there, err := d.delivered(ctx, one); err != nil || there {
			return there, err
		}
	}
	return false, nil
}

// split returns a batch for each part of a batch, or the batch.
func split(b kind.Batch) []kind.Batch {
	if b.Parts == nil {
		return []kind.Batch{b}
	}
	ones := make([]kind.Batch, len(b.Parts))
	for i := range b.Parts {
		ones[i] = b
		ones[i].Parts = b.Parts[i : i+1]
	}
	return ones
}
