package segment

import (
	"testing"

	"disd/internal/storage"
	"disd/internal/storage/storagetest"
	"disd/internal/storage/vfs"
)

// TestContract runs the common suite with files so small that every test
// crosses many of them, and with ordinary ones on the real disk.
func TestContract(t *testing.T) {
	small := Options{Dir: "data", CommitLogSize: 64 << 10, SegmentSize: 32 << 10}
	for _, test := range []struct {
		name string
		opt  Options
	}{
		{"small files, always", small},
		{"small files, interval", func() Options { o := small; o.Sync, o.SyncInterval = SyncInterval, 1; return o }()},
		{"small files, off", func() Options { o := small; o.Sync = SyncOff; return o }()},
		{"small files, past the page cache", func() Options { o := small; o.Large = block; return o }()},
		{"defaults", Options{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			storagetest.Run(t, func(t *testing.T, clock *storagetest.Clock) storage.Engine {
				o := test.opt
				o.Now = clock.Now
				if o.Dir == "" {
					o.Dir = t.TempDir() + "/logs"
				} else {
					o.FS = vfs.NewMem()
				}
				e, err := Open(o)
				if err != nil {
					t.Fatal(err)
				}
				return e
			})
		})
	}
}
