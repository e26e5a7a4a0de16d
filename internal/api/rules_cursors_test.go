package api_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestRulesCursors(t *testing.T) {
	w := newWorld(t)
	get := func(rule, query, want string) step { return ask(rule, "GET /p/cursors?"+query, "", want) }
	const at = "stream-name=s&partition-id=0&"
	// from asks for a cursor and for the number of the first record it leads to,
	// "" for none.
	from := func(rule, query, first string) step {
		return happen(func(w *world) {
			w.Run(rule, func(t *testing.T) {
				a := w.take(t, get(rule, query, `200 {}`))
				a = w.take(t, ask(rule, "GET /p/records?limit=1&partition-cursor="+a.member(t, "partition_cursor").(string), "", `200 {}`))
				if got := firstNumber(t, a); got != first {
					t.Errorf("first record %q, want %q", got, first)
				}
			})
		})
	}
	put := func(n int) step {
		return happen(func(w *world) {
			for range n {
				w.want(200, "POST", "/p/records", `{"stream_name":"s","records":[{"data":"","partition_id":"0"}]}`)
				w.clock.advance(time.Second)
			}
		})
	}
	const start = 1795424828504
	stamp := func(ms int64) string { return fmt.Sprintf(at+"cursor-type=AT_TIMESTAMP&timestamp=%d", ms) }
	w.converse(
		ask("E21", "POST /p/streams", create("s", 1), "201"),
		ask("E21", "GET /p/streams/s", "", `200 {"stream_id":"@s"}`),
		from("E21 empty", at+"cursor-type=AT_SEQUENCE_NUMBER&starting-sequence-number=0", ""),
		from("E21 empty", at+"cursor-type=TRIM_HORIZON", ""),
		from("E21 empty", at+"cursor-type=LATEST", ""),
		from("E21 empty", stamp(start), ""),
		get("E21-R3 empty", at+"cursor-type=AFTER_SEQUENCE_NUMBER&starting-sequence-number=0", "400 DIS.4224 Sequence_number out of range. [0][ should be within ][0][ ][0]"),
		get("L-21 latest", at+"cursor-type=LATEST", `200 {"partition_cursor":"@latest"}`),
		put(3), // 0, 1, 2 at start, +1 s, +2 s
		ask("E21-N1 LATEST issued before a put", "GET /p/records?partition-cursor=@latest", "", `200 {"records":[{"sequence_number":"0"},{"sequence_number":"1"},{"sequence_number":"2"}]}`),
		from("E21-N1 LATEST", at+"cursor-type=LATEST", ""),
		from("E21 AT", at+"cursor-type=AT_SEQUENCE_NUMBER&starting-sequence-number=1", "1"),
		from("E21-R3 AT next", at+"cursor-type=AT_SEQUENCE_NUMBER&starting-sequence-number=3", ""),
		from("E21 AFTER", at+"cursor-type=AFTER_SEQUENCE_NUMBER&starting-sequence-number=1", "2"),
		from("E21 AFTER the last", at+"cursor-type=AFTER_SEQUENCE_NUMBER&starting-sequence-number=2", ""),
		from("E21 TRIM_HORIZON", at+"cursor-type=TRIM_HORIZON", "0"),
		from("E21-R9", at, "0"),
		from("E21-R9", at+"cursor-type=&starting-sequence-number=", "0"),
		from("E21-R9", at+"starting-sequence-number=2", "2"),
		from("E21-R4", at+"cursor-type=TRIM_HORIZON&timestamp=x&starting-sequence-number=y", "0"),
		from("E21-R4", at+"cursor-type=LATEST&timestamp=0&starting-sequence-number=-1", ""),
		from("E21-R4", at+"cursor-type=AT_SEQUENCE_NUMBER&starting-sequence-number=1&timestamp=-5", "1"),
		from("E21-R4", stamp(start)+"&starting-sequence-number=x", "0"),
		from("E21-R5 before the first", stamp(start-1), "0"),
		from("E21-R5 exactly", stamp(start+1000), "1"),
		from("E21-R5 between", stamp(start+1001), "2"),
		from("E21-R5 after the last", stamp(start+2001), ""),
		from("E21-R5 future", stamp(start+1e12), ""),
		from("E21 by id", "stream-id=@s&partition-id=0", "0"),
		from("E21 by id", "stream-name=none&stream-id=@s&partition-id=shardId-0000000000", "0"),

		get("E21-R1", at+"cursor-type=EARLIEST", "400 DIS.4215 Invalid cursor type. [EARLIEST]"),
		get("E21-R1", at+"cursor-type=latest", "400 DIS.4215 Invalid cursor type. [latest]"),
		get("E21-R2 E21-R9", at+"cursor-type=AT_SEQUENCE_NUMBER", "400 DIS.4216 Invalid sequence_number. []"),
		get("E21-R2", at+"cursor-type=AFTER_SEQUENCE_NUMBER&starting-sequence-number=-1", "400 DIS.4216 Invalid sequence_number. [-1]"),
		get("E21-R2", at+"starting-sequence-number=1e3", "400 DIS.4216 Invalid sequence_number. [1e3]"),
		get("E21-R2", at+"starting-sequence-number=9223372036854775808", "400 DIS.4216 Invalid sequence_number. [9223372036854775808]"),
		get("E21-R3", at+"starting-sequence-number=4", "400 DIS.4224 Sequence_number out of range. [4][ should be within ][0][ ][3]"),
		get("E21-R3", at+"cursor-type=AFTER_SEQUENCE_NUMBER&starting-sequence-number=3", "400 DIS.4224 Sequence_number out of range. [3][ should be within ][0][ ][3]"),
		get("E21-R3", at+"cursor-type=AFTER_SEQUENCE_NUMBER&starting-sequence-number=9223372036854775807", "400 DIS.4224 Sequence_number out of range. [9223372036854775807][ should be within ][0][ ][3]"),
		get("E21-R5", at+"cursor-type=AT_TIMESTAMP", "400 DIS.4200 Invalid request. [timestamp: …"),
		get("E21-R5", at+"cursor-type=AT_TIMESTAMP&timestamp=-1", "400 DIS.4200 Invalid request. [timestamp: …"),
		get("E21-R5", at+"cursor-type=AT_TIMESTAMP&timestamp=1.5", "400 DIS.4200 Invalid request. [timestamp: …"),
		get("E21 stream-name", "partition-id=0", "400 DIS.4200 Invalid request. [stream-name: …"),
		get("E21 underscores", "stream_name=s&partition_id=0", "400 DIS.4200 Invalid request. [stream-name: …"),
		get("E21-R8", "stream-name=s", "400 DIS.4201 Invalid partition_id. []"),
		get("E21-R8", "stream-name=s&partition-id=a", "400 DIS.4201 Invalid partition_id. [a]"),
		get("E21-R8", "stream-name=s&partition-id=1", "400 DIS.4302 Partition does not exist. [shardId-0000000001]"),
		get("E21", "stream-name=none&partition-id=0", "400 DIS.4301 Stream does not exist. [none][proj]"),
		get("C-35", "stream-name=none&partition-id=0&cursor-type=x", "400 DIS.4215 Invalid cursor type. [x]"),

		// now is start+3000: what is older than a day and a minute is refused, with
		// the number of a day ago, which is accepted for another minute
		get("E21-R5 C-53 0", at+"cursor-type=AT_TIMESTAMP&timestamp=0", "400 DIS.4300 Request error. [timestamp is expired, timestamp should be larger than 1795338431504]"),
		from("E21-R5 announced", stamp(1795338431504), "0"),
		get("E21-R5 oldest", stamp(1795338371504), `200 {"partition_cursor":"@any"}`),
		get("E21-R5 too old", stamp(1795338371503), "400 DIS.4300 Request error. [timestamp is expired, timestamp should be larger than 1795338431504]"),
		pass(time.Minute),
		from("E21-R5 announced a minute ago", stamp(1795338431504), "0"),
		pass(24*time.Hour-62*time.Second), // record 0 is gone, 1 and 2 are not
		get("E21-R3 retention", at+"starting-sequence-number=0", "400 DIS.4224 Sequence_number out of range. [0][ should be within ][1][ ][3]"),
		from("E21 AFTER what is gone", at+"cursor-type=AFTER_SEQUENCE_NUMBER&starting-sequence-number=0", "1"),
		from("E21 TRIM_HORIZON moved L-15", at+"cursor-type=TRIM_HORIZON", "1"),
		from("E21-R5 earliest", stamp(start+500), "1"),
		pass(time.Hour),
		from("E21 TRIM_HORIZON all gone", at+"cursor-type=TRIM_HORIZON", ""),
		get("E21-R3 all gone", at+"starting-sequence-number=2", "400 DIS.4224 Sequence_number out of range. [2][ should be within ][3][ ][3]"),
		from("E21-R3 next", at+"starting-sequence-number=3", ""),
		put(1),
		from("L-14 E21", at+"starting-sequence-number=3", "3"),
	)
}

