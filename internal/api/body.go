package api

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math/bits"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"disd/internal/api/codec"
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

// A budget bounds memory over all requests, and over those of one address. Who comes
// when it is used up waits.
type budget struct {
	share int64 // of one address
	free  *semaphore.Weighted
	pools *pools

	mu      sync.Mutex
	senders map[string]*sender // by address, those with requests
}

// newBudget returns one of total bytes, half of that for one address, but always
// enough for the largest request.
func newBudget(total, largest int64, p *pools) *budget {
	total = max(total, largest)
	return &budget{share: max(total/2, largest), free: semaphore.NewWeighted(total), pools: p, senders: make(map[string]*sender)}
}

// A sender is an address from which requests come.
type sender struct {
	address  string
	free     *semaphore.Weighted
	requests int
}

// enter returns what will hold the memory of a request; release must follow.
func (s *budget) enter(r *http.Request) *holding {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.senders[address]
	if from == nil {
		from = &sender{address: address, free: semaphore.NewWeighted(s.share)}
		s.senders[address] = from
	}
	from.requests++
	return &holding{s: s, from: from}
}

func (s *budget) leave(from *sender) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from.requests--; from.requests == 0 {
		delete(s.senders, from.address)
	}
}

// A holding is the memory that one request occupies.
type holding struct {
	s       *budget
	from    *sender
	bytes   int64
	buffers []*buffer
}

func (h *holding) buffer(n int) *buffer {
	b := h.s.pools.get(n)
	h.buffers = append(h.buffers, b)
	return b
}

func (h *holding) release() {
	if h == nil {
		return
	}
	for _, b := range h.buffers {
		h.s.pools.put(b)
	}
	h.shrink(0)
	h.s.leave(h.from)
}

// reserve waits for memory, first among the requests of the same address.
func (h *holding) reserve(ctx context.Context, n int64) error {
	if err := h.from.free.Acquire(ctx, n); err != nil {
		return err
	}
	if err := h.s.free.Acquire(ctx, n); err != nil {
		h.from.free.Release(n)
		return err
	}
	h.bytes = n
	return nil
}

// try is reserve for those who can do with less than wait.
func (h *holding) try(n int64) bool {
	if !h.from.free.TryAcquire(n) {
		return false
	}
	if !h.s.free.TryAcquire(n) {
		h.from.free.Release(n)
		return false
	}
	h.bytes = n
	return true
}

// shrink gives back all but n bytes of what was reserved.
func (h *holding) shrink(n int64) {
	if spare := h.bytes - n; spare > 0 {
		h.bytes = n
		h.s.free.Release(spare)
		h.from.free.Release(spare)
	}
}

// bodies reads request bodies into memory within a budget.
type bodies struct {
	limit  int64 // of one body, also when decompressed
	budget *budget
	codec  *codec.Decompressor
}

// Bodies of those who have not said who they are: the size of one in bytes, and of all
// in memory, which are not those that others may have.
const (
	strangerBody   = 64 << 10
	strangerBodies = 64 << 20
)

// newBodies returns bodies of at most limit bytes each and total altogether.
func newBodies(limit, total int64, p *pools) *bodies {
	d, err := codec.NewDecompressor(int(limit))
	if err != nil {
		panic(err) // its options are constant but for the limit, which is positive
	}
	return &bodies{limit, newBudget(total, 2*limit, p), d} // one body and what it decompresses to
}

// read returns the whole body as it was received, of at most limit bytes. What it
// holds must be released when the request has been answered. Room for decompressing
// it is reserved at once, so that nobody waits for memory while holding some.
// Every piece is written to seen as it comes. errTooLarge, or an error of the
// connection.
func (s *bodies) read(w http.ResponseWriter, r *http.Request, limit int64, seen io.Writer) ([]byte, *holding, error) {
	n := r.ContentLength
	switch {
	case n > limit:
		return nil, nil, errTooLarge
	case n == 0:
		return nil, nil, nil
	case n < 0:
		n = limit // of unknown length
	}
	if isCompressed(r.Header.Get("Content-Encoding")) {
		n += s.limit
	}
	h := s.budget.enter(r)
	if err := h.reserve(r.Context(), n); err != nil {
		h.release()
		return nil, nil, err
	}
	if r.ContentLength < 0 {
		r.Body = http.MaxBytesReader(w, r.Body, limit)
	}
	body, err := h.fill(r, seen)
	if err != nil {
		h.release()
		return nil, nil, unread(w, err)
	}
	return body, h, nil
}

func (h *holding) fill(r *http.Request, seen io.Writer) ([]byte, error) {
	declared := int(r.ContentLength)
	body := h.buffer(cmp.Or(max(declared, 0), 64<<10)).b
	if declared > 0 {
		body = body[:0:declared] // not to wait for more
	}
	for len(body) != declared {
		if len(body) == cap(body) {
			body = append(h.buffer(2*len(body)).b, body...)
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
func (s *bodies) plain(h *holding, header http.Header, body []byte) ([]byte, error) {
	encodings := header["Content-Encoding"]
	switch {
	case len(encodings) == 0:
		return body, nil
	case len(encodings) > 1:
		return nil, errMediaType // Z-1
	case h == nil:
		return s.codec.Decompress(nil, encodings[0], "", body)
	}
	encoding := encodings[0]
	size := header.Get(codec.SizeHeader(encoding))
	plain, err := s.codec.Decompress(h.buffer(sizeHint(size, len(body))).b, encoding, size, body)
	h.shrink(int64(len(body) + len(plain)))
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

// unread returns why a body could not be read. The rest of one that is too large is
// not waited for: its connection is closed behind the answer. The end of a connection
// looks like the end of a request.
func unread(w http.ResponseWriter, err error) error {
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(0, 0)) // what cannot have one does not wait
		return errTooLarge
	}
	return errors.Join(context.Canceled, err)
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

const (
	jsonType  = "application/json"
	protoType = "application/x-protobuf"
)
