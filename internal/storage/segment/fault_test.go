package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"disd/internal/storage"
	"disd/internal/storage/storagetest"
	"disd/internal/storage/vfs"
	"disd/internal/storage/vfs/errfs"
)

// eventually appends until the engine has recovered.
func (u *user) eventually(id storage.LogID) {
	for {
		recs := storagetest.Records(u.rng, 1, 1500)
		b := &storage.Batch{Log: u.open(id), Records: recs}
		u.set(id, func(p *promise) { p.maybe = recs })
		u.e.Append(ctx, []*storage.Batch{b})
		u.set(id, func(p *promise) { u.outcome(p, b) })
		if b.Err == nil {
			return
		}
		if !errors.Is(b.Err, storage.ErrUnavailable) {
			u.t.Fatal(b.Err)
		}
		signal(u.e.kick) // instead of the pause between attempts
		runtime.Gosched()
	}
}

// TestDeadDisk lets every call fail from some moment on: what was acknowledged
// can still be read, appends are refused. When the disk is back, so is the
// engine; when the power went instead, nothing is lost.
func TestDeadDisk(t *testing.T) {
	id := storagetest.ID(0)
	for n := range 25 {
		disk, fault := vfs.NewMem(), errfs.None()
		u := &user{t: t, rng: rand.New(rand.NewPCG(6, uint64(n))), ledger: &ledger{logs: map[storage.LogID]promise{}}}
		u.e = mustOpen(t, errfs.Wrap(disk, fault))
		u.create(id)
		for range 3 * n {
			u.append(id)
		}
		fault.Break()
		unknown := 0
		for refused := false; !refused; {
			recs := storagetest.Records(u.rng, 1, 1500)
			b := &storage.Batch{Log: u.open(id), Records: recs}
			u.set(id, func(p *promise) { p.maybe = recs })
			u.e.Append(ctx, []*storage.Batch{b})
			if b.Err == nil {
				t.Fatalf("an append succeeded on a dead disk")
			}
			refused = errors.Is(b.Err, storage.ErrUnavailable)
			if errors.Is(b.Err, storage.ErrUnknown) {
				unknown++
			}
		}
		if unknown > 1 {
			t.Errorf("%d appends with an unknown outcome, the first should end it", unknown)
		}
		afterwards(t, fmt.Sprintf("dead after %d", n), n, disk, u.ledger, 2)
		fault.Heal()
		u.eventually(id)
		if err := u.e.Health(); err != nil {
			t.Errorf("health after recovery: %v", err)
		}
		if err := u.check(id); err != nil {
			t.Fatal(err)
		}
		u.append(id)
		if err := u.e.Close(); err != nil {
			t.Fatal(err)
		}
		afterwards(t, fmt.Sprintf("healed after %d", n), n, disk, u.ledger, 2)
	}
}

// TestOneBadDirectory lets the flush of one log fail on and on: its appends
// are refused in the end, the other log does not notice, and once the trouble
// is over nothing is missing.
func TestOneBadDirectory(t *testing.T) {
	bad, good, gone := storagetest.ID(0), storagetest.ID(1), storagetest.ID(2)
	disk := vfs.NewMem()
	fs := &blockedFS{FS: disk, name: "data/" + logDir(bad), blocked: true}
	u := &user{t: t, rng: rand.New(rand.NewPCG(6, 6)), ledger: &ledger{logs: map[storage.LogID]promise{}}}
	u.e = mustOpen(t, fs)
	u.create(bad)
	u.create(good)
	u.create(gone)
	u.append(gone)
	var last *storage.Batch
	for last == nil || last.Err == nil {
		last = &storage.Batch{Log: u.open(bad), Records: storagetest.Records(u.rng, 2, 1500)}
		u.e.Append(ctx, []*storage.Batch{last})
		u.set(bad, func(p *promise) { u.outcome(p, last) })
	}
	if !errors.Is(last.Err, storage.ErrUnavailable) {
		t.Fatal(last.Err)
	}
	if u.e.Health() == nil {
		t.Error("healthy while a log refuses records")
	}
	for range 100 {
		u.append(good)
	}
	u.remove(gone) // its creation stays in the file that bad's records are in
	for range 100 {
		u.append(good)
	}
	for _, id := range []storage.LogID{bad, good} {
		if err := u.copyFor(u).check(id); err != nil {
			t.Error(err)
		}
	}
	afterwards(t, "one log cannot be flushed", 1, disk, u.ledger, 2)
	fs.unblock()
	u.eventually(bad)
	if err := u.e.Health(); err != nil {
		t.Error(err)
	}
	if err := u.e.Close(); err != nil {
		t.Fatal(err)
	}
	afterwards(t, "all is well again", 1, disk, u.ledger, 2)
	if names, _ := disk.ReadDir("data"); len(names) > 6 {
		t.Errorf("files are left behind: %v", names)
	}
}

