package format

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"disd/internal/schema"
)

// A Kind is what the values of a type are.
type Kind int

// The kinds, as Avro names them.
const (
	Boolean Kind = iota
	Int
	Long
	Float
	Double
	String
	Bytes
	Fixed
	Enum
	Decimal
	Date
	Time           // of day
	Timestamp      // an instant, since 1970 in UTC
	LocalTimestamp // of a clock on a wall, since 1970 there
	Record
	Array
	Map // from strings
)

// A Type is a part of a schema. It does not change.
type Type struct {
	Kind     Kind
	Optional bool // null is allowed

	Unit             time.Duration // of Time and timestamps: milli-, micro- or nanosecond
	Size             int           // bytes of Fixed, and of a Decimal of more than 18 digits
	Precision, Scale int           // of Decimal, 0 <= Scale <= Precision
	Names            []string      // of the fields of a Record
	Items            []*Type       // the fields of a Record, the items of an Array, the values of a Map
	Leaves           int           // columns that a table has for it: places for values, keys of maps among them

	read  reading // of what has no Items
	index map[string]int
}

// A schema is bounded, because names that refer to each other can stand for
// columns without number.
const (
	maxLeaves    = 4096
	maxDepth     = 64
	maxFixed     = 1 << 20
	maxPrecision = 76 // of decimals, as much as readers know
)

// A Schema is a data schema whose records fit the columns of a table.
type Schema struct {
	Name string
	Root *Type // a Record
}

// Parse returns the schema of an Avro text. Its error says which part of the
// text is not Avro, or has no counterpart in tables.
func Parse(text string) (*Schema, error) {
	root, err := schema.Parse(text)
	if err != nil {
		return nil, err
	}
	if root.Type != "record" {
		return nil, errors.New("the schema is not a record")
	}
	c := compiler{named: make(map[string]*schema.Node)}
	t, err := c.compile(root)
	if err != nil {
		return nil, err
	}
	return &Schema{root.Name, t}, nil
}

// A compiler turns Avro into types. Its errors name the place.
type compiler struct {
	named  map[string]*schema.Node // by full name
	within []string                // full names of the records around, the innermost last
	depth  int
	leaves int
}

func (c *compiler) compile(n *schema.Node) (*Type, error) {
	if c.depth++; c.depth > maxDepth {
		return nil, fmt.Errorf("is nested deeper than %d", maxDepth)
	}
	defer func() { c.depth-- }()
	switch n.Type {
	case "record", "error", "enum", "fixed":
		c.named[fullName(n)] = n
	}
	switch n.Type {
	case "record", "error":
		return c.compileRecord(n)
	case "array":
		return c.compileItems(Array, "items", n.Items)
	case "map":
		if err := c.leaf(); err != nil { // the key
			return nil, err
		}
		return c.compileItems(Map, "values", n.Values)
	case "union":
		return c.compileUnion(n)
	}
	if named := c.resolve(n.Type); named != nil {
		return c.compile(named)
	}
	t, err := plain(n)
	if err != nil {
		return nil, err
	}
	return t, c.leaf()
}

// leaf counts a column.
func (c *compiler) leaf() error {
	if c.leaves++; c.leaves > maxLeaves {
		return fmt.Errorf("the schema has more than %d columns", maxLeaves)
	}
	return nil
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

func (c *compiler) compileRecord(n *schema.Node) (*Type, error) {
	name := fullName(n)
	if slices.Contains(c.within, name) {
		return nil, fmt.Errorf("record %s contains itself", name)
	}
	if len(n.Fields) == 0 {
		return nil, fmt.Errorf("record %s has no fields", name)
	}
	c.within = append(c.within, name)
	defer func() { c.within = c.within[:len(c.within)-1] }()
	r := &Type{Kind: Record, index: make(map[string]int)}
	for i := range n.Fields {
		f := &n.Fields[i]
		t, err := c.compile(&f.Type)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		r.index[f.Name] = i
		r.Names, r.Items, r.Leaves = append(r.Names, f.Name), append(r.Items, t), r.Leaves+t.Leaves
	}
	return r, nil
}

// compileItems takes arrays and maps; part is what errors call their items.
func (c *compiler) compileItems(kind Kind, part string, n *schema.Node) (*Type, error) {
	items, err := c.compile(n)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", part, err)
	}
	t := &Type{Kind: kind, Items: []*Type{items}, Leaves: items.Leaves}
	if kind == Map {
		t.Leaves++
	}
	return t, nil
}

