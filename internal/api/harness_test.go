package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"disd/internal/api"
	"disd/internal/config"
	"disd/internal/partition"
	"disd/internal/quota"
	"disd/internal/server"
	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/storage/catalog/file"
	"disd/internal/storage/memory"
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

// A setup is what a test may change of the server that it starts.
type setup struct {
	*config.Config
	server.Options
	wrap func(storage.Engine) storage.Engine // puts something between server and engine
}

// quotas sets the mode of quotas, and limits that are not those of the cloud.
func quotas(mode quota.Mode, limits partition.Quotas) func(*setup) {
	return func(s *setup) { s.Quota.Mode, s.Quotas.Streams = mode, limits }
}

// A bench is a server on loopback over engines in memory, with everything a test
// may touch.
type bench struct {
	*testing.T
	url     string
	clock   *testClock
	server  *server.Server
	api     *api.Server
	outside *outside
	stop    func() // ends the server, once
}

// newBench starts a server. The options edit what it is made with.
func newBench(t *testing.T, edit ...func(*setup)) *bench {
	t.Helper()
	c := &testClock{t: time.UnixMilli(1795424828504)}
	s := &setup{Config: config.Default(), Options: server.Options{
		Now: c.now, Real: c.now, Logger: slog.New(slog.DiscardHandler), Tick: 10 * time.Millisecond, PasswordCost: 10,
	}}
	s.Config.Engine, s.EmptyWait = "memory", 0
	out := openOutside(t, s)
	for _, e := range edit {
		e(s)
	}
	if s.wrap != nil && s.Options.Engine == nil {
		s.Options.Engine, s.Catalog = s.wrap(memory.Open(memory.Options{Now: c.now})), memoryCatalog(t)
	}
	srv, err := server.Open(s.Config, s.Options)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(srv.Handler())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		h.Close()
		cancel()
		if err := errors.Join(<-ended, srv.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return &bench{T: t, url: h.URL, clock: c, server: srv, api: srv.Handler().(*api.Server), outside: out, stop: stop}
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

// step lets happen what is due.
func (b *bench) step() {
	b.Helper()
	if err := b.server.Step(b.Context()); err != nil {
		b.Error(err)
	}
}

// freeze sets the state of a stream of project "proj".
func (b *bench) freeze(stream string, frozen bool) {
	b.Helper()
	b.want(204, "PUT", "/_disd/projects/proj/streams/"+stream, fmt.Sprintf(`{"frozen":%t}`, frozen))
}

// exceeded returns how often a quota was exceeded.
func (b *bench) exceeded(quota string) (n int) {
	b.Helper()
	var seen struct {
		Exceeded []struct {
			Quota string
			Count int
		}
	}
	if err := json.Unmarshal([]byte(b.want(200, "GET", "/_disd/quota", "").body), &seen); err != nil {
		b.Fatal(err)
	}
	for _, x := range seen.Exceeded {
		if x.Quota == quota {
			n += x.Count
		}
	}
	return n
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
	for _, err := range b.api.Described(req, seen.status, seen.header, seen.body) {
		b.Error(err)
	}
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
