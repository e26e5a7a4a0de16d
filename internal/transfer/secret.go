package transfer

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	"disd/internal/storage/catalog"
)

// A vault encrypts the secrets of tasks at rest, each bound to its task. Its first
// key seals, all of them open.
type vault []cipher.AEAD

// openVault returns a vault with keys of 32 bytes, by default one that is random and
// kept nowhere.
func openVault(keys [][]byte) (vault, error) {
	if len(keys) == 0 {
		keys = [][]byte{make([]byte, 32)}
		rand.Read(keys[0])
	}
	var v vault
	for _, key := range keys {
		if len(key) != 32 {
			return nil, errors.New("the keys for secrets of transfer tasks must have 32 bytes")
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		v = append(v, aead)
	}
	return v, nil
}

// seal encrypts a secret of a task; nil for none.
func (v vault) seal(taskID, secret string) []byte {
	if secret == "" {
		return nil
	}
	return v[0].Seal(nil, nil, []byte(secret), []byte(taskID))
}

func (v vault) open(taskID string, sealed []byte) (string, error) {
	secret, _, err := v.find(taskID, sealed)
	return secret, err
}

// find returns a secret and which key it was sealed with.
func (v vault) find(taskID string, sealed []byte) (secret string, key int, err error) {
	if sealed == nil {
		return "", 0, nil
	}
	for i, aead := range v {
		var plain []byte
		if plain, err = aead.Open(nil, nil, sealed, []byte(taskID)); err == nil {
			return string(plain), i, nil
		}
	}
	return "", 0, fmt.Errorf("the secret of transfer task %s was sealed with another key: %w", taskID, err)
}

// renew seals with the first key what another one sealed, so that the others can be
// removed.
func (v vault) renew(db catalog.Store) error {
	var old []Task
	err := db.View(func(tx catalog.Tx) error {
		return tasks.Each(tx, nil, func(_ catalog.Key, row Task) error {
			if secret, key, err := v.find(row.ID, row.Secret); err == nil && key > 0 {
				row.Secret = v.seal(row.ID, secret)
				old = append(old, row)
			}
			return nil // a task whose secret is lost says so when it runs
		})
	})
	if err != nil || old == nil {
		return err
	}
	return db.Update(func(tx catalog.Tx) error {
		for _, row := range old {
			if err := tasks.Put(tx, row.key(), row); err != nil {
				return err
			}
		}
		return nil
	})
}
