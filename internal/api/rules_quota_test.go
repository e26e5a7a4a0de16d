package api_test

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"disd/internal/auth"
	"disd/internal/partition"
	"disd/internal/quota"
)

// accounts makes an account of each list of projects.
func accounts(projects ...[]string) func(*setup) {
	return func(s *setup) {
		for i, ids := range projects {
			d := auth.DomainConfig{Name: fmt.Sprint("account", i)}
			for _, id := range ids {
				d.Projects = append(d.Projects, auth.ProjectConfig{ID: id, Name: "region_" + id})
			}
			s.Auth.Domains = append(s.Auth.Domains, d)
		}
	}
}

func TestRulesPartitionQuota(t *testing.T) {
	advanced := `"stream_type":"ADVANCED"`
	w := newWorld(t, quotas(quota.Enforce, partition.Quotas{}), accounts([]string{"proj", "proj2", "proj3"}, []string{"others"}))
	const exceeded = "400 DIS.4308 Insufficient quota."
	w.converse(
		ask("Q-1 E3-R3", "POST /p/streams", create("s", 51), exceeded),
		ask("E3-R3 E3-R11", "GET /p/streams", "", `200 {"total_number":0}`),
		ask("Q-1", "POST /p/streams", create("s", 49), "201"),
		ask("Q-1 E3-R3", "POST /p/streams", create("t", 2), exceeded),
		ask("C-35 quota before names", "POST /p/streams", create("s", 2), exceeded),
		ask("C-35 names", "POST /p/streams", create("s", 1), "400 DIS.4307 The stream already exists."),
		ask("Q-1 a refused one takes nothing", "POST /p/streams", create("t", 1), "201"),
		ask("C-71 the account's other project", "POST /v2/proj2/streams", create("t", 1), exceeded),
		ask("C-71 another account", "POST /v2/others/streams", create("t", 50), "201"),
		ask("Q-2", "POST /p/streams", create("a", 11, advanced), exceeded),
		ask("Q-2", "POST /v2/proj2/streams", create("a", 10, advanced), "201"),
		ask("Q-2", "POST /p/streams", create("a", 1, advanced), exceeded),
		rescaled("E7-R3 Q-1", "s", 50, exceeded),
		ask("E7-R3 E6-R5", "GET /p/streams/s?limit_partitions=1", "", `200 {"writable_partition_count":49,"update_partition_counts":[
			{"create_timestamp":1795424828504,"src_partition_count":49,"target_partition_count":50,"auto_scale":false,"result_detail":"DIS.4308 Insufficient quota."}]}`),
		rescaled("C-71 DELETED ones are free", "s", 48, `200 {"current_partition_count":49,"target_partition_count":48}`),
		ask("C-71", "POST /p/streams", create("u", 1), "201"),
		ask("E5-R4", "DELETE /p/streams/u", "", "204"),
		ask("E5-R4", "POST /v2/proj3/streams", create("u", 1), "201"),
	)
}

func TestRulesScalingQuota(t *testing.T) {
	w := newWorld(t, quotas(quota.Enforce, partition.Quotas{}))
	const often = "400 DIS.4305 Too many stream requests."
	w.converse(
		ask("Q-6", "POST /p/streams", create("s", 1), "201"),
		rescaled("Q-6", "s", 2, "200 {}"),
		rescaled("E7-R2 Q-6 after a success", "s", 3, often),
		rescaled("C-35 form before rate", "s", 2, "400 DIS.4200 Invalid request. [target_partition_count: …"),
		pass(time.Hour-time.Millisecond),
		rescaled("E7-R2 Q-6 within the hour", "s", 3, often),
		restart(),
		rescaled("E7-R2 L-27 across a restart", "s", 3, often),
		pass(time.Millisecond),
		rescaled("E7-R2 after the hour", "s", 3, "200 {}"),
		ask("E7-R3 refused by the rate: not recorded", "GET /p/streams/s", "", `200 {"update_partition_counts":[{"target_partition_count":2},{"target_partition_count":3}]}`),
		pass(time.Hour),
	)
	for range 5 {
		w.converse(rescaled("E7-R3 attempts count", "s", 51, "400 DIS.4308 Insufficient quota."), pass(time.Minute))
	}
	w.converse(
		rescaled("E7-N1 five attempts", "s", 51, often),
		rescaled("E7-N1 five attempts", "s", 4, often),
		pass(54*time.Minute),
		rescaled("E7-N1 still five", "s", 4, often),
		pass(time.Minute),
		rescaled("E7-N1 the window slides", "s", 4, "200 {}"),
	)
}

