package format

import (
	"errors"
	"fmt"
	"sync"

	"disd/internal/transfer/jsontext"
)

// maxCells is how many values and nulls the columns of a table get from one
// record. Each is at least two bytes of JSON, unless the schema says that a few bytes stand for
// a lot: "{}" for all fields of a record that are not there.
const maxCells = 1 << 19

// maxKept is how many values a reader has room for between two records.
const maxKept = 1 << 14

// Read gives put what a record holds, or says why the record does not fit. The
// value is good until put returns, and shares memory with data.
func (s *Schema) Read(data []byte, put func(*Value)) error {
	v, err := jsontext.Parse(data)
	if err != nil {
		return err
	}
	r := readers.Get().(*reader)
	var row Value
	if err = r.read(&row, s.Root, v); err == nil {
		put(&row)
	}
	if cap(r.free) <= maxKept {
		clear(r.free) // which shares memory with the record
		*r = reader{free: r.free[:0]}
		readers.Put(r)
	}
	return err
}

var readers = sync.Pool{New: func() any { return new(reader) }}

// A reader turns one record into plain values.
type reader struct {
	free  []Value // of which Items are cut
	cells int
}

// items cuts n empty values. A larger stock is made when the one there is used up;
// what was cut from the old one stays good.
func (r *reader) items(n int) []Value {
	if len(r.free)+n > cap(r.free) {
		r.free = make([]Value, 0, max(64, 2*cap(r.free), n))
	}
	from := len(r.free)
	r.free = r.free[:from+n]
	return r.free[from : from+n : from+n]
}

// count notes cells of the record.
func (r *reader) count(n int) error {
	if r.cells += n; r.cells > maxCells {
		return fmt.Errorf("stands for more than %d values", maxCells)
	}
	return nil
}

func (r *reader) read(to *Value, t *Type, v jsontext.Value) error {
	if v.IsNull() && t.Optional {
		return r.null(to, t)
	}
	switch t.Kind {
	case Record:
		return r.record(to, t, v)
	case Array:
		return r.array(to, t, v)
	case Map:
		return r.dictionary(to, t, v)
	}
	if v.IsNull() {
		return errors.New("is null")
	}
	if err := r.count(1); err != nil {
		return err
	}
	return t.read(to, v)
}

func (r *reader) null(to *Value, t *Type) error {
	to.Null = true
	return r.count(t.Leaves)
}

// record reads fields by their names into the order of the schema.
func (r *reader) record(to *Value, t *Type, v jsontext.Value) error {
	if !v.IsObject() {
		return errors.New("is not an object")
	}
	found, err := t.find(v)
	if err != nil {
		return err
	}
	to.Items = r.items(len(t.Items))
	for i, f := range t.Items {
		switch {
		case found[i] == nil && !f.Optional:
			err = errors.New("is missing")
		case found[i] == nil:
			err = r.null(&to.Items[i], f)
		default:
			err = r.read(&to.Items[i], f, found[i])
		}
		if err != nil {
			return fmt.Errorf("%s: %w", t.Names[i], err)
		}
	}
	return nil
}

// find returns the members of an object that have a field, in its place.
func (t *Type) find(v jsontext.Value) ([]jsontext.Value, error) {
	found := make([]jsontext.Value, len(t.Items))
	for quoted, item := range v.Members() {
		name, err := quoted.Text()
		if err != nil {
			return nil, fmt.Errorf("a name %w", err)
		}
		i, known := t.index[string(name)]
		if known && found[i] != nil {
			return nil, fmt.Errorf("has %s twice", name)
		}
		if known {
			found[i] = item
		}
	}
	return found, nil
}

func (r *reader) array(to *Value, t *Type, v jsontext.Value) error {
	if !v.IsArray() {
		return errors.New("is not an array")
	}
	n := 0
	for range v.Elements() {
		n++
	}
	if err := r.list(to, t, n); err != nil {
		return err
	}
	n = 0
	for e := range v.Elements() {
		if err := r.read(&to.Items[n], t.Items[0], e); err != nil {
			return fmt.Errorf("[%d]: %w", n, err)
		}
		n++
	}
	return nil
}

// list makes room for n values, and counts what an empty list stands for.
func (r *reader) list(to *Value, t *Type, n int) error {
	if n == 0 {
		return r.count(t.Leaves)
	}
	if r.cells+n > maxCells {
		return r.count(n)
	}
	to.Items = r.items(n)
	return nil
}

func (r *reader) dictionary(to *Value, t *Type, v jsontext.Value) error {
	if !v.IsObject() {
		return errors.New("is not an object")
	}
	n := 0
	for range v.Members() {
		n += 2
	}
	if err := r.list(to, t, n); err != nil {
		return err
	}
	keys := make(map[string]bool)
	n = 0
	for quoted, e := range v.Members() {
		key, err := quoted.Text()
		if err != nil {
			return fmt.Errorf("a key %w", err)
		}
		if keys[string(key)] {
			return fmt.Errorf("has %s twice", key)
		}
		keys[string(key)] = true
		to.Items[n].Bytes = key
		if err := errors.Join(r.count(1), r.read(&to.Items[n+1], t.Items[0], e)); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		n += 2
	}
	return nil
}
