package partition

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"disd/internal/clock"
	"disd/internal/field"
	"disd/internal/quota"
	"disd/internal/storage"
	"disd/internal/storage/catalog"
	catalogfile "disd/internal/storage/catalog/file"
	"disd/internal/storage/memory"
)

// A bench is a Set over an engine in memory, with everything a test may touch.
type bench struct {
	*Set
	t      *testing.T
	clock  *clock.Clock
	engine storage.Engine
	db     catalog.Store
	quota  *quota.Policy
	quotas Quotas
}

func newBench(t *testing.T, mode quota.Mode, quotas Quotas) *bench {
	t.Helper()
	c := clock.At(time.UnixMilli(1795424828504))
	db, err := catalogfile.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	engine := memory.Open(memory.Options{Now: c.Now})
	t.Cleanup(func() { engine.Close(); db.Close() })
	b := &bench{t: t, clock: c, engine: engine, db: db, quota: &quota.Policy{Mode: mode}, quotas: quotas}
	b.restart()
	return b
}

// restart opens the set anew over the same engine and catalog.
func (b *bench) restart() {
	b.t.Helper()
	set, err := Open(b.t.Context(), b.engine, b.db, Options{Now: b.clock.Now, Quotas: b.quotas, Quota: b.quota})
	if err != nil {
		b.t.Fatal(err)
	}
	b.Set = set
}

func (b *bench) create(name string, n int) *Stream {
	b.t.Helper()
	if _, err := b.Create(b.t.Context(), "p", name, n, Settings{Type: Common, DataType: Blob, Retention: 24}); err != nil {
		b.t.Fatal(err)
	}
	return b.get(name)
}

func (b *bench) get(name string) *Stream {
	b.t.Helper()
	st, err := b.Get("p", name)
	if err != nil {
		b.t.Fatal(err)
	}
	return st
}

func (b *bench) info(st *Stream) *Info {
	b.t.Helper()
	info, err := st.Info()
	if err != nil {
		b.t.Fatal(err)
	}
	return info
}

func (b *bench) put(st *Stream, puts ...Put) []Outcome {
	b.t.Helper()
	out := make([]Outcome, len(puts))
	if err := st.Put(b.t.Context(), puts, out); err != nil {
		b.t.Fatal(err)
	}
	return out
}

func to(id int32, data string) Put { return Put{Partition: id, Hash: -1, Data: []byte(data)} }

func keyed(key, data string) Put {
	return Put{Partition: -1, Hash: -1, Key: []byte(key), Data: []byte(data)}
}

func (b *bench) read(st *Stream, id int32) (data []string) {
	b.t.Helper()
	log, err := st.Log(id)
	if err != nil {
		b.t.Fatal(err)
	}
	oldest, _ := log.Bounds()
	var c storage.Chunk
	if err := log.Read(b.t.Context(), oldest, storage.Limit{Records: 1000, Bytes: 1 << 20}, &c); err != nil {
		b.t.Fatal(err)
	}
	for _, r := range c.Records {
		data = append(data, string(r.Data))
	}
	return data
}

// TestRouting is E19-R2 and E20-R6: what decides on the partition, and which
// keys are kept.
func TestRouting(t *testing.T) {
	b := newBench(t, quota.Off, Quotas{})
	st := b.create("s", 5)
	out := b.put(st,
		Put{Partition: 2, Hash: 0, Key: []byte("user-1"), Data: []byte("a")},                       // the partition wins
		Put{Partition: -1, Hash: 9223372036854775807, Key: []byte("device-42"), Data: []byte("b")}, // then the hash
		keyed("device-42", "c"),
		keyed("device-42", "d"),
		to(7, "e"),
	)
	want := []Outcome{{2, 0, nil}, {4, 0, nil}, {1, 0, nil}, {1, 1, nil}, {7, 0, ErrPartitionNotFound}}
	if !slices.Equal(out, want) {
		t.Errorf("outcomes %v, want %v", out, want)
	}
	log, _ := st.Log(2)
	var c storage.Chunk
	if err := log.Read(t.Context(), 0, storage.Limit{Records: 9, Bytes: 99}, &c); err != nil || c.Records[0].Key != nil {
		t.Errorf("a key beside a partition id was kept: %q, %v", c.Records[0].Key, err)
	}
	seen := map[int32]int{}
	for range 50 {
		seen[b.put(st, Put{Partition: -1, Hash: -1, Data: []byte("x")})[0].Partition]++
	}
	for id := range int32(5) {
		if seen[id] != 10 {
			t.Errorf("records without a key are not spread evenly: %v", seen)
		}
	}
}

