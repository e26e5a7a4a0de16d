package api_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"google.golang.org/protobuf/encoding/protowire"

	"disd/internal/api"
	"disd/internal/api/dis"
	"disd/internal/api/rest"
	"disd/internal/auth"
)

const protoHeader = "application/x-protobuf; charset=utf-8"

// pb encodes protobuf fields: a number and its value, a string for bytes and
// messages, an int for a varint.
func pb(fields ...any) string {
	var b []byte
	for i := 0; i < len(fields); i += 2 {
		num := protowire.Number(fields[i].(int))
		switch v := fields[i+1].(type) {
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), v)
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
		}
	}
	return string(b)
}

// fields decodes a protobuf message: strings and numbers by field number, in
// order.
func fields(t *testing.T, message string) map[int][]string {
	t.Helper()
	out := make(map[int][]string)
	for b := []byte(message); len(b) > 0; {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatalf("%x: %v", message, protowire.ParseError(n))
		}
		b = b[n:]
		switch typ {
		case protowire.BytesType:
			v, m := protowire.ConsumeBytes(b)
			if m < 0 {
				t.Fatalf("%x: %v", message, protowire.ParseError(m))
			}
			out[int(num)], n = append(out[int(num)], string(v)), m
		case protowire.VarintType:
			v, m := protowire.ConsumeVarint(b)
			if m < 0 {
				t.Fatalf("%x: %v", message, protowire.ParseError(m))
			}
			out[int(num)], n = append(out[int(num)], strconv.FormatUint(v, 10)), m
		default:
			t.Fatalf("%x: field %d of type %d", message, num, typ)
		}
		b = b[n:]
	}
	return out
}

// streamBench has a stream "s" of two partitions.
func streamBench(t *testing.T, edit ...func(*setup)) *bench {
	b := newBench(t, edit...)
	b.want(201, "POST", "/p/streams", `{"stream_name":"s","partition_count":2}`)
	return b
}

func (b *bench) cursor(stream, id string) string {
	b.Helper()
	a := b.want(200, "GET", "/p/cursors?cursor-type=TRIM_HORIZON&stream-name="+stream+"&partition-id="+id, "")
	return a.member(b, "partition_cursor").(string)
}

// TestProtobuf uploads and downloads the way the connectors do.
func TestProtobuf(t *testing.T) {
	t.Attr("rules", "PB-3 PB-4 PB-6 PB-7")
	b := streamBench(t)
	put := b.do("POST", "/p/records/", pb(1, "s",
		2, pb(3, "\x00raw\xff", 4, "", 5, "user-1", 6, "", 29, 1700000000000),
		2, pb(3, "", 6, "shardId-0000000000"),
		2, pb(3, "x", 6, "7")), "Content-Type", protoHeader)
	if put.status != 200 || put.header.Get("Content-Type") != rest.ProtoType {
		t.Fatalf("PB-3: %d, %s", put.status, put.header)
	}
	result := fields(t, put.body)
	if result[21][0] != "1" || len(result[22]) != 3 {
		t.Fatalf("PB-4: %x", put.body)
	}
	if e := fields(t, result[22][0]); e[23][0] != "shardId-0000000001" || e[24][0] != "0" || len(e) != 2 {
		t.Errorf("PB-6, PB-7: a stored record: %v", e)
	}
	if e := fields(t, result[22][2]); e[25][0] != "DIS.4302" || e[26] == nil || len(e) != 2 {
		t.Errorf("PB-7: a refused record: %v", e)
	}
	if a := b.do("POST", "/p/records/", pb(1, "s", 2, pb(3, "y", 6, "0")), "Content-Type", protoHeader); !strings.HasPrefix(hex.EncodeToString([]byte(a.body)), "a80100") {
		t.Errorf("PB-4: no failure is %x", a.body)
	}
	get := b.do("GET", "/p/records/?partition-cursor="+b.cursor("s", "1"), "", "Content-Type", protoHeader)
	if get.status != 200 || get.header.Get("Content-Type") != rest.ProtoType {
		t.Fatalf("PB-3: %d, %s", get.status, get.header)
	}
	result = fields(t, get.body)
	want := map[int][]string{17: {"user-1"}, 18: {"0"}, 19: {"\x00raw\xff"}, 27: {"1700000000000"}, 28: {"CreateTime"}}
	if got := fields(t, result[16][0]); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("PB-6: %v, want %v", got, want)
	}
	get = b.do("GET", "/p/records/?partition-cursor="+result[14][0], "", "Content-Type", protoHeader)
	if next := fields(t, get.body); len(next[16]) != 0 || next[14][0] == "" {
		t.Errorf("PB-3, PB-4: at the end: %v", next)
	}
	get = b.do("GET", "/p/records?partition-cursor="+b.cursor("s", "0"), "", "Content-Type", protoHeader)
	want = map[int][]string{18: {"0"}, 19: {""}, 27: {fmt.Sprint(b.clock.now().UnixMilli())}, 28: {"CreateTime"}}
	if got := fields(t, fields(t, get.body)[16][0]); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("PB-4, PB-6: %v, want %v", got, want)
	}
}

