package segment

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync/atomic"

	"disd/internal/storage"
	"disd/internal/storage/vfs"
)

// Sizes, magic numbers and names in this file are part of the format.
const (
	segmentMagic   = 0x47455364 // "dSEG"
	segmentVersion = 1
	segmentHeader  = 80
	indexMagic     = 0x58444964 // "dIDX"
	indexVersion   = 1
	indexHeader    = 64
	markSize       = 24
	// markEvery is how much data lies between two marks of an index, at
	// least, unless one batch is larger.
	markEvery = 64 << 10
)

// logDir returns where the segment files of a log are, below the data
// directory.
func logDir(id storage.LogID) string {
	return fmt.Sprintf("%s/%d", id.Stream, id.Partition)
}

func segmentName(base storage.Seq) string { return fmt.Sprintf("%020d.seg", base) }

func isSegmentName(name string) bool {
	digits, ok := strings.CutSuffix(name, ".seg")
	return ok && len(digits) == 20 && strings.Trim(digits, "0123456789") == ""
}

// segmentStart encodes the header of a segment file.
func segmentStart(dir, number uint64, id storage.LogID, base storage.Seq) []byte {
	b := make([]byte, segmentHeader)
	le.PutUint32(b, segmentMagic)
	le.PutUint16(b[4:], segmentVersion)
	le.PutUint16(b[6:], uint16(len(id.Stream)))
	le.PutUint64(b[8:], dir)
	le.PutUint64(b[16:], number)
	le.PutUint64(b[24:], uint64(base))
	le.PutUint32(b[32:], uint32(id.Partition))
	copy(b[40:40+maxStream], id.Stream)
	le.PutUint32(b[76:], checksum(b[:76]))
	return b
}

// parseSegmentStart returns which directory and log a segment file belongs to, and
// its first record.
func parseSegmentStart(b []byte) (dir, number uint64, base storage.Seq, err error) {
	switch {
	case len(b) < segmentHeader:
		return 0, 0, 0, errShort
	case le.Uint32(b) != segmentMagic:
		return 0, 0, 0, errMagic
	case checksum(b[:76]) != le.Uint32(b[76:]):
		return 0, 0, 0, errChecksum
	case le.Uint16(b[4:]) != segmentVersion:
		return 0, 0, 0, errVersion
	}
	return le.Uint64(b[8:]), le.Uint64(b[16:]), storage.Seq(le.Uint64(b[24:])), nil
}

// index is a sparse index of a segment as it is stored: marks in ascending
// order. Only the flusher appends to one, so a shorter view stays valid.
type index []byte

// mark says which batch starts at offset.
type mark struct {
	seq    storage.Seq
	time   int64
	offset int64
}

func (x index) len() int { return len(x) / markSize }

func (x index) at(i int) mark {
	b := x[i*markSize:]
	return mark{storage.Seq(le.Uint64(b)), int64(le.Uint64(b[8:])), int64(le.Uint64(b[16:]))}
}

// add marks the batch h at offset unless the last mark is near.
func (x index) add(h *header, offset int64) index {
	if n := x.len(); n > 0 && offset < x.at(n-1).offset+markEvery {
		return x
	}
	x = le.AppendUint64(x, uint64(h.first))
	x = le.AppendUint64(x, uint64(h.time))
	return le.AppendUint64(x, uint64(offset))
}

// before returns the offset of the last mark for which ok holds; it holds for
// the first marks and for no later ones. The first mark if for none.
func (x index) before(ok func(mark) bool) int64 {
	n := x.len()
	i := sort.Search(n, func(i int) bool { return !ok(x.at(i)) })
	if n == 0 {
		return segmentHeader
	}
	return x.at(max(i-1, 0)).offset
}

// footer encodes the index of a finished segment.
func (x index) footer(s span) []byte {
	b := make([]byte, indexHeader, indexHeader+len(x))
	le.PutUint32(b, indexMagic)
	le.PutUint16(b[4:], indexVersion)
	le.PutUint64(b[8:], uint64(s.base))
	le.PutUint64(b[16:], uint64(s.next))
	le.PutUint64(b[24:], uint64(s.end))
	le.PutUint64(b[32:], uint64(s.time))
	le.PutUint32(b[40:], uint32(x.len()))
	le.PutUint32(b[56:], checksum(x))
	le.PutUint32(b[60:], checksum(b[:60]))
	return append(b, x...)
}

