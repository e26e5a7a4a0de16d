package carbon

import (
	"fmt"
	"strings"
	"time"

	"disd/internal/transfer/format"
)

// A class is how the values of a column lie in its pages.
type class int

const (
	integer      class = iota // little endian, in width bytes; nulls are bits
	real                      // likewise
	bigDecimal                // two's complement, the highest byte first; nulls are bits
	date                      // days since 1970 and a bias, the highest byte first; null is 1
	long                      // length in 4 bytes, and the bytes; null is a marker
	items                     // of an array or map: their number, and where they begin in the child's page
	group                     // a struct: the number of its fields
	smallString               // nested: length in 4 bytes, and the bytes; null is a marker
	smallBinary               // nested: null is length 0
	smallDecimal              // nested: length, scale, two's complement; null is length 0
	smallDate                 // nested: length, days with a bias whose top bit is flipped; null is length 0
)

// nothing is what stands for null where text does.
const nothing = "@NU#LL$!"

// Numbers of encodings in CarbonData.
const (
	dictionary       = 0
	directDictionary = 5
	direct           = 6
	adaptive         = 7
	directVarchar    = 14
	child            = 15
)

// Types of columns in the meta data of pages.
const (
	dimension  = 2
	measure    = 4
	structure  = 5
	collection = 6
	primitive  = 7
)

// timestamp is the number of that type in schemas.
const timestamp = 6

// storedBytes is the type of what is stored as bytes.
const storedBytes = 15

// A field is a column of the file: one of the schema, or a part of a nested one.
type field struct {
	of      *format.Type
	name    string // with those of the columns around it
	id      string
	ordinal int // in the order of the schema, -1 for parts
	class   class
	width   int // of integer, real and bigDecimal, in bytes
	measure bool
	kids    []int // places of its parts in the file

	data     int64   // number of the type in schemas
	meta     byte    // number of the type in pages
	stored   byte    // number of the type that is stored
	column   byte    // type of column in pages
	encoding []int64 // of pages
}

// maxDigits is how many digits decimals can have.
const maxDigits = 38

// fields returns the columns of a file in their order there: what is not nested, nested
// columns with their parts behind them, numbers.
func fields(root *format.Type) ([]field, error) {
	if err := representable(root); err != nil {
		return nil, err
	}
	var all []field
	for order := range 3 {
		for i, t := range root.Items {
			if rank(t) == order {
				all = add(all, field{of: t, name: root.Names[i], id: root.Names[i], ordinal: i})
			}
		}
	}
	return all, nil
}

// rank is 1 for nested columns, 2 for measures, 0 for the others.
func rank(t *format.Type) int {
	switch t.Kind {
	case format.Record, format.Array, format.Map:
		return 1
	case format.String, format.Enum, format.Bytes, format.Fixed, format.Date:
		return 0
	case format.Timestamp:
		if t.Unit != time.Nanosecond {
			return 0
		}
	}
	return 2
}

