package kind

import "errors"

// ErrMalformed is a descriptor of an impossible structure, such as an object
// where a scalar is documented (C-34).
var ErrMalformed = errors.New("malformed descriptor")

// Errors of destinations, which Openers find when a task is created or updated
// (TC-R6). When a Sink meets them, it wraps ErrRefused as well.
var (
	ErrAgency            = errors.New("agency does not exist")
	ErrBucket            = errors.New("bucket does not exist")
	ErrBucketAccess      = errors.New("bucket cannot be accessed")
	ErrMRSCluster        = errors.New("MRS cluster is invalid")
	ErrHDFSPath          = errors.New("HDFS path does not exist")
	ErrDLIDatabase       = errors.New("DLI database does not exist")
	ErrDLITable          = errors.New("DLI table does not exist")
	ErrCloudTableCluster = errors.New("CloudTable cluster does not exist")
	ErrCloudTableTable   = errors.New("CloudTable table does not exist")
	ErrColumnFamily      = errors.New("CloudTable column family does not exist")
	ErrCloudTableSchema  = errors.New("invalid CloudTable schema")
	ErrOpenTSDBSchema    = errors.New("invalid OpenTSDB schema")
	ErrDWSCluster        = errors.New("DWS cluster is invalid")
	ErrKMSKey            = errors.New("KMS key does not exist")
	// ErrSchema is a stream whose data schema a task cannot use (D-2).
	ErrSchema = errors.New("stream has no usable data schema")
)

// A DestinationError names what is missing. It wraps one of the errors above.
type DestinationError struct {
	Err  error
	Name string // of the bucket, cluster …, or a reason
}

func (e *DestinationError) Error() string { return e.Err.Error() + ": " + e.Name }

// Unwrap returns Err.
func (e *DestinationError) Unwrap() error { return e.Err }

// ErrRefused is what a Sink wraps when trying again will not help: the task goes
// to state ERROR and waits for its owner. Every other error is transient.
var ErrRefused = errors.New("refused by the destination")
