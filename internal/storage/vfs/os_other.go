//go:build unix && !linux

package vfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// Elsewhere than on Linux the calls that every Unix has do the same, slower.

func adviseHuge([]byte) {}

func openDirect(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	return &osFile{File: f}, err
}

func fragment(st *unix.Statfs_t) int64 { return int64(st.Bsize) }

func (f *osFile) WriteAt(bufs [][]byte, off int64) error {
	for _, b := range bufs {
		if _, err := f.File.WriteAt(b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

func (f *osFile) WriteSync(bufs [][]byte, off int64) error {
	if err := f.WriteAt(bufs, off); err != nil {
		return err
	}
	return f.Sync()
}

// Allocate sets no room aside: a full disk is noticed by the write.
func (f *osFile) Allocate(off, length int64) error {
	size, err := f.Size()
	if err != nil || size >= off+length {
		return err
	}
	return f.Truncate(off + length)
}

// Sync on macOS is F_FULLFSYNC: it empties the device's cache too.
func (f *osFile) Sync() error { return f.File.Sync() }
