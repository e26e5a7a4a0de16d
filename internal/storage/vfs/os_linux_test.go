package vfs

import (
	"bytes"
	"testing"
)

// TestDirectRefused writes to a Direct file what the system does not take past the
// page cache, as a file system does whose blocks are larger than ours: it goes
// through the cache, and so does what follows.
func TestDirectRefused(t *testing.T) {
	name := t.TempDir() + "/a"
	must(t, create(t, OS, name).Close())
	f, err := OS.OpenFile(name, Direct)
	must(t, err)
	want := make([]byte, 4*blockSize)
	write := func(c byte, off, n int) {
		t.Helper()
		b := AlignedBuffer(blockSize * 2)[:n]
		for i := range b {
			b[i] = c
		}
		copy(want[off:], b)
		must(t, f.WriteAt([][]byte{b}, int64(off)))
	}
	write('a', 0, 2*blockSize)
	write('b', blockSize-50, 100)
	write('c', 2*blockSize, 2*blockSize)
	must(t, f.Sync(), f.Close())
	if have, err := ReadFile(OS, name); err != nil || !bytes.Equal(have, want) {
		t.Errorf("other bytes than were written: %d, %v", len(have), err)
	}
}
