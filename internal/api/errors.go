package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"disd/internal/api/codec"
	"disd/internal/auth"
	"disd/internal/cursor"
	"disd/internal/cursor/group"
	"disd/internal/field"
	"disd/internal/monitor"
	"disd/internal/partition"
	"disd/internal/storage"
	"disd/internal/transfer"
	"disd/internal/transfer/kind"
)

// Errors of the edge itself.
var (
	errProject     = errors.New("invalid project id")
	errPartitionID = errors.New("invalid partition id")
	errTooLarge    = errors.New("body too large")
	errMediaType   = errors.New("unsupported media type")
	errNoAPI       = errors.New("no such API")
	errNoMethod    = errors.New("no such method")
	errRecordSize  = errors.New("record too large")
	errNotReady    = errors.New("server is not ready")
	errTagQuota    = errors.New("too many tags")

	errTooManyCalls = errors.New("too many calls")
)

// A fault is what a client is told about an error: %s in the message stands for
// bracketed details, which may also follow a message without it (C-53, 8-N2).
type fault struct {
	err     error
	status  int
	code    string
	message string
}

// faults is every error a client can be told about, most specific first (api.md
// section 8). An error that matches none is the server's own, systemError.
var faults = []fault{
	{auth.ErrLogin, 401, "IAM.0401", "The login was refused"},
	{auth.ErrDenied, 401, "APIGW.0301", "Incorrect IAM authentication information"},
	{auth.ErrBlacklisted, 400, "DIS.4309", "Too many request failures. Please try again later."},
	{auth.ErrForbidden, 403, "DIS.4116", "Invalid RBAC. %s"},
	{auth.ErrProject, 400, "DIS.4117", "Invalid Project Id. %s"},
	{errProject, 400, "DIS.4117", "Invalid Project Id. %s"},
	{errPartitionID, 400, "DIS.4201", "Invalid partition_id. %s"},
	{codec.ErrEmpty, 400, "DIS.4202", "Empty request."},
	{codec.ErrSyntax, 400, "DIS.4300", "Request error."},
	{codec.ErrCorrupt, 400, "DIS.4300", "Request error."},
	{kind.ErrMalformed, 400, "DIS.4300", "Request error."},
	{monitor.ErrPeriod, 400, "DIS.4203", "Invalid monitoring period. %s"},
	{monitor.ErrTooOld, 400, "DIS.4204", "The monitoring period cannot be longer than 7 days."},
	{monitor.ErrLabel, 400, "DIS.4209", "Invalid metrics label. %s"},
	{partition.ErrNotRunning, 400, "DIS.4205", "Stream is not running."},
	{kind.ErrMRSCluster, 400, "DIS.4208", "Mrs cluster is invalid. %s"},
	{errRecordSize, 400, "DIS.4213", "The record is too large. %s"},
	{cursor.ErrType, 400, "DIS.4215", "Invalid cursor type. %s"},
	{cursor.ErrSequence, 400, "DIS.4216", "Invalid sequence_number. %s"},
	{cursor.ErrCursor, 400, "DIS.4217", "Invalid partition cursor. %s"},
	{cursor.ErrCursorExpired, 400, "DIS.4225", "Expired partition cursor. %s"},
	{storage.ErrTrimmed, 400, "DIS.4226", lostPosition},
	{storage.ErrBeyond, 400, "DIS.4226", lostPosition}, // a crash without syncs took back numbers
	{partition.ErrStreamNotFound, 400, "DIS.4301", "Stream does not exist. %s"},
	{partition.ErrPartitionNotFound, 400, "DIS.4302", "Partition does not exist. %s"},
	{partition.ErrThrottled, 400, "DIS.4303", "Exceeded traffic control limit."},
	{storage.ErrBusy, 400, "DIS.4303", "Exceeded traffic control limit."},
	{partition.ErrScalingRate, 400, "DIS.4305", "Too many stream requests."},
	{errTooManyCalls, 400, "DIS.4305", "Too many stream requests."},
	{kind.ErrBucket, 400, "DIS.4306", "Bucket does not exist. %s"},
	{partition.ErrStreamExists, 400, "DIS.4307", "The stream already exists."},
	{partition.ErrQuota, 400, "DIS.4308", "Insufficient quota."},
	{kind.ErrBucketAccess, 400, "DIS.4310", "OBS access error."},
	{partition.ErrPartitionExpired, 400, "DIS.4319", "Partition is expired. %s"},
	{cursor.ErrAppQuota, 400, "DIS.4329", "app quota exceeded."},
	{cursor.ErrAppExists, 400, "DIS.4330", "app already exist."},
	{cursor.ErrAppInUse, 400, "DIS.4331", "app is using."},
	{cursor.ErrAppNotFound, 400, "DIS.4332", "app not found."},
	{kind.ErrAgency, 400, "DIS.4335", "Invalid IAM agency."},
	{kind.ErrHDFSPath, 400, "DIS.4336", "Invalid HDFS path."},
	{kind.ErrDLIDatabase, 400, "DIS.4337", "The DLI database does not exist."},
	{kind.ErrDLITable, 400, "DIS.4338", "The DLI table does not exist."},
	{kind.ErrCloudTableCluster, 400, "DIS.4341", "The CloudTable cluster does not exist."},
	{kind.ErrCloudTableTable, 400, "DIS.4342", "The CloudTable table does not exist"},
	{kind.ErrColumnFamily, 400, "DIS.4343", "The CloudTable table family does not exist."},
	{kind.ErrCloudTableSchema, 400, "DIS.4345", "Invalid CloudTable schema."},
	{kind.ErrOpenTSDBSchema, 400, "DIS.4348", "Invalid CloudTable openTSDB schema."},
	{kind.ErrDWSCluster, 400, "DIS.4350", "Invalid DWS cluster."},
	{kind.ErrKMSKey, 400, "DIS.4351", "Invalid KMS userKey."},
	{transfer.ErrTaskNotFound, 400, "DIS.4354", "The transfer task does not exist."},
	{transfer.ErrTaskExists, 400, "DIS.4355", "The transfer task already exists."},
	{transfer.ErrTaskQuota, 400, "DIS.4357", "Exceeded transfer task quota."},
	{kind.ErrSchema, 400, "DIS.4360", "Invalid data schema."},
	{partition.ErrSchema, 400, "DIS.4360", "Invalid data schema."},
	{cursor.ErrNoCheckpoint, 400, "DIS.4375", "The app does not commit checkpoint"},
	{errTagQuota, 400, "DIS.4601", "The number of resource tags has reached the maximum."},
	{errResourceType, 400, "DIS.4602", "Invalid resource type."},
	{errNoResource, 400, "DIS.4603", "The resource does not exist."},
	{errNoTag, 400, "DIS.4604", "The key does not exist."},
	{errTagAction, 400, "DIS.4605", "The action is not supported."},
	{group.ErrQuota, 400, "DIS.4339", "Consumer quota exceeded."},
	{group.ErrRebalancing, 400, "DIS.4701", "The consumer group is rebalancing. %s"},
	{group.ErrNotMember, 400, "DIS.4702", "The consumer is not a member of the group. %s"},
	{group.ErrGeneration, 400, "DIS.4703", "Illegal generation. %s"},
	{cursor.ErrRange, 400, "DIS.4224", "Sequence_number out of range. %s"},
	{cursor.ErrTimestamp, 400, "DIS.4300", "Request error."},
	{field.ErrInvalid, 400, "DIS.4200", "Invalid request. %s"},
	{storage.ErrInvalid, 400, "DIS.4200", "Invalid request. %s"},
	{errNoAPI, 404, "APIGW.0101", noAPI},
	{errNoMethod, 405, "APIGW.0101", noAPI},
	{errTooLarge, 413, "APIGW.0201", "Request entity too large"},
	{auth.ErrTooLarge, 413, "APIGW.0201", "Request entity too large"},
	{auth.ErrNotFound, 404, "IAM.0404", "There is no such token or key"},
	{codec.ErrTooLarge, 413, "APIGW.0201", "Request entity too large"},
	{errMediaType, 415, "APIGW.0201", "Unsupported media type"},
	{codec.ErrEncoding, 415, "APIGW.0201", "Unsupported media type"},
	{errNotReady, 503, "DIS.5000", "System error."},
	{storage.ErrUnavailable, 503, "DIS.5000", "System error."},
}

