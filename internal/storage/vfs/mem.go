package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Mem is a disk in memory that remembers what was synced. Crash returns what a
// power loss would leave of it.
type Mem struct {
	// Block is the unit in which unsynced writes survive a crash, 512 or
	// 4096 bytes on real disks. Zero means 512. Not to be changed in use.
	Block int

	mu       sync.Mutex
	capacity int64 // bytes, 0 = no end
	used     int64 // bytes, by files that have a name
	root     *memDir
	locks    map[node]bool
}

// A node is a *memFile or a *memDir. nil stands for none.
type node any

// memDir is one directory: what is there, what is there for sure, and the
// operations in between.
type memDir struct {
	now, stable map[string]node
	pending     []dirOp
}

// dirOp is one unsynced directory operation, which a crash keeps or undoes as
// a whole: put what under name, or delete name when what is nil; from is the
// old name of a rename.
type dirOp struct {
	name, from string
	what       node
}

// memFile is an inode. Its fields are guarded by Mem.mu.
type memFile struct {
	data      []byte
	allocated int64
	// stable keeps the synced content of the blocks written since, lost that
	// of blocks whose sync failed: the system takes them for written, and a
	// later sync succeeds without them.
	stable, lost map[int64][]byte
	stableSize   int64
}

// NewMem returns an empty disk without limit.
func NewMem() *Mem {
	return &Mem{root: newMemDir(), locks: map[node]bool{}}
}

// SetCapacity bounds the bytes that can be allocated; 0 means no bound.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// Crash returns what the disk holds after a power loss. Every unsynced block,
// file size and directory operation survives if keep returns true; a nil keep
// lets none survive. A block that did not survive holds what was synced, or,
// if keep returns true for it the second time, garbage: it was being written.
// m stays as it is.
func (m *Mem) Crash(keep func() bool) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	if keep == nil {
		keep = func() bool { return false }
	}
	after := NewMem()
	after.Block, after.capacity = m.Block, m.capacity
	c := crash{keep, m.block(), map[node]node{}}
	after.root = c.node(m.root).(*memDir)
	after.root.walk(func(f *memFile) { after.used += f.allocated })
	return after
}

// crash makes one copy of each node; a file may have two names.
type crash struct {
	keep  func() bool
	block int64
	done  map[node]node
}

func (c *crash) node(n node) node {
	if _, ok := c.done[n]; !ok {
		switch n := n.(type) {
		case *memFile:
			c.done[n] = n.crash(c.keep, c.block)
		case *memDir:
			c.done[n] = c.dir(n)
		}
	}
	return c.done[n]
}

func (c *crash) dir(d *memDir) *memDir {
	names := map[string]node{}
	for name, n := range d.stable {
		names[name] = n
	}
	for _, op := range d.pending {
		if c.keep() {
			op.apply(names)
		}
	}
	after := newMemDir()
	for _, name := range sortedKeys(names) {
		after.now[name] = c.node(names[name])
		after.stable[name] = after.now[name]
	}
	return after
}

func (op dirOp) apply(names map[string]node) {
	if op.from != "" {
		if names[op.from] != op.what {
			return // the file never got its old name
		}
		delete(names, op.from)
	}
	if op.what == nil {
		delete(names, op.name)
		return
	}
	names[op.name] = op.what
}

func (d *memDir) walk(visit func(*memFile)) {
	for _, n := range d.now {
		switch n := n.(type) {
		case *memFile:
			visit(n)
		case *memDir:
			n.walk(visit)
		}
	}
}

// Clone returns a copy of the disk with everything unsynced, as a crash a
// little later would find it. Locks are free in it.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := cloner{}
	return &Mem{
		Block: m.Block, capacity: m.capacity, used: m.used,
		root: c.node(m.root).(*memDir), locks: map[node]bool{},
	}
}

// cloner maps nodes to their copies.
type cloner map[node]node

func (c cloner) node(n node) node {
	if n == nil {
		return nil
	}
	if _, ok := c[n]; !ok {
		switch n := n.(type) {
		case *memFile:
			c[n] = &memFile{
				data: slices.Clone(n.data), allocated: n.allocated, stableSize: n.stableSize,
				stable: maps.Clone(n.stable), lost: maps.Clone(n.lost),
			}
		case *memDir:
			d := newMemDir()
			c[n] = d
			for name, sub := range n.now {
				d.now[name] = c.node(sub)
			}
			for name, sub := range n.stable {
				d.stable[name] = c.node(sub)
			}
			for _, op := range n.pending {
				d.pending = append(d.pending, dirOp{op.name, op.from, c.node(op.what)})
			}
		}
	}
	return c[n]
}

