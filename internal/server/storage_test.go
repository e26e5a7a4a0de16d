package server

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"disd/internal/config"
	"disd/internal/partition"
	"disd/internal/storage"
)

// local is a configuration with a data directory of its own.
func local(t *testing.T) *config.Config {
	c := config.Default()
	c.DataDir, c.Storage.CommitLog = t.TempDir(), 1<<20
	return c
}

func open(t *testing.T, c *config.Config) *Server {
	t.Helper()
	s, err := Open(c, Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestMissingCatalog: a data directory with logs and no catalog is not taken for an
// empty one, which would leave its records without a name for ever.
func TestMissingCatalog(t *testing.T) {
	c := local(t)
	for round := range 2 { // the first start may have ended before it made a catalog
		s, err := open(t, c), error(nil)
		if round == 1 {
			err = s.engine.Create(t.Context(), storage.LogID{Stream: "stream"})
		}
		if err := errors.Join(err, s.Close(), os.Remove(c.CatalogFile()), os.RemoveAll(filepath.Join(c.DataDir, "catalog.mark"))); err != nil {
			t.Fatal(err)
		}
	}
	damage := (*storage.CorruptError)(nil)
	if _, err := Open(c, Options{}); !errors.As(err, &damage) || damage.File != c.CatalogFile() {
		t.Errorf("without its catalog: %v", err)
	}
}

// TestMissingLog takes a stream's logs away: that is damage, and no answer says
// that the stream does not exist.
func TestMissingLog(t *testing.T) {
	c := local(t)
	s := open(t, c)
	_, err := s.streams.Create(t.Context(), "p", "s", 1, partition.Settings{Type: partition.Common, DataType: partition.Blob})
	if err := errors.Join(err, s.Close(), os.RemoveAll(c.LogsDir())); err != nil {
		t.Fatal(err)
	}
	s = open(t, c)
	defer s.Close()
	st, err := s.streams.Get("p", "s")
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.Log(0)
	if damage := (*storage.CorruptError)(nil); !errors.As(err, &damage) || errors.Is(err, storage.ErrNotFound) {
		t.Errorf("the log: %v", err)
	}
}
