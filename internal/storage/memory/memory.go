// Package memory is an engine that keeps logs in memory, for tests and for the
// emulator: the contract of storage.Engine but for durability.
package memory

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"disd/internal/storage"
)

// Options of an Engine.
type Options struct {
	Now func() time.Time // default time.Now

	// Max is how many bytes all records may take, 0 for any number. What would
	// exceed it is refused with storage.ErrUnavailable.
	Max int64
}

// An Engine keeps logs in memory.
type Engine struct {
	now  func() time.Time
	max  int64
	used atomic.Int64 // bytes

	mu     sync.RWMutex
	logs   map[storage.LogID]*log
	closed bool

	// appends is shared by appends, so that a snapshot has all batches of one or none.
	appends sync.RWMutex
}

// Open returns an empty engine.
func Open(opts Options) *Engine {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Engine{now: opts.Now, max: opts.Max, logs: make(map[storage.LogID]*log)}
}

// Create implements storage.Engine.
func (e *Engine) Create(_ context.Context, id storage.LogID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return storage.ErrUnavailable
	}
	if _, ok := e.logs[id]; ok {
		return fmt.Errorf("%w: %v", storage.ErrExists, id)
	}
	e.logs[id] = &log{e: e, id: id, changed: make(chan struct{})}
	return nil
}

// Open implements storage.Engine.
func (e *Engine) Open(_ context.Context, id storage.LogID) (storage.Log, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if l, ok := e.logs[id]; ok {
		return l, nil
	}
	return nil, fmt.Errorf("%w: %v", storage.ErrNotFound, id)
}

// List implements storage.Engine.
func (e *Engine) List(context.Context) ([]storage.LogID, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var ids []storage.LogID
	for id := range e.logs {
		ids = append(ids, id)
	}
	return ids, nil
}

// Remove implements storage.Engine.
func (e *Engine) Remove(_ context.Context, id storage.LogID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l, ok := e.logs[id]; ok {
		l.remove()
		delete(e.logs, id)
	}
	return nil
}

// Append implements storage.Engine.
func (e *Engine) Append(ctx context.Context, batches []*storage.Batch) {
	e.appends.RLock()
	defer e.appends.RUnlock()
	for _, b := range batches {
		b.Err = e.append(ctx, b)
	}
}

func (e *Engine) append(ctx context.Context, b *storage.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := e.Health(); err != nil {
		return err
	}
	if len(b.Records) == 0 {
		return fmt.Errorf("%w: a batch without records", storage.ErrInvalid)
	}
	for i := range b.Records {
		if err := b.Records[i].Check(); err != nil {
			return err
		}
	}
	size := sizeOf(b.Records)
	if err := e.take(size); err != nil {
		return err
	}
	err := b.Log.(*log).append(b, size, e.date(ctx))
	if err != nil {
		e.used.Add(-size)
	}
	return err
}

// sizeOf returns the bytes that records take, with what the runtime needs for them.
func sizeOf(records []storage.Record) (size int64) {
	for i := range records {
		size += records[i].Size() + overhead
	}
	return size
}

// overhead is what a record takes beside its content, about.
const overhead = 128

// Take reserves bytes of Max for something beside the records, or gives them back when
// n is negative, which does not fail. Beyond Max it returns storage.ErrUnavailable.
func (e *Engine) Take(n int64) error { return e.take(n) }

func (e *Engine) take(size int64) error {
	if used := e.used.Add(size); e.max > 0 && used > e.max {
		e.used.Add(-size)
		return e.full(used - size)
	}
	return nil
}

func (e *Engine) full(used int64) error {
	return fmt.Errorf("%w: memory full, records take %d bytes", storage.ErrUnavailable, used)
}

// healthyRoom is the size of the append that Health asks for.
const healthyRoom = 64 << 10

// Health implements storage.Engine.
func (e *Engine) Health() error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return fmt.Errorf("%w: closed", storage.ErrUnavailable)
	}
	if used := e.used.Load(); e.max > 0 && used+healthyRoom > e.max {
		return e.full(used)
	}
	return nil
}

// Close implements storage.Engine. The records are gone.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for _, l := range e.logs {
		l.remove()
	}
	return nil
}

