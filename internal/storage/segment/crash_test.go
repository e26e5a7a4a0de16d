package segment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"disd/internal/storage"
	"disd/internal/storage/storagetest"
	"disd/internal/storage/vfs"
	"disd/internal/storage/vfs/errfs"
)

var ctx = context.Background()

// tiny has files so small that a few records fill them.
func tiny(fs vfs.FS) Options {
	return Options{FS: fs, Dir: "data", CommitLogSize: 32 << 10, SegmentSize: 24 << 10, Large: 6 << 10, IdleFlush: -1}
}

// A promise is what a log's user was told.
type promise struct {
	recs   []storage.Record // acknowledged, from 0 on
	maybe  []storage.Record // appended, outcome unknown
	oldest storage.Seq      // acknowledged trim
	trying storage.Seq      // trim whose outcome is unknown, or oldest
	there  bool             // the log exists for sure
	gone   bool             // it does not for sure
}

// ledger notes what an engine promised. It can be copied at any moment.
type ledger struct {
	mu   sync.Mutex
	logs map[storage.LogID]promise
}

func (l *ledger) set(id storage.LogID, change func(*promise)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.logs[id]
	change(&p)
	l.logs[id] = p
}

func (l *ledger) copy() *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &ledger{logs: maps.Clone(l.logs)}
}

// user works with an engine and notes what it is told.
type user struct {
	t   *testing.T
	e   *Engine
	rng *rand.Rand
	*ledger
}

// definite reports whether an error says for sure that nothing happened.
func definite(err error) bool { return err != nil && !errors.Is(err, storage.ErrUnknown) }

// persist calls f until it succeeds. One fault may fail it once, and while the
// engine recovers from that, once more.
func (u *user) persist(what string, f func() error) {
	var errs []error
	for range 3 {
		err := f()
		if err == nil {
			return
		}
		errs = append(errs, err)
	}
	u.t.Fatalf("%s: %v", what, errors.Join(errs...))
}

func (u *user) create(id storage.LogID) {
	u.set(id, func(p *promise) { *p = promise{} })
	u.persist("create", func() error {
		err := u.e.Create(ctx, id)
		u.set(id, func(p *promise) { p.there, p.gone = err == nil, definite(err) })
		return err
	})
}

func (u *user) remove(id storage.LogID) {
	u.set(id, func(p *promise) { p.there = false })
	u.persist("remove", func() error {
		err := u.e.Remove(ctx, id)
		u.set(id, func(p *promise) { p.there, p.gone = definite(err), err == nil })
		return err
	})
	u.set(id, func(p *promise) { *p = promise{gone: true} })
}

func (u *user) trim(id storage.LogID, seq storage.Seq) {
	l := u.open(id)
	u.set(id, func(p *promise) { p.trying = seq })
	u.persist("trim", func() error { return l.Trim(ctx, seq) })
	u.set(id, func(p *promise) { p.oldest = seq })
}

func (u *user) open(id storage.LogID) storage.Log {
	l, err := u.e.Open(ctx, id)
	if err != nil {
		u.t.Fatal(err)
	}
	return l
}

func (u *user) append(ids ...storage.LogID) {
	u.persist("append", func() error {
		batches := make([]*storage.Batch, len(ids))
		for i, id := range ids {
			recs := storagetest.Records(u.rng, 1+u.rng.IntN(4), 1500)
			batches[i] = &storage.Batch{Log: u.open(id), Records: recs}
			u.set(id, func(p *promise) { p.maybe = recs })
		}
		u.e.Append(ctx, batches)
		var err error
		for i, b := range batches {
			u.set(ids[i], func(p *promise) { u.outcome(p, b) })
			err = errors.Join(err, b.Err)
		}
		return err
	})
}

func (u *user) outcome(p *promise, b *storage.Batch) {
	switch {
	case b.Err == nil && b.First != storage.Seq(len(p.recs)):
		u.t.Errorf("number %d given to record %d of %s", b.First, len(p.recs), b.Log.ID())
	case b.Err == nil:
		p.recs = append(slices.Clip(p.recs), b.Records...)
		p.maybe = nil
	case definite(b.Err):
		p.maybe = nil
	}
}

// exercise does a bit of everything, across two runs of the engine.
func exercise(t *testing.T, fs vfs.FS, notes *ledger) {
	u := &user{t: t, rng: rand.New(rand.NewPCG(9, 9)), ledger: notes}
	a, b, c := storagetest.ID(0), storagetest.ID(1), storagetest.ID(2)
	for run := range 2 {
		u.e = mustOpen(t, fs)
		if run == 0 {
			u.create(a)
			u.create(b)
		}
		u.create(c)
		for i := range 5 {
			u.append(a)
			u.append(a, b)
			u.append(c, b)
			if i%3 == 2 {
				u.trim(b, storage.Seq(len(u.logs[b].recs)-3))
			}
			if i == 3 {
				u.remove(c)
				u.create(c)
			}
		}
		u.trim(a, storage.Seq(len(u.logs[a].recs)))
		u.append(a)
		u.remove(c)
		if err := u.e.Close(); err != nil && !errors.Is(err, errfs.ErrInjected) && !errors.Is(err, storage.ErrUnavailable) {
			t.Fatal(err)
		}
	}
}

