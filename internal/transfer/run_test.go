package transfer_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/storage/catalog/file"
	"disd/internal/storage/memory"
	"disd/internal/storage/vfs"
	"disd/internal/storage/vfs/errfs"
	"disd/internal/transfer"
	"disd/internal/transfer/filestore"
	"disd/internal/transfer/kind"
)

var errGone = errors.New("stream does not exist")

// A rig is a stream "s" with its log, a catalog and a disk with the bucket "b",
// on which tasks are opened, killed and opened again.
type rig struct {
	*testing.T
	mu     sync.Mutex
	now    time.Time
	stream kind.Stream
	others map[string]kind.Stream // by id
	gone   bool
	engine *memory.Engine
	db     catalog.Store
	disk   *vfs.Mem
	opts   transfer.Options
	tasks  *transfer.Tasks
	sent   map[int32][]string // data by partition and number
}

const streamID = "8QM3Nt9YTLOWtUVYJhO"

func newRig(t *testing.T, partitions int) *rig {
	t.Helper()
	db, err := file.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		T: t, now: time.Date(2017, 11, 10, 14, 49, 0, 0, time.UTC), db: db, disk: vfs.NewMem(), sent: make(map[int32][]string),
		stream: kind.Stream{ID: streamID, Project: "p", Name: "s", DataType: "BLOB"},
	}
	r.engine = memory.Open(memory.Options{Now: r.clock})
	t.Cleanup(func() { r.engine.Close(); db.Close() })
	for _, dir := range []string{"obs", "obs/b"} {
		if err := r.disk.Mkdir(dir); err != nil {
			t.Fatal(err)
		}
		if err := r.disk.SyncDir(path.Dir(dir)); err != nil {
			t.Fatal(err)
		}
	}
	for range partitions {
		r.scale()
	}
	r.open(r.disk)
	return r
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) advance(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func (r *rig) Describe(id string) (kind.Stream, error) {
	if r.gone {
		return kind.Stream{}, errGone
	}
	if other, is := r.others[id]; is {
		return other, nil
	}
	return r.stream, nil
}

func (r *rig) Exists(catalog.Tx, string) error {
	if r.gone {
		return errGone
	}
	return nil
}

// scale adds a partition.
func (r *rig) scale() {
	id := storage.LogID{Stream: streamID, Partition: int32(len(r.stream.Partitions))}
	if err := r.engine.Create(context.Background(), id); err != nil {
		r.Fatal(err)
	}
	r.stream.Partitions = append(slices.Clone(r.stream.Partitions), kind.Active)
}

// open starts tasks as after a restart of the server; what ran before is dead.
func (r *rig) open(disk vfs.FS) {
	r.Helper()
	opts := r.opts
	opts.DB, opts.Streams, opts.Logs, opts.Now, opts.Real = r.db, r, r.engine, r.clock, r.clock
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Kinds == nil {
		opts.Kinds = kinds
	}
	if opts.Store == nil {
		opts.Store = filestore.Open(filestore.Options{Dir: "obs", FS: disk})
	}
	if opts.Keys == nil {
		opts.Keys = [][]byte{make([]byte, 32)} // the same after a restart
	}
	tasks, err := transfer.Open(opts)
	if err != nil {
		r.Fatal(err)
	}
	r.tasks = tasks
}

// create makes an OBS task "t" with more members, as JSON.
func (r *rig) create(members string) {
	r.Helper()
	if err := r.tryCreate(members); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) tryCreate(members string) error {
	d, err := kinds.Parse(kind.OBS, json.RawMessage(`{"task_name":"t","agency_name":"a","obs_bucket_path":"b","deliver_time_interval":30`+members+`}`))
	if err != nil {
		return err
	}
	return r.tasks.Create(context.Background(), streamID, d)
}

// put appends records.
func (r *rig) put(partition int32, data ...string) {
	r.Helper()
	log := r.log(partition)
	records := make([]storage.Record, len(data))
	for i := range data {
		records[i].Data = []byte(data[i])
	}
	b := &storage.Batch{Log: log, Records: records}
	r.engine.Append(context.Background(), []*storage.Batch{b})
	if b.Err != nil {
		r.Fatal(b.Err)
	}
	r.sent[partition] = append(r.sent[partition], data...)
}

func (r *rig) log(partition int32) storage.Log {
	log, err := r.engine.Open(context.Background(), storage.LogID{Stream: streamID, Partition: partition})
	if err != nil {
		r.Fatal(err)
	}
	return log
}

func (r *rig) trim(partition int32, seq storage.Seq) {
	if err := r.log(partition).Trim(context.Background(), seq); err != nil {
		r.Fatal(err)
	}
}

// round lets an interval pass and delivers what is due.
func (r *rig) round() {
	r.advance(30 * time.Second)
	for range 4 {
		r.tasks.Pass()
	}
}

func (r *rig) status() transfer.Status {
	r.Helper()
	s, err := r.tasks.Get(streamID, "t")
	if err != nil {
		r.Fatal(err)
	}
	return s
}

// gaps shows the gaps of all tasks.
func (r *rig) gaps() string {
	var all []string
	for _, g := range r.tasks.Gaps(streamID) {
		all = append(all, fmt.Sprintf("%d-%d", g.First, g.Last))
	}
	return strings.Join(all, " ")
}

// objects returns what the bucket on a disk holds, by key.
func objects(t testing.TB, disk vfs.FS) map[string]string {
	t.Helper()
	all := make(map[string]string)
	var walk func(dir string)
	walk = func(dir string) {
		names, err := disk.ReadDir("obs/b" + dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if sub, isDir := strings.CutSuffix(name, "/"); isDir {
				walk(dir + "/" + sub)
				continue
			}
			if strings.HasSuffix(name, ".tmp") { // of a crash; not an object
				continue
			}
			data, err := vfs.ReadFile(disk, "obs/b"+dir+"/"+name)
			if err != nil {
				t.Fatal(err)
			}
			all[strings.TrimPrefix(dir+"/"+name, "/")] = string(data)
		}
	}
	walk("")
	return all
}

var objectName = regexp.MustCompile(`^(.*/)?s-t-shardId-(\d{10})-(\d+)-(\d+)\.txt$`)

// checkWhole compares all objects with all records that were put: nothing
// missing, nothing double, nothing changed.
func (r *rig) checkWhole(disk vfs.FS) {
	r.Helper()
	type part struct {
		first, last int
		content     string
	}
	parts := make(map[int32][]part)
	for key, content := range objects(r, disk) {
		m := objectName.FindStringSubmatch(key)
		if m == nil {
			r.Fatalf("object %s", key)
		}
		id, _ := strconv.Atoi(m[2])
		first, _ := strconv.Atoi(m[3])
		last, _ := strconv.Atoi(m[4])
		parts[int32(id)] = append(parts[int32(id)], part{first, last, content})
	}
	for id, sent := range r.sent {
		slices.SortFunc(parts[id], func(a, b part) int { return cmp.Compare(a.first, b.first) })
		next := 0
		for _, p := range parts[id] {
			if p.first != next || p.last >= len(sent) {
				r.Fatalf("partition %d: an object has %d to %d, %d is next of %d", id, p.first, p.last, next, len(sent))
			}
			if want := strings.Join(sent[p.first:p.last+1], "\n") + "\n"; p.content != want {
				r.Fatalf("partition %d: %d to %d is %q, want %q", id, p.first, p.last, p.content, want)
			}
			next = p.last + 1
		}
		if next != len(sent) {
			r.Fatalf("partition %d: %d of %d records are delivered", id, next, len(sent))
		}
	}
}

func TestDelivery(t *testing.T) {
	t.Attr("rules", "D-4 D-6 D-10 OBS-1 OBS-2 OBS-4 OBS-7")
	r := newRig(t, 2)
	r.put(0, "old")
	r.create(`,"file_prefix":"a/b","partition_format":"yyyy/MM/dd/HH/mm","record_delimiter":"|"`)
	r.put(0, "x", "y")
	r.put(1, "z")
	r.advance(29 * time.Second)
	r.tasks.Pass()
	if got := objects(t, r.disk); len(got) != 0 {
		t.Fatalf("before the interval ends: %v", got)
	}
	r.advance(time.Second)
	r.tasks.Pass()
	want := map[string]string{
		"a/b/2017/11/10/14/49/s-t-shardId-0000000000-1-2.txt": "x|y|",
		"a/b/2017/11/10/14/49/s-t-shardId-0000000001-0-0.txt": "z|",
	}
	if got := objects(t, r.disk); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("delivered\n%v want\n%v", got, want)
	}
	s := r.status()
	if p := s.Partitions[0]; s.State != transfer.Running || p.Next != 3 || p.Last != 2 || p.Delivered != r.now.UnixMilli() || p.Discarded != 0 {
		t.Errorf("status %+v", s)
	}
	r.round() // OBS-7
	if got := objects(t, r.disk); len(got) != len(want) {
		t.Errorf("an empty interval made an object: %v", got)
	}
}

