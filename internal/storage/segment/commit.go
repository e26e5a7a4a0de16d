package segment

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"disd/internal/storage"
	"disd/internal/storage/vfs"
)

// chunkSize is how much memory is allocated for groups at once, at most: enough
// to hold a large page wherever it begins.
const chunkSize = 4 << 20

// pending is a group before it is on disk. Appenders reserve their part of its
// memory under Engine.mu and fill it without; the same memory is then written
// to the commit log and becomes the tail of the logs.
type pending struct {
	g         group
	extents   [][]byte // complete parts, whole blocks each
	head      []byte   // the header's memory, at the start of the first extent
	start     []byte   // the part being filled, from its beginning
	used      int      // bytes of start
	directory []byte
	effects   []effect
	encoding  sync.WaitGroup // appenders that are still filling
	done      chan struct{}  // closed when err is final
	err       error
}

// effect is one thing a group does.
type effect struct {
	kind uint8
	l    *log
	seq  storage.Seq // kindTrim
	// data is one or more batches of kindAppend, the id of kindCreate, or
	// the padding of kindPad.
	data []byte
}

// arena hands out the memory of groups. Guarded by Engine.mu.
type arena struct {
	size  int    // of a chunk
	large int    // Options.Large
	free  []byte // rest of the current chunk, from a block boundary on
	spare []byte // an allocated chunk, so that nobody waits for the next one

	making bool // spare is being allocated
}

// chunk returns aligned memory for at least n bytes.
func (a *arena) chunk(n int) []byte {
	if c := a.spare; n <= len(c) {
		a.spare = nil
		return c
	}
	return vfs.AlignedBuffer(max(a.size, alignUp(n, block)))
}

// begin starts a group whose first part needs n bytes.
func (a *arena) begin(n int) *pending {
	if need := groupHeader + n + 8*entrySize; len(a.free) < need {
		a.free = a.chunk(need)
	}
	return &pending{
		head:  a.free[:groupHeader],
		start: a.free,
		used:  groupHeader,
		done:  make(chan struct{}),
	}
}

// reserve returns n more bytes of p, a multiple of 8. If they are many they
// begin with a block, and so can be written to a segment from where they are.
// They may start a new chunk.
func (a *arena) reserve(p *pending, n int) []byte {
	if n >= a.large {
		p.pad()
	}
	if len(p.start)-p.used < n {
		p.pad()
		p.extents = append(p.extents, p.start[:p.used])
		p.start, p.used = a.chunk(n), 0
	}
	b := p.start[p.used : p.used+n : p.used+n]
	p.used += n
	return b
}

// pad fills up the last block of p.
func (p *pending) pad() {
	end := alignUp(p.used, block)
	if pad := p.start[p.used:end]; len(pad) > 0 {
		p.effects = append(p.effects, effect{kind: kindPad, data: pad})
		p.g.entries++
		p.g.bodies += len(pad)
		p.used = end
	}
}

// body adds an effect with entries lines in the directory and n bytes.
func (a *arena) body(p *pending, f effect, entries, n int) []byte {
	f.data = a.reserve(p, n)
	p.effects = append(p.effects, f)
	p.g.entries += entries
	p.g.bodies += n
	return f.data
}

// finish ends p: it gets room for its directory, and its last block is filled
// up. The next group can begin.
func (a *arena) finish(p *pending) {
	size := (p.g.entries + 1) * entrySize // reserve may add a line
	dir := a.reserve(p, size)
	p.directory = dir[:p.g.entries*entrySize]
	end := alignUp(p.used-len(dir)+len(p.directory), block)
	p.extents = append(p.extents, p.start[:end])
	a.free = p.start[end:]
	p.start = nil
}

// describe writes the directory when all appenders have filled their parts.
func (p *pending) describe() {
	n := 0
	for i := range p.effects {
		p.effects[i].lines(func(e entry) {
			e.put(p.directory[n:])
			n += entrySize
		})
	}
	p.g.crc = checksum(p.directory)
}

// lines calls add with each entry that describes f.
func (f *effect) lines(add func(entry)) {
	switch f.kind {
	case kindPad:
		add(entry{kind: kindPad, length: len(f.data)})
	case kindCreate:
		add(entry{kind: kindCreate, log: f.l.number, length: len(f.data), crc: checksum(f.data)})
	case kindRemove, kindTrim:
		add(entry{kind: f.kind, log: f.l.number, seq: f.seq})
	case kindAppend:
		f.batches(func(b batch) {
			add(entry{
				kind: kindAppend, log: f.l.number, seq: b.first, count: int(b.next - b.first),
				length: len(b.data), crc: le.Uint32(b.data[4:]),
			})
		})
	}
}

// control reports whether p changes which logs there are, or where they begin.
// That is synced in every mode: the catalog, which always is, names these logs.
func (p *pending) control() bool {
	return slices.ContainsFunc(p.effects, func(f effect) bool { return f.kind != kindAppend && f.kind != kindPad })
}

