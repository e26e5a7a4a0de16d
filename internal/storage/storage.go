// Package storage holds the words of disd's data path (Record, Seq, LogID)
// and the contract of an engine that keeps them. It does no input or output
// itself; storage/segment and storage/memory are two engines, and
// storage/storagetest is what every engine must pass.
package storage

import (
	"context"
	"fmt"
	"strconv"
)

// A Seq numbers the records of one partition. The first record has 0, each
// further one the next integer, up to 2^63-1 (api.md L-14). On the wire it is a
// decimal string.
type Seq int64

// ParseSeq reads a sequence number as clients write it: decimal digits only,
// 0 to 2^63-1. Everything else wraps ErrInvalid.
func ParseSeq(s string) (Seq, error) {
	if s == "" || s[0] == '+' || s[0] == '-' {
		return 0, fmt.Errorf("%w: sequence number %q", ErrInvalid, s)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: sequence number %q", ErrInvalid, s)
	}
	return Seq(n), nil
}

// String returns the decimal form.
func (s Seq) String() string { return strconv.FormatInt(int64(s), 10) }

// A LogID names the log of one partition. Stream is the stream's id (19
// characters of [0-9A-Za-z], never reused), not its name.
type LogID struct {
	Stream    string
	Partition int32
}

// String returns the form used in logs and errors, "8QM3Nt9YTLOWtUVYJhO/0".
func (id LogID) String() string { return id.Stream + "/" + strconv.Itoa(int(id.Partition)) }

// A Record is one record as it is stored. In records given to Append only
// Timestamp, Key, Info and Data are read.
type Record struct {
	// Seq is the record's number in its partition.
	Seq Seq
	// AppendTime is the server's clock at acceptance in ms since 1970. It
	// never decreases within a log. Retention and search by time go by it.
	AppendTime int64
	// Timestamp is the producer's own time in ms, 0 when it gave none.
	Timestamp int64
	// Key is the partition key to give back to consumers, nil for none. At
	// most MaxKey bytes.
	Key []byte
	// Info is opaque to storage: what the producer sent beside the data, as
	// the layer above encodes it. nil for none, at most MaxInfo bytes.
	Info []byte
	// Data is the payload, at most MaxData bytes, possibly empty.
	Data []byte
}

// Limits of one record. Engines refuse larger ones with ErrInvalid, when
// writing and when reading.
const (
	MaxData = 64 << 20
	MaxKey  = 4 << 10
	MaxInfo = 64 << 10
)

// An Engine keeps the logs of all partitions. All methods may be called at any
// time by any number of goroutines.
type Engine interface {
	// Create makes an empty log. It is durable when nil is returned, and an
	// existing log of that id is ErrExists.
	Create(ctx context.Context, id LogID) error

	// Open returns the log with that id; two calls return the same Log.
	// ErrNotFound if there is none. A log that is damaged where it must be
	// read to open it gives a CorruptError; other logs are not affected.
	Open(ctx context.Context, id LogID) (Log, error)

	// List returns the ids of all logs, in any order.
	List(ctx context.Context) ([]LogID, error)

	// Remove deletes a log with all its records. Removing what is not there
	// is no error. The id may be created again, as a new log from 0.
	Remove(ctx context.Context, id LogID) error

	// Append appends each batch to its log and returns when the fate of all
	// of them is known. Every batch is stored whole or not at all, and the
	// batches are independent of each other: each carries its own outcome in
	// First, AppendTime and Err. A nil Err means the records are durable as
	// far as the engine's sync setting promises, and visible to Read.
	// An Err that wraps ErrUnknown means the records may or may not be kept;
	// any other Err means they are not. At most one batch per log.
	//
	// Batches of concurrent calls for one log are stored in some order, each
	// without a gap. The engine does not keep the memory of the records
	// after it returned. A context that ends while the batches wait for their
	// turn cancels them; batches that are being written are awaited.
	Append(ctx context.Context, batches []*Batch)

	// Health returns nil when the engine would accept an append now, else the
	// reason why not. It costs nothing.
	Health() error

	// Close makes everything accepted durable, whatever the sync setting, and
	// releases all resources. Nothing may be called after it.
	Close() error
}

// A Batch is what one Append call stores in one log.
type Batch struct {
	Log     Log      // opened with the same engine
	Records []Record // at least one

	// First is the number given to the first record, the others follow
	// without a gap. AppendTime is the time given to all of them, in ms.
	First      Seq
	AppendTime int64
	Err        error
}

// A Log is the log of one partition. All methods may be called at any time,
// also during an Append; none of them waits for one.
type Log interface {
	ID() LogID

	// Read replaces the content of c by records from seq on, in order and
	// without a gap, as far as lim allows. It returns none when seq is the
	// next number to be given. ErrTrimmed when seq is older than what is
	// kept, ErrBeyond when it is larger than the next number, CorruptError
	// when the bytes on disk are not what was written: damaged records are
	// never returned, and intact ones before them are.
	Read(ctx context.Context, seq Seq, lim Limit, c *Chunk) error

	// Find returns the number of the oldest kept record with AppendTime >= t
	// (ms), or the next number to be given if there is none.
	Find(ctx context.Context, t int64) (Seq, error)

	// Bounds returns the oldest number that can be read and the next number
	// to be given. They are equal when nothing is kept.
	Bounds() (oldest, next Seq)

	// Durable returns the number before which all records survive the loss of
	// power, as far as is known: the next one to be given if appends are
	// synced, else some earlier one. It does not decrease.
	Durable() Seq

	// Trim makes every record before seq unreadable, at once and durably, and
	// frees space as far as it can. A seq at or below the oldest is no error;
	// one beyond next is ErrBeyond. Numbers are not given again.
	Trim(ctx context.Context, seq Seq) error

	// Wait returns nil as soon as the next number is larger than seq, at once
	// if it is already, ErrNotFound when the log is removed, else the
	// context's error when that ends first.
	Wait(ctx context.Context, seq Seq) error

	// Size returns the bytes the kept records occupy in storage, about.
	Size() int64
}

// A Limit bounds what one Read returns.
type Limit struct {
	// Records is the largest number of records, at least 1.
	Records int
	// Bytes is the largest sum of the records' data, at least 1. Reading ends
	// before the first record that would exceed it, also when that is the
	// very first one.
	Bytes int
	// AtLeastOne returns the first record even when it alone exceeds Bytes.
	AtLeastOne bool
}

// A Chunk receives what Read returns and can be used again and again. The
// records' bytes may lie in Buf or in memory of the log, are valid until the
// next Read into the same Chunk, and must not be changed.
type Chunk struct {
	Records []Record
	Buf     []byte
}

// Check refuses a record beyond the limits with ErrInvalid.
func (r *Record) Check() error {
	switch {
	case len(r.Data) > MaxData:
		return fmt.Errorf("%w: record of %d bytes", ErrInvalid, len(r.Data))
	case len(r.Key) > MaxKey:
		return fmt.Errorf("%w: key of %d bytes", ErrInvalid, len(r.Key))
	case len(r.Info) > MaxInfo:
		return fmt.Errorf("%w: info of %d bytes", ErrInvalid, len(r.Info))
	}
	return nil
}

// Size returns the bytes a record's content takes, about.
func (r *Record) Size() int64 { return int64(len(r.Data) + len(r.Key) + len(r.Info) + 32) }
