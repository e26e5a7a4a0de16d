// Package file keeps the catalog in one bbolt file. The file's format is
// specified in docs/format-catalog.md.
package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
)

// formatVersion is part of the file format: the value of key "version" in
// bucket "_format".
const formatVersion = "1"

var (
	formatBucket = []byte("_format")
	versionKey   = []byte("version")
)

// ErrLocked is returned by Open when another process has the file open.
var ErrLocked = errors.New("catalog is in use by another process")

// ErrVersion is returned by Open for a file of a format it does not know.
var ErrVersion = errors.New("unknown catalog format version")

// A DB is an open catalog. All methods may be called at any time.
type DB struct {
	bolt *bolt.DB

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

// Open opens the catalog at path, making it if there is none. ErrLocked,
// ErrVersion, or an error of the file system.
func Open(path string) (*DB, error) {
	if err := create(path); err != nil {
		return nil, err
	}
	return open(path, nil, false)
}

// OpenToRead opens the catalog at path for reading and never writes to it.
func OpenToRead(path string) (*DB, error) { return open(path, nil, true) }

// OpenMemory opens an empty catalog that lives as long as it is open. It keeps
// the same promises but durability.
func OpenMemory() (*DB, error) {
	f, err := anonymousFile()
	if err != nil {
		return nil, fmt.Errorf("make an anonymous file for the catalog: %w", err)
	}
	give := func(string, int, os.FileMode) (*os.File, error) { return f, nil }
	return open(f.Name(), give, false)
}

func open(path string, give func(string, int, os.FileMode) (*os.File, error), read bool) (*DB, error) {
	if st, err := os.Stat(path); give == nil && err == nil && st.Size() == 0 {
		return nil, &storage.CorruptError{File: path, Reason: "file is empty"} // bbolt would take it for a new one
	}
	var b *bolt.DB
	err := guard(path, func() (err error) {
		b, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout:      100 * time.Millisecond,
			FreelistType: bolt.FreelistMapType,
			NoSync:       give != nil,
			OpenFile:     give,
			ReadOnly:     read,
		})
		return err
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%s: %w", path, ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("open catalog %s: %w", path, err)
	}
	if give != nil {
		err = b.Update(writeVersion)
	}
	if err == nil {
		err = guard(path, func() error { return b.View(checkVersion) })
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, errors.Join(err, b.Close()))
	}
	db := &DB{bolt: b, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if read {
		db.failed = errors.New("opened for reading")
	}
	go db.commitLoop()
	return db, nil
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
func create(path string) error {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	tmp := path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	b, err := bolt.Open(tmp, 0o600, &bolt.Options{Timeout: 100 * time.Millisecond})
	if err != nil {
		return fmt.Errorf("create catalog %s: %w", path, err)
	}
	err = errors.Join(b.Update(writeVersion), b.Sync(), b.Close())
	if err != nil {
		return fmt.Errorf("create catalog %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func writeVersion(tx *bolt.Tx) error {
	b, err := tx.CreateBucketIfNotExists(formatBucket)
	if err != nil {
		return err
	}
	return b.Put(versionKey, []byte(formatVersion))
}

func checkVersion(tx *bolt.Tx) error {
	b := tx.Bucket(formatBucket)
	if b == nil {
		return fmt.Errorf("%w: none", ErrVersion)
	}
	if v := string(b.Get(versionKey)); v != formatVersion {
		return fmt.Errorf("%w: %q", ErrVersion, v)
	}
	return nil
}

// View is that of catalog.Store.
func (db *DB) View(fn func(catalog.Tx) error) error {
	return db.view(func(tx *transaction) error { return fn(tx) })
}

func (db *DB) view(fn func(*transaction) error) error {
	return guard(db.bolt.Path(), func() error {
		return db.bolt.View(func(tx *bolt.Tx) error { return fn(&transaction{tx, db.bolt.Path()}) })
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
		failed, id, ended := -1, 0, false
		var cause error
		err := guard(db.bolt.Path(), func() error {
			err := db.bolt.Update(func(tx *bolt.Tx) error {
				id = tx.ID()
				for i, c := range group {
					cause = guard(db.bolt.Path(), func() error { return c.fn(&transaction{tx, db.bolt.Path()}) })
					if cause != nil {
						failed = i
						return cause
					}
				}
				return nil
			})
			ended = true
			return err
		})
		switch {
		case failed >= 0:
			group[failed].done <- cause
			group = append(group[:failed:failed], group[failed+1:]...)
			continue
		case err != nil && ended && !db.wrote(id):
			db.miss(err)
			err = fmt.Errorf("commit catalog: %w: %w", storage.ErrUnavailable, err)
		case err != nil:
			db.mu.Lock()
			db.failed, db.broken = err, !ended
			db.mu.Unlock()
			err = fmt.Errorf("commit catalog: %w: %w", storage.ErrUnknown, err)
		default:
			db.miss(nil)
		}
		for _, c := range group {
			c.done <- err
		}
		return
	}
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
	last := id
	err := db.bolt.View(func(tx *bolt.Tx) error { last = tx.ID(); return nil })
	return err != nil || last >= id
}

// Check reads the whole file and returns what is damaged in it.
func (db *DB) Check() (damage []error) {
	note := func(err error) {
		if err != nil {
			damage = append(damage, err)
		}
	}
	note(db.view(func(tx *transaction) error {
		return tx.tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			if string(name) == string(formatBucket) {
				return nil
			}
			return b.ForEach(func(k, raw []byte) error {
				_, err := tx.doc(string(name), k, raw)
				note(err)
				return nil
			})
		})
	}))
	if len(damage) > 0 {
		return damage
	}
	note(db.view(func(tx *transaction) error {
		for err := range tx.tx.Check() {
			note(&storage.CorruptError{File: tx.path, Reason: err.Error()})
		}
		return nil
	}))
	return damage
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
	return db.bolt.Close()
}
