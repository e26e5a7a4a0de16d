package memory

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"disd/internal/storage"
	"disd/internal/storage/storagetest"
)

// TestRestored holds an engine that was restored to the contract of all engines.
func TestRestored(t *testing.T) {
	storagetest.Run(t, func(_ *testing.T, clock *storagetest.Clock) storage.Engine {
		return Restore(Options{Now: clock.Now}, Open(Options{Now: clock.Now}).Snapshot())
	})
}

func open(t *testing.T, e *Engine, id storage.LogID) storage.Log {
	t.Helper()
	log, err := e.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func put(t *testing.T, e *Engine, id storage.LogID, data ...string) {
	t.Helper()
	for _, d := range data {
		b := &storage.Batch{Log: open(t, e, id), Records: []storage.Record{{Data: []byte(d)}}}
		e.Append(t.Context(), []*storage.Batch{b})
		if b.Err != nil {
			t.Fatal(b.Err)
		}
	}
}

// content is what a log holds: its bounds and its records.
func content(t *testing.T, e *Engine, id storage.LogID) string {
	t.Helper()
	log := open(t, e, id)
	oldest, next := log.Bounds()
	var c storage.Chunk
	if err := log.Read(t.Context(), oldest, storage.Limit{Records: 100, Bytes: 1 << 20}, &c); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(oldest, "-", next)
	for _, r := range c.Records {
		text += fmt.Sprintf(" %d:%s", r.Seq, r.Data)
	}
	return text
}

func TestSnapshot(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	opts := Options{Now: func() time.Time { return now }, Max: 1 << 20}
	e := Open(opts)
	id, other := storagetest.ID(0), storagetest.ID(1)
	for _, id := range []storage.LogID{id, other} {
		if err := e.Create(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	put(t, e, id, "a", "b", "c")
	if err := open(t, e, id).Trim(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	s := e.Snapshot()
	if s.Records() != 2 || s.Size() != e.used.Load() {
		t.Errorf("%d records of %d bytes, the engine has %d", s.Records(), s.Size(), e.used.Load())
	}
	put(t, e, id, "later")
	one, two := Restore(opts, s), Restore(opts, s)
	now = now.Add(-time.Hour) // restored to an earlier time
	put(t, one, id, "one")
	put(t, two, id, "two", "three")
	for _, tt := range []struct {
		e    *Engine
		want string
	}{{e, "1-4 1:b 2:c 3:later"}, {one, "1-4 1:b 2:c 3:one"}, {two, "1-5 1:b 2:c 3:two 4:three"}, {Restore(opts, s), "1-3 1:b 2:c"}} {
		if got := content(t, tt.e, id); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
		if got := content(t, tt.e, other); got != "0-0" {
			t.Errorf("the other log has %s", got)
		}
	}
	if last, _ := one.Snapshot().Log(id); last.Last != 1_000_000 {
		t.Errorf("append times go back to %d", last.Last)
	}
	one.Retire()
	if _, err := one.Open(t.Context(), id); !errors.Is(err, storage.ErrNotFound) || one.used.Load() != 0 {
		t.Errorf("after Retire: %v, %d bytes", err, one.used.Load())
	}
	if got := content(t, two, id); got != "1-5 1:b 2:c 3:two 4:three" {
		t.Errorf("the retirement of one engine changed another: %s", got)
	}
}

func TestFill(t *testing.T) {
	e := Open(Options{Max: 1 << 20})
	id := storagetest.ID(0)
	record := func(seq storage.Seq, at int64) storage.Record {
		return storage.Record{Seq: seq, AppendTime: at, Data: []byte("x")}
	}
	if err := e.Fill(t.Context(), id, LogState{}); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("without a log: %v", err)
	}
	if err := e.Create(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		state LogState
		want  error
	}{
		{LogState{Oldest: 5, Records: []storage.Record{record(5, 1), record(7, 1)}, Last: 1}, storage.ErrInvalid},
		{LogState{Oldest: 5, Records: []storage.Record{record(5, 2), record(6, 1)}, Last: 2}, storage.ErrInvalid},
		{LogState{Oldest: 5, Records: []storage.Record{record(5, 2)}, Last: 1}, storage.ErrInvalid},
		{LogState{Records: []storage.Record{{Data: make([]byte, 2<<20)}}}, storage.ErrUnavailable},
		{LogState{Oldest: 5, Records: []storage.Record{record(5, 1), record(6, 1), record(7, 3)}, Last: 3}, nil},
		{LogState{}, storage.ErrExists},
	} {
		if err := e.Fill(t.Context(), id, tt.state); !errors.Is(err, tt.want) {
			t.Errorf("%+v: %v, want %v", tt.state, err, tt.want)
		}
	}
	put(t, e, id, "y")
	if got := content(t, e, id); got != "5-9 5:x 6:x 7:x 8:y" {
		t.Errorf("got %s", got)
	}
	b := &storage.Batch{Log: open(t, e, id), Records: []storage.Record{{}}}
	at := time.Now().Add(time.Hour)
	if e.Append(At(t.Context(), at), []*storage.Batch{b}); b.Err != nil || b.AppendTime != at.UnixMilli() {
		t.Errorf("dated %d, %v", b.AppendTime, b.Err)
	}
}