func TestRulesThroughput(t *testing.T) {
	w := newWorld(t, quotas(quota.Enforce, partition.Quotas{
		Common: partition.Throughput{WriteBytes: 10, WriteRecords: 3}, Advanced: partition.Throughput{WriteBytes: 1000},
	}))
	record := func(partition string, bytes int) string {
		return `{"data":"` + base64.StdEncoding.EncodeToString(make([]byte, bytes)) + `","partition_id":"` + partition + `","partition_key":"keys do not count (C-70)"}`
	}
	const stored, refused = `{"error_code":"@absent"}`, `{"error_code":"DIS.4303","error_message":"Exceeded traffic control limit. DIS.4303","partition_id":"@absent","sequence_number":"@absent"}`
	put := func(rule, want string, records ...string) step {
		return ask(rule, "POST /p/records", puts(records...), want)
	}
	w.converse(
		ask("Q-16", "POST /p/streams", create("s", 2), "201"),
		put("E19-R10 E19-R4 Q-16 bytes, the others of the partition too", `200 {"failed_record_count":2,"records":[`+stored+`,`+refused+`,`+stored+`,`+refused+`]}`,
			record("0", 8), record("0", 3), record("1", 10), record("0", 1)),
		put("E19-R11 E19-R10", `200 {"failed_record_count":1,"records":[`+refused+`]}`, record("0", 3)),
		put("E19-R10 what is left", `200 {"failed_record_count":0}`, record("0", 2)),
		pass(100*time.Millisecond), // one byte, and not a whole record
		put("E19-R10 refill", `200 {"failed_record_count":1}`, record("0", 2)),
		pass(time.Hour), // no more than a second's worth
		put("E19-R10 capacity", `200 {"failed_record_count":1}`, record("0", 11)),
		put("E19-R10 Q-16 records", `200 {"failed_record_count":1,"records":[`+stored+`,`+stored+`,`+stored+`,`+refused+`]}`, record("0", 0), record("0", 0), record("0", 0), record("0", 0)),
		ask("Q-17", "POST /p/streams", create("adv", 1, `"stream_type":"ADVANCED"`), "201"),
		ask("Q-17", "POST /p/records", `{"stream_name":"adv","records":[`+record("0", 1000)+`,`+record("0", 1)+`]}`, `200 {"records":[`+stored+`,`+refused+`]}`),
	)
}

// Downloads are paced, and refused only when they would have to wait for long.
func TestRulesPace(t *testing.T) {
	w := newWorld(t, quotas(quota.Enforce, partition.Quotas{Common: partition.Throughput{WriteBytes: 100, ReadBytes: 10}}))
	data := base64.StdEncoding.EncodeToString(make([]byte, 10))
	w.converse(
		ask("E20-R8", "POST /p/streams", create("s", 2), "201"),
		ask("E20-R8", "POST /p/records", puts(`{"partition_id":0,"data":"`+data+`"}`, `{"partition_id":1,"data":"`+base64.StdEncoding.EncodeToString(make([]byte, 61))+`"}`), `200 {"failed_record_count":0}`),
		ask("E20-R8", "GET /p/cursors?stream-name=s&partition-id=0", "", `200 {"partition_cursor":"@zero"}`),
		ask("E20-R8", "GET /p/cursors?stream-name=s&partition-id=1", "", `200 {"partition_cursor":"@one"}`),
		ask("E20-R8 in full while there is something left", "GET /p/records?partition-cursor=@zero", "", `200 {"records":[{}]}`),
		ask("E20-R8 empty is not negative", "GET /p/records?partition-cursor=@zero", "", `200 {"records":[{}]}`),
		pass(999*time.Millisecond), // it lacks a hundredth of a byte: a millisecond
		ask("E20-R8 a wait", "GET /p/records?partition-cursor=@zero", "", `200 {"records":[{}]}`),
		ask("E20-R8 driven negative", "GET /p/records?partition-cursor=@one", "", `200 {"records":[{}]}`),
		ask("E20-R8 more than 5 s", "GET /p/records?partition-cursor=@one", "", "400 DIS.4303 Exceeded traffic control limit."),
		pass(6*time.Second),
		ask("E20-R8 then again", "GET /p/records?partition-cursor=@one", "", `200 {"records":[{}]}`),
	)
}

