package main

import (
	"os"
	"syscall"
	"time"
)

// preallocated is the size of the file that syncedAppends writes.
const preallocated = 64 << 20

// syncedAppends returns how many bytes a second one writer gets onto the disk
// in pieces of size bytes, each synced before the next, in a file whose blocks
// were written before. With the records of all connections in one piece this
// is the other ceiling, beside the no-op server: no log with one file can
// acknowledge more.
func syncedAppends(name string, size int, d time.Duration) (float64, error) {
	if err := preallocate(name); err != nil {
		return 0, err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|syscall.O_DSYNC, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	piece, written, began := make([]byte, size), 0, time.Now()
	for time.Since(began) < d {
		if _, err := f.WriteAt(piece, int64(written%(preallocated-size))); err != nil {
			return 0, err
		}
		written += size
	}
	return float64(written) / time.Since(began).Seconds(), nil
}

func preallocate(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if os.IsExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, preallocated)); err != nil {
		return err
	}
	return f.Sync()
}
