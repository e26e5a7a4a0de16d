// Package dws has the built server deliver to PostgreSQL, and takes each of them
// away while it does.
package dws

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"disd/test/harness"
	"disd/test/postgres"
)

var (
	cycles = flag.Int("cycles", 3, "how often the database or the server is ended")
	seed   = flag.Uint64("seed", 0, "of the random numbers; 0 for a new one")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(harness.Main(m))
}

type object map[string]any

// A world is a server with a task that delivers to a database.
type world struct {
	*testing.T
	db  *postgres.Server
	dir string
	s   *harness.Server
	put atomic.Int64 // records, whether acknowledged or not
}

// launch starts the server, again on what it held.
func (w *world) launch(batch string) {
	w.s = harness.Launch(w.T, harness.Options{Dir: w.dir, Args: []string{
		"--transfer-batch-records", batch, "--transfer-kms-keys", `[{"name":"k","id":"2"}]`,
		"--transfer-dws-clusters", `[{"name":"c","id":"1","address":"` + w.db.Address + `","ca_file":"` + w.db.CA + `"}]`,
	}})
	w.s.Ready(w.T)
}

// found makes table, bucket, stream and task, with other members of its descriptor.
func (w *world) found(other object) {
	w.db.Query(w, "", "SET synchronous_commit TO on; CREATE TABLE public.t (id bigint, data text)")
	if err := os.Mkdir(filepath.Join(w.dir, "obs", "b"), 0o700); err != nil {
		w.Fatal(err)
	}
	w.call(http.MethodPost, "streams", object{"stream_name": "s", "partition_count": 2, "data_type": "CSV"}, nil)
	descriptor := object{
		"task_name": "t", "agency_name": "dis_admin_agency", "dws_cluster_name": "c", "dws_cluster_id": "1", "dws_database_name": "postgres",
		"dws_schema": "public", "dws_table_name": "t", "dws_delimiter": "|", "user_name": postgres.User, "user_password": postgres.Password,
		"kms_user_key_name": "k", "kms_user_key_id": "2", "obs_bucket_path": "b", "retry_duration": "7200",
	}
	maps.Copy(descriptor, other)
	w.call(http.MethodPost, "streams/s/transfer-tasks", object{"destination_type": "DWS", "dws_destination_descriptor": descriptor}, nil)
}

func (w *world) call(method, path string, in, out any) {
	w.Helper()
	if err := w.s.Client().Call(w.Context(), method, path, in, out); err != nil {
		w.Fatal(err)
	}
}

// load uploads records until ctx ends or the server does.
func (w *world) load(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		var records []harness.Record
		for range 1 + r.IntN(40) {
			n := w.put.Add(1)
			records = append(records, harness.Record{Data: fmt.Appendf(nil, "%d|%x\t\\", n, r.Uint64()), Key: fmt.Sprint(n)})
		}
		if _, err := w.s.Client().Put(ctx, "s", records); err != nil {
			return
		}
		time.Sleep(5 * time.Millisecond) // the rest has to be delivered by the end
	}
}

// held returns what the stream holds.
func (w *world) held() (all []string) {
	w.Helper()
	err := w.s.Client().ReadAll(w.Context(), "s", func(p harness.Partition) error {
		for _, r := range p.Records {
			all = append(all, string(r.Data))
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return all
}

// diverted returns what was put into the error directory.
func (w *world) diverted() (all []string) {
	w.Helper()
	names, _ := filepath.Glob(filepath.Join(w.dir, "obs", "b", "dws_error", "*.csv")) // the pattern is good
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			w.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			all = append(all, strings.TrimSuffix(line, "\n"))
		}
	}
	return all
}

// await waits until the table and the error directory have so many rows.
func (w *world) await(want int) {
	w.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		n, err := strconv.Atoi(w.db.Query(w, "", "SELECT count(*) FROM t")[0][0])
		n += len(w.diverted())
		if err != nil || time.Now().After(deadline) {
			w.Fatalf("there are %d rows, not %d: %v", n, want, err)
		}
		if n >= want {
			return
		}
	}
}

