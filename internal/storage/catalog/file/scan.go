package file

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"io"
	"strings"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
)

// The format of bbolt's pages, as far as it is read here: bbolt believes what it
// finds, so a damaged page may hang it, end the process, or hide rows. Therefore
// a file is read whole, page by page, before bbolt sees it. What is not in these
// pages, or in their unused parts, has no effect.
const (
	metaMagic   = 0xED0CDAED
	metaVersion = 2
	metaSize    = 80 // with the header of the page

	pageHeader  = 16 // of a page, and the size of an element of a branch or leaf
	branchFlag  = 0x01
	leafFlag    = 0x02
	metaFlag    = 0x04
	freeFlag    = 0x10
	bucketFlag  = 0x01 // of an element of a leaf
	bucketSize  = 16   // of a bucket's value, without a page that lies in it
	manyFree    = 0xFFFF
	maxPage     = 64 << 10
	minPage     = 1 << 10
	maxDepth    = 64
	maxDamaged  = 1000 // values of a file that are named one by one
	metaPageIDs = 2
)

// A meta is one of the two pages that say where everything else is. The one of the
// newer transaction counts.
type meta struct {
	page           int64 // size
	root, freelist uint64
	high           uint64 // pages from here on are not used
	tx             uint64
	raw            [metaSize]byte
}

// parseMeta reads the first bytes of page id.
func parseMeta(raw []byte, id uint64) (m meta, ok bool) {
	copy(m.raw[:], raw)
	b := m.raw[:]
	sum := fnv.New64a()
	sum.Write(b[pageHeader:72])
	m.page = int64(le.Uint32(b[24:]))
	m.root, m.freelist, m.high, m.tx = le.Uint64(b[32:]), le.Uint64(b[48:]), le.Uint64(b[56:]), le.Uint64(b[64:])
	ok = len(raw) >= metaSize && le.Uint64(b) == id && le.Uint16(b[8:]) == metaFlag &&
		le.Uint32(b[16:]) == metaMagic && le.Uint32(b[20:]) == metaVersion && sum.Sum64() == le.Uint64(b[72:]) &&
		m.tx%metaPageIDs == id && m.page >= minPage && m.page <= maxPage && m.page&(m.page-1) == 0
	return m, ok
}

// readMetas returns the good ones of the two, the newer one first.
func readMetas(file io.ReaderAt) (good []meta, err error) {
	first, ok, err := readMeta(file, 0, 0)
	if err != nil {
		return nil, err
	}
	if ok {
		good = append(good, first)
	}
	for size := int64(minPage); size <= maxPage; size *= 2 { // the first may not say where the second is
		second, ok, err := readMeta(file, size, 1)
		if err != nil {
			return nil, err
		}
		if !ok || second.page != size || len(good) > 0 && first.page != size {
			continue
		}
		if len(good) > 0 && first.tx > second.tx {
			return append(good, second), nil
		}
		return append([]meta{second}, good...), nil
	}
	return good, nil
}

func readMeta(file io.ReaderAt, at int64, id uint64) (m meta, ok bool, err error) {
	raw := make([]byte, metaSize)
	n, err := file.ReadAt(raw, at)
	if err != nil && err != io.EOF {
		return meta{}, false, err
	}
	m, ok = parseMeta(raw[:n], id)
	return m, ok, nil
}

// What a page is used for.
const (
	unused = iota
	inUse
	free
)

// A scanner reads everything a meta page leads to, each page once.
type scanner struct {
	file   io.ReaderAt
	path   string
	meta   meta
	pages  []byte
	leaked int // pages that are neither used nor free

	format map[string][]byte // rows of bucket _format
	sums   map[string][]byte // rows of bucket _sums, nil if there is none
	tables map[string]sum
	rows   []error // damaged values
}

// scan reads a file of so many bytes under one of its meta pages. A CorruptError
// says what of its structure is damaged, or that rows are missing or others than
// they were.
func scan(file io.ReaderAt, size int64, path string, m meta) (*contents, error) {
	s := &scanner{file: file, path: path, meta: m, tables: make(map[string]sum), format: make(map[string][]byte)}
	if m.high > uint64(size/m.page) {
		return nil, s.corrupt("file is cut: it has %d of %d pages", size/m.page, m.high)
	}
	s.pages = make([]byte, m.high)
	if err := s.tree(m.root, limits{}, 0, s.bucket); err != nil {
		return nil, err
	}
	if err := s.freelist(); err != nil {
		return nil, err
	}
	for _, use := range s.pages[min(metaPageIDs, len(s.pages)):] {
		if use == unused {
			s.leaked++
		}
	}
	return s.judge()
}

// limits are the keys between which those of a page lie: from low on, below high
// if that is not nil.
type limits struct{ low, high []byte }

// An element of a leaf or a branch.
type element struct {
	flags      uint32
	key, value []byte
	child      uint64
}

// tree calls row for all elements of the leaves below a page, in order.
func (s *scanner) tree(id uint64, l limits, depth int, row func(element) error) error {
	p, err := s.take(id)
	if err != nil {
		return err
	}
	return s.node(id, p, l, depth, row)
}

