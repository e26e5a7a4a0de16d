package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// project is the project id of every request. In open mode any will do.
const project = "0123456789abcdef0123456789abcdef"

// token is what stands for credentials in open mode.
const token = "X-Auth-Token: bench\r\n"

// The access key of loads that are signed, and the accounts with it.
const (
	accessKey = "BENCHACCESSKEY000001"
	secretKey = "bench-secret-key-of-forty-characters-000"
	accounts  = `[{"name":"bench","projects":[{"name":"region-1","id":"` + project + `"}],"users":[{"name":"u","access_keys":[{"ak":"` + accessKey + `","sk":"` + secretKey + `"}]}]}]`
)

// signed returns r with a signature, in the form of the Go SDK, instead of the
// token. There must be no query.
func (r request) signed(now time.Time) request {
	head, body, _ := bytes.Cut(r, []byte("\r\n\r\n"))
	line, _, _ := strings.Cut(string(head), "\r\n")
	words := strings.Fields(line)
	date := now.UTC().Format("20060102T150405Z")
	canonical := fmt.Sprintf("%s\n%s/\n\ncontent-type:application/json\nhost:disd\nx-sdk-date:%s\n\ncontent-type;host;x-sdk-date\n%x",
		words[0], words[1], date, sha256.Sum256(body))
	mac := hmac.New(sha256.New, []byte(secretKey))
	fmt.Fprintf(mac, "SDK-HMAC-SHA256\n%s\n%x", date, sha256.Sum256([]byte(canonical)))
	lines := fmt.Sprintf("X-Sdk-Date: %s\r\nAuthorization: SDK-HMAC-SHA256 Access=%s, SignedHeaders=content-type;host;x-sdk-date, Signature=%x\r\n",
		date, accessKey, mac.Sum(nil))
	return bytes.Replace(r, []byte(token), []byte(lines), 1)
}

// A request is a whole HTTP request as it goes over the wire.
type request []byte

func newRequest(method, path, header string, body []byte) request {
	head := method + " /v2/" + project + path + " HTTP/1.1\r\nHost: disd\r\n" + token
	if body != nil {
		head += header + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n"
	}
	return append([]byte(head+"\r\n"), body...)
}

// A wire is one keep-alive connection. It understands just enough of HTTP/1.1
// to know where a reply ends, so that the load costs little beside the
// servers it measures.
type wire struct {
	conn net.Conn
	buf  []byte // the last reply
}

func dial(addr string) (*wire, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &wire{conn: conn, buf: make([]byte, 64<<10)}, nil
}

func (w *wire) Close() error { return w.conn.Close() }

// replyTimeout bounds one exchange, so that a server that hangs ends the run.
const replyTimeout = 30 * time.Second

// send sends r and returns the body of the reply, which is valid until the
// next call. Any status but 200 and 201 is an error.
func (w *wire) send(r request) ([]byte, error) {
	if err := w.conn.SetDeadline(time.Now().Add(replyTimeout)); err != nil {
		return nil, err
	}
	if _, err := w.conn.Write(r); err != nil {
		return nil, err
	}
	n, size, err := w.readHead()
	if err != nil {
		return nil, err
	}
	body, err := w.readBody(n, size)
	if err != nil {
		return nil, err
	}
	if status := w.buf[9:12]; string(status) != "200" && string(status) != "201" {
		return nil, fmt.Errorf("status %s: %.300s", status, body)
	}
	return body, nil
}

// readHead reads until the head of the reply is complete. It returns how much
// was read and where in it the body begins and ends.
func (w *wire) readHead() (n int, body span, err error) {
	for n < len(w.buf) {
		m, err := w.conn.Read(w.buf[n:])
		if err != nil {
			return n, span{}, err
		}
		n += m
		if end := bytes.Index(w.buf[:n], []byte("\r\n\r\n")); end >= 0 {
			length, err := contentLength(w.buf[:end+2])
			return n, span{end + 4, end + 4 + length}, err
		}
	}
	return n, span{}, errors.New("reply head too long")
}

type span struct{ start, end int }

func (w *wire) readBody(n int, body span) ([]byte, error) {
	if body.end > len(w.buf) {
		w.buf = append(w.buf, make([]byte, body.end-len(w.buf))...)
	}
	for n < body.end {
		m, err := w.conn.Read(w.buf[n:body.end])
		if err != nil {
			return nil, err
		}
		n += m
	}
	return w.buf[body.start:body.end], nil
}

func contentLength(head []byte) (int, error) {
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) || len(head) < len("HTTP/1.1 200\r\n") {
		return 0, fmt.Errorf("not a reply: %.40q", head)
	}
	_, rest, ok := bytes.Cut(head, []byte("\r\nContent-Length: "))
	if !ok {
		return 0, errors.New("reply without Content-Length")
	}
	value, _, _ := bytes.Cut(rest, []byte("\r\n"))
	length, err := strconv.Atoi(string(value))
	if err != nil || length < 0 {
		return 0, fmt.Errorf("reply with Content-Length %q", value)
	}
	return length, nil
}

// call sends one request over a connection of its own.
func call(addr string, r request) ([]byte, error) {
	w, err := dial(addr)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	return w.send(r)
}