// TestEnds ends the database, the server, or both under load. Then the table has
// what the stream has: nothing missing, doubled or changed. When the task gives up at
// once, the table and the error directory have it together.
func TestEnds(t *testing.T) { // D13, DWS-1, D-8
	n := *seed
	if n == 0 {
		n = rand.Uint64()
	}
	t.Logf("-seed %d", n)
	r := rand.New(rand.NewPCG(n, 0))
	// It acknowledges what it can still lose, unless it is told not to.
	w := &world{T: t, db: postgres.Start(t, "synchronous_commit=off", "wal_writer_delay=10s"), dir: filepath.Join(t.TempDir(), "data")}
	w.launch("50")
	retry := []string{"0", "7200"}[r.IntN(2)]
	w.found(object{"retry_duration": retry})
	for cycle := range *cycles {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		loader := rand.New(rand.NewPCG(n, uint64(cycle)+1))
		go func() { defer close(ended); w.load(ctx, loader) }()
		time.Sleep(time.Duration(200+r.IntN(600)) * time.Millisecond) // the moment is random, nothing is waited for
		database, server := cycle%3 != 1, cycle%3 != 0
		if database {
			w.db.Crash(t)
		}
		if server {
			w.s.Kill()
		}
		stop()
		<-ended
		if database {
			w.db.Restart(t)
		}
		if server {
			w.launch("50")
		}
	}
	held := w.held()
	w.await(len(held) - 2*50)
	w.s.Kill()
	w.launch("1") // whatever is left is a batch
	w.await(len(held))
	got := w.diverted()
	given := len(got)
	for _, row := range w.db.Query(w, "", "SELECT id || '|' || data FROM t") {
		got = append(got, row[0])
	}
	slices.Sort(held)
	slices.Sort(got)
	if !slices.Equal(held, got) {
		t.Errorf("table and error directory have %d rows, not those of the stream of %d records", len(got), len(held))
	}
	if left, _ := filepath.Glob(filepath.Join(w.dir, "obs", "b", "*.csv")); len(left) > 0 {
		t.Errorf("staging files are left: %v", left)
	}
	var shown struct {
		State       string
		Description object `json:"dws_destination_description"`
	}
	w.call(http.MethodGet, "streams/s/transfer-tasks/t", nil, &shown)
	if shown.State != "RUNNING" || shown.Description["user_password"] != "******" {
		t.Errorf("the task is shown as %+v", shown)
	}
	if strings.Contains(w.s.Logs(), postgres.Password) {
		t.Error("the password is in the log")
	}
	t.Logf("%d cycles with retry_duration %s: %d records, %d of them in the error directory", *cycles, retry, len(held), given)
}

// bucket waits until the bucket holds so many files below a directory, and returns
// what is in them by name.
func (w *world) bucket(dir string, want int) map[string]string {
	w.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		names, err := filepath.Glob(filepath.Join(w.dir, "obs", "b", dir, "*.csv"))
		if err != nil || time.Now().After(deadline) {
			w.Fatalf("the bucket has %v in %s, not %d files: %v", names, dir, want, err)
		}
		if len(names) != want {
			continue
		}
		files := make(map[string]string)
		for _, name := range names {
			content, err := os.ReadFile(name)
			if err != nil {
				w.Fatal(err)
			}
			files[filepath.Base(name)] = string(content)
		}
		return files
	}
}

