// Package quota keeps account of what the cloud would have refused, and limits
// how often a project may call.
package quota

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of a Ledger. Projects and names are what clients sent, so there may be
// any number of them, of any length.
const (
	maxPlaces = 1000
	maxText   = 256 // bytes of project and name together
)

// A Place is where a quota was exceeded. One without a project stands for all
// that a Ledger has no room for.
type Place struct {
	Quota   Kind
	Project string
	Name    string // of the stream; of the app, for members; "" for apps and calls
}

// An Excess says how often a quota was exceeded since the start of the server.
type Excess struct {
	Place
	Count       int64
	First, Last time.Time
}

// A Ledger counts. Its methods may be called at any time.
type Ledger struct {
	now func() time.Time

	mu     sync.Mutex
	excess map[Place]*Excess
	totals map[Kind]int64
}

// New returns an empty ledger; now is its clock.
func New(now func() time.Time) *Ledger {
	return &Ledger{now: now, excess: make(map[Place]*Excess), totals: make(map[Kind]int64)}
}

// Note counts that a quota was exceeded, and where.
func (l *Ledger) Note(quota Kind, project, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	x := l.at(Place{quota, project, name}, now)
	x.Count, x.Last = x.Count+1, now
	l.totals[quota]++
}

func (l *Ledger) at(p Place, now time.Time) *Excess {
	x := l.excess[p]
	if x == nil && (len(l.excess) >= maxPlaces || len(p.Project)+len(p.Name) > maxText) {
		p = Place{Quota: p.Quota}
		x = l.excess[p]
	}
	if x == nil { // what was sent is part of a larger text
		p.Project, p.Name = strings.Clone(p.Project), strings.Clone(p.Name)
		x = &Excess{Place: p, First: now}
		l.excess[p] = x
	}
	return x
}

// List returns the quotas that were exceeded, ordered by quota, project and name.
func (l *Ledger) List() []Excess {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]Excess, 0, len(l.excess))
	for _, x := range l.excess {
		list = append(list, *x)
	}
	slices.SortFunc(list, func(a, b Excess) int {
		return cmp.Or(cmp.Compare(a.Quota, b.Quota), cmp.Compare(a.Project, b.Project), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// Totals returns how often each quota was exceeded, wherever.
func (l *Ledger) Totals() map[Kind]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.totals)
}
