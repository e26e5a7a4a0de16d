package api_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"disd/internal/storage"
)

// puts is the body of E19 for stream "s".
func puts(records ...string) string {
	return `{"stream_name":"s","records":[` + strings.Join(records, ",") + `]}`
}

func TestRulesUpload(t *testing.T) {
	w := newWorld(t)
	put := func(rule, body, want string) step { return ask(rule, "POST /p/records", body, want) }
	one := func(rule, record, want string) step {
		return put(rule, puts(record), "200 {\"failed_record_count\":0,\"records\":["+want+"]}")
	}
	bad := func(rule, record, want string) step {
		return put(rule, puts(`{"data":""}`, record), "400 "+want)
	}
	k256, k257 := strings.Repeat("键", 256), strings.Repeat("键", 257)
	w.converse(
		ask("E19", "POST /p/streams", create("s", 2), "201"),
		ask("E19", "GET /p/streams/s", "", `200 {"stream_id":"@s"}`),
		put("E19-R1 by name", `{"stream_name":"s","records":[{"data":""}]}`, `200 {"failed_record_count":0}`),
		put("E19-R1 by id", `{"stream_name":"","stream_id":"@s","records":[{"data":""}]}`, `200 {"failed_record_count":0}`),
		put("E19-R1 by id", `{"stream_name":"none","stream_id":"@s","records":[{"data":""}]}`, `200 {"failed_record_count":0}`),
		put("E19-R1 name first", `{"stream_name":"s","stream_id":"none","records":[{"data":""}]}`, `200 {"failed_record_count":0}`),
		put("E19-R1 neither", `{"stream_name":"none","stream_id":"0","records":[]}`, "400 DIS.4301 Stream does not exist. [none][proj]"),
		put("E19-R1 neither", `{"stream_id":"0123456789012345678","records":[]}`, "400 DIS.4301 Stream does not exist. [0123456789012345678][proj]"),
		put("E19 no stream", `{"records":[]}`, "400 DIS.4200 Invalid request. [stream_name: …"),
		put("E19-R12", `{"stream_name":"s","records":null}`, `200 {"failed_record_count":0,"records":[]}`),
		put("E19-R12", `{"stream_name":"s","records":[]}`, `200 {"failed_record_count":0,"records":[]}`),
		put("E19-R12 E19-R3 missing", `{"stream_name":"s"}`, "400 DIS.4200 Invalid request. [records: …"),
		put("E19-R3 no array", `{"stream_name":"s","records":{}}`, "400 DIS.4200 Invalid request. [records: …"),
		put("E19-R3 no array", `{"stream_name":"s","records":"x"}`, "400 DIS.4200 Invalid request. [records: …"),

		one("E19-R2 C-40 C-42 partition_id", `{"data":"","partition_id":"shardId-0000000001"}`, `{"partition_id":"shardId-0000000001","error_code":"@absent","error_message":"@absent"}`),
		one("E19-R2 partition_id wins E19-N4", `{"data":"","partition_id":"1","explicit_hash_key":"0","partition_key":"device-42"}`, `{"partition_id":"shardId-0000000001"}`),
		one("E19-R2 explicit_hash_key wins", `{"data":"","explicit_hash_key":"0","partition_key":"user-1"}`, `{"partition_id":"shardId-0000000000"}`),
		one("E19-R2 L-6", `{"data":"","partition_key":"user-1"}`, `{"partition_id":"shardId-0000000001"}`),
		one("C-41 C-32", `{"data":"","partition_id":1}`, `{"partition_id":"shardId-0000000001"}`),
		one("C-32", `{"data":"","explicit_hash_key":9223372036854775807}`, `{"partition_id":"shardId-0000000001"}`),
		one("C-31", `{"data":"","explicit_hash_key":"","partition_key":"device-42","partition_id":"","timestamp":null,"extended_info":{},"x":[{"y":null}]}`, `{"partition_id":"shardId-0000000000"}`),
		one("C-31", `{"data":"","explicit_hash_key":null,"partition_key":"device-42","partition_id":null,"extended_info":null}`, `{"partition_id":"shardId-0000000000"}`),
		one("E19 partition_key C-38", `{"data":"","partition_key":"`+k256+`"}`, `{}`),

		bad("E19-R3 data", `{"partition_key":"a"}`, "DIS.4200 Invalid request. [records[1].data: …"),
		bad("E19-R3 data", `{"data":null}`, "DIS.4200 Invalid request. [records[1].data: …"),
		bad("E19-R3 data", `null`, "DIS.4200 Invalid request. [records[1].data: …"),
		bad("E19-R3 data", `{"data":"a"}`, "DIS.4200 Invalid request. [records[1].data: …"),
		bad("E19-R3 data unpadded", `{"data":"AA"}`, "DIS.4200 Invalid request. [records[1].data: …"),
		bad("E19-R3 data base64url", `{"data":"_-_-"}`, "DIS.4200 Invalid request. [records[1].data: …"),
		bad("E19-R3 data", `{"data":"A A="}`, "DIS.4200 Invalid request. [records[1].data: …"),
		bad("C-34 data", `{"data":["AA=="]}`, "DIS.4300 Request error."),
		bad("C-34 record", `"AA=="`, "DIS.4300 Request error."),
		bad("E19-R3 hash", `{"data":"","explicit_hash_key":"x"}`, "DIS.4200 Invalid request. [records[1].explicit_hash_key: …"),
		bad("E19-R3 hash", `{"data":"","explicit_hash_key":-1}`, "DIS.4200 Invalid request. [records[1].explicit_hash_key: …"),
		bad("E19-R3 hash", `{"data":"","explicit_hash_key":"9223372036854775808"}`, "DIS.4200 Invalid request. [records[1].explicit_hash_key: …"),
		bad("E19-R3 partition_id", `{"data":"","partition_id":"shard-1"}`, "DIS.4201 Invalid partition_id. [shard-1]"),
		bad("E19-R3 partition_id", `{"data":"","partition_id":"2147483648"}`, "DIS.4201 Invalid partition_id. [2147483648]"),
		bad("E19 partition_key", `{"data":"","partition_key":"`+k257+`"}`, "DIS.4200 Invalid request. [records[1].partition_key: …"),
		bad("E19 timestamp", `{"data":"","timestamp":"now"}`, "DIS.4200 Invalid request. [records[1].timestamp: …"),
		bad("E19-R3 Q-18", `{"data":"`+base64.StdEncoding.EncodeToString(make([]byte, 1<<20+1))+`"}`, "DIS.4213 The record is too large. [records[1].data]"),
		one("Q-18", `{"data":"`+base64.StdEncoding.EncodeToString(make([]byte, 1<<20))+`"}`, `{}`),
		put("C-35 form before look-up", `{"stream_name":"none","records":[{"data":"a"}]}`, "400 DIS.4200 Invalid request. [records[0].data: …"),
		put("C-35 syntax before fields", `{"records":[{"data":"a"}],}`, "400 DIS.4300 Request error."),

		put("E19-R4 E19-R5", puts(`{"data":"","partition_id":"0"}`, `{"data":"","partition_id":"2"}`, `{"data":"","partition_id":"2147483647"}`, `{"data":"","partition_id":"1"}`),
			`200 {"failed_record_count":2,"records":[{"partition_id":"shardId-0000000000","error_code":"@absent"},
			{"error_code":"DIS.4302","error_message":"Partition does not exist. DIS.4302","partition_id":"@absent","sequence_number":"@absent"},{"error_code":"DIS.4302"},{"partition_id":"shardId-0000000001"}]}`),
		put("E19-R11", puts(`{"data":"","partition_id":"2"}`), `200 {"failed_record_count":1,"records":[{"error_code":"DIS.4302"}]}`),

		ask("Q-18 ADVANCED", "POST /p/streams", create("adv", 1, `"stream_type":"ADVANCED"`), "201"),
		put("Q-18 ADVANCED", `{"stream_name":"adv","records":[{"data":"`+base64.StdEncoding.EncodeToString(make([]byte, 5<<20))+`"}]}`, `200 {"failed_record_count":0}`),
		put("Q-18 ADVANCED", `{"stream_name":"adv","records":[{"data":"`+base64.StdEncoding.EncodeToString(make([]byte, 5<<20+1))+`"}]}`, "400 DIS.4213 The record is too large. [records[0].data]"),

		ask("E19-R6", "POST /p/streams", create("dense", 2), "201"),
		put("E19-R6 L-14 E19-R5", `{"stream_name":"dense","records":[{"data":"AA==","partition_id":0},{"data":"AQ==","partition_id":1},{"data":"Ag==","partition_id":0},{"data":"Aw==","partition_id":0}]}`,
			`200 {"records":[{"sequence_number":"0"},{"sequence_number":"0"},{"sequence_number":"1"},{"sequence_number":"2"}]}`),
		put("E19-R6 L-28 no deduplication", `{"stream_name":"dense","records":[{"data":"AA==","partition_id":0}]}`, `200 {"records":[{"sequence_number":"3"}]}`),
		restart(),
		put("E19-R7 L-27 L-14", `{"stream_name":"dense","records":[{"data":"AA==","partition_id":0}]}`, `200 {"records":[{"sequence_number":"4"}]}`),
	)
}