// parseFooter returns the number of marks that follow and their checksum. A
// footer that does not describe s is not one of it.
func parseFooter(b []byte, s span) (marks int, crc uint32, err error) {
	switch {
	case len(b) < indexHeader:
		return 0, 0, errShort
	case le.Uint32(b) != indexMagic:
		return 0, 0, errMagic
	case checksum(b[:60]) != le.Uint32(b[60:]):
		return 0, 0, errChecksum
	case le.Uint16(b[4:]) != indexVersion:
		return 0, 0, errVersion
	case le.Uint64(b[8:]) != uint64(s.base), le.Uint64(b[16:]) != uint64(s.next),
		le.Uint64(b[24:]) != uint64(s.end), le.Uint64(b[32:]) != uint64(s.time),
		int64(le.Uint32(b[40:])) > s.end/batchHeader:
		return 0, 0, errFields
	}
	return int(le.Uint32(b[40:])), le.Uint32(b[56:]), nil
}

// segment is one segment file as readers see it. It does not change; a flush
// that appends to the file makes a new one.
type segment struct {
	span
	name string // path
	dir  uint64 // the data directory's identity
	log  uint32 // low half of the log's number
	// marks is the index of a segment without a (good) footer, once it was
	// needed or as the flusher knows it. nil if unknown.
	marks atomic.Pointer[index]
}

// with returns s grown to p.
func (s *segment) with(p span, x index) *segment {
	n := &segment{span: p, name: s.name, dir: s.dir, log: s.log}
	if x != nil {
		n.marks.Store(&x)
	}
	return n
}

func (s *segment) corrupt(offset int64, reason error) error {
	return &storage.CorruptError{File: s.name, Offset: offset, Reason: reason.Error()}
}

// open opens the file. A file that the manifest lists and that is not there is
// damage, and so is another one in its place. A damaged header is not: batches
// speak for themselves.
func (s *segment) open(fs vfs.FS) (vfs.File, error) {
	f, err := fs.OpenFile(s.name, vfs.Read)
	if errors.Is(err, errNotExist) {
		return nil, s.corrupt(0, errors.New("file is missing"))
	}
	if err != nil {
		return nil, err
	}
	if err := s.checkStart(f); errors.Is(err, errVersion) || errors.Is(err, errFields) {
		return nil, errors.Join(fmt.Errorf("segment header: %w", s.corrupt(0, err)), f.Close())
	}
	return f, nil
}

// checkStart returns what is wrong with the file's header.
func (s *segment) checkStart(f vfs.File) error {
	var b [segmentHeader]byte
	if err := s.readAt(f, b[:], 0); err != nil {
		return err
	}
	dir, number, base, err := parseSegmentStart(b[:])
	if err == nil && (dir != s.dir || uint32(number) != s.log || base != s.base) {
		err = errFields
	}
	return err
}

// readAt fills b; a file that ends before is damage.
func (s *segment) readAt(f vfs.File, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return s.corrupt(off+int64(n), errShort)
	}
	return err
}

// index returns the marks of s: those in memory, else the footer's, else new
// ones from the data. What a damaged header hides is not in it.
func (s *segment) index(f vfs.File) (index, error) {
	if x := s.marks.Load(); x != nil {
		return *x, nil
	}
	x, err := s.footer(f)
	if err == nil {
		return x, nil
	}
	if x, err = s.scan(f); err != nil && !isCorrupt(err) {
		return nil, err
	}
	s.marks.Store(&x)
	return x, nil
}

// footer reads the index a finished segment ends with.
func (s *segment) footer(f vfs.File) (index, error) {
	at := alignUp(s.end, block)
	h := make([]byte, indexHeader)
	if err := s.readAt(f, h, at); err != nil {
		return nil, err
	}
	n, crc, err := parseFooter(h, s.span)
	if err != nil {
		return nil, err
	}
	x := make(index, n*markSize)
	if err := s.readAt(f, x, at+indexHeader); err != nil {
		return nil, err
	}
	if checksum(x) != crc {
		return nil, errChecksum
	}
	return x, nil
}

// scan makes the index from the data.
func (s *segment) scan(f vfs.File) (index, error) {
	x := make(index, 0, markSize)
	err := s.hop(f, segmentHeader, func(pos int64, h *header) bool {
		x = x.add(h, pos)
		return true
	})
	return x, err
}

