package segment

import (
	"errors"
	"io/fs"
	"path"
	"slices"

	"disd/internal/storage"
	"disd/internal/storage/vfs"
)

// job writes the sealed part of one log's tail to its segment files.
type job struct {
	f       *flusher
	l       *log
	batches []batch     // to write, those that are trimmed left out
	upTo    int         // batches of the tail that are done then
	owed    int64       // bytes set aside on the disk for them
	oldest  storage.Seq // nothing before needs to be kept

	direct bool // the files are opened with vfs.Direct

	segs []*segment       // the log's files, as far as they are written
	cur  *segmentWriter   // the file after segs, nil if there is none yet
	old  bool             // cur was there before
	open []*segmentWriter // to be synced
	made []string         // files that were not there before
	dirs []string         // whose new names are to be synced
	err  error
}

func newJob(f *flusher, l *log) *job {
	l.trimWritten()
	l.mu.Lock()
	defer l.mu.Unlock()
	j := &job{f: f, l: l, upTo: max(l.sealed, l.files.done), owed: l.owedSealed, oldest: l.oldest}
	if !l.removed {
		j.batches = slices.DeleteFunc(slices.Clone(l.tail[l.files.done:j.upTo]), func(b batch) bool { return b.next <= j.oldest })
	}
	var size int64
	for i := range j.batches {
		size += int64(len(j.batches[i].data))
	}
	j.direct = size >= f.opt.Large
	return j
}

// write is the first step: all bytes are handed to the system. After a failure
// it starts over, on a new file.
func (j *job) write() {
	if j.err != nil {
		j.startOver()
	}
	j.err = j.writeAll()
}

func (j *job) writeAll() error {
	if len(j.batches) == 0 {
		return nil
	}
	if err := j.makeDir(); err != nil {
		return err
	}
	j.segs = slices.Clone(j.l.files.written)
	if err := j.resume(); err != nil {
		return err
	}
	for i := range j.batches {
		if err := j.add(&j.batches[i]); err != nil {
			return err
		}
	}
	return j.cur.flush()
}

// makeDir makes the log's directory and deletes what a crash left there.
func (j *job) makeDir() error {
	if j.l.files.clean {
		return nil
	}
	dir := path.Join(j.f.opt.Dir, logDir(j.l.id))
	for _, d := range []string{path.Dir(dir), dir} {
		err := j.f.opt.FS.Mkdir(d)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		j.dirs = append(j.dirs, path.Dir(d))
	}
	return j.f.cleanDir(dir, j.l.files.written)
}

// resume goes on with the last file, if it may be written and follows.
func (j *job) resume() error {
	if len(j.segs) == 0 || j.l.files.abandoned {
		return nil
	}
	last := j.segs[len(j.segs)-1]
	if last.next != j.batches[0].first || last.end >= j.f.opt.SegmentSize {
		return nil
	}
	if last.marks.Load() == nil {
		j.direct = false // seal will make them by reading the file
	}
	mode := vfs.Write
	if j.direct {
		mode = vfs.Direct
	}
	f, err := j.f.opt.FS.OpenFile(last.name, mode)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // as reading it says; what comes goes to another file
	}
	if err != nil {
		return err
	}
	if size, err := f.Size(); err != nil || size < last.end {
		return errors.Join(err, f.Close()) // the same if it was cut
	}
	j.segs = j.segs[:len(j.segs)-1]
	j.old = true
	j.start(resumeSegment(last, f))
	return nil
}

func (j *job) start(w *segmentWriter) {
	w.direct, w.large = j.direct, int(j.f.opt.Large)
	j.cur = w
	j.open = append(j.open, w)
}

// add writes b to the current file, or finishes that and begins another.
func (j *job) add(b *batch) error {
	if j.cur != nil && j.cur.fits(b, j.f.opt.SegmentSize) {
		j.cur.add(b)
		return nil
	}
	if j.cur != nil {
		if err := j.cur.seal(); err != nil {
			return err
		}
		j.segs = append(j.segs, j.cur.result())
		j.cur = nil
	}
	if err := j.create(b.first); err != nil {
		return err
	}
	j.cur.add(b)
	return nil
}

func (j *job) create(base storage.Seq) error {
	dir := path.Join(j.f.opt.Dir, logDir(j.l.id))
	name := path.Join(dir, segmentName(base))
	f, err := j.f.opt.FS.OpenFile(name, vfs.Create)
	if errors.Is(err, fs.ErrExist) {
		// An earlier attempt, which no manifest knows, left it.
		if err = j.f.opt.FS.Remove(name); err == nil {
			f, err = j.f.opt.FS.OpenFile(name, vfs.Create)
		}
	}
	if err != nil {
		return err
	}
	j.made = append(j.made, name)
	if j.direct {
		if err = f.Close(); err == nil {
			f, err = j.f.opt.FS.OpenFile(name, vfs.Direct)
		}
		if err != nil {
			return err
		}
	}
	if !slices.Contains(j.dirs, dir) {
		j.dirs = append(j.dirs, dir)
	}
	j.start(newSegment(j.f.dirID, j.l, name, base, f))
	return nil
}