// batches calls visit with each batch of an append.
func (f *effect) batches(visit func(batch)) {
	for data := f.data; len(data) > 0; {
		size := batchHeader + alignUp(int(le.Uint32(data[28:])), 8)
		b := batch{first: storage.Seq(le.Uint64(data[8:])), time: int64(le.Uint64(data[16:])), data: data[:size:size]}
		b.next = b.first + storage.Seq(le.Uint32(data[24:]))
		visit(b)
		data = data[size:]
	}
}

// generation is the content of one commit log file (after a restart: of all
// there were) that is not in segment files yet.
type generation struct {
	files []*commitFile
	logs  []*log // those with batches in it
	next  uint64 // number of the group after its last one
	owed  int64  // bytes set aside on the disk for its flush
	// pinned says that a flush left some logs out, which take no more appends
	// until they can be written.
	pinned bool
}

// commitLoop is the committer: it writes one group after the other, each with
// everything that came while the last one was written.
func (e *Engine) commitLoop() {
	tick := e.syncTicker()
	defer tick.Stop()
	for {
		select {
		case <-tick.C: // also when there is always another group
			e.check(e.syncActive())
		default:
		}
		p, roll := e.take()
		switch {
		case p != nil:
			e.commit(p)
		case roll:
			e.check(e.seal())
		default:
			select {
			case <-e.wake:
			case <-tick.C:
				e.check(e.syncActive())
			case <-e.stopCommit:
				e.drain()
				return
			}
		}
	}
}

// check gives the active file up if err says so.
func (e *Engine) check(err error) {
	if err != nil {
		e.fail(nil, nil, err)
	}
}

// drain commits what is left when nothing new can come, and hands all of it to
// the flusher.
func (e *Engine) drain() {
	for {
		p, _ := e.take()
		if p == nil {
			break
		}
		e.commit(p)
	}
	e.check(e.seal())
}

func (e *Engine) syncTicker() *time.Ticker {
	t := time.NewTicker(e.opt.SyncInterval)
	if e.opt.Sync != SyncInterval {
		t.Stop()
	}
	return t
}

// take returns the group to commit next, and whether the active file shall be
// sealed when there is none.
func (e *Engine) take() (p *pending, roll bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p = e.building; p != nil {
		e.building = nil
		e.arena.finish(p)
		e.signalRoomLocked()
		return p, false
	}
	roll, e.roll = e.roll, false
	return nil, roll
}

// commit writes p and lets everyone know.
func (e *Engine) commit(p *pending) {
	p.encoding.Wait()
	p.describe()
	if err := e.makeRoom(p.g.size()); err != nil {
		e.fail(p, fmt.Errorf("%w: %w", storage.ErrUnavailable, err), e.ifActive(err))
		return
	}
	if err := e.write(p); err != nil {
		e.fail(p, fmt.Errorf("%w: %w", storage.ErrUnknown, err), err)
		return
	}
	e.publish(p)
	close(p.done)
	e.prepare()
}

// ifActive returns err if it left an active file behind, which is then not to
// be used again, else nil.
func (e *Engine) ifActive(err error) error {
	if e.active == nil {
		return nil
	}
	return err
}

// prepare asks others for what will be needed soon, so that nobody waits for it:
// the next file, the next chunk.
func (e *Engine) prepare() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.active != nil && e.active.pos > e.active.size/4 && e.spare == nil && e.want == wantNone {
		e.want = wantLater
		signal(e.kick)
	}
	a := &e.arena
	if a.spare != nil || a.making || len(a.free) > a.size/2 || e.gen == nil || len(e.gen.logs) == 0 {
		return
	}
	a.making = true
	go func() {
		c := vfs.AlignedBuffer(a.size)
		e.mu.Lock()
		a.spare, a.making = c, false
		e.mu.Unlock()
	}()
}

// makeRoom makes sure there is an active file that size bytes fit into. After
// an error there is none, or one whose sync failed.
func (e *Engine) makeRoom(size int64) error {
	c := e.active
	if c != nil && (c.pos == 0 || c.pos+size <= c.size) {
		return nil
	}
	if err := e.seal(); err != nil {
		return err
	}
	c, err := e.nextFile()
	if err != nil {
		return err
	}
	c.base = e.group
	e.active = c
	e.gen = &generation{files: []*commitFile{c}}
	return nil
}

// nextFile returns the file the flusher prepared, and waits for it if needed.
func (e *Engine) nextFile() (*commitFile, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.spare == nil {
		if e.down != nil && !e.repairing {
			return nil, e.down
		}
		e.want = wantNow
		signal(e.kick)
		e.cond.Wait()
	}
	c := e.spare
	e.spare, e.want = nil, wantNone
	return c, nil
}

// write puts p on disk. The commit point of everything in p is the return of
// WriteSync: a crash before leaves a torn group, which recovery drops, or a
// whole one, which nobody was told about and which recovery keeps.
func (e *Engine) write(p *pending) error {
	c := e.active
	p.g.dir, p.g.file, p.g.base = e.dirID, c.number, c.base
	p.g.number, p.g.durable = e.group, e.durable
	p.g.put(p.head)
	write := c.f.WriteSync
	if e.opt.Sync != SyncAlways {
		write = c.f.WriteAt
	}
	if err := write(p.extents, c.pos); err != nil {
		return err
	}
	c.dirty = e.opt.Sync != SyncAlways
	if c.dirty && p.control() {
		if err := c.f.Sync(); err != nil {
			return err
		}
		c.dirty = false
	}
	c.pos += p.g.size()
	c.size = max(c.size, c.pos)
	if !c.dirty {
		e.durable = e.group
		e.stats.syncs.Add(1)
	}
	e.group++
	e.stats.groups.Add(1)
	e.stats.bytes.Add(p.g.size())
	return nil
}

// syncActive syncs what was written without.
func (e *Engine) syncActive() error {
	c := e.active
	if c == nil || !c.dirty {
		return nil
	}
	if err := c.f.Sync(); err != nil {
		return err
	}
	c.dirty, e.durable = false, e.group-1
	e.stats.syncs.Add(1)
	return nil
}

// seal hands the active file's content, if any, to the flusher.
func (e *Engine) seal() error {
	if e.active == nil {
		return nil
	}
	// In every mode: a group that is synced later counts only if all before
	// it are there.
	if err := e.syncActive(); err != nil {
		return err
	}
	e.sealActive()
	return nil
}

func (e *Engine) sealActive() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sealLocked()
}

func (e *Engine) sealLocked() {
	for _, l := range e.gen.logs {
		l.mu.Lock()
		l.sealed = len(l.tail)
		l.mu.Unlock()
	}
	e.gen.owed, e.owedNow = e.owedNow, 0
	e.owed += e.gen.owed
	e.gen.next = e.group
	e.era++
	e.sealed = append(e.sealed, e.gen)
	e.active, e.gen = nil, nil
	signal(e.kick)
}

// fail ends p, and everything that queued behind it, without storing it. With
// a cause the active file is finished as well: what it holds for sure goes to
// segment files, and nothing is appended until then.
func (e *Engine) fail(p *pending, outcome, cause error) {
	e.mu.Lock()
	behind := e.building
	e.building = nil
	if cause != nil {
		e.breakLocked(cause)
	}
	e.revertLocked(p)
	e.revertLocked(behind)
	e.signalRoomLocked()
	e.mu.Unlock()
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
func (e *Engine) breakLocked(cause error) {
	e.opt.Logger.Error("commit log failed", "file", e.active.name, "error", cause)
	e.down = fmt.Errorf("%w: commit log failed: %w", storage.ErrUnavailable, cause)
	e.repairing, e.broke = true, true
	e.active.failed = true
	e.sealLocked()
}

// revertLocked takes back what reserving p had decided.
func (e *Engine) revertLocked(p *pending) {
	if p == nil {
		return
	}
	for _, f := range p.effects {
		switch f.kind {
		case kindAppend:
			f.l.mu.Lock()
			f.l.given, f.l.givenTime = f.l.next, f.l.time
			f.l.mu.Unlock()
		case kindCreate:
			delete(e.ids, f.l.id)
		case kindRemove:
			f.l.removing = false
		}
	}
}

// publish makes what is on disk visible.
func (e *Engine) publish(p *pending) {
	for i := range p.effects {
		f := &p.effects[i]
		switch f.kind {
		case kindAppend:
			e.publishAppend(f)
		case kindTrim:
			f.l.mu.Lock()
			f.l.trimLocked(f.seq)
			f.l.mu.Unlock()
		case kindCreate:
			e.mu.Lock()
			f.l.born = true
			e.committedLog = f.l.number + 1
			e.mu.Unlock()
		case kindRemove:
			e.publishRemove(f.l)
		}
	}
}

func (e *Engine) publishAppend(f *effect) {
	l := f.l
	if l.gen != e.gen {
		l.gen = e.gen
		e.gen.logs = append(e.gen.logs, l)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f.batches(func(b batch) {
		l.tail = append(l.tail, b)
		l.next, l.time = b.next, b.time
	})
	l.wakeLocked()
}

func (l *log) trimLocked(seq storage.Seq) {
	l.oldest = max(l.oldest, seq)
	if l.lost != nil && !l.gapLocked() {
		l.lost = nil // the damage was trimmed away
	}
}

func (e *Engine) publishRemove(l *log) {
	// First nothing more is written for it, then what is there can be deleted.
	l.mu.Lock()
	l.removed = true
	l.wakeLocked()
	l.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ids[l.id] == l {
		delete(e.ids, l.id)
		e.removed = append(e.removed, l)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
