package segment

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"disd/internal/storage"
	"disd/internal/storage/storagetest"
	"disd/internal/storage/vfs"
)

// A moment is what a disk held, and what had been promised by then.
type moment struct {
	disk  *vfs.Mem
	notes *ledger
}

// history runs an engine twice and returns what its disk held now and then:
// in the middle, after it was closed, after a kill.
func history(t *testing.T) []moment {
	t.Helper()
	disk := vfs.NewMem()
	u := &user{t: t, rng: rand.New(rand.NewPCG(5, 5)), ledger: &ledger{logs: map[storage.LogID]promise{}}}
	a, b := storagetest.ID(0), storagetest.ID(1)
	var all []moment
	note := func() { all = append(all, moment{disk.Clone(), u.copy()}) }
	for run := range 2 {
		var err error
		o := tiny(disk)
		o.CommitLogSize = 64 << 10
		if u.e, err = Open(o); err != nil {
			t.Fatal(err)
		}
		if run == 0 {
			u.create(a)
			u.create(b)
		}
		for i := range 50 {
			u.append(a)
			u.append(a, b)
			if i == 15 || i == 32 {
				note()
			}
		}
		note()
		if run == 1 {
			disk = disk.Clone() // and it is killed
		}
		if err := u.e.Close(); err != nil {
			t.Fatal(err)
		}
		note()
	}
	return all
}

// contentOf returns what every file below dir holds.
func contentOf(t *testing.T, disk *vfs.Mem, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	names, err := disk.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		name := path.Join(dir, n)
		if strings.HasSuffix(n, "/") {
			all[name] = "directory"
			for sub, b := range contentOf(t, disk, name) {
				all[sub] = b
			}
			continue
		}
		b, err := vfs.ReadFile(disk, name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(b)
	}
	return all
}

