package cursor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"disd/internal/field"
	"disd/internal/storage"
)

// Errors of positions.
var (
	// ErrType is returned when the kind of position is unknown.
	ErrType = errors.New("invalid cursor type")
	// ErrSequence is returned when a sequence number is missing or no number.
	ErrSequence = errors.New("invalid sequence number")
	// ErrRange is returned, as a RangeError, when a partition does not hold the
	// sequence number.
	ErrRange = errors.New("sequence number out of range")
	// ErrTimestamp is returned, as a TimestampError, when a time is older than
	// the retention.
	ErrTimestamp = errors.New("timestamp is expired")
)

// A RangeError is a sequence number outside what a partition holds (DIS.4224).
type RangeError struct {
	Seq, Oldest, Next storage.Seq
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("sequence number %d should be within %d and %d", e.Seq, e.Oldest, e.Next)
}

// Unwrap returns ErrRange.
func (e *RangeError) Unwrap() error { return ErrRange }

// A TimestampError is a time before the stream's retention (E21-R5).
type TimestampError struct {
	Oldest int64 // ms, what may be asked for instead
}

func (e *TimestampError) Error() string {
	return fmt.Sprintf("timestamp should be larger than %d", e.Oldest)
}

// Unwrap returns ErrTimestamp.
func (e *TimestampError) Unwrap() error { return ErrTimestamp }

// grace is how much older than the retention a requested timestamp may be: a
// client asks again with exactly the time it was told (E21-R5).
const grace = 60 * time.Second

// A Request asks for a position. Sequence and Timestamp are as clients send
// them, "" when absent.
type Request struct {
	Type      string
	Sequence  string
	Timestamp string
}

// Check looks at the request alone, without a log (C-35). ErrType, ErrSequence,
// or a field.Error. What the type does not need is ignored (E21-R4).
func (r Request) Check() error {
	var err error
	switch r.kind() {
	case TrimHorizon, Latest:
	case AtSequence, AfterSequence:
		_, err = r.sequence()
	case AtTimestamp:
		_, err = r.timestamp()
	default:
		err = fmt.Errorf("%w: %s", ErrType, r.Type)
	}
	return err
}

// kind applies the defaults (E21-R9).
func (r Request) kind() Type {
	switch {
	case r.Type != "":
		return Type(r.Type)
	case r.Sequence != "":
		return AtSequence
	}
	return TrimHorizon
}

func (r Request) sequence() (storage.Seq, error) {
	s, err := storage.ParseSeq(r.Sequence)
	if err != nil {
		err = fmt.Errorf("%w: %q", ErrSequence, r.Sequence)
	}
	return s, err
}

func (r Request) timestamp() (int64, error) {
	t, err := storage.ParseSeq(r.Timestamp) // the same form: 0 to 2^63-1
	if err != nil {
		err = &field.Error{Field: "timestamp", Reason: "not a time in milliseconds"}
	}
	return int64(t), err
}

// A source is what a position is resolved against; every storage.Log is one.
type source interface {
	Bounds() (oldest, next storage.Seq)
	Find(ctx context.Context, t int64) (storage.Seq, error)
}

// Resolve finds the position a request means, in a log whose records are kept
// for retention (E21). The cursor's Type, Seq and Timestamp are set. The errors
// of Check, a RangeError, or a TimestampError.
func (r Request) Resolve(ctx context.Context, log source, now time.Time, retention time.Duration) (Cursor, error) {
	c := Cursor{Type: r.kind()}
	if err := r.Check(); err != nil {
		return c, err
	}
	oldest, next := log.Bounds()
	var err error
	switch c.Type {
	case TrimHorizon:
		c.Seq = oldest
	case Latest:
		c.Seq = next
	case AtSequence:
		c.Seq, err = r.from(0, oldest, next)
	case AfterSequence:
		c.Seq, err = r.from(1, oldest, next)
	case AtTimestamp:
		c.Timestamp, _ = r.timestamp()
		if since := now.Add(-retention); c.Timestamp < since.Add(-grace).UnixMilli() {
			return c, &TimestampError{since.UnixMilli()}
		}
		c.Seq, err = log.Find(ctx, c.Timestamp)
	}
	return c, err
}

// from returns the position that lies offset after the requested number.
func (r Request) from(offset, oldest, next storage.Seq) (storage.Seq, error) {
	s, _ := r.sequence()
	if s == math.MaxInt64 || s+offset < oldest || s+offset > next {
		return 0, &RangeError{s, oldest, next}
	}
	return s + offset, nil
}
