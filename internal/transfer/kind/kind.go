// Package kind holds the words of destinations: what the engine of transfer tasks
// and the kinds of destinations say to each other. A kind is one value, made by a
// package of its own; the engine asks it and never looks at its type.
package kind

import (
	"context"
	"io"
	"strconv"
	"time"
)

// A Type is the destination_type of a task (api.md 3.6).
type Type string

// The types of api.md 3.6.
const (
	OBS        Type = "OBS"
	DWS        Type = "DWS"
	MRS        Type = "MRS"
	DLI        Type = "DLI"
	CloudTable Type = "CLOUDTABLE"
)

// A Kind is one kind of destination.
type Kind struct {
	Type Type

	// Fields is the table of the descriptor (4.3 to 4.7), in the order in which
	// its rows are checked. It begins with CommonFields.
	Fields []Field

	// Variant is the member that a descriptor of this kind has, and those of
	// other kinds of the same type have not (CT-8). Fault is wrapped when not
	// exactly one of them is there. Both are empty for the only kind of a type.
	Variant string
	Fault   error

	// Decode makes the Settings of a descriptor that was checked.
	Decode func(Descriptor) (Settings, error)

	// ErrorDir is the directory below the task's prefix that takes what cannot be
	// delivered (D-8), Ext the extension of batches there (D-10).
	ErrorDir string
	Ext      string

	// GivesUp says that a batch goes to the error directory when retry_duration
	// has passed. A kind that does not tries without end (D-8, D-11).
	GivesUp bool

	// Opener reaches the destinations. Without one, a server has none of the kind,
	// and tasks are refused with Missing (TC-R6).
	Opener  Opener
	Missing error

	// Fetch opens a file at the destination for disd verify-dump; the kinds whose
	// batches note no Files have none. It returns fs.ErrNotExist for a file that
	// is not there; other errors do not tell whether it is.
	Fetch func(ctx context.Context, f File) (io.ReadCloser, error)
}

// Settings are what a descriptor says, decoded once by its kind. They do not
// change. A kind embeds Common, and InBucket or InBackupBucket, and adds the rest.
type Settings interface {
	// Task returns what every descriptor has.
	Task() *Common

	// Valid says what members mean to each other, beyond the rows of the table.
	Valid() error

	// Suits holds the settings against a stream (D-1, D-2, E22-R1, OBS-3, OBS-6).
	Suits(s Stream) error

	// Place names the destination. Batches to one place share a lane, so one that
	// is stuck holds up no batch to another place.
	Place() []string

	// Directory names where the files of the task lie: two tasks with the same
	// root and directory must not give their files the same names (HDFS-8). An
	// empty root means that the task makes no files.
	Directory() (root, dir string)

	// Backup returns bucket and prefix of the objects that a task makes beside
	// what it delivers, or with OBS, of these. The bucket is empty when there is
	// none (CT-7).
	Backup() (bucket, prefix string)

	// Form returns what takes in the records of a batch that has none yet.
	Form(b *Batch) (Form, error)
}

// Common are the members that every descriptor has (4.2), and retry_duration.
type Common struct {
	TaskName string `json:"task_name"`
	Agency   string `json:"agency_name"`
	Interval int64  `json:"deliver_time_interval"` // s
	Strategy string `json:"consumer_strategy"`
	Retry    string `json:"retry_duration"` // s
}

// Task implements Settings.
func (c *Common) Task() *Common { return c }

// Valid implements Settings for kinds whose table says everything.
func (*Common) Valid() error { return nil }

// Every returns deliver_time_interval, by default 300 s (TC-N3).
func (c *Common) Every() time.Duration {
	if c.Interval == 0 {
		return 300 * time.Second
	}
	return time.Duration(c.Interval) * time.Second
}

// Patience returns retry_duration, by default 1800 s.
func (c *Common) Patience() time.Duration {
	n, err := strconv.Atoi(c.Retry)
	if err != nil {
		n = 1800
	}
	return time.Duration(n) * time.Second
}

// FromOldest says that a new task starts at the oldest record instead of behind
// the newest one (TC-R7).
func (c *Common) FromOldest() bool { return c.Strategy == trimHorizon }

// InBucket is the place of objects in descriptors that need one.
type InBucket struct {
	Bucket string `json:"obs_bucket_path"`
	Prefix string `json:"file_prefix"`
}

// Backup implements Settings.
func (b *InBucket) Backup() (bucket, prefix string) { return b.Bucket, b.Prefix }

// Directory implements Settings for kinds whose files lie in the bucket.
func (b *InBucket) Directory() (root, dir string) { return b.Bucket, b.Prefix }

// InBackupBucket is the place of objects in descriptors that need none (CT-7).
type InBackupBucket struct {
	Bucket string `json:"obs_backup_bucket_path"`
	Prefix string `json:"backup_file_prefix"`
}

// Backup implements Settings.
func (b *InBackupBucket) Backup() (bucket, prefix string) { return b.Bucket, b.Prefix }

// Directory implements Settings for kinds whose files lie in the bucket.
func (b *InBackupBucket) Directory() (root, dir string) { return b.Bucket, b.Prefix }

// A Target is what a sink is opened for.
type Target struct {
	TaskID   string
	TaskName string
	Stream   Stream
	Settings Settings
	Kind     *Kind
	Secret   string // what the descriptor hides; never to be logged
	Store    Store  // with the credentials of the task's agency
}

// An Opener reaches the destinations of one kind. Its methods may be called at
// any time.
type Opener interface {
	// Check says whether the task could deliver: nil, or what is missing, in
	// the order of the descriptor's table (TC-R6). The agency was checked before;
	// the bucket of Backup is checked afterwards. It changes nothing there.
	Check(ctx context.Context, t Target) error

	// Open returns a sink for the task, which may be shared by its partitions.
	Open(ctx context.Context, t Target) (Sink, error)
}
