package transfer

import (
	"context"
	"strings"
	"sync/atomic"
	"time"
)

// Workers are shared by all tasks, and a destination that does not answer holds
// whichever it gets. So that the others go on, one destination gets all workers
// but one, and once it is stuck, none of these: batches for destinations that are
// stuck have as many workers of their own, one for each destination.

// A lane is the way to the workers for the batches of one destination. Its slots
// are tokens.
type lane struct {
	users int           // batches in it; guarded by the Tasks' mu
	slots chan struct{} // of shared workers
	alone chan struct{} // the one of a destination that is stuck
	stuck atomic.Bool   // the last batch failed, and took long to
}

// stuckAfter is how long an attempt must take so that its failure makes a
// destination count as stuck. One that fails at once holds nobody up.
const stuckAfter = 5 * time.Second

// place names the destination of a task.
func (m meaning) place() string {
	return strings.Join(append([]string{string(m.kind.Type), m.kind.Variant}, m.settings.Place()...), "\x00")
}

// join enters the lane of a destination. Whoever joined must quit.
func (t *Tasks) join(place string) *lane {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lanes[place]
	if l == nil {
		l = &lane{slots: make(chan struct{}, max(1, t.opts.Workers-1)), alone: make(chan struct{}, 1)}
		t.lanes[place] = l
	}
	l.users++
	return l
}

// quit leaves a lane. It is forgotten when nobody is in it and it is not stuck.
func (t *Tasks) quit(place string, l *lane) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.users--; l.users == 0 && !l.stuck.Load() {
		delete(t.lanes, place)
	}
}

// work makes one attempt as soon as a worker is free, unless ctx ends before that.
func (t *Tasks) work(ctx context.Context, l *lane, attempt func() error) {
	for done := false; !done; {
		stuck := l.stuck.Load()
		slots, workers := l.slots, t.workers
		if stuck {
			slots, workers = l.alone, t.spare
		}
		if !take(ctx, slots) {
			return
		}
		if !take(ctx, workers) {
			<-slots
			return
		}
		if done = l.stuck.Load() == stuck; done { // else it is the wrong worker by now
			begun := t.opts.Real()
			err := attempt()
			l.stuck.Store(err != nil && t.opts.Real().Sub(begun) >= stuckAfter)
		}
		<-workers
		<-slots
	}
}

// take takes a token, or returns false when ctx ends first.
func take(ctx context.Context, tokens chan struct{}) bool {
	select {
	case tokens <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}
