package rest

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// An incoming is the body of a request, and knows how much of it was read.
type incoming struct {
	io.ReadCloser
	touched, ended bool
}

func (b *incoming) Read(p []byte) (int, error) {
	b.touched = true
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || errors.Is(err, io.EOF)
	return n, err
}

// Many clients send the whole body before they read an answer: one that is sent when a
// request is refused, and followed by the end of the connection, is lost in the reset
// with which the system answers the rest of the body. Therefore the server reads on
// (RFC 9112, 9.6), but not for ever.
const (
	drainTime = 30 * time.Second
	// smallRest is how many bytes net/http reads by itself.
	smallRest = 256 << 10
	// moment is how long the rest of a body of unknown length is waited for before the
	// request is answered.
	moment = 500 * time.Millisecond
)

// leaves reports whether the rest of a body is too long for net/http to read. A client
// that waits for 100 Continue sends none. Of a body of unknown length as much is read
// here as net/http would, but only for a moment: the client may wait for the answer.
func (c *Call) leaves(now func() time.Time) bool {
	switch {
	case c.ProtoMajor != 1 || c.in.ended || c.Header.Get("Expect") != "" && !c.in.touched:
		return false
	case c.ContentLength >= 0:
		return c.ContentLength > smallRest
	}
	control := http.NewResponseController(c.w)
	_ = control.SetReadDeadline(now().Add(moment))
	_, _ = io.CopyN(io.Discard, &c.in, smallRest) // what counts is whether it ended
	_ = control.SetReadDeadline(time.Time{})
	return !c.in.ended
}

// beforeDrain makes the answer the last one of its connection, and lets it be sent
// while the body still comes.
func (c *Call) beforeDrain() {
	c.w.Header()["Connection"] = []string{"close"}
	_ = http.NewResponseController(c.w).EnableFullDuplex() // else the answer comes behind the body
}

// drain sends the answer and discards the rest of the body, up to most bytes of it.
func (c *Call) drain(most int64, now func() time.Time) {
	control := http.NewResponseController(c.w)
	_ = control.Flush() // an error is one of the connection, and ends the reading too
	_ = control.SetReadDeadline(now().Add(drainTime))
	_, _ = io.CopyN(io.Discard, c.in.ReadCloser, most)
}
