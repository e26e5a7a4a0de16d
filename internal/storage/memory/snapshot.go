package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"disd/internal/storage"
)

// A LogState is everything a log is.
type LogState struct {
	Oldest  storage.Seq
	Records []storage.Record // from Oldest on; they must not be changed
	Last    int64            // append time in ms of the newest record ever, 0 for none
}

// A Snapshot is all logs of an engine at one moment. Its records are those of the
// engine, so that it takes no memory for each of them (CTL-58).
type Snapshot struct {
	logs map[storage.LogID]LogState
	size int64
}

// Size returns the bytes of the records, counted as the engine does.
func (s *Snapshot) Size() int64 { return s.size }

// Records returns how many records it has.
func (s *Snapshot) Records() (n int) {
	for _, l := range s.logs {
		n += len(l.Records)
	}
	return n
}

// Log returns a log, and false if there is none of that id.
func (s *Snapshot) Log(id storage.LogID) (LogState, bool) {
	l, ok := s.logs[id]
	return l, ok
}

// Snapshot returns what is stored now: of an append under way all batches, or none.
func (e *Engine) Snapshot() *Snapshot {
	e.appends.Lock()
	defer e.appends.Unlock()
	e.mu.RLock()
	defer e.mu.RUnlock()
	s := &Snapshot{logs: make(map[storage.LogID]LogState, len(e.logs))}
	for id, l := range e.logs {
		state, size := l.state()
		s.logs[id] = state
		s.size += size
	}
	return s
}

func (l *log) state() (LogState, int64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return LogState{l.oldest, slices.Clip(l.records), l.last}, l.size
}

// Restore returns a new engine with the logs of a snapshot.
func Restore(opts Options, s *Snapshot) *Engine {
	e := Open(opts)
	for id, l := range s.logs {
		e.logs[id] = e.newLog(id, l)
	}
	e.used.Store(s.size)
	return e
}

// Fill gives an empty log records that have numbers and times already.
// storage.ErrNotFound when there is no such log; storage.ErrExists when it has ever had
// a record; storage.ErrUnavailable when the records do not fit into memory;
// storage.ErrInvalid when numbers have gaps or times decrease.
func (e *Engine) Fill(_ context.Context, id storage.LogID, state LogState) error {
	last := int64(0)
	for i := range state.Records {
		r := &state.Records[i]
		if err := r.Check(); err != nil {
			return err
		}
		if r.Seq != state.Oldest+storage.Seq(i) || r.AppendTime < last || r.AppendTime > state.Last {
			return fmt.Errorf("%w: record %d of %v is out of order", storage.ErrInvalid, r.Seq, id)
		}
		last = r.AppendTime
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	l, ok := e.logs[id]
	if !ok {
		return fmt.Errorf("%w: %v", storage.ErrNotFound, id)
	}
	size := sizeOf(state.Records)
	if err := e.take(size); err != nil {
		return err
	}
	err := l.fill(state, size)
	if err != nil {
		e.used.Add(-size)
	}
	return err
}

func (l *log) fill(s LogState, size int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.removed:
		return storage.ErrNotFound
	case l.oldest > 0 || len(l.records) > 0:
		return fmt.Errorf("%w: records of %v", storage.ErrExists, l.id)
	}
	l.oldest, l.records, l.last, l.size = s.Oldest, slices.Clip(s.Records), s.Last, size
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

type atKey struct{}

// At returns a context in which appends are dated at a time, in place of now. Within a
// log times never decrease all the same.
func At(ctx context.Context, t time.Time) context.Context { return context.WithValue(ctx, atKey{}, t) }

// date returns the append time of what is appended in a context, in ms.
func (e *Engine) date(ctx context.Context) int64 {
	if t, ok := ctx.Value(atKey{}).(time.Time); ok {
		return t.UnixMilli()
	}
	return e.now().UnixMilli()
}

func (e *Engine) newLog(id storage.LogID, s LogState) *log {
	return &log{
		e: e, id: id, oldest: s.Oldest, records: slices.Clip(s.Records), last: s.Last,
		size: sizeOf(s.Records), changed: make(chan struct{}),
	}
}

// Retire removes all logs, as if their streams were deleted: whoever still works on
// one hears that it is gone.
func (e *Engine) Retire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range slices.Collect(maps.Values(e.logs)) {
		l.remove()
	}
	clear(e.logs)
}
