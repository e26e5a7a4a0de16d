package auth

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"disd/internal/auth/keyfile"
)

// A Keyring encrypts what must be read back: the secrets of stored access keys,
// tokens and security tokens, and by keys derived from it what others must keep. Its first key seals, all of them open, so keys are
// rotated by putting a new one in front and removing the old one later.
type Keyring struct{ keys []ringKey }

// A ringKey has one cipher per purpose, so that what was sealed for one never
// opens as another.
type ringKey struct {
	raw   []byte
	id    []byte
	seals map[purpose]cipher.AEAD
}

type purpose string

const (
	forSecrets        purpose = "access key"
	forTokens         purpose = "token"
	forSecurityTokens purpose = "security token"
)

// Sizes of a key, and of its id in front of what it sealed. keyPrefix begins
// every line of a key file. All are part of the file format.
const (
	ringKeySize = 32
	ringKeyID   = 4
	keyPrefix   = "disd-key-1 "
)

var errSealed = errors.New("not sealed with a key of this server")

// NewKeyring returns a keyring whose only key is random and kept nowhere.
func NewKeyring() *Keyring {
	raw := make([]byte, ringKeySize)
	rand.Read(raw)
	return &Keyring{[]ringKey{newRingKey(raw)}}
}

// OpenKeyring reads the key file at path, making it with a random key if there
// is none. A key is a line of "disd-key-1 " and 64 hex digits; lines that begin
// with # are comments.
func OpenKeyring(path string) (*Keyring, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		raw := make([]byte, ringKeySize)
		rand.Read(raw)
		text = []byte("# The first key seals, all of them open. Keep this file secret and backed up.\n" +
			keyPrefix + hex.EncodeToString(raw) + "\n")
		err = keyfile.Write(path, text, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	ring, err := parseKeyring(text)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return ring, nil
}

func parseKeyring(text []byte) (*Keyring, error) {
	var k Keyring
	for line := range bytes.Lines(text) {
		line := strings.TrimSpace(string(line))
		if line == "" || line[0] == '#' {
			continue
		}
		digits, ok := strings.CutPrefix(line, keyPrefix)
		raw, err := hex.DecodeString(digits)
		if !ok || err != nil || len(raw) != ringKeySize {
			return nil, fmt.Errorf("line %d is not a key", len(k.keys)+1) // never the line itself
		}
		k.keys = append(k.keys, newRingKey(raw))
	}
	if len(k.keys) == 0 {
		return nil, errors.New("no key")
	}
	return &k, nil
}

func newRingKey(raw []byte) ringKey {
	k := ringKey{raw: raw, id: expand(raw, "id", ringKeyID), seals: make(map[purpose]cipher.AEAD)}
	for _, p := range []purpose{forSecrets, forTokens, forSecurityTokens} {
		block, err := aes.NewCipher(expand(raw, string(p), 32))
		if err != nil {
			panic(err) // the size is right
		}
		if k.seals[p], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			panic(err)
		}
	}
	return k
}

func expand(raw []byte, info string, n int) []byte {
	b, err := hkdf.Key(sha256.New, raw, nil, "disd "+info, n)
	if err != nil {
		panic(err) // n is small
	}
	return b
}

// Derive returns a key of 32 bytes for another purpose from each key of the ring, in
// its order.
func (k *Keyring) Derive(purpose string) [][]byte {
	var keys [][]byte
	for _, key := range k.keys {
		keys = append(keys, expand(key.raw, purpose, ringKeySize))
	}
	return keys
}

// seal encrypts and authenticates data, and authenticates about.
func (k *Keyring) seal(p purpose, data []byte, about string) []byte {
	first := k.keys[0]
	return first.seals[p].Seal(bytes.Clone(first.id), nil, data, []byte(about))
}

// open returns what was sealed, and whether the first key sealed it.
func (k *Keyring) open(p purpose, sealed []byte, about string) (data []byte, current bool, err error) {
	for i, key := range k.keys {
		rest, ok := bytes.CutPrefix(sealed, key.id)
		if !ok {
			continue
		}
		if data, err := key.seals[p].Open(nil, nil, rest, []byte(about)); err == nil {
			return data, i == 0, nil
		}
	}
	return nil, false, errSealed
}

// sealText and openText are for what clients carry: printable, URL-safe.
func (k *Keyring) sealText(p purpose, data []byte) string {
	return base64.RawURLEncoding.EncodeToString(k.seal(p, data, ""))
}

func (k *Keyring) openText(p purpose, text string) ([]byte, error) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return nil, errSealed
	}
	data, _, err := k.open(p, sealed, "")
	return data, err
}