// The defaults of, to the byte and the record.
func TestRulesThroughputDefaults(t *testing.T) {
	for _, c := range []struct {
		rule, kind     string
		bytes, records int
	}{
		{"Q-16", "COMMON", 1 << 20, 1000},
		{"Q-17", "ADVANCED", 5 << 20, 2000},
	} {
		w := newWorld(t, quotas(quota.Enforce, partition.Quotas{}))
		w.want(201, "POST", "/p/streams", create("s", 2, `"stream_type":"`+c.kind+`"`))
		full := `{"data":"` + base64.StdEncoding.EncodeToString(make([]byte, c.bytes)) + `","partition_id":0}`
		w.converse(ask(c.rule+" C-70", "POST /p/records", puts(full, `{"data":"AA==","partition_id":0}`), `200 {"failed_record_count":1}`))
		many := make([]string, c.records+1)
		for i := range many {
			many[i] = `{"data":"","partition_id":1}`
		}
		w.converse(ask(c.rule+" records", "POST /p/records", puts(many...), `200 {"failed_record_count":1}`))
	}
}

// Quotas that are off or only watched refuse nothing.
func TestRulesQuotasOff(t *testing.T) {
	tight := partition.Quotas{CommonPartitions: 1, ScalingAttempts: 1, Common: partition.Throughput{WriteBytes: 1, WriteRecords: 1, ReadBytes: 1}}
	for _, mode := range []quota.Mode{quota.Off, quota.Warn} {
		w := newWorld(t, quotas(mode, tight))
		w.converse(
			ask("C-70 Q-1", "POST /p/streams", create("s", 2), "201"),
			rescaled("C-70 Q-6", "s", 3, "200 {}"),
			rescaled("C-70 Q-6", "s", 4, "200 {}"),
			ask("C-70 Q-16", "POST /p/records", puts(`{"data":"AAAA","partition_id":0}`, `{"data":"AAAA","partition_id":0}`), `200 {"failed_record_count":0}`),
			ask("C-70 Q-16", "GET /p/cursors?stream-name=s&partition-id=0", "", `200 {"partition_cursor":"@c"}`),
			ask("C-70 E20-R8", "GET /p/records?partition-cursor=@c", "", `200 {"records":[{},{}]}`),
			ask("C-70 E20-R8", "GET /p/records?partition-cursor=@c", "", `200 {"records":[{},{}]}`),
		)
	}
}

