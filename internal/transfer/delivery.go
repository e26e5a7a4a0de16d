package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/transfer/kind"
)

// A delivery is one attempt to move the next batch of a run. What it knows lasts as
// long as the attempt; what must outlast a crash is in the run's position and
// intent, which are recorded before anything of the batch is sent and passed only
// when the destination has it. Each state is a method in a file of its own:
//
//	      no intent                       intent of an earlier attempt
//	          │                                        │
//	    ┌─────▼─────┐                           ┌──────▼──────┐
//	    │ announcing│                           │  resuming   │
//	    └─────┬─────┘                           └──┬───────┬──┘
//	recorded  │   ┌────────────────────────────────┘       │ retention
//	          │   │ read again                             │ removed records
//	    ┌─────▼───▼─┐                               ┌──────▼──────┐
//	    │   aside   │ bad records are written       │  overtaken  │
//	    └──┬─────┬──┘                               └──┬───────┬──┘
//	       │     │ marked as diverted     it is there  │       │ it is not:
//	 ┌─────▼──┐  │                                     │       │ a gap
//	 │offering├──┤ it gives up: the mark is recorded   │       ▼
//	 └─────┬──┘  │                                     │      end
//	       │  ┌──▼──────┐                              │
//	       │  │diverting│                              │
//	       │  └──┬──────┘                              │
//	    ┌──▼─────▼──┐                                  │
//	    │  passing  ◀──────────────────────────────────┘
//	    └─────┬─────┘ the intent ends, the position moves
//	          ▼
//	         end
//
// A state that fails ends the attempt; the next one begins with what is recorded.
type delivery struct {
	*Tasks
	task *task
	row  Task    // as it was when the attempt began
	m    meaning // of the row's descriptor
	run  *run
	log  storage.Log

	batch     *batch
	sink      kind.Sink // open, or nil
	receipt   kind.Receipt
	discarded int64   // records that do not reach the destination
	outcome   Outcome // of a batch to pass
	cause     error   // why the batch is diverted, if that was decided now
}

// A state is what an attempt does next.
type state string

const (
	announcing state = "announcing"
	resuming   state = "resuming"
	aside      state = "aside"
	offering   state = "offering"
	diverting  state = "diverting"
	overtaken  state = "overtaken"
	passing    state = "passing"
	ended      state = "ended"
)

// states are the steps. Each returns the next one.
var states = map[state]func(*delivery, context.Context) (state, error){
	announcing: (*delivery).announce, resuming: (*delivery).resume, aside: (*delivery).setAside, offering: (*delivery).offer,
	diverting: (*delivery).divert, overtaken: (*delivery).settle, passing: (*delivery).pass,
}

func (t *Tasks) newDelivery(k *task, r *run, log storage.Log) *delivery {
	k.mu.Lock()
	defer k.mu.Unlock()
	return &delivery{Tasks: t, task: k, row: k.row, m: k.meant, run: r, log: log}
}

// errDiverted is a batch that went to the error directory: the task goes on, but
// is not well until a batch is delivered (4.2).
var errDiverted = errors.New("a batch was written to the error directory")

// deliver makes the attempt.
func (d *delivery) deliver(ctx context.Context) (err error) {
	defer d.close()
	now := announcing
	if d.run.intent != nil {
		now = resuming
	}
	for now != ended {
		if now, err = states[now](d, ctx); err != nil {
			return errors.Join(err, d.survived())
		}
	}
	if d.outcome != Diverted {
		return nil
	}
	return errors.Join(errDiverted, d.cause)
}

// open returns the sink, which stays open until the attempt ends.
func (d *delivery) open(ctx context.Context, target kind.Target) (_ kind.Sink, err error) {
	if d.sink == nil {
		d.sink, err = openSink(ctx, target)
	}
	return d.sink, err
}

func (d *delivery) close() {
	if d.sink != nil {
		d.sink.Close()
	}
	d.sink = nil
}

func openSink(ctx context.Context, target kind.Target) (kind.Sink, error) {
	opener, err := opener(target.Kind)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", kind.ErrRefused, err)
	}
	return opener.Open(ctx, target)
}

// record makes an intent durable, in place of an earlier one.
func (d *delivery) record(i *Intent) error { return d.update(d.run.position, i, nil) }

