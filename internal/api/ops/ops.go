// Package ops is what disd serves of its own, below /_disd: administration, health,
// metrics, profiles and the description of the API. A call that a client of DIS could
// make belongs elsewhere.
package ops

import (
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"disd/internal/api/rest"
	"disd/internal/auth"
	"disd/internal/partition"
	"disd/internal/quota"
)

// Options of a Service. All are required.
type Options struct {
	Identities *auth.Directory
	Streams    *partition.Set
	Quota      *quota.Policy

	Ready     func() error // why the server would not serve now
	Registry  *prometheus.Registry
	Logger    *slog.Logger
	Profiling bool // serve profiles of the process
}

// A Service is disd's own calls. All methods may be called at any time.
type Service struct {
	admin     adminCalls
	health    healthCalls
	metrics   http.Handler
	scrapes   chan struct{} // one for each that is served
	profiling bool
}

// MaxScrapes is how often metrics are collected at the same time: everybody may ask
// for them, and those of transfer tasks read from disk.
const MaxScrapes = 4

// New returns the service over the given parts.
func New(o Options) *Service {
	return &Service{
		admin:     adminCalls{o.Identities, o.Streams, o.Quota},
		health:    healthCalls{ready: o.Ready, log: o.Logger},
		metrics:   promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}),
		scrapes:   make(chan struct{}, MaxScrapes),
		profiling: o.Profiling,
	}
}

// Operations is every call. Those of administration need the credentials of an
// administrator, or come from this machine without any; the others are for anybody.
func (s *Service) Operations() []rest.Operation {
	all := []rest.Operation{
		{Method: "POST", Path: "/_disd/domains", Name: "AdminCreateDomain", Do: s.admin.createDomain, Service: rest.Admin},
		{Method: "POST", Path: "/_disd/projects", Name: "AdminCreateProject", Do: s.admin.createProject, Service: rest.Admin},
		{Method: "POST", Path: "/_disd/users", Name: "AdminCreateUser", Do: s.admin.createUser, Service: rest.Admin},
		{Method: "PUT", Path: "/_disd/users", Name: "AdminSetPassword", Do: s.admin.setPassword, Service: rest.Admin},
		{Method: "DELETE", Path: "/_disd/users", Name: "AdminRemoveUser", Do: s.admin.removeUser, Service: rest.Admin, WithBody: true},
		{Method: "GET", Path: "/_disd/keys", Name: "AdminListKeys", Do: s.admin.listKeys, Service: rest.Admin},
		{Method: "POST", Path: "/_disd/keys", Name: "AdminCreateKey", Do: s.admin.createKey, Service: rest.Admin},
		{Method: "PUT", Path: "/_disd/keys/{key}", Name: "AdminSwitchKey", Do: s.admin.switchKey, Service: rest.Admin},
		{Method: "DELETE", Path: "/_disd/keys/{key}", Name: "AdminRemoveKey", Do: s.admin.removeKey, Service: rest.Admin},
		{Method: "GET", Path: "/_disd/quota", Name: "AdminShowQuota", Do: s.admin.showQuota, Service: rest.Admin},
		{Method: "PUT", Path: "/_disd/projects/{project}/streams/{stream}", Name: "AdminFreezeStream", Do: s.admin.freezeStream, Service: rest.Admin},

		{Method: "GET", Path: "/_disd/health", Name: "ShowHealth", Do: s.health.showHealth, Service: rest.Own},
		{Method: "GET", Path: "/_disd/ready", Name: "ShowReady", Do: s.health.showReady, Service: rest.Own},
		{Method: "GET", Path: "/_disd/openapi.json", Name: "DescribeAPI", Do: describe, Service: rest.Own},
		{Method: "GET", Path: "/_disd/metrics", Name: "ShowMetrics", Do: s.showMetrics, Service: rest.Own},
	}
	if s.profiling {
		all = append(all, rest.Operation{Method: "GET", Path: "/_disd/pprof/{profile}", Name: "ShowProfile", Do: showProfile, Service: rest.Own})
	}
	return all
}

// showMetrics serves the metrics of everything, as Prometheus reads them.
func (s *Service) showMetrics(*rest.Call) (rest.Reply, error) {
	select {
	case s.scrapes <- struct{}{}:
	default:
		return rest.Reply{}, ErrNotReady
	}
	return rest.Reply{Status: http.StatusOK, Stream: func(w http.ResponseWriter, r *http.Request) {
		defer func() { <-s.scrapes }()
		s.metrics.ServeHTTP(w, r)
	}}, nil
}
