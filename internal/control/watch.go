package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"disd/internal/api/rest"
	"disd/internal/clock"
)

// ErrInjected ends a request that a fault keeps from taking place. Its answer is not
// that of this error.
var ErrInjected = fmt.Errorf("a fault was injected: %w", context.Canceled) // nobody hears of it as it is

// An Exchange is a request under watch. What serves it tells it what it is about, and
// asks it what is to fail. Its methods are called by the goroutine of the request.
type Exchange struct {
	c       *Control
	r       *http.Request
	w       *recorder
	entry   *entry
	target  Target
	verdict verdict
	aimed   bool

	operation string // as the API calls it
}

type exchangeKey struct{}

// Watching returns the exchange of a request, nil if it is not watched.
func Watching(ctx context.Context) *Exchange {
	x, _ := ctx.Value(exchangeKey{}).(*Exchange)
	return x
}

// Watch lets next answer requests, and injects faults into them.
func (c *Control) Watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := c.clock.Read()
		if now.Moved { // CTL-10
			w.Header().Set("X-Disd-Time", showTime(now.Now))
		}
		if strings.HasPrefix(r.URL.Path, "/_disd/") { // CTL-8
			next.ServeHTTP(w, r)
			return
		}
		x := &Exchange{c: c, entry: newEntry(r, now.Now, now.Wall)}
		c.journal.begin(x.entry)
		x.r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
		body := &bodyTee{ReadCloser: r.Body}
		x.r.Body = body
		x.w = &recorder{ResponseWriter: w, x: x}
		watch := clock.Start()
		defer func() {
			outcome := ""
			if p := recover(); p != nil {
				outcome = "closed"
				defer panic(p)
			}
			x.done(body, outcome, watch.Elapsed())
		}()
		next.ServeHTTP(x.w, x.r)
		x.finish()
	})
}

// Begin says which operation the request is of, and its id.
func (x *Exchange) Begin(operation, id string) {
	x.operation = operation
	n, _ := operationNumber(operation)
	x.target.Number, x.target.Method, x.target.Path = n, x.r.Method, x.r.URL.Path
	x.c.journal.update(x.entry, func(e *entry) { e.ID, e.Operation, e.number = id, operation, n })
}

// Aim implements rest.Probe. It waits where a fault delays the request, and returns
// ErrInjected when a fault keeps it from taking place.
func (x *Exchange) Aim(about rest.Target) error {
	if x.aimed {
		return nil
	}
	x.aimed = true
	t := Target{
		Number: x.number(about.Variant), Project: about.Project, Stream: about.Stream, StreamID: about.StreamID,
		App: about.App, Client: about.Client, Task: about.Task, Partitions: about.Partitions,
	}
	t.Method, t.Path = x.target.Method, x.target.Path
	x.target = t
	x.c.journal.update(x.entry, func(e *entry) {
		e.number, e.Project, e.Stream, e.streamID, e.App, e.Client, e.Task = t.Number, t.Project, t.Stream, t.StreamID, t.App, t.Client, t.Task
		if names := numbers[t.Number]; len(names) > 0 && !slices.Contains(names, e.Operation) {
			e.Operation = names[0]
		}
		for _, id := range t.Partitions {
			if name := showPartition(id); len(e.Partitions) < 100 && !slices.Contains(e.Partitions, name) {
				e.Partitions = append(e.Partitions, name)
			}
		}
	})
	x.verdict = x.c.faults.look(&t, hit{RequestID: x.entry.ID, N: x.entry.N})
	x.mark()
	if x.verdict.latency > 0 {
		hold(x.r.Context(), x.verdict.latency, x.verdict.slowed...)
	}
	if r := x.rule(); r != nil && (r.Error != nil || r.Abort != "") && r.Effect != "after" {
		return ErrInjected
	}
	return nil
}

// variants are the numbers of operations that share a path.
var variants = map[string]map[string]int{
	"CreateTransferTask": {"": 22, "OBS": 22, "DWS": 28, "MRS": 29, "DLI": 30, "CLOUDTABLE": 31},
	"BatchTransferTask":  {"start": 26, "stop": 27},
	"BatchTags":          {"create": 37, "delete": 40},
}

// number returns which operation the request is of.
func (x *Exchange) number(variant string) int {
	if n := variants[x.operation][variant]; n != 0 {
		return n
	}
	if x.operation == "ListStreams" && variant != "" {
		return 42
	}
	return x.target.Number
}

