package carbon_test

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"disd/internal/transfer/format"
	"disd/internal/transfer/format/carbon"
)

const schema = `{"type":"record","name":"r","fields":[{"name":"s","type":["null","string"]},{"name":"n","type":"long"},{"name":"f","type":["null","double"]},
	{"name":"day","type":["null",{"type":"int","logicalType":"date"}]},{"name":"us","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},
	{"name":"d","type":["null",{"type":"bytes","logicalType":"decimal","precision":30,"scale":2}]},
	{"name":"m","type":["null",{"type":"map","values":{"type":"array","items":{"type":"record","name":"q","fields":[{"name":"x","type":"int"}]}}}]}]}`

func form(t *testing.T, schema string) (format.Form, error) {
	t.Helper()
	s, err := format.Parse(schema)
	if err != nil {
		t.Fatal(err)
	}
	return carbon.New(s)
}

// The bytes of both files are fixed. If a new version of the library for Snappy
// writes other bytes, transfer.intentVersion has to change with it.
func TestSameBytes(t *testing.T) {
	files := func() []format.File {
		f, err := form(t, schema)
		if err != nil {
			t.Fatal(err)
		}
		table := f.Table()
		for i := range 33_000 {
			data := fmt.Sprintf(`{"s":"row %d","n":%d,"f":%d.5,"day":%d,"us":%d,"d":%d.25,"m":{"k":[{"x":%d},{"x":1}]}}`, i%77, i-500, -i, i, i*1000, -i, i)
			if i%10 == 0 {
				data = `{"n":0}`
			}
			if err := table.Append([]byte(data)); err != nil {
				t.Fatal(err)
			}
		}
		all, err := table.Files("s-t-0-1")
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	first := files()
	for _, rule := range []string{"CARBON-11", "CARBON-16"} {
		t.Run(rule, func(t *testing.T) {
			for i, golden := range []string{goldenData, goldenIndex} {
				if got := fmt.Sprintf("%x", sha256.Sum256(first[i].Content)); got != golden {
					t.Errorf("%s: %d bytes with hash %s", first[i].Ext, len(first[i].Content), got)
				}
			}
		})
	}
}

const (
	goldenData  = "5879269c456991353ca97181e7b628d0ca00cdfa0892f3437cc84dfb65a40ecb"
	goldenIndex = "8767a177f8352a801a694cda557c8ce106c52e7f99e56a190ebbc84156c7cd2c"
)

// What Avro can say and CarbonData cannot is refused with the place.
func TestRefused(t *testing.T) {
	one := func(typ string) string {
		return `{"type":"record","name":"r","fields":[{"name":"v","type":` + typ + `}]}`
	}
	t.Run("CARBON-1", func(t *testing.T) {
		for schema, reason := range map[string]string{
			one(`{"type":"bytes","logicalType":"decimal","precision":39}`):                                                              "v: is decimal with more than 38 digits",
			one(`{"type":"array","items":{"type":"record","name":"q","fields":[{"name":"a","type":"int"},{"name":"A","type":"int"}]}}`): "v: items: a and A differ only in case",
			strings.Replace(schema, `"name":"n"`, `"name":"S"`, 1):                                                                      "s and S differ only in case",
		} {
			if _, err := form(t, schema); err == nil || err.Error() != reason {
				t.Errorf("%v, want %s", err, reason)
			}
		}
	})
	t.Run("CARBON-10", func(t *testing.T) {
		f, err := form(t, one(`{"type":"array","items":["null",{"type":"int","logicalType":"date"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		table := f.Table()
		for record, reason := range map[string]string{
			`{"v":[null,1073741825]}`: "v: [1]: is not within days -1073741821 to 1073741824",
			`{"v":[-1073741822]}`:     "v: [0]: is not within days -1073741821 to 1073741824",
			`{"v":["x"]}`:             "v: [0]: is not a date as 2006-01-02",
		} {
			if err := table.Append([]byte(record)); err == nil || err.Error() != reason {
				t.Errorf("%s: %v, want %s", record, err, reason)
			}
		}
		if f, err = form(t, one(`{"type":"long","logicalType":"timestamp-millis"}`)); err != nil {
			t.Fatal(err)
		}
		if err := f.Table().Append([]byte(`{"v":9223372036854776}`)); err == nil || err.Error() != "v: is not within 9223372036854775 ms of 1970" {
			t.Errorf("%v", err)
		}
	})
}

// The memory that a table takes is what Size says, within a factor of two.
func TestMemory(t *testing.T) {
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	fields := make([]string, 4096)
	for i := range fields {
		fields[i] = fmt.Sprintf(`{"name":"f%d","type":["null","long"]}`, i)
	}
	for _, tt := range []struct {
		schema, record string
		rows           int
	}{
		{`{"type":"record","name":"r","fields":[` + strings.Join(fields, ",") + `]}`, `{}`, 100},
		{schema, `{"s":"` + strings.Repeat("x", 1000) + `","n":1}`, 10_000},
		{schema, `{"n":1,"m":{"k":[` + strings.TrimSuffix(strings.Repeat(`{"x":1},`, 10_000), ",") + `]}}`, 40},
	} {
		f, err := form(t, tt.schema)
		if err != nil {
			t.Fatal(err)
		}
		before := heap()
		table := f.Table()
		for range tt.rows {
			if err := table.Append([]byte(tt.record)); err != nil {
				t.Fatal(err)
			}
		}
		if took, size := heap()-before, table.Size(); took > 2*size+(8<<20) {
			t.Errorf("%.40s: takes %d bytes, Size says %d", tt.record, took, size)
		}
		runtime.KeepAlive(table)
	}
}
