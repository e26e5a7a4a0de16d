// Package openapi is the description of the API in OpenAPI 3.1, for people and for
// tools. Tests hold it against what is served.
package openapi

import _ "embed"

// Text describes all operations and wire types, as JSON.
//
//go:embed openapi.json
var Text string
