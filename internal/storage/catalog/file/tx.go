package file

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
)

// A transaction is a catalog.Tx over the buckets of a bbolt file.
type transaction struct {
	tx   *bolt.Tx
	path string

	// Of one that writes: what the last one left, and the sums of the tables
	// that this one changes.
	tables  map[string]sum
	bond    bond
	changed map[string]*sum
}

// sum returns that of a table, to be changed.
func (t *transaction) sum(table string) *sum {
	s := t.changed[table]
	if s == nil {
		was := t.tables[table]
		s = &was
		t.changed[table] = s
	}
	return s
}

// seal writes the sums, and what is known of the logs, beside what they are about.
func (t *transaction) seal(logs Logs) error {
	if len(t.changed) == 0 {
		return nil
	}
	for table, s := range t.changed {
		if err := t.tx.Bucket(sumsBucket).Put([]byte(table), s.encode(table)); err != nil {
			return err
		}
	}
	if logs == nil {
		return nil
	}
	now := bond{logs.Identity(), logs.Durable()}
	if now == t.bond {
		return nil
	}
	t.bond = now
	return t.tx.Bucket(formatBucket).Put(logsKey, now.encode())
}

func (t *transaction) Get(table string, key []byte) ([]byte, error) {
	b := t.tx.Bucket([]byte(table))
	if b == nil {
		return nil, nil
	}
	raw := b.Get(key)
	if raw == nil {
		return nil, nil
	}
	return t.doc(table, key, raw)
}

func (t *transaction) Put(table string, key, doc []byte) error {
	b, err := t.tx.CreateBucketIfNotExists([]byte(table))
	if err != nil {
		return err
	}
	was := b.Get(key)
	raw := encodeValue(key, doc)
	if err := b.Put(key, raw); err != nil {
		return err
	}
	s := t.sum(table)
	if was != nil {
		s.remove(key, was)
	}
	s.add(key, raw)
	return nil
}

func (t *transaction) Delete(table string, key []byte) error {
	b := t.tx.Bucket([]byte(table))
	if b == nil {
		return nil
	}
	was := b.Get(key)
	if was == nil {
		return nil
	}
	if err := b.Delete(key); err != nil {
		return err
	}
	t.sum(table).remove(key, was)
	return nil
}

func (t *transaction) Ascend(table string, prefix []byte, fn func(key, doc []byte, damage error) error) error {
	b := t.tx.Bucket([]byte(table))
	if b == nil {
		return nil
	}
	c := b.Cursor()
	for k, raw := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, raw = c.Next() {
		doc, damage := t.doc(table, k, raw)
		if err := fn(k, doc, damage); err != nil {
			return err
		}
	}
	return nil
}

// doc returns the document of a value, or where and how it is damaged.
func (t *transaction) doc(table string, key, raw []byte) ([]byte, error) {
	doc, reason := decodeValue(key, raw)
	if reason != "" {
		reason = fmt.Sprintf("table %s, key %q: %s", table, catalog.KeyOf(key), reason)
		return nil, &storage.CorruptError{File: t.path, Reason: reason}
	}
	return doc, nil
}

// A value is: version (1 byte, 1), CRC32C over key and document (4 bytes, little
// endian), document. The key is covered so that a value found under another key
// is noticed. These sizes are part of the file format.
const (
	valueVersion    = 1
	valueHeaderSize = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeValue(key, doc []byte) []byte {
	raw := make([]byte, valueHeaderSize, valueHeaderSize+len(doc))
	raw[0] = valueVersion
	binary.LittleEndian.PutUint32(raw[1:], valueSum(key, doc))
	return append(raw, doc...)
}

// decodeValue returns the document in raw, or why it cannot be read.
func decodeValue(key, raw []byte) (doc []byte, reason string) {
	if len(raw) < valueHeaderSize {
		return nil, "value is too short"
	}
	if raw[0] != valueVersion {
		return nil, fmt.Sprintf("unknown value version %d", raw[0])
	}
	doc = raw[valueHeaderSize:]
	if binary.LittleEndian.Uint32(raw[1:]) != valueSum(key, doc) {
		return nil, "value checksum mismatch"
	}
	return doc, ""
}

func valueSum(key, doc []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, doc)
}
