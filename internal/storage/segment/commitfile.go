package segment

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"disd/internal/storage/vfs"
)

// commitFile is one file of the commit log.
type commitFile struct {
	number uint64
	name   string // path
	f      vfs.File
	size   int64 // bytes allocated
	pos    int64 // where the next group goes
	base   uint64
	dirty  bool // written since the last sync
	failed bool // a write or sync failed: no further use
	// damaged files are kept for whoever wants to look at them.
	damaged bool
}

func commitName(number uint64) string { return fmt.Sprintf("commit-%016d.log", number) }

// damagedName is what a damaged file is called when it is put aside.
func damagedName(number uint64) string { return fmt.Sprintf("commit-%016d.damaged", number) }

// parseCommitName returns the number in the name of a commit log file.
func parseCommitName(name string) (number uint64, ok bool) {
	digits, ok := strings.CutPrefix(name, "commit-")
	digits, ok2 := strings.CutSuffix(digits, ".log")
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, ok && ok2 && err == nil && len(digits) == 16
}

// createCommitFile makes a new file with room for size bytes. With zero it is
// written once, so that a later sync has no metadata to write: slower here,
// twice as fast from then on.
func createCommitFile(fs vfs.FS, dir string, number uint64, size int64, zero bool) (*commitFile, error) {
	c := &commitFile{number: number, name: dir + "/" + commitName(number), size: size}
	f, err := fs.OpenFile(c.name, vfs.Create)
	if err != nil {
		return nil, err
	}
	err = f.Allocate(0, size)
	if err == nil && zero {
		err = writeZeros(f, size)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		// From here on the name is on disk, and groups can be.
		err = fs.SyncDir(dir)
	}
	if err == nil {
		c.f, err = fs.OpenFile(c.name, vfs.Direct)
	}
	if err != nil {
		return nil, errors.Join(err, fs.Remove(c.name))
	}
	return c, nil
}

func writeZeros(f vfs.File, size int64) error {
	zeros := make([]byte, min(1<<20, size))
	for off := int64(0); off < size; off += int64(len(zeros)) {
		n := min(int64(len(zeros)), size-off)
		if err := f.WriteAt([][]byte{zeros[:n]}, off); err != nil {
			return err
		}
	}
	return nil
}

// recycle gives a file whose groups are not needed any more a new number. What
// it holds carries the old one and is void.
func (c *commitFile) recycle(fs vfs.FS, dir string, number uint64, size int64) error {
	name := dir + "/" + commitName(number)
	if err := fs.Rename(c.name, name); err != nil {
		return err
	}
	c.number, c.name, c.pos, c.base = number, name, 0, 0
	if err := fs.SyncDir(dir); err != nil {
		return err
	}
	if c.f == nil {
		f, err := fs.OpenFile(name, vfs.Direct)
		if err != nil {
			return err
		}
		c.f = f
	}
	return c.resize(size)
}

// resize makes a file that one large group had grown, or that was made with
// other options, as large as all others.
func (c *commitFile) resize(size int64) error {
	if c.size == size {
		return nil
	}
	if c.size > size {
		if err := c.f.Truncate(size); err != nil {
			return err
		}
	} else if err := c.f.Allocate(0, size); err != nil {
		return err
	}
	c.size = size
	return c.f.Sync()
}

// close closes the file if it is open.
func (c *commitFile) close() error {
	if c.f == nil {
		return nil
	}
	err := c.f.Close()
	c.f = nil
	return err
}
