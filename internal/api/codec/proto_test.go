package codec

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"disd/internal/storage"
)

// schema is the messages of 1.12: "message: number label type name; ...".
// Labels are o(ptional), r(equired) and * (repeated). In requests nothing is
// required, because PB-9 has no such error.
const schema = `
PutRecordsRequest: 1 o string streamName; 2 * PutRecordsRequestEntry records; 30 o string streamId
PutRecordsRequestEntry: 3 o bytes data; 4 o string explicitHashKey; 5 o string partitionKey; 6 o string partitionId; 7 o ExtendedInfo extendedInfo; 29 o int64 timestamp
ExtendedInfo: 8 o string fileName; 9 o string deliverDataId; 10 o bool endFlag; 11 o int64 seqNum
PutRecordsResult: 21 r int32 failedRecordCount; 22 * PutRecordsResultEntry records
PutRecordsResultEntry: 23 o string shardId; 24 o string sequenceNumber; 25 o string errorCode; 26 o string errorMessage
GetRecordsResult: 14 r string nextShardIterator; 16 * Record records
Record: 17 o string partitionKey; 18 r string sequenceNumber; 19 o bytes data; 27 o int64 timestamp; 28 o string timestampType`

var messages = compile(schema)

// compile makes descriptors of a schema, with strings checked for UTF-8.
func compile(schema string) protoreflect.MessageDescriptors {
	types := map[string]descriptorpb.FieldDescriptorProto_Type{
		"string": descriptorpb.FieldDescriptorProto_TYPE_STRING,
		"bytes":  descriptorpb.FieldDescriptorProto_TYPE_BYTES,
		"bool":   descriptorpb.FieldDescriptorProto_TYPE_BOOL,
		"int32":  descriptorpb.FieldDescriptorProto_TYPE_INT32,
		"int64":  descriptorpb.FieldDescriptorProto_TYPE_INT64,
	}
	labels := map[string]descriptorpb.FieldDescriptorProto_Label{
		"o": descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL,
		"r": descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL,
		"*": descriptorpb.FieldDescriptorProto_LABEL_REPEATED,
	}
	file := &descriptorpb.FileDescriptorProto{
		Name: proto.String("dis.proto"), Syntax: proto.String("editions"), Edition: descriptorpb.Edition_EDITION_2023.Enum(),
	}
	for line := range strings.Lines(strings.TrimSpace(schema)) {
		name, fields, _ := strings.Cut(line, ": ")
		m := &descriptorpb.DescriptorProto{Name: proto.String(name)}
		for field := range strings.SplitSeq(fields, ";") {
			f := strings.Fields(field)
			num, _ := strconv.Atoi(f[0])
			d := &descriptorpb.FieldDescriptorProto{Number: proto.Int32(int32(num)), Label: labels[f[1]].Enum(), Name: proto.String(f[3])}
			if t, ok := types[f[2]]; ok {
				d.Type = t.Enum()
			} else {
				d.Type, d.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), proto.String("."+f[2])
			}
			if f[1] == "r" {
				d.Options = &descriptorpb.FieldOptions{Features: &descriptorpb.FeatureSet{FieldPresence: descriptorpb.FeatureSet_LEGACY_REQUIRED.Enum()}}
			}
			m.Field = append(m.Field, d)
		}
		file.MessageType = append(file.MessageType, m)
	}
	d, err := protodesc.NewFile(file, nil)
	if err != nil {
		panic(err)
	}
	return d.Messages()
}

func unmarshal(name protoreflect.Name, b []byte) (*dynamicpb.Message, error) {
	m := dynamicpb.NewMessage(messages.ByName(name))
	return m, proto.Unmarshal(b, m)
}

// tag appends a field: a string as bytes, an int as varint.
func tag(b []byte, num protowire.Number, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendBytes(b, num, v)
	case []byte:
		return appendBytes(b, num, v)
	default:
		return appendVarint(b, num, uint64(v.(int)))
	}
}

// fields makes a message: number, value, number, value ...
func fields(list ...any) (b []byte) {
	for i := 0; i < len(list); i += 2 {
		b = tag(b, protowire.Number(list[i].(int)), list[i+1])
	}
	return b
}

// one makes the body of a request with one record with some data.
func one(list ...any) []byte {
	return fields(1, "s", 2, append(fields(3, ""), fields(list...)...))
}

