package file

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
)

// TestFullDisk: a catalog whose file takes no writes refuses updates, without any
// trace of them, and takes them again when the file does.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	file := db.file
	put(t, db, thing{"a", 1}, "a")
	reopen(t, file, path, os.O_RDONLY) // a write is an error from here on
	for range 2 {
		err = db.Update(func(tx catalog.Tx) error { return things.Put(tx, catalog.Key{"a"}, thing{"a", 2}) })
		if !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, storage.ErrUnknown) {
			t.Errorf("Update = %v, want ErrUnavailable", err)
		}
		if err := db.Health(); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("Health = %v, want ErrUnavailable", err)
		}
	}
	reopen(t, file, path, os.O_RDWR)
	if err := db.Health(); err != nil {
		t.Errorf("Health = %v", err)
	}
	for i := range 100 {
		put(t, db, thing{"b", i}, "b", strconv.Itoa(i))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = Open(path); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx catalog.Tx) error {
		if v, _, err := things.Get(tx, catalog.Key{"a"}); v.N != 1 || err != nil {
			t.Errorf("a is %v, %v: refused updates left a trace", v, err)
		}
		return nil
	})
	if n := len(keys(t, db)); n != 101 || err != nil {
		t.Errorf("%d keys, %v", n, err)
	}
}

// reopen makes the descriptor of file one of path, opened anew.
func reopen(t *testing.T, file *os.File, path string, flag int) {
	t.Helper()
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Dup3(int(f.Fd()), int(file.Fd()), 0); err != nil {
		t.Fatal(err)
	}
}

// TestWrote: only a transaction that is not in the file is one that wrote nothing.
func TestWrote(t *testing.T) {
	db, err := OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var id int
	if err := db.bolt.Update(func(tx *bolt.Tx) error { id = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	if !db.wrote(id) || db.wrote(id+1) {
		t.Errorf("transaction %d: %v, the next: %v", id, db.wrote(id), db.wrote(id+1))
	}
}
