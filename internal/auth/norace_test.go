//go:build !race

package auth

const freshRequests = 10_000 // see race_test.go
