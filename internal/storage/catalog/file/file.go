// Package file keeps the catalog in one bbolt file. The file's format is
// specified in docs/format-catalog.md.
package file

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/storage/vfs"
)

// formatVersion is part of the file format: the value of key "version" in
// bucket "_format". Files of version 1 have no sums, and are upgraded.
const (
	formatVersion = "2"
	formatV1      = "1"
)

var (
	formatBucket = []byte("_format")
	versionKey   = []byte("version")
	logsKey      = []byte("logs")
	sumsBucket   = []byte("_sums")
)

// ErrLocked is returned by Read and Open when another process has the file open.
var ErrLocked = errors.New("catalog is in use by another process")

// ErrVersion is returned by Read and Open for a file of a format it does not know.
var ErrVersion = errors.New("unknown catalog format version")

// A DB is an open catalog. All methods may be called at any time.
type DB struct {
	bolt   *bolt.DB
	file   *os.File // that of bolt
	marker *marker  // nil in memory, and when opened for reading
	logs   Logs     // nil for none
	number *atomic.Uint64
	logger *slog.Logger // set with marker

	// Owned by the committer: what the last commit left.
	tables map[string]sum
	bond   bond
	odd    error // why the mark is not written, nil if it is

	mu     sync.Mutex
	queue  []*call
	closed bool
	failed error         // set once by a commit of unknown outcome; nothing is written after it
	broken bool          // bbolt panicked in a commit, and may hold its locks
	missed error         // why the last commit wrote nothing, nil if it did
	wake   chan struct{} // one token: the queue may be non-empty
	done   chan struct{} // closed when the committer has ended
}

// A call is one Update waiting for the transaction that will carry it.
type call struct {
	fn   func(catalog.Tx) error
	done chan error
}

// OpenMemory opens an empty catalog that lives as long as it is open. It keeps
// the same promises but durability.
func OpenMemory() (*DB, error) { return OpenDump(nil) }

// OpenDump opens a catalog in memory, as OpenMemory does, with the tables that Dump
// returned, or empty ones.
func OpenDump(dump []byte) (*DB, error) {
	f, err := anonymousFile()
	if err != nil {
		return nil, fmt.Errorf("make an anonymous file for the catalog: %w", err)
	}
	if _, err := f.WriteAt(dump, 0); err != nil {
		return nil, errors.Join(fmt.Errorf("fill an anonymous file for the catalog: %w", err), f.Close())
	}
	db, err := openFile(f, bolt.Options{NoSync: true})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(db.bolt.Update(writeNew), db.readSums()); err != nil {
		return nil, errors.Join(err, db.bolt.Close())
	}
	db.number = new(atomic.Uint64)
	go db.commitLoop()
	return db, nil
}

// readSums takes the sums of tables from where they are stored.
func (db *DB) readSums() error {
	db.tables = make(map[string]sum)
	return db.bolt.View(func(tx *bolt.Tx) error {
		return tx.Bucket(sumsBucket).ForEach(func(table, raw []byte) error {
			s, ok := decodeSum(string(table), raw)
			if !ok {
				return &storage.CorruptError{File: db.bolt.Path(), Reason: "the sums of table " + string(table) + " are damaged"}
			}
			db.tables[string(table)] = s
			return nil
		})
	})
}

