package api

import (
	"errors"
	"net/http"
	"strconv"

	"disd/internal/api/codec"
	"disd/internal/api/dis"
	"disd/internal/api/ops"
	"disd/internal/api/rest"
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

// faults is every error a client can be told about, most specific first (api.md
// section 8). An error that matches none is the server's own.
var faults = []rest.Fault{
	fault(auth.ErrLogin, 401, "IAM.0401", "The login was refused"),
	fault(auth.ErrDenied, 401, "APIGW.0301", "Incorrect IAM authentication information"),
	fault(auth.ErrBlacklisted, 400, "DIS.4309", "Too many request failures. Please try again later."),
	fault(auth.ErrForbidden, 403, "DIS.4116", "Invalid RBAC. %s"),
	fault(auth.ErrProject, 400, "DIS.4117", "Invalid Project Id. %s"),
	fault(errProject, 400, "DIS.4117", "Invalid Project Id. %s"),
	fault(dis.ErrPartitionID, 400, "DIS.4201", "Invalid partition_id. %s"),
	malformed(codec.ErrEmpty, "DIS.4202", "Empty request."),
	malformed(codec.ErrSyntax, "DIS.4300", "Request error."),
	malformed(rest.ErrBody, "DIS.4300", "Request error."),
	malformed(codec.ErrCorrupt, "DIS.4300", "Request error."),
	fault(kind.ErrMalformed, 400, "DIS.4300", "Request error."),
	fault(monitor.ErrPeriod, 400, "DIS.4203", "Invalid monitoring period. %s"),
	fault(monitor.ErrTooOld, 400, "DIS.4204", "The monitoring period cannot be longer than 7 days."),
	fault(monitor.ErrLabel, 400, "DIS.4209", "Invalid metrics label. %s"),
	fault(partition.ErrNotRunning, 400, "DIS.4205", "Stream is not running."),
	fault(kind.ErrMRSCluster, 400, "DIS.4208", "Mrs cluster is invalid. %s"),
	fault(dis.ErrRecordSize, 400, "DIS.4213", "The record is too large. %s"),
	fault(cursor.ErrType, 400, "DIS.4215", "Invalid cursor type. %s"),
	fault(cursor.ErrSequence, 400, "DIS.4216", "Invalid sequence_number. %s"),
	fault(cursor.ErrCursor, 400, "DIS.4217", "Invalid partition cursor. %s"),
	fault(cursor.ErrCursorExpired, 400, "DIS.4225", "Expired partition cursor. %s"),
	fault(storage.ErrTrimmed, 400, "DIS.4226", lostPosition),
	fault(storage.ErrBeyond, 400, "DIS.4226", lostPosition), // a crash without syncs took back numbers
	fault(partition.ErrStreamNotFound, 400, "DIS.4301", "Stream does not exist. %s"),
	fault(partition.ErrPartitionNotFound, 400, "DIS.4302", "Partition does not exist. %s"),
	fault(partition.ErrThrottled, 400, "DIS.4303", "Exceeded traffic control limit."),
	fault(storage.ErrBusy, 400, "DIS.4303", "Exceeded traffic control limit."),
	fault(partition.ErrScalingRate, 400, "DIS.4305", "Too many stream requests."),
	fault(errTooManyCalls, 400, "DIS.4305", "Too many stream requests."),
	fault(kind.ErrBucket, 400, "DIS.4306", "Bucket does not exist. %s"),
	fault(partition.ErrStreamExists, 400, "DIS.4307", "The stream already exists."),
	fault(partition.ErrQuota, 400, "DIS.4308", "Insufficient quota."),
	fault(kind.ErrBucketAccess, 400, "DIS.4310", "OBS access error."),
	fault(partition.ErrPartitionExpired, 400, "DIS.4319", "Partition is expired. %s"),
	fault(cursor.ErrAppQuota, 400, "DIS.4329", "app quota exceeded."),
	fault(cursor.ErrAppExists, 400, "DIS.4330", "app already exist."),
	fault(cursor.ErrAppInUse, 400, "DIS.4331", "app is using."),
	fault(cursor.ErrAppNotFound, 400, "DIS.4332", "app not found."),
	fault(kind.ErrAgency, 400, "DIS.4335", "Invalid IAM agency."),
	fault(kind.ErrHDFSPath, 400, "DIS.4336", "Invalid HDFS path."),
	fault(kind.ErrDLIDatabase, 400, "DIS.4337", "The DLI database does not exist."),
	fault(kind.ErrDLITable, 400, "DIS.4338", "The DLI table does not exist."),
	fault(kind.ErrCloudTableCluster, 400, "DIS.4341", "The CloudTable cluster does not exist."),
	fault(kind.ErrCloudTableTable, 400, "DIS.4342", "The CloudTable table does not exist"),
	fault(kind.ErrColumnFamily, 400, "DIS.4343", "The CloudTable table family does not exist."),
	fault(kind.ErrCloudTableSchema, 400, "DIS.4345", "Invalid CloudTable schema."),
	fault(kind.ErrOpenTSDBSchema, 400, "DIS.4348", "Invalid CloudTable openTSDB schema."),
	fault(kind.ErrDWSCluster, 400, "DIS.4350", "Invalid DWS cluster."),
	fault(kind.ErrKMSKey, 400, "DIS.4351", "Invalid KMS userKey."),
	fault(transfer.ErrTaskNotFound, 400, "DIS.4354", "The transfer task does not exist."),
	fault(transfer.ErrTaskExists, 400, "DIS.4355", "The transfer task already exists."),
	fault(transfer.ErrTaskQuota, 400, "DIS.4357", "Exceeded transfer task quota."),
	fault(kind.ErrSchema, 400, "DIS.4360", "Invalid data schema."),
	fault(partition.ErrSchema, 400, "DIS.4360", "Invalid data schema."),
	fault(cursor.ErrNoCheckpoint, 400, "DIS.4375", "The app does not commit checkpoint"),
	fault(dis.ErrTagQuota, 400, "DIS.4601", "The number of resource tags has reached the maximum."),
	fault(dis.ErrResourceType, 400, "DIS.4602", "Invalid resource type."),
	fault(dis.ErrNoResource, 400, "DIS.4603", "The resource does not exist."),
	fault(dis.ErrNoTag, 400, "DIS.4604", "The key does not exist."),
	fault(dis.ErrTagAction, 400, "DIS.4605", "The action is not supported."),
	fault(group.ErrQuota, 400, "DIS.4339", "Consumer quota exceeded."),
	fault(group.ErrRebalancing, 400, "DIS.4701", "The consumer group is rebalancing. %s"),
	fault(group.ErrNotMember, 400, "DIS.4702", "The consumer is not a member of the group. %s"),
	fault(group.ErrGeneration, 400, "DIS.4703", "Illegal generation. %s"),
	fault(cursor.ErrRange, 400, "DIS.4224", "Sequence_number out of range. %s"),
	fault(cursor.ErrTimestamp, 400, "DIS.4300", "Request error."),
	malformed(field.ErrInvalid, "DIS.4200", "Invalid request. %s"),
	malformed(storage.ErrInvalid, "DIS.4200", "Invalid request. %s"),
	fault(rest.ErrNoAPI, 404, "APIGW.0101", noAPI),
	fault(rest.ErrNoMethod, 405, "APIGW.0101", noAPI),
	fault(rest.ErrTooLarge, 413, "APIGW.0201", "Request entity too large"),
	fault(auth.ErrTooLarge, 413, "APIGW.0201", "Request entity too large"),
	fault(auth.ErrNotFound, 404, "IAM.0404", "There is no such token or key"),
	fault(codec.ErrTooLarge, 413, "APIGW.0201", "Request entity too large"),
	fault(rest.ErrMediaType, 415, "APIGW.0201", "Unsupported media type"),
	fault(codec.ErrEncoding, 415, "APIGW.0201", "Unsupported media type"),
	fault(ops.ErrNotReady, 503, "DIS.5000", "System error."),
	fault(storage.ErrUnavailable, 503, "DIS.5000", "System error."),
}

const lostPosition = "A partition iterator error occurred or a record to which the SN corresponds has expired. Try to obtain the partition iterator again."

const noAPI = "The API does not exist or has not been published in the environment"

// table is what clients are told about errors.
var table = rest.Table{
	Faults:  faults,
	Else:    rest.Fault{Status: http.StatusInternalServerError, Code: "DIS.5000", Message: "System error."},
	Details: details,
}

func fault(err error, status int, code, message string) rest.Fault {
	return rest.Fault{Err: err, Status: status, Code: code, Message: message}
}

// malformed is a request that cannot be read, or asks for what cannot be.
func malformed(err error, code, message string) rest.Fault {
	return rest.Fault{Err: err, Status: http.StatusBadRequest, Code: code, Message: message, Malformed: true}
}

// details returns the bracketed details of an error (C-53).
func details(err error) []string {
	var bad *field.Error
	var bounds *cursor.RangeError
	var old *cursor.TimestampError
	var missing *kind.DestinationError
	switch {
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
