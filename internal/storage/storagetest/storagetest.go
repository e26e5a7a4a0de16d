// Package storagetest is what every storage.Engine must pass.
package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"disd/internal/storage"
)

// A Clock is a clock that tests move. It may be read while it moves.
type Clock struct{ ms atomic.Int64 }

// Now returns the time it is set to.
func (c *Clock) Now() time.Time { return time.UnixMilli(c.ms.Load()) }

// Set moves it, also backwards.
func (c *Clock) Set(ms int64) { c.ms.Store(ms) }

// Run checks that the engines which open returns keep the contract. Each call
// opens a new, empty engine, whose append times come from clock. Run closes it.
func Run(t *testing.T, open func(t *testing.T, clock *Clock) storage.Engine) {
	tests := []struct {
		name string
		run  func(*fixture)
	}{
		{"create, open, list and remove", (*fixture).testLife},
		{"append and read back", (*fixture).testReadBack},
		{"limits of one record", (*fixture).testRecordLimits},
		{"limits of a read", (*fixture).testReadLimits},
		{"read outside the bounds", (*fixture).testOutside},
		{"several logs in one append", (*fixture).testManyLogs},
		{"a bad batch beside a good one", (*fixture).testBadBatch},
		{"find by time", (*fixture).testFind},
		{"time never decreases", (*fixture).testTimeBackwards},
		{"trim", (*fixture).testTrim},
		{"trim under a reader", (*fixture).testTrimUnderReader},
		{"wait", (*fixture).testWait},
		{"wait for what is removed", (*fixture).testWaitRemoved},
		{"cancelled", (*fixture).testCancelled},
		{"remove and create again", (*fixture).testReborn},
		{"remove under appenders", (*fixture).testRemoveUnderAppend},
		{"many appenders, a chain of reads", (*fixture).testChain},
		{"the caller's memory", (*fixture).testAliasing},
		{"health and size", (*fixture).testHealth},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			clock := &Clock{}
			clock.Set(1_700_000_000_000)
			f := &fixture{T: t, clock: clock, Engine: open(t, clock)}
			test.run(f)
			if err := f.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

type fixture struct {
	*testing.T
	storage.Engine
	clock *Clock
}

var ctx = context.Background()

// ID returns the id of partition p of the stream that tests use.
func ID(p int) storage.LogID {
	return storage.LogID{Stream: "8QM3Nt9YTLOWtUVYJhO", Partition: int32(p)}
}

func (f *fixture) create(p int) storage.Log {
	f.Helper()
	if err := f.Create(ctx, ID(p)); err != nil {
		f.Fatal(err)
	}
	l, err := f.Open(ctx, ID(p))
	if err != nil {
		f.Fatal(err)
	}
	return l
}

func (f *fixture) append(l storage.Log, recs ...storage.Record) *storage.Batch {
	f.Helper()
	b := &storage.Batch{Log: l, Records: recs}
	f.Append(ctx, []*storage.Batch{b})
	if b.Err != nil {
		f.Fatalf("append to %s: %v", l.ID(), b.Err)
	}
	return b
}

func (f *fixture) wantErr(what string, err, want error) {
	f.Helper()
	if !errors.Is(err, want) {
		f.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func (f *fixture) wantBounds(l storage.Log, oldest, next storage.Seq) {
	f.Helper()
	if o, n := l.Bounds(); o != oldest || n != next {
		f.Errorf("bounds of %s are %d and %d, want %d and %d", l.ID(), o, n, oldest, next)
	}
	if d := l.Durable(); d > next {
		f.Errorf("of %s %d records are durable, there are %d", l.ID(), d, next)
	}
}

// All returns every record of l, read in pieces of different sizes. The
// records' memory is their own.
func All(l storage.Log) ([]storage.Record, error) {
	var all []storage.Record
	var c storage.Chunk
	seq, _ := l.Bounds()
	for i := 0; ; i++ {
		lim := storage.Limit{Records: 1 + i*7%50, Bytes: 1 << (i % 24), AtLeastOne: true}
		if err := l.Read(ctx, seq, lim, &c); err != nil {
			return all, err
		}
		if len(c.Records) == 0 {
			return all, nil
		}
		for _, r := range c.Records {
			if r.Seq != seq {
				return all, fmt.Errorf("read %s: record %d where %d was expected", l.ID(), r.Seq, seq)
			}
			r.Key, r.Info, r.Data = bytes.Clone(r.Key), bytes.Clone(r.Info), bytes.Clone(r.Data)
			all = append(all, r)
			seq++
		}
	}
}

func (f *fixture) all(l storage.Log) []storage.Record {
	f.Helper()
	all, err := All(l)
	if err != nil {
		f.Fatal(err)
	}
	return all
}

// Equal reports whether a and b have the same content: everything but Seq and
// AppendTime. No key and an empty key differ.
func Equal(a, b *storage.Record) bool {
	same := func(x, y []byte) bool { return (x == nil) == (y == nil) && bytes.Equal(x, y) }
	return a.Timestamp == b.Timestamp && same(a.Key, b.Key) && same(a.Info, b.Info) && bytes.Equal(a.Data, b.Data)
}

// Records returns n records of up to size bytes, with and without the optional
// members.
func Records(rng *rand.Rand, n, size int) []storage.Record {
	recs := make([]storage.Record, n)
	for i := range recs {
		r := &recs[i]
		r.Data = random(rng, rng.IntN(size+1))
		if rng.IntN(2) == 0 {
			r.Key = random(rng, rng.IntN(50))
		}
		if rng.IntN(3) == 0 {
			r.Info = random(rng, rng.IntN(50))
		}
		if rng.IntN(4) == 0 {
			r.Timestamp = rng.Int64N(1 << 41)
		}
	}
	return recs
}

func random(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func data(s string) storage.Record { return storage.Record{Data: []byte(s)} }

func (f *fixture) testLife() {
	_, err := f.Open(ctx, ID(0))
	f.wantErr("open what was never created", err, storage.ErrNotFound)
	l := f.create(0)
	if l.ID() != ID(0) {
		f.Errorf("the log's id is %v", l.ID())
	}
	f.wantBounds(l, 0, 0)
	f.wantErr("create what exists", f.Create(ctx, ID(0)), storage.ErrExists)
	if again, err := f.Open(ctx, ID(0)); err != nil || again != l {
		f.Errorf("opened again: %v, %v", again, err)
	}
	f.create(1)
	ids, err := f.List(ctx)
	slices.SortFunc(ids, func(a, b storage.LogID) int { return int(a.Partition - b.Partition) })
	if err != nil || !slices.Equal(ids, []storage.LogID{ID(0), ID(1)}) {
		f.Errorf("list: %v, %v", ids, err)
	}
	if err := f.Remove(ctx, ID(0)); err != nil {
		f.Error(err)
	}
	if err := f.Remove(ctx, ID(0)); err != nil {
		f.Errorf("remove what is removed: %v", err)
	}
	_, err = f.Open(ctx, ID(0))
	f.wantErr("open what was removed", err, storage.ErrNotFound)
	f.wantErr("read what was removed", l.Read(ctx, 0, storage.Limit{Records: 1, Bytes: 1}, &storage.Chunk{}), storage.ErrNotFound)
	f.wantErr("trim what was removed", l.Trim(ctx, 0), storage.ErrNotFound)
	_, err = l.Find(ctx, 0)
	f.wantErr("find in what was removed", err, storage.ErrNotFound)
	b := &storage.Batch{Log: l, Records: []storage.Record{data("x")}}
	f.Append(ctx, []*storage.Batch{b})
	f.wantErr("append to what was removed", b.Err, storage.ErrNotFound)
}

func (f *fixture) testReadBack() {
	rng := rand.New(rand.NewPCG(1, 2))
	l := f.create(0)
	var want []storage.Record
	for i := range 60 {
		recs := Records(rng, 1+rng.IntN(40), 1<<(i%15))
		b := f.append(l, recs...)
		if b.First != storage.Seq(len(want)) || b.AppendTime != f.clock.Now().UnixMilli() {
			f.Fatalf("batch %d got number %d and time %d", i, b.First, b.AppendTime)
		}
		want = append(want, recs...)
	}
	got := f.all(l)
	if len(got) != len(want) {
		f.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		if !Equal(&got[i], &want[i]) || got[i].AppendTime != f.clock.Now().UnixMilli() {
			f.Fatalf("record %d differs: %v, want %v", i, got[i], want[i])
		}
	}
}

func (f *fixture) testRecordLimits() {
	l := f.create(0)
	largest := storage.Record{
		Key:  bytes.Repeat([]byte("k"), storage.MaxKey),
		Info: bytes.Repeat([]byte("i"), storage.MaxInfo),
		Data: bytes.Repeat([]byte("d"), storage.MaxData),
	}
	f.append(l, data("before"), largest, data("after"))
	got := f.all(l)
	if len(got) != 3 || !Equal(&got[1], &largest) {
		f.Errorf("the largest record did not come back")
	}
	for _, r := range []storage.Record{
		{Key: append(largest.Key, 'k')},
		{Info: append(largest.Info, 'i')},
		{Data: append(largest.Data, 'd')},
	} {
		b := &storage.Batch{Log: l, Records: []storage.Record{data("good"), r}}
		f.Append(ctx, []*storage.Batch{b})
		f.wantErr("append of a record that is too large", b.Err, storage.ErrInvalid)
	}
	b := &storage.Batch{Log: l}
	f.Append(ctx, []*storage.Batch{b})
	f.wantErr("append of no record", b.Err, storage.ErrInvalid)
	f.wantBounds(l, 0, 3)
}

func (f *fixture) testReadLimits() {
	l := f.create(0)
	for i := range 10 {
		f.append(l, storage.Record{Data: make([]byte, 10*(i+1))})
	}
	for _, test := range []struct {
		seq  storage.Seq
		lim  storage.Limit
		want int
	}{
		{0, storage.Limit{Records: 3, Bytes: 1000}, 3},
		{0, storage.Limit{Records: 100, Bytes: 1000}, 10},
		{0, storage.Limit{Records: 100, Bytes: 30}, 2},
		{0, storage.Limit{Records: 100, Bytes: 29}, 1},
		{0, storage.Limit{Records: 100, Bytes: 9}, 0},
		{0, storage.Limit{Records: 100, Bytes: 9, AtLeastOne: true}, 1},
		{3, storage.Limit{Records: 100, Bytes: 39}, 0},
		{3, storage.Limit{Records: 100, Bytes: 40}, 1},
		{3, storage.Limit{Records: 100, Bytes: 90, AtLeastOne: true}, 2},
		{9, storage.Limit{Records: 1, Bytes: 1 << 30}, 1},
		{10, storage.Limit{Records: 1, Bytes: 1, AtLeastOne: true}, 0},
	} {
		c := storage.Chunk{Records: make([]storage.Record, 5)}
		if err := l.Read(ctx, test.seq, test.lim, &c); err != nil || len(c.Records) != test.want {
			f.Errorf("read %d with %+v: %d records, %v, want %d", test.seq, test.lim, len(c.Records), err, test.want)
		}
	}
	for range 3 { // behind the last one, which has 100 bytes
		f.append(l, storage.Record{})
	}
	f.append(l, storage.Record{Data: []byte{1}})
	for bytes, want := range map[int]int{99: 0, 100: 4, 101: 5} {
		c := new(storage.Chunk)
		if err := l.Read(ctx, 9, storage.Limit{Records: 100, Bytes: bytes}, c); err != nil || len(c.Records) != want {
			f.Errorf("read of %d bytes and empty records: %d records, %v, want %d", bytes, len(c.Records), err, want)
		}
	}
}

func (f *fixture) testOutside() {
	l := f.create(0)
	f.append(l, data("a"), data("b"))
	var c storage.Chunk
	lim := storage.Limit{Records: 1, Bytes: 1}
	f.wantErr("read beyond the end", l.Read(ctx, 3, lim, &c), storage.ErrBeyond)
	f.wantErr("trim beyond the end", l.Trim(ctx, 3), storage.ErrBeyond)
	f.wantErr("read below 0", l.Read(ctx, -1, lim, &c), storage.ErrTrimmed)
	if err := l.Trim(ctx, 1); err != nil {
		f.Fatal(err)
	}
	f.wantErr("read what was trimmed", l.Read(ctx, 0, lim, &c), storage.ErrTrimmed)
	if len(c.Records) != 0 {
		f.Errorf("records beside an error: %v", c.Records)
	}
}

func (f *fixture) testManyLogs() {
	const n = 20
	logs := make([]storage.Log, n)
	for i := range logs {
		logs[i] = f.create(i)
	}
	for round := range 5 {
		batches := make([]*storage.Batch, n)
		for i, l := range logs {
			batches[i] = &storage.Batch{Log: l, Records: []storage.Record{data(fmt.Sprint(i, round, "a")), data(fmt.Sprint(i, round, "b"))}}
		}
		f.Append(ctx, batches)
		for i, b := range batches {
			if b.Err != nil || b.First != storage.Seq(2*round) {
				f.Fatalf("log %d, round %d: %d, %v", i, round, b.First, b.Err)
			}
		}
	}
	for i, l := range logs {
		all := f.all(l)
		if len(all) != 10 || string(all[9].Data) != fmt.Sprint(i, 4, "b") {
			f.Errorf("log %d has %d records", i, len(all))
		}
	}
}

func (f *fixture) testBadBatch() {
	good, gone := f.create(0), f.create(1)
	if err := f.Remove(ctx, ID(1)); err != nil {
		f.Fatal(err)
	}
	batches := []*storage.Batch{
		{Log: gone, Records: []storage.Record{data("x")}},
		{Log: good, Records: []storage.Record{data("y")}, Err: errors.New("stale")},
	}
	f.Append(ctx, batches)
	f.wantErr("append to a removed log", batches[0].Err, storage.ErrNotFound)
	if batches[1].Err != nil {
		f.Errorf("the good batch beside it: %v", batches[1].Err)
	}
	f.wantBounds(good, 0, 1)
}

func (f *fixture) testFind() {
	l := f.create(0)
	find := func(t int64, want storage.Seq) {
		f.Helper()
		if got, err := l.Find(ctx, t); err != nil || got != want {
			f.Errorf("find %d: %d, %v, want %d", t, got, err, want)
		}
	}
	find(0, 0)
	const start = 1_700_000_000_000
	rng := rand.New(rand.NewPCG(3, 4))
	var times []int64 // by sequence number
	for range 300 {
		f.clock.Set(start + int64(len(times)/10*10))
		b := f.append(l, Records(rng, 1+rng.IntN(5), 1000)...)
		for range b.Records {
			times = append(times, b.AppendTime)
		}
	}
	for t := times[0] - 15; t < times[len(times)-1]+15; t += 5 {
		want, _ := slices.BinarySearch(times, t)
		find(t, storage.Seq(want))
	}
	if err := l.Trim(ctx, 123); err != nil {
		f.Fatal(err)
	}
	find(times[0], 123)
	find(times[200], storage.Seq(slices.Index(times, times[200])))
}

func (f *fixture) testTimeBackwards() {
	l := f.create(0)
	first := f.append(l, data("a")).AppendTime
	f.clock.Set(first - 1000)
	if t := f.append(l, data("b")).AppendTime; t != first {
		f.Errorf("append time went from %d to %d", first, t)
	}
}

func (f *fixture) testTrim() {
	l := f.create(0)
	rng := rand.New(rand.NewPCG(5, 6))
	recs := Records(rng, 500, 500)
	for part := range slices.Chunk(recs, 10) {
		f.append(l, part...)
	}
	for _, seq := range []storage.Seq{0, 5, 5, 3, 10, 333, 500} {
		before, _ := l.Bounds()
		if err := l.Trim(ctx, seq); err != nil {
			f.Fatal(err)
		}
		f.wantBounds(l, max(before, seq), 500)
		got := f.all(l)
		if len(got) != 500-int(max(before, seq)) {
			f.Fatalf("%d records after trim to %d", len(got), seq)
		}
		if len(got) > 0 && !Equal(&got[0], &recs[max(before, seq)]) {
			f.Fatalf("record %d changed", seq)
		}
	}
	if b := f.append(l, data("x")); b.First != 500 {
		f.Errorf("number %d after everything was trimmed", b.First)
	}
}

// testTrimUnderReader reads from the oldest record on while it moves.
func (f *fixture) testTrimUnderReader() {
	l := f.create(0)
	rng := rand.New(rand.NewPCG(7, 8))
	recs := Records(rng, 2000, 300)
	for part := range slices.Chunk(recs, 20) {
		f.append(l, part...)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for seq := storage.Seq(0); seq <= 2000; seq += 50 {
			if err := l.Trim(ctx, seq); err != nil {
				f.Error(err)
			}
		}
	})
	var c storage.Chunk
	for seq := storage.Seq(0); seq < 2000; {
		err := l.Read(ctx, seq, storage.Limit{Records: 30, Bytes: 1 << 20}, &c)
		if errors.Is(err, storage.ErrTrimmed) {
			seq, _ = l.Bounds()
			continue
		}
		if err != nil {
			f.Fatal(err)
		}
		for _, r := range c.Records {
			if r.Seq != seq || !Equal(&r, &recs[seq]) {
				f.Fatalf("record %d is %v", seq, r)
			}
			seq++
		}
	}
	wg.Wait()
}

func (f *fixture) testWait() {
	l := f.create(0)
	f.append(l, data("a"))
	if err := l.Wait(ctx, 0); err != nil {
		f.Errorf("wait for what is there: %v", err)
	}
	short, cancel := context.WithCancel(ctx)
	result := make(chan error)
	go func() { result <- l.Wait(short, 1) }()
	cancel()
	f.wantErr("wait that was cancelled", <-result, context.Canceled)
	for range 3 {
		go func() { result <- l.Wait(ctx, 2) }()
	}
	f.append(l, data("b"), data("c"))
	for range 3 {
		if err := <-result; err != nil {
			f.Errorf("wait: %v", err)
		}
	}
}

func (f *fixture) testWaitRemoved() {
	l := f.create(0)
	result := make(chan error)
	go func() { result <- l.Wait(ctx, 0) }()
	if err := f.Remove(ctx, ID(0)); err != nil {
		f.Fatal(err)
	}
	f.wantErr("wait", <-result, storage.ErrNotFound)
	f.wantErr("wait afterwards", l.Wait(ctx, 0), storage.ErrNotFound)
}

func (f *fixture) testCancelled() {
	l := f.create(0)
	done, cancel := context.WithCancel(ctx)
	cancel()
	b := &storage.Batch{Log: l, Records: []storage.Record{data("x")}}
	f.Append(done, []*storage.Batch{b})
	f.wantErr("append", b.Err, context.Canceled)
	f.wantBounds(l, 0, 0)
}

func (f *fixture) testReborn() {
	old := f.create(0)
	f.append(old, data("old"), data("old"))
	for i := range 3 {
		if err := f.Remove(ctx, ID(0)); err != nil {
			f.Fatal(err)
		}
		l := f.create(0)
		f.wantBounds(l, 0, 0)
		f.append(l, data(fmt.Sprint(i)))
		if all := f.all(l); len(all) != 1 || string(all[0].Data) != fmt.Sprint(i) {
			f.Errorf("the new log has %v", all)
		}
	}
	b := &storage.Batch{Log: old, Records: []storage.Record{data("x")}}
	f.Append(ctx, []*storage.Batch{b})
	f.wantErr("append to the old log", b.Err, storage.ErrNotFound)
}

func (f *fixture) testRemoveUnderAppend() {
	l, other := f.create(0), f.create(1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				batches := []*storage.Batch{
					{Log: l, Records: []storage.Record{data("x")}},
					{Log: other, Records: []storage.Record{data("y")}},
				}
				f.Append(ctx, batches)
				if batches[1].Err != nil {
					f.Errorf("the other log: %v", batches[1].Err)
				}
				if batches[0].Err != nil {
					f.wantErr("append", batches[0].Err, storage.ErrNotFound)
					return
				}
			}
		})
	}
	if err := l.Wait(ctx, 10); err != nil {
		f.Error(err)
	}
	if err := f.Remove(ctx, ID(0)); err != nil {
		f.Error(err)
	}
	wg.Wait()
}

// testChain has many appenders, some to two logs at once, and readers that
// follow: each sees every record once, and each appender's in its order.
func (f *fixture) testChain() {
	const appenders, rounds = 8, 60
	logs := []storage.Log{f.create(0), f.create(1)}
	var wg sync.WaitGroup
	for a := range appenders {
		wg.Go(func() {
			for i := range rounds {
				r := func() []storage.Record {
					return []storage.Record{data(fmt.Sprintf("%d %d ", a, 2*i)), data(fmt.Sprintf("%d %d %0*d", a, 2*i+1, i*50, 0))}
				}
				batches := []*storage.Batch{{Log: logs[0], Records: r()}, {Log: logs[1], Records: r()}}
				f.Append(ctx, batches)
				if batches[0].Err != nil || batches[1].Err != nil {
					f.Error(batches[0].Err, batches[1].Err)
				}
			}
		})
	}
	for _, l := range logs {
		wg.Go(func() { f.follow(l, appenders, 2*rounds) })
	}
	wg.Wait()
}

func (f *fixture) follow(l storage.Log, appenders, each int) {
	next := make([]int, appenders)
	var c storage.Chunk
	for seq := storage.Seq(0); seq < storage.Seq(appenders*each); {
		if err := l.Wait(ctx, seq); err != nil {
			f.Error(err)
			return
		}
		if err := l.Read(ctx, seq, storage.Limit{Records: 17, Bytes: 1 << 20}, &c); err != nil || len(c.Records) == 0 {
			f.Errorf("read %d after wait: %d records, %v", seq, len(c.Records), err)
			return
		}
		for _, r := range c.Records {
			var a, i int
			if _, err := fmt.Sscanf(string(r.Data), "%d %d ", &a, &i); err != nil || r.Seq != seq || i != next[a] {
				f.Errorf("record %d of %s is %d of appender %d, want %d: %v", r.Seq, l.ID(), i, a, next[a], err)
				return
			}
			next[a]++
			seq++
		}
	}
}

// testAliasing changes the memory of records that were appended.
func (f *fixture) testAliasing() {
	l := f.create(0)
	mine := []byte("original")
	f.append(l, storage.Record{Key: mine[:4], Info: mine[4:], Data: mine})
	copy(mine, "CHANGED!")
	if got := f.all(l)[0]; string(got.Data) != "original" || string(got.Key)+string(got.Info) != "original" {
		f.Errorf("the record is %q now", got.Data)
	}
}

func (f *fixture) testHealth() {
	if err := f.Health(); err != nil {
		f.Error(err)
	}
	l := f.create(0)
	empty := l.Size()
	f.append(l, storage.Record{Data: make([]byte, 100_000)})
	if n := l.Size(); n < empty+100_000 || n > empty+200_000 {
		f.Errorf("size is %d after 100 kB", n)
	}
}