// put makes name hold b, behind everyone's back.
func put(t *testing.T, disk *vfs.Mem, name string, b []byte) {
	t.Helper()
	if err := disk.Remove(name); err != nil {
		t.Fatal(err)
	}
	f, err := disk.OpenFile(name, vfs.Create)
	if err == nil {
		err = f.WriteSync([][]byte{b}, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// noticed opens a directory that was tampered with. Either that is refused, and
// nothing is changed, or damage is named, or all that was promised is there. In no
// case is a number given that was given before.
func noticed(t *testing.T, what string, disk *vfs.Mem, notes *ledger) (refused bool) {
	t.Helper()
	before := contentOf(t, disk, "data")
	f, err := Read(tiny(disk))
	after := contentOf(t, disk, "data")
	if len(before) != len(after) {
		t.Errorf("%s: reading changed the files", what)
	}
	for name, b := range before {
		if after[name] != b {
			t.Errorf("%s: reading changed %s", what, name)
		}
	}
	if err != nil {
		if !isCorrupt(err) {
			t.Errorf("%s: refused, but not as damaged: %v", what, err)
		}
		return true
	}
	damaged := f.r != nil && len(f.r.damage) > 0
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		u := &user{t: t, rng: rand.New(rand.NewPCG(1, 1)), ledger: notes.copy()}
		if u.e, err = Open(tiny(disk)); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for id, p := range u.logs {
			if err := u.check(id); err != nil && !damaged && !isCorrupt(err) {
				t.Errorf("%s: nothing is noticed: %v", what, err)
			}
			l, err := u.e.Open(ctx, id)
			if err != nil {
				continue
			}
			b := &storage.Batch{Log: l, Records: []storage.Record{{Data: []byte("new")}}}
			u.e.Append(ctx, []*storage.Batch{b})
			if b.Err == nil && b.First < storage.Seq(len(p.recs)) {
				t.Errorf("%s: number %d of %v is given again, %d were", what, b.First, id, len(p.recs))
			}
			if b.Err == nil {
				u.set(id, func(p *promise) { p.recs = append(p.recs, b.Records...) })
			}
			notes.logs[id] = u.logs[id]
		}
		if err := u.e.Close(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	return false
}

// TestLostFiles takes one file of a data directory away, cuts it, or puts an older
// copy of it in its place, at several moments.
func TestLostFiles(t *testing.T) {
	t.Parallel()
	all := history(t)
	refused, seen := 0, 0
	for i, m := range all {
		for name, b := range contentOf(t, m.disk, "data") {
			if b == "directory" || path.Base(name) == lockName {
				continue
			}
			versions := map[string][]byte{
				"cut to nothing": nil,
				"cut to a block": []byte(b)[:min(block, len(b))],
			}
			for j := max(0, i-2); j < i; j++ {
				older := all[j]
				if old, err := vfs.ReadFile(older.disk, name); err == nil && !bytes.Equal(old, []byte(b)) && !active(t, m.disk, name) {
					versions[fmt.Sprintf("as it was at moment %d", j)] = old
				}
			}
			try := func(how string, change func(*vfs.Mem)) {
				seen++
				disk := m.disk.Clone()
				change(disk)
				if noticed(t, fmt.Sprintf("moment %d, %s %s", i, name, how), disk, m.notes.copy()) {
					refused++
				}
			}
			for how, b := range versions {
				try(how, func(d *vfs.Mem) { put(t, d, name, b) })
			}
			try("removed", func(d *vfs.Mem) {
				if err := d.Remove(name); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
	if refused == 0 || refused == seen {
		t.Errorf("%d of %d were refused", refused, seen)
	}
}

// active reports whether name is the commit log file begun last. An older copy of
// that is noticed as far as the last mark, and what the catalog saw, go.
func active(t *testing.T, disk *vfs.Mem, name string) bool {
	t.Helper()
	k, err := readMarks(disk, "data")
	if err != nil {
		t.Fatal(err)
	}
	return path.Base(name) == commitName(k.file)
}

// TestOlderParts puts all commit log files, or all but them, of an earlier moment
// in the place of those of a later one.
func TestOlderParts(t *testing.T) {
	all := history(t)
	for i, m := range all {
		for j, older := range all[:i] {
			for _, logs := range []bool{true, false} {
				disk := m.disk.Clone()
				replace(t, disk, older.disk, func(n string) bool {
					_, commit := parseCommitName(n)
					return n != lockName && !strings.HasSuffix(n, "/") && commit == logs
				})
				noticed(t, fmt.Sprintf("moment %d with %d, commit logs: %t", i, j, logs), disk, m.notes.copy())
			}
		}
	}
}

// replace makes the files at the top that match be those of older.
func replace(t *testing.T, disk, older *vfs.Mem, match func(string) bool) {
	t.Helper()
	list := func(d *vfs.Mem) []string {
		names, err := d.ReadDir("data")
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(names, func(n string) bool { return !match(n) })
	}
	for _, n := range list(disk) {
		if err := disk.Remove("data/" + n); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range list(older) {
		b, err := vfs.ReadFile(older, "data/"+n)
		if err != nil {
			t.Fatal(err)
		}
		f, err := disk.OpenFile("data/"+n, vfs.Create)
		if err == nil {
			err = f.WriteSync([][]byte{b}, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestLockOutlivesItsFile removes the lock file, and then the directory, under an
// engine. A second one must not get in, or not to the same files.
func TestLockOutlivesItsFile(t *testing.T) {
	for _, fs := range []vfs.FS{vfs.OS, vfs.NewMem()} {
		o := Options{FS: fs, Dir: "data", CommitLogSize: 1 << 20}
		if fs == vfs.OS {
			o.Dir = t.TempDir() + "/data"
		}
		e, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Create(ctx, storagetest.ID(0)); err != nil {
			t.Fatal(err)
		}
		l, err := e.Open(ctx, storagetest.ID(0))
		if err != nil {
			t.Fatal(err)
		}
		if err := fs.Remove(o.Dir + "/" + lockName); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(o); !errors.Is(err, vfs.ErrLocked) {
			t.Errorf("a second engine without the lock file: %v", err)
		}
		if _, err := Inspect(fs, o.Dir); !errors.Is(err, vfs.ErrLocked) {
			t.Errorf("inspecting without the lock file: %v", err)
		}
		if fs != vfs.OS {
			continue
		}
		moved := o.Dir + ".moved"
		if err := fs.Rename(o.Dir, moved); err != nil {
			t.Fatal(err)
		}
		second, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		b := &storage.Batch{Log: l, Records: []storage.Record{{Data: []byte("x")}}}
		if e.Append(ctx, []*storage.Batch{b}); !errors.Is(b.Err, vfs.ErrReplaced) {
			t.Errorf("appended to a directory that is not there: %v", b.Err)
		}
		if err := e.Health(); !errors.Is(err, vfs.ErrReplaced) {
			t.Errorf("health: %v", err)
		}
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err == nil {
			t.Error("closing said nothing about the directory that is gone")
		}
	}
}
