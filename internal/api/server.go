// Package api speaks the HTTP side of DIS: routes, wire types and encodings, the
// one table of errors, and the limits of a request. The contract is api.md; rule
// numbers in comments are its.
package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"disd/internal/auth"
	"disd/internal/auth/audit"
	"disd/internal/auth/policy"
	"disd/internal/clock"
	"disd/internal/cursor"
	"disd/internal/cursor/group"
	"disd/internal/field"
	"disd/internal/monitor"
	"disd/internal/partition"
	"disd/internal/quota"
	"disd/internal/storage"
	"disd/internal/transfer"
)

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

	// Sleep waits for as long as flow control delays an answer, by the clock or in
	// real time, whichever ends first (CTL-40). Default real time.
	Sleep func(ctx context.Context, d time.Duration) error

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

// A RecordLimit is the largest record in bytes by type of stream.
type RecordLimit struct {
	Common   int // default 1 MiB
	Advanced int // default 5 MiB
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

// A Server answers DIS requests. It is an http.Handler.
type Server struct {
	opts      Options
	ids       *auth.Directory
	policies  *policy.Policies
	streams   *partition.Set
	apps      *cursor.Apps
	cursors   *cursor.Sealer
	log       *slog.Logger
	router    *chi.Mux
	pools     pools
	chunks    stock[*storage.Chunk]
	bodies    *bodies
	strangers *bodies             // of operations that need no authentication
	answers   *budget             // of downloads
	results   *budget             // of large uploads, their answers
	records   *semaphore.Weighted // being uploaded
	calls     *quota.Rate         // nil for any number
	metrics   *metrics
	draining  atomic.Bool
	failures  gate // of strangers, in the audit log
}

// New returns a server over the given parts.
func New(opts Options) *Server {
	opts.setDefaults()
	s := &Server{
		opts: opts, ids: opts.Identities, policies: opts.Policies, streams: opts.Streams, apps: opts.Apps, cursors: opts.Cursors,
		log: opts.Logger, router: chi.NewMux(), metrics: newMetrics(opts.Registry),
		records: semaphore.NewWeighted(maxPuts),
	}
	s.bodies = newBodies(opts.MaxBody, opts.MaxBodies, &s.pools)
	s.strangers = newBodies(min(strangerBody, opts.MaxBody), strangerBodies, &s.pools)
	s.results = newBudget(opts.MaxAnswers, int64(putReplySize(maxPutRecords)), &s.pools)
	s.answers = newBudget(opts.MaxAnswers, fetchCost(storage.Limit{Bytes: opts.MaxRecord.Advanced + maxFetch, Records: maxFetchRecords}), &s.pools)
	if opts.ControlCalls > 0 && opts.Quota.On() {
		s.calls = quota.NewRate(opts.ControlCalls, opts.Now)
	}
	s.mount()
	return s
}

// Run gives back memory that is no longer used, until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.pools.trim()
			s.chunks.trim()
		}
	}
}

// Drain makes the server report that it is not ready, before it is stopped.
func (s *Server) Drain() { s.draining.Store(true) }

