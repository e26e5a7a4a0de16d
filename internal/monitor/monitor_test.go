package monitor

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"disd/internal/storage/catalog"
)

type bench struct {
	*Monitor
	t  *testing.T
	db *catalog.DB
	at time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db, err := catalog.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	b := &bench{t: t, db: db, at: time.Unix(1795424820, 0)} // a full minute
	b.restart()
	return b
}

// restart opens the monitor anew over the same catalog, as after kill -9.
func (b *bench) restart() {
	b.Monitor = Open(b.db, Options{Now: func() time.Time { return b.at }})
}

func (b *bench) put(partition int32, sizes ...int) {
	b.Put("s", 3*time.Millisecond, func(yield func(int32, int) bool) {
		for _, n := range sizes {
			yield(partition, n)
		}
	}, false)
}

func (b *bench) series(partition int32, label string) string {
	b.t.Helper()
	now := b.at.Unix()
	all, err := b.Series("s", Query{Labels: []string{label}, Partition: partition, From: now - 3600, To: now + 60})
	if err != nil {
		b.t.Fatal(err)
	}
	out := ""
	for _, p := range all[0] {
		out += fmt.Sprintf("%d:%d ", p.Time-1795424820, p.Value)
	}
	return out
}

// TestPoints is M-1 to M-5.
func TestPoints(t *testing.T) {
	b := newBench(t)
	b.put(0, 10, 20)
	b.put(1, 5)
	b.at = b.at.Add(59 * time.Second)
	b.Get("s", 1, 1500*time.Microsecond, 2, 7, false)
	b.at = b.at.Add(time.Second)
	b.Put("s", 6*time.Millisecond, func(yield func(int32, int) bool) { yield(0, 1) }, true)
	b.at = b.at.Add(3 * time.Minute)
	b.Refused("s")
	for _, test := range []struct {
		rule      string
		partition int32
		label     string
		want      string
	}{
		{"M-1", -1, "total_put_bytes_per_stream", "0:35 60:1 "},
		{"M-2", -1, "total_get_bytes_per_stream", "0:7 "},
		{"M-5", -1, "total_put_records_per_stream", "0:3 60:1 "},
		{"M-3", -1, "total_put_req_latency", "0:3 60:6 "},
		{"M-3 half up", -1, "total_get_req_latency", "0:2 "},
		{"M-4", -1, "total_put_req_suc_per_stream", "0:2 60:1 "},
		{"M-4", -1, "traffic_control_put", "60:1 "},
		{"M-4", -1, "traffic_control_get", "240:1 "},
		{"E32-N2", -1, "traffic_controll_get", "240:1 "},
		{"E33", 0, "total_put_bytes_per_partition", "0:30 60:1 "},
		{"E33", 1, "total_put_records_per_partition", "0:1 "},
		{"E33", 1, "total_get_records_per_partition", "0:2 "},
		{"E33", 9, "total_get_records_per_partition", ""},
	} {
		if got := b.series(test.partition, test.label); got != test.want {
			t.Errorf("%s: %s: %q, want %q", test.rule, test.label, got, test.want)
		}
	}
}

// TestSurvivesKill is M-5 and L-27: all but the current minute.
func TestSurvivesKill(t *testing.T) {
	b := newBench(t)
	b.put(0, 10)
	b.at = b.at.Add(time.Minute)
	b.put(0, 20)
	if err := b.Save(); err != nil {
		t.Fatal(err)
	}
	if got := b.series(-1, "total_put_bytes_per_stream"); got != "0:10 60:20 " {
		t.Errorf("after saving: %q", got)
	}
	b.restart()
	if got := b.series(-1, "total_put_bytes_per_stream"); got != "0:10 " {
		t.Errorf("after the kill: %q", got)
	}
	b.put(0, 5)
	if got := b.series(-1, "total_put_bytes_per_stream"); got != "0:10 60:5 " {
		t.Errorf("counting on: %q", got)
	}
}

// TestRetired is M-5: seven days, and no longer for ever.
func TestRetired(t *testing.T) {
	b := newBench(t)
	count := func() (n int) {
		err := b.db.View(func(tx *catalog.Tx) error {
			return points.Each(tx, nil, func([]string, *point) error { n++; return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 10 {
		b.put(0, 1)
		b.at = b.at.Add(24 * time.Hour)
		if err := b.Save(); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(); n < 7 || n > 9 {
		t.Errorf("%d points are kept, of one a day", n)
	}
	if err := b.db.Update(func(tx *catalog.Tx) error { return Forget(tx, "s") }); err != nil || count() != 0 {
		t.Errorf("M-6: %v, %d points", err, count())
	}
}

// TestCheck is M-11 to M-13.
func TestCheck(t *testing.T) {
	now := time.Unix(1795424820, 0)
	s := now.Unix()
	const fine = "total_put_bytes_per_stream"
	for _, test := range []struct {
		rule string
		q    Query
		want error
	}{
		{"M-12", Query{Labels: []string{fine}, Partition: -1, From: s - 60, To: s}, nil},
		{"M-12 into the future", Query{Labels: []string{fine}, Partition: -1, From: s, To: s + 50}, nil},
		{"M-12 from the future", Query{Labels: []string{fine}, Partition: -1, From: s + 61, To: s + 99}, ErrPeriod},
		{"M-12 backwards", Query{Labels: []string{fine}, Partition: -1, From: s, To: s - 1}, ErrPeriod},
		{"M-13 oldest", Query{Labels: []string{fine}, Partition: -1, From: s - 604800 - 60, To: s - 100}, nil},
		{"M-13 too old", Query{Labels: []string{fine}, Partition: -1, From: s - 604800 - 61, To: s - 100}, ErrTooOld},
		{"M-13 too long", Query{Labels: []string{fine}, Partition: -1, From: s - 604800, To: s + 1}, ErrTooOld},
		{"M-11", Query{Labels: []string{fine, "x"}, Partition: -1, From: s - 60, To: s}, ErrLabel},
		{"E33-N2", Query{Labels: []string{fine}, Partition: 0, From: s - 60, To: s}, ErrLabel},
		{"E33-N2", Query{Labels: []string{"total_put_bytes_per_partition"}, Partition: -1, From: s - 60, To: s}, ErrLabel},
	} {
		if err := test.q.Check(now); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.rule, err, test.want)
		}
	}
}

func TestTraffic(t *testing.T) {
	b := newBench(t)
	if _, err := b.Traffic("s", 1); !errors.Is(err, ErrYoung) {
		t.Errorf("at once: %v", err)
	}
	b.put(0, 100)
	b.at = b.at.Add(time.Minute)
	b.put(0, 1)
	if got, err := b.Traffic("s", 1); err != nil || got != (Traffic{Put: 100}) {
		t.Errorf("the last full minute: %+v, %v", got, err)
	}
	if _, err := b.Traffic("s", 10); !errors.Is(err, ErrYoung) {
		t.Errorf("ten minutes after one: %v", err)
	}
}
