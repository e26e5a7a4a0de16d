package parquet_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// wideSchema has as many columns as a schema may have.
func wideSchema(typ string) string {
	fields := make([]string, 4096)
	for i := range fields {
		fields[i] = fmt.Sprintf(`{"name":"f%d","type":%s}`, i, typ)
	}
	return `{"type":"record","name":"r","fields":[` + strings.Join(fields, ",") + `]}`
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The memory that a table takes is what Size says, within a factor of two, whatever the
// schema and the records are.
func TestMemory(t *testing.T) {
	all := strings.Builder{}
	for i := range 4096 {
		fmt.Fprintf(&all, `,"f%d":%d`, i, i%10)
	}
	for _, tt := range []struct {
		name, schema, record string
		rows                 int
	}{
		{"wide", wideSchema(`"int"`), "{" + all.String()[1:] + "}", 300},
		{"nulls", wideSchema(`["null","int"]`), "{}", 300},
		{"items", one(`{"type":"array","items":["null","int"]}`), `{"v":[` + strings.TrimSuffix(strings.Repeat("null,", 20_000), ",") + `]}`, 60},
		{"empty records", one(`{"type":"array","items":` + strings.Replace(wideSchema(`["null","int"]`), `"r"`, `"q"`, 1) + `}`), `{"v":[` + strings.TrimSuffix(strings.Repeat("{},", 100), ",") + `]}`, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := of(t, tt.schema)
			before := heap()
			table := p.Table()
			for range tt.rows {
				if err := table.Append([]byte(tt.record)); err != nil {
					t.Fatal(err)
				}
			}
			took, size := heap()-before, table.Size()
			t.Logf("%d MiB, Size says %d MiB", took>>20, size>>20)
			if took > 2*size+(4<<20) {
				t.Errorf("takes %d bytes, Size says %d", took, size)
			}
			runtime.KeepAlive(table)
		})
	}
}

// A few bytes do not stand for values without number.
func TestExpansion(t *testing.T) {
	nested := strings.Replace(wideSchema(`["null","int"]`), `"r"`, `"q"`, 1)
	table := of(t, one(`{"type":"array","items":`+nested+`}`)).Table()
	for _, record := range []string{
		`{"v":[` + strings.TrimSuffix(strings.Repeat("{},", 20_000), ",") + `]}`,
		`{"v":[` + strings.TrimSuffix(strings.Repeat("{},", 129), ",") + `]}`,
	} {
		if err := table.Append([]byte(record)); err == nil || !strings.Contains(err.Error(), "stands for more than 524288 values") {
			t.Errorf("%.20s: %v", record, err)
		}
	}
	if size := table.Size(); size != 0 {
		t.Errorf("a table without rows takes %d bytes", size)
	}
}
