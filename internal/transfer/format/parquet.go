// Package format makes the files of transfer tasks. docs/transfer.md says what
// is in them.
package format

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang/snappy"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"disd/internal/schema"
)

// A Parquet is the form of Parquet files whose columns are the attributes of an
// Avro schema. It does not change.
type Parquet struct {
	schema *parquet.Schema
	root   node
	leaves int
}

// NewParquet returns the form for a schema. Its error says which part of the
// schema is not Avro, or has no counterpart in Parquet.
func NewParquet(text string) (*Parquet, error) {
	root, err := schema.Parse(text)
	if err != nil {
		return nil, err
	}
	if root.Type != "record" {
		return nil, errors.New("the schema is not a record")
	}
	c := compiler{named: make(map[string]*schema.Node)}
	form, n, err := c.compile(root, levels{})
	if err != nil {
		return nil, err
	}
	return &Parquet{parquet.NewSchema(root.Name, form), n, c.leaves}, nil
}

// A Table holds the rows of one file.
type Table struct {
	form    *Parquet
	columns [][]parquet.Value
}

// Table returns one without rows.
func (p *Parquet) Table() *Table { return &Table{p, make([][]parquet.Value, p.leaves)} }

// Append adds a record, whose data must not change until the file is made. Its
// error says why the record does not fit the schema; the table is as it was.
func (t *Table) Append(data []byte) error {
	v, err := wellFormed(data)
	if err != nil {
		return err
	}
	before := make([]int, len(t.columns))
	for i := range t.columns {
		before[i] = len(t.columns[i])
	}
	if err = t.form.root.put(t, v, levels{}); err != nil {
		for i := range t.columns {
			t.columns[i] = t.columns[i][:before[i]]
		}
	}
	return err
}

