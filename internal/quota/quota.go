// Package quota keeps account of what the cloud would have refused.
package quota

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// An Excess says how often a quota was exceeded since the start of the server.
type Excess struct {
	Quota       string // partitions, scaling, throughput, apps, tasks or members
	Count       int64
	First, Last time.Time
}

// A Ledger counts. Its methods may be called at any time.
type Ledger struct {
	now func() time.Time

	mu     sync.Mutex
	excess map[string]Excess
}

// New returns an empty ledger; now is its clock.
func New(now func() time.Time) *Ledger {
	return &Ledger{now: now, excess: make(map[string]Excess)}
}

// Note counts that a quota was exceeded.
func (l *Ledger) Note(quota string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x, met := l.excess[quota]
	now := l.now()
	if !met {
		x = Excess{Quota: quota, First: now}
	}
	x.Count, x.Last = x.Count+1, now
	l.excess[quota] = x
}

// List returns the quotas that were exceeded, by name.
func (l *Ledger) List() []Excess {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.excess), func(a, b Excess) int { return strings.Compare(a.Quota, b.Quota) })
}
