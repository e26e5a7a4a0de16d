package carbon

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"

	"github.com/golang/snappy"

	"disd/internal/transfer/format"
)

// dateBias is added to days since 1970, so that none is negative.
const dateBias = 0x3fffffff

// A column collects the values of a field: the page that is open, and those that
// are full.
type column struct {
	raw   []byte // the values of the page
	nulls []byte // bits
	n     int    // values in the page
	page  span
	all   span
	full  []page
}

// A page is full.
type page struct {
	meta    []byte // DataChunk2
	content []byte // compressed
}

// A span is the least and the greatest value, null among them as what stands for it.
type span struct {
	some      bool
	low, high value
}

// A value is compared as what its class makes of it.
type value struct {
	number int64
	real   float64
	bytes  []byte // two's complement
}

// compare orders values of a class.
func (c class) compare(a, b value) int {
	switch c {
	case real:
		switch {
		case a.real < b.real || a.real == b.real && math.Signbit(a.real) && !math.Signbit(b.real):
			return -1
		case a.real == b.real && math.Signbit(a.real) == math.Signbit(b.real):
			return 0
		}
		return 1
	case bigDecimal:
		if (a.bytes[0] ^ b.bytes[0]) >= 0x80 { // of different signs
			return bytes.Compare(b.bytes[:1], a.bytes[:1])
		}
		return bytes.Compare(a.bytes, b.bytes)
	}
	switch {
	case a.number < b.number:
		return -1
	case a.number > b.number:
		return 1
	}
	return 0
}

func (s *span) widen(c class, v value) {
	if !s.some || c.compare(v, s.low) < 0 {
		s.low = v.clone()
	}
	if !s.some || c.compare(v, s.high) > 0 {
		s.high = v.clone()
	}
	s.some = true
}

func (s *span) join(c class, other span) {
	if other.some {
		s.widen(c, other.low)
		s.widen(c, other.high)
	}
}

func (v value) clone() value {
	v.bytes = bytes.Clone(v.bytes)
	return v
}

// put adds a value of a field that has no parts.
func (c *column) put(f *field, v *format.Value) {
	switch f.class {
	case integer:
		c.number(f, v)
	case real:
		c.real(f, v)
	case bigDecimal:
		b := v.Bytes
		if v.Null {
			c.null()
			b = make([]byte, f.width)
		}
		c.raw = append(c.raw, b...)
		c.page.widen(f.class, value{bytes: b})
	case date:
		days := int64(1)
		if !v.Null {
			days = v.Int + dateBias
		}
		c.raw = binary.BigEndian.AppendUint32(c.raw, uint32(days))
		c.page.widen(f.class, value{number: days})
	default:
		c.bytes(f, v)
	}
	c.n++
}

func (c *column) null() {
	for len(c.nulls) <= c.n/8 {
		c.nulls = append(c.nulls, 0)
	}
	c.nulls[c.n/8] |= 1 << (c.n % 8)
}

func (c *column) number(f *field, v *format.Value) {
	n := v.Int
	if v.Null {
		c.null()
		n = 0
	}
	if f.data == timestamp {
		n = milliseconds(f.of, n)
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	c.raw = append(c.raw, b[:f.width]...)
	c.page.widen(f.class, value{number: n})
}

// milliseconds rounds a timestamp down to what CarbonData has.
func milliseconds(t *format.Type, n int64) int64 {
	if t.Unit != time.Microsecond {
		return n
	}
	ms := n / 1000
	if n%1000 < 0 {
		ms--
	}
	return ms
}

func (c *column) real(f *field, v *format.Value) {
	bits := uint64(v.Int)
	if v.Null {
		c.null()
		bits = 0
	}
	if f.width == 4 {
		c.raw = binary.LittleEndian.AppendUint32(c.raw, uint32(bits))
		c.page.widen(f.class, value{real: float64(math.Float32frombits(uint32(bits)))})
		return
	}
	c.raw = binary.LittleEndian.AppendUint64(c.raw, bits)
	c.page.widen(f.class, value{real: math.Float64frombits(bits)})
}

// bytes adds a value that begins with its length.
func (c *column) bytes(f *field, v *format.Value) {
	b := v.Bytes
	switch {
	case v.Null && (f.class == long || f.class == smallString):
		b = []byte(nothing)
	case v.Null:
		b = nil
	case f.class == smallDate:
		b = binary.BigEndian.AppendUint32(nil, uint32(v.Int+dateBias)^1<<31)
	case f.class == smallDecimal:
		b = f.scaled(v)
	}
	c.raw = append(binary.BigEndian.AppendUint32(c.raw, uint32(len(b))), b...)
}

// scaled returns a decimal as its scale and the shortest two's complement.
func (f *field) scaled(v *format.Value) []byte {
	if f.of.Size > 8 {
		return append([]byte{byte(f.of.Scale)}, short(v.Bytes)...)
	}
	return append([]byte{byte(f.of.Scale)}, short(binary.BigEndian.AppendUint64(nil, uint64(v.Int)))...)
}

// short leaves out bytes that only repeat the sign.
func short(b []byte) []byte {
	for len(b) > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80) {
		b = b[1:]
	}
	return b
}