func (u *user) copyFor(of *user) *user {
	return &user{t: of.t, e: of.e, rng: of.rng, ledger: of.ledger.copy()}
}

// blockedFS refuses to make, or rename to, one name while it is blocked.
type blockedFS struct {
	vfs.FS
	name    string
	mu      sync.Mutex
	blocked bool
}

func (b *blockedFS) unblock() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.blocked = false
}

func (b *blockedFS) check(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.blocked && name == b.name {
		return errfs.ErrInjected
	}
	return nil
}

func (b *blockedFS) Mkdir(name string) error {
	if err := b.check(name); err != nil {
		return err
	}
	return b.FS.Mkdir(name)
}

func (b *blockedFS) Rename(oldName, newName string) error {
	if err := b.check(newName); err != nil {
		return err
	}
	return b.FS.Rename(oldName, newName)
}

// unflushed opens an engine that cannot replace the manifest, so that all it
// does stays in the commit log.
func unflushed(t *testing.T, disk *vfs.Mem, sync Sync) *Engine {
	t.Helper()
	o := roomyOn(disk)
	o.FS = &blockedFS{FS: disk, name: "data/manifest", blocked: true}
	o.Sync, o.CommitLogSize = sync, 128<<10
	e, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestCrashAfterCrash kills one engine after the other before any of them can
// flush. The end of each commit log file is torn, with or without a whole
// group behind; the files after it say that this was dropped, not damaged.
func TestCrashAfterCrash(t *testing.T) {
	id := storagetest.ID(0)
	disk, _, notes := still(t, roomy(), func(u *user) {
		u.create(id)
		u.append(id)
	})
	for round := range 6 {
		sync, torn := SyncAlways, 1
		if round%2 == 1 {
			sync, torn = SyncOff, 2
		}
		u := &user{t: t, e: unflushed(t, disk, sync), rng: rand.New(rand.NewPCG(2, uint64(round))), ledger: notes}
		if err := u.check(id); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		u.append(id)
		u.append(id)
		kept := u.logs[id]
		for range torn {
			u.append(id)
		}
		u.logs[id] = kept
		disk = disk.Clone()
		if err := u.e.Close(); err == nil {
			t.Error("closing said nothing about the flush that failed")
		}
		tear(t, disk, torn)
		r, err := recoverDir(disk, "data")
		if err != nil || len(r.damage) > 0 || len(r.files) < round+2 {
			t.Fatalf("round %d: %d files, %v, %v", round, len(r.files), r.damage, err)
		}
	}
	checkRestart(t, "in the end", disk, notes)
}

// tear damages the n-th last group of the newest commit log file that has any.
func tear(t *testing.T, disk *vfs.Mem, n int) {
	t.Helper()
	r, err := recoverDir(disk, "data")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range slices.Backward(r.files) {
		if len(c.groups) > 0 {
			g := &c.groups[len(c.groups)-n]
			alter(t, disk, c.name, content(g)-100, content(g), zero)
			return
		}
	}
}

// TestFindBesideTrimmed looks for a time between a trim and the flush that takes
// the trimmed segment off the list, when its file is deleted.
func TestFindBesideTrimmed(t *testing.T) {
	id := storagetest.ID(0)
	disk, _, _ := still(t, tiny(nil), func(u *user) {
		u.create(id)
		for range 40 {
			u.append(id)
		}
	})
	e := mustOpen(t, disk)
	l, err := e.Open(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	v, err := l.(*log).view()
	if err != nil || len(v.segs) < 2 {
		t.Fatal(len(v.segs), err)
	}
	first := v.segs[0]
	v.oldest = first.next
	if err := disk.Remove(first.name); err != nil {
		t.Fatal(err)
	}
	if seq, err := v.find(disk, 0); err != nil || seq != first.next {
		t.Errorf("found %d, %v, want %d", seq, err, first.next)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestAbandonedSegment fails the sync of a segment that holds records already.
// It is not written any more: its records stay, new ones go to another file.
func TestAbandonedSegment(t *testing.T) {
	id := storagetest.ID(0)
	first := path.Join("data", logDir(id), segmentName(0))
	_, disk, notes := still(t, roomy(), func(u *user) {
		u.create(id)
		u.append(id)
	})
	old := storage.Seq(len(notes.logs[id].recs))
	before, err := vfs.ReadFile(disk, first)
	if err != nil {
		t.Fatal(err)
	}
	fault := errfs.On(func(op, name string) bool { return op == "sync" && name == first })
	u := &user{t: t, e: mustOpen(t, errfs.Wrap(disk, fault)), rng: rand.New(rand.NewPCG(2, 2)), ledger: notes}
	u.append(id)
	if err := u.e.Close(); err != nil || !fault.Fired() {
		t.Fatal(err, fault.Fired())
	}
	r := mustInspect(t, disk)
	if s := r.Logs[0].Segments; len(s) != 2 || s[0].Next != old || s[1].Base != old {
		t.Errorf("segments: %+v", s)
	}
	after, err := vfs.ReadFile(disk, first)
	if end := r.Logs[0].Segments[0].Bytes; err != nil || !bytes.Equal(after[:end], before[:end]) {
		t.Errorf("the abandoned file changed: %v", err)
	}
	checkRestart(t, "afterwards", disk, notes)
}

// TestSeenIsKept starts an engine on what another one had written but not
// synced when it was killed. What it shows to readers must be there even when
// the power fails next.
func TestSeenIsKept(t *testing.T) {
	id := storagetest.ID(0)
	o := roomy()
	o.Sync = SyncOff
	disk, _, notes := still(t, o, func(u *user) {
		u.create(id)
		u.append(id)
		u.append(id)
	})
	u := &user{t: t, e: unflushed(t, disk, SyncAlways), ledger: notes}
	if err := u.check(id); err != nil {
		t.Fatal(err)
	}
	afterwards(t, "seen", 1, disk, notes, 5)
	u.e.Close()
}

// TestFullDisk fills a small disk: an append is refused before it is
// acknowledged, not when it is to be flushed, and when there is room again
// everything goes on.
func TestFullDisk(t *testing.T) {
	a, b := storagetest.ID(0), storagetest.ID(1)
	disk := vfs.NewMem()
	disk.SetCapacity(2 << 20)
	u := &user{t: t, rng: rand.New(rand.NewPCG(6, 6)), ledger: &ledger{logs: map[storage.LogID]promise{}}}
	u.e = mustOpen(t, disk)
	u.create(a)
	u.create(b)
	refused := func() error {
		for i := 0; ; i++ {
			id := []storage.LogID{a, b}[i%2]
			batch := &storage.Batch{Log: u.open(id), Records: storagetest.Records(u.rng, 3, 3000)}
			u.e.Append(ctx, []*storage.Batch{batch})
			u.set(id, func(p *promise) { u.outcome(p, batch) })
			if batch.Err != nil {
				return batch.Err
			}
		}
	}
	for round := range 3 {
		var health error
		for health == nil { // again if a flush took less than was set aside for it
			if err := refused(); !errors.Is(err, storage.ErrUnavailable) {
				t.Fatal(err)
			}
			health = u.e.Health()
		}
		if !errors.Is(health, storage.ErrUnavailable) {
			t.Errorf("health of a full disk: %v", health)
		}
		for _, id := range []storage.LogID{a, b} {
			if err := u.copyFor(u).check(id); err != nil {
				t.Fatal(err)
			}
		}
		// What was acknowledged does get to its segments.
		if err := u.e.Close(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if n := u.e.Stats().FlushErrors; n > 0 {
			t.Errorf("%d flushes failed", n)
		}
		disk.SetCapacity(int64(3+round) << 20)
		u.e = mustOpen(t, disk)
	}
	for _, id := range []storage.LogID{a, b} {
		if err := u.check(id); err != nil {
			t.Fatal(err)
		}
		// Trimming makes room again.
		p := u.logs[id]
		u.trim(id, storage.Seq(len(p.recs)))
	}
	if err := u.e.Close(); err != nil {
		t.Fatal(err)
	}
	u.e = mustOpen(t, disk)
	u.append(a, b)
	if err := u.e.Health(); err != nil {
		t.Error(err)
	}
	if err := u.e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCrashWithoutSync pulls the plug of engines that acknowledge before they
// sync: what is found is the beginning of what was appended, without a hole,
// and is not called damage.
func TestCrashWithoutSync(t *testing.T) {
	t.Parallel()
	for _, mode := range []Sync{SyncInterval, SyncOff} {
		for seed := range uint64(40) {
			crashWithoutSync(t, mode, seed)
		}
	}
}

func crashWithoutSync(t *testing.T, mode Sync, seed uint64) {
	a, b := storagetest.ID(0), storagetest.ID(1)
	o := tiny(nil)
	o.Sync = mode
	durable := map[storage.LogID]storage.Seq{}
	disk, _, notes := still(t, o, func(u *user) {
		u.create(a)
		u.create(b)
		for range 5 + seed {
			u.append(a)
			u.append(b, a)
		}
		for _, id := range []storage.LogID{a, b} {
			durable[id] = u.open(id).Durable()
		}
	})
	coin := rand.New(rand.NewPCG(1, seed))
	after := disk.Crash(func() bool { return coin.IntN(5) > 0 })
	for range 2 {
		e := mustOpen(t, after)
		if !e.MayHaveLost() {
			t.Error("nothing says that records may have been lost")
		}
		for _, id := range []storage.LogID{a, b} {
			checkPrefix(t, e, id, notes.logs[id].recs)
			if l, err := e.Open(ctx, id); err != nil || l.Durable() < durable[id] {
				t.Errorf("%v: %d were durable, now %d: %v", id, durable[id], l.Durable(), err)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDurableEnd follows the durable end of a log in each mode, and what is said
// of a loss when the engine was killed or closed then.
func TestDurableEnd(t *testing.T) {
	a, b := storagetest.ID(0), storagetest.ID(1)
	for _, mode := range []Sync{SyncAlways, SyncInterval, SyncOff} {
		o := roomy()
		o.Sync, o.SyncInterval = mode, time.Hour
		killed, closed, _ := still(t, o, func(u *user) {
			want := func(id storage.LogID, n int) {
				t.Helper()
				if mode == SyncAlways {
					n = len(u.logs[id].recs)
				}
				if have := u.open(id).Durable(); have != storage.Seq(n) {
					t.Errorf("sync %d: %d records of %v are durable, want %d", mode, have, id, n)
				}
			}
			u.create(a)
			u.append(a)
			want(a, 0)
			u.create(b) // is synced, and all before it
			n := len(u.logs[a].recs)
			want(a, n)
			u.append(a)
			u.append(b)
			want(a, n)
			want(b, 0)
		})
		for disk, lossy := range map[*vfs.Mem]bool{killed: mode != SyncAlways, closed: false} {
			for range 2 { // the second after nobody settled it
				e := mustOpen(t, disk)
				if e.MayHaveLost() != lossy {
					t.Errorf("sync %d: may have lost: %t", mode, !lossy)
				}
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
			}
			e := mustOpen(t, disk)
			e.LossSettled()
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			if e = mustOpen(t, disk); e.MayHaveLost() {
				t.Error("what is settled is lost again")
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestControlIsAlwaysSynced pulls the plug right after logs were created,
// trimmed and removed, several files after the last sync for records, and
// nothing that was not synced survives.
func TestControlIsAlwaysSynced(t *testing.T) {
	a, b := storagetest.ID(0), storagetest.ID(1)
	for _, mode := range []Sync{SyncAlways, SyncInterval, SyncOff} {
		for name, change := range map[string]func(*user){
			"create": func(u *user) { u.create(b) },
			"trim":   func(u *user) { u.trim(a, 1) },
			"remove": func(u *user) { u.remove(a) },
		} {
			disk, notes := vfs.NewMem(), &ledger{logs: map[storage.LogID]promise{}}
			o := tiny(disk)
			o.Sync, o.SyncInterval = mode, time.Hour
			e, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			u := &user{t: t, e: e, rng: rand.New(rand.NewPCG(3, 3)), ledger: notes}
			u.create(a)
			for range 20 {
				u.append(a)
			}
			change(u)
			checkRestart(t, fmt.Sprintf("sync %d, %s", mode, name), disk.Crash(nil), notes.copy())
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func checkPrefix(t *testing.T, e *Engine, id storage.LogID, want []storage.Record) {
	t.Helper()
	l, err := e.Open(ctx, id)
	if errors.Is(err, storage.ErrNotFound) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := storagetest.All(l)
	if err != nil || len(got) > len(want)+1 {
		t.Fatalf("%d records, want at most %d: %v", len(got), len(want), err)
	}
	for i := range min(len(got), len(want)) {
		if !storagetest.Equal(&got[i], &want[i]) {
			t.Fatalf("record %d is not what was appended", i)
		}
	}
	last := []*storage.Batch{{Log: l, Records: want[len(got) : len(got)+1]}}
	if len(got) < len(want) {
		e.Append(ctx, last)
		if last[0].Err != nil {
			t.Fatal(last[0].Err)
		}
	}
}

func TestLock(t *testing.T) {
	for _, fs := range []vfs.FS{vfs.OS, vfs.NewMem()} {
		o := Options{FS: fs, Dir: "data", CommitLogSize: 1 << 20}
		if fs == vfs.OS {
			o.Dir = t.TempDir() + "/data"
		}
		e, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(o); !errors.Is(err, vfs.ErrLocked) {
			t.Errorf("second engine: %v", err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if e, err = Open(o); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRemovedDuringFlush removes a log while its records are on the way to a
// segment, and pulls the plug before that file is deleted: the next engine does.
func TestRemovedDuringFlush(t *testing.T) {
	id := storagetest.ID(0)
	dir := "data/" + logDir(id)
	disk := vfs.NewMem()
	hold, held := make(chan struct{}), make(chan struct{})
	after := make(chan *vfs.Mem, 1)
	var armed atomic.Bool
	hook := func(_ int, op, name string) {
		switch {
		case op == "open" && strings.HasPrefix(name, dir+"/") && armed.CompareAndSwap(true, false):
			held <- struct{}{}
			<-hold
		case op == "remove" && strings.HasPrefix(name, dir):
			select {
			case after <- disk.Clone():
			default:
			}
		}
	}
	u := &user{t: t, rng: rand.New(rand.NewPCG(7, 7)), ledger: &ledger{logs: map[storage.LogID]promise{}}}
	u.e = mustOpen(t, errfs.Wrap(disk, errfs.None().OnCall(hook)))
	u.create(id)
	for spare := false; !spare; { // a file for the removal
		u.append(id)
		u.e.mu.Lock()
		spare = u.e.spare != nil && len(u.e.sealed) == 0
		u.e.roll = spare
		armed.Store(spare)
		u.e.mu.Unlock()
	}
	signal(u.e.wake)
	<-held
	u.remove(id)
	close(hold)
	e := mustOpen(t, <-after)
	if err := errors.Join(u.e.Close(), e.Close()); err != nil {
		t.Fatal(err)
	}
	if names, err := e.opt.FS.ReadDir("data"); err != nil || slices.Contains(names, id.Stream+"/") {
		t.Errorf("files of the removed log are left behind: %v, %v", names, err)
	}
}

// TestAppendDuringLongFlush appends while a flush of many logs is under way and no
// commit log file is ready: one is made before the flush ends.
func TestAppendDuringLongFlush(t *testing.T) {
	const logs = wave + 1
	opened := 0
	var e *Engine
	hold, held := make(chan struct{}), make(chan struct{})
	var first, served atomic.Bool
	first.Store(true)
	var mu sync.Mutex
	hook := func(_ int, op, name string) {
		if op != "open" || !strings.HasSuffix(name, ".seg") {
			return
		}
		if first.CompareAndSwap(true, false) {
			held <- struct{}{}
			<-hold
		}
		mu.Lock()
		defer mu.Unlock()
		if opened++; opened == logs { // of the second wave
			e.mu.Lock()
			served.Store(e.want != wantNow || e.spare != nil)
			e.mu.Unlock()
		}
	}
	e, err := Open(Options{FS: errfs.Wrap(vfs.NewMem(), errfs.None().OnCall(hook)), Dir: "data", CommitLogSize: 32 << 20, IdleFlush: -1})
	if err != nil {
		t.Fatal(err)
	}
	u := &user{t: t, e: e, rng: rand.New(rand.NewPCG(8, 8)), ledger: &ledger{logs: map[storage.LogID]promise{}}}
	for i := range logs {
		u.create(storagetest.ID(i))
		u.append(storagetest.ID(i))
	}
	e.mu.Lock()
	e.roll = true
	e.mu.Unlock()
	signal(e.wake)
	<-held
	done := make(chan struct{})
	go func() {
		defer close(done)
		u.append(storagetest.ID(0))
	}()
	for waits := false; !waits; runtime.Gosched() {
		e.mu.Lock()
		waits = e.want == wantNow
		e.mu.Unlock()
	}
	close(hold)
	<-done
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if !served.Load() {
		t.Error("an append waited for the end of the flush")
	}
}

// TestBusy holds the disk still: appends queue up to a bound, then they are
// refused, and one that waits for its turn can be cancelled.
func TestBusy(t *testing.T) {
	id := storagetest.ID(0)
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	armed := false
	hook := func(_ int, op, _ string) {
		if armed && op == "write" {
			select {
			case held <- struct{}{}:
			default:
			}
			<-hold
		}
	}
	o := tiny(errfs.Wrap(vfs.NewMem(), errfs.None().OnCall(hook)))
	o.MaxPending = 20 << 10
	e, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Create(ctx, id); err != nil {
		t.Fatal(err)
	}
	l, err := e.Open(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	armed = true
	results := make(chan error, 100)
	short, cancel := context.WithCancel(ctx)
	one := func() {
		b := &storage.Batch{Log: l, Records: []storage.Record{{Data: make([]byte, 5000)}}}
		e.Append(short, []*storage.Batch{b})
		results <- b.Err
	}
	go one()
	<-held
	// One is being written, three fill the next group, four wait, the rest
	// is refused.
	const n = 20
	for range n {
		go one()
	}
	busy := 0
	for range n - 7 {
		if err := <-results; errors.Is(err, storage.ErrBusy) {
			busy++
		}
	}
	if busy != n-7 {
		t.Errorf("%d appends were refused, want %d", busy, n-7)
	}
	cancel()
	for range 4 {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("waiting and cancelled: %v", err)
		}
	}
	close(hold)
	for range 4 {
		if err := <-results; err != nil {
			t.Errorf("admitted: %v", err)
		}
	}
	if _, next := l.Bounds(); next != 4 {
		t.Errorf("%d records, want 4", next)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFullDiskCanBeEmptied fills a small disk to the last byte that appends are
// given: records and logs can be removed all the same, which is how it gets room
// again.
func TestFullDiskCanBeEmptied(t *testing.T) {
	a, b := storagetest.ID(0), storagetest.ID(1)
	for name, empty := range map[string]func(*user){
		"trim":   func(u *user) { u.trim(a, storage.Seq(len(u.logs[a].recs))) },
		"remove": func(u *user) { u.remove(a) },
	} {
		disk := vfs.NewMem()
		disk.SetCapacity(2 << 20)
		u := &user{t: t, rng: rand.New(rand.NewPCG(6, 6)), ledger: &ledger{logs: map[storage.LogID]promise{}}}
		u.e = mustOpen(t, disk)
		u.create(a)
		u.create(b)
		for size := 3000; size >= 0; { // large records first, then small ones
			batch := &storage.Batch{Log: u.open(a), Records: storagetest.Records(u.rng, 1, size+1)}
			u.e.Append(ctx, []*storage.Batch{batch})
			u.set(a, func(p *promise) { u.outcome(p, batch) })
			if batch.Err != nil {
				size -= 1000
			}
		}
		empty(u)
		u.eventually(b)
		if n := u.e.Stats().FlushErrors; n > 0 {
			t.Errorf("%s: %d flushes failed", name, n)
		}
		if err := u.e.Close(); err != nil {
			t.Fatal(err)
		}
		checkRestart(t, name, disk, u.ledger)
	}
}

// TestRoomIsNotTakenByTheCommitLog lets the committer want a third file while the
// flusher is behind, on a disk that has room for such a file or for what is to be
// flushed, but not for both. What was acknowledged comes first.
func TestRoomIsNotTakenByTheCommitLog(t *testing.T) {
	const file = 4 << 20
	a, gone := storagetest.ID(0), storagetest.ID(1)
	disk := vfs.NewMem()
	disk.SetCapacity(2*file + 7600<<10)
	var armed atomic.Bool
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	hook := func(_ int, op, name string) {
		if op == "rename" && strings.Contains(name, manifestName) && armed.CompareAndSwap(true, false) {
			held <- struct{}{}
			<-hold
		}
	}
	e, err := Open(Options{FS: errfs.Wrap(disk, errfs.None().OnCall(hook)), Dir: "data", CommitLogSize: file, IdleFlush: -1})
	if err != nil {
		t.Fatal(err)
	}
	u := &user{t: t, e: e, rng: rand.New(rand.NewPCG(6, 6)), ledger: &ledger{logs: map[storage.LogID]promise{}}}
	u.create(a)
	u.create(gone)
	put := func(bytes int) {
		for ; bytes > 0; bytes -= 100 << 10 {
			b := &storage.Batch{Log: u.open(a), Records: []storage.Record{{Data: make([]byte, 100<<10)}}}
			e.Append(ctx, []*storage.Batch{b})
			if b.Err != nil {
				t.Fatal(b.Err)
			}
		}
	}
	put(file / 2) // now a second file is made ready
	for ready := false; !ready; runtime.Gosched() {
		e.mu.Lock()
		ready = e.spare != nil
		e.mu.Unlock()
	}
	armed.Store(true)
	u.remove(gone)
	<-held
	put(file/2 + file*2/5)
	close(hold)
	for waiting := true; waiting && e.Stats().FlushErrors == 0; runtime.Gosched() {
		e.mu.Lock()
		waiting = len(e.sealed) > 0
		e.mu.Unlock()
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if n := e.Stats().FlushErrors; n > 0 {
		t.Errorf("%d flushes failed", n)
	}
}
