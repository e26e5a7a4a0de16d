package transfer

import (
	"context"
	"errors"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/transfer/kind"
)

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
	discarded := r.intent.Bad
	if r.intent.Diverted {
		discarded = int64(b.Last-b.First) + 1
	}
	if attested {
		return t.pass(k, row, r, &batch{Batch: b}, discarded)
	}
	if r.intent.Parts != nil {
		return t.settleParts(ctx, k, row, r, log)
	}
	done := false
	if r.intent.Diverted {
		done, err = has(ctx, &b, diverted)
	} else {
		done, err = t.delivered(ctx, b)
	}
	if err != nil {
		return err
	}
	if !done {
		if err := t.clean(ctx, row, r); err != nil && !errors.Is(err, kind.ErrRefused) {
			return err
		}
		return t.skipLost(ctx, k, row, r, log)
	}
	if err := t.attest(ctx, &b, r.position.Start, Settled, discarded); err != nil {
		return err
	}
	return t.pass(k, row, r, &batch{Batch: b}, discarded)
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
	sink, err := openSink(ctx, b.Target)
	if err != nil {
		return err
	}
	defer sink.Close()
	left := make(map[string]int) // good records by directory
	for _, p := range b.Form.Parts() {
		left[p.Dir] = p.Records
	}
	from := i.from()
	var kept int64 // of the records that are gone
	i.Parts = []kind.Part{}
	for _, p := range r.intent.Parts {
		one := b.Batch
		one.Parts, one.Records = []kind.Part{p}, nil
		if p.There, err = sink.Delivered(ctx, one); err != nil {
			return err
		}
		if p.There {
			kept += int64(p.Records - left[p.Dir])
		}
		if p.Records = left[p.Dir]; p.Records > 0 {
			i.Parts = append(i.Parts, p)
		} else if err := sink.Clean(ctx, one); err != nil {
			return err
		}
	}
	discarded := int64(gone-from) - kept
	i.From, i.Lost, i.Bad = gone, i.Lost+discarded, int64(len(b.spoiled))
	p := r.position
	p.Discarded += discarded
	if aside, err := has(ctx, &b.Batch, aside); err != nil {
		return err
	} else if aside {
		kept += r.intent.Bad - i.Bad
	}
	gap := Gap{Last: gone - 1, Found: t.opts.Now().UnixMilli(), Kept: kept}
	lost := int64(gone-from) - kept
	if lost > 0 {
		t.lost(k, r, from, gap)
	}
	return t.update(k, row, r, p, &i, func(tx catalog.Tx) error {
		if lost == 0 {
			return nil
		}
		return gaps.Put(tx, row.gapKey(r.partition, from), gap)
	})
}

// skipLost moves the position past records that retention removed before they
// were read, and records the gap (D-9, E26-R2). An open intent ends with it.
func (t *Tasks) skipLost(ctx context.Context, k *task, row *Task, r *run, log storage.Log) error {
	oldest, _ := log.Bounds()
	p := r.position
	if oldest <= p.Next {
		return nil
	}
	if err := t.attestLoss(ctx, row, r, p.Next, oldest-1); err != nil {
		return err
	}
	first := p.Next
	if r.intent != nil {
		first = r.intent.from()
	}
	p.Discarded += int64(oldest - first)
	p.Next = oldest
	gap := Gap{Last: oldest - 1, Found: t.opts.Now().UnixMilli()}
	t.lost(k, r, first, gap)
	return t.update(k, row, r, p, nil, func(tx catalog.Tx) error {
		return gaps.Put(tx, row.gapKey(r.partition, first), gap)
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

// clean removes what unfinished attempts to write a batch left, under any name that
// the batch may have.
func (t *Tasks) clean(ctx context.Context, row *Task, r *run) error {
	b, err := t.batch(row, r.partition, r.intent)
	if err != nil {
		return err
	}
	if bucket, bad := aside(&b); bucket != "" {
		_, whole := diverted(&b)
		for _, key := range []string{bad, whole} {
			if err := b.Target.Store.Abandon(ctx, bucket, key); err != nil {
				return err
			}
		}
	}
	sink, err := openSink(ctx, b.Target)
	if err != nil {
		return err
	}
	defer sink.Close()
	return sink.Clean(ctx, b)
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
