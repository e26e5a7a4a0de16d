package parquet_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	index "github.com/parquet-go/parquet-go/format"

	"disd/internal/transfer/format"
	disdparquet "disd/internal/transfer/format/parquet"
)

// A kind of column, and values for it as JSON.
type kind struct {
	typ     string
	value   func(*rand.Rand) string
	compare func(a, b []byte) int // of values as Parquet keeps them
}

func quote(s string) string { b, _ := json.Marshal(s); return string(b) }

// latin returns bytes as Avro writes them in JSON.
func latin(b []byte) string {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return quote(string(runes))
}

func little(b []byte) int64 {
	var n int64
	for i := len(b) - 1; i >= 0; i-- {
		n = n<<8 | int64(b[i])
	}
	if len(b) == 4 {
		return int64(int32(n))
	}
	return n
}

func integers(a, b []byte) int { return cmp.Compare(little(a), little(b)) }

func floats(a, b []byte) int {
	number := func(b []byte) float64 {
		if len(b) == 4 {
			return float64(math.Float32frombits(uint32(little(b))))
		}
		return math.Float64frombits(uint64(little(b)))
	}
	x, y := number(a), number(b)
	if x == 0 && y == 0 {
		return cmp.Compare(math.Copysign(1, x), math.Copysign(1, y))
	}
	return cmp.Compare(x, y)
}

func twos(a, b []byte) int {
	number := func(b []byte) *big.Int {
		n := new(big.Int).SetBytes(b)
		if b[0] >= 0x80 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
		}
		return n
	}
	return number(a).Cmp(number(b))
}

// digits returns a decimal of up to n digits, two of them behind the point.
func digits(n int) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		s := strings.TrimLeft(fmt.Sprintf("%0*d", n, r.Int64N(1e9))[max(0, n-1-r.IntN(n)):], "0")
		if r.IntN(2) == 0 {
			s = strings.Repeat("9", 1+r.IntN(n))
		}
		s = fmt.Sprintf("%03s", s)
		sign := []string{"", "-"}[r.IntN(2)]
		return sign + s[:len(s)-2] + "." + s[len(s)-2:]
	}
}

func decimalOf(n int, compare func(a, b []byte) int) kind {
	return kind{fmt.Sprintf(`{"type":"bytes","logicalType":"decimal","precision":%d,"scale":2}`, n), digits(n), compare}
}

func number(n func(*rand.Rand) int64) func(*rand.Rand) string {
	return func(r *rand.Rand) string { return fmt.Sprint(n(r)) }
}

func wide(r *rand.Rand) int64 { return int64(r.Uint64()) >> r.IntN(60) }

// octets returns up to n bytes, many of them 0xff.
func octets(r *rand.Rand, least, most int) []byte {
	b := make([]byte, least+r.IntN(most-least+1))
	for i := range b {
		b[i] = []byte{0xff, 0xff, 0xff, 0, byte(r.Uint32())}[r.IntN(5)]
	}
	return b
}

var kinds = []kind{
	{`"boolean"`, func(r *rand.Rand) string { return []string{"true", "false"}[r.IntN(2)] }, bytes.Compare},
	{`"int"`, number(func(r *rand.Rand) int64 { return int64(int32(wide(r))) }), integers},
	{`"long"`, number(wide), integers},
	{`"float"`, func(r *rand.Rand) string {
		return []string{"0.0", "-0.0", "1e38", "-1.5", fmt.Sprint(r.Float32())}[r.IntN(5)]
	}, floats},
	{`"double"`, func(r *rand.Rand) string {
		return []string{"0.0", "-0.0", "1e300", "-1.5", fmt.Sprint(r.Float64())}[r.IntN(5)]
	}, floats},
	{`"string"`, func(r *rand.Rand) string {
		return quote(strings.Repeat([]string{"z", "é", "\U0010ffff", "\ud7ff", ""}[r.IntN(5)], r.IntN(12)) + string(rune('a'+r.IntN(26))))
	}, bytes.Compare},
	{`{"type":"enum","name":"%s","symbols":["B","A","C"]}`, func(r *rand.Rand) string { return `"` + string(rune('A'+r.IntN(3))) + `"` }, bytes.Compare},
	{`"bytes"`, func(r *rand.Rand) string { return latin(octets(r, 0, 40)) }, bytes.Compare},
	{`{"type":"fixed","name":"%s","size":5}`, func(r *rand.Rand) string { return latin(octets(r, 5, 5)) }, bytes.Compare},
	{`{"type":"fixed","name":"%s","size":16}`, func(r *rand.Rand) string { return latin(octets(r, 16, 16)) }, bytes.Compare},
	{`{"type":"fixed","name":"%s","size":20}`, func(r *rand.Rand) string { return latin(octets(r, 20, 20)) }, bytes.Compare},
	decimalOf(9, integers), decimalOf(18, integers), decimalOf(19, twos), decimalOf(30, twos), decimalOf(38, twos), decimalOf(76, twos),
	{`{"type":"int","logicalType":"date"}`, number(func(r *rand.Rand) int64 { return r.Int64N(2e6) - 1e6 }), integers},
	{`{"type":"int","logicalType":"time-millis"}`, number(func(r *rand.Rand) int64 { return r.Int64N(86400e3) }), integers},
	{`{"type":"long","logicalType":"time-micros"}`, number(func(r *rand.Rand) int64 { return r.Int64N(86400e6) }), integers},
	{`{"type":"long","logicalType":"timestamp-millis"}`, number(wide), integers},
	{`{"type":"long","logicalType":"timestamp-micros"}`, number(wide), integers},
	{`{"type":"long","logicalType":"timestamp-nanos"}`, number(wide), integers},
	{`{"type":"long","logicalType":"local-timestamp-millis"}`, number(wide), integers},
	{`{"type":"long","logicalType":"local-timestamp-micros"}`, number(wide), integers},
	{`{"type":"long","logicalType":"local-timestamp-nanos"}`, number(wide), integers},
}

