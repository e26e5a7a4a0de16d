package segment

import (
	"errors"
	"path"
	"slices"
)

// release makes files free for new groups, except those that failed, which are
// deleted, and those that are damaged, which are put aside.
func (f *flusher) release(files []*commitFile) (err error) {
	for _, c := range files {
		switch {
		case c.damaged:
			aside := f.opt.Dir + "/" + damagedName(c.number)
			err = errors.Join(err, c.close(), f.opt.FS.Rename(c.name, aside), f.opt.FS.SyncDir(f.opt.Dir))
		case c.failed || len(f.free) > 0:
			err = errors.Join(err, c.close(), f.opt.FS.Remove(c.name))
		default:
			f.free = append(f.free, c)
		}
	}
	return err
}

// deleteObsolete deletes segment files that no manifest lists. What cannot be
// deleted is tried again.
func (f *flusher) deleteObsolete() (err error) {
	f.obsolete = slices.DeleteFunc(f.obsolete, func(name string) bool {
		rerr := f.opt.FS.Remove(name)
		if errors.Is(rerr, errNotExist) {
			rerr = nil
		}
		err = errors.Join(err, rerr)
		return rerr == nil
	})
	return err
}

// removeLogs deletes the files of removed logs and returns those that still
// have some.
func (f *flusher) removeLogs(logs []*log) (kept []*log, err error) {
	for i, l := range logs {
		if i%wave == 0 {
			f.relieve()
		}
		f.mu.Lock()
		reborn := f.ids[l.id]
		f.mu.Unlock()
		lerr := f.removeFiles(l, reborn)
		if lerr != nil {
			kept = append(kept, l)
		}
		err = errors.Join(err, lerr)
	}
	return kept, err
}

// removeFiles deletes the segment files of l except those of reborn, a newer
// log with the same id.
func (f *flusher) removeFiles(l, reborn *log) error {
	dir := path.Join(f.opt.Dir, logDir(l.id))
	var keep []*segment
	if reborn != nil {
		keep = reborn.files.written
	}
	err := f.cleanDir(dir, keep)
	if errors.Is(err, errNotExist) {
		err = nil
	}
	if err == nil && reborn == nil {
		// Directories that hold something else stay.
		_ = f.opt.FS.Remove(dir)
		_ = f.opt.FS.Remove(path.Dir(dir))
	}
	return err
}

// cleanDir deletes the segment files in dir that are not in keep: a crash left
// them, or their log is gone.
func (f *flusher) cleanDir(dir string, keep []*segment) error {
	names, err := f.opt.FS.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		kept := slices.ContainsFunc(keep, func(s *segment) bool { return path.Base(s.name) == n })
		if isSegmentName(n) && !kept {
			err = errors.Join(err, f.opt.FS.Remove(path.Join(dir, n)))
		}
	}
	return errors.Join(err, f.opt.FS.SyncDir(dir))
}
