package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestFileState is E47 as a conversation: pieces go up in both encodings, and the
// state follows.
func TestFileState(t *testing.T) {
	t.Attr("rules", "E47-R1 E47-R2")
	b := streamBench(t)
	const id = "9dSu1wfCytSk1aOLxvF"
	state := func(query string) string {
		t.Helper()
		a := b.want(200, "GET", "/p/files/"+id+"/state/?stream-name=s&"+query, "")
		var strict map[string]string // E47-R1: all members are strings
		if err := json.Unmarshal([]byte(a.body), &strict); err != nil || len(strict) != 4 || strict["stream_name"] != "s" || strict["deliver_data_id"] != id {
			t.Errorf("%v: %s", err, a.body)
		}
		return strict["file_name"] + ": " + strict["state"]
	}
	piece := func(n int, end bool) {
		t.Helper()
		a := b.want(200, "POST", "/p/records", fmt.Sprintf(`{"stream_name":"s","records":[{"data":"ZGF0YQ==","extended_info":
			{"file_name":"a.log","deliver_data_id":%q,"sequence_number":%d,"end_flag":%v}},{"data":""}]}`, id, n, end))
		if a.member(t, "failed_record_count") != json.Number("0") {
			t.Fatal(a.body)
		}
	}
	want := func(rule, query, want string) {
		t.Helper()
		if got := state(query); got != want {
			t.Errorf("%s: %q, want %q", rule, got, want)
		}
	}
	want("E47-R1", "", ": not found")
	want("E47-R1", "file-name=a.log", "a.log: not found")
	b.want(200, "POST", "/p/records", `{"stream_name":"s","records":[{"data":"","partition_id":"9","extended_info":{"file_name":"a.log","deliver_data_id":"`+id+`","sequence_number":0,"end_flag":true}}]}`)
	want("E47-R2 a refused piece", "", ": not found")
	piece(2, true)
	want("E47-R2", "file-name=a.log&", "a.log: receiving")
	piece(0, false)
	want("E47-R2", "", "a.log: receiving")
	a := b.do("POST", "/p/records", pb(1, "s", 2, pb(3, "data", 7, pb(8, "a.log", 9, id, 10, 0, 11, 1))), "Content-Type", protoHeader)
	if a.status != 200 {
		t.Fatal(a.body)
	}
	want("E47-R2", "", "a.log: uploading")
	want("E47-R1 another name", "file-name=b.log", "b.log: not found")
	b.clock.advance(25 * time.Hour)
	b.step()
	want("E47-R2", "", "a.log: cancelled")
}

// TestFileStateErrors is what E47 refuses.
func TestFileStateErrors(t *testing.T) {
	b := streamBench(t)
	for _, test := range []struct{ path, want string }{
		{"files/x/state", "DIS.4200"},
		{"files/x/state?stream-name=", "DIS.4200"},
		{"files/x/state?stream-name=nowhere", "DIS.4301"},
		{"files//state?stream-name=s", "APIGW.0101"},
	} {
		if got := b.do("GET", "/p/"+test.path, "").code(t); got != test.want {
			t.Errorf("E47 %s: %s, want %s", test.path, got, test.want)
		}
	}
	b.want(200, "GET", "/p/files/"+strings.Repeat("x", 5000)+"/state?stream-name=s", "")
	b.want(200, "GET", "/p/files/a%2Fb%00%E9%94%AE/state?stream-name=s", "")
}

// TestPiecesAreRecords is E47-R2: consumers see ordinary records, and nothing of
// what the producer said beside them.
func TestPiecesAreRecords(t *testing.T) {
	b := streamBench(t)
	b.want(200, "POST", "/p/records", `{"stream_name":"s","records":[{"data":"ZGF0YQ==","partition_id":"0","extended_info":{"file_name":"f","deliver_data_id":"i"}},
		{"data":"ZGF0YQ==","partition_id":"0","extended_info":{}},{"data":"ZGF0YQ==","partition_id":"0","extended_info":null}]}`)
	got := b.want(200, "GET", "/p/records?partition-cursor="+b.cursor("s", "0"), "")
	if n := len(got.member(t, "records").([]any)); n != 3 || strings.Contains(got.body, "extended_info") {
		t.Errorf("%s", got.body)
	}
}
