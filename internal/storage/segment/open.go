package segment

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"disd/internal/storage"
	"disd/internal/storage/vfs"
)

const lockName = "LOCK"

// locks are what keeps others out of a data directory: the directory, which cannot
// be removed under who uses it without that being noticed, and a file in it, which
// is all that versions before the marks lock.
type locks struct {
	dir  vfs.Lock
	file io.Closer // nil if it is not locked
}

// lockFile locks the file as well, and makes it if necessary.
func (l *locks) lockFile(fsys vfs.FS, dir string) (err error) {
	if l.file == nil {
		l.file, err = fsys.Lock(dir + "/" + lockName)
	}
	return err
}

func (l *locks) close() (err error) {
	if l.file != nil {
		err = l.file.Close()
	}
	if l.dir != nil {
		err = errors.Join(err, l.dir.Close())
	}
	return err
}

// Found is a data directory that is locked and was read, before anything in it is
// changed. It must be opened or closed.
type Found struct {
	opt   Options
	locks locks     // none if there is no directory
	r     *recovery // nil if it holds no data yet
}

// Read locks and reads the directory o.Dir. It changes nothing, and the directory
// need not exist. It fails with vfs.ErrLocked when another engine has it open, and
// with a CorruptError when the manifest or the marks are damaged or missing.
func Read(o Options) (*Found, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	f := &Found{opt: o}
	if err := f.read(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Found) read() error {
	fsys, dir := f.opt.FS, f.opt.Dir
	names, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if f.locks.dir, err = fsys.Lock(dir); err != nil {
		return err
	}
	if slices.Contains(names, lockName) {
		if err := f.locks.lockFile(fsys, dir); err != nil {
			return err
		}
	}
	// Read again what is there: who had it locked may have changed it.
	if names, err = fsys.ReadDir(dir); err != nil {
		return err
	}
	if slices.Contains(names, manifestName) {
		f.r, err = recoverDir(fsys, dir)
		return err
	}
	return checkEmpty(fsys, dir, names)
}

// checkEmpty returns a CorruptError if names shows that the directory held data.
func checkEmpty(fsys vfs.FS, dir string, names []string) error {
	k, err := readMarks(fsys, dir)
	used := isCorrupt(err) || k != nil && k.file > 0
	if err != nil && !used {
		return err
	}
	for _, n := range names {
		_, commit := parseCommitName(n)
		stream, err := isStreamDir(fsys, dir, n)
		if err != nil {
			return err
		}
		used = used || commit || stream
	}
	if used {
		return &storage.CorruptError{File: dir + "/" + manifestName, Reason: "file is missing"}
	}
	return nil
}

// isStreamDir reports whether name, which ends with a slash if it is a directory,
// holds directories of logs.
func isStreamDir(fsys vfs.FS, dir, name string) (bool, error) {
	sub, isDir := strings.CutSuffix(name, "/")
	if !isDir || !isLogDir("", sub) {
		return false, nil
	}
	logs, err := fsys.ReadDir(dir + "/" + sub)
	return slices.ContainsFunc(logs, func(n string) bool {
		n, isDir := strings.CutSuffix(n, "/")
		return isDir && isLogDir(sub, n)
	}), err
}

// Identity returns the identity of the data directory, 0 if there is none yet.
func (f *Found) Identity() uint64 {
	if f.r == nil {
		return 0
	}
	return f.r.m.dir
}

// Group returns the number of the last group that is there, 0 for none. An engine
// that had the directory open never said by Durable that a later one was durable.
func (f *Found) Group() uint64 {
	if f.r == nil {
		return 0
	}
	return f.r.group - 1
}

// Logs returns how many logs there are.
func (f *Found) Logs() int {
	if f.r == nil {
		return 0
	}
	return len(f.r.logs)
}

// Catalog returns the number of a commit that the catalog had reached when the
// directory was written, 0 if none is known.
func (f *Found) Catalog() uint64 {
	if f.r == nil || f.r.marks == nil {
		return 0
	}
	return f.r.marks.catalog
}

// Close gives the directory up as it is. After Open it does nothing.
func (f *Found) Close() error {
	l := f.locks
	f.locks = locks{}
	return l.close()
}

// Open makes an engine of the directory, which is made if it does not exist.
func (f *Found) Open() (*Engine, error) {
	e, err := f.open()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	f.locks = locks{}
	e.committing.Go(func() { e.committer.run(e.stopCommit) })
	e.flushing.Go(func() { e.flusher.run(e.stopFlush) })
	signal(e.kick)
	return e, nil
}

func (f *Found) open() (*Engine, error) {
	o := f.opt
	// Also if it is there: who made it may have died before its name was durable.
	if err := vfs.MkdirSync(o.FS, path.Dir(o.Dir), path.Base(o.Dir)); err != nil {
		return nil, err
	}
	if f.locks.dir == nil {
		if err := f.read(); err != nil {
			return nil, err
		}
	}
	if err := f.locks.lockFile(o.FS, o.Dir); err != nil {
		return nil, err
	}
	k := &markFile{fs: o.FS, dir: o.Dir, catalog: o.Catalog}
	write := f.goOn
	if f.r == nil {
		write = f.create
	}
	if err := write(k); err != nil {
		return nil, err
	}
	for _, d := range f.r.damage {
		o.Logger.Error("damage found", "error", d)
	}
	return f.r.engine(o, f.locks, k), nil
}

// goOn writes what a start has to write to a directory that holds data.
func (f *Found) goOn(k *markFile) error {
	if err := f.r.sync(); err != nil {
		return err
	}
	k.last = marks{dir: f.r.m.dir}
	if f.r.marks != nil {
		k.last = *f.r.marks
		k.resume()
	}
	if err := k.update(func(*marks) {}); err != nil {
		// A full disk, say, which can be emptied only when the server runs.
		// Nothing is acknowledged before there is a mark of it.
		f.opt.Logger.Error("the marks cannot be written", "error", err)
	}
	return nil
}

// lossy reports whether acknowledged records may have been lost with the power.
func (r *recovery) lossy() bool { return r.marks != nil && !r.marks.safe }

// create makes an empty directory a data directory.
func (f *Found) create(k *markFile) error {
	id := make([]byte, 8)
	if _, err := io.ReadFull(f.opt.Rand, id); err != nil {
		return err
	}
	m := &manifest{dir: le.Uint64(id), file: 1, group: 1, log: 1, mark: 1}
	k.last = marks{dir: m.dir}
	if err := k.update(func(m *marks) { m.safe = true }); err != nil {
		return err
	}
	if err := m.write(f.opt.FS, f.opt.Dir); err != nil {
		return err
	}
	var err error
	f.r, err = recoverDir(f.opt.FS, f.opt.Dir)
	return err
}

// Open opens the directory o.Dir, which is made if it does not exist, and recovers
// what an earlier engine left there. It fails as Read does.
func Open(o Options) (*Engine, error) {
	f, err := Read(o)
	if err != nil {
		return nil, err
	}
	return f.Open()
}

// sync makes sure that what was found is there after a power loss, too: the
// process that wrote it may have died before its sync.
func (r *recovery) sync() error {
	for _, c := range r.files {
		if c.applied == 0 {
			continue
		}
		f, err := r.fs.OpenFile(c.name, vfs.Write)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// engine returns an engine that goes on from what was found. The old commit
// log files form one generation, which is flushed at once; they are not
// appended to.
func (r *recovery) engine(o Options, locks locks, k *markFile) *Engine {
	s := &shared{
		opt: o, dirID: r.m.dir, lock: locks.dir, marks: k,
		wake: make(chan struct{}, 1), kick: make(chan struct{}, 1),
		ids: map[storage.LogID]*log{}, nextLog: r.log, committedLog: r.log,
		removed: r.removed, want: wantNow, refusing: map[*log]error{},
		arena: arena{size: int(min(chunkSize, o.CommitLogSize)), large: int(o.Large)},
	}
	s.durable.Store(r.group - 1)
	s.cond.L = &s.mu
	s.space = space{free: s.freeLocked, logger: o.Logger}
	e := &Engine{
		shared:    s,
		committer: &committer{shared: s, group: r.group},
		flusher:   &flusher{shared: s, first: r.first, flushed: r.m.group, fileNumber: r.first},
		locks:     locks, stopCommit: make(chan struct{}), stopFlush: make(chan struct{}),
	}
	e.lossy.Store(r.lossy())
	for _, l := range r.removed {
		l.s = s
	}
	gen := &generation{next: r.group}
	for _, c := range r.files {
		e.flusher.fileNumber = max(e.flusher.fileNumber, c.number+1)
		f := &commitFile{number: c.number, name: c.name, size: c.size, damaged: c.damaged}
		if len(c.groups) > 0 || c.damaged {
			gen.files = append(gen.files, f)
		} else {
			e.flusher.free = append(e.flusher.free, f)
		}
	}
	for _, l := range r.logs {
		l.s, l.born, l.given, l.givenTime = s, true, l.next, l.time
		l.durable = l.next // see sync
		l.sealed = len(l.tail)
		if l.sealed > 0 {
			gen.logs = append(gen.logs, l)
			l.owedSealed = o.flushRoom()
			for i := range l.tail {
				l.owedSealed += o.flushSize(int64(len(l.tail[i].data)))
			}
			s.space.set(l.owedSealed)
		}
		s.ids[l.id] = l
	}
	if len(gen.files) > 0 || len(r.damage) > 0 {
		s.sealed = append(s.sealed, gen)
		s.resting = true // what was read to recover is garbage after its flush
	}
	return e
}