func TestStrategy(t *testing.T) {
	t.Attr("rules", "TC-R7 D-5 E24-R2")
	r := newRig(t, 1)
	r.put(0, "a", "b")
	r.trim(0, 1)
	r.create(`,"consumer_strategy":"TRIM_HORIZON"`)
	r.scale() // a partition that appears later is read from its first record
	r.put(1, "c")
	r.round()
	if got := fmt.Sprint(objects(t, r.disk)); got != "map[s-t-shardId-0000000000-1-1.txt:b\n s-t-shardId-0000000001-0-0.txt:c\n]" {
		t.Errorf("objects %s", got)
	}
	if err := r.tasks.Delete(streamID, "t"); err != nil {
		t.Fatal(err)
	}
	if n := transfer.Rows(r.db, streamID); n != 0 {
		t.Errorf("%d tables keep something of a deleted task", n)
	}
	r.create("")
	if s := r.status(); s.Partitions[0].Next != 2 || s.Partitions[0].Last != -1 || s.Partitions[1].Next != 1 {
		t.Errorf("E24-R2: %+v", s.Partitions)
	}
}

func TestPartitionsEnd(t *testing.T) {
	t.Attr("rules", "D-5 D-9")
	r := newRig(t, 2)
	r.create("")
	r.put(0, "a")
	r.put(1, "b", "c")
	r.stream.Partitions = []kind.PartitionState{kind.Deleted, kind.Active}
	r.tasks.Pass() // a closed partition is drained at once
	if got := fmt.Sprint(objects(t, r.disk)); got != "map[s-t-shardId-0000000000-0-0.txt:a\n]" {
		t.Errorf("objects %s", got)
	}
	r.trim(1, 2)
	r.stream.Partitions = []kind.PartitionState{kind.Expired, kind.Expired}
	r.tasks.Pass()
	if s := r.status(); len(s.Partitions) != 0 {
		t.Errorf("expired partitions are shown: %+v", s)
	}
	if got := r.gaps(); got != "0-1" {
		t.Errorf("gaps %s", got)
	}
}

