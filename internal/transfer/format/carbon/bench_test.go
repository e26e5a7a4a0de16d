package carbon_test

import (
	"fmt"
	"testing"

	"disd/internal/transfer/format"
	"disd/internal/transfer/format/carbon"
	"disd/internal/transfer/format/parquet"
)

// BenchmarkFiles compares the rate with that of Parquet.
func BenchmarkFiles(b *testing.B) {
	s, err := format.Parse(`{"type":"record","name":"r","fields":[{"name":"city","type":"string"},{"name":"degrees","type":["null","double"]},{"name":"n","type":"long"},
		{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"tags","type":{"type":"array","items":"string"}}]}`)
	if err != nil {
		b.Fatal(err)
	}
	made, err := carbon.New(s)
	if err != nil {
		b.Fatal(err)
	}
	var records [][]byte
	size := int64(0)
	for i := range 50_000 {
		records = append(records, fmt.Appendf(nil, `{"city":"Oslo %d","degrees":%d.5,"n":%d,"at":%d,"tags":["a","tag %d"]}`, i%100, i%40, i, 1577934245000+i, i%7))
		size += int64(len(records[i]))
	}
	for name, form := range map[string]format.Form{"carbon": made, "parquet": parquet.New(s, parquet.Version)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			for range b.N {
				table := form.Table()
				for _, r := range records {
					if err := table.Append(r); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := table.Files("a-0"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
