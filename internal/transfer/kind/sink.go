package kind

import (
	"context"
	"time"

	"disd/internal/storage"
)

// A Sink writes batches to one destination. Its methods are called by several
// goroutines, for one partition by one at a time. A sink that needs no Columns,
// Delivered, Clean or Forget embeds Plain; nobody asks a Sink for its type, because
// sinks are wrapped.
type Sink interface {
	// Columns returns the columns of the destination, for a kind whose bytes and
	// bad records depend on them (DLI-22); none for the others. They are asked for
	// when a batch is announced and, until there is an answer, before each attempt,
	// and come back in Batch.Columns.
	Columns(ctx context.Context) ([]Column, error)

	// Deliver returns a nil error only when b is durable at the destination, but
	// for the records that the destination rejected and the task's descriptor
	// allows to be lost. It is called again with the same batch after an error, a
	// lost reply or a restart, and must then leave the destination as one call
	// would have. An error that wraps ErrRefused will not be cured by trying again.
	Deliver(ctx context.Context, b Batch) (Receipt, error)

	// Delivered reports whether the destination has a batch. False also means that
	// no earlier attempt will bring it there any more. The batch has its records as
	// long as they can be read; when retention took some, it has none. Of a batch
	// that is split, it is asked about the Parts.
	Delivered(ctx context.Context, b Batch) (bool, error)

	// Clean removes what unfinished attempts of a batch left outside the error
	// directory: temporary and staged files, hidden directories. The batch has no
	// records. That there is nothing to remove is no error.
	Clean(ctx context.Context, b Batch) error

	// Forget removes what is left for the task itself, which is being deleted,
	// when all its batches were cleaned (HDFS-13).
	Forget(ctx context.Context) error

	// Close releases what the sink holds. It has nothing left to write.
	Close()
}

// Plain is embedded by sinks that need none of its methods.
type Plain struct{}

// Columns implements Sink: there are none.
func (Plain) Columns(context.Context) ([]Column, error) { return nil, nil }

// Delivered implements Sink: a batch that is sent again changes nothing.
func (Plain) Delivered(context.Context, Batch) (bool, error) { return false, nil }

// Clean implements Sink: nothing is left.
func (Plain) Clean(context.Context, Batch) error { return nil }

// Forget implements Sink: nothing is left.
func (Plain) Forget(context.Context) error { return nil }

// Close implements Sink: nothing is held.
func (Plain) Close() {}

// A Receipt is what came of a delivery.
type Receipt struct {
	Rejected int64  // records that the destination rejected
	Files    []File // that the batch became outside of buckets, for its manifest (HDFS-20)
}

// A File is one outside of buckets that belongs to a batch.
type File struct {
	Cluster string `json:"cluster"` // its id
	Path    string `json:"path"`
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"` // hexadecimal
}

// A Column is one of the destination's table. Type is as the destination spells
// it.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// A Batch is a run of records of one partition, delivered together (D-6). What
// is written is a pure function of it.
type Batch struct {
	Target    Target
	Partition int32
	First     storage.Seq
	Last      storage.Seq
	Generated time.Time // when it was sealed, in the zone of directories (D-7)
	Version   int       // of the rules by which names and bytes are made (Intent.Version)

	// Records are those from First to Last that could be read: decompressed,
	// without the bad ones. Form took them in; it is nil where records are.
	Records []storage.Record
	Form    Form

	// Parts are what a batch that is split consists of, nil for the others.
	Parts []Part

	// Columns are the answer of Sink.Columns, nil until there is one.
	Columns []Column

	// Floor is the least time in ms that what is written may have as its own
	// (HBASE-12): it lies behind every time of the batches before.
	Floor int64

	// Committing is called before the step after which the batch may have taken
	// effect without an answer. From then on it goes to the error directory only
	// when Sink.Delivered says that the destination does not have it. An error
	// forbids the step. Nil does nothing.
	Committing func() error

	Template string // of file names, "" for DefaultFileName
}

// Commit calls Committing, if there is one.
func (b *Batch) Commit() error {
	if b.Committing == nil {
		return nil
	}
	return b.Committing()
}

// A Form takes in the records of a batch, in their order, before anything of it is
// sent, and says which are bad. What it says is a pure function of record and
// batch, so it says the same after a restart.
type Form interface {
	// Add takes in a record, decompressed. Its error says why the record is bad;
	// the form is then as before.
	Add(r storage.Record) error

	// Size is how many bytes of memory the form holds beside the data of records.
	Size() int64

	// Parts returns what the batch is split into, nil when it is not split.
	Parts() []Part

	// Keep leaves only the parts to deliver, with the names that they had when all
	// their records were there, and returns the records that are left.
	Keep(parts []Part) []storage.Record
}

// Any is a Form that takes every record. Forms that do not split batches embed it.
type Any struct{}

// Add implements Form.
func (Any) Add(storage.Record) error { return nil }

// Size implements Form.
func (Any) Size() int64 { return 0 }

// Parts implements Form.
func (Any) Parts() []Part { return nil }

// Keep implements Form. It is not called.
func (Any) Keep([]Part) []storage.Record { return nil }

// A Part is what becomes one object: a whole batch, or of one that is split over
// directories, the records of one directory.
type Part struct {
	Dir     string      `json:"dir,omitempty"` // of the time
	First   storage.Seq `json:"first"`
	Last    storage.Seq `json:"last"`
	Records int         `json:"records"`         // number of those that are good
	There   bool        `json:"there,omitempty"` // it is at the destination: what is left of it in the log is not delivered
}

// A Store keeps objects in buckets. It is what stands in for OBS. All methods
// may be called at any time.
type Store interface {
	// Bucket returns nil when the bucket can be written to, else ErrBucket,
	// ErrBucketAccess, or a transient error.
	Bucket(ctx context.Context, bucket string) error

	// Put makes the object hold content, durably and all or nothing, whatever
	// was there before. It wraps ErrRefused for a bucket that is gone or may
	// not be written to.
	Put(ctx context.Context, bucket, key string, content []byte) error

	// Has reports whether there is such an object, whole. Its errors are those of
	// Put.
	Has(ctx context.Context, bucket, key string) (bool, error)

	// Abandon removes what unfinished Puts of an object left. That there is nothing
	// is no error.
	Abandon(ctx context.Context, bucket, key string) error

	// Delete removes an object. One that is not there is no error.
	Delete(ctx context.Context, bucket, key string) error
}

// An Archive is a Store as who looks for damage sees it.
type Archive interface {
	// List returns the keys in a bucket that begin with a directory, or all.
	List(ctx context.Context, bucket, dir string) ([]string, error)

	// Get returns an object, or fs.ErrNotExist.
	Get(ctx context.Context, bucket, key string) ([]byte, error)
}
