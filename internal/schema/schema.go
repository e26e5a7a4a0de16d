// Package schema reads data schemas: Avro records in JSON, which clients send.
// Its bounds hold before and inside the parser of the library.
package schema

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/twmb/avro"
)

// A Node is a part of a schema, as the library describes it.
type Node = avro.SchemaNode

// Bounds of a data schema. The parser's time grows faster than its text for some
// texts; at these bounds it stays below a second.
const (
	maxSize  = 512 << 10 // bytes of JSON text
	maxDepth = 256       // brackets around a value
	maxWork  = 100_000   // values in the text, and in its defaults when they are filled out
	maxFill  = 1000      // levels of a default that is filled out
)

// Parse returns the root of an Avro schema. Its error says what is not Avro, or
// which bound the text exceeds (E3-R5).
func Parse(text string) (*Node, error) {
	if err := bounded(text); err != nil {
		return nil, err
	}
	s, err := avro.Parse(text)
	if err != nil {
		return nil, err
	}
	return s.Root(), nil
}

// bounded refuses text that would take the parser long.
func bounded(text string) error {
	if len(text) > maxSize {
		return fmt.Errorf("has %d bytes, more than %d", len(text), maxSize)
	}
	if err := shallow(text); err != nil {
		return err
	}
	var root any
	if err := json.Unmarshal([]byte(text), &root); err != nil {
		return nil //nolint:nilerr // the parser says what is wrong with it
	}
	w := walk{named: make(map[string][]map[string]any)}
	if err := w.types(root, 0); err != nil {
		return err
	}
	return w.defaults(root)
}

// shallow refuses brackets that are nested too deep.
func shallow(text string) error {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '{' || c == '['):
			if depth++; depth > maxDepth {
				return fmt.Errorf("is nested deeper than %d brackets", maxDepth)
			}
		case !quoted && (c == '}' || c == ']'):
			depth--
		}
	}
	return nil
}

// A walk visits what the parser visits, and counts. The parser encodes the
// default of each field. Where a default leaves out fields of a record, their
// defaults are encoded again, so few records can stand for work without number.
type walk struct {
	named map[string][]map[string]any // records and enumerations, by their names without namespace
	work  int
}

var errWork = fmt.Errorf("stands for more than %d types and values of defaults", maxWork)

// step counts a visit, by what it costs.
func (w *walk) step(cost, depth int) error {
	if w.work += cost; w.work > maxWork || depth > maxFill {
		return errWork
	}
	return nil
}

// types notes the types in v that have names, at any place.
func (w *walk) types(v any, depth int) error {
	err := w.step(1, depth)
	switch v := v.(type) {
	case []any:
		for i := 0; i < len(v) && err == nil; i++ {
			err = w.types(v[i], depth+1)
		}
	case map[string]any:
		switch name, _ := v["name"].(string); v["type"] {
		case "record", "error", "enum":
			w.named[unqualified(name)] = append(w.named[unqualified(name)], v)
		}
		for _, member := range v {
			if err == nil {
				err = w.types(member, depth+1)
			}
		}
	}
	return err
}

// defaults visits the default of every field in v.
func (w *walk) defaults(v any) error {
	var err error
	switch v := v.(type) {
	case []any:
		for i := 0; i < len(v) && err == nil; i++ {
			err = w.defaults(v[i])
		}
	case map[string]any:
		if d, ok := v["default"]; ok {
			err = w.fill(d, v["type"], 0)
		}
		for _, member := range v {
			if err == nil {
				err = w.defaults(member)
			}
		}
	}
	return err
}

// fill visits what a default of a type is encoded to. A name may mean several
// types here, because namespaces are left aside; all of them are visited.
func (w *walk) fill(val, typ any, depth int) error {
	text, _ := val.(string)
	err := w.step(1+len(text)/64, depth)
	switch t := typ.(type) {
	case string:
		for _, named := range w.named[unqualified(t)] {
			if err == nil {
				err = w.fillType(val, named, depth+1)
			}
		}
	case []any:
		for i := 0; i < len(t) && err == nil; i++ {
			err = w.fill(val, t[i], depth+1)
		}
	case map[string]any:
		if err == nil {
			err = w.fillType(val, t, depth+1)
		}
	}
	return err
}

// fillType is fill for a type that is described by an object.
func (w *walk) fillType(val any, t map[string]any, depth int) error {
	switch kind := t["type"]; kind {
	case "record", "error":
		return w.fillRecord(val, t, depth)
	case "enum":
		symbols, _ := t["symbols"].([]any)
		return w.step(1+len(symbols)/8, depth)
	case "array":
		items, _ := val.([]any)
		for _, item := range items {
			if err := w.fill(item, t["items"], depth+1); err != nil {
				return err
			}
		}
		return nil
	case "map":
		values, _ := val.(map[string]any)
		for _, item := range values {
			if err := w.fill(item, t["values"], depth+1); err != nil {
				return err
			}
		}
		return nil
	case "fixed":
		return nil
	default:
		return w.fill(val, kind, depth+1)
	}
}

// fillRecord visits the fields of a record: each has the value of its name in
// val, or its own default.
func (w *walk) fillRecord(val any, t map[string]any, depth int) error {
	given, ok := val.(map[string]any)
	fields, _ := t["fields"].([]any)
	if !ok {
		return nil
	}
	for _, f := range fields {
		field, _ := f.(map[string]any)
		name, _ := field["name"].(string)
		item, ok := given[name]
		if !ok {
			item = field["default"]
		}
		if err := w.fill(item, field["type"], depth+1); err != nil {
			return err
		}
	}
	return nil
}

// unqualified returns a name without its namespace.
func unqualified(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }
