package partition

import (
	"slices"
	"testing"
	"time"

	"disd/internal/clock"
	"disd/internal/quota"
)

// TestDue is the promise of StepRetention: at each time that it names something
// happens, and nothing before.
func TestDue(t *testing.T) {
	b := newBench(t, quota.Off, Quotas{})
	st := b.create("s", 2)
	start := b.clock.Now()
	at := func(d time.Duration) time.Time { return start.Add(d) }
	steps := func(when string, want time.Time) {
		t.Helper()
		if got := b.StepRetention(t.Context()); !got.Equal(want) {
			t.Errorf("%s: next due %v, want %v", when, got, want)
		}
	}
	steps("without records", time.Time{})
	b.put(st, to(0, "a"))
	b.clock.Move(time.Hour)
	b.put(st, to(0, "b"), to(1, "c"))
	if _, err := b.Scale(t.Context(), st, 1, false); err != nil {
		t.Fatal(err)
	}
	steps("with records", at(24*time.Hour+time.Millisecond))
	want := []clock.Due{
		{At: at(24*time.Hour + time.Millisecond), What: "retention", Project: "p", Name: "s"},
		{At: at(25 * time.Hour), What: "partition-expiry", Project: "p", Name: "s"},
	}
	if got := b.RetentionDue(t.Context()); !slices.EqualFunc(got, want, func(a, b clock.Due) bool {
		return a.At.Equal(b.At) && a.What == b.What && a.Project == b.Project && a.Name == b.Name
	}) {
		t.Errorf("due: %v, want %v", got, want)
	}
	b.clock.Move(23 * time.Hour)
	steps("before it is due", at(24*time.Hour+time.Millisecond))
	if got := b.read(st, 0); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("before it is due: %q", got)
	}
	b.clock.Move(time.Millisecond)
	steps("when the first record is due", at(25*time.Hour))
	if got := b.read(st, 0); !slices.Equal(got, []string{"b"}) {
		t.Errorf("when the first record is due: %q", got)
	}
	b.clock.Move(time.Hour - time.Millisecond)
	steps("when the partition is due", at(25*time.Hour+time.Millisecond))
	if state := b.info(st).Parts[1].State; state != Expired {
		t.Errorf("a partition that is due is %s", state)
	}
	b.clock.Move(time.Millisecond)
	steps("at the end", time.Time{})
}
