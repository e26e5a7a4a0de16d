package transfer

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"disd/test/harness"
)

var (
	cycles = flag.Int("cycles", 12, "how often the server is ended, over all places")
	seed   = flag.Uint64("seed", 0, "of the random numbers; 0 for a new one")
)

// page is the absolute name of docs/transfer.md: the gateway changes the working
// directory of the process.
var page string

func TestMain(m *testing.M) {
	flag.Parse()
	page, _ = filepath.Abs("../../docs/transfer.md") // else it is not found, and says so
	os.Exit(harness.Main(m))
}

// total is what all worlds together have seen.
type total struct {
	figures
	events map[string]int
}

func (x *total) add(f figures, events map[string]int) {
	x.records += f.records
	x.objects += f.objects
	x.bytes += f.bytes
	x.comparisons += f.comparisons
	for name, n := range events {
		x.events[name] += n
	}
}

// TestChaos ends a server that delivers, at random and at every step of a
// delivery, while the store fails in every way. After each end, all objects that
// are new or were touched are compared with the records that were put; after some
// ends everything is delivered, and every object is compared.
func TestChaos(t *testing.T) { // D13
	n := *seed
	if n == 0 {
		n = rand.Uint64()
	}
	t.Logf("-seed %d", n)
	r := rand.New(rand.NewPCG(n, 0))
	sum := total{events: make(map[string]int)}
	for done := 0; done < *cycles && !t.Failed(); {
		for _, kind := range []struct {
			name   string
			cycles int
			run    func(*testing.T, *rand.Rand, int) (figures, map[string]int)
		}{{"directory", 10, chaosInDirectory}, {"store", 10, chaosInStore}, {"large", 5, chaosInParts}} {
			batch := min(kind.cycles, *cycles-done, max(1, *cycles/3))
			if batch == 0 {
				continue
			}
			t.Run(kind.name, func(t *testing.T) { sum.add(kind.run(t, r, batch)) })
			done += batch
		}
	}
	t.Logf("%d cycles: %d records of %d bytes in %d objects, %d comparisons", *cycles, sum.records, sum.bytes, sum.objects, sum.comparisons)
	for _, name := range slices.Sorted(maps.Keys(sum.events)) {
		t.Logf("%6d %s", sum.events[name], name)
	}
}

// options are those of one start.
func options(dir string, r *rand.Rand, args ...string) harness.Options {
	sync := []string{"always", "interval", "off"}[r.IntN(3)]
	return harness.Options{Dir: dir, Args: append([]string{
		"--sync", sync, "--empty-wait", "0s",
		"--storage-commit-log", "16777216", "--storage-segment", "16777216",
	}, args...)}
}

// A chaos is a world whose server is ended over and over.
type chaos struct {
	*world
	r       *rand.Rand
	dir     string
	args    []string
	members map[string]any // of the task
	events  map[string]int

	// arm makes faults, and calls end at some moment; fail makes nothing but
	// faults, nil where there are none; disarm undoes both.
	arm    func(end func())
	fail   func()
	disarm func()
}

// launch starts a server with another size of batches, which must not touch those
// that were begun.
func (c *chaos) launch() {
	c.batch = 12 + c.r.IntN(10)
	c.s = harness.Launch(c.t, options(c.dir, c.r, append(c.args, "--transfer-batch-records", strconv.Itoa(c.batch))...))
}

func (c *chaos) run(cycles, puts int) {
	manifests := c.r.IntN(2) == 0
	if manifests {
		c.args = append(c.args, "--transfer-manifest")
	}
	c.launch()
	c.s.Ready(c.t)
	c.found(c.members)
	for cycle := range cycles {
		if c.fail != nil && c.r.IntN(15) == 0 {
			c.outage(puts)
		}
		if c.cycle(puts); c.t.Failed() {
			c.t.Fatalf("in cycle %d", cycle)
		}
	}
	c.disarm()
	c.finish()
	if manifests {
		c.verifyDump()
	}
	c.s.Stop(c.t)
}