func (f *memFile) crash(keep func() bool, block int64) *memFile {
	after := newMemFile()
	after.data, after.allocated = slices.Clone(f.data), f.allocated
	restore := func(i int64, old []byte) {
		b := after.data[min(i*block, int64(len(after.data))):min((i+1)*block, int64(len(after.data)))]
		clear(b[copy(b, old):])
	}
	for _, i := range sortedKeys(f.stable) {
		switch {
		case keep():
		case keep():
			restore(i, bytes.Repeat([]byte{0xDB}, int(block)))
		default:
			restore(i, f.stable[i])
		}
	}
	for i, old := range f.lost {
		restore(i, old)
	}
	if f.stableSize != int64(len(f.data)) && !keep() {
		after.resize(f.stableSize)
	}
	after.stableSize = int64(len(after.data))
	return after
}

func (f *memFile) resize(n int64) {
	if n <= int64(len(f.data)) {
		f.data = f.data[:n:n]
		return
	}
	f.data = append(f.data, make([]byte, n-int64(len(f.data)))...)
}

func sortedKeys[K int64 | string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func newMemDir() *memDir {
	return &memDir{now: map[string]node{}, stable: map[string]node{}}
}

func newMemFile() *memFile {
	return &memFile{stable: map[int64][]byte{}, lost: map[int64][]byte{}}
}

func (m *Mem) block() int64 {
	if m.Block == 0 {
		return 512
	}
	return int64(m.Block)
}

func pathError(op, name string, err error) error {
	return &os.PathError{Op: op, Path: name, Err: err}
}

// dirLocked returns the directory name.
func (m *Mem) dirLocked(op, name string) (*memDir, error) {
	d := m.root
	for part := range strings.SplitSeq(strings.Trim(path.Clean(name), "/"), "/") {
		if part == "." || part == "" {
			continue
		}
		sub, ok := d.now[part].(*memDir)
		if !ok {
			return nil, pathError(op, name, fs.ErrNotExist)
		}
		d = sub
	}
	return d, nil
}

// lookupLocked returns the directory that holds, or would hold, name, and what
// has that name there, nil for nothing.
func (m *Mem) lookupLocked(op, name string) (*memDir, node, error) {
	d, err := m.dirLocked(op, path.Dir(path.Clean(name)))
	if err != nil {
		return nil, nil, err
	}
	return d, d.now[path.Base(name)], nil
}

func (d *memDir) do(op dirOp) {
	op.apply(d.now)
	d.pending = append(d.pending, op)
}

// OpenFile implements FS.
func (m *Mem) OpenFile(name string, mode Mode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, n, err := m.lookupLocked("open", name)
	if err != nil {
		return nil, err
	}
	f, isFile := n.(*memFile)
	switch {
	case mode == Create && n != nil:
		return nil, pathError("open", name, fs.ErrExist)
	case mode == Create:
		f = newMemFile()
		d.do(dirOp{name: path.Base(name), what: f})
	case n == nil:
		return nil, pathError("open", name, fs.ErrNotExist)
	case !isFile:
		return nil, pathError("open", name, syscall.EISDIR)
	}
	return &memHandle{m: m, f: f, name: name, mode: mode}, nil
}

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, n, err := m.lookupLocked("rename", oldName)
	if err != nil {
		return err
	}
	if n == nil {
		return pathError("rename", oldName, fs.ErrNotExist)
	}
	if path.Dir(path.Clean(oldName)) != path.Dir(path.Clean(newName)) {
		return pathError("rename", newName, syscall.EXDEV)
	}
	if old, ok := d.now[path.Base(newName)].(*memFile); ok {
		m.used -= old.allocated
	}
	d.do(dirOp{name: path.Base(newName), from: path.Base(oldName), what: n})
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, n, err := m.lookupLocked("remove", name)
	if err != nil {
		return err
	}
	switch n := n.(type) {
	case nil:
		return pathError("remove", name, fs.ErrNotExist)
	case *memDir:
		if len(n.now) > 0 {
			return pathError("remove", name, syscall.ENOTEMPTY)
		}
	case *memFile:
		m.used -= n.allocated
	}
	d.do(dirOp{name: path.Base(name)})
	return nil
}

// Mkdir implements FS.
func (m *Mem) Mkdir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, n, err := m.lookupLocked("mkdir", name)
	if err != nil {
		return err
	}
	if n != nil {
		return pathError("mkdir", name, fs.ErrExist)
	}
	d.do(dirOp{name: path.Base(name), what: newMemDir()})
	return nil
}

// ReadDir implements FS.
func (m *Mem) ReadDir(name string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.dirLocked("readdir", name)
	if err != nil {
		return nil, err
	}
	names := sortedKeys(d.now)
	for i, n := range names {
		if _, ok := d.now[n].(*memDir); ok {
			names[i] += "/"
		}
	}
	return names, nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.dirLocked("sync", name)
	if err != nil {
		return err
	}
	for _, op := range d.pending {
		op.apply(d.stable)
	}
	d.pending = nil
	return nil
}

