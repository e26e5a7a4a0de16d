package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"disd/internal/storage"
)

// Sizes and magic numbers in this file are part of the format,
// docs/format-log.md.
const (
	block        = 4096
	batchMagic   = 0x54416264 // "dbAT"
	batchHeader  = 40
	recordHeader = 20
	// maxPayload is where an append is cut into several batches: reading one
	// record means reading and checking the whole batch it is in.
	maxPayload = 256 << 10
	// largestPayload is what one record of the largest size takes.
	largestPayload = recordHeader + storage.MaxKey + storage.MaxInfo + storage.MaxData
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// alignUp rounds n up to a multiple of to, a power of two.
func alignUp[N int | int64](n, to N) N { return (n + to - 1) &^ (to - 1) }

// Reasons why bytes are not what was written. They become the Reason of a
// storage.CorruptError.
var (
	errShort    = errors.New("ends too early")
	errMagic    = errors.New("magic number missing")
	errChecksum = errors.New("checksum mismatch")
	errFields   = errors.New("contradicting fields")
	errVersion  = errors.New("written by a newer version")
)

// header is the start of a batch: some records of one append, in one log.
type header struct {
	first   storage.Seq
	time    int64  // append time of all records, ms
	count   int    // records
	payload int    // bytes of the records
	crc     uint32 // of the records and their padding
	log     uint32 // low half of the log's number
}

// size returns the bytes the batch takes in a file, header included.
func (h *header) size() int { return batchHeader + alignUp(h.payload, 8) }

func (h *header) next() storage.Seq { return h.first + storage.Seq(h.count) }

// put writes h to the first bytes of b and returns their checksum.
func (h *header) put(b []byte) uint32 {
	b = b[:batchHeader]
	le.PutUint32(b, batchMagic)
	le.PutUint64(b[8:], uint64(h.first))
	le.PutUint64(b[16:], uint64(h.time))
	le.PutUint32(b[24:], uint32(h.count))
	le.PutUint32(b[28:], uint32(h.payload))
	le.PutUint32(b[32:], h.crc)
	le.PutUint32(b[36:], h.log)
	sum := checksum(b[8:])
	le.PutUint32(b[4:], sum)
	return sum
}

func parseHeader(b []byte) (h header, err error) {
	if len(b) < batchHeader {
		return h, errShort
	}
	if le.Uint32(b) != batchMagic {
		return h, errMagic
	}
	if checksum(b[8:batchHeader]) != le.Uint32(b[4:]) {
		return h, errChecksum
	}
	h = header{
		first:   storage.Seq(le.Uint64(b[8:])),
		time:    int64(le.Uint64(b[16:])),
		count:   int(le.Uint32(b[24:])),
		payload: int(le.Uint32(b[28:])),
		crc:     le.Uint32(b[32:]),
		log:     le.Uint32(b[36:]),
	}
	return h, h.validate()
}

func (h *header) validate() error {
	switch {
	case h.first < 0, h.next() < h.first, h.count < 1:
		return errFields
	case h.payload < h.count*recordHeader, h.payload > max(maxPayload, largestPayload):
		return errFields
	}
	return nil
}

// parseBatch checks the batch at the start of b in full and returns its header
// and its records' bytes.
func parseBatch(b []byte) (header, []byte, error) {
	h, err := parseHeader(b)
	if err != nil {
		return h, nil, err
	}
	if len(b) < h.size() {
		return h, nil, errShort
	}
	body := b[batchHeader:h.size()]
	if checksum(body) != h.crc {
		return h, nil, errChecksum
	}
	return h, body[:h.payload], nil
}

// recordSize returns the bytes r takes in a batch.
func recordSize(r *storage.Record) int {
	return recordHeader + len(r.Key) + len(r.Info) + len(r.Data)
}

// putRecord writes r to b and returns its size there.
func putRecord(b []byte, r *storage.Record) int {
	h := b[:recordHeader]
	le.PutUint64(h, uint64(r.Timestamp))
	le.PutUint32(h[8:], uint32(len(r.Data)))
	le.PutUint32(h[12:], optional(r.Info))
	le.PutUint16(h[16:], uint16(optional(r.Key)))
	le.PutUint16(h[18:], 0)
	n := recordHeader
	n += copy(b[n:], r.Key)
	n += copy(b[n:], r.Info)
	n += copy(b[n:], r.Data)
	return n
}

// optional encodes a length so that nil and empty differ.
func optional(b []byte) uint32 {
	if b == nil {
		return 0
	}
	return uint32(len(b)) + 1
}

// parseRecord reads the record at the start of b and returns its size there.
// Its slices alias b. Seq and AppendTime are not set.
func parseRecord(b []byte, r *storage.Record) (int, error) {
	if len(b) < recordHeader {
		return 0, errShort
	}
	data, info, key := int(le.Uint32(b[8:])), int(le.Uint32(b[12:])), int(le.Uint16(b[16:]))
	size := recordHeader + data + max(info-1, 0) + max(key-1, 0)
	if size > len(b) {
		return 0, errShort
	}
	if data > storage.MaxData || info > storage.MaxInfo+1 || key > storage.MaxKey+1 {
		return 0, errFields
	}
	r.Timestamp = int64(le.Uint64(b))
	r.Key, r.Info = nil, nil
	b = b[recordHeader:size:size]
	if key > 0 {
		r.Key, b = b[:key-1:key-1], b[key-1:]
	}
	if info > 0 {
		r.Info, b = b[:info-1:info-1], b[info-1:]
	}
	r.Data = b
	return size, nil
}

// cut returns how many of recs form the next batch, and its payload's size.
func cut(recs []storage.Record) (count, payload int) {
	for i := range recs {
		size := recordSize(&recs[i])
		if i > 0 && payload+size > maxPayload {
			return i, payload
		}
		payload += size
	}
	return len(recs), payload
}

// check refuses records larger than the format holds and returns what storing
// recs takes: batches, and bytes of them.
func check(recs []storage.Record) (batches, bytes int, err error) {
	if len(recs) == 0 {
		return 0, 0, fmt.Errorf("%w records: there are none", storage.ErrInvalid)
	}
	for i := range recs {
		if err := recs[i].Check(); err != nil {
			return 0, 0, err
		}
	}
	for len(recs) > 0 {
		n, payload := cut(recs)
		recs = recs[n:]
		batches++
		bytes += batchHeader + alignUp(payload, 8)
	}
	return batches, bytes, nil
}

// encode writes the batch of recs to b, which has exactly its size.
func encode(b []byte, h header, recs []storage.Record) {
	payload := b[batchHeader:]
	n := 0
	for i := range recs {
		n += putRecord(payload[n:], &recs[i])
	}
	clear(payload[n:])
	h.payload, h.crc = n, checksum(payload)
	h.put(b)
}

// encodeAppend writes the records of b to buf as one or more batches.
func encodeAppend(buf []byte, b *storage.Batch, log uint32) {
	first := b.First
	for recs := b.Records; len(recs) > 0; {
		n, payload := cut(recs)
		size := batchHeader + alignUp(payload, 8)
		encode(buf[:size], header{first: first, time: b.AppendTime, count: n, log: log}, recs[:n])
		first += storage.Seq(n)
		recs, buf = recs[n:], buf[size:]
	}
}
