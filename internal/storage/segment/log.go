package segment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"disd/internal/storage"
	"disd/internal/storage/vfs"
)

// log is one partition's log: finished and growing segment files, then the
// tail, which is in memory and in the commit log.
type log struct {
	s      *shared
	id     storage.LogID
	number uint64

	// Guarded by shared.mu. They run ahead of next and time by what waits to
	// be committed.
	given     storage.Seq
	givenTime int64
	born      bool // its creation is committed
	removing  bool

	// Owned by the committer.
	gen      *generation // the last one that has batches of this log
	unsynced bool        // it is in committer.unsynced

	files logFiles // owned by the flusher

	mu sync.Mutex // guards the rest, held for moments only
	// segs and tail are never changed in place, except that tail grows
	// beyond the length anyone has seen: a copy of the slice header taken
	// under mu is a view that stays good.
	segs         []*segment
	tail         []batch
	sealed       int   // batches of tail that the next flush writes
	owed         int64 // bytes set aside for the flush of the rest of tail
	owedSealed   int64 // bytes set aside for the flush of these
	oldest, next storage.Seq
	durable      storage.Seq // records before it are on stable storage; not kept with SyncAlways
	time         int64       // append time of the last record
	removed      bool
	changed      chan struct{}         // closed when next grows or the log goes, nil if nobody waits
	lost         *storage.CorruptError // where records of it got lost, nil if none did
	suspect      *place                // lost records may be the last ones, so next is not sure
	refused      error                 // why its tail cannot be flushed
}

// logFiles is what the flusher knows about a log's segment files. written is
// what they hold and the next manifest will say; written batches are still at the
// start of the tail.
type logFiles struct {
	written     []*segment
	done        int      // batches of the tail that are in written
	writtenTime int64    // append time of the last record in written
	obsolete    []string // files to delete after the next manifest
	clean       bool     // the directory is there and holds no files but written
	abandoned   bool     // the last file of written failed: no more writes to it
}

// batch is one batch of a tail. data is its bytes as in a file.
type batch struct {
	first, next storage.Seq
	time        int64
	data        []byte
}

func (b *batch) payload() []byte {
	return b.data[batchHeader : batchHeader+le.Uint32(b.data[28:])]
}

// view is a log at one moment.
type view struct {
	segs         []*segment
	tail         []batch
	oldest, next storage.Seq
	lost         *storage.CorruptError
}

func (l *log) view() (view, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.removed {
		return view{}, fmt.Errorf("%w: %s", storage.ErrNotFound, l.id)
	}
	return view{l.segs, l.tail, l.oldest, l.next, l.lost}, nil
}

func (l *log) ID() storage.LogID { return l.id }

func (l *log) Bounds() (oldest, next storage.Seq) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.oldest, l.next
}

func (l *log) Durable() storage.Seq {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.s.opt.Sync == SyncAlways {
		return l.next
	}
	return l.durable
}

func (l *log) Size() int64 {
	v, _ := l.view()
	var n int64
	for _, s := range v.segs {
		n += s.end
	}
	for i := range v.tail {
		n += int64(len(v.tail[i].data))
	}
	return n
}

