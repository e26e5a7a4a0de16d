package vfs

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"syscall"
	"testing"
)

// each runs a test on the machine's file system and in memory: the engine must
// not be able to tell them apart.
func each(t *testing.T, test func(t *testing.T, fsys FS, dir string)) {
	t.Run("os", func(t *testing.T) { test(t, OS, t.TempDir()) })
	t.Run("mem", func(t *testing.T) {
		m := NewMem()
		if err := m.Mkdir("dir"); err != nil {
			t.Fatal(err)
		}
		test(t, m, "dir")
	})
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func create(t *testing.T, fsys FS, name string) File {
	t.Helper()
	f, err := fsys.OpenFile(name, Create)
	must(t, err)
	return f
}

func TestNames(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		_, err := fsys.OpenFile(dir+"/a", Read)
		wantErr(t, "open what is not there", err, fs.ErrNotExist)
		_, err = fsys.OpenFile(dir+"/sub/a", Create)
		wantErr(t, "create in no directory", err, fs.ErrNotExist)
		must(t, create(t, fsys, dir+"/a").Close())
		_, err = fsys.OpenFile(dir+"/a", Create)
		wantErr(t, "create what is there", err, fs.ErrExist)
		must(t, fsys.Mkdir(dir+"/sub"))
		wantErr(t, "mkdir of what is there", fsys.Mkdir(dir+"/sub"), fs.ErrExist)
		must(t, create(t, fsys, dir+"/sub/b").Close())
		wantErr(t, "remove a directory that is not empty", fsys.Remove(dir+"/sub"), syscall.ENOTEMPTY)
		must(t, fsys.Rename(dir+"/a", dir+"/c"), fsys.SyncDir(dir))
		names, err := fsys.ReadDir(dir)
		if err != nil || !slices.Equal(names, []string{"c", "sub/"}) {
			t.Errorf("names: %q, %v", names, err)
		}
		wantErr(t, "rename what is not there", fsys.Rename(dir+"/a", dir+"/d"), fs.ErrNotExist)
		must(t, fsys.Remove(dir+"/sub/b"), fsys.Remove(dir+"/sub"))
		wantErr(t, "remove what is not there", fsys.Remove(dir+"/sub"), fs.ErrNotExist)
		_, err = fsys.ReadDir(dir + "/sub")
		wantErr(t, "list what is not there", err, fs.ErrNotExist)
		wantErr(t, "sync what is not there", fsys.SyncDir(dir+"/sub"), fs.ErrNotExist)
		must(t, MkdirSync(fsys, dir, "sub"), MkdirSync(fsys, dir, "sub"))
	})
}

func TestContent(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, dir+"/a")
		must(t, f.Allocate(0, 3*4096))
		must(t, f.WriteAt([][]byte{[]byte("one "), nil, []byte("two ")}, 100))
		must(t, f.WriteSync([][]byte{[]byte("three")}, 108), f.Sync(), f.Close())
		wantContent(t, fsys, dir+"/a", 3*4096, 100, "one two three")

		// So many pieces that one call of the system cannot take them.
		var many [][]byte
		for range 3000 {
			many = append(many, []byte("ab"), []byte("c"))
		}
		f, err := fsys.OpenFile(dir+"/a", Write)
		must(t, err, f.WriteAt(many, 5))
		must(t, f.Truncate(9005), f.Close())
		wantContent(t, fsys, dir+"/a", 9005, 5, string(bytes.Repeat([]byte("abc"), 3000)))

		f, err = fsys.OpenFile(dir+"/a", Direct)
		block := AlignedBuffer(2 * 4096)
		copy(block[4096:], "direct")
		must(t, err, f.WriteSync([][]byte{block[:4096], block[4096:]}, 4096), f.Close())
		wantContent(t, fsys, dir+"/a", 3*4096, 2*4096, "direct\x00")

		f, err = fsys.OpenFile(dir+"/a", Read)
		must(t, err)
		if err := f.WriteAt([][]byte{[]byte("x")}, 0); err == nil {
			t.Error("wrote to a file opened for reading")
		}
		must(t, fsys.Remove(dir+"/a"))
		if n, err := f.ReadAt(make([]byte, 6), 2*4096); n != 6 || err != nil {
			t.Errorf("read from a removed file: %d, %v", n, err)
		}
		must(t, f.Close())
	})
}

func wantContent(t *testing.T, fsys FS, name string, size int, at int, want string) {
	t.Helper()
	b, err := ReadFile(fsys, name)
	if err != nil || len(b) != size || string(b[at:at+len(want)]) != want {
		t.Errorf("%s has %d bytes, want %d; %q at %d, %v", name, len(b), size, b[at:at+10], at, err)
	}
}