// TestRulesRouting checks the vectors of L-5 to L-7 from outside.
func TestRulesRouting(t *testing.T) {
	t.Attr("rules", "L-7 L-7a")
	w := newWorld(t)
	counts := []int{1, 2, 3, 5}
	for _, n := range counts {
		w.want(201, "POST", "/p/streams", create(fmt.Sprint("s", n), n))
	}
	goesTo := func(n int, member, value string) string {
		body := fmt.Sprintf(`{"stream_name":"s%d","records":[{"data":"",%q:%q}]}`, n, member, value)
		return w.want(200, "POST", "/p/records", body).member(t, "records.0.partition_id").(string)
	}
	for _, v := range []struct {
		key, hash string
		partition [4]int
	}{
		{"0", "5750288053043553775", [4]int{0, 1, 1, 3}},
		{"1", "4956847150856741762", [4]int{0, 1, 1, 2}},
		{"user-1", "6257593711501015798", [4]int{0, 1, 2, 3}},
		{"device-42", "2869875835050476120", [4]int{0, 0, 0, 1}},
		{"分区", "7404587220537540204", [4]int{0, 1, 2, 4}},
	} {
		for i, n := range counts {
			want := fmt.Sprintf("shardId-%010d", v.partition[i])
			if byKey, byHash := goesTo(n, "partition_key", v.key), goesTo(n, "explicit_hash_key", v.hash); byKey != want || byHash != want {
				t.Errorf("L-6 L-7: %q of %d: %s by key, %s by hash, want %s", v.key, n, byKey, byHash, want)
			}
		}
	}
	for _, n := range counts { // L-7a: the first and the last hash of every range
		parts := w.want(200, "GET", fmt.Sprint("/p/streams/s", n), "").member(t, "partitions").([]any)
		for _, p := range parts {
			p := p.(map[string]any)
			low, high, _ := strings.Cut(strings.Trim(p["hash_range"].(string), "[]"), " : ")
			if a, b := goesTo(n, "explicit_hash_key", low), goesTo(n, "explicit_hash_key", high); a != p["partition_id"] || b != p["partition_id"] {
				t.Errorf("L-5 L-7a: of %d: %v has %s and %s", n, p, a, b)
			}
		}
	}
	spread := make(map[string]int)
	for range 15 {
		a := w.want(200, "POST", "/p/records", `{"stream_name":"s5","records":[{"data":""},{"data":""}]}`)
		spread[a.member(t, "records.0.partition_id").(string)]++
		spread[a.member(t, "records.1.partition_id").(string)]++
	}
	for id, n := range spread {
		if n != 6 || len(spread) != 5 {
			t.Errorf("E19-R2: %d of 30 records without a key in %s", n, id)
		}
	}
}