func TestLimitsSealEarly(t *testing.T) {
	t.Attr("rules", "D-6")
	for _, tt := range []struct {
		opts transfer.Options
		want string // lengths of batches
	}{
		{transfer.Options{MaxRecords: 3}, "3 3 3"},
		{transfer.Options{MaxBytes: 25}, "2 2 2 2 2"},
		{transfer.Options{MaxBytes: 5}, "1 1 1 1 1 1 1 1 1 1"}, // a record larger than a batch
	} {
		r := newRig(t, 1)
		r.opts = tt.opts
		r.open(r.disk)
		r.create("")
		for i := range 10 {
			r.put(0, fmt.Sprintf("record %03d", i))
		}
		for range 12 {
			r.tasks.Pass() // the clock stands still
		}
		var sizes []string
		next := storage.Seq(0)
		for key := range objects(t, r.disk) {
			m := objectName.FindStringSubmatch(key)
			first, _ := strconv.Atoi(m[3])
			last, _ := strconv.Atoi(m[4])
			sizes = append(sizes, strconv.Itoa(last-first+1))
			next = max(next, storage.Seq(last+1))
		}
		if got := strings.Join(sizes, " "); got != tt.want {
			t.Errorf("%+v: batches of %s, want %s", tt.opts, got, tt.want)
		}
		r.round()
		r.checkWhole(r.disk)
	}
}

func TestStopAndStart(t *testing.T) {
	t.Attr("rules", "E26-R2 E27-R1")
	r := newRig(t, 1)
	r.create("")
	r.put(0, "a")
	r.round()
	if err := r.tasks.Stop(streamID, []string{"t"}); err != nil {
		t.Fatal(err)
	}
	r.put(0, "b", "c", "d")
	r.round()
	if got := len(objects(t, r.disk)); got != 1 {
		t.Errorf("a stopped task made %d objects", got)
	}
	r.open(r.disk)
	if s := r.status(); s.State != transfer.Paused {
		t.Errorf("after a restart: %s", s.State)
	}
	r.trim(0, 3)
	if err := r.tasks.Start(streamID, []string{"t"}); err != nil {
		t.Fatal(err)
	}
	r.round()
	s := r.status()
	if p := s.Partitions[0]; p.Next != 4 || p.Discarded != 2 || s.State != transfer.Running {
		t.Errorf("E26-R2: %+v", s)
	}
	if got := objects(t, r.disk)["s-t-shardId-0000000000-3-3.txt"]; got != "d\n" {
		t.Errorf("E26-R2: delivered %v", objects(t, r.disk))
	}
	if got := r.gaps(); got != "1-2" {
		t.Errorf("gaps %s", got)
	}
}

// A store that fails.
type failing struct {
	kind.Store
	mu    sync.Mutex
	err   error
	after bool // the object is stored and the reply lost
	puts  int
}

func (f *failing) set(err error, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.after = err, after
}

func (f *failing) Put(ctx context.Context, bucket, key string, content []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.puts++
	if f.err != nil && !f.after {
		return f.err
	}
	return errors.Join(f.Store.Put(ctx, bucket, key, content), f.err)
}

func (r *rig) failing() *failing {
	f := &failing{Store: filestore.Open(filestore.Options{Dir: "obs", FS: r.disk})}
	r.opts.Store = f
	r.open(r.disk)
	return f
}

func TestRetries(t *testing.T) {
	t.Attr("rules", "D-8 D-11") // the states of 4.2
	r := newRig(t, 1)
	f := r.failing()
	r.create("")
	r.put(0, "a")
	f.set(errors.New("busy"), false)
	r.advance(30 * time.Second)
	for attempt, pause := range []int{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		r.tasks.Pass()
		r.tasks.Pass() // too early
		if f.puts != attempt+1 {
			t.Fatalf("%d attempts, want %d", f.puts, attempt+1)
		}
		if s := r.status(); s.State != transfer.Abnormal || s.Partitions[0].State != transfer.Abnormal || s.Error != "busy" || s.Partitions[0].Discarded != 0 {
			t.Fatalf("status %+v", s)
		}
		r.put(0, fmt.Sprint(attempt)) // must not get into the batch
		r.advance(time.Duration(pause) * time.Second)
	}
	r.advance(24 * time.Hour) // without end
	f.set(nil, false)
	r.tasks.Pass()
	if s := r.status(); s.State != transfer.Running || s.Partitions[0].Next != 1 {
		t.Errorf("status %+v", s)
	}
	r.round()
	r.checkWhole(r.disk)
	puts := f.puts
	r.open(r.disk)
	r.round()
	if f.puts != puts {
		t.Error("a batch that was passed went out again")
	}
}