func TestWriteFile(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		must(t, create(t, fsys, dir+"/a.tmp").Close()) // a crash left it
		must(t, WriteFile(fsys, dir, "a", []byte("old")), WriteFile(fsys, dir, "a", []byte("new")))
		wantContent(t, fsys, dir+"/a", 3, 0, "new")
		if names, _ := fsys.ReadDir(dir); !slices.Equal(names, []string{"a"}) {
			t.Errorf("names: %q", names)
		}
	})
}

func TestLock(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		l, err := fsys.Lock(dir + "/LOCK")
		must(t, err)
		_, err = fsys.Lock(dir + "/LOCK")
		wantErr(t, "second lock", err, ErrLocked)
		must(t, l.Close())
		l, err = fsys.Lock(dir + "/LOCK")
		must(t, err, l.Close())
	})
}

func TestFree(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		if n, err := fsys.Free(dir); n <= 0 || err != nil {
			t.Errorf("%d bytes are free, %v", n, err)
		}
	})
	m := NewMem()
	m.SetCapacity(10 * 4096)
	f := create(t, m, "a")
	must(t, f.Allocate(0, 4*4096), f.WriteAt([][]byte{[]byte("x")}, 4*4096))
	if n, _ := m.Free("."); n != 5*4096 {
		t.Errorf("%d bytes are free", n)
	}
	wantErr(t, "allocate too much", f.Allocate(0, 11*4096), syscall.ENOSPC)
	wantErr(t, "write too much", f.WriteAt([][]byte{[]byte("x")}, 10*4096), syscall.ENOSPC)
	must(t, m.Remove("a"))
	if n, _ := m.Free("."); n != 10*4096 {
		t.Errorf("%d bytes are free after removing everything", n)
	}
}

// TestCrash has a table of what a power loss leaves.
func TestCrash(t *testing.T) {
	synced := func(m *Mem) File {
		f := create(t, m, "a")
		must(t, f.WriteSync([][]byte{bytes.Repeat([]byte("o"), 2048)}, 0), m.SyncDir("."))
		return f
	}
	none := func() bool { return false }
	all := func() bool { return true }
	blocks := func(pattern string) func() bool {
		return func() bool {
			keep := pattern[0] == '1'
			pattern = pattern[1:]
			return keep
		}
	}
	for _, test := range []struct {
		name string
		do   func(m *Mem)
		keep func() bool
		want string // content of a, a run per block; "" if it is not there
	}{
		{"new file, not synced", func(m *Mem) { create(t, m, "a") }, none, ""},
		{"new file, kept", func(m *Mem) { must(t, create(t, m, "a").WriteSync([][]byte{[]byte("x")}, 0)) }, all, "x"},
		{"file synced, its name not", func(m *Mem) { must(t, create(t, m, "a").WriteSync([][]byte{[]byte("x")}, 0)) }, none, ""},
		{"overwritten", func(m *Mem) { must(t, synced(m).WriteAt([][]byte{bytes.Repeat([]byte("n"), 2048)}, 0)) }, none, "oooo"},
		{"overwritten, kept in part", func(m *Mem) {
			must(t, synced(m).WriteAt([][]byte{bytes.Repeat([]byte("n"), 2048)}, 0))
		}, blocks("1" + "00" + "1" + "01"), "non\xDB"},
		{"synced", func(m *Mem) {
			f := synced(m)
			must(t, f.WriteAt([][]byte{bytes.Repeat([]byte("n"), 2048)}, 0), f.Sync())
		}, none, "nnnn"},
		{"a sync that failed, and one that says it did not", func(m *Mem) {
			f := synced(m)
			must(t, f.WriteAt([][]byte{bytes.Repeat([]byte("n"), 512)}, 512))
			f.(interface{ LoseDirty() }).LoseDirty()
			must(t, f.Sync())
		}, all, "oooo"},
		{"removed, not synced", func(m *Mem) { synced(m); must(t, m.Remove("a")) }, none, "oooo"},
		{"removed, kept", func(m *Mem) { synced(m); must(t, m.Remove("a")) }, all, ""},
		{"renamed, not synced", func(m *Mem) {
			synced(m)
			must(t, create(t, m, "b").WriteSync([][]byte{[]byte("b")}, 0), m.SyncDir("."), m.Rename("b", "a"))
		}, none, "oooo"},
		{"renamed and synced", func(m *Mem) {
			synced(m)
			must(t, create(t, m, "b").WriteSync([][]byte{[]byte("b")}, 0), m.SyncDir("."), m.Rename("b", "a"), m.SyncDir("."))
		}, none, "b"},
	} {
		m := NewMem()
		test.do(m)
		b, err := ReadFile(m.Crash(test.keep), "a")
		if (err != nil) != (test.want == "") {
			t.Errorf("%s: %v", test.name, err)
		}
		got := ""
		for i := 0; i < len(b); i += 512 {
			got += string(b[i : i+1])
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
