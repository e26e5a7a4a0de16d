package segment

import (
	"errors"
	"fmt"
	"log/slog"

	"disd/internal/storage"
)

// What a flush needs beside the records themselves, at most: for each log it
// writes the header, starts on block boundaries and directories; for each log
// there is its state in the manifest; and once the manifest's replacement,
// rounding and so on.
const (
	perFlushedLog = 24 << 10
	perLog        = 512
	perFlush      = 1 << 20
)

// flushRoom is what a flush needs for a log beside its records: perFlushedLog,
// and the index of a segment that becomes full.
func (o *Options) flushRoom() int64 {
	return perFlushedLog + alignUp(indexHeader+markSize*(o.SegmentSize/markEvery+2), block)
}

// flushSize is what a flush needs for an append of size bytes: large ones begin
// with a block, and the padding before them is written as well.
func (o *Options) flushSize(size int64) int64 {
	if size >= o.Large {
		return size + block
	}
	return size
}

// healthyRoom is the size of the append that a healthy disk has room for.
const healthyRoom = 64 << 10

// space is the room on the disk that is set aside for what is acknowledged and
// not in segments yet, so that nothing is acknowledged that cannot be flushed.
// As long as nobody else fills the disk, the bytes it owes are never more than
// those that are free. Guarded by shared.mu.
type space struct {
	// free asks the file system how many bytes can be set aside in total.
	free   func() (int64, error)
	logger *slog.Logger

	owed  int64 // bytes set aside
	spare int64 // more bytes that can be set aside without asking
	// full is why an append was refused, nil if there is room for the largest
	// that was; refused is how many bytes it needed.
	full    error
	refused int64
}

// maxSpare is how many bytes may be set aside until the file system is asked
// again: somebody else may fill the disk.
const maxSpare = 8 << 20

// require returns nil if size bytes can be set aside.
func (s *space) require(size int64) error {
	if size == 0 || s.spare >= size && s.full == nil {
		return nil
	}
	left, err := s.left(size)
	s.note(size, err)
	if err == nil {
		s.spare = min(left, max(size, maxSpare))
	}
	return err
}

// left returns the bytes on the disk that nothing is set aside for, which are
// at least size.
func (s *space) left(size int64) (int64, error) {
	free, err := s.free()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
	}
	if free-s.owed < size {
		return 0, fmt.Errorf("%w: %w: %d bytes are needed, %d can be used",
			storage.ErrUnavailable, errFull, size, max(free-s.owed, 0))
	}
	return free - s.owed, nil
}

// errFull is why a disk without room refuses.
var errFull = errors.New("disk full")

// note remembers whether size bytes could be set aside, and logs the beginning
// and the end of a time when they cannot.
func (s *space) note(size int64, err error) {
	switch {
	case err != nil && s.full == nil:
		s.logger.Error("appends are refused for lack of room", "error", err)
		s.full, s.refused = err, size
	case err != nil:
		s.full, s.refused = err, max(s.refused, size)
	case s.full != nil && size >= s.refused:
		s.logger.Info("there is room for appends again")
		s.full, s.refused = nil, 0
	}
}

// health returns nil if there is room for an ordinary append, and for the largest
// that was refused.
func (s *space) health(ordinary int64) error {
	return s.require(max(ordinary, s.refused))
}

// set sets size bytes aside, which require has found.
func (s *space) set(size int64) {
	s.owed += size
	s.spare -= size
}

// take sets size bytes aside for something that is no append.
func (s *space) take(size int64) error {
	if size == 0 {
		return nil
	}
	_, err := s.left(size)
	if err == nil {
		s.set(size)
	}
	return err
}

// giveBack ends that size bytes are set aside: they are not needed.
func (s *space) giveBack(size int64) {
	s.owed -= size
	s.spare += size
}

// spend ends that size bytes are set aside: files have them, or some of them.
func (s *space) spend(size int64) { s.owed -= size }