// TestQuotaReport reads what was refused and, which is the same, what would have
// been, by whom and when.
func TestQuotaReport(t *testing.T) {
	for _, mode := range []quota.Mode{quota.Warn, quota.Enforce} {
		w := newWorld(t, quotas(mode, partition.Quotas{Common: partition.Throughput{WriteBytes: 100, ReadBytes: 10}}),
			accounts([]string{"proj"}, []string{"p2"}, []string{"other"}))
		either := func(warn, enforce string) string {
			return map[quota.Mode]string{quota.Warn: warn, quota.Enforce: enforce}[mode]
		}
		report := func(want string) {
			t.Helper()
			if a := w.do("GET", "/_disd/quota", ""); a.status != 200 || a.body != `{"mode":"`+string(mode)+`","exceeded":[`+want+`]}` {
				t.Errorf("%d %s, want %s", a.status, a.body, want)
			}
		}
		of := func(bytes int) string {
			return `{"partition_id":0,"data":"` + base64.StdEncoding.EncodeToString(make([]byte, bytes)) + `"}`
		}
		const read = "GET /v2/p2/records?partition-cursor=@c"
		report("")
		w.converse(
			ask("", "POST /p/streams", create("big", 51), either("201", "400 DIS.4308 Insufficient quota.")),
			ask("", "POST /v2/other/streams", create("s", 1), "201"),
			ask("", "POST /v2/p2/streams", create("s", 1), "201"),
			pass(time.Hour),
			ask("", "GET /v2/p2/cursors?stream-name=s&partition-id=0", "", `200 {"partition_cursor":"@c"}`),
			ask("", "POST /p/streams", create("big", 52), either("400 DIS.4307 The stream already exists.", "400 DIS.4308 Insufficient quota.")),
			// One byte too many, which takes nothing of the allowance, and what follows it.
			ask("", "POST /v2/p2/records", puts(of(61), of(40), of(1)), `200 {"failed_record_count":`+either("0", "2")+`}`),
			ask("", "POST /v2/p2/records", puts(of(39)), `200 {"failed_record_count":0}`),
			ask("", read, "", `200 {}`), // all of it, which is far too much
			ask("", read, "", either(`200 {}`, "400 DIS.4303 Exceeded traffic control limit.")),
			pass(15*time.Second), // what would have been refused was not read
			ask("", read, "", `200 {}`),
		)
		const nine, ten = `"2026-11-23T09:07:08Z"`, `"2026-11-23T10:07:08Z"`
		report(`{"quota":"partitions","project":"proj","name":"big","count":2,"first":` + nine + `,"last":` + ten + `},` +
			`{"quota":"throughput","project":"p2","name":"s","count":2,"first":` + ten + `,"last":` + ten + `}`)
	}
}