// Storage that fails for some partitions fails their records, in a 200.
func TestRulesStorageFails(t *testing.T) {
	w := newWorld(t)
	failing := func(err error) step {
		return happen(func(w *world) {
			w.engine.set(func(b *storage.Batch) error {
				if err != nil && b.Log.ID().Partition == 1 {
					return err
				}
				return nil
			})
		})
	}
	three := puts(`{"data":"","partition_id":0}`, `{"data":"","partition_id":1}`, `{"data":"","partition_id":1}`, `{"data":"","partition_id":0}`)
	const busy = `{"error_code":"DIS.4303","error_message":"Exceeded traffic control limit. DIS.4303","partition_id":"@absent","sequence_number":"@absent"}`
	const failed = `{"error_code":"DIS.5250","error_message":"System error. DIS.5250","partition_id":"@absent","sequence_number":"@absent"}`
	w.converse(
		ask("E19", "POST /p/streams", create("s", 2), "201"),
		failing(fmt.Errorf("%w: 1 GiB wait", storage.ErrBusy)),
		ask("C-63 E19-R4 busy", "POST /p/records", three, `200 {"failed_record_count":2,"records":[{"sequence_number":"0"},`+busy+`,`+busy+`,{"sequence_number":"1"}]}`),
		ask("E19-R11", "POST /p/records", puts(`{"data":"","partition_id":1}`), `200 {"failed_record_count":1,"records":[`+busy+`]}`),
		failing(fmt.Errorf("%w: sync", storage.ErrUnknown)),
		ask("E19-R4 unknown", "POST /p/records", three, `200 {"failed_record_count":2,"records":[{"sequence_number":"2"},`+failed+`,`+failed+`,{"sequence_number":"3"}]}`),
		failing(&storage.CorruptError{File: "secret-path", Offset: 7, Reason: "checksum"}),
		ask("E19-R4 corrupt", "POST /p/records", three, `200 {"failed_record_count":2,"records":[{},`+failed+`,`+failed+`,{}]}`),
		failing(storage.ErrUnavailable),
		ask("E19-R4 unavailable", "POST /p/records", three, `200 {"failed_record_count":2,"records":[{},`+failed+`,`+failed+`,{}]}`),
		failing(nil),
		ask("L-14 nothing was given", "POST /p/records", puts(`{"data":"","partition_id":1}`), `200 {"records":[{"sequence_number":"0"}]}`),
	)
}

