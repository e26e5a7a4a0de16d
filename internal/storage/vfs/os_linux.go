package vfs

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a large page; where it is another, the advice is
// only less useful.
const hugePage = 2 << 20

// adviseHuge asks for large pages for b: they take a fault each, not one for
// every 4 KiB, and a direct write pins them with less work. Measured, that is a
// tenth of the processor time of an upload.
func adviseHuge(b []byte) {
	at := int(uintptr(unsafe.Pointer(unsafe.SliceData(b))) % hugePage)
	if skip := (hugePage - at) % hugePage; len(b) >= skip+hugePage {
		b = b[skip:]
		// A hint: without it all works as well.
		_ = unix.Madvise(b[:len(b)&^(hugePage-1)], unix.MADV_HUGEPAGE)
	}
}

// openDirect opens a file for writes past the page cache.
func openDirect(name string) (File, error) {
	// Some file systems (tmpfs) refuse O_DIRECT here, others at the first
	// write, which WriteAt and WriteSync see to.
	f, err := os.OpenFile(name, os.O_RDWR|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		f, err = os.OpenFile(name, os.O_RDWR, 0)
		return &osFile{File: f}, err
	}
	return &osFile{File: f, direct: true}, err
}

// fragment returns the unit that st counts in, statvfs(3). Bsize can be a much
// larger one: what is best to transfer, on FUSE, virtiofs and the like.
func fragment(st *unix.Statfs_t) int64 {
	if st.Frsize > 0 {
		return st.Frsize
	}
	return st.Bsize
}

// WriteAt also lets the system begin to write the bytes to the disk, so that
// a later Sync has less to wait for.
func (f *osFile) WriteAt(bufs [][]byte, off int64) error {
	if err := f.write(bufs, off, 0); err != nil || f.direct {
		return err
	}
	var n int64
	for _, b := range bufs {
		n += int64(len(b))
	}
	// A hint: whether it worked, Sync tells.
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
	return nil
}

func (f *osFile) WriteSync(bufs [][]byte, off int64) error {
	return f.write(bufs, off, unix.RWF_DSYNC)
}

// maxVectors is the kernel's IOV_MAX.
const maxVectors = 1024

// maxBuffered is the largest piece the page cache is given at once. For larger
// ones the kernel makes as large folios, whose fresh memory is slow to come by:
// measured, pieces of 4 MiB cost nine times the processor time of these.
const maxBuffered = 256 << 10

// write hands bufs to the kernel without copying them together.
func (f *osFile) write(bufs [][]byte, off int64, flags int) error {
	for len(bufs) > 0 {
		n, err := unix.Pwritev2(int(f.Fd()), f.piece(bufs, flags), off, flags)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EINVAL) && f.dropDirect():
			continue
		case err != nil:
			return &os.PathError{Op: "write", Path: f.Name(), Err: err}
		}
		off += int64(n)
		bufs = skip(bufs, n)
	}
	return nil
}

// piece returns what to write in one call: the first vectors of bufs, of at most
// maxBuffered bytes where they go to the page cache.
func (f *osFile) piece(bufs [][]byte, flags int) [][]byte {
	bufs = bufs[:min(len(bufs), maxVectors)]
	if f.direct || flags&unix.RWF_DSYNC != 0 {
		return bufs
	}
	size := 0
	for i, b := range bufs {
		size += len(b)
		if size <= maxBuffered {
			continue
		}
		if i > 0 {
			return bufs[:i]
		}
		return [][]byte{b[:maxBuffered]}
	}
	return bufs
}

// dropDirect ends bypassing the page cache and reports whether it was on.
func (f *osFile) dropDirect() bool {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_DIRECT == 0 {
		return false
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETFL, flags&^unix.O_DIRECT)
	return err == nil
}

// skip returns bufs without their first n bytes. It leaves bufs as it is.
func skip(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if n == 0 {
		return bufs
	}
	rest := append([][]byte(nil), bufs...)
	rest[0] = rest[0][n:]
	return rest
}

func (f *osFile) Allocate(off, length int64) error {
	var err error = unix.EINTR
	for errors.Is(err, unix.EINTR) {
		err = unix.Fallocate(int(f.Fd()), 0, off, length)
	}
	if err == nil || !errors.Is(err, unix.EOPNOTSUPP) {
		return wrap("allocate", f.Name(), err)
	}
	size, err := f.Size()
	if err != nil || size >= off+length {
		return err
	}
	return f.Truncate(off + length)
}

func (f *osFile) Sync() error {
	return wrap("sync", f.Name(), unix.Fdatasync(int(f.Fd())))
}