// sync is the second step.
func (j *job) sync() {
	for _, w := range j.open {
		if j.err == nil {
			j.err = w.file.Sync()
		}
		j.err = errors.Join(j.err, w.file.Close())
	}
	j.open = nil
}

// startOver undoes a failed attempt. A file that was there before is not
// written any more: it counts as far as the manifest says.
func (j *job) startOver() {
	j.l.files.abandoned = j.l.files.abandoned || j.old
	for _, name := range j.made {
		_ = j.f.opt.FS.Remove(name) // if not now, then by create or cleanDir
	}
	j.cur, j.old, j.made = nil, false, nil
}

// finish is called when all is synced: the next manifest says so.
func (j *job) finish() {
	l := j.l
	l.files.done = j.upTo
	if len(j.batches) == 0 {
		return
	}
	l.files.written = append(j.segs, j.cur.result())
	l.files.clean = true
	l.files.abandoned = false
	for i := range j.batches {
		j.f.stats.flushBytes.Add(int64(len(j.batches[i].data)))
	}
}

// segmentWriter writes one segment file. Bytes that a manifest may know are
// never written again, nor is the block they end in.
type segmentWriter struct {
	seg    *segment // its identity; its span is what was there before
	file   vfs.File
	direct bool // file is opened with vfs.Direct
	large  int  // Options.Large
	span   span
	marks  index // nil if not known
	bufs   [][]byte
	at     int64 // where bufs go
}

func newSegment(dir uint64, l *log, name string, base storage.Seq, f vfs.File) *segmentWriter {
	return &segmentWriter{
		seg:   &segment{name: name, dir: dir, log: uint32(l.number)},
		file:  f,
		span:  span{base: base, next: base, end: segmentHeader},
		marks: index{},
		bufs:  [][]byte{segmentStart(dir, l.number, l.id, base)},
	}
}

func resumeSegment(s *segment, f vfs.File) *segmentWriter {
	w := &segmentWriter{seg: s, file: f, span: s.span}
	if x := s.marks.Load(); x != nil {
		w.marks = *x
	}
	return w
}

// fits reports whether b goes to this file: it follows without a gap, and the
// file is not full.
func (w *segmentWriter) fits(b *batch, size int64) bool {
	return b.first == w.span.next && (w.span.next == w.span.base || w.span.end+int64(len(b.data)) <= size)
}

func (w *segmentWriter) add(b *batch) {
	if len(w.bufs) == 0 {
		w.span.end = alignUp(w.span.end, block)
		w.at = w.span.end
	}
	if w.direct && w.span.next != w.span.base && len(b.data) >= w.large && vfs.Aligned(b.data) {
		w.pad() // so that b need not be copied; there is room for that (chargeLocked)
	}
	if w.marks != nil {
		w.marks = w.marks.add(&header{first: b.first, time: b.time}, w.span.end)
	}
	w.bufs = append(w.bufs, b.data)
	w.span.end += int64(len(b.data))
	w.span.next, w.span.time = b.next, b.time
}

// zeros is what a last block is filled up with.
var zeros [block]byte

// pad fills up the last block.
func (w *segmentWriter) pad() {
	end := alignUp(w.span.end, block)
	w.bufs = append(w.bufs, zeros[:end-w.span.end])
	w.span.end = end
}

// flush hands everything to the system. The rest of the last block becomes
// padding, whatever an attempt that no manifest knows left there.
func (w *segmentWriter) flush() error {
	if len(w.bufs) == 0 {
		return nil
	}
	end := alignUp(w.span.end, block)
	err := w.file.Allocate(w.at, end-w.at)
	if err == nil {
		err = w.write(append(w.bufs, zeros[:end-w.span.end]), w.at)
	}
	w.bufs = nil
	return err
}

// write hands bufs to the system: whole blocks if the file is opened so.
func (w *segmentWriter) write(bufs [][]byte, off int64) error {
	if w.direct {
		return vfs.WriteAligned(w.file, bufs, off)
	}
	return w.file.WriteAt(bufs, off)
}

// seal ends the file with its index. Without one, because the data is damaged
// where the index would have to be made from, readers do without.
func (w *segmentWriter) seal() error {
	if err := w.flush(); err != nil {
		return err
	}
	if w.marks == nil {
		x, err := w.result().scan(w.file)
		if isCorrupt(err) {
			return nil
		}
		if err != nil {
			return err
		}
		w.marks = x
	}
	footer := w.marks.footer(w.span)
	w.marks = nil // readers find it in the file
	if w.direct {
		footer = append(footer, zeros[:alignUp(len(footer), block)-len(footer)]...)
	}
	return w.write([][]byte{footer}, alignUp(w.span.end, block))
}

// result returns the file as readers shall see it.
func (w *segmentWriter) result() *segment { return w.seg.with(w.span, w.marks) }