var protoCases = []struct {
	name string
	body []byte
	want string // as describe prints it
}{
	{"all fields", fields(1, "s", 30, "i", 2, fields(3, "a\x00\xff", 4, "5", 5, "k", 6, "shardId-0000000001", 29, 17, 7, fields(8, "f", 9, "d", 10, 1, 11, 3))),
		`s/i "a\x00\xff" key=k hash=5 partition=1 time=17 info=f,d,3,true`},
	{"any order", fields(2, fields(29, 17, 3, "a"), 2, fields(5, "k", 3, "b"), 1, "s"), `s/ "a" time=17; "b" key=k`},
	{"unknown fields", fields(99, 1, 1, "s", 2, fields(3, "a", 77, "x"), 88, "x"), `s/ "a"`},
	{"unknown group", append(fields(1, "s"), 0x9b, 0x06, 0x08, 0x01, 0x9c, 0x06), `s/ `},
	{"unknown fixed", append(fields(1, "s"), 0x9d, 0x06, 1, 2, 3, 4, 0x99, 0x06, 1, 2, 3, 4, 5, 6, 7, 8), `s/ `},
	{"empty strings", fields(1, "", 30, "i", 2, fields(3, "", 4, "", 5, "", 6, "", 7, "")), `/i ""`},
	{"last counts", fields(1, "a", 2, fields(3, "a", 5, "x", 3, "b", 5, "k", 6, "x", 6, "1"), 1, "s"), `s/ "b" key=k partition=1`},
	{"info in parts", one(7, fields(8, "f"), 7, fields(11, 3)), `s/ "" info=f,,3,false`},
	{"no records", fields(1, "s"), `s/ `},

	{"no body", nil, `empty`},
	{"no stream", fields(2, fields(3, "a")), `stream_name is missing`},
	{"only unknown fields", fields(99, 1), `stream_name is missing`},
	{"data missing", fields(1, "s", 2, fields(3, "a"), 2, fields(5, "k")), `s/ "a"; "" key=k`},
	{"hash", one(4, "9223372036854775808"), badHash},
	{"partition", one(6, "-1"), `partition records[0].partition_id "-1"`},
	{"key of 256", one(5, strings.Repeat("区", 256)), `s/ "" key=` + strings.Repeat("区", 256)},
	{"key of 257", one(5, strings.Repeat("k", 257)), `records[0].partition_key is longer than 256 characters`},
	{"time negative", one(29, -1), `s/ ""`},
	{"info negative", one(7, fields(11, -1)), `s/ "" info=,,-1,false`},
	{"info too large", one(7, fields(8, strings.Repeat("x", 1<<16))), `records[0].extended_info is too large`},
	{"info zero", one(7, fields(8, "", 9, "", 10, 0, 11, 0)), `s/ ""`},
	{"first bad record counts", fields(1, "s", 2, fields(3, "a", 4, "x"), 2, fields(6, "x")), badHash},

	{"cut tag", append(fields(1, "s"), 0x80), `syntax`},
	{"cut bytes", append(fields(1, "s"), 0x12, 5, 0), `syntax`},
	{"cut record", fields(1, "s", 2, []byte{0x1a, 5, 0}), `syntax`},
	{"cut info", one(7, []byte{0x42, 5, 0}), `syntax`},
	{"cut unknown", append(fields(1, "s"), 0x9d, 0x06, 1, 2, 3), `syntax`},
	{"open group", append(fields(1, "s"), 0x9b, 0x06), `syntax`},
	{"stray end of group", append(fields(1, "s"), 0x9c, 0x06), `syntax`},
	{"field zero", append(fields(1, "s"), 0, 0), `syntax`},
	{"field too large", fields(1, "s", 1<<29, 0), `syntax`},
	{"varint too long", append(fields(1, "s"), 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1), `syntax`},
	{"name as number", fields(1, 5), `syntax`},
	{"records as number", fields(1, "s", 2, 5), `syntax`},
	{"data as number", one(3, 5), `syntax`},
	{"time as text", one(29, "5"), `syntax`},
	{"flag as text", one(7, fields(10, "true")), `syntax`},
	{"name not UTF-8", fields(1, "s\xff"), `syntax`},
	{"key not UTF-8, but replaced", one(5, "\xff", 5, "k"), `syntax`},
	{"file name not UTF-8", one(7, fields(8, "\xff")), `syntax`},
	{"syntax before fields", fields(2, fields(4, "x"), 2, 5), `syntax`},
}

func TestParsePutProto(t *testing.T) {
	var req PutRequest
	for _, c := range protoCases {
		err := ParsePutProto(c.body, &req)
		if got := describe(&req, err); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		if got := protoOracle(c.body); got != c.want {
			t.Errorf("%s: the oracle of the fuzz test says %s, want %s", c.name, got, c.want)
		}
	}
}

