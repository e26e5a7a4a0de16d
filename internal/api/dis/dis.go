// Package dis is the API of DIS: streams, records, apps and consumer groups, policies,
// tags, transfer tasks and their figures. Each kind of call is a type of its own, which
// knows only what it needs. The contract is api.md; rule numbers in comments are its.
package dis

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/semaphore"

	"disd/internal/api/rest"
	"disd/internal/auth/policy"
	"disd/internal/cursor"
	"disd/internal/cursor/group"
	"disd/internal/monitor"
	"disd/internal/partition"
	"disd/internal/storage"
	"disd/internal/transfer"
)

// Errors of calls themselves.
var (
	// ErrPartitionID is a partition id of no known spelling (C-40).
	ErrPartitionID = errors.New("invalid partition id")
	// ErrRecordSize is a record that is too large for its stream.
	ErrRecordSize = errors.New("record too large")
	// ErrResourceType is a kind of resource that has no tags (T-5).
	ErrResourceType = errors.New("invalid resource type")
	// ErrNoResource is a resource with tags that does not exist (T-4).
	ErrNoResource = errors.New("resource does not exist")
	// ErrNoTag is the key of a tag that a resource does not have.
	ErrNoTag = errors.New("tag key does not exist")
	// ErrTagAction is an action on tags that there is not.
	ErrTagAction = errors.New("tag action is not supported")
	// ErrTagQuota is more tags than a resource may have (T-1).
	ErrTagQuota = errors.New("too many tags")
)

// Options of a Service. All are required.
type Options struct {
	Streams  *partition.Set
	Apps     *cursor.Apps
	Cursors  *cursor.Sealer
	Groups   *group.Coordinator
	Policies *policy.Policies
	Tasks    *transfer.Tasks
	Monitor  *monitor.Monitor

	Errors *rest.Table
	Pools  *rest.Pools
	Now    func() time.Time
	Sleep  func(context.Context, time.Duration) error // see api.Options
	Logger *slog.Logger

	Answers   *rest.Budget  // of downloads, at least LargestAnswer
	Results   *rest.Budget  // of the answers to large uploads, at least LargestResult
	MaxRecord RecordLimit   // decoded data of one record
	EmptyWait time.Duration // how long an empty download is held back (E20-R9)
}

// A RecordLimit is the largest record in bytes by type of stream.
type RecordLimit struct {
	Common   int // default 1 MiB
	Advanced int // default 5 MiB
}

// A Service is the calls of DIS. All methods may be called at any time.
type Service struct {
	streams     streamCalls
	policies    policyCalls
	apps        appCalls
	groups      groupCalls
	checkpoints checkpointCalls
	records     recordCalls
	metrics     metricCalls
	tags        tagCalls
	tasks       taskCalls
}

// New returns the service over the given parts.
func New(o Options) *Service {
	find := finder{o.Streams, o.Policies}
	return &Service{
		streams:     streamCalls{find, o.Errors},
		policies:    policyCalls{find, o.Policies},
		apps:        appCalls{find, o.Apps},
		groups:      groupCalls{find, o.Groups},
		checkpoints: checkpointCalls{find, o.Apps, o.Groups},
		records: recordCalls{
			finder: find, cursors: o.Cursors, monitor: o.Monitor, faults: newRecordFaults(o.Errors),
			now: o.Now, sleep: o.Sleep, log: o.Logger, limits: o.MaxRecord, emptyWait: o.EmptyWait,
			pools: o.Pools, chunks: new(rest.FreeList[*storage.Chunk]),
			uploads: semaphore.NewWeighted(maxPuts),
			results: o.Results, answers: o.Answers,
		},
		metrics: metricCalls{find, o.Monitor, o.Now},
		tags:    tagCalls{find},
		tasks:   taskCalls{find, o.Tasks},
	}
}

// Trim gives up memory that nobody needed since the last trim.
func (s *Service) Trim() { s.records.chunks.Trim() }

// Operations is every call, in the order of api.md section 2. Fixed segments of a path
// win over parameters.
func (s *Service) Operations() []rest.Operation {
	return slices.Concat(s.streamOperations(), s.consumerOperations(), s.recordOperations(), s.tagOperations(),
		s.taskOperations("/v2/{project}/streams/{stream}/transfer-tasks"),
		s.taskOperations("/v2/{project}/stream/{stream}/transfer-tasks")) // E49, C-4
}

func (s *Service) streamOperations() []rest.Operation {
	return []rest.Operation{
		{Method: "POST", Path: "/v2/{project}/streams", Name: "CreateStream", Do: s.streams.create},
		{Method: "GET", Path: "/v2/{project}/streams", Name: "ListStreams", Do: s.streams.list},
		{Method: "DELETE", Path: "/v2/{project}/streams/{stream}", Name: "DeleteStream", Do: s.streams.delete},
		{Method: "GET", Path: "/v2/{project}/streams/{stream}", Name: "ShowStream", Do: s.streams.show},
		{Method: "PUT", Path: "/v2/{project}/streams/{stream}", Name: "UpdatePartitionCount", Do: s.streams.updateCount},
		{Method: "PUT", Path: "/v3/{project}/streams/{stream}", Name: "UpdateStream", Do: s.streams.update},
		{Method: "PUT", Path: "/v2/{project}/streams/{stream}/update", Name: "UpdateStreamOld", Do: s.streams.updateOld},

		{Method: "POST", Path: "/v2/{project}/streams/{stream}/policies", Name: "CreatePolicies", Do: s.policies.create},
		{Method: "GET", Path: "/v2/{project}/streams/{stream}/policies", Name: "ListPolicies", Do: s.policies.list},
		{Method: "DELETE", Path: "/v2/{project}/streams/{stream}/policies", Name: "DeletePolicies", Do: s.policies.delete, WithBody: true},
	}
}

