package api_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"disd/internal/partition"
	"disd/internal/quota"
)

// TestMetrics is E32, E33 and section 5 at the HTTP surface.
func TestMetrics(t *testing.T) {
	t.Attr("rules", "M-6")
	b := newBench(t)
	b.want(201, "POST", "/p/streams", `{"stream_name":"s","partition_count":2}`)
	b.want(200, "POST", "/p/records", `{"stream_name":"s","records":[{"data":"ZGF0YQ==","partition_id":"0"},{"data":"ZGF0YQ==","partition_id":"1"},{"data":"eA==","partition_id":"7"}]}`)
	cursor := b.want(200, "GET", "/p/cursors?stream-name=s&partition-id=1", "").member(t, "partition_cursor").(string)
	b.want(200, "GET", "/p/records?partition-cursor="+cursor, "")
	now := b.clock.now().Unix()
	minute := now - now%60
	window := fmt.Sprintf("&start_time=%d&end_time=%d", now-600, now)
	point := func(value int) string { return fmt.Sprintf(`[{"timestamp":%d,"value":%d}]`, minute, value) }
	one := func(label, points string) string {
		return `{"label":"` + label + `","dataPoints":` + points + `,"data_points":` + points + `}`
	}
	ahead := fmt.Sprintf("&start_time=%d&end_time=%d", now, now+50)
	for _, test := range []struct{ rule, path, want string }{
		{"E32-R1", "streams/s/metrics?label=total_put_bytes_per_stream" + window, `{"metrics":` + one("total_put_bytes_per_stream", point(8)) + `}`},
		{"M-4", "streams/s/metrics?label=total_put_req_suc_per_stream" + window, `{"metrics":` + one("total_put_req_suc_per_stream", point(1)) + `}`},
		{"E32-R1 no points", "streams/s/metrics?label=traffic_control_put" + window, `{"metrics":` + one("traffic_control_put", "[]") + `}`},
		{"E32-N2 echoed", "streams/s/metrics?label=traffic_controll_put" + window, `{"metrics":` + one("traffic_controll_put", "[]") + `}`},
		{"M-10, M-11", "streams/s/metrics?label=x&label_list=total_get_records_per_stream,%20total_put_records_per_stream,total_get_records_per_stream" + window,
			`{"metrics":` + one("total_get_records_per_stream", point(1)) + `,"metrics_list":[` + one("total_get_records_per_stream", point(1)) + `,` + one("total_put_records_per_stream", point(2)) + `]}`},
		{"E33-R1", "streams/s/partitions/1/metrics?label=total_get_bytes_per_partition" + window, `{"metrics":` + one("total_get_bytes_per_partition", point(4)) + `}`},
		{"E33-R1", "streams/s/partitions/shardId-0000000000/metrics?label_list=total_put_bytes_per_partition" + window,
			`{"metrics":` + one("total_put_bytes_per_partition", point(4)) + `,"metrics_list":[` + one("total_put_bytes_per_partition", point(4)) + `]}`},
		{"M-12 into the future", "streams/s/metrics?label=total_put_bytes_per_stream" + ahead, `{"metrics":` + one("total_put_bytes_per_stream", point(8)) + `}`},
		{"M-10", "streams/s/metrics?" + window, "DIS.4209 Invalid metrics label. [label or label_list is required]"},
		{"M-11", "streams/s/metrics?label=x" + window, "DIS.4209"},
		{"M-11 more than there are", "streams/s/metrics?label_list=" + manyLabels() + window, "DIS.4209 Invalid metrics label. [label100]"},
		{"M-11 empty item", "streams/s/metrics?label_list=total_put_req_latency,," + window, "DIS.4209"},
		{"E33-N2", "streams/s/partitions/0/metrics?label=total_put_req_latency" + window, "DIS.4209"},
		{"E33-N2", "streams/s/metrics?label=total_put_bytes_per_partition" + window, "DIS.4209"},
		{"M-12 missing", "streams/s/metrics?label=total_put_req_latency&start_time=1795424000", "DIS.4203"},
		{"M-12 ms", "streams/s/metrics?label=total_put_req_latency&start_time=1795424000000&end_time=1795424001000", "DIS.4203"},
		{"M-12 text", "streams/s/metrics?label=total_put_req_latency&start_time=x&end_time=1795424001", "DIS.4203"},
		{"M-12 backwards", fmt.Sprintf("streams/s/metrics?label=total_put_req_latency&start_time=%d&end_time=%d", now, now-1), "DIS.4203"},
		{"M-13 Q-15", fmt.Sprintf("streams/s/metrics?label=total_put_req_latency&start_time=%d&end_time=%d", now-700000, now-690000), "DIS.4204 The monitoring period cannot be longer than 7 days."},
		{"E32 unknown stream", "streams/x/metrics?label=total_put_req_latency" + window, "DIS.4301"},
		{"E33 malformed id", "streams/s/partitions/x/metrics?label=total_put_bytes_per_partition" + window, "DIS.4201"},
		{"E33 unknown id", "streams/s/partitions/9/metrics?label=total_put_bytes_per_partition" + window, "DIS.4302"},
	} {
		t.Attr("rules", test.rule)
		a := b.do("GET", "/p/"+test.path, `{"python":"sends a body"}`, "Content-Type", "application/json") // C-8
		got := a.body
		if a.status >= 400 {
			got = a.code(t) + " " + a.member(t, "message").(string)
		}
		if got != test.want && !(a.status >= 400 && strings.HasPrefix(got, test.want)) {
			t.Errorf("%s: %s\ngot  %s\nwant %s", test.rule, test.path, got, test.want)
		}
	}
	b.want(204, "DELETE", "/p/streams/s", "")
	b.want(201, "POST", "/p/streams", `{"stream_name":"s","partition_count":1}`)
	b.clock.advance(time.Minute)
	if a := b.want(200, "GET", "/p/streams/s/metrics?label=total_put_bytes_per_stream"+window, ""); !strings.Contains(a.body, `"dataPoints":[]`) {
		t.Errorf("M-6: %s", a.body)
	}
}

