package catalog

import (
	"fmt"
	"strings"

	"disd/internal/storage"
)

// A Key is where a row lies in its table: one or more parts. Keys sort by their
// parts, each byte-wise, so the first parts of a key are the prefix of those
// beside it. Each table has one function that makes its keys.
type Key []string

// Digits writes n with at least that many digits, so that numbers that are not
// negative sort as parts of keys. How many a table uses is part of its format.
func Digits[N ~int | ~int32 | ~int64](n N, digits int) string {
	return fmt.Sprintf("%0*d", digits, n)
}

// bytes ends every part with a zero byte, so that parts sort as parts and a
// prefix of parts is a prefix of bytes.
func (k Key) bytes() ([]byte, error) {
	var b []byte
	for _, part := range k {
		if strings.IndexByte(part, 0) >= 0 {
			return nil, fmt.Errorf("%w: key part %q", storage.ErrInvalid, part)
		}
		b = append(append(b, part...), 0)
	}
	return b, nil
}

// KeyOf returns the key that is stored as b.
func KeyOf(b []byte) Key {
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// String returns the parts as messages show them.
func (k Key) String() string { return strings.Join(k, "/") }