func (s *Service) consumerOperations() []rest.Operation {
	return []rest.Operation{
		{Method: "POST", Path: "/v2/{project}/apps", Name: "CreateApp", Do: s.apps.create},
		{Method: "GET", Path: "/v2/{project}/apps", Name: "ListApp", Do: s.apps.list},
		{Method: "DELETE", Path: "/v2/{project}/apps/{app}", Name: "DeleteApp", Do: s.apps.delete},
		{Method: "GET", Path: "/v2/{project}/apps/{app}", Name: "ShowApp", Do: s.apps.show},
		{Method: "GET", Path: "/v2/{project}/apps/{app}/streams/{stream}", Name: "ShowConsumerState", Do: s.apps.showState},

		{Method: "POST", Path: "/v2/{project}/apps/{app}/consumers", Name: "JoinGroup", Do: s.groups.join, Data: true},
		{Method: "POST", Path: "/v2/{project}/apps/{app}/consumers/{client}/partitions", Name: "SyncGroup", Do: s.groups.sync, Data: true},
		{Method: "POST", Path: "/v2/{project}/apps/{app}/consumers/{client}/heartbeats", Name: "Heartbeat", Do: s.groups.heartbeat, Data: true},
		{Method: "DELETE", Path: "/v2/{project}/apps/{app}/consumers/{client}", Name: "LeaveGroup", Do: s.groups.leave, Data: true},

		{Method: "POST", Path: "/v2/{project}/checkpoints", Name: "CommitCheckpoint", Do: s.checkpoints.commit, Data: true},
		{Method: "GET", Path: "/v2/{project}/checkpoints", Name: "ShowCheckpoint", Do: s.checkpoints.show},
		{Method: "DELETE", Path: "/v2/{project}/checkpoints", Name: "DeleteCheckpoint", Do: s.checkpoints.delete},
	}
}

func (s *Service) recordOperations() []rest.Operation {
	return []rest.Operation{
		{Method: "POST", Path: "/v2/{project}/records", Name: "SendRecords", Do: s.records.put, Data: true, Proto: true, Aims: true},
		{Method: "GET", Path: "/v2/{project}/records", Name: "ConsumeRecords", Do: s.records.get, Data: true, Proto: true, Aims: true},
		{Method: "GET", Path: "/v2/{project}/cursors", Name: "ShowCursor", Do: s.records.showCursor},
		{Method: "GET", Path: "/v2/{project}/files/{file}/state", Name: "ShowFileState", Do: s.records.showFile},

		{Method: "GET", Path: "/v2/{project}/streams/{stream}/metrics", Name: "ShowStreamMetrics", Do: s.metrics.showStream},
		{Method: "GET", Path: "/v2/{project}/streams/{stream}/partitions/{partition}/metrics", Name: "ShowPartitionMetrics", Do: s.metrics.showPartition},
	}
}

func (s *Service) tagOperations() []rest.Operation {
	return []rest.Operation{
		{Method: "POST", Path: "/v2/{project}/{type}/{id}/tags", Name: "CreateTag", Do: s.tags.create},
		{Method: "GET", Path: "/v2/{project}/{type}/{id}/tags", Name: "ShowStreamTags", Do: s.tags.show},
		{Method: "DELETE", Path: "/v2/{project}/{type}/{id}/tags/{tag}", Name: "DeleteTag", Do: s.tags.delete},
		{Method: "POST", Path: "/v2/{project}/{type}/{id}/tags/action", Name: "BatchTags", Do: s.tags.act},
		{Method: "GET", Path: "/v2/{project}/{type}/tags", Name: "ListTags", Do: s.tags.list},
		{Method: "POST", Path: "/v2/{project}/{type}/resource_instances/action", Name: "ListResourcesByTags", Do: s.tags.search, Reads: true},
	}
}

func (s *Service) taskOperations(path string) []rest.Operation {
	return []rest.Operation{
		{Method: "POST", Path: path, Name: "CreateTransferTask", Do: s.tasks.create},
		{Method: "PUT", Path: path, Name: "UpdateTransferTask", Do: s.tasks.update},
		{Method: "GET", Path: path, Name: "ListTransferTasks", Do: s.tasks.list},
		{Method: "DELETE", Path: path + "/{task}", Name: "DeleteTransferTask", Do: s.tasks.delete},
		{Method: "GET", Path: path + "/{task}", Name: "ShowTransferTask", Do: s.tasks.show},
		{Method: "POST", Path: path + "/action", Name: "BatchTransferTask", Do: s.tasks.act},
	}
}
