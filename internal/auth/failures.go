package auth

import (
	"net/netip"
	"sync"
	"time"
)

// maxAddresses bounds how many addresses are remembered.
const maxAddresses = 10_000

// failures counts refused requests by address.
type failures struct {
	limit int

	mu sync.Mutex
	by map[netip.Prefix]*failureCount
}

type failureCount struct {
	n     int
	until time.Time // the end of counting, or of being refused
}

func newFailures(limit int) *failures {
	return &failures{limit: limit, by: make(map[netip.Prefix]*failureCount)}
}

// network returns what counts as one client: an IPv4 address, or the 64 bits
// of an IPv6 address that its holder cannot choose.
func network(remote string) (netip.Prefix, bool) {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}, false
	}
	addr, bits := at.Addr().Unmap(), 32
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.WithZone("").Prefix(bits)
	return p, err == nil
}

// blocked reports whether an address has failed too often.
func (f *failures) blocked(remote string, now time.Time) bool {
	if f.limit == 0 {
		return false
	}
	net, ok := network(remote)
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.by[net]
	return ok && c != nil && c.n >= f.limit && now.Before(c.until)
}

// add counts a failure. When too many addresses are remembered, those whose time
// is over are forgotten, and new ones are not counted if that is none.
func (f *failures) add(remote string, now time.Time) {
	net, ok := network(remote)
	if f.limit == 0 || !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.by[net]
	if c == nil || !now.Before(c.until) {
		if c == nil && len(f.by) >= maxAddresses && !f.forget(now) {
			return
		}
		c = &failureCount{until: now.Add(FailureWindow)}
		f.by[net] = c
	}
	c.n++
	if c.n == f.limit {
		c.until = now.Add(FailureWindow)
	}
}

func (f *failures) forget(now time.Time) bool {
	before := len(f.by)
	for net, c := range f.by {
		if !now.Before(c.until) {
			delete(f.by, net)
		}
	}
	return len(f.by) < before
}
