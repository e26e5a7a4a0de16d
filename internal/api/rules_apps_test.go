package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestRulesApps(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("a", 200)
	app := func(rule, body, want string) step { return ask(rule, "POST /p/apps", body, want) }
	w.converse(
		ask("E12-R4 C-59", "GET /p/apps", "", `200 {"total_number":0,"apps":[],"has_more_app":false}`),
		ask("E11", "POST /p/streams", create("s", 2), "201"),
		ask("E11", "POST /p/streams", create("t", 1), "201"),
		app("E11-R4 E11-R3", `{"app_name":"b"}`, "201"),
		ask("E11-R3 E14 C-37", "GET /p/apps/b", "", `200 {"app_name":"b","app_id":"@b","create_time":1795424828504,"commit_checkpoint_stream_names":[]}`),
		app("E11-R1", `{"app_name":"b"}`, "400 DIS.4330 app already exist."),
		app("E11-R1 C-61", `{"app_name":"B"}`, "201"),
		ask("E11-R1", "POST /v2/other/apps", `{"app_name":"b"}`, "201"),
		app("C-31", `{"app_name":"a","AppName":"z","stream_name":"none","x":[{}]}`, "201"),
		app("C-32", `{"app_name":7}`, "201"),
		app("E11", `{"app_name":"`+long+`"}`, "201"),
		app("E11", `{"app_name":"`+long+`a"}`, "400 DIS.4200 Invalid request. [app_name: …"),
		app("E11", `{"app_name":"a b"}`, "400 DIS.4200 Invalid request. [app_name: …"),
		app("E11", `{"app_name":"应用"}`, "400 DIS.4200 Invalid request. [app_name: …"),
		app("C-31", `{"app_name":""}`, "400 DIS.4200 Invalid request. [app_name: …"),
		app("C-31", `{"app_name":null}`, "400 DIS.4200 Invalid request. [app_name: …"),
		app("C-34", `{"x":1}`, "400 DIS.4200 Invalid request. [app_name: …"),
		app("C-34", `{"app_name":["a"]}`, "400 DIS.4300 Request error."),

		ask("E12-R1 E12-R3", "GET /p/apps?limit=2", "", `200 {"total_number":5,"has_more_app":true,"apps":[{"app_name":"7"},{"app_name":"B"}]}`),
		ask("E12-R1", "GET /p/apps?limit=2&start_app_name=B", "", `200 {"total_number":5,"has_more_app":true,"apps":[{"app_name":"a"},{"app_name":"`+long+`"}]}`),
		ask("E12-R1", "GET /p/apps?limit=2&start_app_name="+long, "", `200 {"total_number":5,"has_more_app":false,"apps":[{"app_name":"b","app_id":"@b","create_time":1795424828504,"commit_checkpoint_stream_names":[]}]}`),
		ask("E12-R1", "GET /p/apps?start_app_name=z", "", `200 {"total_number":5,"has_more_app":false,"apps":[]}`),
		ask("E12-R4", "GET /p/apps?limit=0&start_app_name=", "", `200 {"has_more_app":false,"apps":[{},{},{},{},{}]}`),
		ask("E12 Q-19", "GET /p/apps?limit=100", "", `200 {"total_number":5}`),
		ask("E12 Q-19", "GET /p/apps?limit=101", "", "400 DIS.4200 Invalid request. [limit: …"),
		ask("E12 Q-19", "GET /p/apps?limit=-1", "", "400 DIS.4200 Invalid request. [limit: …"),
		ask("E12-R2", "GET /p/apps?stream_name=s", "", `200 {"total_number":0,"apps":[],"has_more_app":false}`),
		ask("E12-R2", "POST /p/checkpoints", `{"app_name":"b","stream_name":"s","partition_id":"0","sequence_number":"0"}`, "201"),
		ask("E12-R2", "POST /p/checkpoints", `{"app_name":"a","stream_name":"s","partition_id":"0","sequence_number":"0"}`, "201"),
		ask("L-24", "POST /p/checkpoints", `{"app_name":"b","stream_name":"t","partition_id":"0","sequence_number":"0"}`, "201"),
		ask("E12-R2 E12-R3 L-23", "GET /p/apps?stream_name=s&limit=1", "", `200 {"total_number":2,"has_more_app":true,"apps":[{"app_name":"a","commit_checkpoint_stream_names":["s"]}]}`),
		ask("E12-R2", "GET /p/apps?stream_name=none", "", "400 DIS.4301 Stream does not exist. [none][proj]"),
		ask("E14 L-24", "GET /p/apps/b", "", `200 {"app_id":"@b","commit_checkpoint_stream_names":["s","t"]}`),
		ask("E14 C-55 E12-N3", "GET /p/apps/none", "", "400 DIS.4332 app not found."),

		ask("E13-R2", "DELETE /p/apps/b", "", "400 DIS.4331 app is using."),
		ask("E13-R2", "DELETE /p/checkpoints?app_name=b&stream_name=t", "", "204"),
		ask("E13-R2", "DELETE /p/apps/b", "", "400 DIS.4331 app is using."),
		ask("E13-R2 its streams are gone", "DELETE /p/streams/s", "", "204"),
		ask("E13-R2", "DELETE /p/apps/b?x=1", "", "204"),
		ask("E13-R1", "DELETE /p/apps/b", "", "400 DIS.4332 app not found."),
		ask("E13-R3", "POST /p/apps", `{"app_name":"b"}`, "201"),
		ask("E13-R3", "GET /p/apps/b", "", `200 {"app_id":"@b2","commit_checkpoint_stream_names":[]}`),
		ask("E13-R3", "GET /p/checkpoints?app_name=b&stream_name=t&partition_id=0", "", `200 {"sequence_number":"-1"}`),
	)
	for _, name := range []string{"zz", "m", "A", "x1", "x0", "n"} {
		w.want(201, "POST", "/p/streams", create(name, 1))
		w.want(201, "POST", "/p/checkpoints", `{"app_name":"B","stream_name":"`+name+`","partition_id":"0","sequence_number":"0"}`)
	}
	w.converse(ask("E14 ascending", "GET /p/apps/B", "", `200 {"commit_checkpoint_stream_names":["A","m","n","x0","x1","zz"]}`))
	if !assignedID.MatchString(w.value("@b")) || w.value("@b") == w.value("@b2") {
		t.Error("E13-R3 C-37: the new app has the old one's id")
	}
	for i := range 11 {
		w.want(201, "POST", "/v2/many/apps", fmt.Sprintf(`{"app_name":"a%02d"}`, i))
	}
	w.converse(ask("E12 default", "GET /v2/many/apps", "", `200 {"total_number":11,"has_more_app":true,"apps":[{},{},{},{},{},{},{},{},{},{"app_name":"a09"}]}`))
}

