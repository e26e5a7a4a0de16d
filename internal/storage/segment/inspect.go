package segment

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"disd/internal/storage"
	"disd/internal/storage/vfs"
)

// Report is what Inspect found in a data directory.
type Report struct {
	Logs   []LogReport
	Commit []CommitReport
	// Stray files were left by a crash. They are deleted when their log is
	// next written to.
	Stray []string
	// Unknown files and directories are none of disd's; it leaves them alone.
	Unknown []string
	Damage  []*storage.CorruptError
}

// LogReport is one log.
type LogReport struct {
	ID           storage.LogID
	Oldest, Next storage.Seq
	LastTime     int64 // append time of the last record, ms
	Segments     []FileReport
	// TailRecords and TailBytes are in the commit log only.
	TailRecords, TailBytes int64
}

// FileReport is one segment file.
type FileReport struct {
	File       string
	Base, Next storage.Seq // first record, and the one after the last
	Bytes      int64       // of header and data
	LastTime   int64       // append time of the last record, ms
}

// CommitReport is one commit log file.
type CommitReport struct {
	File    string
	Bytes   int64
	Groups  int  // commits that are still needed
	Damaged bool // put aside by an earlier recovery, or damaged now
}

// Inspect says what the data directory dir holds and checks every byte of it.
// No engine may have it open, else vfs.ErrLocked is returned. Nothing is
// changed. An error means that the directory as a whole cannot be read; all
// other damage is in the report.
func Inspect(fs vfs.FS, dir string) (*Report, error) {
	names, err := fs.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(names, manifestName) {
		return nil, fmt.Errorf("%s: no data directory, there is no %s: %w", dir, manifestName, errNotExist)
	}
	f, err := Read(Options{FS: fs, Dir: dir})
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	r := f.r
	in := &inspection{r: r, report: &Report{Damage: r.damage}, expected: map[string]bool{}}
	in.commitLog()
	for _, l := range r.logs {
		if err := in.log(l); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(in.report.Logs, func(a, b LogReport) int {
		return cmp.Or(strings.Compare(a.ID.Stream, b.ID.Stream), cmp.Compare(a.ID.Partition, b.ID.Partition))
	})
	return in.report, in.strays("")
}

type inspection struct {
	r        *recovery
	report   *Report
	expected map[string]bool // files and directories that belong here
}

func (in *inspection) commitLog() {
	for _, c := range in.r.files {
		in.expected[c.name] = true
		in.report.Commit = append(in.report.Commit, CommitReport{File: c.name, Bytes: c.size, Groups: c.applied, Damaged: c.damaged})
	}
}

func (in *inspection) log(l *log) error {
	lr := LogReport{ID: l.id, Oldest: l.oldest, Next: l.next, LastTime: l.time}
	for i := range l.tail {
		lr.TailRecords += int64(l.tail[i].next - l.tail[i].first)
		lr.TailBytes += int64(len(l.tail[i].data))
	}
	for i, s := range l.segs {
		in.expected[s.name] = true
		lr.Segments = append(lr.Segments, FileReport{File: s.name, Base: s.base, Next: s.next, Bytes: s.end, LastTime: s.time})
		if err := in.segment(s, i < len(l.segs)-1); err != nil {
			return err
		}
	}
	in.report.Logs = append(in.report.Logs, lr)
	return nil
}

// segment checks a segment file in full.
func (in *inspection) segment(s *segment, finished bool) error {
	f, err := s.open(in.r.fs)
	if in.damaged(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := s.checkStart(f); err != nil {
		in.damaged(s.corrupt(0, fmt.Errorf("segment header: %w", err)))
	}
	x, err := s.footer(f)
	if err != nil && finished {
		in.damaged(s.corrupt(alignUp(s.end, block), errors.New("no good index; reads make one from the data")))
	}
	data := make([]byte, s.end)
	n, err := f.ReadAt(data, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	in.batches(s, data[:n], x)
	return nil
}

// damaged notes err if it is damage, and reports whether it is.
func (in *inspection) damaged(err error) bool {
	var c *storage.CorruptError
	if !errors.As(err, &c) {
		return false
	}
	in.report.Damage = append(in.report.Damage, c)
	return true
}

// batches checks the batches of s one by one. Behind a header that cannot be
// read it goes on at the next mark of the index.
func (in *inspection) batches(s *segment, data []byte, x index) {
	w := s.start()
	for pos := int64(segmentHeader); pos < s.end; {
		b := data[min(pos, int64(len(data))):]
		h, skip, err := w.header(b, pos)
		if in.damaged(err) {
			pos, w = x.after(pos, s.end), walk{s: s}
			continue
		}
		if skip == 0 {
			if _, _, err := parseBatch(b); err != nil {
				in.damaged(s.corrupt(pos, fmt.Errorf("records %d to %d: %w", h.first, h.next()-1, err)))
			}
			skip = int64(h.size())
		}
		pos += skip
	}
	in.damaged(w.finish())
}

// after returns the offset of the first mark behind pos, or end.
func (x index) after(pos, end int64) int64 {
	for i := range x.len() {
		if m := x.at(i); m.offset > pos {
			return m.offset
		}
	}
	return end
}

// strays looks for files that do not belong into dir, a path below the data
// directory.
func (in *inspection) strays(dir string) error {
	names, err := in.r.fs.ReadDir(path.Join(in.r.dir, dir))
	if err != nil {
		return err
	}
	for _, n := range names {
		name := path.Join(in.r.dir, dir, n)
		switch sub, isDir := strings.CutSuffix(n, "/"); {
		case in.expected[name]:
		case isDir && isLogDir(dir, sub):
			if err := in.strays(path.Join(dir, sub)); err != nil {
				return err
			}
		case dir == "" && (n == lockName || n == manifestName || n == marksName):
		case dir == "" && strings.HasSuffix(n, ".damaged"):
			in.report.Commit = append(in.report.Commit, CommitReport{File: name, Damaged: true})
		case dir == "" && n == manifestName+".tmp", dir == "" && n == marksName+".tmp", strings.Contains(dir, "/") && isSegmentName(n):
			in.report.Stray = append(in.report.Stray, name)
		default:
			in.report.Unknown = append(in.report.Unknown, name)
		}
	}
	return nil
}

// isLogDir reports whether a directory could be one of a log: a stream's at
// the top, a partition's below.
func isLogDir(parent, name string) bool {
	if parent == "" {
		return validID(storage.LogID{Stream: name}) == nil
	}
	n, err := strconv.ParseInt(name, 10, 32)
	return err == nil && n >= 0 && !strings.Contains(parent, "/")
}
