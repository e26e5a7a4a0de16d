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
	for i := range 3 * maxPlaces {
		now = now.Add(time.Second)
		l.Note("throughput", "p", fmt.Sprint("s", i))
	}
	l.Note("throughput", "p", "s0")
	l.Note("apps", strings.Repeat("p", maxText+1), "")
	list := l.List()
	if len(list) != maxPlaces+2 { // the first ones, and the rest of each quota
		t.Fatalf("%d places", len(list))
	}
	if x := list[0]; x.Place != (Place{Quota: "apps"}) || x.Count != 1 {
		t.Errorf("of a long name: %+v", x)
	}
	if x := list[1]; x.Place != (Place{Quota: "throughput"}) || x.Count != 2*maxPlaces || x.Last != now || now.Sub(x.First) != (2*maxPlaces-1)*time.Second {
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
