package file

import (
	"os"

	"golang.org/x/sys/unix"
)

// anonymousFile returns an empty file in memory that needs no writable
// directory: a container on a bare image has none.
func anonymousFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("disd-catalog", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "memory"), nil
}
