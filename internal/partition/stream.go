// Package partition turns logs into streams: it keeps what a stream is made of,
// routes records to partitions, scales, and drops what is older than the
// stream's retention. Reference: sections 5.1 and 5.4; api.md 3.2, 9.1 to 9.4.
package partition

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"disd/internal/field"
	"disd/internal/storage"
	"disd/internal/storage/catalog"
)

// Errors of streams and partitions.
var (
	ErrStreamNotFound    = errors.New("stream does not exist")
	ErrStreamExists      = errors.New("stream exists")
	ErrNotRunning        = errors.New("stream is not running")
	ErrPartitionNotFound = errors.New("partition does not exist")
	ErrPartitionExpired  = errors.New("partition is expired")
	ErrQuota             = errors.New("partition quota exceeded")
	ErrScalingRate       = errors.New("too many scaling operations")
	ErrThrottled         = errors.New("partition throughput exceeded")
	ErrSchema            = errors.New("invalid data schema")
)

// Values of the enumerations of a stream (reference 5.1.1).
const (
	Common   = "COMMON"
	Advanced = "ADVANCED"

	Blob = "BLOB"
	JSON = "JSON"
	CSV  = "CSV"
)

// A State is the state of a partition (api.md L-12a).
type State string

const (
	Active  State = "ACTIVE"  // readable and writable
	Deleted State = "DELETED" // readable until its retention has passed
	Expired State = "EXPIRED" // neither; its data is gone
)

// A Tag is a pair that a user attaches to a stream.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Settings are the properties of a stream that its owner chooses.
type Settings struct {
	Type        string `json:"type"`      // Common or Advanced, fixed at creation
	DataType    string `json:"data_type"` // Blob, JSON or CSV
	Retention   int    `json:"retention"` // hours, 24 to 168
	Schema      string `json:"schema,omitempty"`
	Compression string `json:"compression,omitempty"` // of the bytes inside records; "" for none
	Delimiter   string `json:"delimiter,omitempty"`   // of CSV fields; "" when not given
	AutoScale   bool   `json:"auto_scale,omitempty"`
	AutoMin     int    `json:"auto_min,omitempty"` // partitions; 0 when never set
	AutoMax     int    `json:"auto_max,omitempty"`
	Tags        []Tag  `json:"tags,omitempty"`
	SysTags     []Tag  `json:"sys_tags,omitempty"`
}

// Check holds the settings against each other (E3-R5, E3-R7, E8-R2): ErrSchema, or
// a field.Error. The ranges of single values are the caller's business.
func (c *Settings) Check() error {
	switch {
	case c.AutoScale && c.AutoMin < 1:
		return &field.Error{Field: "auto_scale_min_partition_count", Reason: "needed for auto scaling"}
	case c.AutoScale && c.AutoMax < 1:
		return &field.Error{Field: "auto_scale_max_partition_count", Reason: "needed for auto scaling"}
	case c.AutoMax > 0 && c.AutoMin > c.AutoMax:
		return &field.Error{Field: "auto_scale_min_partition_count", Reason: "larger than the maximum"}
	case c.Schema != "" && c.DataType == Blob:
		return fmt.Errorf("%w: data type BLOB has none", ErrSchema)
	case c.Schema != "":
		return checkSchema(c.Schema)
	}
	return nil
}

// A Part is one partition as a stream describes it; its id is its index.
type Part struct {
	State   State   `json:"state"`
	Closed  int64   `json:"closed,omitempty"`  // ms, when it became Deleted
	Parents []int32 `json:"parents,omitempty"` // set when made by scaling (L-9)
}

// A Scaling is one entry of a stream's scaling history (E6-R5).
type Scaling struct {
	Time     int64 `json:"time"` // ms
	From     int   `json:"from"` // active partitions before
	To       int   `json:"to"`   // and after, had it succeeded
	Auto     bool  `json:"auto,omitempty"`
	Exceeded bool  `json:"exceeded,omitempty"` // it failed with ErrQuota
}

// Info describes a stream at one moment. It is never changed once made.
type Info struct {
	ID       string    `json:"id"` // 19 characters, never reused
	Project  string    `json:"project"`
	Name     string    `json:"name"`
	Created  int64     `json:"created"`  // ms
	Modified int64     `json:"modified"` // ms
	Frozen   bool      `json:"frozen,omitempty"`
	Settings           // as set at creation or by Update
	Parts    []Part    `json:"parts"`
	Scalings []Scaling `json:"scalings,omitempty"` // oldest first
}

// Count returns how many partitions are in one of the states.
func (i *Info) Count(states ...State) int {
	n := 0
	for _, p := range i.Parts {
		if slices.Contains(states, p.State) {
			n++
		}
	}
	return n
}

// HashRange returns the inclusive range of hash values of an active partition,
// and false for one that is not active (L-5, L-10).
func (i *Info) HashRange(id int32) (low, high int64, ok bool) {
	if i.Parts[id].State != Active {
		return -1, -1, false
	}
	low, high = hashRange(int64(id), int64(i.Count(Active)))
	return low, high, true
}

// Partition checks that a partition exists and can be read.
func (i *Info) Partition(id int32) error {
	if int(id) >= len(i.Parts) {
		return ErrPartitionNotFound
	}
	if i.Parts[id].State == Expired {
		return ErrPartitionExpired
	}
	return nil
}

func (i *Info) clone() *Info {
	c := *i
	c.Tags = slices.Clone(i.Tags)
	c.SysTags = slices.Clone(i.SysTags)
	c.Parts = slices.Clone(i.Parts)
	c.Scalings = slices.Clone(i.Scalings)
	return &c
}

// A layout is one consistent picture of a stream: its description with the logs
// behind it. Active partitions are always 0 to active-1 (L-4).
type layout struct {
	info   *Info
	logs   []partitionLog
	active int
}

// A partitionLog is the log of a partition, or why it cannot be used: a damaged
// partition does not stop its stream.
type partitionLog struct {
	log storage.Log
	err error
}

// A Stream is a stream in use. All methods may be called at any time.
type Stream struct {
	set    *Set
	turn   atomic.Uint32 // round robin of records without key
	limits limits
	ages   ages

	change sync.Mutex // held by whoever replaces the layout

	// uploads is held shared by uploads and exclusively while partitions are
	// added, closed or deleted, so that each upload sees one layout (L-12).
	uploads sync.RWMutex
	layout  atomic.Pointer[layout] // nil once the stream is deleted
}

func newStream(set *Set, l *layout) *Stream {
	st := &Stream{set: set}
	st.turn.Store(rand.Uint32())
	st.layout.Store(l)
	return st
}

// Info returns the stream's description, or ErrStreamNotFound when it has been
// deleted.
func (st *Stream) Info() (*Info, error) {
	l := st.layout.Load()
	if l == nil {
		return nil, ErrStreamNotFound
	}
	return l.info, nil
}

// Exists returns ErrStreamNotFound when the stream does not exist in the picture
// of a transaction.
func (st *Stream) Exists(tx catalog.Tx) error {
	info, err := st.Info()
	if err != nil {
		return err
	}
	stored, ok, err := streams.Get(tx, streamKey(info.Project, info.Name))
	if err == nil && (!ok || stored.ID != info.ID) {
		err = ErrStreamNotFound
	}
	return err
}

// Running returns ErrNotRunning while the stream is frozen (L-2).
func (i *Info) Running() error {
	if i.Frozen {
		return ErrNotRunning
	}
	return nil
}

// Log returns the log of a partition that can be read. ErrStreamNotFound,
// ErrPartitionNotFound, ErrPartitionExpired, or a storage.CorruptError.
func (st *Stream) Log(id int32) (storage.Log, error) {
	l := st.layout.Load()
	if l == nil {
		return nil, ErrStreamNotFound
	}
	if err := l.info.Partition(id); err != nil {
		return nil, err
	}
	return l.logs[id].log, l.logs[id].err
}
