package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"disd/internal/storage"
)

// putCases has the rules of E19, 1.5 and 1.6: a body and either the records it
// holds or the error it meets.
var putCases = []struct {
	name string
	body string
	want string // as describe prints it
}{
	{"example", `{"stream_name":"newstream","records":[
		{ "data": "ZGF0YQ==", "partition_key": "user-1" },
		{ "data": "MTEzMTEz", "partition_id": "shardId-0000000001" },
		{ "data": "ZGF0YQ==", "explicit_hash_key": "0" } ]}`,
		`newstream/ "data" key=user-1; "113113" partition=1; "data" hash=0`},
	{"by id", `{"stream_name":"","stream_id":"9dSu","records":[]}`, `/9dSu `},
	{"both", `{"stream_name":"s","stream_id":"i","records":[{"data":""}]}`, `s/i ""`},
	{"neither", `{"records":[]}`, `stream_name is missing`},
	{"null name", `{"stream_name":null,"records":[]}`, `stream_name is missing`},
	{"number as name", `{"stream_name":12,"records":[]}`, `12/ `},
	{"boolean as name", `{"stream_name":true,"records":[]}`, `syntax`},

	{"records null", `{"stream_name":"s","records":null}`, `s/ `},
	{"records missing", `{"stream_name":"s"}`, `records is missing`},
	{"records object", `{"stream_name":"s","records":{}}`, `records is not an array`},
	{"records text", `{"stream_name":"s","records":""}`, `records is not an array`},
	{"record null", `{"stream_name":"s","records":[null]}`, `records[0].data is missing`},
	{"record text", `{"stream_name":"s","records":["YQ=="]}`, `syntax`},
	{"record array", `{"stream_name":"s","records":[[]]}`, `syntax`},

	{"no body", ``, `empty`},
	{"no members", ` { } `, `empty`},
	{"body null", `null`, `empty`},
	{"body null and more", `null 1`, `syntax`},
	{"body array", `[]`, `syntax`},
	{"body blank", ` `, `syntax`},
	{"unknown members", `{"StreamName":"x","Stream_name":{"a":[1,-2.5e+3,true,false,null,{}]},"records":[{"Data":1,"data":"YQ==","x":[[]]}],"stream_name":"s"}`, `s/ "a"`},
	{"only unknown members", `{"a":1}`, `stream_name is missing`},
	{"final line feed", "{\"stream_name\":\"s\",\"records\":[]}\r\n\t ", `s/ `},
	{"byte order mark", "\ufeff" + `{"stream_name":"s","records":[]}`, `syntax`},

	{"trailing comma", `{"stream_name":"s","records":[],}`, `syntax`},
	{"trailing comma in array", `{"stream_name":"s","records":[{"data":""},]}`, `syntax`},
	{"missing comma", `{"stream_name":"s" "records":[]}`, `syntax`},
	{"comment", `{"stream_name":"s",/**/"records":[]}`, `syntax`},
	{"missing colon", `{"stream_name" "s","records":[]}`, `syntax`},
	{"single quotes", `{'stream_name':"s","records":[]}`, `syntax`},
	{"more behind", `{"stream_name":"s","records":[]}}`, `syntax`},
	{"zero byte behind", "{\"stream_name\":\"s\",\"records\":[]}\x00", `syntax`},
	{"cut short", `{"stream_name":"s","records":[{"data":"YQ==`, `syntax`},
	{"leading zero", `{"stream_name":"s","records":[],"x":01}`, `syntax`},
	{"bare fraction", `{"stream_name":"s","records":[],"x":.5}`, `syntax`},
	{"no fraction", `{"stream_name":"s","records":[],"x":1.}`, `syntax`},
	{"no exponent", `{"stream_name":"s","records":[],"x":1e}`, `syntax`},
	{"plus", `{"stream_name":"s","records":[],"x":+1}`, `syntax`},
	{"not a number", `{"stream_name":"s","records":[],"x":NaN}`, `syntax`},
	{"capital literal", `{"stream_name":"s","records":[],"x":True}`, `syntax`},
	{"control character", "{\"stream_name\":\"s\n\",\"records\":[]}", `syntax`},
	{"unknown escape", `{"stream_name":"\x","records":[]}`, `syntax`},
	{"bad unicode escape", `{"stream_name":"\u12g4","records":[]}`, `syntax`},
	{"too deep", `{"stream_name":"s","records":[],"x":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`, `syntax`},
	{"deep", `{"stream_name":"s","records":[],"x":` + strings.Repeat("[", 9999) + strings.Repeat("]", 9999) + `}`, `s/ `},
	{"not UTF-8", "{\"stream_name\":\"s\xff\",\"records\":[]}", `syntax`},
	{"unknown member not UTF-8", "{\"stream_name\":\"s\",\"records\":[],\"\xc3\":1}", `syntax`},

	{"escapes", `{"stream\u005fname":"\"\\\/\b\f\n\r\t","records":[{"data":"","partition_key":"\u5206区\ud83d\ude00"}]}`,
		"\"\\/\b\f\n\r\t/ \"\" key=分区😀"},
	{"half a pair", `{"stream_name":"\ud83d\u0041\ude00","records":[]}`, "\ufffdA\ufffd/ "},
	{"two first halves", `{"stream_name":"\ud83d\ud83d\ude00","records":[]}`, "\ufffd😀/ "},

	{"data missing", `{"stream_name":"s","records":[{"data":"YQ=="},{"partition_key":"k"}]}`, `records[1].data is missing`},
	{"data null", `{"stream_name":"s","records":[{"data":null}]}`, `records[0].data is missing`},
	{"data object", `{"stream_name":"s","records":[{"data":{}}]}`, `syntax`},
	{"data boolean", `{"stream_name":"s","records":[{"data":true}]}`, `syntax`},
	{"data a number", `{"stream_name":"s","records":[{"data":1234}]}`, `s/ "\xd7m\xf8"`},
	{"data escaped", `{"stream_name":"s","records":[{"data":"\/\/8\u003d"}]}`, `s/ "\xff\xff"`},
	{"data of the other alphabet", `{"stream_name":"s","records":[{"data":"__8="}]}`, `records[0].data is not Base64`},
	{"data without padding", `{"stream_name":"s","records":[{"data":"YQ"}]}`, `records[0].data is not Base64`},
	{"data with less padding", `{"stream_name":"s","records":[{"data":"YQ="}]}`, `records[0].data is not Base64`},
	{"data with more padding", `{"stream_name":"s","records":[{"data":"YWI=="}]}`, `records[0].data is not Base64`},
	{"data with padding inside", `{"stream_name":"s","records":[{"data":"AQ==AQ=="}]}`, `records[0].data is not Base64`},
	{"data padding only", `{"stream_name":"s","records":[{"data":"===="}]}`, `records[0].data is not Base64`},
	{"data with a blank", `{"stream_name":"s","records":[{"data":"YQ== "}]}`, `records[0].data is not Base64`},
	{"data with line breaks", `{"stream_name":"s","records":[{"data":"YWJj\r\nYWJj"}]}`, `records[0].data is not Base64`},
	{"data with four line breaks", `{"stream_name":"s","records":[{"data":"YQ==\n\n\n\n"}]}`, `records[0].data is not Base64`},
	{"data with a raw line break", "{\"stream_name\":\"s\",\"records\":[{\"data\":\"YWJj\nYWJj*\"}]}", `syntax`},
	{"data with a raw zero", "{\"stream_name\":\"s\",\"records\":[{\"data\":\"YWJj*\x00\"}]}", `syntax`},
	{"data not UTF-8", "{\"stream_name\":\"s\",\"records\":[{\"data\":\"YWJj\xff\"}]}", `syntax`},
	{"data of Chinese", `{"stream_name":"s","records":[{"data":"分区"}]}`, `records[0].data is not Base64`},
	{"data with unused bits set", `{"stream_name":"s","records":[{"data":"YR=="}]}`, `s/ "a"`},
	{"data twice", `{"stream_name":"s","records":[{"data":"*","data":"YQ=="}]}`, `s/ "a"`},
	{"data twice, first with a raw zero", "{\"stream_name\":\"s\",\"records\":[{\"data\":\"\x00\",\"data\":\"YQ==\"}]}", `syntax`},
	{"data and null", `{"stream_name":"s","records":[{"data":"YQ==","data":null}]}`, `records[0].data is missing`},

	{"hash", `{"stream_name":"s","records":[{"data":"","explicit_hash_key":"9223372036854775807"}]}`, `s/ "" hash=9223372036854775807`},
	{"hash a number", `{"stream_name":"s","records":[{"data":"","explicit_hash_key":9223372036854775807}]}`, `s/ "" hash=9223372036854775807`},
	{"hash with zeros", `{"stream_name":"s","records":[{"data":"","explicit_hash_key":"000000000000000000000000000007"}]}`, `s/ "" hash=7`},
	{"hash empty", `{"stream_name":"s","records":[{"data":"","explicit_hash_key":""}]}`, `s/ ""`},
	{"hash null", `{"stream_name":"s","records":[{"data":"","explicit_hash_key":null}]}`, `s/ ""`},
	{"hash too large", `{"stream_name":"s","records":[{"data":"","explicit_hash_key":"9223372036854775808"}]}`, badHash},
	{"hash much too large", `{"stream_name":"s","records":[{"data":"","explicit_hash_key":"18446744073709551616"}]}`, badHash},
	{"hash negative", `{"stream_name":"s","records":[{"data":"","explicit_hash_key":"-1"}]}`, badHash},
	{"hash with plus", `{"stream_name":"s","records":[{"data":"","explicit_hash_key":"+1"}]}`, badHash},
	{"hash with a blank", `{"stream_name":"s","records":[{"data":"","explicit_hash_key":" 1"}]}`, badHash},
	{"hash with exponent", `{"stream_name":"s","records":[{"data":"","explicit_hash_key":1e3}]}`, badHash},
	{"hash an array", `{"stream_name":"s","records":[{"data":"","explicit_hash_key":[]}]}`, `syntax`},

	{"partition short", `{"stream_name":"s","records":[{"data":"","partition_id":"0"}]}`, `s/ "" partition=0`},
	{"partition long", `{"stream_name":"s","records":[{"data":"","partition_id":"shardId-2147483647"}]}`, `s/ "" partition=2147483647`},
	{"partition prefix and digit", `{"stream_name":"s","records":[{"data":"","partition_id":"shardId-7"}]}`, `s/ "" partition=7`},
	{"partition ten digits", `{"stream_name":"s","records":[{"data":"","partition_id":"0000000012"}]}`, `s/ "" partition=12`},
	{"partition a number", `{"stream_name":"s","records":[{"data":"","partition_id":3}]}`, `s/ "" partition=3`},
	{"partition empty", `{"stream_name":"s","records":[{"data":"","partition_id":""}]}`, `s/ ""`},
	{"partition eleven digits", `{"stream_name":"s","records":[{"data":"","partition_id":"00000000000"}]}`, `partition records[0].partition_id "00000000000"`},
	{"partition too large", `{"stream_name":"s","records":[{"data":"","partition_id":"2147483648"}]}`, `partition records[0].partition_id "2147483648"`},
	{"partition prefix only", `{"stream_name":"s","records":[{"data":"","partition_id":"shardId-"}]}`, `partition records[0].partition_id "shardId-"`},
	{"partition other case", `{"stream_name":"s","records":[{"data":"","partition_id":"shardid-0"}]}`, `partition records[0].partition_id "shardid-0"`},
	{"partition negative", `{"stream_name":"s","records":[{"data":"","partition_id":-1}]}`, `partition records[0].partition_id "-1"`},
	{"partition fraction", `{"stream_name":"s","records":[{"data":"","partition_id":1.0}]}`, `partition records[0].partition_id "1.0"`},
	{"partition endless", `{"stream_name":"s","records":[{"data":"","partition_id":"` + strings.Repeat("x", 99) + `"}]}`, `partition records[0].partition_id "` + strings.Repeat("x", 64) + `"`},
	{"partition object", `{"stream_name":"s","records":[{"data":"","partition_id":{}}]}`, `syntax`},

	{"key 256 characters", `{"stream_name":"s","records":[{"data":"","partition_key":"` + strings.Repeat("区", 256) + `"}]}`, `s/ "" key=` + strings.Repeat("区", 256)},
	{"key 257 characters", `{"stream_name":"s","records":[{"data":"","partition_key":"` + strings.Repeat("k", 257) + `"}]}`, `records[0].partition_key is longer than 256 characters`},
	{"key of 256 pairs", `{"stream_name":"s","records":[{"data":"","partition_key":"` + strings.Repeat(`\ud83d\ude00`, 256) + `"}]}`, `s/ "" key=` + strings.Repeat("😀", 256)},
	{"key a number", `{"stream_name":"s","records":[{"data":"","partition_key":1.50}]}`, `s/ "" key=1.50`},
	{"key empty", `{"stream_name":"s","records":[{"data":"","partition_key":""}]}`, `s/ ""`},

	{"all three", `{"stream_name":"s","records":[{"data":"","partition_key":"k","partition_id":"1","explicit_hash_key":"2"}]}`, `s/ "" key=k hash=2 partition=1`},

	{"time", `{"stream_name":"s","records":[{"data":"","timestamp":1700000000000}]}`, `s/ "" time=1700000000000`},
	{"time as text", `{"stream_name":"s","records":[{"data":"","timestamp":"1700000000000"}]}`, `s/ "" time=1700000000000`},
	{"time zero", `{"stream_name":"s","records":[{"data":"","timestamp":0}]}`, `s/ ""`},
	{"time negative", `{"stream_name":"s","records":[{"data":"","timestamp":-5}]}`, `s/ ""`},
	{"time null", `{"stream_name":"s","records":[{"data":"","timestamp":null}]}`, `s/ ""`},
	{"time empty", `{"stream_name":"s","records":[{"data":"","timestamp":""}]}`, `s/ ""`},
	{"time fraction", `{"stream_name":"s","records":[{"data":"","timestamp":1.5}]}`, `records[0].timestamp is not an integer`},
	{"time too large", `{"stream_name":"s","records":[{"data":"","timestamp":9223372036854775808}]}`, `records[0].timestamp is not an integer`},
	{"time boolean", `{"stream_name":"s","records":[{"data":"","timestamp":true}]}`, `syntax`},

	{"info", `{"stream_name":"s","records":[{"data":"","extended_info":{"file_name":"a.log","deliver_data_id":"9d","sequence_number":3,"end_flag":true}}]}`, `s/ "" info=a.log,9d,3,true`},
	{"info as text", `{"stream_name":"s","records":[{"data":"","extended_info":{"file_name":1,"x":2,"sequence_number":"3","end_flag":"false"}}]}`, `s/ "" info=1,,3,false`},
	{"info empty", `{"stream_name":"s","records":[{"data":"","extended_info":{}}]}`, `s/ ""`},
	{"info of empty members", `{"stream_name":"s","records":[{"data":"","extended_info":{"file_name":"","deliver_data_id":null,"sequence_number":0,"end_flag":false}}]}`, `s/ ""`},
	{"info null", `{"stream_name":"s","records":[{"data":"","extended_info":null}]}`, `s/ ""`},
	{"info text", `{"stream_name":"s","records":[{"data":"","extended_info":""}]}`, `syntax`},
	{"info twice", `{"stream_name":"s","records":[{"data":"","extended_info":{"file_name":"a","sequence_number":1},"extended_info":{"file_name":"b"}}]}`, `s/ "" info=b,,0,false`},
	{"info number", `{"stream_name":"s","records":[{"data":"","extended_info":{"sequence_number":"x"}}]}`, `records[0].extended_info.sequence_number is not an integer`},
	{"info flag", `{"stream_name":"s","records":[{"data":"","extended_info":{"end_flag":"yes"}}]}`, `records[0].extended_info.end_flag is not a Boolean`},
	{"info flag a number", `{"stream_name":"s","records":[{"data":"","extended_info":{"end_flag":1}}]}`, `syntax`},
	{"info large", `{"stream_name":"s","records":[{"data":"","extended_info":{"file_name":"` + strings.Repeat("x", 1<<16) + `"}}]}`, `records[0].extended_info is too large`},

	{"records twice", `{"stream_name":"a","records":[{"data":"*"},{"data":"YQ=="}],"records":[{"data":"Yg=="}],"stream_name":"b"}`, `b/ "b"`},
	{"records and null", `{"stream_name":"s","records":[{"data":"*"}],"records":null}`, `s/ `},
	{"first bad record counts", `{"stream_name":"s","records":[{"data":"","timestamp":"x"},{"data":"*"}]}`, `records[0].timestamp is not an integer`},
	{"first bad field counts", `{"stream_name":"s","records":[{"timestamp":"x","partition_id":"x","explicit_hash_key":"x","data":""}]}`, badHash},
	{"name before records", `{"records":[{"data":"*"}]}`, `stream_name is missing`},
	{"syntax before fields", `{"records":[{"data":"*"}}`, `syntax`},
	{"type before fields", `{"records":[{"data":"*"},{"data":""}],"stream_id":[]}`, `syntax`},
}