// TestTrafficScales: the figures of the monitoring API are what makes a stream scale,
// up when it throttles and down when it rests.
func TestTrafficScales(t *testing.T) {
	t.Attr("rules", "L-17 L-19")
	const rate = 100 // bytes a second that a partition takes
	b := newBench(t, quotas(quota.Enforce, partition.Quotas{Common: partition.Throughput{WriteBytes: rate, WriteRecords: 1000, ReadBytes: rate}}))
	b.want(201, "POST", "/p/streams", create("s", 2, `"auto_scale_enabled":true,"auto_scale_min_partition_count":2,"auto_scale_max_partition_count":9`))
	record := func(partition, bytes int) string {
		return fmt.Sprintf(`{"partition_id":%d,"data":%q}`, partition, base64.StdEncoding.EncodeToString(make([]byte, bytes)))
	}
	minute := func(partitions, bytes int, more ...string) {
		t.Helper()
		for range 60 {
			var records []string
			for id := range partitions {
				records = append(records, record(id, bytes))
			}
			b.want(200, "POST", "/p/records", puts(append(records, more...)...))
			b.clock.advance(time.Second)
		}
		b.step()
	}
	count := func(rule string, want int) {
		t.Helper()
		if got := b.want(200, "GET", "/p/streams/s", "").member(t, "writable_partition_count"); got != json.Number(fmt.Sprint(want)) {
			t.Errorf("%s: %v partitions, want %d", rule, got, want)
		}
	}
	b.clock.advance(time.Minute - time.Duration(b.clock.now().Unix()%60)*time.Second) // a whole one
	minute(2, rate)
	count("busy, but nothing was refused", 2)
	minute(2, rate*3/4, record(0, rate))
	count("refused, but not busy", 2)
	minute(2, rate, record(0, 1))
	count("busy and refused", 4)
	minute(4, rate, record(3, 1))
	count("and again, with the new partitions", 7)
	for range 10 {
		minute(7, rate/2)
		count("neither", 7)
	}
	for range 8 { // ten minutes, of which they make the mean 30 %
		minute(7, rate/4)
		count("not yet at rest", 7)
	}
	minute(7, rate/4)
	count("at rest", 3)
	a := b.want(200, "GET", "/p/streams/s", "")
	var got []string
	for _, sc := range a.member(t, "update_partition_counts").([]any) {
		sc := sc.(map[string]any)
		got = append(got, fmt.Sprint(sc["src_partition_count"], ">", sc["target_partition_count"], " ", sc["auto_scale"], " ", sc["result_detail"]))
	}
	if want := "2>4 true 0,4>7 true 0,7>3 true 0"; strings.Join(got, ",") != want {
		t.Errorf("L-19: %q, want %q", got, want)
	}
}

// TestThrottledMetrics is M-4 with quotas enforced.
func TestThrottledMetrics(t *testing.T) {
	b := newBench(t, quotas(quota.Enforce, partition.Quotas{Common: partition.Throughput{WriteBytes: 4, ReadBytes: 1}}))
	const records = `{"stream_name":"s","records":[{"data":"ZGF0YQ=="},{"data":"ZGF0YQ=="}]}`
	b.want(201, "POST", "/p/streams", `{"stream_name":"s","partition_count":1}`)
	put := b.want(200, "POST", "/p/records", records)
	if !strings.Contains(put.body, `{"error_code":"DIS.4303","error_message":"Exceeded traffic control limit. DIS.4303"}`) {
		t.Errorf("E19-R10: %s", put.body)
	}
	cursor := b.want(200, "GET", "/p/cursors?stream-name=s&partition-id=0", "").member(t, "partition_cursor").(string)
	b.clock.advance(time.Second)
	b.want(200, "POST", "/p/records", records)
	read := "/p/records?partition-cursor=" + cursor
	b.want(200, "GET", read, "")             // eight bytes of one
	b.wantCode("DIS.4303", "GET", read, "")  // they would have to wait for 7 s
	b.clock.advance(6999 * time.Millisecond) // and now for a millisecond
	b.want(200, "GET", read, "")
	now := b.clock.now().Unix()
	for label, want := range map[string]int{"traffic_control_put": 2, "traffic_control_get": 2, "total_put_req_suc_per_stream": 2, "total_get_req_suc_per_stream": 2} {
		a := b.want(200, "GET", fmt.Sprintf("/p/streams/s/metrics?label=%s&start_time=%d&end_time=%d", label, now-600, now), "")
		if !strings.Contains(a.body, fmt.Sprintf(`"dataPoints":[{"timestamp":%d,"value":%d}]`, now-now%60, want)) { // M-4
			t.Errorf("%s: %s, want %d", label, a.body, want)
		}
	}
}

func manyLabels() string {
	var names []string
	for i := range 5000 {
		names = append(names, fmt.Sprintf("label%d", i))
	}
	return strings.Join(names, ",")
}
