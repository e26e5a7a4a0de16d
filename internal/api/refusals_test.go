package api_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// sendFirst sends a request with a body of size bytes as many clients do: it writes all
// of it before it reads the answer.
func (b *bench) sendFirst(t *testing.T, head string, size int, chunked bool) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	w := bufio.NewWriterSize(conn, 256<<10)
	if chunked {
		fmt.Fprintf(w, "%s\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", head, size)
	} else {
		fmt.Fprintf(w, "%s\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", head, size)
	}
	if _, err := io.Copy(w, io.LimitReader(blanks{}, int64(size))); err != nil {
		t.Fatalf("the body was not taken: %v", err)
	}
	if chunked {
		fmt.Fprint(w, "\r\n0\r\n\r\n")
	}
	if err := w.Flush(); err != nil {
		t.Fatalf("the body was not taken: %v", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("the answer was lost: %v", err)
	}
	return resp
}

// blanks is a text without an end.
type blanks struct{}

func (blanks) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte(" "), len(p))), nil }

// TestRefusedUnread: whoever is refused before the body was read gets the answer, also
// when it sends all of the body first (RFC 9112, 9.6).
func TestRefusedUnread(t *testing.T) {
	const signed = "\r\nX-Sdk-Date: 20200101T000000Z\r\nAuthorization: SDK-HMAC-SHA256 Access=AK-ALICE, SignedHeaders=x-sdk-date, Signature=00"
	b := newGuardedBench(t, func(s *setup) { s.Limits.Body = 12 << 20 })
	for _, test := range []struct {
		name, head string
		size       int
		want       int
	}{
		{"no credentials", "POST /v2/p1/records HTTP/1.1", 1 << 20, 401},
		{"no credentials", "POST /v2/p1/records HTTP/1.1", 4 << 20, 401},
		{"expired token", "POST /v2/p1/records HTTP/1.1\r\nX-Auth-Token: old", 4 << 20, 401},
		{"wrong clock", "POST /v2/p1/records HTTP/1.1" + signed, 4 << 20, 401},
		{"no such path", "POST /v2 HTTP/1.1", 4 << 20, 404},
		{"no such method", "PATCH /v2/p1/records HTTP/1.1", 4 << 20, 405},
		{"too large without credentials", "POST /v3/auth/tokens HTTP/1.1", 1 << 20, 413},
		{"too large", "POST /v3/auth/tokens HTTP/1.1", 10 << 20, 413},
		{"a body that nobody asked for", "GET /_disd/health HTTP/1.1", 4 << 20, 200},
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, %d MiB, chunked %t", test.name, test.size>>20, chunked), func(t *testing.T) {
				resp := b.sendFirst(t, test.head, test.size, chunked)
				text, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != test.want {
					t.Errorf("%d %s, %v", resp.StatusCode, text, err)
				}
			})
		}
	}
}

// TestRefusedUnreadByClients sends the same through Go's client, over one connection
// after the other.
func TestRefusedUnreadByClients(t *testing.T) {
	b := newGuardedBench(t)
	for _, size := range []int{1 << 20, 4 << 20, 30 << 20} {
		for range 3 {
			resp, err := http.Post(b.url+"/v2/p1/records", "application/json", io.LimitReader(blanks{}, int64(size)))
			if err != nil {
				t.Fatalf("%d MiB: %v", size>>20, err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("%d MiB: %d", size>>20, resp.StatusCode)
			}
		}
	}
}

// TestBrokenBodies: a body whose chunks cannot be read, or which ends too early, is the
// client's fault.
func TestBrokenBodies(t *testing.T) {
	b := newBench(t)
	for name, text := range map[string]string{
		"chunk length": "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
		"chunk end":    "Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n",
		"cut off":      "Content-Length: 100\r\n\r\n{",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /v2/proj/streams HTTP/1.1\r\nHost: x\r\n%s", text)
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "DIS.4300") {
			t.Errorf("%s: %d %s, %v", name, resp.StatusCode, body, err)
		}
		conn.Close()
	}
}
