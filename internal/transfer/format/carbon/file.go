package carbon

import (
	"encoding/binary"
	"slices"

	"disd/internal/transfer/format"
)

// A layout is where the columns of a data file lie.
type layout struct {
	rows                 int64
	offsets, lengths     []int64 // of DataChunk3
	dimensions, measures int64   // where they end
}

// file returns data file and index; name is that of the data file.
func (t *table) file(name string) (data, index []byte) {
	var m message
	m.begin()
	m.number(1, i32, 3)
	t.schema(&m, 2)
	m.flag(3, true)
	m.number(4, i64, 0)
	m.end()
	l := t.write(&m)
	footer := int64(len(m.out))
	t.footer(&m, l)
	data = binary.BigEndian.AppendUint64(m.out, uint64(footer))
	return data, t.index(name, l, footer, int64(len(data)))
}

// schema writes the list of columns.
func (t *table) schema(m *message, id int) {
	m.list(id, structs, len(t.form.fields))
	for i := range t.form.fields {
		f := &t.form.fields[i]
		m.begin()
		m.number(1, i32, f.data)
		m.text(2, f.name)
		m.text(3, f.id)
		m.flag(4, true)
		if f.class == date {
			m.numbers(5, i32, []int64{directDictionary, dictionary})
		} else {
			m.numbers(5, i32, nil)
		}
		m.flag(6, !f.measure)
		m.number(7, i32, -1)
		scale, precision := int64(-1), int64(-1)
		if f.of.Kind == format.Decimal {
			scale, precision = int64(f.of.Scale), int64(f.of.Precision)
		}
		m.number(8, i32, scale)
		m.number(9, i32, precision)
		m.number(10, i32, int64(len(f.kids)))
		m.text(11, "")
		m.flag(14, false)
		m.text(15, f.id)
		m.number(16, i32, int64(f.ordinal))
		m.end()
	}
}

// write writes the pages of all columns.
func (t *table) write(m *message) layout {
	var l layout
	for _, n := range t.pages {
		l.rows += n
	}
	for i := range t.columns {
		if t.form.fields[i].measure && l.dimensions == 0 {
			l.dimensions = int64(len(m.out))
		}
		l.offsets = append(l.offsets, int64(len(m.out)))
		full := t.columns[i].full
		m.out = append(m.out, chunk(full)...)
		l.lengths = append(l.lengths, int64(len(m.out))-l.offsets[i])
		for _, p := range full {
			m.out = append(m.out, p.content...)
		}
	}
	l.measures = int64(len(m.out))
	if l.dimensions == 0 {
		l.dimensions = l.measures
	}
	return l
}

// chunk returns the DataChunk3 of the pages of a column.
func chunk(pages []page) []byte {
	var m message
	var offsets, lengths []int64
	at := int64(0)
	m.begin()
	m.list(1, structs, len(pages))
	for _, p := range pages {
		m.out = append(m.out, p.meta...)
		offsets, lengths = append(offsets, at), append(lengths, int64(len(p.content)))
		at += int64(len(p.content))
	}
	m.numbers(2, i32, offsets)
	m.numbers(3, i32, lengths)
	m.end()
	return m.out
}

func (t *table) footer(m *message, l layout) {
	m.begin()
	m.number(1, i64, l.rows)
	t.segment(m, 2)
	m.list(3, structs, 1)
	m.begin()
	t.blockletIndex(m)
	m.end()
	m.list(4, structs, 1)
	m.begin()
	t.blockletInfo(m, l)
	m.end()
	m.flag(6, false)
	extra := []string{"version", "2.3.0", "written_by", "disd"}
	m.field(7, mapping)
	m.varint(uint64(len(extra) / 2))
	m.out = append(m.out, binaries<<4|binaries)
	for _, s := range extra {
		m.item([]byte(s))
	}
	m.end()
}

// segment writes a SegmentInfo.
func (t *table) segment(m *message, id int) {
	m.open(id)
	m.number(1, i32, int64(len(t.form.fields)))
	m.numbers(2, i32, nil)
	m.end()
}

// blockletIndex writes the fields of a BlockletIndex: the minima and maxima of the file.
func (t *table) blockletIndex(m *message) {
	n := len(t.columns)
	low, high, known := make([][]byte, n), make([][]byte, n), make([]bool, n)
	for i := range t.columns {
		low[i], high[i], known[i] = t.form.fields[i].bound(t.columns[i].all)
	}
	m.open(1)
	m.minMax(low, high, known)
	m.end()
	m.open(2)
	m.bytes(1, make([]byte, 8))
	m.bytes(2, make([]byte, 8))
	m.end()
}

// blockletInfo writes the fields of a BlockletInfo3.
func (t *table) blockletInfo(m *message, l layout) {
	m.number(1, i32, l.rows)
	m.numbers(2, i64, l.offsets)
	m.numbers(3, i32, l.lengths)
	m.number(4, i64, l.dimensions)
	m.number(5, i64, l.measures)
	m.number(6, i32, int64(len(t.pages)))
	m.numbers(7, i32, slices.Clone(t.pages))
}

// index returns the index file.
func (t *table) index(name string, l layout, footer, size int64) []byte {
	var m message
	m.begin()
	m.number(1, i32, 3)
	t.schema(&m, 2)
	t.segment(&m, 3)
	m.number(4, i32, 0)
	m.number(5, i64, 0)
	m.flag(6, false)
	m.end()
	m.begin()
	m.number(1, i64, l.rows)
	m.text(2, name)
	m.number(3, i64, footer)
	m.open(4)
	t.blockletIndex(&m)
	m.end()
	m.open(5)
	t.blockletInfo(&m, l)
	m.end()
	m.number(6, i64, size)
	m.end()
	return m.out
}
