// Package api serves the HTTP side of disd: it mounts the calls of DIS, of the identity
// service and disd's own, holds the one table of errors, and says who may call what,
// and how often. The contract is api.md; rule numbers in comments are its.
package api

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"disd/internal/api/dis"
	"disd/internal/api/iam"
	"disd/internal/api/ops"
	"disd/internal/api/rest"
	"disd/internal/auth"
	"disd/internal/auth/audit"
	"disd/internal/auth/policy"
	"disd/internal/clock"
	"disd/internal/cursor"
	"disd/internal/cursor/group"
	"disd/internal/monitor"
	"disd/internal/partition"
	"disd/internal/quota"
	"disd/internal/storage"
	"disd/internal/transfer"
)

// A RecordLimit is the largest record in bytes by type of stream.
type RecordLimit = dis.RecordLimit

// Options of a Server. Nil and zero mean the ordinary value.
type Options struct {
	Engine  storage.Engine // required
	Streams *partition.Set // required
	Apps    *cursor.Apps   // required
	Cursors *cursor.Sealer // required

	Identities *auth.Directory   // who is who; required
	Verifier   *auth.Verifier    // who sent a request; required
	Policies   *policy.Policies  // required
	Audit      func(audit.Entry) // is told of every call that changes something; default nobody
	Tasks      *transfer.Tasks   // required
	Monitor    *monitor.Monitor  // required

	Groups *group.Coordinator // required

	Quota *quota.Policy // what follows when a quota is exceeded; required

	// ObjectStore is the URL of an object store that clients find in the catalog of
	// services (E1-R8); default none.
	ObjectStore string

	// ControlCalls is how many calls of the control plane one project may make in
	// a second, 0 for any number.
	ControlCalls int

	// Probe returns what watches a request in an emulator; default nothing.
	Probe func(context.Context) rest.Probe

	// Sleep waits for as long as flow control delays an answer, by the clock or in
	// real time, whichever ends first (CTL-40). Default real time.
	Sleep func(ctx context.Context, d time.Duration) error
	// OpenHere is a server that asks nobody who they are and serves on a loopback
	// address: the host of a request must be local, or one of Hosts (CON-40).
	OpenHere bool
	Hosts    []string // in lower case, without ports
	Proxied  bool     // there is a proxy in front, whose X-Forwarded headers count

	// Health lists what must be well for the server to be ready, beside the
	// engine.
	Health []func() error

	Now      func() time.Time     // default time.Now
	Logger   *slog.Logger         // default slog.Default
	Registry *prometheus.Registry // default a new one

	Profiling  bool          // serve profiles of the process
	MaxBody    int64         // bytes of one request body
	MaxBodies  int64         // bytes of all bodies in memory
	MaxAnswers int64         // bytes of all downloads in memory
	MaxRecord  RecordLimit   // decoded data of one record
	EmptyWait  time.Duration // how long an empty download is held back (E20-R9)
}

func (o *Options) setDefaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = clock.New().Sleep
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.MaxRecord.Common == 0 {
		o.MaxRecord.Common = 1 << 20
	}
	if o.MaxRecord.Advanced == 0 {
		o.MaxRecord.Advanced = 5 << 20
	}
}

// A Server answers requests. It is an http.Handler. All methods may be called at any
// time.
type Server struct {
	opts     Options
	router   *chi.Mux
	rest     *rest.Server
	dis      *dis.Service
	iam      *iam.Service
	ops      *ops.Service
	pools    rest.Pools
	answers  *rest.Budget // of downloads
	results  *rest.Budget // of large uploads, their answers
	draining atomic.Bool

	origins originRule
	foreign http.HandlerFunc // refuses what origins do not allow
}

