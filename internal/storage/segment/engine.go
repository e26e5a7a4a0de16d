// Package segment is the engine that keeps logs on the local disk: one commit
// log for all of them, which makes appends durable, and segment files per log,
// which are written behind it. docs/format-log.md describes the files.
//
// Three parties change an engine's state. Appenders reserve and fill their
// parts of the next group. The committer (commit.go) writes groups and
// publishes them. The flusher (flush.go) owns all files but the active commit
// log file: it moves the published records to segments, writes the manifest
// and provides commit log files. Readers use immutable views.
//
//	appenders ─► pending ─► committer ─► commit log, tails ─► flusher ─► segments
//	                                          │                             │
//	                                          └────────► readers ◄──────────┘
package segment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"disd/internal/storage"
)

var errNotExist = fs.ErrNotExist

func isCorrupt(err error) bool {
	var c *storage.CorruptError
	return errors.As(err, &c)
}

// Engine is an engine on the local disk.
type Engine struct {
	*shared
	committer *committer
	flusher   *flusher
	locks     locks
	// the goroutines, in the order they end
	committing, flushing sync.WaitGroup
	// closed, in this order, by Close
	stopCommit, stopFlush chan struct{}
}

// Create implements storage.Engine.
func (e *Engine) Create(ctx context.Context, id storage.LogID) error {
	if err := validID(id); err != nil {
		return err
	}
	return e.control(ctx, e.opt.flushRoom(), putID(id), func() (effect, error) {
		if e.ids[id] != nil {
			return effect{}, fmt.Errorf("%w: %s", storage.ErrExists, id)
		}
		l := &log{s: e.shared, id: id, number: e.nextLog}
		e.nextLog++
		e.ids[id] = l
		return effect{kind: kindCreate, l: l}, nil
	})
}

// Open implements storage.Engine.
func (e *Engine) Open(_ context.Context, id storage.LogID) (storage.Log, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l, err := e.logLocked(id)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// List implements storage.Engine.
func (e *Engine) List(context.Context) ([]storage.LogID, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ids := make([]storage.LogID, 0, len(e.ids))
	for id, l := range e.ids {
		if l.born && !l.removing {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Remove implements storage.Engine.
func (e *Engine) Remove(ctx context.Context, id storage.LogID) error {
	err := e.control(ctx, 0, nil, func() (effect, error) {
		l := e.ids[id]
		if l == nil || !l.born {
			return effect{}, errDone
		}
		l.removing = true
		return effect{kind: kindRemove, l: l}, nil
	})
	if err == nil {
		signal(e.kick)
	}
	return err
}

// Trim implements storage.Log.
func (l *log) Trim(ctx context.Context, seq storage.Seq) error {
	err := l.s.control(ctx, 0, nil, func() (effect, error) {
		v, err := l.view()
		switch {
		case err != nil:
			return effect{}, err
		case seq > v.next:
			return effect{}, fmt.Errorf("%w: %d, the next is %d", storage.ErrBeyond, seq, v.next)
		case seq <= v.oldest:
			return effect{}, errDone
		}
		return effect{kind: kindTrim, l: l, seq: seq}, nil
	})
	if err == nil {
		l.s.tidy(l)
	}
	return err
}

// Health implements storage.Engine.
func (e *Engine) Health() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.healthLocked(); err != nil {
		return err
	}
	if err := e.present(); err != nil {
		return err
	}
	if err := e.refusedLocked(); err != nil {
		return err
	}
	return e.space.health(healthyRoom + e.opt.flushRoom() + block)
}

// Identity returns the identity of the data directory, random and never 0 nor
// changed.
func (e *Engine) Identity() uint64 { return e.dirID }

// MayHaveLost reports whether the directory was left by an engine that did not
// sync what it acknowledged, and was not closed. Then a loss of power may have
// taken the newest records, and others may remember numbers that are to be given
// again. It is so, also from process to process, until LossSettled is called.
func (e *Engine) MayHaveLost() bool { return e.lossy.Load() }

// LossSettled says that nobody remembers numbers beyond the ends of the logs. It
// is durable with the next mark.
func (e *Engine) LossSettled() { e.lossy.Store(false) }

// Durable returns the number of the last group of appends and changes that is known
// to be on stable storage. It grows, and costs nothing.
func (e *Engine) Durable() uint64 { return e.durable.Load() }

// Close implements storage.Engine.
func (e *Engine) Close() error {
	e.mu.Lock()
	e.closing = true
	e.signalRoomLocked()
	e.mu.Unlock()
	close(e.stopCommit)
	e.committing.Wait()
	close(e.stopFlush)
	e.flushing.Wait()
	var err error
	if len(e.sealed) > 0 {
		err = fmt.Errorf("%w: some records are in the commit log only", storage.ErrUnavailable)
	}
	for _, c := range e.files() {
		err = errors.Join(err, c.close())
	}
	return errors.Join(err, e.marks.update(e.lastMark), e.marks.close(), e.locks.close())
}

// lastMark is what the marks say of an engine that was closed.
func (e *Engine) lastMark(m *marks) {
	m.group = max(m.group, e.durable.Load())
	m.safe = m.safe || len(e.sealed) == 0 && !e.lossy.Load()
}

// files returns the commit log files the engine holds, when nothing runs any
// more.
func (e *Engine) files() []*commitFile {
	files := e.flusher.free
	if e.spare != nil {
		files = append(files, e.spare)
	}
	for _, g := range e.sealed {
		files = append(files, g.files...)
	}
	return files
}

// Stats counts what an engine did since it was opened.
type Stats struct {
	Groups      int64 // commits
	GroupBytes  int64 // written to the commit log
	Syncs       int64 // of the commit log
	Flushes     int64 // manifests written
	FlushBytes  int64 // written to segments
	FlushErrors int64 // flushes that failed, in part or as a whole
	Tail        int64 // bytes of records in memory only readable from there
}

// Stats returns the counters. Reading them costs little.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	tail := e.space.owed
	e.mu.Unlock()
	return Stats{
		Groups:      e.stats.groups.Load(),
		GroupBytes:  e.stats.bytes.Load(),
		Syncs:       e.stats.syncs.Load(),
		Flushes:     e.stats.flushes.Load(),
		FlushBytes:  e.stats.flushBytes.Load(),
		FlushErrors: e.stats.flushErrors.Load(),
		Tail:        tail,
	}
}