// openFile has bbolt open a file, which it closes again.
func openFile(f *os.File, o bolt.Options) (*DB, error) {
	o.FreelistType = bolt.FreelistMapType
	o.OpenFile = func(string, int, os.FileMode) (*os.File, error) { return f, nil }
	var b *bolt.DB
	err := guard(f.Name(), func() (err error) {
		b, err = bolt.Open(f.Name(), 0o600, &o)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &DB{bolt: b, file: f, wake: make(chan struct{}, 1), done: make(chan struct{})}, nil
}

// guard calls f and makes a CorruptError of a panic or a fault: bbolt believes what
// it finds in a file.
func guard(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		reason := fmt.Sprint(p)
		if _, ok := p.(interface{ Addr() uintptr }); ok { // of a fault
			reason = "a page lies behind the end of the file"
		}
		err = &storage.CorruptError{File: path, Reason: reason}
	}()
	return f()
}

// create makes an empty catalog under a temporary name and renames it: bbolt's
// own first creation can be torn by a crash, this one leaves either no file or
// a whole one.
func create(fsys vfs.FS, path string) error {
	tmp := path + ".tmp"
	if err := fsys.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	b, err := bolt.Open(tmp, 0o600, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(b.Update(writeNew), b.Sync(), b.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, path); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(path))
}

// writeFormat makes a file one of this version.
func writeFormat(tx *bolt.Tx, logs bond) error {
	b, err := tx.CreateBucketIfNotExists(formatBucket)
	if err == nil {
		_, err = tx.CreateBucketIfNotExists(sumsBucket)
	}
	if err != nil {
		return err
	}
	return errors.Join(b.Put(versionKey, []byte(formatVersion)), b.Put(logsKey, logs.encode()))
}

func writeNew(tx *bolt.Tx) error { return writeFormat(tx, bond{}) }

// upgrade makes a file that of this version, with the sums of its tables as they
// were read, and has it name the logs.
func (db *DB) upgrade() error {
	if db.logs != nil {
		db.bond = bond{db.logs.Identity(), db.logs.Durable()}
	}
	return db.bolt.Update(func(tx *bolt.Tx) error {
		if err := writeFormat(tx, db.bond); err != nil {
			return err
		}
		for table, s := range db.tables {
			if err := tx.Bucket(sumsBucket).Put([]byte(table), s.encode(table)); err != nil {
				return err
			}
		}
		return nil
	})
}

// View is that of catalog.Store.
func (db *DB) View(fn func(catalog.Tx) error) error {
	return db.view(func(tx *transaction) error { return fn(tx) })
}

func (db *DB) view(fn func(*transaction) error) error {
	return guard(db.bolt.Path(), func() error {
		return db.bolt.View(func(tx *bolt.Tx) error { return fn(&transaction{tx: tx, path: db.bolt.Path()}) })
	})
}

// Update is that of catalog.Store. What concurrent calls want is committed
// together, and fn runs again when another call of its group failed. After a
// commit that the disk did not take (storage.ErrUnavailable) later ones may
// succeed. One that ends with storage.ErrUnknown is the last: the file's state
// is only known again after a restart, until then there is
// storage.ErrUnavailable.
func (db *DB) Update(fn func(catalog.Tx) error) error {
	c := &call{fn: fn, done: make(chan error, 1)}
	db.mu.Lock()
	if db.closed || db.failed != nil {
		db.mu.Unlock()
		return db.refusal()
	}
	db.queue = append(db.queue, c)
	db.mu.Unlock()
	select {
	case db.wake <- struct{}{}:
	default:
	}
	return <-c.done
}

func (db *DB) refusal() error {
	if err := db.failure(); err != nil {
		return err
	}
	return fmt.Errorf("catalog is closed: %w", storage.ErrUnavailable)
}

func (db *DB) failure() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.failed != nil {
		return fmt.Errorf("catalog %s takes no updates until a restart: %w: %w", db.bolt.Path(), storage.ErrUnavailable, db.failed)
	}
	return nil
}

// Health returns nil when the catalog takes updates. After a commit that the disk
// did not take it tries another.
func (db *DB) Health() error {
	db.mu.Lock()
	missed, stopped := db.missed, db.closed || db.failed != nil
	db.mu.Unlock()
	if stopped {
		return db.refusal()
	}
	if missed == nil {
		return nil
	}
	return db.Update(func(catalog.Tx) error { return nil })
}

// commitLoop commits whatever queued while the last commit ran, without delay.
func (db *DB) commitLoop() {
	defer close(db.done)
	for range db.wake {
		for {
			db.mu.Lock()
			group := db.queue
			db.queue = nil
			end := len(group) == 0 && db.closed
			db.mu.Unlock()
			if end {
				return
			}
			if len(group) == 0 {
				break
			}
			db.commit(group)
		}
	}
}

