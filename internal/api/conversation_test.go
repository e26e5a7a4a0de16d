package api_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"disd/internal/api/openapi"
	"disd/internal/api/rest"
)

// TestMainJob is the life of a stream as a client sees it.
func TestMainJob(t *testing.T) {
	b := newBench(t)
	if a := b.want(201, "POST", "/p/streams", `{"stream_name":"s","partition_count":2}`); a.body != "" || a.header.Get("Content-Length") != "0" {
		t.Errorf("create: %+v", a)
	}
	show := b.want(200, "GET", "/p/streams/s/", "")
	if got := show.member(t, "partitions.1.hash_range"); got != "[4611686018427387903 : 9223372036854775807]" {
		t.Errorf("hash range %v", got)
	}
	b.want(201, "POST", "/p/apps", `{"app_name":"a"}`)
	put := b.want(200, "POST", "/p/records", `{"stream_name":"s","records":[
		{"data":"ZGF0YQ==","partition_key":"user-1"},
		{"data":"MQ==","partition_id":"shardId-0000000000"},
		{"data":"Mg==","partition_id":"0"},
		{"data":"Mw==","partition_id":"9"}]}`)
	want := `{"failed_record_count":1,"records":[{"partition_id":"shardId-0000000001","sequence_number":"0"},` +
		`{"partition_id":"shardId-0000000000","sequence_number":"0"},{"partition_id":"shardId-0000000000","sequence_number":"1"},` +
		`{"error_code":"DIS.4302","error_message":"Partition does not exist. DIS.4302"}]}`
	if put.body != want {
		t.Errorf("put:\n%s want\n%s", put.body, want)
	}
	cursor := b.want(200, "GET", "/p/cursors?stream-name=s&partition-id=0&cursor-type=TRIM_HORIZON&", "").member(t, "partition_cursor").(string)
	got := b.want(200, "GET", "/p/records?partition-cursor="+cursor, "")
	if got.member(t, "records.1.data") != "Mg==" || got.member(t, "records.1.timestamp") != json.Number(fmt.Sprint(b.clock.now().UnixMilli())) {
		t.Errorf("get: %s", got.body)
	}
	next := got.member(t, "next_partition_cursor").(string)
	if got := b.want(200, "GET", "/p/records?partition-cursor="+next, ""); got.body[:len(`{"records":[],`)] != `{"records":[],` {
		t.Errorf("get at the end: %s", got.body)
	}
	b.want(201, "POST", "/p/checkpoints", `{"app_name":"a","stream_name":"s","partition_id":"0","sequence_number":"2","metadata":"m"}`)
	if got := b.want(200, "GET", "/p/checkpoints?app_name=a&stream_name=s&partition_id=shardId-0000000000", "").body; got != `{"sequence_number":"2","metadata":"m"}` {
		t.Errorf("checkpoint: %s", got)
	}
	if got := b.want(200, "GET", "/p/apps/a", "").member(t, "commit_checkpoint_stream_names.0"); got != "s" {
		t.Errorf("app: %v", got)
	}
	if got := b.want(400, "DELETE", "/p/apps/a", "").code(t); got != "DIS.4331" {
		t.Errorf("delete an app in use: %s", got)
	}
	b.want(200, "PUT", "/p/streams/s", `{"stream_name":"s","target_partition_count":1}`)
	b.want(204, "PUT", "/v3/proj/streams/s", `{"stream_name":"s","data_duration":48}`)
	b.want(204, "DELETE", "/p/streams/s", "")
	b.want(204, "DELETE", "/p/apps/a", "")
	if a := b.want(400, "GET", "/p/streams/s", ""); a.code(t) != "DIS.4301" || a.member(t, "message") != "Stream does not exist. [s][proj]" {
		t.Errorf("show a deleted stream: %s", a.body)
	}
}

// TestDescriptionIsServed reads the description as a tool does.
func TestDescriptionIsServed(t *testing.T) {
	b := newGuardedBench(t)
	a := b.want(200, "GET", "/_disd/openapi.json", "")
	if a.body != openapi.Text || a.header.Get("Content-Type") != rest.JSONType {
		t.Errorf("%d bytes of %s", len(a.body), a.header.Get("Content-Type"))
	}
	if a.member(t, "openapi") != "3.1.0" {
		t.Errorf("version %v", a.member(t, "openapi"))
	}
}
