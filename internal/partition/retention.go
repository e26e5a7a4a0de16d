package partition

import (
	"context"
	"errors"
	"sync"
	"time"

	"disd/internal/clock"
	"disd/internal/storage"
)

// RetentionPace is how often retention is applied to one server; a record may stay
// 60 s longer than its retention (L-15).
const RetentionPace = 30 * time.Second

// StepRetention applies retention to all streams and returns when there is next
// something to do: a record becomes too old, or a closed partition expires. It
// returns zero when there is nothing. Records that arrive and streams that are made
// meanwhile are due a day later or more; a retention that is shortened may be due
// earlier.
func (s *Set) StepRetention(ctx context.Context) (next time.Time) {
	s.report(ctx, "retention could not be applied everywhere", s.Sweep(ctx))
	for _, d := range s.RetentionDue(ctx) {
		next = clock.Earlier(next, d.At)
	}
	return next
}

// RetentionDue returns what retention will do by itself: the oldest record of each
// partition, and each closed partition. What could not be done stays due.
func (s *Set) RetentionDue(ctx context.Context) (due []clock.Due) {
	for _, st := range s.All() {
		if l := st.layout.Load(); l != nil {
			due = s.appendDue(ctx, due, st, l)
		}
	}
	return due
}

func (s *Set) appendDue(ctx context.Context, due []clock.Due, st *Stream, l *layout) []clock.Due {
	keep := time.Duration(l.info.Retention) * time.Hour
	for id, p := range l.info.Parts {
		d := clock.Due{What: "retention", Project: l.info.Project, Name: l.info.Name}
		switch oldest, ok := st.oldest(ctx, id, l.logs[id]); {
		case p.State == Deleted:
			d.What, d.At = "partition-expiry", time.UnixMilli(p.Closed).Add(keep)
		case !ok || p.State == Expired:
			continue
		default:
			d.At = time.UnixMilli(oldest + 1).Add(keep) // it is kept for all of its last millisecond
		}
		due = append(due, d)
	}
	return due
}

// ages remembers when the oldest record of each partition was accepted, so that
// nobody reads it again and again.
type ages struct {
	mu    sync.Mutex
	parts map[int]age
}

type age struct {
	seq storage.Seq
	at  int64 // ms
}

// oldest returns when the oldest record of a partition was accepted, in ms, and
// false when there is none or it cannot be read.
func (st *Stream) oldest(ctx context.Context, id int, p partitionLog) (at int64, ok bool) {
	if p.err != nil {
		return 0, false
	}
	oldest, next := p.log.Bounds()
	if oldest == next {
		return 0, false
	}
	st.ages.mu.Lock()
	defer st.ages.mu.Unlock()
	if a, known := st.ages.parts[id]; known && a.seq == oldest {
		return a.at, true
	}
	var c storage.Chunk
	err := p.log.Read(ctx, oldest, storage.Limit{Records: 1, Bytes: 1, AtLeastOne: true}, &c)
	if err != nil || len(c.Records) == 0 {
		return 0, false
	}
	if st.ages.parts == nil {
		st.ages.parts = make(map[int]age)
	}
	st.ages.parts[id] = age{oldest, c.Records[0].AppendTime}
	return c.Records[0].AppendTime, true
}

func (s *Set) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		s.opts.Logger.Error(what, "error", err)
	}
}

// Count returns how many streams there are.
func (s *Set) Count() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.byID)
}

// All returns the streams of all projects, in any order.
func (s *Set) All() []*Stream {
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
	for _, st := range s.All() {
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
			err = s.trim(ctx, st, id, l)
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

func (s *Set) trim(ctx context.Context, st *Stream, id int, l *layout) error {
	log, before := l.logs[id].log, s.cutoff(l.info)
	if at, ok := st.oldest(ctx, id, l.logs[id]); ok && at >= before {
		return nil
	}
	oldest, next := log.Bounds()
	if oldest == next {
		return nil
	}
	next, err := log.Find(ctx, before)
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