// Lock implements FS.
func (m *Mem) Lock(name string) (Lock, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, n, err := m.lookupLocked("lock", name)
	if err != nil {
		return nil, err
	}
	if n == nil {
		n = newMemFile()
		d.do(dirOp{name: path.Base(name), what: n})
	}
	if m.locks[n] {
		return nil, pathError("lock", name, ErrLocked)
	}
	m.locks[n] = true
	return &memLock{m, name, n}, nil
}

type memLock struct {
	m    *Mem
	name string
	n    node
}

func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locks, l.n)
	return nil
}

func (l *memLock) Held() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if _, n, err := l.m.lookupLocked("lock", l.name); err != nil || n != l.n {
		return pathError("lock", l.name, ErrReplaced)
	}
	return nil
}

// Free implements FS.
func (m *Mem) Free(string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.capacity == 0 {
		return 1 << 50, nil
	}
	return m.capacity - m.used, nil
}

type memHandle struct {
	m    *Mem
	f    *memFile
	name string
	mode Mode
}

func (h *memHandle) Close() error { return nil }

func (h *memHandle) ReadAt(p []byte, off int64) (int, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if off >= int64(len(h.f.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *memHandle) WriteAt(bufs [][]byte, off int64) error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	for _, b := range bufs {
		if err := h.writeLocked(b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

func (h *memHandle) writeLocked(b []byte, off int64) error {
	if h.mode == Read {
		return pathError("write", h.name, fs.ErrPermission)
	}
	if h.mode == Direct && ((off|int64(len(b)))%blockSize != 0 || !Aligned(b)) {
		return pathError("write", h.name, syscall.EINVAL)
	}
	if err := h.allocateLocked(off + int64(len(b))); err != nil {
		return err
	}
	h.f.dirty(off, int64(len(b)), h.m.block())
	copy(h.f.data[off:], b)
	return nil
}

func (h *memHandle) allocateLocked(end int64) error {
	end = max(end, int64(len(h.f.data)))
	const page = 4096
	need := (end+page-1)/page*page - h.f.allocated
	if need > 0 {
		if h.m.capacity > 0 && h.m.used+need > h.m.capacity {
			return pathError("write", h.name, syscall.ENOSPC)
		}
		h.f.allocated += need
		h.m.used += need
	}
	if end > int64(len(h.f.data)) {
		h.f.resize(end)
	}
	return nil
}

// dirty remembers the synced content of the blocks in a range.
func (f *memFile) dirty(off, length, block int64) {
	for i := off / block; i*block < off+length; i++ {
		if old, ok := f.lost[i]; ok {
			f.stable[i] = old
			delete(f.lost, i)
		}
		if _, ok := f.stable[i]; !ok {
			size := int64(len(f.data))
			f.stable[i] = slices.Clone(f.data[min(i*block, size):min((i+1)*block, size)])
		}
	}
}

// WriteSync implements File. Only the blocks of this write become stable.
func (h *memHandle) WriteSync(bufs [][]byte, off int64) error {
	if err := h.WriteAt(bufs, off); err != nil {
		return err
	}
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	var n int64
	for _, b := range bufs {
		n += int64(len(b))
	}
	block := h.m.block()
	for i := off / block; i*block < off+n; i++ {
		delete(h.f.stable, i)
	}
	h.f.stableSize = int64(len(h.f.data))
	return nil
}

func (h *memHandle) Allocate(off, length int64) error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	return h.allocateLocked(off + length)
}

func (h *memHandle) Truncate(size int64) error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	block := h.m.block()
	old := int64(len(h.f.data))
	h.f.dirty(min(size, old), max(size, old)-min(size, old), block)
	h.f.resize(size)
	kept := min(h.f.allocated, (size+4095)/4096*4096)
	h.m.used -= h.f.allocated - kept
	h.f.allocated = kept
	return nil
}

func (h *memHandle) Sync() error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	clear(h.f.stable)
	h.f.stableSize = int64(len(h.f.data))
	return nil
}

// LoseDirty is a failed Sync: what was written since the last good one stays
// readable, but is not on the disk and never will be, whatever a later Sync
// says, unless it is written again.
func (h *memHandle) LoseDirty() {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	for i, old := range h.f.stable {
		h.f.lost[i] = old
	}
	clear(h.f.stable)
}

func (h *memHandle) Size() (int64, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	return int64(len(h.f.data)), nil
}

// Flip inverts the bits of mask in one byte of a file, behind the back of
// everyone, as a failing disk would.
func (m *Mem) Flip(name string, off int64, mask byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, n, err := m.lookupLocked("flip", name)
	if err != nil {
		return err
	}
	f, ok := n.(*memFile)
	if !ok || off >= int64(len(f.data)) {
		return errors.New("flip " + name + ": nothing there")
	}
	f.data[off] ^= mask
	return nil
}
