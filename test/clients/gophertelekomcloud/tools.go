// Package gophertelekomcloud keeps the module, and what its acceptance tests need,
// in go.mod.
package gophertelekomcloud

import _ "github.com/opentelekomcloud/gophertelekomcloud/acceptance/clients"