// verifyDump has the manifests prove what was compared.
func (c *chaos) verifyDump() {
	prefix, _ := c.members["file_prefix"].(string)
	out, err := harness.Run(append([]string{"verify-dump", "--data-dir", c.dir, "--bucket", bucket, "--prefix", prefix}, c.args...)...)
	c.events["manifests verified"]++
	if err != nil || !strings.HasSuffix(out, "no damage\n") {
		c.t.Errorf("verify-dump: %v\n%s", err, out)
	}
	for id, held := range c.held {
		if line := fmt.Sprintf(" %d 0-%d ", id, len(held)-1); len(held) > 0 && !strings.Contains(strings.Join(strings.Fields(out), " "), line) {
			c.t.Errorf("verify-dump does not show %q:\n%s", line, out)
		}
	}
}

// outage lets the store fail as long as it takes for some batches to be tried
// several times.
func (c *chaos) outage(puts int) {
	c.events["outages"]++
	c.fail()
	l := &load{world: c.world}
	l.start(c.r, puts)
	l.wg.Wait()
	time.Sleep(3500 * time.Millisecond) // the tries are 1 and 2 seconds apart
	c.disarm()
	c.verify()
}

// cycle puts the server under load, ends it, and looks at what there is after the
// next start.
func (c *chaos) cycle(puts int) {
	ended := make(chan struct{})
	var once sync.Once
	s := c.s
	l := &load{world: c.world}
	c.arm(func() {
		once.Do(func() {
			l.ending.Store(true)
			s.Kill()
			close(ended)
		})
	})
	l.start(c.r, puts)
	if c.r.IntN(10) == 0 {
		c.events["ended by SIGTERM"]++
		time.Sleep(time.Duration(c.r.IntN(200)) * time.Millisecond) // the moment is random
		l.ending.Store(true)
		s.Terminate()
	}
	select {
	case <-ended:
	case <-time.After(time.Duration(100+c.r.IntN(500)) * time.Millisecond): // as above
		c.events["killed at a random moment"]++
	}
	l.ending.Store(true)
	s.Kill()
	l.wg.Wait()
	if c.r.IntN(15) == 0 {
		c.disarm()
	}
	for c.r.IntN(4) == 0 {
		c.events["killed while it starts"]++
		c.launch()
		time.Sleep(time.Duration(c.r.IntN(60)) * time.Millisecond) // as above
		c.s.Kill()
	}
	c.disarm()
	c.launch()
	c.s.Ready(c.t)
	if err := c.act("start"); err != nil { // it may have been stopped
		c.t.Error(err)
	}
	c.verify()
	s.CheckLogs(c.t)
	if strings.Contains(s.Logs(), secret) {
		c.t.Error("the log holds the secret")
	}
}

func chaosInStore(t *testing.T, r *rand.Rand, cycles int) (figures, map[string]int) {
	return chaosOverProxy(t, r, cycles, 12, false)
}

func chaosInParts(t *testing.T, r *rand.Rand, cycles int) (figures, map[string]int) {
	return chaosOverProxy(t, r, cycles, 2, true)
}

func chaosOverProxy(t *testing.T, r *rand.Rand, cycles, puts int, large bool) (figures, map[string]int) {
	endpoint, client := serve(t)
	p := newProxy(t, endpoint)
	c := &chaos{
		world: newWorld(t, storePlace{t, client}, large), r: r, dir: filepath.Join(t.TempDir(), "data"), events: make(map[string]int),
		args: []string{
			"--transfer-obs-endpoint", p.url, "--transfer-obs-access-key", access, "--transfer-obs-secret-key", secret,
			"--transfer-obs-timeout", "1s", "--transfer-obs-part", "5242880",
		},
		members: map[string]any{"file_prefix": "a/b", "partition_format": "yyyy/MM/dd/HH/mm"},
		disarm:  p.calm,
	}
	c.fail = func() {
		own := rand.New(rand.NewPCG(r.Uint64(), 0))
		p.plan(func(*http.Request) fault { return faults[own.IntN(len(faults))] }, -1, "", nil)
	}
	c.arm = func(end func()) {
		own := rand.New(rand.NewPCG(r.Uint64(), 0))
		rate := []int{0, 3, 10, 50}[own.IntN(4)] // faults in a hundred requests
		p.plan(func(*http.Request) fault {
			switch {
			case own.IntN(100) >= rate:
				return none
			case own.IntN(30) == 0:
				return late
			}
			return faults[own.IntN(len(faults))]
		}, own.IntN(12)-1, steps[own.IntN(len(steps))], end)
	}
	c.run(cycles, puts)
	events := p.counts()
	maps.Copy(events, c.events)
	return c.figures, events
}

