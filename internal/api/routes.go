package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// An operation is one row of the API.
type operation struct {
	method   string
	path     string
	name     string // in metrics and logs
	endpoint func(*Server, *call) (reply, error)

	iam    bool // of the identity service: no project in the path, other errors
	admin  bool // of disd's own administration: no project, only for administrators
	public bool // needs no authentication (C-10)
	body   bool // has a body though it is no POST or PUT (E50)
	reads  bool // changes nothing though it is no GET
	proto  bool // speaks protobuf too
	data   bool // one of a flow of many, not worth an entry in the audit log
}

// changes reports whether the operation is more than a question.
func (o operation) changes() bool { return o.method != http.MethodGet && !o.reads }

// controls reports whether the operation counts as a call of the control plane
// if it is one of a project: infrastructure and consumers must not be stopped
// in what they do all the time.
func (o operation) controls() bool { return o.method != http.MethodGet && !o.data }

func (o operation) hasBody() bool {
	return o.body || o.method == http.MethodPost || o.method == http.MethodPut
}

// speaks checks the media type of a request (1.2) and reports whether it is
// protobuf, which asks for protobuf in the answer (PB-1).
func (o operation) speaks(header string) (proto bool, err error) {
	if header == "" || header == jsonType {
		return false, nil
	}
	kind := mediaType(header)
	switch {
	case o.proto && kind == protoType:
		return true, nil
	case o.hasBody() && kind != jsonType:
		return false, errMediaType
	}
	return false, nil
}

