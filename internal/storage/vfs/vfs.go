// Package vfs is the dozen file calls disd's storage makes. OS is the real
// disk; Mem is a disk in memory that remembers what was synced and can lose
// power; errfs fails chosen calls. The engine cannot tell them apart.
package vfs

import (
	"errors"
	"io"
	"os"
)

// ErrLocked is a lock that another process, or another engine of this one,
// holds.
var ErrLocked = errors.New("locked by another process")

// ErrReplaced is what a lock lies on if that is not what its name leads to any
// more: it was removed, moved or replaced.
var ErrReplaced = errors.New("removed or replaced while it is in use")

// A Mode says how OpenFile opens.
type Mode int

const (
	// Read opens an existing file for reading.
	Read Mode = iota
	// Write opens an existing file for reading and writing.
	Write
	// Create makes a new file, for reading and writing. An existing one is
	// an error that wraps fs.ErrExist.
	Create
	// Direct opens an existing file for reading and writing and bypasses the
	// page cache where the file system can. Buffers, offsets and lengths of
	// its writes must be multiples of 4096.
	Direct
)

// An FS is a tree of files. A directory operation (Create, Rename, Remove,
// Mkdir) may be undone by a power loss until SyncDir of its directory returns.
// All methods may be called at any time by any number of goroutines.
type FS interface {
	OpenFile(name string, mode Mode) (File, error)
	// Rename replaces newName when it exists. Both names are in one directory.
	Rename(oldName, newName string) error
	// Remove deletes a file or an empty directory. Open files stay usable.
	Remove(name string) error
	// Mkdir makes one directory. An existing one wraps fs.ErrExist.
	Mkdir(name string) error
	// ReadDir returns the names in a directory, sorted; those of directories
	// end with a slash.
	ReadDir(name string) ([]string, error)
	SyncDir(name string) error
	// Lock locks the file or directory name until the result is closed. A
	// file is made if there is nothing of that name. ErrLocked when it is
	// locked already.
	Lock(name string) (Lock, error)
	// Free returns the bytes that can still be allocated below name.
	Free(name string) (int64, error)
}

// A Lock keeps others from locking the same file or directory.
type Lock interface {
	io.Closer
	// Held returns ErrReplaced if the name leads to something else by now,
	// which others can lock. It costs a microsecond.
	Held() error
}

// A File is an open file. Writes at different places may be concurrent.
type File interface {
	io.ReaderAt
	io.Closer
	// WriteAt writes bufs one behind the other from off on.
	WriteAt(bufs [][]byte, off int64) error
	// WriteSync is WriteAt, and when it returns nil these bytes are on stable
	// storage. It says nothing about earlier writes.
	WriteSync(bufs [][]byte, off int64) error
	// Allocate makes sure that later writes to the range find room. It does
	// not change what is read there, except that the file is at least as long.
	Allocate(off, length int64) error
	Truncate(size int64) error
	// Sync returns when all earlier writes are on stable storage.
	Sync() error
	Size() (int64, error)
}

// WriteFile replaces the file name by data, durably and all or nothing. A
// crash before the rename leaves a stray temporary file, one before the
// directory's sync leaves the old or the new file, whole in both cases.
func WriteFile(fsys FS, dir, name string, data []byte) error {
	tmp := dir + "/" + name + ".tmp"
	if err := writeNew(fsys, tmp, data); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, dir+"/"+name); err != nil { // rename(2)
		return err
	}
	return fsys.SyncDir(dir) // fsync(2) of the directory
}

// writeNew makes a file with this content, on stable storage, but its name is
// not yet.
func writeNew(fsys FS, name string, data []byte) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // unlink(2) of what a crash left
	}
	f, err := fsys.OpenFile(name, Create) // open(2), O_CREAT|O_EXCL
	if err != nil {
		return err
	}
	return errors.Join(f.WriteSync([][]byte{data}, 0), f.Close()) // pwritev2(2), close(2)
}

// ReadFile returns what a file holds.
func ReadFile(fsys FS, name string) ([]byte, error) {
	f, err := fsys.OpenFile(name, Read)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	_, err = io.ReadFull(io.NewSectionReader(f, 0, size), b)
	return b, err
}

// MkdirSync makes the directory parent/name durable; it may exist.
func MkdirSync(fsys FS, parent, name string) error {
	err := fsys.Mkdir(parent + "/" + name)
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return fsys.SyncDir(parent)
}
