package codec

import (
	"bytes"
	"errors"
	"slices"

	"github.com/segmentio/asm/base64"
)

var (
	errBase64  = errors.New("is not Base64")
	errContent = errors.New("not a JSON string")
)

// decodeBase64 decodes text in place. plain says that text is known to be what
// a JSON string can hold, otherwise errContent is returned when it is not.
func decodeBase64(text []byte, plain bool) ([]byte, error) {
	// The decoder would pass over these two.
	if bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0 {
		if plain {
			return nil, errBase64
		}
		return nil, errContent
	}
	// In place is safe: whatever is written lies before what is still to be
	// read, also for the vectors, which write more bytes than they decode.
	n, err := base64.StdEncoding.Decode(text, text)
	if err == nil {
		return text[:n:n], nil
	}
	// The n bytes come from proper characters; those behind are still there.
	if plain || isContent(text[(n+2)/3*4:]) {
		return nil, errBase64
	}
	return nil, errContent
}

func appendBase64(dst, data []byte) []byte {
	n := base64.StdEncoding.EncodedLen(len(data))
	dst = slices.Grow(dst, n)
	base64.StdEncoding.Encode(dst[len(dst):len(dst)+n], data)
	return dst[:len(dst)+n]
}
