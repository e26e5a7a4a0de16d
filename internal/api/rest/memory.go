package rest

import (
	"context"
	"math/bits"
	"net"
	"net/http"
	"sync"

	"golang.org/x/sync/semaphore"
)

// A Buffer is memory for a body or an answer, used again and again.
type Buffer struct{ B []byte }

// smallest and largest are the sizes of the buffers that are kept, as powers of
// two. Larger ones are left to the garbage collector.
const (
	smallest = 12
	largest  = 24
)

// A FreeList keeps things for the next user. It is no sync.Pool because that is
// emptied by every collection, and with a small heap the large buffers alone
// would bring on the next one. All methods may be called at any time.
type FreeList[T any] struct {
	mu    sync.Mutex
	free  []T
	least int // how many were free at least since the last trim
}

// Get returns something from the list, or false when there is nothing.
func (s *FreeList[T]) Get() (v T, ok bool) {
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

// Put gives something to the next user.
func (s *FreeList[T]) Put(v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, v)
}

// Trim gives up what nobody needed since the last trim.
func (s *FreeList[T]) Trim() {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.free) - s.least
	clear(s.free[n:])
	s.free = s.free[:n]
	s.least = n
}

// Pools holds free buffers by size. A buffer of class k has room for 1<<k bytes.
type Pools [largest + 1]FreeList[*Buffer]

// Get returns an empty buffer with room for n bytes.
func (p *Pools) Get(n int) *Buffer {
	class := max(bits.Len(uint(max(n, 1)-1)), smallest)
	if class > largest {
		return &Buffer{make([]byte, 0, n)}
	}
	if b, ok := p[class].Get(); ok {
		return b
	}
	return &Buffer{make([]byte, 0, 1<<class)}
}

// Put takes a buffer back.
func (p *Pools) Put(b *Buffer) {
	class := bits.Len(uint(cap(b.B))) - 1 // round down: it must have the room
	if class < smallest || class > largest {
		return
	}
	b.B = b.B[:0]
	p[class].Put(b)
}

// Trim gives up the buffers that nobody needed since the last trim.
func (p *Pools) Trim() {
	for class := range p {
		p[class].Trim()
	}
}

// A Budget bounds the memory of all requests together, and of those of one address. A
// request that finds it used up waits.
type Budget struct {
	share int64 // bytes of one address
	free  *semaphore.Weighted
	pools *Pools

	mu      sync.Mutex
	clients map[string]*client // by address, those with requests
}

// NewBudget returns a budget of total bytes, half of that for one address, but always
// enough for the largest request.
func NewBudget(total, largest int64, p *Pools) *Budget {
	total = max(total, largest)
	return &Budget{share: max(total/2, largest), free: semaphore.NewWeighted(total), pools: p, clients: make(map[string]*client)}
}

// A client is an address from which requests come.
type client struct {
	address  string
	free     *semaphore.Weighted
	requests int
}

// Enter returns a lease, of nothing yet, for a request. Release must follow.
func (s *Budget) Enter(r *http.Request) *Lease {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.clients[address]
	if from == nil {
		from = &client{address: address, free: semaphore.NewWeighted(s.share)}
		s.clients[address] = from
	}
	from.requests++
	return &Lease{budget: s, from: from}
}

// Share is how many bytes one address may have.
func (s *Budget) Share() int64 { return s.share }

// Requests is how many requests of an address have entered and not left.
func (s *Budget) Requests(address string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from := s.clients[address]; from != nil {
		return from.requests
	}
	return 0
}

func (s *Budget) leave(from *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from.requests--; from.requests == 0 {
		delete(s.clients, from.address)
	}
}

// A Lease is the memory that one request occupies. It is of one goroutine at a time.
type Lease struct {
	budget  *Budget
	from    *client
	bytes   int64
	buffers []*Buffer
}

func (h *Lease) buffer(n int) *Buffer {
	b := h.budget.pools.Get(n)
	h.buffers = append(h.buffers, b)
	return b
}

// Release gives everything back. A nil lease has nothing.
func (h *Lease) Release() {
	if h == nil {
		return
	}
	for _, b := range h.buffers {
		h.budget.pools.Put(b)
	}
	h.Shrink(0)
	h.budget.leave(h.from)
}

// Reserve waits for n bytes, first among the requests of the same address.
func (h *Lease) Reserve(ctx context.Context, n int64) error {
	if err := h.from.free.Acquire(ctx, n); err != nil {
		return err
	}
	if err := h.budget.free.Acquire(ctx, n); err != nil {
		h.from.free.Release(n)
		return err
	}
	h.bytes = n
	return nil
}

// TryReserve is Reserve without waiting: a caller that gets nothing makes do with less.
func (h *Lease) TryReserve(n int64) bool {
	if !h.from.free.TryAcquire(n) {
		return false
	}
	if !h.budget.free.TryAcquire(n) {
		h.from.free.Release(n)
		return false
	}
	h.bytes = n
	return true
}

// Shrink gives back all but n bytes of what was reserved.
func (h *Lease) Shrink(n int64) {
	if spare := h.bytes - n; spare > 0 {
		h.bytes = n
		h.budget.free.Release(spare)
		h.from.free.Release(spare)
	}
}
