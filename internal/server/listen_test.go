package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"disd/internal/config"
)

// serveLimited starts a server with at most n connections, and returns its address.
func serveLimited(t *testing.T, n int) string {
	t.Helper()
	c := config.Default()
	c.Engine, c.EmptyWait, c.Limits.Connections = "memory", 0, n
	s, err := Open(c, Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// statusOf sends a request on a connection and returns the status, 0 when it is closed.
func statusOf(conn net.Conn, path string) int {
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// TestStrangersKeepNobodyOut: connections without a finished request take neither the
// connection of a client, nor the place of one that comes.
func TestStrangersKeepNobodyOut(t *testing.T) {
	address := serveLimited(t, 8)
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	const served = "/v2/p/streams"
	known := dial()
	if got := statusOf(known, served); got != 200 {
		t.Fatalf("status %d", got)
	}
	for range 5 {
		for range 10 {
			fmt.Fprint(dial(), "GET /v2/p/streams HTTP/1.1\r\nHost: x\r\n")
		}
		if got := statusOf(dial(), "/_disd/health"); got != 200 { // itself a stranger's
			t.Errorf("a newcomer: %d", got)
		}
		if got := statusOf(known, served); got != 200 {
			t.Errorf("a client that was let in: %d", got)
		}
	}
	var all []net.Conn
	for range 7 { // with known, as many as there may be
		conn := dial()
		if got := statusOf(conn, served); got != 200 {
			t.Fatalf("status %d", got)
		}
		all = append(all, conn)
	}
	waiting := dial()
	answered := make(chan int, 1)
	go func() { answered <- statusOf(waiting, served) }()
	for _, conn := range append(all, known) {
		if got := statusOf(conn, served); got != 200 {
			t.Errorf("a client that was let in: %d", got)
		}
	}
	select {
	case got := <-answered:
		t.Errorf("one more was answered %d", got)
	default:
	}
	all[0].Close()
	if got := <-answered; got != 200 {
		t.Errorf("the one that waited: %d", got)
	}
}

// TestMaxConnections: half of the files that may be open are not for connections.
func TestMaxConnections(t *testing.T) {
	_, files := maxConnections(1)
	for wanted, want := range map[int]int{1: 1, 10: 10, files: files / 2, 2 * files: files / 2} {
		if got, _ := maxConnections(wanted); got != want {
			t.Errorf("%d of %d: %d, want %d", wanted, files, got, want)
		}
	}
}

// TestUnreadable: what is no request is answered like any other error.
func TestUnreadable(t *testing.T) {
	address := serveLimited(t, 8)
	for text, want := range map[string]int{
		"GET /v2/%zz/streams HTTP/1.1\r\nHost: localhost\r\n\r\n":                                              400,
		"GET /v2/p/streams HTTP/1.1\r\n\r\n":                                                                   400,
		"nonsense\r\n\r\n":                                                                                     400,
		"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: x\r\n\r\n":                                    501,
		"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + string(make([]byte, 10)) + "\r\n\r\n":                     400,
		"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + fmt.Sprintf("%0100000d", 0) + "\r\nConnection: x\r\n\r\n": 431,
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, text)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%.60q: %v", text, err)
		}
		var e map[string]string
		err = json.NewDecoder(resp.Body).Decode(&e)
		if err != nil || resp.StatusCode != want || e["errorCode"] == "" || e["request_id"] != resp.Header.Get("X-Request-Id") {
			t.Errorf("%.60q: %d %v %v, want %d", text, resp.StatusCode, e, err, want)
		}
		conn.Close()
	}
}