// firstNumber is the sequence number of the first record of a download.
func firstNumber(t *testing.T, a answerSeen) string {
	t.Helper()
	records := a.member(t, "records").([]any)
	if len(records) == 0 {
		return ""
	}
	return records[0].(map[string]any)["sequence_number"].(string)
}

// Cursors live five minutes, whatever happens to the server meanwhile.
func TestRulesCursorLife(t *testing.T) {
	w := newWorld(t)
	get := func(rule, cursor, want string) step {
		return ask(rule, "GET /p/records?partition-cursor="+cursor, "", want)
	}
	const gone = "400 DIS.4226 A partition iterator error occurred or a record to which the SN corresponds has expired. Try to obtain the partition iterator again."
	w.converse(
		ask("E20", "POST /p/streams", create("s", 1), "201"),
		ask("E20", "POST /p/records", `{"stream_name":"s","records":[{"data":"AA=="},{"data":"AQ=="}]}`, `200 {"failed_record_count":0}`),
		ask("E20", "GET /p/streams/s", "", `200 {"stream_id":"@id"}`),
		ask("E21", "GET /p/cursors?stream-name=s&partition-id=0", "", `200 {"partition_cursor":"@c"}`),
		get("E20-R4", "@c&limit=1", `200 {"records":[{"data":"AA=="}],"next_partition_cursor":"@n"}`),
		get("E20-R4 again", "@c&limit=1", `200 {"records":[{"data":"AA=="}]}`),
		restart(),
		get("CU-6 L-22 E21-R6 after a restart", "@c&limit=1", `200 {"records":[{"data":"AA=="}]}`),
		get("CU-6 L-22 after a restart", "@n", `200 {"records":[{"data":"AQ=="}]}`),
		rescaled("L-22", "s", 3, `200 {"target_partition_count":3}`),
		get("L-22 after scaling", "@c", `200 {"records":[{},{}]}`),
		pass(5*time.Minute),
		get("L-21 Q-10 five minutes", "@c", `200 {"records":[{},{}],"next_partition_cursor":"@fresh"}`),
		pass(time.Millisecond),
		get("E20-R5 L-21 Q-10", "@c", "400 DIS.4225 Expired partition cursor."),
		get("E20-R3 from its own issue", "@fresh", `200 {"records":[]}`),
		ask("E21", "GET /p/cursors?stream-name=s&partition-id=0", "", `200 {"partition_cursor":"@d"}`),
		get("CU-3 padding", "@d%3D%3D", `200 {"records":[{},{}]}`),
		get("CU-3 padding, raw", "@d==", `200 {"records":[{},{}]}`),
		get("E20-R5 CU-4", "@dA", "400 DIS.4217 Invalid partition cursor."),
		get("E20-R5", "", "400 DIS.4217 Invalid partition cursor."),
		ask("E20-R5 missing", "GET /p/records", "", "400 DIS.4217 Invalid partition cursor."),
		get("E20-R5", "nonsense", "400 DIS.4217 Invalid partition cursor."),
		get("E20-R5 Q-10", strings.Repeat("a", 513), "400 DIS.4217 Invalid partition cursor."),
		pass(24*time.Hour-6*time.Minute),
		ask("E21-R7", "GET /p/cursors?stream-name=s&partition-id=0&starting-sequence-number=1", "", `200 {"partition_cursor":"@e"}`),
		pass(2*time.Minute),
		get("E20-R5 E21-R7 retention moved", "@e", gone),
		ask("E20-R5", "DELETE /p/streams/s", "", "204"),
		get("E20-R5 stream gone", "@e", "400 DIS.4301 Stream does not exist. [@id][proj]"),
	)
}

