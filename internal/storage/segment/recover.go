package segment

import (
	"errors"
	"fmt"
	"io"
	"math"
	"path"

	"disd/internal/storage"
	"disd/internal/storage/vfs"
)

// recovery is what a data directory holds: the manifest, and what the commit
// log adds to it. docs/format-log.md has the steps.
type recovery struct {
	fs      vfs.FS
	dir     string
	m       *manifest
	marks   *marks // nil if a version without them wrote the directory
	logs    map[uint64]*log
	removed []*log
	files   []*commitLog // all of them, by number
	first   uint64       // files below are not needed, or not there
	durable uint64       // the largest group that any group found calls durable
	group   uint64       // the next one
	log     uint64       // number of the next log
	damage  []*storage.CorruptError
}

// commitLog is one commit log file as recovery sees it.
type commitLog struct {
	number  uint64
	name    string
	size    int64
	groups  []groupAt // those with a good header
	applied int       // groups
	damaged bool
}

// groupAt is a group and where it starts. Between from and pos there is
// nothing that could be read.
type groupAt struct {
	group
	from, pos int64
}

// recoverDir reads the directory. It changes nothing. An error is what makes
// the whole directory unusable.
func recoverDir(fs vfs.FS, dir string) (*recovery, error) {
	m, err := readManifest(fs, dir)
	if err != nil {
		return nil, err
	}
	k, err := readMarks(fs, dir)
	if err == nil {
		err = checkMarks(dir, m, k)
	}
	if err != nil {
		return nil, err
	}
	r := &recovery{fs: fs, dir: dir, m: m, marks: k, first: m.file, logs: map[uint64]*log{}, group: m.group, log: m.log}
	for i := range m.logs {
		r.load(&m.logs[i])
	}
	if err := r.scanFiles(); err != nil {
		return nil, err
	}
	if err := r.replay(); err != nil {
		return nil, err
	}
	r.compare()
	for _, l := range r.logs {
		r.settle(l)
	}
	return r, nil
}

// load takes over what the manifest says about a log.
func (r *recovery) load(s *logState) {
	l := &log{id: s.id, number: s.number, oldest: s.oldest, next: s.next, time: s.time, suspect: s.suspect}
	l.files.writtenTime = s.time
	for _, p := range s.spans {
		l.segs = append(l.segs, &segment{
			span: p,
			name: path.Join(r.dir, logDir(s.id), segmentName(p.base)),
			dir:  r.m.dir,
			log:  uint32(s.number),
		})
	}
	l.files.written = l.segs
	if s.removed {
		l.removed = true
		r.removed = append(r.removed, l)
		return
	}
	r.logs[s.number] = l
}

// scanFiles finds the commit log files and the groups in those that are
// needed.
func (r *recovery) scanFiles() error {
	names, err := r.fs.ReadDir(r.dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		number, ok := parseCommitName(n)
		if !ok {
			continue
		}
		c := &commitLog{number: number, name: r.dir + "/" + n}
		if err := r.scan(c); err != nil {
			return err
		}
		r.files = append(r.files, c)
	}
	return nil
}

// scan finds the groups. Behind the last one it looks at every place where one
// could start, to tell a torn end from damage. Groups of the file's earlier life are
// void, but what they call durable was.
func (r *recovery) scan(c *commitLog) error {
	f, err := r.fs.OpenFile(c.name, vfs.Read)
	if err != nil {
		return err
	}
	defer f.Close()
	if c.size, err = f.Size(); err != nil {
		return err
	}
	w := window{f: f, size: c.size}
	needed, last, from := c.number >= r.m.file, uint64(0), int64(0)
	for pos := int64(0); pos < c.size; {
		b, err := w.at(pos)
		if err != nil {
			return err
		}
		g, err := parseGroup(b)
		ours := g.dir == r.m.dir && g.file == c.number
		if errors.Is(err, errVersion) && ours && needed {
			return fmt.Errorf("%s: group at offset %d: %w", c.name, pos, err)
		}
		if err == nil && g.dir == r.m.dir {
			r.durable = max(r.durable, g.durable)
		}
		switch good := err == nil && ours && g.number > last; {
		case !needed && err != nil:
			return nil
		case !needed:
			pos += g.size()
		case !good:
			pos += block
		default:
			c.groups = append(c.groups, groupAt{g, from, pos})
			last = g.number
			pos += g.size()
			from = pos
		}
	}
	return nil
}

// window reads a file forwards, much at a time when nothing is skipped.
type window struct {
	f    vfs.File
	size int64
	buf  []byte
	have []byte
	pos  int64 // of have
	next int64 // where the last look ended
}