// Whatever the values of a column are, the statistics and the index of its pages say no
// narrower bounds than they have, count the nulls, and promise no order that there
// is not; for required columns, optional ones and items of arrays.
func TestBounds(t *testing.T) {
	for i, k := range kinds {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			typ := func(name string) string { return strings.ReplaceAll(k.typ, "%s", name) }
			s, err := format.Parse(fmt.Sprintf(`{"type":"record","name":"r","fields":[{"name":"a","type":%s},{"name":"b","type":["null",%s]},{"name":"c","type":{"type":"array","items":["null",%s]}}]}`,
				typ("x"), typ("y"), typ("z")))
			if err != nil {
				t.Fatal(err)
			}
			table := disdparquet.NewPages(s, 300).Table()
			for row := range 3000 {
				data := fmt.Sprintf(`{"a":%s,"c":[`, k.value(r))
				if full := row/500%3 != 1; full { // pages of nulls among others
					data += k.value(r) + ",null],\"b\":" + k.value(r) + "}"
				} else {
					data += "]}"
				}
				if err := table.Append([]byte(data)); err != nil {
					t.Fatalf("%s: %v", data, err)
				}
			}
			f := open(t, table)
			for c := range 3 {
				checkBounds(t, f, c, k.compare)
			}
		})
	}
}

func checkBounds(t *testing.T, f *parquet.File, column int, compare func(a, b []byte) int) {
	t.Helper()
	meta := f.Metadata().RowGroups[0].Columns[column].MetaData
	chunk := f.RowGroups()[0].ColumnChunks()[column]
	x := f.ColumnIndexes()[column]
	var least, most []byte
	var nulls int64
	pages := chunk.Pages()
	defer pages.Close()
	n := 0
	for ; ; n++ {
		p, err := pages.ReadPage()
		if err != nil {
			break
		}
		values := make([]parquet.Value, p.NumValues())
		if got, _ := p.Values().ReadValues(values); got != len(values) {
			t.Fatalf("%d of %d values", got, len(values))
		}
		empty := int64(0)
		for _, v := range values {
			if v.IsNull() {
				empty++
				continue
			}
			b := v.Bytes()
			if compare(x.MinValues[n], b) > 0 || compare(x.MaxValues[n], b) < 0 {
				t.Fatalf("column %d: page %d has bounds %x and %x for %x", column, n, x.MinValues[n], x.MaxValues[n], b)
			}
			if least == nil || compare(b, least) < 0 {
				least = bytes.Clone(b)
			}
			if most == nil || compare(b, most) > 0 {
				most = bytes.Clone(b)
			}
		}
		nulls += empty
		if x.NullCounts[n] != empty || x.NullPages[n] != (empty == int64(len(values))) {
			t.Fatalf("column %d: page %d has %d nulls, the index says %d, only nulls: %v", column, n, empty, x.NullCounts[n], x.NullPages[n])
		}
	}
	s := meta.Statistics
	if n < 2 || len(x.NullPages) != n || s.NullCount != nulls || compare(s.MinValue, least) != 0 || compare(s.MaxValue, most) != 0 {
		t.Fatalf("column %d: %d pages, %d in the index, %d nulls, bounds %x and %x; the statistics say %d, %x and %x", column, n, len(x.NullPages), nulls, least, most, s.NullCount, s.MinValue, s.MaxValue)
	}
	checkIndex(t, x, column, compare)
}

// checkIndex compares the order that an index promises with its bounds, and looks
// whether short bounds are still values of the type.
func checkIndex(t *testing.T, x index.ColumnIndex, column int, compare func(a, b []byte) int) {
	t.Helper()
	last := -1
	for n, none := range x.NullPages {
		if none {
			continue
		}
		if last >= 0 {
			low, high := compare(x.MinValues[last], x.MinValues[n]), compare(x.MaxValues[last], x.MaxValues[n])
			if x.BoundaryOrder == index.Ascending && (low > 0 || high > 0) || x.BoundaryOrder == index.Descending && (low < 0 || high < 0) {
				t.Fatalf("column %d: the index is not %v", column, x.BoundaryOrder)
			}
		}
		last = n
	}
}

// Bounds of text are text.
func TestBoundsOfText(t *testing.T) {
	table := of(t, one(`"string"`)).Table()
	for _, s := range []string{strings.Repeat("é", 9), strings.Repeat("\U0010ffff", 9), "zzzzzzzzzzzzz\ud7ff\ud7ff\ud7ff"} {
		if err := table.Append([]byte(`{"v":` + quote(s) + `}`)); err != nil {
			t.Fatal(err)
		}
		x := open(t, table).ColumnIndexes()[0]
		if low, high := x.MinValues[0], x.MaxValues[0]; !utf8.Valid(low) || !utf8.Valid(high) || string(low) > s || string(high) < s || len(low) > 16 {
			t.Errorf("%q has bounds %q and %q", s, low, high)
		}
		table = of(t, one(`"string"`)).Table()
	}
}

// Readers must know which calendar dates and times are of.
func TestCalendar(t *testing.T) {
	f := open(t, of(t, one(`{"type":"int","logicalType":"date"}`)).Table())
	if v, _ := f.Lookup("org.apache.spark.version"); v != "3.0.0" {
		t.Errorf("the footer says %q", v)
	}
}
