// Package crash ends the built server in every way under load, and compares what
// it holds after the next start with what it had acknowledged.
package crash

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"disd/test/harness"
)

var (
	cycles = flag.Int("cycles", 2, "how often the server is killed")
	seed   = flag.Uint64("seed", 0, "of the random numbers; 0 for a new one")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(harness.Main(m))
}

// newRand returns the random numbers of a test. The same seed leads to the same
// work, not to the same order of it.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	n := *seed
	if n == 0 {
		n = rand.Uint64()
	}
	t.Logf("-seed %d", n)
	return rand.New(rand.NewPCG(n, 0))
}

// options are those of one start: files so small that they are rolled, recycled
// and flushed many times, and any sync mode, as none of them may lose anything
// when just the process ends.
func options(dir string, r *rand.Rand) harness.Options {
	sync := []string{"always", "always", "interval", "off"}[r.IntN(4)]
	size := []string{"1048576", "4194304"}[r.IntN(2)]
	return harness.Options{Dir: dir, Args: []string{
		"--sync", sync, "--storage-commit-log", size, "--storage-segment", "1048576", "--empty-wait", "0s",
	}}
}

// TestKill: kill -9 under load, also while the next start recovers.
func TestKill(t *testing.T) {
	t.Attr("rules", "E16-R6 E19-R7 L-27")
	r, dir := newRand(t), t.TempDir()
	w := newWorld(t)
	s := harness.Launch(t, options(dir, r))
	s.Ready(t)
	w.found(s.Client())
	for cycle := range *cycles {
		w.replaceLargest(s.Client(), 3_000)
		load := w.start(s.Client(), r)
		time.Sleep(time.Duration(50+r.IntN(600)) * time.Millisecond) // the moment is random, nothing is waited for
		load.ending.Store(true)
		s.Kill()
		load.wait()
		for r.IntN(3) == 0 {
			s = harness.Launch(t, options(dir, r))
			time.Sleep(time.Duration(r.IntN(40)) * time.Millisecond) // as above
			s.Kill()
		}
		s = harness.Launch(t, options(dir, r))
		s.Ready(t)
		w.verify(s.Client(), false)
		s.CheckLogs(t)
		if t.Failed() {
			t.Fatalf("after cycle %d", cycle)
		}
	}
	s.Stop(t)
	t.Logf("%d cycles, %d records tried, %d held", *cycles, len(w.fates), w.count())
}

// TestStop: on SIGTERM every request that the server accepted is answered, so
// what was not answered was not done.
func TestStop(t *testing.T) {
	r, dir := newRand(t), t.TempDir()
	w := newWorld(t)
	s := harness.Launch(t, options(dir, r))
	s.Ready(t)
	w.found(s.Client())
	for range 3 {
		load := w.start(s.Client(), r)
		time.Sleep(time.Duration(50+r.IntN(200)) * time.Millisecond) // as above
		load.ending.Store(true)
		s.Stop(t)
		load.wait()
		s = harness.Launch(t, options(dir, r))
		s.Ready(t)
		w.verify(s.Client(), true)
	}
	s.Stop(t)
}

// TestOneServerPerDirectory: a second server is refused and says why, and the
// first one does not notice.
func TestOneServerPerDirectory(t *testing.T) {
	first := harness.Start(t, harness.Options{})
	out, err := harness.Run("serve", "--listen", "127.0.0.1:0", "--data-dir", first.Dir)
	if err == nil || !strings.Contains(out, "in use by another process") || !strings.Contains(out, first.Dir) {
		t.Errorf("a second server: %v\n%s", err, out)
	}
	c := first.Client()
	if err := c.CreateStream(t.Context(), "s", 1); err != nil {
		t.Fatal(err)
	}
	sent := harness.Record{Data: []byte("still here")}
	acks, err := c.Put(t.Context(), "s", []harness.Record{sent})
	if err != nil {
		t.Fatal(err)
	}
	c.Holds(t, "s", acks[0], sent)
}

// TestReadOnlyDirectory: with the engine in memory nothing is written.
func TestReadOnlyDirectory(t *testing.T) {
	work := t.TempDir()
	if err := os.Chmod(work, 0o555); err != nil {
		t.Fatal(err)
	}
	s := harness.Start(t, harness.Options{Work: work, Dir: "disd-data", Args: []string{"--engine", "memory"}})
	c := s.Client()
	if err := c.CreateStream(t.Context(), "s", 2); err != nil {
		t.Fatal(err)
	}
	sent := harness.Record{Data: []byte("in memory")}
	acks, err := c.Put(t.Context(), "s", []harness.Record{sent})
	if err != nil {
		t.Fatal(err)
	}
	c.Holds(t, "s", acks[0], sent)
	// A test that runs as root may write there all the same.
	if left, err := filepath.Glob(filepath.Join(work, "*")); err != nil || len(left) > 0 {
		t.Errorf("the server left %v, %v", left, err)
	}
}
