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
	"runtime"
	"syscall"

	"github.com/spf13/pflag"
)

// version is set when a release is built.
var version = "dev"

const usage = `Usage: disd <command> [flags]

  serve        serve the DIS API
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
	if os.Getenv("GOMAXPROCS") == "" {
		// The runtime takes some time to notice that a thread waits for the
		// disk and not for a processor, and one is always waiting.
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
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
			err = misuse{fmt.Errorf("unknown command %q", args[0])}
		}
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, pflag.ErrHelp):
		return 0
	case errors.As(err, &misuse{}):
		fmt.Fprintln(stderr, "disd:", err)
		return 2
	}
	fmt.Fprintln(stderr, "disd:", err)
	return 1
}

// misuse is an error of whoever started the command.
type misuse struct{ error }

func (m misuse) Unwrap() error { return m.error }

func serve(ctx context.Context, args []string, stderr io.Writer) error {
	c, err := loadConfig(args, stderr)
	if err != nil {
		return misuse{err}
	}
	return run(ctx, c, stderr)
}
