package rest

import (
	"testing"

	"disd/internal/api/apitest"
)

// TestDescribedTypes holds the wire types against the OpenAPI description.
func TestDescribedTypes(t *testing.T) {
	apitest.CheckTypes(t,
		envelope{}, keystone{},
	)
}
