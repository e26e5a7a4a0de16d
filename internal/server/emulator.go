package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"disd/internal/api"
	"disd/internal/api/rest"
	"disd/internal/auth"
	"disd/internal/auth/policy"
	"disd/internal/clock"
	"disd/internal/config"
	"disd/internal/control"
	"disd/internal/monitor"
	"disd/internal/partition"
	"disd/internal/storage/catalog"
	"disd/internal/storage/catalog/file"
	"disd/internal/storage/memory"
)

// An Emulator is a server for tests: one whose clock, faults and state can be
// controlled. A reset replaces the server by a new one.
type Emulator struct {
	conf    *config.Config
	opts    Options
	log     *slog.Logger
	control *control.Control
	ids     *identities
	store   currentStore // where identities are kept

	renewing sync.Mutex // held while a world is made
	retired  sync.WaitGroup

	mu      sync.RWMutex
	world   *world
	running context.Context // of Run; nil before it
}

// A world is what a reset replaces.
type world struct {
	*Server
	parts  *control.Parts
	memory *memory.Engine // nil with another engine
	file   *file.DB       // the same

	active sync.WaitGroup // requests under way
	stop   context.CancelFunc
	ended  chan struct{} // closed when what it does by itself has ended; nil before it began
}

// OpenEmulator builds the emulator of a configuration, with its seed. What Open says
// of a server is true of it, too.
func OpenEmulator(c *config.Config, opts Options) (*Emulator, error) {
	opts.setDefaults()
	if opts.Real == nil {
		opts.Real = clock.Wall
	}
	opts.probe = func(ctx context.Context) rest.Probe {
		if x := control.Watching(ctx); x != nil {
			return x
		}
		return nil
	}
	e := &Emulator{conf: c, opts: opts, log: opts.Logger}
	seed, err := readSeed(c.Emulator.Seed)
	if err != nil {
		return nil, config.Misuse(err)
	}
	if err := checkMark(c); err != nil {
		return nil, config.Misuse(err)
	}
	if e.world, err = e.open(nil); err != nil {
		return nil, err
	}
	e.control = control.New(control.Options{
		Clock: opts.Clock, World: e, Logger: opts.Logger, Version: opts.Version, Engine: c.Engine,
		Admit: e.admit, Seed: seed, Journal: c.Emulator.Journal, MaxBody: c.Limits.Bodies / 2, MaxMemory: c.Storage.Memory,
	})
	if seed != nil {
		if err := e.control.Sow(context.Background(), seed); err != nil {
			return nil, errors.Join(config.Misuse(err), e.Close())
		}
	}
	opts.Logger.Warn("this is an emulator for tests: its clock, its faults and its state can be changed by anybody who may use its controls",
		"controls", control.Prefix, "exposed", c.Emulator.Expose)
	return e, nil
}

// readSeed reads the file of a seed, nil for none. What it names lies beside it.
func readSeed(name string) (*control.Seed, error) {
	if name == "" {
		return nil, nil
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	beside, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = beside.Close() }() // only read
	return control.ParseSeed(name, content, beside.ReadFile)
}

// markFile is in a data directory that an emulator made (CTL-3).
const markFile = "emulator"