// TestProtobufIsAskedFor is PB-1: the content type decides, nothing else.
func TestProtobufIsAskedFor(t *testing.T) {
	b := streamBench(t)
	upload := pb(1, "s", 2, pb(3, "x"))
	for _, test := range []struct {
		method, path, body, header, value string
		want                              string // media type of a success, else the code
	}{
		{"POST", "records", upload, "Content-Type", "application/x-protobuf", rest.ProtoType},
		{"POST", "records", upload, "Content-Type", "Application/X-Protobuf;charset=utf-8", rest.ProtoType},
		{"POST", "records", upload, "Content-Type", "application/x-protobuf; charset=", rest.ProtoType},
		{"POST", "records", upload, "Content-Type", "application/json", "DIS.4300"},
		{"POST", "records", upload, "Content-Type", "application/protobuf", "APIGW.0201"},
		{"POST", "records", `{"stream_name":"s","records":[]}`, "Accept", rest.ProtoType, rest.JSONType},
		{"GET", "records?partition-cursor=CURSOR", "", "Content-Type", protoHeader, rest.ProtoType},
		{"GET", "records?partition-cursor=CURSOR", "", "Accept", rest.ProtoType, rest.JSONType},
		{"GET", "records?partition-cursor=CURSOR", "", "Content-Type", "text/plain", rest.JSONType},
		{"GET", "streams", "", "Content-Type", protoHeader, rest.JSONType},
		{"DELETE", "apps/a", "", "Content-Type", protoHeader, "DIS.4332"},
		{"POST", "apps", `{"app_name":"a"}`, "Content-Type", protoHeader, "APIGW.0201"},
		{"PUT", "streams/s", `{"stream_name":"s","target_partition_count":3}`, "Content-Type", protoHeader, "APIGW.0201"},
	} {
		path := "/p/" + strings.ReplaceAll(test.path, "CURSOR", b.cursor("s", "0"))
		a := b.do(test.method, path, test.body, test.header, test.value)
		got, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
		if a.status >= 400 {
			got = a.code(t)
		}
		if got != test.want {
			t.Errorf("%s %s, %s %s: %s, want %s", test.method, test.path, test.header, test.value, got, test.want)
		}
	}
}

// TestProtobufBodies is PB-2, PB-5, PB-8 and PB-9: bodies that are read, and
// what is said about those that are not.
func TestProtobufBodies(t *testing.T) {
	b := streamBench(t)
	id := b.want(200, "GET", "/p/streams/s", "").member(t, "stream_id").(string)
	for _, test := range []struct{ rule, body, want string }{
		{"PB-5 only an id", pb(30, id, 2, pb(3, "x")), "0"},
		{"PB-5 an empty name", pb(1, "", 30, id, 2, pb(3, "x")), "0"},
		{"PB-5 an empty id", pb(1, "s", 30, "", 2, pb(3, "x")), "0"},
		{"PB-5 empty members", pb(1, "s", 2, pb(3, "x", 4, "", 5, "", 6, "")), "0"},
		{"PB-5 any order", pb(2, pb(29, 1, 6, "1", 3, "x"), 1, "s"), "0"},
		{"PB-5 the last counts", pb(1, "nowhere", 2, pb(6, "9", 3, "x", 6, "1"), 1, "s"), "0"},
		{"PB-5 unknown fields", pb(1, "s", 99, "?", 98, 7, 2, pb(3, "x", 97, "?")), "0"},
		{"PB-5 no data", pb(1, "s", 2, pb(5, "k")), "0"},
		{"E19-R12", pb(1, "s"), "0"},
		{"PB-2 a length before it", "\x08" + pb(1, "s", 2, pb(3, "x")), "DIS.4300"},
		{"PB-8", pb(1, "nowhere", 2, pb(3, "x")), "DIS.4301"},
		{"PB-9 truncated", pb(1, "s", 2, pb(3, "xyz"))[:7], "DIS.4300"},
		{"PB-9 truncated inside", pb(1, "s", 2, pb(3, "xyz")[:3]), "DIS.4300"},
		{"PB-9 wrong type", pb(1, 5, 2, pb(3, "x")), "DIS.4300"},
		{"PB-9 wrong type inside", pb(1, "s", 2, pb(3, 1)), "DIS.4300"},
		{"PB-9 UTF-8", pb(1, "s\xff", 2, pb(3, "x")), "DIS.4300"},
		{"PB-9 UTF-8 of a key", pb(1, "s", 2, pb(3, "x", 5, "\xff")), "DIS.4300"},
		{"PB-9 JSON", `{"stream_name":"s"}`, "DIS.4300"},
		{"PB-9 empty", "", "DIS.4202"},
	} {
		t.Attr("rules", test.rule)
		a := b.do("POST", "/p/records", test.body, "Content-Type", protoHeader)
		got := ""
		switch {
		case a.status == 200:
			got = fields(t, a.body)[21][0]
		case a.status == 400:
			got = a.code(t)
		}
		if got != test.want {
			t.Errorf("%s: status %d, %q, want %q", test.rule, a.status, got, test.want)
		}
	}
}