// operations is every call of the API, in the order of api.md section 2. Fixed
// segments win over parameters.
var operations = []operation{
	{method: "POST", path: "/v2/{project}/streams", name: "CreateStream", endpoint: (*Server).createStream},
	{method: "GET", path: "/v2/{project}/streams", name: "ListStreams", endpoint: (*Server).listStreams},
	{method: "DELETE", path: "/v2/{project}/streams/{stream}", name: "DeleteStream", endpoint: (*Server).deleteStream},
	{method: "GET", path: "/v2/{project}/streams/{stream}", name: "ShowStream", endpoint: (*Server).showStream},
	{method: "PUT", path: "/v2/{project}/streams/{stream}", name: "UpdatePartitionCount", endpoint: (*Server).updatePartitionCount},
	{method: "PUT", path: "/v3/{project}/streams/{stream}", name: "UpdateStream", endpoint: (*Server).updateStream},
	{method: "PUT", path: "/v2/{project}/streams/{stream}/update", name: "UpdateStreamOld", endpoint: (*Server).updateStreamOld},

	{method: "POST", path: "/v2/{project}/streams/{stream}/policies", name: "CreatePolicies", endpoint: (*Server).createPolicies},
	{method: "GET", path: "/v2/{project}/streams/{stream}/policies", name: "ListPolicies", endpoint: (*Server).listPolicies},
	{method: "DELETE", path: "/v2/{project}/streams/{stream}/policies", name: "DeletePolicies", endpoint: (*Server).deletePolicies, body: true},

	{method: "POST", path: "/v2/{project}/apps", name: "CreateApp", endpoint: (*Server).createApp},
	{method: "GET", path: "/v2/{project}/apps", name: "ListApp", endpoint: (*Server).listApps},
	{method: "DELETE", path: "/v2/{project}/apps/{app}", name: "DeleteApp", endpoint: (*Server).deleteApp},
	{method: "GET", path: "/v2/{project}/apps/{app}", name: "ShowApp", endpoint: (*Server).showApp},
	{method: "GET", path: "/v2/{project}/apps/{app}/streams/{stream}", name: "ShowConsumerState", endpoint: (*Server).showConsumerState},

	{method: "POST", path: "/v2/{project}/apps/{app}/consumers", name: "JoinGroup", endpoint: (*Server).joinGroup, data: true},
	{method: "POST", path: "/v2/{project}/apps/{app}/consumers/{client}/partitions", name: "SyncGroup", endpoint: (*Server).syncGroup, data: true},
	{method: "POST", path: "/v2/{project}/apps/{app}/consumers/{client}/heartbeats", name: "Heartbeat", endpoint: (*Server).heartbeat, data: true},
	{method: "DELETE", path: "/v2/{project}/apps/{app}/consumers/{client}", name: "LeaveGroup", endpoint: (*Server).leaveGroup, data: true},

	{method: "POST", path: "/v2/{project}/checkpoints", name: "CommitCheckpoint", endpoint: (*Server).commitCheckpoint, data: true},
	{method: "GET", path: "/v2/{project}/checkpoints", name: "ShowCheckpoint", endpoint: (*Server).showCheckpoint},
	{method: "DELETE", path: "/v2/{project}/checkpoints", name: "DeleteCheckpoint", endpoint: (*Server).deleteCheckpoint},

	{method: "POST", path: "/v2/{project}/records", name: "SendRecords", endpoint: (*Server).putRecords, data: true, proto: true},
	{method: "GET", path: "/v2/{project}/records", name: "ConsumeRecords", endpoint: (*Server).getRecords, data: true, proto: true},
	{method: "GET", path: "/v2/{project}/cursors", name: "ShowCursor", endpoint: (*Server).showCursor},
	{method: "GET", path: "/v2/{project}/files/{file}/state", name: "ShowFileState", endpoint: (*Server).showFile},

	{method: "GET", path: "/v2/{project}/streams/{stream}/metrics", name: "ShowStreamMetrics", endpoint: (*Server).showStreamMetrics},
	{method: "GET", path: "/v2/{project}/streams/{stream}/partitions/{partition}/metrics", name: "ShowPartitionMetrics", endpoint: (*Server).showPartitionMetrics},

	{method: "POST", path: "/v2/{project}/{type}/{id}/tags", name: "CreateTag", endpoint: (*Server).createTag},
	{method: "GET", path: "/v2/{project}/{type}/{id}/tags", name: "ShowStreamTags", endpoint: (*Server).showTags},
	{method: "DELETE", path: "/v2/{project}/{type}/{id}/tags/{key}", name: "DeleteTag", endpoint: (*Server).deleteTag},
	{method: "POST", path: "/v2/{project}/{type}/{id}/tags/action", name: "BatchTags", endpoint: (*Server).actOnTags},
	{method: "GET", path: "/v2/{project}/{type}/tags", name: "ListTags", endpoint: (*Server).listTags},
	{method: "POST", path: "/v2/{project}/{type}/resource_instances/action", name: "ListResourcesByTags", endpoint: (*Server).listResources, reads: true},

	{method: "POST", path: "/v2/{project}/streams/{stream}/transfer-tasks", name: "CreateTransferTask", endpoint: (*Server).createTask},
	{method: "PUT", path: "/v2/{project}/streams/{stream}/transfer-tasks", name: "UpdateTransferTask", endpoint: (*Server).updateTask},
	{method: "GET", path: "/v2/{project}/streams/{stream}/transfer-tasks", name: "ListTransferTasks", endpoint: (*Server).listTasks},
	{method: "DELETE", path: "/v2/{project}/streams/{stream}/transfer-tasks/{task}", name: "DeleteTransferTask", endpoint: (*Server).deleteTask},
	{method: "GET", path: "/v2/{project}/streams/{stream}/transfer-tasks/{task}", name: "ShowTransferTask", endpoint: (*Server).showTask},
	{method: "POST", path: "/v2/{project}/streams/{stream}/transfer-tasks/action", name: "BatchTransferTask", endpoint: (*Server).actOnTasks},
	{method: "POST", path: "/v2/{project}/stream/{stream}/transfer-tasks", name: "CreateTransferTask", endpoint: (*Server).createTask}, // E49
	{method: "PUT", path: "/v2/{project}/stream/{stream}/transfer-tasks", name: "UpdateTransferTask", endpoint: (*Server).updateTask},
	{method: "GET", path: "/v2/{project}/stream/{stream}/transfer-tasks", name: "ListTransferTasks", endpoint: (*Server).listTasks},
	{method: "DELETE", path: "/v2/{project}/stream/{stream}/transfer-tasks/{task}", name: "DeleteTransferTask", endpoint: (*Server).deleteTask},
	{method: "GET", path: "/v2/{project}/stream/{stream}/transfer-tasks/{task}", name: "ShowTransferTask", endpoint: (*Server).showTask},
	{method: "POST", path: "/v2/{project}/stream/{stream}/transfer-tasks/action", name: "BatchTransferTask", endpoint: (*Server).actOnTasks},
}

