package monitor

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"disd/internal/storage/catalog"
	"disd/internal/storage/catalog/file"
)

type bench struct {
	*Monitor
	t  *testing.T
	db catalog.Store
	at time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db, err := file.OpenMemory()
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
		t.Attr("rules", test.rule)
		if got := b.series(test.partition, test.label); got != test.want {
			t.Errorf("%s: %s: %q, want %q", test.rule, test.label, got, test.want)
		}
	}
}

// TestSurvivesKill is M-5 and L-27: all but the current minute.
func TestSurvivesKill(t *testing.T) {
	t.Attr("rules", "M-5 L-27")
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

// TestRestart is M-5 without a kill: nothing is lost, and a minute that two runs
// of the server share is one point.
func TestRestart(t *testing.T) {
	b := newBench(t)
	b.put(0, 10)
	b.put(2, 1)
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	b.restart()
	b.put(0, 5)
	b.put(1, 7)
	for _, when := range []string{"before saving", "saved", "saved again"} {
		if got := b.series(-1, "total_put_bytes_per_stream"); got != "0:23 " {
			t.Errorf("%s: %q", when, got)
		}
		if got := b.series(0, "total_put_records_per_partition"); got != "0:2 " {
			t.Errorf("%s: %q", when, got)
		}
		if got := b.series(-1, "total_put_req_suc_per_stream"); got != "0:4 " {
			t.Errorf("%s: %q", when, got)
		}
		b.at = b.at.Add(time.Minute)
		if err := b.Save(); err != nil {
			t.Fatal(err)
		}
	}
}

// A clock that is set back and forth must neither lose nor invent anything.
func TestClockGoesBack(t *testing.T) {
	b := newBench(t)
	start := b.at
	for _, minute := range []int{0, 1, 0, 1, 2, 0, 2, 3} {
		b.at = start.Add(time.Duration(minute) * time.Minute)
		b.put(0, 1)
	}
	const want = "0:3 60:2 120:2 180:1 "
	if got := b.series(-1, "total_put_bytes_per_stream"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := b.Save(); err != nil {
		t.Fatal(err)
	}
	if got := b.series(-1, "total_put_bytes_per_stream"); got != want {
		t.Errorf("saved: got %q, want %q", got, want)
	}
}

// What cannot be saved is kept, and saved when that can be done.
func TestSaveFails(t *testing.T) {
	b := newBench(t)
	key := pointKey("bad", b.at.Unix())
	change := func(fn func(tx catalog.Tx) error) {
		t.Helper()
		if err := b.db.Update(fn); err != nil {
			t.Fatal(err)
		}
	}
	change(func(tx catalog.Tx) error { return points.Put(tx, key, []byte("?")) })
	b.put(0, 10)
	b.Refused("bad")
	b.at = b.at.Add(time.Minute)
	for range 2 {
		if err := b.Save(); !errors.Is(err, errFormat) {
			t.Fatalf("save: %v", err)
		}
		b.put(0, 20)
	}
	if got := b.series(-1, "total_put_bytes_per_stream"); got != "0:10 60:40 " {
		t.Errorf("not saved: %q", got)
	}
	if _, err := b.samples("bad", wholeStream, 0, b.at.Unix()); !errors.Is(err, errFormat) {
		t.Errorf("damaged point: %v", err)
	}
	change(func(tx catalog.Tx) error { return points.Delete(tx, key) })
	if err := b.Save(); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if got := b.series(-1, "total_put_bytes_per_stream"); got != "0:10 " {
		t.Errorf("saved: %q", got)
	}
}

// Counting, saving and reading at the same time count everything once.
func TestAtOnce(t *testing.T) {
	b := newBench(t)
	var minute atomic.Int64
	start := b.at
	b.Monitor = Open(b.db, Options{Now: func() time.Time { return start.Add(time.Duration(minute.Load()) * time.Minute) }})
	total := func() (n int64) {
		all, err := b.samples("s", wholeStream, start.Unix(), start.Unix()+3600)
		if err != nil {
			t.Error(err)
		}
		for _, s := range all {
			n += s.volume.putBytes
		}
		return n
	}
	var counted atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var others sync.WaitGroup
	for range 2 {
		others.Go(func() {
			for ctx.Err() == nil {
				b.put(0, 1)
				counted.Add(1)
			}
		})
	}
	others.Go(func() {
		for ctx.Err() == nil {
			minute.Store((minute.Load() + 1) % 50)
			if err := b.Save(); err != nil {
				t.Error(err)
			}
		}
	})
	for range 100 {
		before := counted.Load()
		if n := total(); n < before {
			t.Fatalf("%d of %d", n, before)
		}
	}
	stop()
	others.Wait()
	if n := total(); n != counted.Load() {
		t.Errorf("%d of %d", n, counted.Load())
	}
}

// A stream at rest is dropped from memory, and nobody counts on what was dropped.
func TestIdleStreamIsDropped(t *testing.T) {
	b := newBench(t)
	b.put(0, 1)
	st := b.stream("s")
	for range 2 {
		b.at = b.at.Add(time.Minute)
		if err := b.Save(); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.streams) > 0 || !st.dropped {
		t.Errorf("%d streams in memory, dropped: %t", len(b.streams), st.dropped)
	}
}

// TestRange is M-14, for points in memory and in the catalog.
func TestRange(t *testing.T) {
	t.Attr("rules", "M-14")
	b := newBench(t)
	start := b.at.Unix() // 53 minutes before a full hour
	for range 90 {
		b.put(0, 1)
		b.at = b.at.Add(time.Minute)
	}
	for range 2 {
		for _, test := range []struct{ from, to, first, last int64 }{
			{0, 90, 0, 60},
			{59, 60, 0, 60},
			{60, 119, 60, 60},
			{61, 180, 60, 180},
			{52*60 + 1, 54*60 - 1, 52 * 60, 53 * 60}, // around the full hour
			{0, 10000, 0, 89 * 60},
		} {
			all, err := b.Series("s", Query{Labels: []string{"total_put_bytes_per_stream"}, Partition: -1, From: start + test.from, To: start + test.to})
			if err != nil {
				t.Fatal(err)
			}
			points := all[0]
			if n := (test.last-test.first)/60 + 1; int64(len(points)) != n || points[0].Time != start+test.first || points[n-1].Time != start+test.last {
				t.Errorf("%d to %d: %v, want %d to %d", test.from, test.to, points, test.first, test.last)
			}
		}
		if err := b.Save(); err != nil {
			t.Fatal(err)
		}
	}
}

// Downloads are counted as often as partitions are polled.
func TestCountingMakesNoGarbage(t *testing.T) {
	b := newBench(t)
	count := func() { b.Get("s", 1, time.Millisecond, 1, 100, false) }
	count()
	if n := testing.AllocsPerRun(100, count); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestRetired is M-5, seven days and no longer, also for a stream at rest, and M-6.
func TestRetired(t *testing.T) {
	t.Attr("rules", "M-6 M-5")
	b := newBench(t)
	count := func() (n int) {
		t.Helper()
		err := b.db.View(func(tx catalog.Tx) error {
			return points.Each(tx, nil, func(catalog.Key, []byte) error { n++; return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	save := func(after time.Duration) {
		t.Helper()
		b.at = b.at.Add(after)
		if err := b.Save(); err != nil {
			t.Fatal(err)
		}
	}
	for day := range 10 {
		b.put(0, 1)
		save(time.Minute)
		if n, want := count(), min(day+1, 8); n != want {
			t.Errorf("day %d: %d points are kept, of one a day, want %d", day, n, want)
		}
		save(24*time.Hour - time.Minute)
	}
	b.Refused("other")
	save(time.Minute)
	if err := b.db.Update(func(tx catalog.Tx) error { return Forget(tx, "s") }); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 1 || b.series(-1, "total_put_bytes_per_stream") != "" {
		t.Errorf("M-6: %d points remain, want that of the other stream", n)
	}
	save(8 * 24 * time.Hour)
	if n := count(); n != 0 {
		t.Errorf("%d points of a stream at rest remain", n)
	}
	err := b.db.View(func(tx catalog.Tx) error {
		some, err := hours.Any(tx, nil)
		if some {
			t.Error("hours without points remain")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The example of docs/format-metrics.md.
func TestFormat(t *testing.T) {
	p := &point{
		requests: requests{put: 2, putMicros: 3100, get: 1, getMicros: 400, getThrottled: 1},
		parts:    []volume{{putBytes: 1000, putRecords: 10}, {}, {}, {getBytes: 300, getRecords: 3}},
	}
	const want = "01 02 9c18 00 01 9003 01 00 e807 0a 00 00 02 00 00 ac02 03"
	if got := hex.EncodeToString(p.encode()); got != strings.ReplaceAll(want, " ", "") {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzParsePoint(f *testing.F) {
	full := &point{requests: requests{put: 1 << 40, getMicros: 7}, parts: []volume{{}, {1, 2, 3, 4}, {}, {putBytes: math.MaxInt64}}}
	f.Add(full.encode())
	f.Add(new(point).encode())
	f.Add([]byte{})
	f.Add([]byte{2, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1, 1, 1})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePoint(b)
		if err != nil {
			if !errors.Is(err, errFormat) {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := parsePoint(p.encode())
		if err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		for n := len(p.parts); n > 0 && p.parts[n-1] == (volume{}); n-- {
			p.parts = p.parts[:n-1]
		}
		if again.requests != p.requests || !slices.Equal(again.parts, p.parts) {
			t.Errorf("got %+v, want %+v", again, p)
		}
	})
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
		t.Attr("rules", test.rule)
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

func TestStep(t *testing.T) {
	b := newBench(t)
	if next := b.Step(); !next.IsZero() {
		t.Errorf("nothing has happened, next due %v", next)
	}
	b.put(0, 10)
	end := time.Unix(minuteOf(b.at)+60, 0)
	if next := b.Step(); !next.Equal(end) {
		t.Errorf("next due %v, want %v", next, end)
	}
	b.at = end
	if next := b.Step(); !next.IsZero() {
		t.Errorf("the minute is saved, next due %v", next)
	}
	b.restart() // as after a kill
	if got := b.series(-1, "total_put_bytes_per_stream"); got != "0:10 " {
		t.Errorf("saved: %q", got)
	}
}
