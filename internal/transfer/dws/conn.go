package dws

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// errNoProgress is what becomes of a statement that the database makes no
// progress with.
var errNoProgress = errors.New("the database has taken and answered nothing for too long")

// watch has dial make connections that are watched.
func watch(dial pgconn.DialFunc, timeout time.Duration) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		w := &watched{Conn: c, timeout: timeout}
		w.timer = time.AfterFunc(timeout, w.giveUp)
		w.timer.Stop()
		return w, nil
	}
}

// A watched connection ends when somebody waits for it and no byte moves for too
// long, in either direction.
type watched struct {
	net.Conn
	timeout time.Duration
	timer   *time.Timer

	mu      sync.Mutex
	waiting int // calls
	late    bool
}

func (w *watched) giveUp() {
	w.mu.Lock()
	w.late = w.waiting > 0
	late := w.late
	w.mu.Unlock()
	if late {
		_ = w.Conn.Close() // it is of no use any more
	}
}

// Read implements net.Conn.
func (w *watched) Read(p []byte) (int, error) { return w.move(w.Conn.Read, p) }

// Write implements net.Conn.
func (w *watched) Write(p []byte) (int, error) { return w.move(w.Conn.Write, p) }

func (w *watched) move(call func([]byte) (int, error), p []byte) (int, error) {
	w.mu.Lock()
	if w.waiting++; w.waiting == 1 {
		w.timer.Reset(w.timeout)
	}
	w.mu.Unlock()
	n, err := call(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting--
	switch {
	case w.waiting == 0:
		w.timer.Stop()
	case n > 0:
		w.timer.Reset(w.timeout)
	}
	if err != nil && w.late {
		err = errNoProgress
	}
	return n, err
}
