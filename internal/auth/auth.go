// Package auth says who sent a request: it verifies signatures and tokens,
// keeps domains, projects, users and access keys, and issues tokens and
// temporary keys. What another account may do with a stream is said by package
// policy. Reference: section 3; api.md 1.3, 1.4, 1.11, E1, E2, E51 to E59.
package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"
)

// Errors of requests. A DeniedError, which wraps ErrDenied, says more, but only to
// the operator.
var (
	// ErrDenied is returned for a request without credentials or with wrong ones (C-25).
	ErrDenied = errors.New("authentication failed")
	// ErrLogin is returned for a login that is refused, whatever the reason is (E1-R3).
	ErrLogin = errors.New("login refused")
	// ErrProject is returned when the caller cannot enter the project (C-13, C-26).
	ErrProject = errors.New("project is not the caller's")
	// ErrForbidden is returned when the caller does not have the right (C-12, A-7, A-11).
	ErrForbidden = errors.New("not permitted")
	// ErrTooLarge is returned when a signed body has more than MaxSignedBody bytes (C-21).
	ErrTooLarge = errors.New("signed body is too large")
	// ErrBlacklisted is returned while an address has too many failures.
	ErrBlacklisted = errors.New("too many authentication failures")
	// ErrNotFound is returned when a token or an access key does not exist or is
	// not of the caller's domain (E52, E59).
	ErrNotFound = errors.New("no such token or key")
)

// Errors of administration.
var (
	// ErrExists is returned when a name or an id is taken.
	ErrExists = errors.New("identity exists")
	// ErrUnknown is returned when a domain, project, user or key does not exist.
	ErrUnknown = errors.New("identity does not exist")
	// ErrFixed is returned when a call would change an identity that the
	// configuration defines.
	ErrFixed = errors.New("identity is of the configuration")
	// ErrKeyQuota is returned when a user has two access keys already.
	ErrKeyQuota = errors.New("user has two access keys")
)

// A Mode says whose requests are served.
type Mode string

const (
	// ModeOpen takes any credentials, or none, for those of the default domain,
	// which may enter every project.
	ModeOpen Mode = "open"
	// ModeRequired serves only requests with valid credentials.
	ModeRequired Mode = "required"
)

// A Role says what a user may do in the projects of its domain.
type Role string

const (
	// Member may do everything, and is what users are by default.
	Member Role = "member"
	// Reader may do what changes nothing.
	Reader Role = "reader"
	// Administrator may do everything, disd's own administration included.
	Administrator Role = "administrator"
)

func (r Role) valid() bool { return r == Member || r == Reader || r == Administrator }

// A Domain is an account.
type Domain struct{ ID, Name string }

// A Project belongs to a domain. Its name is that of a region, possibly with
// more behind an underscore.
type Project struct {
	ID, Name string
	Domain   Domain
}

// A User belongs to a domain.
type User struct {
	ID, Name string
	Domain   Domain
	Role     Role
}

// A Key is an access key without its secret.
type Key struct {
	AK          string
	User        User
	Active      bool
	Created     time.Time
	Description string
}

// A Principal is who sent a request.
type Principal struct {
	User      User
	AccessKey string // of the signature, "" with a token
	scope     scope
	project   string // id, with scopeProject
}

// A scope is where a principal may work.
type scope int

const (
	scopeNone    scope = iota // a token without a project
	scopeDomain               // any project of the domain
	scopeProject              // one project
	scopeAll                  // any project at all: ModeOpen
)

// Anybody reports a principal of ModeOpen, to whom nothing is forbidden.
func (p Principal) Anybody() bool { return p.scope == scopeAll }

// CanWrite reports whether the principal may call what changes something.
func (p Principal) CanWrite() bool { return p.User.Role != Reader }

// CanAdminister reports whether the principal may call disd's administration.
func (p Principal) CanAdminister() bool { return p.User.Role == Administrator }

// derive returns the id of what was given none: 32 hex digits, the same at every
// start.
func derive(kind string, names ...string) string {
	h := sha256.New()
	h.Write([]byte(kind))
	for _, n := range names {
		h.Write([]byte{0})
		h.Write([]byte(n))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
