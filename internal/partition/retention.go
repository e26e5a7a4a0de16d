package partition

import (
	"context"
	"errors"
	"time"

	"disd/internal/storage"
)

// sweepInterval is how often retention is applied; api.md L-15 allows a record
// to stay 60 s longer than its retention.
const sweepInterval = 30 * time.Second

// scaleInterval is how often streams that scale by themselves are looked at.
const scaleInterval = 5 * time.Second

// forgetInterval is how often files are looked for that can be forgotten.
const forgetInterval = time.Hour

// Run applies retention and automatic scaling until ctx ends.
func (s *Set) Run(ctx context.Context) error {
	sweep, scale, forget := time.NewTicker(sweepInterval), time.NewTicker(scaleInterval), time.NewTicker(forgetInterval)
	defer sweep.Stop()
	defer scale.Stop()
	defer forget.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-sweep.C:
			s.report(ctx, "retention could not be applied everywhere", s.Sweep(ctx))
		case <-scale.C:
			s.report(ctx, "streams could not be scaled", s.AutoScale(ctx))
		case <-forget.C:
			s.report(ctx, "states of old files could not be removed", s.ForgetFiles())
		}
	}
}

func (s *Set) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		s.opts.Logger.Error(what, "error", err)
	}
}

// all returns the streams there are.
func (s *Set) all() []*Stream {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*Stream, 0, len(s.byID))
	for _, st := range s.byID {
		all = append(all, st)
	}
	return all
}

// Sweep applies retention once, to all streams: it removes records older than
// their stream's retention, and expires partitions that were closed as long ago
// (L-11, L-15). What it could not do is joined in the error; it goes on.
func (s *Set) Sweep(ctx context.Context) error {
	var errs []error
	for _, st := range s.all() {
		if ctx.Err() != nil {
			break
		}
		errs = append(errs, s.sweep(ctx, st))
	}
	return errors.Join(errs...)
}

func (s *Set) sweep(ctx context.Context, st *Stream) error {
	if err := s.expire(st); err != nil {
		return ignoreGone(err)
	}
	l := st.layout.Load()
	if l == nil {
		return nil
	}
	var errs []error
	for id, p := range l.logs {
		if p.err != nil {
			continue
		}
		var err error
		if l.info.Parts[id].State == Expired {
			err = s.empty(ctx, st, id)
		} else {
			err = s.trim(ctx, p.log, l.info)
		}
		errs = append(errs, ignoreGone(err))
	}
	return errors.Join(errs...)
}

// ignoreGone drops the error of a stream that was deleted meanwhile.
func ignoreGone(err error) error {
	if errors.Is(err, ErrStreamNotFound) || errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}

func (s *Set) trim(ctx context.Context, log storage.Log, info *Info) error {
	oldest, next := log.Bounds()
	if oldest == next {
		return nil
	}
	next, err := log.Find(ctx, s.cutoff(info))
	if err != nil || next <= oldest {
		return err
	}
	return log.Trim(ctx, next)
}

// empty removes all records of a partition, unless scaling has just made it an
// active one again, with new records.
func (s *Set) empty(ctx context.Context, st *Stream, id int) error {
	st.change.Lock()
	defer st.change.Unlock()
	l := st.layout.Load()
	if l == nil || l.info.Parts[id].State != Expired {
		return nil
	}
	_, next := l.logs[id].log.Bounds()
	return l.logs[id].log.Trim(ctx, next)
}

// cutoff is the append time in ms before which records are no longer kept.
func (s *Set) cutoff(info *Info) int64 {
	return s.opts.Now().Add(-time.Duration(info.Retention) * time.Hour).UnixMilli()
}

// expire marks the closed partitions whose time has come. Their records are
// removed afterwards, so that none is missing from a partition still readable.
func (s *Set) expire(st *Stream) error {
	info, err := st.Info()
	if err != nil {
		return err
	}
	due := func(info *Info) (ids []int) {
		for id, p := range info.Parts {
			if p.State == Deleted && p.Closed <= s.cutoff(info) {
				ids = append(ids, id)
			}
		}
		return ids
	}
	if len(due(info)) == 0 {
		return nil
	}
	_, err = s.change(st, func(info *Info) error {
		for _, id := range due(info) {
			info.Parts[id].State = Expired
		}
		return nil
	})
	return err
}