const badHash = `records[0].explicit_hash_key is not a number from 0 to 9223372036854775807`

// describe prints what a parser returned.
func describe(q *PutRequest, err error) string {
	var partition *PartitionIDError
	switch {
	case errors.Is(err, ErrSyntax):
		return "syntax"
	case errors.Is(err, ErrEmpty):
		return "empty"
	case errors.As(err, &partition):
		return "partition " + err.Error()
	case err != nil:
		return err.Error()
	}
	var records []string
	for i := range q.Records {
		records = append(records, describeRecord(&q.Records[i]))
	}
	return q.StreamName + "/" + q.StreamID + " " + strings.Join(records, "; ")
}

func describeRecord(r *PutRecord) string {
	s := fmt.Sprintf("%q", r.Data)
	if r.Key != nil {
		s += " key=" + string(r.Key)
	}
	if r.HasHashKey {
		s += fmt.Sprintf(" hash=%d", r.HashKey)
	}
	if r.HasPartition {
		s += fmt.Sprintf(" partition=%d", r.Partition)
	}
	if r.Timestamp != 0 {
		s += fmt.Sprintf(" time=%d", r.Timestamp)
	}
	if f := r.Info; !f.IsZero() {
		s += fmt.Sprintf(" info=%s,%s,%d,%t", f.FileName, f.DeliverDataID, f.Seq, f.End)
	}
	return s
}

