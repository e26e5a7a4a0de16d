package sinks

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"disd/test/harness"
)

type object map[string]any

// A destination is one kind of real server that a task delivers to.
type destination interface {
	// options are those of disd that say how it is reached.
	options() []string
	// task is the type of a task to it, and its descriptor without the common members.
	task() (kind string, descriptor object)
	// record makes the data of record n, and row what it becomes.
	record(n int64) string
	row(n int64) string
	// rows returns what is there.
	rows(t *testing.T) []string
	// crash ends the server by SIGKILL, and revive has it serve again.
	crash(t *testing.T)
	revive(t *testing.T)
}

// A world is a disd with a task that delivers to a destination.
type world struct {
	*testing.T
	to  destination
	dir string
	s   *harness.Server
	put atomic.Int64 // records, whether acknowledged or not
}

// launch starts disd, again on what it held.
func (w *world) launch(batch string) {
	w.s = harness.Launch(w.T, harness.Options{Dir: w.dir, Args: append([]string{"--transfer-batch-records", batch}, w.to.options()...)})
	w.s.Ready(w.T)
}

// found makes bucket, stream and task, with other members of its descriptor.
func (w *world) found(other object) {
	w.Helper()
	if err := os.Mkdir(filepath.Join(w.dir, "obs", "b"), 0o700); err != nil {
		w.Fatal(err)
	}
	kind, descriptor := w.to.task()
	w.call(http.MethodPost, "streams", object{"stream_name": "s", "partition_count": 2, "data_type": "JSON"}, nil)
	maps.Copy(descriptor, object{"task_name": "t", "agency_name": "dis_admin_agency", "retry_duration": "7200"})
	maps.Copy(descriptor, other)
	w.call(http.MethodPost, "streams/s/transfer-tasks", object{"destination_type": kind, member(kind): descriptor}, nil)
}

// member is the name of a descriptor in requests.
func member(kind string) string { return strings.ToLower(kind) + "_destination_descriptor" }

func (w *world) call(method, path string, in, out any) {
	w.Helper()
	if err := w.s.Client().Call(w.Context(), method, path, in, out); err != nil {
		w.Fatal(err)
	}
}

// load uploads records until ctx ends or disd does.
func (w *world) load(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		var records []harness.Record
		for range 1 + r.IntN(40) {
			n := w.put.Add(1)
			records = append(records, harness.Record{Data: []byte(w.to.record(n)), Key: fmt.Sprint(n)})
		}
		if _, err := w.s.Client().Put(ctx, "s", records); err != nil {
			return
		}
		time.Sleep(5 * time.Millisecond) // the rest has to be delivered by the end
	}
}

// held returns the rows that the records of the stream are.
func (w *world) held() (rows []string) {
	w.Helper()
	byData := make(map[string]string)
	for n := range w.put.Load() + 1 {
		byData[w.to.record(n)] = w.to.row(n)
	}
	err := w.s.Client().ReadAll(w.Context(), "s", func(p harness.Partition) error {
		for _, r := range p.Records {
			rows = append(rows, byData[string(r.Data)])
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	slices.Sort(rows)
	return rows
}

// await waits until the destination has so many rows.
func (w *world) await(want int) []string {
	w.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(500 * time.Millisecond) {
		rows := w.to.rows(w.T)
		if len(rows) >= want {
			slices.Sort(rows)
			return rows
		}
		if time.Now().After(deadline) {
			w.Fatalf("there are %d rows, not %d\n%s", len(rows), want, tail(w.s.Logs()))
		}
	}
}

func tail(text string) string { return text[max(0, len(text)-2000):] }

// ends ends disd, the destination or both under load. Then the destination has what
// the stream has: nothing missing, doubled or changed.
func ends(t *testing.T, to destination) {
	n := *seed
	if n == 0 {
		n = rand.Uint64()
	}
	t.Logf("-seed %d", n)
	r := rand.New(rand.NewPCG(n, 0))
	w := &world{T: t, to: to, dir: filepath.Join(t.TempDir(), "data")}
	w.launch("50")
	w.found(nil)
	crashes := 0
	for cycle := range *cycles {
		ctx, stop := context.WithCancel(t.Context())
		loaded := make(chan struct{})
		loader := rand.New(rand.NewPCG(n, uint64(cycle)+1))
		go func() { defer close(loaded); w.load(ctx, loader) }()
		time.Sleep(time.Duration(200+r.IntN(600)) * time.Millisecond) // the moment is random, nothing is waited for
		crash := crashes < 3 && (*cycles-cycle <= 3-crashes || r.IntN(*cycles) < 3)
		if crash {
			crashes++
			to.crash(t)
		}
		w.s.Kill()
		stop()
		<-loaded
		w.launch("50")
		if crash {
			to.revive(t)
		}
	}
	held := w.held()
	w.s.Kill()
	w.launch("1") // whatever is left is a batch
	got := w.await(len(held))
	if !slices.Equal(held, got) {
		t.Errorf("the destination has %d rows, not those of the stream of %d records", len(got), len(held))
	}
	t.Logf("%d cycles, %d of them ended the destination: %d records", *cycles, crashes, len(held))
}
