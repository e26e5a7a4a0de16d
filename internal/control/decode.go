package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A node is a value of a document, JSON or YAML.
type node struct {
	line    int // of a YAML document, 0 for JSON
	members []member
	items   []node
	scalar  any // nil, string, bool or json.Number
	kind    nodeKind
}

type nodeKind int

const (
	scalarNode nodeKind = iota
	objectNode
	listNode
)

type member struct {
	name  string
	value node
}

// An invalidError is a document that says what cannot be meant. Its place is a path,
// faults[1].count.
type invalidError struct {
	place, reason string
	line          int
}

func (e *invalidError) Error() string {
	if e.place == "" {
		return e.reason
	}
	return e.place + ": " + e.reason
}

func invalid(place, format string, args ...any) error {
	return &invalidError{place: place, reason: fmt.Sprintf(format, args...)}
}

// parseJSON reads one JSON document. Unlike package json it refuses a member that is
// repeated.
func parseJSON(doc []byte) (node, error) {
	if len(bytes.TrimSpace(doc)) == 0 {
		return node{kind: objectNode}, nil
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	n, err := readJSON(dec, "", 0)
	if err != nil {
		return n, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return n, invalid("", "something follows the JSON document")
	}
	return n, nil
}

// maxDepth bounds how deep documents are nested.
const maxDepth = 50

func readJSON(dec *json.Decoder, place string, depth int) (node, error) {
	token, err := dec.Token()
	if err != nil || depth > maxDepth {
		return node{}, invalid(place, "not a JSON document")
	}
	switch token {
	case json.Delim('{'):
		n := node{kind: objectNode}
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				return n, invalid(place, "not a JSON document")
			}
			at := join(place, name.(string))
			value, err := readJSON(dec, at, depth+1)
			if err == nil {
				err = n.add(at, name.(string), value)
			}
			if err != nil {
				return n, err
			}
		}
		return n, closed(dec, place)
	case json.Delim('['):
		n := node{kind: listNode}
		for dec.More() {
			value, err := readJSON(dec, index(place, len(n.items)), depth+1)
			if err != nil {
				return n, err
			}
			n.items = append(n.items, value)
		}
		return n, closed(dec, place)
	}
	return node{scalar: token}, nil
}

func closed(dec *json.Decoder, place string) error {
	if _, err := dec.Token(); err != nil {
		return invalid(place, "not a JSON document")
	}
	return nil
}

func (n *node) add(place, name string, value node) error {
	if slices.ContainsFunc(n.members, func(m member) bool { return m.name == name }) {
		return &invalidError{place: place, reason: "repeated", line: value.line}
	}
	n.members = append(n.members, member{name, value})
	return nil
}

func join(place, name string) string {
	if place == "" {
		return name
	}
	return place + "." + name
}

func index(place string, i int) string { return place + "[" + strconv.Itoa(i) + "]" }

// parseYAML reads one YAML document.
func parseYAML(doc []byte) (node, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(doc, &root); err != nil {
		return node{}, invalid("", "not a YAML document: %v", err)
	}
	if root.Kind == 0 {
		return node{kind: objectNode}, nil
	}
	return readYAML(root.Content[0], "", 0)
}

func readYAML(y *yaml.Node, place string, depth int) (node, error) {
	n := node{line: y.Line}
	if depth > maxDepth {
		return n, invalid(place, "nested too deep")
	}
	switch y.Kind {
	case yaml.MappingNode:
		n.kind = objectNode
		for i := 0; i < len(y.Content); i += 2 {
			name := y.Content[i].Value
			value, err := readYAML(y.Content[i+1], join(place, name), depth+1)
			value.line = y.Content[i].Line
			if err == nil {
				err = n.add(join(place, name), name, value)
			}
			if err != nil {
				return n, err
			}
		}
	case yaml.SequenceNode:
		n.kind = listNode
		for i, item := range y.Content {
			value, err := readYAML(item, index(place, i), depth+1)
			if err != nil {
				return n, err
			}
			n.items = append(n.items, value)
		}
	case yaml.ScalarNode:
		n.scalar = yamlScalar(y)
	default:
		return n, &invalidError{place: place, reason: "aliases are not understood", line: y.Line}
	}
	return n, nil
}

func yamlScalar(y *yaml.Node) any {
	switch y.Tag {
	case "!!null":
		return nil
	case "!!bool":
		var b bool
		if y.Decode(&b) == nil {
			return b
		}
	case "!!int", "!!float":
		return json.Number(y.Value)
	}
	return y.Value
}

// JSON returns the node as a JSON document.
func (n node) JSON() []byte {
	var b bytes.Buffer
	n.write(&b)
	return b.Bytes()
}

func (n node) write(b *bytes.Buffer) {
	switch n.kind {
	case objectNode:
		b.WriteByte('{')
		for i, m := range n.members {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(scalarJSON(m.name))
			b.WriteByte(':')
			m.value.write(b)
		}
		b.WriteByte('}')
	case listNode:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.write(b)
		}
		b.WriteByte(']')
	default:
		b.Write(scalarJSON(n.scalar))
	}
}

func scalarJSON(v any) []byte {
	if n, ok := v.(json.Number); ok && !json.Valid([]byte(n)) { // 0x10 of YAML
		v = string(n)
	}
	doc, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts, numbers and truth values can always be marshalled
	}
	return doc
}

// member returns a member of an object, and false when it has none of that name.
func (n node) member(name string) (node, bool) {
	for _, m := range n.members {
		if m.name == name {
			return m.value, true
		}
	}
	return node{}, false
}

