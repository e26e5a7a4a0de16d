// Package errfs wraps a file system and fails chosen calls.
package errfs

import (
	"errors"
	"sync"

	"disd/internal/storage/vfs"
)

// ErrInjected is what a failed call returns.
var ErrInjected = errors.New("injected fault")

// Faults counts the calls of a wrapped file system and says which fail.
type Faults struct {
	mu          sync.Mutex
	calls       int
	first, last int
	fired       bool
	match       func(op, name string) bool
	hook        func(call int, op, name string)
}

// At fails the call number n, from 0, and no other.
func At(n int) *Faults { return &Faults{first: n, last: n} }

// From fails all calls from number n on.
func From(n int) *Faults { return &Faults{first: n, last: int(^uint(0) >> 1)} }

// On fails the first call that match, given its operation and file name, is
// true for.
func On(match func(op, name string) bool) *Faults {
	return &Faults{first: -1, last: -1, match: match}
}

// None fails nothing; with a hook it is a way to watch.
func None() *Faults { return &Faults{first: -1, last: -1} }

// OnCall calls f before every call, with its number, operation ("open",
// "write", "sync", …) and file name.
func (f *Faults) OnCall(hook func(call int, op, name string)) *Faults {
	f.hook = hook
	return f
}

// Fired reports whether a call was failed.
func (f *Faults) Fired() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired
}

// Heal lets all calls succeed from now on.
func (f *Faults) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.first, f.last, f.match = -1, -1, nil
}

// Break fails all calls from now on.
func (f *Faults) Break() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.first, f.last = f.calls, int(^uint(0)>>1)
}

func (f *Faults) check(op, name string) error {
	f.mu.Lock()
	n := f.calls
	f.calls++
	hit := n >= f.first && n <= f.last || f.match != nil && !f.fired && f.match(op, name)
	f.fired = f.fired || hit
	hook := f.hook
	f.mu.Unlock()
	if hook != nil {
		hook(n, op, name)
	}
	if hit {
		return ErrInjected
	}
	return nil
}

// Wrap returns a file system that fails as f says.
func Wrap(inner vfs.FS, f *Faults) vfs.FS { return &faultFS{inner, f} }

type faultFS struct {
	vfs.FS
	f *Faults
}

func (w *faultFS) OpenFile(name string, mode vfs.Mode) (vfs.File, error) {
	if err := w.f.check("open", name); err != nil {
		return nil, err
	}
	file, err := w.FS.OpenFile(name, mode)
	if err != nil {
		return nil, err
	}
	return &faultFile{file, w.f, name}, nil
}

func (w *faultFS) Rename(oldName, newName string) error {
	if err := w.f.check("rename", newName); err != nil {
		return err
	}
	return w.FS.Rename(oldName, newName)
}

func (w *faultFS) Remove(name string) error {
	if err := w.f.check("remove", name); err != nil {
		return err
	}
	return w.FS.Remove(name)
}

func (w *faultFS) Mkdir(name string) error {
	if err := w.f.check("mkdir", name); err != nil {
		return err
	}
	return w.FS.Mkdir(name)
}

func (w *faultFS) ReadDir(name string) ([]string, error) {
	if err := w.f.check("readdir", name); err != nil {
		return nil, err
	}
	return w.FS.ReadDir(name)
}

func (w *faultFS) SyncDir(name string) error {
	if err := w.f.check("syncdir", name); err != nil {
		return err
	}
	return w.FS.SyncDir(name)
}

func (w *faultFS) Lock(name string) (vfs.Lock, error) {
	if err := w.f.check("lock", name); err != nil {
		return nil, err
	}
	return w.FS.Lock(name)
}

func (w *faultFS) Free(name string) (int64, error) {
	if err := w.f.check("free", name); err != nil {
		return 0, err
	}
	return w.FS.Free(name)
}

type faultFile struct {
	vfs.File
	f    *Faults
	name string
}

func (w *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if err := w.f.check("read", w.name); err != nil {
		return 0, err
	}
	return w.File.ReadAt(p, off)
}

// WriteAt leaves the first half of what was to be written when it fails.
func (w *faultFile) WriteAt(bufs [][]byte, off int64) error {
	if err := w.f.check("write", w.name); err != nil {
		return errors.Join(err, w.half(bufs, off))
	}
	return w.File.WriteAt(bufs, off)
}

// WriteSync fails as WriteAt does, or after writing everything, in turns: then
// the bytes can be read, and are not on the disk.
func (w *faultFile) WriteSync(bufs [][]byte, off int64) error {
	if err := w.f.check("write", w.name); err != nil {
		return errors.Join(err, w.half(bufs, off))
	}
	if err := w.f.check("sync", w.name); err != nil {
		err = errors.Join(err, w.File.WriteAt(bufs, off))
		w.lose()
		return err
	}
	return w.File.WriteSync(bufs, off)
}

func (w *faultFile) half(bufs [][]byte, off int64) error {
	var all []byte
	for _, b := range bufs {
		all = append(all, b...)
	}
	n := len(all) / 2
	if n > 4096 {
		n -= n % 4096
	}
	if n%4096 != 0 {
		return nil // nothing a file opened with Direct would take
	}
	return w.File.WriteAt([][]byte{all[:n]}, off)
}

func (w *faultFile) Allocate(off, length int64) error {
	if err := w.f.check("allocate", w.name); err != nil {
		return err
	}
	return w.File.Allocate(off, length)
}

func (w *faultFile) Truncate(size int64) error {
	if err := w.f.check("truncate", w.name); err != nil {
		return err
	}
	return w.File.Truncate(size)
}

func (w *faultFile) Sync() error {
	if err := w.f.check("sync", w.name); err != nil {
		w.lose()
		return err
	}
	return w.File.Sync()
}

// lose drops what is dirty, as the kernel may when writing it back failed.
func (w *faultFile) lose() {
	if f, ok := w.File.(interface{ LoseDirty() }); ok {
		f.LoseDirty()
	}
}

func (w *faultFile) Size() (int64, error) {
	if err := w.f.check("size", w.name); err != nil {
		return 0, err
	}
	return w.File.Size()
}
