package segment

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"time"

	"disd/internal/storage"
	"disd/internal/storage/vfs"
)

// Sync says what is on stable storage when an append returns. Create, Remove
// and Trim are, and all that was appended before, in every mode.
type Sync int

const (
	// SyncAlways: the append.
	SyncAlways Sync = iota
	// SyncInterval: everything older than SyncInterval.
	SyncInterval
	// SyncOff: what the operating system happened to write, and everything
	// after Close.
	SyncOff
)

// ParseSync reads "always", "interval" or "off".
func ParseSync(s string) (Sync, error) {
	for i, name := range [...]string{"always", "interval", "off"} {
		if s == name {
			return Sync(i), nil
		}
	}
	return 0, fmt.Errorf("%w sync: %q is none of always, interval, off", storage.ErrInvalid, s)
}

// Options of an engine. Only Dir must be set.
type Options struct {
	// Dir is the data directory. Its parent exists.
	Dir string
	// FS is the file system, nil for the machine's.
	FS vfs.FS
	// Sync is SyncAlways unless set.
	Sync Sync
	// SyncInterval is how often SyncInterval syncs; 0 means 100 ms.
	SyncInterval time.Duration
	// CommitLogSize is the size of one commit log file in bytes, and about
	// the memory that the records of one take until they are flushed to
	// segments. There are two or three such files. A multiple of 4096, at
	// least 8192; 0 means 64 MiB.
	CommitLogSize int64
	// SegmentSize is where a segment file ends, in bytes of data; a single
	// append may exceed it. At least 4096; 0 means 64 MiB.
	SegmentSize int64
	// Large is from how many bytes on it is worth to write past the page
	// cache, and without a copy: an append of that size begins with a block,
	// and a flush of that much of a log is written so. 0 means 32 KiB.
	Large int64
	// MaxPending is how many bytes of appends may wait while the disk is
	// behind; more are refused with storage.ErrBusy. 0 means 64 MiB.
	MaxPending int64
	// IdleFlush is how long nothing is appended before the records in memory
	// go to their segments; 0 means 10 s, less than 0 means never.
	IdleFlush time.Duration
	// Catalog returns the number of the last commit of the catalog that
	// describes the logs; it grows from process to process. It is kept with
	// the marks, so that an older catalog is noticed. It must not wait for
	// anything. nil means that there is no catalog.
	Catalog func() uint64
	// Now is the clock that append times are taken from, nil for time.Now.
	Now func() time.Time
	// Rand is where the identity of a new directory comes from, nil for
	// crypto/rand.
	Rand io.Reader
	// Logger is told about damage and failing disks, nil for nobody.
	Logger *slog.Logger
}

// withDefaults returns a checked copy in which everything is set.
func (o Options) withDefaults() (Options, error) {
	o.FS = or(o.FS, vfs.OS)
	o.SyncInterval = or(o.SyncInterval, 100*time.Millisecond)
	o.CommitLogSize = or(o.CommitLogSize, 64<<20)
	o.SegmentSize = or(o.SegmentSize, 64<<20)
	o.Large = or(o.Large, 32<<10)
	o.MaxPending = or(o.MaxPending, 64<<20)
	o.IdleFlush = or(o.IdleFlush, 10*time.Second)
	o.Rand = or(o.Rand, rand.Reader)
	o.Logger = or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Now == nil {
		o.Now = time.Now
	}
	switch {
	case o.Dir == "":
		return o, fmt.Errorf("%w Dir: is empty", storage.ErrInvalid)
	case o.Sync < SyncAlways || o.Sync > SyncOff:
		return o, fmt.Errorf("%w Sync: is unknown", storage.ErrInvalid)
	case o.SyncInterval < 0:
		return o, fmt.Errorf("%w SyncInterval: is negative", storage.ErrInvalid)
	case o.CommitLogSize < 2*block || o.CommitLogSize%block != 0:
		return o, fmt.Errorf("%w CommitLogSize: is no multiple of 4096 from 8192 on", storage.ErrInvalid)
	case o.SegmentSize < block:
		return o, fmt.Errorf("%w SegmentSize: is below 4096", storage.ErrInvalid)
	case o.Large < 0:
		return o, fmt.Errorf("%w Large: is negative", storage.ErrInvalid)
	case o.MaxPending < 0:
		return o, fmt.Errorf("%w MaxPending: is negative", storage.ErrInvalid)
	}
	return o, nil
}

func or[T comparable](v, ordinary T) T {
	var zero T
	if v == zero {
		return ordinary
	}
	return v
}
