package quota

import (
	"math"
	"strings"
	"sync"
	"time"
)

// A Rate limits calls a second for each project, by a token bucket that holds one
// second's worth. Its methods may be called at any time.
type Rate struct {
	now   func() time.Time
	limit float64

	mu       sync.Mutex
	buckets  map[string]bucket // of projects; one that is full need not be there
	sweeping int               // number of buckets at which the full ones are dropped
}

type bucket struct {
	level float64
	last  time.Time
}

// NewRate returns a limit of n calls a second; now is its clock.
func NewRate(n int, now func() time.Time) *Rate {
	return &Rate{now: now, limit: float64(n), buckets: make(map[string]bucket), sweeping: minSweep}
}

const minSweep = 1000

// Exceeded takes one call of a project off its allowance, and reports whether
// there was none left.
func (r *Rate) Exceeded(project string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	level := r.level(r.buckets[project], now)
	if level < 1 {
		return true
	}
	if len(r.buckets) >= r.sweeping {
		r.sweep(now)
	}
	r.buckets[strings.Clone(project)] = bucket{level - 1, now}
	return false
}

// level is what a bucket holds by now; a clock that was set back adds nothing.
func (r *Rate) level(b bucket, now time.Time) float64 {
	if b.last.IsZero() {
		return r.limit
	}
	return math.Min(b.level+math.Max(now.Sub(b.last).Seconds(), 0)*r.limit, r.limit)
}

// sweep drops full buckets: what remains are the projects that called within the
// last second.
func (r *Rate) sweep(now time.Time) {
	for project, b := range r.buckets {
		if r.level(b, now) >= r.limit {
			delete(r.buckets, project)
		}
	}
	r.sweeping = max(minSweep, 2*len(r.buckets))
}