func chaosInDirectory(t *testing.T, r *rand.Rand, cycles int) (figures, map[string]int) {
	dir := filepath.Join(t.TempDir(), "data")
	obs := filepath.Join(dir, "obs")
	into := filepath.Join(obs, bucket)
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "buckets", bucket), 0o700), os.Symlink("buckets", obs)); err != nil {
		t.Fatal(err)
	}
	w := &watch{t: t, into: into, catalog: filepath.Join(dir, "catalog.db"), happened: make(map[string]int)}
	c := &chaos{
		world: newWorld(t, dirPlace(into), false), r: r, dir: dir, events: make(map[string]int),
		disarm: w.disarm,
	}
	c.arm = func(end func()) {
		w.arm(moments[r.IntN(len(moments))], r.IntN(6), end, []int{0, 0, 30}[r.IntN(3)], rand.New(rand.NewPCG(r.Uint64(), 0)))
	}
	c.fail = func() {
		if r.IntN(2) == 0 {
			w.arm(moment{}, -1, nil, 100, rand.New(rand.NewPCG(r.Uint64(), 0)))
			return
		}
		w.hide()
	}
	c.run(cycles, 12)
	maps.Copy(c.events, w.happened)
	return c.figures, c.events
}

// A moment is a change of files that tells how far a delivery is.
type moment struct {
	name   string
	op     fsnotify.Op
	suffix string // of the file's name
}

var moments = []moment{
	{"when intent or position are written", fsnotify.Write, "catalog.db"},
	{"when the object's file is made", fsnotify.Create, ".tmp"},
	{"when the object's file is written", fsnotify.Write, ".tmp"},
	{"when the object gets its name", fsnotify.Create, ".txt"},
}

// A watch ends a server at a moment, and makes the directory of a bucket fail.
type watch struct {
	t             *testing.T
	into, catalog string
	watcher       *fsnotify.Watcher
	ended         sync.WaitGroup
	happened      map[string]int
	inTheWay      []string // directories
	hidden        bool
}

// hide puts a file in the place of the link to the directory of the buckets, at once:
// without anything there, there would be no bucket, and tasks stop for that.
func (w *watch) hide() {
	w.disarm()
	dir := filepath.Dir(w.into)
	if err := errors.Join(os.WriteFile(dir+".next", nil, 0o600), os.Rename(dir+".next", dir)); err != nil {
		w.t.Fatal(err)
	}
	w.hidden = true
	w.happened["file in place of the directory"]++
}

// obstruct makes a directory of the name that an object would get.
func (w *watch) obstruct(tmp string) {
	name := strings.TrimSuffix(tmp, ".tmp")
	if os.Mkdir(name, 0o700) == nil {
		w.inTheWay = append(w.inTheWay, name)
		w.happened["directory in the way of an object"]++
	}
}

// arm calls end at the n-th of the moments to come, and obstructs so many of a
// hundred objects.
func (w *watch) arm(m moment, n int, end func(), obstructed int, r *rand.Rand) {
	w.disarm()
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		err = watcher.Add(w.into)
	}
	if err == nil {
		err = watcher.Add(w.catalog)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.watcher = watcher
	w.ended.Go(func() {
		for e := range watcher.Events {
			if e.Has(fsnotify.Create) && strings.HasSuffix(e.Name, ".tmp") && r.IntN(100) < obstructed {
				w.obstruct(e.Name)
			}
			if n < 0 || !e.Has(m.op) || !strings.HasSuffix(e.Name, m.suffix) {
				continue
			}
			if n == 0 {
				w.happened["killed "+m.name]++
				end()
			}
			n--
		}
	})
}

func (w *watch) disarm() {
	if w.watcher != nil {
		w.watcher.Close()
		w.ended.Wait()
		w.watcher = nil
	}
	for _, name := range w.inTheWay {
		if err := os.Remove(name); err != nil {
			w.t.Error(err)
		}
	}
	w.inTheWay = nil
	if w.hidden {
		dir := filepath.Dir(w.into)
		if err := errors.Join(os.Symlink("buckets", dir+".next"), os.Rename(dir+".next", dir)); err != nil {
			w.t.Fatal(err)
		}
		w.hidden = false
	}
}