// ServeHTTP answers a request. Empty path segments and a trailing slash never
// matter (C-3).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.URL.Path = cleanPath(r.URL.Path)
	if r.URL.RawPath != "" { // an encoded slash is none between segments
		r.URL.RawPath = cleanPath(uniform(r.URL.RawPath))
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

// A call is one request on its way through the server.
type call struct {
	*http.Request
	w         http.ResponseWriter
	id        string // the request id the client sees
	start     clock.Stopwatch
	principal auth.Principal
	project   string
	query     query
	body      []byte // whole, where the operation has one
	proto     bool   // it speaks protobuf (PB-1)
}

// param returns a parameter of the path, decoded.
func (c *call) param(name string) string {
	v := chi.URLParam(c.Request, name)
	if c.URL.RawPath == "" {
		return v
	}
	if plain, err := url.PathUnescape(v); err == nil {
		return plain
	}
	return v
}

// A reply is an answer. It is written once, by serve.
type reply struct {
	status int
	body   []byte
	mime   string   // of the body; "" is JSON
	memory *buffer  // given back after the body was written
	held   *holding // the same

	subject string // a token for the header X-Subject-Token, "" for none
}

// serve makes a handler of an endpoint.
func (s *Server) serve(op operation) http.HandlerFunc {
	observe := s.metrics.operation(op.name)
	return func(w http.ResponseWriter, r *http.Request) {
		c := call{Request: r, w: w, id: newRequestID(), start: clock.Start()}
		rep, err := s.guarded(op, &c)
		code := "ok"
		if err != nil {
			rep, code = op.failure(err, c.id)
			s.note(op.name, &c, rep.status, code, err)
		}
		s.write(w, c.id, rep)
		s.audit(op, &c, rep.status, code)
		observe(code, c.start.Elapsed(), len(c.body), len(rep.body))
	}
}

// guarded runs an endpoint and makes a panic in it an error: one request must not
// take others down, or leave its client without an answer.
func (s *Server) guarded(op operation, c *call) (rep reply, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return s.run(op, c)
}

// run does what comes before an endpoint, in the order of C-35.
func (s *Server) run(op operation, c *call) (reply, error) {
	bodies := s.bodies
	if op.public {
		bodies = s.strangers
	}
	held, err := s.receive(op, c, bodies)
	defer held.release()
	if err != nil {
		return reply{}, err
	}
	if c.proto, err = op.speaks(c.Header.Get("Content-Type")); err != nil {
		return reply{}, err
	}
	if op.hasBody() {
		if c.body, err = bodies.plain(held, c.Header, c.body); err != nil {
			return reply{}, err
		}
	}
	return op.endpoint(s, c)
}

// receive reads the body, finds out who sent it and whether it is let in. A body
// that no operation asks for is read all the same if it is signed (C-8).
func (s *Server) receive(op operation, c *call, bodies *bodies) (held *holding, err error) {
	check, err := s.begin(op, c)
	if err != nil {
		return nil, err
	}
	var unread error
	if op.hasBody() || check != nil && check.NeedsBody() {
		c.body, held, unread = bodies.read(c.w, c.Request, check.MaxBody(bodies.limit), check)
	}
	if err := s.identify(c, check, unread); err != nil {
		return held, err
	}
	c.query = parseQuery(c.URL.RawQuery) // not before the signature was verified
	return held, field.First(s.admit(op, c), unread)
}

// identify sets who sent a request. A signature over a body that could not be
// read cannot be verified.
func (s *Server) identify(c *call, check *auth.Check, unread error) (err error) {
	if check == nil {
		return nil
	}
	if check.NeedsBody() && unread != nil {
		return unread
	}
	if c.principal, err = check.Verify(); err != nil {
		return err
	}
	if refused := check.Refused(); refused != nil {
		s.log.Info("would be refused with auth.mode required", "request_id", c.id, "error", refused)
	}
	return nil
}

// begin starts the authentication of a request, nil for one that needs none.
func (s *Server) begin(op operation, c *call) (*auth.Check, error) {
	if op.public || op.admin && isLocal(c.Request) {
		return nil, nil
	}
	return s.opts.Verifier.Begin(c.Request)
}

// admit checks that the caller may do this kind of thing, here.
func (s *Server) admit(op operation, c *call) error {
	switch {
	case op.iam:
		return nil
	case op.admin && c.principal.Anybody() && fromBrowser(c.Request):
		return detail(auth.ErrForbidden, op.name)
	case op.admin && (isLocal(c.Request) || c.principal.CanAdminister()):
		return nil
	case op.admin:
		return detail(auth.ErrForbidden, op.name)
	}
	c.project = c.param("project")
	if err := checkProject(c); err != nil {
		return err
	}
	if err := s.ids.Enter(c.principal, c.project); err != nil {
		return detail(err, c.project)
	}
	if op.controls() && s.calls != nil && s.calls.Exceeded(c.project) && s.opts.Quota.Exceeded(quota.Calls, c.project, "") {
		return errTooManyCalls
	}
	if op.changes() && !c.principal.CanWrite() {
		return detail(auth.ErrForbidden, op.name)
	}
	return nil
}

// maxProject is the longest id of a project in bytes; those of the cloud have 32.
const maxProject = 256

// checkProject refuses the placeholder of SDKs that were given no project, what
// cannot be kept, and a header that contradicts the path (C-9, 1.2).
func checkProject(c *call) error {
	switch c.project {
	case "auth", "projects", "users", "domains": // the names of IAM (C-2)
		return detail(errProject, c.project)
	}
	if c.project == "{project_id}" || len(c.project) > maxProject || strings.IndexByte(c.project, 0) >= 0 || !utf8.ValidString(c.project) {
		return detail(errProject, c.project[:min(len(c.project), 64)])
	}
	if h := c.Header.Get("X-Project-Id"); h != "" && h != c.project {
		return detail(errProject, h)
	}
	return nil
}

// note logs a request that failed: what is the server's own fault as an error,
// what is the client's for those who look for it.
func (s *Server) note(operation string, c *call, status int, code string, err error) {
	level := slog.LevelDebug
	var denied *auth.DeniedError
	if errors.As(err, &denied) && denied.CanonicalRequest != "" {
		level, err = slog.LevelInfo, denied // somebody asked for explanations
	}
	if status >= 500 && !aborted(err) {
		level = slog.LevelError
	}
	s.log.Log(c.Context(), level, "request failed", "operation", operation, "request_id", c.id,
		"project", c.project, "status", status, "code", code, "error", err)
}

// audit tells who changed what, or was not let to.
func (s *Server) audit(op operation, c *call, status int, code string) {
	refused := status == http.StatusUnauthorized || status == http.StatusForbidden
	if s.opts.Audit == nil || !refused && (!op.changes() || op.data) {
		return
	}
	u, now := c.principal.User, s.opts.Now()
	if u.ID == "" && status >= http.StatusBadRequest && !s.failures.pass(now) {
		return
	}
	s.opts.Audit(audit.Entry{
		Time: now, RequestID: c.id, Address: c.RemoteAddr,
		Domain: u.Domain.Name, User: u.Name, UserID: u.ID, AccessKey: clip(c.principal.AccessKey),
		Project: clip(c.project), Operation: op.name, Resource: clip(c.URL.Path), Status: status, Code: code,
	})
}

// clip shortens what a client may have made long to fill the audit log.
func clip(s string) string {
	const most = 512
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// A gate lets a hundred things a second pass: what strangers do in vain must not
// drive what others did out of the audit log, whose size is bounded.
type gate struct {
	mu     sync.Mutex
	second int64
	passed int
}

func (g *gate) pass(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t := now.Unix(); t != g.second {
		g.second, g.passed = t, 0
	}
	g.passed++
	return g.passed <= 100
}

// write sends an answer. An empty body has an explicit length, which clients
// look at (C-50).
func (s *Server) write(w http.ResponseWriter, id string, rep reply) {
	h := w.Header()
	h["X-Request-Id"] = []string{id}
	if rep.status != http.StatusNoContent {
		h["Content-Length"] = []string{strconv.Itoa(len(rep.body))}
	}
	if rep.subject != "" {
		h["X-Subject-Token"] = []string{rep.subject}
	}
	if len(rep.body) > 0 {
		if rep.mime == "" {
			rep.mime = "application/json;charset=utf-8"
		}
		h["Content-Type"] = []string{rep.mime}
	}
	w.WriteHeader(rep.status)
	w.Write(rep.body) // an error means that nobody listens any more
	if rep.memory != nil {
		rep.memory.b = rep.body
		s.pools.put(rep.memory)
	}
	rep.held.release()
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
