package security

import (
	"bufio"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"disd/test/harness"
)

var slow = flag.Bool("slow", false, "also wait for the limits of time that are longer than 10s")

// patience is how long is waited for what must happen.
const patience = 5 * time.Minute

// behave is a client that wants to work whatever others do.
func behave(t *testing.T, s *harness.Server, stream string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := s.Client()
	if err := c.CreateStream(ctx, stream, 1); err != nil {
		t.Fatal(err)
	}
	sent := harness.Record{Data: []byte("data")}
	acks, err := c.Put(ctx, stream, []harness.Record{sent})
	if err != nil || acks[0].Code != "" {
		t.Fatal(acks, err)
	}
	c.Holds(t, stream, acks[0], sent)
	err = c.ReadAll(ctx, stream, func(p harness.Partition) error {
		if len(p.Records) != 1 {
			return fmt.Errorf("%d records", len(p.Records))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// connect opens connections and sends text on each.
func connect(t *testing.T, s *harness.Server, n int, text string) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		conn, err := net.Dial("tcp", s.Address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
	}
	return conns
}

// ends waits until the server has closed a connection.
func ends(t *testing.T, what string, conn net.Conn) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
		t.Errorf("%s: the connection stays open", what)
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

const halfHeader = "POST /v2/p/records HTTP/1.1\r\nHost: disd\r\nX-Slow: "

// TestSlowRequests: those who send nothing, half a header or half a body keep
// nobody from working, and are cut off. With -slow the longer limits are waited
// for: 90 s for a body, 120 s for a connection between requests.
func TestSlowRequests(t *testing.T) {
	t.Attr("rules", "C-58")
	t.Parallel()
	s := harness.Start(t, harness.Options{})
	behave(t, s, "before")
	halfBody := "POST /v2/p/records HTTP/1.1\r\nHost: disd\r\nContent-Length: 1000\r\n\r\n{"
	silent, header, body := connect(t, s, 100, ""), connect(t, s, 100, halfHeader), connect(t, s, 100, halfBody)
	idle := connect(t, s, 1, "GET /_disd/health HTTP/1.1\r\nHost: disd\r\n\r\n")
	behave(t, s, "meanwhile")
	for i := range silent {
		ends(t, "no header", silent[i])
		ends(t, "half a header", header[i])
	}
	if *slow {
		for _, conn := range body {
			ends(t, "half a body", conn)
		}
		ends(t, "idle", idle[0])
	}
	behave(t, s, "afterwards")
}

// TestSlowLargeBodies: the largest bodies, sent by one address and never to the end,
// leave room for those of others.
func TestSlowLargeBodies(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{Args: []string{"--limits-body", "8388608", "--limits-bodies", "33554432"}})
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	var conns []net.Conn
	for range 10 {
		conn, err := dialer.Dial("tcp", s.Address)
		if err != nil {
			t.Skipf("no second address of this machine: %v", err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "POST /v2/p/records HTTP/1.1\r\nHost: disd\r\nContent-Length: 8388608\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	behave(t, s, "meanwhile")
	for _, conn := range conns { // none has been cut off, which would have made room
		conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := conn.Read(make([]byte, 1)); !isTimeout(err) {
			t.Fatalf("a slow body was answered before others were: %v", err)
		}
	}
}

// TestSlowLogins: those who have not said who they are use up nothing that the bodies
// of others need.
func TestSlowLogins(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{Args: []string{"--limits-body", "8388608", "--limits-bodies", "16777216"}})
	for _, path := range []string{"/v3/auth/tokens", "/v3.0/OS-CREDENTIAL/securitytokens", "/v3.0/OS-AUTH/id-token/tokens"} {
		connect(t, s, 100, "POST "+path+" HTTP/1.1\r\nHost: disd\r\nContent-Length: 65536\r\n\r\n{")
		connect(t, s, 100, "POST "+path+" HTTP/1.1\r\nHost: disd\r\nContent-Encoding: gzip\r\nContent-Length: 65536\r\n\r\n{")
	}
	behave(t, s, "meanwhile")
}

// TestManyConnections: when all connections are taken, clients that have one go on
// with theirs, and new ones get in when the silent are cut off.
func TestManyConnections(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{Args: []string{"--limits-connections", "50"}})
	behave(t, s, "before")
	connect(t, s, 60, halfHeader)
	behave(t, s, "meanwhile") // on its connection
	resp, err := (&http.Client{Transport: &http.Transport{}, Timeout: patience}).Get(s.URL + "/_disd/ready")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// TestLargeHeaders: a header of more than 64 KiB is refused before it is all
// there, in HTTP/1 and in HTTP/2.
func TestLargeHeaders(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{Args: []string{"--tls-mode", "auto"}})
	large := strings.Repeat("x", 1<<20)
	for range 50 {
		conn, err := tls.Dial("tcp", s.Address, s.Trust(t))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		go io.WriteString(conn, halfHeader+large) // which is not read to its end
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Fatalf("HTTP/1: status %d", resp.StatusCode)
		}
	}
	two := http.Client{Transport: &http.Transport{TLSClientConfig: s.Trust(t), ForceAttemptHTTP2: true}}
	for size, refused := range map[int]bool{60 << 10: false, 100 << 10: true} {
		req, err := http.NewRequest(http.MethodGet, s.URL+"/_disd/ready", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Large", large[:size])
		resp, err := two.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		if told := err != nil && strings.Contains(err.Error(), "advertised limit"); told != refused || err == nil && resp.ProtoMajor != 2 {
			t.Errorf("HTTP/2, %d bytes: %v", size, err)
		}
	}
	behave(t, s, "afterwards")
}

// TestSignedBodyWithoutLength: a signed body that does not say its length is refused
// with the byte that is one too many, while the client is still sending.
func TestSignedBodyWithoutLength(t *testing.T) {
	t.Attr("rules", "C-21 S-12")
	t.Parallel()
	s, c, _ := guarded(t)
	const largest = 12 << 20
	send := func(n int) (net.Conn, *bufio.Reader) {
		conn, err := net.Dial("tcp", s.Address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "POST /v2/%s/records HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nX-Sdk-Date: %s\r\n"+
			"Authorization: SDK-HMAC-SHA256 Access=%s, SignedHeaders=x-sdk-date, Signature=00\r\n\r\n",
			project, s.Address, time.Now().UTC().Format("20060102T150405Z"), accessKey)
		if _, err := fmt.Fprintf(conn, "%x\r\n%s\r\n", n, strings.Repeat(" ", n)); err != nil {
			t.Fatal(err)
		}
		return conn, bufio.NewReader(conn)
	}
	answer := func(what string, r *bufio.Reader, status int) *http.Response {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(what, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != status {
			t.Fatalf("%s: status %d, %v\n%s", what, resp.StatusCode, err, body)
		}
		return resp
	}
	conns := make([]net.Conn, 5)
	for i := range conns {
		conn, r := send(largest + 1)
		conn.SetReadDeadline(time.Now().Add(patience))
		if resp := answer("too large", r, http.StatusRequestEntityTooLarge); !resp.Close {
			t.Error("the connection is to stay open")
		}
		conns[i] = conn
	}
	c.want(200, accessKey, configured, "GET", "/v2/"+project+"/streams", "")
	conn, r := send(largest) // which may be the end
	conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := r.ReadByte(); !isTimeout(err) {
		t.Fatalf("the largest body was answered before its end: %v", err)
	}
	conn.SetReadDeadline(time.Now().Add(patience))
	io.WriteString(conn, "0\r\n\r\n")
	if resp := answer("largest", r, http.StatusUnauthorized); resp.Close {
		t.Error("the connection is to be closed")
	}
	for _, conn := range conns {
		ends(t, "too large", conn)
	}
}

// TestSlowReaders: those who ask for the largest downloads and do not take them hold
// no more memory than they may, and others get theirs, from the same address too.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{Args: []string{"--limits-answers", "67108864"}})
	c := s.Client()
	if err := c.CreateStream(t.Context(), "large", 1); err != nil {
		t.Fatal(err)
	}
	for range 12 {
		records := []harness.Record{{Data: make([]byte, 1<<20)}}
		acks, err := c.Put(t.Context(), "large", records)
		if err != nil || acks[0].Code != "" {
			t.Fatal(acks, err)
		}
		c.Holds(t, "large", acks[0], records[0])
	}
	cursor, err := c.Cursor(t.Context(), "large", 0, "TRIM_HORIZON", 0)
	if err != nil {
		t.Fatal(err)
	}
	ask := "GET /v2/" + project + "/records?max_fetch_bytes=10485760&partition-cursor=" + cursor + " HTTP/1.1\r\nHost: disd\r\n\r\n"
	var readers []net.Conn
	for _, from := range []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(127, 0, 0, 2)} {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
		for range 30 {
			conn, err := dialer.Dial("tcp", s.Address)
			if err != nil {
				t.Skipf("no second address of this machine: %v", err)
			}
			defer conn.Close()
			conn.(*net.TCPConn).SetReadBuffer(4096)
			if _, err := io.WriteString(conn, ask); err != nil {
				t.Fatal(err)
			}
			readers = append(readers, conn)
		}
	}
	for _, conn := range readers[:2] { // have theirs, and do not take them
		if _, err := io.ReadFull(conn, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	behave(t, s, "meanwhile")
	if err := c.CreateStream(t.Context(), "many", 1); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		records := make([]harness.Record, 20)
		for i := range records {
			records[i].Data = make([]byte, 10<<10)
		}
		acks, err := c.Put(t.Context(), "many", records)
		if err != nil {
			t.Fatal(err)
		}
		for i := range acks {
			c.Holds(t, "many", acks[i], records[i])
		}
	}
	if err := c.ReadAll(t.Context(), "many", func(p harness.Partition) error {
		if len(p.Records) != 200 {
			return fmt.Errorf("%d records", len(p.Records))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if used := memory(t, s); used > 400<<20 {
		t.Errorf("the server uses %d MiB", used>>20)
	}
}

// memory returns the bytes that a server has in memory.
func memory(t *testing.T, s *harness.Server) int64 {
	t.Helper()
	resp, err := http.Get(s.URL + "/_disd/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		var bytes float64
		if _, err := fmt.Sscanf(lines.Text(), "process_resident_memory_bytes %g", &bytes); err == nil {
			return int64(bytes)
		}
	}
	t.Fatal("the server does not say how much memory it uses")
	return 0
}