func TestRulesDownload(t *testing.T) {
	w := newWorld(t)
	get := func(rule, query, want string) step {
		return ask(rule, "GET /p/records?partition-cursor=@c"+query, "", want)
	}
	w.converse(
		ask("E20", "POST /p/streams", create("s", 1), "201"),
		ask("E20", "GET /p/cursors?stream-name=s&partition-id=0", "", `200 {"partition_cursor":"@c"}`),
		get("E20-R3 C-59 empty", "", `200 {"records":[],"next_partition_cursor":"@any"}`),
		ask("E20", "POST /p/records", puts(
			`{"data":"ZGF0YQ==","partition_key":"user-1"}`,
			`{"data":"","partition_id":0,"partition_key":"k"}`,
			`{"data":"+/8=","explicit_hash_key":"1","timestamp":1700000000000}`,
			`{"data":"AAEC","partition_key":"a\"\\\n<分>","timestamp":-5}`), `200 {"failed_record_count":0}`),
		get("E20-R1 E20-R6 E20-R7 E19-R8 E19-N1", "", `200 {"next_partition_cursor":"@n","records":[
			{"sequence_number":"0","data":"ZGF0YQ==","partition_key":"user-1","timestamp":1795424828504,"timestamp_type":"CreateTime"},
			{"sequence_number":"1","data":"","partition_key":"@absent","timestamp":1795424828504,"timestamp_type":"CreateTime"},
			{"sequence_number":"2","data":"+/8=","partition_key":"@absent","timestamp":1700000000000,"timestamp_type":"CreateTime"},
			{"sequence_number":"3","data":"AAEC","partition_key":"a\"\\\n<分>","timestamp":1795424828504,"timestamp_type":"CreateTime"}]}`),
		get("E20-R1 limit", "&limit=2", `200 {"records":[{"sequence_number":"0"},{"sequence_number":"1"}],"next_partition_cursor":"@two"}`),
		ask("E20-R3", "GET /p/records?partition-cursor=@two&limit=0&app_name=none", "", `200 {"records":[{"sequence_number":"2"},{"sequence_number":"3"}]}`),
		get("E20-R1 max_fetch_bytes", "&max_fetch_bytes=4", `200 {"records":[{"sequence_number":"0"},{"sequence_number":"1"}]}`),
		get("E20-R1 E20-N2 decoded", "&max_fetch_bytes=6", `200 {"records":[{},{},{"sequence_number":"2"}]}`),
		get("E20 max-fetch-bytes", "&max-fetch-bytes=4", `200 {"records":[{},{}]}`),
		get("E20-R2", "&max_fetch_bytes=3", `200 {"records":[],"next_partition_cursor":"@same"}`),
		ask("E20-R2 ever", "GET /p/records?partition-cursor=@same&max_fetch_bytes=3", "", `200 {"records":[]}`),
		ask("E20-R2", "GET /p/records?partition-cursor=@same&max_fetch_bytes=4&limit=1", "", `200 {"records":[{"sequence_number":"0"}]}`),
		get("E20 above 10 MiB", "&max_fetch_bytes=99999999999", `200 {"records":[{},{},{},{}]}`),
		get("E20 above 10 000", "&limit=99999999999", `200 {"records":[{},{},{},{}]}`),
		get("E20 max_fetch_bytes", "&max_fetch_bytes=0", "400 DIS.4200 Invalid request. [max_fetch_bytes: …"),
		get("E20 max_fetch_bytes", "&max_fetch_bytes=x", "400 DIS.4200 Invalid request. [max_fetch_bytes: …"),
		get("E20 limit", "&limit=-1", "400 DIS.4200 Invalid request. [limit: …"),
		ask("E20-R3 end", "GET /p/records?partition-cursor=@n", "", `200 {"records":[],"next_partition_cursor":"@end"}`),
		ask("E20", "POST /p/records", puts(`{"data":"BA=="}`), `200 {"records":[{"sequence_number":"4"}]}`),
		ask("E20-R3", "GET /p/records?partition-cursor=@end", "", `200 {"records":[{"sequence_number":"4"}]}`),
	)
	w.want(201, "POST", "/p/streams", create("large", 1))
	body := func(n int) string {
		return fmt.Sprintf(`{"stream_name":"large","records":[{"data":%q}]}`, base64.StdEncoding.EncodeToString(make([]byte, n)))
	}
	w.converse(
		ask("E20 default", "POST /p/records", body(1<<20), `200 {"failed_record_count":0}`),
		ask("E20 default", "POST /p/records", body(1), `200 {"failed_record_count":0}`),
		ask("E20 default", "GET /p/cursors?stream-name=large&partition-id=0", "", `200 {"partition_cursor":"@l"}`),
		ask("E20 default 1 MiB", "GET /p/records?partition-cursor=@l&max_fetch_bytes=", "", `200 {"records":[{"sequence_number":"0"}]}`),
		ask("E20", "GET /p/records?partition-cursor=@l&max_fetch_bytes=1048577", "", `200 {"records":[{},{}]}`),
		ask("E20 at least one", "POST /p/streams", create("adv", 1, `"stream_type":"ADVANCED"`), "201"),
		ask("E20 at least one", "POST /p/records", strings.Replace(body(2<<20), "large", "adv", 1), `200 {"failed_record_count":0}`),
		ask("E20 at least one", "GET /p/cursors?stream-name=adv&partition-id=0", "", `200 {"partition_cursor":"@a"}`),
		ask("E20 at least one whatever its size", "GET /p/records?partition-cursor=@a", "", `200 {"records":[{}]}`),
	)
}