func TestParsePutJSON(t *testing.T) {
	var req PutRequest // one for all: nothing of an earlier body may remain
	for _, c := range putCases {
		err := ParsePutJSON([]byte(c.body), &req)
		if got := describe(&req, err); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		if got := oracle([]byte(c.body)); got != c.want {
			t.Errorf("%s: the oracle of the fuzz test says %s, want %s", c.name, got, c.want)
		}
	}
}

// FuzzPutJSON compares the parser with one that uses encoding/json.
func FuzzPutJSON(f *testing.F) {
	for _, c := range putCases {
		if len(c.body) < 4096 { // long ones only slow it down
			f.Add([]byte(c.body))
		}
	}
	f.Add(putBody(3, 100))
	f.Fuzz(func(t *testing.T, body []byte) {
		want := oracle(body)
		var req PutRequest
		err := ParsePutJSON(bytes.Clone(body), &req)
		if n := AtMost(body, false); n < len(req.Records) {
			t.Errorf("%q: %d records, not at most %d", body, len(req.Records), n)
		}
		if got := describe(&req, err); got != want {
			t.Errorf("%q:\n got %s\nwant %s", body, got, want)
		}
	})
}

// oracle says what ParsePutJSON is to return, in the way of a slow and simple
// parser on top of encoding/json.
func oracle(body []byte) string {
	if len(body) == 0 {
		return "empty"
	}
	if !json.Valid(body) || !utf8.Valid(body) {
		return "syntax"
	}
	var o oracleState
	var q PutRequest
	err := o.request(body, &q)
	if o.badType {
		return "syntax"
	}
	return describe(&q, err)
}