// TestScaling walks through L-8 to L-12.
func TestScaling(t *testing.T) {
	b := newBench(t, quota.Off, Quotas{})
	st := b.create("s", 3)
	b.put(st, to(0, "0a"), to(1, "1a"), to(2, "2a"))
	scale := func(target int) {
		t.Helper()
		if _, err := b.Scale(t.Context(), st, target, false); err != nil {
			t.Fatal(err)
		}
	}
	states := func() string {
		s := ""
		for _, p := range b.info(st).Parts {
			s += string(p.State[0])
		}
		return s
	}
	expect := func(want string) {
		t.Helper()
		if got := states(); got != want {
			t.Fatalf("states %s, want %s", got, want)
		}
	}
	scale(1)
	expect("ADD")
	if out := b.put(st, to(1, "x")); out[0].Err != ErrPartitionExpired {
		t.Errorf("a write to a closed partition: %v", out[0])
	}
	if got := b.read(st, 1); !slices.Equal(got, []string{"1a"}) {
		t.Errorf("a closed partition reads %q", got)
	}
	scale(2)
	expect("AAD")
	if out := b.put(st, to(1, "1b")); out[0].Seq != 1 || out[0].Err != nil {
		t.Errorf("a reopened partition does not go on: %v", out[0])
	}
	b.clock.Move(24*time.Hour - time.Millisecond)
	b.sweepNow()
	expect("AAD")
	b.clock.Move(time.Millisecond)
	b.sweepNow()
	expect("AAE")
	if _, err := st.Log(2); err != ErrPartitionExpired {
		t.Errorf("an expired partition is readable: %v", err)
	}
	scale(5)
	expect("AAAAA")
	if out := b.put(st, to(2, "2b")); out[0].Seq != 1 || out[0].Err != nil {
		t.Errorf("a partition expired and reopened does not go on: %v", out[0])
	}
	info := b.info(st)
	if got := info.Parts[3].Parents; !slices.Equal(got, []int32{1}) {
		t.Errorf("parents of 3: %v", got)
	}
	if got := info.Parts[2].Parents; got != nil {
		t.Errorf("a reopened partition has parents: %v", got)
	}
	if len(info.Scalings) != 3 || info.Scalings[2].From != 2 || info.Scalings[2].To != 5 {
		t.Errorf("history %+v", info.Scalings)
	}
	b.restart()
	st = b.get("s")
	expect("AAAAA")
	if got := b.read(st, 2); !slices.Equal(got, []string{"2b"}) {
		t.Errorf("after a restart partition 2 reads %q", got)
	}
}

