package parquet

import (
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"

	"disd/internal/transfer/format"
)

// A builder makes the columns of a schema by a version of the rules.
type builder struct{ version int }

// node returns the type of a column or of a group of them.
func (b builder) node(t *format.Type) parquet.Node {
	n := b.required(t)
	if t.Optional {
		return parquet.Optional(n)
	}
	return n
}

func (b builder) required(t *format.Type) parquet.Node {
	switch t.Kind {
	case format.Record:
		return b.group(t)
	case format.Array:
		return parquet.List(b.node(t.Items[0]))
	case format.Map:
		return parquet.Map(b.single(key, parquet.String()), b.node(t.Items[0]))
	case format.Enum: // a string, because some readers take Parquet's own for bytes
		return parquet.Encoded(b.single(t, parquet.String()), &parquet.RLEDictionary)
	}
	return b.single(t, plain(t))
}

// key is the type of the keys of maps.
var key = &format.Type{Kind: format.String, Leaves: 1}

func plain(t *format.Type) parquet.Node {
	switch t.Kind {
	case format.Boolean:
		return parquet.Leaf(parquet.BooleanType)
	case format.Int:
		return parquet.Int(32)
	case format.Float:
		return parquet.Leaf(parquet.FloatType)
	case format.Double:
		return parquet.Leaf(parquet.DoubleType)
	case format.String:
		return parquet.String()
	case format.Bytes:
		return parquet.Leaf(parquet.ByteArrayType)
	case format.Fixed:
		return parquet.Leaf(parquet.FixedLenByteArrayType(t.Size))
	case format.Decimal:
		return parquet.Decimal(t.Scale, t.Precision, unscaled(t.Size))
	case format.Date:
		return parquet.Date()
	case format.Time:
		return parquet.Time(unit(t))
	case format.Timestamp:
		return parquet.Timestamp(unit(t))
	case format.LocalTimestamp:
		return parquet.TimestampAdjusted(unit(t), false)
	}
	return parquet.Int(64)
}

func unscaled(size int) parquet.Type {
	switch size {
	case 4:
		return parquet.Int32Type
	case 8:
		return parquet.Int64Type
	}
	return parquet.FixedLenByteArrayType(size)
}

func unit(t *format.Type) parquet.TimeUnit {
	switch t.Unit {
	case time.Millisecond:
		return parquet.Millisecond
	case time.Microsecond:
		return parquet.Microsecond
	}
	return parquet.Nanosecond
}

// single returns a column that takes memory for the values that it has, not for
// a whole page at once.
func (b builder) single(t *format.Type, n parquet.Node) parquet.Node {
	typ := parquet.Type(lazy{n.Type()})
	if b.version > 1 {
		typ = bounded(t, typ)
	}
	return parquet.Leaf(typ)
}

type lazy struct{ parquet.Type }

func (t lazy) NewColumnBuffer(column, _ int) parquet.ColumnBuffer {
	return t.Type.NewColumnBuffer(column, 0)
}

// An ordered group has its fields in the order of the schema; those of a
// parquet.Group are sorted.
type ordered struct {
	parquet.Group
	fields []parquet.Field
}

func (b builder) group(t *format.Type) parquet.Node {
	g, index := make(parquet.Group), make(map[string]int)
	for i, name := range t.Names {
		g[name], index[name] = b.node(t.Items[i]), i
	}
	fields := g.Fields()
	slices.SortFunc(fields, func(a, b parquet.Field) int { return index[a.Name()] - index[b.Name()] })
	return &ordered{g, fields}
}

func (g *ordered) Fields() []parquet.Field { return g.fields }
