package api

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

// A text is a String member: null is absent, and a number counts as its digits
// (C-31, C-32).
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	switch {
	case string(b) == "null":
		*t = ""
	case b[0] == '"':
		return json.Unmarshal(b, (*string)(t))
	case b[0] == '-' || b[0] >= '0' && b[0] <= '9':
		*t = text(b)
	default:
		return codec.ErrSyntax
	}
	return nil
}

// A number is an Integer or Long member: null and "" are absent, and a decimal
// string counts as its value. What is neither is kept as bad.
type number struct {
	set bool
	bad bool
	n   int64
}

func (n *number) UnmarshalJSON(b []byte) error {
	var t text
	if err := t.UnmarshalJSON(b); err != nil {
		return err
	}
	*n = parseNumber(string(t))
	return nil
}

func parseNumber(s string) number {
	if s == "" {
		return number{}
	}
	v, err := strconv.ParseInt(s, 10, 64)
	return number{set: true, bad: err != nil, n: v}
}

// within returns the value if it lies between low and high, def if it is absent.
func (n number) within(name string, low, high, def int64) (int64, error) {
	switch {
	case !n.set:
		return def, nil
	case n.bad || n.n < low || n.n > high:
		return 0, field.NotWithin(name, low, high)
	}
	return n.n, nil
}

// orDefault makes 0 absent, as members and parameters do for which clients send
// 0 to mean nothing (C-5, C-31).
func (n number) orDefault() number {
	if n.n == 0 && !n.bad {
		return number{}
	}
	return n
}

// A boolean is a Boolean member: null and "" are absent, "true" and "false"
// count as the value.
type boolean struct {
	set bool
	bad bool
	v   bool
}

func (o *boolean) UnmarshalJSON(b []byte) error {
	switch s := strings.Trim(string(b), `"`); {
	case s == "true" || s == "false":
		*o = boolean{set: true, v: s == "true"}
	case s == "null" || s == "":
		*o = boolean{}
	case b[0] == '{' || b[0] == '[':
		return codec.ErrSyntax
	default:
		*o = boolean{set: true, bad: true}
	}
	return nil
}

func (o boolean) value(name string) (*bool, error) {
	if o.bad {
		return nil, field.Invalid(name, "must be true or false")
	}
	if !o.set {
		return nil, nil
	}
	return &o.v, nil
}

// maxElements bounds the members and array elements of a JSON body: each takes many
// times the memory of its text.
const maxElements = 100_000

// decode reads a JSON body with members into v.
func decode(body []byte, v any) error {
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

// checkType accepts the one kind of checkpoint there is; absent means it.
func checkType(value string) error {
	if value == "" {
		return nil
	}
	return field.OneOf("checkpoint_type", value, lastRead)
}

const lastRead = "LAST_READ"

// parsePartition reads a partition id in either spelling (C-40, C-41).
func parsePartition(s string) (int32, error) {
	id, ok := codec.ParsePartitionID(s)
	if !ok {
		return 0, detail(errPartitionID, s)
	}
	return id, nil
}

func partitionID(id int32) string { return string(codec.AppendPartitionID(nil, id)) }

// A query is a parsed query string (C-5): first value of a name, never an error.
type query struct{ sign.Query }

func parseQuery(raw string) query { return query{sign.ParseQuery(raw)} }

// limit returns a page size of at most max; 0 and absent mean def.
func (q query) limit(name string, def, max int64) (int, error) {
	n, err := parseNumber(q.Get(name)).orDefault().within(name, 1, max, def)
	return int(n), err
}

// capped returns a number of at least 1, counting more than max as max.
func (q query) capped(names []string, def, max int64) (int, error) {
	n, err := parseNumber(q.Get(names...)).within(names[0], 1, math.MaxInt64, def)
	return int(min(n, max)), err
}