func (b *bench) sweepNow() {
	b.t.Helper()
	if err := b.Sweep(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// TestRetention is L-15: never less than the retention, record by record.
func TestRetention(t *testing.T) {
	b := newBench(t, quota.Off, Quotas{})
	st := b.create("s", 1)
	b.put(st, to(0, "a"))
	b.clock.Move(time.Hour)
	b.put(st, to(0, "b"))
	b.clock.Move(23 * time.Hour)
	b.sweepNow()
	if got := b.read(st, 0); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("after exactly 24 h: %q", got)
	}
	b.clock.Move(time.Millisecond)
	b.sweepNow()
	if got := b.read(st, 0); !slices.Equal(got, []string{"b"}) {
		t.Errorf("after a little more: %q", got)
	}
	longer := 48
	if _, err := b.Update(st, Change{Retention: &longer}); err != nil {
		t.Fatal(err)
	}
	b.clock.Move(20 * time.Hour)
	b.sweepNow()
	if got := b.read(st, 0); !slices.Equal(got, []string{"b"}) {
		t.Errorf("with a longer retention: %q", got)
	}
	b.clock.Move(8 * time.Hour)
	b.sweepNow()
	if got := b.read(st, 0); got != nil {
		t.Errorf("after the longer retention: %q", got)
	}
	if out := b.put(st, to(0, "c")); out[0].Seq != 2 {
		t.Errorf("numbers started over: %v", out[0])
	}
}

// TestScalingRate is E7-R2 and E7-R3.
// watched is an engine that calls a function when a log is asked for its bounds.
type watched struct {
	storage.Engine
	asked func(storage.LogID)
}

type watchedLog struct {
	storage.Log
	e *watched
}

func (e *watched) Open(ctx context.Context, id storage.LogID) (storage.Log, error) {
	log, err := e.Engine.Open(ctx, id)
	return watchedLog{log, e}, err
}

func (e *watched) Append(ctx context.Context, batches []*storage.Batch) {
	for _, b := range batches {
		b.Log = b.Log.(watchedLog).Log
	}
	e.Engine.Append(ctx, batches)
}

func (l watchedLog) Bounds() (oldest, next storage.Seq) {
	l.e.asked(l.ID())
	return l.Log.Bounds()
}

// TestReopenedDuringSweep scales up, and stores a record in a partition that was
// expired, while retention is being applied. It is kept.
func TestReopenedDuringSweep(t *testing.T) {
	b := newBench(t, quota.Off, Quotas{})
	e := &watched{b.engine, func(storage.LogID) {}}
	b.engine = e
	b.restart()
	st := b.create("s", 2)
	b.put(st, to(1, "old"))
	if _, err := b.Scale(t.Context(), st, 1, false); err != nil {
		t.Fatal(err)
	}
	b.clock.Move(25 * time.Hour)
	b.sweepNow()
	b.put(st, to(0, "retention looks at this partition first"))
	var once sync.Once
	e.asked = func(storage.LogID) {
		once.Do(func() {
			if _, err := b.Scale(t.Context(), st, 2, false); err != nil {
				t.Error(err)
			}
			b.put(st, to(1, "new"))
		})
	}
	b.sweepNow()
	if got := b.read(st, 1); !slices.Equal(got, []string{"new"}) {
		t.Errorf("the reopened partition holds %q", got)
	}
}

func TestScalingRate(t *testing.T) {
	b := newBench(t, quota.Enforce, Quotas{CommonPartitions: 4})
	st := b.create("s", 1)
	try := func(target int, auto bool, want error) {
		t.Helper()
		if _, err := b.Scale(t.Context(), st, target, auto); !errors.Is(err, want) {
			t.Fatalf("scaling to %d: %v, want %v", target, err, want)
		}
	}
	for range 5 {
		try(9, false, ErrQuota)
	}
	try(2, false, ErrScalingRate) // five attempts
	try(3, true, nil)             // automatic scaling neither counts nor obeys
	b.clock.Move(time.Hour - time.Millisecond)
	try(2, false, ErrScalingRate)
	b.clock.Move(time.Millisecond)
	try(2, false, nil)
	try(3, false, ErrScalingRate) // one success
	b.clock.Move(time.Hour)
	try(3, false, nil)
	got := ""
	for _, sc := range b.info(st).Scalings {
		got += fmt.Sprintf("%d>%d %v %v;", sc.From, sc.To, sc.Auto, sc.Exceeded)
	}
	want := "1>9 false true;1>9 false true;1>9 false true;1>9 false true;1>9 false true;1>3 true false;3>2 false false;2>3 false false;"
	if got != want {
		t.Errorf("history\n%s want\n%s", got, want)
	}
}

// TestQuota is and C-71.
func TestQuota(t *testing.T) {
	b := newBench(t, quota.Enforce, Quotas{CommonPartitions: 4, AdvancedPartitions: 1})
	st := b.create("a", 3)
	create := func(name, kind string, n int, want error) {
		t.Helper()
		_, err := b.Create(t.Context(), "p2", name, n, Settings{Type: kind, DataType: Blob, Retention: 24})
		if !errors.Is(err, want) {
			t.Fatalf("create %s: %v, want %v", name, err, want)
		}
	}
	create("b", Common, 2, ErrQuota)
	create("b", Advanced, 1, nil)
	create("c", Advanced, 1, ErrQuota)
	if _, err := b.Scale(t.Context(), st, 2, true); err != nil {
		t.Fatal(err)
	}
	create("c", Common, 2, nil) // closed partitions free their quota
	create("d", Common, 1, ErrQuota)
	if err := b.Delete(t.Context(), st); err != nil {
		t.Fatal(err)
	}
	create("d", Common, 2, nil)
}

// TestMaxPartitions: a count that no machine can bear is refused also without
// quotas.
func TestMaxPartitions(t *testing.T) {
	b := newBench(t, quota.Off, Quotas{})
	if _, err := b.Create(t.Context(), "p", "s", 1<<31-1, Settings{Type: Common, DataType: Blob, Retention: 24}); err != ErrQuota {
		t.Errorf("create: %v", err)
	}
	if _, err := b.Scale(t.Context(), b.create("s", 1), 1<<31-1, false); !errors.Is(err, ErrQuota) {
		t.Errorf("scale: %v", err)
	}
}

func TestCreateAndDelete(t *testing.T) {
	b := newBench(t, quota.Off, Quotas{})
	st := b.create("s", 2)
	first := b.info(st)
	if _, err := b.Create(t.Context(), "p", "s", 1, Settings{Type: Common, DataType: Blob, Retention: 24}); err != ErrStreamExists {
		t.Errorf("a second stream of the name: %v", err)
	}
	b.put(st, to(0, "x"))
	if err := b.Delete(t.Context(), st); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), st); err != ErrStreamNotFound {
		t.Errorf("a second deletion: %v", err)
	}
	if err := st.Put(t.Context(), []Put{to(0, "x")}, make([]Outcome, 1)); err != ErrStreamNotFound {
		t.Errorf("an upload to a deleted stream: %v", err)
	}
	again := b.info(b.create("s", 1))
	if again.ID == first.ID || len(again.ID) != 19 {
		t.Errorf("ids %s and %s", first.ID, again.ID)
	}
	if got := b.read(b.get("s"), 0); got != nil {
		t.Errorf("a new stream of an old name holds %q", got)
	}
	ids, err := b.engine.List(t.Context())
	if err != nil || len(ids) != 1 {
		t.Errorf("logs %v, %v: those of the deleted stream must be gone", ids, err)
	}
}

