package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"disd/internal/clock"
)

// Prefix is where the controls live, and nothing else (CTL-1).
const Prefix = "/_disd/test"

// An Error is an answer that something could not be done (CTL-6).
type Error struct {
	Status  int
	Code    string
	Message string
	More    map[string]any // members beside those of every error
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func refuse(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) *Error {
	return refuse(http.StatusNotFound, "CTL.NotFound", format, args...)
}

func conflict(format string, args ...any) *Error {
	return refuse(http.StatusConflict, "CTL.Conflict", format, args...)
}

func tooLarge(format string, args ...any) *Error {
	return refuse(http.StatusRequestEntityTooLarge, "CTL.TooLarge", format, args...)
}

// Forbidden is the answer to those who may not use the controls (CTL-96).
func Forbidden(why string) *Error {
	return refuse(http.StatusForbidden, "CTL.Forbidden", "%s", why)
}

// A request is a control call.
type request struct {
	*http.Request
	body  []byte
	query url.Values
}

// A call answers a request with a status and what is to be shown as JSON.
type call func(r *request) (status int, answer any, err error)

// raw is an answer that is no JSON document.
type raw struct {
	mime string
	body []byte
}

// A route is a control call.
type route struct {
	pattern string // of http.ServeMux, below Prefix
	call    call
	query   []string // the parameters that it knows
	reads   bool     // it changes nothing
}

// Handler answers the control calls.
func (c *Control) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range c.routes() {
		method, path, _ := bytes.Cut([]byte(r.pattern), []byte(" "))
		mux.Handle(string(method)+" "+Prefix+string(path), c.serve(r))
	}
	return mux
}

func (c *Control) serve(route route) http.HandlerFunc {
	return func(w http.ResponseWriter, hr *http.Request) {
		// A wait may outlast what the server allows ordinary answers.
		_ = http.NewResponseController(w).SetWriteDeadline(clock.Wall().Add(2 * maxTimeout)) // one without a deadline has no limit
		r, err := c.receive(w, hr, route)
		var status int
		var answer any
		if err == nil {
			status, answer, err = route.call(r)
		}
		if err != nil {
			status, answer = explain(err)
		}
		if !route.reads {
			c.note(hr, status)
		}
		c.write(w, status, answer)
	}
}

func (c *Control) receive(w http.ResponseWriter, hr *http.Request, route route) (*request, error) {
	r := &request{Request: hr}
	if c.opts.Admit != nil {
		if err := c.opts.Admit(hr); err != nil {
			return r, err
		}
	}
	var err error
	if r.query, err = url.ParseQuery(hr.URL.RawQuery); err != nil {
		return r, invalid("", "the query cannot be read")
	}
	for name, values := range r.query {
		if !slices.Contains(route.query, name) {
			return r, invalid(name, "unknown parameter%s", meant(name, route.query))
		}
		if len(values) > 1 {
			return r, invalid(name, "repeated")
		}
	}
	r.body, err = io.ReadAll(http.MaxBytesReader(w, hr.Body, c.opts.MaxBody))
	if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
		return r, tooLarge("the body is larger than %d bytes", c.opts.MaxBody)
	}
	return r, err
}

// document parses the body: YAML if it says so, JSON else (CTL-4).
func (r *request) document() (node, error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind == "application/yaml" {
		return parseYAML(r.body)
	}
	return parseJSON(r.body)
}

// decode fills v from the body.
func (r *request) decode(v any) error {
	n, err := parseJSON(r.body)
	if err != nil {
		return err
	}
	return decode(n, v)
}

// number returns a parameter of the query, def when it is absent.
func (r *request) number(name string, def, low, high int64) (int64, error) {
	if !r.query.Has(name) {
		return def, nil
	}
	n, err := strconv.ParseInt(r.query.Get(name), 10, 64)
	if err != nil || n < low || n > high {
		return 0, invalid(name, "must be a whole number from %d to %d", low, high)
	}
	return n, nil
}

// timeout returns the real time that a call may take.
func (r *request) timeout(def time.Duration) (time.Duration, error) {
	if !r.query.Has("timeout") {
		return def, nil
	}
	d, err := parseDuration(r.query.Get("timeout"))
	if err == nil {
		err = checkTimeout(d)
	}
	if err != nil {
		return 0, invalid("timeout", "%v", err)
	}
	return d, nil
}

// maxTimeout bounds how long a call may wait.
const maxTimeout = 120 * time.Second

func checkTimeout(d time.Duration) error {
	if d > maxTimeout {
		return errors.New("must be at most 120s")
	}
	return nil
}

// explain makes an answer of an error.
func explain(err error) (status int, answer any) {
	var known *Error
	var bad *invalidError
	switch {
	case errors.As(err, &known):
	case errors.As(err, &bad):
		known = refuse(http.StatusBadRequest, "CTL.Invalid", "%s", bad.Error())
	case errors.Is(err, context.Canceled):
		known = refuse(499, "CTL.Gone", "the client went away")
	default:
		known = refuse(http.StatusInternalServerError, "CTL.Internal", "%s", err.Error())
	}
	body := map[string]any{
		"error_code": known.Code, "error_msg": known.Message, "errorCode": known.Code, "message": known.Message,
	}
	for name, v := range known.More {
		body[name] = v
	}
	return known.Status, body
}

func (c *Control) write(w http.ResponseWriter, status int, answer any) {
	body, kind := []byte(nil), "application/json;charset=utf-8"
	switch a := answer.(type) {
	case raw:
		body, kind = a.body, a.mime
	case nil:
	default:
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(a); err != nil {
			status = http.StatusInternalServerError
		}
		body = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if now := c.clock.Read(); now.Moved {
		h.Set("X-Disd-Time", showTime(now.Now))
	}
	w.WriteHeader(status)
	w.Write(body)
}
