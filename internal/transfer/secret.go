package transfer

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	"disd/internal/storage/catalog"
)

// A vault encrypts the secrets of tasks at rest, each bound to its task.
type vault struct{ aead cipher.AEAD }

var keys = catalog.NewTable[[]byte]("keys")

// openVault returns a vault with the given key of 32 bytes, or the one kept in
// the catalog when it is nil, which is made at first use.
func openVault(db *catalog.DB, key []byte) (*vault, error) {
	if key == nil {
		fresh := make([]byte, 32)
		rand.Read(fresh)
		err := db.Update(func(tx *catalog.Tx) error {
			k, ok, err := keys.Get(tx, "transfer")
			if err != nil || ok {
				key = k
				return err
			}
			key = fresh
			return keys.Put(tx, fresh, "transfer")
		})
		if err != nil {
			return nil, err
		}
	}
	if len(key) != 32 {
		return nil, errors.New("the key for secrets of transfer tasks must have 32 bytes")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &vault{aead}, err
}

// seal encrypts a secret of a task; nil for none.
func (v *vault) seal(taskID, secret string) []byte {
	if secret == "" {
		return nil
	}
	nonce := make([]byte, v.aead.NonceSize())
	rand.Read(nonce)
	return v.aead.Seal(nonce, nonce, []byte(secret), []byte(taskID))
}

func (v *vault) open(taskID string, sealed []byte) (string, error) {
	if sealed == nil {
		return "", nil
	}
	n := v.aead.NonceSize()
	if len(sealed) < n {
		return "", errors.New("sealed secret is too short")
	}
	secret, err := v.aead.Open(nil, sealed[:n], sealed[n:], []byte(taskID))
	if err != nil {
		return "", fmt.Errorf("the secret of transfer task %s was sealed with another key: %w", taskID, err)
	}
	return string(secret), nil
}
