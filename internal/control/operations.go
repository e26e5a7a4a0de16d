package control

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// numbers are the operations of the API by their number in the index of api.md: the
// names that rules may give them, the first of which is the one that journals show.
var numbers = map[int][]string{
	1: {"CreateToken"}, 2: {"ListProjects"}, 3: {"CreateStream"}, 4: {"ListStreams"}, 5: {"DeleteStream"},
	6: {"ShowStream"}, 7: {"UpdatePartitionCount"}, 8: {"UpdateStream"}, 9: {"CreatePolicies"}, 10: {"ListPolicies"},
	11: {"CreateApp"}, 12: {"ListApp"}, 13: {"DeleteApp"}, 14: {"ShowApp"}, 15: {"ShowConsumerState"},
	16: {"CommitCheckpoint"}, 17: {"ShowCheckpoint"}, 18: {"DeleteCheckpoint"}, 19: {"SendRecords", "PutRecords"},
	20: {"ConsumeRecords", "GetRecords"}, 21: {"ShowCursor", "GetCursor"},
	22: {"CreateObsTransferTask"}, 23: {"ListTransferTasks"}, 24: {"DeleteTransferTask"}, 25: {"ShowTransferTask"},
	26: {"BatchStartTransferTask"}, 27: {"BatchStopTransferTask"}, 28: {"CreateDwsTransferTask"}, 29: {"CreateMrsTransferTask"},
	30: {"CreateDliTransferTask"}, 31: {"CreateCloudTableTransferTask"}, 32: {"ShowStreamMetrics"}, 33: {"ShowPartitionMetrics"},
	34: {"CreateTag"}, 35: {"ShowStreamTags"}, 36: {"DeleteTag"}, 37: {"BatchCreateTags"}, 38: {"ListTags"},
	39: {"ListResourcesByTags"}, 40: {"BatchDeleteTags"}, 41: {"UpdateStreamOld"}, 42: {"ShowStreamByID"}, 43: {"JoinGroup"},
	44: {"SyncGroup"}, 45: {"Heartbeat"}, 46: {"LeaveGroup"}, 47: {"ShowFileState"}, 48: {"UpdateTransferTask"},
	50: {"DeletePolicies"}, 51: {"ListVersions", "ShowVersion"}, 52: {"ShowToken"}, 53: {"ShowCatalog"}, 54: {"ListDomains"},
	55: {"ListAuthProjects"}, 56: {"ListUsers"}, 57: {"CreateTemporaryKey"}, 58: {"CreateTokenByIdentity"}, 59: {"ShowAccessKey"},
}

// operationNumber returns the number of an operation by one of its names or as E19,
// and false for what is none.
func operationNumber(name string) (int, bool) {
	if digits, ok := strings.CutPrefix(name, "E"); ok {
		n, err := strconv.Atoi(digits)
		_, known := numbers[n]
		return n, err == nil && known
	}
	for n, names := range numbers {
		if slices.Contains(names, name) {
			return n, true
		}
	}
	return 0, false
}

func operationNames() (all []string) {
	for _, names := range numbers {
		all = append(all, names...)
	}
	slices.Sort(all)
	return all
}

// A code is a row of section 8 of api.md.
type code struct {
	status  int
	message string
	where   []int // numbers of operations
	group   codeGroup
}

type codeGroup int

const (
	some      codeGroup = iota // where
	common                     // every operation of DIS
	withBody                   // every operation with a body, and where
	perRecord                  // of a record only
	anywhere
)

// bodied are the operations with a body (BODY of section 8).
var bodied = []int{3, 7, 8, 9, 11, 16, 19, 22, 26, 27, 28, 29, 30, 31, 34, 37, 39, 40, 41, 43, 44, 45, 48, 50}

func span(from, to int) (list []int) {
	for n := from; n <= to; n++ {
		list = append(list, n)
	}
	return list
}

func ops(parts ...any) (list []int) {
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			list = append(list, p)
		case []int:
			list = append(list, p...)
		}
	}
	return list
}

var taskOps = ops(22, span(28, 31), 48)

