package rest

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"disd/internal/api/codec"
	"disd/internal/field"
	"disd/internal/sign"
)

// A Text is a String member: null is absent, and a number counts as its digits
// (C-31, C-32).
type Text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *Text) UnmarshalJSON(b []byte) error {
	switch {
	case string(b) == "null":
		*t = ""
	case b[0] == '"':
		return json.Unmarshal(b, (*string)(t))
	case b[0] == '-' || b[0] >= '0' && b[0] <= '9':
		*t = Text(b)
	default:
		return codec.ErrSyntax
	}
	return nil
}

// Or returns the text, or def if it is absent.
func (t Text) Or(def string) string {
	if t == "" {
		return def
	}
	return string(t)
}

// A Number is an Integer or Long member: null and "" are absent, and a decimal
// string counts as its value. What is neither is kept as bad.
type Number struct {
	Set bool
	bad bool
	n   int64
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *Number) UnmarshalJSON(b []byte) error {
	var t Text
	if err := t.UnmarshalJSON(b); err != nil {
		return err
	}
	*n = ParseNumber(string(t))
	return nil
}

// ParseNumber reads a parameter as a member of the same type is read.
func ParseNumber(s string) Number {
	if s == "" {
		return Number{}
	}
	v, err := strconv.ParseInt(s, 10, 64)
	return Number{Set: true, bad: err != nil, n: v}
}

// Within returns the value if it lies between low and high, def if it is absent.
func (n Number) Within(name string, low, high, def int64) (int64, error) {
	switch {
	case !n.Set:
		return def, nil
	case n.bad || n.n < low || n.n > high:
		return 0, field.NotWithin(name, low, high)
	}
	return n.n, nil
}

// OrDefault makes 0 absent, as members and parameters do for which clients send
// 0 to mean nothing (C-5, C-31).
func (n Number) OrDefault() Number {
	if n.n == 0 && !n.bad {
		return Number{}
	}
	return n
}

// A Boolean is a Boolean member: null and "" are absent, "true" and "false"
// count as the value.
type Boolean struct {
	Set bool
	bad bool
	v   bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *Boolean) UnmarshalJSON(b []byte) error {
	switch s := strings.Trim(string(b), `"`); {
	case s == "true" || s == "false":
		*o = Boolean{Set: true, v: s == "true"}
	case s == "null" || s == "":
		*o = Boolean{}
	case b[0] == '{' || b[0] == '[':
		return codec.ErrSyntax
	default:
		*o = Boolean{Set: true, bad: true}
	}
	return nil
}

// Value returns the value, nil if it is absent.
func (o Boolean) Value(name string) (*bool, error) {
	if o.bad {
		return nil, field.Invalid(name, "must be true or false")
	}
	if !o.Set {
		return nil, nil
	}
	return &o.v, nil
}

// maxElements bounds the members and array elements of a JSON body: each takes many
// times the memory of its text.
const maxElements = 100_000

// Decode reads a JSON body with members into v.
func Decode(body []byte, v any) error {
	if bytes.Count(body, []byte{','}) >= maxElements {
		return codec.ErrTooLarge
	}
	if len(body) == 0 {
		return codec.ErrEmpty
	}
	if !utf8.Valid(body) {
		return codec.ErrSyntax
	}
	if err := json.Unmarshal(body, v); err != nil {
		return codec.ErrSyntax
	}
	if doc := bytes.TrimSpace(body); string(doc) == "null" || doc[0] == '{' && len(bytes.TrimSpace(doc[1:len(doc)-1])) == 0 {
		return codec.ErrEmpty
	}
	return nil
}

// A Query is a parsed query string (C-5): first value of a name, never an error.
type Query struct{ sign.Query }

// ParseQuery reads a raw query.
func ParseQuery(raw string) Query { return Query{sign.ParseQuery(raw)} }

// Limit returns a page size of at most max; 0 and absent mean def.
func (q Query) Limit(name string, def, max int64) (int, error) {
	n, err := ParseNumber(q.Get(name)).OrDefault().Within(name, 1, max, def)
	return int(n), err
}

// Capped returns a number of at least 1, counting more than max as max.
func (q Query) Capped(names []string, def, max int64) (int, error) {
	n, err := ParseNumber(q.Get(names...)).Within(names[0], 1, math.MaxInt64, def)
	return int(min(n, max)), err
}
