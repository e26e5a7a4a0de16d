package main

import (
	"log/slog"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"disd/internal/config"
	"disd/internal/server"
)

// TestOperationsPage holds the options and metrics that docs/operations.md names
// against those there are.
func TestOperationsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"catalog.db": true, "catalog.mark": true}
	for _, key := range config.Keys() {
		known[key] = true
	}
	for _, m := range regexp.MustCompile("`([a-z_]+\\.[a-z_]+(?:\\.[a-z_]+)*)(?::[^`]*)?`").FindAllSubmatch(page, -1) {
		if !known[string(m[1])] {
			t.Errorf("there is no option %s", m[1])
		}
	}
	metrics := scrape(t) + "disd_log_lost_total" // of the program, not of the server
	for _, name := range regexp.MustCompile(`disd_[a-z_]+`).FindAllString(string(page), -1) {
		if !strings.Contains(metrics, name) {
			t.Errorf("there is no metric %s", name)
		}
	}
}

// scrape returns the metrics of a server that answered a request, and exceeded a
// quota.
func scrape(t *testing.T) string {
	c := config.Default()
	c.DataDir, c.Quota.Mode = t.TempDir(), "warn"
	s, err := server.Open(c, server.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, body string) string {
		seen := httptest.NewRecorder()
		s.Handler().ServeHTTP(seen, httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body)))
		return seen.Body.String()
	}
	ask("POST", "/v2/p/streams", `{"stream_name":"s","partition_count":51}`)
	metrics := ask("GET", "/_disd/metrics", "")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return metrics
}
