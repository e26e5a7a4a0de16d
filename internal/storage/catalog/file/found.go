package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"

	"disd/internal/storage"
	"disd/internal/storage/vfs"
)

// Options say where a catalog is. Nil means the ordinary value.
type Options struct {
	Path string // of the file, required
	// FS is where the mark beside the file is written, and what names the file
	// when it is made: vfs.OS.
	FS vfs.FS
	// Logger is told about damage that cost nothing: slog.Default.
	Logger *slog.Logger
}

// Logs are what the catalog describes. It keeps with each commit which ones they
// are and how far they had come.
type Logs interface {
	// Identity is never 0 and never changes.
	Identity() uint64
	// Durable is the number of the last group that is on stable storage.
	Durable() uint64
}

// A Found is a catalog that is locked and was read whole, before anything of it is
// changed. It must be opened or closed.
type Found struct {
	opt      Options
	readOnly bool
	file     *os.File // nil when there is no catalog
	meta     meta
	restore  bool // the page of meta is damaged and must be written again
	contents *contents
	number   *atomic.Uint64
}

// Read locks and reads the catalog at o.Path and changes nothing. There need not be
// one. ErrLocked, ErrVersion, or a storage.CorruptError that says what is damaged,
// missing, or of another time. It takes as long as reading the file once.
func Read(o Options) (*Found, error) { return find(o, false) }

func find(o Options, readOnly bool) (*Found, error) {
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	f := &Found{opt: o, readOnly: readOnly, number: new(atomic.Uint64)}
	if err := f.read(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	f.number.Store(f.meta.tx)
	return f, nil
}

func (f *Found) read() error {
	path := f.opt.Path
	flag := os.O_RDWR
	if f.readOnly {
		flag = os.O_RDONLY
	}
	file, err := os.OpenFile(path, flag, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return f.absent()
	}
	if err != nil {
		return err
	}
	f.file = file
	if err := lock(file, f.readOnly); err != nil {
		return err
	}
	mark, marked, err := readMark(f.opt.FS, path)
	if err != nil {
		return err
	}
	good, err := readMetas(file)
	if err != nil {
		return err
	}
	if err := f.choose(good, mark, marked); err != nil {
		return err
	}
	f.contents, err = readAll(file, path, f.meta)
	return err
}

// absent reports a catalog that is missing: its mark is made after it.
func (f *Found) absent() error {
	_, marked, err := readMark(f.opt.FS, f.opt.Path)
	if marked {
		return f.corrupt("file is missing, but %s is there", markName)
	}
	return err
}

// choose says which meta counts: the newest that was committed.
func (f *Found) choose(good []meta, mark meta, marked bool) error {
	switch {
	case len(good) == 0:
		return f.corrupt("both meta pages are damaged")
	case !marked && len(good) == 1:
		return f.corrupt("a meta page is damaged, and no %s says whether it was the newer one", markName)
	case !marked || good[0].tx > mark.tx:
		f.meta = good[0]
	case good[0].tx == mark.tx && good[0].raw == mark.raw:
		f.meta = good[0]
	case good[0].tx == mark.tx:
		return f.corrupt("%s is of another catalog", markName)
	case len(good) == 1 && good[0].tx+1 == mark.tx && good[0].page == mark.page:
		f.meta, f.restore = mark, true
	default:
		return f.corrupt("file is older than %s: its last transaction is %d, that one knows %d", markName, good[0].tx, mark.tx)
	}
	if len(good) == 1 {
		damage := f.corrupt("the meta page of transaction %d is damaged", good[0].tx+1)
		if !f.restore {
			damage = f.corrupt("the older meta page is damaged")
		}
		if f.readOnly {
			return fmt.Errorf("%w; nothing is lost, the next start writes it again", damage)
		}
		f.opt.Logger.Error("a meta page of the catalog is written again; nothing is lost", "error", damage)
	}
	return nil
}

func (f *Found) corrupt(format string, args ...any) error {
	return &storage.CorruptError{File: f.opt.Path, Reason: fmt.Sprintf(format, args...)}
}

// Exists reports whether there is a catalog.
func (f *Found) Exists() bool { return f.file != nil }

// Identity returns the identity of the logs that the catalog describes, 0 when it
// names none.
func (f *Found) Identity() uint64 {
	if f.contents == nil {
		return 0
	}
	return f.contents.bond.identity
}

// Group returns the number of a group of the logs that was durable when the catalog
// was changed last, 0 when it names none.
func (f *Found) Group() uint64 {
	if f.contents == nil {
		return 0
	}
	return f.contents.bond.group
}

// Number returns the number of the last commit, also of the DB that was made of f.
// It grows with each, and from process to process; 0 when there is no catalog.
func (f *Found) Number() uint64 { return f.number.Load() }

// Close gives the catalog up as it is. After Open it does nothing.
func (f *Found) Close() error {
	file := f.file
	f.file = nil
	if file == nil {
		return nil
	}
	return file.Close()
}

// Open makes a catalog of the file, which is made if there is none, and upgraded
// if it is of an earlier version. Nil logs are none.
func (f *Found) Open(logs Logs) (*DB, error) {
	db, err := f.open(logs)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", f.opt.Path, err), f.Close())
	}
	f.file = nil // it is closed with db
	return db, nil
}