func TestRefusal(t *testing.T) { // ERROR of 4.2, E26-R1, E48-R2
	r := newRig(t, 1)
	if err := r.disk.Mkdir("obs/c"); err != nil {
		t.Fatal(err)
	}
	r.create("")
	d, err := kinds.ParseUpdate(kind.OBS, json.RawMessage(`{"task_name":"t","obs_bucket_path":"c"}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.tasks.Update(t.Context(), streamID, d); err != nil {
		t.Fatal(err)
	}
	if err := r.disk.Remove("obs/c"); err != nil {
		t.Fatal(err)
	}
	r.put(0, "a")
	r.round()
	if s := r.status(); s.State != transfer.Failed || !strings.Contains(s.Error, "c") {
		t.Errorf("status %+v", s)
	}
	// A batch whose destination is gone follows the task to its new one.
	d.Members["obs_bucket_path"] = "b"
	if err := r.tasks.Update(t.Context(), streamID, d); err != nil {
		t.Fatal(err)
	}
	r.put(0, "b")
	r.round()
	if got := len(objects(t, r.disk)); got != 0 {
		t.Errorf("a task in ERROR made %d objects", got)
	}
	if err := r.tasks.Start(streamID, []string{"t"}); err != nil {
		t.Fatal(err)
	}
	r.round()
	r.checkWhole(r.disk)
	if s := r.status(); s.State != transfer.Running {
		t.Errorf("status %+v", s)
	}
}

// TestSchemaIsMended: a batch that is refused because of the stream's schema goes
// on when that was changed.
func TestSchemaIsMended(t *testing.T) {
	t.Attr("rules", "E8-R6 E26-R1")
	r := newRig(t, 1)
	d := &table{refuses: fmt.Errorf("%w: no such column", kind.ErrRefused)}
	r.load(d, "")
	r.put(0, "1,2")
	r.round()
	if s := r.status(); s.State != transfer.Failed {
		t.Fatalf("status %+v", s)
	}
	r.stream.Schema = `{"type":"record","name":"r","fields":[{"name":"a","type":"string"}]}`
	d.schema = r.stream.Schema
	if err := r.tasks.Start(streamID, []string{"t"}); err != nil {
		t.Fatal(err)
	}
	r.round()
	if s := r.status(); s.State != transfer.Running || fmt.Sprint(d.rows) != "[1,2]" {
		t.Errorf("the table has %v, status %+v", d.rows, s)
	}
}

// TestCrash takes the machine away at every call of the file system, keeps any
// part of what was not synced, starts again with other limits, and compares all
// that was delivered with all that was put.
func TestCrash(t *testing.T) {
	t.Attr("rules", "D-7 D-12")
	for n := 0; ; n++ {
		fired := false
		for seed := range uint64(3) {
			r := newRig(t, 2)
			fault := errfs.From(n)
			r.create(`,"partition_format":"yyyy/MM/dd/HH/mm"`)
			r.opts.MaxRecords = 3
			r.open(errfs.Wrap(r.disk, fault))
			for i := range 8 {
				r.put(int32(i%2), strings.Repeat(fmt.Sprint(i), 700)) // longer than a block
				r.tasks.Pass()
			}
			r.round()
			fired = fault.Fired()
			coin := rand.New(rand.NewPCG(seed, uint64(n)))
			after := r.disk.Crash(func() bool { return seed > 0 && coin.IntN(2) == 0 })
			r.put(0, "more")
			r.opts.MaxRecords = 5
			r.advance(time.Hour)
			r.open(after)
			r.round()
			r.checkWhole(after)
		}
		if !fired {
			if n < 30 {
				t.Fatalf("only %d calls", n)
			}
			return
		}
	}
}

// TestDirectoryFails has the directory of buckets fail without an end of the server:
// in one call, in all until it is mended, and by being full. Nothing is lost, double
// or left over, and the task says how it is.
func TestDirectoryFails(t *testing.T) {
	t.Attr("rules", "D-11")
	failed := 0
	run := func(t *testing.T, fault *errfs.Faults, capacity int64) {
		r := newRig(t, 2)
		r.create(`,"partition_format":"yyyy/MM/dd/HH/mm"`)
		r.opts.MaxRecords = 3
		r.open(errfs.Wrap(r.disk, fault))
		r.disk.SetCapacity(capacity)
		for i := range 8 {
			r.put(int32(i%2), strings.Repeat(fmt.Sprint(i), 700)) // longer than a block
			r.tasks.Pass()
		}
		r.round()
		if r.status().State == transfer.Abnormal {
			failed++
		}
		fault.Heal()
		r.disk.SetCapacity(0)
		r.advance(time.Hour)
		r.round()
		r.checkWhole(r.disk)
		if s := r.status(); s.State != transfer.Running {
			t.Errorf("status %+v", s)
		}
		if left := litter(t, r.disk, "obs"); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	for name, kind := range map[string]func(int) *errfs.Faults{"once": errfs.At, "for a time": errfs.From} {
		t.Run(name, func(t *testing.T) {
			for n := 0; ; n++ {
				fault := kind(n)
				if run(t, fault, 0); !fault.Fired() {
					break
				}
			}
		})
	}
	t.Run("full", func(t *testing.T) {
		for capacity := int64(100); capacity < 8000; capacity += 500 {
			run(t, errfs.None(), capacity)
		}
	})
	if failed < 20 {
		t.Errorf("the task failed only %d times", failed)
	}
}

// litter lists what is left of files that were not finished.
func litter(t *testing.T, disk vfs.FS, dir string) (all []string) {
	t.Helper()
	names, err := disk.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if sub, isDir := strings.CutSuffix(name, "/"); isDir {
			all = append(all, litter(t, disk, dir+"/"+sub)...)
		} else if strings.HasSuffix(name, ".tmp") {
			all = append(all, dir+"/"+name)
		}
	}
	return all
}

// A reply that is lost, after which everything is started again: the batch goes
// out again under its name, though more records are there.
func TestLostReply(t *testing.T) {
	t.Attr("rules", "D-7 D-12")
	for _, after := range []bool{false, true} {
		r := newRig(t, 1)
		f := r.failing()
		r.create("")
		r.put(0, "a", "b")
		f.set(errors.New("connection reset"), after)
		r.round()
		r.put(0, "c")
		f.set(nil, false)
		r.open(r.disk)
		r.round()
		r.checkWhole(r.disk)
	}
}

// Retention overtakes a batch that is on its way: whether it arrived decides
// whether it is a gap.
func TestRetentionOvertakesBatch(t *testing.T) {
	t.Attr("rules", "D-9")
	for _, tt := range []struct {
		arrived bool
		discard int64
		gaps    string
	}{{true, 0, ""}, {false, 2, "0-1"}} {
		r := newRig(t, 1)
		f := r.failing()
		r.create("")
		r.put(0, "a", "b")
		f.set(errors.New("connection reset"), tt.arrived)
		r.round()
		r.put(0, "c")
		r.trim(0, 2)
		f.set(nil, false)
		r.open(r.disk)
		r.round()
		s := r.status()
		if p := s.Partitions[0]; p.Discarded != tt.discard || p.Next != 3 || s.State != transfer.Running {
			t.Errorf("arrived %v: %+v", tt.arrived, s)
		}
		if got := r.gaps(); got != tt.gaps {
			t.Errorf("arrived %v: gaps %s", tt.arrived, got)
		}
		if got := objects(t, r.disk)["s-t-shardId-0000000000-2-2.txt"]; got != "c\n" {
			t.Errorf("arrived %v: %v", tt.arrived, objects(t, r.disk))
		}
	}
}

func TestBadRecords(t *testing.T) {
	t.Attr("rules", "D-3 D-9")
	r := newRig(t, 1)
	r.stream.Compression = "gzip"
	r.create(`,"file_prefix":"x"`)
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write([]byte("plain"))
	w.Close()
	r.put(0, z.String(), "not gzip", z.String())
	r.round()
	got := objects(t, r.disk)
	if got["x/s-t-shardId-0000000000-0-2.txt"] != "plain\nplain\n" {
		t.Errorf("delivered %v", got)
	}
	if want := `{"sequence_number":"1","reason":"unexpected EOF","data":"bm90IGd6aXA="}` + "\n"; got["x/obs_error/s-t-shardId-0000000000-0-2.bad.json"] != want {
		t.Errorf("set aside %v", got)
	}
	if s := r.status(); s.Partitions[0].Discarded != 1 || s.State != transfer.Running || s.Partitions[0].Next != 3 {
		t.Errorf("status %+v", s)
	}
}

func TestDirectoryOfTheRecord(t *testing.T) {
	t.Attr("rules", "OBS-3")
	r := newRig(t, 1)
	r.stream.DataType = "JSON"
	r.opts.Zone = time.FixedZone("UTC", 0)
	r.create(`,"partition_format":"yyyy/MM/dd","processing_schema":{"timestamp_name":"m.at","timestamp_type":"String","timestamp_format":"dd/MM/yyyy HH:mm:ss"}`)
	r.put(0, `{"m":{"at":"02/01/2020 03:04:05"}}`, `{"m.at":"03/01/2020 03:04:05"}`, `{}`, `{"m":{"at":"02/01/2020 23:59:59"}}`, `{"m":{"at":"2020"}}`, `no JSON`)
	r.round()
	want := map[string]string{
		"2020/01/02/s-t-shardId-0000000000-0-3.txt": `{"m":{"at":"02/01/2020 03:04:05"}}` + "\n" + `{"m":{"at":"02/01/2020 23:59:59"}}` + "\n",
		"2020/01/03/s-t-shardId-0000000000-1-1.txt": `{"m.at":"03/01/2020 03:04:05"}` + "\n",
		"2017/11/10/s-t-shardId-0000000000-2-5.txt": "{}\n" + `{"m":{"at":"2020"}}` + "\nno JSON\n",
	}
	if got := objects(t, r.disk); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("delivered\n%v want\n%v", got, want)
	}
}

// TestTrouble: whoever reads the log, or asks, learns why a task fails, which task and
// which stream it is: also when a batch is diverted at once.
func TestTrouble(t *testing.T) { // DLI-45
	for _, retry := range []string{"0", "7200"} {
		r := newRig(t, 1)
		var log bytes.Buffer
		r.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
		d := &table{err: errors.New("closed for repairs")}
		r.load(d, `,"retry_duration":`+retry)
		r.put(0, "1,2")
		r.round()
		for _, want := range []string{"task=t", "stream=s", "project=p", "partition=0", "closed for repairs"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("retry_duration %s: the log has no %s: %s", retry, want, &log)
			}
		}
		d.err = nil
		r.put(0, "3,4")
		r.advance(time.Minute)
		r.round()
		s := r.status()
		if p := s.Partitions[0]; s.State != transfer.Running || p.Attempts != 0 || !strings.Contains(p.LastError, "closed for repairs") || p.Failed == 0 {
			t.Errorf("retry_duration %s: after the next success: %+v", retry, s)
		}
	}
}

// TestPowerCut: a log has lost records that a task had delivered, or was about to. What
// gets their numbers is delivered.
func TestPowerCut(t *testing.T) { // D-12
	for _, begun := range []bool{false, true} {
		r := newRig(t, 1)
		r.create("")
		r.put(0, "a0", "a1")
		r.round()
		r.put(0, "a2", "a3")
		if begun {
			r.open(errfs.Wrap(r.disk, errfs.From(0)))
		}
		r.round()
		r.engine = memory.Open(memory.Options{Now: r.clock})
		if err := r.engine.Create(t.Context(), storage.LogID{Stream: streamID}); err != nil {
			t.Fatal(err)
		}
		r.put(0, "a0", "a1")
		r.open(r.disk)
		r.put(0, "B2", "B3", "B4")
		r.advance(time.Minute)
		r.round()
		if got := objects(t, r.disk)["s-t-shardId-0000000000-2-4.txt"]; got != "B2\nB3\nB4\n" {
			t.Errorf("begun %t: objects %v", begun, objects(t, r.disk))
		}
		if p := r.status().Partitions[0]; p.Next != 5 || p.Last != 4 {
			t.Errorf("begun %t: %+v", begun, p)
		}
	}
}

// TestExpansion: a batch is as large as what its records become, not as they came in.
func TestExpansion(t *testing.T) { // D-6
	r := newRig(t, 1)
	r.opts.MaxBytes = 100_000
	r.stream.Compression = "gzip"
	r.open(r.disk)
	r.create("")
	for range 10 {
		r.put(0, gzipped(strings.Repeat("x", 40_000)))
	}
	r.round()
	r.round()
	var sizes []int
	for _, content := range objects(t, r.disk) {
		sizes = append(sizes, len(content))
	}
	if slices.Sort(sizes); fmt.Sprint(sizes) != "[80002 80002 80002 80002 80002]" {
		t.Errorf("objects of %v bytes", sizes)
	}
}

// TestManyDirectories: a batch that is split becomes no more files than fit.
func TestManyDirectories(t *testing.T) { // OBS-3, D-6
	r := newRig(t, 1)
	r.opts.MaxBytes = 100_000
	r.stream.DataType = "JSON"
	r.open(r.disk)
	r.create(`,"partition_format":"yyyy/MM/dd/HH/mm","processing_schema":{"timestamp_name":"at","timestamp_type":"Timestamp"}`)
	for i := range 30 {
		r.put(0, fmt.Sprintf(`{"at":%d}`, 1_577_934_245_000+int64(i)*60_000))
	}
	r.advance(30 * time.Second)
	r.tasks.Pass()
	if n := len(objects(t, r.disk)); n < 10 || n > 15 {
		t.Errorf("a batch became %d files", n)
	}
	r.round()
	if n := len(objects(t, r.disk)); n != 30 {
		t.Errorf("%d files, want 30", n)
	}
}

// A table is a destination with retry_duration, which fails as told and rejects
// empty records. Like a database it knows which batches it has.
type table struct {
	kind.Plain
	mu       sync.Mutex
	password string // that it wants
	err      error  // it cannot be reached
	refuses  error  // nor load anything, unless the stream has the schema
	schema   string
	commit   error // nor answers to a commit, after which the batch is there if it arrives
	arrives  bool
	stages   bool // each batch, and leaves it there
	rows     []string
	loaded   map[storage.Seq]bool // first numbers
}

func (d *table) Check(context.Context, kind.Target) error { return nil }
func (d *table) Open(_ context.Context, t kind.Target) (kind.Sink, error) {
	if t.Secret != d.password {
		return nil, fmt.Errorf("password %q", t.Secret)
	}
	return d, nil
}
func (d *table) Deliver(ctx context.Context, b kind.Batch) (done kind.Receipt, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stages {
		bucket, key := b.Staged(".csv")
		if err := b.Target.Store.Put(ctx, bucket, key, kind.Delimited(b.Records, "\n")); err != nil {
			return done, err
		}
	}
	if d.err != nil {
		return done, d.err
	}
	if d.loaded[b.First] {
		return done, nil
	}
	if d.refuses != nil && (d.schema == "" || d.schema != b.Target.Stream.Schema) {
		return done, d.refuses
	}
	if err := b.Committing(); err != nil {
		return done, err
	}
	if d.commit != nil && !d.arrives {
		return done, d.commit
	}
	for _, rec := range b.Records {
		if len(rec.Data) == 0 {
			done.Rejected++
			continue
		}
		d.rows = append(d.rows, string(rec.Data))
	}
	if d.loaded == nil {
		d.loaded = make(map[storage.Seq]bool)
	}
	d.loaded[b.First] = true
	return done, d.commit
}
func (d *table) Clean(ctx context.Context, b kind.Batch) error {
	bucket, key := b.Staged(".csv")
	return errors.Join(b.Target.Store.Delete(ctx, bucket, key), b.Target.Store.Abandon(ctx, bucket, key))
}
func (d *table) Delivered(_ context.Context, b kind.Batch) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil || d.commit != nil {
		return false, errors.New("cannot be asked")
	}
	return d.loaded[b.First], nil
}

// load makes a DWS task "t" with more members, that delivers to d.
func (r *rig) load(d *table, members string) {
	r.Helper()
	d.password, r.stream.DataType = "secret", "CSV"
	r.opts.Kinds = served(d, kind.DWS)
	r.open(r.disk)
	desc, err := kinds.Parse(kind.DWS, json.RawMessage(`{"task_name":"t","agency_name":"a","deliver_time_interval":30,"dws_cluster_name":"c",
		"dws_cluster_id":"c","dws_database_name":"d","dws_schema":"s","dws_table_name":"t","dws_delimiter":",","user_name":"u","user_password":"secret",
		"kms_user_key_name":"k","kms_user_key_id":"k","obs_bucket_path":"b"`+members+`}`))
	if err != nil {
		r.Fatal(err)
	}
	if err := r.tasks.Create(r.Context(), streamID, desc); err != nil {
		r.Fatal(err)
	}
}

func TestErrorDirectory(t *testing.T) {
	t.Attr("rules", "D-8 D-9 DWS-9")
	for _, retry := range []int{0, 10} {
		r := newRig(t, 1)
		d := &table{err: errors.New("no such relation")}
		f := r.failing()
		r.load(d, `,"file_prefix":"p","retry_duration":`+strconv.Itoa(retry))
		r.put(0, "1,2", "3,4")
		r.advance(30 * time.Second)
		if retry > 0 {
			r.tasks.Pass()
			if s := r.status(); s.State != transfer.Abnormal || s.Partitions[0].Next != 0 {
				t.Errorf("status %+v", s)
			}
			r.advance(time.Duration(retry) * time.Second)
		}
		f.set(errors.New("bucket busy"), false) // the batch stays pending, and stays diverted
		r.tasks.Pass()
		d.err = nil
		f.set(nil, false)
		r.open(r.disk)
		r.tasks.Pass()
		s := r.status()
		if p := s.Partitions[0]; s.State != transfer.Abnormal || p.Discarded != 2 || p.Next != 2 || p.Last != -1 || p.Delivered != 0 {
			t.Errorf("retry %d: status %+v", retry, s)
		}
		if got := fmt.Sprint(objects(t, r.disk)); got != "map[p/dws_error/s-t-shardId-0000000000-0-1.csv:1,2\n3,4\n]" {
			t.Errorf("retry %d: %s", retry, got)
		}
		r.put(0, "5,6", "") // DWS-7: what the table rejects is discarded
		r.round()
		if s := r.status(); s.State != transfer.Running || fmt.Sprint(d.rows) != "[5,6]" || s.Partitions[0].Discarded != 3 {
			t.Errorf("retry %d: the table has %v, status %+v", retry, d.rows, s)
		}
	}
}

// TestRetryOutlivesRestarts: a server that ends again and again gives up no later,
// and an owner who starts the task gives it the whole time again.
func TestRetryOutlivesRestarts(t *testing.T) {
	t.Attr("rules", "D-8 Q-13")
	for _, tt := range []struct {
		started bool
		want    string
	}{{false, "0s 40s 80s 120s"}, {true, "0s 40s 80s 120s 160s 200s"}} {
		r := newRig(t, 1)
		d := &table{err: errors.New("down")}
		r.load(d, `,"retry_duration":100`)
		r.put(0, "1,2")
		r.advance(30 * time.Second)
		begun := r.now
		var attempts []string
		for len(objects(t, r.disk)) == 0 && len(attempts) < 10 {
			r.tasks.Pass()
			attempts = append(attempts, r.now.Sub(begun).String())
			r.advance(40 * time.Second)
			r.open(r.disk)
			if tt.started && len(attempts) == 2 {
				if err := r.tasks.Start(streamID, []string{"t"}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := strings.Join(attempts, " "); got != strings.NewReplacer("80s", "1m20s", "120s", "2m0s", "160s", "2m40s", "200s", "3m20s").Replace(tt.want) {
			t.Errorf("started %v: attempts at %s, want %s", tt.started, got, tt.want)
		}
	}
}

// TestUnclearCommit: what the destination may have, though it did not say so, goes
// to the error directory only when it says that it does not.
func TestUnclearCommit(t *testing.T) { // D13, D-8
	for _, tt := range []struct {
		name    string
		arrived bool
		restart bool
		want    string // rows, objects
	}{
		{"it has the batch", true, false, "[1,2] map[]"},
		{"it does not", false, false, "[] map[dws_error/s-t-shardId-0000000000-0-0.csv:1,2\n]"},
		{"it has the batch, and the server ended", true, true, "[1,2] map[]"},
	} {
		r := newRig(t, 1)
		d := &table{commit: errors.New("no answer"), arrives: tt.arrived}
		r.load(d, `,"retry_duration":0`)
		r.put(0, "1,2")
		r.advance(30 * time.Second)
		r.tasks.Pass()
		d.commit, d.err = nil, errors.New("not reachable")
		for range 3 {
			if tt.restart {
				r.open(r.disk)
			}
			r.advance(time.Hour)
			r.tasks.Pass()
			if s := r.status(); s.State != transfer.Abnormal || s.Partitions[0].Next != 0 || len(objects(t, r.disk)) > 0 {
				t.Errorf("%s: while that is not known: %+v, %v", tt.name, s, objects(t, r.disk))
			}
		}
		d.err, d.refuses = nil, errors.New("not now")
		r.advance(time.Hour)
		r.tasks.Pass()
		d.refuses = nil
		r.advance(time.Hour)
		r.tasks.Pass()
		if got := fmt.Sprint(d.rows, objects(t, r.disk)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestStreamIsDeleted(t *testing.T) {
	t.Attr("rules", "E5-R5")
	r := newRig(t, 1)
	r.create("")
	r.put(0, "a")
	r.round()
	if transfer.Rows(r.db, streamID) == 0 {
		t.Fatal("nothing is stored")
	}
	if err := r.db.Update(func(tx catalog.Tx) error { return transfer.ForgetStream(tx, streamID) }); err != nil {
		t.Fatal(err)
	}
	r.put(0, "b")
	r.round() // still described: the task notices that its row is gone
	r.gone = true
	r.round()
	if n := transfer.Rows(r.db, streamID); n != 0 {
		t.Errorf("%d tables keep something of a deleted stream", n)
	}
	if got := objects(t, r.disk); len(got) != 1 {
		t.Errorf("objects %v", got)
	}
	if s := r.tasks.Stats(t.Context()); len(s) != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestStats(t *testing.T) {
	r := newRig(t, 1)
	r.stream.Retention = 24 * time.Hour
	r.create("")
	r.put(0, "abc", "de")
	r.round()
	r.put(0, "f")
	r.advance(5 * time.Second)
	got := r.tasks.Stats(t.Context())
	want := transfer.Stat{
		Project: "p", StreamID: streamID, Stream: "s", Task: "t", Type: kind.OBS, State: transfer.Running,
		Batches: 1, Records: 2, Bytes: 5, Lag: 1, LagTime: 5 * time.Second, UntilLoss: 24*time.Hour - 5*time.Second,
	}
	if len(got) != 1 || got[0] != want {
		t.Errorf("stats\n%+v want\n%+v", got, want)
	}
}

// Run delivers by itself, and when told to stop waits for what is on its way.
func TestRun(t *testing.T) {
	r := newRig(t, 1)
	r.opts.Tick = time.Millisecond
	f := r.failing()
	if r.create(""); r.status().State != transfer.Starting {
		t.Errorf("before Run: %s", r.status().State)
	}
	delivered := make(chan struct{})
	r.opts.Store = &notifying{f, delivered}
	r.open(r.disk)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.tasks.Run(ctx) }()
	r.put(0, "a")
	r.advance(30 * time.Second)
	<-delivered // the put is under way
	stop()
	<-delivered
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if s := r.status(); s.Partitions[0].Next != 1 {
		t.Errorf("after the stop: %+v", s)
	}
	r.checkWhole(r.disk)
}

// notifying tells when a put begins and waits until it is told to go on.
type notifying struct {
	kind.Store
	turn chan struct{}
}

func (n *notifying) Put(ctx context.Context, bucket, key string, content []byte) error {
	n.turn <- struct{}{}
	n.turn <- struct{}{}
	return n.Store.Put(ctx, bucket, key, content)
}

// A store that does not answer until its caller gives up.
type hanging struct {
	kind.Store
	begun chan struct{}
}

func (h *hanging) Put(ctx context.Context, _, _ string, _ []byte) error {
	close(h.begun)
	<-ctx.Done()
	return ctx.Err()
}

func TestStopGivesBack(t *testing.T) {
	t.Attr("rules", "E27-R1 E24-R1")
	r := newRig(t, 1)
	h := &hanging{filestore.Open(filestore.Options{Dir: "obs", FS: r.disk}), make(chan struct{})}
	r.opts.Store, r.opts.Grace, r.opts.Tick = h, time.Millisecond, time.Millisecond
	r.open(r.disk)
	r.create("")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.tasks.Run(ctx) }()
	r.put(0, "a", "b")
	r.advance(30 * time.Second)
	<-h.begun
	if err := r.tasks.Stop(streamID, []string{"t"}); err != nil {
		t.Fatal(err)
	}
	if s := r.status(); s.State != transfer.Paused || s.Partitions[0].Next != 0 {
		t.Errorf("after the stop: %+v", s)
	}
	stop()
	<-ended
	r.put(0, "c")
	r.opts.Store = nil
	r.open(r.disk)
	if err := r.tasks.Start(streamID, []string{"t"}); err != nil {
		t.Fatal(err)
	}
	r.round()
	r.checkWhole(r.disk)
}

// Everything at once: records arrive, time passes, the store fails now and then,
// and the task is stopped, started, changed and looked at.
func TestEverythingAtOnce(t *testing.T) {
	r := newRig(t, 3)
	r.opts.Tick, r.opts.MaxRecords, r.opts.Workers = time.Millisecond, 7, 2
	f := r.failing()
	r.create("")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.tasks.Run(ctx) }()
	var going sync.WaitGroup
	meddle := func(n int, fn func(i int) error) {
		going.Go(func() {
			for i := range n {
				if err := fn(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	meddle(300, func(i int) error { r.put(int32(i%3), fmt.Sprint(i)); r.advance(time.Second); return nil })
	meddle(50, func(int) error { return r.tasks.Stop(streamID, []string{"t"}) })
	meddle(50, func(int) error { return r.tasks.Start(streamID, []string{"t"}) })
	meddle(50, func(i int) error {
		d, err := kinds.ParseUpdate(kind.OBS, json.RawMessage(fmt.Sprintf(`{"task_name":"t","file_prefix":"p%d"}`, i%3)))
		return errors.Join(err, r.tasks.Update(ctx, streamID, d))
	})
	meddle(100, func(i int) error {
		f.set(map[bool]error{true: errors.New("busy")}[i%3 == 0], i%2 == 0)
		r.status()
		r.tasks.Stats(ctx)
		return nil
	})
	going.Wait()
	f.set(nil, false)
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := r.tasks.Start(streamID, []string{"t"}); err != nil {
		t.Fatal(err)
	}
	r.advance(time.Hour)
	for range 100 {
		r.tasks.Pass()
	}
	r.checkWhole(r.disk)
}

func TestSecretsAtRest(t *testing.T) {
	t.Attr("rules", "E25-R2")
	r := newRig(t, 1)
	first, second := bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{8}, 32)
	r.opts.Keys = [][]byte{first}
	r.load(&table{}, "")
	if text := fmt.Sprintf("%+v", r.status()); strings.Contains(text, "secret") {
		t.Errorf("shown: %s", text)
	}
	r.put(0, "1")
	r.round()
	if s := r.status(); s.State != transfer.Running {
		t.Errorf("status %+v", s)
	}
	for i, keys := range [][][]byte{{second, first}, {second}} { // the second one was put in front, and the first one removed
		r.opts.Keys = keys
		r.open(r.disk)
		r.put(0, strconv.Itoa(2+i))
		r.round()
		if s := r.status(); s.State != transfer.Running {
			t.Errorf("with %d keys: %+v", len(keys), s)
		}
	}
	r.opts.Keys = [][]byte{first}
	r.open(r.disk)
	r.put(0, "4")
	r.round()
	if s := r.status(); s.State != transfer.Abnormal || !strings.Contains(s.Error, "another key") {
		t.Errorf("with another key: %+v", s)
	}
}

// TestAgency has a task deliver with what its agency reaches, which may change.
func TestAgency(t *testing.T) { // 4.2 agency_name, DIS.4335
	r := newRig(t, 1)
	own, theirs := filestore.Open(filestore.Options{Dir: "obs", FS: r.disk}), vfs.NewMem()
	for _, dir := range []string{"obs", "obs/b"} {
		if err := theirs.Mkdir(dir); err != nil {
			t.Fatal(err)
		}
	}
	known := true
	r.opts.Store = own
	r.opts.Agency = func(project, name string) (kind.Store, error) {
		if project != "p" || name != "a" || !known {
			return nil, kind.ErrAgency
		}
		return filestore.Open(filestore.Options{Dir: "obs", FS: theirs}), nil
	}
	r.open(r.disk)
	r.create("")
	r.put(0, "x")
	known = false
	r.round()
	if s := r.status(); s.State != transfer.Failed || !strings.Contains(s.Error, "agency") {
		t.Errorf("without its agency: %+v", s)
	}
	known = true
	if err := r.tasks.Start(streamID, []string{"t"}); err != nil {
		t.Fatal(err)
	}
	r.round()
	r.checkWhole(theirs)
	if got := objects(t, r.disk); len(got) != 0 {
		t.Errorf("delivered with the server's own credentials: %v", got)
	}
	other, err := kinds.Parse(kind.OBS, json.RawMessage(`{"task_name":"u","agency_name":"other","obs_bucket_path":"b"}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.tasks.Create(t.Context(), streamID, other); !errors.Is(err, kind.ErrAgency) {
		t.Errorf("an unknown agency: %v", err)
	}
}
