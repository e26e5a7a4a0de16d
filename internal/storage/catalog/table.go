package catalog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	bolt "go.etcd.io/bbolt"

	"disd/internal/storage"
)

// A Tx is a transaction over all tables, valid until the function it was given
// to returns.
type Tx struct {
	tx   *bolt.Tx
	path string
}

// A Table holds values of one type under keys of one or more parts. Keys sort by
// their parts, each byte-wise.
type Table[V any] struct{ name string }

// NewTable declares a table. The name is part of the file format. Two tables of
// one name are the same table.
func NewTable[V any](name string) Table[V] { return Table[V]{name} }

// Get returns the value under key, or false when there is none. A CorruptError
// when the stored bytes are not what was put.
func (t Table[V]) Get(tx *Tx, key ...string) (v V, ok bool, err error) {
	k, err := joinKey(key)
	if err != nil {
		return v, false, err
	}
	b := tx.tx.Bucket([]byte(t.name))
	if b == nil {
		return v, false, nil
	}
	raw := b.Get(k)
	if raw == nil {
		return v, false, nil
	}
	err = t.decode(tx, k, raw, &v)
	return v, err == nil, err
}

// Put stores v under key, replacing what was there.
func (t Table[V]) Put(tx *Tx, v V, key ...string) error {
	k, err := joinKey(key)
	if err != nil {
		return err
	}
	b, err := tx.tx.CreateBucketIfNotExists([]byte(t.name))
	if err != nil {
		return err
	}
	raw, err := encodeValue(k, v)
	if err != nil {
		return err
	}
	return b.Put(k, raw)
}

// Delete removes the value under key, if any.
func (t Table[V]) Delete(tx *Tx, key ...string) error {
	k, err := joinKey(key)
	if err != nil {
		return err
	}
	b := tx.tx.Bucket([]byte(t.name))
	if b == nil {
		return nil
	}
	return b.Delete(k)
}

// Each calls fn for every value whose key begins with the parts of prefix, in
// order of keys, until fn returns an error, which it returns. fn must not change
// the table.
func (t Table[V]) Each(tx *Tx, prefix []string, fn func(key []string, v V) error) error {
	return t.each(tx, prefix, func(k, raw []byte) error {
		var v V
		if err := t.decode(tx, k, raw, &v); err != nil {
			return err
		}
		return fn(splitKey(k), v)
	})
}

// Keys returns the keys that begin with the parts of prefix, in order, whether their
// values are intact or not.
func (t Table[V]) Keys(tx *Tx, prefix ...string) (keys [][]string, err error) {
	err = t.each(tx, prefix, func(k, _ []byte) error {
		keys = append(keys, splitKey(k))
		return nil
	})
	return keys, err
}

// Any reports whether a key begins with the parts of prefix.
func (t Table[V]) Any(tx *Tx, prefix ...string) (bool, error) {
	found := false
	stop := errors.New("found")
	err := t.each(tx, prefix, func(_, _ []byte) error {
		found = true
		return stop
	})
	if found {
		return true, nil
	}
	return false, err
}

// Clear removes every value whose key begins with the parts of prefix and
// returns how many there were.
func (t Table[V]) Clear(tx *Tx, prefix ...string) (int, error) {
	var keys [][]byte
	err := t.each(tx, prefix, func(k, _ []byte) error {
		keys = append(keys, bytes.Clone(k))
		return nil
	})
	if err != nil || len(keys) == 0 {
		return 0, err
	}
	b := tx.tx.Bucket([]byte(t.name))
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return 0, err
		}
	}
	return len(keys), nil
}

func (t Table[V]) each(tx *Tx, prefix []string, fn func(k, raw []byte) error) error {
	p, err := joinKey(prefix)
	if err != nil {
		return err
	}
	b := tx.tx.Bucket([]byte(t.name))
	if b == nil {
		return nil
	}
	c := b.Cursor()
	for k, raw := c.Seek(p); k != nil && bytes.HasPrefix(k, p); k, raw = c.Next() {
		if err := fn(k, raw); err != nil {
			return err
		}
	}
	return nil
}

func (t Table[V]) decode(tx *Tx, k, raw []byte, v *V) error {
	if reason := decodeValue(k, raw, v); reason != "" {
		return &storage.CorruptError{
			File:   tx.path,
			Reason: fmt.Sprintf("table %s, key %q: %s", t.name, strings.Join(splitKey(k), "/"), reason),
		}
	}
	return nil
}

// joinKey ends every part with a zero byte, so that parts sort as parts and a
// prefix of parts is a prefix of bytes.
func joinKey(parts []string) ([]byte, error) {
	var k []byte
	for _, p := range parts {
		if strings.IndexByte(p, 0) >= 0 {
			return nil, fmt.Errorf("%w: key part %q", storage.ErrInvalid, p)
		}
		k = append(append(k, p...), 0)
	}
	return k, nil
}

func splitKey(k []byte) []string {
	return strings.Split(strings.TrimSuffix(string(k), "\x00"), "\x00")
}

// A value is: version (1 byte, 1), CRC32C over key and JSON (4 bytes, little
// endian), JSON. The key is covered so that a value found under another key is
// noticed. These sizes are part of the file format.
const (
	valueVersion    = 1
	valueHeaderSize = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeValue(k []byte, v any) ([]byte, error) {
	doc, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, valueHeaderSize, valueHeaderSize+len(doc))
	raw[0] = valueVersion
	binary.LittleEndian.PutUint32(raw[1:], valueSum(k, doc))
	return append(raw, doc...), nil
}

// decodeValue returns why raw cannot be read, "" when it was.
func decodeValue(k, raw []byte, v any) string {
	if len(raw) < valueHeaderSize {
		return "value is too short"
	}
	if raw[0] != valueVersion {
		return fmt.Sprintf("unknown value version %d", raw[0])
	}
	doc := raw[valueHeaderSize:]
	if binary.LittleEndian.Uint32(raw[1:]) != valueSum(k, doc) {
		return "value checksum mismatch"
	}
	if err := json.Unmarshal(doc, v); err != nil {
		return err.Error()
	}
	return ""
}

func valueSum(k, doc []byte) uint32 {
	return crc32.Update(crc32.Checksum(k, castagnoli), castagnoli, doc)
}
