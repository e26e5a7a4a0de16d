package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"disd/internal/config"
)

// ask sends a request to a server without a listener.
func ask(t *testing.T, s *Server, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	seen := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://localhost"+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:1"
	s.Handler().ServeHTTP(seen, r)
	return seen
}

// must sends a request that must be done.
func must(t *testing.T, s *Server, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	seen := ask(t, s, method, path, body)
	if seen.Code >= 300 {
		t.Fatalf("%s %s: %d %s", method, path, seen.Code, seen.Body)
	}
	return seen
}

// TestDeletedStreamLeavesNothing gives a stream something of everything that is kept
// about one, deletes it, and looks for its id in the whole catalog. Only the names of
// the files of its task remain, as the files do.
func TestDeletedStreamLeavesNothing(t *testing.T) {
	t.Attr("rules", "E5-R5")
	now := time.UnixMilli(1795424828504)
	c := local(t)
	s, err := Open(c, Options{Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	must(t, s, "POST", "/v2/p/streams", `{"stream_name":"s","partition_count":2}`)
	_, rest, _ := strings.Cut(must(t, s, "GET", "/v2/p/streams/s", "").Body.String(), `"stream_id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	must(t, s, "POST", "/v2/p/apps", `{"app_name":"a"}`)
	must(t, s, "POST", "/v2/p/records", `{"stream_name":"s","records":[{"data":"AA==","partition_id":"0",
		"extended_info":{"file_name":"f","deliver_data_id":"d","sequence_number":0,"end_flag":false}}]}`)
	must(t, s, "POST", "/v2/p/checkpoints", `{"app_name":"a","stream_name":"s","partition_id":"0","sequence_number":"0"}`)
	must(t, s, "POST", "/v2/p/streams/s/policies", fmt.Sprintf(`{"stream_id":%q,"principal_name":"other.*","action_type":"putRecords","effect":"accept"}`, id))
	must(t, s, "POST", "/v2/p/apps/a/consumers", `{"clientId":"c","interestedStream":["s"]}`)
	now = now.Add(2 * time.Minute)
	if err := errors.Join(s.monitor.Save(), s.Step(t.Context())); err != nil {
		t.Fatal(err)
	}
	before := tablesWith(t, s, c, id)
	for _, table := range []string{"streams", "checkpoints", "app_streams", "policies", "metrics", "files"} {
		if before[table] == 0 {
			t.Errorf("%s has nothing of the stream: %v", table, before)
		}
	}
	s = open(t, c)
	must(t, s, "DELETE", "/v2/p/streams/s", "")
	if after := tablesWith(t, s, c, id); len(after) > 0 {
		t.Errorf("left behind: %v", after)
	}
}

// tablesWith closes the server and counts the rows of each table that name an id.
func tablesWith(t *testing.T, s *Server, c *config.Config, id string) map[string]int {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(c.CatalogFile(), 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found := make(map[string]int)
	err = db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(table []byte, b *bolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				if strings.Contains(string(k), id) || strings.Contains(string(v), id) {
					found[string(table)]++
				}
				return nil
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestAppInUse: an app with live members of its group cannot be deleted.
func TestAppInUse(t *testing.T) {
	t.Attr("rules", "G-19")
	c := config.Default()
	c.Engine = "memory"
	s := open(t, c)
	defer s.Close()
	must(t, s, "POST", "/v2/p/streams", `{"stream_name":"s","partition_count":1}`)
	must(t, s, "POST", "/v2/p/apps", `{"app_name":"a"}`)
	must(t, s, "POST", "/v2/p/apps/a/consumers", `{"clientId":"c","interestedStream":["s"]}`)
	if seen := ask(t, s, "DELETE", "/v2/p/apps/a", ""); seen.Code != 400 || !strings.Contains(seen.Body.String(), "DIS.4331") {
		t.Errorf("%d %s", seen.Code, seen.Body)
	}
	must(t, s, "DELETE", "/v2/p/apps/a/consumers/c", "")
	must(t, s, "DELETE", "/v2/p/apps/a", "")
}

// TestStopping: a request that was accepted is finished, and meanwhile the server says
// that it is not ready to whoever is still connected.
func TestStopping(t *testing.T) {
	c := local(t)
	s := open(t, c)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, listener) }()
	send := func(conn net.Conn, text string) {
		t.Helper()
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
	}
	dial := func(text string) net.Conn {
		t.Helper()
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		send(conn, text)
		return conn
	}
	answer := func(conn net.Conn) string {
		t.Helper()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(resp.StatusCode, " ", string(body))
	}
	const create = `{"stream_name":"s","partition_count":1}`
	upload := dial(fmt.Sprintf("POST /v2/p/streams HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(create)))
	defer upload.Close()
	const goOn = "HTTP/1.1 100 Continue\r\n\r\n"
	if _, err := io.CopyN(io.Discard, upload, int64(len(goOn))); err != nil { // its body is waited for
		t.Fatal(err)
	}
	if seen := ask(t, s, "GET", "/_disd/ready", ""); seen.Code != http.StatusOK {
		t.Errorf("ready before: %d", seen.Code)
	}
	stop()
	for { // until it no longer listens
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			break
		}
		conn.Close()
		time.Sleep(time.Millisecond)
	}
	seen := httptest.NewRecorder() // as over a connection that is still open
	s.Handler().ServeHTTP(seen, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/_disd/ready", nil))
	if seen.Code != http.StatusServiceUnavailable {
		t.Errorf("ready while stopping: %d", seen.Code)
	}
	send(upload, create)
	if got := answer(upload); !strings.HasPrefix(got, "201 ") {
		t.Errorf("the request that was accepted: %s", got)
	}
	if err := errors.Join(<-ended, s.Close()); err != nil {
		t.Error(err)
	}
}

// A brokenListener accepts nothing.
type brokenListener struct{ net.Listener }

var errBroken = errors.New("broken")

func (brokenListener) Accept() (net.Conn, error) { return nil, errBroken }

// TestServeFails: when serving fails, nothing that was started for it remains.
func TestServeFails(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 3 {
		s := open(t, local(t))
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Serve(t.Context(), brokenListener{listener}); !errors.Is(err, errBroken) {
			t.Errorf("Serve: %v", err)
		}
		if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the listener is not closed: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if after := runtime.NumGoroutine(); after > before {
		all := make([]byte, 1<<20)
		t.Errorf("%d goroutines, before %d:\n%s", after, before, all[:runtime.Stack(all, true)])
	}
}

// TestOpenFails: what cannot be opened leaves nothing open.
func TestOpenFails(t *testing.T) {
	before := runtime.NumGoroutine()
	c := local(t)
	c.Audit.File = c.DataDir // a directory
	for range 2 {            // the second time nothing is locked
		if s, err := Open(c, Options{Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "directory") {
			t.Errorf("Open: %v, %v", s, err)
		}
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, before %d", after, before)
	}
}