// TestRulesControlCalls is Q-20.
func TestRulesControlCalls(t *testing.T) {
	const often = "400 DIS.4305 Too many stream requests."
	limited := func(mode quota.Mode) *world {
		return newWorld(t, quotas(mode, partition.Quotas{}), func(o *setup) { o.Quota.ControlCalls = 3 })
	}
	w := limited(quota.Enforce)
	w.converse(
		ask("Q-20 a call", "POST /p/streams", create("s", 1), "201"),
		ask("Q-20 another", "POST /p/apps", `{"app_name":"a"}`, "201"),
		ask("Q-20 one that fails", "DELETE /p/streams/none", "", "400 DIS.4301 Stream does not exist. [none][proj]"),
		ask("Q-20 one too many", "PUT /p/streams/s", `{"stream_name":"s","target_partition_count":2}`, often),
		ask("Q-20 nothing was done", "GET /p/streams/s", "", `200 {"writable_partition_count":1}`),
		ask("Q-20 C-35 before the body", "POST /p/apps", "x", often),
		ask("Q-20 C-35 after the project", "POST /p/apps", "x", "400 DIS.4117 Invalid Project Id. [other]").with("X-Project-Id", "other"),
		ask("Q-20 another project", "POST /v2/other/apps", `{"app_name":"a"}`, "201"),
		ask("Q-20 GET", "GET /p/apps", "", `200 {"total_number":1}`),
		ask("Q-20 uploads", "POST /p/records", puts(`{"data":""}`), `200 {"failed_record_count":0}`),
		ask("Q-20 commits", "POST /p/checkpoints", `{"app_name":"a","stream_name":"s","partition_id":"0","sequence_number":"1"}`, "201"),
	)
	for _, c := range []struct{ rule, method, path, body string }{
		{"E43", "POST", "/p/apps/a/consumers", `{"clientId":"A","interestedStream":["s"]}`},
		{"E44", "POST", "/p/apps/a/consumers/A/partitions", `{"generation":-1}`},
		{"E45", "POST", "/p/apps/a/consumers/A/heartbeats", `{"generation":1}`},
		{"E46", "DELETE", "/p/apps/a/consumers/A", ""},
		{"IAM", "POST", "/v3/auth/tokens", login("u", "d", "p", "")},
		{"IAM", "GET", "/v3/projects", ""},
		{"disd's own", "PUT", "/_disd/projects/proj/streams/s", `{"frozen":false}`},
	} {
		for range 5 {
			if a := w.do(c.method, c.path, c.body); a.status >= 300 {
				t.Errorf("Q-20 %s: %d %s", c.rule, a.status, a.body)
			}
		}
	}
	w.converse(
		ask("Q-20 still", "DELETE /p/apps/a", "", often),
		pass(333*time.Millisecond),
		ask("Q-20 not yet", "DELETE /p/apps/a", "", often),
		pass(time.Millisecond),
		ask("Q-20 a third of a second later", "DELETE /p/checkpoints?app_name=a&stream_name=s", "", "204"),
		ask("Q-20 only one", "DELETE /p/apps/a", "", often),
		pass(time.Hour),
	)
	for range 3 { // no more than a second's worth
		w.converse(ask("Q-20 PUT", "PUT /v3/proj/streams/s", `{"stream_name":"s","data_duration":48}`, "204"))
	}
	w.converse(ask("Q-20 full again", "DELETE /p/apps/a", "", often))
	if got := w.exceeded("calls"); got != 6 {
		t.Errorf("Q-20: %d calls are reported", got)
	}

	for mode, want := range map[quota.Mode]int{quota.Off: 0, quota.Warn: 7} {
		w := limited(mode)
		for i := range 10 {
			w.converse(ask("Q-20 "+string(mode), "POST /p/apps", fmt.Sprintf(`{"app_name":"a%d"}`, i), "201"))
		}
		if got := w.exceeded("calls"); got != want {
			t.Errorf("Q-20 %s: %d calls are reported, want %d", mode, got, want)
		}
	}
	w = newWorld(t, quotas(quota.Enforce, partition.Quotas{})) // no limit by default
	for i := range 100 {
		w.converse(ask("Q-20 by default", "POST /p/apps", fmt.Sprintf(`{"app_name":"a%d"}`, i), "201"))
	}
}

func TestRulesAppQuota(t *testing.T) {
	mode := quota.Enforce
	w := newWorld(t, func(s *setup) { s.Quota.Mode, s.Quotas.Apps = mode, 2 })
	w.converse(
		ask("Q-5", "POST /p/apps", `{"app_name":"a"}`, "201"),
		ask("Q-5", "POST /p/apps", `{"app_name":"b"}`, "201"),
		ask("Q-5 E11-R2", "POST /p/apps", `{"app_name":"c"}`, "400 DIS.4329 app quota exceeded."),
		ask("C-35 quota before names", "POST /p/apps", `{"app_name":"a"}`, "400 DIS.4329 app quota exceeded."),
		ask("Q-5 per project", "POST /v2/other/apps", `{"app_name":"a"}`, "201"),
		ask("Q-5", "DELETE /p/apps/a", "", "204"),
		ask("Q-5", "POST /p/apps", `{"app_name":"c"}`, "201"),
	)
	for mode, want := range map[quota.Mode]int{quota.Warn: 1, quota.Off: 0} {
		w.edit = append(w.edit, func(s *setup) { s.Quota.Mode = mode })
		w.start(t)
		w.converse(
			ask("Q-5 one too many is not refused", "POST /p/apps", `{"app_name":"d"}`, "201"),
			ask("Q-5", "DELETE /p/apps/d", "", "204"),
		)
		if n := w.exceeded("apps"); n != want {
			t.Errorf("Q-5 %s: the quota was exceeded %d times, want %d", mode, n, want)
		}
	}
}
