package partition

import (
	"testing"
	"time"

	"disd/internal/quota"
)

// TestAutoScale is L-16 to L-20, step by step under the test's clock. Write and read
// bandwidth of a partition are 100 and 200 bytes a second.
func TestAutoScale(t *testing.T) {
	b := newBench(t, quota.Enforce, Quotas{CommonPartitions: 12, Common: Throughput{WriteBytes: 100, WriteRecords: 100, ReadBytes: 200}})
	var minute, ten Load
	b.opts.Traffic = func(_ string, minutes int) (Load, bool) {
		if minutes == 1 {
			return minute, true
		}
		return ten, true
	}
	if _, err := b.Create(t.Context(), "p", "s", 2, Settings{Type: Common, DataType: Blob, Retention: 24, AutoScale: true, AutoMin: 2, AutoMax: 9}); err != nil {
		t.Fatal(err)
	}
	st := b.get("s")
	busy := func(share float64, active int) Load {
		return Load{Put: int64(share * 60 * 100 * float64(active)), Throttled: 1}
	}
	tenBusy := Load{Put: 1 << 30, Get: 1 << 30}
	for i, step := range []struct {
		rule        string
		wait        time.Duration
		minute, ten Load
		want        int
	}{
		{"L-17 not throttled", 0, Load{Put: 1 << 30}, tenBusy, 2},
		{"L-17 throttled, but quiet", 0, busy(0.8, 2), tenBusy, 2},
		{"L-17 up, ceil(2/0.6)", 0, busy(0.81, 2), tenBusy, 4},
		{"L-18 less than a minute", 59 * time.Second, busy(1, 4), tenBusy, 4},
		{"L-17 up, ceil(4/0.6)", time.Second, busy(1, 4), tenBusy, 7},
		{"L-16 clamped to the maximum", time.Minute, busy(1, 7), tenBusy, 9},
		{"L-16 not beyond", time.Minute, busy(1, 9), tenBusy, 9},
		{"L-18 no down within two minutes of up", 59 * time.Second, Load{}, Load{}, 9},
		{"L-17 down only if both are idle", 10 * time.Minute, Load{}, Load{Get: 9 * 200 * 600 / 3}, 9},
		{"L-17 down, floor(9/2)", 0, Load{}, Load{}, 4},
		{"L-18 one down an hour", 59 * time.Minute, Load{}, Load{}, 4},
		{"L-16 clamped to the minimum", time.Minute, Load{}, Load{}, 2},
		{"L-16 not below", 2 * time.Hour, Load{}, Load{}, 2},
	} {
		b.clock.Move(step.wait)
		minute, ten = step.minute, step.ten
		if err := b.AutoScale(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := b.info(st).Count(Active); got != step.want {
			t.Fatalf("step %d, %s: %d partitions, want %d", i, step.rule, got, step.want)
		}
	}
	for _, sc := range b.info(st).Scalings {
		if !sc.Auto {
			t.Errorf("L-19: %+v", sc)
		}
	}
}

// TestAutoScaleClamps is L-18: the target keeps to both bounds, and to the quota.
func TestAutoScaleClamps(t *testing.T) {
	for _, test := range []struct {
		name           string
		from, low, top int
		up             bool
		quota, want    int
	}{
		{"up to the minimum", 1, 4, 9, true, 50, 4},
		{"down to the maximum", 20, 2, 8, false, 50, 8},
		{"up to the quota", 3, 1, 9, true, 4, 4},
		{"no room at all", 3, 1, 9, true, 3, 3},
	} {
		b := newBench(t, quota.Enforce, Quotas{CommonPartitions: test.quota})
		b.opts.Traffic = func(string, int) (Load, bool) {
			if test.up {
				return Load{Put: 1 << 40, Throttled: 1}, true
			}
			return Load{}, true
		}
		set := Settings{Type: Common, DataType: Blob, Retention: 24, AutoScale: true, AutoMin: test.low, AutoMax: test.top}
		if _, err := b.Create(t.Context(), "p", "s", test.from, set); err != nil {
			t.Fatal(err)
		}
		b.clock.Move(time.Hour)
		if err := b.AutoScale(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := b.info(b.get("s")); got.Count(Active) != test.want || len(got.Scalings) > 1 {
			t.Errorf("%s: %d partitions, want %d; history %v", test.name, got.Count(Active), test.want, got.Scalings)
		}
	}
}

// TestAutoScaleWithoutThrottling: in the modes that refuse nothing, a stream grows
// with traffic that the cloud would have refused.
func TestAutoScaleWithoutThrottling(t *testing.T) {
	t.Attr("rules", "L-17")
	for _, mode := range []quota.Mode{quota.Off, quota.Warn} {
		b := newBench(t, mode, Quotas{Common: Throughput{WriteBytes: 100}})
		var load Load
		b.opts.Traffic = func(string, int) (Load, bool) { return load, true }
		if _, err := b.Create(t.Context(), "p", "s", 2, Settings{Type: Common, DataType: Blob, Retention: 24, AutoScale: true, AutoMin: 1, AutoMax: 9}); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct{ put, want int }{{2 * 60 * 100, 2}, {2*60*100 + 1, 4}} {
			load = Load{Put: int64(step.put), Get: 1 << 30}
			if err := b.AutoScale(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := b.info(b.get("s")).Count(Active); got != step.want {
				t.Errorf("%s, %d bytes: %d partitions, want %d", mode, step.put, got, step.want)
			}
		}
	}
}

// TestAutoScaleOutside: a count beyond the bounds moves only when the traffic asks for
// it.
func TestAutoScaleOutside(t *testing.T) {
	t.Attr("rules", "L-20")
	for _, from := range []int{1, 12} {
		b := newBench(t, quota.Enforce, Quotas{})
		ordinary, known := Load{Put: 20 << 30, Get: 1}, true // idle in one way only
		b.opts.Traffic = func(string, int) (Load, bool) { return ordinary, known }
		if _, err := b.Create(t.Context(), "p", "s", from, Settings{Type: Common, DataType: Blob, Retention: 24, AutoScale: true, AutoMin: 2, AutoMax: 9}); err != nil {
			t.Fatal(err)
		}
		b.clock.Move(time.Hour)
		for _, known = range []bool{true, false} {
			if err := b.AutoScale(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := b.info(b.get("s")).Count(Active); got != from {
				t.Errorf("%d partitions of %d", got, from)
			}
		}
	}
}

// TestAutoScalePauses is L-18: the pause after an operation in the other direction,
// also one by hand, and the number of operations in an hour.
func TestAutoScalePauses(t *testing.T) {
	t.Attr("rules", "L-18 L-16")
	b := newBench(t, quota.Enforce, Quotas{CommonPartitions: 1000, Common: Throughput{WriteBytes: 1, ReadBytes: 1}})
	busy := true
	b.opts.Traffic = func(string, int) (Load, bool) {
		if busy {
			return Load{Put: 1 << 40, Get: 1 << 40, Throttled: 1}, true
		}
		return Load{}, true
	}
	if _, err := b.Create(t.Context(), "p", "s", 2, Settings{Type: Common, DataType: Blob, Retention: 24, AutoScale: true, AutoMin: 1, AutoMax: 1000}); err != nil {
		t.Fatal(err)
	}
	st := b.get("s")
	count := func(rule string, want int) {
		t.Helper()
		if err := b.AutoScale(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := b.info(st).Count(Active); got != want {
			t.Fatalf("%s: %d partitions, want %d", rule, got, want)
		}
	}
	b.clock.Move(time.Hour)
	if _, err := b.Scale(t.Context(), st, 1, false); err != nil {
		t.Fatal(err)
	}
	b.clock.Move(2*time.Minute - time.Millisecond)
	count("within two minutes of a scale-down", 1)
	b.clock.Move(time.Millisecond)
	count("after them", 2)
	want := 2
	for range 9 {
		b.clock.Move(time.Minute)
		want = (want*10 + 5) / 6
		count("up", want)
	}
	b.clock.Move(time.Minute)
	count("an eleventh in an hour", want)
	// Neither did they count for those by hand, nor these for them.
	if _, err := b.Scale(t.Context(), st, want+1, false); err != ErrScalingRate {
		t.Errorf("by hand, within an hour of one by hand: %v", err)
	}
	b.clock.Move(48 * time.Minute) // an hour after the one by hand
	if _, err := b.Scale(t.Context(), st, want+1, false); err != nil {
		t.Errorf("by hand, after that hour: %v", err)
	}
	b.clock.Move(2 * time.Minute) // and after the first automatic one
	count("one more, though there was one by hand", ((want+1)*10+5)/6)
}