// TestStaging looks at a batch while it is loaded, and at one that cannot be.
func TestStaging(t *testing.T) {
	t.Attr("rules", "DWS-1 DWS-9")
	w := &world{T: t, db: postgres.Start(t), dir: filepath.Join(t.TempDir(), "data")}
	w.launch("3")
	w.found(object{"file_prefix": "a/stage", "retry_duration": "0"})
	w.db.Query(t, "", "CREATE TABLE public.go ()")
	locked := make(chan struct{})
	go func() { // nobody can write to the table until there is a row in the other one
		defer close(locked)
		w.db.Query(t, "", `DO $$ BEGIN
			LOCK TABLE public.t IN EXCLUSIVE MODE;
			WHILE NOT EXISTS (SELECT 1 FROM public.go) LOOP PERFORM pg_sleep(0.01); END LOOP;
		END $$`)
	}()
	for w.db.Query(t, "", "SELECT count(*) FROM pg_locks WHERE mode = 'ExclusiveLock' AND relation = 'public.t'::regclass")[0][0] == "0" {
		time.Sleep(10 * time.Millisecond)
	}
	put := func(data ...string) {
		t.Helper()
		var records []harness.Record
		for _, d := range data {
			records = append(records, harness.Record{Data: []byte(d), Key: "k"})
		}
		if _, err := w.s.Client().Put(t.Context(), "s", records); err != nil {
			t.Fatal(err)
		}
	}
	const first = "s-t-shardId-0000000000-0-2.csv"
	put("1|a", "2|b", "3|c")
	if got, want := w.bucket("a/stage", 1), (map[string]string{first: "1|a\n2|b\n3|c\n"}); !maps.Equal(got, want) { // DWS-1
		t.Errorf("staged %q, want %q", got, want)
	}
	if got := w.db.Query(t, "", "SELECT count(*) FROM t"); got[0][0] != "0" {
		t.Errorf("the table has %s rows before all are there", got[0][0])
	}
	w.db.Query(t, "", "INSERT INTO public.go DEFAULT VALUES")
	<-locked
	w.await(3)
	w.bucket("a/stage", 0) // DWS-1, it is deleted

	put("4|d", "five|e", "6|f")
	const second = "s-t-shardId-0000000000-3-5.csv"
	if got, want := w.bucket("a/stage/dws_error", 1), (map[string]string{second: "4|d\nfive|e\n6|f\n"}); !maps.Equal(got, want) { // DWS-9
		t.Errorf("diverted %q, want %q", got, want)
	}
	w.bucket("a/stage", 0)
	put("7|g", "8|h", "9|i") // and the task goes on
	w.await(6)
	if got := w.db.Query(t, "", "SELECT string_agg(id || data, ' ' ORDER BY id) FROM t"); got[0][0] != "1a 2b 3c 7g 8h 9i" {
		t.Errorf("the table has %s", got[0][0])
	}
	var shown struct {
		Partitions []struct{ Discard int }
	}
	w.call(http.MethodGet, "streams/s/transfer-tasks/t", nil, &shown)
	discarded := 0
	for _, p := range shown.Partitions {
		discarded += p.Discard
	}
	if discarded != 3 {
		t.Errorf("%d records are discarded, want 3", discarded)
	}
}

var fence = regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```")

// TestPage runs the commands of docs/transfer.md about databases as they stand
// there, but for the addresses.
func TestPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/transfer.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## To a database\n")
	code := make(map[string]string)
	for _, m := range fence.FindAllStringSubmatch(section, 4) {
		code[m[1]] = m[2]
	}
	if !found || len(code) != 4 {
		t.Fatal("the page does not have the commands")
	}
	db, work := postgres.Start(t), t.TempDir()
	config := filepath.Join(work, "disd.yaml")
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(code["yaml"], "127.0.0.1:5432", db.Address)), 0o600); err != nil {
		t.Fatal(err)
	}
	db.Query(t, "", code["sql"])
	s := harness.Start(t, harness.Options{Dir: filepath.Join(work, "disd-data"), Args: []string{"--config", config}})
	cmd := exec.Command("bash", "-eu", "-o", "pipefail")
	cmd.Dir, cmd.Stderr = work, os.Stderr
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(code["bash"], "http://127.0.0.1:20004", s.URL))
	if out, err := cmd.Output(); err != nil {
		t.Fatalf("%v: it printed %s", err, out)
	}
	var rows string
	for _, row := range db.Query(t, "", "SELECT page, coalesce(visits::text, 'NULL'), coalesce(referrer, 'NULL') FROM web.clicks") {
		rows += strings.Join(row, " ") + "\n"
	}
	if rows != code["text"] {
		t.Errorf("the table has\n%s want\n%s", rows, code["text"])
	}
	if got := db.Query(t, "", "SELECT rawrecord FROM web.clicks_rejected"); fmt.Sprint(got) != "[[/start|many|mail]]" {
		t.Errorf("rejected: %v", got)
	}
}