// TestConcurrentCreation: of many creations of one name exactly one succeeds.
func TestConcurrentCreation(t *testing.T) {
	b := newBench(t, quota.Off, Quotas{})
	var mu sync.Mutex
	won := 0
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, err := b.Create(t.Context(), "p", "s", 2, Settings{Type: Common, DataType: Blob, Retention: 24})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if err != ErrStreamExists {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if ids, _ := b.engine.List(t.Context()); won != 1 || len(ids) != 2 {
		t.Errorf("%d succeeded, %d logs", won, len(ids))
	}
}

// TestDamagedStream: a stream whose description is damaged keeps no other one from
// being used, its name is not given away, and nobody is told that it does not exist.
func TestDamagedStream(t *testing.T) {
	b := newBench(t, quota.Off, Quotas{})
	b.create("a", 1)
	b.create("b", 1)
	err := b.db.Update(func(tx catalog.Tx) error {
		return catalog.NewTable[string]("streams").Put(tx, streamKey("p", "a"), "no description")
	})
	if err != nil {
		t.Fatal(err)
	}
	b.restart()
	b.put(b.get("b"), to(0, "x"))
	damage := (*storage.CorruptError)(nil)
	if _, err := b.Get("p", "a"); !errors.As(err, &damage) {
		t.Errorf("the damaged stream: %v", err)
	}
	if _, err := b.GetID("0000000000000000000"); !errors.As(err, &damage) {
		t.Errorf("an id that may be the damaged stream's: %v", err)
	}
	_, byName := b.Get("p", "c")
	_, byID := b.GetID("c")
	if byName != ErrStreamNotFound || byID != ErrStreamNotFound {
		t.Errorf("a stream that does not exist: %v, %v", byName, byID)
	}
	if _, err := b.Create(t.Context(), "p", "a", 1, Settings{Type: Common, DataType: Blob, Retention: 24}); err != ErrStreamExists {
		t.Errorf("a stream in place of the damaged one: %v", err)
	}
}

// stuck is an engine that removes nothing.
type stuck struct{ storage.Engine }

func (stuck) Remove(context.Context, storage.LogID) error { return storage.ErrUnavailable }

// TestInterruptedCreation: what a crash left of a creation is removed by the
// next start that can, and logs that nobody knows are left alone.
func TestInterruptedCreation(t *testing.T) {
	b := newBench(t, quota.Off, Quotas{})
	half := []storage.LogID{{Stream: "half", Partition: 0}, {Stream: "half", Partition: 1}}
	foreign := storage.LogID{Stream: "foreign"}
	err := errors.Join(
		b.db.Update(func(tx catalog.Tx) error { return listGarbage(tx, half) }),
		b.engine.Create(t.Context(), half[0]),
		b.engine.Create(t.Context(), foreign))
	if err != nil {
		t.Fatal(err)
	}
	engine := b.engine
	b.engine = stuck{engine}
	b.restart() // all the same
	b.engine = engine
	b.restart()
	ids, err := b.engine.List(t.Context())
	if err != nil || !slices.Equal(ids, []storage.LogID{foreign}) {
		t.Errorf("logs after the restart: %v, %v", ids, err)
	}
}

// TestScalingUnderLoad: uploads during scaling are stored exactly once and in
// order (L-12).
// held is an engine whose appends tell when they begin and wait until they may go on.
type held struct {
	storage.Engine
	turn chan struct{}
}

func (e held) Append(ctx context.Context, batches []*storage.Batch) {
	e.turn <- struct{}{}
	e.turn <- struct{}{}
	e.Engine.Append(ctx, batches)
}

// TestUploadSeesOneLayout: what an upload saw holds until it is stored, and all of its
// records go by it.
func TestUploadSeesOneLayout(t *testing.T) {
	t.Attr("rules", "L-12")
	b := newBench(t, quota.Off, Quotas{})
	turn := make(chan struct{})
	b.engine = held{b.engine, turn}
	b.restart()
	st := b.create("s", 5)
	var puts []Put
	for i := range 20 {
		puts = append(puts, keyed(fmt.Sprint(i), "x"))
	}
	out := make([]Outcome, len(puts))
	uploaded, scaled := make(chan error, 1), make(chan error, 1)
	go func() { uploaded <- st.Put(t.Context(), puts, out) }()
	<-turn // it is being stored
	go func() {
		_, err := b.Scale(t.Context(), st, 2, true)
		scaled <- err
	}()
	select {
	case <-scaled:
		t.Fatal("partitions were closed under an upload to them")
	case <-time.After(20 * time.Millisecond): // it waits
	}
	<-turn
	if err := errors.Join(<-uploaded, <-scaled); err != nil {
		t.Fatal(err)
	}
	for i, o := range out {
		if want := slot(Hash(puts[i].Key), 5); o.Partition != want || o.Err != nil {
			t.Errorf("record %d: %+v, want partition %d", i, o, want)
		}
	}
	go func() { uploaded <- st.Put(t.Context(), puts, out) }()
	<-turn
	<-turn
	if err := <-uploaded; err != nil {
		t.Fatal(err)
	}
	for i, o := range out {
		if want := slot(Hash(puts[i].Key), 2); o.Partition != want || o.Err != nil {
			t.Errorf("record %d: %+v, want partition %d", i, o, want)
		}
	}
}

func TestScalingUnderLoad(t *testing.T) {
	t.Attr("rules", "L-12")
	b := newBench(t, quota.Off, Quotas{})
	st := b.create("s", 2)
	done := make(chan struct{})
	var wg sync.WaitGroup
	stored := make([]int, 4)
	for w := range stored {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				out := make([]Outcome, 1)
				if err := st.Put(t.Context(), []Put{keyed(fmt.Sprintf("%d-%d", w, i), fmt.Sprintf("%d %d", w, i))}, out); err != nil || out[0].Err != nil {
					t.Error(err, out[0].Err)
					return
				}
				stored[w]++
			}
		})
	}
	for _, target := range []int{5, 1, 3, 8, 2} {
		if _, err := b.Scale(t.Context(), st, target, true); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
	found, total := map[string]bool{}, 0
	for id := range b.info(st).Parts {
		log, err := st.Log(int32(id))
		if err != nil {
			t.Fatal(err)
		}
		var c storage.Chunk
		for seq, next := log.Bounds(); seq < next; seq += storage.Seq(len(c.Records)) {
			if err := log.Read(t.Context(), seq, storage.Limit{Records: 1000, Bytes: 1 << 20}, &c); err != nil {
				t.Fatal(err)
			}
			for _, r := range c.Records {
				found[string(r.Data)] = true
				total++
			}
		}
	}
	want := 0
	for _, n := range stored {
		want += n
	}
	if total != want || len(found) != want {
		t.Errorf("stored %d records, found %d, %d of them different", want, total, len(found))
	}
}

