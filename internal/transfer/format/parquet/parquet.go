// Package parquet makes Parquet files whose columns are the attributes of a data
// schema (OBS-5).
package parquet

import (
	"bytes"
	"io"
	"math"
	"time"

	"github.com/golang/snappy"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"disd/internal/transfer/format"
)

// Ext is the extension of Parquet files.
const Ext = ".parquet"

// Version is the newest version of the rules by which files are made. Version 1 has
// wrong bounds of some columns (see bounds.go) and does not say which calendar its dates are of;
// it is there so that what began by it ends by it.
const Version = 2

// A form is the form of files for one schema.
type form struct {
	schema  *format.Schema
	version int
	file    *parquet.Schema
	page    int // bytes of a page
}

// New returns the form of files for a schema by a version of the rules, 1 to Version.
func New(s *format.Schema, version int) format.Form {
	return &form{s, version, parquet.NewSchema(s.Name, builder{version}.group(s.Root)), min(maxPage, maxPages/s.Root.Leaves)}
}

// options are how files are written.
func (f *form) options() []parquet.WriterOption {
	all := []parquet.WriterOption{
		parquet.CreatedBy("disd", "1", "parquet"), parquet.DataPageVersion(1), parquet.Compression(compression{&parquet.Snappy}),
	}
	if f.version == 1 {
		return all
	}
	return append(all, parquet.PageBufferSize(f.page), parquet.KeyValueMetadata(calendar, "3.0.0"))
}

// All pages that are not full have at most maxPages bytes together, a single one maxPage.
const (
	maxPage  = 256 << 10
	maxPages = 32 << 20
)

// calendar is what Spark looks for when it reads dates before 1582-10-15 or timestamps before
// 1900: files with a version from 3.0.0 on count days by the Gregorian calendar, others by
// nobody knows which.
const calendar = "org.apache.spark.version"

// Table implements format.Form.
func (f *form) Table() format.Table {
	return &table{form: f, columns: make([]column, f.schema.Root.Leaves)}
}

// A table writes rows into pages as they come. Pages are kept compressed.
type table struct {
	form    *form
	columns []column
	out     bytes.Buffer
	writer  *parquet.GenericWriter[any] // nil while no column has a chunk
	pages   pages
	open    int64 // bytes of values in pages that are not full
	waiting int64 // bytes of values that wait for a chunk
	err     error // of a write; memory has none
}

// A column collects values until they make a chunk.
type column struct {
	*parquet.ColumnWriter
	values []parquet.Value
	bytes  int64 // of the values
	open   int64 // bytes of the page that is not full
}

// Values go into pages in chunks of whole rows of at least that many: a page ends only
// between two chunks.
const chunk = 64

// Memory, in bytes: of a value that waits, of a value in a page besides its bytes, of what is
// kept of a page that is full, and of a column.
const (
	valueSize  = 24
	levelsSize = 9
	pageSize   = 256
	columnSize = 4096
)

// Append implements format.Table.
func (t *table) Append(data []byte) error {
	return t.form.schema.Read(data, func(row *format.Value) { t.put(row, t.form.schema.Root, 0, levels{}) })
}

// Size implements format.Table.
func (t *table) Size() int64 {
	size := t.open + t.waiting + t.pages.size
	if t.writer != nil {
		size += int64(len(t.columns)) * columnSize
	}
	return size
}

// Files implements format.Table.
func (t *table) Files(string) ([]format.File, error) {
	for i := range t.columns {
		t.flush(i)
	}
	if t.writer == nil {
		t.begin()
	}
	if t.err == nil {
		t.err = t.writer.Close()
	}
	return []format.File{{Ext: Ext, Content: t.out.Bytes()}}, t.err
}

// begin opens the file.
func (t *table) begin() {
	options := append(t.form.options(), t.form.file, parquet.ColumnPageBuffers(&t.pages))
	t.writer = parquet.NewGenericWriter[any](&t.out, options...)
	for i, w := range t.writer.ColumnWriters() {
		t.columns[i].ColumnWriter = w
	}
}

// compression is Snappy by a library whose bytes are the same on every processor.
type compression struct{ compress.Codec }

// Encode implements compress.Codec.
func (compression) Encode(dst, src []byte) ([]byte, error) {
	return snappy.Encode(dst[:cap(dst)], src), nil
}

// levels say where in nested optional and repeated parts a value stands, as the
// Parquet format defines them.
type levels struct{ repetition, definition, depth int } // depth is that of the repeated parts around

