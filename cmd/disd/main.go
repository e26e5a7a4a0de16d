// Command disd is a self-hosted server for the API of Huawei Cloud's Data
// Ingestion Service.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
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
  check        check the configuration, serve nothing and write nothing
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
	case "check":
		err = check(ctx, args[1:], stdout, stderr)
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

// check says what keeps a server of the configuration from starting.
func check(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, err := loadConfig("check", args, stderr)
	if err == nil {
		err = config.Misuse(server.Check(ctx, c))
	}
	if err == nil {
		fmt.Fprintln(stdout, "the configuration can be used")
	}
	return err
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