// TestThrottle is E19-R10.
func TestThrottle(t *testing.T) {
	b := newBench(t, quota.Enforce, Quotas{Common: Throughput{WriteBytes: 10, WriteRecords: 3, ReadBytes: 10}})
	st := b.create("s", 2)
	errs := func(out []Outcome) (s string) {
		for _, o := range out {
			if o.Err == ErrThrottled {
				s += "-"
			} else if o.Err == nil {
				s += "+"
			} else {
				s += "?"
			}
		}
		return s
	}
	for _, step := range []struct {
		wait time.Duration
		puts []Put
		want string
	}{
		{0, []Put{to(0, "123456"), to(0, "12345"), to(0, "1"), to(1, "1")}, "+--+"},  // bytes; what follows is refused too
		{time.Second, []Put{to(0, "1"), to(0, "2"), to(0, "3"), to(0, "4")}, "+++-"}, // records
		{333 * time.Millisecond, []Put{to(0, "1")}, "-"},
		{time.Millisecond, []Put{to(0, "1"), to(0, "1")}, "+-"},
		{-time.Hour, []Put{to(0, "1"), to(0, "1")}, "--"}, // the clock was set back: nothing was gained
		{time.Second, []Put{to(0, "1"), to(0, "2"), to(0, "3"), to(0, "4")}, "+++-"},
	} {
		b.clock.Move(step.wait)
		if got := errs(b.put(st, step.puts...)); got != step.want {
			t.Errorf("outcomes %s, want %s", got, step.want)
		}
	}
}

