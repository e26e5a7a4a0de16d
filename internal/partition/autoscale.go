package partition

import (
	"context"
	"errors"
	"math"
	"time"

	"disd/internal/clock"
	"disd/internal/field"
)

// A Load is what a stream carried in some minutes.
type Load struct {
	Put, Get  int64 // bytes
	Throttled int64 // uploads that flow control refused, in part or as a whole
}

// Rules of automatic scaling (L-17, L-18).
const (
	upShare   = 0.8 // of the write bandwidth, in one minute
	upFactor  = 0.6
	downShare = 0.3 // of write and of read bandwidth
	downTime  = 10  // minutes

	autoPause   = time.Minute
	turnPause   = 2 * time.Minute // between up and down
	autoUpMax   = 10              // an hour
	autoDownMax = 1
)

// StepScaling scales the streams that scale by themselves and returns when it is
// next to look at them: when the next minute has ended, or the pause after a scaling.
// It returns zero when no stream scales by itself.
func (s *Set) StepScaling(ctx context.Context) (next time.Time) {
	now := s.opts.Now()
	s.report(ctx, "streams could not be scaled", s.AutoScale(ctx))
	s.looked.Store(now.UnixNano())
	for _, d := range s.ScalingDue(ctx) {
		next = clock.Earlier(next, d.At)
	}
	return next
}

// ScalingDue returns when each stream that scales by itself is next looked at.
func (s *Set) ScalingDue(context.Context) (due []clock.Due) {
	if s.opts.Traffic == nil {
		return nil
	}
	looked := time.Unix(0, s.looked.Load())
	for _, st := range s.All() {
		info, err := st.Info()
		if err != nil || !info.AutoScale || info.Frozen {
			continue
		}
		at := looked.Truncate(time.Minute).Add(time.Minute)
		if n := len(info.Scalings); n > 0 {
			last := time.UnixMilli(info.Scalings[n-1].Time)
			for _, pause := range []time.Duration{autoPause, turnPause} {
				if end := last.Add(pause); end.After(looked) {
					at = clock.Earlier(at, end)
				}
			}
		}
		due = append(due, clock.Due{At: at, What: "scaling", Project: info.Project, Name: info.Name})
	}
	return due
}

// AutoScale looks at every stream that scales by itself and changes its partition
// count where the traffic of the last minutes asks for it (L-16 to L-20).
func (s *Set) AutoScale(ctx context.Context) error {
	if s.opts.Traffic == nil {
		return nil
	}
	var errs []error
	for _, st := range s.All() {
		info, err := st.Info()
		if err != nil || !info.AutoScale || info.Frozen {
			continue
		}
		current, target := info.Count(Active), s.autoTarget(info)
		if target > current {
			target = min(target, current+s.room(info))
		}
		if target == current {
			continue
		}
		_, err = s.Scale(ctx, st, target, true)
		if errors.Is(err, ErrQuota) || errors.Is(err, field.ErrInvalid) {
			continue // recorded, or somebody was faster
		}
		errs = append(errs, ignoreGone(err))
	}
	return errors.Join(errs...)
}

// autoTarget returns the partition count that a stream should have.
func (s *Set) autoTarget(info *Info) int {
	now, current := s.opts.Now(), info.Count(Active)
	rate := s.opts.Quotas.throughput(info.Type)
	if load, ok := s.opts.Traffic(info.ID, 1); ok && s.crowded(load, 60*float64(rate.WriteBytes*current)) {
		if current < info.AutoMax && info.mayScale(now, true) {
			return info.clamp(int(math.Ceil(float64(current) / upFactor)))
		}
		return current
	}
	load, ok := s.opts.Traffic(info.ID, downTime)
	idle := func(bytes int64, perSecond int) bool {
		return float64(bytes) < downShare*60*downTime*float64(perSecond*current)
	}
	if ok && current > info.AutoMin && idle(load.Put, rate.WriteBytes) && idle(load.Get, rate.ReadBytes) && info.mayScale(now, false) {
		return info.clamp(current / 2)
	}
	return current
}

// crowded reports whether the uploads of a minute want more partitions than those
// that can take so many bytes. Where nothing is throttled, what the cloud would have
// throttled counts: a stream must not only ever lose partitions.
func (s *Set) crowded(load Load, bandwidth float64) bool {
	if !s.opts.Quota.Enforced() {
		return float64(load.Put) > bandwidth
	}
	return load.Throttled > 0 && float64(load.Put) > upShare*bandwidth
}

// clamp brings a count between the stream's bounds (L-18).
func (i *Info) clamp(n int) int { return max(i.AutoMin, min(n, i.AutoMax)) }

// room returns how many more partitions the quota leaves to a stream's account.
func (s *Set) room(info *Info) int {
	if !s.opts.Quota.Enforced() {
		return maxPartitions
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := account{s.opts.Account(info.Project), info.Type}
	return max(0, s.opts.Quotas.partitions(info.Type)-s.usedLocked(a))
}

// mayScale applies the pauses and hourly limits of L-18. A stream younger than the
// time that is looked at is left alone.
func (i *Info) mayScale(now time.Time, up bool) bool {
	if !up && now.Sub(time.UnixMilli(i.Created)) < downTime*time.Minute {
		return false
	}
	same := 0
	for _, sc := range i.Scalings {
		age, wasUp := now.Sub(time.UnixMilli(sc.Time)), sc.To > sc.From
		switch {
		case sc.Exceeded:
			continue
		case sc.Auto && age < autoPause, wasUp != up && age < turnPause:
			return false
		case sc.Auto && wasUp == up && age < time.Hour:
			same++
		}
	}
	if up {
		return same < autoUpMax
	}
	return same < autoDownMax
}