// TestProtobufIsAnotherSpelling is PB-10: the same upload is stored, or refused,
// the same way in both encodings.
func TestProtobufIsAnotherSpelling(t *testing.T) {
	b := newBench(t, func(o *setup) { o.MaxRecord = api.RecordLimit{Common: 1000} })
	type record struct{ data, hash, key, part string }
	for i, records := range [][]record{
		{},
		{{data: "a", key: "k"}, {data: "b", key: "键"}, {data: "", part: "1"}},
		{{data: "a", hash: "0"}, {data: "b", hash: "9223372036854775807"}, {data: "c", hash: "1", key: "k"}},
		{{data: "a", hash: "9223372036854775808"}},
		{{data: "a", part: "0"}, {data: "b", part: "shardId-0000000001"}, {data: "c", part: "5", key: "k"}},
		{{data: "a", part: "first"}},
		{{data: strings.Repeat("x", 1001)}},
		{{data: "a", key: strings.Repeat("k", 257)}},
	} {
		message, text := pb(), []string{}
		for _, r := range records {
			message += pb(2, pb(3, r.data, 4, r.hash, 5, r.key, 6, r.part))
			data := base64.StdEncoding.EncodeToString([]byte(r.data))
			text = append(text, fmt.Sprintf(`{"data":%q,"explicit_hash_key":%q,"partition_key":%q,"partition_id":%q}`, data, r.hash, r.key, r.part))
		}
		var stored [2]string
		for mode, stream := range []string{fmt.Sprint("j", i), fmt.Sprint("p", i)} {
			b.want(201, "POST", "/p/streams", `{"stream_name":"`+stream+`","partition_count":2}`)
			a := b.do("POST", "/p/records", `{"stream_name":"`+stream+`","records":[`+strings.Join(text, ",")+`]}`)
			if mode == 1 {
				b.want(204, "DELETE", "/p/streams/"+stream, "")
				b.want(201, "POST", "/p/streams", `{"stream_name":"`+stream+`","partition_count":2}`)
				a = b.do("POST", "/p/records", pb(1, stream)+message, "Content-Type", protoHeader)
			}
			if a.status != 200 {
				stored[mode] = a.code(t)
			}
			for id := range 2 {
				got := b.want(200, "GET", "/p/records?partition-cursor="+b.cursor(stream, fmt.Sprint(id)), "")
				stored[mode] += fmt.Sprint(got.member(t, "records"))
			}
		}
		if stored[0] != stored[1] {
			t.Errorf("%+v\nas JSON     %s\nas protobuf %s", records, stored[0], stored[1])
		}
	}
}

