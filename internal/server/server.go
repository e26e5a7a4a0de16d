// Package server is the whole of disd in one value: it builds every part of a
// configuration, connects them, runs them and closes them. Whoever imports it has
// a server in the process; it listens only when it is told to.
package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"disd/internal/api"
	"disd/internal/api/rest"
	"disd/internal/auth"
	"disd/internal/auth/audit"
	"disd/internal/auth/policy"
	"disd/internal/clock"
	"disd/internal/config"
	"disd/internal/control"
	"disd/internal/cursor"
	"disd/internal/cursor/group"
	"disd/internal/monitor"
	"disd/internal/partition"
	"disd/internal/quota"
	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/transfer"
	"disd/internal/transfer/kind"
)

// Options are what a configuration does not say: what a program or a test that has
// a server in it may give. Nil and zero mean the ordinary value.
type Options struct {
	Version string           // of the program, for the log
	Logger  *slog.Logger     // default slog.Default
	Clock   *clock.Clock     // default the wall clock
	Now     func() time.Time // default that of Clock
	Real    func() time.Time // see group.Options; default clock.Wall

	// Engine and Catalog, given together, are served from in place of those that
	// the configuration names. Close leaves them open.
	Engine  storage.Engine
	Catalog catalog.Store

	// Audit is told of what the audit log is for, in place of the configured file.
	Audit func(audit.Entry)

	// Kinds are the kinds of destinations that transfer tasks may have, in place of
	// those with what is configured.
	Kinds kind.Set

	// Agency finds the credentials of an agency, in place of the configured ones.
	Agency func(project, name string) (kind.Store, error)

	// Collectors are exported with the server's own metrics.
	Collectors []prometheus.Collector

	Quotas       Quotas
	MaxRecord    api.RecordLimit // decoded data of one record
	PasswordCost int             // see auth.Options
	Tick         time.Duration   // how often transfer tasks are looked after, default 1 s

	probe      func(context.Context) rest.Probe // of an emulator
	identities *identities                      // of an emulator, which outlive its resets; nil for its own
}

// Quotas are the limits of the cloud, which hold unless quota.mode is off. Zero
// means the cloud's.
type Quotas struct {
	Streams partition.Quotas
	Apps    int // of a project, default 10 000
	Members int // of a consumer group, default 1000
	Tasks   int // of a stream, default 5
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Clock == nil {
		o.Clock = clock.New()
	}
	if o.Now == nil {
		o.Now = o.Clock.Now
	}
	if o.Tick == 0 {
		o.Tick = time.Second
	}
	if o.Quotas.Apps == 0 {
		o.Quotas.Apps = 10_000
	}
	if o.Quotas.Members == 0 {
		o.Quotas.Members = 1000
	}
}

// A Server is everything of one configuration. Its parts, and who uses whom:
//
//	listener ─► api ─┬─► partition (streams) ───┬─► engine (records)
//	                 ├─► cursor (apps, groups) ─┴─► catalog (metadata)
//	                 ├─► transfer (tasks) ──────┤
//	                 ├─► monitor (figures) ─────┤
//	                 └─► auth (who may what) ───┘
//
// They are opened from right to left and stopped from left to right, so that
// whoever is still asked can still answer.
type Server struct {
	conf *config.Config
	opts Options
	log  *slog.Logger

	engine  storage.Engine
	db      catalog.Store
	quota   *quota.Policy
	streams *partition.Set
	apps    *cursor.Apps
	groups  *group.Coordinator
	tasks   *transfer.Tasks
	monitor *monitor.Monitor
	api     *api.Server
	driver  *control.Driver

	apiOptions api.Options

	auditLost   prometheus.Counter
	reloadCerts atomic.Bool
	reloads     []func() error // of Reload
	closers     []func() error // in the order in which they were opened
}

