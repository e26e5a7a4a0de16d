package quota

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestLedger: what clients send must not fill the memory, and nothing goes
// uncounted for it.
func TestLedger(t *testing.T) {
	now := time.Unix(1795424828, 0)
	l := New(func() time.Time { return now })
	l.Note("apps", strings.Repeat("p", maxText+1), "") // while there is room for places
	for i := range 3 * maxPlaces {
		now = now.Add(time.Second)
		l.Note("throughput", "p", fmt.Sprint("s", i))
	}
	l.Note("throughput", "p", "s0")
	list := l.List()
	if len(list) != maxPlaces+1 { // the first ones, of which one is the rest of apps, and the rest of throughput
		t.Fatalf("%d places", len(list))
	}
	if x := list[0]; x.Place != (Place{Quota: "apps"}) || x.Count != 1 {
		t.Errorf("of a long name: %+v", x)
	}
	if x := list[1]; x.Place != (Place{Quota: "throughput"}) || x.Count != 2*maxPlaces+1 || x.Last != now || now.Sub(x.First) != 2*maxPlaces*time.Second {
		t.Errorf("the rest: %+v", x)
	}
	if x := list[2]; x.Place != (Place{"throughput", "p", "s0"}) || x.Count != 2 || x.Last != now {
		t.Errorf("the first: %+v", x)
	}
	if got := l.Totals(); got["throughput"] != 3*maxPlaces+1 || got["apps"] != 1 {
		t.Errorf("totals %v", got)
	}
}

// TestRateMemory: projects that stopped calling are forgotten.
func TestRateMemory(t *testing.T) {
	now := time.Unix(1795424828, 0)
	r := NewRate(2, func() time.Time { return now })
	for i := range 10 * minSweep {
		if i%100 == 0 {
			now = now.Add(time.Second)
		}
		if r.Exceeded(fmt.Sprint(i)) {
			t.Fatalf("call %d of a new project is refused", i)
		}
	}
	if len(r.buckets) > minSweep {
		t.Errorf("%d projects are remembered", len(r.buckets))
	}
	for i, want := range []bool{false, false, true} {
		if got := r.Exceeded("busy"); got != want {
			t.Errorf("call %d: %v", i, got)
		}
	}
	for i := range 3 * minSweep { // one that still calls is not
		r.Exceeded(fmt.Sprint("other ", i))
	}
	if !r.Exceeded("busy") {
		t.Error("a sweep gave a project new calls")
	}
}

// TestLedgerKeepsNoLongNames: a name that is too long has no place of its own even
// while there is room for more.
func TestLedgerKeepsNoLongNames(t *testing.T) {
	l := New(time.Now)
	l.Note(Apps, strings.Repeat("p", maxText), "s")
	l.Note(Apps, strings.Repeat("p", maxText-1), "s")
	list := l.List()
	if len(list) != 2 || list[0].Place != (Place{Quota: Apps}) || list[1].Name != "s" {
		t.Errorf("%+v", list)
	}
}

// TestPolicy: nil and Off look at nothing, Warn counts, Enforce refuses what it
// counts.
func TestPolicy(t *testing.T) {
	t.Attr("rules", "C-70")
	for _, tt := range []struct {
		policy       *Policy
		on, enforced bool
		refused      bool
		counted      int64
	}{
		{policy: nil},
		{policy: &Policy{}},
		{policy: &Policy{Mode: Off, Ledger: New(time.Now)}},
		{policy: &Policy{Mode: Warn}, on: true},
		{policy: &Policy{Mode: Warn, Ledger: New(time.Now)}, on: true, counted: 1},
		{policy: &Policy{Mode: Enforce}, on: true, enforced: true, refused: true},
		{policy: &Policy{Mode: Enforce, Ledger: New(time.Now)}, on: true, enforced: true, refused: true, counted: 1},
	} {
		p := tt.policy
		if p.On() != tt.on || p.Enforced() != tt.enforced || p.Exceeded(Calls, "p", "") != tt.refused {
			t.Errorf("%+v: on %v, enforced %v", p, p.On(), p.Enforced())
		}
		if p != nil && p.Ledger != nil && p.Ledger.Totals()[Calls] != tt.counted {
			t.Errorf("%+v: counted %v", p, p.Ledger.Totals())
		}
	}
}
