package api

import (
	"context"
	"net/http"
	"slices"

	"disd/internal/api/dis"
	"disd/internal/api/iam"
	"disd/internal/api/rest"
)

// What tests of the whole server know of its inside.
const NoAPI = noAPI

// Operations lists method and path of every operation of DIS and of the identity
// service.
func Operations() (all [][2]string) {
	for _, op := range slices.Concat(new(dis.Service).Operations(), new(iam.Service).Operations()) {
		all = append(all, [2]string{op.Method, op.Path})
	}
	return all
}

// Faults lists status, code and message of every error.
func Faults() []rest.Fault {
	return append(slices.Clone(faults), rest.Fault{Status: 503, Code: table.Else.Code, Message: table.Else.Message})
}

// TakeAnswers takes all memory for downloads that an address may have, until it is
// given back.
func (s *Server) TakeAnswers(ctx context.Context, address string) (back func(), err error) {
	return take(ctx, s.answers, address)
}

// TakeResults does it with that for answers to uploads.
func (s *Server) TakeResults(ctx context.Context, address string) (back func(), err error) {
	return take(ctx, s.results, address)
}

func take(ctx context.Context, b *rest.Budget, address string) (func(), error) {
	lease := b.Enter(&http.Request{RemoteAddr: address})
	return lease.Release, lease.Reserve(ctx, b.Share())
}

// WaitingForResults is how many requests of an address use or want that memory.
func (s *Server) WaitingForResults(address string) int { return s.results.Requests(address) }
