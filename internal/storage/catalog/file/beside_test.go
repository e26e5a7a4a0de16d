package file

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"disd/internal/storage/vfs"
	"disd/internal/storage/vfs/errfs"
)

// TestFaultsBesideTheFile fails the calls that make the catalog and write its mark,
// one after the other. A start that fails can be repeated, and no update fails for
// want of a mark.
func TestFaultsBesideTheFile(t *testing.T) {
	refused := 0
	for n, more := 0, true; more; n++ {
		path := filepath.Join(t.TempDir(), "catalog.db")
		faults := errfs.At(n)
		err := useBeside(t, path, errfs.Wrap(vfs.OS, faults))
		if more = faults.Fired(); err != nil && !errors.Is(err, errfs.ErrInjected) {
			t.Errorf("call %d: %v", n, err)
		}
		if err != nil {
			refused++
		}
		if err := useBeside(t, path, vfs.OS); err != nil {
			t.Errorf("after the failure of call %d: %v", n, err)
		}
	}
	if refused < 5 {
		t.Errorf("%d starts were refused", refused)
	}
}

// useBeside opens a catalog twice and changes it, and returns why it did not open.
func useBeside(t *testing.T, path string, fsys vfs.FS) error {
	t.Helper()
	for i := range 2 {
		f, err := Read(Options{Path: path, FS: fsys, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		db, err := f.Open(nil)
		if err != nil {
			return err
		}
		put(t, db, thing{N: i}, "a")
		if err := db.Close(); err != nil && !errors.Is(err, errfs.ErrInjected) {
			t.Errorf("Close: %v", err)
		}
	}
	return nil
}