const lostPosition = "A partition iterator error occurred or a record to which the SN corresponds has expired. Try to obtain the partition iterator again."

const noAPI = "The API does not exist or has not been published in the environment"

var systemError = fault{nil, http.StatusInternalServerError, "DIS.5000", "System error."}

func faultOf(err error) fault {
	for _, f := range faults {
		if errors.Is(err, f.err) {
			return f
		}
	}
	return systemError
}

// recordFaults are the errors of single records in an accepted upload (E19-R4);
// everything else is a storage failure.
var recordFaults = []fault{
	ofRecord(partition.ErrPartitionNotFound),
	ofRecord(partition.ErrPartitionExpired),
	ofRecord(partition.ErrThrottled),
	ofRecord(storage.ErrBusy),
}

// ofRecord is the fault as a record of an upload tells it. The message contains the
// code too, because one client looks only there.
func ofRecord(err error) fault {
	f := faultOf(err)
	return fault{err: err, code: f.code, message: f.text(nil) + " " + f.code}
}

// storageFailure is the code clients know to retry a record on.
const storageFailure = "DIS.5250"

// recordFault returns code and message of a record that was not stored.
func recordFault(err error) (code, message string) {
	for i := range recordFaults {
		if f := &recordFaults[i]; errors.Is(err, f.err) {
			return f.code, f.message
		}
	}
	return storageFailure, systemError.message + " " + storageFailure
}