type oracleState struct{ badType bool }

func (o *oracleState) request(body []byte, q *PutRequest) error {
	members := o.object(body)
	name, id := o.text(members["stream_name"]), o.text(members["stream_id"])
	q.StreamName, q.StreamID = string(name), string(id)
	records, ok := members["records"]
	var fault error
	var list []json.RawMessage
	if ok && json.Unmarshal(records, &list) != nil {
		fault = &FieldError{"records", "is not an array"}
	}
	for i, raw := range list {
		var r PutRecord
		err := o.record(raw, fmt.Sprintf("records[%d].", i), &r)
		if fault == nil {
			fault = err
		}
		q.Records = append(q.Records, r)
	}
	switch {
	case len(members) == 0:
		return ErrEmpty
	case len(name)+len(id) == 0:
		return &FieldError{"stream_name", "is missing"}
	case !ok:
		return &FieldError{"records", "is missing"}
	}
	return fault
}

var (
	unsigned    = regexp.MustCompile(`^[0-9]+$`)
	integer     = regexp.MustCompile(`^-?[0-9]+$`)
	partitionID = regexp.MustCompile(`^(shardId-)?[0-9]{1,10}$`)
	breaks      = regexp.MustCompile(`[\r\n]`)
)

func (o *oracleState) record(raw json.RawMessage, at string, r *PutRecord) (err error) {
	fail := func(member, reason string) {
		if err == nil {
			err = &FieldError{at + member, reason}
		}
	}
	m := o.object(raw)
	data := o.text(m["data"])
	var bad error
	if r.Data, bad = base64.StdEncoding.DecodeString(string(data)); data == nil {
		fail("data", "is missing")
	} else if bad != nil || breaks.Match(data) {
		fail("data", "is not Base64")
	}
	if s := string(o.text(m["explicit_hash_key"])); s != "" {
		n, ok := new(big.Int).SetString(s, 10)
		if !unsigned.MatchString(s) || !ok || !n.IsInt64() {
			fail("explicit_hash_key", "is not a number from 0 to 9223372036854775807")
		} else {
			r.HashKey, r.HasHashKey = n.Uint64(), true
		}
	}
	if s := string(o.text(m["partition_id"])); s != "" {
		n, bad := strconv.ParseInt(strings.TrimPrefix(s, "shardId-"), 10, 32)
		if (!partitionID.MatchString(s) || bad != nil) && err == nil {
			err = &PartitionIDError{at + "partition_id", s[:min(len(s), 64)]}
		}
		r.Partition, r.HasPartition = int32(n), true
	}
	if s := string(o.text(m["partition_key"])); len([]rune(s)) > 256 {
		fail("partition_key", "is longer than 256 characters")
	} else if s != "" {
		r.Key = []byte(s)
	}
	o.integer(m["timestamp"], &r.Timestamp, func() { fail("timestamp", "is not an integer") })
	r.Timestamp = max(r.Timestamp, 0)
	info := m["extended_info"]
	if info == nil {
		return err
	}
	m = o.object(info)
	r.Info.FileName, r.Info.DeliverDataID = o.text(m["file_name"]), o.text(m["deliver_data_id"])
	if len(r.Info.FileName)+len(r.Info.DeliverDataID) > storage.MaxInfo-infoRoom {
		fail("extended_info", "is too large")
	}
	o.integer(m["sequence_number"], &r.Info.Seq, func() { fail("extended_info.sequence_number", "is not an integer") })
	switch v := o.value(m["end_flag"]).(type) {
	case nil:
	case bool:
		r.Info.End = v
	case string:
		r.Info.End = v == "true"
		if v != "true" && v != "false" && v != "" {
			fail("extended_info.end_flag", "is not a Boolean")
		}
	default:
		o.badType = true
	}
	return err
}

