package codec

import (
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"disd/internal/storage"
)

// The field numbers of 1.12. They are unique over all messages.
const (
	putStreamName  = 1
	putRecords     = 2
	putStreamID    = 30
	entryData      = 3
	entryHashKey   = 4
	entryKey       = 5
	entryPartition = 6
	entryInfo      = 7
	entryTimestamp = 29
	infoFileName   = 8
	infoDataID     = 9
	infoEnd        = 10
	infoSeq        = 11

	resultFailed    = 21
	resultRecords   = 22
	resultPartition = 23
	resultSeq       = 24
	resultCode      = 25
	resultMessage   = 26

	getNext       = 14
	getRecords    = 16
	recordKey     = 17
	recordSeq     = 18
	recordData    = 19
	recordTime    = 27
	recordTimeTyp = 28
)

// A message reads a protobuf message field by field. As with scanner, bad is
// set by the first mistake.
type message struct {
	b   []byte
	bad bool
}

// field reads the number of the next field, 0 at the end.
func (m *message) field() (protowire.Number, protowire.Type) {
	if m.bad || len(m.b) == 0 {
		return 0, 0
	}
	num, typ, n := protowire.ConsumeTag(m.b)
	if n < 0 || num > protowire.MaxValidNumber {
		m.bad = true
		return 0, 0
	}
	m.b = m.b[n:]
	return num, typ
}

// pass passes n bytes, or fails if n is the negative code of an error.
func (m *message) pass(n int) {
	if n < 0 {
		m.bad = true
		n = len(m.b)
	}
	m.b = m.b[n:]
}

func (m *message) skip(num protowire.Number, typ protowire.Type) {
	m.pass(protowire.ConsumeFieldValue(num, typ, m.b))
}

// bytes reads bytes or a message. They are never nil.
func (m *message) bytes(typ protowire.Type) []byte {
	v, n := protowire.ConsumeBytes(m.b)
	if typ != protowire.BytesType {
		n = -1
	}
	m.pass(n)
	return v[:len(v):len(v)]
}

func (m *message) text(typ protowire.Type) []byte {
	v := m.bytes(typ)
	if !utf8.Valid(v) {
		m.bad = true
	}
	return v
}

func (m *message) varint(typ protowire.Type) uint64 {
	v, n := protowire.ConsumeVarint(m.b)
	if typ != protowire.VarintType {
		n = -1
	}
	m.pass(n)
	return v
}

// ParsePutProto replaces the content of req by the protobuf body of E19
// (1.12). The errors are those of ParsePutJSON and come in the same order.
// Without any records the body holds an empty list of them (E19-R12).
func ParsePutProto(body []byte, req *PutRequest) error {
	req.Reset()
	if len(body) == 0 {
		return ErrEmpty
	}
	m := message{b: body}
	var fault error
	for {
		num, typ := m.field()
		switch num {
		case 0:
			return req.check(m.bad, fault)
		case putStreamName:
			req.StreamName = string(m.text(typ))
		case putStreamID:
			req.StreamID = string(m.text(typ))
		case putRecords:
			entry := message{b: m.bytes(typ)}
			if err := entry.record(req.add(), len(req.Records)-1); fault == nil {
				fault = err
			}
			m.bad = m.bad || entry.bad
		default:
			m.skip(num, typ)
		}
	}
}

func (q *PutRequest) check(bad bool, fault error) error {
	switch {
	case bad:
		return fmt.Errorf("%w: protobuf error", ErrSyntax)
	case q.StreamName == "" && q.StreamID == "":
		return errNoStream()
	}
	return fault
}

// record reads a PutRecordsRequestEntry into r, record number i.
func (m *message) record(r *PutRecord, i int) error {
	var raw rawTarget
	for {
		num, typ := m.field()
		switch num {
		case 0:
			return r.check(&raw, i)
		case entryData:
			r.Data = m.bytes(typ)
		case entryHashKey:
			raw.hashKey = m.text(typ)
		case entryKey:
			raw.key = m.text(typ)
		case entryPartition:
			raw.partition = m.text(typ)
		case entryInfo:
			sub := message{b: m.bytes(typ)}
			sub.info(&r.Info)
			m.bad = m.bad || sub.bad
		case entryTimestamp:
			r.Timestamp = max(int64(m.varint(typ)), 0)
		default:
			m.skip(num, typ)
		}
	}
}

