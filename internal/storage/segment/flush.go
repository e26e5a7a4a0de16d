package segment

import (
	"errors"
	"fmt"
	"path"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"disd/internal/storage"
)

// Pauses between attempts of a flush that fails.
const (
	firstRetry = 10 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// maxSealed is how many generations may wait for the flusher beside the one
// that takes appends, maxPinned how many more that could not be flushed in
// whole.
const (
	maxSealed = 2
	maxPinned = 8
)

// wave is how many logs are written before the first of them is synced: the
// disk then has much to do at once, and not too many files are open.
const wave = 128

// How many segment files are written, and synced, at once. Syncs that run
// together share what they wait for.
const (
	writeWorkers = 4
	syncWorkers  = 16
)

// flushLoop is the flusher.
func (e *Engine) flushLoop() {
	retry := time.NewTimer(time.Hour)
	retry.Stop()
	idle := time.NewTicker(max(e.opt.IdleFlush, 1))
	if e.opt.IdleFlush < 0 {
		idle.Stop()
	}
	defer retry.Stop()
	defer idle.Stop()
	var pause time.Duration
	for {
		select {
		case <-e.kick:
		case <-retry.C:
		case <-idle.C:
			e.sealIdle()
			continue
		case <-e.stopFlush:
			if err := e.maintain(); err != nil {
				e.opt.Logger.Error("last flush failed", "error", err)
			}
			return
		}
		if err := e.maintain(); err != nil {
			pause = min(max(2*pause, firstRetry), lastRetry)
			e.opt.Logger.Error("flush failed", "error", err, "next", pause)
			retry.Reset(pause)
		} else {
			pause = 0
		}
	}
}

// sealIdle asks for a flush of what is in memory if nothing was committed for
// a while.
func (e *Engine) sealIdle() {
	groups := e.stats.groups.Load()
	if groups != e.idleMark {
		e.idleMark = groups
		return
	}
	e.mu.Lock()
	idle := e.owedNow > 0
	e.roll = e.roll || idle
	e.resting = e.resting || idle
	if idle {
		e.arena.free, e.arena.spare = nil, nil
	}
	e.mu.Unlock()
	if idle {
		signal(e.wake)
	}
}

// work is what the flusher found to do.
type work struct {
	gens             []*generation
	removed, trimmed []*log
	resting          bool // nothing is expected soon
	last             bool // what fails now is not tried again soon
}

// outcome is how an attempt to do everything went.
type outcome struct {
	committed   bool  // the manifest says what is so
	flush, file error // why something is left to do; why there is no new file
}

func (o outcome) err() error { return errors.Join(o.flush, o.file) }

// maintain does all there is to do: flush, delete, provide a file. It returns
// why something is still to be done. A first failure is not told to anyone: it
// is tried again at once.
func (e *Engine) maintain() error {
	w, o := e.attempt(false)
	if err := o.err(); err != nil {
		e.stats.flushErrors.Add(1)
		e.opt.Logger.Warn("flush failed, trying again", "error", err)
		w, o = e.attempt(true)
	}
	e.settle(o)
	if w.resting && o.err() == nil {
		debug.FreeOSMemory() // of the tails, which are garbage now
	}
	return o.err()
}

func (e *Engine) attempt(last bool) (w work, o outcome) {
	w = e.collect()
	w.last = last
	// The committer may be waiting: give it a file first if there is one.
	// If not, there may be one after the flush.
	first := e.provide()
	o.committed, o.flush = e.flush(&w)
	if o.file = e.provide(); o.file == nil && first != nil {
		e.opt.Logger.Warn("making a commit log file failed at first", "error", first)
	}
	return w, o
}

func (e *Engine) collect() work {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := work{
		gens: slices.Clone(e.sealed), removed: slices.Clone(e.removed), trimmed: e.trimmed,
		resting: e.resting && len(e.sealed) > 0,
	}
	e.trimmed = nil
	if w.resting {
		e.resting = false
	}
	e.repairing, e.broke = e.down != nil, false
	return w
}

// settle tells everyone how it went. A commit log that failed can go on as
// soon as the manifest is past its file. A flush that fails stops appends only
// when there is no more file to append to and none can be had.
func (e *Engine) settle(o outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cond.Broadcast()
	if e.broke {
		return // meanwhile; that is seen to next
	}
	waiting, pinned := e.sealedLocked()
	stuck := e.spare == nil && e.want == wantNow &&
		(o.file != nil || pinned >= maxPinned || !o.committed && waiting >= maxSealed)
	switch {
	case stuck || !o.committed && e.down != nil:
		e.down = fmt.Errorf("%w: %w", storage.ErrUnavailable, o.err())
	case o.committed:
		e.down = nil
	}
	e.repairing = false
	e.signalRoomLocked()
}

// provide makes the next commit log file ready if one is wanted. One that is
// wanted later is left for later when the disk has no room for it: there will be
// one to recycle.
func (e *Engine) provide() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	want, room := e.want, int64(0)
	waiting, pinned := e.sealedLocked()
	if len(e.free) == 0 {
		room = e.opt.CommitLogSize
	}
	if want == wantNone || e.spare != nil || room > 0 && (waiting >= maxSealed || pinned >= maxPinned) {
		return nil
	}
	if err := e.claimLocked(room); err != nil {
		if want == wantLater {
			return nil
		}
		return err
	}
	e.mu.Unlock()
	c, err := e.makeFile(want == wantLater)
	e.mu.Lock()
	e.owed -= room // it has it
	if err != nil {
		return err
	}
	e.spare = c
	e.cond.Broadcast()
	return nil
}