func (o *oracleState) integer(raw json.RawMessage, n *int64, fail func()) {
	s := string(o.text(raw))
	if s == "" {
		return
	}
	var err error
	*n, err = strconv.ParseInt(s, 10, 64)
	if err != nil || !integer.MatchString(s) {
		fail()
	}
}

// object returns the members of an object, none of null.
func (o *oracleState) object(raw json.RawMessage) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		o.badType = true
	}
	return m
}

// text returns a string, a number as it is written, or nil for null.
func (o *oracleState) text(raw json.RawMessage) []byte {
	switch v := o.value(raw).(type) {
	case nil:
		return nil
	case string:
		return []byte(v)
	case json.Number:
		return []byte(v)
	}
	o.badType = true
	return nil
}

func (o *oracleState) value(raw json.RawMessage) (v any) {
	if raw == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		panic(err) // the body as a whole was valid
	}
	return v
}

// putBody makes a body of n records of size bytes each.
func putBody(n, size int) []byte {
	type record struct {
		Data []byte `json:"data"`
		Key  string `json:"partition_key"`
	}
	body := struct {
		Name    string   `json:"stream_name"`
		Records []record `json:"records"`
	}{Name: "stream"}
	for i := range n {
		body.Records = append(body.Records, record{payload(i, size), "key-" + strconv.Itoa(i)})
	}
	b, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return b
}