// Open builds the server of a configuration. Nothing runs yet, but requests to
// Handler are answered. A config.MisuseError when an option cannot be used. The
// configuration is not changed, and must not be as long as the server is used.
func Open(c *config.Config, opts Options) (*Server, error) {
	opts.setDefaults()
	if err := checkNoMark(c); err != nil {
		return nil, err
	}
	s := &Server{conf: c, opts: opts, log: opts.Logger, auditLost: newAuditLost()}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) open() error {
	if err := s.openStorage(); err != nil {
		return err
	}
	ids, err := s.openIdentities()
	if err != nil {
		return err
	}
	trail, err := s.openAudit()
	if err != nil {
		return err
	}
	s.quota = &quota.Policy{Mode: s.conf.Quota.Mode, Ledger: quota.New(s.opts.Now)}
	s.monitor = monitor.Open(s.db, monitor.Options{Logger: s.log, Now: s.opts.Now})
	if err := s.openStreams(ids.dir); err != nil {
		return err
	}
	if err := s.openTasks(ids.keys); err != nil {
		return err
	}
	if err := s.openConsumers(); err != nil {
		return err
	}
	if err := s.settleLoss(); err != nil {
		return err
	}
	cursors, err := cursor.OpenSealer(s.db)
	if err != nil {
		return err
	}
	s.apiOptions = api.Options{
		Engine: s.engine, Streams: s.streams, Cursors: cursors, Tasks: s.tasks, Monitor: s.monitor,
		Apps: s.apps, Groups: s.groups, Quota: s.quota, ControlCalls: s.conf.Quota.ControlCalls,
		ObjectStore: s.conf.Transfer.OBS.Endpoint,
		Health:      []func() error{s.db.Health},
		OpenHere:    s.conf.OpenHere(), Hosts: s.conf.Console.Hosts, Proxied: s.conf.Auth.PathPrefix != "",

		Identities: ids.dir, Verifier: s.verifier(ids.dir), Policies: policy.Open(s.db, ids.dir), Audit: trail,

		Now: s.opts.Now, Sleep: s.opts.Clock.Sleep, Probe: s.opts.probe, Logger: s.log, Registry: s.registry(),
		Profiling: s.conf.Profiling,
		MaxBody:   s.conf.Limits.Body, MaxBodies: s.conf.Limits.Bodies, MaxAnswers: s.conf.Limits.Answers,
		MaxRecord: s.opts.MaxRecord, EmptyWait: s.conf.EmptyWait,
	}
	s.api = api.New(s.apiOptions)
	s.driver = control.NewDriver(s.opts.Clock, s.loops()...)
	return nil
}

func (s *Server) verifier(ids *auth.Directory) *auth.Verifier {
	a := &s.conf.Auth
	return auth.NewVerifier(ids, auth.VerifierOptions{
		ClockWindow: a.ClockWindow, Prefix: a.PathPrefix, Explain: a.Explain, MaxFailures: a.MaxFailures,
	})
}

func (s *Server) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.MustRegister(s.collectors()...)
	r.MustRegister(s.opts.Collectors...)
	return r
}

// Handler answers requests, with a listener or without one.
func (s *Server) Handler() http.Handler { return s.api }

// Run does what a server does without being asked, such as retention and the
// delivery of transfer tasks, until ctx ends. It returns when all of it has ended.
// It is called once, before Close.
func (s *Server) Run(ctx context.Context) error {
	s.tasks.Begin()
	var all errgroup.Group
	all.Go(func() error { return s.api.Run(ctx) })
	all.Go(func() error {
		s.driver.Run(ctx)
		s.tasks.Halt()
		return s.monitor.Flush()
	})
	return all.Wait()
}

// loops are what a server does by itself, in the order in which it is done when it is
// due at the same time.
func (s *Server) loops() []*control.Loop {
	step := func(f func() time.Time) func(context.Context) time.Time {
		return func(context.Context) time.Time { return f() }
	}
	due := func(f func() []clock.Due) func(context.Context) []clock.Due {
		return func(context.Context) []clock.Due { return f() }
	}
	none := func(context.Context) []clock.Due { return nil }
	return []*control.Loop{
		{Step: step(s.tasks.Step), Due: due(s.tasks.Due), Settle: s.tasks.Settle, Poll: s.opts.Tick, Wake: s.tasks.Wake()},
		{Step: step(s.groups.Step), Due: due(s.groups.Due), Poll: time.Second},
		{Step: step(s.monitor.Step), Due: due(s.monitor.Due), Poll: time.Second},
		{Step: s.streams.StepScaling, Due: s.streams.ScalingDue, Poll: 5 * time.Second},
		{Step: s.streams.StepRetention, Due: s.streams.RetentionDue, Poll: partition.RetentionPace, Pace: partition.RetentionPace},
		{Step: s.streams.StepFiles, Due: none, Poll: partition.FilesPace, Pace: partition.FilesPace},
	}
}

// Step does at once what Run does for streams and consumer groups in the course of
// time: by a clock that is given, it is due when the clock says so.
func (s *Server) Step(ctx context.Context) error {
	s.groups.Step()
	return errors.Join(s.streams.Sweep(ctx), s.streams.AutoScale(ctx), s.streams.ForgetFiles())
}

// Reload opens the audit log anew and reads certificates again. What cannot be opened
// stays as it is. It may be called at any time between Open and Close.
func (s *Server) Reload() error {
	s.reloadCerts.Store(true)
	var errs []error
	for _, reload := range s.reloads {
		errs = append(errs, reload())
	}
	return errors.Join(errs...)
}

// Close closes everything, the last opened first. What was acknowledged is durable
// then, in every mode of sync. Run and Serve have ended before.
func (s *Server) Close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

func (s *Server) closeLater(f func() error) { s.closers = append(s.closers, f) }
