package api

import (
	"bytes"
	"encoding/json"
	"net/http"
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
}

func (o operation) hasBody() bool { return o.method == http.MethodPost || o.method == http.MethodPut }

// accepts checks what a body is said to be (1.2).
func (o operation) accepts(contentType, contentEncoding string) error {
	if contentEncoding != "" && contentEncoding != "identity" {
		return errMediaType
	}
	return checkMediaType(contentType)
}

// operations is every call of the API, in the order of api.md section 2. Fixed
// segments win over parameters.
var operations = []operation{
	{"POST", "/v2/{project}/streams", "CreateStream", (*Server).createStream},
	{"GET", "/v2/{project}/streams", "ListStreams", (*Server).listStreams},
	{"DELETE", "/v2/{project}/streams/{stream}", "DeleteStream", (*Server).deleteStream},
	{"GET", "/v2/{project}/streams/{stream}", "ShowStream", (*Server).showStream},
	{"PUT", "/v2/{project}/streams/{stream}", "UpdatePartitionCount", (*Server).updatePartitionCount},
	{"PUT", "/v3/{project}/streams/{stream}", "UpdateStream", (*Server).updateStream},
	{"PUT", "/v2/{project}/streams/{stream}/update", "UpdateStreamOld", (*Server).updateStreamOld},

	{"POST", "/v2/{project}/apps", "CreateApp", (*Server).createApp},
	{"GET", "/v2/{project}/apps", "ListApp", (*Server).listApps},
	{"DELETE", "/v2/{project}/apps/{app}", "DeleteApp", (*Server).deleteApp},
	{"GET", "/v2/{project}/apps/{app}", "ShowApp", (*Server).showApp},
	{"GET", "/v2/{project}/apps/{app}/streams/{stream}", "ShowConsumerState", (*Server).showConsumerState},

	{"POST", "/v2/{project}/checkpoints", "CommitCheckpoint", (*Server).commitCheckpoint},
	{"GET", "/v2/{project}/checkpoints", "ShowCheckpoint", (*Server).showCheckpoint},
	{"DELETE", "/v2/{project}/checkpoints", "DeleteCheckpoint", (*Server).deleteCheckpoint},

	{"POST", "/v2/{project}/records", "SendRecords", (*Server).putRecords},
	{"GET", "/v2/{project}/records", "ConsumeRecords", (*Server).getRecords},
	{"GET", "/v2/{project}/cursors", "ShowCursor", (*Server).showCursor},
}

func (s *Server) mount() {
	for _, op := range operations {
		s.router.Method(op.method, op.path, s.serve(op))
	}
	s.router.NotFound(s.serve(operation{name: "none", endpoint: func(*Server, *call) (reply, error) { return reply{}, errNoAPI }}))
	s.router.MethodNotAllowed(s.methodNotAllowed())
	s.router.Get("/_disd/health", s.health)
	s.router.Get("/_disd/ready", s.ready)
	s.router.Method("GET", "/_disd/metrics", promhttp.HandlerFor(s.opts.Registry, promhttp.HandlerOpts{}))
}

// methodNotAllowed answers a known path with another method (C-6).
func (s *Server) methodNotAllowed() http.HandlerFunc {
	refuse := s.serve(operation{name: "none", endpoint: func(*Server, *call) (reply, error) { return reply{}, errNoMethod }})
	return func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, m := range []string{"GET", "POST", "PUT", "DELETE"} {
			if s.router.Match(chi.NewRouteContext(), m, r.URL.Path) {
				allowed = append(allowed, m)
			}
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
