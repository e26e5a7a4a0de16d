// Package codec reads and writes the bodies of the two calls that carry data,
// PutRecords (api.md E19) and GetRecords (E20), in JSON and in protobuf, and
// undoes the compression of request bodies (1.13). It is written by hand
// because everything a server stores passes through it: nothing here allocates
// per record.
//
// What a parser returns lies in the body it was given, which it changes: it
// unescapes strings and decodes Base64 in place. So a body is parsed after its
// signature was verified, and is left alone as long as the request is in use.
//
// Decisions the contract leaves open:
//   - A body must be UTF-8 throughout (C-30); one that is not is ErrSyntax in
//     both encodings. Half a surrogate pair written as \u escape becomes
//     U+FFFD, as with encoding/json.
//   - Member names are compared exactly. Of members that occur twice the last
//     one counts, as a whole.
//   - Base64 is strict about alphabet, padding and line breaks, and ignores
//     what the unused bits of the last character are.
//   - Numbers where the contract has a String are taken as they are written.
//     Integers have no fraction and no exponent.
package codec

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"disd/internal/storage"
)

// Errors of a whole body.
var (
	// ErrSyntax is a body that is not JSON or protobuf, or that has a value of
	// a type its member cannot have (DIS.4300).
	ErrSyntax = errors.New("malformed body")
	// ErrEmpty is a body without content or without members (DIS.4202).
	ErrEmpty = errors.New("empty body")
)

// AtMost returns how many records a body of E19 can have, without looking closely:
// each takes memory that a body of many small ones does not show.
func AtMost(body []byte, proto bool) (n int) {
	if !proto {
		return bytes.Count(body, []byte("{"))
	}
	for m := (message{b: body}); ; n++ {
		num, typ := m.field()
		for ; num != 0 && num != putRecords; num, typ = m.field() {
			m.skip(num, typ)
		}
		if num == 0 {
			return n
		}
		m.bytes(typ)
	}
}

// A FieldError is a well-formed body with a member that is missing or has a
// value out of bounds (DIS.4200).
type FieldError struct {
	Field  string // e.g. "records[3].data"
	Reason string // e.g. "is not Base64"
}

func (e *FieldError) Error() string { return e.Field + " " + e.Reason }

// A PartitionIDError is a partition_id that is none of the forms of C-41
// (DIS.4201).
type PartitionIDError struct {
	Field string // e.g. "records[3].partition_id"
	Value string // as sent, at most its first 64 bytes
}

func (e *PartitionIDError) Error() string { return fmt.Sprintf("%s %q", e.Field, e.Value) }

// A PutRequest is the body of E19. It can be used again and again.
type PutRequest struct {
	// StreamName and StreamID are not both empty.
	StreamName, StreamID string
	// Records may be empty (E19-R12).
	Records []PutRecord
}

// Reset forgets the content and keeps the memory of Records.
func (q *PutRequest) Reset() {
	clear(q.Records)
	*q = PutRequest{Records: q.Records[:0]}
}

// add appends an empty record.
func (q *PutRequest) add() *PutRecord {
	q.Records = append(q.Records, PutRecord{})
	return &q.Records[len(q.Records)-1]
}

// A PutRecord is one record of an upload. Its bytes lie in the body.
type PutRecord struct {
	Data []byte // the payload, never nil; its size is not checked
	Key  []byte // partition_key, nil for none, at most MaxKey characters

	HashKey      uint64 // explicit_hash_key, 0 to MaxHash, if HasHashKey
	Partition    int32  // partition_id if HasPartition
	HasHashKey   bool
	HasPartition bool

	Timestamp int64 // the producer's time in ms, 0 for none, never negative
	Info      Info  // extended_info, zero for none
}

const (
	// MaxKey is the largest partition key in characters (E19).
	MaxKey = 256
	// MaxHash is the largest hash of a partition key (L-5).
	MaxHash = 1<<63 - 1
)

// ParsePartitionID reads a partition id in the forms of C-41.
func ParsePartitionID[T string | []byte](id T) (int32, bool) {
	if len(id) > len(idPrefix) && string(id[:len(idPrefix)]) == idPrefix {
		id = id[len(idPrefix):]
	}
	if len(id) > 10 {
		return 0, false
	}
	n, ok := parseUint(id)
	return int32(n), ok && n <= 1<<31-1
}

// AppendPartitionID appends the long form of a partition id (C-42). The id is
// not negative.
func AppendPartitionID(dst []byte, id int32) []byte {
	dst = append(dst, idPrefix...)
	for limit := int64(1e9); limit > int64(id) && limit > 1; limit /= 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(id), 10)
}

const (
	idPrefix = "shardId-"
	idLen    = len(idPrefix) + 10
)

// parseUint reads decimal digits up to 2^63-1.
func parseUint[T string | []byte](b T) (n uint64, ok bool) {
	for i := range len(b) {
		d := uint64(b[i]) - '0'
		if d > 9 || n > (1<<63-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(b) > 0
}

// parseInt reads decimal digits, perhaps behind a minus sign.
func parseInt(b []byte) (int64, bool) {
	if len(b) > 0 && b[0] == '-' {
		n, ok := parseUint(b[1:])
		return -int64(n), ok
	}
	n, ok := parseUint(b)
	return int64(n), ok
}

// A PutResult is what became of one uploaded record.
type PutResult struct {
	Partition int32
	Seq       storage.Seq
	// Code is the error code of a record that was not stored, "" for one that
	// was. Message goes with it.
	Code, Message string
}

func failed(results []PutResult) (n int) {
	for i := range results {
		if results[i].Code != "" {
			n++
		}
	}
	return n
}

// timeOf is the time consumers see: the producer's if it gave one (E19-R8).
func timeOf(r *storage.Record) int64 {
	if r.Timestamp > 0 {
		return r.Timestamp
	}
	return r.AppendTime
}

// timeType is the type of that time, the same for both origins (E20-R7).
const timeType = "CreateTime"