// identityOperations are the calls of the identity service that clients log in
// to: E1, E2, E51 to E59.
var identityOperations = []operation{
	{method: "GET", path: "/", name: "ListVersions", endpoint: (*Server).listVersions, iam: true, public: true},
	{method: "GET", path: "/v3", name: "ShowVersion", endpoint: (*Server).showVersion, iam: true, public: true},
	{method: "POST", path: "/v3/auth/tokens", name: "CreateToken", endpoint: (*Server).createToken, iam: true, public: true},
	{method: "GET", path: "/v3/auth/tokens", name: "ShowToken", endpoint: (*Server).showToken, iam: true},
	{method: "GET", path: "/v3/auth/catalog", name: "ShowCatalog", endpoint: (*Server).showCatalog, iam: true},
	{method: "GET", path: "/v3/auth/domains", name: "ListDomains", endpoint: (*Server).listDomains, iam: true},
	{method: "GET", path: "/v3/auth/projects", name: "ListProjects", endpoint: (*Server).listProjects, iam: true},
	{method: "GET", path: "/v3/projects", name: "ListProjects", endpoint: (*Server).listProjects, iam: true},
	{method: "GET", path: "/v3/users", name: "ListUsers", endpoint: (*Server).listUsers, iam: true},
	{method: "POST", path: "/v3.0/OS-CREDENTIAL/securitytokens", name: "CreateTemporaryKey", endpoint: (*Server).createTemporaryKey, iam: true, public: true},
	{method: "GET", path: "/v3.0/OS-CREDENTIAL/credentials/{key}", name: "ShowAccessKey", endpoint: (*Server).showAccessKey, iam: true},
	{method: "POST", path: "/v3.0/OS-AUTH/id-token/tokens", name: "CreateTokenByIdentity", endpoint: (*Server).createTokenByIdentity, iam: true, public: true},
}

// maxScrapes is how often metrics are collected at the same time: everybody may ask
// for them, and those of transfer tasks read from disk.
const maxScrapes = 4

func (s *Server) mount() {
	for _, op := range slices.Concat(operations, identityOperations, adminOperations) {
		s.router.Method(op.method, op.path, s.serve(op))
	}
	s.router.NotFound(s.serve(none(errNoAPI)))
	s.router.MethodNotAllowed(s.methodNotAllowed())
	s.router.Get("/_disd/health", s.health)
	s.router.Get("/_disd/ready", s.ready)
	s.router.Get("/_disd/openapi.json", s.describeAPI)
	if s.opts.Profiling {
		s.router.Get("/_disd/pprof/{profile}", profile)
	}
	s.router.Method("GET", "/_disd/metrics", promhttp.HandlerFor(s.opts.Registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes}))
}

// none stands for what is no operation.
func none(err error) operation {
	return operation{name: "none", iam: true, public: true, endpoint: func(*Server, *call) (reply, error) { return reply{}, err }}
}

// methodNotAllowed answers a known path with another method (C-6).
func (s *Server) methodNotAllowed() http.HandlerFunc {
	refuse, unknown := s.serve(none(errNoMethod)), s.serve(none(errNoAPI))
	return func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, m := range []string{"GET", "POST", "PUT", "DELETE"} {
			if s.router.Match(chi.NewRouteContext(), m, cmp.Or(r.URL.RawPath, r.URL.Path)) {
				allowed = append(allowed, m)
			}
		}
		if len(allowed) == 0 { // the router asks here about methods it does not know
			unknown(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		refuse(w, r)
	}
}

// answer returns v as a JSON answer.
func answer(status int, v any) (reply, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return reply{}, err
	}
	return reply{status: status, body: bytes.TrimSuffix(b.Bytes(), []byte("\n"))}, nil
}

func ok(v any) (reply, error)   { return answer(http.StatusOK, v) }
func created() (reply, error)   { return reply{status: http.StatusCreated}, nil }
func noContent() (reply, error) { return reply{status: http.StatusNoContent}, nil }
