package rest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"disd/internal/api/codec"
)

// bodies reads request bodies into memory within a budget.
type bodies struct {
	limit  int64 // of one body, also when decompressed
	budget *Budget
	codec  *codec.Decompressor
}

// Bodies of operations that need no authentication: the size of one in bytes, and of
// all in memory, which are not those that others may have.
const (
	publicBody   = 64 << 10
	publicBodies = 64 << 20
)

// newBodies returns bodies of at most limit bytes each and total altogether.
func newBodies(limit, total int64, p *Pools) *bodies {
	d, err := codec.NewDecompressor(int(limit))
	if err != nil {
		panic(err) // its options are constant but for the limit, which is positive
	}
	return &bodies{limit, NewBudget(total, 2*limit, p), d} // one body and what it decompresses to
}

// read returns the whole body as it was received, of at most limit bytes. What it
// holds must be released when the request has been answered. Room for decompressing
// it is reserved at once, so that nobody waits for memory while holding some.
// Every piece is written to seen as it comes. ErrTooLarge, ErrBody, or what ends the
// request.
func (s *bodies) read(w http.ResponseWriter, r *http.Request, limit int64, seen io.Writer) ([]byte, *Lease, error) {
	n := r.ContentLength
	switch {
	case n > limit:
		return nil, nil, ErrTooLarge
	case n == 0:
		return nil, nil, nil
	case n < 0:
		n = limit // of unknown length
	}
	if isCompressed(r.Header.Get("Content-Encoding")) {
		n += s.limit
	}
	h := s.budget.Enter(r)
	if err := h.Reserve(r.Context(), n); err != nil {
		h.Release()
		return nil, nil, err
	}
	if r.ContentLength < 0 {
		r.Body = http.MaxBytesReader(w, r.Body, limit)
	}
	body, err := h.fill(r, seen)
	if err != nil {
		h.Release()
		return nil, nil, unread(err)
	}
	return body, h, nil
}

func (h *Lease) fill(r *http.Request, seen io.Writer) ([]byte, error) {
	declared := int(r.ContentLength)
	body := h.buffer(cmp.Or(max(declared, 0), 64<<10)).B
	if declared > 0 {
		body = body[:0:declared] // not to wait for more
	}
	for len(body) != declared {
		if len(body) == cap(body) {
			body = append(h.buffer(2*len(body)).B, body...)
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		if _, err := seen.Write(body[len(body) : len(body)+n]); err != nil {
			return nil, err
		}
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) && declared < 0 {
			break
		}
		if err != nil && len(body) != declared {
			return nil, err
		}
	}
	return body, nil
}

// plain returns the body decompressed (1.13), in memory that h holds; h is nil for
// an empty body.
func (s *bodies) plain(h *Lease, header http.Header, body []byte) ([]byte, error) {
	encodings := header["Content-Encoding"]
	switch {
	case len(encodings) == 0:
		return body, nil
	case len(encodings) > 1:
		return nil, ErrMediaType // a body has at most one encoding (Z-1)
	case h == nil:
		return s.codec.Decompress(nil, encodings[0], "", body)
	}
	encoding := encodings[0]
	size := header.Get(codec.SizeHeader(encoding))
	plain, err := s.codec.Decompress(h.buffer(sizeHint(size, len(body))).B, encoding, size, body)
	h.Shrink(int64(len(body) + len(plain)))
	return plain, err
}

// sizeHint is how much room to begin decompressing with.
func sizeHint(declared string, compressed int) int {
	if n, err := strconv.Atoi(declared); err == nil && n > 0 && n <= 1<<largest {
		return n
	}
	return 4 * compressed
}

func isCompressed(encoding string) bool { return encoding != "" && encoding != "identity" }

// unread returns why a body could not be read.
func unread(err error) error {
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return ErrTooLarge
	}
	return fmt.Errorf("%w: %w", ErrBody, err)
}

// mediaType returns the type without parameters, in lower case; some clients
// send parameters that the standard parser refuses.
func mediaType(header string) string {
	if t, _, err := mime.ParseMediaType(header); err == nil {
		return t
	}
	t, _, _ := strings.Cut(header, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// Media types.
const (
	JSONType  = "application/json"
	ProtoType = "application/x-protobuf"

	defaultType = "application/json;charset=utf-8" // of answers
)
