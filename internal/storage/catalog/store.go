// Package catalog keeps metadata in typed tables with transactions that may
// span all of them. It knows tables, not meanings: the packages above say what
// a stream or a checkpoint is. Where the rows lie is the business of a Store;
// package file keeps them in one file.
package catalog

// A Store keeps the rows of all tables. Package catalogtest says what each one
// must pass. All methods may be called at any time by any number of goroutines.
type Store interface {
	// View runs fn in a transaction that changes nothing: a consistent picture
	// of all tables. fn must not wait for an update. View returns the error of
	// fn, or a storage.CorruptError when rows cannot be read.
	View(fn func(Tx) error) error
	// Update runs fn in a transaction that is durable when nil is returned. fn
	// may run more than once before that, so it must set, never add to, what it
	// captures, and must decide only by what it reads in the transaction. An
	// error of fn undoes what fn did and is returned. storage.ErrUnavailable
	// when nothing was stored; storage.ErrUnknown when that is not known: the
	// change may be seen by later calls, or after a restart, or never.
	Update(fn func(Tx) error) error
	// Health returns nil when the store takes updates.
	Health() error
	// Check reads everything and returns what is damaged, nil for nothing.
	Check() []error
	// Close waits for updates under way. Later ones are refused with
	// storage.ErrUnavailable.
	Close() error
}

// A Tx is a transaction, valid until the function it was given to returns. It
// sees its own writes. Tables need not be declared before they are used. What
// it returns must not be changed and is valid as long as the Tx.
type Tx interface {
	// Get returns the document under key, nil when there is none. A
	// storage.CorruptError when it is not what was put.
	Get(table string, key []byte) ([]byte, error)
	// Put stores a document under key, replacing what was there.
	Put(table string, key, doc []byte) error
	// Delete removes the document under key, if any.
	Delete(table string, key []byte) error
	// Ascend calls fn for each key that begins with prefix, in byte order, with
	// its document or with the storage.CorruptError that Get would return. It
	// ends with the first error of fn and returns it. fn must not change the
	// table.
	Ascend(table string, prefix []byte, fn func(key, doc []byte, damage error) error) error
}
