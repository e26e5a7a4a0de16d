//go:build race

package auth

// freshRequests is how many TestFreshSignatures makes of each form: fewer where each
// costs ten times as much.
const freshRequests = 1_000
