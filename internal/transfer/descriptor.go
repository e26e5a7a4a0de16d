package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	words "disd/internal/field"
)

// A Type is a kind of destination.
type Type string

// The types of api.md 3.6.
const (
	OBS        Type = "OBS"
	DWS        Type = "DWS"
	MRS        Type = "MRS"
	DLI        Type = "DLI"
	CloudTable Type = "CLOUDTABLE"
)

// A Descriptor says where and how a task delivers. It holds the members that
// were given, in their documented types, and nothing else: clients compare what
// they are shown with what they sent (E25-R1). A password is hidden, its value
// lies encrypted in the Task.
type Descriptor struct {
	Type    Type           `json:"type"`
	Members map[string]any `json:"members"` // string, integer, object or list of objects
}

// hidden is shown in place of a secret (E25-R2).
const hidden = "******"

const secretMember = "user_password"

// Parse reads a descriptor for a new task and checks it against the field table
// of its type (4.2 to 4.7). ErrMalformed, ErrCloudTableSchema, ErrOpenTSDBSchema,
// or a field.Error about the first field that is wrong.
func Parse(t Type, raw json.RawMessage) (Descriptor, error) {
	d, err := read(t, raw)
	if err != nil {
		return d, err
	}
	return d, d.check()
}

// ParseUpdate reads a descriptor that changes a task: only task_name is needed,
// and only what is there is checked (E48).
func ParseUpdate(t Type, raw json.RawMessage) (Descriptor, error) {
	d, err := read(t, raw)
	if err != nil {
		return d, err
	}
	for _, f := range tables[t] {
		if _, given := d.Members[f.name]; !given && f.name != "task_name" {
			continue
		}
		if err := f.check(f.name, d.Members[f.name]); err != nil {
			return d, err
		}
	}
	return d, nil
}

func read(t Type, raw json.RawMessage) (Descriptor, error) {
	table, known := tables[t]
	if !known {
		return Descriptor{}, invalid("destination_type", "must be OBS, DWS, MRS, DLI or CLOUDTABLE")
	}
	member := strings.ToLower(string(t)) + "_destination_descriptor"
	if blank(raw) {
		return Descriptor{}, invalid(member, "is required")
	}
	members, err := readObject(table, raw)
	return Descriptor{t, members}, err
}

// check holds the whole descriptor against its table.
func (d Descriptor) check() error {
	for _, f := range tables[d.Type] {
		if err := f.check(f.name, d.Members[f.name]); err != nil {
			return err
		}
	}
	if d.Type == CloudTable {
		return d.checkCloudTable()
	}
	return nil
}

// checkCloudTable holds the two variants apart (CT-8).
func (d Descriptor) checkCloudTable() error {
	hbase, tsdb := d.Members["cloudtable_schema"] != nil, d.Members["opentsdb_schema"] != nil
	switch {
	case hbase == tsdb:
		return fmt.Errorf("%w: %w", ErrCloudTableSchema, invalid("cloudtable_schema", "exactly one of it and opentsdb_schema is needed"))
	case hbase && d.Text("cloudtable_table_name") == "":
		return fmt.Errorf("%w: %w", ErrCloudTableSchema, invalid("cloudtable_table_name", "is required"))
	}
	return nil
}

// merge returns the descriptor with the members of change in place of its own.
// An empty string is an absent member and changes nothing (E48-R2, C-31).
func (d Descriptor) merge(change Descriptor) Descriptor {
	merged := Descriptor{d.Type, make(map[string]any)}
	for name, v := range d.Members {
		merged.Members[name] = v
	}
	for name, v := range change.Members {
		if v != "" {
			merged.Members[name] = v
		}
	}
	return merged
}

// Text returns a String member, "" when it is absent.
func (d Descriptor) Text(name string) string {
	s, _ := d.Members[name].(string)
	return s
}

// Object returns a member of a member that is an object, "" when it is absent.
func (d Descriptor) Object(name, member string) string {
	o, _ := d.Members[name].(map[string]any)
	s, _ := o[member].(string)
	return s
}

// Interval returns deliver_time_interval, by default 300 s (TC-N3).
func (d Descriptor) Interval() time.Duration {
	switch n := d.Members["deliver_time_interval"].(type) {
	case int64:
		return time.Duration(n) * time.Second
	case float64: // from the catalog
		return time.Duration(n) * time.Second
	}
	return 300 * time.Second
}

// Retry returns retry_duration, by default 1800 s.
func (d Descriptor) Retry() time.Duration {
	n, err := strconv.Atoi(d.Text("retry_duration"))
	if err != nil {
		n = 1800
	}
	return time.Duration(n) * time.Second
}

// fromOldest says where a new task starts (TC-R7).
func (d Descriptor) fromOldest() bool { return d.strategy() == trimHorizon }

