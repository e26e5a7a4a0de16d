package api_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"disd/internal/partition"
	"disd/internal/quota"
	"disd/internal/storage"
)

const avro = `{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"k\",\"type\":\"string\"}]}`

// create is the body of E3 with further members.
func create(name string, partitions int, more ...string) string {
	members := append([]string{fmt.Sprintf(`"stream_name":%q,"partition_count":%d`, name, partitions)}, more...)
	return "{" + strings.Join(members, ",") + "}"
}

var assignedID = regexp.MustCompile(`^[0-9A-Za-z]{19}$`) // C-37

func TestRulesCreateStream(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("n", 64)
	w.converse(
		ask("E3-R1", "POST /p/streams", create("min", 3), "201"),
		ask("E3-R1 E3-R4 E3-R7 E3-R12 E6-R6 C-36 C-37", "GET /p/streams/min", "", `200 {"stream_name":"min","stream_id":"@min","status":"RUNNING","stream_type":"COMMON","data_type":"BLOB",
			"retention_period":24,"create_time":1795424828504,"last_modified_time":1795424828504,"writable_partition_count":3,"readable_partition_count":3,
			"auto_scale_enabled":false,"auto_scale_min_partition_count":0,"auto_scale_max_partition_count":0,"tags":[],"sys_tags":[],"update_partition_counts":[],
			"data_schema":"@absent","compression_format":"@absent","csv_properties":"@absent","has_more_partitions":false,"partitions":[
			{"status":"ACTIVE","partition_id":"shardId-0000000000","hash_range":"[0 : 3074457345618258601]","sequence_number_range":"[0 : 0]","parent_partitions":"@absent"},
			{"status":"ACTIVE","partition_id":"shardId-0000000001","hash_range":"[3074457345618258602 : 6148914691236517203]","sequence_number_range":"[0 : 0]","parent_partitions":"@absent"},
			{"status":"ACTIVE","partition_id":"shardId-0000000002","hash_range":"[6148914691236517204 : 9223372036854775807]","sequence_number_range":"[0 : 0]","parent_partitions":"@absent"}]}`),
		ask("E3-R1", "POST /p/records", `{"stream_name":"min","records":[{"data":"","partition_id":"2"}]}`, `200 {"failed_record_count":0}`),
		ask("E3-R13 E3-R6", "POST /p/streams", create("max", 1, `"stream_type":"ADVANCED","data_type":"CSV","data_duration":168`,
			`"auto_scale_enabled":true,"auto_scale_min_partition_count":2,"auto_scale_max_partition_count":10`,
			`"data_schema":" `+avro+`\n","csv_properties":{"delimiter":"|"},"compression_format":"zip"`,
			`"tags":[{"key":"owner","value":"team-a"},{"key":"分区","value":"v.分"},{"key":"none"}]`,
			`"sys_tags":[{"key":"_sys_enterprise_project_id","value":"0fe2dfa1-8d2a-4c0a-9f0a-3f2c1d5b7e11","status":"x"}]`), "201"),
		ask("E3-R13 E6-R11 E3-N5", "GET /p/streams/max", "", `200 {"stream_type":"ADVANCED","data_type":"CSV","retention_period":168,"writable_partition_count":1,
			"auto_scale_enabled":true,"auto_scale_min_partition_count":2,"auto_scale_max_partition_count":10,
			"data_schema":" `+avro+`\n","csv_properties":{"delimiter":"|"},"compression_format":"zip",
			"tags":[{"key":"owner","value":"team-a"},{"key":"分区","value":"v.分"},{"key":"none","value":""}],
			"sys_tags":[{"key":"_sys_enterprise_project_id","value":"0fe2dfa1-8d2a-4c0a-9f0a-3f2c1d5b7e11","status":"@absent"}]}`),
		ask("E3-R12 C-31", "POST /p/streams", create("lenient", 1, `"tags":null,"sys_tags":null,"data_schema":"","csv_properties":{},"data_duration":0,"private":true,"is_private":"x"`,
			`"private_cluster_id":{"a":[1]},"stream_type":"","data_type":null,"compression_format":"","auto_scale_enabled":"","auto_scale_min_partition_count":null,"StreamName":"y"`), "201"),
		ask("E3-R12", "GET /p/streams/lenient", "", `200 {"stream_type":"COMMON","data_type":"BLOB","retention_period":24,"csv_properties":"@absent","data_schema":"@absent"}`),
		ask("C-31", "POST /p/streams", create("empty", 1, `"csv_properties":{"delimiter":""},"data_duration":null`), "201"),
		ask("C-32", "POST /p/streams", `{"stream_name":17,"partition_count":"2","data_duration":"48","auto_scale_enabled":"true","auto_scale_min_partition_count":"1","auto_scale_max_partition_count":"3"}`, "201"),
		ask("C-32", "GET /p/streams/17", "", `200 {"stream_name":"17","writable_partition_count":2,"retention_period":48,"auto_scale_enabled":true,"auto_scale_max_partition_count":3}`),
		ask("E3-R7", "POST /p/streams", create("off", 1, `"auto_scale_enabled":false,"auto_scale_min_partition_count":3,"auto_scale_max_partition_count":4`), "201"),
		ask("E3-R7", "GET /p/streams/off", "", `200 {"auto_scale_enabled":false,"auto_scale_min_partition_count":3,"auto_scale_max_partition_count":4}`),
		ask("C-60", "POST /p/streams", create(long, 1), "201"),
		ask("C-60", "GET /p/streams/"+long, "", `200 {"stream_name":"`+long+`"}`),
		ask("C-61", "POST /p/streams", create("MIN", 1), "201"),
		ask("C-61", "POST /v2/other/streams", create("min", 1), "201"),
		ask("E3-R2", "POST /p/streams", create("min", 1), "400 DIS.4307 The stream already exists."),
		ask("E3 sys_tags", "POST /p/streams", create("sys0", 1, `"sys_tags":[{"key":"_sys_enterprise_project_id","value":"0"}]`), "201"),
		ask("E3 sys_tags without value", "POST /p/streams", create("sys", 1, `"sys_tags":[{"key":"_sys_enterprise_project_id"}]`), "201"),
		ask("E3 sys_tags without value", "GET /p/streams/sys", "", `200 {"sys_tags":[{"key":"_sys_enterprise_project_id","value":"0"}]}`),
	)
	if !assignedID.MatchString(w.value("@min")) {
		t.Errorf("C-37: id %q", w.value("@min"))
	}
	before := w.want(200, "GET", "/p/streams", "").body
	for _, bad := range []struct{ rule, members, want string }{
		{"E3 stream_name", `"partition_count":1`, "DIS.4200 Invalid request. [stream_name: …"},
		{"E3 stream_name", `"stream_name":"","partition_count":1`, "DIS.4200 Invalid request. [stream_name: …"},
		{"E3 stream_name", create(strings.Repeat("n", 65), 1), "DIS.4200 Invalid request. [stream_name: …"},
		{"E3 stream_name", create("a.b", 1), "DIS.4200 Invalid request. [stream_name: …"},
		{"C-38", create("分", 1), "DIS.4200 Invalid request. [stream_name: …"},
		{"E3 partition_count", `"stream_name":"x"`, "DIS.4200 Invalid request. [partition_count: …"},
		{"E3 partition_count", create("x", 0), "DIS.4200 Invalid request. [partition_count: …"},
		{"E3 partition_count", create("x", -1), "DIS.4200 Invalid request. [partition_count: …"},
		{"E3 partition_count", create("x", 2147483648), "DIS.4200 Invalid request. [partition_count: …"},
		{"E3 partition_count", `"stream_name":"x","partition_count":1.5`, "DIS.4200 Invalid request. [partition_count: …"},
		{"E3 partition_count", `"stream_name":"x","partition_count":"many"`, "DIS.4200 Invalid request. [partition_count: …"},
		{"C-34", `"stream_name":"x","partition_count":[1]`, "DIS.4300 Request error."},
		{"C-34", `"stream_name":{"a":1},"partition_count":1`, "DIS.4300 Request error."},
		{"C-34", `"stream_name":true,"partition_count":1`, "DIS.4300 Request error."},
		{"E3-R3 more than any server has", create("x", 2147483647), "DIS.4308 Insufficient quota."},
		{"E3 stream_type", create("x", 1, `"stream_type":"common"`), "DIS.4200 Invalid request. [stream_type: …"},
		{"E3 data_type", create("x", 1, `"data_type":"XML"`), "DIS.4200 Invalid request. [data_type: …"},
		{"Q-11", create("x", 1, `"data_duration":23`), "DIS.4200 Invalid request. [data_duration: …"},
		{"Q-11", create("x", 1, `"data_duration":169`), "DIS.4200 Invalid request. [data_duration: …"},
		{"Q-11", create("x", 1, `"data_duration":-24`), "DIS.4200 Invalid request. [data_duration: …"},
		{"E3 auto_scale_enabled", create("x", 1, `"auto_scale_enabled":"yes"`), "DIS.4200 Invalid request. [auto_scale_enabled: …"},
		{"E3 auto_scale_enabled", create("x", 1, `"auto_scale_enabled":1`), "DIS.4200 Invalid request. [auto_scale_enabled: …"},
		{"C-34", create("x", 1, `"auto_scale_enabled":{}`), "DIS.4300 Request error."},
		{"E3 auto_scale_min", create("x", 1, `"auto_scale_enabled":true,"auto_scale_max_partition_count":2`), "DIS.4200 Invalid request. [auto_scale_min_partition_count: …"},
		{"E3 auto_scale_max", create("x", 1, `"auto_scale_enabled":true,"auto_scale_min_partition_count":2`), "DIS.4200 Invalid request. [auto_scale_max_partition_count: …"},
		{"E3-R7", create("x", 1, `"auto_scale_enabled":true,"auto_scale_min_partition_count":3,"auto_scale_max_partition_count":2`), "DIS.4200 Invalid request. [auto_scale_min_partition_count: …"},
		{"E3-R7", create("x", 1, `"auto_scale_min_partition_count":3,"auto_scale_max_partition_count":2`), "DIS.4200 Invalid request. [auto_scale_min_partition_count: …"},
		{"E3-R7", create("x", 1, `"auto_scale_min_partition_count":-1`), "DIS.4200 Invalid request. [auto_scale_min_partition_count: …"},
		{"E3-R5", create("x", 1, `"data_type":"JSON","data_schema":"nonsense"`), "DIS.4360 Invalid data schema."},
		{"E3-R5", create("x", 1, `"data_type":"JSON","data_schema":"\"string\""`), "DIS.4360 Invalid data schema."},
		{"E3-R5", create("x", 1, `"data_type":"JSON","data_schema":"{\"type\":\"record\",\"name\":\"R\",\"fields\":[]}"`), "DIS.4360 Invalid data schema."},
		{"E3-R5", create("x", 1, `"data_schema":"`+avro+`"`), "DIS.4360 Invalid data schema."},
		{"C-34", create("x", 1, `"data_type":"JSON","data_schema":`+strings.ReplaceAll(avro, `\`, ``)), "DIS.4300 Request error."},
		{"E3 delimiter", create("x", 1, `"csv_properties":{"delimiter":"||"}`), "DIS.4200 Invalid request. [csv_properties.delimiter: …"},
		{"C-34", create("x", 1, `"csv_properties":[]`), "DIS.4300 Request error."},
		{"E3 compression_format", create("x", 1, `"compression_format":"lz4"`), "DIS.4200 Invalid request. [compression_format: …"},
		{"E3-R8 Q-4", create("x", 1, `"tags":`+tagList(11)), "DIS.4601 The number of resource tags has reached the maximum."},
		{"E3-R8", create("x", 1, `"tags":[{"key":"a"},{"key":"a"}]`), "DIS.4200 Invalid request. [tags.key: …"},
		{"E3-R8", create("x", 1, `"tags":[{"key":"a b"}]`), "DIS.4200 Invalid request. [tags.key: …"},
		{"E3 tags", create("x", 1, `"tags":[{"value":"a"}]`), "DIS.4200 Invalid request. [tags.key: …"},
		{"E3 tags", create("x", 1, `"tags":[{"key":"`+strings.Repeat("k", 37)+`"}]`), "DIS.4200 Invalid request. [tags.key: …"},
		{"E3 tags", create("x", 1, `"tags":[{"key":"k","value":"`+strings.Repeat("v", 44)+`"}]`), "DIS.4200 Invalid request. [tags.value: …"},
		{"E3 tags", create("x", 1, `"tags":[{"key":"k","value":"a b"}]`), "DIS.4200 Invalid request. [tags.value: …"},
		{"C-34", create("x", 1, `"tags":{"key":"a"}`), "DIS.4300 Request error."},
		{"E3 sys_tags", create("x", 1, `"sys_tags":[{"key":"other","value":"0"}]`), "DIS.4200 Invalid request. [sys_tags: …"},
		{"E3 sys_tags", create("x", 1, `"sys_tags":[{"key":"_sys_enterprise_project_id","value":"1"}]`), "DIS.4200 Invalid request. [sys_tags.value: …"},
		{"E3 sys_tags", create("x", 1, `"sys_tags":[{"key":"_sys_enterprise_project_id","value":"`+strings.Repeat("分", 12)+`"}]`), "DIS.4200 Invalid request. [sys_tags.value: …"},
		{"E3 sys_tags", create("x", 1, `"sys_tags":[{"key":"_sys_enterprise_project_id","value":"0"},{"key":"_sys_enterprise_project_id","value":"0"}]`), "DIS.4200 Invalid request. [sys_tags: …"},
		{"C-35 field order", create("x", 1, `"compression_format":"lz4","data_schema":"x","data_type":"JSON","tags":[{}]`), "DIS.4360 Invalid data schema."},
		{"C-35 fields before names", create("min", 1, `"compression_format":"lz4"`), "DIS.4200 Invalid request. [compression_format: …"},
	} {
		if !strings.HasPrefix(bad.members, "{") {
			bad.members = "{" + bad.members + "}"
		}
		w.converse(ask(bad.rule, "POST /p/streams", bad.members, "400 "+bad.want))
	}
	if after := w.want(200, "GET", "/p/streams", "").body; after != before {
		t.Errorf("E3-R11: a failed creation left something:\n%s\n%s", before, after)
	}
}

// A creation that fails in the engine leaves nothing.
func TestRulesCreationFails(t *testing.T) {
	refuse := true
	w := newWorld(t, quotas(quota.Enforce, partition.Quotas{CommonPartitions: 2}), func(o *setup) {
		o.wrap = func(e storage.Engine) storage.Engine { return creationFails{e, &refuse} }
	})
	w.converse(
		ask("E3-R11", "POST /p/streams", create("s", 2), "503 DIS.5000 System error."),
		ask("E3-R11", "GET /p/streams", "", `200 {"total_number":0}`),
		happen(func(*world) { refuse = false }),
		ask("E3-R11", "POST /p/streams", create("s", 2), "201"),
	)
}

// creationFails is an engine that cannot make the second log of a stream.
type creationFails struct {
	storage.Engine
	refuse *bool
}

func (e creationFails) Create(ctx context.Context, id storage.LogID) error {
	if *e.refuse && id.Partition == 1 {
		return storage.ErrUnavailable
	}
	return e.Engine.Create(ctx, id)
}

func TestRulesListStreams(t *testing.T) {
	w := newWorld(t)
	w.converse(
		ask("E4-R6 C-59", "GET /p/streams", "", `200 {"total_number":0,"stream_names":[],"stream_info_list":[],"has_more_streams":false}`),
		ask("E4", "POST /p/streams", create("b", 2, `"tags":[{"key":"k"}]`), "201"),
		ask("E4", "POST /p/streams", create("a", 1), "201"),
		ask("E4", "POST /p/streams", create("B", 1), "201"),
		ask("E4", "POST /v2/other/streams", create("z", 1), "201"),
		ask("E4-R1 E4-R3 E4-R4", "GET /p/streams", "", `200 {"total_number":3,"stream_names":["B","a","b"],"has_more_streams":false,"stream_info_list":[{"stream_name":"B"},{"stream_name":"a"},
			{"stream_id":"@b","stream_name":"b","create_time":1795424828504,"retention_period":24,"status":"RUNNING","stream_type":"COMMON","data_type":"BLOB","partition_count":2,
			"auto_scale_enabled":false,"auto_scale_min_partition_count":0,"auto_scale_max_partition_count":0,"tags":[{"key":"k","value":""}],"sys_tags":[]}]}`),
		ask("E4-R2", "GET /p/streams?limit=2", "", `200 {"total_number":3,"stream_names":["B","a"],"has_more_streams":true}`),
		ask("E4-R2", "GET /p/streams?limit=2&start_stream_name=a", "", `200 {"total_number":3,"stream_names":["b"],"has_more_streams":false}`),
		ask("E4-R2", "GET /p/streams?limit=1&start_stream_name=B", "", `200 {"stream_names":["a"],"has_more_streams":true}`),
		ask("E4-R1 need not exist", "GET /p/streams?start_stream_name=a0", "", `200 {"total_number":3,"stream_names":["b"],"has_more_streams":false}`),
		ask("E4-R1", "GET /p/streams?start_stream_name=z", "", `200 {"total_number":3,"stream_names":[],"stream_info_list":[],"has_more_streams":false}`),
		ask("E4-R6 Q-19", "GET /p/streams?limit=0&limit_partitions=nonsense&stream_id=", "", `200 {"stream_names":["B","a","b"]}`),
		ask("E4-R4 Q-19", "GET /p/streams?limit=100", "", `200 {"total_number":3}`),
		ask("E4-R4 Q-19", "GET /p/streams?limit=101", "", "400 DIS.4200 Invalid request. [limit: …"),
		ask("E4-R4", "GET /p/streams?limit=-1", "", "400 DIS.4200 Invalid request. [limit: …"),
		ask("E4-R4", "GET /p/streams?limit=ten", "", "400 DIS.4200 Invalid request. [limit: …"),
		ask("E4-R5", "PUT /p/streams/b", `{"stream_name":"b","target_partition_count":1}`, `200 {"current_partition_count":2}`),
		ask("E4-R5", "GET /p/streams?start_stream_name=a", "", `200 {"stream_info_list":[{"partition_count":1}]}`),
		ask("E42-R1 E4-R6", "GET /p/streams?stream_id=@b&limit_partitions=1", "", `200 {"stream_name":"b","stream_id":"@b","partitions":[{"partition_id":"shardId-0000000000"}],"has_more_partitions":true,"total_number":"@absent"}`),
		ask("E42-R2", "GET /p/streams?stream_id=@b&stream_name=a&limit=1000&start_stream_name=b", "", `200 {"stream_name":"b"}`),
		ask("E42", "GET /p/streams?stream_id=@b&start_partitionId=0", "", `200 {"partitions":[{"partition_id":"shardId-0000000001"}],"has_more_partitions":false}`),
		ask("E42", "GET /p/streams?stream_id=@b&start_partitionId=x", "", "400 DIS.4201 Invalid partition_id. [x]"),
		ask("E42", "GET /p/streams?stream_id=0123456789012345678", "", "400 DIS.4301 Stream does not exist. [0123456789012345678][proj]"),
	)
	for i := range 11 {
		w.want(201, "POST", "/v2/many/streams", create(fmt.Sprintf("s%02d", i), 1))
	}
	w.converse(ask("E4 default", "GET /v2/many/streams", "", `200 {"total_number":11,"has_more_streams":true,"stream_names":["s00","s01","s02","s03","s04","s05","s06","s07","s08","s09"]}`))
}

func TestRulesDeleteStream(t *testing.T) {
	w := newWorld(t, quotas(quota.Enforce, partition.Quotas{CommonPartitions: 1}))
	w.converse(
		ask("E5", "POST /p/streams", create("s", 1, `"tags":[{"key":"k"}]`), "201"),
		ask("E5", "GET /p/streams/s", "", `200 {"stream_id":"@id"}`),
		ask("E5", "POST /p/records", `{"stream_name":"s","records":[{"data":"AA=="}]}`, `200 {"failed_record_count":0}`),
		ask("E5", "POST /p/apps", `{"app_name":"a"}`, "201"),
		ask("E5", "POST /p/checkpoints", `{"app_name":"a","stream_name":"s","partition_id":"0","sequence_number":"1"}`, "201"),
		ask("E5", "GET /p/cursors?stream-name=s&partition-id=0", "", `200 {"partition_cursor":"@cursor"}`),
		ask("E5-R3 Q-1", "POST /p/streams", create("t", 1), "400 DIS.4308 Insufficient quota."),
		ask("E5-R1 E5-R3", "DELETE /p/streams/s/?stream_name=other&limit=x", "", "204"),
		ask("E5-R2", "GET /p/streams/s", "", "400 DIS.4301 Stream does not exist. [s][proj]"),
		ask("E5-R2", "GET /p/streams?stream_id=@id", "", "400 DIS.4301 Stream does not exist. [@id][proj]"),
		ask("E5-R3 C-55", "DELETE /p/streams/s", "", "400 DIS.4301 Stream does not exist. [s][proj]"),
		ask("E5-R4 E20-R5", "GET /p/records?partition-cursor=@cursor", "", "400 DIS.4301 Stream does not exist. [@id][proj]"),
		ask("E5-R5", "GET /p/apps/a", "", `200 {"commit_checkpoint_stream_names":[]}`),
		ask("E5-R2 E5-R4", "POST /p/streams", create("s", 1), "201"),
		ask("E5-R2", "GET /p/streams/s", "", `200 {"stream_id":"@new","tags":[],"partitions":[{"sequence_number_range":"[0 : 0]"}]}`),
		ask("E5-R1", "GET /p/checkpoints?stream_name=s&partition_id=0&app_name=a", "", `200 {"sequence_number":"-1"}`),
		ask("E5-R4", "GET /p/records?partition-cursor=@cursor", "", "400 DIS.4301 Stream does not exist. [@id][proj]"),
	)
	if w.value("@new") == w.value("@id") {
		t.Error("E5-R2 C-37: the new stream has the old one's id")
	}
}

func TestRulesShowStream(t *testing.T) {
	t.Attr("rules", "E6-R8")
	w := newWorld(t)
	w.converse(
		ask("E6", "POST /p/streams", create("s", 3), "201"),
		ask("E6", "POST /p/streams", create("t", 101), "201"),
		ask("E6", "GET /p/streams/s", "", `200 {"stream_id":"@s"}`),
		ask("E6-R1", "GET /p/streams/s?start_partitionId=shardId-0000000000", "", `200 {"partitions":[{"partition_id":"shardId-0000000001"},{"partition_id":"shardId-0000000002"}],"has_more_partitions":false}`),
		ask("E6-R1", "GET /p/streams/s?start_partitionId=1", "", `200 {"partitions":[{"partition_id":"shardId-0000000002"}]}`),
		ask("E6-N1", "GET /p/streams/s?start_partition_id=1", "", `200 {"partitions":[{"partition_id":"shardId-0000000002"}]}`),
		ask("E6-N1", "GET /p/streams/s?start_partition_id=0&start_partitionId=1", "", `200 {"partitions":[{"partition_id":"shardId-0000000002"}]}`),
		ask("E6-R2 E6-R3", "GET /p/streams/s?limit_partitions=1", "", `200 {"partitions":[{"partition_id":"shardId-0000000000"}],"has_more_partitions":true,"writable_partition_count":3,"readable_partition_count":3}`),
		ask("E6-R9", "GET /p/streams/s?start_partitionId=&limit_partitions=3", "", `200 {"has_more_partitions":false,"partitions":[{},{},{}]}`),
		ask("E6-R9", "GET /p/streams/s?start_partitionId=2", "", `200 {"partitions":[],"has_more_partitions":false,"writable_partition_count":3,"readable_partition_count":3,"stream_type":"COMMON"}`),
		ask("E6-R9", "GET /p/streams/s?start_partitionId=2147483647", "", `200 {"partitions":[],"has_more_partitions":false}`),
		ask("E6-R9", "GET /p/streams/s?limit_partitions=0", "", `200 {"partitions":[{},{},{}]}`),
		ask("E6 default", "GET /p/streams/t?start_partitionId=0", "", `200 {"has_more_partitions":false}`),
		ask("E6 default", "GET /p/streams/t", "", `200 {"has_more_partitions":true}`),
		ask("E6 Q-19", "GET /p/streams/t?limit_partitions=1000", "", `200 {"has_more_partitions":false}`),
		ask("E6 Q-19", "GET /p/streams/s?limit_partitions=1001", "", "400 DIS.4200 Invalid request. [limit_partitions: …"),
		ask("E6 Q-19", "GET /p/streams/s?limit_partitions=-1", "", "400 DIS.4200 Invalid request. [limit_partitions: …"),
		ask("E6", "GET /p/streams/s?start_partitionId=shardId-", "", "400 DIS.4201 Invalid partition_id. [shardId-]"),
		ask("E6", "GET /p/streams/none", "", "400 DIS.4301 Stream does not exist. [none][proj]"),
		ask("E6-R10", "GET /p/streams/@s", "", `200 {"stream_name":"s"}`),
		ask("E6-R10", "GET /p/streams/none?stream_id=@s&stream_name=t", "", `200 {"stream_name":"s"}`),
		ask("E6-R10", "GET /p/streams/t?stream_id=@s&stream_name=@s&limit_partitions=1", "", `200 {"stream_name":"t"}`),
		ask("E6-R10", "GET /p/streams/none?stream_id=none", "", "400 DIS.4301 Stream does not exist. [none][proj]"),
		pass(time.Hour),
		ask("E6-R7 tags", "POST /p/stream/@s/tags", `{"tag":{"key":"k"}}`, "204"),
		ask("E6-R7 tags", "GET /p/streams/s", "", `200 {"create_time":1795424828504,"last_modified_time":1795428428504}`),
	)
	one, two := w.want(200, "GET", "/p/streams/s", "").body, w.want(200, "GET", "/p/streams/s/", "").body
	if one != two {
		t.Errorf("E6-R8: nothing happened between\n%s\n%s", one, two)
	}
}

func scale(stream string, n int) (send, body string) {
	return "PUT /p/streams/" + stream, fmt.Sprintf(`{"stream_name":%q,"target_partition_count":%d}`, stream, n)
}

func rescaled(rule, stream string, n int, want string) step {
	send, body := scale(stream, n)
	return ask(rule, send, body, want)
}

func TestRulesScaling(t *testing.T) {
	w := newWorld(t)
	get := "GET /p/streams/s"
	w.converse(
		ask("E7", "POST /p/streams", create("s", 2), "201"),
		ask("E7", "POST /p/records", `{"stream_name":"s","records":[{"data":"AA==","partition_id":"0"},{"data":"AQ==","partition_id":"1"}]}`, `200 {"failed_record_count":0}`),
		pass(time.Hour),
		rescaled("E7-R1 E7-R9", "s", 5, `200 {"stream_name":"s","current_partition_count":2,"target_partition_count":5}`),
		ask("E7-R5 E7-R6 E7-R7 L-4 L-5 L-9 L-12 E6-R5 E6-R7 E6-R11", get, "", `200 {"writable_partition_count":5,"readable_partition_count":5,"create_time":1795424828504,"last_modified_time":1795428428504,
			"update_partition_counts":[{"create_timestamp":1795428428504,"src_partition_count":2,"target_partition_count":5,"auto_scale":false,"result_detail":"0","result_code":"@absent","result_msg":"@absent"}],
			"partitions":[
			{"status":"ACTIVE","hash_range":"[0 : 1844674407370955160]","sequence_number_range":"[0 : 1]","parent_partitions":"@absent"},
			{"status":"ACTIVE","hash_range":"[1844674407370955161 : 3689348814741910321]","sequence_number_range":"[0 : 1]","parent_partitions":"@absent"},
			{"status":"ACTIVE","hash_range":"[3689348814741910322 : 5534023222112865482]","sequence_number_range":"[0 : 0]","parent_partitions":"shardId-0000000000,shardId-0000000001"},
			{"status":"ACTIVE","hash_range":"[5534023222112865483 : 7378697629483820643]","parent_partitions":"shardId-0000000001"},
			{"status":"ACTIVE","hash_range":"[7378697629483820644 : 9223372036854775807]","parent_partitions":"shardId-0000000001"}]}`),
		ask("E7-R7", "POST /p/records", `{"stream_name":"s","records":[{"data":"","partition_id":"4"}]}`, `200 {"records":[{"sequence_number":"0"}]}`),
		rescaled("E7-R1", "s", 1, `200 {"current_partition_count":5,"target_partition_count":1}`),
		ask("L-10 L-12a E6-R3 E6-R4", get, "", `200 {"writable_partition_count":1,"readable_partition_count":5,"partitions":[
			{"status":"ACTIVE","hash_range":"[0 : 9223372036854775807]","sequence_number_range":"[0 : 1]"},
			{"status":"DELETED","hash_range":"[-1 : -1]","sequence_number_range":"[0 : 1]","parent_partitions":"@absent"},
			{"status":"DELETED","hash_range":"[-1 : -1]","sequence_number_range":"[0 : 0]","parent_partitions":"shardId-0000000000,shardId-0000000001"},
			{"status":"DELETED"},{"status":"DELETED"}]}`),
		ask("L-10 E19-R4", "POST /p/records", `{"stream_name":"s","records":[{"data":"","partition_id":"1"},{"data":""},{"data":"","partition_id":"5"}]}`,
			`200 {"failed_record_count":2,"records":[{"error_code":"DIS.4319","error_message":"Partition is expired. DIS.4319","partition_id":"@absent","sequence_number":"@absent"},
			{"partition_id":"shardId-0000000000","sequence_number":"1","error_code":"@absent"},{"error_code":"DIS.4302","error_message":"Partition does not exist. DIS.4302"}]}`),
		ask("E20-N3", "GET /p/cursors?stream-name=s&partition-id=1", "", `200 {"partition_cursor":"@old"}`),
		ask("E20-N3 E7-R7", "GET /p/records?partition-cursor=@old", "", `200 {"records":[{"sequence_number":"0","data":"AQ=="}],"next_partition_cursor":"@end"}`),
		ask("E20-R3 at the end of a DELETED one", "GET /p/records?partition-cursor=@end", "", `200 {"records":[],"next_partition_cursor":"@any"}`),
		ask("E16", "POST /p/apps", `{"app_name":"a"}`, "201"),
		ask("E16", "POST /p/checkpoints", `{"app_name":"a","stream_name":"s","partition_id":"1","sequence_number":"1"}`, "201"),
		ask("E15-R1", "GET /p/apps/a/streams/s", "", `200 {"partition_consuming_states":[{"status":"ACTIVE"},{"status":"DELETED","sequence_number":"1"},{"status":"DELETED"},{"status":"DELETED"},{"status":"DELETED"}]}`),
		pass(23*time.Hour+58*time.Minute),
		ask("L-11 not yet", "GET /p/cursors?stream-name=s&partition-id=1", "", `200 {"partition_cursor":"@last"}`),
		pass(3*time.Minute),
		ask("L-11 E6-R4 E6-R3", get, "", `200 {"writable_partition_count":1,"readable_partition_count":1,"last_modified_time":1795428428504,"partitions":[{"status":"ACTIVE"},
			{"status":"EXPIRED","hash_range":"[-1 : -1]","sequence_number_range":"@absent"},{"status":"EXPIRED","sequence_number_range":"@absent"},{"status":"EXPIRED"},{"status":"EXPIRED"}]}`),
		ask("E21-R8", "GET /p/cursors?stream-name=s&partition-id=1", "", "400 DIS.4319 Partition is expired. [shardId-0000000001]"),
		ask("E20-R5 L-22", "GET /p/records?partition-cursor=@last", "", "400 DIS.4319 Partition is expired. [shardId-0000000001]"),
		ask("E19-R4", "POST /p/records", `{"stream_name":"s","records":[{"data":"","partition_id":"1"}]}`, `200 {"failed_record_count":1,"records":[{"error_code":"DIS.4319"}]}`),
		ask("E16-R4", "POST /p/checkpoints", `{"app_name":"a","stream_name":"s","partition_id":"1","sequence_number":"1"}`, "400 DIS.4319 Partition is expired. [shardId-0000000001]"),
		ask("E17-R3 L-25", "GET /p/checkpoints?app_name=a&stream_name=s&partition_id=1&timestamp=9", "", `200 {"sequence_number":"1"}`),
		ask("E17-R3", "GET /p/checkpoints?app_name=a&stream_name=s&partition_id=2", "", `200 {"sequence_number":"-1"}`),
		ask("E15-R1", "GET /p/apps/a/streams/s", "", `200 {"has_more":false,"partition_consuming_states":[{"partition_id":"shardId-0000000000"}]}`),
		ask("E18-R4", "DELETE /p/checkpoints?app_name=a&stream_name=s&partition_id=1", "", "204"),
		rescaled("L-8", "s", 6, `200 {"current_partition_count":1}`),
		ask("L-8 L-14 L-9", get, "", `200 {"writable_partition_count":6,"partitions":[{},{"status":"ACTIVE","sequence_number_range":"[1 : 1]","parent_partitions":"@absent"},
			{"status":"ACTIVE","parent_partitions":"shardId-0000000000,shardId-0000000001"},{},{"sequence_number_range":"[1 : 1]"},{"status":"ACTIVE","parent_partitions":"shardId-0000000000"}]}`),
		ask("L-8 L-14", "POST /p/records", `{"stream_name":"s","records":[{"data":"","partition_id":"1"}]}`, `200 {"records":[{"partition_id":"shardId-0000000001","sequence_number":"1"}]}`),
		rescaled("L-10", "s", 5, `200 {"current_partition_count":6}`),
		rescaled("L-8 DELETED first", "s", 6, `200 {"current_partition_count":5}`),

		rescaled("E7-R1 equal", "s", 6, "400 DIS.4200 Invalid request. [target_partition_count: …"),
		rescaled("E7-R1 zero", "s", 0, "400 DIS.4200 Invalid request. [target_partition_count: …"),
		rescaled("E7-R1 negative", "s", -1, "400 DIS.4200 Invalid request. [target_partition_count: …"),
		rescaled("E7-R3 more than any server has", "s", 2147483647, "400 DIS.4308 Insufficient quota."),
		ask("E7-R8", "PUT /p/streams/s", `{"stream_name":"s","data_duration":48}`, "400 DIS.4200 Invalid request. [Invalid target_partition_count null.]"),
		ask("E7-R8", "PUT /p/streams/s", `{"stream_name":"s","target_partition_count":null}`, "400 DIS.4200 Invalid request. [Invalid target_partition_count null.]"),
		ask("E7 stream_name", "PUT /p/streams/s", `{"target_partition_count":3}`, "400 DIS.4200 Invalid request. [stream_name: …"),
		ask("E7 stream_name", "PUT /p/streams/s", `{"stream_name":"t","target_partition_count":3}`, "400 DIS.4200 Invalid request. [stream_name: …"),
		ask("C-32", "PUT /p/streams/s", `{"stream_name":"s","target_partition_count":"7"}`, `200 {"target_partition_count":7}`),
		ask("C-34", "PUT /p/streams/s", `{"stream_name":"s","target_partition_count":"seven"}`, "400 DIS.4200 Invalid request. [target_partition_count: …"),
		ask("C-34", "PUT /p/streams/s", `{"stream_name":"s","target_partition_count":{}}`, "400 DIS.4300 Request error."),
		rescaled("E7 unknown", "none", 2, "400 DIS.4301 Stream does not exist. [none][proj]"),
		freeze("s", true),
		rescaled("E7-R4 L-2", "s", 3, "400 DIS.4205 Stream is not running."),
	)
}

func TestRulesScalingHistory(t *testing.T) {
	w := newWorld(t)
	w.want(201, "POST", "/p/streams", create("s", 1))
	for i := range 101 {
		w.clock.advance(time.Second)
		w.want(200, "PUT", "/p/streams/s", fmt.Sprintf(`{"stream_name":"s","target_partition_count":%d}`, 2-i%2))
	}
	a := w.want(200, "GET", "/p/streams/s", "")
	history := a.member(t, "update_partition_counts").([]any)
	if first := history[0].(map[string]any); len(history) != 100 || fmt.Sprint(first["create_timestamp"]) != "1795424830504" {
		t.Errorf("E6-R5: %d entries, the first %v", len(history), first)
	}
}

func TestRulesUpdateStream(t *testing.T) {
	w := newWorld(t)
	update := func(rule, members, want string) step {
		return ask(rule, "PUT /v3/proj/streams/s", `{"stream_name":"s"`+members+`}`, want)
	}
	get := func(rule, want string) step { return ask(rule, "GET /p/streams/s", "", "200 "+want) }
	w.converse(
		ask("E8", "POST /p/streams", create("s", 1, `"csv_properties":{"delimiter":";"},"compression_format":"gzip"`), "201"),
		pass(time.Minute),
		update("E8-R1", `,"data_duration":48`, "204"),
		get("E8-R1 E6-R7", `{"retention_period":48,"data_type":"BLOB","last_modified_time":1795424888504,"create_time":1795424828504}`),
		update("E8-R1 E8-N1", `,"data_type":"JSON","data_duration":null,"auto_scale_enabled":null`, "204"),
		get("E8-R1", `{"retention_period":48,"data_type":"JSON"}`),
		update("E8-R5", `,"data_duration":72,"stream_type":"ADVANCED","partition_count":9,"compression_format":"zip","csv_properties":{"delimiter":"x"}`, "204"),
		get("E8-R5", `{"stream_type":"COMMON","writable_partition_count":1,"compression_format":"gzip","csv_properties":{"delimiter":";"},"retention_period":72}`),
		update("E8-R1 nothing", ``, "400 DIS.4202 Empty request."),
		update("E8-R1 nothing", `,"data_type":"","data_duration":0,"data_schema":null`, "400 DIS.4202 Empty request."),
		update("E8-R1 nothing", `,"stream_type":"ADVANCED"`, "400 DIS.4202 Empty request."),
		update("E8 data_schema", `,"data_schema":"`+avro+`"`, "204"),
		get("E8 data_schema", `{"data_schema":"`+avro+`"}`),
		update("E8-R3", `,"data_schema":"x"`, "400 DIS.4360 Invalid data schema."),
		update("E8-R3 C-32", `,"data_schema":5`, "400 DIS.4360 Invalid data schema."),
		update("C-34", `,"data_schema":{}`, "400 DIS.4300 Request error."),
		get("E8-R3", `{"data_schema":"`+avro+`"}`),
		update("E8-R2", `,"data_type":"BLOB","data_schema":"`+avro+`"`, "400 DIS.4360 Invalid data schema."),
		update("E8-R2", `,"data_type":"CSV"`, "204"),
		get("E8-R2 kept", `{"data_type":"CSV","data_schema":"`+avro+`"}`),
		update("E8-R2", `,"data_type":"BLOB"`, "204"),
		get("E8-R2 dropped", `{"data_type":"BLOB","data_schema":"@absent"}`),
		update("E8-R2", `,"data_schema":"`+avro+`"`, "400 DIS.4360 Invalid data schema."),
		update("E8-R2", `,"data_schema":"`+avro+`","data_type":"JSON"`, "204"),
		update("E8 clears", `,"data_schema":""`, "204"),
		get("E8 clears", `{"data_type":"JSON","data_schema":"@absent"}`),
		update("E8-R2", `,"auto_scale_enabled":true`, "400 DIS.4200 Invalid request. [auto_scale_min_partition_count: …"),
		update("E8-R2", `,"auto_scale_enabled":true,"auto_scale_min_partition_count":2`, "400 DIS.4200 Invalid request. [auto_scale_max_partition_count: …"),
		update("E8-R2", `,"auto_scale_min_partition_count":2,"auto_scale_max_partition_count":4`, "204"),
		update("E8-R2", `,"auto_scale_enabled":true`, "204"),
		get("E8-R2", `{"auto_scale_enabled":true,"auto_scale_min_partition_count":2,"auto_scale_max_partition_count":4}`),
		update("E8-R2", `,"auto_scale_max_partition_count":1`, "400 DIS.4200 Invalid request. [auto_scale_min_partition_count: …"),
		update("E8", `,"auto_scale_min_partition_count":0`, "400 DIS.4200 Invalid request. [auto_scale_min_partition_count: …"),
		update("E8", `,"auto_scale_max_partition_count":0`, "400 DIS.4200 Invalid request. [auto_scale_max_partition_count: …"),
		update("C-32", `,"auto_scale_enabled":"false"`, "204"),
		get("C-32", `{"auto_scale_enabled":false}`),
		update("E8 auto_scale_enabled", `,"auto_scale_enabled":"no"`, "400 DIS.4200 Invalid request. [auto_scale_enabled: …"),
		update("Q-11", `,"data_duration":23`, "400 DIS.4200 Invalid request. [data_duration: …"),
		update("Q-11", `,"data_duration":169`, "400 DIS.4200 Invalid request. [data_duration: …"),
		update("E8 data_type", `,"data_type":"blob"`, "400 DIS.4200 Invalid request. [data_type: …"),
		ask("E8 stream_name", "PUT /v3/proj/streams/s", `{"data_duration":48}`, "400 DIS.4200 Invalid request. [stream_name: …"),
		ask("E8 stream_name", "PUT /v3/proj/streams/s", `{"stream_name":"t","data_duration":48}`, "400 DIS.4200 Invalid request. [stream_name: …"),
		ask("E8", "PUT /v3/proj/streams/none", `{"stream_name":"none","data_duration":48}`, "400 DIS.4301 Stream does not exist. [none][proj]"),
		freeze("s", true),
		update("E8-R7 L-2", `,"data_duration":48`, "400 DIS.4205 Stream is not running."),
	)
}

func TestRulesUpdateStreamOld(t *testing.T) {
	w := newWorld(t)
	update := func(rule, body, want string) step { return ask(rule, "PUT /p/streams/s/update", body, want) }
	get := func(rule, want string) step { return ask(rule, "GET /p/streams/s", "", "200 "+want) }
	w.converse(
		ask("E41", "POST /p/streams", create("s", 1), "201"),
		update("E41-R1 E41-R2", `{"update_type":"DATA_TYPE","stream_name":"s","data_type":"JSON"}`, `200 {"stream_name":"s","target_data_type":"JSON"}`),
		update("E41-R1 E41-R2", `{"auto_scale_min_partition_count":2,"auto_scale_max_partition_count":3,"data_type":"CSV"}`, `200 {"target_data_type":"CSV"}`),
		get("E41-R1", `{"data_type":"CSV","auto_scale_min_partition_count":2,"auto_scale_max_partition_count":3}`),
		update("E41-R3", `{"update_type":"AUTO_SCALE","auto_scale_enabled":true,"data_type":"nonsense"}`, `200 {"target_data_type":"CSV"}`),
		get("E41-R3", `{"data_type":"CSV","auto_scale_enabled":true}`),
		update("E41-R3", `{"update_type":"DATA_TYPE","data_type":"JSON","data_schema":"`+avro+`","auto_scale_enabled":false}`, `200 {"target_data_type":"JSON"}`),
		get("E41-R3", `{"data_schema":"`+avro+`","auto_scale_enabled":true}`),
		update("E41-R3 none left", `{"update_type":"DATA_TYPE","auto_scale_enabled":false}`, "400 DIS.4202 Empty request."),
		update("E41-R3 none left", `{"update_type":"AUTO_SCALE","data_type":"BLOB"}`, "400 DIS.4202 Empty request."),
		update("E41-R3", `{"update_type":"NAME","data_type":"BLOB"}`, "400 DIS.4200 Invalid request. [update_type: …"),
		update("E41 data_duration", `{"data_duration":30}`, `200 {"target_data_type":"JSON"}`),
		get("E41 data_duration", `{"retention_period":30}`),
		update("E41 stream_name", `{"stream_name":"t","data_duration":30}`, "400 DIS.4200 Invalid request. [stream_name: …"),
		update("E41-R1", `{"data_schema":"x"}`, "400 DIS.4360 Invalid data schema."),
		update("E41-R1", `{"data_type":"x"}`, "400 DIS.4200 Invalid request. [data_type: …"),
		update("E41-R1", `{"data_type":"BLOB"}`, `200 {"target_data_type":"BLOB"}`),
		get("E41-R1", `{"data_schema":"@absent"}`),
		ask("E41", "PUT /p/streams/none/update/", `{"data_duration":30}`, "400 DIS.4301 Stream does not exist. [none][proj]"),
		freeze("s", true),
		update("E41-R1 L-2", `{"data_duration":40}`, "400 DIS.4205 Stream is not running."),
	)
}

// Frozen streams refuse what L-2 lists and answer everything else.
func TestRulesFrozen(t *testing.T) {
	w := newWorld(t)
	w.converse(
		ask("L-1", "POST /p/streams", create("s", 1), "201"),
		ask("L-1", "POST /p/records", `{"stream_name":"s","records":[{"data":"AA=="}]}`, `200 {"failed_record_count":0}`),
		ask("L-1", "POST /p/apps", `{"app_name":"a"}`, "201"),
		ask("L-1", "GET /p/cursors?stream-name=s&partition-id=0", "", `200 {"partition_cursor":"@c"}`),
		freeze("s", true),
		ask("L-1 L-3 E6-N3", "GET /p/streams/s", "", `200 {"status":"FROZEN","last_modified_time":1795424828504}`),
		ask("L-3", "GET /p/streams", "", `200 {"stream_info_list":[{"status":"FROZEN"}]}`),
		ask("L-2 E19-R9", "POST /p/records", `{"stream_name":"s","records":[{"data":"AA=="}]}`, "400 DIS.4205 Stream is not running."),
		ask("L-2 E19-R9", "POST /p/records", `{"stream_name":"s","records":[]}`, "400 DIS.4205 Stream is not running."),
		ask("C-35 form before state", "POST /p/records", `{"stream_name":"s","records":[{}]}`, "400 DIS.4200 Invalid request. [records[0].data: …"),
		ask("L-2", "GET /p/records?partition-cursor=@c", "", "400 DIS.4205 Stream is not running."),
		ask("L-2 E21-R8", "GET /p/cursors?stream-name=s&partition-id=0", "", "400 DIS.4205 Stream is not running."),
		ask("L-2", "POST /p/checkpoints", `{"app_name":"a","stream_name":"s","partition_id":"0","sequence_number":"1"}`, "201"),
		ask("L-2", "GET /p/checkpoints?app_name=a&stream_name=s&partition_id=0", "", `200 {"sequence_number":"1"}`),
		ask("L-2", "GET /p/apps/a/streams/s", "", `200 {"has_more":false}`),
		ask("L-2", "DELETE /p/checkpoints?app_name=a&stream_name=s", "", "204"),
		restart(),
		ask("L-3 L-27", "GET /p/streams/s", "", `200 {"status":"FROZEN"}`),
		pass(25*time.Hour),
		freeze("s", false),
		ask("L-1 L-3 retention goes on", "GET /p/streams/s", "", `200 {"status":"RUNNING","partitions":[{"sequence_number_range":"[1 : 1]"}]}`),
		ask("L-1", "POST /p/records", `{"stream_name":"s","records":[{"data":"AA=="}]}`, `200 {"records":[{"sequence_number":"1"}]}`),
		freeze("s", true),
		ask("L-2 E5", "DELETE /p/streams/s", "", "204"),
	)
}
