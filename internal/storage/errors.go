package storage

import (
	"errors"
	"fmt"
)

// Errors of input: the caller asked for something that cannot be.
var (
	// ErrInvalid is returned when a value is outside its documented range.
	ErrInvalid = errors.New("invalid")
	// ErrNotFound is returned when a log does not exist or exists no more.
	ErrNotFound = errors.New("log not found")
	// ErrExists is returned when a log exists already.
	ErrExists = errors.New("log exists")
	// ErrTrimmed is returned when a sequence number is older than what is kept.
	ErrTrimmed = errors.New("sequence number is no longer kept")
	// ErrBeyond is returned when a sequence number is larger than the next one to
	// be given.
	ErrBeyond = errors.New("sequence number was not given yet")
)

// Errors of operation: the engine could not do it now.
var (
	// ErrUnknown is returned when a write or a sync failed half-way: the records may
	// or may not be kept. The engine never tries again on the same file.
	ErrUnknown = errors.New("outcome unknown")
	// ErrUnavailable is returned when nothing was stored, because the disk is full or
	// broken, or the engine is closing.
	ErrUnavailable = errors.New("storage unavailable")
	// ErrBusy is returned when nothing was stored, because too many bytes wait to be
	// written. Trying again a little later is expected to work.
	ErrBusy = errors.New("storage busy")
)

// A CorruptError says where stored bytes are not what was written.
type CorruptError struct {
	File   string // path as the engine opened it
	Offset int64  // of the damaged structure in File
	Reason string // e.g. "batch checksum mismatch"
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s: damaged at offset %d: %s", e.File, e.Offset, e.Reason)
}