func (d Descriptor) strategy() string {
	if s := d.Text("consumer_strategy"); s != "" {
		return s
	}
	return latest
}

const (
	latest      = "LATEST"
	trimHorizon = "TRIM_HORIZON"
)

// hide takes the secret out of the descriptor.
func (d Descriptor) hide() (secret string) {
	secret = d.Text(secretMember)
	if secret != "" {
		d.Members[secretMember] = hidden
	}
	return secret
}

func invalid(field, reason string) error {
	return words.Invalid(field, reason)
}

// A kind is the documented type of a field.
type kind int

const (
	str     kind = iota // String; numbers are read as their digits
	integer             // Integer; decimal strings are read as their value
	toggle              // String that may also be a Boolean (4.4-N1)
	object
	list // of objects
)

// A field is one row of a descriptor table.
type field struct {
	name     string
	kind     kind
	required bool
	valid    func(value string) (reason string) // of a scalar that is there; nil takes any
	fields   []field                            // of an object, or of each element of a list
	most     int                                // elements of a list; 0 for no limit
	whole    func(object map[string]any) error  // what the fields of an object mean to each other
	fault    error                              // wrapped by whatever is wrong here; nil for none
}

// readObject reads the known members of an object that are not absent. Unknown
// ones are ignored (C-31).
func readObject(fields []field, raw json.RawMessage) (map[string]any, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	values := make(map[string]any)
	for _, f := range fields {
		raw, given := members[f.name]
		if !given && f.name == "retry_duration" {
			raw = members["retry_duration "] // as one SDK spells it (TC-R9)
		}
		v, err := f.read(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		if v != nil {
			values[f.name] = v
		}
	}
	return values, nil
}

// read returns the value of a member, or nil when it equals an absent one. An
// empty String is kept, because it is shown again; checks take it for absent.
func (f field) read(raw json.RawMessage) (any, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	switch f.kind {
	case object, list:
		return f.readStructure(raw)
	case integer:
		s, err := scalar(raw, false)
		if err != nil || s == "" {
			return nil, err
		}
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n, nil
		}
		return s, nil // refused by the check
	}
	return scalar(raw, f.kind == toggle)
}

func (f field) readStructure(raw json.RawMessage) (any, error) {
	if blank(raw) {
		return nil, nil
	}
	if f.kind == object {
		return readObject(f.fields, raw)
	}
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	values := make([]any, len(items))
	for i, item := range items {
		v, err := readObject(f.fields, item)
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	return values, nil
}

// scalar reads a string, or a number as its digits.
func scalar(raw []byte, boolean bool) (string, error) {
	var s string
	switch c := raw[0]; {
	case c == '"':
		return s, json.Unmarshal(raw, &s)
	case c == '-' || c >= '0' && c <= '9':
		return string(raw), nil
	case boolean && (c == 't' || c == 'f'):
		return string(raw), nil
	}
	return "", fmt.Errorf("%w: a scalar is needed", ErrMalformed)
}

// blank reports whether a value equals an absent one: null, "", or an object or
// list with nothing but such (TC-R8).
func blank(raw json.RawMessage) bool {
	var v any
	return len(raw) == 0 || json.Unmarshal(raw, &v) == nil && empty(v)
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case map[string]any:
		for _, member := range v {
			if !empty(member) {
				return false
			}
		}
		return true
	case []any:
		for _, item := range v {
			if !empty(item) {
				return false
			}
		}
		return true
	}
	return false
}

// check holds a value against its row; at is its name from the descriptor on.
func (f field) check(at string, v any) error {
	err := f.problem(at, v)
	if err != nil && f.fault != nil && !errors.Is(err, f.fault) {
		err = fmt.Errorf("%w: %w", f.fault, err)
	}
	return err
}

func (f field) problem(at string, v any) error {
	if v == nil || v == "" {
		if f.required {
			return invalid(at, "is required")
		}
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		return f.checkMembers(at, v)
	case []any:
		if f.most > 0 && len(v) > f.most {
			return invalid(at, "has more than "+strconv.Itoa(f.most)+" elements")
		}
		for _, item := range v {
			if err := f.checkMembers(at, item.(map[string]any)); err != nil {
				return err
			}
		}
		return nil
	}
	if f.valid == nil {
		return nil
	}
	if reason := f.valid(fmt.Sprint(v)); reason != "" {
		return invalid(at, reason)
	}
	return nil
}

func (f field) checkMembers(at string, members map[string]any) error {
	for _, sub := range f.fields {
		if err := sub.check(at+"."+sub.name, members[sub.name]); err != nil {
			return err
		}
	}
	if f.whole != nil {
		return f.whole(members)
	}
	return nil
}