// checkMark keeps emulators out of the data directories of ordinary servers.
func checkMark(c *config.Config) error {
	if c.Engine == "memory" {
		return nil
	}
	mark := filepath.Join(c.DataDir, markFile)
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	if _, err := os.Stat(c.CatalogFile()); err == nil {
		return errors.New("data_dir " + c.DataDir + " is that of a server without emulator.enabled, whose streams a reset would remove")
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(mark, []byte("An emulator made this directory; its times may lie in the future.\n"), 0o600)
}

// checkNoMark keeps ordinary servers out of the data directories of emulators.
func checkNoMark(c *config.Config) error {
	if c.Engine == "memory" || c.Emulator.Enabled {
		return nil
	}
	if _, err := os.Stat(filepath.Join(c.DataDir, markFile)); err == nil {
		return config.Misuse(errors.New("data_dir " + c.DataDir + " is that of an emulator, whose times may lie in the future: set emulator.enabled, or another data_dir"))
	}
	return nil
}

// open makes a world of a state, nil for an empty one.
func (e *Emulator) open(state *control.State) (w *world, err error) {
	w = new(world)
	opts := e.opts
	if e.conf.Engine == "memory" {
		if err := e.fill(w, state); err != nil {
			return nil, err
		}
		if e.world != nil { // before anybody makes keys of its own
			if err := keepIdentities(e.world.file, w.file); err != nil {
				return nil, errors.Join(err, w.close())
			}
		}
		opts.Engine, opts.Catalog = w.memory, w.file
		if e.ids == nil {
			e.store.set(w.file)
			if e.ids, err = openIdentities(e.conf, &opts, &e.store); err != nil {
				return nil, errors.Join(err, w.close())
			}
		}
		opts.identities = e.ids
	}
	if w.Server, err = Open(e.conf, opts); err != nil {
		return nil, errors.Join(err, w.close())
	}
	w.parts = &control.Parts{
		Driver: w.driver, Streams: w.streams, Apps: w.apps, Groups: w.groups, Tasks: w.tasks,
		Engine: w.engine, Catalog: w.db, API: w.inner(),
	}
	return w, nil
}

// fill opens an engine and a catalog in memory with what a state holds.
func (e *Emulator) fill(w *world, state *control.State) (err error) {
	opts := memory.Options{Max: e.conf.Storage.Memory, Now: e.opts.Now}
	var dump []byte
	if state != nil && state.Logs != nil {
		w.memory, dump = memory.Restore(opts, state.Logs), state.Catalog
	} else {
		w.memory = memory.Open(opts)
	}
	w.file, err = file.OpenDump(dump)
	return err
}

// inner answers the calls of the controls themselves: anybody may make them, no quota
// counts them and no figure shows them (CTL-8).
func (s *Server) inner() http.Handler {
	o := s.apiOptions
	o.Identities, _ = auth.OpenDirectory(auth.Options{Mode: auth.ModeOpen, Now: s.opts.Now}) // without a store, nothing can fail
	o.Verifier = auth.NewVerifier(o.Identities, auth.VerifierOptions{})
	o.Policies = policy.Open(s.db, o.Identities)
	o.Monitor = monitor.Open(s.db, monitor.Options{Now: s.opts.Now, Logger: s.log})
	o.Audit, o.Registry, o.Quota, o.ControlCalls = nil, nil, nil, 0
	return api.New(o)
}

// close closes what the server leaves open.
func (w *world) close() error {
	var errs []error
	if w.Server != nil {
		errs = append(errs, w.Server.Close())
	}
	if w.file != nil {
		errs = append(errs, w.file.Close())
	}
	if w.memory != nil {
		errs = append(errs, w.memory.Close())
	}
	return errors.Join(errs...)
}

// Parts implements control.World.
func (e *Emulator) Parts() *control.Parts {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.world.parts
}

// Capture implements control.World.
func (e *Emulator) Capture(context.Context) (*control.State, error) {
	e.renewing.Lock()
	defer e.renewing.Unlock()
	w := e.world
	if w.memory == nil {
		return nil, control.ErrEngine
	}
	if err := w.monitor.Flush(); err != nil {
		return nil, err
	}
	for range 1000 { // until nothing was changed between the two
		dump, version, err := w.file.Dump()
		if err != nil {
			return nil, err
		}
		logs := w.memory.Snapshot()
		if now, err := w.file.Version(); err != nil || now == version {
			return &control.State{Catalog: dump, Logs: logs}, err
		}
	}
	return nil, errors.New("the catalog is changed all the time")
}

// Renew implements control.World.
func (e *Emulator) Renew(ctx context.Context, state *control.State) error {
	e.renewing.Lock()
	defer e.renewing.Unlock()
	if e.world.memory == nil {
		if state != nil && state.Logs != nil {
			return control.ErrEngine
		}
		return e.world.empty(ctx)
	}
	w, err := e.open(state)
	if err != nil {
		return err
	}
	old := e.world
	e.mu.Lock()
	e.store.set(w.file)
	e.world = w
	if e.running != nil {
		w.run(e.running)
	}
	e.mu.Unlock()
	e.retired.Go(func() { e.retire(old) })
	return nil
}

// retire ends a world that was replaced, as soon as no request is under way in it.
// Those who wait in it for records hear that their stream is gone.
func (e *Emulator) retire(w *world) {
	w.memory.Retire()
	if w.ended != nil {
		w.stop()
		<-w.ended
	}
	w.active.Wait()
	if err := w.close(); err != nil {
		e.log.Error("what was reset could not be closed", "error", err)
	}
}

// empty removes everything from a world that cannot be replaced.
func (w *world) empty(ctx context.Context) error {
	for _, st := range w.streams.All() {
		if err := w.streams.Delete(ctx, st); err != nil && !errors.Is(err, partition.ErrStreamNotFound) {
			return err
		}
	}
	w.groups.Forget("")
	projects, err := w.apps.Projects()
	for _, project := range projects {
		err = errors.Join(err, w.apps.Clear(project))
	}
	return err
}

// Tables that outlive a reset: who there is, and the key of cursors.
var keptTables = []catalog.Table[rawRow]{
	catalog.NewTable[rawRow]("identities"), catalog.NewTable[rawRow]("keys"),
}

// A rawRow is a value of any table.
type rawRow []byte

// UnmarshalJSON implements json.Unmarshaler.
func (r *rawRow) UnmarshalJSON(doc []byte) error { *r = append((*r)[:0], doc...); return nil }

// MarshalJSON implements json.Marshaler.
func (r rawRow) MarshalJSON() ([]byte, error) { return r, nil }

// keepIdentities copies what a reset leaves alone.
func keepIdentities(from, to *file.DB) error {
	return from.View(func(old catalog.Tx) error {
		return to.Update(func(tx catalog.Tx) error {
			for _, table := range keptTables {
				_, err := table.Clear(tx, nil)
				if err == nil {
					err = table.Each(old, nil, func(key catalog.Key, row rawRow) error { return table.Put(tx, key, row) })
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// A currentStore is the catalog of the world there is now.
type currentStore struct {
	mu sync.RWMutex
	db *file.DB
}

func (s *currentStore) set(db *file.DB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db = db
}

// View implements catalog.Store.
func (s *currentStore) View(fn func(catalog.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db.View(fn)
}

// Update implements catalog.Store.
func (s *currentStore) Update(fn func(catalog.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db.Update(fn)
}

// Health implements catalog.Store.
func (s *currentStore) Health() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db.Health()
}

// Check implements catalog.Store.
func (s *currentStore) Check() []error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db.Check()
}

// Close implements catalog.Store. The world closes it.
func (s *currentStore) Close() error { return nil }

// run does what the world does by itself until ctx ends.
func (w *world) run(ctx context.Context) {
	ctx, w.stop = context.WithCancel(ctx)
	w.ended = make(chan struct{})
	go func() {
		defer close(w.ended)
		if err := w.Run(ctx); err != nil {
			w.log.Error("what the emulator does by itself ended", "error", err)
		}
	}()
}

// Run does what a server does without being asked until ctx ends.
func (e *Emulator) Run(ctx context.Context) error {
	e.mu.Lock()
	e.running = ctx
	e.world.run(ctx)
	e.mu.Unlock()
	<-ctx.Done()
	e.mu.RLock()
	w := e.world
	e.mu.RUnlock()
	<-w.ended
	e.retired.Wait()
	return nil
}

// Handler answers requests, with a listener or without one.
func (e *Emulator) Handler() http.Handler {
	controls := e.control.Handler()
	watched := e.control.Watch(http.HandlerFunc(e.serve))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == control.Prefix {
			r = r.Clone(r.Context())
			r.URL.Path += "/"
		}
		if strings.HasPrefix(r.URL.Path, control.Prefix+"/") {
			controls.ServeHTTP(w, r)
			return
		}
		watched.ServeHTTP(w, r)
	})
}

// serve answers a request in the world there is when it comes.
func (e *Emulator) serve(rw http.ResponseWriter, r *http.Request) {
	e.mu.RLock()
	w := e.world
	w.active.Add(1)
	e.mu.RUnlock()
	defer w.active.Done()
	w.api.ServeHTTP(rw, r)
}

// Serve runs the emulator and answers requests on a listener, as a server does.
func (e *Emulator) Serve(ctx context.Context, listener net.Listener) error {
	secure, err := e.world.tlsConfig()
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- e.Run(running) }()
	drain := func() {
		e.mu.RLock()
		defer e.mu.RUnlock()
		e.world.api.Drain()
	}
	err = e.world.serveHTTP(ctx, listener, secure, e.Handler(), drain)
	stop()
	return errors.Join(err, <-ended)
}

// Reload is that of the server that a reset made last.
func (e *Emulator) Reload() error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.world.Reload()
}

// Close closes everything. Run and Serve have ended before.
func (e *Emulator) Close() error {
	e.retired.Wait()
	return e.world.close()
}

// admit says whether a request may use the controls (CTL-96, CTL-97, CTL-100).
func (e *Emulator) admit(r *http.Request) error {
	for name := range r.Header {
		if name == "Forwarded" || name == "Via" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-") {
			return control.Forbidden("the controls are not for requests that a proxy passed on")
		}
	}
	if r.Header["Origin"] != nil || r.Header["Sec-Fetch-Site"] != nil {
		return control.Forbidden("the controls are not for pages in a browser")
	}
	if !e.conf.Emulator.Expose && !(isLoopback(r.RemoteAddr) && isLoopback(r.Host)) {
		return control.Forbidden("the controls are for this machine alone: start the emulator with --emulator-expose")
	}
	if e.conf.Auth.Mode == auth.ModeOpen {
		return nil
	}
	return e.authenticate(r)
}

// authenticate lets administrators pass.
func (e *Emulator) authenticate(r *http.Request) error {
	denied := &control.Error{Status: http.StatusUnauthorized, Code: "APIGW.0301", Message: "Incorrect IAM authentication information"}
	check, err := e.world.apiOptions.Verifier.Begin(r)
	if err != nil {
		return denied
	}
	if check.NeedsBody() {
		body, err := io.ReadAll(io.LimitReader(r.Body, e.conf.Limits.Bodies/2))
		if err != nil {
			return err
		}
		if _, err := check.Write(body); err != nil {
			return err
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
	}
	who, err := check.Verify()
	if err != nil {
		return denied
	}
	if !who.CanAdminister() {
		return control.Forbidden("the controls are for administrators")
	}
	return nil
}

// isLoopback reports whether an address, with or without a port, is of this machine
// alone.
func isLoopback(address string) bool {
	host := (&url.URL{Host: address}).Hostname()
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
