package segment

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"disd/internal/storage"
	"disd/internal/storage/storagetest"
	"disd/internal/storage/vfs"
)

// cpuTime returns the processor time this process has used, in user code and
// in the kernel.
func cpuTime() (user, kernel time.Duration) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano()), time.Duration(r.Stime.Nano())
}

// load is one way to append.
type load struct {
	name              string
	appenders         int
	records, dataSize int
}

var loads = []load{
	{"64 appenders of 1 KiB", 64, 1, 1024},
	{"16 appenders of 100 KiB", 16, 100, 1024},
}

// run calls append from all appenders, b.N times together, and reports rates
// and processor time.
func (l load) run(b *testing.B, append func(appender, i int, recs []storage.Record)) {
	recs := make([]storage.Record, l.records)
	for i := range recs {
		recs[i].Data = make([]byte, l.dataSize)
		for j := range recs[i].Data {
			recs[i].Data[j] = byte(i*j + j>>3)
		}
	}
	b.SetBytes(int64(l.records * l.dataSize))
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	user, kernel := cpuTime()
	for a := range l.appenders {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= b.N {
					return
				}
				append(a, i, recs)
			}
		})
	}
	wg.Wait()
	user2, kernel2 := cpuTime()
	b.ReportMetric(float64((user2-user).Microseconds())/float64(b.N), "µs-user/op")
	b.ReportMetric(float64((kernel2-kernel).Microseconds())/float64(b.N), "µs-kernel/op")
}

// BenchmarkCommit compares the two ways to make appends to many partitions
// durable that were considered (docs/design.md, D2). The interleaved one is
// the engine; its figures include writing the segments behind the commit log,
// all of it. The parallel one is the least that the other design could do: one
// preallocated file per partition, group commit and fdatasync in each.
func BenchmarkCommit(b *testing.B) {
	for _, partitions := range []int{1, 50, 200} {
		for _, l := range loads {
			name := fmt.Sprintf("%d partitions, %s", partitions, l.name)
			b.Run("interleaved, "+name, func(b *testing.B) { benchEngine(b, partitions, l) })
			b.Run("parallel, "+name, func(b *testing.B) { benchParallel(b, partitions, l) })
		}
	}
}

func benchEngine(b *testing.B, partitions int, l load) {
	e, err := Open(Options{Dir: b.TempDir() + "/logs"})
	if err != nil {
		b.Fatal(err)
	}
	logs := make([]storage.Log, partitions)
	for i := range logs {
		if err := e.Create(ctx, storagetest.ID(i)); err != nil {
			b.Fatal(err)
		}
		if logs[i], err = e.Open(ctx, storagetest.ID(i)); err != nil {
			b.Fatal(err)
		}
	}
	l.run(b, func(_, i int, recs []storage.Record) {
		batch := &storage.Batch{Log: logs[i%partitions], Records: recs}
		e.Append(ctx, []*storage.Batch{batch})
		if batch.Err != nil {
			b.Error(batch.Err)
		}
	})
	if err := e.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(e.Stats().Groups)/float64(b.N), "commits/op")
}

// lane is one partition of the parallel design.
type lane struct {
	mu      sync.Mutex
	f       vfs.File
	bufs    [][]byte
	done    chan struct{}
	writing bool
	pos     int64
	err     error
}

const laneSize = 64 << 20

func benchParallel(b *testing.B, partitions int, l load) {
	lanes := make([]*lane, partitions)
	dir := b.TempDir()
	for i := range lanes {
		f, err := vfs.OS.OpenFile(fmt.Sprintf("%s/%d", dir, i), vfs.Create)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		if err := f.Allocate(0, laneSize); err != nil {
			b.Fatal(err)
		}
		lanes[i] = &lane{f: f, done: make(chan struct{})}
	}
	l.run(b, func(_, i int, recs []storage.Record) {
		_, size, err := check(recs)
		if err != nil {
			b.Error(err)
		}
		buf := make([]byte, size)
		encodeAppend(buf, &storage.Batch{Records: recs}, 0)
		if err := lanes[i%partitions].append(buf); err != nil {
			b.Error(err)
		}
	})
}

