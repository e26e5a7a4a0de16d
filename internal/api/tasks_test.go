package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"disd/internal/partition"
	"disd/internal/quota"
	"disd/internal/transfer/destinations"
	"disd/internal/transfer/filestore"
	"disd/internal/transfer/kind"
)

// An outside is the world that tasks deliver to: buckets in a directory, and
// destinations of all other types, which have everything and take anything,
// until err is set.
type outside struct {
	kind.Plain
	dir     string
	err     error
	agency  error
	checked []kind.Target
}

func (o *outside) Check(_ context.Context, t kind.Target) error {
	o.checked = append(o.checked, t)
	return o.err
}
func (o *outside) Open(context.Context, kind.Target) (kind.Sink, error) { return o, nil }
func (o *outside) Deliver(context.Context, kind.Batch) (kind.Receipt, error) {
	return kind.Receipt{}, nil
}

// kinds are all kinds of destinations, those of other types than OBS outside.
func kinds(t *testing.T, out *outside) kind.Set {
	t.Helper()
	all, err := destinations.All(destinations.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range all[1:] {
		all[i+1].Opener = out
	}
	return all
}

// openOutside makes it what the tasks of a server deliver to.
func openOutside(t *testing.T, s *setup) *outside {
	t.Helper()
	out := &outside{dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(out.dir, "obsbucket"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.Transfer.OBS.Directory = out.dir
	s.Kinds = kinds(t, out)
	buckets := filestore.Open(filestore.Options{Dir: out.dir})
	s.Agency = func(string, string) (kind.Store, error) { return buckets, out.agency }
	return out
}

// Bodies of the reference's examples, with the changes that E28-N1 and E30-N1
// ask for.
var descriptors = map[string]string{
	"OBS": `{"task_name":"newtask","agency_name":"dis_admin_agency","deliver_time_interval":30,"consumer_strategy":"LATEST",
		"file_prefix":"","partition_format":"yyyy/MM/dd/HH/mm","obs_bucket_path":"obsbucket","destination_file_type":"text","record_delimiter":"|"}`,
	"DWS": `{"task_name":"dwstask","agency_name":"dis_admin_agency","deliver_time_interval":60,"consumer_strategy":"LATEST",
		"dws_cluster_name":"dwscluster","dws_cluster_id":"f82dc227","dws_database_name":"postgres","dws_schema":"dbadmin",
		"dws_table_name":"t","dws_delimiter":"|","user_name":"dbadmin","user_password":"example-password","kms_user_key_name":"kmskey",
		"kms_user_key_id":"1e759f06","obs_bucket_path":"obsbucket","file_prefix":"","retry_duration":"1800",
		"options":{"fill_missing_fields":"false","ignore_extra_data":"false","compatible_illegal_chars":"false"}}`,
	"MRS": `{"task_name":"mrstask","agency_name":"dis_admin_agency","deliver_time_interval":30,"consumer_strategy":"LATEST",
		"mrs_cluster_name":"mrscluster","mrs_cluster_id":"f8123fa6","mrs_hdfs_path":"/user","hdfs_prefix_folder":"",
		"obs_bucket_path":"obsbucket","file_prefix":"","destination_file_type":"text","retry_duration":"1800"}`,
	"DLI": `{"task_name":"dlitask","agency_name":"dis_admin_agency","deliver_time_interval":300,"consumer_strategy":"LATEST",
		"dli_database_name":"d","dli_table_name":"t","obs_bucket_path":"obsbucket","file_prefix":"","retry_duration":"300"}`,
	"CLOUDTABLE": `{"task_name":"hbasetask","agency_name":"dis_admin_agency","consumer_strategy":"TRIM_HORIZON","cloudtable_cluster_name":"c",
		"cloudtable_cluster_id":"b8c095e2","cloudtable_table_name":"t","cloudtable_row_key_delimiter":"|",
		"cloudtable_schema":{"row_key":[{"value":"datavalue","type":"String"}],"columns":[{"column_family_name":"cf","column_name":"ID","value":"datavalue","type":"String"}]},
		"obs_backup_bucket_path":"obsbucket","backup_file_prefix":"","retry_duration":"1800"}`,
	"OPENTSDB": `{"task_name":"tsdbtask","agency_name":"dis_admin_agency","consumer_strategy":"LATEST","cloudtable_cluster_name":"c","cloudtable_cluster_id":"b8c095e2",
		"opentsdb_schema":[{"metric":[{"type":"Constant","value":"age"}],"timestamp":{"type":"String","value":"date","format":"yyyy/MM/dd HH:mm:ss"},
		"value":{"type":"Bigint","value":"value"},"tags":[{"name":"name","type":"Bigint","value":"name"}]}],
		"obs_backup_bucket_path":"obsbucket","backup_file_prefix":"","retry_duration":"1800"}`,
}

// taskBody makes the body of a creation or an update from an example, with
// members set (JSON text) or, with "", taken out. A dot leads into objects and
// lists.
func taskBody(t testing.TB, kind string, edits ...string) string {
	t.Helper()
	var d map[string]any
	if err := json.Unmarshal([]byte(descriptors[kind]), &d); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(edits); i += 2 {
		setMember(t, d, edits[i], edits[i+1])
	}
	if kind == "OPENTSDB" {
		kind = "CLOUDTABLE"
	}
	text, err := json.Marshal(map[string]any{"destination_type": kind, strings.ToLower(kind) + "_destination_descriptor": d})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func setMember(t testing.TB, at map[string]any, path, text string) {
	t.Helper()
	name, rest, deeper := strings.Cut(path, ".")
	switch v := at[name].(type) {
	case map[string]any:
		if deeper {
			setMember(t, v, rest, text)
			return
		}
	case []any:
		if deeper {
			setMember(t, v[0].(map[string]any), rest, text)
			return
		}
	}
	if text == "" {
		delete(at, name)
		return
	}
	at[name] = json.RawMessage(text)
}

const taskSchema = `{"type":"record","name":"r","fields":[{"name":"datavalue","type":"string"},{"name":"date","type":"string"},
	{"name":"value","type":["null","long"]},{"name":"name","type":"string"},
	{"name":"o","type":{"type":"record","name":"inner","fields":[{"name":"p","type":"string"}]}}]}`

// newTaskBench has three streams: s of text, j of JSON with a schema, c of CSV.
func newTaskBench(t *testing.T) *bench {
	b := newBench(t, quotas(quota.Enforce, partition.Quotas{}))
	schema, _ := json.Marshal(taskSchema)
	b.want(201, "POST", "/p/streams", `{"stream_name":"s","partition_count":2}`)
	b.want(201, "POST", "/p/streams", `{"stream_name":"j","partition_count":1,"data_type":"JSON","data_schema":`+string(schema)+`}`)
	b.want(201, "POST", "/p/streams", `{"stream_name":"n","partition_count":1,"data_type":"JSON"}`)
	b.want(201, "POST", "/p/streams", `{"stream_name":"c","partition_count":1,"data_type":"CSV"}`)
	return b
}

// streamFor is a stream that suits a type of task.
func streamFor(kind string) string {
	if kind == "OBS" || kind == "MRS" {
		return "s"
	}
	return "j"
}

// wantCode sends a request that must fail with the code, and returns the message.
func (b *bench) wantCode(code, method, path, body string) string {
	b.Helper()
	a := b.do(method, path, body)
	if a.status != 400 || a.code(b) != code {
		b.Fatalf("%s %s %s: %d %s, want %s", method, path, body, a.status, a.body, code)
	}
	return a.member(b, "message").(string)
}

func TestEveryTypeOfTask(t *testing.T) {
	t.Attr("rules", "E25-R5")
	t.Attr("rules", "TC-R1 E25-R2") // and E22 to E25, E28 to E31
	for kind := range descriptors {
		t.Run(kind, func(t *testing.T) {
			b := newTaskBench(t)
			stream := streamFor(kind)
			a := b.want(201, "POST", "/p/streams/"+stream+"/transfer-tasks", taskBody(t, kind))
			if a.body != "" || a.header.Get("Content-Length") != "0" {
				t.Errorf("create: %+v", a)
			}
			var sent map[string]any
			json.Unmarshal([]byte(descriptors[kind]), &sent)
			if kind == "DWS" {
				sent["user_password"] = "******" // E25-R2
			}
			name := sent["task_name"].(string)
			var shown map[string]any
			json.Unmarshal([]byte(b.want(200, "GET", "/p/streams/"+stream+"/transfer-tasks/"+name, "").body), &shown)
			if shown["state"] != "RUNNING" || shown["task_name"] != name || len(shown["task_id"].(string)) != 19 {
				t.Errorf("show: %v", shown)
			}
			if _, ok := shown["last_transfer_timestamp"]; ok {
				t.Error("a time of delivery before the first")
			}
			spellings := map[string][]string{
				"OBS": {"obs_destination_description"}, "MRS": {"mrs_destination_description"}, "DLI": {"dli_destination_description"},
				"DWS":        {"dws_destination_description", "dws_destination_descripton"},
				"CLOUDTABLE": {"cloudtable_destination_description", "cloudtable_destination_descripton", "cloud_table_destination_description"},
			}[shown["destination_type"].(string)]
			for member, v := range shown {
				if !strings.Contains(member, "descript") {
					continue
				}
				if !slices.Contains(spellings, member) {
					t.Errorf("E25-R1: %s is shown too", member)
				}
				if got, want := canonical(v), canonical(sent); got != want {
					t.Errorf("E25-R1: %s\n%s want\n%s", member, got, want)
				}
			}
			for _, member := range spellings {
				if shown[member] == nil {
					t.Errorf("E25-R5: no %s", member)
				}
			}
		})
	}
}

func canonical(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

func TestTaskPartitions(t *testing.T) {
	t.Attr("rules", "E25-R6")
	b := newTaskBench(t)
	b.want(200, "POST", "/p/records", `{"stream_name":"s","records":[{"data":"MQ==","partition_id":"0"}]}`)
	b.want(201, "POST", "/p/streams/s/transfer-tasks", taskBody(t, "OBS"))
	a := b.want(200, "GET", "/p/streams/s/transfer-tasks/newtask", "")
	var shown struct {
		StreamID   string `json:"stream_id"`
		StreamName string `json:"stream_name"`
		Partitions []json.RawMessage
	}
	if err := json.Unmarshal([]byte(a.body), &shown); err != nil || shown.StreamName != "s" || len(shown.StreamID) != 19 || len(shown.Partitions) != 2 {
		t.Fatalf("%v: %s", err, a.body)
	}
	want := `{"partitionId":"shardId-0000000000","state":"RUNNING","discard":0,"last_transfer_offset":-1,"status":"ACTIVE",` +
		`"partition_id":"shardId-0000000000","hash_range":"[0 : 4611686018427387902]","sequence_number_range":"[0 : 1]"}`
	if got := string(shown.Partitions[0]); got != want {
		t.Errorf("\n%s want\n%s", got, want)
	}
}

func TestTaskFieldChecks(t *testing.T) { // 4.8 and the field tables
	t.Attr("rules", "CT-4 CT-8")
	b := newTaskBench(t)
	long := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	list := func(n int, item string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
	}
	const key = `{"value":"datavalue","type":"String"}`
	const column = `{"column_family_name":"f","column_name":"c","value":"datavalue","type":"Double"}`
	n := 0
	columns := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = strings.Replace(column, `"column_name":"c"`, `"column_name":"c`+strconv.Itoa(i)+`"`, 1)
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	for _, tt := range []struct {
		kind, member string
		good, bad    []string // values as JSON; "" takes the member out
		code         string   // of bad ones
	}{
		{"OBS", "task_name", []string{long(64), `"a-b_C9"`, `5`}, []string{"", `""`, long(65), `"a.b"`, `"dлитask"`, `"a b"`}, "DIS.4200"},
		{"OBS", "agency_name", []string{long(64), `"a b.c"`}, []string{"", `""`, "null", long(65)}, "DIS.4200"},
		{"OBS", "deliver_time_interval", []string{"30", "900", `"300"`, "null", `""`, ""}, []string{"29", "901", `"x"`, "30.5", "-1", "0"}, "DIS.4200"},
		{"OBS", "deliver_time_interval", nil, []string{"{}", "[]", "true"}, "DIS.4300"},
		{"OBS", "consumer_strategy", []string{`"TRIM_HORIZON"`, `"LATEST"`, `""`, ""}, []string{`"latest"`, `"AT_TIMESTAMP"`}, "DIS.4200"},
		{"OBS", "file_prefix", []string{long(50), `"a/b_1"`, ""}, []string{long(51), `"/a"`, `"a b"`, `"a.b"`}, "DIS.4200"},
		{"OBS", "partition_format", []string{`"yyyy"`, `"yyyy/MM"`, `"yyyy/MM/dd"`, `"yyyy/MM/dd/HH"`, `"N/A"`, `""`, "null"}, []string{`"MM"`, `"yyyy/dd"`}, "DIS.4200"},
		{"OBS", "obs_bucket_path", nil, []string{"", `""`, `"obsbucket/x"`}, "DIS.4200"},
		{"OBS", "destination_file_type", []string{`"text"`, `""`}, []string{`"csv"`, `"carbon"`, `"parquet"`}, "DIS.4200"}, // E22-R1
		{"OBS", "record_delimiter", []string{`","`, `";"`, `"|"`, `"\n"`, `"\\n"`, ""}, []string{`"NULL"`, `"\t"`, `"||"`}, "DIS.4200"},
		{"OBS", "processing_schema", []string{"{}", "null", `{"timestamp_name":"","timestamp_type":""}`}, []string{`{"timestamp_name":"date","timestamp_type":"Timestamp"}`}, "DIS.4200"}, // TC-R8, OBS-3
		{"MRS", "hdfs_prefix_folder", []string{long(50), `"a/b"`}, []string{long(51)}, "DIS.4200"},
		{"MRS", "destination_file_type", []string{""}, []string{`"parquet"`, `"carbon"`}, "DIS.4200"},
		{"MRS", "mrs_hdfs_path", nil, []string{"", `""`}, "DIS.4200"},
		{"MRS", "mrs_hdfs_path", nil, []string{`"data"`, `"/a/../b"`, `"/a:b"`}, "DIS.4336"},                                     // HDFS-5
		{"MRS", "hdfs_prefix_folder", nil, []string{`"../b"`, `"a:b"`}, "DIS.4200"},                                              // HDFS-5
		{"MRS", "retry_duration", []string{`"0"`, "0", "7200", `""`, ""}, []string{`"7201"`, `"-1"`, `"x"`, "7201"}, "DIS.4200"},
		{"DLI", "dli_table_name", nil, []string{"", "null"}, "DIS.4200"},
		{"DWS", "dws_delimiter", []string{`","`, `";"`}, []string{"", `""`, `"\t"`}, "DIS.4200"}, // E28-N1
		{"DWS", "user_password", nil, []string{"", `""`}, "DIS.4200"},
		{"DWS", "options", []string{"{}", "null", `{"fill_missing_fields":""}`}, nil, ""},
		{"DWS", "options.fill_missing_fields", []string{"true", `"true/on"`, `"OFF"`, `"on"`, `"false/off"`}, []string{`"yes"`, "1"}, "DIS.4200"}, // 4.4-N1
		{"DWS", "options.reject_limit", []string{`"0"`, `5`, `"unlimited"`}, []string{`"-1"`, `"x"`}, "DIS.4200"},
		{"DWS", "dws_table_columns", []string{`"date,name"`, `""`}, []string{`"date,other"`}, "DIS.4200"}, // DWS-3
		{"CLOUDTABLE", "cloudtable_schema.row_key", []string{list(64, key)}, []string{"[]", "", list(65, key)}, "DIS.4345"},
		{"CLOUDTABLE", "cloudtable_schema.columns", []string{columns(4096)}, []string{"[]", columns(4097), list(2, column)}, "DIS.4345"}, // HBASE-3,
		{"CLOUDTABLE", "cloudtable_schema.row_key.type", []string{`"Bigint"`, `"Decimal"`}, []string{`"Text"`, `""`}, "DIS.4345"},
		{"CLOUDTABLE", "cloudtable_schema.row_key.value", []string{`"o.p"`}, []string{`"unknown"`, `"o.q"`}, "DIS.4345"}, // CT-4, CT-8
		{"CLOUDTABLE", "cloudtable_schema.columns.column_name", []string{long(32)}, []string{long(33), `"a-b"`}, "DIS.4345"},
		{"CLOUDTABLE", "cloudtable_schema", nil, []string{"", "null", "{}"}, "DIS.4345"},
		{"CLOUDTABLE", "cloudtable_table_name", nil, []string{"", `""`}, "DIS.4345"},
		{"CLOUDTABLE", "opentsdb_schema", []string{"[]", "{}", `{"metric":null}`}, nil, ""}, // TC-R8
		{"CLOUDTABLE", "cloudtable_row_key_delimiter", []string{`","`, `"."`, `";"`, `"\\"`, `"-"`, `"_"`, `"~"`}, []string{`"/"`}, "DIS.4200"},
		{"CLOUDTABLE", "backup_file_prefix", []string{`"a/b"`}, []string{`"/a"`, long(51)}, "DIS.4200"},
		{"CLOUDTABLE", "obs_backup_bucket_path", []string{""}, nil, ""},
		{"OPENTSDB", "cloudtable_schema", []string{"{}", "null", `{"row_key":[],"columns":null}`}, []string{`{"row_key":[` + key + `],"columns":[` + column + `]}`}, "DIS.4345"}, // TC-R8, CT-8
		{"OPENTSDB", "opentsdb_schema.metric.value", []string{`"a.b"`}, []string{`"a_b"`, long(33)}, "DIS.4348"},
		{"OPENTSDB", "opentsdb_schema.metric.type", nil, []string{`"Bigint"`}, "DIS.4348"},
		{"OPENTSDB", "opentsdb_schema.timestamp.format", []string{`"dd-MM-yyyy HH:mm:ss"`}, []string{`""`, "", `"yyyy"`}, "DIS.4348"}, // 4.7-N3
		{"OPENTSDB", "opentsdb_schema.tags", nil, []string{"[]"}, "DIS.4348"},
		{"OPENTSDB", "opentsdb_schema.tags.value", nil, []string{`"unknown"`}, "DIS.4348"}, // CT-8
	} {
		path := "/p/streams/" + streamFor(tt.kind) + "/transfer-tasks"
		create := func(value string) (string, string) {
			n++
			edits := []string{"task_name", `"t` + strconv.Itoa(n) + `"`, tt.member, value}
			body := taskBody(t, tt.kind, edits...)
			var d map[string]map[string]any
			json.Unmarshal([]byte(body), &d)
			name := fmt.Sprint(d[strings.ToLower(strings.Replace(tt.kind, "OPENTSDB", "CLOUDTABLE", 1))+"_destination_descriptor"]["task_name"])
			return body, name
		}
		for _, value := range tt.good {
			body, name := create(value)
			b.want(201, "POST", path, body)
			b.want(204, "DELETE", path+"/"+name, "")
		}
		for _, value := range tt.bad {
			body, _ := create(value)
			b.wantCode(tt.code, "POST", path, body)
		}
	}
}

func TestTaskCreationChecks(t *testing.T) {
	b := newTaskBench(t)
	schemaless := func(kind string) string { return strings.ReplaceAll(taskBody(t, kind), `"dws_table_columns"`, `"x"`) }
	for _, tt := range []struct{ rule, stream, body, code string }{
		{"TC-R4 type missing", "s", `{"obs_destination_descriptor":` + descriptors["OBS"] + `}`, "DIS.4200"},
		{"TC-R4 NOWHERE", "s", `{"destination_type":"NOWHERE","obs_destination_descriptor":` + descriptors["OBS"] + `}`, "DIS.4200"},
		{"TC-R4 UQUERY", "s", `{"destination_type":"UQUERY"}`, "DIS.4200"},
		{"TC-R4 descriptor missing", "s", `{"destination_type":"OBS","mrs_destination_descriptor":` + descriptors["MRS"] + `}`, "DIS.4200"},
		{"TC-R8 descriptor null", "s", `{"destination_type":"OBS","obs_destination_descriptor":null}`, "DIS.4200"},
		{"TC-R8 descriptor empty", "s", `{"destination_type":"OBS","obs_destination_descriptor":{"task_name":""}}`, "DIS.4200"},
		{"C-34 descriptor no object", "s", `{"destination_type":"OBS","obs_destination_descriptor":"x"}`, "DIS.4300"},
		{"C-34 not JSON", "s", `{"destination_type":`, "DIS.4300"},
		{"C-34 empty", "s", `{}`, "DIS.4202"},
		{"TC-R5 stream unknown", "nope", taskBody(t, "OBS"), "DIS.4301"},
		{"C-35 fields before stream", "nope", taskBody(t, "OBS", "agency_name", ""), "DIS.4200"},
		{"D-1 BLOB to DLI", "s", taskBody(t, "DLI"), "DIS.4200"},
		{"D-1 BLOB to DWS", "s", taskBody(t, "DWS"), "DIS.4200"},
		{"D-1 BLOB to HBase", "s", taskBody(t, "CLOUDTABLE"), "DIS.4345"},
		{"D-1 CSV to OpenTSDB", "c", taskBody(t, "OPENTSDB"), "DIS.4348"},
		{"D-1 BLOB to OpenTSDB", "s", taskBody(t, "OPENTSDB"), "DIS.4348"},
		{"D-1 CSV to HBase", "c", taskBody(t, "CLOUDTABLE"), "DIS.4345"},
		{"D-2 JSON to DWS without schema", "n", schemaless("DWS"), "DIS.4360"},
		{"D-2 JSON to DLI without schema", "n", schemaless("DLI"), "DIS.4360"},
		{"E22-R1 parquet of text", "s", taskBody(t, "OBS", "destination_file_type", `"parquet"`), "DIS.4200"},
		{"CARBON-1 of text", "s", taskBody(t, "OBS", "destination_file_type", `"carbon"`), "DIS.4200"},
		{"CARBON-1 without schema", "n", taskBody(t, "OBS", "destination_file_type", `"carbon"`), "DIS.4360"},
		{"OBS-3 without format", "j", taskBody(t, "OBS", "processing_schema", `{"timestamp_name":"date","timestamp_type":"String"}`), "DIS.4200"},
		{"OBS-3 without type", "j", taskBody(t, "OBS", "processing_schema", `{"timestamp_name":"date"}`), "DIS.4200"},
		{"OBS-8 bucket", "s", taskBody(t, "OBS", "obs_bucket_path", `"other"`), "DIS.4306"},
		{"OBS-8 bucket outside", "s", taskBody(t, "OBS", "obs_bucket_path", `".."`), "DIS.4306"},
		{"TC-R6 staging bucket", "j", taskBody(t, "DWS", "obs_bucket_path", `"other"`), "DIS.4306"},
		{"TC-R6 backup bucket", "j", taskBody(t, "CLOUDTABLE", "obs_backup_bucket_path", `"other"`), "DIS.4306"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			b := &bench{T: t, url: b.url, api: b.api}
			b.wantCode(tt.code, "POST", "/p/streams/"+tt.stream+"/transfer-tasks", tt.body)
			if tt.stream != "nope" && b.want(200, "GET", "/p/streams/"+tt.stream+"/transfer-tasks", "").member(t, "total_number") != json.Number("0") {
				t.Error("TC-R6: something is stored")
			}
		})
	}
	for _, tt := range []struct{ stream, body string }{
		{"c", taskBody(t, "DWS")}, {"c", taskBody(t, "DLI")}, {"c", taskBody(t, "MRS")}, {"j", taskBody(t, "MRS")}, {"n", taskBody(t, "CLOUDTABLE")},
		{"j", taskBody(t, "OBS", "processing_schema", `{"timestamp_name":"date","timestamp_type":"String","timestamp_format":"MM-dd-yyyy HH:mm:ss"}`)},
		{"j", taskBody(t, "OBS", "task_name", `"carbon"`, "destination_file_type", `"carbon"`)},
	} {
		b.want(201, "POST", "/p/streams/"+tt.stream+"/transfer-tasks", tt.body) // D-1
	}
}

func TestOutsideErrors(t *testing.T) {
	t.Attr("rules", "TC-R6")
	b := newTaskBench(t)
	for _, typ := range []string{"DWS", "MRS", "DLI", "CLOUDTABLE"} { // the bucket comes behind the cluster in all tables
		b.outside.err = kind.ErrDWSCluster
		b.wantCode("DIS.4350", "POST", "/p/streams/"+streamFor(typ)+"/transfer-tasks", taskBody(t, typ, "obs_bucket_path", `"other"`, "obs_backup_bucket_path", `"other"`))
	}
	b.outside.err = nil
	for _, tt := range []struct {
		kind string
		err  error
		code string
	}{
		{"MRS", kind.ErrMRSCluster, "DIS.4208"}, {"MRS", kind.ErrHDFSPath, "DIS.4336"},
		{"DLI", kind.ErrDLIDatabase, "DIS.4337"}, {"DLI", kind.ErrDLITable, "DIS.4338"},
		{"CLOUDTABLE", kind.ErrCloudTableCluster, "DIS.4341"}, {"CLOUDTABLE", kind.ErrCloudTableTable, "DIS.4342"},
		{"CLOUDTABLE", kind.ErrColumnFamily, "DIS.4343"}, {"OPENTSDB", kind.ErrOpenTSDBSchema, "DIS.4348"},
		{"DWS", kind.ErrDWSCluster, "DIS.4350"}, {"DWS", kind.ErrKMSKey, "DIS.4351"}, {"DWS", kind.ErrBucketAccess, "DIS.4310"},
	} {
		b.outside.err = tt.err
		path := "/p/streams/" + streamFor(tt.kind) + "/transfer-tasks"
		b.wantCode(tt.code, "POST", path, taskBody(t, tt.kind))
		b.outside.err = &kind.DestinationError{Err: tt.err, Name: "thing"}
		if m := b.wantCode(tt.code, "POST", path, taskBody(t, tt.kind)); !strings.HasSuffix(m, " [thing]") {
			t.Errorf("message %q", m)
		}
		b.outside.agency = kind.ErrAgency // which comes first in the tables
		b.wantCode("DIS.4335", "POST", path, taskBody(t, tt.kind))
		b.outside.err, b.outside.agency = nil, nil
		b.want(201, "POST", path, taskBody(t, tt.kind)) // nothing was stored
		b.want(204, "DELETE", path+"/"+b.want(200, "GET", path, "").member(t, "tasks.0.task_name").(string), "")
	}
	b.want(201, "POST", "/p/streams/j/transfer-tasks", taskBody(t, "DWS"))
	if got := b.outside.checked[len(b.outside.checked)-1].Secret; got != "example-password" {
		t.Errorf("the destination is checked with password %q", got)
	}
}

func TestTaskNamesAndQuota(t *testing.T) {
	t.Attr("rules", "TC-R2 TC-R3 Q-3")
	b := newTaskBench(t)
	const path = "/p/streams/s/transfer-tasks"
	name := func(i int) string { return `"t` + strconv.Itoa(i) + `"` }
	for i := range 4 {
		b.want(201, "POST", path, taskBody(t, "OBS", "task_name", name(i)))
	}
	b.wantCode("DIS.4355", "POST", path, taskBody(t, "OBS", "task_name", name(0)))
	b.wantCode("DIS.4355", "POST", path, taskBody(t, "OBS", "task_name", name(0), "obs_bucket_path", `"other"`)) // C-35
	b.wantCode("DIS.4306", "POST", path, taskBody(t, "OBS", "task_name", name(4), "obs_bucket_path", `"other"`))
	b.want(201, "POST", path, taskBody(t, "MRS", "task_name", name(4)))
	b.wantCode("DIS.4357", "POST", path, taskBody(t, "OBS", "task_name", name(5)))
	b.want(201, "POST", "/p/streams/c/transfer-tasks", taskBody(t, "OBS", "task_name", name(0))) // C-61
	b.want(204, "DELETE", path+"/t2", "")
	b.want(201, "POST", path, taskBody(t, "OBS", "task_name", name(5)))
}

func TestListTasks(t *testing.T) {
	t.Attr("rules", "E23-R1")
	b := newTaskBench(t)
	const path = "/p/streams/s/transfer-tasks"
	if got := b.want(200, "GET", path, "").body; got != `{"total_number":0,"quota":5,"tasks":[]}` {
		t.Errorf("empty: %s", got)
	}
	for _, name := range []string{"z", "b", "a"} {
		b.want(201, "POST", path, taskBody(t, "OBS", "task_name", `"`+name+`"`))
		b.clock.advance(time.Millisecond)
	}
	for _, tt := range []struct{ query, want string }{
		{"", "z b a"}, {"?limit=0", "z b a"}, {"?limit=2", "z b"}, {"?limit=10&start_task_name=z", "b a"}, {"?start_task_name=unknown", "z b a"},
		{"?start_task_name&limit=1", "z"}, {"?start_task_name=a", ""}, {"?limit=&start_task_name=", "z b a"},
	} {
		var out struct {
			Total int `json:"total_number"`
			Quota int `json:"quota"`
			Tasks []struct {
				ID          string `json:"task_id"`
				Name        string `json:"task_name"`
				State       string `json:"state"`
				Destination string `json:"destination_type"`
				CreateTime  int64  `json:"create_time"`
			} `json:"tasks"`
		}
		if err := json.Unmarshal([]byte(b.want(200, "GET", path+tt.query, "").body), &out); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, task := range out.Tasks {
			names = append(names, task.Name)
			if len(task.ID) != 19 || task.State != "RUNNING" || task.Destination != "OBS" || task.CreateTime == 0 {
				t.Errorf("%+v", task)
			}
		}
		if got := strings.Join(names, " "); got != tt.want || out.Total != 3 || out.Quota != 5 {
			t.Errorf("%s: %q of %d, want %q", tt.query, got, out.Total, tt.want)
		}
	}
	b.wantCode("DIS.4200", "GET", path+"?limit=-1", "")
	b.wantCode("DIS.4301", "GET", "/p/streams/nope/transfer-tasks", "")
}

func TestStartAndStopTasks(t *testing.T) {
	t.Attr("rules", "E26-R1 E26-R3 E26-R4 E26-R5 E27-R1 E27-R2")
	b := newTaskBench(t)
	const path = "/p/streams/s/transfer-tasks"
	for _, name := range []string{"a", "b", "action"} { // E27-N3
		b.want(201, "POST", path, taskBody(t, "OBS", "task_name", `"`+name+`"`))
	}
	b.want(201, "POST", "/p/streams/c/transfer-tasks", taskBody(t, "OBS", "task_name", `"other"`))
	id := func(stream, name string) string {
		return b.want(200, "GET", "/p/streams/"+stream+"/transfer-tasks/"+name, "").member(t, "task_id").(string)
	}
	states := func() string {
		var all []string
		for _, name := range []string{"a", "b", "action"} {
			a := b.want(200, "GET", path+"/"+name, "")
			if a.member(t, "state") != a.member(t, "partitions.1.state") {
				t.Errorf("the partition says %v: %s", a.member(t, "partitions.1.state"), a.body)
			}
			all = append(all, a.member(t, "state").(string)[:1])
		}
		return strings.Join(all, "")
	}
	for _, tt := range []struct {
		rule, action, tasks, code, want string
	}{
		{"E27-R1 by id", "stop", id("s", "a"), "", "PRR"},
		{"E27-R1 again", "stop", id("s", "a"), "", "PRR"},
		{"E27-R2 by name", "stop", "b action", "", "PPP"},
		{"E26-R1 start", "start", id("s", "b"), "", "PRP"},
		{"E26-R1 runs already", "start", "b", "", "PRP"},
		{"E26-R3 twice", "start", "a a " + id("s", "a"), "", "RRP"},
		{"E26-R3 unknown", "stop", "a unknown", "DIS.4354", "RRP"},
		{"E26-R3 of another stream", "stop", "a " + id("c", "other"), "DIS.4354", "RRP"},
		{"E26-R4", "pause", "a", "DIS.4200", "RRP"},
		{"E26-R4 missing", "", "a", "DIS.4200", "RRP"},
	} {
		var ids []string
		for _, name := range strings.Fields(tt.tasks) {
			ids = append(ids, `{"id":"`+name+`"}`)
		}
		body := `{"action":"` + tt.action + `","stream_name":"ignored","tasks":[` + strings.Join(ids, ",") + `]}`
		if tt.code != "" {
			b.wantCode(tt.code, "POST", path+"/action", body)
		} else if a := b.want(200, "POST", path+"/action", body); a.body != "" || a.header.Get("Content-Length") != "0" {
			t.Errorf("%s: %+v", tt.rule, a)
		}
		if got := states(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.rule, got, tt.want)
		}
	}
	// E26-R5: an id is an id, also where a task has it as its name.
	b.want(201, "POST", path, taskBody(t, "OBS", "task_name", `"`+id("s", "a")+`"`))
	b.want(200, "POST", path+"/action", `{"action":"stop","tasks":[{"id":"`+id("s", "a")+`"}]}`)
	if got := states(); got != "PRP" {
		t.Errorf("E26-R5: %s", got)
	}
	if a := b.want(200, "GET", path+"/"+id("s", "a"), ""); a.member(t, "state") != "RUNNING" {
		t.Errorf("E26-R5: the task of that name is stopped: %s", a.body)
	}
	b.wantCode("DIS.4200", "POST", path+"/action", `{"action":"stop","tasks":[]}`)
	b.wantCode("DIS.4200", "POST", path+"/action", `{"action":"stop","tasks":[{"id":""}]}`)
	b.wantCode("DIS.4200", "POST", path+"/action", `{"action":"stop"}`)
	b.wantCode("DIS.4301", "POST", "/p/streams/nope/transfer-tasks/action", `{"action":"stop","tasks":[{"id":"a"}]}`)
}

func TestDeleteTask(t *testing.T) {
	t.Attr("rules", "E24-R1 E25-R3 E5-R5")
	b := newTaskBench(t)
	b.want(201, "POST", "/p/streams/s/transfer-tasks", taskBody(t, "OBS"))
	if a := b.want(204, "DELETE", "/p/streams/s/transfer-tasks/newtask/", ""); a.body != "" {
		t.Errorf("delete: %+v", a)
	}
	b.wantCode("DIS.4354", "DELETE", "/p/streams/s/transfer-tasks/newtask", "")
	b.wantCode("DIS.4354", "GET", "/p/streams/s/transfer-tasks/newtask", "")
	b.wantCode("DIS.4301", "DELETE", "/p/streams/nope/transfer-tasks/newtask", "")
	b.wantCode("DIS.4301", "GET", "/p/streams/nope/transfer-tasks/newtask", "")
	b.want(201, "POST", "/p/streams/s/transfer-tasks", taskBody(t, "OBS"))
	b.want(204, "DELETE", "/p/streams/s", "")
	b.want(201, "POST", "/p/streams", `{"stream_name":"s","partition_count":1}`)
	b.wantCode("DIS.4354", "GET", "/p/streams/s/transfer-tasks/newtask", "")
}

func TestUpdateTask(t *testing.T) { // E48
	t.Attr("rules", "E48-R1 E48-R2 E25-R4")
	b := newTaskBench(t)
	const path = "/p/streams/j/transfer-tasks"
	b.want(201, "POST", path, taskBody(t, "DWS"))
	b.want(200, "POST", path+"/action", `{"action":"stop","tasks":[{"id":"dwstask"}]}`)
	put := func(members string) string {
		return `{"destination_type":"DWS","dws_destination_descriptor":{"task_name":"dwstask",` + members + `}}`
	}
	if a := b.want(200, "PUT", path, put(`"deliver_time_interval":"90","retry_duration":60,"options":{"reject_limit":"5"},"file_prefix":""`)); a.body != "" || a.header.Get("Content-Length") != "0" {
		t.Errorf("E48-R1: %+v", a)
	}
	shown := b.want(200, "GET", path+"/dwstask", "")
	for member, want := range map[string]any{
		"state": "PAUSED",
		"dws_destination_description.deliver_time_interval": json.Number("90"), // E25-R4
		"dws_destination_description.retry_duration":        "60",
		"dws_destination_description.dws_table_name":        "t", // E48-R2
		"dws_destination_description.options.reject_limit":  "5",
		"dws_destination_description.user_password":         "******",
		"dws_destination_description.file_prefix":           "",
	} {
		if got := shown.member(t, member); got != want {
			t.Errorf("E48-R2: %s is %v, want %v", member, got, want)
		}
	}
	password := func() string { return b.outside.checked[len(b.outside.checked)-1].Secret }
	if password() != "example-password" {
		t.Errorf("the password is now %q", password())
	}
	b.want(200, "PUT", path, put(`"user_password":"******"`)) // what the client was shown
	if password() != "example-password" {
		t.Errorf("the password is now %q", password())
	}
	b.want(200, "PUT", path, put(`"user_password":"fresh","consumer_strategy":"LATEST"`))
	if password() != "fresh" {
		t.Errorf("the password is now %q", password())
	}
	before := b.want(200, "GET", path+"/dwstask", "").body
	for _, tt := range []struct{ rule, body, code string }{
		{"E48-R3", put(`"consumer_strategy":"TRIM_HORIZON"`), "DIS.4200"},
		{"E48-R2 range", put(`"deliver_time_interval":29,"file_prefix":"x"`), "DIS.4200"},
		{"E48-R2 bucket", put(`"obs_bucket_path":"other","file_prefix":"x"`), "DIS.4306"},
		{"E48-R2 columns", put(`"dws_table_columns":"unknown"`), "DIS.4200"},
		{"E48 type", taskBody(t, "MRS", "task_name", `"dwstask"`), "DIS.4200"},
		{"E48 no name", `{"destination_type":"DWS","dws_destination_descriptor":{"file_prefix":"x"}}`, "DIS.4200"},
		{"E48-R1", `{"destination_type":"DWS","dws_destination_descriptor":{"task_name":"unknown"}}`, "DIS.4354"},
	} {
		t.Attr("rules", tt.rule)
		if got := b.do("PUT", path, tt.body); got.code(t) != tt.code {
			t.Errorf("%s: %s", tt.rule, got.body)
		}
	}
	if after := b.want(200, "GET", path+"/dwstask", "").body; after != before {
		t.Errorf("E48-R2: a refused update left\n%s, before\n%s", after, before)
	}
}

func TestLenientDescriptors(t *testing.T) {
	t.Attr("rules", "TC-R8 TC-R9 E25-R4")
	b := newTaskBench(t)
	b.want(201, "POST", "/p/streams/s/transfer-tasks", `{"StreamName":"x","stream_name":"y","destination_type":"MRS",
		"obs_destination_descriptor":null,"dws_destination_descriptor":{},"dli_destination_descriptor":"ignored",
		"mrs_destination_descriptor":`+strings.Replace(descriptors["MRS"], `"retry_duration":"1800"`, `"retry_duration ":77,"csv_properties":{},"unknown":[1]`, 1)+`}`)
	shown := b.want(200, "GET", "/p/streams/s/transfer-tasks/mrstask", "")
	if got := shown.member(t, "mrs_destination_description.retry_duration"); got != "77" {
		t.Errorf("TC-R9: retry_duration %v", got)
	}
	if strings.Contains(shown.body, "unknown") || strings.Contains(shown.body, "csv_properties") {
		t.Errorf("unknown members are kept: %s", shown.body)
	}
	b.wantCode("DIS.4200", "POST", "/p/streams/s/transfer-tasks", `{"destination_type":"MRS","mrs_destination_descriptor":`+
		strings.Replace(descriptors["MRS"], `"retry_duration":"1800"`, `"retry_duration ":7201`, 1)+`}`)
	dli := func(retry string) string {
		return `{"destination_type":"DLI","dli_destination_descriptor":` + strings.Replace(descriptors["DLI"], `"retry_duration":"300"`, retry, 1) + `}`
	}
	b.wantCode("DIS.4200", "POST", "/p/streams/j/transfer-tasks", dli(`"retry_duration ":7201`))
	b.want(201, "POST", "/p/streams/j/transfer-tasks", dli(`"retry_duration ":"66"`))
	if got := b.want(200, "GET", "/p/streams/j/transfer-tasks/dlitask", "").member(t, "dli_destination_description.retry_duration"); got != "66" {
		t.Errorf("TC-R9: retry_duration %v", got)
	}
}

func TestTasksUnderTheSingularPath(t *testing.T) {
	t.Attr("rules", "E49-R1 C-4")
	b := newTaskBench(t)
	b.want(201, "POST", "/p/stream/s/transfer-tasks/", taskBody(t, "OBS"))
	b.want(200, "PUT", "/p/stream/s/transfer-tasks", taskBody(t, "OBS", "deliver_time_interval", "31"))
	plural, singular := b.want(200, "GET", "/p/streams/s/transfer-tasks/newtask", ""), b.want(200, "GET", "/p/stream/s/transfer-tasks/newtask", "")
	if plural.body != singular.body {
		t.Errorf("%s\n%s", plural.body, singular.body)
	}
	b.want(200, "POST", "/p/stream/s/transfer-tasks/action", `{"action":"stop","tasks":[{"id":"newtask"}]}`)
	if got := b.want(200, "GET", "/p/stream/s/transfer-tasks", "").member(t, "tasks.0.state"); got != "PAUSED" {
		t.Errorf("state %v", got)
	}
	b.want(204, "DELETE", "/p/stream/s/transfer-tasks/newtask", "")
}

func TestTasksOfAFrozenStream(t *testing.T) {
	t.Attr("rules", "TC-R5")
	b := newTaskBench(t)
	b.want(201, "POST", "/p/streams/s/transfer-tasks", taskBody(t, "OBS"))
	b.freeze("s", true)
	b.wantCode("DIS.4205", "POST", "/p/streams/s/transfer-tasks", taskBody(t, "OBS", "task_name", `"x"`))
	b.wantCode("DIS.4205", "PUT", "/p/streams/s/transfer-tasks", taskBody(t, "OBS"))
	for frozen, want := range map[bool]string{true: "PAUSED", false: "RUNNING"} { // L-3
		b.freeze("s", frozen)
		if a := b.want(200, "GET", "/p/streams/s/transfer-tasks", ""); a.member(t, "tasks.0.state") != want {
			t.Errorf("frozen %v: %s", frozen, a.body)
		}
	}
	b.freeze("s", true)
	b.want(204, "DELETE", "/p/streams/s/transfer-tasks/newtask", "")
}

// TestTasksAreNoConsumers: delivering needs no app, is no traffic of downloads, and is
// not slowed down by it.
func TestTasksAreNoConsumers(t *testing.T) {
	t.Attr("rules", "D-4")
	b := newBench(t, quotas(quota.Enforce, partition.Quotas{Common: partition.Throughput{ReadBytes: 1}}))
	b.want(201, "POST", "/p/streams", create("s", 1))
	b.want(201, "POST", "/p/streams/s/transfer-tasks", taskBody(t, "OBS", "partition_format", `"N/A"`))
	cursor := b.want(200, "GET", "/p/cursors?stream-name=s&partition-id=0", "").member(t, "partition_cursor").(string)
	for i := range 3 {
		b.want(200, "POST", "/p/records", puts(`{"data":"YWJjZGVmZ2hpamts"}`)) // twelve bytes
		b.clock.advance(30 * time.Second)
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			files, err := filepath.Glob(filepath.Join(b.outside.dir, "obsbucket", "s-newtask-*"))
			if len(files) == i+1 {
				break
			}
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("delivered %v, %v", files, err)
			}
		}
	}
	if a := b.want(200, "GET", "/p/apps", ""); a.member(t, "total_number") != json.Number("0") {
		t.Errorf("apps: %s", a.body)
	}
	now := b.clock.now().Unix()
	metrics := fmt.Sprintf("/p/streams/s/metrics?start_time=%d&end_time=%d&label=", now-600, now)
	if a := b.want(200, "GET", metrics+"total_get_records_per_stream", ""); !strings.Contains(a.body, `"dataPoints":[]`) {
		t.Errorf("downloads: %s", a.body)
	}
	if a := b.want(200, "GET", metrics+"total_put_records_per_stream", ""); strings.Contains(a.body, `"dataPoints":[]`) {
		t.Errorf("uploads: %s", a.body)
	}
	b.want(200, "GET", "/p/records?partition-cursor="+cursor, "") // is not refused for what the task read
}

func TestTaskDescriptorsNeedNothingElse(t *testing.T) {
	t.Attr("rules", "E25-R1") // only what was given
	b := newTaskBench(t)
	minimal := `{"task_name":"m","agency_name":"a","obs_bucket_path":"obsbucket"}`
	b.want(201, "POST", "/p/streams/s/transfer-tasks", `{"destination_type":"OBS","obs_destination_descriptor":`+minimal+`}`)
	var shown map[string]any
	json.Unmarshal([]byte(b.want(200, "GET", "/p/streams/s/transfer-tasks/m", "").body), &shown)
	if got := slices.Sorted(maps.Keys(shown["obs_destination_description"].(map[string]any))); !slices.Equal(got, []string{"agency_name", "obs_bucket_path", "task_name"}) {
		t.Errorf("shown: %v", got)
	}
}