// compressed returns a body as the SDK sends it, and the headers that go with it.
func compressed(t *testing.T, encoding, body string) (string, []string) {
	t.Helper()
	headers := []string{"Content-Encoding", encoding, "Accept-Encoding", encoding}
	var out bytes.Buffer
	switch encoding {
	case "lz4":
		block := make([]byte, lz4.CompressBlockBound(len(body)))
		n, err := lz4.CompressBlock([]byte(body), block, nil)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(block[:n])
		headers = append(headers, "x-dis-lz4-content-length", strconv.Itoa(len(body)))
	case "snappy":
		out.Write(snappy.Encode(nil, []byte(body)))
	case "zstd":
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(w.EncodeAll([]byte(body), nil))
		w.Close()
		headers = append(headers, "x-dis-zstd-content-length", strconv.Itoa(len(body)))
	case "gzip":
		w := gzip.NewWriter(&out)
		w.Write([]byte(body))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	default:
		out.WriteString(body)
	}
	return out.String(), headers
}

var encodings = []string{"identity", "lz4", "snappy", "zstd", "gzip"}

// TestCompressedBodies is Z-1, Z-2, Z-3, Z-4 and Z-7: every POST and PUT, in both
// encodings of records.
func TestCompressedBodies(t *testing.T) {
	t.Attr("rules", "Z-1 Z-7")
	b := newBench(t)
	for _, encoding := range encodings {
		for _, call := range []struct {
			status                   int
			method, path, body, kind string
		}{
			{201, "POST", "streams", `{"stream_name":"` + encoding + `","partition_count":1}`, rest.JSONType},
			{200, "POST", "records", `{"stream_name":"` + encoding + `","records":[{"data":"ZGF0YQ=="}]}`, rest.JSONType},
			{200, "POST", "records/", pb(1, encoding, 2, pb(3, strings.Repeat("data", 5000))), protoHeader},
			{200, "PUT", "streams/" + encoding, `{"stream_name":"` + encoding + `","target_partition_count":2}`, rest.JSONType},
			{201, "POST", "apps", `{"app_name":"` + encoding + `"}`, rest.JSONType},
			{200, "GET", "streams/" + encoding, "", rest.JSONType},
			{204, "DELETE", "apps/" + encoding, "", rest.JSONType},
		} {
			body, headers := compressed(t, encoding, call.body)
			if call.body == "" {
				body = ""
			}
			a := b.do(call.method, "/p/"+call.path, body, append(headers, "Content-Type", call.kind)...)
			if a.status != call.status {
				t.Fatalf("Z-1: %s: %s %s: %d %s", encoding, call.method, call.path, a.status, a.body)
			}
			if call.kind == rest.JSONType && call.status == 200 && !json.Valid([]byte(a.body)) && encoding != "gzip" {
				t.Errorf("Z-7: %s: %s %s: answer %q", encoding, call.method, call.path, a.body)
			}
			if got := a.header.Get("Content-Encoding"); got != "" && got != "gzip" {
				t.Errorf("Z-7: %s: an answer in %s", encoding, got)
			}
		}
		got := b.want(200, "GET", "/p/records?partition-cursor="+b.cursor(encoding, "0"), "")
		if got.member(t, "records.0.data") != "ZGF0YQ==" {
			t.Errorf("%s: %s", encoding, got.body)
		}
	}
}

