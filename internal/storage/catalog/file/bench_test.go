package file

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"disd/internal/storage/catalog"
)

// BenchmarkCommit is the commit of a checkpoint among many: one caller, and as many
// at once as share a transaction.
func BenchmarkCommit(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			db, err := Open(filepath.Join(b.TempDir(), "catalog.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			err = db.Update(func(tx catalog.Tx) error {
				for i := range 10000 {
					if err := things.Put(tx, catalog.Key{"stream", catalog.Digits(i, 10)}, thing{"app", i}); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			b.SetParallelism(callers)
			b.ResetTimer()
			var last atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					n := int(last.Add(1))
					err := db.Update(func(tx catalog.Tx) error {
						return things.Put(tx, catalog.Key{"stream", catalog.Digits(n%10000, 10)}, thing{"app", n})
					})
					if err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
