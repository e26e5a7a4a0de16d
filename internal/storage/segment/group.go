package segment

import (
	"disd/internal/storage"
	"fmt"
)

// Sizes, magic numbers and kinds in this file are part of the format.
const (
	groupMagic   = 0x50524764 // "dGRP"
	groupVersion = 1
	groupHeader  = 64
	entrySize    = 32
)

// What an entry of a group's directory does.
const (
	kindPad    = 0 // nothing: its bytes are skipped
	kindAppend = 1
	kindCreate = 2
	kindRemove = 3
	kindTrim   = 4
)

// group is the header of one commit: what was made durable by one write.
type group struct {
	dir     uint64 // the data directory's identity
	file    uint64 // number of the commit log file it was written to
	base    uint64 // number of that file's first group
	number  uint64
	durable uint64 // the last group known to be on stable storage by then
	bodies  int    // bytes
	entries int
	crc     uint32 // of the directory
}

// size returns the bytes the group takes in a file.
func (g *group) size() int64 {
	return alignUp(int64(groupHeader)+int64(g.bodies)+int64(g.entries)*entrySize, block)
}

func (g *group) put(b []byte) {
	b = b[:groupHeader]
	le.PutUint32(b, groupMagic)
	le.PutUint16(b[4:], groupVersion)
	le.PutUint16(b[6:], 0)
	le.PutUint64(b[8:], g.dir)
	le.PutUint64(b[16:], g.file)
	le.PutUint64(b[24:], g.base)
	le.PutUint64(b[32:], g.number)
	le.PutUint64(b[40:], g.durable)
	le.PutUint32(b[48:], uint32(g.bodies))
	le.PutUint32(b[52:], uint32(g.entries))
	le.PutUint32(b[56:], g.crc)
	le.PutUint32(b[60:], checksum(b[:60]))
}

func parseGroup(b []byte) (g group, err error) {
	if len(b) < groupHeader {
		return g, errShort
	}
	if le.Uint32(b) != groupMagic {
		return g, errMagic
	}
	if checksum(b[:60]) != le.Uint32(b[60:]) {
		return g, errChecksum
	}
	g = group{
		dir:     le.Uint64(b[8:]),
		file:    le.Uint64(b[16:]),
		base:    le.Uint64(b[24:]),
		number:  le.Uint64(b[32:]),
		durable: le.Uint64(b[40:]),
		bodies:  int(le.Uint32(b[48:])),
		entries: int(le.Uint32(b[52:])),
		crc:     le.Uint32(b[56:]),
	}
	if le.Uint16(b[4:]) != groupVersion {
		return g, errVersion
	}
	return g, g.validate()
}

func (g *group) validate() error {
	if g.number < g.base || g.base == 0 || g.durable >= g.number || g.bodies%8 != 0 || g.entries == 0 {
		return errFields
	}
	return nil
}

// entry is one line of a group's directory. The bodies lie behind the group's
// header in the order of the entries.
type entry struct {
	log    uint64
	seq    storage.Seq // first record of an append, new oldest of a trim
	count  int         // records of an append
	length int         // bytes of the body, a multiple of 8
	crc    uint32      // see docs/format-log.md
	kind   uint8
}

func (e *entry) put(b []byte) {
	b = b[:entrySize]
	le.PutUint64(b, e.log)
	le.PutUint64(b[8:], uint64(e.seq))
	le.PutUint32(b[16:], uint32(e.count))
	le.PutUint32(b[20:], uint32(e.length))
	le.PutUint32(b[24:], e.crc)
	le.PutUint32(b[28:], uint32(e.kind))
}

func parseEntry(b []byte) (e entry, err error) {
	e = entry{
		log:    le.Uint64(b),
		seq:    storage.Seq(le.Uint64(b[8:])),
		count:  int(le.Uint32(b[16:])),
		length: int(le.Uint32(b[20:])),
		crc:    le.Uint32(b[24:]),
		kind:   b[28],
	}
	if e.kind > kindTrim || b[29]|b[30]|b[31] != 0 || e.length%8 != 0 || e.seq < 0 {
		return e, errFields
	}
	return e, nil
}

// parseDirectory reads the directory of g, which ends its bytes b, and checks
// that the bodies it describes fill the space before it.
func parseDirectory(g *group, b []byte) ([]entry, error) {
	start := groupHeader + g.bodies
	end := start + g.entries*entrySize
	if len(b) < end {
		return nil, errShort
	}
	b = b[start:end]
	if checksum(b) != g.crc {
		return nil, errChecksum
	}
	entries := make([]entry, g.entries)
	sum := 0
	for i := range entries {
		e, err := parseEntry(b[i*entrySize:])
		if err != nil {
			return nil, err
		}
		entries[i] = e
		sum += e.length
	}
	if sum != g.bodies {
		return nil, errFields
	}
	return entries, nil
}

// check returns why body is not what e describes, nil if it is.
func (e *entry) check(body []byte) error {
	switch e.kind {
	case kindCreate:
		if checksum(body) != e.crc {
			return errChecksum
		}
	case kindAppend:
		h, _, err := parseBatch(body)
		if err != nil {
			return err
		}
		if le.Uint32(body[4:]) != e.crc || h.first != e.seq || h.count != e.count ||
			h.size() != e.length || h.log != uint32(e.log) {
			return errFields
		}
	}
	return nil
}

// putID encodes the body of a create entry: partition, length of the stream's
// id, id, zeros up to a multiple of 8.
func putID(id storage.LogID) []byte {
	b := make([]byte, alignUp(8+len(id.Stream), 8))
	le.PutUint32(b, uint32(id.Partition))
	le.PutUint32(b[4:], uint32(len(id.Stream)))
	copy(b[8:], id.Stream)
	return b
}

func parseID(b []byte) (id storage.LogID, err error) {
	if len(b) < 8 || int64(le.Uint32(b[4:])) > int64(len(b)-8) {
		return id, errShort
	}
	id.Partition = int32(le.Uint32(b))
	id.Stream = string(b[8 : 8+le.Uint32(b[4:])])
	return id, validID(id)
}

// validID refuses ids that would not be good names of directories.
func validID(id storage.LogID) error {
	ok := len(id.Stream) >= 1 && len(id.Stream) <= maxStream && id.Partition >= 0
	for _, c := range []byte(id.Stream) {
		ok = ok && (c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z')
	}
	if !ok {
		return fmt.Errorf("%w log id: %s", storage.ErrInvalid, id)
	}
	return nil
}