// FuzzPutProto compares the parser with the protobuf library.
func FuzzPutProto(f *testing.F) {
	for _, c := range protoCases {
		if len(c.body) < 4096 {
			f.Add(c.body)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		want := protoOracle(body)
		var req PutRequest
		err := ParsePutProto(body, &req)
		if n := AtMost(body, true); n < len(req.Records) {
			t.Errorf("%q: %d records, not at most %d", body, len(req.Records), n)
		}
		if got := describe(&req, err); got != want {
			t.Errorf("%x:\n got %s\nwant %s", body, got, want)
		}
	})
}

func protoOracle(body []byte) string {
	if len(body) == 0 {
		return "empty"
	}
	m, err := unmarshal("PutRecordsRequest", body)
	if err != nil || mistyped(m) {
		return "syntax"
	}
	q := PutRequest{StreamName: text(m, "streamName"), StreamID: text(m, "streamId")}
	if q.StreamName+q.StreamID == "" {
		return "stream_name is missing"
	}
	list := value(m, "records").List()
	for i := range list.Len() {
		entry := list.Get(i).Message()
		if err := entryOf(entry, "records["+strconv.Itoa(i)+"].", &q); err != nil {
			return describe(nil, err)
		}
	}
	return describe(&q, nil)
}

// entryOf lets the oracle for JSON judge the members that both encodings have
// in common (PB-10).
func entryOf(m protoreflect.Message, at string, q *PutRequest) error {
	var r PutRecord
	var o oracleState
	members, err := json.Marshal(map[string]string{
		"data":              "",
		"explicit_hash_key": text(m, "explicitHashKey"),
		"partition_id":      text(m, "partitionId"),
		"partition_key":     text(m, "partitionKey"),
	})
	if err != nil {
		return err
	}
	if err := o.record(members, at, &r); err != nil {
		return err
	}
	r.Data = value(m, "data").Bytes()
	r.Timestamp = max(value(m, "timestamp").Int(), 0)
	info := value(m, "extendedInfo").Message()
	r.Info = Info{
		FileName:      []byte(text(info, "fileName")),
		DeliverDataID: []byte(text(info, "deliverDataId")),
		Seq:           value(info, "seqNum").Int(),
		End:           value(info, "endFlag").Bool(),
	}
	q.Records = append(q.Records, r)
	if len(r.Info.FileName)+len(r.Info.DeliverDataID) > storage.MaxInfo-infoRoom {
		return &FieldError{at + "extended_info", "is too large"}
	}
	return nil
}

func value(m protoreflect.Message, field protoreflect.Name) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByName(field))
}

func text(m protoreflect.Message, field protoreflect.Name) string { return value(m, field).String() }

// mistyped reports whether m has a known field of the wrong wire type: the
// library counts such a field among the unknown ones, PB-9 refuses it.
func mistyped(m protoreflect.Message) bool {
	for b := m.GetUnknown(); len(b) > 0; {
		num, _, n := protowire.ConsumeField(b)
		if m.Descriptor().Fields().ByNumber(num) != nil {
			return true
		}
		b = b[n:]
	}
	found := false
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsList():
			for i := range v.List().Len() {
				found = found || mistyped(v.List().Get(i).Message())
			}
		case fd.Message() != nil:
			found = found || mistyped(v.Message())
		}
		return true
	})
	return found
}

// TestEncodingsAgree is PB-10: the same upload in both encodings is the same
// request.
func TestEncodingsAgree(t *testing.T) {
	t.Attr("rules", "PB-10")
	for _, c := range []struct {
		json  string
		proto []byte
	}{
		{`{"stream_name":"s","stream_id":"i","records":[{"data":"YQ==","partition_key":"分区","timestamp":5}]}`,
			fields(1, "s", 30, "i", 2, fields(3, "a", 5, "分区", 29, 5))},
		{`{"stream_name":"s","records":[{"data":"","explicit_hash_key":"0","partition_id":"1","extended_info":{"file_name":"f","end_flag":true}}]}`,
			one(4, "0", 6, "1", 7, fields(8, "f", 10, 1))},
		{`{"stream_name":"s","records":[{"data":"","partition_id":"x"}]}`, one(6, "x")},
	} {
		var a, b PutRequest
		want := describe(&a, ParsePutJSON([]byte(c.json), &a))
		if got := describe(&b, ParsePutProto(c.proto, &b)); got != want {
			t.Errorf("%s: protobuf gives %s, JSON %s", c.json, got, want)
		}
	}
}

