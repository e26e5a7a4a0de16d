package quota

import (
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A Rate limits calls a second for each project, by a token bucket that holds one
// second's worth. Its methods may be called at any time.
type Rate struct {
	now   func() time.Time
	limit int

	mu       sync.Mutex
	buckets  map[string]*rate.Limiter // of projects; one that is full need not be there
	sweeping int                      // number of buckets at which the full ones are dropped
}

// NewRate returns a limit of n calls a second; now is its clock.
func NewRate(n int, now func() time.Time) *Rate {
	return &Rate{now: now, limit: n, buckets: make(map[string]*rate.Limiter), sweeping: minSweep}
}

const minSweep = 1000

// Exceeded takes one call of a project off its allowance, and reports whether
// there was none left.
func (r *Rate) Exceeded(project string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	b := r.buckets[project]
	if b == nil {
		if len(r.buckets) >= r.sweeping {
			r.sweep(now)
		}
		b = rate.NewLimiter(rate.Limit(r.limit), r.limit)
		r.buckets[strings.Clone(project)] = b
	}
	return !b.AllowN(now, 1)
}

// sweep drops full buckets: what remains are the projects that called within the
// last second.
func (r *Rate) sweep(now time.Time) {
	for project, b := range r.buckets {
		if b.TokensAt(now) >= float64(r.limit) {
			delete(r.buckets, project)
		}
	}
	r.sweeping = max(minSweep, 2*len(r.buckets))
}
