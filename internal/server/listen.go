package server

import (
	"bytes"
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"disd/internal/api"
)

// maxConnections returns how many connections may be open at one time: as many as
// wanted, but at most half of the files that the process may open, so that the rest
// are left to storage, whatever strangers do.
func maxConnections(wanted int) (most, files int) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 1<<30 {
		return wanted, 1 << 30
	}
	files = int(limit.Cur)
	return max(min(wanted, files/2), 1), files
}

// A gatekeeper is a listener that bounds the connections that are open. Those on which
// nobody was let in yet are strangers'. They may take half for one address; the oldest
// of them makes room for a new one, so that what strangers hold keeps nobody out, and
// never a connection of somebody who was let in.
type gatekeeper struct {
	net.Listener
	most, share int
	unreadable  func(status int) []byte // what is answered to what is no request

	mu        sync.Mutex
	closed    bool
	left      sync.Cond // of mu: a connection was closed
	open      int
	strangers *list.List            // of *conn, the oldest first
	of        map[string]*list.List // the same by address
}

func newGatekeeper(l net.Listener, most int, unreadable func(int) []byte) *gatekeeper {
	g := &gatekeeper{Listener: l, most: most, share: max(most/2, 1), unreadable: unreadable, strangers: list.New(), of: make(map[string]*list.List)}
	g.left.L = &g.mu
	return g
}

// Accept implements net.Listener. It waits while all connections are of those who were
// let in.
func (g *gatekeeper) Accept() (net.Conn, error) {
	inner, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: inner, g: g, address: hostOf(inner.RemoteAddr())}
	victim, err := g.enter(c)
	if victim != nil {
		_ = victim.Close() // the server notices
	}
	if err != nil {
		_ = inner.Close()
		return nil, err
	}
	return c, nil
}

// Close implements net.Listener.
func (g *gatekeeper) Close() error {
	g.mu.Lock()
	g.closed = true
	g.left.Broadcast()
	g.mu.Unlock()
	return g.Listener.Close()
}

// enter counts a connection and returns the one that must go for it, nil for none.
func (g *gatekeeper) enter(c *conn) (victim *conn, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.open >= g.most && g.strangers.Len() == 0 && !g.closed {
		g.left.Wait()
	}
	if g.closed {
		return nil, net.ErrClosed
	}
	of := g.of[c.address]
	if of == nil {
		of = list.New()
		g.of[c.address] = of
	}
	switch {
	case of.Len() >= g.share:
		victim = of.Front().Value.(*conn)
	case g.open >= g.most:
		victim = g.strangers.Front().Value.(*conn)
	}
	c.stranger, c.here = g.strangers.PushBack(c), of.PushBack(c)
	g.open++
	return victim, nil
}

func hostOf(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

// connContext makes requests tell their connection that they were let in.
func connContext(ctx context.Context, c net.Conn) context.Context {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	if counted, ok := c.(*conn); ok {
		return api.WhenLetIn(ctx, counted.letIn)
	}
	return ctx
}

// A conn is a connection that a gatekeeper counts.
type conn struct {
	net.Conn
	g       *gatekeeper
	address string

	known atomic.Bool // somebody was let in

	// guarded by g.mu
	stranger, here *list.Element // nil when somebody was let in, or it is closed
	closed         bool
}

// letIn is told that a request on the connection was let in.
func (c *conn) letIn() {
	if c.known.Swap(true) {
		return
	}
	c.g.mu.Lock()
	defer c.g.mu.Unlock()
	c.knownLocked()
}

func (c *conn) knownLocked() {
	if c.stranger == nil {
		return
	}
	of := c.g.of[c.address]
	c.g.strangers.Remove(c.stranger)
	of.Remove(c.here)
	if of.Len() == 0 {
		delete(c.g.of, c.address)
	}
	c.stranger, c.here = nil, nil
}

// refusal begins what net/http answers by itself to what it cannot read as a request: a
// text that no client of DIS expects.
var refusal = regexp.MustCompile(`^HTTP/1\.1 (\d\d\d) [^\r\n]*\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n`)

// Write implements net.Conn. What net/http answers by itself gets the form of all other
// errors. Below TLS nothing can be told, or changed.
func (c *conn) Write(p []byte) (int, error) {
	if len(p) < 512 && bytes.HasPrefix(p, []byte("HTTP/1.1 ")) {
		if m := refusal.FindSubmatch(p); m != nil {
			status, _ := strconv.Atoi(string(m[1])) // three digits
			if _, err := c.Conn.Write(c.g.unreadable(status)); err != nil {
				return 0, err
			}
			return len(p), nil
		}
	}
	return c.Conn.Write(p)
}

// CloseWrite ends what is written, where that is possible: net/http does so before it
// closes a connection from which more may come.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.g.mu.Lock()
	c.knownLocked()
	if !c.closed {
		c.closed = true
		c.g.open--
		c.g.left.Signal()
	}
	c.g.mu.Unlock()
	return c.Conn.Close()
}
