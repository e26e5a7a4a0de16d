package server

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"disd/internal/config"
	"disd/internal/cursor"
	"disd/internal/storage/catalog/file"
	"disd/internal/storage/segment"
	"disd/internal/storage/vfs"
	"disd/internal/storage/vfs/errfs"
)

// lines counts what is logged at a level.
type lines struct {
	mu sync.Mutex
	strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Builder.Write(b)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.String(), text)
}

// A rig is a server behind HTTP, over an engine on a disk in memory.
type rig struct {
	*testing.T
	url    string
	engine *segment.Engine
	db     *file.DB
	logs   *lines
	close  func()
}

func newRig(t *testing.T, fs vfs.FS, sync segment.Sync, db *file.DB) *rig {
	t.Helper()
	r := &rig{T: t, logs: &lines{}, db: db}
	logger := slog.New(slog.NewTextHandler(r.logs, nil))
	var err error
	r.engine, err = segment.Open(segment.Options{
		FS: fs, Dir: "data", CommitLogSize: 1 << 20, SegmentSize: 1 << 20, Sync: sync, SyncInterval: time.Hour, IdleFlush: -1, Logger: logger,
	})
	if err == nil && db == nil {
		r.db, err = file.OpenMemory()
	}
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.DataDir = t.TempDir()
	s, err := Open(c, Options{Engine: r.engine, Catalog: r.db, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(s.Handler())
	r.url, r.close = front.URL, func() {
		front.Close()
		_ = errors.Join(s.Close(), r.engine.Close()) // on a broken disk that fails
	}
	return r
}

func (r *rig) call(method, path, body string) (status int, answer map[string]any) {
	r.Helper()
	q, err := http.NewRequestWithContext(r.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	q.Header.Set("X-Auth-Token", "any")
	q.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		r.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		r.Fatal(err)
	}
	_ = json.Unmarshal(b, &answer) // some answers are empty
	return a.StatusCode, answer
}

// put uploads a record and returns its number, or false if it is refused.
func (r *rig) put(data string) (seq string, ok bool) {
	r.Helper()
	_, answer := r.call(http.MethodPost, "/v2/p/records", `{"stream_name":"s","records":[{"data":"`+data+`","partition_id":"0"}]}`)
	records, _ := answer["records"].([]any)
	if len(records) != 1 {
		return "", false
	}
	seq, ok = records[0].(map[string]any)["sequence_number"].(string)
	return seq, ok
}

func (r *rig) ready() bool {
	status, _ := r.call(http.MethodGet, "/_disd/ready", "")
	return status == http.StatusOK
}

func (r *rig) create() {
	r.Helper()
	if status, a := r.call(http.MethodPost, "/v2/p/streams", `{"stream_name":"s","partition_count":1}`); status != http.StatusCreated {
		r.Fatal(status, a)
	}
}

// silentFS does not say how much room there is while it is silent.
type silentFS struct {
	vfs.FS
	silent atomic.Bool
}

func (s *silentFS) Free(name string) (int64, error) {
	if s.silent.Load() {
		return 0, errfs.ErrInjected
	}
	return s.FS.Free(name)
}

// TestNotReadyWhileStorageRefuses breaks the disk in several ways: as long as
// uploads are refused because of it the server is not ready, and the log says so when
// it begins and when it ends, not with each upload.
func TestNotReadyWhileStorageRefuses(t *testing.T) {
	large := strings.Repeat("AAAA", 100<<10)
	type disk struct {
		fs            vfs.FS
		breakIt, heal func()
	}
	for name, make := range map[string]func() disk{
		"every call fails": func() disk {
			f := errfs.None()
			return disk{errfs.Wrap(vfs.NewMem(), f), f.Break, f.Heal}
		},
		"the disk is full": func() disk {
			m := vfs.NewMem()
			return disk{m, func() { m.SetCapacity(1) }, func() { m.SetCapacity(0) }}
		},
		"nobody knows how much room there is": func() disk {
			s := &silentFS{FS: vfs.NewMem()}
			return disk{s, func() { s.silent.Store(true) }, func() { s.silent.Store(false) }}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := make()
			r := newRig(t, d.fs, segment.SyncAlways, nil)
			defer r.close()
			r.create()
			if _, ok := r.put("AAAA"); !ok || !r.ready() {
				t.Fatal("not ready at first")
			}
			d.breakIt()
			refused, early := 0, 0
			for i := 0; refused < 20 && i < 200; i++ {
				if _, ok := r.put(large); ok {
					continue
				}
				if refused++; r.ready() {
					t.Fatalf("ready while uploads are refused: %s", r.logs)
				}
				if refused == 10 {
					early = r.logs.count("msg=\"appends are refused") + r.logs.count("msg=\"commit log failed") + r.logs.count("msg=\"flush failed")
				}
			}
			late := r.logs.count("msg=\"appends are refused") + r.logs.count("msg=\"commit log failed") + r.logs.count("msg=\"flush failed")
			if refused < 20 || early == 0 || late > early+1 {
				t.Errorf("%d were refused, the log names the cause %d times, then %d times", refused, early, late)
			}
			d.heal()
			for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				if _, ok := r.put(large); ok && r.ready() {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("not ready although the disk is well: %s", r.logs)
				}
			}
		})
	}
}

