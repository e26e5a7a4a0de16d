package catalog

import "crypto/rand"

const idAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// IDLength is how many characters an identifier has.
const IDLength = 19

// NewID returns a new random identifier of 19 characters [0-9A-Za-z] (C-37).
// At 113 bits it is never given twice.
func NewID() string {
	var id [IDLength]byte
	var b [64]byte
	for n := 0; n < len(id); {
		rand.Read(b[:])
		for _, c := range b {
			// Only values below a multiple of the alphabet, so that all
			// characters are equally likely.
			if c < 4*62 && n < len(id) {
				id[n] = idAlphabet[c%62]
				n++
			}
		}
	}
	return string(id[:])
}
