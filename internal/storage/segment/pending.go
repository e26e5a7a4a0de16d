package segment

import (
	"slices"
	"sync"

	"disd/internal/storage"
	"disd/internal/storage/vfs"
)

// chunkSize is how much memory is allocated for groups at once, at most: enough
// to hold a large page wherever it begins.
const chunkSize = 4 << 20

// pending is a group before it is on disk. Appenders reserve their part of its
// memory under shared.mu and fill it without; the same memory is then written
// to the commit log and becomes the tail of the logs.
type pending struct {
	g         group
	extents   [][]byte // complete parts, whole blocks each
	head      []byte   // the header's memory, at the start of the first extent
	start     []byte   // the part being filled, from its beginning
	used      int      // bytes of start
	directory []byte
	effects   []effect
	room      int64          // bytes set aside on the disk for its flush, at most
	encoding  sync.WaitGroup // appenders that are still filling
	done      chan struct{}  // closed when err is final
	err       error
}

// effect is one thing a group does.
type effect struct {
	kind uint8
	l    *log
	seq  storage.Seq // kindTrim
	// data is one or more batches of kindAppend, the id of kindCreate, or
	// the padding of kindPad.
	data []byte
}

// arena hands out the memory of groups. Guarded by shared.mu.
type arena struct {
	size  int    // of a chunk
	large int    // Options.Large
	free  []byte // rest of the current chunk, from a block boundary on
	spare []byte // an allocated chunk, so that nobody waits for the next one

	making bool // spare is being allocated
}

// chunk returns aligned memory for at least n bytes.
func (a *arena) chunk(n int) []byte {
	if c := a.spare; n <= len(c) {
		a.spare = nil
		return c
	}
	return vfs.AlignedBuffer(max(a.size, alignUp(n, block)))
}

// begin starts a group whose first part needs n bytes.
func (a *arena) begin(n int) *pending {
	if need := groupHeader + n + 8*entrySize; len(a.free) < need {
		a.free = a.chunk(need)
	}
	return &pending{
		head:  a.free[:groupHeader],
		start: a.free,
		used:  groupHeader,
		done:  make(chan struct{}),
	}
}

// reserve returns n more bytes of p, a multiple of 8. If they are many they
// begin with a block, and so can be written to a segment from where they are.
// They may start a new chunk.
func (a *arena) reserve(p *pending, n int) []byte {
	if n >= a.large {
		p.pad()
	}
	if len(p.start)-p.used < n {
		p.pad()
		p.extents = append(p.extents, p.start[:p.used])
		p.start, p.used = a.chunk(n), 0
	}
	b := p.start[p.used : p.used+n : p.used+n]
	p.used += n
	return b
}

// pad fills up the last block of p.
func (p *pending) pad() {
	end := alignUp(p.used, block)
	if pad := p.start[p.used:end]; len(pad) > 0 {
		p.effects = append(p.effects, effect{kind: kindPad, data: pad})
		p.g.entries++
		p.g.bodies += len(pad)
		p.used = end
	}
}

// body adds an effect with entries lines in the directory and n bytes.
func (a *arena) body(p *pending, f effect, entries, n int) []byte {
	f.data = a.reserve(p, n)
	p.effects = append(p.effects, f)
	p.g.entries += entries
	p.g.bodies += n
	return f.data
}

// finish ends p: it gets room for its directory, and its last block is filled
// up. The next group can begin.
func (a *arena) finish(p *pending) {
	size := (p.g.entries + 1) * entrySize // reserve may add a line
	dir := a.reserve(p, size)
	p.directory = dir[:p.g.entries*entrySize]
	end := alignUp(p.used-len(dir)+len(p.directory), block)
	p.extents = append(p.extents, p.start[:end])
	a.free = p.start[end:]
	p.start = nil
}

// describe writes the directory when all appenders have filled their parts.
func (p *pending) describe() {
	n := 0
	for i := range p.effects {
		p.effects[i].lines(func(e entry) {
			e.put(p.directory[n:])
			n += entrySize
		})
	}
	p.g.crc = checksum(p.directory)
}

// lines calls add with each entry that describes f.
func (f *effect) lines(add func(entry)) {
	switch f.kind {
	case kindPad:
		add(entry{kind: kindPad, length: len(f.data)})
	case kindCreate:
		add(entry{kind: kindCreate, log: f.l.number, length: len(f.data), crc: checksum(f.data)})
	case kindRemove, kindTrim:
		add(entry{kind: f.kind, log: f.l.number, seq: f.seq})
	case kindAppend:
		f.batches(func(b batch) {
			add(entry{
				kind: kindAppend, log: f.l.number, seq: b.first, count: int(b.next - b.first),
				length: len(b.data), crc: le.Uint32(b.data[4:]),
			})
		})
	}
}

// control reports whether p changes which logs there are, or where they begin.
// That is synced in every mode: the catalog, which always is, names these logs.
func (p *pending) control() bool {
	return slices.ContainsFunc(p.effects, func(f effect) bool { return f.kind != kindAppend && f.kind != kindPad })
}

// batches calls visit with each batch of an append.
func (f *effect) batches(visit func(batch)) {
	for data := f.data; len(data) > 0; {
		size := batchHeader + alignUp(int(le.Uint32(data[28:])), 8)
		b := batch{first: storage.Seq(le.Uint64(data[8:])), time: int64(le.Uint64(data[16:])), data: data[:size:size]}
		b.next = b.first + storage.Seq(le.Uint32(data[24:]))
		visit(b)
		data = data[size:]
	}
}