func TestRulesConsumerState(t *testing.T) {
	w := newWorld(t)
	state := func(rule, query, want string) step { return ask(rule, "GET /p/apps/a/streams/s"+query, "", want) }
	w.converse(
		ask("E15", "POST /p/streams", create("s", 3), "201"),
		ask("E15", "GET /p/streams/s", "", `200 {"stream_id":"@s"}`),
		state("E15 C-35 stream before app", "", "400 DIS.4332 app not found."),
		ask("C-35 stream before app", "GET /p/apps/none/streams/none", "", "400 DIS.4301 Stream does not exist. [none][proj]"),
		ask("E15", "POST /p/apps", `{"app_name":"a"}`, "201"),
		state("E15-R5 E15-R3 C-59", "", `200 {"has_more":false,"stream_name":"s","app_name":"a","partition_consuming_states":[
			{"partition_id":"shardId-0000000000","sequence_number":"-1","latest_offset":0,"earliest_offset":0,"checkpoint_type":"LAST_READ","status":"ACTIVE","metadata":"@absent"},
			{"partition_id":"shardId-0000000001"},{"partition_id":"shardId-0000000002"}]}`),
		ask("E15-R4", "POST /p/records", `{"stream_name":"s","records":[{"data":"","partition_id":"1"},{"data":"","partition_id":"1"}]}`, `200 {"failed_record_count":0}`),
		pass(25*time.Hour),
		ask("E15-R4", "POST /p/records", `{"stream_name":"s","records":[{"data":"","partition_id":"1"}]}`, `200 {"failed_record_count":0}`),
		ask("E15-R3", "POST /p/checkpoints", `{"app_name":"a","stream_name":"s","partition_id":"1","sequence_number":"2","metadata":"m"}`, "201"),
		state("E15-R3 E15-R4 E15-R1", "?start_partition_id=shardId-0000000000&limit=1", `200 {"has_more":true,"partition_consuming_states":[
			{"partition_id":"shardId-0000000001","sequence_number":"2","latest_offset":3,"earliest_offset":2,"metadata":"m"}]}`),
		state("E15-R2", "?start_partition_id=1&limit=1", `200 {"has_more":false,"partition_consuming_states":[{"partition_id":"shardId-0000000002"}]}`),
		state("E15-R6", "?start_partition_id=0", `200 {"partition_consuming_states":[{"partition_id":"shardId-0000000000"},{},{}]}`),
		state("E15-R6", "?start_partition_id=shardId-0", `200 {"partition_consuming_states":[{"partition_id":"shardId-0000000001"},{}]}`),
		state("E15-R6", "?start_partition_id=00", `200 {"partition_consuming_states":[{"partition_id":"shardId-0000000001"},{}]}`),
		state("E15-R1", "?start_partition_id=2", `200 {"has_more":false,"partition_consuming_states":[]}`),
		state("E15", "?start_partition_id=x", "400 DIS.4201 Invalid partition_id. [x]"),
		state("E15-R5", "?checkpoint_type=&limit=0&start_partition_id=", `200 {"has_more":false}`),
		state("E15-R5", "?checkpoint_type=LAST_READ&limit=1000", `200 {"has_more":false}`),
		state("E15-R5", "?checkpoint_type=last_read", "400 DIS.4200 Invalid request. [checkpoint_type: …"),
		state("E15 Q-19", "?limit=1001", "400 DIS.4200 Invalid request. [limit: …"),
		ask("E15 Q-19", "POST /p/streams", create("wide", 102), "201"),
		ask("Q-19 E15's default", "GET /p/apps/a/streams/wide?start_partition_id=1", "", `200 {"has_more":false}`),
		ask("Q-19 E15's default", "GET /p/apps/a/streams/wide?start_partition_id=shardId-0000000000", "", `200 {"has_more":true}`),
		ask("E15", "GET /p/apps/a/streams/@s", "", `200 {"stream_name":"s"}`),
		ask("E15", "GET /p/apps/a/streams/none?stream_id=@s", "", `200 {"stream_name":"s"}`),
		ask("E15", "GET /p/apps/none/streams/s", "", "400 DIS.4332 app not found."),
	)
}

