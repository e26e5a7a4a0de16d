// Package parquet has other engines filter the Parquet files of transfer tasks.
package parquet

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"disd/internal/transfer/format"
	"disd/internal/transfer/format/parquet"
)

var python = flag.String("python", "", "an interpreter with PyArrow, Polars and DuckDB (make parquet)")

// columns are types whose bounds engines skip by, with values for them.
var columns = []struct {
	typ   string
	value func(*rand.Rand) string
}{
	{`"int"`, func(r *rand.Rand) string { return fmt.Sprint(r.Int32() - 1<<30) }},
	{`"long"`, func(r *rand.Rand) string { return fmt.Sprint(r.Int64() - 1<<62) }},
	{`"double"`, func(r *rand.Rand) string { return fmt.Sprintf("%d.5", r.IntN(1000)-500) }},
	{`"string"`, func(r *rand.Rand) string {
		return fmt.Sprintf(`"%s %d"`, strings.Repeat("é", r.IntN(20)), r.IntN(100))
	}},
	{`"boolean"`, func(r *rand.Rand) string { return fmt.Sprint(r.IntN(2) == 0) }},
	{`"bytes"`, func(r *rand.Rand) string { return `"` + strings.Repeat("ÿ", r.IntN(30)) + `a"` }},
	{`{"type":"int","logicalType":"date"}`, func(r *rand.Rand) string { return fmt.Sprint(r.IntN(60_000) - 30_000) }},
	{`{"type":"long","logicalType":"timestamp-micros"}`, func(r *rand.Rand) string { return fmt.Sprint(r.Int64N(4e15) - 2e15) }},
	{`{"type":"long","logicalType":"local-timestamp-millis"}`, func(r *rand.Rand) string { return fmt.Sprint(r.Int64N(4e12) - 2e12) }},
	{`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, decimal(7)},
	{`{"type":"bytes","logicalType":"decimal","precision":18,"scale":2}`, decimal(16)},
	{`{"type":"bytes","logicalType":"decimal","precision":30,"scale":2}`, decimal(25)},
	{`{"type":"bytes","logicalType":"decimal","precision":38,"scale":2}`, decimal(33)},
}

func decimal(n int) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		return fmt.Sprintf("%s%d%s.25", []string{"", "-"}[r.IntN(2)], 1+r.IntN(9), strings.Repeat("7", r.IntN(n)))
	}
}

func TestFilters(t *testing.T) {
	if *python == "" {
		t.Skip("skipped: no interpreter is given (make parquet)")
	}
	var fields []string
	for i, c := range columns {
		fields = append(fields, fmt.Sprintf(`{"name":"c%d","type":["null",%s]}`, i, c.typ))
	}
	s, err := format.Parse(`{"type":"record","name":"r","fields":[` + strings.Join(fields, ",") + `]}`)
	if err != nil {
		t.Fatal(err)
	}
	table := parquet.New(s, parquet.Version).Table()
	r := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		var members []string
		for i, c := range columns {
			if r.IntN(5) > 0 {
				members = append(members, fmt.Sprintf(`"c%d":%s`, i, c.value(r)))
			}
		}
		if err := table.Append([]byte("{" + strings.Join(members, ",") + "}")); err != nil {
			t.Fatal(err)
		}
	}
	files, err := table.Files("")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "file.parquet")
	if err := os.WriteFile(path, files[0].Content, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(*python, "check.py", path).CombinedOutput()
	if t.Log(string(out)); err != nil {
		t.Error(err)
	}
}