// relieve gives the committer a file if it came to need one during a long flush.
// If it cannot, the attempt after the flush says why.
func (e *Engine) relieve() {
	e.mu.Lock()
	waits := e.want == wantNow
	e.mu.Unlock()
	if waits {
		_ = e.provide()
	}
}

// sealedLocked returns how many generations wait to be flushed, and how many
// a flush could not finish.
func (e *Engine) sealedLocked() (waiting, pinned int) {
	for _, g := range e.sealed {
		if g.pinned {
			pinned++
		}
	}
	return len(e.sealed) - pinned, pinned
}

// makeFile recycles a file, or makes one if there is none.
func (e *Engine) makeFile(zero bool) (*commitFile, error) {
	number := e.fileNumber
	e.fileNumber++
	if len(e.free) == 0 {
		return createCommitFile(e.opt.FS, e.opt.Dir, number, e.opt.CommitLogSize, zero)
	}
	c := e.free[0]
	e.free = e.free[1:]
	if err := c.recycle(e.opt.FS, e.opt.Dir, number, e.opt.CommitLogSize); err != nil {
		return nil, errors.Join(err, c.close(), e.opt.FS.Remove(c.name))
	}
	return c, nil
}

// flush moves what w holds to segment files and writes the manifest, which is
// the commit point: before it, a crash leaves bytes in segment files that
// nobody looks at, and the commit log that still has them. committed reports
// whether the manifest got written.
func (e *Engine) flush(w *work) (committed bool, err error) {
	if len(w.gens)+len(w.removed)+len(w.trimmed) == 0 {
		return true, e.deleteVictims()
	}
	kept, err := e.removeLogs(w.removed)
	jobs := e.jobs(w.gens)
	for _, l := range w.trimmed {
		l.trimWritten()
	}
	for some := range slices.Chunk(jobs, wave) {
		e.relieve()
		err = errors.Join(err, e.runWave(some))
	}
	rest := unfinished(w.gens, jobs)
	m := e.manifest(w, rest, kept)
	if werr := m.write(e.opt.FS, e.opt.Dir); werr != nil {
		e.mu.Lock()
		e.trimmed = append(e.trimmed, w.trimmed...)
		e.mu.Unlock()
		return false, errors.Join(err, werr)
	}
	// From here on the files below m.file are not needed, and what the
	// segments hold is never written again.
	e.first, e.flushed = m.file, m.group
	e.stats.flushes.Add(1)
	for _, j := range jobs {
		e.publishWritten(j.l)
		if j.err == nil || w.last {
			j.l.refuse(j.err)
		}
	}
	for _, l := range w.trimmed {
		e.publishWritten(l)
	}
	done := e.settleWork(w, rest, kept)
	return true, errors.Join(err, e.release(done), e.deleteVictims())
}

