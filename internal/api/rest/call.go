package rest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"

	"disd/internal/auth"
	"disd/internal/clock"
)

// A Call is one request on its way through the server.
type Call struct {
	*http.Request
	ID        string          // the request id that the client sees (C-51)
	Start     clock.Stopwatch // since its headers were read
	Principal auth.Principal
	Project   string // of the path, "" for calls without one
	Query     Query
	Body      []byte            // whole and decompressed, where the operation has one
	Proto     bool              // it speaks protobuf (PB-1)
	Probe     Probe             // nil but in an emulator
	Subjects  map[string]string // see About

	w  http.ResponseWriter
	in incoming
}

// Param returns a parameter of the path, decoded.
func (c *Call) Param(name string) string {
	v := c.PathValue(name)
	if c.URL.RawPath == "" {
		return v
	}
	if plain, err := url.PathUnescape(v); err == nil {
		return plain
	}
	return v
}

// About notes the name of something that the call is about, for the audit log: what it
// made, changed or removed. What the path names is known already; "" is nothing.
func (c *Call) About(kind, name string) {
	if name == "" {
		return
	}
	if c.Subjects == nil {
		c.Subjects = make(map[string]string)
	}
	c.Subjects[kind] = name
}

// Root is the server's address as the client spelled it.
func (c *Call) Root() string {
	if c.TLS != nil {
		return "https://" + c.Host
	}
	return "http://" + c.Host
}

// A Reply is an answer. It is written once, after the operation has returned.
type Reply struct {
	Status int
	Body   []byte
	Type   string  // of the body; "" is JSON
	Memory *Buffer // given back after the body was written
	Lease  *Lease  // the same

	// SubjectToken is sent in the header X-Subject-Token; "" for none.
	SubjectToken string

	// Stream, if set, writes the answer itself, in place of Status and Body. Every
	// write may take WriteTime, so that an answer may outlast what the server allows
	// ordinary ones; it must end when the request's context does.
	Stream http.HandlerFunc
}

// Answer returns v as a JSON answer.
func Answer(status int, v any) (Reply, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return Reply{}, err
	}
	return Reply{Status: status, Body: bytes.TrimSuffix(b.Bytes(), []byte("\n"))}, nil
}

// OK returns v as the JSON answer of a success.
func OK(v any) (Reply, error) { return Answer(http.StatusOK, v) }

// Created is a success without a body, 201.
func Created() (Reply, error) { return Reply{Status: http.StatusCreated}, nil }

// NoContent is a success without a body, 204.
func NoContent() (Reply, error) { return Reply{Status: http.StatusNoContent}, nil }
