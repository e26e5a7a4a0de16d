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
	"io"
	"io/fs"
	"sync"
	"sync/atomic"

	"disd/internal/storage"
)

var errNotExist = fs.ErrNotExist

func isCorrupt(err error) bool {
	var c *storage.CorruptError
	return errors.As(err, &c)
}

// maxGroup is how large a group may become, unless one append alone is larger.
const maxGroup = 16 << 20

// maxAppend bounds one append, so that sizes fit the format's 32 bits.
const maxAppend = 1 << 30

// How urgently the committer wants another commit log file.
const (
	wantNone = iota
	wantLater
	wantNow
)

// Engine is an engine on the local disk.
type Engine struct {
	opt   Options
	dirID uint64
	lock  io.Closer
	// the goroutines, in the order they end
	committing, flushing sync.WaitGroup
	wake                 chan struct{} // to the committer: there is a group, or roll is set
	kick                 chan struct{} // to the flusher: there is something to do
	// closed, in this order, by Close
	stopCommit, stopFlush chan struct{}
	stats                 counters

	mu       sync.Mutex
	cond     sync.Cond // spare, down or repairing changed
	ids      map[storage.LogID]*log
	building *pending // the group that takes appends
	arena    arena
	nextLog  uint64
	// committedLog is the number of the next log, as far as creations are
	// committed.
	committedLog uint64
	freed        chan struct{} // closed when waiting may be worth another try
	waiting      int64         // bytes of appends that wait
	closing      bool
	down         error // why nothing can be appended
	repairing    bool  // down is being seen to
	broke        bool  // the commit log failed and the flusher has not seen it
	roll         bool  // seal the active file
	resting      bool  // nothing came for a while
	sealed       []*generation
	removed      []*log // whose files are still to be deleted
	trimmed      []*log // whose segments may be deletable
	spare        *commitFile
	want         int
	// Room on the disk is set aside for what is not flushed yet: owed by
	// sealed generations and owedNow by the active one. budget can be added
	// to it without asking the disk.
	owed, owedNow, budget int64
	era                   uint64 // counts sealed generations
	full                  error

	// Owned by the committer.
	active  *commitFile
	gen     *generation // content of active
	group   uint64      // number of the next group
	durable uint64      // number of the last group on stable storage

	// Owned by the flusher.
	first      uint64 // the lowest commit log file the manifest needs
	flushed    uint64 // the next group as the manifest knows it
	fileNumber uint64 // number of the next commit log file
	free       []*commitFile
	victims    []string // segment files to delete
	idleMark   int64
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
		l := &log{e: e, id: id, number: e.nextLog}
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

func (e *Engine) logLocked(id storage.LogID) (*log, error) {
	l := e.ids[id]
	if l == nil || !l.born || l.removing {
		return nil, fmt.Errorf("%w: %s", storage.ErrNotFound, id)
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
	err := l.e.control(ctx, 0, nil, func() (effect, error) {
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
		l.e.tidy(l)
	}
	return err
}

// tidy lets the flusher delete segments of l if there are any to delete.
func (e *Engine) tidy(l *log) {
	v, err := l.view()
	if err != nil || len(v.segs) == 0 || v.segs[0].next > v.oldest {
		return
	}
	e.mu.Lock()
	e.trimmed = append(e.trimmed, l)
	e.mu.Unlock()
	signal(e.kick)
}

// errDone means that there is nothing to commit.
var errDone = errors.New("done")

// control commits the effect that decide returns, with body as its data.
// decide is called under e.mu. room is what the effect takes on the disk, 0 if it
// gives room back: a full disk must not keep anybody from that.
func (e *Engine) control(ctx context.Context, room int64, body []byte, decide func() (effect, error)) error {
	e.mu.Lock()
	err := e.admitLocked(ctx, int64(len(body)), room)
	var f effect
	if err == nil {
		f, err = decide()
	}
	if err != nil {
		e.mu.Unlock()
		if errors.Is(err, errDone) {
			return nil
		}
		return err
	}
	p := e.beginLocked(len(body))
	copy(e.arena.body(p, f, 1, len(body)), body)
	e.mu.Unlock()
	signal(e.wake)
	<-p.done
	return p.err
}

// beginLocked returns the group being built, or starts one for n bytes.
func (e *Engine) beginLocked(n int) *pending {
	if e.building == nil {
		e.building = e.arena.begin(n)
	}
	return e.building
}

// part is where one batch of an Append call goes.
type part struct {
	entries, size int
	buf           []byte
}

// Append implements storage.Engine.
func (e *Engine) Append(ctx context.Context, batches []*storage.Batch) {
	var few [4]part
	parts := few[:0]
	var size int64
	for _, b := range batches {
		var p part
		p.entries, p.size, b.Err = check(b.Records)
		parts = append(parts, p)
		size += int64(p.size)
	}
	if size == 0 {
		return
	}
	p, err := e.reserve(ctx, batches, parts, size)
	if p != nil {
		for i, b := range batches {
			if parts[i].buf != nil {
				encodeAppend(parts[i].buf, b, uint32(b.Log.(*log).number))
			}
		}
		p.encoding.Done()
		signal(e.wake)
		<-p.done
		err = p.err
	}
	for _, b := range batches {
		if b.Err == nil {
			b.Err = err
		}
	}
}

// reserve gives every batch without an error its numbers and its memory in a
// group. It returns nil if none got any.
func (e *Engine) reserve(ctx context.Context, batches []*storage.Batch, parts []part, size int64) (*pending, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	room := size + int64(len(batches))*(e.opt.flushRoom()+block)
	if err := e.admitLocked(ctx, size, room); err != nil {
		return nil, err
	}
	now := e.opt.Now().UnixMilli()
	var p *pending
	for i, b := range batches {
		if b.Err != nil {
			continue
		}
		l, err := e.writableLocked(b.Log)
		if err != nil {
			b.Err = err
			continue
		}
		if p == nil {
			p = e.beginLocked(int(size))
			p.encoding.Add(1)
		}
		l.assignLocked(b, now)
		size := int64(parts[i].size)
		if size >= e.opt.Large {
			size += block // the padding before it
		}
		e.chargeLocked(l, size)
		parts[i].buf = e.arena.body(p, effect{kind: kindAppend, l: l}, parts[i].entries, parts[i].size)
	}
	return p, nil
}

// assignLocked gives b its numbers and time.
func (l *log) assignLocked(b *storage.Batch, now int64) {
	l.givenTime = max(l.givenTime, now)
	b.First, b.AppendTime = l.given, l.givenTime
	l.given += storage.Seq(len(b.Records))
}

// writableLocked returns the log if it takes appends.
func (e *Engine) writableLocked(target storage.Log) (*log, error) {
	l, ok := target.(*log)
	if !ok || l.e != e {
		return nil, fmt.Errorf("%w log: is not of this engine", storage.ErrInvalid)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.removed || l.removing:
		return nil, fmt.Errorf("%w: %s", storage.ErrNotFound, l.id)
	case l.lost != nil:
		return nil, l.lost
	case l.refused != nil:
		return nil, l.refused
	}
	return l, nil
}

// admitLocked returns when size more bytes may be committed that will take room
// bytes on the disk. It lets go of e.mu while it waits.
func (e *Engine) admitLocked(ctx context.Context, size, room int64) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if size > maxAppend {
			return fmt.Errorf("%w records: are too large together", storage.ErrInvalid)
		}
		if err := e.healthLocked(); err != nil && !e.repairing {
			return err
		}
		if !e.repairing && e.fitsLocked(size) {
			return e.fundLocked(room)
		}
		if e.waiting > 0 && e.waiting+size > e.opt.MaxPending {
			return fmt.Errorf("%w: %d bytes wait already", storage.ErrBusy, e.waiting)
		}
		e.waitLocked(ctx, size)
	}
}

func (e *Engine) fitsLocked(size int64) bool {
	return e.building == nil || int64(e.building.g.bodies)+size <= min(maxGroup, e.opt.CommitLogSize/2)
}

// waitLocked waits for signalRoomLocked or the end of ctx.
func (e *Engine) waitLocked(ctx context.Context, size int64) {
	if e.freed == nil {
		e.freed = make(chan struct{})
	}
	freed := e.freed
	e.waiting += size
	e.mu.Unlock()
	select {
	case <-freed:
	case <-ctx.Done():
	}
	e.mu.Lock()
	e.waiting -= size
}

func (e *Engine) signalRoomLocked() {
	if e.freed != nil {
		close(e.freed)
		e.freed = nil
	}
}

// What a flush needs beside the records themselves, at most: per log the
// header, starts on block boundaries, directories; per log in the manifest; and
// for the manifest's replacement, rounding and so on.
const (
	perFlushedLog = 24 << 10
	perLog        = 512
	perFlush      = 1 << 20
)

// flushRoom is what a flush needs for a log beside its records: perFlushedLog, and
// the index of a segment that becomes full.
func (o *Options) flushRoom() int64 {
	return perFlushedLog + alignUp(indexHeader+markSize*(o.SegmentSize/markEvery+2), block)
}

// healthyRoom is the size of the append that Health asks for on a disk that
// was full.
const healthyRoom = 64 << 10

// chargeLocked notes that the flush will need size more bytes for l.
func (e *Engine) chargeLocked(l *log, size int64) {
	if l.charged != e.era {
		l.charged = e.era
		size += e.opt.flushRoom()
	}
	e.owedNow += size
	e.budget -= size
}

// fundLocked makes sure that the disk has room to flush size more bytes later,
// so that nothing is acknowledged that cannot go to its segment.
func (e *Engine) fundLocked(size int64) error {
	if size == 0 || e.budget >= size {
		return nil
	}
	left, err := e.leftLocked(size)
	if e.full = err; err == nil {
		e.budget = min(left, max(size, 8<<20))
	}
	return err
}

// claimLocked sets size bytes aside for something that is no record.
func (e *Engine) claimLocked(size int64) error {
	if size == 0 {
		return nil
	}
	_, err := e.leftLocked(size)
	if err == nil {
		e.owed += size
		e.budget = 0 // it counted on these bytes
	}
	return err
}

// leftLocked returns the bytes on the disk that nothing is set aside for, which
// are at least size.
func (e *Engine) leftLocked(size int64) (int64, error) {
	free, err := e.opt.FS.Free(e.opt.Dir)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
	}
	left := free - e.owed - e.owedNow - perFlush - perLog*int64(len(e.ids))
	if left < size {
		return 0, fmt.Errorf("%w: disk full, %d bytes are free", storage.ErrUnavailable, free)
	}
	return left, nil
}

// Health implements storage.Engine.
func (e *Engine) Health() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.healthLocked(); err != nil {
		return err
	}
	if e.full != nil {
		return e.fundLocked(healthyRoom)
	}
	return nil
}

func (e *Engine) healthLocked() error {
	if e.closing {
		return fmt.Errorf("%w: closing", storage.ErrUnavailable)
	}
	return e.down
}

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
	return errors.Join(err, e.lock.Close())
}

// files returns the commit log files the engine holds, when nothing runs any
// more.
func (e *Engine) files() []*commitFile {
	files := e.free
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

type counters struct {
	groups, bytes, syncs, flushes, flushBytes, flushErrors atomic.Int64
}

// Stats returns the counters. Reading them costs little.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	tail := e.owed + e.owedNow
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