// TestLossIsSetBack cuts the power of a server with sync off, and gives the numbers
// of the lost records to others: a consumer goes on at the first of these, by its
// checkpoint and by a cursor from before.
func TestLossIsSetBack(t *testing.T) {
	m := vfs.NewMem()
	r := newRig(t, m, segment.SyncOff, nil)
	r.create()
	for range 4 {
		if _, ok := r.put("b2xk"); !ok {
			t.Fatal("refused")
		}
	}
	r.call(http.MethodPost, "/v2/p/apps", `{"app_name":"a"}`)
	if status, a := r.call(http.MethodPost, "/v2/p/checkpoints", `{"app_name":"a","stream_name":"s","partition_id":"0","checkpoint_type":"LAST_READ","sequence_number":"4"}`); status/100 != 2 {
		t.Fatal(status, a)
	}
	_, a := r.call(http.MethodGet, "/v2/p/cursors?stream-name=s&partition-id=0&cursor-type=LATEST", "")
	at, ok := a["partition_cursor"].(string)
	if !ok {
		t.Fatal(a)
	}
	after := m.Crash(nil) // nothing unsynced survives
	time.Sleep(2 * time.Millisecond)
	again := newRig(t, after, segment.SyncOff, r.db)
	defer again.close()
	next := -1
	for i := 0; i < 7; i++ {
		if seq, ok := again.put("bmV3"); ok && next < 0 {
			next = map[string]int{"0": 0, "1": 1, "2": 2, "3": 3}[seq]
		}
	}
	if next < 0 || next > 3 {
		t.Fatalf("nothing was lost, the next number is %d", next)
	}
	_, a = again.call(http.MethodGet, "/v2/p/records?partition-cursor="+at, "")
	records, _ := a["records"].([]any)
	if len(records) != 7 {
		t.Errorf("by its cursor a consumer sees %d new records, want 7: %v", len(records), a)
	}
	c, ok, err := cursor.OpenApps(r.db, cursor.Options{}).Checkpoint(cursor.Mark{
		Project: "p", App: "a", StreamID: again.streamID(), Partition: 0,
	})
	if err != nil || ok && int(c.Seq) > next {
		t.Errorf("the checkpoint is %+v, %v; the next number was %d", c, err, next)
	}
	if n := again.logs.count("is set back"); n < 2 {
		t.Errorf("the log says of %d things that they were set back: %s", n, again.logs)
	}
	if again.engine.MayHaveLost() {
		t.Error("the loss is not settled")
	}
}

func (r *rig) streamID() string {
	r.Helper()
	ids, err := r.engine.List(r.Context())
	if err != nil || len(ids) != 1 {
		r.Fatal(ids, err)
	}
	return ids[0].Stream
}
