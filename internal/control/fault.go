package control

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"disd/internal/clock"
)

// A Target is what a request is about. What it does not name is "".
type Target struct {
	Number       int // of the operation in the index of the API; 0 for none of it
	Method, Path string

	Project, Stream, StreamID, App, Client, Task string

	Partitions []int32 // of an upload, that of each record
}

// States of a fault (CTL-14).
const (
	armed   = "armed"
	spent   = "spent"
	waiting = "waiting"
)

// A fault is a rule with what became of it. It is guarded by the mu of its faults.
type fault struct {
	id      int
	rule    *rule
	added   time.Time // by the server's clock
	matched int64
	fired   int64
	hits    []hit
	removed chan struct{} // closed when the rule is removed
}

// A hit is a request that a rule fired at.
type hit struct {
	RequestID string `json:"request_id"`
	N         int64  `json:"n"`
	At        string `json:"at"`
}

// maxHits is how many hits of a rule are remembered, and maxRules how many rules there
// may be (CTL-6).
const (
	maxHits  = 100
	maxRules = 1000
)

// Faults are the rules of an emulator.
type Faults struct {
	clock   *clock.Clock
	changed func() // is told of every count

	mu   sync.Mutex
	last int
	all  map[int]*fault
}

func newFaults(c *clock.Clock, changed func()) *Faults {
	return &Faults{clock: c, changed: changed, all: make(map[int]*fault)}
}

// A verdict is what is to happen to a request. Its zero value is nothing.
type verdict struct {
	fault   *fault // that decides, nil for none
	m       int64  // which match of it
	latency time.Duration
	slowed  []*fault
}

// look holds a target against the rules, in their order (CTL-18).
func (f *Faults) look(t *Target, h hit) (v verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.all) == 0 {
		return v
	}
	now := f.clock.Now()
	for _, x := range f.sortedLocked() {
		if x.spent(now) || !x.rule.matches(t) {
			continue
		}
		x.matched++
		if !x.rule.chosen(x.matched) {
			continue
		}
		x.fired++
		h.At = showTime(now)
		x.hits = append(x.hits, h)
		x.hits = x.hits[max(0, len(x.hits)-maxHits):]
		if x.rule.Observe {
			continue
		}
		if l := x.rule.Latency; l != nil {
			v.latency += l.From.d + time.Duration(float64(l.To.d-l.From.d)*share(x.seed(), x.matched))
			v.slowed = append(v.slowed, x)
		}
		if !x.rule.onlySlows() {
			v.fault, v.m = x, x.matched
			break
		}
	}
	v.latency = min(v.latency, maxLatency)
	f.changed()
	return v
}

func (x *fault) seed() int64 {
	if x.rule.Seed != nil {
		return *x.rule.Seed
	}
	return 0
}

func (x *fault) spent(now time.Time) bool {
	r := x.rule
	return r.Count != nil && x.fired >= *r.Count || r.For != nil && !now.Before(x.added.Add(r.For.d))
}

// onlySlows reports whether a rule lets the next one look too.
func (r *rule) onlySlows() bool {
	return r.Latency != nil && r.Error == nil && r.Abort == "" && r.Records == nil && r.Hide == nil && r.Body == nil
}

func (f *Faults) sortedLocked() []*fault {
	return slices.SortedFunc(maps.Values(f.all), func(a, b *fault) int { return cmp.Compare(a.id, b.id) })
}

func (x *fault) name() string { return "f" + strconv.Itoa(x.id) }

type faultReply struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Matched int64  `json:"matched"`
	Fired   int64  `json:"fired"`
	Rule    *rule  `json:"rule"`
	Hits    []hit  `json:"hits,omitempty"`
}

// add adds rules, all or none (CTL-12).
func (f *Faults) add(rules []*rule) ([]*fault, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.all)+len(rules) > maxRules {
		return nil, tooLarge("there are %d rules, and at most %d", len(f.all), maxRules)
	}
	var added []*fault
	for _, r := range rules {
		f.last++
		x := &fault{id: f.last, rule: r, added: f.clock.Now(), removed: make(chan struct{})}
		f.all[x.id] = x
		added = append(added, x)
	}
	return added, nil
}

func (f *Faults) find(name string) (*fault, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.all {
		if x.name() == name {
			return x, nil
		}
	}
	return nil, notFound("no fault %s", name)
}

// remove removes the faults that which chooses, and lets what they hold go on.
func (f *Faults) remove(which func(*fault) bool) (gone []*fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.sortedLocked() {
		if which(x) {
			delete(f.all, x.id)
			close(x.removed)
			gone = append(gone, x)
		}
	}
	f.changed()
	return gone
}