// TestCompressedNonsense is Z-1 to Z-5: what is refused, and how.
func TestCompressedNonsense(t *testing.T) {
	const limit = 64 << 10
	b := streamBench(t, func(o *setup) { o.Limits.Body = limit })
	small := `{"stream_name":"s","records":[{"data":"ZGF0YQ=="}]}`
	bomb := small + strings.Repeat(" ", limit)
	// sent is a body in one encoding under the headers given, in place of its own.
	sent := func(encoding, body string, header ...string) answerSeen {
		body, own := compressed(t, encoding, body)
		return b.do("POST", "/p/records", body, append(own, header...)...)
	}
	for _, test := range []struct {
		rule string
		a    answerSeen
		want string
	}{
		{"Z-1 unknown", b.do("POST", "/p/records", small, "Content-Encoding", "br"), "415 APIGW.0201"},
		{"Z-1 a list", b.do("POST", "/p/records", small, "Content-Encoding", "gzip, lz4"), "415 APIGW.0201"},
		{"Z-1 unknown without a body", b.do("POST", "/p/records", "", "Content-Encoding", "br"), "415 APIGW.0201"},
		{"Z-1 plain without a body", b.do("POST", "/p/records", "", "Content-Encoding", "gzip"), "400 DIS.4202"},
		{"Z-2 no size", sent("lz4", small, "x-dis-lz4-content-length", ""), "400 DIS.4300"},
		{"Z-2 no number", sent("lz4", small, "x-dis-lz4-content-length", "many"), "400 DIS.4300"},
		{"Z-2 a frame", sent("lz4", "", "x-dis-lz4-content-length", "5"), "400 DIS.4300"},
		{"Z-3 the framing format", b.do("POST", "/p/records", "\xff\x06\x00\x00sNaPpY", "Content-Encoding", "snappy"), "400 DIS.4300"},
		{"Z-4 no size", sent("zstd", small, "x-dis-zstd-content-length", ""), "200"},
		{"Z-4 another size", sent("zstd", small, "x-dis-zstd-content-length", "7"), "400 DIS.4300"},
		{"Z-5 too small a size", sent("lz4", small, "x-dis-lz4-content-length", "7"), "400 DIS.4300"},
		{"Z-5 too large a size", sent("lz4", small, "x-dis-lz4-content-length", "1000"), "400 DIS.4300"},
		{"Z-5 a size over the limit", sent("lz4", small, "x-dis-lz4-content-length", "65537"), "413 APIGW.0201"},
		{"Z-5 a negative size", sent("lz4", small, "x-dis-lz4-content-length", "-1"), "400 DIS.4300"},
		{"Z-5 lz4 bomb", sent("lz4", bomb), "413 APIGW.0201"},
		{"Z-5 snappy bomb", sent("snappy", bomb), "413 APIGW.0201"},
		{"Z-5 zstd bomb", sent("zstd", bomb), "413 APIGW.0201"},
		{"Z-5 gzip bomb", sent("gzip", bomb), "413 APIGW.0201"},
		{"Z-5 zstd junk", b.do("POST", "/p/records", "junk", "Content-Encoding", "zstd"), "400 DIS.4300"},
		{"Z-5 gzip junk", b.do("POST", "/p/records", "junk", "Content-Encoding", "gzip"), "400 DIS.4300"},
		{"C-35 after the project", b.do("POST", "/v2/auth/records", "junk", "Content-Encoding", "gzip"), "400 DIS.4117"},
	} {
		t.Attr("rules", test.rule)
		got := fmt.Sprint(test.a.status)
		if test.a.status != 200 {
			got += " " + test.a.code(t)
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.rule, got, test.want)
		}
	}
	twice, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/v2/proj/records", strings.NewReader(small))
	if err != nil {
		t.Fatal(err)
	}
	twice.Header["Content-Encoding"] = []string{"identity", "identity"}
	resp, err := http.DefaultClient.Do(twice)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("Z-1 twice: %d", resp.StatusCode)
	}
}

// TestCompressedAndSigned is Z-6: the signature is that of the compressed bytes.
func TestCompressedAndSigned(t *testing.T) {
	t.Attr("rules", "Z-6")
	b := newGuardedBench(t)
	for _, encoding := range encodings[1:] {
		body, headers := compressed(t, encoding, `{"stream_name":"`+encoding+`","partition_count":1}`)
		if a := b.as("AK-ALICE", "POST", "/v2/p1/streams", body, headers...); a.status != 201 {
			t.Errorf("%s: %d %s", encoding, a.status, a.body)
		}
		// So are the 12 MiB.
		body, headers = compressed(t, encoding, `{"app_name":"`+encoding+`"}`+strings.Repeat(" ", auth.MaxSignedBody))
		if a := b.as("AK-ALICE", "POST", "/v2/p1/apps", body, headers...); a.status != 201 {
			t.Errorf("%s: a large body: %d %s", encoding, a.status, a.body)
		}
	}
}

