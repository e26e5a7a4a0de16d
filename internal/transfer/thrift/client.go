package thrift

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// A Client makes calls, one after the other.
type Client struct {
	transport transport
	timeout   time.Duration // of a call
	id        int32         // of the last one
}

// A transport carries a message to the server and returns where its answer is read
// from, and of how many bytes it is at most.
type transport interface {
	exchange(message []byte) (r *bufio.Reader, size int64, err error)
	// interrupt ends a call that takes too long; the transport is of no use then.
	interrupt()
}

// An ExceptionError is what a server answers a call that it could not make anything of:
// TApplicationException.
type ExceptionError struct{ Message []byte }

func (e *ExceptionError) Error() string { return string(e.Message) }

// Call makes a call whose arguments write appends, and returns the fields of the
// answer: 0 is the result, the others are the exceptions of the call. The error is an
// ExceptionError, ErrAnswer, or one of the connection, which is of no use then.
func (c *Client) Call(name string, write func(*Writer)) (Structure, error) {
	c.id++
	// The connection ends with a call that takes too long.
	late := time.AfterFunc(c.timeout, c.transport.interrupt)
	defer late.Stop()
	w := &Writer{buf: make([]byte, 0, 4096)}
	w.Begin(CallKind, name, c.id)
	write(w)
	w.Stop()
	body, err := c.answer(name, w.buf)
	if err != nil && !late.Stop() {
		err = fmt.Errorf("no answer for %v", c.timeout)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return body, nil
}

func (c *Client) answer(name string, message []byte) (Structure, error) {
	in, size, err := c.transport.exchange(message)
	if err != nil {
		return nil, err
	}
	m, err := Read(in, size)
	switch {
	case err != nil:
		return nil, err
	case m.Name != name || m.ID != c.id:
		return nil, fmt.Errorf("%w: it is for %s %d", ErrAnswer, m.Name, m.ID)
	case m.Kind == ExceptionKind:
		return nil, &ExceptionError{m.Body.Bytes(1)}
	case m.Kind != ReplyKind:
		return nil, ErrAnswer
	}
	return m.Body, nil
}

// A stream carries messages over a connection, in frames or one behind the other.
type stream struct {
	net.Conn
	r      *bufio.Reader
	framed bool
}

func (s *stream) interrupt() { _ = s.Close() } // whoever waits hears of it

// NewStream returns a client that uses a connection. A call without an answer for
// timeout fails.
func NewStream(c net.Conn, framed bool, timeout time.Duration) *Client {
	return &Client{transport: &stream{c, bufio.NewReader(c), framed}, timeout: timeout}
}

func (s *stream) exchange(message []byte) (*bufio.Reader, int64, error) {
	out := net.Buffers{message}
	if s.framed {
		out = net.Buffers{binary.BigEndian.AppendUint32(nil, uint32(len(message))), message}
	}
	if _, err := out.WriteTo(s.Conn); err != nil {
		return nil, 0, err
	}
	if !s.framed {
		return s.r, maxAnswer, nil
	}
	frame, err := readFrame(s.r)
	return bufio.NewReader(bytes.NewReader(frame)), int64(len(frame)), err
}

// readFrame reads a length of four bytes and as many bytes behind it.
func readFrame(in *bufio.Reader) ([]byte, error) {
	r := &reader{r: in, left: maxAnswer}
	return r.string()
}

// Steps of SASL, the first byte of its messages.
const (
	saslStart    = 1
	saslOK       = 2
	saslBad      = 3
	saslError    = 4
	saslComplete = 5
)

// ErrLogin is returned when the server does not accept the user.
var ErrLogin = errors.New("the login was refused")

// Login introduces a user by SASL PLAIN. Messages are framed afterwards.
func Login(c net.Conn, user, password string, timeout time.Duration) error {
	late := time.AfterFunc(timeout, func() { _ = c.Close() }) // whoever waits hears of it
	defer late.Stop()
	send := func(step byte, text string) error {
		_, err := c.Write(append(binary.BigEndian.AppendUint32([]byte{step}, uint32(len(text))), text...))
		return err
	}
	if err := errors.Join(send(saslStart, "PLAIN"), send(saslOK, "\x00"+user+"\x00"+password)); err != nil {
		return err
	}
	in := bufio.NewReaderSize(c, 16) // no byte behind the answer may be read: the server waits for a call
	step, err := in.ReadByte()
	if err != nil {
		return err
	}
	r := &reader{r: in, left: 64 << 10}
	text, err := r.string()
	switch {
	case err != nil:
		return err
	case step == saslBad || step == saslError:
		return fmt.Errorf("%w: %.300q", ErrLogin, text)
	case step != saslComplete:
		return ErrAnswer
	}
	return nil
}

// An overHTTP carries each message in a request of its own.
type overHTTP struct {
	ctx      context.Context
	cancel   context.CancelFunc
	client   *http.Client
	url      string
	user     string
	password string
}

// interrupt implements transport.
func (h *overHTTP) interrupt() { h.cancel() }

// NewHTTP returns a client that posts its calls, with Basic authorization, until ctx
// ends. A call without an answer for timeout fails.
func NewHTTP(ctx context.Context, client *http.Client, url, user, password string, timeout time.Duration) *Client {
	ctx, cancel := context.WithCancel(ctx)
	return &Client{transport: &overHTTP{ctx, cancel, client, url, user, password}, timeout: timeout}
}

func (h *overHTTP) exchange(message []byte) (*bufio.Reader, int64, error) {
	req, err := http.NewRequestWithContext(h.ctx, http.MethodPost, h.url, bytes.NewReader(message))
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Content-Type", "application/x-thrift")
	req.SetBasicAuth(h.user, h.password)
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return nil, 0, fmt.Errorf("%w: HTTP %d", ErrLogin, resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return nil, 0, fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return bufio.NewReader(bytes.NewReader(body)), int64(len(body)), err
}
