// Command disd is a self-hosted server for the API of Huawei Cloud's Data
// Ingestion Service.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"disd/internal/config"
	"disd/internal/server"
)

// version is set when a release is built.
var version = "dev"

const usage = `Usage: disd <command> [flags]

  serve        serve the DIS API
  emulator     serve it for tests, with a clock, faults and snapshots to control
  ctl          control an emulator: its clock, faults, snapshots and more
  inspect      show what a data directory holds, and what is damaged in it
  verify-dump  check what transfer tasks wrote against their manifests
  health       exit with 0 if the server on --listen is ready
  doctor       check from a client's place what keeps a client from working
  version      print the version

Administration of a running server:

%s
Run "disd <command> --help" for the flags of a command.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(command(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// command runs one subcommand and returns its exit status: 1 for a failure, 2
// for arguments or a configuration that cannot be used.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprintf(stderr, usage, actsUsage())
		return 2
	}
	var err error
	switch args[0] {
	case "serve":
		err = serve(ctx, args[1:], stderr)
	case "emulator":
		err = emulate(ctx, args[1:], stderr)
	case "ctl":
		err = ctl(ctx, args[1:], stdout, stderr)
	case "inspect":
		err = inspect(args[1:], stdout, stderr)
	case "verify-dump":
		err = verifyDump(ctx, args[1:], stdout, stderr)
	case "health":
		err = health(ctx, args[1:], stderr)
	case "doctor":
		err = diagnose(ctx, args[1:], stdout, stderr)
	case "version", "--version":
		fmt.Fprintln(stdout, "disd", version)
	case "help", "-h", "--help":
		fmt.Fprintf(stdout, usage, actsUsage())
	default:
		var known bool
		if known, err = administer(ctx, args, stdout, stderr); !known {
			err = config.Misuse(fmt.Errorf("unknown command %q", args[0]))
		}
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, pflag.ErrHelp):
		return 0
	case errors.As(err, &config.MisuseError{}):
		fmt.Fprintln(stderr, "disd:", err)
		return 2
	}
	fmt.Fprintln(stderr, "disd:", err)
	return 1
}

// serve serves until ctx ends.
func serve(ctx context.Context, args []string, stderr io.Writer) error {
	if os.Getenv("GOMAXPROCS") == "" {
		// The runtime takes some time to notice that a thread waits for the
		// disk and not for a processor, and one is always waiting.
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
	c, err := loadConfig("serve", args, stderr)
	if err != nil {
		return err
	}
	logger := newLogger(c, stderr)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	s, err := open(c, server.Options{Version: version, Logger: logger})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	err = errors.Join(s.Serve(ctx, listener), s.Close())
	logger.Info("stopped", "error", err)
	return err
}

// A service is a server, or an emulator.
type service interface {
	Serve(ctx context.Context, listener net.Listener) error
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

// loadConfig reads the configuration for a command, which may have flags of its own
// beside the options.
func loadConfig(command string, args []string, stderr io.Writer, own ...func(*pflag.FlagSet)) (*config.Config, error) {
	flags := pflag.NewFlagSet(command, pflag.ContinueOnError)
	flags.SetOutput(stderr)
	config.AddFlags(flags)
	for _, add := range own {
		add(flags)
	}
	if err := flags.Parse(args); err != nil {
		return nil, config.Misuse(err)
	}
	if flags.NArg() > 0 {
		return nil, config.Misuse(fmt.Errorf("unknown argument %q", flags.Arg(0)))
	}
	return config.Load(flags)
}

func newLogger(c *config.Config, w io.Writer) *slog.Logger {
	level := map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}[c.Log.Level]
	opts := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