// TestRulesCursorForm holds cursors against 9.6.
func TestRulesCursorForm(t *testing.T) {
	t.Attr("rules", "CU-1")
	w := newWorld(t)
	name := strings.Repeat("n", 64)
	w.want(201, "POST", "/p/streams", create(name, 1))
	w.want(200, "POST", "/p/records", `{"stream_name":"`+name+`","records":[{"data":""},{"data":""}]}`)
	id := w.want(200, "GET", "/p/streams/"+name, "").member(t, "stream_id").(string)
	cursor := func(query string) string {
		return w.want(200, "GET", "/p/cursors?stream-name="+name+"&partition-id=0&"+query, "").member(t, "partition_cursor").(string)
	}
	byTime := cursor("cursor-type=AT_TIMESTAMP&timestamp=1795424828505")
	next := w.want(200, "GET", "/p/records?limit=1&partition-cursor="+cursor(""), "").member(t, "next_partition_cursor").(string)
	for _, c := range []struct{ rule, cursor, kind, number string }{
		{"CU-2 resolved", byTime, "AT_TIMESTAMP", "2"},
		{"CU-5", next, "AT_SEQUENCE_NUMBER", "1"},
		{"CU-2", cursor("cursor-type=LATEST"), "LATEST", "2"},
		{"CU-2", cursor("cursor-type=TRIM_HORIZON"), "TRIM_HORIZON", "0"},
		{"CU-2", cursor("cursor-type=AFTER_SEQUENCE_NUMBER&starting-sequence-number=0"), "AFTER_SEQUENCE_NUMBER", "1"},
	} {
		t.Attr("rules", c.rule)
		doc, err := base64.RawURLEncoding.DecodeString(c.cursor)
		if err != nil || len(c.cursor) > 512 {
			t.Errorf("%s CU-3: %v, %d characters", c.rule, err, len(c.cursor))
		}
		var v struct {
			Param    map[string]any `json:"getIteratorParam"`
			Generate int64          `json:"generateTimestamp"`
		}
		d := json.NewDecoder(strings.NewReader(string(doc)))
		d.DisallowUnknownFields() // CU-1
		if err := d.Decode(&v); err != nil || v.Generate != w.clock.now().UnixMilli() {
			t.Errorf("%s CU-1: %v: %s", c.rule, err, doc)
		}
		mac, err := base64.RawURLEncoding.DecodeString(fmt.Sprint(v.Param["mac"]))
		if err != nil || len(mac) < 16 {
			t.Errorf("%s CU-4: code %v", c.rule, v.Param["mac"])
		}
		want := map[string]any{
			"stream-name": name, "stream-id": id, "partition-id": "shardId-0000000000", "cursor-type": c.kind,
			"starting-sequence-number": c.number, "mac": v.Param["mac"],
		}
		if c.kind == "AT_TIMESTAMP" {
			want["timestamp"] = 1795424828505.0
		}
		if fmt.Sprint(v.Param) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", c.rule, v.Param, want)
		}
	}
	alter := rand.New(rand.NewPCG(1, 2))
	for range 200 { // CU-4: every change of a character
		b := []byte(next)
		i := alter.IntN(len(b))
		b[i] = "ABCabc012-_"[alter.IntN(11)]
		if string(b) == next {
			continue
		}
		if a := w.do("GET", "/p/records?partition-cursor="+string(b), ""); a.status != 400 || a.code(t) != "DIS.4217" {
			t.Fatalf("CU-4: %s is accepted: %d %s", b, a.status, a.body)
		}
	}
}