func payload(seed, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(seed + i*i>>3)
	}
	return b
}

func TestPutJSONDoesNotAllocatePerRecord(t *testing.T) {
	const record = `{"data":"YWJj\/w==","partition_key":"\u5206","partition_id":"1","explicit_hash_key":2,"timestamp":"3",` +
		`"extended_info":{"file_name":"f","sequence_number":1,"end_flag":false},"x":[null,true,{"y":-1e3}]},`
	body := func(n int) []byte {
		return []byte(`{"stream_name":"s","records":[` + strings.Repeat(record, n) + `{"data":""}]}`)
	}
	few, many := body(2), body(1000)
	work := make([]byte, len(many))
	var req PutRequest
	allocs := func(body []byte) float64 {
		return testing.AllocsPerRun(10, func() {
			if err := ParsePutJSON(append(work[:0], body...), &req); err != nil {
				t.Fatal(err)
			}
		})
	}
	allocs(many) // makes room
	if a, b := allocs(few), allocs(many); a != b {
		t.Errorf("%v allocations for 2 records, %v for 1000", a, b)
	}
}

func TestAppendPutJSON(t *testing.T) {
	for _, c := range []struct {
		results []PutResult
		want    string
	}{
		{nil, `{"failed_record_count":0,"records":[]}`},
		{[]PutResult{{Partition: 2, Seq: 485}, {Code: "DIS.4303", Message: "Exceeded traffic control limit. DIS.4303"}, {Seq: 289927}},
			`{"failed_record_count":1,"records":[{"partition_id":"shardId-0000000002","sequence_number":"485"},` +
				`{"error_code":"DIS.4303","error_message":"Exceeded traffic control limit. DIS.4303"},` +
				`{"partition_id":"shardId-0000000000","sequence_number":"289927"}]}`},
		{[]PutResult{{Partition: 1<<31 - 1, Seq: 1<<63 - 1}},
			`{"failed_record_count":0,"records":[{"partition_id":"shardId-2147483647","sequence_number":"9223372036854775807"}]}`},
	} {
		if got := string(AppendPutJSON([]byte("x"), c.results)); got != "x"+c.want {
			t.Errorf("got %s\nwant x%s", got, c.want)
		}
	}
}