// codes are the errors of the API with the operations that answer them.
var codes = map[string]code{
	"DIS.4117": {400, "Invalid Project Id. %s", nil, common},
	"DIS.4200": {400, "Invalid request. %s", nil, common},
	"DIS.4201": {400, "Invalid partition_id. %s", ops(6, span(15, 19), 21, 33, 42), some},
	"DIS.4202": {400, "Empty request.", nil, withBody},
	"DIS.4203": {400, "Invalid monitoring period. %s", ops(32, 33), some},
	"DIS.4204": {400, "The monitoring period cannot be longer than 7 days.", ops(32, 33), some},
	"DIS.4205": {400, "Stream is not running.", ops(7, 8, span(19, 22), span(28, 31), 41, 48), some},
	"DIS.4208": {400, "Mrs cluster is invalid. %s", ops(29, 48), some},
	"DIS.4209": {400, "Invalid metrics label. %s", ops(32, 33), some},
	"DIS.4213": {400, "The record is too large. %s", ops(19), some},
	"DIS.4215": {400, "Invalid cursor type. %s", ops(21), some},
	"DIS.4216": {400, "Invalid sequence_number. %s", ops(16, 21), some},
	"DIS.4217": {400, "Invalid partition cursor. %s", ops(20), some},
	"DIS.4224": {400, "Sequence_number out of range. %s", ops(16, 21), some},
	"DIS.4225": {400, "Expired partition cursor. %s", ops(20), some},
	"DIS.4226": {400, "A partition iterator error occurred or a record to which the SN corresponds has expired. Try to obtain the partition iterator again.", ops(20), some},
	"DIS.4300": {400, "Request error.", ops(21), withBody},
	"DIS.4301": {400, "Stream does not exist. %s", ops(span(5, 10), 12, span(15, 33), 41, 42, 47, 48, 50), some},
	"DIS.4302": {400, "Partition does not exist. %s", ops(16, 17, 18, 21, 33), some},
	"DIS.4303": {400, "Exceeded traffic control limit.", ops(20), some},
	"DIS.4305": {400, "Too many stream requests.", nil, common},
	"DIS.4306": {400, "Bucket does not exist. %s", taskOps, some},
	"DIS.4307": {400, "The stream already exists.", ops(3), some},
	"DIS.4308": {400, "Insufficient quota.", ops(3, 7), some},
	"DIS.4309": {400, "Too many request failures. Please try again later.", nil, common},
	"DIS.4310": {400, "OBS access error.", taskOps, some},
	"DIS.4319": {400, "Partition is expired. %s", ops(16, 20, 21), some},
	"DIS.4329": {400, "app quota exceeded.", ops(11), some},
	"DIS.4330": {400, "app already exist.", ops(11), some},
	"DIS.4331": {400, "app is using.", ops(13), some},
	"DIS.4332": {400, "app not found.", ops(span(13, 16), 18), some},
	"DIS.4335": {400, "Invalid IAM agency.", taskOps, some},
	"DIS.4336": {400, "Invalid HDFS path.", ops(29, 48), some},
	"DIS.4337": {400, "The DLI database does not exist.", ops(30, 48), some},
	"DIS.4338": {400, "The DLI table does not exist.", ops(30, 48), some},
	"DIS.4339": {400, "Consumer quota exceeded.", ops(43), some},
	"DIS.4341": {400, "The CloudTable cluster does not exist.", ops(31, 48), some},
	"DIS.4342": {400, "The CloudTable table does not exist", ops(31, 48), some},
	"DIS.4343": {400, "The CloudTable table family does not exist.", ops(31, 48), some},
	"DIS.4345": {400, "Invalid CloudTable schema.", ops(31, 48), some},
	"DIS.4348": {400, "Invalid CloudTable openTSDB schema.", ops(31, 48), some},
	"DIS.4350": {400, "Invalid DWS cluster.", ops(28, 48), some},
	"DIS.4351": {400, "Invalid KMS userKey.", ops(28, 48), some},
	"DIS.4354": {400, "The transfer task does not exist.", ops(span(24, 27), 48), some},
	"DIS.4355": {400, "The transfer task already exists.", ops(22, span(28, 31)), some},
	"DIS.4357": {400, "Exceeded transfer task quota.", ops(22, span(28, 31)), some},
	"DIS.4360": {400, "Invalid data schema.", ops(3, 8, 41, 22, 28, 30, 48), some},
	"DIS.4375": {400, "The app does not commit checkpoint", ops(18), some},
	"DIS.4601": {400, "The number of resource tags has reached the maximum.", ops(3, 34, 37), some},
	"DIS.4602": {400, "Invalid resource type.", span(34, 40), some},
	"DIS.4603": {400, "The resource does not exist.", ops(span(34, 37), 40), some},
	"DIS.4604": {400, "The key does not exist.", ops(36), some},
	"DIS.4605": {400, "The action is not supported.", ops(37, 39, 40), some},
	"DIS.4701": {400, "The consumer group is rebalancing. %s", ops(16), some},
	"DIS.4702": {400, "The consumer is not a member of the group. %s", ops(16), some},
	"DIS.4703": {400, "Illegal generation. %s", ops(16), some},
	"DIS.4116": {403, "Invalid RBAC. %s", nil, common},
	"DIS.5000": {500, "System error.", nil, common},
	"DIS.5250": {500, "System error.", nil, perRecord},

	"APIGW.0301": {401, "Incorrect IAM authentication information", ops(span(2, 50), span(52, 57), 59), some},
	"APIGW.0201": {413, "Request entity too large", ops(1, 57, 58), withBody},
	"APIGW.0308": {429, "The throttling threshold has been reached", nil, anywhere},
	"IAM.0400":   {400, "The request is malformed.", ops(1, 57, 58), some},
	"IAM.0401":   {401, "The username or password is wrong.", ops(1, 57, 58), some},
	"IAM.0404":   {404, "Could not find the resource.", ops(52, 59), some},
}

// answers reports whether an operation may answer with the code.
func (c code) answers(operation int) bool {
	switch c.group {
	case common:
		return operation >= 3 && operation <= 50
	case withBody:
		return slices.Contains(bodied, operation) || slices.Contains(c.where, operation)
	case perRecord:
		return false
	case anywhere:
		return true
	}
	return slices.Contains(c.where, operation)
}

// text is the message of an answer that was injected.
func (c code) text() string {
	if before, ok := strings.CutSuffix(c.message, "%s"); ok {
		return before + "[injected]"
	}
	return c.message + " [injected]"
}

// recordCodes are the codes with which a record of an upload may fail (CTL-22).
var recordCodes = []string{"DIS.4302", "DIS.4303", "DIS.4319", "DIS.5250"}

// bodyOf reports whether a status has a body.
func hasBody(status int) bool { return status != http.StatusNoContent && status >= 200 }
