package iam

import (
	"testing"

	"disd/internal/api/apitest"
)

// TestDescribedTypes holds the wire types against the OpenAPI description.
func TestDescribedTypes(t *testing.T) {
	apitest.CheckTypes(t,
		ref{}, loginRequest{}, named{}, catalogEndpoint{}, catalogEntry{}, tokenReply{}, links{}, domainReply{}, listDomainsReply{},
		projectReply{}, listProjectsReply{}, userReply{}, listUsersReply{}, credentialReply{}, accessKeyReply{}, versionLink{}, versionReply{},
	)
}
