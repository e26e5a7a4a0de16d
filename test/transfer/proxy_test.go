package transfer

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// A fault is what happens to one request to the store.
type fault string

const (
	none      fault = ""
	refuse    fault = "500, not done"
	busy      fault = "503 SlowDown, not done"
	drop      fault = "line broken before"
	half      fault = "line broken within the request"
	lie       fault = "500, done"
	lost      fault = "line broken after"
	truncate  fault = "line broken within the answer"
	late      fault = "answer after the client has given up"
	slow      fault = "slow"
	errorBody fault = "200 with an error as the body, not done"
)

// faults of every kind; those that cost a second are rare.
var faults = []fault{refuse, busy, drop, half, lie, lost, truncate, slow, errorBody}

// A step is the moment of a request at which the server is killed.
type step string

const (
	arriving step = "before the request is carried out"
	within   step = "after half of the request"
	carried  step = "after the request, before the answer"
	answered step = "after the answer"
)

var steps = []step{arriving, within, carried, answered}

// A proxy stands between the server and the store.
type proxy struct {
	url string
	to  string

	mu       sync.Mutex
	choose   func(r *http.Request) fault
	kill     func() // what the step does
	at       int    // requests until then; -1 for never
	step     step
	happened map[string]int
}

func newProxy(t *testing.T, to string) *proxy {
	p := &proxy{to: to, at: -1, happened: make(map[string]int)}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

// plan sets what happens to the requests from now on: faults as chosen, and kill
// at a step of the n-th of them; n -1 for never.
func (p *proxy) plan(choose func(*http.Request) fault, n int, at step, kill func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.choose, p.at, p.step, p.kill = choose, n, at, kill
}

// calm lets everything pass.
func (p *proxy) calm() { p.plan(nil, -1, "", nil) }

// counts returns how often what has happened.
func (p *proxy) counts() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.happened)
}

// next returns what happens to a request: a fault, or an end of the server.
func (p *proxy) next(r *http.Request) (f fault, at step, kill func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.happened["requests"]++
	if p.at == 0 {
		p.at--
		p.happened["killed "+string(p.step)]++
		return none, p.step, p.kill
	}
	if p.at > 0 {
		p.at--
	}
	if p.choose != nil {
		f = p.choose(r)
	}
	if f != none {
		p.happened[string(f)]++
	}
	return f, "", nil
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, at, kill := p.next(r)
	content, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	switch {
	case f == refuse:
		fail(w, http.StatusInternalServerError, "InternalError")
		return
	case f == busy:
		fail(w, http.StatusServiceUnavailable, "SlowDown")
		return
	case f == errorBody:
		fail(w, http.StatusOK, "InternalError")
		return
	case f == drop:
		panic(http.ErrAbortHandler)
	case f == half, at == within:
		p.forwardHalf(r, content)
		if kill != nil {
			kill()
		}
		panic(http.ErrAbortHandler)
	case at == arriving:
		kill()
		panic(http.ErrAbortHandler)
	case f == slow:
		time.Sleep(50 * time.Millisecond) // is the fault
	}
	resp, text, err := p.forward(r, content)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	switch {
	case f == lie:
		fail(w, http.StatusInternalServerError, "InternalError")
		return
	case f == lost:
		panic(http.ErrAbortHandler)
	case f == late:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case at == carried:
		kill()
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	if f == truncate {
		w.Write(text[:len(text)/2])
		panic(http.ErrAbortHandler)
	}
	w.Write(text)
	if at == answered {
		http.NewResponseController(w).Flush()
		kill()
	}
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	io.WriteString(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>"+code+"</Code><Message>of the test</Message></Error>")
}

// forward sends a request on as it is; its signature covers the host.
func (p *proxy) forward(r *http.Request, content []byte) (*http.Response, []byte, error) {
	out, err := http.NewRequest(r.Method, p.to+r.URL.RequestURI(), bytes.NewReader(content))
	if err != nil {
		return nil, nil, err
	}
	out.Header, out.Host = r.Header.Clone(), r.Host
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, text, err
}

// forwardHalf sends half of the content and breaks the line.
func (p *proxy) forwardHalf(r *http.Request, content []byte) {
	out, err := http.NewRequest(r.Method, p.to+r.URL.RequestURI(), io.MultiReader(bytes.NewReader(content[:len(content)/2]), broken{}))
	if err != nil {
		return
	}
	out.Header, out.Host, out.ContentLength = r.Header.Clone(), r.Host, int64(len(content))
	if resp, err := http.DefaultTransport.RoundTrip(out); err == nil {
		resp.Body.Close()
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }
