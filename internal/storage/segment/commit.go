package segment

import (
	"fmt"
	"time"

	"disd/internal/storage"
	"disd/internal/storage/vfs"
)

// committer writes groups to the commit log and publishes them. All but shared
// is its own.
type committer struct {
	*shared
	active  *commitFile
	gen     *generation // content of active
	group   uint64      // number of the next group
	missing bool        // the data directory was not there last time
	// unsynced are the logs with records that may not be on stable storage.
	// With SyncAlways there are none.
	unsynced []*log
}

// run writes one group after the other, each with
// everything that came while the last one was written.
func (c *committer) run(stop <-chan struct{}) {
	tick := c.syncTicker()
	defer tick.Stop()
	for {
		select {
		case <-tick.C: // also when there is always another group
			c.check(c.syncActive())
		default:
		}
		p, roll := c.take()
		switch {
		case p != nil:
			c.commit(p)
		case roll:
			c.check(c.seal())
		default:
			select {
			case <-c.wake:
			case <-tick.C:
				c.check(c.syncActive())
			case <-stop:
				c.drain()
				return
			}
		}
	}
}

// check gives the active file up if err says so.
func (c *committer) check(err error) {
	if err != nil {
		c.fail(nil, nil, err)
	}
}

// drain commits what is left when nothing new can come, and hands all of it to
// the flusher.
func (c *committer) drain() {
	for {
		p, _ := c.take()
		if p == nil {
			break
		}
		c.commit(p)
	}
	c.check(c.seal())
}

func (c *committer) syncTicker() *time.Ticker {
	t := time.NewTicker(c.opt.SyncInterval)
	if c.opt.Sync != SyncInterval {
		t.Stop()
	}
	return t
}

// take returns the group to commit next, and whether the active file shall be
// sealed when there is none.
func (c *committer) take() (p *pending, roll bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p = c.building; p != nil {
		c.building = nil
		c.arena.finish(p)
		c.signalRoomLocked()
		return p, false
	}
	roll, c.roll = c.roll, false
	return nil, roll
}

// commit writes p and lets everyone know.
func (c *committer) commit(p *pending) {
	p.encoding.Wait()
	p.describe()
	if err := c.checkPresent(); err != nil {
		c.fail(p, err, nil)
		return
	}
	if err := c.makeRoom(p.g.size()); err != nil {
		c.fail(p, fmt.Errorf("%w: %w", storage.ErrUnavailable, err), c.ifActive(err))
		return
	}
	if err := c.write(p); err != nil {
		c.fail(p, fmt.Errorf("%w: %w", storage.ErrUnknown, err), err)
		return
	}
	used := c.publish(p)
	if !c.active.dirty {
		c.synced()
	}
	close(p.done)
	c.afterwards(p.room - used)
}

// checkPresent returns an error while the data directory is gone, and logs when that
// begins and ends: nothing may be acknowledged that only an open file has.
func (c *committer) checkPresent() error {
	err := c.present()
	switch {
	case err != nil && !c.missing:
		c.opt.Logger.Error("appends are refused, the data directory is gone", "error", err)
	case err == nil && c.missing:
		c.opt.Logger.Info("the data directory is back")
	}
	c.missing = err != nil
	return err
}

// ifActive returns err if it left an active file behind, which is then not to
// be used again, else nil.
func (c *committer) ifActive(err error) error {
	if c.active == nil {
		return nil
	}
	return err
}

// afterwards gives back the room that a group turned out not to need, and asks
// others for what will be needed soon, so that nobody waits for it: the next
// file, the next chunk.
func (c *committer) afterwards(unused int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.space.giveBack(unused)
	c.unsealed = c.gen != nil && len(c.gen.logs) > 0
	if c.active != nil && c.active.pos > c.active.size/4 && c.spare == nil && c.want == wantNone {
		c.want = wantLater
		signal(c.kick)
	}
	a := &c.arena
	if a.spare != nil || a.making || len(a.free) > a.size/2 || !c.unsealed {
		return
	}
	a.making = true
	go func() {
		chunk := vfs.AlignedBuffer(a.size)
		c.mu.Lock()
		a.spare, a.making = chunk, false
		c.mu.Unlock()
	}()
}

// makeRoom makes sure there is an active file that size bytes fit into. After
// an error there is none, or one whose sync failed.
func (c *committer) makeRoom(size int64) error {
	file := c.active
	if file != nil && (file.pos == 0 || file.pos+size <= file.size) {
		return nil
	}
	if err := c.seal(); err != nil {
		return err
	}
	file, err := c.nextFile()
	if err != nil {
		return err
	}
	file.base = c.group
	c.active = file
	c.gen = &generation{files: []*commitFile{file}}
	return nil
}

// nextFile returns the file the flusher prepared, and waits for it if needed.
func (c *committer) nextFile() (*commitFile, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.spare == nil {
		if c.down != nil && !c.repairing {
			return nil, c.down
		}
		c.want = wantNow
		signal(c.kick)
		c.cond.Wait()
	}
	file := c.spare
	c.spare, c.want = nil, wantNone
	return file, nil
}

// write puts p on disk. The commit point of everything in p is the return of
// WriteSync: a crash before leaves a torn group, which recovery drops, or a
// whole one, which nobody was told about and which recovery keeps.
func (c *committer) write(p *pending) error {
	file := c.active
	p.g.dir, p.g.file, p.g.base = c.dirID, file.number, file.base
	p.g.number, p.g.durable = c.group, c.durable.Load()
	p.g.put(p.head)
	write := file.f.WriteSync
	if c.opt.Sync != SyncAlways {
		write = file.f.WriteAt
	}
	if err := write(p.extents, file.pos); err != nil {
		return err
	}
	first := file.pos == 0
	file.dirty = c.opt.Sync != SyncAlways
	if file.dirty && (first || p.control()) {
		if err := file.f.Sync(); err != nil {
			return err
		}
		file.dirty = false
	}
	file.pos += p.g.size()
	file.size = max(file.size, file.pos)
	if first {
		// From here on the loss of the whole file is noticed.
		err := c.marks.update(func(m *marks) {
			m.file, m.size, m.group = file.number, file.size, c.group
			m.safe = c.opt.Sync == SyncAlways && !c.lossy.Load()
		})
		if err != nil {
			return err
		}
	}
	if !file.dirty {
		c.durable.Store(c.group)
		c.stats.syncs.Add(1)
	}
	c.group++
	c.stats.groups.Add(1)
	c.stats.bytes.Add(p.g.size())
	return nil
}

// syncActive syncs what was written without.
func (c *committer) syncActive() error {
	file := c.active
	if file == nil || !file.dirty {
		return nil
	}
	if err := file.f.Sync(); err != nil {
		return err
	}
	file.dirty = false
	c.durable.Store(c.group - 1)
	c.stats.syncs.Add(1)
	c.synced()
	return nil
}

// synced notes that everything published is on stable storage.
func (c *committer) synced() {
	for _, l := range c.unsynced {
		l.unsynced = false
		l.mu.Lock()
		l.durable = l.next
		l.mu.Unlock()
	}
	c.unsynced = c.unsynced[:0]
}

// seal hands the active file's content, if any, to the flusher.
func (c *committer) seal() error {
	if c.active == nil {
		return nil
	}
	// In every mode: a group that is synced later counts only if all before
	// it are there.
	if err := c.syncActive(); err != nil {
		return err
	}
	c.sealActive()
	return nil
}

func (c *committer) sealActive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealLocked()
}

func (c *committer) sealLocked() {
	for _, l := range c.gen.logs {
		l.mu.Lock()
		l.sealed = len(l.tail)
		l.owedSealed, l.owed = l.owedSealed+l.owed, 0
		l.mu.Unlock()
	}
	c.gen.next = c.group
	c.unsealed = false
	c.sealed = append(c.sealed, c.gen)
	c.active, c.gen = nil, nil
	signal(c.kick)
}

// fail ends p, and everything that queued behind it, without storing it. With
// a cause the active file is finished as well: what it holds for sure goes to
// segment files, and nothing is appended until then.
func (c *committer) fail(p *pending, outcome, cause error) {
	c.mu.Lock()
	behind := c.building
	c.building = nil
	if cause != nil {
		c.breakLocked(cause)
	}
	c.revertLocked(p)
	c.revertLocked(behind)
	c.signalRoomLocked()
	c.mu.Unlock()
	if p != nil {
		p.err = outcome
		close(p.done)
	}
	if behind != nil {
		behind.err = fmt.Errorf("%w: an earlier append failed", storage.ErrUnavailable)
		close(behind.done)
	}
}

// breakLocked gives the active file up and asks the flusher for a repair.
func (c *committer) breakLocked(cause error) {
	c.opt.Logger.Error("commit log failed", "file", c.active.name, "error", cause)
	c.down = fmt.Errorf("%w: commit log failed: %w", storage.ErrUnavailable, cause)
	c.repairing, c.broke = true, true
	c.active.failed = true
	c.sealLocked()
}

// revertLocked takes back what reserving p had decided.
func (c *committer) revertLocked(p *pending) {
	if p == nil {
		return
	}
	c.space.giveBack(p.room)
	for _, f := range p.effects {
		switch f.kind {
		case kindAppend:
			f.l.mu.Lock()
			f.l.given, f.l.givenTime = f.l.next, f.l.time
			f.l.mu.Unlock()
		case kindCreate:
			delete(c.ids, f.l.id)
		case kindRemove:
			f.l.removing = false
		}
	}
}

// publish makes what is on disk visible. It returns how much of the room that is
// set aside for p its flush will need.
func (c *committer) publish(p *pending) (used int64) {
	for i := range p.effects {
		f := &p.effects[i]
		switch f.kind {
		case kindAppend:
			used += c.publishAppend(f)
		case kindTrim:
			f.l.mu.Lock()
			f.l.trimLocked(f.seq)
			f.l.mu.Unlock()
		case kindCreate:
			c.mu.Lock()
			f.l.born = true
			c.committedLog = f.l.number + 1
			c.mu.Unlock()
		case kindRemove:
			c.publishRemove(f.l)
		}
	}
	return used
}

func (c *committer) publishAppend(f *effect) (used int64) {
	l := f.l
	used = c.opt.flushSize(int64(len(f.data)))
	if l.gen != c.gen {
		l.gen = c.gen
		c.gen.logs = append(c.gen.logs, l)
		used += c.opt.flushRoom()
	}
	if c.opt.Sync != SyncAlways && !l.unsynced {
		l.unsynced = true
		c.unsynced = append(c.unsynced, l)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f.batches(func(b batch) {
		l.tail = append(l.tail, b)
		l.next, l.time = b.next, b.time
	})
	l.owed += used
	l.wakeLocked()
	return used
}

func (l *log) trimLocked(seq storage.Seq) {
	l.oldest = max(l.oldest, seq)
	if l.lost != nil && !l.gapLocked() {
		l.lost = nil // the damage was trimmed away
	}
}

func (c *committer) publishRemove(l *log) {
	// First nothing more is written for it, then what is there can be deleted.
	l.mu.Lock()
	l.removed = true
	l.wakeLocked()
	l.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids[l.id] == l {
		delete(c.ids, l.id)
		c.removed = append(c.removed, l)
	}
}