// node reads a branch or a leaf. Its id is that of the page it lies in.
func (s *scanner) node(id uint64, p []byte, l limits, depth int, row func(element) error) error {
	branch := le.Uint16(p[8:]) == branchFlag
	if !branch && le.Uint16(p[8:]) != leafFlag || depth > maxDepth {
		return s.bad(id, "page is no part of a tree")
	}
	all := make([]element, le.Uint16(p[10:]))
	for i := range all {
		var ok bool
		if all[i], ok = elementOf(p, i, branch); !ok {
			return s.bad(id, "element %d does not lie in its page", i)
		}
		key := all[i].key
		if bytes.Compare(key, l.low) < 0 || l.high != nil && bytes.Compare(key, l.high) >= 0 || i > 0 && bytes.Compare(key, all[i-1].key) <= 0 {
			return s.bad(id, "key %d is out of order", i)
		}
	}
	if branch && len(all) == 0 {
		return s.bad(id, "branch without children")
	}
	for i, e := range all {
		if !branch {
			if err := row(e); err != nil {
				return err
			}
			continue
		}
		below := limits{e.key, l.high}
		if i+1 < len(all) {
			below.high = all[i+1].key
		}
		if err := s.tree(e.child, below, depth+1, row); err != nil {
			return err
		}
	}
	return nil
}

// elementOf returns element i of a page, false if it is not all in it.
func elementOf(p []byte, i int, branch bool) (e element, ok bool) {
	at := uint64(pageHeader + i*pageHeader)
	if at+pageHeader > uint64(len(p)) {
		return e, false
	}
	h := p[at:]
	start, size, values := at+uint64(le.Uint32(h[4:])), uint64(le.Uint32(h[8:])), uint64(le.Uint32(h[12:]))
	if branch {
		start, size, values = at+uint64(le.Uint32(h)), uint64(le.Uint32(h[4:])), 0
		e.child = le.Uint64(h[8:])
	} else {
		e.flags = le.Uint32(h)
	}
	if start+size+values > uint64(len(p)) {
		return e, false
	}
	e.key, e.value = p[start:start+size], p[start+size:start+size+values]
	return e, true
}

// take reads a page with those that continue it, which nobody else may use.
func (s *scanner) take(id uint64) ([]byte, error) {
	if err := s.use(id, 1, inUse); err != nil {
		return nil, err
	}
	p := make([]byte, s.meta.page)
	if err := s.read(p, id); err != nil {
		return nil, err
	}
	if le.Uint64(p) != id {
		return nil, s.bad(id, "page says that it is another one")
	}
	more := uint64(le.Uint32(p[12:]))
	if more == 0 {
		return p, nil
	}
	if err := s.use(id+1, more, inUse); err != nil {
		return nil, err
	}
	p = make([]byte, int64(more+1)*s.meta.page)
	return p, s.read(p, id)
}

func (s *scanner) read(p []byte, id uint64) error {
	_, err := s.file.ReadAt(p, int64(id)*s.meta.page)
	if err != nil {
		return fmt.Errorf("%s: read page %d: %w", s.path, id, err)
	}
	return nil
}

// use notes what n pages are for.
func (s *scanner) use(id, n uint64, what byte) error {
	if id < metaPageIDs || id >= s.meta.high || n > s.meta.high-id {
		return s.bad(id, "page does not exist")
	}
	for i := id; i < id+n; i++ {
		if s.pages[i] != unused {
			return s.bad(i, "page is used twice, or both used and free")
		}
		s.pages[i] = what
	}
	return nil
}

func (s *scanner) bad(page uint64, format string, args ...any) error {
	return &storage.CorruptError{File: s.path, Offset: int64(min(page, s.meta.high)) * s.meta.page, Reason: fmt.Sprintf(format, args...)}
}

// bucket reads an element of the root, which are the tables and what the file
// says about itself.
func (s *scanner) bucket(e element) error {
	if e.flags != bucketFlag || len(e.value) < bucketSize {
		return s.corrupt("%q is no table", e.key)
	}
	row, err := s.rowsOf(string(e.key))
	if err != nil {
		return err
	}
	plain := func(e element) error {
		if e.flags != 0 {
			return s.corrupt("a row says that it is a table")
		}
		return row(e)
	}
	if root := le.Uint64(e.value); root != 0 {
		return s.tree(root, limits{}, 0, plain)
	}
	if p := e.value[bucketSize:]; len(p) >= pageHeader && le.Uint16(p[8:]) == leafFlag {
		return s.node(0, p, limits{}, 0, plain)
	}
	return s.corrupt("table %s has no rows to read", e.key)
}

// rowsOf returns what is to be done with the rows of a bucket.
func (s *scanner) rowsOf(name string) (func(element) error, error) {
	switch {
	case name == string(formatBucket):
		return func(e element) error { s.format[string(e.key)] = e.value; return nil }, nil
	case name == string(sumsBucket):
		s.sums = make(map[string][]byte)
		return func(e element) error { s.sums[string(e.key)] = e.value; return nil }, nil
	case strings.HasPrefix(name, "_"):
		return nil, s.corrupt("there is a bucket %q", name)
	}
	return func(e element) error {
		t := s.tables[name]
		t.add(e.key, e.value)
		s.tables[name] = t
		if _, reason := decodeValue(e.key, e.value); reason != "" {
			s.damaged(name, e.key, reason)
		}
		return nil
	}, nil
}

func (s *scanner) damaged(table string, key []byte, reason string) {
	if len(s.rows) < maxDamaged {
		s.rows = append(s.rows, s.corrupt("table %s, key %q: %s", table, catalog.KeyOf(key), reason))
	}
}

// freelist reads which pages are free.
func (s *scanner) freelist() error {
	id := s.meta.freelist
	p, err := s.take(id)
	if err != nil {
		return err
	}
	if le.Uint16(p[8:]) != freeFlag {
		return s.bad(id, "page is not the list of free pages")
	}
	n, ids := uint64(le.Uint16(p[10:])), p[pageHeader:]
	if n == manyFree {
		n, ids = le.Uint64(ids), ids[8:]
	}
	if n > uint64(len(ids)/8) {
		return s.bad(id, "list of free pages is longer than its page")
	}
	for i := range n {
		if err := s.use(le.Uint64(ids[8*i:]), 1, free); err != nil {
			return err
		}
	}
	return nil
}