// File returns the table as a file. Its bytes depend on nothing but the schema
// and the records.
func (t *Table) File() ([]byte, error) {
	var out bytes.Buffer
	w := parquet.NewGenericWriter[any](&out, t.form.schema, parquet.CreatedBy("disd", "1", "parquet"),
		parquet.DataPageVersion(1), parquet.Compression(compression{&parquet.Snappy}))
	for i, c := range w.ColumnWriters() {
		for values := t.columns[i]; len(values) > 0; {
			n := someRows(values)
			if _, err := c.WriteRowValues(values[:n]); err != nil {
				return nil, err
			}
			values = values[n:]
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

// compression is Snappy by a library whose bytes are the same on every processor.
type compression struct{ compress.Codec }

// Encode implements compress.Codec.
func (compression) Encode(dst, src []byte) ([]byte, error) {
	return snappy.Encode(dst[:cap(dst)], src), nil
}

// someRows returns how many of the values make up whole rows, about 64 of them:
// a page ends only between two calls of the writer.
func someRows(values []parquet.Value) int {
	n := min(64, len(values))
	for n < len(values) && values[n].RepetitionLevel() > 0 {
		n++
	}
	return n
}

// levels say where in nested optional and repeated parts a value stands, as the
// Parquet format defines them.
type levels struct{ repetition, definition int }

// A node puts values of one part of the schema into its columns.
type node interface {
	put(t *Table, v value, at levels) error
	// null puts that the part, or something around it, is not there.
	null(t *Table, at levels)
}

// A leaf is a single column.
type leaf struct {
	column int
	read   reading
}

func (l *leaf) put(t *Table, v value, at levels) error {
	if v.isNull() {
		return errors.New("is null")
	}
	item, err := l.read(v)
	if err == nil {
		t.columns[l.column] = append(t.columns[l.column], item.Level(at.repetition, at.definition, l.column))
	}
	return err
}

func (l *leaf) null(t *Table, at levels) {
	t.columns[l.column] = append(t.columns[l.column], parquet.NullValue().Level(at.repetition, at.definition, l.column))
}

// An optional part may be null or missing.
type optional struct{ node }

func (o optional) put(t *Table, v value, at levels) error {
	if v.isNull() {
		o.null(t, at)
		return nil
	}
	at.definition++
	return o.node.put(t, v, at)
}

// A record has its fields by name, and in the order of the schema.
type record struct {
	index  map[string]int
	names  []string
	fields []node
}

func (r *record) put(t *Table, v value, at levels) error {
	if !v.isObject() {
		return errors.New("is not an object")
	}
	found := make([]value, len(r.fields))
	for quoted, item := range v.members() {
		name, err := quoted.text()
		if err != nil {
			return fmt.Errorf("a name %w", err)
		}
		i, known := r.index[string(name)]
		if known && found[i] != nil {
			return fmt.Errorf("has %s twice", name)
		}
		if known {
			found[i] = item
		}
	}
	for i, f := range r.fields {
		if _, may := f.(optional); found[i] == nil && may {
			f.null(t, at)
			continue
		}
		if found[i] == nil {
			return fmt.Errorf("%s: is missing", r.names[i])
		}
		if err := f.put(t, found[i], at); err != nil {
			return fmt.Errorf("%s: %w", r.names[i], err)
		}
	}
	return nil
}

func (r *record) null(t *Table, at levels) {
	for _, f := range r.fields {
		f.null(t, at)
	}
}

// A list repeats its element.
type list struct {
	element node
	depth   int // of repetition
}

func (l *list) put(t *Table, v value, at levels) error {
	if !v.isArray() {
		return errors.New("is not an array")
	}
	n, item := 0, levels{at.repetition, at.definition + 1}
	for e := range v.elements() {
		if err := l.element.put(t, e, item); err != nil {
			return fmt.Errorf("[%d]: %w", n, err)
		}
		n++
		item.repetition = l.depth
	}
	if n == 0 {
		l.null(t, at)
	}
	return nil
}

func (l *list) null(t *Table, at levels) { l.element.null(t, at) }

// A dictionary is a map: it repeats a key and a value.
type dictionary struct {
	key   leaf
	value node
	depth int // of repetition
}

func (d *dictionary) put(t *Table, v value, at levels) error {
	if !v.isObject() {
		return errors.New("is not an object")
	}
	keys, item := make(map[string]bool), levels{at.repetition, at.definition + 1}
	for quoted, e := range v.members() {
		key, err := quoted.text()
		if err != nil {
			return fmt.Errorf("a key %w", err)
		}
		if keys[string(key)] {
			return fmt.Errorf("has %s twice", key)
		}
		keys[string(key)] = true
		if err := errors.Join(d.key.put(t, quoted, item), d.value.put(t, e, item)); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		item.repetition = d.depth
	}
	if len(keys) == 0 {
		d.null(t, at)
	}
	return nil
}

func (d *dictionary) null(t *Table, at levels) {
	d.key.null(t, at)
	d.value.null(t, at)
}

// A schema is bounded, because names that refer to each other can stand for
// columns without number.
const (
	maxLeaves    = 4096
	maxDepth     = 64
	maxFixed     = 1 << 20
	maxPrecision = 76 // of decimals, as much as readers know
)

// A compiler turns Avro into Parquet. Its errors name the place.
type compiler struct {
	named  map[string]*schema.Node // by full name
	within []string                // full names of the records around, the innermost last
	depth  int
	leaves int
}

func (c *compiler) compile(n *schema.Node, at levels) (parquet.Node, node, error) {
	if c.depth++; c.depth > maxDepth {
		return nil, nil, fmt.Errorf("is nested deeper than %d", maxDepth)
	}
	defer func() { c.depth-- }()
	switch n.Type {
	case "record", "error", "enum", "fixed":
		c.named[fullName(n)] = n
	}
	switch n.Type {
	case "record", "error":
		return c.compileRecord(n, at)
	case "array":
		element, e, err := c.compile(n.Items, levels{at.repetition + 1, at.definition + 1})
		if err != nil {
			return nil, nil, fmt.Errorf("items: %w", err)
		}
		return parquet.List(element), &list{e, at.repetition + 1}, nil
	case "map":
		return c.compileMap(n, at)
	case "union":
		return c.compileUnion(n, at)
	}
	if named := c.resolve(n.Type); named != nil {
		return c.compile(named, at)
	}
	return c.compileLeaf(n)
}

// resolve returns the type that a name means: in the namespace of the record
// around it, unless it has its own.
func (c *compiler) resolve(name string) *schema.Node {
	if len(c.within) > 0 && !strings.Contains(name, ".") {
		around := c.within[len(c.within)-1]
		if named := c.named[around[:strings.LastIndexByte(around, '.')+1]+name]; named != nil {
			return named
		}
	}
	return c.named[name]
}

func fullName(n *schema.Node) string {
	if n.Namespace == "" || strings.Contains(n.Name, ".") {
		return n.Name
	}
	return n.Namespace + "." + n.Name
}

func (c *compiler) compileRecord(n *schema.Node, at levels) (parquet.Node, node, error) {
	name := fullName(n)
	if slices.Contains(c.within, name) {
		return nil, nil, fmt.Errorf("record %s contains itself", name)
	}
	if len(n.Fields) == 0 {
		return nil, nil, fmt.Errorf("record %s has no fields", name)
	}
	c.within = append(c.within, name)
	defer func() { c.within = c.within[:len(c.within)-1] }()
	group, r := make(parquet.Group), &record{index: make(map[string]int)}
	for i := range n.Fields {
		f := &n.Fields[i]
		form, sub, err := c.compile(&f.Type, at)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		group[f.Name], r.index[f.Name] = form, i
		r.names, r.fields = append(r.names, f.Name), append(r.fields, sub)
	}
	return ordered(group, r.index), r, nil
}

// An orderedGroup has its fields in the order of the schema; those of a
// parquet.Group are sorted.
type orderedGroup struct {
	parquet.Group
	fields []parquet.Field
}

func ordered(g parquet.Group, index map[string]int) *orderedGroup {
	fields := g.Fields()
	slices.SortFunc(fields, func(a, b parquet.Field) int { return index[a.Name()] - index[b.Name()] })
	return &orderedGroup{g, fields}
}

func (g *orderedGroup) Fields() []parquet.Field { return g.fields }

func (c *compiler) compileMap(n *schema.Node, at levels) (parquet.Node, node, error) {
	d := &dictionary{key: leaf{c.leaves, readString}, depth: at.repetition + 1}
	c.leaves++
	form, sub, err := c.compile(n.Values, levels{at.repetition + 1, at.definition + 1})
	if err != nil {
		return nil, nil, fmt.Errorf("values: %w", err)
	}
	d.value = sub
	return parquet.Map(parquet.String(), form), d, nil
}

// compileUnion takes the unions that Parquet knows: something or null.
func (c *compiler) compileUnion(n *schema.Node, at levels) (parquet.Node, node, error) {
	var some *schema.Node
	nullable := false
	for i := range n.Branches {
		switch b := &n.Branches[i]; {
		case b.Type == "null":
			nullable = true
		case some != nil:
			return nil, nil, errors.New("is a union of several types besides null")
		default:
			some = b
		}
	}
	if some == nil {
		return nil, nil, errors.New("is always null")
	}
	if !nullable {
		return c.compile(some, at)
	}
	form, sub, err := c.compile(some, levels{at.repetition, at.definition + 1})
	if err != nil {
		return nil, nil, err
	}
	return parquet.Optional(form), optional{sub}, nil
}

func (c *compiler) compileLeaf(n *schema.Node) (parquet.Node, node, error) {
	form, read, err := column(n)
	if err != nil {
		return nil, nil, err
	}
	l := &leaf{c.leaves, read}
	if c.leaves++; c.leaves > maxLeaves {
		return nil, nil, fmt.Errorf("the schema has more than %d columns", maxLeaves)
	}
	return form, l, nil
}

// column returns the type of a column and how its values are read. Logical types
// that Avro does not define, or that have no counterpart, are left aside. An enum
// is a string, because some readers take Parquet's own for bytes.
func column(n *schema.Node) (parquet.Node, reading, error) {
	switch n.Type + " " + n.LogicalType {
	case "bytes decimal", "fixed decimal":
		return decimalColumn(n)
	case "int date":
		return parquet.Date(), readDate, nil
	case "int time-millis":
		return parquet.Time(parquet.Millisecond), readDaytime(time.Millisecond), nil
	case "long time-micros":
		return parquet.Time(parquet.Microsecond), readDaytime(time.Microsecond), nil
	case "long timestamp-millis":
		return parquet.Timestamp(parquet.Millisecond), readTimestamp(instant, time.Millisecond), nil
	case "long timestamp-micros":
		return parquet.Timestamp(parquet.Microsecond), readTimestamp(instant, time.Microsecond), nil
	case "long timestamp-nanos":
		return parquet.Timestamp(parquet.Nanosecond), readTimestamp(instant, time.Nanosecond), nil
	case "long local-timestamp-millis":
		return parquet.TimestampAdjusted(parquet.Millisecond, false), readTimestamp(local, time.Millisecond), nil
	case "long local-timestamp-micros":
		return parquet.TimestampAdjusted(parquet.Microsecond, false), readTimestamp(local, time.Microsecond), nil
	case "long local-timestamp-nanos":
		return parquet.TimestampAdjusted(parquet.Nanosecond, false), readTimestamp(local, time.Nanosecond), nil
	}
	switch n.Type {
	case "boolean":
		return parquet.Leaf(parquet.BooleanType), readBoolean, nil
	case "int":
		return parquet.Int(32), readInt, nil
	case "long":
		return parquet.Int(64), readLong, nil
	case "float":
		return parquet.Leaf(parquet.FloatType), readFloat, nil
	case "double":
		return parquet.Leaf(parquet.DoubleType), readDouble, nil
	case "string":
		return parquet.String(), readString, nil
	case "bytes":
		return parquet.Leaf(parquet.ByteArrayType), readBytes, nil
	case "enum":
		return parquet.Encoded(parquet.String(), &parquet.RLEDictionary), readEnum(n.Symbols), nil
	case "fixed":
		if n.Size < 1 || n.Size > maxFixed {
			return nil, nil, fmt.Errorf("is fixed with a size other than 1 to %d", maxFixed)
		}
		return parquet.Leaf(parquet.FixedLenByteArrayType(n.Size)), readFixed(n.Size), nil
	case "null":
		return nil, nil, errors.New("is always null")
	}
	return nil, nil, fmt.Errorf("is of type %s, which is not known", n.Type)
}

// decimalColumn takes the smallest type that holds the precision.
func decimalColumn(n *schema.Node) (parquet.Node, reading, error) {
	if n.Precision < 1 || n.Precision > maxPrecision || n.Scale < 0 || n.Scale > n.Precision {
		return nil, nil, fmt.Errorf("is decimal with a precision other than 1 to %d or a scale beyond it", maxPrecision)
	}
	size := decimalSize(n.Precision)
	typ := parquet.FixedLenByteArrayType(size)
	switch size {
	case 4:
		typ = parquet.Int32Type
	case 8:
		typ = parquet.Int64Type
	}
	return parquet.Decimal(n.Scale, n.Precision, typ), readDecimal(n.Precision, n.Scale, size), nil
}