// TestBodiesAreBounded holds many compressed uploads against memory for one: they
// wait for each other, and all are answered.
func TestBodiesAreBounded(t *testing.T) {
	const limit = 64 << 10
	b := streamBench(t, func(o *setup) { o.Limits.Body, o.Limits.Bodies = limit, limit })
	body, headers := compressed(t, "gzip", `{"stream_name":"s","records":[{"data":"`+strings.Repeat("AAAA", limit/5)+`"}]}`)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if a := b.do("POST", "/p/records", body, headers...); a.status != 200 {
				b.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
}

// TestDownloadsAreBounded: when there is no room for more downloads, small ones are
// answered at once, and those of a large record when there is room again.
func TestDownloadsAreBounded(t *testing.T) {
	b := streamBench(t, func(o *setup) { o.Limits.Answers = 1 }) // as little as possible
	put := func(size, n int) {
		record := `{"partition_id":"0","data":"` + strings.Repeat("AAAA", size/3) + `"}`
		b.want(200, "POST", "/p/records", `{"stream_name":"s","records":[`+strings.Repeat(record+",", n-1)+record+`]}`)
	}
	put(9<<10, 20)
	put(90<<10, 2)
	at := func(seq string) string {
		a := b.want(200, "GET", "/p/cursors?stream-name=s&partition-id=0&cursor-type=AT_SEQUENCE_NUMBER&starting-sequence-number="+seq, "")
		return a.member(t, "partition_cursor").(string)
	}
	get := func(seq, query string, want int) {
		t.Helper()
		a := b.want(200, "GET", "/p/records?partition-cursor="+at(seq)+query, "")
		if n := len(a.member(t, "records").([]any)); n != want {
			t.Errorf("from %s%s: %d records, want %d", seq, query, n, want)
		}
	}
	giveBack, err := b.api.TakeAnswers(t.Context(), "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	get("0", "", 7)
	get("0", "&limit=3", 3)
	get("0", "&max_fetch_bytes=20000", 2)
	get("22", "", 0)
	waiting := make(chan struct{})
	large := at("20")
	go func() {
		defer close(waiting)
		a := b.do("GET", "/p/records?partition-cursor="+large, "")
		if n := len(a.member(t, "records").([]any)); n == 0 {
			t.Error("the download that waited is empty")
		}
	}()
	get("15", "", 5)
	select {
	case <-waiting:
		t.Error("a large record was read without room for it")
	default:
	}
	giveBack()
	<-waiting
	get("0", "", 22)
	get("20", "&max_fetch_bytes=20000", 0)
	if giveBack, err = b.api.TakeAnswers(t.Context(), "127.0.0.1:1"); err != nil { // nothing was kept
		t.Fatal(err)
	}
	giveBack()
}

// TestManyRecords: an upload may have many records, but not as many as fit into its
// body, where each takes a hundred times the memory of its text.
func TestManyRecords(t *testing.T) {
	t.Attr("rules", "E19-R13")
	b := streamBench(t)
	for n, want := range map[int]int{10_000: 200, dis.MaxPutRecords: 413} {
		record := `{"data":"","partition_id":"0"}`
		if a := b.do("POST", "/p/records", `{"stream_name":"s","records":[`+strings.Repeat(record+",", n-1)+record+`]}`); a.status != want {
			t.Errorf("%d records: %d %.300s", n, a.status, a.body)
		}
	}
	protobuf := func(n int) string { return "\x0a\x01s" + strings.Repeat("\x12\x05\x1a\x00\x32\x010", n) }
	for n, want := range map[int]int{10_000: 200, dis.MaxPutRecords + 1: 413} {
		if a := b.do("POST", "/p/records", protobuf(n), "Content-Type", "application/x-protobuf"); a.status != want {
			t.Errorf("%d records in protobuf: %d %.300q", n, a.status, a.body)
		}
	}
	if a := b.do("POST", "/p/records", `{"stream_name":"s","records":[`+strings.Repeat("null,", 1_000_000)+`null]}`); a.status != 400 {
		t.Errorf("nulls: %d %.300s", a.status, a.body)
	}
}

// TestResultsAreBounded: when clients do not take the answers to large uploads,
// further ones wait, and small ones do not.
func TestResultsAreBounded(t *testing.T) {
	b := streamBench(t, func(o *setup) { o.Limits.Answers = 1 }) // as little as possible
	put := func(n int) {
		record := `{"data":""}`
		a := b.do("POST", "/p/records", `{"stream_name":"s","records":[`+strings.Repeat(record+",", n-1)+record+`]}`)
		if a.status != 200 {
			t.Errorf("%d records: %d %s", n, a.status, a.body)
		}
	}
	giveBack, err := b.api.TakeResults(t.Context(), "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	large := make(chan struct{})
	go func() { defer close(large); put(1000) }()
	for b.api.WaitingForResults("127.0.0.1") < 2 {
		select {
		case <-large:
			t.Fatal("a large upload was answered without room for its answer")
		case <-time.After(time.Millisecond):
		}
	}
	put(100)
	giveBack()
	<-large
	if giveBack, err = b.api.TakeResults(t.Context(), "127.0.0.1:1"); err != nil { // nothing was kept
		t.Fatal(err)
	}
	giveBack()
}