// New returns a server over the given parts.
func New(opts Options) *Server {
	opts.setDefaults()
	s := &Server{opts: opts, router: chi.NewMux(), origins: originRule{opts.OpenHere, opts.Hosts, opts.Proxied}}
	s.rest = rest.New(rest.Options{
		Guard: newGuard(&s.opts), Errors: &table, Pools: &s.pools, Registry: opts.Registry,
		Logger: opts.Logger, MaxBody: opts.MaxBody, MaxBodies: opts.MaxBodies, Probe: opts.Probe,
	})
	s.answers = rest.NewBudget(opts.MaxAnswers, dis.LargestAnswer(opts.MaxRecord), &s.pools)
	s.results = rest.NewBudget(opts.MaxAnswers, dis.LargestResult, &s.pools)
	s.dis = dis.New(dis.Options{
		Streams: opts.Streams, Apps: opts.Apps, Cursors: opts.Cursors, Groups: opts.Groups,
		Policies: opts.Policies, Tasks: opts.Tasks, Monitor: opts.Monitor,
		Errors: &table, Pools: &s.pools, Now: opts.Now, Sleep: opts.Sleep, Logger: opts.Logger,
		Answers: s.answers, Results: s.results, MaxRecord: opts.MaxRecord, EmptyWait: opts.EmptyWait,
	})
	s.iam = iam.New(opts.Identities, opts.Verifier, opts.ObjectStore)
	s.ops = ops.New(ops.Options{
		Identities: opts.Identities, Streams: opts.Streams, Quota: opts.Quota,
		Ready: s.ready, Registry: opts.Registry, Logger: opts.Logger, Profiling: opts.Profiling,
	})
	s.mount()
	return s
}

func (s *Server) mount() {
	for _, op := range slices.Concat(s.dis.Operations(), s.iam.Operations(), s.ops.Operations()) {
		handler := s.rest.Handler(op)
		s.router.Method(op.Method, op.Path, handler)
		if op.Service == rest.Own { // monitors ask for no more than the status
			s.router.Method(http.MethodHead, op.Path, handler)
		}
	}
	s.foreign = s.rest.Handler(unknown(rest.Detail(auth.ErrForbidden, "the request is of a page of another site, or to a host name that is not this server's")))
	s.router.NotFound(s.rest.Handler(unknown(rest.ErrNoAPI)))
	s.router.MethodNotAllowed(s.methodNotAllowed())
}

// unknown stands for what is no operation.
func unknown(err error) rest.Operation {
	return rest.Operation{Name: "none", Service: rest.Unknown, Do: func(*rest.Call) (rest.Reply, error) { return rest.Reply{}, err }}
}

// methodNotAllowed answers a known path with another method (C-6).
func (s *Server) methodNotAllowed() http.HandlerFunc {
	refuse, unknown := s.rest.Handler(unknown(rest.ErrNoMethod)), s.rest.Handler(unknown(rest.ErrNoAPI))
	return func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, m := range []string{"GET", "HEAD", "POST", "PUT", "DELETE"} {
			if s.router.Match(chi.NewRouteContext(), m, cmp.Or(r.URL.RawPath, r.URL.Path)) {
				allowed = append(allowed, m)
			}
		}
		if len(allowed) == 0 { // the router asks here about methods it does not know
			unknown(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		refuse(w, r)
	}
}

// Unreadable returns the whole answer, in HTTP/1.1, to what cannot be read as a request,
// with a status from 400 on.
func (s *Server) Unreadable(status int) []byte { return s.rest.Unreadable(status) }

// Run gives back memory that is no longer used, until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.pools.Trim()
			s.dis.Trim()
		}
	}
}

// Drain makes the server report that it is not ready, before it is stopped.
func (s *Server) Drain() { s.draining.Store(true) }

// ready returns why the server would not serve a request now.
func (s *Server) ready() error {
	if s.draining.Load() {
		return ops.ErrNotReady
	}
	for _, check := range append([]func() error{s.opts.Engine.Health}, s.opts.Health...) {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// ServeHTTP answers a request. Empty path segments and a trailing slash never
// matter (C-3).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.URL.Path = cleanPath(r.URL.Path)
	if r.URL.RawPath != "" { // an encoded slash is none between segments
		r.URL.RawPath = cleanPath(uniform(r.URL.RawPath))
	}
	if s.origins.refuses(r) {
		s.foreign(w, r)
		return
	}
	s.router.ServeHTTP(w, r)
}

// uniform escapes every segment of a path in one way, however the client did
// it, so that it can be compared (C-5).
func uniform(path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		if plain, err := url.PathUnescape(segment); err == nil {
			segments[i] = url.PathEscape(plain)
		}
	}
	return strings.Join(segments, "/")
}

func cleanPath(p string) string {
	if len(p) > 1 && p[0] == '/' && p[len(p)-1] != '/' && !strings.Contains(p, "//") {
		return p
	}
	var b strings.Builder
	for segment := range strings.SplitSeq(p, "/") {
		if segment != "" {
			b.WriteString("/" + segment)
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}
