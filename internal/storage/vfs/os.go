//go:build unix

package vfs

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OS is the machine's file system.
var OS FS = osFS{}

type osFS struct{}

func (osFS) OpenFile(name string, mode Mode) (File, error) {
	flag := os.O_RDWR
	switch mode {
	case Read:
		flag = os.O_RDONLY
	case Create:
		flag |= os.O_CREATE | os.O_EXCL
	case Direct:
		return openDirect(name)
	}
	f, err := os.OpenFile(name, flag, 0o640)
	return &osFile{File: f}, err
}

func (osFS) Rename(oldName, newName string) error { return os.Rename(oldName, newName) }
func (osFS) Remove(name string) error             { return os.Remove(name) }
func (osFS) Mkdir(name string) error              { return os.Mkdir(name, 0o750) }

func (osFS) ReadDir(name string) ([]string, error) {
	entries, err := os.ReadDir(name)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
		if e.IsDir() {
			names[i] += "/"
		}
	}
	return names, err
}

func (osFS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (osFS) Lock(name string) (Lock, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o640)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EISDIR) {
		f, err = os.Open(name) // enough for who only reads
	}
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrLocked
	}
	l := &osLock{File: f}
	if err == nil {
		// It may have been replaced between open and lock.
		if err = unix.Fstat(int(f.Fd()), &l.st); err == nil {
			err = l.Held()
		}
	}
	if err != nil {
		return nil, errors.Join(&os.PathError{Op: "lock", Path: name, Err: err}, f.Close())
	}
	return l, nil
}

type osLock struct {
	*os.File
	st unix.Stat_t
}

func (l *osLock) Held() error {
	var st unix.Stat_t
	err := unix.Stat(l.Name(), &st)
	if errors.Is(err, unix.ENOENT) || err == nil && (st.Dev != l.st.Dev || st.Ino != l.st.Ino) {
		err = ErrReplaced
	}
	return wrap("lock", l.Name(), err)
}

func (osFS) Free(name string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(name, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: name, Err: err}
	}
	return int64(st.Bavail) * fragment(&st), nil
}

type osFile struct {
	*os.File
	direct bool // writes bypass the page cache
}

func (f *osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: name, Err: err}
}

// Aligned reports whether a Direct file can write from where b is.
func Aligned(b []byte) bool { return offBlock(b) == 0 }

func offBlock(b []byte) int { return int(uintptr(unsafe.Pointer(unsafe.SliceData(b))) % blockSize) }

// AlignedBuffer returns n zero bytes in memory a Direct file can write from. If
// they are many, the kernel is asked for large pages.
func AlignedBuffer(n int) []byte {
	b := make([]byte, n)
	adviseHuge(b)
	if n == 0 || Aligned(b) {
		return b // large objects start on pages in this runtime
	}
	b = make([]byte, n+blockSize)
	skip := blockSize - offBlock(b)
	return b[skip : skip+n : skip+n]
}