// close ends the page.
func (c *column) close(f *field) {
	c.all.join(f.class, c.page)
	content := snappy.Encode(nil, c.raw)
	c.full = append(c.full, page{f.chunk(c, len(content)), content})
	c.raw, c.nulls, c.n, c.page = c.raw[:0], c.nulls[:0], 0, span{}
}

// chunk returns the DataChunk2 of the page that is open.
func (f *field) chunk(c *column, compressed int) []byte {
	var m message
	m.begin()
	m.open(1)
	m.number(1, i32, 1)
	m.number(2, i64, int64(len(c.raw)))
	m.number(3, i64, int64(compressed))
	m.text(4, "snappy")
	m.end()
	m.flag(2, false)
	m.number(3, i32, int64(compressed))
	m.open(6)
	m.flag(1, false)
	m.bytes(2, snappy.Encode(nil, c.nulls))
	m.end()
	m.numbers(8, i32, f.encoding)
	if f.hasMeta() {
		m.items(9, [][]byte{f.encoderMeta(c.page)})
	} else {
		m.items(9, nil)
	}
	m.open(10)
	low, high, known := f.bound(c.page)
	m.minMax([][]byte{low}, [][]byte{high}, []bool{known})
	m.end()
	m.number(11, i32, int64(c.n))
	m.end()
	return m.out
}

// minMax writes the fields of a BlockletMinMaxIndex.
func (m *message) minMax(low, high [][]byte, known []bool) {
	m.items(1, low)
	m.items(2, high)
	m.flags(3, known)
}

// encoderMeta says how the values of a page are encoded.
func (f *field) encoderMeta(s span) []byte {
	out := utf(f.name)
	scale, precision := int32(-1), int32(-1)
	if f.meta == 10 {
		scale, precision = int32(f.of.Scale), int32(f.of.Precision)
	}
	out = append(out, f.meta, f.column)
	out = binary.BigEndian.AppendUint32(out, uint32(scale))
	out = binary.BigEndian.AppendUint32(out, uint32(precision))
	out = append(out, f.stored)
	digits := int32(0)
	switch {
	case f.class == real:
		digits = -1
	case f.meta == 10:
		digits = scale
	}
	out = append(binary.BigEndian.AppendUint32(out, uint32(digits)), 0)
	if f.meta != storedBytes {
		out = f.appendStats(out, s)
	}
	return append(out, utf("snappy")...)
}

// utf returns a string with its length.
func utf(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

// appendStats appends the greatest and the least value, and a third that nothing
// reads.
func (f *field) appendStats(out []byte, s span) []byte {
	if f.meta == 10 {
		for _, v := range []value{s.high, s.low} {
			b := f.unscaled(v)
			out = append(binary.BigEndian.AppendUint16(out, uint16(len(b))), b...)
		}
		out = append(out, 0, 0)
		out = binary.BigEndian.AppendUint32(out, uint32(f.of.Scale))
		return binary.BigEndian.AppendUint32(out, uint32(f.of.Precision))
	}
	out = f.appendFixed(f.appendFixed(out, s.high), s.low)
	if f.meta == 6 { // float
		return append(out, 0, 0, 0, 0)
	}
	return append(out, make([]byte, 8)...)
}

// appendFixed appends a value in the bytes of its type, the highest first.
func (f *field) appendFixed(out []byte, v value) []byte {
	switch {
	case f.class == real && f.width == 4:
		return binary.BigEndian.AppendUint32(out, math.Float32bits(float32(v.real)))
	case f.class == real:
		return binary.BigEndian.AppendUint64(out, math.Float64bits(v.real))
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(v.number))
	return append(out, b[8-f.width:]...)
}

// unscaled returns a decimal as its scale and the shortest two's complement.
func (f *field) unscaled(v value) []byte {
	b := v.bytes
	if f.class != bigDecimal {
		b = binary.BigEndian.AppendUint64(nil, uint64(v.number))
	}
	return append([]byte{byte(f.of.Scale)}, short(b)...)
}

// bound returns minimum and maximum as readers compare them, and whether they
// are known.
func (f *field) bound(s span) (low, high []byte, known bool) {
	meaningful, known := f.bounds()
	if !meaningful || !s.some {
		return []byte{}, []byte{}, known
	}
	if f.class == real { // readers tell 0 and -0 apart, queries do not
		if s.low.real == 0 {
			s.low.real = math.Copysign(0, -1)
		}
		if s.high.real == 0 {
			s.high.real = 0
		}
	}
	return f.boundOf(s.low), f.boundOf(s.high), known
}

func (f *field) boundOf(v value) []byte {
	switch {
	case f.meta == 10:
		return f.unscaled(v)
	case f.class == date:
		return binary.BigEndian.AppendUint32(nil, uint32(v.number))
	case f.class == real && f.width == 4:
		return append(f.appendFixed(nil, v), 0, 0, 0, 0)
	case f.class == real, f.width == 1:
		return f.appendFixed(nil, v)
	case f.column == dimension: // a timestamp
		return binary.BigEndian.AppendUint64(nil, uint64(v.number)^1<<63)
	}
	return binary.BigEndian.AppendUint64(nil, uint64(v.number))
}