// append commits buf. The first to come writes, for everyone who comes while
// it does, too.
func (l *lane) append(buf []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bufs = append(l.bufs, buf)
	if done := l.done; l.writing {
		l.mu.Unlock()
		<-done
		l.mu.Lock()
		return l.err
	}
	l.writing = true
	for len(l.bufs) > 0 && l.err == nil {
		l.commitLocked()
	}
	l.writing = false
	return l.err
}

// commitLocked writes what is queued. It lets go of l.mu meanwhile.
func (l *lane) commitLocked() {
	bufs, done, pos := l.bufs, l.done, l.pos
	l.bufs, l.done = nil, make(chan struct{})
	for _, b := range bufs {
		l.pos += int64(len(b))
	}
	if l.pos > laneSize {
		l.pos = 0
	}
	l.mu.Unlock()
	err := l.f.WriteAt(bufs, pos)
	if err == nil {
		err = l.f.Sync()
	}
	l.mu.Lock()
	l.err = err
	close(done)
}

// BenchmarkAppend appends to a disk that does nothing: what remains is the
// cost of the engine itself.
func BenchmarkAppend(b *testing.B) {
	for _, l := range loads {
		b.Run(l.name, func(b *testing.B) {
			e, err := Open(Options{Dir: "data", FS: idleFS{vfs.NewMem()}, CommitLogSize: 256 << 20})
			if err != nil {
				b.Fatal(err)
			}
			if err := e.Create(ctx, storagetest.ID(0)); err != nil {
				b.Fatal(err)
			}
			log, err := e.Open(ctx, storagetest.ID(0))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			l.run(b, func(_, _ int, recs []storage.Record) {
				batch := &storage.Batch{Log: log, Records: recs}
				e.Append(ctx, []*storage.Batch{batch})
				if batch.Err != nil {
					b.Error(batch.Err)
				}
			})
			if err := e.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// idleFS takes what is written for written.
type idleFS struct{ *vfs.Mem }

func (fs idleFS) OpenFile(name string, mode vfs.Mode) (vfs.File, error) {
	f, err := fs.Mem.OpenFile(name, mode)
	return idleFile{f}, err
}

type idleFile struct{ vfs.File }

func (f idleFile) WriteSync(bufs [][]byte, off int64) error {
	if off == 0 && len(bufs) == 1 {
		return f.File.WriteSync(bufs, off) // the manifest
	}
	return nil
}
func (f idleFile) WriteAt([][]byte, int64) error { return nil }
func (f idleFile) Allocate(int64, int64) error   { return nil }

// BenchmarkRead reads about 1 MiB at a time, from memory and from files.
func BenchmarkRead(b *testing.B) {
	const size = 32 << 20
	for _, where := range []string{"tail", "segments"} {
		b.Run(where, func(b *testing.B) {
			dir := b.TempDir() + "/logs"
			e, err := Open(Options{Dir: dir, IdleFlush: -1})
			if err != nil {
				b.Fatal(err)
			}
			if err := e.Create(ctx, storagetest.ID(0)); err != nil {
				b.Fatal(err)
			}
			l, _ := e.Open(ctx, storagetest.ID(0))
			recs := make([]storage.Record, 100)
			for i := range recs {
				recs[i].Data = make([]byte, 1024)
			}
			for n := 0; n < size; n += 100 << 10 {
				batch := &storage.Batch{Log: l, Records: recs}
				e.Append(ctx, []*storage.Batch{batch})
				if batch.Err != nil {
					b.Fatal(batch.Err)
				}
			}
			if where == "segments" {
				if err := e.Close(); err != nil {
					b.Fatal(err)
				}
				if e, err = Open(Options{Dir: dir}); err != nil {
					b.Fatal(err)
				}
				l, _ = e.Open(ctx, storagetest.ID(0))
			}
			defer e.Close()
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			var c storage.Chunk
			seq := storage.Seq(0)
			for b.Loop() {
				if err := l.Read(ctx, seq, storage.Limit{Records: 10000, Bytes: 1 << 20}, &c); err != nil {
					b.Fatal(err)
				}
				seq += storage.Seq(len(c.Records))
				if len(c.Records) < 1024 {
					seq = 0
				}
			}
		})
	}
}

// BenchmarkOpen opens and closes a directory that holds nothing.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir() + "/logs"
	if err := os.Mkdir(dir, 0o750); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		e, err := Open(Options{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