func (f *Faults) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.all)
}

// forget removes all faults, and their ids may be given again: a full reset.
func (f *Faults) forget() {
	f.remove(func(*fault) bool { return true })
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = 0
}

// show describes a fault. Exists tells whether what its rule names exists.
func (f *Faults) show(x *fault, exists func(*rule) bool, hits bool) faultReply {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := faultReply{ID: x.name(), State: armed, Matched: x.matched, Fired: x.fired, Rule: x.rule}
	if hits {
		r.Hits = slices.Clone(x.hits)
	}
	switch {
	case x.spent(f.clock.Now()):
		r.State = spent
	case x.matched == 0 && !exists(x.rule):
		r.State = waiting
	}
	return r
}

// hold waits for as long as a verdict slows a request down, or hangs. It ends when
// the rule is removed or ctx ends.
func hold(ctx context.Context, d time.Duration, by ...*fault) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	var removed <-chan struct{}
	if len(by) > 0 {
		removed = by[0].removed
	}
	select {
	case <-timer.C:
	case <-removed:
	case <-ctx.Done():
	}
}

// The calls.

// decodeRules reads one rule or {"faults":[…]}.
func decodeRules(n node) ([]*rule, error) {
	var list []*rule
	if _, ok := n.member("faults"); ok {
		var in struct {
			Faults []*rule `json:"faults"`
		}
		if err := decode(n, &in); err != nil {
			return nil, err
		}
		list = in.Faults
		for i, r := range list {
			if err := r.check(index("faults", i)); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	r := new(rule)
	if err := decode(n, r); err != nil {
		return nil, err
	}
	return []*rule{r}, r.check("")
}

func (c *Control) addFaults(r *request) (int, any, error) {
	n, err := r.document()
	if err != nil {
		return 0, nil, err
	}
	rules, err := decodeRules(n)
	if err != nil {
		return 0, nil, err
	}
	added, err := c.faults.add(rules)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, c.showFaults(added), nil
}

func (c *Control) showFaults(list []*fault) map[string]any {
	replies := make([]faultReply, 0, len(list))
	for _, x := range list {
		replies = append(replies, c.faults.show(x, c.exists, false))
	}
	return map[string]any{"faults": replies}
}

func (c *Control) listFaults(*request) (int, any, error) {
	c.faults.mu.Lock()
	list := c.faults.sortedLocked()
	c.faults.mu.Unlock()
	return http.StatusOK, c.showFaults(list), nil
}

func (c *Control) getFault(r *request) (int, any, error) {
	x, err := c.faults.find(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, c.faults.show(x, c.exists, true), nil
}

func (c *Control) removeFault(r *request) (int, any, error) {
	x, err := c.faults.find(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	c.faults.remove(func(other *fault) bool { return other == x })
	return http.StatusOK, c.faults.show(x, c.exists, true), nil
}

func (c *Control) removeFaults(r *request) (int, any, error) {
	project, some := r.query.Get("project"), r.query.Has("project")
	gone := c.faults.remove(func(x *fault) bool { return !some || slices.Contains(x.rule.Project, project) })
	return http.StatusOK, c.showFaults(gone), nil
}

// waitFault answers when a rule has fired, or matched, so often (CTL-15).
func (c *Control) waitFault(r *request) (int, any, error) {
	x, err := c.faults.find(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	fired, err := r.number("fired", -1, 1, 1<<53)
	if err != nil {
		return 0, nil, err
	}
	matched, err := r.number("matched", -1, 1, 1<<53)
	if err != nil {
		return 0, nil, err
	}
	if (fired < 0) == (matched < 0) {
		return 0, nil, invalid("", "needs either fired or matched")
	}
	timeout, err := r.timeout(defaultWait)
	if err != nil {
		return 0, nil, err
	}
	reached := func() (bool, error) {
		if _, err := c.faults.find(x.name()); err != nil {
			return false, err
		}
		now := c.faults.show(x, c.exists, false)
		return fired > 0 && now.Fired >= fired || matched > 0 && now.Matched >= matched, nil
	}
	if err := c.await(r.Context(), timeout, reached); err != nil {
		if isTimeout(err) {
			err = &Error{
				Status: http.StatusConflict, Code: "CTL.NotReached", Message: "the fault did not get so far in " + timeout.String(),
				More: map[string]any{"seen": c.faults.show(x, c.exists, false)},
			}
		}
		return 0, nil, err
	}
	return http.StatusOK, c.faults.show(x, c.exists, true), nil
}