// hop visits the headers of the batches from the one at pos on, until visit
// returns false.
func (s *segment) hop(f vfs.File, pos int64, visit func(pos int64, h *header) bool) error {
	buf := make([]byte, 64<<10)
	var have []byte
	w := walk{s: s}
	if pos == segmentHeader {
		w = s.start()
	}
	for pos < s.end {
		b := have[min(int64(len(have)), max(0, pos-w.at)):]
		if len(b) < batchHeader {
			have = buf[:min(int64(len(buf)), s.end-pos)]
			if err := s.readAt(f, have, pos); err != nil {
				return err
			}
			w.at, b = pos, have
		}
		h, skip, err := w.header(b, pos)
		if err != nil {
			return err
		}
		if skip > 0 {
			pos += skip
			continue
		}
		if !visit(pos, &h) {
			return nil
		}
		pos += int64(h.size())
	}
	return w.finish()
}

// walk checks that the batches met in a segment follow each other.
type walk struct {
	s    *segment
	at   int64       // file offset of the bytes in hand
	next storage.Seq // first number of the batch to come
	met  bool        // next is known
}

// start is the walk from the first batch on.
func (s *segment) start() walk { return walk{s: s, next: s.base, met: true} }

// header reads the header at pos, which starts b, or returns how many bytes of
// padding to skip there. Padding ends at a multiple of the block size and is
// never a whole block.
func (w *walk) header(b []byte, pos int64) (h header, skip int64, err error) {
	if len(b) >= 4 && le.Uint32(b) == 0 && pos%block != 0 {
		return h, alignUp(pos, block) - pos, nil
	}
	h, err = parseHeader(b)
	if err == nil && (h.log != w.s.log || w.met && h.first != w.next || h.next() > w.s.next) {
		err = errFields
	}
	if err != nil {
		return h, 0, w.s.corrupt(pos, fmt.Errorf("batch header: %w", err))
	}
	w.met, w.next = true, h.next()
	return h, 0, nil
}

// finish is called at the end of the data.
func (w *walk) finish() error {
	if w.met && w.next != w.s.next {
		return w.s.corrupt(w.s.end, fmt.Errorf("records %d to %d are missing", w.next, w.s.next-1))
	}
	return nil
}

// read adds records to f until the segment ends or f is full.
func (s *segment) read(fs vfs.FS, f *filler) error {
	file, err := s.open(fs)
	if err != nil {
		return err
	}
	defer file.Close()
	x, err := s.index(file)
	if err != nil {
		return err
	}
	pos := x.before(func(m mark) bool { return m.seq <= f.seq })
	w, size := walk{s: s}, 0
	for pos < s.end && !f.full {
		buf, err := f.load(s, file, pos, max(f.want(), size))
		if err != nil {
			return err
		}
		n, more, err := s.batches(buf, pos, &w, f)
		if err != nil {
			return err
		}
		if n == 0 && more <= size {
			return s.corrupt(pos+int64(len(buf)), errShort) // and reading more did not help
		}
		pos, size = pos+n, more
	}
	if f.full {
		return nil
	}
	return w.finish()
}

// batches adds to f what buf, read from pos, holds in whole. It returns the
// bytes that are done with and, if the next batch does not fit in buf, its
// size.
func (s *segment) batches(buf []byte, pos int64, w *walk, f *filler) (n int64, more int, err error) {
	for n < int64(len(buf)) && !f.full {
		b := buf[n:]
		last := pos+int64(len(buf)) >= s.end
		if len(b) < batchHeader && !last {
			return n, batchHeader, nil
		}
		before := *w
		h, skip, err := w.header(b, pos+n)
		if err != nil {
			return n, 0, err
		}
		if skip == 0 && h.first > f.seq {
			return n, 0, s.corrupt(pos+n, fmt.Errorf("records %d to %d are missing", f.seq, h.first-1))
		}
		if skip == 0 && h.next() > f.seq {
			if len(b) < h.size() && !last {
				*w = before
				return n, h.size(), nil
			}
			h, payload, err := parseBatch(b)
			if err == nil {
				err = f.add(h.first, h.next(), h.time, payload)
			}
			if err != nil {
				return n, 0, s.corrupt(pos+n, fmt.Errorf("batch of record %d: %w", h.first, err))
			}
		}
		if skip == 0 {
			skip = int64(h.size())
		}
		n += skip
	}
	return n, 0, nil
}

// findTime returns the first record of s stored at or after t. There is one.
func (s *segment) findTime(fs vfs.FS, t int64) (seq storage.Seq, err error) {
	file, err := s.open(fs)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	x, err := s.index(file)
	if err != nil {
		return 0, err
	}
	seq = s.next
	err = s.hop(file, x.before(func(m mark) bool { return m.time < t }), func(_ int64, h *header) bool {
		if h.time >= t {
			seq = h.first
		}
		return h.time < t
	})
	return seq, err
}
