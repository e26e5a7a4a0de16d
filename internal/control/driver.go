// Package control is what an emulator offers to a test beside the API: it drives
// the clock, makes calls fail, watches what happens, and resets, keeps and restores
// the state. The contract is docs/contract/controls.md, whose rules are CTL-1 and on.
package control

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"disd/internal/clock"
)

// A Loop is a part of a server that does things by itself when they are due.
type Loop struct {
	// Step does what is due now and returns when something is next due by the
	// clock, zero when nothing is. Two calls never overlap.
	Step func(ctx context.Context) (next time.Time)

	// Due lists what will be done, and may name something that is due already.
	Due func(ctx context.Context) []clock.Due

	// Settle waits until what Step began has ended, and returns an error when ctx
	// ends before that. It is nil where Step waits itself. As long as there is
	// something to wait for, Step returns a time that has come.
	Settle func(ctx context.Context) error

	// Poll is the longest real time between two steps. It bounds how late a
	// loop learns of what no clock announces.
	Poll time.Duration

	// Pace is the shortest time by the clock between two steps, but where a
	// test wants everything done that is due.
	Pace time.Duration

	// Wake asks for a step, nil for never.
	Wake <-chan struct{}

	next time.Time // while the clock is advanced: when it is due
}

// retry is when a loop is stepped again that could not do what is due.
const retry = time.Second

// A Driver owns the loops of a server. By the wall clock each of them runs for
// itself; while the clock is advanced, the driver steps them in order.
type Driver struct {
	clock *clock.Clock
	loops []*Loop

	// advancing is held while the clock is advanced, and shared by loops that
	// step by themselves.
	advancing sync.RWMutex
}

// NewDriver returns a driver of loops, in the order in which they come when they
// are due at the same time (CTL-33).
func NewDriver(c *clock.Clock, loops ...*Loop) *Driver { return &Driver{clock: c, loops: loops} }

// Run steps every loop when it is due until ctx ends, and returns when none of them
// is at work.
func (d *Driver) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, l := range d.loops {
		all.Go(func() { d.run(ctx, l) })
	}
	all.Wait()
}

func (d *Driver) run(ctx context.Context, l *Loop) {
	poll := time.NewTimer(l.Poll)
	defer poll.Stop()
	for ctx.Err() == nil {
		d.advancing.RLock()
		due := d.stepped(l, l.Step(ctx))
		d.advancing.RUnlock()
		poll.Reset(l.Poll)
		d.wait(ctx, l, due, poll.C)
	}
}

// wait returns when a loop is to be stepped.
func (d *Driver) wait(ctx context.Context, l *Loop, due time.Time, poll <-chan time.Time) {
	var reached <-chan struct{}
	if !due.IsZero() {
		timer := d.clock.NewTimer(due)
		defer timer.Stop()
		reached = timer.C
	}
	select {
	case <-reached:
	case <-poll:
	case <-l.Wake:
	case <-ctx.Done():
	}
}

// stepped returns when a loop is to be stepped again that wants it at next.
func (d *Driver) stepped(l *Loop, next time.Time) time.Time {
	now := d.clock.Now()
	switch least := now.Add(l.Pace); {
	case next.IsZero():
		return next
	case !next.After(now): // it could not do what is due
		return now.Add(max(l.Pace, retry))
	case next.Before(least):
		return least
	}
	return next
}

// Due returns the next things that the server will do by itself, the earliest
// first, at most n of them.
func (d *Driver) Due(ctx context.Context, n int) []clock.Due {
	var all []clock.Due
	for _, l := range d.loops {
		all = append(all, l.Due(ctx)...)
	}
	slices.SortStableFunc(all, func(a, b clock.Due) int { return cmp.Compare(a.At.UnixNano(), b.At.UnixNano()) })
	return all[:min(n, len(all))]
}

// ErrUnsettled is returned when something that is due does not end in time. It
// comes as an UnsettledError.
var ErrUnsettled = errors.New("what was due did not end in time")

// An UnsettledError says what has not ended.
type UnsettledError struct{ Pending []clock.Due }

func (e *UnsettledError) Error() string { return ErrUnsettled.Error() }

// Unwrap returns ErrUnsettled.
func (e *UnsettledError) Unwrap() error { return ErrUnsettled }

// Advance moves the clock from one thing that is due to the next, and lets each be
// done while the clock shows the time at which it is due (CTL-32). It returns when
// nothing is left that is due up to the time to, which the clock then shows, and how
// many things of each kind were done. When ctx ends before that, it returns an
// UnsettledError, and the clock shows how far it came.
func (d *Driver) Advance(ctx context.Context, to time.Time) (ran map[string]int, err error) {
	d.advancing.Lock()
	defer d.advancing.Unlock()
	before := d.clock.Read()
	ran = make(map[string]int)
	now := before.Now
	defer func() { d.clock.Set(now, before.Speed) }()
	for first := true; ; first = false {
		d.clock.Set(now, 0)
		last := !now.Before(to)
		next, err := d.settle(ctx, now, first || last, ran)
		if err != nil || last {
			return ran, err
		}
		if now = clock.Earlier(next, to); now.After(to) {
			now = to
		}
	}
}

// Jump sets the clock and returns at once. What fell due follows by itself, in order.
func (d *Driver) Jump(ctx context.Context, to time.Time, speed float64) {
	d.advancing.Lock()
	d.clock.Set(to, speed)
	go func() {
		defer d.advancing.Unlock()
		for _, l := range d.loops {
			_ = d.step(ctx, l, to) // an error is that of ctx
		}
	}()
}

// settle steps the loops until nothing is due now, and returns when something is next
// due. In between, a loop is stepped no more often than its pace; with all, none is
// left out.
func (d *Driver) settle(ctx context.Context, now time.Time, all bool, ran map[string]int) (next time.Time, err error) {
	for pass := range 2 { // what one loop did may concern one before it
		due := d.pending(ctx, now)
		if pass > 0 && len(due) == 0 {
			break
		}
		next = time.Time{}
		for _, l := range d.loops {
			if all || l.Pace == 0 || !l.next.IsZero() && !l.next.After(now) {
				if err := d.step(ctx, l, now); err != nil {
					return next, &UnsettledError{d.pending(ctx, now)}
				}
			}
			next = clock.Earlier(next, l.next)
		}
		left := len(d.pending(ctx, now))
		for _, x := range due[:max(0, len(due)-left)] {
			ran[x.What]++
		}
	}
	return next, nil
}

// step steps a loop until what is due is done, or cannot be.
func (d *Driver) step(ctx context.Context, l *Loop, now time.Time) error {
	at := l.Step(ctx)
	for l.Settle != nil && !at.IsZero() && !at.After(now) {
		if err := l.Settle(ctx); err != nil {
			return err
		}
		at = l.Step(ctx)
	}
	l.next = d.stepped(l, at)
	return ctx.Err()
}

// pending returns what is due.
func (d *Driver) pending(ctx context.Context, now time.Time) (due []clock.Due) {
	for _, l := range d.loops {
		for _, x := range l.Due(ctx) {
			if !x.At.After(now) {
				due = append(due, x)
			}
		}
	}
	return due
}
