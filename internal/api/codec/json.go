package codec

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/segmentio/asm/base64"

	"disd/internal/storage"
)

// ParsePutJSON replaces the content of req by the JSON body of E19. The errors
// are ErrSyntax and ErrEmpty, wrapped or not, *FieldError and
// *PartitionIDError. The whole body is checked for syntax before any field is
// (C-35); fields in the order of the field table, record by record.
func ParsePutJSON(body []byte, req *PutRequest) error {
	req.Reset()
	if len(body) == 0 {
		return ErrEmpty
	}
	p := putParser{scanner: scanner{b: body}, req: req}
	members := p.request()
	switch {
	case !p.end():
		return fmt.Errorf("%w: JSON error at byte %d", ErrSyntax, p.i)
	case members == 0:
		return ErrEmpty
	case req.StreamName == "" && req.StreamID == "":
		return errNoStream()
	case !p.hasRecords:
		return &FieldError{"records", "is missing"}
	}
	return p.fault
}

func errNoStream() error { return &FieldError{"stream_name", "is missing"} }

// A putParser reads one body of E19.
type putParser struct {
	scanner
	req        *PutRequest
	hasRecords bool
	fault      error // the first one in the array of records
}

// request reads the whole body and returns how many members it has. null
// counts as an object without any (C-31).
func (p *putParser) request() (members int) {
	if p.peek() != '{' {
		p.literal("null")
		return 0
	}
	for ok := p.enter('}'); ok; ok = p.more('}') {
		members++
		switch string(p.name()) {
		case "stream_name":
			p.req.StreamName = string(p.text())
		case "stream_id":
			p.req.StreamID = string(p.text())
		case "records":
			p.records()
		default:
			p.skip()
		}
	}
	return members
}

// records reads the array of records, or null (E19-R12). It forgets an earlier
// array.
func (p *putParser) records() {
	p.hasRecords, p.fault, p.req.Records = true, nil, p.req.Records[:0]
	switch p.peek() {
	case '[':
		for ok := p.enter(']'); ok; ok = p.more(']') {
			p.record()
		}
	case 'n':
		p.literal("null")
	default:
		p.skip()
		p.fault = &FieldError{"records", "is not an array"}
	}
}

func (p *putParser) record() {
	var raw rawRecord
	if p.peek() == '{' {
		p.members(&raw)
	} else {
		p.literal("null")
	}
	if p.bad {
		return
	}
	if p.fault == nil || len(p.req.Records) == 0 { // else the rest is only looked at
		p.req.add()
	}
	i := len(p.req.Records) - 1
	err := raw.decode(&p.req.Records[i], i)
	if errors.Is(err, errContent) {
		p.fail()
	} else if p.fault == nil {
		p.fault = err
	}
}

// A rawRecord has the members of a record as they were sent, nil for those
// that were absent or null. They are looked at when the record is complete,
// because a later member of the same name replaces an earlier one.
type rawRecord struct {
	data  []byte
	plain bool // data is known to be a proper string
	rawTarget
	timestamp []byte
	info      rawInfo
}

// rawTarget is what both encodings send as text.
type rawTarget struct {
	hashKey, partition, key []byte
}

type rawInfo struct {
	fileName, dataID, seq, end []byte
}

func (p *putParser) members(raw *rawRecord) {
	for ok := p.enter('}'); ok; ok = p.more('}') {
		switch string(p.name()) {
		case "data":
			if !raw.plain && !isContent(raw.data) {
				p.fail()
			}
			raw.data, raw.plain = p.long()
		case "explicit_hash_key":
			raw.hashKey = p.text()
		case "partition_id":
			raw.partition = p.text()
		case "partition_key":
			raw.key = p.text()
		case "timestamp":
			raw.timestamp = p.text()
		case "extended_info":
			raw.info = p.info()
		default:
			p.skip()
		}
	}
}

func (p *putParser) info() (raw rawInfo) {
	if p.peek() != '{' {
		p.literal("null")
		return raw
	}
	for ok := p.enter('}'); ok; ok = p.more('}') {
		switch string(p.name()) {
		case "file_name":
			raw.fileName = p.text()
		case "deliver_data_id":
			raw.dataID = p.text()
		case "sequence_number":
			raw.seq = p.text()
		case "end_flag":
			raw.end = p.boolean()
		default:
			p.skip()
		}
	}
	return raw
}

// decode sets r, which is record number i of the request.
func (raw *rawRecord) decode(r *PutRecord, i int) (err error) {
	if raw.data == nil {
		return recordError(i, "data", "is missing")
	}
	if r.Data, err = decodeBase64(raw.data, raw.plain); errors.Is(err, errBase64) {
		return recordError(i, "data", err.Error())
	} else if err != nil {
		return err
	}
	if err := raw.rawTarget.decode(r, i); err != nil {
		return err
	}
	if len(raw.timestamp) > 0 {
		t, ok := parseInt(raw.timestamp)
		if !ok {
			return recordError(i, "timestamp", "is not an integer")
		}
		r.Timestamp = max(t, 0)
	}
	return raw.info.decode(&r.Info, i)
}