// mark names the faults in the answer (CTL-25).
func (x *Exchange) mark() {
	var names []string
	for _, f := range x.verdict.slowed {
		names = append(names, f.name())
	}
	if f := x.verdict.fault; f != nil && !slices.Contains(names, f.name()) {
		names = append(names, f.name())
	}
	if len(names) == 0 {
		return
	}
	name := strings.Join(names, ",")
	x.c.journal.update(x.entry, func(e *entry) { e.Fault = name })
	x.w.Header().Set("X-Disd-Fault", name)
}

func (x *Exchange) rule() *rule {
	if x.verdict.fault == nil {
		return nil
	}
	return x.verdict.fault.rule
}

// Spoil returns which records of an upload fail, by the partitions that they would go
// to, and the code and message they fail with; nil for none (CTL-22).
func (x *Exchange) Spoil(partitions []int32) (fail []bool, code, message string) {
	r := x.rule()
	if r == nil || r.Records == nil {
		return nil, "", ""
	}
	c := recordMessage(r.Records.Error)
	return r.chosenRecords(partitions), r.Records.Error, c
}

// recordMessage is the message of a record that fails.
func recordMessage(name string) string {
	return codes[name].text()
}

// Hide implements rest.Probe (CTL-23).
func (x *Exchange) Hide() (records int64, age time.Duration) {
	r := x.rule()
	if r == nil || r.Hide == nil {
		return 0, 0
	}
	if r.Hide.Records != nil {
		records = *r.Hide.Records
	}
	if r.Hide.Age != nil {
		age = r.Hide.Age.d
	}
	return records, age
}

// Count says how many records the answer has, or the upload had, and how many of
// those failed.
func (x *Exchange) Count(records, failed int) {
	x.c.journal.update(x.entry, func(e *entry) { e.Records, e.Failed = records, failed })
}

// A bodyTee keeps the beginning of a body that is read through it.
type bodyTee struct {
	io.ReadCloser
	read int64
	head []byte
}

// Read implements io.Reader.
func (b *bodyTee) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	b.head = appendHead(b.head, p[:n])
	return n, err
}

func appendHead(head, p []byte) []byte {
	return append(head, p[:min(len(p), journalBody-len(head))]...)
}

