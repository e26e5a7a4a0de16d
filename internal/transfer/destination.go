package transfer

import (
	"context"
	"time"

	"disd/internal/storage"
)

// A Target is what a sink is opened for.
type Target struct {
	TaskID     string
	TaskName   string
	Stream     Stream
	Descriptor Descriptor
	Password   string // the secret that the descriptor hides; never to be logged
	Store      Store  // with the credentials of the task's agency
}

// An Opener reaches the destinations of one type. Its methods may be called at
// any time.
type Opener interface {
	// Check says whether the task could deliver: nil, or what is missing, in
	// the order of the descriptor's table (TC-R6). It changes nothing there.
	Check(ctx context.Context, t Target) error

	// Open returns a sink for the task, which may be shared by its partitions.
	Open(ctx context.Context, t Target) (Sink, error)
}

// A Sink writes batches to one destination. Deliver is called by several
// goroutines, for one partition by one at a time.
type Sink interface {
	// Deliver returns nil only when b is durable at the destination, but for
	// the records that the destination rejected and the task's descriptor
	// allows to be lost. It is called again with the same batch after an error,
	// a lost reply or a restart, and must then leave the destination as one call
	// would have. An error that wraps ErrRefused will not be cured by trying
	// again.
	Deliver(ctx context.Context, b Batch) (rejected int64, err error)

	// Close releases what the sink holds. It has nothing left to write.
	Close()
}

// A Settler is a Sink that can tell whether it has a batch, without its records.
// False also means that no earlier attempt will bring it there yet.
type Settler interface {
	Delivered(ctx context.Context, b Batch) (bool, error)
}

// A Batch is a run of records of one partition, delivered together (D-6). What
// is written is a pure function of it.
type Batch struct {
	Target    Target
	Partition int32
	First     storage.Seq
	Last      storage.Seq
	Generated time.Time // when it was sealed, in the zone of directories (D-7)

	// Records are those from First to Last that could be read: decompressed,
	// without the bad ones.
	Records []storage.Record

	// Committing is called before the step after which the batch may have taken
	// effect without an answer. From then on it goes to the error directory only
	// when the sink, a Settler, says that the destination does not have it. An
	// error forbids the step. Nil does nothing.
	Committing func() error

	fileName string  // template of names, "" for the default one
	files    []*file // of an OBS task: the same records, once they were cut
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