// representable says what CarbonData has no counterpart for (CARBON-1).
func representable(t *format.Type) error {
	if t.Kind == format.Decimal && t.Precision > maxDigits {
		return fmt.Errorf("is decimal with more than %d digits", maxDigits)
	}
	seen := make(map[string]string)
	for i, item := range t.Items {
		name := "items"
		if t.Kind == format.Record {
			name = t.Names[i]
			lower := strings.ToLower(name)
			if other, is := seen[lower]; is {
				return fmt.Errorf("%s and %s differ only in case", other, name)
			}
			seen[lower] = name
		}
		if err := representable(item); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// add appends a column and its parts.
func add(all []field, f field) []field {
	f.measure = rank(f.of) == 2 && f.ordinal >= 0
	f.describe()
	at := len(all)
	all = append(all, f)
	part := func(name string, t *format.Type) {
		all[at].kids = append(all[at].kids, len(all))
		all = add(all, field{of: t, name: f.name + "." + name, id: f.name + "." + name, ordinal: -1})
	}
	switch f.of.Kind {
	case format.Array:
		part("val", f.of.Items[0])
	case format.Map:
		part("val", pair(f.of))
	case format.Record:
		for i, t := range f.of.Items {
			part(f.of.Names[i], t)
		}
	}
	return all
}

// pair returns the type of the entries of a map.
func pair(m *format.Type) *format.Type {
	return &format.Type{Kind: format.Record, Names: []string{"key", "value"}, Items: []*format.Type{{Kind: format.String}, m.Items[0]}}
}

// describe sets how the values of a column are kept.
func (f *field) describe() {
	nested := f.ordinal < 0
	switch f.of.Kind {
	case format.Boolean:
		f.number(8, 3, 14, 1)
	case format.Int:
		f.number(2, 5, 5, 4)
	case format.Float:
		f.number(24, 6, 6, 4)
		f.class = real
	case format.Double:
		f.number(4, 8, 8, 8)
		f.class = real
	case format.Decimal:
		f.decimal(nested)
	case format.Date:
		f.bytes(7, 1, date, smallDate, dictionary)
	case format.Timestamp:
		f.timestamp(nested)
	case format.String, format.Enum:
		f.bytes(22, 18, long, smallString, directVarchar)
		if nested {
			f.data = 0
		}
	case format.Bytes, format.Fixed:
		f.bytes(26, 19, long, smallBinary, directVarchar)
	case format.Array:
		f.parent(20, items, collection)
	case format.Map:
		f.parent(23, items, collection)
	case format.Record:
		f.parent(21, group, structure)
	case format.Time:
		if f.of.Unit == time.Millisecond {
			f.number(2, 5, 5, 4)
			break
		}
		f.number(3, 7, 7, 8)
	default: // a number of 64 bits, or what CarbonData has nothing else for
		f.number(3, 7, 7, 8)
	}
	if nested {
		f.nest()
	}
}

// nest sets how parts of nested columns differ.
func (f *field) nest() {
	switch f.class {
	case integer:
		f.encoding, f.column = []int64{adaptive, child}, primitive
	case real:
		f.encoding, f.column = []int64{direct, child}, primitive
	case smallString, smallBinary, smallDecimal, smallDate:
		f.encoding, f.column, f.meta, f.stored = []int64{direct, child}, primitive, storedBytes, storedBytes
	}
}

func (f *field) number(data int64, meta, stored byte, width int) {
	f.data, f.meta, f.stored, f.width = data, meta, stored, width
	f.class, f.column, f.encoding = integer, measure, []int64{direct}
}

func (f *field) decimal(nested bool) {
	size := f.of.Size
	f.number(5, 10, map[int]byte{4: 5, 8: 7}[size], size)
	switch {
	case nested:
		f.class = smallDecimal
	case size > 8:
		f.class, f.stored = bigDecimal, 10
	default:
		f.encoding = []int64{adaptive}
	}
}

func (f *field) timestamp(nested bool) {
	if f.of.Unit == time.Nanosecond {
		f.number(3, 7, 7, 8)
		return
	}
	f.number(timestamp, 2, 7, 8)
	if !nested {
		f.column = dimension
	}
}

func (f *field) bytes(data int64, meta byte, top, nested class, encoding int64) {
	f.data, f.meta, f.class, f.encoding, f.column = data, meta, top, []int64{encoding}, 0
	if f.ordinal < 0 {
		f.class = nested
	}
}

func (f *field) parent(data int64, c class, column byte) {
	f.data, f.class, f.column, f.meta, f.stored = data, c, column, storedBytes, storedBytes
	f.encoding = []int64{direct, child}
}

// hasMeta says whether pages have meta data of their encoding.
func (f *field) hasMeta() bool { return f.class != long && f.class != date }

// bounds says whether minima and maxima of the column mean something; parts and parents that are
// bytes have empty ones that count as known.
func (f *field) bounds() (meaningful, known bool) {
	switch f.class {
	case integer, real, bigDecimal, date:
		return true, true
	}
	return false, f.class != long
}