// jobs returns one job for each log of gens that has something to write.
func (e *Engine) jobs(gens []*generation) []*job {
	var jobs []*job
	seen := map[*log]bool{}
	for _, g := range gens {
		for _, l := range g.logs {
			if !seen[l] {
				seen[l] = true
				jobs = append(jobs, newJob(e, l))
			}
		}
	}
	return jobs
}

// unfinished returns gens without the logs that were written.
func unfinished(gens []*generation, jobs []*job) (rest []*generation) {
	failed := map[*log]bool{}
	for _, j := range jobs {
		failed[j.l] = j.err != nil
	}
	for _, g := range gens {
		left := slices.DeleteFunc(slices.Clone(g.logs), func(l *log) bool { return !failed[l] })
		if len(left) > 0 {
			rest = append(rest, &generation{files: g.files, logs: left, next: g.next, owed: g.owed, pinned: true})
		}
	}
	return rest
}

// manifest returns what is true once everything but rest is written and all
// removed logs of w but kept are deleted.
func (e *Engine) manifest(w *work, rest []*generation, kept []*log) *manifest {
	m := &manifest{dir: e.dirID, file: e.first, group: e.flushed}
	for _, g := range w.gens {
		m.group = max(m.group, g.next)
		for _, c := range g.files {
			m.file = max(m.file, c.number+1)
		}
	}
	for _, g := range rest {
		for _, c := range g.files {
			m.file = min(m.file, c.number)
		}
	}
	e.mu.Lock()
	m.log = e.committedLog
	logs := make([]*log, 0, len(e.ids)+len(kept))
	for _, l := range e.ids {
		if l.born {
			logs = append(logs, l)
		}
	}
	logs = append(logs, e.removed[len(w.removed):]...) // meanwhile: w may have made files of them
	e.mu.Unlock()
	logs = append(logs, kept...)
	m.logs = make([]logState, len(logs))
	for i, l := range logs {
		m.logs[i] = l.state()
	}
	return m
}

// state returns what the next manifest says about l.
func (l *log) state() logState {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := logState{number: l.number, id: l.id, removed: l.removed, suspect: l.suspect, next: l.next, time: l.time}
	if l.done < len(l.tail) {
		s.next, s.time = l.tail[l.done].first, l.before(l.done)
	}
	s.oldest = min(l.oldest, s.next)
	for _, seg := range l.written {
		s.spans = append(s.spans, seg.span)
	}
	return s
}

// before returns the append time of the record before batch i of the tail.
func (l *log) before(i int) int64 {
	if i > 0 {
		return l.tail[i-1].time
	}
	return l.writtenTime
}

// trimWritten drops the segments without any record that can be read.
func (l *log) trimWritten() {
	oldest, _ := l.Bounds()
	for len(l.written) > 0 && l.written[0].next <= oldest {
		l.victims = append(l.victims, l.written[0].name)
		l.written = l.written[1:]
	}
}

// publishWritten lets readers use the files instead of the memory.
func (e *Engine) publishWritten(l *log) {
	e.victims = append(e.victims, l.victims...)
	l.victims = nil
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writtenTime = l.before(l.done)
	if l.done == len(l.tail) {
		l.tail = nil
	} else {
		l.tail = slices.Clone(l.tail[l.done:])
	}
	l.segs = l.written
	l.sealed -= l.done
	l.done = 0
}

// refuse lets l take no more appends if err is why its tail could not be
// written, and take them again if it is nil.
func (l *log) refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = nil
	if err != nil {
		l.refused = fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
	}
}

// settleWork forgets what is done and returns the finished generations' files.
func (e *Engine) settleWork(w *work, rest []*generation, kept []*log) (files []*commitFile) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sealed = append(rest, e.sealed[len(w.gens):]...)
	e.removed = append(kept, e.removed[len(w.removed):]...)
	for _, g := range w.gens {
		e.owed -= g.owed
		files = append(files, g.files...)
	}
	for _, g := range rest {
		e.owed += g.owed
		files = slices.DeleteFunc(files, func(c *commitFile) bool { return slices.Contains(g.files, c) })
	}
	return files
}

