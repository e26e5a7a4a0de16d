package sign

import (
	"cmp"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// A variant is a set of the deviations of S-9 that clients are known for. Its
// bits are in the order in which they are tried.
type variant uint8

const (
	collapsedBlanks variant = 1 << iota // runs of blanks in header values are one
	hostWithoutPort
	bareNames              // an empty query value has no equals sign
	lowerNames             // of the query
	firstValues            // names without regard to case, repeated ones only once
	pathTwice              // the path is escaped twice
	pathUnprefixed         // the path has no mount prefix
	allVariants    variant = 1<<iota - 1
)

// A Text is what a signature covers, of a request that was received or will be sent:
// the canonical request without its last line, the payload.
type Text struct {
	method  string
	path    string // decoded once as a whole (S-3)
	prefix  string // where the server is mounted, "" for the root
	query   Query
	date    string // X-Sdk-Date
	signed  string // SignedHeaders
	headers []header
}

// A header is one signed name with its values, trimmed, in order.
type header struct {
	name   string
	values []string
}

// NewText returns the text of a request for a signature. The server is mounted at
// prefix, which some clients do not sign (S-9); "" is the root.
func NewText(r *http.Request, s *Signature, prefix string) *Text {
	c := &Text{
		method: r.Method, path: r.URL.Path, prefix: prefix, query: ParseQuery(r.URL.RawQuery),
		date: r.Header.Get(DateHeader), signed: s.signed,
	}
	for _, name := range s.names {
		c.headers = append(c.headers, header{name, headerValues(r, name)})
	}
	return c
}

// headerValues returns the values of a header of the list (S-5, S-7).
func headerValues(r *http.Request, name string) []string {
	if name == "host" {
		return []string{cmp.Or(r.Host, r.URL.Host)}
	}
	values := r.Header[textproto.CanonicalMIMEHeaderKey(name)]
	if name == "content-length" && values == nil && r.ContentLength >= 0 {
		return []string{strconv.FormatInt(r.ContentLength, 10)}
	}
	if len(values) == 0 {
		return []string{""}
	}
	trimmed := make([]string, len(values))
	for i, v := range values {
		trimmed[i] = strings.TrimSpace(v)
	}
	slices.Sort(trimmed)
	return trimmed
}

// variants returns the deviations that would change the text.
func (c *Text) variants() variant {
	var v variant
	seen := make(map[string]bool, len(c.query))
	for _, p := range c.query {
		lower := strings.ToLower(p.Name)
		if p.Value == "" {
			v |= bareNames
		}
		if lower != p.Name {
			v |= lowerNames | firstValues
		}
		if seen[lower] {
			v |= firstValues
		}
		seen[lower] = true
	}
	for _, h := range c.headers {
		if slices.ContainsFunc(h.values, func(s string) bool { return strings.Contains(s, "  ") }) {
			v |= collapsedBlanks
		}
		if h.name == "host" && withoutPort(h.values[0]) != h.values[0] {
			v |= hostWithoutPort
		}
	}
	if strings.Contains(string(appendEscaped(nil, c.path, true)), "%") {
		v |= pathTwice
	}
	if c.prefix != "" && strings.HasPrefix(c.path, c.prefix+"/") {
		v |= pathUnprefixed
	}
	return v
}

// append appends the canonical request, up to the payload hash (S-2).
func (c *Text) append(b []byte, v variant) []byte {
	b = append(append(b, c.method...), '\n')
	b = append(c.appendPath(b, v), '\n')
	b = append(appendQuery(b, c.query, v), '\n')
	for _, h := range c.headers {
		for _, value := range h.values {
			b = append(append(b, h.name...), ':')
			b = append(append(b, h.varied(value, v)...), '\n')
		}
	}
	return append(append(append(b, '\n'), c.signed...), '\n')
}

func (h *header) varied(value string, v variant) string {
	if v&hostWithoutPort != 0 && h.name == "host" {
		value = withoutPort(value)
	}
	if v&collapsedBlanks != 0 {
		for strings.Contains(value, "  ") {
			value = strings.ReplaceAll(value, "  ", " ")
		}
	}
	return value
}

// withoutPort removes a port of one to five digits.
func withoutPort(host string) string {
	i := strings.LastIndexByte(host, ':')
	if i < 0 {
		return host
	}
	if _, err := strconv.ParseUint(host[i+1:], 10, 16); err != nil {
		return host
	}
	return host[:i]
}

func (c *Text) appendPath(b []byte, v variant) []byte {
	path := c.path
	if v&pathUnprefixed != 0 {
		path = strings.TrimPrefix(path, c.prefix)
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" {
			continue
		}
		if v&pathTwice != 0 {
			segment = string(appendEscaped(nil, segment, false))
		}
		b = appendEscaped(append(b, '/'), segment, false)
	}
	return append(b, '/')
}

// appendQuery appends the canonical query (S-4).
func appendQuery(b []byte, query Query, v variant) []byte {
	q := make(Query, len(query))
	for i, p := range query {
		if v&lowerNames != 0 {
			p.Name = strings.ToLower(p.Name)
		}
		q[i] = Param{escape(p.Name), escape(p.Value)}
	}
	if v&firstValues != 0 {
		q = firstOfEach(q)
		slices.SortStableFunc(q, func(a, b Param) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	} else {
		slices.SortFunc(q, Param.compare)
	}
	for i, p := range q {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, p.Name...)
		if p.Value != "" || v&bareNames == 0 {
			b = append(append(b, '='), p.Value...)
		}
	}
	return b
}

func (p Param) compare(o Param) int {
	if c := strings.Compare(p.Name, o.Name); c != 0 {
		return c
	}
	return strings.Compare(p.Value, o.Value)
}

// firstOfEach drops all but the first of each name.
func firstOfEach(q Query) Query {
	seen := make(map[string]bool, len(q))
	return slices.DeleteFunc(q, func(p Param) bool {
		again := seen[p.Name]
		seen[p.Name] = true
		return again
	})
}

func escape(s string) string { return string(appendEscaped(nil, s, false)) }

// appendEscaped appends s with everything escaped but unreserved characters, and
// slashes if so wished.
func appendEscaped(b []byte, s string, slashes bool) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '_', c == '.', c == '~', slashes && c == '/':
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}
