package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"disd/internal/cursor"
	"disd/internal/cursor/group"
	"disd/internal/partition"
	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/storage/memory"
	"disd/internal/transfer"
)

// A World is the server that the controls are of, as far as they reach into it. A
// reset replaces all of its parts.
type World interface {
	// Parts returns the parts as they are now.
	Parts() *Parts

	// Renew replaces everything by a state, nil for nothing. When it returns nil,
	// every request that comes sees the new state, and those under way do not
	// change it. Identities stay.
	Renew(ctx context.Context, s *State) error

	// Capture returns the state at one moment between changes. ErrEngine when the
	// storage engine is not the one in memory.
	Capture(ctx context.Context) (*State, error)
}

// ErrEngine is returned when a control needs the storage engine in memory.
var ErrEngine = errors.New("needs engine: memory")

// Parts are what a World is made of.
type Parts struct {
	Driver  *Driver
	Streams *partition.Set
	Apps    *cursor.Apps
	Groups  *group.Coordinator
	Tasks   *transfer.Tasks
	Engine  storage.Engine
	Catalog catalog.Store
	API     http.Handler // answers without credentials, in every project
}

// A State is all that is kept of a server: its catalog and its logs.
type State struct {
	Catalog []byte
	Logs    *memory.Snapshot
}

// call answers a request within the process, as an administrator.
func (p *Parts) call(ctx context.Context, method, path string, body []byte) (status int, answer []byte) {
	r, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, bytes.NewReader(body))
	if err != nil {
		return http.StatusBadRequest, []byte(err.Error())
	}
	r.RequestURI = path
	r.RemoteAddr = "127.0.0.1:1"
	w := &buffered{header: make(http.Header)}
	p.API.ServeHTTP(w, r)
	_, _ = io.Copy(io.Discard, r.Body) // it lies in memory
	return w.status, w.body.Bytes()
}

// A buffered answer lies in memory.
type buffered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *buffered) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *buffered) WriteHeader(status int) { w.status = status }

// Write implements http.ResponseWriter.
func (w *buffered) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.body.Write(p)
}
