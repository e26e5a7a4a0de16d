package control

import (
	"context"
	"errors"
	"net/http"
	"time"

	"disd/internal/clock"
)

type clockReply struct {
	Now    string     `json:"now"`
	NowMS  int64      `json:"now_ms"`
	Mode   string     `json:"mode"` // wall, running or frozen
	Speed  float64    `json:"speed"`
	Offset int64      `json:"offset_ms"`
	Wall   string     `json:"wall"`
	Due    []dueReply `json:"due"`
}

type dueReply struct {
	At      string `json:"at"`
	What    string `json:"what"`
	Project string `json:"project"`
	Name    string `json:"name"`
}

// shownDue is how many things to come an answer names.
const shownDue = 20

func showDue(due []clock.Due) []dueReply {
	list := make([]dueReply, len(due))
	for i, d := range due {
		list[i] = dueReply{showTime(d.At), d.What, d.Project, d.Name}
	}
	return list
}

func (c *Control) showClock(ctx context.Context) clockReply {
	r := c.clock.Read()
	mode := "wall"
	switch {
	case r.Speed == 0:
		mode = "frozen"
	case r.Moved:
		mode = "running"
	}
	return clockReply{
		Now: showTime(r.Now), NowMS: r.Now.UnixMilli(), Mode: mode, Speed: r.Speed,
		Offset: r.Now.Sub(r.Wall).Milliseconds(), Wall: showTime(r.Wall), Due: showDue(c.driver().Due(ctx, shownDue)),
	}
}

func (c *Control) getClock(r *request) (int, any, error) {
	return http.StatusOK, c.showClock(r.Context()), nil
}

// later refuses a time before now (CTL-38).
func (c *Control) later(t time.Time) error {
	if now := c.clock.Now(); t.Before(now) {
		return conflict("the clock shows %s and never goes back to %s", showTime(now), showTime(t))
	}
	return nil
}

// freeze stops the clock, after it has advanced to a time to come.
func (c *Control) freeze(r *request) (int, any, error) {
	var body struct {
		At *moment `json:"at"`
	}
	if err := r.decode(&body); err != nil {
		return 0, nil, err
	}
	c.moving.Lock()
	defer c.moving.Unlock()
	if body.At != nil {
		if err := c.later(time.Time(*body.At)); err != nil {
			return 0, nil, err
		}
		if _, err := c.advanceTo(r.Context(), time.Time(*body.At), defaultAdvance); err != nil {
			return 0, nil, err
		}
		c.clock.Set(time.Time(*body.At), 0)
	} else {
		c.clock.Set(c.clock.Now().Truncate(time.Millisecond), 0)
	}
	return c.getClock(r)
}

// defaultAdvance is the real time that an advance may take by default.
const defaultAdvance = 30 * time.Second

type advanceReply struct {
	clockReply
	From string         `json:"from"`
	Ran  map[string]int `json:"ran"`
	Took int64          `json:"took_ms"`
}

// advance moves the clock and returns when everything that fell due is done.
func (c *Control) advance(r *request) (int, any, error) {
	var body struct {
		By      *duration `json:"by"`
		To      *moment   `json:"to"`
		Timeout *duration `json:"timeout"`
	}
	if err := r.decode(&body); err != nil {
		return 0, nil, err
	}
	if (body.By == nil) == (body.To == nil) {
		return 0, nil, invalid("", "needs either by or to")
	}
	timeout := defaultAdvance
	if body.Timeout != nil {
		timeout = time.Duration(*body.Timeout)
		if err := checkTimeout(timeout); err != nil {
			return 0, nil, invalid("timeout", "%v", err)
		}
	}
	c.moving.Lock()
	defer c.moving.Unlock()
	watch, from := clock.Start(), c.clock.Now()
	to := c.target(from, (*time.Duration)(body.By), (*time.Time)(body.To))
	if err := c.later(to); err != nil {
		return 0, nil, err
	}
	ran, err := c.advanceTo(r.Context(), to, timeout)
	if err != nil {
		if body.By != nil {
			c.unreached = &unreached{time.Duration(*body.By), to}
		}
		return 0, nil, err
	}
	return http.StatusOK, advanceReply{c.showClock(r.Context()), showTime(from), ran, watch.Elapsed().Milliseconds()}, nil
}

// unreached is an advance that ran out of real time. The same one goes on (CTL-35).
type unreached struct {
	by time.Duration
	to time.Time
}

// target returns where an advance leads. c.moving is held.
func (c *Control) target(from time.Time, by *time.Duration, to *time.Time) time.Time {
	last := c.unreached
	c.unreached = nil
	switch {
	case to != nil:
		return *to
	case last != nil && last.by == *by && last.to.After(from):
		return last.to
	}
	return from.Add(*by)
}

// advanceTo moves the clock. c.moving is held.
func (c *Control) advanceTo(ctx context.Context, to time.Time, timeout time.Duration) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ran, err := c.driver().Advance(ctx, to)
	var unsettled *UnsettledError
	if errors.As(err, &unsettled) {
		return ran, &Error{
			Status: http.StatusConflict, Code: "CTL.Unsettled",
			Message: "what was due did not end in " + timeout.String() + "; the clock shows " + showTime(c.clock.Now()),
			More:    map[string]any{"pending": showDue(unsettled.Pending), "now": showTime(c.clock.Now())},
		}
	}
	c.changed()
	return ran, err
}

// set moves the clock at once.
func (c *Control) set(r *request) (int, any, error) {
	var body struct {
		To *moment `json:"to"`
	}
	if err := r.decode(&body); err != nil {
		return 0, nil, err
	}
	if body.To == nil {
		return 0, nil, invalid("to", "missing")
	}
	c.moving.Lock()
	defer c.moving.Unlock()
	to := time.Time(*body.To)
	if err := c.later(to); err != nil {
		return 0, nil, err
	}
	c.driver().Jump(context.WithoutCancel(r.Context()), to, c.clock.Read().Speed)
	c.changed()
	return http.StatusOK, c.showClock(r.Context()), nil
}

// run sets the speed.
func (c *Control) run(r *request) (int, any, error) {
	var body struct {
		Speed *float64 `json:"speed"`
	}
	if err := r.decode(&body); err != nil {
		return 0, nil, err
	}
	if body.Speed == nil || *body.Speed < 0.001 || *body.Speed > 100_000 {
		return 0, nil, invalid("speed", "must be from 0.001 to 100000")
	}
	return c.setSpeed(r, *body.Speed)
}

// resume lets the clock run as the wall clock does, from where it is.
func (c *Control) resume(r *request) (int, any, error) {
	if err := r.decode(&struct{}{}); err != nil {
		return 0, nil, err
	}
	return c.setSpeed(r, 1)
}

func (c *Control) setSpeed(r *request, speed float64) (int, any, error) {
	c.moving.Lock()
	defer c.moving.Unlock()
	if now := c.clock.Read(); now.Moved || speed != 1 {
		c.clock.Set(now.Now, speed)
	}
	return c.getClock(r)
}
