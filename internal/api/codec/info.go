package codec

import "encoding/binary"

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

// infoVersion is the first byte of an encoded Info, docs/format-log.md.
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
