package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"disd/internal/api"
	"disd/internal/auth"
	"disd/internal/auth/policy"
	"disd/internal/cursor"
	"disd/internal/cursor/group"
	"disd/internal/monitor"
	"disd/internal/partition"
	"disd/internal/quota"
	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/storage/catalog/file"
	"disd/internal/storage/memory"
	"disd/internal/storage/segment"
	"disd/internal/transfer"
)

// stopTimeout is how long accepted requests may take to finish when the server
// is told to stop.
const stopTimeout = 30 * time.Second

// run serves until ctx ends. Its parts, and who uses whom:
//
//	listener ─► api ─┬─► partition (streams) ───┬─► engine (records)
//	                 ├─► cursor (apps, groups) ─┴─► catalog (metadata)
//	                 ├─► transfer (tasks) ──────┤
//	                 ├─► monitor (figures) ─────┤
//	                 └─► auth (who may what) ───┘
//
// They are started from right to left and stopped from left to right, so that
// whoever is still asked can still answer.
func run(ctx context.Context, c *Config, logs io.Writer) error {
	logger := newLogger(c, logs)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()

	engine, db, err := openStorage(c, logger)
	if err != nil {
		return err
	}
	err = serveFrom(ctx, c, logger, listener, engine, db)
	err = errors.Join(err, engine.Close(), db.Close())
	logger.Info("stopped", "error", err)
	return err
}

func serveFrom(ctx context.Context, c *Config, logger *slog.Logger, listener net.Listener, engine storage.Engine, db catalog.Store) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	ledger := quota.New(time.Now)
	registry.MustRegister(quotaCollector{ledger})

	keys, err := openKeyring(c)
	if err != nil {
		return err
	}
	ids, err := openIdentities(c, db, keys)
	if err != nil {
		return err
	}
	trail, closeTrail, err := openAudit(c, logger)
	if err != nil {
		return err
	}
	defer closeTrail()
	watch := monitor.Open(db, monitor.Options{Logger: logger})
	// What an interrupted call left is removed also when the server is to stop again.
	streams, err := partition.Open(context.WithoutCancel(ctx), engine, db, partition.Options{
		Logger:   logger,
		Quotas:   partition.Quotas{Mode: partition.Mode(c.Quota.Mode)},
		Exceeded: ledger.Note,
		Account:  ids.Account,
		OnDelete: []func(catalog.Tx, string) error{cursor.ForgetStream, policy.Forget, transfer.ForgetStream, monitor.Forget},
		Traffic: func(streamID string, minutes int) (partition.Load, bool) {
			t, err := watch.Traffic(streamID, minutes)
			return partition.Load(t), err == nil
		},
	})
	if err != nil {
		return err
	}
	tasks, err := openTransfer(c, logger, engine, db, streams, keys, ledger)
	if err != nil {
		return err
	}
	registry.MustRegister(taskCollector{tasks})
	if local, ok := engine.(*segment.Engine); ok {
		registry.MustRegister(collector{local})
	}
	var groups *group.Coordinator
	apps := cursor.OpenApps(db, cursor.Options{
		Logger: logger, MaxApps: maxApps(c),
		Exceeded: func(project string) bool {
			ledger.Note("apps", project, "")
			return c.Quota.Mode == string(partition.Enforce)
		},
		InUse: func(project, app string) bool { return groups.HasLiveMembers(project, app) },
	})
	if groups, err = openGroups(c, logger, db, apps, streams, ledger); err != nil {
		return err
	}
	sealer, err := cursor.OpenSealer(db)
	if err != nil {
		return err
	}
	server := api.New(api.Options{
		Engine: engine, Streams: streams, Cursors: sealer, Tasks: tasks, Monitor: watch,
		Apps: apps, Groups: groups, Quotas: ledger, QuotaMode: c.Quota.Mode, ControlCalls: c.Quota.ControlCalls,
		ObjectStore: c.Transfer.OBS.Endpoint,
		Health:      []func() error{db.Health},

		Identities: ids,
		Verifier: auth.NewVerifier(ids, auth.VerifierOptions{
			ClockWindow: c.Auth.ClockWindow, Prefix: c.Auth.PathPrefix, Explain: c.Auth.Explain, MaxFailures: c.Auth.MaxFailures,
		}),
		Policies: policy.Open(db, ids),
		Audit:    trail,

		Logger: logger, Registry: registry,
		Profiling: c.Profiling,
		MaxBody:   c.Limits.Body, MaxBodies: c.Limits.Bodies, MaxAnswers: c.Limits.Answers,
		EmptyWait: c.EmptyWait, NoEmptyWait: c.EmptyWait == 0,
	})

	var background errgroup.Group
	running, stop := context.WithCancel(context.Background())
	background.Go(func() error { return streams.Run(running) })
	background.Go(func() error { return server.Run(running) })
	background.Go(func() error { return tasks.Run(running) })
	background.Go(func() error { return watch.Run(running) })
	background.Go(func() error { return tickGroups(running, groups) })
	err = serveHTTP(ctx, c, logger, listener, server)
	stop()
	return errors.Join(err, background.Wait())
}