// compileUnion takes the unions that tables know: something or null.
func (c *compiler) compileUnion(n *schema.Node) (*Type, error) {
	var some *schema.Node
	nullable := false
	for i := range n.Branches {
		switch b := &n.Branches[i]; {
		case b.Type == "null":
			nullable = true
		case some != nil:
			return nil, errors.New("is a union of several types besides null")
		default:
			some = b
		}
	}
	if some == nil {
		return nil, errors.New("is always null")
	}
	t, err := c.compile(some)
	if err != nil {
		return nil, err
	}
	t.Optional = t.Optional || nullable
	return t, nil
}

// plain returns the type of a single column. Logical types
// that Avro does not define, or that have no counterpart, are left aside.
func plain(n *schema.Node) (*Type, error) {
	switch n.Type + " " + n.LogicalType {
	case "bytes decimal", "fixed decimal":
		return decimal(n)
	case "int date":
		return column(Date, readDate), nil
	case "int time-millis":
		return timed(Time, time.Millisecond), nil
	case "long time-micros":
		return timed(Time, time.Microsecond), nil
	case "long timestamp-millis":
		return timed(Timestamp, time.Millisecond), nil
	case "long timestamp-micros":
		return timed(Timestamp, time.Microsecond), nil
	case "long timestamp-nanos":
		return timed(Timestamp, time.Nanosecond), nil
	case "long local-timestamp-millis":
		return timed(LocalTimestamp, time.Millisecond), nil
	case "long local-timestamp-micros":
		return timed(LocalTimestamp, time.Microsecond), nil
	case "long local-timestamp-nanos":
		return timed(LocalTimestamp, time.Nanosecond), nil
	}
	switch n.Type {
	case "boolean":
		return column(Boolean, readBoolean), nil
	case "int":
		return column(Int, readInteger(32)), nil
	case "long":
		return column(Long, readInteger(64)), nil
	case "float":
		return column(Float, readFloat), nil
	case "double":
		return column(Double, readDouble), nil
	case "string":
		return column(String, readString), nil
	case "bytes":
		return column(Bytes, readBytes), nil
	case "enum":
		return column(Enum, readEnum(n.Symbols)), nil
	case "fixed":
		if n.Size < 1 || n.Size > maxFixed {
			return nil, fmt.Errorf("is fixed with a size other than 1 to %d", maxFixed)
		}
		t := column(Fixed, readFixed(n.Size))
		t.Size = n.Size
		return t, nil
	case "null":
		return nil, errors.New("is always null")
	}
	return nil, fmt.Errorf("is of type %s, which is not known", n.Type)
}

func column(kind Kind, read reading) *Type { return &Type{Kind: kind, Leaves: 1, read: read} }

func timed(kind Kind, unit time.Duration) *Type {
	read := readTimestamp(instant, unit)
	switch kind {
	case Time:
		read = readDaytime(unit)
	case LocalTimestamp:
		read = readTimestamp(local, unit)
	}
	t := column(kind, read)
	t.Unit = unit
	return t
}

func decimal(n *schema.Node) (*Type, error) {
	if n.Precision < 1 || n.Precision > maxPrecision || n.Scale < 0 || n.Scale > n.Precision {
		return nil, fmt.Errorf("is decimal with a precision other than 1 to %d or a scale beyond it", maxPrecision)
	}
	size := decimalSize(n.Precision)
	t := column(Decimal, readDecimal(n.Precision, n.Scale, size))
	t.Size, t.Precision, t.Scale = size, n.Precision, n.Scale
	return t, nil
}
