package ops

import (
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"

	"disd/internal/api/openapi"
	"disd/internal/api/rest"
)

// ErrNotReady is a server that would not serve now.
var ErrNotReady = errors.New("server is not ready")

// healthCalls say how the server is, to anybody.
type healthCalls struct {
	ready func() error
	log   *slog.Logger
	down  atomic.Bool // the last answer was not ready
}

// showHealth answers as long as the process can answer at all.
func (s *healthCalls) showHealth(*rest.Call) (rest.Reply, error) { return state("ok") }

// showReady answers 200 only when the server would serve a request now.
func (s *healthCalls) showReady(c *rest.Call) (rest.Reply, error) {
	err := s.ready()
	switch was := s.down.Swap(err != nil); {
	case err != nil && !was: // supervisors ask every second
		s.log.Warn("not ready", "request_id", c.ID, "error", err)
	case err == nil && was:
		s.log.Info("ready again")
	}
	if err != nil {
		return rest.Reply{}, ErrNotReady
	}
	return state("ready")
}

func state(status string) (rest.Reply, error) { return rest.OK(map[string]string{"status": status}) }

// describe serves the OpenAPI description.
func describe(*rest.Call) (rest.Reply, error) {
	return rest.Reply{Status: http.StatusOK, Body: []byte(openapi.Text), Type: rest.JSONType}, nil
}