func (r *PutRecord) check(raw *rawTarget, i int) error {
	if r.Data == nil {
		r.Data = []byte{} // a client of proto3 leaves out what is empty
	}
	if err := raw.decode(r, i); err != nil {
		return err
	}
	return r.Info.check(i)
}

// info reads an extendedInfo. One that comes in several parts is merged, as
// protobuf demands.
func (m *message) info(f *Info) {
	for {
		num, typ := m.field()
		switch num {
		case 0:
			return
		case infoFileName:
			f.FileName = m.text(typ)
		case infoDataID:
			f.DeliverDataID = m.text(typ)
		case infoEnd:
			f.End = m.varint(typ) != 0
		case infoSeq:
			f.Seq = int64(m.varint(typ))
		default:
			m.skip(num, typ)
		}
	}
}

// AppendPutProto appends the protobuf answer of E19.
func AppendPutProto(dst []byte, results []PutResult) []byte {
	const stored = (2 + 1) + (2 + 1 + idLen) + (2 + 1 + 19)
	dst = slices.Grow(dst, 16+stored*len(results))
	dst = appendVarint(dst, resultFailed, uint64(failed(results)))
	for i := range results {
		dst = results[i].appendProto(dst)
	}
	return dst
}

func (r *PutResult) appendProto(dst []byte) []byte {
	var buf [20]byte
	dst = protowire.AppendTag(dst, resultRecords, protowire.BytesType)
	if r.Code != "" {
		dst = protowire.AppendVarint(dst, uint64(sizeBytes(resultCode, len(r.Code))+sizeBytes(resultMessage, len(r.Message))))
		dst = appendBytes(dst, resultCode, r.Code)
		return appendBytes(dst, resultMessage, r.Message)
	}
	seq := strconv.AppendInt(buf[:0], int64(r.Seq), 10)
	dst = protowire.AppendVarint(dst, uint64(sizeBytes(resultPartition, idLen)+sizeBytes(resultSeq, len(seq))))
	dst = protowire.AppendTag(dst, resultPartition, protowire.BytesType)
	dst = AppendPartitionID(append(dst, byte(idLen)), r.Partition)
	return appendBytes(dst, resultSeq, seq)
}

// AppendGetProto appends the protobuf answer of E20: the records and the
// cursor behind them.
func AppendGetProto(dst []byte, records []storage.Record, next string) []byte {
	dst = slices.Grow(dst, sizeGet(records, next))
	dst = appendBytes(dst, getNext, next)
	for i := range records {
		dst = appendRecordProto(dst, &records[i])
	}
	return dst
}

func sizeGet(records []storage.Record, next string) int {
	size := sizeBytes(getNext, len(next))
	for i := range records {
		size += sizeBytes(getRecords, sizeRecord(&records[i]))
	}
	return size
}

func sizeRecord(r *storage.Record) int {
	var buf [20]byte
	size := sizeBytes(recordSeq, len(strconv.AppendInt(buf[:0], int64(r.Seq), 10))) +
		sizeBytes(recordData, len(r.Data)) +
		protowire.SizeTag(recordTime) + protowire.SizeVarint(uint64(timeOf(r))) +
		sizeBytes(recordTimeTyp, len(timeType))
	if r.Key != nil {
		size += sizeBytes(recordKey, len(r.Key))
	}
	return size
}

func appendRecordProto(dst []byte, r *storage.Record) []byte {
	var buf [20]byte
	dst = protowire.AppendTag(dst, getRecords, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(sizeRecord(r)))
	if r.Key != nil {
		dst = appendBytes(dst, recordKey, r.Key)
	}
	dst = appendBytes(dst, recordSeq, strconv.AppendInt(buf[:0], int64(r.Seq), 10))
	dst = appendBytes(dst, recordData, r.Data)
	dst = appendVarint(dst, recordTime, uint64(timeOf(r)))
	return appendBytes(dst, recordTimeTyp, timeType)
}

func sizeBytes(num protowire.Number, n int) int {
	return protowire.SizeTag(num) + protowire.SizeBytes(n)
}

func appendBytes[T string | []byte](dst []byte, num protowire.Number, v T) []byte {
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(len(v)))
	return append(dst, v...)
}

func appendVarint(dst []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, num, protowire.VarintType), v)
}
