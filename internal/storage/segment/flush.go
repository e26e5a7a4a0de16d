package segment

import (
	"errors"
	"fmt"
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
// that takes appends, maxUnfinished how many more that could not be flushed in
// whole.
const (
	maxSealed     = 2
	maxUnfinished = 8
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

// flusher owns all files but the active commit log file: it moves published
// records to segments, writes the manifest and provides commit log files. All
// but shared is its own.
type flusher struct {
	*shared
	first      uint64 // the lowest commit log file the manifest needs
	flushed    uint64 // the next group as the manifest knows it
	fileNumber uint64 // number of the next commit log file
	free       []*commitFile
	obsolete   []string // segment files to delete
	idleMark   int64
	failing    error // why the last flush failed, nil if it did not
}

// run does what there is to do whenever there is something.
func (f *flusher) run(stop <-chan struct{}) {
	retry := time.NewTimer(time.Hour)
	retry.Stop()
	idle := time.NewTicker(max(f.opt.IdleFlush, 1))
	if f.opt.IdleFlush < 0 {
		idle.Stop()
	}
	defer retry.Stop()
	defer idle.Stop()
	var pause time.Duration
	for {
		select {
		case <-f.kick:
		case <-retry.C:
		case <-idle.C:
			f.sealIdle()
			continue
		case <-stop:
			if err := f.maintain(); err != nil {
				f.opt.Logger.Error("last flush failed", "error", err)
			}
			return
		}
		err := f.maintain()
		f.note(err)
		if err != nil {
			pause = min(max(2*pause, firstRetry), lastRetry)
			retry.Reset(pause)
		} else {
			pause = 0
		}
	}
}

// note logs the beginning and the end of a time in which flushes fail.
func (f *flusher) note(err error) {
	switch {
	case err != nil && f.failing == nil:
		f.opt.Logger.Error("flush failed, it is tried again until it succeeds", "error", err)
	case err == nil && f.failing != nil:
		f.opt.Logger.Info("flushes succeed again")
	}
	f.failing = err
}

// sealIdle asks for a flush of what is in memory if nothing was committed for
// a while.
func (f *flusher) sealIdle() {
	groups := f.stats.groups.Load()
	if groups != f.idleMark {
		f.idleMark = groups
		f.refreshMarks()
		return
	}
	f.mu.Lock()
	idle := f.unsealed
	f.roll = f.roll || idle
	f.resting = f.resting || idle
	if idle {
		f.arena.free, f.arena.spare = nil, nil
	}
	f.mu.Unlock()
	if idle {
		signal(f.wake)
	}
}

// refreshMarks notes how far the commit log is. That it fails is no reason to stop:
// the next file to begin needs a mark as well.
func (f *flusher) refreshMarks() {
	durable := f.durable.Load()
	if err := f.marks.update(func(m *marks) { m.group = max(m.group, durable) }); err != nil {
		f.opt.Logger.Warn("the marks are not up to date", "error", err)
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
func (f *flusher) maintain() error {
	w, o := f.attempt(false)
	if err := o.err(); err != nil {
		f.stats.flushErrors.Add(1)
		if f.failing == nil {
			f.opt.Logger.Warn("flush failed, trying again", "error", err)
		}
		w, o = f.attempt(true)
	}
	f.report(o)
	if w.resting && o.err() == nil {
		debug.FreeOSMemory() // of the tails, which are garbage now
	}
	return o.err()
}

func (f *flusher) attempt(last bool) (w work, o outcome) {
	w = f.collect()
	w.last = last
	if err := f.present(); err != nil {
		return w, outcome{flush: err, file: err}
	}
	// The committer may be waiting: give it a file first if there is one.
	// If not, there may be one after the flush.
	first := f.provide()
	o.committed, o.flush = f.flush(&w)
	if o.file = f.provide(); o.file == nil && first != nil && f.failing == nil {
		f.opt.Logger.Warn("making a commit log file failed at first", "error", first)
	}
	return w, o
}

func (f *flusher) collect() work {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := work{
		gens: slices.Clone(f.sealed), removed: slices.Clone(f.removed), trimmed: f.trimmed,
		resting: f.resting && len(f.sealed) > 0,
	}
	f.trimmed = nil
	if w.resting {
		f.resting = false
	}
	f.repairing, f.broke = f.down != nil, false
	return w
}

// report tells everyone how it went. A commit log that failed can go on as
// soon as the manifest is past its file. A flush that fails stops appends only
// when there is no more file to append to and none can be had.
func (f *flusher) report(o outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cond.Broadcast()
	if f.broke {
		return // meanwhile; that is seen to next
	}
	waiting, unfinished := f.sealedLocked()
	stuck := f.spare == nil && f.want == wantNow &&
		(o.file != nil || unfinished >= maxUnfinished || !o.committed && waiting >= maxSealed)
	switch {
	case stuck || !o.committed && f.down != nil:
		f.down = fmt.Errorf("%w: %w", storage.ErrUnavailable, o.err())
	case o.committed:
		f.down = nil
	}
	f.repairing = false
	f.signalRoomLocked()
}

// provide makes the next commit log file ready if one is wanted. One that is
// wanted later is left for later when the disk has no room for it: there will be
// one to recycle.
func (f *flusher) provide() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	want, room := f.want, int64(0)
	waiting, unfinished := f.sealedLocked()
	if len(f.free) == 0 {
		room = f.opt.CommitLogSize
	}
	if want == wantNone || f.spare != nil || room > 0 && (waiting >= maxSealed || unfinished >= maxUnfinished) {
		return nil
	}
	if err := f.space.take(room); err != nil {
		if want == wantLater {
			return nil
		}
		return err
	}
	f.mu.Unlock()
	c, err := f.makeFile(want == wantLater)
	f.mu.Lock()
	f.space.spend(room) // it has it
	if err != nil {
		return err
	}
	f.spare = c
	f.cond.Broadcast()
	return nil
}

// relieve gives the committer a file if it came to need one during a long flush.
// If it cannot, the attempt after the flush says why.
func (f *flusher) relieve() {
	f.mu.Lock()
	waits := f.want == wantNow
	f.mu.Unlock()
	if waits {
		_ = f.provide()
	}
}

// sealedLocked returns how many generations wait to be flushed, and how many
// a flush could not finish.
func (s *shared) sealedLocked() (waiting, unfinished int) {
	for _, g := range s.sealed {
		if g.unfinished {
			unfinished++
		}
	}
	return len(s.sealed) - unfinished, unfinished
}

// makeFile recycles a file, or makes one if there is none.
func (f *flusher) makeFile(zero bool) (*commitFile, error) {
	number := f.fileNumber
	f.fileNumber++
	if len(f.free) == 0 {
		return createCommitFile(f.opt.FS, f.opt.Dir, number, f.opt.CommitLogSize, zero)
	}
	c := f.free[0]
	f.free = f.free[1:]
	if err := c.recycle(f.opt.FS, f.opt.Dir, number, f.opt.CommitLogSize); err != nil {
		return nil, errors.Join(err, c.close(), f.opt.FS.Remove(c.name))
	}
	return c, nil
}

// flush moves what w holds to segment files and writes the manifest, which is
// the commit point: before it, a crash leaves bytes in segment files that
// nobody looks at, and the commit log that still has them. committed reports
// whether the manifest got written.
func (f *flusher) flush(w *work) (committed bool, err error) {
	if len(w.gens)+len(w.removed)+len(w.trimmed) == 0 {
		return true, f.deleteObsolete()
	}
	kept, err := f.removeLogs(w.removed)
	jobs := f.jobs(w.gens)
	for _, l := range w.trimmed {
		l.trimWritten()
	}
	for some := range slices.Chunk(jobs, wave) {
		f.relieve()
		err = errors.Join(err, f.runWave(some))
	}
	rest := unfinished(w.gens, jobs)
	werr := f.marks.ensure() // the manifest says that there is one
	m := f.manifest(w, rest, kept)
	if werr == nil {
		werr = m.write(f.opt.FS, f.opt.Dir)
	}
	if werr != nil {
		f.mu.Lock()
		f.trimmed = append(f.trimmed, w.trimmed...)
		f.mu.Unlock()
		return false, errors.Join(err, werr)
	}
	// From here on the files below m.file are not needed, and what the
	// segments hold is never written again.
	f.first, f.flushed = m.file, m.group
	f.stats.flushes.Add(1)
	for _, j := range jobs {
		f.publishWritten(j.l)
		if j.err == nil || w.last {
			f.refuse(j.l, j.err)
		}
	}
	for _, l := range w.trimmed {
		f.publishWritten(l)
	}
	done := f.finish(w, jobs, rest, kept)
	return true, errors.Join(err, f.release(done), f.deleteObsolete())
}

// jobs returns one job for each log of gens that has something to write.
func (f *flusher) jobs(gens []*generation) []*job {
	var jobs []*job
	seen := map[*log]bool{}
	for _, g := range gens {
		for _, l := range g.logs {
			if !seen[l] {
				seen[l] = true
				jobs = append(jobs, newJob(f, l))
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
			rest = append(rest, &generation{files: g.files, logs: left, next: g.next, unfinished: true})
		}
	}
	return rest
}

// manifest returns what is true once everything but rest is written and all
// removed logs of w but kept are deleted.
func (f *flusher) manifest(w *work, rest []*generation, kept []*log) *manifest {
	m := &manifest{dir: f.dirID, file: f.first, group: f.flushed, mark: uint32(f.marks.number())}
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
	f.mu.Lock()
	m.log = f.committedLog
	logs := make([]*log, 0, len(f.ids)+len(kept))
	for _, l := range f.ids {
		if l.born {
			logs = append(logs, l)
		}
	}
	logs = append(logs, f.removed[len(w.removed):]...) // meanwhile: w may have made files of them
	f.mu.Unlock()
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
	if l.files.done < len(l.tail) {
		s.next, s.time = l.tail[l.files.done].first, l.before(l.files.done)
	}
	s.oldest = min(l.oldest, s.next)
	for _, seg := range l.files.written {
		s.spans = append(s.spans, seg.span)
	}
	return s
}

// before returns the append time of the record before batch i of the tail.
func (l *log) before(i int) int64 {
	if i > 0 {
		return l.tail[i-1].time
	}
	return l.files.writtenTime
}

// trimWritten drops the segments without any record that can be read.
func (l *log) trimWritten() {
	oldest, _ := l.Bounds()
	for len(l.files.written) > 0 && l.files.written[0].next <= oldest {
		l.files.obsolete = append(l.files.obsolete, l.files.written[0].name)
		l.files.written = l.files.written[1:]
	}
}

// publishWritten lets readers use the files instead of the memory.
func (f *flusher) publishWritten(l *log) {
	f.obsolete = append(f.obsolete, l.files.obsolete...)
	l.files.obsolete = nil
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files.writtenTime = l.before(l.files.done)
	if l.files.done == len(l.tail) {
		l.tail = nil
	} else {
		l.tail = slices.Clone(l.tail[l.files.done:])
	}
	l.segs = l.files.written
	l.sealed -= l.files.done
	l.files.done = 0
}

// paid notes that owed bytes are not set aside for l any more.
func (l *log) paid(owed int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.owedSealed -= owed
	return owed
}

// refuse lets l take no more appends if err is why its tail could not be
// written, and take them again if it is nil.
func (f *flusher) refuse(l *log, err error) {
	if err != nil {
		err = fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.refusing, l)
	} else {
		f.refusing[l] = err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = err
}

// finish forgets what is done and returns the finished generations' files.
func (f *flusher) finish(w *work, jobs []*job, rest []*generation, kept []*log) (files []*commitFile) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, j := range jobs {
		if j.err == nil {
			f.space.spend(j.l.paid(j.owed))
		}
	}
	f.sealed = append(rest, f.sealed[len(w.gens):]...)
	f.removed = append(kept, f.removed[len(w.removed):]...)
	for _, g := range w.gens {
		files = append(files, g.files...)
	}
	for _, g := range rest {
		files = slices.DeleteFunc(files, func(c *commitFile) bool { return slices.Contains(g.files, c) })
	}
	return files
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
func (f *flusher) runWave(jobs []*job) error {
	again := jobs
	for range 2 {
		parallel(again, writeWorkers, (*job).write)
		parallel(again, syncWorkers, (*job).sync)
		again = slices.DeleteFunc(slices.Clone(again), func(j *job) bool { return j.err == nil })
	}
	f.syncDirs(jobs)
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
func (f *flusher) syncDirs(jobs []*job) {
	errs := map[string]error{}
	for _, j := range jobs {
		for _, d := range j.dirs {
			err, known := errs[d]
			if !known {
				err = f.opt.FS.SyncDir(d)
				errs[d] = err
			}
			j.err = errors.Join(j.err, err)
		}
	}
}
