package storage

import (
	"errors"
	"fmt"
)

// Errors of input: the caller asked for something that cannot be.
var (
	// ErrInvalid is a value outside its documented range.
	ErrInvalid = errors.New("invalid")
	// ErrNotFound is a log that does not exist (any more).
	ErrNotFound = errors.New("log not found")
	// ErrExists is a log that exists already.
	ErrExists = errors.New("log exists")
	// ErrTrimmed is a sequence number older than what is kept.
	ErrTrimmed = errors.New("sequence number is no longer kept")
	// ErrBeyond is a sequence number larger than the next one to be given.
	ErrBeyond = errors.New("sequence number was not given yet")
)

// Errors of operation: the engine could not do it now.
var (
	// ErrUnknown is a write or sync that failed half-way: the records may or
	// may not be kept. It is never retried on the same file.
	ErrUnknown = errors.New("outcome unknown")
	// ErrUnavailable is a definite refusal, nothing was stored: the disk is
	// full or broken, or the engine is closing.
	ErrUnavailable = errors.New("storage unavailable")
	// ErrBusy is a definite refusal because too many bytes wait to be
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
