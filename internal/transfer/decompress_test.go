package transfer

import (
	"testing"

	"disd/internal/storage"
)

// Whatever is in a record, decompressing ends, within the bound.
func FuzzDecompress(f *testing.F) {
	f.Add("gzip", []byte("\x1f\x8b"))
	f.Add("zip", []byte("PK\x03\x04"))
	f.Add("snappy", []byte("\xff\xff\xff\xff\x0f"))
	f.Add("snappy", []byte("\x01\x00a"))
	f.Fuzz(func(t *testing.T, format string, data []byte) {
		out, err := decompress(format, data)
		if err == nil && len(out) > storage.MaxData {
			t.Fatalf("%d bytes", len(out))
		}
	})
}
