package codec

import (
	"encoding/binary"
	"fmt"

	"disd/internal/storage"
)

// An Info is the extended_info of a record: it says which piece of which file
// the record is (E19, E47). The zero Info equals an absent one.
type Info struct {
	FileName      []byte
	DeliverDataID []byte
	Seq           int64 // number of the piece
	End           bool  // it is the last piece
}

// IsZero reports whether the record came without extended_info.
func (f *Info) IsZero() bool {
	return len(f.FileName) == 0 && len(f.DeliverDataID) == 0 && f.Seq == 0 && !f.End
}

// infoVersion is the first byte of an encoded Info. It is part of the stored
// format, which is: version, 1 for the last piece else 0, file name, deliver
// data id (each a uvarint length and the bytes), piece number as varint.
const infoVersion = 1

// infoRoom is what an encoded Info needs beside its two strings, at most.
const infoRoom = 2 + 3*binary.MaxVarintLen64

// AppendInfo appends f in the form for storage.Record.Info, nothing if f is
// zero. It fits into storage.MaxInfo if f came from one of the parsers.
func AppendInfo(dst []byte, f *Info) []byte {
	if f.IsZero() {
		return dst
	}
	end := byte(0)
	if f.End {
		end = 1
	}
	dst = append(dst, infoVersion, end)
	for _, s := range [...][]byte{f.FileName, f.DeliverDataID} {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return binary.AppendVarint(dst, f.Seq)
}

// ParseInfo reads what AppendInfo wrote; the strings lie in b. Empty b is the
// zero Info. Everything else wraps storage.ErrInvalid.
func ParseInfo(b []byte) (Info, error) {
	if len(b) == 0 {
		return Info{}, nil
	}
	bad := fmt.Errorf("%w: extended info", storage.ErrInvalid)
	if len(b) < 2 || b[0] != infoVersion || b[1] > 1 {
		return Info{}, bad
	}
	f := Info{End: b[1] == 1}
	b = b[2:]
	for _, s := range [...]*[]byte{&f.FileName, &f.DeliverDataID} {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return Info{}, bad
		}
		*s, b = b[n:n+int(size)], b[n+int(size):]
	}
	seq, n := binary.Varint(b)
	if n <= 0 || n != len(b) {
		return Info{}, bad
	}
	f.Seq = seq
	return f, nil
}