func TestAppendGetJSON(t *testing.T) {
	for _, c := range []struct {
		records []storage.Record
		want    string
	}{
		{nil, `{"records":[],"next_partition_cursor":"n"}`},
		{[]storage.Record{{Seq: 485, Key: []byte("0"), Data: []byte("data"), Timestamp: 1527577402541, AppendTime: 7}, {Seq: 486, AppendTime: 8}},
			`{"records":[{"partition_key":"0","sequence_number":"485","data":"ZGF0YQ==","timestamp":1527577402541,"timestamp_type":"CreateTime"},` +
				`{"sequence_number":"486","data":"","timestamp":8,"timestamp_type":"CreateTime"}],"next_partition_cursor":"n"}`},
		{[]storage.Record{{Key: []byte("\"\\\n\x1f/<分\u2028\xff")}},
			`{"records":[{"partition_key":"\"\\\u000a\u001f/<分` + "\u2028\ufffd" + `","sequence_number":"0","data":"","timestamp":0,"timestamp_type":"CreateTime"}],"next_partition_cursor":"n"}`},
	} {
		if got := string(AppendGetJSON([]byte("x"), c.records, "n")); got != "x"+c.want {
			t.Errorf("got %s\nwant x%s", got, c.want)
		}
	}
}

// TestGetJSONRoundTrip reads answers back with encoding/json, for payloads of
// every length around the width of the vectors.
func TestGetJSONRoundTrip(t *testing.T) {
	var records []storage.Record
	for i := range 200 {
		records = append(records, storage.Record{Seq: storage.Seq(i), Key: []byte("key " + strconv.Itoa(i)), Data: payload(i, i), Timestamp: int64(i) + 1})
	}
	var got struct {
		Records []struct {
			Key       string      `json:"partition_key"`
			Seq       storage.Seq `json:"sequence_number,string"`
			Data      []byte      `json:"data"`
			Timestamp int64       `json:"timestamp"`
			Type      string      `json:"timestamp_type"`
		} `json:"records"`
		Next string `json:"next_partition_cursor"`
	}
	text := AppendGetJSON(nil, records, "n")
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for i, r := range got.Records {
		back := storage.Record{Seq: r.Seq, Key: []byte(r.Key), Data: r.Data, Timestamp: r.Timestamp}
		if !reflect.DeepEqual(back, records[i]) || r.Type != "CreateTime" {
			t.Errorf("record %d came back as %v", i, r)
		}
	}
	if len(got.Records) != len(records) || got.Next != "n" {
		t.Errorf("%d records, cursor %q", len(got.Records), got.Next)
	}
}