// decode sets what r says about its partition. The empty string equals an
// absent member (C-31).
func (raw *rawTarget) decode(r *PutRecord, i int) error {
	if len(raw.hashKey) > 0 {
		r.HashKey, r.HasHashKey = parseUint(raw.hashKey)
		if !r.HasHashKey {
			return recordError(i, "explicit_hash_key", "is not a number from 0 to 9223372036854775807")
		}
	}
	if len(raw.partition) > 0 {
		r.Partition, r.HasPartition = ParsePartitionID(raw.partition)
		if !r.HasPartition {
			value := raw.partition[:min(len(raw.partition), 64)]
			return &PartitionIDError{fieldOf(i, "partition_id"), string(value)}
		}
	}
	if len(raw.key) > MaxKey && utf8.RuneCount(raw.key) > MaxKey {
		return recordError(i, "partition_key", "is longer than 256 characters")
	}
	if len(raw.key) > 0 {
		r.Key = raw.key
	}
	return nil
}

func (raw *rawInfo) decode(f *Info, i int) error {
	*f = Info{FileName: raw.fileName, DeliverDataID: raw.dataID}
	if err := f.check(i); err != nil {
		return err
	}
	if len(raw.seq) > 0 {
		var ok bool
		if f.Seq, ok = parseInt(raw.seq); !ok {
			return recordError(i, "extended_info.sequence_number", "is not an integer")
		}
	}
	switch string(raw.end) {
	case "true":
		f.End = true
	case "false", "":
	default:
		return recordError(i, "extended_info.end_flag", "is not a Boolean")
	}
	return nil
}

// check refuses an Info that storage would not take.
func (f *Info) check(i int) error {
	if len(f.FileName)+len(f.DeliverDataID) > storage.MaxInfo-infoRoom {
		return recordError(i, "extended_info", "is too large")
	}
	return nil
}

func fieldOf(i int, member string) string {
	return "records[" + strconv.Itoa(i) + "]." + member
}

func recordError(i int, member, reason string) error {
	return &FieldError{fieldOf(i, member), reason}
}

// AppendPutJSON appends the JSON answer of E19.
func AppendPutJSON(dst []byte, results []PutResult) []byte {
	const stored = len(`{"partition_id":"shardId-0000000000","sequence_number":"9223372036854775807"},`)
	dst = slices.Grow(dst, 64+stored*len(results))
	dst = append(dst, `{"failed_record_count":`...)
	dst = strconv.AppendInt(dst, int64(failed(results)), 10)
	dst = append(dst, `,"records":[`...)
	for i := range results {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendResult(dst, &results[i])
	}
	return append(dst, "]}"...)
}

func appendResult(dst []byte, r *PutResult) []byte {
	if r.Code != "" {
		dst = append(dst, `{"error_code":`...)
		dst = appendString(dst, []byte(r.Code))
		dst = append(dst, `,"error_message":`...)
		dst = appendString(dst, []byte(r.Message))
		return append(dst, '}')
	}
	dst = append(dst, `{"partition_id":"`...)
	dst = AppendPartitionID(dst, r.Partition)
	dst = append(dst, `","sequence_number":"`...)
	dst = strconv.AppendInt(dst, int64(r.Seq), 10)
	return append(dst, `"}`...)
}

// AppendGetJSON appends the JSON answer of E20: the records and the cursor
// behind them.
func AppendGetJSON(dst []byte, records []storage.Record, next string) []byte {
	dst = slices.Grow(dst, getSize(records, next))
	dst = append(dst, `{"records":[`...)
	for i := range records {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendRecord(dst, &records[i])
	}
	dst = append(dst, `],"next_partition_cursor":`...)
	dst = appendString(dst, []byte(next))
	return append(dst, '}')
}

// getSize is the length of the answer, a little more, provided that no key
// needs escaping.
func getSize(records []storage.Record, next string) int {
	const rest = len(`{"partition_key":"","sequence_number":"9223372036854775807","data":"",` +
		`"timestamp":9223372036854775807,"timestamp_type":"CreateTime"},`)
	size := 64 + len(next)
	for i := range records {
		size += rest + len(records[i].Key) + base64.StdEncoding.EncodedLen(len(records[i].Data))
	}
	return size
}

func appendRecord(dst []byte, r *storage.Record) []byte {
	dst = append(dst, '{')
	if r.Key != nil {
		dst = append(dst, `"partition_key":`...)
		dst = appendString(dst, r.Key)
		dst = append(dst, ',')
	}
	dst = append(dst, `"sequence_number":"`...)
	dst = strconv.AppendInt(dst, int64(r.Seq), 10)
	dst = append(dst, `","data":"`...)
	dst = appendBase64(dst, r.Data)
	dst = append(dst, `","timestamp":`...)
	dst = strconv.AppendInt(dst, timeOf(r), 10)
	return append(dst, `,"timestamp_type":"`+timeType+`"}`...)
}

// appendString appends text in quotes. What is not UTF-8 in it becomes U+FFFD.
func appendString(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	if !utf8.Valid(text) {
		text = bytes.ToValidUTF8(text, []byte("\ufffd"))
	}
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