// mustOpen opens an engine; a fault may fail that once.
func mustOpen(t *testing.T, fs vfs.FS) *Engine {
	t.Helper()
	e, err := Open(tiny(fs))
	if errors.Is(err, errfs.ErrInjected) {
		e, err = Open(tiny(fs))
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// checkRestart opens what is on a disk, compares it with what was promised,
// appends, and does both again.
func checkRestart(t *testing.T, what string, disk *vfs.Mem, notes *ledger) {
	t.Helper()
	u := &user{t: t, rng: rand.New(rand.NewPCG(1, 1)), ledger: notes.copy()}
	for round := range 2 {
		var err error
		if u.e, err = Open(tiny(disk)); err != nil {
			t.Fatalf("%s: open: %v", what, err)
		}
		for id := range u.logs {
			if err := u.check(id); err != nil {
				t.Fatalf("%s: restart %d: %v", what, round, err)
			}
		}
		for id := range u.logs {
			if u.logs[id].there {
				u.append(id)
			}
		}
		if err := u.e.Close(); err != nil {
			t.Fatalf("%s: close: %v", what, err)
		}
	}
}

// check compares a log with its promise, and then takes what it found for
// promised.
func (u *user) check(id storage.LogID) error {
	p := u.logs[id]
	l, err := u.e.Open(ctx, id)
	if errors.Is(err, storage.ErrNotFound) && !p.there {
		u.logs[id] = promise{gone: true}
		return nil
	}
	if err != nil || p.gone {
		return fmt.Errorf("%s: there %t, gone %t: %w", id, p.there, p.gone, err)
	}
	oldest, next := l.Bounds()
	if oldest < p.oldest || oldest > max(p.oldest, p.trying) {
		return fmt.Errorf("%s: oldest is %d, want %d or %d", id, oldest, p.oldest, p.trying)
	}
	if int(next) == len(p.recs)+len(p.maybe) {
		p.recs = append(slices.Clip(p.recs), p.maybe...)
	}
	if int(next) != len(p.recs) {
		return fmt.Errorf("%s: next is %d, want %d or %d more", id, next, len(p.recs), len(p.maybe))
	}
	got, err := storagetest.All(l)
	if err != nil || len(got) != int(next-oldest) {
		return fmt.Errorf("%s: %d of %d records: %w", id, len(got), next-oldest, err)
	}
	for i := range got {
		if !storagetest.Equal(&got[i], &p.recs[int(oldest)+i]) {
			return fmt.Errorf("%s: record %d is not what was appended", id, int(oldest)+i)
		}
	}
	u.logs[id] = promise{recs: p.recs, oldest: oldest, there: true}
	return nil
}

// afterwards checks what is left when the process dies, and when the power
// goes with it, with none, or some, of the unsynced blocks surviving.
func afterwards(t *testing.T, what string, seed int, disk *vfs.Mem, notes *ledger, some int) {
	all := func() bool { return true }
	checkRestart(t, what+", process died", disk.Crash(all), notes)
	checkRestart(t, what+", nothing unsynced kept", disk.Crash(nil), notes)
	for i := range some {
		coin := rand.New(rand.NewPCG(uint64(seed), uint64(i)))
		keep := func() bool { return coin.IntN(3) > i%3 }
		checkRestart(t, fmt.Sprintf("%s, coin %d", what, i), disk.Crash(keep), notes)
	}
}

func TestEveryFault(t *testing.T) {
	t.Parallel()
	for n := 0; ; n++ {
		disk, fault, notes := vfs.NewMem(), errfs.At(n), &ledger{logs: map[storage.LogID]promise{}}
		exercise(t, errfs.Wrap(disk, fault), notes)
		if !fault.Fired() {
			t.Logf("%d calls", n)
			return
		}
		afterwards(t, fmt.Sprintf("fault %d", n), n, disk, notes, 1)
	}
}

func TestEveryCrash(t *testing.T) {
	t.Parallel()
	disk, notes := vfs.NewMem(), &ledger{logs: map[storage.LogID]promise{}}
	disk.Block = 4096
	type crash struct {
		what  string
		call  int
		disk  *vfs.Mem
		notes *ledger
	}
	crashes := make(chan crash)
	hook := func(n int, op, name string) {
		switch op {
		case "open", "read", "size", "readdir", "free":
			return // nothing was changed since the call before
		}
		before := notes.copy() // before the disk, which may only be ahead
		crashes <- crash{fmt.Sprintf("crash before call %d, %s %s", n, op, name), n, disk.Clone(), before}
	}
	go func() {
		defer close(crashes)
		exercise(t, errfs.Wrap(disk, errfs.None().OnCall(hook)), notes)
	}()
	for c := range crashes {
		afterwards(t, c.what, c.call, c.disk, c.notes, 2)
	}
}