// A settable value reads itself from a node.
type settable interface {
	set(n node, place string) error
}

// decode fills what v points to. Every member must be known, of the right type, and
// in its range.
func decode(n node, v any) error { return fill(n, reflect.ValueOf(v).Elem(), "") }

func fill(n node, v reflect.Value, place string) error {
	err := fillValue(n, v, place)
	var bad *invalidError
	if errors.As(err, &bad) && bad.line == 0 {
		bad.line = n.line
	}
	return err
}

func fillValue(n node, v reflect.Value, place string) error {
	if s, ok := v.Addr().Interface().(settable); ok {
		return s.set(n, place)
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return fill(n, v.Elem(), place)
	case reflect.Struct:
		return fillStruct(n, v, place)
	case reflect.Slice:
		if n.kind != listNode {
			return invalid(place, "must be a list")
		}
		v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
		for i, item := range n.items {
			if err := fill(item, v.Index(i), index(place, i)); err != nil {
				return err
			}
		}
		return nil
	case reflect.String:
		s, ok := n.scalar.(string)
		if !ok {
			return invalid(place, "must be a text")
		}
		v.SetString(s)
	case reflect.Bool:
		b, ok := n.scalar.(bool)
		if !ok {
			return invalid(place, "must be true or false")
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		i, err := n.integer(place)
		if err != nil {
			return err
		}
		v.SetInt(i)
	case reflect.Float64:
		number, ok := n.scalar.(json.Number)
		f, err := number.Float64()
		if !ok || err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return invalid(place, "must be a number")
		}
		v.SetFloat(f)
	default:
		panic("control: cannot decode a " + v.Type().String())
	}
	return nil
}

func (n node) integer(place string) (int64, error) {
	number, _ := n.scalar.(json.Number)
	i, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil {
		return 0, invalid(place, "must be a whole number")
	}
	return i, nil
}

func fillStruct(n node, v reflect.Value, place string) error {
	if n.kind != objectNode {
		return invalid(place, "must be an object")
	}
	fields := make(map[string]reflect.Value)
	var known []string
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); name != "" {
			fields[name] = v.Field(i)
			known = append(known, name)
		}
	}
	for _, m := range n.members {
		field, ok := fields[m.name]
		if !ok {
			return &invalidError{place: join(place, m.name), reason: "unknown" + meant(m.name, known), line: m.value.line}
		}
		if err := fill(m.value, field, join(place, m.name)); err != nil {
			return err
		}
	}
	return nil
}

// meant names the known word next to a misspelt one, if one is within two letters.
func meant(name string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		if d := distance(name, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return ", did you mean " + best + "?"
}

// distance returns how many letters must be added, removed, replaced or exchanged
// with their neighbour to make one text of the other.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// A duration is a text with a unit: 250ms, 5m, 26h, 3d (CTL-5).
type duration time.Duration

func (d *duration) set(n node, place string) error {
	s, ok := n.scalar.(string)
	if !ok {
		return invalid(place, "must be a text with a unit, like 250ms or 26h")
	}
	parsed, err := parseDuration(s)
	if err != nil {
		return invalid(place, "%v", err)
	}
	*d = duration(parsed)
	return nil
}

var errDuration = errors.New("must be a duration with a unit, like 250ms, 5m, 26h or 3d")

func parseDuration(s string) (time.Duration, error) {
	days, rest, isDays := strings.Cut(s, "d")
	var total time.Duration
	if isDays {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, errDuration
		}
		total = time.Duration(n) * 24 * time.Hour
		s = rest
	}
	if s != "" || !isDays {
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 || s[0] == '+' || s[0] == '-' || s == "0" {
			return 0, errDuration
		}
		total += d
	}
	if total < 0 {
		return 0, errDuration
	}
	return total, nil
}

// A moment is a time in RFC 3339 with its zone.
type moment time.Time

func (m *moment) set(n node, place string) error {
	s, _ := n.scalar.(string)
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return invalid(place, "must be a time with its zone, like 2026-03-01T00:00:00Z")
	}
	*m = moment(t)
	return nil
}

// timeForm is how answers show times: UTC with milliseconds.
const timeForm = "2006-01-02T15:04:05.000Z"

func showTime(t time.Time) string { return t.UTC().Format(timeForm) }

// texts is a text or a list of them.
type texts []string

func (t *texts) set(n node, place string) error {
	items := []node{n}
	if n.kind == listNode {
		items = n.items
	}
	for i, item := range items {
		at := place
		if n.kind == listNode {
			at = index(place, i)
		}
		s, ok := item.scalar.(string)
		if !ok {
			return invalid(at, "must be a text or a list of texts")
		}
		*t = append(*t, s)
	}
	return nil
}

// MarshalJSON writes one text as such.
func (t texts) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

// A partition is a number or one of the forms of C-40.
type partitionID int32

func (p *partitionID) set(n node, place string) error {
	s, ok := n.scalar.(string)
	if number, isNumber := n.scalar.(json.Number); isNumber {
		s, ok = string(number), true
	}
	id, err := parsePartition(s)
	if !ok || err != nil {
		return invalid(place, "must be the number of a partition, or like shardId-0000000000")
	}
	*p = partitionID(id)
	return nil
}

func parsePartition(s string) (int32, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "shardId-"), 10, 31)
	return int32(n), err
}

func showPartition(id int32) string { return fmt.Sprintf("shardId-%010d", id) }
