package api

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"disd/internal/auth"
	"disd/internal/auth/policy"
	"disd/internal/cursor"
	"disd/internal/monitor"
	"disd/internal/partition"
	"disd/internal/storage/catalog"
	"disd/internal/storage/catalog/file"
	"disd/internal/storage/memory"
	"disd/internal/transfer"
)

// A testClock stands still until it is moved.
type testClock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// A bench is a server on loopback over engines in memory, with everything a test
// may touch.
type bench struct {
	*testing.T
	url     string
	clock   *testClock
	streams *partition.Set
	server  *Server
	outside *outside
}

// memoryCatalog returns an empty catalog for one test.
func memoryCatalog(t *testing.T) catalog.Store {
	t.Helper()
	db, err := file.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// newBench starts a server. The options edit what it is made with.
func newBench(t *testing.T, quotas partition.Quotas, edit ...func(*Options)) *bench {
	t.Helper()
	c := &testClock{t: time.UnixMilli(1795424828504)}
	db, err := file.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	engine := memory.Open(memory.Options{Now: c.now})
	logger := slog.New(slog.DiscardHandler)
	var opts Options
	streams, err := partition.Open(t.Context(), engine, db, partition.Options{
		Now: c.now, Logger: logger, Quotas: quotas, Account: func(project string) string { return opts.Identities.Account(project) },
		Traffic: func(streamID string, minutes int) (partition.Load, bool) {
			load, err := opts.Monitor.Traffic(streamID, minutes)
			return partition.Load(load), err == nil
		},
		OnDelete: []func(catalog.Tx, string) error{cursor.ForgetStream, policy.Forget, monitor.Forget, transfer.ForgetStream},
	})
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := cursor.OpenSealer(db)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := auth.OpenDirectory(auth.Options{Mode: auth.ModeOpen, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	tasks, out := openTasks(t, db, engine, streams, c.now, quotas.Mode == partition.Enforce)
	apps := cursor.OpenApps(db, cursor.Options{Now: c.now, Logger: logger})
	opts = Options{
		Groups: openGroups(t, apps, streams, c.now),
		Tasks:  tasks, Engine: engine, Streams: streams, Cursors: sealer, Identities: ids, Policies: policy.Open(db, ids), Monitor: monitor.Open(db, monitor.Options{Now: c.now}),
		Apps: apps,
		Now:  c.now, Logger: logger, NoEmptyWait: true,
	}
	for _, e := range edit {
		e(&opts)
	}
	server := New(opts)
	h := httptest.NewServer(server)
	t.Cleanup(func() { h.Close(); engine.Close(); db.Close() })
	return &bench{T: t, url: h.URL, clock: c, streams: streams, server: server, outside: out}
}

// An answer is what a client sees.
type answerSeen struct {
	status int
	header http.Header
	body   string
}

// do sends a request. "/p/…" in a path stands for "/v2/proj/…".
func (b *bench) do(method, path, body string, header ...string) answerSeen {
	b.Helper()
	if rest, ok := strings.CutPrefix(path, "/p/"); ok {
		path = "/v2/proj/" + rest
	}
	req, err := http.NewRequestWithContext(b.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	req.Host = req.Header.Get("Host")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	seen := answerSeen{resp.StatusCode, resp.Header, string(text)}
	b.asDescribed(req, seen)
	return seen
}

// want sends a request that must be answered with the status.
func (b *bench) want(status int, method, path, body string) answerSeen {
	b.Helper()
	a := b.do(method, path, body)
	if a.status != status {
		b.Fatalf("%s %s %s: status %d, want %d: %s", method, path, body, a.status, status, a.body)
	}
	return a
}

// member returns a member of a JSON answer, by its path: "records.0.data".
func (a answerSeen) member(t testing.TB, path string) any {
	t.Helper()
	var v any
	d := json.NewDecoder(strings.NewReader(a.body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	for name := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			i := int(name[0] - '0')
			if i >= len(at) {
				t.Fatalf("no %s in %s", path, a.body)
			}
			v = at[i]
		default:
			t.Fatalf("no %s in %s", path, a.body)
		}
	}
	return v
}

// code returns the error code, after checking the shape of the error (C-52).
func (a answerSeen) code(t testing.TB) string {
	t.Helper()
	var e map[string]string
	if err := json.Unmarshal([]byte(a.body), &e); err != nil {
		t.Fatalf("%v: %q", err, a.body)
	}
	switch {
	case strings.ContainsAny(a.body, "\r\n"):
		t.Errorf("the error is not on one line: %q", a.body)
	case e["errorCode"] != e["error_code"] || e["message"] != e["error_msg"] || e["message"] == "":
		t.Errorf("the two spellings differ: %s", a.body)
	case e["request_id"] != a.header.Get("X-Request-Id") || len(e["request_id"]) != 32:
		t.Errorf("request id %q, header %q", e["request_id"], a.header.Get("X-Request-Id"))
	case a.header.Get("Content-Type") != "application/json;charset=utf-8":
		t.Errorf("content type %q", a.header.Get("Content-Type"))
	}
	return e["errorCode"]
}