// update records a position, and the intent or, if that is nil, its ended, in one
// transaction with whatever also does; nil does nothing.
func (d *delivery) update(p Position, i *Intent, also func(catalog.Tx) error) error {
	if i == nil && d.run.intent != nil {
		p.Floor = max(p.Floor, d.run.intent.Ceiling)
	}
	err := d.opts.DB.Update(func(tx catalog.Tx) error {
		if err := d.row.stored(tx); err != nil {
			return err
		}
		key := d.row.runKey(d.run.partition)
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
		d.task.mu.Lock()
		d.run.position, d.run.intent = p, i
		d.task.mu.Unlock()
	}
	return err
}

// assemble makes the batch of an intent from those of its records that are left.
func (d *delivery) assemble(i *Intent, records []storage.Record) error {
	b, err := d.batchOf(&d.row, d.run.partition, i)
	if err != nil {
		return err
	}
	d.batch = &batch{Batch: b}
	d.witness(d.batch)
	return d.batch.fill(i, records)
}

// logger names the task and the partition.
func (d *delivery) logger() *slog.Logger { return d.Tasks.logger(d.task, d.run) }

// now returns the time in ms.
func (t *Tasks) now() int64 { return t.opts.Now().UnixMilli() }

// delivered asks the destination whether it has a batch.
func (d *delivery) delivered(ctx context.Context, b kind.Batch) (bool, error) {
	sink, err := d.open(ctx, b.Target)
	if err != nil {
		return false, err
	}
	return sink.Delivered(ctx, b)
}

// clean removes what unfinished attempts to write the batch of the intent left,
// under any name that it may have.
func (d *delivery) clean(ctx context.Context) error {
	b, err := d.batchOf(&d.row, d.run.partition, d.run.intent)
	if err != nil {
		return err
	}
	if bucket, bad := badObject(&b); bucket != "" {
		_, whole := divertedObject(&b)
		for _, key := range []string{bad, whole} {
			if err := b.Target.Store.Abandon(ctx, bucket, key); err != nil {
				return err
			}
		}
	}
	sink, err := openSink(ctx, b.Target) // the intent's may be another one than the task's
	if err != nil {
		return err
	}
	defer sink.Close()
	return sink.Clean(ctx, b)
}

// readdress addresses the intent anew, with the same records and time, when the task
// has another descriptor by now, the stream another schema, or the destination other
// columns. It returns whether one of them was changed.
func (d *delivery) readdress() (failure error, changed bool) {
	defer d.close()
	ctx, cancel := context.WithTimeout(context.Background(), d.opts.Grace)
	defer cancel()
	anew := *d.run.intent
	stream, err := d.opts.Streams.Describe(d.task.streamID)
	if err != nil {
		return nil, false
	}
	if anew.Columns != nil {
		err := d.ask(ctx, &anew)
		changed = err == nil && !slices.Equal(anew.Columns, d.run.intent.Columns)
	}
	if !changed && anew.Revision == d.row.Revision && anew.Stream.Same(stream) {
		return nil, false
	}
	d.tidy(d.task, d.run)
	anew.Revision, anew.Descriptor, anew.Stream, anew.Parts, anew.Columns = d.row.Revision, d.row.Descriptor, stream, nil, nil
	return d.record(&anew), true
}

// tidy cleans up after batches at rest that will not be written, at least not under
// the names they have. It does not take long.
func (t *Tasks) tidy(k *task, runs ...*run) {
	ctx, cancel := context.WithTimeout(context.Background(), t.opts.Grace)
	defer cancel()
	for _, r := range runs {
		if r.intent == nil {
			continue
		}
		if err := t.newDelivery(k, r, nil).clean(ctx); err != nil {
			t.logger(k, r).Warn("parts of unfinished files of a transfer task may be left", "error", err)
		}
	}
}

// forget removes what is left at the destination for a task that is being deleted.
func (t *Tasks) forget(k *task) {
	ctx, cancel := context.WithTimeout(context.Background(), t.opts.Grace)
	defer cancel()
	row, m := k.snapshot(), k.meaning()
	stream, err := t.opts.Streams.Describe(k.streamID)
	if err != nil {
		stream = kind.Stream{ID: k.streamID}
	}
	target := t.target(&row, m, stream, "")
	if target.Secret, err = t.vault.open(row.ID, row.Secret); err == nil {
		err = t.equip(&target)
	}
	var sink kind.Sink
	if err == nil {
		sink, err = openSink(ctx, target)
	}
	if err == nil {
		err = sink.Forget(ctx)
		sink.Close()
	}
	if err != nil && !errors.Is(err, kind.ErrRefused) {
		t.logger(k, nil).Warn("something of a deleted transfer task may be left at its destination", "place", m.place(), "error", err)
	}
}

// since returns for how long a batch has failed, from its first failure or from when
// its owner started the task.
func (d *delivery) since(i *Intent) time.Duration {
	return d.opts.Now().Sub(time.UnixMilli(max(i.Failed, d.row.Started)))
}
