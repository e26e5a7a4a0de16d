package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"disd/internal/storage"
	"disd/internal/storage/catalog/file"
)

// TestInspectMissingCatalog: a catalog that was never made is no damage; one that was
// removed is, also when its logs are gone.
func TestInspectMissingCatalog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	if _, _, damage := streamNames(path); damage != nil {
		t.Errorf("nothing is there: %v", damage)
	}
	db, err := file.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Close(), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	var corrupt *storage.CorruptError
	if _, _, damage := streamNames(path); len(damage) != 1 || !errors.As(damage[0], &corrupt) {
		t.Errorf("the catalog was removed: %v", damage)
	}
}
