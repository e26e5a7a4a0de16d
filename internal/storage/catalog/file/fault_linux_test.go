package file

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
)

// A disk fails one of the calls bbolt makes: a write, a write that is done all the
// same, or the sync that follows one.
type disk struct {
	t       *testing.T
	db      *DB
	path    string
	kind    string
	writeAt func([]byte, int64) (int, error)
	left    int // writes until the fault
	fired   bool
	off     bool // the descriptor is one that cannot be synced
}

var errDisk = errors.New("injected fault")

// breakAt has write number n fail, from 0. bbolt has a hook for writes that only
// its own tests reach.
func breakAt(t *testing.T, db *DB, kind string, n int) *disk {
	d := &disk{t: t, db: db, path: db.file.Name(), kind: kind, left: n}
	field := reflect.ValueOf(db.bolt).Elem().FieldByName("ops").FieldByName("writeAt")
	hook := (*func([]byte, int64) (int, error))(unsafe.Pointer(field.UnsafeAddr()))
	d.writeAt, *hook = *hook, d.write
	return d
}

func (d *disk) write(b []byte, off int64) (int, error) {
	if d.left--; d.left != -1 {
		return d.writeAt(b, off)
	}
	d.fired = true
	switch d.kind {
	case "write":
		return 0, errDisk
	case "half a write":
		n, err := d.writeAt(b[:len(b)/2], off)
		return n, errors.Join(err, errDisk)
	case "write that is done":
		n, err := d.writeAt(b, off)
		return n, errors.Join(err, errDisk)
	}
	n, err := d.writeAt(b, off)
	d.swap() // the sync, or the next write of the same commit, fails
	return n, err
}

// swap makes the descriptor that of a pipe, which cannot be synced.
func (d *disk) swap() {
	r, w, err := os.Pipe()
	if err == nil {
		err = unix.Dup3(int(w.Fd()), int(d.db.file.Fd()), 0)
	}
	if err := errors.Join(err, r.Close(), w.Close()); err != nil {
		d.t.Fatal(err)
	}
	d.off = true
}

func (d *disk) heal() {
	if d.off {
		reopen(d.t, d.db.file, d.path, os.O_RDWR)
		d.off = false
	}
}

// TestFaults fails the first write, the second and so on, and what follows each. An
// update that was acknowledged is there after a restart, one that was refused with
// ErrUnavailable is not, and one of unknown outcome is or is not; after it nothing
// more is written.
func TestFaults(t *testing.T) {
	path, _ := sample(t)
	whole := imageOf(t, path)
	for _, kind := range []string{"write", "half a write", "write that is done", "sync"} {
		unknown := 0
		for n, more := 0, true; more; n++ {
			t.Run(fmt.Sprintf("%s %d", kind, n), func(t *testing.T) {
				var fate error
				more, fate = oneFault(t, whole.write(t), kind, n)
				if errors.Is(fate, storage.ErrUnknown) {
					unknown++
				}
			})
			if t.Failed() {
				return
			}
		}
		if (unknown > 0) != (kind != "write") { // half a meta page is all that counts of it
			t.Errorf("%s: %d outcomes were unknown", kind, unknown)
		}
	}
}

const faultyUpdates = 2

// oneFault returns whether the fault was met, and what the update it met was told.
func oneFault(t *testing.T, path, kind string, n int) (met bool, fate error) {
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	d := breakAt(t, db, kind, n)
	told := make([]error, faultyUpdates)
	for i := range told {
		told[i] = db.Update(func(tx catalog.Tx) error {
			return things.Put(tx, catalog.Key{"update", catalog.Digits(i, 3)}, thing{N: i})
		})
		if d.off {
			d.heal()
			if !errors.Is(told[i], storage.ErrUnknown) && !errors.Is(told[i], storage.ErrUnavailable) {
				t.Errorf("update %d: %v", i, told[i])
			}
		}
		if told[i] != nil && fate == nil {
			fate = told[i]
		}
	}
	d.heal()
	after := db.Health()
	if unknown := errors.Is(fate, storage.ErrUnknown); unknown != (after != nil) || unknown && !errors.Is(after, storage.ErrUnavailable) {
		t.Errorf("after %v: Health is %v", fate, after)
	}
	if err := db.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	compare(t, path, told)
	return d.fired, fate
}

// compare opens the catalog again and looks for what updates were told.
func compare(t *testing.T, path string, told []error) {
	t.Helper()
	db, err := Open(path)
	if err != nil {
		t.Fatalf("it does not open after %v: %v", told, err)
	}
	defer db.Close()
	for i, err := range told {
		var there bool
		view := db.View(func(tx catalog.Tx) (err error) {
			_, there, err = things.Get(tx, catalog.Key{"update", catalog.Digits(i, 3)})
			return err
		})
		switch {
		case view != nil:
			t.Error(view)
		case err == nil && !there:
			t.Errorf("update %d was acknowledged and is gone: %v", i, told)
		case errors.Is(err, storage.ErrUnavailable) && !errors.Is(err, storage.ErrUnknown) && there:
			t.Errorf("update %d was refused and is there: %v", i, told)
		}
	}
	if damage := db.Check(); damage != nil {
		t.Errorf("damage after %v: %v", told, damage)
	}
}
