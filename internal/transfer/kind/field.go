package kind

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"disd/internal/field"
)

// A Shape is the documented type of a field.
type Shape int

const (
	Text    Shape = iota // String; numbers are read as their digits
	Integer              // decimal strings are read as their value
	Toggle               // String that may also be a Boolean (4.4-N1)
	Object
	List // of objects
)

// A Field is one row of a descriptor table.
type Field struct {
	Name     string
	Shape    Shape
	Required bool
	Secret   bool                               // stored encrypted and shown as Hidden (E25-R2)
	Valid    func(value string) (reason string) // of a scalar that is there; nil takes any
	Fields   []Field                            // of an object, or of each element of a list
	Most     int                                // elements of a list; 0 for no limit
	Whole    func(object map[string]any) error  // what the fields of an object mean to each other
	Fault    error                              // wrapped by whatever is wrong here; nil for none
}

// readObject reads the known members of an object that are not absent. Unknown
// ones are ignored (C-31).
func readObject(fields []Field, raw json.RawMessage) (map[string]any, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	values := make(map[string]any)
	for _, f := range fields {
		raw, given := members[f.Name]
		if !given && f.Name == "retry_duration" {
			raw = members["retry_duration "] // as one SDK spells it (TC-R9)
		}
		v, err := f.read(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		if v != nil {
			values[f.Name] = v
		}
	}
	return values, nil
}

// read returns the value of a member, or nil when it equals an absent one. An
// empty String is kept, because it is shown again; checks take it for absent.
func (f Field) read(raw json.RawMessage) (any, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	switch f.Shape {
	case Object, List:
		return f.readStructure(raw)
	case Integer:
		s, err := scalar(raw, false)
		if err != nil || s == "" {
			return nil, err
		}
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n, nil
		}
		return s, nil // refused by the check
	}
	return scalar(raw, f.Shape == Toggle)
}

func (f Field) readStructure(raw json.RawMessage) (any, error) {
	if blank(raw) {
		return nil, nil
	}
	if f.Shape == Object {
		return readObject(f.Fields, raw)
	}
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	values := make([]any, len(items))
	for i, item := range items {
		v, err := readObject(f.Fields, item)
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
func (f Field) check(at string, v any) error {
	err := f.problem(at, v)
	if err != nil && f.Fault != nil && !errors.Is(err, f.Fault) {
		err = fmt.Errorf("%w: %w", f.Fault, err)
	}
	return err
}

func (f Field) problem(at string, v any) error {
	if v == nil || v == "" {
		if f.Required {
			return field.Invalid(at, "is required")
		}
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		return f.checkMembers(at, v)
	case []any:
		if f.Most > 0 && len(v) > f.Most {
			return field.Invalid(at, "has more than "+strconv.Itoa(f.Most)+" elements")
		}
		for _, item := range v {
			if err := f.checkMembers(at, item.(map[string]any)); err != nil {
				return err
			}
		}
		return nil
	}
	if f.Valid == nil {
		return nil
	}
	if reason := f.Valid(fmt.Sprint(v)); reason != "" {
		return field.Invalid(at, reason)
	}
	return nil
}

func (f Field) checkMembers(at string, members map[string]any) error {
	for _, sub := range f.Fields {
		if err := sub.check(at+"."+sub.Name, members[sub.Name]); err != nil {
			return err
		}
	}
	if f.Whole != nil {
		return f.Whole(members)
	}
	return nil
}