// A whole upload of 10 000 records and 4 MiB comes back.
func TestRulesLargeUpload(t *testing.T) {
	t.Attr("rules", "Q-24")
	w := newWorld(t)
	w.want(201, "POST", "/p/streams", create("s", 1))
	record := `{"data":"` + base64.StdEncoding.EncodeToString(make([]byte, 450)) + `"}`
	a := w.want(200, "POST", "/p/records", puts(strings.Split(strings.Repeat(record+"|", 9999)+record, "|")...))
	if n := a.member(t, "failed_record_count"); n != json.Number("0") {
		t.Errorf("E19-R13 Q-24: %v failed", n)
	}
	w.want(200, "POST", "/p/records", puts(`{"data":""}`))
	c := w.want(200, "GET", "/p/cursors?stream-name=s&partition-id=0", "").member(t, "partition_cursor").(string)
	a = w.want(200, "GET", "/p/records?max_fetch_bytes=10485760&partition-cursor="+c, "")
	if n := len(a.member(t, "records").([]any)); n != 10000 {
		t.Errorf("E20-R1: %d records in one download", n)
	}
}

// TestRulesChain reads partitions by chains of next_partition_cursor while
// writers write: every record comes once, in order.
func TestRulesChain(t *testing.T) {
	const writers, rounds, partitions = 4, 25, 2
	w := newWorld(t, func(o *setup) { o.EmptyWait = time.Second })
	w.want(201, "POST", "/p/streams", create("s", partitions))
	var chains, uploads sync.WaitGroup
	for id := range partitions {
		c := w.want(200, "GET", fmt.Sprintf("/p/cursors?stream-name=s&partition-id=%d&cursor-type=LATEST", id), "").member(t, "partition_cursor").(string)
		chains.Go(func() { w.follow(t, c, writers*rounds*3) })
	}
	for writer := range writers {
		uploads.Go(func() {
			for round := range rounds {
				var records []string
				for i := range 3 * partitions {
					data := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%d %d", writer, 3*round+i/partitions))
					records = append(records, fmt.Sprintf(`{"data":%q,"partition_id":%d}`, data, i%partitions))
				}
				if a := w.do("POST", "/p/records", puts(records...)); a.status != 200 || !strings.HasPrefix(a.body, `{"failed_record_count":0,`) {
					t.Errorf("%d %s", a.status, a.body)
				}
			}
		})
	}
	uploads.Wait()
	chains.Wait()
}

