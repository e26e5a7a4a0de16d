package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestOperationsPage holds the options and metrics that docs/operations.md names
// against those there are.
func TestOperationsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"catalog.db": true}
	for _, o := range options {
		known[o.key] = true
	}
	for _, m := range regexp.MustCompile("`([a-z_]+\\.[a-z_]+(?:\\.[a-z_]+)*)(?::[^`]*)?`").FindAllSubmatch(page, -1) {
		if !known[string(m[1])] {
			t.Errorf("there is no option %s", m[1])
		}
	}
	metrics := scrape(t)
	for _, name := range regexp.MustCompile(`disd_[a-z_]+`).FindAllString(string(page), -1) {
		if !strings.Contains(metrics, name) {
			t.Errorf("there is no metric %s", name)
		}
	}
}

// scrape returns the metrics of a server that answered a request, and exceeded a
// quota.
func scrape(t *testing.T) string {
	c, err := load(t, "--data-dir", t.TempDir(), "--quota-mode", "warn")
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	engine, db, err := openStorage(c, logger)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serveFrom(ctx, c, logger, listener, engine, db) }()
	url := "http://" + listener.Addr().String()
	resp, err := http.Post(url+"/v2/p/streams", "application/json", strings.NewReader(`{"stream_name":"s","partition_count":51}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	resp, err = http.Get(url + "/_disd/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if err := errors.Join(<-ended, engine.Close(), db.Close()); err != nil {
		t.Error(err)
	}
	return string(body)
}