// put adds what a record has in a place of its schema to the columns, of which
// the place has its own from c on.
func (t *table) put(v *format.Value, typ *format.Type, c int, at levels) {
	if v.Null {
		t.null(c, typ.Leaves, at)
		return
	}
	if typ.Optional {
		at.definition++
	}
	switch typ.Kind {
	case format.Record:
		for i, f := range typ.Items {
			t.put(&v.Items[i], f, c, at)
			c += f.Leaves
		}
	case format.Array, format.Map:
		t.putItems(v.Items, typ, c, at)
	default:
		t.add(c, leaf(v, typ), at)
	}
}

// putItems adds the items of an array, or of a map.
func (t *table) putItems(items []format.Value, typ *format.Type, c int, at levels) {
	if len(items) == 0 {
		t.null(c, typ.Leaves, at)
		return
	}
	at.depth++
	at.definition++
	for len(items) > 0 {
		value := c
		if typ.Kind == format.Map {
			t.add(c, parquet.ByteArrayValue(items[0].Bytes), at)
			items, value = items[1:], c+1
		}
		t.put(&items[0], typ.Items[0], value, at)
		items, at.repetition = items[1:], at.depth
	}
}

// null adds to n columns from c on that the place, or something around it, is not
// there.
func (t *table) null(c, n int, at levels) {
	for i := range n {
		t.add(c+i, parquet.NullValue(), at)
	}
}

func (t *table) add(c int, v parquet.Value, at levels) {
	col := &t.columns[c]
	if at.repetition == 0 && len(col.values) >= chunk {
		t.flush(c)
	}
	col.values = append(col.values, v.Level(at.repetition, at.definition, c))
	col.bytes += levelsSize
	if k := v.Kind(); k == parquet.ByteArray || k == parquet.FixedLenByteArray {
		col.bytes += int64(len(v.ByteArray()))
	}
	t.waiting += valueSize
}

// flush writes the values that a column has collected.
func (t *table) flush(c int) {
	col := &t.columns[c]
	if len(col.values) == 0 {
		return
	}
	if t.writer == nil {
		t.begin()
	}
	full := t.pages.size
	if _, err := col.WriteRowValues(col.values); err != nil && t.err == nil {
		t.err = err
	}
	t.waiting -= valueSize * int64(len(col.values))
	t.open += col.bytes
	col.open += col.bytes
	if t.pages.size > full { // the page is full, and empty again
		t.pages.size += pageSize
		t.open -= col.open
		col.open = 0
	}
	clear(col.values) // which share memory with records
	col.values, col.bytes = col.values[:0], 0
	if cap(col.values) > 4*chunk {
		col.values = nil
	}
}

// leaf returns a value of a single column.
func leaf(v *format.Value, typ *format.Type) parquet.Value {
	switch typ.Kind {
	case format.Boolean:
		return parquet.BooleanValue(v.Int != 0)
	case format.Int, format.Date:
		return parquet.Int32Value(int32(v.Int))
	case format.Float:
		return parquet.FloatValue(math.Float32frombits(uint32(v.Int)))
	case format.Double:
		return parquet.DoubleValue(math.Float64frombits(uint64(v.Int)))
	case format.String, format.Bytes, format.Enum:
		return parquet.ByteArrayValue(v.Bytes)
	case format.Fixed:
		return parquet.FixedLenByteArrayValue(v.Bytes)
	case format.Time, format.Decimal:
		switch {
		case typ.Size > 8:
			return parquet.FixedLenByteArrayValue(v.Bytes)
		case typ.Size == 4 || typ.Unit == time.Millisecond:
			return parquet.Int32Value(int32(v.Int))
		}
	}
	return parquet.Int64Value(v.Int)
}

// pages is memory for pages that are full, and knows how much it is.
type pages struct{ size int64 }

// GetBuffer implements parquet.BufferPool.
func (p *pages) GetBuffer() io.ReadWriteSeeker { return &buffer{pages: p} }

// PutBuffer implements parquet.BufferPool.
func (p *pages) PutBuffer(b io.ReadWriteSeeker) { b.(*buffer).data = nil }

// A buffer is written first and read then.
type buffer struct {
	pages *pages
	data  []byte
	at    int
}

func (b *buffer) Write(p []byte) (int, error) {
	b.data = append(b.data, p...)
	b.pages.size += int64(len(p))
	return len(p), nil
}

func (b *buffer) Read(p []byte) (int, error) {
	if b.at == len(b.data) {
		return 0, io.EOF
	}
	n := copy(p, b.data[b.at:])
	b.at += n
	return n, nil
}

// Seek implements io.Seeker, to the start.
func (b *buffer) Seek(int64, int) (int64, error) {
	b.at = 0
	return 0, nil
}
