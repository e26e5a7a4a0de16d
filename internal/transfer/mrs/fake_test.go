package mrs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A hdfs is a WebHDFS in memory that answers as the real one does, and fails as it is
// told. The real one is in the tests of sinks.
type hdfs struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string]string // directories end in a slash
	asked []string          // op and path of each call
	fault func(op, path string) fault
}

// A fault is what goes wrong with a call.
type fault int

const (
	none    fault = iota
	before        // the connection breaks before the call is carried out
	lost          // it breaks before the answer
	standby       // the server stands by
	denied
)

func newHDFS(t *testing.T, dirs ...string) *hdfs {
	h := &hdfs{files: make(map[string]string)}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	for _, d := range dirs {
		h.mkdirs(d)
	}
	return h
}

func (h *hdfs) address() string { return strings.TrimPrefix(h.URL, "http://") }

func (h *hdfs) mkdirs(p string) {
	for ; p != "/" && p != "."; p = path.Dir(p) {
		h.files[p+"/"] = ""
	}
}

// ServeHTTP implements http.Handler.
func (h *hdfs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	p, q := strings.TrimPrefix(r.URL.Path, "/webhdfs/v1"), r.URL.Query()
	op := q.Get("op")
	if q.Get("at") != "" {
		op += " at node"
	}
	h.asked = append(h.asked, op+" "+p)
	fault := none
	if h.fault != nil {
		fault = h.fault(op, p)
	}
	switch fault {
	case before:
		panic(http.ErrAbortHandler)
	case standby:
		refuse(w, 403, "StandbyException", "stands by")
		return
	case denied:
		refuse(w, 403, "AccessControlException", "Permission denied")
		return
	}
	answer := httptest.NewRecorder()
	h.carryOut(answer, r, op, p, string(body))
	if fault == lost {
		panic(http.ErrAbortHandler)
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	w.Write(answer.Body.Bytes())
}

func refuse(w http.ResponseWriter, status int, exception, message string) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"RemoteException": map[string]string{"exception": exception, "message": message}})
}

func (h *hdfs) carryOut(w http.ResponseWriter, r *http.Request, op, p, body string) {
	content, isFile := h.files[p]
	_, isDir := h.files[p+"/"]
	gone := func() { refuse(w, 404, "FileNotFoundException", "File does not exist: "+p) }
	switch op {
	case "GETFILESTATUS":
		switch {
		case isFile:
			fmt.Fprintf(w, `{"FileStatus":{"type":"FILE","length":%d}}`, len(content))
		case isDir:
			fmt.Fprint(w, `{"FileStatus":{"type":"DIRECTORY","length":0}}`)
		default:
			gone()
		}
	case "CHECKACCESS":
		if !isDir {
			gone()
		}
	case "MKDIRS":
		h.mkdirs(p)
		fmt.Fprint(w, `{"boolean":true}`)
	case "DELETE":
		found := isFile
		for name := range h.files {
			if name == p || strings.HasPrefix(name, p+"/") {
				delete(h.files, name)
				found = true
			}
		}
		fmt.Fprintf(w, `{"boolean":%v}`, found)
	case "RENAME":
		to := r.URL.Query().Get("destination")
		_, taken := h.files[to]
		_, dir := h.files[path.Dir(to)+"/"]
		if ok := isFile && !taken && dir; ok {
			h.files[to] = content
			delete(h.files, p)
			fmt.Fprint(w, `{"boolean":true}`)
			return
		}
		fmt.Fprint(w, `{"boolean":false}`)
	case "CREATE", "OPEN":
		w.Header().Set("Location", h.URL+r.URL.EscapedPath()+"?at=node&"+r.URL.RawQuery)
		w.WriteHeader(http.StatusTemporaryRedirect)
	case "OPEN at node":
		if !isFile {
			gone()
			return
		}
		fmt.Fprint(w, content)
	case "CREATE at node":
		if isFile {
			refuse(w, 403, "FileAlreadyExistsException", p)
			return
		}
		h.mkdirs(path.Dir(p))
		h.files[p] = body
		w.WriteHeader(http.StatusCreated)
	default:
		refuse(w, 400, "IllegalArgumentException", op)
	}
}

// fail has calls go wrong from now on; nil ends that.
func (h *hdfs) fail(with func(op, path string) fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = with
}

// calls returns what was asked so far.
func (h *hdfs) calls() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.asked)
}

// list returns the files, and hidden whether one of them is hidden.
func (h *hdfs) list() (files map[string]string, hidden bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	files = make(map[string]string)
	for name, content := range h.files {
		if !strings.HasSuffix(name, "/") {
			files[name] = content
			hidden = hidden || strings.Contains(name, "/.disd/")
		}
	}
	return files, hidden
}

var errTest = errors.New("forbidden by the test")