func (l *log) Wait(ctx context.Context, seq storage.Seq) error {
	for {
		l.mu.Lock()
		if l.removed {
			l.mu.Unlock()
			return fmt.Errorf("%w: %s", storage.ErrNotFound, l.id)
		}
		if l.next > seq {
			l.mu.Unlock()
			return nil
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wakeLocked wakes everyone in Wait.
func (l *log) wakeLocked() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

func (l *log) Read(ctx context.Context, seq storage.Seq, lim storage.Limit, c *storage.Chunk) error {
	c.Records, c.Buf = c.Records[:0], c.Buf[:0]
	if lim.Records < 1 || lim.Bytes < 1 {
		return fmt.Errorf("%w limit: must be at least 1", storage.ErrInvalid)
	}
	f := filler{c: c, lim: lim, seq: seq}
	err := l.read(&f)
	if len(c.Records) > 0 {
		return nil // damage behind them shows when it is read from
	}
	return err
}

func (l *log) read(f *filler) error {
	v, err := l.view()
	if err != nil {
		return err
	}
	if err := v.contains(f.seq); err != nil {
		return err
	}
	err = v.read(l.s.opt.FS, f)
	if err == nil {
		return nil
	}
	// Files of the view may be gone because the log was trimmed or removed
	// meanwhile; then that is the answer.
	now, gone := l.view()
	if gone == nil {
		gone = now.contains(f.seq)
	}
	if gone != nil {
		return gone
	}
	return err
}

func (v *view) contains(seq storage.Seq) error {
	switch {
	case seq < v.oldest:
		return fmt.Errorf("%w: %d, the oldest is %d", storage.ErrTrimmed, seq, v.oldest)
	case seq > v.next:
		return fmt.Errorf("%w: %d, the next is %d", storage.ErrBeyond, seq, v.next)
	}
	return nil
}

func (v *view) read(fs vfs.FS, f *filler) error {
	for f.seq < v.next && !f.full {
		if err := v.readPart(fs, f); err != nil {
			return err
		}
	}
	return nil
}

// readPart reads on in the segment or the tail that holds the next record.
func (v *view) readPart(fs vfs.FS, f *filler) error {
	i := sort.Search(len(v.segs), func(i int) bool { return v.segs[i].next > f.seq })
	if i < len(v.segs) && v.segs[i].base <= f.seq {
		return v.segs[i].read(fs, f)
	}
	i = sort.Search(len(v.tail), func(i int) bool { return v.tail[i].next > f.seq })
	if i == len(v.tail) || v.tail[i].first > f.seq {
		return v.lost
	}
	for ; i < len(v.tail) && !f.full && v.tail[i].first <= f.seq; i++ {
		b := &v.tail[i]
		if err := f.add(b.first, b.next, b.time, b.payload()); err != nil {
			return err
		}
	}
	return nil
}

func (l *log) Find(ctx context.Context, t int64) (storage.Seq, error) {
	v, err := l.view()
	if err != nil {
		return 0, err
	}
	seq, err := v.find(l.s.opt.FS, t)
	now, gone := l.view()
	if gone != nil {
		return 0, gone
	}
	if err != nil && now.oldest > v.oldest {
		return l.Find(ctx, t) // it was trimmed meanwhile
	}
	return max(seq, now.oldest), err
}

func (v *view) find(fs vfs.FS, t int64) (storage.Seq, error) {
	// Segments that are trimmed as a whole may be gone already.
	i := sort.Search(len(v.segs), func(i int) bool { return v.segs[i].time >= t && v.segs[i].next > v.oldest })
	if i < len(v.segs) {
		return v.segs[i].findTime(fs, t)
	}
	i = sort.Search(len(v.tail), func(i int) bool { return v.tail[i].time >= t })
	if i < len(v.tail) {
		return v.tail[i].first, nil
	}
	return v.next, nil
}

// gapLocked reports whether records between oldest and next are missing, or
// may be missing after next. Such a log takes no appends.
func (l *log) gapLocked() bool {
	at := l.oldest
	for _, s := range l.segs {
		if s.base > at {
			return true
		}
		at = max(at, s.next)
	}
	for i := range l.tail {
		if l.tail[i].first > at {
			return true
		}
		at = max(at, l.tail[i].next)
	}
	return at < l.next || l.suspect != nil
}

// filler fills a chunk.
type filler struct {
	c    *storage.Chunk
	lim  storage.Limit
	seq  storage.Seq // the record to add next
	size int         // data bytes so far
	full bool
}

// want returns how many bytes are worth reading from a file at once.
func (f *filler) want() int {
	left := min(f.lim.Bytes-f.size, 4<<20)
	return max(markEvery, left+left/8+block)
}

// load reads at most n bytes of s at pos, less where the file ends early, into
// memory that lives as long as the chunk's content.
func (f *filler) load(s *segment, file vfs.File, pos int64, n int) ([]byte, error) {
	n = int(min(int64(n), s.end-pos))
	b := f.c.Buf
	if cap(b)-len(b) < n {
		// With room for a second load: the last batch is often cut by the
		// first, and the chunk should keep the larger memory.
		b = make([]byte, 0, n+2*maxPayload)
	}
	n, err := file.ReadAt(b[len(b):len(b)+n], pos)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	f.c.Buf = b[:len(b)+n]
	return f.c.Buf[len(b) : len(b)+n : len(b)+n], nil
}

// add adds the records of a batch, first to before next, from f.seq on.
func (f *filler) add(first, next storage.Seq, time int64, payload []byte) error {
	seq := first
	for ; len(payload) > 0 && seq < next; seq++ {
		var r storage.Record
		n, err := parseRecord(payload, &r)
		if err != nil {
			return err
		}
		payload = payload[n:]
		if seq < f.seq {
			continue
		}
		if !f.fits(len(r.Data)) {
			f.full = true
			return nil
		}
		r.Seq, r.AppendTime = seq, time
		f.c.Records = append(f.c.Records, r)
		f.size += len(r.Data)
		f.seq = seq + 1
		if len(f.c.Records) == f.lim.Records || f.size > f.lim.Bytes { // empty records fit behind the last byte
			f.full = true
			return nil
		}
	}
	if len(payload) > 0 || seq < next {
		return errFields
	}
	return nil
}

func (f *filler) fits(n int) bool {
	have := len(f.c.Records)
	if have == 0 && f.lim.AtLeastOne {
		return true
	}
	return have < f.lim.Records && f.size+n <= f.lim.Bytes
}