func TestGetAllocatesOnce(t *testing.T) {
	few, many := someRecords(10, 100), someRecords(1000, 100)
	for _, appender := range []func([]byte, []storage.Record, string) []byte{AppendGetJSON, AppendGetProto} {
		allocs := func(records []storage.Record) float64 {
			return testing.AllocsPerRun(10, func() { appender(nil, records, "next") })
		}
		if a, b := allocs(few), allocs(many); a != b {
			t.Errorf("%v allocations for 10 records, %v for 1000", a, b)
		}
	}
}

func someRecords(n, size int) []storage.Record {
	records := make([]storage.Record, n)
	for i := range records {
		records[i] = storage.Record{Seq: storage.Seq(i), AppendTime: 1700000000000, Key: []byte("key-" + strconv.Itoa(i)), Data: payload(i, size)}
	}
	return records
}

func BenchmarkParsePutJSON(b *testing.B) {
	body := putBody(100, 1024)
	work := make([]byte, len(body))
	var req PutRequest
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		copy(work, body) // parsing changes it
		if err := ParsePutJSON(work, &req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStandardPutJSON(b *testing.B) {
	body := putBody(100, 1024)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		var req struct {
			Name    string `json:"stream_name"`
			Records []struct {
				Data []byte `json:"data"`
				Key  string `json:"partition_key"`
			} `json:"records"`
		}
		if err := json.Unmarshal(body, &req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendGetJSON(b *testing.B) {
	records := someRecords(1024, 1024)
	var dst []byte
	b.SetBytes(1 << 20)
	for b.Loop() {
		dst = AppendGetJSON(dst[:0], records, "next")
	}
}
