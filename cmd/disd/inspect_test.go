package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"disd/internal/config"
	"disd/internal/server"
	"disd/internal/storage"
	"disd/internal/storage/catalog/file"
	"disd/internal/storage/segment"
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

// TestInspectNamesWhatIsMissing makes a stream and takes away its logs, or the
// catalog.
func TestInspectNamesWhatIsMissing(t *testing.T) {
	for _, test := range []struct {
		name, want string
		remove     func(c *config.Config) error
	}{
		{"nothing", "no damage", func(*config.Config) error { return nil }},
		{"catalog", "catalog.db: damaged at offset 0: file is missing", func(c *config.Config) error { return os.Remove(c.CatalogFile()) }},
		{"logs", "log is missing", func(c *config.Config) error {
			e, err := segment.Open(segment.Options{Dir: c.LogsDir(), CommitLogSize: 1 << 20})
			if err != nil {
				return err
			}
			ids, err := e.List(context.Background())
			for _, id := range ids {
				err = errors.Join(err, e.Remove(context.Background(), id))
			}
			return errors.Join(err, e.Close())
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := config.Default()
			c.DataDir, c.Storage.CommitLog = t.TempDir(), 1<<20
			s, err := server.Open(c, server.Options{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			seen := httptest.NewRecorder()
			s.Handler().ServeHTTP(seen, httptest.NewRequest(http.MethodPost, "http://localhost/v2/p/streams", strings.NewReader(`{"stream_name":"s","partition_count":1}`)))
			if seen.Code != http.StatusCreated {
				t.Errorf("status %d", seen.Code)
			}
			if err := errors.Join(s.Close(), test.remove(c)); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			err = inspect([]string{"--data-dir", c.DataDir}, &out, io.Discard)
			if !strings.Contains(out.String(), test.want) || (err == nil) != (test.name == "nothing") {
				t.Errorf("inspect: %v\n%s", err, out.String())
			}
		})
	}
}
