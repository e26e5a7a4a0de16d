package clock_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"disd/internal/clock"
)

func fired(t *clock.Timer) bool {
	synctest.Wait()
	select {
	case <-t.C:
		return true
	default:
		return false
	}
}

func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, start := clock.New(), time.Now()
		pass := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		want := func(when string, d time.Duration, speed float64, moved bool) {
			t.Helper()
			r := c.Read()
			if got := c.Now().Sub(start); got != d || r.Now.Sub(start) != d || r.Speed != speed || r.Moved != moved || !r.Wall.Equal(time.Now()) {
				t.Errorf("%s: %v, %+v, want %v", when, got, r, d)
			}
		}
		pass(time.Second)
		want("of the wall", time.Second, 1, false)
		c.Set(start.Add(time.Hour), 0)
		pass(time.Minute)
		want("standing still", time.Hour, 0, true)
		c.Set(c.Now(), 60)
		pass(time.Minute)
		want("sixty times as fast", 2*time.Hour, 60, true)
		c.Set(c.Now(), 1)
		pass(time.Minute)
		want("as fast as the wall", 2*time.Hour+time.Minute, 1, true)
		c.Reset()
		want("of the wall again", 3*time.Minute+time.Second, 1, false)
	})
}

func TestTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, start := clock.New(), time.Now()
		after := func(d time.Duration) *clock.Timer {
			timer := c.NewTimer(start.Add(d))
			t.Cleanup(timer.Stop)
			return timer
		}
		minute, hour, day, never := after(time.Minute), after(time.Hour), after(24*time.Hour), after(240*time.Hour)
		past := after(-time.Second)
		if !fired(past) {
			t.Error("one that is due does not fire")
		}
		time.Sleep(time.Minute)
		if !fired(minute) || fired(hour) {
			t.Error("with the wall clock only the one of a minute is due")
		}
		c.Set(start.Add(time.Hour-time.Millisecond), 0)
		time.Sleep(time.Hour)
		if fired(hour) {
			t.Error("fired although the clock stands still before its time")
		}
		c.Set(start.Add(time.Hour), 0)
		if !fired(hour) || fired(day) {
			t.Error("a jump to the time of one fires it, and no other")
		}
		c.Set(start.Add(time.Hour), 3600)
		time.Sleep(23 * time.Second)
		if !fired(day) {
			t.Error("a day has passed at 3600 times the speed")
		}
		never.Stop()
		c.Set(start.Add(1000*time.Hour), 0)
		if fired(never) {
			t.Error("fired after Stop")
		}
	})
}

func TestChanged(t *testing.T) {
	c := clock.New()
	changed := c.Changed()
	select {
	case <-changed:
		t.Fatal("nothing has changed")
	default:
	}
	c.Set(c.Now(), 0)
	<-changed
	changed = c.Changed()
	c.Reset()
	<-changed
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, start := clock.New(), time.Now()
		c.Set(start, 0)
		if err := c.Sleep(t.Context(), time.Minute); err != nil || time.Since(start) != time.Minute {
			t.Errorf("CTL-40: a clock that stands still holds it for %v, %v", time.Since(start), err)
		}
		began := time.Now()
		time.AfterFunc(time.Second, func() { c.Set(start.Add(time.Hour), 0) })
		if err := c.Sleep(t.Context(), time.Minute); err != nil || time.Since(began) != time.Second {
			t.Errorf("the clock moved after a second, Sleep returned after %v, %v", time.Since(began), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Sleep(ctx, time.Minute); err != context.Canceled {
			t.Errorf("the context ended: %v", err)
		}
	})
}

func TestStopwatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watch := clock.Start()
		time.Sleep(time.Second)
		if d := watch.Elapsed(); d != time.Second || !clock.Wall().Equal(time.Now()) {
			t.Errorf("%v have elapsed", d)
		}
	})
}
