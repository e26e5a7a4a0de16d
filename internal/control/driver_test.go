package control_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"disd/internal/clock"
	"disd/internal/control"
)

// An agenda is what a loop has to do, at which times from the start.
type agenda struct {
	name  string
	clock *clock.Clock
	start time.Time
	done  *diary

	mu  sync.Mutex
	due []time.Duration
}

// A diary is what all loops did, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) take() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	text := strings.Join(d.lines, " ")
	d.lines = nil
	return text
}

func (a *agenda) step(context.Context) (next time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now().Sub(a.start)
	for len(a.due) > 0 && a.due[0] <= now {
		a.done.add("%s@%v", a.name, now)
		a.due = a.due[1:]
	}
	if len(a.due) == 0 {
		return time.Time{}
	}
	return a.start.Add(a.due[0])
}

func (a *agenda) list(context.Context) (due []clock.Due) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range a.due {
		due = append(due, clock.Due{At: a.start.Add(d), What: a.name})
	}
	return due
}

func (a *agenda) loop() *control.Loop {
	return &control.Loop{Step: a.step, Due: a.list, Poll: time.Second}
}

type stage struct {
	*clock.Clock
	start time.Time
	done  diary
}

func newStage() *stage {
	s := &stage{start: time.Unix(1_900_000_000, 0)}
	s.Clock = clock.At(s.start)
	return s
}

func (s *stage) agenda(name string, due ...time.Duration) *agenda {
	return &agenda{name: name, clock: s.Clock, start: s.start, done: &s.done, due: due}
}

func hours(n ...int) (d []time.Duration) {
	for _, h := range n {
		d = append(d, time.Duration(h)*time.Hour)
	}
	return d
}

func TestAdvance(t *testing.T) {
	t.Run("CTL-32", func(t *testing.T) {
		s := newStage()
		d := control.NewDriver(s.Clock, s.agenda("a", hours(0, 2, 5)...).loop(), s.agenda("b", hours(-1, 2, 4)...).loop())
		ran, err := d.Advance(t.Context(), s.start.Add(4*time.Hour))
		if got, want := s.done.take(), "a@0s b@0s a@2h0m0s b@2h0m0s b@4h0m0s"; err != nil || got != want {
			t.Errorf("did %s, %v; want %s", got, err, want)
		}
		if ran["a"] != 2 || ran["b"] != 3 {
			t.Errorf("CTL-34: ran %v", ran)
		}
		if now := s.Now().Sub(s.start); now != 4*time.Hour {
			t.Errorf("the clock shows %v", now)
		}
	})
	t.Run("pace", func(t *testing.T) {
		s := newStage()
		a := s.agenda("a")
		for i := range 100 {
			a.due = append(a.due, time.Duration(i)*time.Second)
		}
		l, steps := a.loop(), 0
		l.Pace = 30 * time.Second
		l.Step = func(ctx context.Context) time.Time { steps++; return a.step(ctx) }
		if _, err := control.NewDriver(s.Clock, l).Advance(t.Context(), s.start.Add(95*time.Second)); err != nil {
			t.Fatal(err)
		}
		if len(a.due) != 4 || steps > 6 {
			t.Errorf("%d steps, and %d things are left", steps, len(a.due))
		}
	})
	t.Run("CTL-37", func(t *testing.T) {
		s, steps := newStage(), 0
		l := s.agenda("a", hours(24)...).loop()
		step := l.Step
		l.Step = func(ctx context.Context) time.Time { steps++; return step(ctx) }
		if _, err := control.NewDriver(s.Clock, l).Advance(t.Context(), s.start.AddDate(1, 0, 0)); err != nil || steps > 5 {
			t.Errorf("a year takes %d steps, %v", steps, err)
		}
	})
	t.Run("running", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := clock.New()
			start := c.Now()
			if _, err := control.NewDriver(c).Advance(t.Context(), start.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if now := c.Now().Sub(start); now != time.Hour+time.Minute {
				t.Errorf("a clock that ran before does not run on: %v", now)
			}
		})
	})
	t.Run("failing", func(t *testing.T) {
		s := newStage()
		l := s.agenda("a", hours(1)...).loop()
		l.Step = func(context.Context) time.Time { return s.start.Add(time.Hour) }
		if _, err := control.NewDriver(s.Clock, l).Advance(t.Context(), s.start.Add(time.Hour+time.Minute)); err != nil {
			t.Errorf("what cannot be done ends the advance: %v", err)
		}
	})
	t.Run("CTL-35", func(t *testing.T) {
		s := newStage()
		busy := make(chan struct{})
		a := s.agenda("delivery", hours(1, 2)...)
		l := a.loop()
		l.Step = func(context.Context) time.Time { return s.start.Add(time.Hour) }
		l.Settle = func(ctx context.Context) error {
			select {
			case <-busy:
				l.Step = a.step
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		d := control.NewDriver(s.Clock, l)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := d.Advance(ctx, s.start.Add(3*time.Hour))
		var unsettled *control.UnsettledError
		if !errors.As(err, &unsettled) || len(unsettled.Pending) != 1 || unsettled.Pending[0].What != "delivery" {
			t.Fatalf("got %v", err)
		}
		if now := s.Now().Sub(s.start); now != time.Hour {
			t.Errorf("the clock shows %v, want the time that was reached", now)
		}
		close(busy)
		if _, err := d.Advance(t.Context(), s.start.Add(3*time.Hour)); err != nil || s.done.take() != "delivery@1h0m0s delivery@2h0m0s" {
			t.Errorf("it does not go on: %v", err)
		}
	})
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		s.Reset()
		s.start = time.Now()
		wake := make(chan struct{}, 1)
		a := s.agenda("a", time.Millisecond, 500*time.Millisecond)
		l := a.loop()
		l.Wake = wake
		d := control.NewDriver(s.Clock, l)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); d.Run(ctx) }()
		after := func(real time.Duration, want string) {
			t.Helper()
			time.Sleep(real)
			synctest.Wait()
			if got := s.done.take(); got != want {
				t.Errorf("after %v did %q, want %q", real, got, want)
			}
		}
		after(time.Millisecond, "a@1ms")
		after(499*time.Millisecond, "a@500ms")
		a.mu.Lock()
		a.due = []time.Duration{600 * time.Millisecond, time.Hour, 2 * time.Hour, 3 * time.Hour}
		a.mu.Unlock()
		after(time.Second, "a@1.5s") // as soon as it is looked at again
		d.Jump(ctx, s.start.Add(time.Hour), 0)
		after(0, "a@1h0m0s")
		after(time.Hour, "")
		s.Set(s.Now(), 3600)
		after(time.Second, "a@2h0m0s")
		s.Set(s.start.Add(2*time.Hour), 0)
		a.mu.Lock()
		a.due = hours(1)
		a.mu.Unlock()
		wake <- struct{}{}
		after(0, "a@2h0m0s")
		stop()
		<-ended
	})
}

func TestDue(t *testing.T) {
	s := newStage()
	d := control.NewDriver(s.Clock, s.agenda("a", hours(3, 5)...).loop(), s.agenda("b", hours(1, 4)...).loop())
	var got []string
	for _, due := range d.Due(t.Context(), 3) {
		got = append(got, fmt.Sprintf("%s@%v", due.What, due.At.Sub(s.start)))
	}
	if want := []string{"b@1h0m0s", "a@3h0m0s", "b@4h0m0s"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