// A log holds the records of one partition, oldest first. Records are never
// changed once they are in it, so readers may keep them.
type log struct {
	e  *Engine
	id storage.LogID

	mu      sync.RWMutex
	oldest  storage.Seq
	records []storage.Record
	trimmed int   // records before them whose memory is not free yet
	last    int64 // append time of the newest record ever
	size    int64
	removed bool
	changed chan struct{} // closed when records arrive or the log is removed
}

// ID implements storage.Log.
func (l *log) ID() storage.LogID { return l.id }

func (l *log) append(b *storage.Batch, size, now int64) error {
	memory := copyRecords(b.Records)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.removed {
		return storage.ErrNotFound
	}
	l.last = max(l.last, now)
	b.First, b.AppendTime = l.oldest+storage.Seq(len(l.records)), l.last
	for i := range memory {
		memory[i].Seq, memory[i].AppendTime = b.First+storage.Seq(i), l.last
	}
	l.size += size
	l.records = append(l.records, memory...)
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

// copyRecords copies records into memory of their own, in one piece.
func copyRecords(records []storage.Record) []storage.Record {
	size := 0
	for i := range records {
		size += len(records[i].Key) + len(records[i].Info) + len(records[i].Data)
	}
	arena := make([]byte, 0, size)
	own := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		start := len(arena)
		arena = append(arena, b...)
		return arena[start:len(arena):len(arena)]
	}
	out := make([]storage.Record, len(records))
	for i, r := range records {
		out[i] = storage.Record{Timestamp: r.Timestamp, Key: own(r.Key), Info: own(r.Info), Data: own(r.Data)}
	}
	return out
}

// Read implements storage.Log.
func (l *log) Read(ctx context.Context, seq storage.Seq, lim storage.Limit, c *storage.Chunk) error {
	c.Records = c.Records[:0]
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch {
	case l.removed:
		return storage.ErrNotFound
	case seq < l.oldest:
		return storage.ErrTrimmed
	case seq > l.oldest+storage.Seq(len(l.records)):
		return storage.ErrBeyond
	}
	size := 0
	for _, r := range l.records[seq-l.oldest:] {
		size += len(r.Data)
		first := len(c.Records) == 0
		if len(c.Records) == lim.Records || size > lim.Bytes && !(first && lim.AtLeastOne) {
			break
		}
		c.Records = append(c.Records, r)
	}
	return nil
}

// Find implements storage.Log.
func (l *log) Find(_ context.Context, t int64) (storage.Seq, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.removed {
		return 0, storage.ErrNotFound
	}
	i := sort.Search(len(l.records), func(i int) bool { return l.records[i].AppendTime >= t })
	return l.oldest + storage.Seq(i), nil
}

// Bounds implements storage.Log.
func (l *log) Bounds() (oldest, next storage.Seq) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.oldest, l.oldest + storage.Seq(len(l.records))
}

// Durable implements storage.Log: nothing here is lost before the process ends,
// and then everything that knows a number is.
func (l *log) Durable() storage.Seq {
	_, next := l.Bounds()
	return next
}

// Trim implements storage.Log.
func (l *log) Trim(_ context.Context, seq storage.Seq) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := seq - l.oldest
	switch {
	case l.removed:
		return storage.ErrNotFound
	case n <= 0:
		return nil
	case n > storage.Seq(len(l.records)):
		return storage.ErrBeyond
	}
	freed := sizeOf(l.records[:n])
	l.size -= freed
	l.e.used.Add(-freed)
	l.records, l.oldest, l.trimmed = l.records[n:], seq, l.trimmed+int(n)
	if l.trimmed >= len(l.records) { // so that their memory is freed, and seldom
		l.records, l.trimmed = slices.Clone(l.records), 0
	}
	return nil
}

// Wait implements storage.Log.
func (l *log) Wait(ctx context.Context, seq storage.Seq) error {
	for {
		l.mu.RLock()
		next, removed, changed := l.oldest+storage.Seq(len(l.records)), l.removed, l.changed
		l.mu.RUnlock()
		switch {
		case removed:
			return storage.ErrNotFound
		case next > seq:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Size implements storage.Log.
func (l *log) Size() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.size
}

func (l *log) remove() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.removed {
		l.removed = true
		l.records = nil
		l.e.used.Add(-l.size)
		l.size = 0
		close(l.changed)
	}
}
