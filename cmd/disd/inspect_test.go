package main

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"disd/internal/config"
	"disd/internal/server"
)

// TestInspectNamesWhatIsMissing makes a stream and takes away its logs, or the
// catalog.
func TestInspectNamesWhatIsMissing(t *testing.T) {
	for _, test := range []struct {
		name, want string
		remove     func(c *config.Config) error
	}{
		{"nothing", "no damage", func(*config.Config) error { return nil }},
		{"catalog", "catalog.db: damaged at offset 0: file is missing, 1 logs are there", func(c *config.Config) error { return os.Remove(c.CatalogFile()) }},
		{"logs", "log is missing", func(c *config.Config) error {
			if err := os.RemoveAll(c.LogsDir()); err != nil {
				return err
			}
			s, err := server.Open(c, server.Options{Logger: slog.New(slog.DiscardHandler)}) // makes them anew
			return errors.Join(err, s.Close())
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
			s.Handler().ServeHTTP(seen, httptest.NewRequest(http.MethodPost, "/v2/p/streams", strings.NewReader(`{"stream_name":"s","partition_count":1}`)))
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
