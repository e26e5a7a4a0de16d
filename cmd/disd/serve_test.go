package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"disd/internal/partition"
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

// TestMissingLog takes a stream's logs away: that is damage, and no answer says
// that the stream does not exist.
func TestMissingLog(t *testing.T) {
	dir := t.TempDir()
	args := []string{"--data-dir", dir, "--storage-commit-log", "1048576"}
	c, err := loadConfig(args, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	var log error
	for round := range 2 {
		engine, db, err := openStorage(c, logger)
		if err != nil {
			t.Fatal(err)
		}
		set, err := partition.Open(t.Context(), engine, db, partition.Options{Logger: logger})
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			_, err = set.Create(t.Context(), "p", "s", 1, partition.Settings{Type: partition.Common, DataType: partition.Blob})
		} else {
			st, notFound := set.Get("p", "s")
			if notFound != nil {
				t.Fatal(notFound)
			}
			_, log = st.Log(0)
		}
		if err := errors.Join(err, engine.Close(), db.Close()); err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			err = os.RemoveAll(logsDir(dir))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if damage := (*storage.CorruptError)(nil); !errors.As(log, &damage) || errors.Is(log, storage.ErrNotFound) {
		t.Errorf("the log: %v", log)
	}
	var out strings.Builder
	if err := inspect(args, &out, io.Discard); err == nil || !strings.Contains(out.String(), "log is missing") {
		t.Errorf("inspect: %v\n%s", err, out.String())
	}
}