// release makes files free for new groups, except those that failed, which are
// deleted, and those that are damaged, which are put aside.
func (e *Engine) release(files []*commitFile) (err error) {
	for _, c := range files {
		switch {
		case c.damaged:
			aside := e.opt.Dir + "/" + damagedName(c.number)
			err = errors.Join(err, c.close(), e.opt.FS.Rename(c.name, aside), e.opt.FS.SyncDir(e.opt.Dir))
		case c.failed || len(e.free) > 0:
			err = errors.Join(err, c.close(), e.opt.FS.Remove(c.name))
		default:
			e.free = append(e.free, c)
		}
	}
	return err
}

// deleteVictims deletes segment files that no manifest lists. What cannot be
// deleted is tried again.
func (e *Engine) deleteVictims() (err error) {
	e.victims = slices.DeleteFunc(e.victims, func(name string) bool {
		rerr := e.opt.FS.Remove(name)
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
func (e *Engine) removeLogs(logs []*log) (kept []*log, err error) {
	for i, l := range logs {
		if i%wave == 0 {
			e.relieve()
		}
		e.mu.Lock()
		reborn := e.ids[l.id]
		e.mu.Unlock()
		lerr := e.removeFiles(l, reborn)
		if lerr != nil {
			kept = append(kept, l)
		}
		err = errors.Join(err, lerr)
	}
	return kept, err
}

// removeFiles deletes the segment files of l except those of reborn, a newer
// log with the same id.
func (e *Engine) removeFiles(l, reborn *log) error {
	dir := path.Join(e.opt.Dir, logDir(l.id))
	var keep []*segment
	if reborn != nil {
		keep = reborn.written
	}
	err := e.cleanDir(dir, keep)
	if errors.Is(err, errNotExist) {
		err = nil
	}
	if err == nil && reborn == nil {
		// Directories that hold something else stay.
		_ = e.opt.FS.Remove(dir)
		_ = e.opt.FS.Remove(path.Dir(dir))
	}
	return err
}

// cleanDir deletes the segment files in dir that are not in keep: a crash left
// them, or their log is gone.
func (e *Engine) cleanDir(dir string, keep []*segment) error {
	names, err := e.opt.FS.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		kept := slices.ContainsFunc(keep, func(s *segment) bool { return path.Base(s.name) == n })
		if isSegmentName(n) && !kept {
			err = errors.Join(err, e.opt.FS.Remove(path.Join(dir, n)))
		}
	}
	return errors.Join(err, e.opt.FS.SyncDir(dir))
}

// parallel calls f for each job on some goroutines and waits for all.
func parallel(jobs []*job, workers int, f func(*job)) {
	var wg sync.WaitGroup
	todo := make(chan *job)
	for range min(workers, len(jobs)) {
		wg.Go(func() {
			for j := range todo {
				f(j)
			}
		})
	}
	for _, j := range jobs {
		todo <- j
	}
	close(todo)
	wg.Wait()
}

// runWave writes and syncs the segment files of some logs. A job that fails is
// tried once more, on new files.
func (e *Engine) runWave(jobs []*job) error {
	again := jobs
	for range 2 {
		parallel(again, writeWorkers, (*job).write)
		parallel(again, syncWorkers, (*job).sync)
		again = slices.DeleteFunc(slices.Clone(again), func(j *job) bool { return j.err == nil })
	}
	e.syncDirs(jobs)
	var err error
	for _, j := range jobs {
		if j.err == nil {
			j.finish()
		}
		err = errors.Join(err, j.err)
	}
	return err
}

// syncDirs makes the names of new files and directories durable.
func (e *Engine) syncDirs(jobs []*job) {
	errs := map[string]error{}
	for _, j := range jobs {
		for _, d := range j.dirs {
			err, known := errs[d]
			if !known {
				err = e.opt.FS.SyncDir(d)
				errs[d] = err
			}
			j.err = errors.Join(j.err, err)
		}
	}
}
