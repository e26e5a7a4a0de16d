// Package field says what is wrong with a value that a client, or a configuration,
// gave to a named field.
package field

import (
	"errors"
	"strconv"
	"strings"
)

// ErrInvalid is a value that a field cannot have. Errors of this package wrap it.
var ErrInvalid = errors.New("invalid")

// An Error says which field of a request cannot be accepted, and why. It wraps
// ErrInvalid.
type Error struct {
	Field  string // as clients spell it
	Reason string // follows the name and a colon: "is required"
}

func (e *Error) Error() string { return "invalid " + e.Field + ": " + e.Reason }

// Unwrap returns ErrInvalid.
func (e *Error) Unwrap() error { return ErrInvalid }

// Invalid returns an Error.
func Invalid(field, reason string) error { return &Error{field, reason} }

// First returns the first error that is not nil, in the order of the field table
// (C-35).
func First(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Present requires a value.
func Present(field, value string) error {
	if value == "" {
		return Invalid(field, "is required")
	}
	return nil
}

// OneOf requires one of the allowed values.
func OneOf(field, value string, allowed ...string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return Invalid(field, "must be one of "+strings.Join(allowed, ", "))
}

// Within requires low <= n <= high.
func Within(field string, n, low, high int64) error {
	if n < low || n > high {
		return NotWithin(field, low, high)
	}
	return nil
}

// NotWithin is the Error of a value that is no integer from low to high.
func NotWithin(field string, low, high int64) error {
	return Invalid(field, "must be an integer from "+strconv.FormatInt(low, 10)+" to "+strconv.FormatInt(high, 10))
}

// Name requires 1 to longest letters, digits, hyphens and underscores, as the names of
// streams and apps have them (api.md 1.8).
func Name(field, name string, longest int) error {
	switch {
	case name == "":
		return Invalid(field, "is required")
	case len(name) > longest:
		return Invalid(field, "is longer than "+strconv.Itoa(longest)+" characters")
	}
	for i := range len(name) {
		if !IsNameByte(name[i]) {
			return Invalid(field, "has characters other than letters, digits, - and _")
		}
	}
	return nil
}

// IsNameByte reports whether c may be in a name.
func IsNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}
