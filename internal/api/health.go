package api

import (
	"net/http"
	"runtime/pprof"
	"time"

	"github.com/go-chi/chi/v5"

	"disd/internal/clock"
)

// health answers as long as the process can answer at all.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	s.write(w, newRequestID(), reply{status: http.StatusOK, body: []byte(`{"status":"ok"}`)})
}

// ready answers 200 only when the server would serve a request now.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	id := newRequestID()
	if err := s.unready(); err != nil {
		s.log.Warn("not ready", "request_id", id, "error", err)
		rep, _ := none(nil).failure(errNotReady, id)
		s.write(w, id, rep)
		return
	}
	s.write(w, id, reply{status: http.StatusOK, body: []byte(`{"status":"ready"}`)})
}

func (s *Server) unready() error {
	if s.draining.Load() {
		return errNotReady
	}
	for _, check := range append([]func() error{s.opts.Engine.Health}, s.opts.Health...) {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// profile serves one profile of the process, cpu or one of runtime/pprof, to this
// machine only.
func profile(w http.ResponseWriter, r *http.Request) {
	if !isLocal(r) {
		http.Error(w, "profiles are for this machine only", http.StatusForbidden)
		return
	}
	name := chi.URLParam(r, "profile")
	if name == "cpu" {
		profileCPU(w, r)
		return
	}
	p := pprof.Lookup(name)
	if p == nil {
		http.Error(w, "there is no such profile", http.StatusNotFound)
		return
	}
	_ = p.WriteTo(w, 0) // an error means that nobody listens any more
}

// profileCPU samples for as many seconds as the client asks for, 1 to 60, or 10.
func profileCPU(w http.ResponseWriter, r *http.Request) {
	n, err := parseNumber(parseQuery(r.URL.RawQuery).Get("seconds")).within("seconds", 1, 60, 10)
	if err == nil {
		err = pprof.StartCPUProfile(w)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_ = clock.New().Sleep(r.Context(), time.Duration(n)*time.Second) // who went away ends it early
	pprof.StopCPUProfile()
}
