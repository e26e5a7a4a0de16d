// Package rest is what all calls of the API have in common: how a request is read
// within bounds, who may make it, how its answer and its errors look, what is counted
// and logged of it. An API is a list of Operations; package api mounts them.
package rest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"disd/internal/auth"
	"disd/internal/clock"
	"disd/internal/field"
)

// A Guard decides who is let in.
type Guard interface {
	// Begin starts the authentication of a request; nil for one that needs none.
	Begin(op *Operation, r *http.Request) (*auth.Check, error)
	// Admit checks that the caller, who is known by now, may do this kind of thing,
	// and sets the project of the call.
	Admit(op *Operation, c *Call) error
	// Done is told what became of a call.
	Done(op *Operation, c *Call, status int, code string)
}

// Options of a Server. All are required.
type Options struct {
	Guard     Guard
	Errors    *Table
	Pools     *Pools
	Registry  prometheus.Registerer
	Logger    *slog.Logger
	MaxBody   int64 // bytes of one request body, also when decompressed
	MaxBodies int64 // bytes of all bodies in memory

	// Probe returns what watches a request, nil for nothing; not required.
	Probe func(context.Context) Probe
}

// A Server makes handlers of operations. All methods may be called at any time.
type Server struct {
	opts    Options
	bodies  *bodies
	public  *bodies // of operations that need no authentication
	metrics *metrics
	realNow func() time.Time // by which the network's deadlines go
}

// New returns a server.
func New(opts Options) *Server {
	return &Server{
		opts:    opts,
		bodies:  newBodies(opts.MaxBody, opts.MaxBodies, opts.Pools),
		public:  newBodies(min(publicBody, opts.MaxBody), publicBodies, opts.Pools),
		metrics: newMetrics(opts.Registry),
		realNow: time.Now,
	}
}

// Handler returns the handler of an operation.
func (s *Server) Handler(op Operation) http.HandlerFunc {
	observe := s.metrics.operation(&op)
	return func(w http.ResponseWriter, r *http.Request) {
		c := Call{Request: r, w: w, in: incoming{ReadCloser: r.Body}, ID: newRequestID(), Start: clock.Start()}
		r.Body = &c.in
		if s.opts.Probe != nil {
			if c.Probe = s.opts.Probe(r.Context()); c.Probe != nil {
				c.Probe.Begin(op.Name, c.ID)
			}
		}
		rep, err := s.guarded(&op, &c)
		code := "ok"
		if err != nil {
			rep, code = s.opts.Errors.Answer(&op, err, c.ID)
			s.note(op.Name, &c, rep.Status, code, err)
		}
		leaves := c.leaves(s.realNow)
		if leaves {
			c.beforeDrain()
		}
		s.write(&c, &rep)
		s.opts.Guard.Done(&op, &c, rep.Status, code)
		observe(code, c.Start.Elapsed(), len(c.Body), len(rep.Body))
		if leaves {
			c.drain(s.opts.MaxBody, s.realNow)
		}
	}
}

// guarded runs an operation and makes a panic in it an error: one request must not
// take others down, or leave its client without an answer.
func (s *Server) guarded(op *Operation, c *Call) (rep Reply, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return s.run(op, c)
}

// run does what comes before an operation, in the order of C-35.
func (s *Server) run(op *Operation, c *Call) (Reply, error) {
	bodies := s.bodies
	if op.Everybody() {
		bodies = s.public
	}
	lease, err := s.receive(op, c, bodies)
	defer lease.Release()
	if err != nil {
		return Reply{}, err
	}
	if c.Proto, err = op.speaks(c.Header.Get("Content-Type")); err != nil {
		return Reply{}, err
	}
	if op.hasBody() {
		if c.Body, err = bodies.plain(lease, c.Header, c.Body); err != nil {
			return Reply{}, err
		}
	}
	if c.Probe != nil && !op.Aims && (op.Service == DIS || op.Service == Identity) {
		if err := c.aim(); err != nil {
			return Reply{}, err
		}
	}
	return op.Do(c)
}