// A recorder passes an answer on, unless a fault changes it: it keeps that back.
type recorder struct {
	http.ResponseWriter
	x       *Exchange
	status  int
	written int64
	head    []byte
	held    *bytes.Buffer // the true answer, where a fault changes it
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// changes reports whether the answer is not passed on as it is.
func (w *recorder) changes() bool {
	r := w.x.rule()
	return r != nil && (r.Error != nil || r.Abort != "" || r.Body != nil)
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	w.status = status
	if w.changes() {
		w.held = new(bytes.Buffer)
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.held != nil {
		return w.held.Write(p)
	}
	n, err := w.ResponseWriter.Write(p)
	w.note(p[:n])
	return n, err
}

func (w *recorder) note(p []byte) {
	w.written += int64(len(p))
	w.head = appendHead(w.head, p)
}

// finish does to the answer what the fault wants. It may panic with
// http.ErrAbortHandler, which cuts the connection.
func (x *Exchange) finish() {
	r := x.rule()
	switch {
	case r == nil || x.w.held == nil:
	case r.Error != nil:
		x.fail(r.Error)
	case r.Abort != "":
		x.abort(r)
	case r.Body.Truncate != nil:
		x.truncate(r.Body.Truncate)
	default:
		x.dribble(int(*r.Body.Rate))
	}
}

// fail answers with an error that the API documents, or with what the rule says.
func (x *Exchange) fail(e *errorSpec) {
	h := x.w.Header()
	for _, name := range []string{"Content-Type", "Content-Length", "X-Subject-Token"} {
		h.Del(name)
	}
	known := codes[e.Code]
	status, message := known.status, known.text()
	if status == 0 {
		status, message = http.StatusInternalServerError, "[injected]"
	}
	if e.Status != nil {
		status = int(*e.Status)
	}
	if e.Message != nil {
		message = *e.Message
	}
	kind, body := "application/json;charset=utf-8", errorBody(e.Code, message, x.entry.ID, status, x.target.Number)
	if e.Raw {
		kind, body = e.ContentType, []byte(e.Body)
	}
	if kind != "" && len(body) > 0 {
		h.Set("Content-Type", kind)
	}
	if hasBody(status) {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	for name, value := range e.Headers {
		h.Set(name, value)
	}
	x.w.status = status
	x.w.ResponseWriter.WriteHeader(status)
	if hasBody(status) {
		x.w.ResponseWriter.Write(body)
		x.w.note(body)
	}
}

// errorBody is the envelope of C-52, and that of the identity service for its calls.
func errorBody(code, message, id string, status, operation int) []byte {
	type envelope struct {
		Code      string `json:"errorCode"`
		Message   string `json:"message"`
		CodeV3    string `json:"error_code"`
		MessageV3 string `json:"error_msg"`
		RequestID string `json:"request_id"`
	}
	type keystone struct {
		envelope
		Error struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
			Title   string `json:"title"`
		} `json:"error"`
	}
	plain := envelope{code, message, code, message, id}
	var v any = plain
	if operation <= 2 || operation > 50 {
		k := keystone{envelope: plain}
		k.Error.Code, k.Error.Message, k.Error.Title = status, message, http.StatusText(status)
		v = k
	}
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts and a number can always be marshalled
	}
	return body
}

// abort ends the connection without an answer.
func (x *Exchange) abort(r *rule) {
	x.w.status = 0
	outcome := "closed"
	switch r.Abort {
	case "hang":
		limit := defaultHang
		if r.Limit != nil {
			limit = r.Limit.d
		}
		x.c.journal.update(x.entry, func(e *entry) { e.Outcome = "hanging" })
		hold(x.r.Context(), limit, x.verdict.fault)
	case "reset":
		outcome = "reset"
		if x.reset() {
			x.c.journal.update(x.entry, func(e *entry) { e.Outcome = outcome })
			return
		}
	}
	x.c.journal.update(x.entry, func(e *entry) { e.Outcome = outcome })
	panic(http.ErrAbortHandler)
}

// reset ends a TCP connection with a reset, and reports false where it is not the
// request's alone: HTTP/2 resets the stream instead.
func (x *Exchange) reset() bool {
	conn, _, err := http.NewResponseController(x.w.ResponseWriter).Hijack()
	if err != nil {
		return false
	}
	under := conn
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		under = t.NetConn()
	}
	if tcp, ok := under.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // an error means that it is closed already
	}
	conn.Close()
	return true
}

// truncate sends the header of the true answer and a part of its body.
func (x *Exchange) truncate(t *truncation) {
	body := x.w.held.Bytes()
	x.w.ResponseWriter.WriteHeader(x.w.status)
	part := body[:t.of(len(body))]
	x.w.ResponseWriter.Write(part)
	x.w.note(part)
	_ = http.NewResponseController(x.w.ResponseWriter).Flush() // what cannot be sent is cut off anyway
	if len(part) < len(body) {
		panic(http.ErrAbortHandler)
	}
}

// dribble sends the true answer slowly.
func (x *Exchange) dribble(perSecond int) {
	body := x.w.held.Bytes()
	x.w.ResponseWriter.WriteHeader(x.w.status)
	control := http.NewResponseController(x.w.ResponseWriter)
	step := max(1, perSecond/10)
	for len(body) > 0 && x.r.Context().Err() == nil {
		part := body[:min(step, len(body))]
		x.w.ResponseWriter.Write(part)
		x.w.note(part)
		_ = control.Flush() // as above
		if body = body[len(part):]; len(body) > 0 {
			hold(x.r.Context(), time.Duration(len(part))*time.Second/time.Duration(perSecond), x.verdict.fault)
		}
	}
}

// done writes the request into the journal.
func (x *Exchange) done(body *bodyTee, outcome string, took time.Duration) {
	status := x.w.status
	x.c.journal.answered(x.entry, func(e *entry) {
		e.BytesIn, e.BytesOut, e.Took = body.read, x.w.written, took.Microseconds()
		e.Request, e.Response = showBody(body.head), showBody(x.w.head)
		e.Status = status
		if outcome != "" && e.Outcome == "" {
			e.Outcome = outcome
		}
		if x.r.Context().Err() != nil && e.Outcome == "" {
			e.Outcome = "client-gone"
		}
		if status >= http.StatusBadRequest {
			e.Code = codeOf(x.w.head)
		}
	})
}

// codeOf returns the code of an error's body.
func codeOf(body []byte) string {
	var v struct {
		Code string `json:"errorCode"`
	}
	if json.Unmarshal(body, &v) != nil {
		return ""
	}
	return v.Code
}
