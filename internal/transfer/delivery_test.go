package transfer

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/storage/catalog/file"
	"disd/internal/storage/memory"
	"disd/internal/transfer/kind"
)

// A place is a destination, its bucket and its stream in one, set by a test.
type place struct {
	kind.Plain
	kind.Common
	kind.InBucket
	kind.Any

	fails     error // Deliver
	there     bool  // Delivered
	columns   []kind.Column
	unasked   error // Columns
	delivered int
	objects   map[string]string
}

func (p *place) Place() []string                                      { return []string{"here"} }
func (p *place) Suits(kind.Stream) error                              { return nil }
func (p *place) Form(*kind.Batch) (kind.Form, error)                  { return p, nil }
func (p *place) Check(context.Context, kind.Target) error             { return nil }
func (p *place) Open(context.Context, kind.Target) (kind.Sink, error) { return p, nil }
func (p *place) Columns(context.Context) ([]kind.Column, error)       { return p.columns, p.unasked }
func (p *place) Delivered(context.Context, kind.Batch) (bool, error)  { return p.there, nil }
func (p *place) Deliver(context.Context, kind.Batch) (kind.Receipt, error) {
	if p.fails == nil {
		p.delivered++
	}
	return kind.Receipt{}, p.fails
}
func (p *place) Put(_ context.Context, _, key string, content []byte) error {
	p.objects[key] = string(content)
	return nil
}
func (p *place) Has(_ context.Context, _, key string) (bool, error) {
	_, there := p.objects[key]
	return there, nil
}
func (p *place) Bucket(context.Context, string) error          { return nil }
func (p *place) Abandon(context.Context, string, string) error { return nil }
func (p *place) Delete(context.Context, string, string) error  { return nil }

func (p *place) Add(r storage.Record) error {
	if string(r.Data) == "bad" {
		return errors.New("it is bad")
	}
	return nil
}

func (p *place) Describe(string) (kind.Stream, error) {
	return kind.Stream{ID: "s", Name: "s", Project: "p", Partitions: []kind.PartitionState{kind.Active}}, nil
}
func (p *place) Exists(catalog.Tx, string) error { return nil }

// setOut returns an attempt of a task with a log of five records, the last of which
// is bad.
func setOut(t *testing.T, p *place) *delivery {
	t.Helper()
	db, err := file.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	engine := memory.Open(memory.Options{})
	t.Cleanup(func() { engine.Close() })
	id := storage.LogID{Stream: "s"}
	if err := engine.Create(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	p.objects = make(map[string]string)
	p.Common, p.InBucket = kind.Common{TaskName: "t", Retry: "60"}, kind.InBucket{Bucket: "b"}
	tasks, err := Open(Options{
		DB: db, Streams: p, Logs: engine, Store: p, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Unix(1_000_000, 0) },
		Kinds: kind.Set{{
			Type: "HERE", Decode: func(kind.Descriptor) (kind.Settings, error) { return p, nil },
			ErrorDir: "error", Ext: ".txt", GivesUp: true, Opener: p,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := tasks.Create(t.Context(), "s", kind.Descriptor{Type: "HERE", Members: map[string]any{"task_name": "t"}}); err != nil {
		t.Fatal(err)
	}
	log, err := engine.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	b := &storage.Batch{Log: log}
	for _, data := range []string{"0", "1", "2", "3", "bad"} {
		b.Records = append(b.Records, storage.Record{Data: []byte(data)})
	}
	if engine.Append(t.Context(), []*storage.Batch{b}); b.Err != nil {
		t.Fatal(b.Err)
	}
	k, err := tasks.find("s", "t")
	if err != nil {
		t.Fatal(err)
	}
	return tasks.newDelivery(k, k.run(0), log)
}

// TestStates sets each state and looks where it leads, and what is recorded then.
func TestStates(t *testing.T) {
	failed := errors.New("not now")
	long := int64(1_000_000_000 - 60_000) // ms, when retry_duration is over
	for _, tt := range []struct {
		name    string
		at      state
		place   place
		intent  *Intent // of records 0 to 4, unless it says otherwise
		trimmed storage.Seq
		want    state
		err     error
		check   func(t *testing.T, d *delivery, p *place)
	}{
		{name: "a batch is recorded before anything is sent", at: announcing, want: aside, check: func(t *testing.T, d *delivery, _ *place) {
			if i := d.run.intent; i == nil || i.First != 0 || i.Last != 4 || i.Bad != 1 || i.Ceiling <= i.Floor {
				t.Errorf("intent %+v", i)
			}
		}},
		{name: "DLI-22 columns are recorded", at: announcing, place: place{columns: []kind.Column{{Name: "a"}}}, want: aside, check: func(t *testing.T, d *delivery, _ *place) {
			if len(d.run.intent.Columns) != 1 || len(d.batch.Columns) != 1 {
				t.Errorf("intent %+v", d.run.intent)
			}
		}},
		{name: "DLI-22 no answer is the first failure", at: announcing, place: place{unasked: failed}, want: ended, err: failed, check: func(t *testing.T, d *delivery, _ *place) {
			if d.run.intent == nil || d.run.intent.Failed == 0 {
				t.Errorf("intent %+v", d.run.intent)
			}
		}},
		{name: "what was removed is a gap", at: announcing, trimmed: 5, want: ended, check: func(t *testing.T, d *delivery, _ *place) {
			if p := d.run.position; p.Next != 5 || p.Discarded != 5 {
				t.Errorf("position %+v", p)
			}
		}},
		{name: "an intent is read again", at: resuming, intent: &Intent{}, want: aside},
		{name: "DLI-22 columns come late", at: resuming, intent: &Intent{}, place: place{columns: []kind.Column{{Name: "a"}}}, want: aside, check: func(t *testing.T, d *delivery, _ *place) {
			if len(d.run.intent.Columns) != 1 {
				t.Errorf("intent %+v", d.run.intent)
			}
		}},
		{name: "retention was first", at: resuming, intent: &Intent{}, trimmed: 1, want: overtaken},
		{name: "bad records are written", at: aside, intent: &Intent{}, want: offering, check: func(t *testing.T, d *delivery, p *place) {
			if len(p.objects) != 1 || d.discarded != 1 {
				t.Errorf("objects %v, %d discarded", p.objects, d.discarded)
			}
		}},
		{name: "nothing but bad records", at: aside, intent: &Intent{First: 4}, want: passing},
		{name: "the mark is kept", at: aside, intent: &Intent{Diverted: true}, want: diverting},
		{name: "the destination takes it", at: offering, intent: &Intent{}, want: passing},
		{name: "the destination fails", at: offering, intent: &Intent{}, place: place{fails: failed}, want: ended, err: failed, check: func(t *testing.T, d *delivery, _ *place) {
			if d.run.intent.Failed == 0 || d.run.intent.Diverted {
				t.Errorf("intent %+v", d.run.intent)
			}
		}},
		{name: "D-8 it has failed for long", at: offering, intent: &Intent{Failed: long}, place: place{fails: failed}, want: aside, check: func(t *testing.T, d *delivery, _ *place) {
			if !d.run.intent.Diverted || !errors.Is(d.cause, failed) {
				t.Errorf("intent %+v, cause %v", d.run.intent, d.cause)
			}
		}},
		{name: "D-8 but may have it", at: offering, intent: &Intent{Failed: long, Committing: true}, place: place{fails: failed, there: true}, want: ended, err: failed, check: func(t *testing.T, d *delivery, _ *place) {
			if d.run.intent.Diverted {
				t.Errorf("intent %+v", d.run.intent)
			}
		}},
		{name: "it is refused", at: offering, intent: &Intent{Failed: long}, place: place{fails: kind.ErrRefused}, want: ended, err: kind.ErrRefused},
		{name: "it is written to the error directory", at: diverting, intent: &Intent{Diverted: true}, want: passing, check: func(t *testing.T, d *delivery, p *place) {
			if len(p.objects) != 1 || d.discarded != 4 {
				t.Errorf("objects %v, %d discarded", p.objects, d.discarded)
			}
		}},
		{name: "overtaken, and there", at: overtaken, intent: &Intent{}, trimmed: 5, place: place{there: true}, want: passing},
		{name: "overtaken, and not there", at: overtaken, intent: &Intent{}, trimmed: 5, want: ended, check: func(t *testing.T, d *delivery, _ *place) {
			if d.run.intent != nil || d.run.position.Discarded != 5 {
				t.Errorf("%+v, %+v", d.run.intent, d.run.position)
			}
		}},
		{name: "the position moves", at: passing, intent: &Intent{Ceiling: 7}, want: ended, check: func(t *testing.T, d *delivery, _ *place) {
			if p := d.run.position; d.run.intent != nil || p.Next != 5 || p.Last != 4 || p.Floor != 7 {
				t.Errorf("%+v, %+v", d.run.intent, p)
			}
		}},
	} {
		t.Run(string(tt.at)+": "+tt.name, func(t *testing.T) {
			p := tt.place
			d := setOut(t, &p)
			if tt.intent != nil {
				i := *tt.intent
				i.Last, i.Zone, i.Version, i.Descriptor, i.Stream.Name = 4, "UTC", intentVersion, d.row.Descriptor, "s"
				records, err := readRange(t.Context(), d.log, i.First, i.Last)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(d.record(&i), d.assemble(&i, records)); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.log.Trim(t.Context(), tt.trimmed); err != nil {
				t.Fatal(err)
			}
			got, err := states[tt.at](d, t.Context())
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Fatalf("it leads to %s, %v, want %s, %v", got, err, tt.want, tt.err)
			}
			if tt.check != nil {
				tt.check(t, d, &p)
			}
		})
	}
}

// TestDeaths: a batch that ends the server again and again is made smaller, down to a
// record that is set aside.
func TestDeaths(t *testing.T) {
	p := &place{}
	d := setOut(t, p)
	if _, err := d.announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	var sizes []storage.Seq
	for range 3 * (deaths + 1) {
		d.run.resumed = true // as after a start, in which the last attempt did not end
		if _, err := d.resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, d.run.intent.Last+1)
	}
	if i := d.run.intent; i.Last != 0 || !i.Fatal || len(d.batch.spoiled) != 1 || sizes[2] != 5 || sizes[3] != 2 {
		t.Errorf("%v records were left, intent %+v, %d set aside", sizes, i, len(d.batch.spoiled))
	}
	if err := d.deliver(t.Context()); err != nil || d.run.position.Next != 1 {
		t.Errorf("%v, position %+v", err, d.run.position)
	}
	d = d.newDelivery(d.task, d.run, d.log)
	if err := d.deliver(t.Context()); err != nil || d.run.position.Next != 5 || p.delivered != 1 {
		t.Errorf("%v, position %+v", err, d.run.position)
	}
}

// An attempt that fails is none that ended the server.
func TestDeathsAreForgotten(t *testing.T) {
	p := &place{fails: errors.New("down")}
	d := setOut(t, p)
	d.m.kind.GivesUp = false
	for range 2 * (deaths + 1) {
		d = d.newDelivery(d.task, d.run, d.log)
		d.run.resumed = d.run.intent != nil
		if err := d.deliver(t.Context()); !errors.Is(err, p.fails) {
			t.Fatal(err)
		}
	}
	if i := d.run.intent; i.Starts != 0 || i.Last != 4 {
		t.Errorf("intent %+v", i)
	}
}