func TestRulesCheckpoints(t *testing.T) {
	w := newWorld(t)
	commit := func(rule, members, want string) step { return ask(rule, "POST /p/checkpoints", "{"+members+"}", want) }
	show := func(rule, query, want string) step { return ask(rule, "GET /p/checkpoints?"+query, "", want) }
	remove := func(rule, query, want string) step { return ask(rule, "DELETE /p/checkpoints?"+query, "", want) }
	const at0, at1 = `"app_name":"a","stream_name":"s","partition_id":"0"`, `"app_name":"a","stream_name":"s","partition_id":"1"`
	m1000, m1001 := strings.Repeat("注", 1000), strings.Repeat("注", 1001)
	w.converse(
		ask("E16", "POST /p/streams", create("s", 2), "201"),
		ask("E16", "GET /p/streams/s", "", `200 {"stream_id":"@s"}`),
		show("E17-R1 no app", "stream_name=s&partition_id=0&app_name=a", `200 {"sequence_number":"-1","metadata":""}`),
		ask("E16", "POST /p/apps", `{"app_name":"a"}`, "201"),
		show("E17-R1", "stream_name=s&partition_id=0&app_name=a&checkpoint_type=LAST_READ", `200 {"sequence_number":"-1","metadata":""}`),
		commit("E16-R2 empty partition", at0+`,"sequence_number":"0"`, "201"),
		commit("E16-R2", at0+`,"sequence_number":"1"`, "400 DIS.4224 Sequence_number out of range. [1][ should be within ][0][ ][0]"),
		ask("E16", "POST /p/records", `{"stream_name":"s","records":[{"data":"","partition_id":"0"},{"data":"","partition_id":"0"},{"data":"","partition_id":"1"}]}`, `200 {"failed_record_count":0}`),
		commit("E16-R1 E16-R2 next", at0+`,"sequence_number":"2","metadata":"`+m1000+`","checkpoint_type":"LAST_READ"`, "201"),
		show("E16-R1 E16-R5 Q-14 C-38", "stream_name=s&partition_id=shardId-0000000000&app_name=a", `200 {"sequence_number":"2","metadata":"`+m1000+`"}`),
		commit("E16-R1 smaller, E16-R5 cleared, C-40", `"app_name":"a","stream_name":"s","partition_id":"shardId-0000000000","sequence_number":"1"`, "201"),
		show("E16-R5 C-40", "stream_name=s&partition_id=0&app_name=a", `200 {"sequence_number":"1","metadata":""}`),
		commit("E16-R5 Q-14", at0+`,"sequence_number":"1","metadata":"`+m1001+`"`, "400 DIS.4200 Invalid request. [metadata: …"),
		commit("C-32 C-41", `"app_name":"a","stream_name":"s","partition_id":0,"sequence_number":2,"metadata":7`, "201"),
		show("C-32", "stream_name=s&partition_id=0&app_name=a", `200 {"sequence_number":"2","metadata":"7"}`),
		commit("C-31", at0+`,"sequence_number":"1","metadata":null,"checkpoint_type":"","stream_id":null,"client_id":"","generation_id":null,"x":{}`, "201"),
		commit("E16 by id", `"app_name":"a","stream_name":"","stream_id":"@s","partition_id":"1","sequence_number":"1"`, "201"),
		commit("E16 by id", `"app_name":"a","stream_name":"none","stream_id":"@s","partition_id":"1","sequence_number":"0"`, "201"),

		commit("E16 app_name", `"stream_name":"s","partition_id":"0","sequence_number":"0"`, "400 DIS.4200 Invalid request. [app_name: …"),
		commit("E16 stream_name", `"app_name":"a","partition_id":"0","sequence_number":"0"`, "400 DIS.4200 Invalid request. [stream_name: …"),
		commit("E16 checkpoint_type", at0+`,"sequence_number":"0","checkpoint_type":"LAST"`, "400 DIS.4200 Invalid request. [checkpoint_type: …"),
		commit("C-41", `"app_name":"a","stream_name":"s","sequence_number":"0"`, "400 DIS.4201 Invalid partition_id. []"),
		commit("E16-R4 C-41", `"app_name":"a","stream_name":"s","partition_id":"shard-0","sequence_number":"0"`, "400 DIS.4201 Invalid partition_id. [shard-0]"),
		commit("E16-R4 C-41", `"app_name":"a","stream_name":"s","partition_id":-1,"sequence_number":"0"`, "400 DIS.4201 Invalid partition_id. [-1]"),
		commit("E16-R4", `"app_name":"a","stream_name":"s","partition_id":"2","sequence_number":"0"`, "400 DIS.4302 Partition does not exist. [shardId-0000000002]"),
		commit("E16-R3", at0, "400 DIS.4216 Invalid sequence_number. []"),
		commit("E16-R3", at0+`,"sequence_number":"-1"`, "400 DIS.4216 Invalid sequence_number. [-1]"),
		commit("E16-R3", at0+`,"sequence_number":"+1"`, "400 DIS.4216 Invalid sequence_number. [+1]"),
		commit("E16-R3", at0+`,"sequence_number":"0x1"`, "400 DIS.4216 Invalid sequence_number. [0x1]"),
		commit("E16-R3", at0+`,"sequence_number":1.0`, "400 DIS.4216 Invalid sequence_number. [1.0]"),
		commit("E16-R3", at0+`,"sequence_number":"9223372036854775808"`, "400 DIS.4216 Invalid sequence_number. [9223372036854775808]"),
		commit("E16-R3", at0+`,"sequence_number":"9223372036854775807"`, "400 DIS.4224 Sequence_number out of range. [9223372036854775807][ should be within ][0][ ][2]"),
		commit("C-34", at0+`,"sequence_number":[1]`, "400 DIS.4300 Request error."),
		commit("E16-R4", `"app_name":"none","stream_name":"s","partition_id":"0","sequence_number":"0"`, "400 DIS.4332 app not found."),
		commit("E16-R4", `"app_name":"a","stream_name":"none","partition_id":"0","sequence_number":"0"`, "400 DIS.4301 Stream does not exist. [none][proj]"),
		commit("C-35 stream, app, partition", `"app_name":"none","stream_name":"none","partition_id":"9","sequence_number":"0"`, "400 DIS.4301 Stream does not exist. [none][proj]"),
		commit("C-35 stream, app, partition", `"app_name":"none","stream_name":"s","partition_id":"9","sequence_number":"0"`, "400 DIS.4332 app not found."),
		commit("E16-R7", at0+`,"sequence_number":"1","client_id":"c","generation_id":1`, "400 DIS.4702 The consumer is not a member of the group. [c]"),

		show("E17 by id", "stream_id=@s&partition_id=1&app_name=a", `200 {"sequence_number":"0"}`),
		show("E17 stream_name", "partition_id=0&app_name=a", "400 DIS.4200 Invalid request. [stream_name: …"),
		show("E17 app_name", "stream_name=s&partition_id=0", "400 DIS.4200 Invalid request. [app_name: …"),
		show("E17 partition_id", "stream_name=s&app_name=a", "400 DIS.4201 Invalid partition_id. []"),
		show("E17 partition_id", "stream_name=s&app_name=a&partition_id=1-", "400 DIS.4201 Invalid partition_id. [1-]"),
		show("E17 partition_id C-41", "stream_name=s&app_name=a&partition_id=2147483648", "400 DIS.4201 Invalid partition_id. [2147483648]"),
		show("E17 partition_id C-41", "stream_name=s&app_name=a&partition_id=shardId-2147483647", "400 DIS.4302 Partition does not exist. [shardId-2147483647]"),
		show("E17 checkpoint_type", "stream_name=s&app_name=a&partition_id=0&checkpoint_type=x", "400 DIS.4200 Invalid request. [checkpoint_type: …"),
		show("E17", "stream_name=none&app_name=a&partition_id=0", "400 DIS.4301 Stream does not exist. [none][proj]"),
		show("L-26 E17-R1", "stream_id=@s&app_name=none&partition_id=0", `200 {"sequence_number":"-1"}`),
		ask("L-23", "POST /p/apps", `{"app_name":"z"}`, "201"),
		commit("L-23", `"app_name":"z","stream_name":"s","partition_id":"0","sequence_number":"2"`, "201"),
		ask("L-23", "GET /p/cursors?stream-name=s&partition-id=0", "", `200 {"partition_cursor":"@all"}`),
		ask("L-23 reading moves nothing", "GET /p/records?partition-cursor=@all&app_name=a", "", `200 {"records":[{},{}]}`),
		show("L-23 each its own", "stream_name=s&partition_id=0&app_name=a", `200 {"sequence_number":"1"}`),
		show("L-23 each its own", "stream_name=s&partition_id=0&app_name=z", `200 {"sequence_number":"2"}`),
		ask("L-23", "DELETE /p/checkpoints?app_name=z&stream_name=s", "", "204"),
		restart(),
		show("E16-R6 L-27", "stream_name=s&partition_id=0&app_name=a", `200 {"sequence_number":"1","metadata":""}`),
		pass(25*time.Hour),
		show("E17-R2 L-25", "stream_name=s&partition_id=0&app_name=a&timestamp=0", `200 {"sequence_number":"1"}`),
		commit("E16-R2", at0+`,"sequence_number":"1"`, "400 DIS.4224 Sequence_number out of range. [1][ should be within ][2][ ][2]"),
		ask("E17-R2", "GET /p/cursors?stream-name=s&partition-id=0&starting-sequence-number=1", "", "400 DIS.4224 Sequence_number out of range. [1][ should be within ][2][ ][2]"),

		remove("E18-R1 one", "stream_name=s&app_name=a&partition_id=shardId-0000000001", "204"),
		show("E18-R1 E18-R2", "stream_name=s&partition_id=1&app_name=a", `200 {"sequence_number":"-1","metadata":""}`),
		show("E18-R1 the others stay", "stream_name=s&partition_id=0&app_name=a", `200 {"sequence_number":"1"}`),
		remove("E18-R3", "stream_name=s&app_name=a&partition_id=1", "400 DIS.4375 The app does not commit checkpoint"),
		ask("E18-R2", "GET /p/apps/a", "", `200 {"commit_checkpoint_stream_names":["s"]}`),
		commit("E18-R1 all", at1+`,"sequence_number":"1"`, "201"),
		remove("E18-R1 all", "stream_id=@s&app_name=a&checkpoint_type=LAST_READ&partition_id=", "204"),
		ask("E18-R2", "GET /p/apps/a/streams/s", "", `200 {"partition_consuming_states":[{"sequence_number":"-1"},{"sequence_number":"-1"}]}`),
		ask("E18-R2", "GET /p/apps/a", "", `200 {"commit_checkpoint_stream_names":[]}`),
		remove("E18-R3", "stream_name=s&app_name=a", "400 DIS.4375 The app does not commit checkpoint"),
		remove("E18", "stream_name=s&app_name=none", "400 DIS.4332 app not found."),
		remove("E18", "stream_name=none&app_name=a", "400 DIS.4301 Stream does not exist. [none][proj]"),
		remove("E18", "stream_name=s&app_name=a&partition_id=2", "400 DIS.4302 Partition does not exist. [shardId-0000000002]"),
		remove("E18", "stream_name=s&app_name=a&partition_id=x", "400 DIS.4201 Invalid partition_id. [x]"),
		remove("E18", "app_name=a", "400 DIS.4200 Invalid request. [stream_name: …"),
		remove("E18", "stream_name=s", "400 DIS.4200 Invalid request. [app_name: …"),
		remove("E18", "stream_name=s&app_name=a&checkpoint_type=x", "400 DIS.4200 Invalid request. [checkpoint_type: …"),
		ask("E18-N1", "POST /p/apps", `{"app_name":"`+strings.Repeat("l", 200)+`"}`, "201"),
		commit("E18-N1", `"app_name":"`+strings.Repeat("l", 200)+`","stream_name":"s","partition_id":"0","sequence_number":"2"`, "201"),
		remove("E18-N1", "stream_name=s&app_name="+strings.Repeat("l", 200), "204"),
	)
}
