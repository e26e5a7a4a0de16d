package parquet

import (
	"bytes"
	"math"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	index "github.com/parquet-go/parquet-go/format"

	"disd/internal/transfer/format"
)

// Readers skip pages and files by their bounds, so a wrong one loses rows. The
// library compares decimals that are not integers as unsigned bytes, cuts the bounds of pages to
// 16 bytes also where the rest means something, puts the bounds of pages of nulls in the wrong
// place, and does not tell 0 and -0 apart. What is here does it right, for version 2 of
// the rules.

// bounded returns the type of a column with the right bounds.
func bounded(t *format.Type, n parquet.Type) parquet.Type {
	switch t.Kind {
	case format.Float, format.Double:
		return zeros{n}
	case format.String:
		return compared{n, bytes.Compare, cutText, raiseText}
	case format.Bytes:
		return compared{n, bytes.Compare, cutBytes, raiseBytes}
	case format.Fixed:
		return compared{n, bytes.Compare, whole, whole}
	case format.Decimal:
		if t.Size > 8 {
			return signed{compared{n, compareSigned, whole, whole}}
		}
	}
	return n
}

// compareSigned compares numbers of the same length in two's complement.
func compareSigned(a, b []byte) int {
	if negative := a[0] >= 0x80; negative != (b[0] >= 0x80) {
		if negative {
			return -1
		}
		return 1
	}
	return bytes.Compare(a, b)
}

// maxBound is how long the bounds of a page are, where they can be cut.
const maxBound = 16

func whole(b []byte) []byte { return b }

func cutBytes(b []byte) []byte { return b[:min(len(b), maxBound)] }

// raiseBytes returns bytes that are no less than any that begin like b, and short if
// there are such.
func raiseBytes(b []byte) []byte {
	for n := min(len(b), maxBound); n < len(b) && n > 0; n-- {
		if b[n-1] < 0xff {
			up := bytes.Clone(b[:n])
			up[n-1]++
			return up
		}
	}
	return b
}

// cutText cuts between two characters.
func cutText(b []byte) []byte {
	n := min(len(b), maxBound)
	for n < len(b) && !utf8.RuneStart(b[n]) {
		n--
	}
	return b[:n]
}

// raiseText is raiseBytes for text, which it stays.
func raiseText(b []byte) []byte {
	for short := cutText(b); len(short) < len(b) && len(short) > 0; {
		r, size := utf8.DecodeLastRune(short)
		short = short[:len(short)-size]
		if r++; r == 0xd800 { // where surrogates begin
			r = 0xe000
		}
		if r <= utf8.MaxRune {
			return utf8.AppendRune(bytes.Clone(short), r)
		}
	}
	return b
}

// compared is a type of byte arrays whose order is compare.
type compared struct {
	parquet.Type
	compare      func(a, b []byte) int
	lower, upper func([]byte) []byte // short bounds of pages
}

// Compare implements parquet.Type.
func (t compared) Compare(a, b parquet.Value) int { return t.compare(a.ByteArray(), b.ByteArray()) }

// NewColumnIndexer implements parquet.Type.
func (t compared) NewColumnIndexer(int) parquet.ColumnIndexer { return &indexer{of: t} }

// An indexer makes the index of pages.
type indexer struct {
	of    compared
	index index.ColumnIndex
}

// Reset implements parquet.ColumnIndexer.
func (x *indexer) Reset() { x.index = index.ColumnIndex{} }

// IndexPage implements parquet.ColumnIndexer.
func (x *indexer) IndexPage(values, nulls int64, low, high parquet.Value) {
	i, none := &x.index, values == nulls
	least, most := []byte{}, []byte{}
	if !none {
		least = bytes.Clone(x.of.lower(low.ByteArray()))
		most = bytes.Clone(x.of.upper(high.ByteArray()))
	}
	i.NullPages, i.NullCounts = append(i.NullPages, none), append(i.NullCounts, nulls)
	i.MinValues, i.MaxValues = append(i.MinValues, least), append(i.MaxValues, most)
}

// ColumnIndex implements parquet.ColumnIndexer.
func (x *indexer) ColumnIndex() index.ColumnIndex {
	i := x.index
	up, down := true, true
	last := -1
	for n, none := range i.NullPages {
		if none {
			continue
		}
		if last >= 0 {
			low, high := x.of.compare(i.MinValues[last], i.MinValues[n]), x.of.compare(i.MaxValues[last], i.MaxValues[n])
			up, down = up && low <= 0 && high <= 0, down && low >= 0 && high >= 0
		}
		last = n
	}
	switch {
	case up:
		i.BoundaryOrder = index.Ascending
	case down:
		i.BoundaryOrder = index.Descending
	default:
		i.BoundaryOrder = index.Unordered
	}
	return i
}

// signed is a type of numbers in two's complement.
type signed struct{ compared }

// NewColumnBuffer implements parquet.Type.
func (t signed) NewColumnBuffer(column, values int) parquet.ColumnBuffer {
	return buffered{t.compared.NewColumnBuffer(column, values), func(p parquet.Page) (low, high parquet.Value, ok bool) {
		values := p.Data()
		data, size := values.FixedLenByteArray()
		if len(data) == 0 {
			return low, high, false
		}
		least, most := data[:size], data[:size]
		for ; len(data) > 0; data = data[size:] {
			if compareSigned(data[:size], least) < 0 {
				least = data[:size]
			}
			if compareSigned(data[:size], most) > 0 {
				most = data[:size]
			}
		}
		return parquet.FixedLenByteArrayValue(least), parquet.FixedLenByteArrayValue(most), true
	}}
}

// zeros is a type of floating point numbers: readers take a least 0 for -0, and a
// greatest -0 for 0, or do not; so the bounds say it.
type zeros struct{ parquet.Type }

// NewColumnBuffer implements parquet.Type.
func (t zeros) NewColumnBuffer(column, values int) parquet.ColumnBuffer {
	return buffered{t.Type.NewColumnBuffer(column, values), func(p parquet.Page) (low, high parquet.Value, ok bool) {
		if low, high, ok = p.Bounds(); ok {
			low, high = zero(low, true), zero(high, false)
		}
		return low, high, ok
	}}
}

// zero returns v, or the zero of a sign if v is one.
func zero(v parquet.Value, negative bool) parquet.Value {
	switch {
	case v.Kind() == parquet.Float && v.Float() == 0:
		return parquet.FloatValue(float32(signedZero(negative)))
	case v.Kind() == parquet.Double && v.Double() == 0:
		return parquet.DoubleValue(signedZero(negative))
	}
	return v
}

func signedZero(negative bool) float64 {
	if negative {
		return math.Copysign(0, -1)
	}
	return 0
}

// buffered collects the values of a page whose bounds are found by a function.
type buffered struct {
	parquet.ColumnBuffer
	bounds func(parquet.Page) (low, high parquet.Value, ok bool)
}

// Page implements parquet.ColumnBuffer.
func (b buffered) Page() parquet.Page { return page{b.ColumnBuffer.Page(), b.bounds} }

type page struct {
	parquet.Page
	bounds func(parquet.Page) (low, high parquet.Value, ok bool)
}

// Bounds implements parquet.Page.
func (p page) Bounds() (low, high parquet.Value, ok bool) { return p.bounds(p.Page) }
