package file

import (
	"bytes"

	bolt "go.etcd.io/bbolt"
)

// Dump returns all tables at one moment, as OpenDump takes them, and the number of
// the last update in them.
func (db *DB) Dump() (dump []byte, version int, err error) {
	err = guard(db.bolt.Path(), func() error {
		return db.bolt.View(func(tx *bolt.Tx) error {
			var b bytes.Buffer
			b.Grow(int(tx.Size()))
			_, err := tx.WriteTo(&b)
			dump, version = b.Bytes(), tx.ID()
			return err
		})
	})
	return dump, version, err
}

// Version returns the number of the last update.
func (db *DB) Version() (version int, err error) {
	err = guard(db.bolt.Path(), func() error {
		return db.bolt.View(func(tx *bolt.Tx) error {
			version = tx.ID()
			return nil
		})
	})
	return version, err
}
