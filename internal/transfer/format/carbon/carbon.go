// Package carbon makes CarbonData files whose columns are the attributes of a data
// schema: a data file and the index that readers want beside it. What is in them
// byte by byte says docs/contract/carbondata.md.
package carbon

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"disd/internal/transfer/format"
)

// Extensions of the two files (CARBON-2).
const (
	Ext      = ".carbondata"
	IndexExt = ".carbonindex"
)

// pageRows is how many rows a page has, the last fewer.
const pageRows = 32000

type form struct {
	schema *format.Schema
	fields []field
	dated  bool
}

// New returns the form of files for a schema. Its error says what has no
// counterpart in CarbonData (CARBON-1).
func New(s *format.Schema) (format.Form, error) {
	all, err := fields(s.Root)
	if err != nil {
		return nil, err
	}
	return &form{s, all, dated(s.Root)}, nil
}

// Table implements format.Form.
func (f *form) Table() format.Table { return &table{form: f, columns: make([]column, len(f.fields))} }

// A table encodes rows into pages as they come; pages that are full are kept
// compressed.
type table struct {
	form    *form
	columns []column
	pages   []int64 // rows of those that are full
	rows    int64   // of the page that is open
	size    int64
}

// pageSize is what is kept of a page besides its content, in bytes of memory.
const pageSize = 512

// Append implements format.Table.
func (t *table) Append(data []byte) error {
	var unfit error
	err := t.form.schema.Read(data, func(row *format.Value) {
		if t.form.dated {
			if unfit = check(row, t.form.schema.Root); unfit != nil {
				return
			}
		}
		for i := range t.form.fields {
			if o := t.form.fields[i].ordinal; o >= 0 {
				t.put(i, &row.Items[o])
			}
		}
		if t.rows++; t.rows == pageRows {
			t.close()
		}
	})
	return errors.Join(err, unfit)
}

// Days, and milliseconds since 1970, that readers of CarbonData can count: 1 is a null date, and
// timestamps are multiplied by 1000.
const (
	firstDay = 2 - dateBias
	lastDay  = 1<<31 - 1 - dateBias
	lastTime = math.MaxInt64 / 1000
)

// check says what a row has that Avro can say and CarbonData cannot.
func check(v *format.Value, t *format.Type) error {
	switch {
	case v.Null:
		return nil
	case t.Kind == format.Date && (v.Int < firstDay || v.Int > lastDay):
		return fmt.Errorf("is not within days %d to %d", firstDay, lastDay)
	case t.Kind == format.Timestamp && t.Unit != time.Nanosecond:
		if ms := milliseconds(t, v.Int); ms < -lastTime || ms > lastTime {
			return fmt.Errorf("is not within %d ms of 1970", lastTime)
		}
	}
	for i := range v.Items {
		item := t.Items[0]
		switch t.Kind {
		case format.Record:
			item = t.Items[i]
		case format.Map:
			if i%2 == 0 {
				continue
			}
		}
		if err := check(&v.Items[i], item); err != nil {
			return fmt.Errorf("%s: %w", part(v, t, i), err)
		}
	}
	return nil
}

// part names an item in errors.
func part(v *format.Value, t *format.Type, i int) string {
	switch t.Kind {
	case format.Record:
		return t.Names[i]
	case format.Map:
		return string(v.Items[i-1].Bytes)
	}
	return fmt.Sprintf("[%d]", i)
}

// dated says whether there are dates or timestamps in a type.
func dated(t *format.Type) bool {
	return t.Kind == format.Date || t.Kind == format.Timestamp || slices.ContainsFunc(t.Items, dated)
}

// put adds a value to a field and its parts.
func (t *table) put(i int, v *format.Value) {
	f, c := &t.form.fields[i], &t.columns[i]
	before := cap(c.raw) + cap(c.nulls)
	switch f.class {
	case items:
		t.putItems(f, c, v)
	case group:
		t.putGroup(f, c, v)
	default:
		c.put(f, v)
	}
	t.size += int64(cap(c.raw) + cap(c.nulls) - before)
}

// putItems adds an array or a map. Empty ones have no place in the child's page, null has a
// number below 0.
func (t *table) putItems(f *field, c *column, v *format.Value) {
	n, from := len(v.Items), t.columns[f.kids[0]].n
	if f.of.Kind == format.Map {
		n /= 2
	}
	switch {
	case v.Null:
		n, from = -1, 0
	case n == 0:
		from = 0
	}
	c.raw = binary.BigEndian.AppendUint32(c.raw, uint32(n))
	c.raw = binary.BigEndian.AppendUint32(c.raw, uint32(from))
	c.n++
	for len(v.Items) > 0 && f.of.Kind == format.Map {
		t.put(f.kids[0], &format.Value{Items: v.Items[:2]})
		v = &format.Value{Items: v.Items[2:]}
	}
	for i := range v.Items {
		t.put(f.kids[0], &v.Items[i])
	}
}

// putGroup adds a struct. One that is null has nothing but nulls.
func (t *table) putGroup(f *field, c *column, v *format.Value) {
	c.raw = binary.BigEndian.AppendUint16(c.raw, uint16(len(f.kids)))
	c.n++
	for i, kid := range f.kids {
		if v.Null {
			t.put(kid, &format.Value{Null: true})
		} else {
			t.put(kid, &v.Items[i])
		}
	}
}

// close ends the pages of all columns.
func (t *table) close() {
	for i := range t.columns {
		c := &t.columns[i]
		c.close(&t.form.fields[i])
		last := &c.full[len(c.full)-1]
		t.size += int64(len(last.content)+len(last.meta)) + pageSize
	}
	t.pages, t.rows = append(t.pages, t.rows), 0
}

// Size implements format.Table.
func (t *table) Size() int64 { return t.size }

// Files implements format.Table.
func (t *table) Files(name string) ([]format.File, error) {
	if t.rows > 0 {
		t.close()
	}
	data, index := t.file(name + Ext)
	return []format.File{{Ext: Ext, Content: data}, {Ext: IndexExt, Content: index}}, nil
}
