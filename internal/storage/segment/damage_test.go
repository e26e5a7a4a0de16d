package segment

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"disd/internal/storage"
	"disd/internal/storage/storagetest"
	"disd/internal/storage/vfs"
)

// still returns the disk of an engine that was killed after script, with
// everything it had written, and that of one that was closed.
func still(t *testing.T, o Options, script func(*user)) (killed, closed *vfs.Mem, notes *ledger) {
	t.Helper()
	disk := vfs.NewMem()
	o.FS = disk
	e, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	u := &user{t: t, e: e, rng: rand.New(rand.NewPCG(4, 2)), ledger: &ledger{logs: map[storage.LogID]promise{}}}
	script(u)
	killed = disk.Clone()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return killed, disk, u.ledger
}

// roomy keeps everything in the commit log until Close.
func roomy() Options {
	return Options{Dir: "data", CommitLogSize: 48 << 10, SegmentSize: 24 << 10, IdleFlush: -1}
}

// groupsOf returns the commit log file that has groups, and these.
func groupsOf(t *testing.T, disk *vfs.Mem) *commitLog {
	t.Helper()
	r, err := recoverDir(disk, "data")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.files {
		if len(c.groups) > 0 {
			return c
		}
	}
	t.Fatal("no groups")
	return nil
}

// alter changes the bytes [from, to) of a file behind everyone's back.
func alter(t *testing.T, disk *vfs.Mem, name string, from, to int64, change func(byte) byte) {
	t.Helper()
	f, err := disk.OpenFile(name, vfs.Write)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, to-from)
	if _, err := f.ReadAt(b, from); err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] = change(b[i])
	}
	if err := f.WriteSync([][]byte{b}, from); err != nil {
		t.Fatal(err)
	}
}

func zero(byte) byte { return 0 }

func flip(i int64) func(byte) byte { return func(b byte) byte { return b ^ 1<<(i%8) } }

// content returns where the bytes of a group end that mean anything.
func content(g *groupAt) int64 {
	return g.pos + groupHeader + int64(g.bodies+g.entries*entrySize)
}

// TestTornTail cuts the last group at every byte, and flips a bit in every one
// of its bytes. The group is then dropped as if it had never been written, and
// everything before it is there.
func TestTornTail(t *testing.T) {
	t.Parallel()
	id := storagetest.ID(0)
	disk, _, notes := still(t, roomy(), func(u *user) {
		u.create(id)
		u.append(id)
		last := []storage.Record{{Key: []byte("key"), Data: bytes.Repeat([]byte("data"), 150)}}
		b := &storage.Batch{Log: u.open(id), Records: last}
		u.e.Append(ctx, []*storage.Batch{b})
		u.set(id, func(p *promise) { p.maybe = last })
	})
	c := groupsOf(t, disk)
	last := &c.groups[len(c.groups)-1]
	for at := last.pos; at < content(last); at++ {
		cut, flipped := disk.Clone(), disk.Clone()
		alter(t, cut, c.name, at, c.end(), zero)
		checkRestart(t, fmt.Sprintf("cut at %d", at), cut, notes)
		alter(t, flipped, c.name, at, at+1, flip(at))
		checkRestart(t, fmt.Sprintf("flipped at %d", at), flipped, notes)
	}
	whole := len(notes.logs[id].recs) + 1
	checkCount(t, disk.Clone(), id, whole)
	alter(t, disk, c.name, content(last)-1, content(last), flip(0))
	checkCount(t, disk, id, whole-1)
}

// checkCount checks the number of records an engine finds.
func checkCount(t *testing.T, disk *vfs.Mem, id storage.LogID, want int) {
	t.Helper()
	e := mustOpen(t, disk)
	defer e.Close()
	l, err := e.Open(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, next := l.Bounds(); int(next) != want {
		t.Errorf("%d records, want %d", next, want)
	}
}

// TestDamagedCommit flips a bit in every byte of a group that others follow.
// The log with records in it stops there, the other one does not notice, and
// the file is kept.
func TestDamagedCommit(t *testing.T) {
	t.Parallel()
	a, b := storagetest.ID(0), storagetest.ID(1)
	disk, _, notes := still(t, roomy(), func(u *user) {
		u.create(a)
		u.create(b)
		for range 3 {
			u.append(a)
			u.append(b)
		}
	})
	c := groupsOf(t, disk)
	hit := &c.groups[4] // the second append to a
	damaged := 0
	for at := hit.pos; at < content(hit); at++ {
		if n := at - hit.pos; n > 200 && n%7 != 0 && content(hit)-at > 200 {
			continue // the middle of a record
		}
		d := disk.Clone()
		alter(t, d, c.name, at, at+1, flip(at))
		e, err := Open(roomyOn(d))
		if err != nil {
			t.Fatal(err)
		}
		u := &user{t: t, e: e, rng: rand.New(rand.NewPCG(1, 1)), ledger: notes.copy()}
		if err := u.check(b); err != nil {
			t.Fatalf("flipped at %d: the other log: %v", at, err)
		}
		u.append(b)
		if u.check(a) != nil {
			damaged++
			checkGap(t, u, a, c.name)
			u.e.Close()
			checkAside(t, d, c.name)
			u.e = mustOpen(t, d) // the manifest knows the gap now
			checkGap(t, u, a, "")
			if err := u.check(b); err != nil {
				t.Fatalf("flipped at %d: the other log, after a restart: %v", at, err)
			}
		}
		u.e.Close()
	}
	if damaged == 0 {
		t.Error("no flipped bit was noticed")
	}
}

func roomyOn(disk *vfs.Mem) Options {
	o := roomy()
	o.FS = disk
	return o
}

// checkGap checks a log that lost records in the middle: it tells so when they
// are read and when something is appended, and has all others. Once the gap
// is trimmed away, it takes appends again.
func checkGap(t *testing.T, u *user, id storage.LogID, file string) {
	t.Helper()
	l, want := u.open(id), u.logs[id].recs
	missing, after := 0, storage.Seq(0)
	var c storage.Chunk
	for seq := range want {
		err := l.Read(ctx, storage.Seq(seq), storage.Limit{Records: 1, Bytes: 1 << 20}, &c)
		if err == nil && len(c.Records) == 1 && storagetest.Equal(&c.Records[0], &want[seq]) {
			continue
		}
		wantCorrupt(t, "read", err, file)
		missing++
		after = storage.Seq(seq) + 1
	}
	if missing == 0 || missing == len(want) {
		t.Fatalf("%d of %d records are missing", missing, len(want))
	}
	batch := &storage.Batch{Log: l, Records: []storage.Record{{Data: []byte("x")}}}
	u.e.Append(ctx, []*storage.Batch{batch})
	wantCorrupt(t, "append", batch.Err, file)
	if file != "" {
		return
	}
	if err := l.Trim(ctx, after); err != nil {
		t.Fatal(err)
	}
	u.e.Append(ctx, []*storage.Batch{batch})
	if batch.Err != nil || int(batch.First) != len(want) {
		t.Fatalf("append after the gap was trimmed: %d, %v", batch.First, batch.Err)
	}
}

// wantCorrupt checks an error that names a file, or any.
func wantCorrupt(t *testing.T, what string, err error, file string) {
	t.Helper()
	var c *storage.CorruptError
	if !errors.As(err, &c) || file != "" && c.File != file {
		t.Fatalf("%s: got %v, want damage of %q", what, err, file)
	}
}

// checkAside checks that a damaged file is kept under another name.
func checkAside(t *testing.T, disk *vfs.Mem, name string) {
	t.Helper()
	aside := strings.TrimSuffix(name, ".log") + ".damaged"
	if _, err := vfs.ReadFile(disk, aside); err != nil {
		t.Errorf("the damaged file is gone: %v", err)
	}
}

// TestLostLast damages a directory after which nothing shows that a log lost
// no records: its next number is not sure, so it takes no appends.
func TestLostLast(t *testing.T) {
	a, b := storagetest.ID(0), storagetest.ID(1)
	disk, _, notes := still(t, roomy(), func(u *user) {
		u.create(a)
		u.create(b)
		u.append(a)
		u.append(a)
		u.append(b)
	})
	c := groupsOf(t, disk)
	hit := c.groups[3]
	alter(t, disk, c.name, hit.pos, hit.pos+1, zero)
	for range 2 {
		e, err := Open(roomyOn(disk))
		if err != nil {
			t.Fatal(err)
		}
		u := &user{t: t, e: e, rng: rand.New(rand.NewPCG(1, 1)), ledger: notes}
		if err := u.check(b); err != nil {
			t.Error(err)
		}
		u.append(b)
		batch := &storage.Batch{Log: u.open(a), Records: []storage.Record{{Data: []byte("x")}}}
		e.Append(ctx, []*storage.Batch{batch})
		wantCorrupt(t, "append", batch.Err, "")
		got, err := storagetest.All(u.open(a))
		if err != nil || len(got) == 0 || !storagetest.Equal(&got[0], &notes.logs[a].recs[0]) {
			t.Errorf("intact records: %d, %v", len(got), err)
		}
		e.Close()
	}
}

func TestDamagedManifest(t *testing.T) {
	_, disk, _ := still(t, tiny(nil), func(u *user) {
		u.create(storagetest.ID(0))
		for range 20 {
			u.append(storagetest.ID(0))
		}
	})
	b, err := vfs.ReadFile(disk, "data/manifest")
	if err != nil {
		t.Fatal(err)
	}
	for at := range int64(len(b)) {
		d := disk.Clone()
		alter(t, d, "data/manifest", at, at+1, flip(at))
		_, err := Open(tiny(d))
		wantCorrupt(t, "open", err, "data/manifest")
	}
	if err := disk.Remove("data/manifest"); err != nil {
		t.Fatal(err)
	}
	_, err = Open(tiny(disk))
	wantCorrupt(t, "open without a manifest", err, "data/manifest")
}

// TestDamagedSegment flips bits all over segment files, finished and not. Nothing false is ever returned: either all is read, or what is before
// the damage and then an error with its place.
func TestDamagedSegment(t *testing.T) {
	t.Parallel()
	id := storagetest.ID(0)
	disk := vfs.NewMem()
	u := &user{t: t, rng: rand.New(rand.NewPCG(4, 2)), ledger: &ledger{logs: map[storage.LogID]promise{}}}
	o := tiny(disk)
	o.SegmentSize = 8 << 10
	var err error
	if u.e, err = Open(o); err != nil {
		t.Fatal(err)
	}
	u.create(id)
	for range 7 {
		u.append(id)
	}
	if err := u.e.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := disk.ReadDir("data/" + logDir(id))
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	unread := 0
	for _, n := range names {
		n = path.Join("data", logDir(id), n)
		b, err := vfs.ReadFile(disk, n)
		if err != nil {
			t.Fatal(err)
		}
		e := mustOpen(t, disk)
		for at := int64(0); at < int64(len(b)); at += stride(at, int64(len(b))) {
			// The engine has nothing of the files in memory.
			if err := disk.Flip(n, at, 1<<(at%8)); err != nil {
				t.Fatal(err)
			}
			unread += checkDamaged(t, e, id, u.logs[id].recs, n, at)
			if err := disk.Flip(n, at, 1<<(at%8)); err != nil {
				t.Fatal(err)
			}
			forget(e, id)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if unread == 0 {
		t.Error("no flipped bit was noticed")
	}
}

// stride is the step through a segment file: every byte where the structures
// are, every seventh in the midst of the records.
func stride(at, size int64) int64 {
	if at < 300 || at > size-300 {
		return 1
	}
	return 7
}

// forget drops indexes that were made because of damage.
func forget(e *Engine, id storage.LogID) {
	for _, s := range e.ids[id].segs {
		s.marks.Store(nil)
	}
}

// checkDamaged returns 1 if the flipped bit hides anything.
func checkDamaged(t *testing.T, e *Engine, id storage.LogID, want []storage.Record, file string, at int64) int {
	t.Helper()
	l, err := e.Open(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	got, err := storagetest.All(l)
	for i := range got {
		if !storagetest.Equal(&got[i], &want[i]) {
			t.Fatalf("flipped at %d of %s: record %d is not what was appended", at, file, i)
		}
	}
	if err == nil {
		if len(got) != len(want) {
			t.Fatalf("flipped at %d of %s: %d of %d records and no error", at, file, len(got), len(want))
		}
		return 0
	}
	var c *storage.CorruptError
	if !errors.As(err, &c) || c.File != file || c.Offset > at {
		t.Fatalf("flipped at %d of %s: %v", at, file, err)
	}
	return 1
}

func TestMissingSegment(t *testing.T) {
	id := storagetest.ID(0)
	_, disk, _ := still(t, tiny(nil), func(u *user) {
		u.create(id)
		for range 30 {
			u.append(id)
		}
	})
	e := mustOpen(t, disk)
	defer e.Close()
	first := path.Join("data", logDir(id), segmentName(0))
	if err := disk.Remove(first); err != nil {
		t.Fatal(err)
	}
	l, err := e.Open(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	var c storage.Chunk
	wantCorrupt(t, "read", l.Read(ctx, 0, storage.Limit{Records: 1, Bytes: 1}, &c), first)
	_, next := l.Bounds()
	if err := l.Read(ctx, next-1, storage.Limit{Records: 1, Bytes: 1 << 20}, &c); err != nil {
		t.Errorf("the newest record: %v", err)
	}
}

// TestShortSegment cuts a segment file at many places: what is before is read,
// then the end is named.
func TestShortSegment(t *testing.T) {
	id := storagetest.ID(0)
	_, disk, notes := still(t, roomy(), func(u *user) {
		u.create(id)
		for range 5 {
			u.append(id)
		}
	})
	want := notes.logs[id].recs
	name := path.Join("data", logDir(id), segmentName(0))
	e := mustOpen(t, disk)
	defer e.Close()
	l, err := e.Open(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	f, err := disk.OpenFile(name, vfs.Write)
	if err != nil {
		t.Fatal(err)
	}
	before := len(want)
	for size := e.ids[id].segs[0].end - 8; size >= segmentHeader; size -= 13 {
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		got, err := storagetest.All(l)
		wantCorrupt(t, "read", err, name)
		var c *storage.CorruptError
		if errors.As(err, &c); c.Offset > size || len(got) > before || size > 8000 && len(got) == 0 {
			t.Fatalf("cut at %d: %d records, %v", size, len(got), err)
		}
		if size > segmentHeader+batchHeader && !strings.Contains(c.Reason, errShort.Error()) {
			t.Fatalf("cut at %d: %v", size, err)
		}
		for i := range got {
			if !storagetest.Equal(&got[i], &want[i]) {
				t.Fatalf("cut at %d: record %d is not what was appended", size, i)
			}
		}
		before = len(got)
		forget(e, id)
	}
}

// TestUnknownVersions gives each structure a version of the future.
func TestUnknownVersions(t *testing.T) {
	id := storagetest.ID(0)
	killed, closed, _ := still(t, roomy(), func(u *user) {
		u.create(id)
		for range 2 {
			u.append(id)
		}
	})
	c := groupsOf(t, killed)
	next := func(b []byte, sumAt int) {
		le.PutUint16(b[4:], le.Uint16(b[4:])+1)
		le.PutUint32(b[sumAt:], checksum(b[:sumAt]))
	}
	for _, test := range []struct {
		disk  *vfs.Mem
		file  string
		at    int64
		sumAt int
	}{
		{killed, "data/manifest", 0, 60},
		{killed, c.name, c.groups[0].pos, 60},
		{closed, path.Join("data", logDir(id), segmentName(0)), 0, 76},
	} {
		d := test.disk.Clone()
		f, err := d.OpenFile(test.file, vfs.Write)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, test.sumAt+4)
		if _, err := f.ReadAt(b, test.at); err != nil {
			t.Fatal(err)
		}
		next(b, test.sumAt)
		if err := f.WriteSync([][]byte{b}, test.at); err != nil {
			t.Fatal(err)
		}
		e, err := Open(tiny(d))
		if err == nil {
			var l storage.Log
			if l, err = e.Open(ctx, id); err == nil {
				_, err = storagetest.All(l)
			}
			e.Close()
		}
		if err == nil || !strings.Contains(err.Error(), errVersion.Error()) || !strings.Contains(err.Error(), test.file) {
			t.Errorf("%s: %v", test.file, err)
		}
	}
}

// end returns where the last group ends.
func (c *commitLog) end() int64 {
	last := &c.groups[len(c.groups)-1]
	return last.pos + last.size()
}