// follow reads n records by a chain of cursors.
func (w *world) follow(t *testing.T, cursor string, n int) {
	next := make(map[string]int) // by writer
	for seq := 0; seq < n; {
		a := w.do("GET", "/p/records?limit=7&partition-cursor="+cursor, "")
		var got struct {
			Records []struct {
				Seq  string `json:"sequence_number"`
				Data []byte `json:"data"`
			} `json:"records"`
			Next string `json:"next_partition_cursor"`
		}
		if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != 200 {
			t.Errorf("E20-R3: %d %s", a.status, a.body)
			return
		}
		for _, r := range got.Records {
			writer, number, _ := strings.Cut(string(r.Data), " ")
			if r.Seq != strconv.Itoa(seq) || number != strconv.Itoa(next[writer]) {
				t.Errorf("E20-R1 E19-R6: record %s of writer %s is %s, want %d and %d", r.Seq, writer, number, seq, next[writer])
				return
			}
			seq++
			next[writer]++
		}
		cursor = got.Next
	}
}

// An empty download waits, and ends when a record arrives.
func TestRulesEmptyWait(t *testing.T) {
	t.Attr("rules", "E20-R9")
	waiting := make(chan struct{}, 1)
	w := newWorld(t, func(o *setup) {
		o.EmptyWait = time.Hour
		o.wrap = func(e storage.Engine) storage.Engine { return announcing{e, waiting} }
	})
	w.want(201, "POST", "/p/streams", create("s", 1))
	c := w.want(200, "GET", "/p/cursors?stream-name=s&partition-id=0", "").member(t, "partition_cursor").(string)
	answer := make(chan answerSeen)
	go func() { answer <- w.do("GET", "/p/records?partition-cursor="+c, "") }()
	<-waiting
	w.want(200, "POST", "/p/records", puts(`{"data":"AA=="}`))
	if a := <-answer; firstNumber(t, a) != "0" {
		t.Errorf("E20-R9: %s", a.body)
	}

	c = w.want(200, "GET", "/p/cursors?stream-name=s&partition-id=0&cursor-type=LATEST", "").member(t, "partition_cursor").(string)
	go func() { answer <- w.do("GET", "/p/records?partition-cursor="+c, "") }()
	<-waiting
	w.want(204, "DELETE", "/p/streams/s", "")
	if a := <-answer; a.status != 200 && (a.status != 400 || a.code(t) != "DIS.4301") {
		t.Errorf("E20-R5: the stream was deleted meanwhile: %d %s", a.status, a.body)
	}
}

