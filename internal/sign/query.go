package sign

import (
	"net/url"
	"strings"
)

// A Param is one decoded parameter of a query.
type Param struct{ Name, Value string }

// A Query is the decoded parameters of a raw query, in the order of the request. What
// is signed (S-4) and what is acted on (C-5) are read from the same value.
type Query []Param

// ParseQuery splits and decodes a raw query. It never fails: a piece that was not
// encoded well stands for itself.
func ParseQuery(raw string) Query {
	var q Query
	for piece := range strings.SplitSeq(raw, "&") {
		if piece != "" {
			name, value, _ := strings.Cut(piece, "=")
			q = append(q, Param{unescape(name), unescape(value)})
		}
	}
	return q
}

// unescape decodes a piece, or leaves it as it is when it was never encoded.
func unescape(s string) string {
	if t, err := url.QueryUnescape(s); err == nil {
		return t
	}
	return strings.ReplaceAll(s, "+", " ")
}

// Get returns the first value of the first of the names that is not absent. An empty
// value is absent (C-5).
func (q Query) Get(names ...string) string {
	for _, name := range names {
		for _, p := range q {
			if p.Name == name {
				if p.Value != "" {
					return p.Value
				}
				break
			}
		}
	}
	return ""
}