// A detailed error names what the client's request said.
type detailed struct {
	err   error
	items []string
}

func (d *detailed) Error() string { return d.err.Error() + " [" + strings.Join(d.items, "][") + "]" }
func (d *detailed) Unwrap() error { return d.err }

// detail adds the bracketed items of the message to an error.
func detail(err error, items ...string) error { return &detailed{err, items} }

// itemsOf returns the bracketed details of an error (C-53).
func itemsOf(err error) []string {
	var d *detailed
	var bad *field.Error
	var bounds *cursor.RangeError
	var old *cursor.TimestampError
	var missing *kind.DestinationError
	switch {
	case errors.As(err, &d):
		return d.items
	case errors.As(err, &bad):
		return []string{bad.Field + ": " + bad.Reason}
	case errors.As(err, &bounds):
		return []string{bounds.Seq.String(), " should be within ", bounds.Oldest.String(), " ", bounds.Next.String()}
	case errors.As(err, &missing):
		return []string{missing.Name}
	case errors.As(err, &old):
		return []string{"timestamp is expired, timestamp should be larger than " + strconv.FormatInt(old.Oldest, 10)}
	}
	return nil
}

// text returns the message with its details.
func (f fault) text(items []string) string {
	var b strings.Builder
	for _, item := range items {
		b.WriteString("[" + harmless(item) + "]")
	}
	if before, ok := strings.CutSuffix(f.message, "%s"); ok {
		return strings.TrimSuffix(before+b.String(), " ")
	}
	if b.Len() > 0 {
		return f.message + " " + b.String()
	}
	return f.message
}

var codeLike = regexp.MustCompile(`DIS\.([0-9])`)

// harmless keeps what a client said from looking like an error code: clients
// search whole bodies for codes (8-N3).
func harmless(item string) string { return codeLike.ReplaceAllString(item, "DIS $1") }

// An envelope is the body of every error: both spellings that clients read, all
// values strings, on one line (C-52).
type envelope struct {
	Code      string `json:"errorCode"`
	Message   string `json:"message"`
	CodeV3    string `json:"error_code"`
	MessageV3 string `json:"error_msg"`
	RequestID string `json:"request_id"`
}

// A keystone is what clients of the identity service know beside the envelope.
type keystone struct {
	envelope
	Error struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Title   string `json:"title"`
	} `json:"error"`
}

// malformed is what the identity service says of any body it cannot use.
var malformed = fault{nil, http.StatusBadRequest, "IAM.0400", "The request is malformed. %s"}

// failure turns an error into its answer and the code for metrics and logs.
func (o operation) failure(err error, requestID string) (reply, string) {
	f := faultOf(err)
	if o.iam && f.status == http.StatusBadRequest && strings.HasPrefix(f.code, "DIS.42") || o.iam && f.code == "DIS.4300" {
		f = malformed
	}
	text := f.text(itemsOf(err))
	var v any = envelope{f.code, text, f.code, text, requestID}
	if o.iam && f.message != noAPI || strings.HasPrefix(f.code, "IAM.") { // DIS clients want all values to be strings
		k := keystone{envelope: envelope{f.code, text, f.code, text, requestID}}
		k.Error.Code, k.Error.Message, k.Error.Title = f.status, text, http.StatusText(f.status)
		v = k
	}
	body, _ := json.Marshal(v) // strings and a number cannot fail
	return reply{status: f.status, body: body}, f.code
}

// aborted reports an error that nobody is left to hear about.
func aborted(err error) bool { return errors.Is(err, context.Canceled) }