// announcing is an engine whose logs tell when somebody waits for records.
type announcing struct {
	storage.Engine
	waiting chan<- struct{}
}

func (e announcing) Open(ctx context.Context, id storage.LogID) (storage.Log, error) {
	log, err := e.Engine.Open(ctx, id)
	return announcingLog{log, e.waiting}, err
}

func (e announcing) Append(ctx context.Context, batches []*storage.Batch) {
	for _, b := range batches {
		b.Log = b.Log.(announcingLog).Log
	}
	e.Engine.Append(ctx, batches)
}

type announcingLog struct {
	storage.Log
	waiting chan<- struct{}
}

func (l announcingLog) Wait(ctx context.Context, seq storage.Seq) error {
	l.waiting <- struct{}{}
	return l.Log.Wait(ctx, seq)
}

// deaf is an engine whose logs can be changed between a look-up and a read.
type deaf struct {
	storage.Engine
	err error
}

func (e deaf) Open(ctx context.Context, id storage.LogID) (storage.Log, error) {
	log, err := e.Engine.Open(ctx, id)
	return deafLog{log, e.err}, err
}

type deafLog struct {
	storage.Log
	err error
}

func (l deafLog) Read(context.Context, storage.Seq, storage.Limit, *storage.Chunk) error {
	return l.err
}
func (l deafLog) Find(context.Context, int64) (storage.Seq, error) { return 0, l.err }

// Reads that fail in the engine.
func TestRulesReadFails(t *testing.T) {
	for _, c := range []struct {
		rule string
		err  error
		want string
	}{
		{"E20-R5 removed meanwhile", storage.ErrNotFound, "400 DIS.4301 Stream does not exist. [s][proj]"},
		{"E20-R5 trimmed meanwhile", storage.ErrTrimmed, "400 DIS.4226 A partition iterator error occurred or a record to which the SN corresponds has expired. Try to obtain the partition iterator again."},
		{"L-22 numbers taken back", storage.ErrBeyond, "400 DIS.4226 A partition iterator error occurred or a record to which the SN corresponds has expired. Try to obtain the partition iterator again."},
		{"C-55 damaged", &storage.CorruptError{File: "secret-path"}, "500 DIS.5000 System error."},
		{"C-63 no disk", storage.ErrUnavailable, "503 DIS.5000 System error."},
	} {
		w := newWorld(t, func(o *setup) {
			o.wrap = func(e storage.Engine) storage.Engine { return deaf{e, c.err} }
		})
		w.converse(
			ask(c.rule, "POST /p/streams", create("s", 1), "201"),
			ask(c.rule, "GET /p/cursors?stream-name=s&partition-id=0", "", `200 {"partition_cursor":"@c"}`),
			ask(c.rule, "GET /p/records?partition-cursor=@c", "", c.want),
		)
		if c.err == storage.ErrNotFound {
			w.converse(ask(c.rule, "GET /p/cursors?stream-name=s&partition-id=0&cursor-type=AT_TIMESTAMP&timestamp=1795424828504", "", c.want))
		}
	}
}
