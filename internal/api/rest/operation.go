package rest

import "net/http"

// A Service is a group of operations that are let in and refused in the same way.
type Service int

const (
	// DIS has a project in the path.
	DIS Service = iota
	// Identity is the identity service: no project, and errors in another form.
	Identity
	// Admin is disd's own administration, for administrators.
	Admin
	// Own is what else disd serves of its own to anybody: health, metrics, its
	// description. These calls are neither counted nor audited.
	Own
	// Unknown is what is no operation at all.
	Unknown
)

// An Operation is one row of the API.
type Operation struct {
	Method string
	Path   string // with the names of parameters: "/v2/{project}/streams"
	Name   string // in metrics, logs and the audit log
	Do     func(*Call) (Reply, error)

	Service  Service
	Public   bool // needs no authentication (C-10)
	WithBody bool // has a body though it is no POST or PUT (E50)
	Reads    bool // changes nothing though it is no GET
	Proto    bool // speaks protobuf too
	Aims     bool // tells the probe itself what it is about
	Data     bool // one of a flow of many, not worth an entry in the audit log
}

// Changes reports whether the operation is more than a question.
func (o *Operation) Changes() bool { return o.Method != http.MethodGet && !o.Reads }

// Controls reports whether the operation counts as a call of the control plane
// if it is one of a project: infrastructure and consumers must not be stopped
// in what they do all the time.
func (o *Operation) Controls() bool { return o.Method != http.MethodGet && !o.Data }

func (o *Operation) hasBody() bool {
	return o.WithBody || o.Method == http.MethodPost || o.Method == http.MethodPut
}

// Everybody reports whether the operation needs no authentication.
func (o *Operation) Everybody() bool { return o.Public || o.Service >= Own }

// speaks checks the media type of a request (1.2) and reports whether it is
// protobuf, which asks for protobuf in the answer (PB-1).
func (o *Operation) speaks(header string) (proto bool, err error) {
	if header == "" || header == JSONType {
		return false, nil
	}
	kind := mediaType(header)
	switch {
	case o.Proto && kind == ProtoType:
		return true, nil
	case o.hasBody() && kind != JSONType:
		return false, ErrMediaType
	}
	return false, nil
}
