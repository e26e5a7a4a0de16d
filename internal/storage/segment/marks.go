package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"disd/internal/storage"
	"disd/internal/storage/vfs"
)

// Sizes, magic numbers and names in this file are part of the format.
const (
	marksName   = "marks"
	markMagic   = 0x4B524D64 // "dMRK"
	markVersion = 1
	markHeader  = 64
	markSlots   = 2

	flagSafe = 1
)

// marks says how far the commit log and the catalog had come. It is compared with
// them at start, so that the loss of a whole file is noticed.
type marks struct {
	dir     uint64 // the data directory's identity
	number  uint64 // of this mark
	file    uint64 // the commit log file begun last, 0 if there was none
	size    int64  // bytes it had
	group   uint64 // a group on stable storage
	catalog uint64 // number of a commit of the catalog
	// safe says that a loss of power takes no acknowledged record.
	safe bool
}

// put encodes m as a slot.
func (m *marks) put(b []byte) {
	h := b[:markHeader]
	le.PutUint32(h, markMagic)
	le.PutUint16(h[4:], markVersion)
	le.PutUint64(h[8:], m.dir)
	le.PutUint64(h[16:], m.number)
	le.PutUint64(h[24:], m.file)
	le.PutUint64(h[32:], uint64(m.size))
	le.PutUint64(h[40:], m.group)
	le.PutUint64(h[48:], m.catalog)
	le.PutUint32(h[56:], 0)
	if m.safe {
		h[56] = flagSafe
	}
	le.PutUint32(h[60:], checksum(h[:60]))
}

func parseMark(b []byte) (m marks, err error) {
	switch {
	case len(b) < markHeader:
		return m, errShort
	case le.Uint32(b) != markMagic:
		return m, errMagic
	case checksum(b[:60]) != le.Uint32(b[60:]):
		return m, errChecksum
	case le.Uint16(b[4:]) != markVersion:
		return m, errVersion
	}
	m = marks{
		dir:     le.Uint64(b[8:]),
		number:  le.Uint64(b[16:]),
		file:    le.Uint64(b[24:]),
		size:    int64(le.Uint64(b[32:])),
		group:   le.Uint64(b[40:]),
		catalog: le.Uint64(b[48:]),
		safe:    b[56]&flagSafe != 0,
	}
	if m.number == 0 || m.size < 0 {
		return m, errFields
	}
	return m, nil
}

// parseMarks returns the newest good mark of a marks file.
func parseMarks(b []byte) (newest marks, err error) {
	var errs []error
	for i := range markSlots {
		m, err := parseMark(b[min(i*block, len(b)):])
		switch {
		case err != nil:
			errs = append(errs, err)
		case m.number > newest.number:
			newest = m
		}
	}
	if newest.number == 0 {
		return newest, errors.Join(errs...)
	}
	for _, err := range errs {
		if errors.Is(err, errVersion) {
			return newest, err
		}
	}
	return newest, nil
}

// readMarks returns the newest mark of a data directory, nil if there is no file
// of them.
func readMarks(fsys vfs.FS, dir string) (*marks, error) {
	name := dir + "/" + marksName
	b, err := vfs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := parseMarks(b)
	if errors.Is(err, errVersion) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err != nil {
		return nil, &storage.CorruptError{File: name, Reason: "marks: " + err.Error()}
	}
	return &m, nil
}

// checkMarks refuses a manifest and marks that do not belong together.
func checkMarks(dir string, m *manifest, k *marks) error {
	name := dir + "/" + marksName
	switch {
	case k == nil && m.version > 1:
		return &storage.CorruptError{File: name, Reason: "file is missing"}
	case k == nil:
		return nil // there were none before version 2
	case k.dir != m.dir:
		return &storage.CorruptError{File: name, Reason: "is of another data directory than the manifest"}
	case int32(uint32(k.number)-m.mark) < 0:
		return &storage.CorruptError{File: name, Reason: fmt.Sprintf("is older than the manifest: mark %d, want %d", k.number, m.mark)}
	}
	return nil
}

// markFile writes marks. All methods may be called at any time.
type markFile struct {
	fs      vfs.FS
	dir     string
	catalog func() uint64 // nil if there is no catalog

	mu   sync.Mutex
	last marks
	f    vfs.File // nil before the first write and after one that failed
	buf  []byte   // of a slot
}

// update makes the next mark durable, changed by change.
func (k *markFile) update(change func(*marks)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	m := k.last
	m.number++
	change(&m)
	if k.catalog != nil {
		m.catalog = max(m.catalog, k.catalog())
	}
	if err := k.writeLocked(&m); err != nil {
		return fmt.Errorf("write marks: %w", err)
	}
	k.last = m
	return nil
}

// resume goes on with the file that is there, so that a start on a full disk needs
// no room. If that cannot be, update makes a new one.
func (k *markFile) resume() {
	f, err := k.fs.OpenFile(k.dir+"/"+marksName, vfs.Write)
	if err != nil {
		return
	}
	if size, err := f.Size(); err != nil || size < markSlots*block {
		_ = f.Close() // nothing was written to it
		return
	}
	k.f, k.buf = f, make([]byte, block)
}

// writeLocked writes m to its slot, or to a new file. After a write that failed
// nobody knows what the file holds: it is not written again.
func (k *markFile) writeLocked(m *marks) error {
	if k.f == nil {
		b := make([]byte, markSlots*block)
		m.put(b[m.number%markSlots*block:])
		if err := vfs.WriteFile(k.fs, k.dir, marksName, b); err != nil {
			return err
		}
		f, err := k.fs.OpenFile(k.dir+"/"+marksName, vfs.Write)
		if err != nil {
			return err
		}
		k.f, k.buf = f, make([]byte, block)
		return nil
	}
	m.put(k.buf)
	err := k.f.WriteSync([][]byte{k.buf}, int64(m.number%markSlots*block))
	if err != nil {
		err = errors.Join(err, k.f.Close())
		k.f = nil
	}
	return err
}

// number returns the number of the newest mark.
func (k *markFile) number() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last.number
}

// ensure makes a first mark if there is none yet.
func (k *markFile) ensure() error {
	if k.number() > 0 {
		return nil
	}
	return k.update(func(*marks) {})
}

func (k *markFile) close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.f == nil {
		return nil
	}
	return k.f.Close()
}
