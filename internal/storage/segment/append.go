package segment

import (
	"context"
	"errors"
	"fmt"

	"disd/internal/storage"
)

// maxGroup is how large a group may become, unless one append alone is larger.
const maxGroup = 16 << 20

// maxAppend bounds one append, so that sizes fit the format's 32 bits.
const maxAppend = 1 << 30

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
func (s *shared) reserve(ctx context.Context, batches []*storage.Batch, parts []part, size int64) (*pending, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	each := s.opt.flushRoom() + block
	if err := s.admitLocked(ctx, size, size+int64(len(batches))*each); err != nil {
		return nil, err
	}
	now := s.opt.Now().UnixMilli()
	var p *pending
	for i, b := range batches {
		if b.Err != nil {
			continue
		}
		l, err := s.writableLocked(b.Log)
		if err != nil {
			b.Err = err
			continue
		}
		if p == nil {
			p = s.beginLocked(int(size))
			p.encoding.Add(1)
		}
		l.assignLocked(b, now)
		p.room += int64(parts[i].size) + each
		s.space.set(int64(parts[i].size) + each)
		parts[i].buf = s.arena.body(p, effect{kind: kindAppend, l: l}, parts[i].entries, parts[i].size)
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
func (s *shared) writableLocked(target storage.Log) (*log, error) {
	l, ok := target.(*log)
	if !ok || l.s != s {
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

// errDone means that there is nothing to commit.
var errDone = errors.New("done")

// control commits the effect that decide returns, with body as its data.
// decide is called under s.mu. room is what the effect takes on the disk, 0 if it
// gives room back: a full disk must not keep anybody from that.
func (s *shared) control(ctx context.Context, room int64, body []byte, decide func() (effect, error)) error {
	s.mu.Lock()
	err := s.admitLocked(ctx, int64(len(body)), room)
	var f effect
	if err == nil {
		f, err = decide()
	}
	if err != nil {
		s.mu.Unlock()
		if errors.Is(err, errDone) {
			return nil
		}
		return err
	}
	p := s.beginLocked(len(body))
	copy(s.arena.body(p, f, 1, len(body)), body)
	s.mu.Unlock()
	signal(s.wake)
	<-p.done
	return p.err
}

// beginLocked returns the group being built, or starts one for n bytes.
func (s *shared) beginLocked(n int) *pending {
	if s.building == nil {
		s.building = s.arena.begin(n)
	}
	return s.building
}

// admitLocked returns when size more bytes may be committed that will take room
// bytes on the disk. It lets go of s.mu while it waits.
func (s *shared) admitLocked(ctx context.Context, size, room int64) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if size > maxAppend {
			return fmt.Errorf("%w records: are too large together", storage.ErrInvalid)
		}
		if err := s.healthLocked(); err != nil && !s.repairing {
			return err
		}
		if !s.repairing && s.fitsLocked(size) {
			return s.space.require(room)
		}
		if s.waiting > 0 && s.waiting+size > s.opt.MaxPending {
			return fmt.Errorf("%w: %d bytes wait already", storage.ErrBusy, s.waiting)
		}
		s.waitLocked(ctx, size)
	}
}

func (s *shared) fitsLocked(size int64) bool {
	return s.building == nil || int64(s.building.g.bodies)+size <= min(maxGroup, s.opt.CommitLogSize/2)
}

// waitLocked waits for signalRoomLocked or the end of ctx.
func (s *shared) waitLocked(ctx context.Context, size int64) {
	if s.freed == nil {
		s.freed = make(chan struct{})
	}
	freed := s.freed
	s.waiting += size
	s.mu.Unlock()
	select {
	case <-freed:
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.waiting -= size
}

func (s *shared) signalRoomLocked() {
	if s.freed != nil {
		close(s.freed)
		s.freed = nil
	}
}