// receive reads the body, finds out who sent it and whether it is let in. A body
// that no operation asks for is read all the same if it is signed (C-8).
func (s *Server) receive(op *Operation, c *Call, bodies *bodies) (lease *Lease, err error) {
	check, err := s.opts.Guard.Begin(op, c.Request)
	if err != nil {
		return nil, err
	}
	var unread error
	if op.hasBody() || check != nil && check.NeedsBody() {
		c.Body, lease, unread = bodies.read(c.w, c.Request, check.MaxBody(bodies.limit), check)
	}
	if err := s.identify(c, check, unread); err != nil {
		return lease, err
	}
	c.Query = ParseQuery(c.URL.RawQuery) // not before the signature was verified
	return lease, field.First(s.opts.Guard.Admit(op, c), unread)
}

// identify sets who sent a request. A signature over a body that could not be
// read cannot be verified.
func (s *Server) identify(c *Call, check *auth.Check, unread error) (err error) {
	if check == nil {
		return nil
	}
	if check.NeedsBody() && unread != nil {
		return unread
	}
	if c.Principal, err = check.Verify(); err != nil {
		return err
	}
	if refused := check.Refused(); refused != nil {
		s.opts.Logger.Info("would be refused with auth.mode required", "request_id", c.ID, "error", refused)
	}
	return nil
}

// note logs a request that failed: what is the server's own fault as an error,
// what is the client's for those who look for it.
func (s *Server) note(operation string, c *Call, status int, code string, err error) {
	level := slog.LevelDebug
	var denied *auth.DeniedError
	if errors.As(err, &denied) && denied.CanonicalRequest != "" {
		level, err = slog.LevelInfo, denied // somebody asked for explanations
	}
	if status >= 500 && !aborted(err) {
		level = slog.LevelError
	}
	s.opts.Logger.Log(c.Context(), level, "request failed", "operation", operation, "request_id", c.ID,
		"project", c.Project, "status", status, "code", code, "error", err)
}

// write sends an answer. An empty body has an explicit length, which clients
// look at (C-50).
func (s *Server) write(c *Call, rep *Reply) {
	h := c.w.Header()
	h["X-Request-Id"] = []string{c.ID}
	h["X-Content-Type-Options"] = []string{"nosniff"} // CON-41
	if rep.Stream != nil {
		rep.Stream(newStream(c.w), c.Request)
		return
	}
	if rep.Status != http.StatusNoContent {
		h["Content-Length"] = []string{strconv.Itoa(len(rep.Body))}
	}
	if rep.SubjectToken != "" {
		h["X-Subject-Token"] = []string{rep.SubjectToken}
	}
	if len(rep.Body) > 0 {
		if rep.Type == "" {
			rep.Type = defaultType
		}
		h["Content-Type"] = []string{rep.Type}
	}
	c.w.WriteHeader(rep.Status)
	c.w.Write(rep.Body) // an error means that nobody listens any more
	if rep.Memory != nil {
		rep.Memory.B = rep.Body
		s.opts.Pools.Put(rep.Memory)
	}
	rep.Lease.Release()
}

// Unreadable returns the whole answer, in HTTP/1.1, to what cannot be read as a request.
func (s *Server) Unreadable(status int) []byte {
	err := ErrBody
	if status == http.StatusRequestHeaderFieldsTooLarge {
		err = ErrTooLarge
	}
	id := newRequestID()
	rep, _ := s.opts.Errors.Answer(&Operation{Service: Unknown}, err, id)
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nX-Request-Id: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), id, defaultType, len(rep.Body), rep.Body)
}

// newRequestID returns 32 hex digits (C-51).
func newRequestID() string {
	var raw [16]byte
	for i, r := 0, rand.Uint64(); i < 8; i, r = i+1, r>>8 {
		raw[i] = byte(r)
	}
	for i, r := 8, rand.Uint64(); i < 16; i, r = i+1, r>>8 {
		raw[i] = byte(r)
	}
	return hex.EncodeToString(raw[:])
}
