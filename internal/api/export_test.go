package api

import (
	"context"
	"net/http"
	"slices"
)

// What tests of the whole server know of its inside.
const (
	JSONType      = jsonType
	ProtoType     = protoType
	NoAPI         = noAPI
	MaxPutRecords = maxPutRecords
	MaxScrapes    = maxScrapes
)

// OpenAPI is the description of the API.
var OpenAPI = openAPI

// Operations lists method and path of every operation of DIS and of the identity
// service.
func Operations() (all [][2]string) {
	for _, op := range slices.Concat(operations, identityOperations) {
		all = append(all, [2]string{op.method, op.path})
	}
	return all
}

// Faults lists status, code and message of every error.
func Faults() (all []struct {
	Status        int
	Code, Message string
}) {
	for _, f := range append(slices.Clone(faults), fault{status: 503, code: systemError.code, message: systemError.message}) {
		all = append(all, struct {
			Status        int
			Code, Message string
		}{f.status, f.code, f.message})
	}
	return all
}

// TakeAnswers takes all memory for downloads that an address may have, until it is
// given back.
func (s *Server) TakeAnswers(ctx context.Context, address string) (back func(), err error) {
	return s.answers.take(ctx, address)
}

// TakeResults does it with that for answers to uploads.
func (s *Server) TakeResults(ctx context.Context, address string) (back func(), err error) {
	return s.results.take(ctx, address)
}

func (b *budget) take(ctx context.Context, address string) (func(), error) {
	h := b.enter(&http.Request{RemoteAddr: address})
	return h.release, h.reserve(ctx, b.share)
}

// WaitingForResults is how many requests of an address use or want that memory.
func (s *Server) WaitingForResults(address string) int {
	h := s.results.enter(&http.Request{RemoteAddr: address})
	defer h.release()
	s.results.mu.Lock()
	defer s.results.mu.Unlock()
	return h.from.requests - 1
}
