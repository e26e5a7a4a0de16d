package api

import (
	_ "embed"
	"net/http"
)

// openAPI describes all operations and wire types, for people and for tools.
//
//go:embed openapi.json
var openAPI string

// describeAPI serves the OpenAPI description, to anybody.
func (s *Server) describeAPI(w http.ResponseWriter, _ *http.Request) {
	s.write(w, newRequestID(), reply{status: http.StatusOK, body: []byte(openAPI), mime: jsonType})
}
