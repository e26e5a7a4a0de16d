package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"disd/internal/storage"
)

// TestMissingCatalog: a data directory with logs and no catalog is not taken for an
// empty one, which would leave its records without a name for ever.
func TestMissingCatalog(t *testing.T) {
	dir := t.TempDir()
	args := []string{"--data-dir", dir, "--storage-commit-log", "1048576"}
	c, err := loadConfig(args, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	open := func() (storage.Engine, error) {
		engine, db, err := openStorage(c, slog.New(slog.DiscardHandler))
		if err == nil {
			err = db.Close()
		}
		return engine, err
	}
	for round := range 2 { // the first start may have ended before it made a catalog
		engine, err := open()
		if err != nil {
			t.Fatal(err)
		}
		if round == 1 {
			err = engine.Create(t.Context(), storage.LogID{Stream: "stream"})
		}
		if err := errors.Join(err, engine.Close(), os.Remove(catalogFile(dir))); err != nil {
			t.Fatal(err)
		}
	}
	damage := (*storage.CorruptError)(nil)
	if _, err := open(); !errors.As(err, &damage) || damage.File != catalogFile(dir) {
		t.Errorf("without its catalog: %v", err)
	}
	var out strings.Builder
	if err := inspect(args, &out, io.Discard); err == nil || !strings.Contains(out.String(), "DAMAGED "+catalogFile(dir)) {
		t.Errorf("inspect: %v\n%s", err, out.String())
	}
}