// TestPace is E20-R8.
func TestPace(t *testing.T) {
	b := newBench(t, quota.Enforce, Quotas{Common: Throughput{ReadBytes: 10}})
	st := b.create("s", 1)
	if d, err := st.Pace(0); d != 0 || err != nil {
		t.Errorf("a full bucket: %v, %v", d, err)
	}
	st.Took(0, 30) // 20 below zero
	if d, err := st.Pace(0); d != 2*time.Second || err != nil {
		t.Errorf("20 bytes at 10 a second: %v, %v", d, err)
	}
	st.Took(0, 40)
	if _, err := st.Pace(0); err != ErrThrottled {
		t.Errorf("6 s to wait: %v", err)
	}
	b.clock.Move(-time.Hour)
	_, _ = st.Pace(0)
	b.clock.Move(time.Second)
	if d, err := st.Pace(0); d != 5*time.Second || err != nil {
		t.Errorf("5 s to wait: %v, %v", d, err)
	}
}

func TestSettings(t *testing.T) {
	b := newBench(t, quota.Off, Quotas{})
	const schema = `{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}`
	for _, test := range []struct {
		name string
		set  Settings
		want error
	}{
		{"schema of JSON", Settings{DataType: JSON, Schema: schema}, nil},
		{"schema of BLOB", Settings{DataType: Blob, Schema: schema}, ErrSchema},
		{"not a schema", Settings{DataType: JSON, Schema: "x"}, ErrSchema},
		{"not a record", Settings{DataType: JSON, Schema: `"string"`}, ErrSchema},
		{"no fields", Settings{DataType: JSON, Schema: `{"type":"record","name":"R","fields":[]}`}, ErrSchema},
		{"auto without minimum", Settings{DataType: Blob, AutoScale: true, AutoMax: 3}, field.ErrInvalid},
		{"auto without maximum", Settings{DataType: Blob, AutoScale: true, AutoMin: 3}, field.ErrInvalid},
		{"minimum above maximum", Settings{DataType: Blob, AutoMin: 4, AutoMax: 3}, field.ErrInvalid},
		{"auto, count outside", Settings{DataType: Blob, AutoScale: true, AutoMin: 2, AutoMax: 3}, nil},
	} {
		test.set.Type, test.set.Retention = Common, 24
		_, err := b.Create(t.Context(), "p", "s", 1, test.set)
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if st, err := b.Get("p", "s"); err == nil {
			if err := b.Delete(t.Context(), st); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestUpdate is E8-R2: the resulting stream is what is checked.
func TestUpdate(t *testing.T) {
	b := newBench(t, quota.Off, Quotas{})
	st := b.create("s", 1)
	schema, typ, blob, on, low, high := `{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}`, JSON, Blob, true, 2, 5
	update := func(c Change, want error) {
		t.Helper()
		if _, err := b.Update(st, c); !errors.Is(err, want) {
			t.Fatalf("%+v: %v, want %v", c, err, want)
		}
	}
	update(Change{Schema: &schema}, ErrSchema)
	update(Change{AutoScale: &on}, field.ErrInvalid)
	update(Change{AutoMin: &low, AutoMax: &high}, nil)
	b.clock.Move(time.Second)
	update(Change{AutoScale: &on, DataType: &typ, Schema: &schema}, nil)
	info := b.info(st)
	if !info.AutoScale || info.Schema != schema || info.Modified != info.Created+1000 {
		t.Errorf("%+v", info)
	}
	update(Change{DataType: &blob}, nil)
	if info := b.info(st); info.Schema != "" || info.DataType != Blob {
		t.Errorf("BLOB keeps a schema: %+v", info)
	}
	if err := b.Freeze(st, true); err != nil {
		t.Fatal(err)
	}
	update(Change{AutoMin: &low}, ErrNotRunning)
	if _, err := b.Scale(t.Context(), st, 2, false); err != ErrNotRunning {
		t.Errorf("scaling a frozen stream: %v", err)
	}
	if err := st.Put(t.Context(), []Put{to(0, "x")}, make([]Outcome, 1)); err != ErrNotRunning {
		t.Errorf("an upload to a frozen stream: %v", err)
	}
}
