package partition

import (
	"context"
	"errors"
	"fmt"
	"time"

	"disd/internal/field"
	"disd/internal/quota"
)

// maxScalings is how much of the scaling history is kept (E6-R5).
const maxScalings = 100

// Scale changes the number of active partitions to target and returns what it
// was before. The new layout is in force and durable when it returns; uploads
// wait meanwhile. Scaling by hand obeys the rate rules (E7-R2), automatic
// scaling (L-16) does not. A field.Error, ErrNotRunning, ErrScalingRate,
// ErrQuota, ErrStreamNotFound, or an error of the engine.
func (s *Set) Scale(ctx context.Context, st *Stream, target int, auto bool) (before int, err error) {
	st.change.Lock()
	defer st.change.Unlock()
	info, err := st.Info()
	if err != nil {
		return 0, err
	}
	if err := info.Running(); err != nil {
		return 0, err
	}
	before = info.Count(Active)
	if target < 1 || target == before {
		return before, &field.Error{Field: "target_partition_count", Reason: fmt.Sprintf("%d partitions are active", before)}
	}
	now := s.opts.Now()
	if !auto && s.tooOften(info, now) {
		return before, ErrScalingRate
	}
	free, err := s.scaleQuota(info, target-before)
	if err != nil {
		return before, errors.Join(err, s.noteFailure(st, now, before, target, auto))
	}
	defer free()
	return before, s.rescale(ctx, st, now, target, auto)
}

// tooOften counts every attempt of the last hour that was recorded, and refuses
// after any success in it (E7-N1).
func (s *Set) tooOften(info *Info, now time.Time) bool {
	q := &s.opts.Quotas
	attempts, success := 0, false
	for _, sc := range info.Scalings {
		if sc.Auto {
			continue
		}
		age := now.Sub(time.UnixMilli(sc.Time))
		if age < time.Hour {
			attempts++
		}
		success = success || !sc.Exceeded && age < q.ScalingPause
	}
	return (success || attempts >= q.ScalingAttempts) && s.opts.exceeded(quota.Scaling, info)
}

func (s *Set) scaleQuota(info *Info, more int) (free func(), err error) {
	if more <= 0 {
		return func() {}, nil
	}
	if info.Count(Active)+more > maxPartitions {
		return nil, ErrQuota
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	release, err := s.takeQuota(info, more)
	if err != nil {
		return nil, err
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		release()
	}, nil
}

// noteFailure records an attempt that exceeded the quota (E7-R3). st.change is
// held.
func (s *Set) noteFailure(st *Stream, now time.Time, from, to int, auto bool) error {
	l := st.layout.Load()
	info := l.info.clone()
	info.record(Scaling{Time: now.UnixMilli(), From: from, To: to, Auto: auto, Exceeded: true})
	if err := s.commit(info, len(info.Parts)); err != nil {
		return err
	}
	st.layout.Store(&layout{info: info, logs: l.logs, active: l.active})
	return nil
}

func (i *Info) record(sc Scaling) {
	i.Scalings = append(i.Scalings, sc)
	if n := len(i.Scalings); n > maxScalings {
		i.Scalings = i.Scalings[n-maxScalings:]
	}
}

// rescale puts the new layout in force. st.change is held.
func (s *Set) rescale(ctx context.Context, st *Stream, now time.Time, target int, auto bool) error {
	old := st.layout.Load()
	info := old.info.clone()
	before := old.active
	info.resize(target, now.UnixMilli())
	info.Modified = now.UnixMilli()
	info.record(Scaling{Time: now.UnixMilli(), From: before, To: target, Auto: auto})
	made := len(old.info.Parts)

	return s.addLogs(ctx, logIDs(info, made), func(logs []partitionLog) error {
		st.uploads.Lock()
		defer st.uploads.Unlock()
		if err := s.commit(info, made); err != nil {
			return err
		}
		all := append(old.logs[:made:made], logs...)
		st.layout.Store(&layout{info: info, logs: all, active: target})
		return nil
	})
}

// resize closes the highest active partitions, or reopens closed ones, lowest
// first, and then adds new ones (L-8, L-10).
func (i *Info) resize(target int, now int64) {
	before := i.Count(Active)
	for id := target; id < before; id++ {
		i.Parts[id].State, i.Parts[id].Closed = Deleted, now
	}
	for id := before; id < target; id++ {
		if id < len(i.Parts) {
			i.Parts[id].State, i.Parts[id].Closed = Active, 0
			continue
		}
		i.Parts = append(i.Parts, Part{State: Active, Parents: parents(int64(id), int64(target), int64(before))})
	}
}

// parents returns which of before partitions had a hash range that overlaps
// that of partition id of after (L-9).
func parents(id, after, before int64) []int32 {
	low, high := hashRange(id, after)
	var ids []int32
	for p := slot(low, before); p <= slot(high, before); p++ {
		ids = append(ids, p)
	}
	return ids
}
