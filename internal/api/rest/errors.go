package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
)

// Errors of the edge itself.
var (
	// ErrTooLarge is a body that is larger than the server takes (C-21).
	ErrTooLarge = errors.New("body too large")
	// ErrBody is a body that ends too early, or whose chunks are malformed.
	ErrBody = errors.New("body cannot be read")
	// ErrMediaType is a Content-Type or Content-Encoding that the operation does not
	// take.
	ErrMediaType = errors.New("unsupported media type")
	// ErrNoAPI is a path that is none of the API (C-6).
	ErrNoAPI = errors.New("no such API")
	// ErrNoMethod is a method that a path does not have (C-6).
	ErrNoMethod = errors.New("no such method")
)

// A Fault is what a client is told about an error: %s in the message stands for
// bracketed details, which may also follow a message without it (C-53, 8-N2).
type Fault struct {
	Err     error
	Status  int
	Code    string
	Message string

	// Malformed says that the request cannot be read or has an impossible value. The
	// identity service has a code of its own for all of these.
	Malformed bool
}

// A Table is every error that a client can be told about.
type Table struct {
	Faults  []Fault              // most specific first
	Else    Fault                // of an error that matches none: the server's own
	Details func(error) []string // the bracketed details of an error
}

// Of returns the fault of an error.
func (t *Table) Of(err error) Fault {
	for _, f := range t.Faults {
		if errors.Is(err, f.Err) {
			return f
		}
	}
	return t.Else
}

// A detailed error names what the client's request said.
type detailed struct {
	err   error
	items []string
}

func (d *detailed) Error() string { return d.err.Error() + " [" + strings.Join(d.items, "][") + "]" }
func (d *detailed) Unwrap() error { return d.err }

// Detail adds the bracketed items of the message to an error.
func Detail(err error, items ...string) error { return &detailed{err, items} }

// details returns the bracketed details of an error (C-53).
func (t *Table) details(err error) []string {
	if d := (*detailed)(nil); errors.As(err, &d) {
		return d.items
	}
	return t.Details(err)
}

// Text returns the message with its details.
func (f *Fault) Text(items []string) string {
	var b strings.Builder
	for _, item := range items {
		b.WriteString("[" + harmless(item) + "]")
	}
	if before, ok := strings.CutSuffix(f.Message, "%s"); ok {
		return strings.TrimSuffix(before+b.String(), " ")
	}
	if b.Len() > 0 {
		return f.Message + " " + b.String()
	}
	return f.Message
}

var codeLike = regexp.MustCompile(`DIS\.([0-9])`)

// harmless keeps what a client said from looking like an error code: clients
// search whole bodies for codes (8-N3).
func harmless(item string) string { return codeLike.ReplaceAllString(item, "DIS $1") }

// An envelope is the body of every error: both spellings that clients read, all
// values strings, on one line (C-52).
type envelope struct {
	Code      string `json:"errorCode"`
	Message   string `json:"message"`
	CodeV3    string `json:"error_code"`
	MessageV3 string `json:"error_msg"`
	RequestID string `json:"request_id"`
}

// A keystone is what clients of the identity service know beside the envelope. Clients
// of DIS want all values to be strings.
type keystone struct {
	envelope
	Error struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Title   string `json:"title"`
	} `json:"error"`
}

// malformed is what the identity service says of any request it cannot use.
var malformed = Fault{Status: http.StatusBadRequest, Code: "IAM.0400", Message: "The request is malformed. %s"}

// Answer turns an error of an operation into its answer and the code for metrics and
// logs.
func (t *Table) Answer(op *Operation, err error, requestID string) (Reply, string) {
	f := t.Of(err)
	if op.Service == Identity && f.Malformed {
		f = malformed
	}
	text := f.Text(t.details(err))
	e := envelope{f.Code, text, f.Code, text, requestID}
	var v any = e
	if op.Service == Identity {
		k := keystone{envelope: e}
		k.Error.Code, k.Error.Message, k.Error.Title = f.Status, text, http.StatusText(f.Status)
		v = k
	}
	body, _ := json.Marshal(v) // strings and a number cannot fail
	return Reply{Status: f.Status, Body: body}, f.Code
}

// aborted reports an error that nobody is left to hear about.
func aborted(err error) bool { return errors.Is(err, context.Canceled) }
