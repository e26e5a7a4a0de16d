package segment

import (
	"path"
	"slices"
	"testing"

	"disd/internal/storage"
	"disd/internal/storage/storagetest"
	"disd/internal/storage/vfs"
)

// inspected returns disks of a killed and a closed engine with two logs, and
// the names of the first log's segment files.
func inspected(t *testing.T) (killed, closed *vfs.Mem, segments []string) {
	a, b := storagetest.ID(0), storagetest.ID(1)
	o := roomy()
	o.CommitLogSize = 128 << 10
	killed, closed, _ = still(t, o, func(u *user) {
		u.create(a)
		u.create(b)
		for range 7 {
			u.append(a)
			u.append(a, b)
		}
	})
	dir := "data/" + logDir(a)
	names, err := closed.ReadDir(dir)
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	for _, n := range names {
		segments = append(segments, path.Join(dir, n))
	}
	return killed, closed, segments
}

func mustInspect(t *testing.T, disk *vfs.Mem) *Report {
	t.Helper()
	r, err := Inspect(disk, "data")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestInspect(t *testing.T) {
	killed, closed, segments := inspected(t)
	r := mustInspect(t, killed)
	if len(r.Logs) != 2 || len(r.Damage)+len(r.Stray)+len(r.Unknown) > 0 {
		t.Errorf("%+v", r)
	}
	if l := r.Logs[0]; l.ID != storagetest.ID(0) || l.TailRecords != int64(l.Next) || l.TailBytes == 0 || len(l.Segments) > 0 {
		t.Errorf("killed: %+v", l)
	}
	want := r.Logs[0].Next
	r = mustInspect(t, closed)
	l := r.Logs[0]
	if l.Next != want || l.TailRecords != 0 || len(l.Segments) != len(segments) || l.Segments[len(segments)-1].Next != want {
		t.Errorf("closed: %+v", l)
	}
	if len(r.Damage)+len(r.Stray)+len(r.Unknown) > 0 {
		t.Errorf("%+v", r)
	}
}

// TestInspectFindsDamage flips bits all over segment files and expects each to
// be named.
func TestInspectFindsDamage(t *testing.T) {
	t.Parallel()
	_, closed, segments := inspected(t)
	spans := mustInspect(t, closed).Logs[0].Segments
	for i, name := range segments {
		b, err := vfs.ReadFile(closed, name)
		if err != nil {
			t.Fatal(err)
		}
		for at := int64(0); at < int64(len(b)); at += stride(at, int64(len(b))) {
			inIndex := at >= alignUp(spans[i].Bytes, block) && i < len(segments)-1
			if at >= spans[i].Bytes && !inIndex {
				continue // padding
			}
			if err := closed.Flip(name, at, 1<<(at%8)); err != nil {
				t.Fatal(err)
			}
			r := mustInspect(t, closed)
			if len(r.Damage) == 0 || r.Damage[0].File != name || r.Damage[0].Offset > at {
				t.Fatalf("flipped at %d of %s: %v", at, name, r.Damage)
			}
			if err := closed.Flip(name, at, 1<<(at%8)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestInspectNamesWhatItDoesNotKnow(t *testing.T) {
	_, closed, segments := inspected(t)
	stray := path.Join(path.Dir(segments[0]), segmentName(1<<40))
	unknown := []string{"data/notes.txt", path.Join(path.Dir(segments[0]), "copy.seg")}
	for _, name := range append(unknown, stray) {
		if _, err := closed.OpenFile(name, vfs.Create); err != nil {
			t.Fatal(err)
		}
	}
	r := mustInspect(t, closed)
	if !slices.Equal(r.Stray, []string{stray}) || len(r.Unknown) != 2 || len(r.Damage) > 0 {
		t.Errorf("%+v", r)
	}
	// The engine deletes the one and leaves the other alone.
	u := &user{t: t, e: mustOpen(t, closed)}
	b := &storage.Batch{Log: u.open(storagetest.ID(0)), Records: []storage.Record{{Data: []byte("x")}}}
	u.e.Append(ctx, []*storage.Batch{b})
	if err := u.e.Close(); err != nil || b.Err != nil {
		t.Fatal(err, b.Err)
	}
	r = mustInspect(t, closed)
	if len(r.Stray) > 0 || len(r.Unknown) != 2 {
		t.Errorf("afterwards: %+v", r)
	}
	if _, err := Inspect(closed, "elsewhere"); err == nil {
		t.Error("inspected a directory that does not exist")
	}
	if _, err := Inspect(closed, "data/8QM3Nt9YTLOWtUVYJhO"); err == nil {
		t.Error("inspected what is no data directory")
	}
}
