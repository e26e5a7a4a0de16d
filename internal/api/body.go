package api

import (
	"context"
	"errors"
	"io"
	"math/bits"
	"mime"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/sync/semaphore"
)

// A buffer is memory for a body or an answer, used again and again.
type buffer struct{ b []byte }

// smallest and largest are the sizes of the buffers that are kept, as powers of
// two. Larger ones are left to the garbage collector.
const (
	smallest = 12
	largest  = 24
)

// A stock keeps things for the next user. It is no sync.Pool because that is
// emptied by every collection, and with a small heap the large buffers alone
// would bring on the next one.
type stock[T any] struct {
	mu    sync.Mutex
	free  []T
	least int // how many were free at least since the last trim
}

// get returns something from the stock, or false when there is nothing.
func (s *stock[T]) get() (v T, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.free)
	if n == 0 {
		return v, false
	}
	v = s.free[n-1]
	s.free = s.free[:n-1]
	s.least = min(s.least, n-1)
	return v, true
}

func (s *stock[T]) put(v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, v)
}

// trim gives up what nobody needed since the last trim.
func (s *stock[T]) trim() {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.free) - s.least
	clear(s.free[n:])
	s.free = s.free[:n]
	s.least = n
}

// pools holds free buffers by size. A buffer of class k has room for 1<<k bytes.
type pools [largest + 1]stock[*buffer]

func (p *pools) get(n int) *buffer {
	class := max(bits.Len(uint(max(n, 1)-1)), smallest)
	if class > largest {
		return &buffer{make([]byte, 0, n)}
	}
	if b, ok := p[class].get(); ok {
		return b
	}
	return &buffer{make([]byte, 0, 1<<class)}
}

func (p *pools) put(b *buffer) {
	class := bits.Len(uint(cap(b.b))) - 1 // round down: it must have the room
	if class < smallest || class > largest {
		return
	}
	b.b = b.b[:0]
	p[class].put(b)
}

func (p *pools) trim() {
	for class := range p {
		p[class].trim()
	}
}

// bodies reads request bodies into memory that is bounded over all requests:
// who comes when it is used up waits, and so does the sender behind it.
type bodies struct {
	limit int64 // of one body
	free  *semaphore.Weighted
	pools *pools
}

// read returns the whole body. What it returns must be released when the request
// has been answered. errTooLarge, or an error of the connection.
func (s *bodies) read(r *http.Request) (body []byte, release func(), err error) {
	if r.ContentLength > s.limit {
		return nil, nil, errTooLarge
	}
	if r.ContentLength == 0 {
		return nil, func() {}, nil
	}
	if r.ContentLength < 0 {
		return s.readChunked(r)
	}
	n := r.ContentLength
	if err := s.free.Acquire(r.Context(), n); err != nil {
		return nil, nil, err
	}
	buf := s.pools.get(int(n))
	release = func() {
		s.pools.put(buf)
		s.free.Release(n)
	}
	buf.b = buf.b[:n]
	if _, err := io.ReadFull(r.Body, buf.b); err != nil {
		release()
		return nil, nil, connectionError(err)
	}
	return buf.b, release, nil
}

// readChunked reads a body of unknown length, which occupies the limit while it
// is being read.
func (s *bodies) readChunked(r *http.Request) (body []byte, release func(), err error) {
	if err := s.free.Acquire(r.Context(), s.limit); err != nil {
		return nil, nil, err
	}
	body, err = io.ReadAll(io.LimitReader(r.Body, s.limit+1))
	spare := s.limit - min(s.limit, int64(len(body)))
	s.free.Release(spare)
	release = func() { s.free.Release(s.limit - spare) }
	if err == nil && int64(len(body)) > s.limit {
		err = errTooLarge
	}
	if err != nil {
		release()
		return nil, nil, connectionError(err)
	}
	return body, release, nil
}

// connectionError makes the end of a connection look like the end of a request.
func connectionError(err error) error {
	if errors.Is(err, errTooLarge) {
		return err
	}
	return errors.Join(context.Canceled, err)
}

// checkMediaType accepts what POST and PUT may carry: JSON, or nothing said.
func checkMediaType(header string) error {
	if header == "" || header == jsonType {
		return nil
	}
	if mediaType(header) == jsonType {
		return nil
	}
	return errMediaType
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

const jsonType = "application/json"
