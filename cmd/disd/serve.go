package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"disd/internal/auth"
	"disd/internal/config"
	"disd/internal/server"
)

// serve serves until ctx ends. SIGHUP has it open and read again what it can.
func serve(ctx context.Context, args []string, stderr io.Writer) error {
	// A log that nobody reads any more is no reason to end: its writes fail.
	signal.Ignore(syscall.SIGPIPE)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	if os.Getenv("GOMAXPROCS") == "" {
		// The runtime takes some time to notice that a thread waits for the
		// disk and not for a processor, and one is always waiting.
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
	c, err := loadConfig("serve", args, stderr)
	if err != nil {
		return err
	}
	logs := newLog(c, stderr)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	s, err := open(c, server.Options{Version: version, Logger: logs.Logger, Collectors: []prometheus.Collector{logs.lost}})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	begun(c, logs.Logger)
	notify("READY=1")
	running, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			select {
			case <-running.Done():
				notify("STOPPING=1")
				return
			case <-hangups:
				reload(s, args, logs)
			}
		}
	})
	err = s.Serve(ctx, listener)
	stop()
	all.Wait()
	err = errors.Join(err, s.Close())
	logs.Info("stopped", "error", err)
	return err
}

// begun logs where the configuration and the data are, and what new users ask about.
func begun(c *config.Config, logger *slog.Logger) {
	logger.Info("started", "data_dir", absolute(c.DataDir), "config", absolute(c.File), "engine", c.Engine)
	if c.Auth.Mode == auth.ModeRequired && len(c.Auth.Domains) == 0 {
		logger.Warn("auth.mode is required and auth.domains has no account: only those made by `disd domains create` and `disd users create` can log in")
	}
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); path != "" && err == nil {
		return abs
	}
	return path
}

// reload reads the log level again, has the server open and read again what it can,
// and goes on with what there is when that fails.
func reload(s service, args []string, logs *log) {
	c, err := loadConfig("serve", args, io.Discard)
	if err == nil {
		logs.level.Set(levelOf(c))
	}
	if err = errors.Join(err, s.Reload()); err != nil {
		logs.Error("not everything was read again", "error", err)
		return
	}
	logs.Info("read again: audit.file, certificates, log.level", "log.level", c.Log.Level)
}

// notify tells systemd about the state, if it asks for that.
func notify(state string) {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return // nobody listens, and the server is not less ready for it
	}
	_, _ = conn.Write([]byte(state))
	_ = conn.Close() // whoever does not listen is not told
}

// A log is written to stderr for as long as that takes it.
type log struct {
	*slog.Logger
	level *slog.LevelVar
	lost  prometheus.Counter
}

func newLog(c *config.Config, w io.Writer) *log {
	l := &log{level: new(slog.LevelVar), lost: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "disd_log_lost_total", Help: "Lines of the log that could not be written.",
	})}
	l.level.Set(levelOf(c))
	counted := &countingWriter{w, l.lost}
	opts := &slog.HandlerOptions{Level: l.level}
	if c.Log.Format == "json" {
		l.Logger = slog.New(slog.NewJSONHandler(counted, opts))
	} else {
		l.Logger = slog.New(slog.NewTextHandler(counted, opts))
	}
	return l
}

func levelOf(c *config.Config) slog.Level {
	return map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}[c.Log.Level]
}

// A countingWriter counts lines that could not be written.
type countingWriter struct {
	w    io.Writer
	lost prometheus.Counter
}

func (c *countingWriter) Write(line []byte) (int, error) {
	n, err := c.w.Write(line)
	if err != nil {
		c.lost.Inc()
	}
	return n, err
}

// A service is a server, or an emulator.
type service interface {
	Serve(ctx context.Context, listener net.Listener) error
	Reload() error
	Close() error
}

func open(c *config.Config, opts server.Options) (service, error) {
	if c.Emulator.Enabled {
		return server.OpenEmulator(c, opts)
	}
	return server.Open(c, opts)
}

// emulate serves an emulator: serve with other names for some of its flags.
func emulate(ctx context.Context, args []string, stderr io.Writer) error {
	long := map[string]string{"--seed": "--emulator-seed", "--expose": "--emulator-expose", "--journal": "--emulator-journal"}
	all := []string{"--emulator"}
	for _, arg := range args {
		name, value, has := strings.Cut(arg, "=")
		if full, ok := long[name]; ok {
			arg = full
			if has {
				arg += "=" + value
			}
		}
		all = append(all, arg)
	}
	return serve(ctx, all, stderr)
}