// at returns the first bytes of the block at pos.
func (w *window) at(pos int64) ([]byte, error) {
	if off := pos - w.pos; pos >= w.pos && off+groupHeader <= int64(len(w.have)) {
		w.next = pos + block
		return w.have[off:], nil
	}
	n := int64(block)
	if pos == w.next && pos > 0 {
		n = 1 << 20 // looking at block after block
	}
	n = min(n, w.size-pos)
	if int64(len(w.buf)) < n {
		w.buf = make([]byte, n)
	}
	w.have = w.buf[:n]
	w.pos, w.next = pos, pos+block
	got, err := w.f.ReadAt(w.have, pos)
	if got < len(w.have) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	w.have = w.have[:got]
	return w.have, nil
}

// replay applies the groups in order.
func (r *recovery) replay() error {
	durable := uint64(0)
	for _, c := range r.files {
		for i := range c.groups {
			durable = max(durable, c.groups[i].durable)
		}
	}
	for i, c := range r.files {
		if len(c.groups) == 0 {
			continue
		}
		more, err := r.replayFile(c, r.limit(i), durable)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// limit returns the first group number that the files after number i have
// superseded: they were begun by an engine that did not have it.
func (r *recovery) limit(i int) uint64 {
	limit := uint64(math.MaxUint64)
	for _, c := range r.files[i+1:] {
		for j := range c.groups {
			limit = min(limit, c.groups[j].base)
		}
	}
	return limit
}

// replayFile applies the groups of one file. It returns false at the first one
// that never became durable: neither did what came later.
func (r *recovery) replayFile(c *commitLog, limit, durable uint64) (more bool, err error) {
	f, err := r.fs.OpenFile(c.name, vfs.Read)
	if err != nil {
		return false, err
	}
	defer f.Close()
	expect := c.groups[0].base
	if expect > r.group { // the end of the file before this one is missing
		if r.group > durable {
			return false, nil
		}
		r.lostGroups(c, 0)
	}
	for i := range c.groups {
		g := &c.groups[i]
		if min(g.number, expect) >= limit {
			return true, nil
		}
		if g.number != expect {
			if expect > durable {
				return false, nil
			}
			r.lostGroups(c, g.from)
			if g.number >= limit {
				return true, nil
			}
		}
		applied, err := r.replayGroup(c, f, g, g.number <= durable)
		if err != nil || !applied {
			return false, err
		}
		expect = g.number + 1
		r.group = max(r.group, expect)
		c.applied++
	}
	return true, nil
}

// compare notes what the marks, or groups found, know of and the commit log does
// not have. What comes next gets a number that shows the gap.
func (r *recovery) compare() {
	k := r.marks
	if k == nil {
		k = &marks{}
	}
	last := max(k.group, r.durable)
	missing := fmt.Sprintf("commits up to %d are missing", last)
	c := r.file(k.file)
	switch {
	case k.file < r.m.file && r.group > last:
		return
	case k.file < r.m.file:
		r.lost(&commitLog{number: k.file, name: r.dir + "/" + manifestName}, 0, missing)
	case c == nil:
		r.lost(&commitLog{number: k.file, name: r.dir + "/" + commitName(k.file)}, 0, "file is missing")
		r.first = k.file + 1
	case c.size < k.size:
		r.lost(c, c.size, fmt.Sprintf("file was cut, it had %d bytes", k.size))
	case r.group <= last:
		r.lost(c, 0, missing)
	default:
		return
	}
	r.group = max(r.group, last) + 1
}

// file returns the commit log file of that number, nil if it is not there.
func (r *recovery) file(number uint64) *commitLog {
	for _, c := range r.files {
		if c.number == number {
			return c
		}
	}
	return nil
}

// report notes damage of c.
func (r *recovery) report(c *commitLog, offset int64, reason string) *storage.CorruptError {
	err := &storage.CorruptError{File: c.name, Offset: offset, Reason: reason}
	r.damage = append(r.damage, err)
	c.damaged = true
	return err
}

// lostGroups notes that groups were lost at offset.
func (r *recovery) lostGroups(c *commitLog, offset int64) { r.lost(c, offset, "commits are missing") }

// lost notes damage that any log may have had records in, until its next batch
// shows that it had none.
func (r *recovery) lost(c *commitLog, offset int64, reason string) {
	err := r.report(c, offset, reason)
	for _, l := range r.logs {
		l.suspect = &place{c.number, offset}
		l.lost = err
	}
}

// replayGroup applies one group, or returns false if it is torn: it is
// damaged, and nothing says that it ever was on stable storage in whole.
func (r *recovery) replayGroup(c *commitLog, f vfs.File, g *groupAt, durable bool) (applied bool, err error) {
	b := make([]byte, min(g.size(), c.size-g.pos))
	if n, err := f.ReadAt(b, g.pos); n < len(b) && !errors.Is(err, io.EOF) {
		return false, err
	}
	entries, err := parseDirectory(&g.group, b)
	if err != nil {
		if durable {
			r.lostGroups(c, g.pos)
		}
		return durable, nil
	}
	bodies := split(entries, b[groupHeader:])
	bad := make([]error, len(entries))
	for i := range entries {
		bad[i] = entries[i].check(bodies[i])
		if bad[i] != nil && !durable {
			return false, nil
		}
	}
	pos := g.pos + groupHeader
	for i := range entries {
		if bad[i] != nil {
			r.lostBody(c, pos, &entries[i], bad[i])
		} else {
			r.apply(c, &entries[i], bodies[i])
		}
		pos += int64(entries[i].length)
	}
	return true, nil
}

// split cuts b into the bodies of entries.
func split(entries []entry, b []byte) [][]byte {
	bodies := make([][]byte, len(entries))
	for i := range entries {
		n := entries[i].length
		bodies[i], b = b[:n:n], b[n:]
	}
	return bodies
}

// lostBody notes damage that the directory tells the extent of.
func (r *recovery) lostBody(c *commitLog, offset int64, e *entry, reason error) {
	err := r.report(c, offset, reason.Error())
	l := r.logs[e.log]
	if l == nil || e.kind != kindAppend || e.seq+storage.Seq(e.count) <= l.next {
		return
	}
	err.Reason = fmt.Sprintf("records %d to %d of %s: %s", e.seq, e.seq+storage.Seq(e.count)-1, l.id, reason)
	l.lost, l.suspect = err, nil
	l.next = e.seq + storage.Seq(e.count)
}

func (r *recovery) apply(c *commitLog, e *entry, body []byte) {
	if e.kind == kindCreate {
		r.applyCreate(e, body)
		return
	}
	l := r.logs[e.log]
	if l == nil {
		return // it was removed later, or its creation is damaged, which is reported
	}
	switch e.kind {
	case kindAppend:
		r.applyAppend(c, l, body)
	case kindTrim:
		l.oldest = max(l.oldest, min(e.seq, l.next))
	case kindRemove:
		l.removed = true
		delete(r.logs, e.log)
		r.removed = append(r.removed, l)
	}
}

func (r *recovery) applyCreate(e *entry, body []byte) {
	id, err := parseID(body)
	// A number the manifest has passed and does not list was removed.
	if err != nil || e.log < r.m.log || r.logs[e.log] != nil {
		return
	}
	r.logs[e.log] = &log{id: id, number: e.log}
	r.log = max(r.log, e.log+1)
}

func (r *recovery) applyAppend(c *commitLog, l *log, body []byte) {
	f := effect{data: body}
	f.batches(func(b batch) {
		if b.next <= l.next {
			return // it is in a segment
		}
		if b.first > l.next && l.lost == nil {
			l.lost = r.report(c, 0, fmt.Sprintf("records %d to %d of %s are missing", l.next, b.first-1, l.id))
		}
		l.tail = append(l.tail, b)
		l.next, l.time, l.suspect = b.next, b.time, nil
	})
}

// settle finds out whether l has all its records.
func (r *recovery) settle(l *log) {
	if !l.gapLocked() {
		l.lost = nil
		return
	}
	if l.lost == nil {
		l.lost = r.oldDamage(l)
		r.damage = append(r.damage, l.lost)
	}
}

// oldDamage describes a loss that an earlier recovery found.
func (r *recovery) oldDamage(l *log) *storage.CorruptError {
	if p := l.suspect; p != nil {
		return &storage.CorruptError{
			File:   r.dir + "/" + damagedName(p.file),
			Offset: p.offset,
			Reason: fmt.Sprintf("commits are missing that may have had records of %s", l.id),
		}
	}
	at, name, end := l.oldest, path.Join(r.dir, logDir(l.id)), int64(0)
	for _, s := range l.segs {
		if s.base > at {
			break
		}
		at, name, end = max(at, s.next), s.name, s.end
	}
	return &storage.CorruptError{File: name, Offset: end, Reason: fmt.Sprintf("records from %d on are missing", at)}
}