func (f *Found) open(logs Logs) (*DB, error) {
	if f.file == nil {
		if err := create(f.opt.FS, f.opt.Path); err != nil {
			return nil, err
		}
		if err := f.read(); err != nil {
			return nil, err
		}
	}
	if f.restore {
		if err := f.writeMeta(); err != nil {
			return nil, err
		}
	}
	db, err := openFile(f.file, bolt.Options{ReadOnly: f.readOnly})
	if err != nil {
		return nil, err
	}
	db.tables, db.bond, db.logs, db.number, db.logger = f.contents.tables, f.contents.bond, logs, f.number, f.opt.Logger
	for _, damage := range f.contents.rows {
		f.opt.Logger.Error("damage found in the catalog", "error", damage)
	}
	if f.readOnly {
		db.failed = errors.New("opened for reading")
	} else if err := f.prepare(db); err != nil {
		return nil, errors.Join(err, db.bolt.Close())
	}
	go db.commitLoop()
	return db, nil
}

// prepare writes what a start has to write.
func (f *Found) prepare(db *DB) (err error) {
	if f.contents.version != formatVersion || db.logs != nil && db.bond.identity == 0 {
		if err := db.upgrade(); err != nil {
			return err
		}
	}
	if db.marker, err = openMarker(f.opt.FS, f.opt.Path, f.file, f.meta.page); err != nil {
		return err
	}
	id, err := db.last()
	if err == nil {
		f.number.Store(id)
		err = db.marker.note(id)
	}
	if err == nil {
		err = db.marker.file.Sync()
	}
	if err != nil {
		err = errors.Join(err, db.marker.file.Close())
	}
	return err
}

// writeMeta writes a meta page again.
func (f *Found) writeMeta() error {
	page := make([]byte, f.meta.page)
	copy(page, f.meta.raw[:])
	if _, err := f.file.WriteAt(page, int64(f.meta.tx%metaPageIDs)*f.meta.page); err != nil {
		return err
	}
	return f.file.Sync()
}

// readAll reads a file under one of its metas.
func readAll(file *os.File, path string, m meta) (*contents, error) {
	st, err := file.Stat()
	if err != nil {
		return nil, err
	}
	return scan(io.ReaderAt(file), st.Size(), path, m)
}

// Open opens the catalog at path, making it if there is none. It fails as Read does.
func Open(path string) (*DB, error) {
	f, err := Read(Options{Path: path})
	if err != nil {
		return nil, err
	}
	return f.Open(nil)
}

// OpenToRead opens the catalog at path for reading and never writes to it. It fails
// as Read does, and when a start would have to repair something.
func OpenToRead(path string) (*DB, error) {
	f, err := find(Options{Path: path}, true)
	if err != nil {
		return nil, err
	}
	if !f.Exists() {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return f.Open(nil)
}