// maxApps is Q-5.
func maxApps(c *Config) int {
	if c.Quota.Mode == string(partition.Off) {
		return 0
	}
	return 10000
}

// openStorage opens the engine and the catalog, both in the data directory or
// both in memory.
func openStorage(c *Config, logger *slog.Logger) (storage.Engine, catalog.Store, error) {
	if c.Engine == "memory" {
		db, err := file.OpenMemory()
		return memory.Open(memory.Options{Max: c.Storage.Memory}), db, err
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, nil, err
	}
	sync, err := segment.ParseSync(c.Sync)
	if err != nil {
		return nil, nil, err
	}
	engine, err := segment.Open(segment.Options{
		Dir:           logsDir(c.DataDir),
		Sync:          sync,
		SyncInterval:  c.SyncInterval,
		CommitLogSize: c.Storage.CommitLog,
		SegmentSize:   c.Storage.Segment,
		MaxPending:    c.Limits.Pending,
		Logger:        logger,
	})
	if err != nil {
		return nil, nil, err
	}
	db, err := openCatalog(c.DataDir, engine)
	if err != nil {
		return nil, nil, errors.Join(err, engine.Close())
	}
	return engine, db, nil
}

func openCatalog(dataDir string, engine storage.Engine) (catalog.Store, error) {
	logs, err := engine.List(context.Background())
	if err == nil {
		err = missingCatalog(dataDir, len(logs))
	}
	if err != nil {
		return nil, err
	}
	return file.Open(catalogFile(dataDir))
}

// missingCatalog returns an error when there are logs and no catalog, which would
// say what they are: it is made before the first of them.
func missingCatalog(dataDir string, logs int) error {
	file := catalogFile(dataDir)
	if _, err := os.Stat(file); logs > 0 && errors.Is(err, os.ErrNotExist) {
		return &storage.CorruptError{File: file, Reason: fmt.Sprintf("file is missing, %d logs are there", logs)}
	}
	return nil
}

func logsDir(dataDir string) string     { return filepath.Join(dataDir, "logs") }
func catalogFile(dataDir string) string { return filepath.Join(dataDir, "catalog.db") }

// serveHTTP serves until ctx ends, and then lets accepted requests finish.
func serveHTTP(ctx context.Context, c *Config, logger *slog.Logger, listener net.Listener, server *api.Server) error {
	secure, err := tlsConfig(c, logger)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           server,
		TLSConfig:         secure,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       90 * time.Second,
		WriteTimeout:      120 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		logger.Info("stopping: finishing accepted requests")
		server.Drain()
		grace, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		stopped <- srv.Shutdown(grace)
	}()
	logger.Info("serving", "address", listener.Addr().String(), "version", version,
		"engine", c.Engine, "sync", c.Sync, "auth", string(c.Auth.Mode), "tls", c.TLS.Mode)
	limited := netutil.LimitListener(listener, c.Limits.Connections)
	if secure == nil {
		err = srv.Serve(limited)
	} else {
		err = srv.ServeTLS(limited, "", "")
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return <-stopped
}

func newLogger(c *Config, w io.Writer) *slog.Logger {
	level := map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}[c.Log.Level]
	opts := &slog.HandlerOptions{Level: level}
	if strings.EqualFold(c.Log.Format, "json") {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
