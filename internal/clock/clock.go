// Package clock is the time of a server: the wall clock, or one that a test
// moves. What a server dates or lets fall due goes by it; how long something took
// is real time, which a Stopwatch tells.
package clock

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A Clock tells the time. Its zero value is the wall clock. All methods may be
// called at any time.
type Clock struct {
	course atomic.Pointer[course] // nil for the wall clock

	mu      sync.Mutex
	changed chan struct{} // closed at the next change; nil until somebody asks
	timers  map[*Timer]struct{}
}

// A course is how a clock that is not the wall clock moves: since the real time
// began it has gone on from base, speed times as fast.
type course struct {
	base, began time.Time
	speed       float64 // 0 stands still
}

func (c *course) at(real time.Time) time.Time {
	if c.speed == 0 {
		return c.base
	}
	return c.base.Add(time.Duration(float64(real.Sub(c.began)) * c.speed))
}

// New returns the wall clock, which can be moved.
func New() *Clock { return new(Clock) }

// At returns a clock that stands still at a time.
func At(t time.Time) *Clock {
	c := New()
	c.Set(t, 0)
	return c
}

// Now returns the time.
func (c *Clock) Now() time.Time {
	if course := c.course.Load(); course != nil {
		return course.at(time.Now())
	}
	return time.Now()
}

// A Reading is what a clock shows, and how it moves.
type Reading struct {
	Now   time.Time
	Wall  time.Time // at the same moment
	Speed float64   // seconds in a real second; 0 for a clock that stands still
	Moved bool      // it is not the wall clock
}

// Read returns what the clock shows.
func (c *Clock) Read() Reading {
	wall := time.Now()
	course := c.course.Load()
	if course == nil {
		return Reading{Now: wall, Wall: wall, Speed: 1}
	}
	return Reading{Now: course.at(wall), Wall: wall, Speed: course.speed, Moved: true}
}

// Set lets the clock go on from a time, speed times as fast as the wall clock; with
// speed 0 it stands still. It may go back: those who do not want that ask first.
func (c *Clock) Set(to time.Time, speed float64) {
	c.change(&course{base: to.Round(0), began: time.Now(), speed: speed})
}

// Move sets the clock on by d, or back, and leaves it the speed it has.
func (c *Clock) Move(d time.Duration) {
	r := c.Read()
	c.Set(r.Now.Add(d), r.Speed)
}

// Reset makes it the wall clock again.
func (c *Clock) Reset() { c.change(nil) }

func (c *Clock) change(to *course) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.course.Store(to)
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
	for t := range c.timers {
		t.armLocked()
	}
}

// Changed returns a channel that is closed when the clock is set or reset next.
func (c *Clock) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// forever is longer than any server runs.
const forever = time.Duration(math.MaxInt64)

// until returns in how much real time the clock shows t, forever when it stands
// still before it.
func (c *Clock) until(t time.Time) time.Duration {
	course := c.course.Load()
	if course == nil {
		return time.Until(t)
	}
	left := t.Sub(course.at(time.Now()))
	switch {
	case left <= 0:
		return 0
	case course.speed == 0 || float64(left)/course.speed >= float64(forever):
		return forever
	}
	return time.Duration(math.Ceil(float64(left) / course.speed))
}

// A Timer fires once, when its clock shows a time or a later one, however it came
// there.
type Timer struct {
	C <-chan struct{} // closed when the timer fires

	clock *Clock
	at    time.Time
	fired chan struct{}
	real  *time.Timer // guarded by the clock's mu; nil when the timer has fired or stopped
}

// NewTimer returns a timer for a time. It must be stopped.
func (c *Clock) NewTimer(at time.Time) *Timer {
	fired := make(chan struct{})
	t := &Timer{C: fired, clock: c, at: at, fired: fired}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timers == nil {
		c.timers = make(map[*Timer]struct{})
	}
	c.timers[t] = struct{}{}
	t.real = time.AfterFunc(forever, t.ring)
	t.armLocked()
	return t
}

func (t *Timer) armLocked() { t.real.Reset(t.clock.until(t.at)) }

// ring fires the timer, unless the clock was moved away meanwhile.
func (t *Timer) ring() {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	if _, armed := t.clock.timers[t]; !armed {
		return
	}
	if t.clock.until(t.at) > 0 {
		t.armLocked()
		return
	}
	delete(t.clock.timers, t)
	close(t.fired)
}

// Stop releases the timer, which does not fire any more.
func (t *Timer) Stop() {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	delete(t.clock.timers, t)
	t.real.Stop()
}

// Sleep returns when the clock or the wall clock has moved by d, whichever does
// first: a clock that stands still holds nobody up (CTL-40). It returns the
// context's error when that ends before.
func (c *Clock) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	moved, passed := c.NewTimer(c.Now().Add(d)), time.NewTimer(d)
	defer moved.Stop()
	defer passed.Stop()
	select {
	case <-moved.C:
		return nil
	case <-passed.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A Stopwatch tells how much real time has passed since it was started, whatever
// the clock of the server does.
type Stopwatch struct{ began time.Time }

// Start starts a stopwatch.
func Start() Stopwatch { return Stopwatch{time.Now()} }

// Elapsed returns the real time since the start.
func (s Stopwatch) Elapsed() time.Duration { return time.Since(s.began) }

// Wall returns the time of the wall clock, for the few things that go by it
// whatever the clock of the server shows.
func Wall() time.Time { return time.Now() }

// Due is something that a server will do by itself.
type Due struct {
	At            time.Time
	What          string // a word of CTL-30: retention, delivery, session …
	Project, Name string // of what it concerns, "" where there is no one thing
}

// Earlier returns the earlier of two times, of which zero means never.
func Earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
