package catalog

import (
	"encoding/json"
	"errors"
	"fmt"

	"disd/internal/storage"
)

// A Table holds values of one type under keys.
type Table[V any] struct{ name string }

// NewTable declares a table. The name is part of the format. Two tables of one
// name are the same table.
func NewTable[V any](name string) Table[V] { return Table[V]{name} }

// Get returns the value under key, or false when there is none. A
// storage.CorruptError when what is stored is not what was put.
func (t Table[V]) Get(tx Tx, key Key) (v V, ok bool, err error) {
	k, err := key.bytes()
	if err != nil {
		return v, false, err
	}
	doc, err := tx.Get(t.name, k)
	if err != nil || doc == nil {
		return v, false, err
	}
	v, err = t.decode(k, doc)
	return v, err == nil, err
}

// Put stores v under key, replacing what was there. storage.ErrInvalid when a
// part of the key has a zero byte.
func (t Table[V]) Put(tx Tx, key Key, v V) error {
	k, err := key.bytes()
	if err != nil {
		return err
	}
	doc, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Put(t.name, k, doc)
}

// Delete removes the value under key, if any.
func (t Table[V]) Delete(tx Tx, key Key) error {
	k, err := key.bytes()
	if err != nil {
		return err
	}
	return tx.Delete(t.name, k)
}

// Each calls fn for every value whose key begins with the parts of prefix, in
// order of keys, until fn returns an error, which it returns. fn must not change
// the table.
func (t Table[V]) Each(tx Tx, prefix Key, fn func(key Key, v V) error) error {
	return t.ascend(tx, prefix, func(k, doc []byte, damage error) error {
		if damage != nil {
			return damage
		}
		v, err := t.decode(k, doc)
		if err != nil {
			return err
		}
		return fn(KeyOf(k), v)
	})
}

// Keys returns the keys that begin with the parts of prefix, in order, whether their
// values are intact or not.
func (t Table[V]) Keys(tx Tx, prefix Key) (keys []Key, err error) {
	err = t.ascend(tx, prefix, func(k, _ []byte, _ error) error {
		keys = append(keys, KeyOf(k))
		return nil
	})
	return keys, err
}

// Any reports whether a key begins with the parts of prefix.
func (t Table[V]) Any(tx Tx, prefix Key) (bool, error) {
	found := errors.New("found")
	err := t.ascend(tx, prefix, func(_, _ []byte, _ error) error { return found })
	if errors.Is(err, found) {
		return true, nil
	}
	return false, err
}

// Clear removes every value whose key begins with the parts of prefix and
// returns how many there were.
func (t Table[V]) Clear(tx Tx, prefix Key) (int, error) {
	keys, err := t.Keys(tx, prefix)
	if err != nil {
		return 0, err
	}
	for _, k := range keys {
		if err := t.Delete(tx, k); err != nil {
			return 0, err
		}
	}
	return len(keys), nil
}

func (t Table[V]) ascend(tx Tx, prefix Key, fn func(k, doc []byte, damage error) error) error {
	p, err := prefix.bytes()
	if err != nil {
		return err
	}
	return tx.Ascend(t.name, p, fn)
}

func (t Table[V]) decode(k, doc []byte) (v V, err error) {
	if err := json.Unmarshal(doc, &v); err != nil {
		return v, &storage.CorruptError{File: "catalog", Reason: fmt.Sprintf("table %s, key %q: %v", t.name, KeyOf(k), err)}
	}
	return v, nil
}