// commit carries out a group. A call that fails is answered, and the rest is
// tried again without it, because bbolt can only undo a whole transaction.
func (db *DB) commit(group []*call) {
	for len(group) > 0 {
		a := attempt{db: db, failed: -1}
		err := a.run(group)
		if a.failed >= 0 {
			group[a.failed].done <- a.cause
			group = append(group[:a.failed:a.failed], group[a.failed+1:]...)
			continue
		}
		err = db.settle(&a, err)
		for _, c := range group {
			c.done <- err
		}
		return
	}
}

// An attempt is one bbolt transaction with all calls of a group.
type attempt struct {
	db     *DB
	tx     *transaction
	id     int
	failed int   // the call that failed, -1 for none
	cause  error // why
	ended  bool  // bbolt returned
}

func (a *attempt) run(group []*call) error {
	path := a.db.bolt.Path()
	return guard(path, func() error {
		err := a.db.bolt.Update(func(tx *bolt.Tx) error {
			a.id = tx.ID()
			a.tx = &transaction{tx: tx, path: path, tables: a.db.tables, bond: a.db.bond, changed: make(map[string]*sum)}
			for i, c := range group {
				if a.cause = guard(path, func() error { return c.fn(a.tx) }); a.cause != nil {
					a.failed = i
					return a.cause
				}
			}
			return a.tx.seal(a.db.logs)
		})
		a.ended = true
		return err
	})
}

// settle notes what became of an attempt whose calls did not fail, and returns what
// they are to be told.
func (db *DB) settle(a *attempt, err error) error {
	switch {
	case err != nil && a.ended && !db.wrote(a.id):
		db.miss(err)
		return fmt.Errorf("commit catalog: %w: %w", storage.ErrUnavailable, err)
	case err != nil:
		db.mu.Lock()
		db.failed, db.broken = err, !a.ended
		db.mu.Unlock()
		return fmt.Errorf("commit catalog: %w: %w", storage.ErrUnknown, err)
	}
	db.miss(nil)
	for table, s := range a.tx.changed {
		db.tables[table] = *s
	}
	db.bond = a.tx.bond
	db.number.Store(uint64(a.id))
	db.note(uint64(a.id))
	return nil
}

// note has the mark know a commit. One that cannot be written costs the catalog
// nothing but what it would tell after damage.
func (db *DB) note(id uint64) {
	if db.marker == nil {
		return
	}
	err := db.marker.note(id)
	if err != nil && db.odd == nil {
		db.logger.Error("the mark of the catalog cannot be written", "error", err)
	}
	db.odd = err
}

func (db *DB) miss(err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.missed = err
}

// wrote reports whether a transaction that failed got as far as its meta page,
// which comes last and makes everything else count. Without it the transaction
// only touched pages that are free, and the file is what it was before.
func (db *DB) wrote(id int) bool {
	last, err := db.last()
	return err != nil || last >= uint64(id)
}

// last returns the number of the transaction that the file shows.
func (db *DB) last() (id uint64, err error) {
	err = db.bolt.View(func(tx *bolt.Tx) error { id = uint64(tx.ID()); return nil })
	return id, err
}

// Check reads the whole file and returns what is damaged in it.
func (db *DB) Check() []error {
	var c *contents
	err := db.view(func(tx *transaction) error {
		metas, err := readMetas(db.file) // tx keeps what they lead to from being written over
		for _, m := range metas {
			if m.tx == uint64(tx.tx.ID()) {
				c, err = readAll(db.file, tx.path, m)
				return err
			}
		}
		if err != nil {
			return err
		}
		return &storage.CorruptError{File: tx.path, Reason: "the meta page is damaged"}
	})
	if err != nil {
		return []error{err}
	}
	return c.rows
}

// Close waits for updates under way and closes the file.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil
	}
	db.closed = true
	db.mu.Unlock()
	select {
	case db.wake <- struct{}{}:
	default:
	}
	<-db.done
	if db.broken {
		return db.failure() // closing would wait for ever
	}
	err := db.bolt.Close()
	if db.marker != nil {
		err = errors.Join(err, db.marker.close())
	}
	return err
}