func TestPutProtoDoesNotAllocatePerRecord(t *testing.T) {
	body := func(n int) []byte {
		b := fields(1, "stream")
		for range n {
			b = tag(b, 2, fields(3, payload(0, 100), 5, "key", 6, "1", 29, 5))
		}
		return b
	}
	var req PutRequest
	allocs := func(body []byte) float64 {
		return testing.AllocsPerRun(10, func() {
			if err := ParsePutProto(body, &req); err != nil {
				t.Fatal(err)
			}
		})
	}
	few, many := body(2), body(1000)
	allocs(many)
	if a, b := allocs(few), allocs(many); a != b {
		t.Errorf("%v allocations for 2 records, %v for 1000", a, b)
	}
}

func TestAppendPutProto(t *testing.T) {
	if got := hex.EncodeToString(AppendPutProto(nil, nil)); got != "a80100" { // PB-4
		t.Errorf("no results are %s", got)
	}
	results := []PutResult{{Partition: 2, Seq: 485}, {Code: "DIS.4303", Message: "Exceeded. DIS.4303"}, {Partition: 1<<31 - 1, Seq: 1<<63 - 1}}
	m, err := unmarshal("PutRecordsResult", AppendPutProto(nil, results))
	if err != nil || len(m.GetUnknown()) > 0 || mistyped(m) {
		t.Fatalf("%v, %v", m, err)
	}
	if n := value(m, "failedRecordCount").Int(); n != 1 {
		t.Errorf("%d failed", n)
	}
	for i, want := range []map[protoreflect.Name]string{ // PB-7: no other fields
		{"shardId": "shardId-0000000002", "sequenceNumber": "485"},
		{"errorCode": "DIS.4303", "errorMessage": "Exceeded. DIS.4303"},
		{"shardId": "shardId-2147483647", "sequenceNumber": "9223372036854775807"},
	} {
		got := map[protoreflect.Name]string{}
		value(m, "records").List().Get(i).Message().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			got[fd.Name()] = v.String()
			return true
		})
		if !maps.Equal(got, want) {
			t.Errorf("result %d is %v, want %v", i, got, want)
		}
	}
}

func TestGetProtoRoundTrip(t *testing.T) {
	records := someRecords(3, 100)
	records[0].Seq, records[0].Data, records[0].AppendTime = 0, nil, 0 // zeros are written too
	records[1].Key, records[1].Timestamp = nil, 17
	records[2].Seq = 1<<63 - 1
	m, err := unmarshal("GetRecordsResult", AppendGetProto(nil, records, "next"))
	if err != nil || len(m.GetUnknown()) > 0 || mistyped(m) {
		t.Fatalf("%v, %v", m, err)
	}
	list := value(m, "records").List()
	if text(m, "nextShardIterator") != "next" || list.Len() != len(records) {
		t.Fatalf("got %v", m)
	}
	for i, want := range records {
		r := list.Get(i).Message()
		for _, name := range []protoreflect.Name{"sequenceNumber", "data", "timestamp", "timestampType"} { // PB-4, PB-6
			if !r.Has(r.Descriptor().Fields().ByName(name)) {
				t.Errorf("record %d has no %s", i, name)
			}
		}
		if r.Has(r.Descriptor().Fields().ByName("partitionKey")) != (want.Key != nil) ||
			text(r, "partitionKey") != string(want.Key) ||
			text(r, "sequenceNumber") != want.Seq.String() ||
			!bytes.Equal(value(r, "data").Bytes(), want.Data) ||
			value(r, "timestamp").Int() != timeOf(&want) ||
			text(r, "timestampType") != "CreateTime" {
			t.Errorf("record %d came back as %v", i, r)
		}
	}
	empty, err := unmarshal("GetRecordsResult", AppendGetProto(nil, nil, ""))
	if err != nil {
		t.Errorf("the empty answer lacks its cursor: %v", err)
	}
	if value(empty, "records").List().Len() != 0 {
		t.Errorf("got %v", empty)
	}
}

func TestGetProtoSize(t *testing.T) {
	records := someRecords(1000, 100)
	if b := AppendGetProto(nil, records, "next"); len(b) != sizeGet(records, "next") {
		t.Errorf("%d bytes, calculated were %d", len(b), sizeGet(records, "next"))
	}
}

func BenchmarkParsePutProto(b *testing.B) {
	body := fields(1, "stream")
	for i := range 100 {
		body = tag(body, 2, fields(3, payload(i, 1024), 5, "key-"+strconv.Itoa(i)))
	}
	var req PutRequest
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if err := ParsePutProto(body, &req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendGetProto(b *testing.B) {
	records := someRecords(1024, 1024)
	var dst []byte
	b.SetBytes(1 << 20)
	for b.Loop() {
		dst = AppendGetProto(dst[:0], records, "next")
	}
}
