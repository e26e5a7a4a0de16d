// Command bench measures a disd process under load, in turns with a baseline.
//
// Times on one machine vary by the hour, ratios much less. So every load runs
// in turns, A B A B A B, within one run: disd, then the baseline, which is a
// net/http server that reads the same requests and sends the same replies
// without doing anything in between, or the same load on one partition
// instead of many, or another build of disd (-against). What is reported is
// the median of the ratios of neighbouring turns. Nothing is asserted; the
// aims in the table are the project's.
//
// The load comes from this process: prebuilt requests over raw keep-alive
// connections, each with one request in flight.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

type config struct {
	disd     string        // binary to measure
	against  string        // binary to measure it against, instead of the no-op server
	args     []string      // further arguments of disd serve
	dir      string        // where the data goes; on the disk that is to be measured
	turn     time.Duration // length of one turn
	turns    int           // alternations
	fill     int64         // bytes stored before reads
	retained int64         // bytes stored before the restart
	only     *regexp.Regexp
	json     string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := bench
	if len(os.Args) > 1 && os.Args[1] == "noop" {
		run = serveNoop
	}
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// configure reads the command line. The default directory lies in the working
// directory and not with other temporary files, which are often kept in
// memory, where a sync costs nothing.
func configure(args []string) (config, error) {
	var c config
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&c.disd, "disd", "bin/disd", "`binary` to measure")
	flags.StringVar(&c.against, "against", "", "`binary` of another disd to measure it against (default the no-op server)")
	extra := flags.String("args", "", "further `arguments` of disd serve")
	flags.StringVar(&c.dir, "dir", ".", "`directory` on the disk to measure; data goes into a new one inside it")
	flags.DurationVar(&c.turn, "d", 3*time.Second, "length of one turn")
	flags.IntVar(&c.turns, "turns", 3, "number of alternations")
	fill := flags.Int64("fill", 512, "`MiB` stored before reads")
	retained := flags.Int64("retained", 5120, "`MiB` stored before kill -9 and restart; 0 leaves it out")
	only := flags.String("run", "", "only rows whose name matches the `pattern`")
	flags.StringVar(&c.json, "json", "", "`file` to write the figures to")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	c.args, c.fill, c.retained = strings.Fields(*extra), *fill<<20, *retained<<20
	var err error
	c.only, err = regexp.Compile(*only)
	return c, cmp.Or(err, c.check())
}

func (c config) check() error {
	if c.turn <= 0 || c.turns < 1 || c.fill < 64<<20 {
		return fmt.Errorf("need -d above 0, -turns of at least 1 and -fill of at least 64")
	}
	_, err := os.Stat(c.disd)
	return err
}

func bench(ctx context.Context, args []string) error {
	c, err := configure(args)
	if err != nil {
		return err
	}
	if c.dir, err = os.MkdirTemp(c.dir, ".bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(c.dir)
	r := newReport(ctx, c)
	err = runLoads(ctx, c, r)
	if err == nil {
		err = runStarts(ctx, c, r)
	}
	if err == nil {
		err = runDumps(ctx, c, r)
	}
	r.print(os.Stdout) // what there is, if it broke off
	if err != nil || c.json == "" {
		return err
	}
	return r.write(c.json)
}

func newReport(ctx context.Context, c config) *report {
	r := &report{
		Time: time.Now().UTC().Truncate(time.Second),
		Go:   runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(),
		Args: c.args, TurnSeconds: c.turn.Seconds(), Turns: c.turns,
		Disd: version(ctx, c.disd), Against: "no-op net/http server",
	}
	if c.against != "" {
		r.Against, r.compare = version(ctx, c.against), true
	}
	return r
}
