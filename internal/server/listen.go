package server

import (
	"container/list"
	"net"
	"sync"
	"syscall"
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

	mu        sync.Mutex
	closed    bool
	left      sync.Cond // of mu: a connection was closed
	open      int
	strangers *list.List            // of *conn, the oldest first
	of        map[string]*list.List // the same by address
}

func newGatekeeper(l net.Listener, most int) *gatekeeper {
	g := &gatekeeper{Listener: l, most: most, share: max(most/2, 1), strangers: list.New(), of: make(map[string]*list.List)}
	g.left.L = &g.mu
	return g
}

// Accept implements net.Listener. It waits while all connections are of those who were
// let in.
func (g *gatekeeper) Accept() (net.Conn, error) {
	g.mu.Lock()
	for g.open >= g.most && g.strangers.Len() == 0 && !g.closed {
		g.left.Wait()
	}
	g.mu.Unlock()
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return g.enter(c), nil
}

// Close implements net.Listener.
func (g *gatekeeper) Close() error {
	g.mu.Lock()
	g.closed = true
	g.left.Broadcast()
	g.mu.Unlock()
	return g.Listener.Close()
}

func (g *gatekeeper) enter(inner net.Conn) *conn {
	c := &conn{Conn: inner, g: g, address: hostOf(inner.RemoteAddr())}
	g.mu.Lock()
	of := g.of[c.address]
	if of == nil {
		of = list.New()
		g.of[c.address] = of
	}
	c.stranger, c.here = g.strangers.PushBack(c), of.PushBack(c)
	g.open++
	var victim *conn
	switch {
	case of.Len() > g.share:
		victim = of.Front().Value.(*conn)
	case g.open > g.most:
		victim = g.strangers.Front().Value.(*conn)
	}
	g.mu.Unlock()
	if victim != nil {
		_ = victim.Close() // the server notices
	}
	return c
}

func hostOf(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

// A conn is a connection that a gatekeeper counts.
type conn struct {
	net.Conn
	g       *gatekeeper
	address string

	// guarded by g.mu
	stranger, here *list.Element // nil when somebody was let in, or it is closed
	closed         bool
}

// letIn is told that a request on the connection was let in.
func (c *conn) letIn() {
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
