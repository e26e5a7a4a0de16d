package carbon

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"disd/internal/transfer/format"
)

// everyType is a schema of all types that are not nested, as optional columns.
func everyType() string {
	var fields []string
	for i, t := range plainTypes {
		fields = append(fields, fmt.Sprintf(`{"name":"C%d","type":["null",%s]}`, i, strings.ReplaceAll(t, "%s", fmt.Sprint("n", i))))
	}
	return `{"type":"record","name":"r","fields":[` + strings.Join(fields, ",") + `]}`
}

var plainTypes = []string{
	`"int"`, `"string"`, `"boolean"`, `"long"`, `"float"`, `"double"`, `"bytes"`,
	`{"type":"enum","name":"%s","symbols":["A","B"]}`, `{"type":"fixed","name":"%s","size":3}`,
	`{"type":"int","logicalType":"date"}`, `{"type":"int","logicalType":"time-millis"}`, `{"type":"long","logicalType":"time-micros"}`,
	`{"type":"long","logicalType":"timestamp-millis"}`, `{"type":"long","logicalType":"timestamp-micros"}`, `{"type":"long","logicalType":"timestamp-nanos"}`,
	`{"type":"long","logicalType":"local-timestamp-millis"}`,
	`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, `{"type":"bytes","logicalType":"decimal","precision":18,"scale":4}`,
	`{"type":"bytes","logicalType":"decimal","precision":38,"scale":10}`, `{"type":"bytes","logicalType":"decimal","precision":19,"scale":0}`,
}

// check has both readers read a directory and compares the rows.
func (j *jvm) check(t testing.TB, s *format.Schema, path string, records []string) {
	t.Helper()
	for _, row := range []bool{false, true} {
		args := []string{path}
		if row {
			args = append([]string{"--row-reader"}, path)
		}
		lines, err := j.read(args...)
		if err != nil || len(lines) != len(records) {
			t.Fatalf("%v: %d rows of %d, %v", args, len(lines), len(records), err)
		}
		for i, record := range records {
			got, err := decode(lines[i])
			if err != nil {
				t.Fatalf("%.1000s: %v", lines[i], err)
			}
			var want string
			if err := s.Read([]byte(record), func(v *format.Value) { want = canonical(s.Root, shown(s.Root, v, row)) }); err != nil {
				t.Fatal(err)
			}
			if got := canonical(s.Root, got); got != want {
				t.Fatalf("row %d, by rows: %v\nis   %.2000s\nwant %.2000s\nof %.2000s", i, row, got, want, record)
			}
		}
	}
}

// shown returns a row as the reader shows it. Tables with nested columns are read by
// rows by both readers.
func shown(root *format.Type, v *format.Value, row bool) any {
	for _, t := range root.Items {
		row = row || len(t.Items) > 0
	}
	all := make(map[string]any)
	for i, t := range root.Items {
		all[root.Names[i]] = wanted(t, &v.Items[i], row)
	}
	return all
}

// written writes records of a schema into a new directory.
func written(t testing.TB, schema string, records []string) (dir string, s *format.Schema) {
	t.Helper()
	dir = t.TempDir()
	f, s := form(t, schema)
	write(t, dir, "s-t-shardId-0000000000-0-9", f, records)
	return dir, s
}

func TestTypes(t *testing.T) {
	j := sdk(t)
	r := rand.New(rand.NewPCG(1, 2))
	schema := everyType()
	s, err := format.Parse(schema)
	if err != nil {
		t.Fatal(err)
	}
	records := []string{"{}"}
	for range 300 {
		records = append(records, random(r, s.Root))
	}
	dir, s := written(t, schema, records)
	t.Run("CARBON-3", func(t *testing.T) {
		j.check(t, s, dir, records)
		j.check(t, s, filepath.Join(dir, "s-t-shardId-0000000000-0-9.carbondata"), records) // the file by itself
	})
	t.Run("CARBON-4", func(t *testing.T) { j.check(t, s, dir, records) }) // by both readers
	t.Run("CARBON-8", func(t *testing.T) {
		lines, err := j.read("--schema", dir)
		if err != nil || len(lines) != len(plainTypes) {
			t.Fatalf("%v, %v", lines, err)
		}
		for i, line := range lines {
			if !strings.HasPrefix(line, fmt.Sprintf("C%d\t", i)) {
				t.Errorf("column %d is %s", i, line)
			}
		}
	})
}

func TestNested(t *testing.T) {
	j := sdk(t)
	t.Run("CARBON-7", func(t *testing.T) {
		records := []string{
			`{"id":1,"aa":[[1,2],[],null],"ar":[{"x":1,"y":["p",null,"q"]},{"y":[]}],"mr":{"k":{"x":5}},"rr":{"r":{"d":1.50,"b":"ab","day":3}}}`,
			`{"id":2}`,
			`{"id":3,"aa":[],"ar":[],"mr":{},"rr":{}}`,
			`{"id":4,"aa":[[],[]],"ar":[{"y":[]},{"x":2}],"mr":{"a":{"x":1},"b":null},"rr":{"r":{"d":-1}}}`,
		}
		dir, s := written(t, `{"type":"record","name":"top","fields":[{"name":"id","type":"int"},
			{"name":"aa","type":["null",{"type":"array","items":["null",{"type":"array","items":["null","int"]}]}]},
			{"name":"ar","type":["null",{"type":"array","items":["null",{"type":"record","name":"e","fields":[{"name":"x","type":["null","double"]},{"name":"y","type":["null",{"type":"array","items":["null","string"]}]}]}]}]},
			{"name":"mr","type":["null",{"type":"map","values":["null",{"type":"record","name":"m","fields":[{"name":"x","type":["null","long"]}]}]}]},
			{"name":"rr","type":["null",{"type":"record","name":"o","fields":[{"name":"r","type":["null",{"type":"record","name":"i","fields":[
				{"name":"d","type":["null",{"type":"bytes","logicalType":"decimal","precision":30,"scale":2}]},{"name":"b","type":["null","bytes"]},{"name":"day","type":["null",{"type":"int","logicalType":"date"}]}]}]}]}]}]}`, records)
		j.check(t, s, dir, records)
	})
	t.Run("CARBON-9", func(t *testing.T) {
		long := strings.Repeat("long é", 128_572)[:900_000]
		records := []string{`{"v":"` + long + `","a":["` + long + `"]}`}
		dir, s := written(t, `{"type":"record","name":"r","fields":[{"name":"v","type":"string"},{"name":"a","type":{"type":"array","items":"string"}}]}`, records)
		j.check(t, s, dir, records)
	})
}

// manySchema has a column of each type whose values grow with the number of the row.
const manySchema = `{"type":"record","name":"r","fields":[{"name":"id","type":"int"},{"name":"n","type":["null","long"]},{"name":"f","type":["null","float"]},{"name":"d","type":["null","double"]},
	{"name":"s","type":["null","string"]},{"name":"day","type":["null",{"type":"int","logicalType":"date"}]},{"name":"ts","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
	{"name":"d9","type":["null",{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}]},{"name":"d18","type":["null",{"type":"bytes","logicalType":"decimal","precision":18,"scale":2}]},
	{"name":"d30","type":["null",{"type":"bytes","logicalType":"decimal","precision":30,"scale":2}]},{"name":"a","type":{"type":"array","items":"int"}}]}`

// many returns a record of it; half of the numbers are below 0.
func many(i int) string {
	n := i - 50_000
	return fmt.Sprintf(`{"id":%d,"n":%d,"f":%d,"d":%d.5,"s":"row %d","day":%d,"ts":%d,"d9":%d.25,"d18":%d.25,"d30":%d.25,"a":[%d,%d]}`, i, n, n, n, i, i, 1000*n, n, n, n, i, i+1)
}

func TestPages(t *testing.T) {
	j := sdk(t)
	for _, rows := range []int{1, 32_000, 32_001, 100_000} {
		t.Run("CARBON-6", func(t *testing.T) {
			dir := t.TempDir()
			f, _ := form(t, manySchema)
			records := make([]string, rows)
			for i := range records {
				records[i] = many(i)
			}
			write(t, dir, "s-t-0-9", f, records)
			lines, err := j.read(dir)
			if err != nil || len(lines) != rows {
				t.Fatalf("%d rows of %d, %v", len(lines), rows, err)
			}
			for i, line := range lines {
				if !strings.HasPrefix(line, fmt.Sprintf(`{"id":%d,`, i)) || !strings.HasSuffix(line, fmt.Sprintf(`"a":[%d,%d]}`, i, i+1)) {
					t.Fatalf("row %d is %s", i, line)
				}
			}
			if rows == 100_000 {
				filters(t, j, dir)
			}
		})
	}
}

// filters looks for rows of every page by every column.
func filters(t *testing.T, j *jvm, dir string) {
	t.Run("CARBON-5", func(t *testing.T) {
		for _, i := range []int{0, 31_999, 32_000, 50_001, 99_999, 100_000} { // the last is not there
			n := i - 50_000
			for column, value := range map[string]string{
				"id": fmt.Sprint(i), "n": fmt.Sprint(n), "f": fmt.Sprint(n, ".0"), "d": fmt.Sprintf("%d.5", n), "s": fmt.Sprint("row ", i),
				"ts": stamp(1000 * n), "d9": fmt.Sprintf("%d.25", n), "d18": fmt.Sprintf("%d.25", n), "d30": fmt.Sprintf("%d.25", n), "day": day(i),
			} {
				value = strings.ReplaceAll(value, " .0", ".0")
				lines, err := j.read("--filter="+column+"="+value, dir)
				found := len(lines) == 1 && strings.HasPrefix(lines[0], fmt.Sprintf(`{"id":%d,`, i))
				if there := i < 100_000; err != nil || found != there || !there && len(lines) > 0 {
					t.Errorf("%s = %s: %d rows, %v", column, value, len(lines), err)
				}
			}
		}
	})
}

// FuzzReader feeds random schemas and records through the writer and the reader.
func FuzzReader(f *testing.F) {
	sdk(f)
	for seed := range uint64(25) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		j := sdk(t)
		r := rand.New(rand.NewPCG(seed, 0))
		schema := randomSchema(r)
		s, err := format.Parse(schema)
		if err != nil {
			t.Fatalf("%s: %v", schema, err)
		}
		records := make([]string, 1+r.IntN(20))
		for i := range records {
			records[i] = random(r, s.Root)
		}
		dir, err := os.MkdirTemp("", "carbon")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		form, s := form(t, schema)
		write(t, dir, "s-t-0-9", form, records)
		j.check(t, s, dir, records)
	})
}
