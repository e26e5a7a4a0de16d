package api_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"disd/internal/api"
)

var update = flag.Bool("update", false, "write the golden answers anew")

const goldenAnswers = "testdata/answers.txt"

// changing is what differs between two runs: ids and cursors.
var changing = regexp.MustCompile(`"((?:stream|app|request)_id|(?:next_)?partition_cursor)":"[0-9A-Za-z_-]+"`)

// answers are requests in order, one of each kind, and what every legacy client
// can read of their answers (clients-legacy.md section 12).
var answers = []struct{ name, send, body, legacy string }{
	{"list streams, none", "GET /p/streams", "", ""},
	{"create", "POST /p/streams", create("s", 1, `"tags":[{"key":"k","value":"v"}]`), ""},
	{"create app", "POST /p/apps", `{"app_name":"a"}`, ""},
	{"put records", "POST /p/records", puts(`{"data":"aGVsbG8=","partition_key":"k","timestamp":1700000000000}`),
		`{"failed_record_count":0,"records":[{"partition_id":"shardId-0000000000","sequence_number":"7"}]}`},
	{"put with one failure", "POST /p/records", puts(`{"data":""}`, `{"data":"","partition_id":9}`),
		`{"failed_record_count":1,"records":[{"partition_id":"shardId-0000000000","sequence_number":"7"},{"error_code":"DIS.4303","error_message":"Exceeded traffic control limit. DIS.4303"}]}`},
	{"put nothing", "POST /p/records", puts(), ""},
	{"describe stream", "GET /p/streams/s", "", `{"stream_id":"…","stream_name":"s","create_time":1,"last_modified_time":1,"retention_period":24,"status":"RUNNING","stream_type":"COMMON","data_type":"BLOB",
		"writable_partition_count":1,"readable_partition_count":1,"partitions":[{"status":"ACTIVE","partition_id":"shardId-0000000000","hash_range":"[0 : 9223372036854775807]","sequence_number_range":"[0 : 8]"}],
		"has_more_partitions":false,"tags":[],"sys_tags":[],"update_partition_counts":[]}`},
	{"cursor", "GET /p/cursors?stream-name=s&partition-id=0&starting-sequence-number=0", "", `{"partition_cursor":"<base64url>"}`},
	{"get records", "GET /p/records?partition-cursor=@cursor", "",
		`{"next_partition_cursor":"<base64url>","records":[{"partition_key":"k","sequence_number":"7","data":"aGVsbG8=","timestamp":1700000000000,"timestamp_type":"CreateTime"}]}`},
	{"checkpoint, none yet", "GET /p/checkpoints?app_name=a&stream_name=s&partition_id=0", "", `{"sequence_number":"-1","metadata":""}`},
	{"consuming state, none yet", "GET /p/apps/a/streams/s", "", ""},
	{"commit checkpoint", "POST /p/checkpoints", `{"app_name":"a","stream_name":"s","partition_id":0,"sequence_number":1,"metadata":"m"}`, ""},
	{"checkpoint", "GET /p/checkpoints?app_name=a&stream_name=s&partition_id=0", "", `{"sequence_number":"-1","metadata":""}`},
	{"consuming state", "GET /p/apps/a/streams/s", "", ""},
	{"update partition count", "PUT /p/streams/s", `{"stream_name":"s","target_partition_count":2}`,
		`{"stream_name":"s","current_partition_count":1,"target_partition_count":2}`},
	{"update stream, older form", "PUT /p/streams/s/update", `{"data_type":"CSV","data_schema":"` + avro + `"}`, ""},
	{"update stream", "PUT /v3/proj/streams/s", `{"stream_name":"s","auto_scale_enabled":true,"auto_scale_min_partition_count":1,"auto_scale_max_partition_count":3}`, ""},
	{"describe stream, scaled", "GET /p/streams/s", "", ""},
	{"list streams", "GET /p/streams", "", ""},
	{"list apps", "GET /p/apps", "", ""},
	{"describe app", "GET /p/apps/a", "", ""},
	{"error", "GET /p/streams/none", "", `{"errorCode":"DIS.4301","message":"Stream does not exist. [s][p]","error_code":"DIS.4301","error_msg":"Stream does not exist. [s][p]"}`},
	{"delete checkpoint", "DELETE /p/checkpoints?app_name=a&stream_name=s", "", ""},
	{"delete app", "DELETE /p/apps/a", "", ""},
	{"delete stream", "DELETE /p/streams/s", "", ""},
}

// TestRulesAnswers holds one answer of each kind, member by member and in order,
// against the golden ones, and their shapes against what clients read.
func TestRulesAnswers(t *testing.T) {
	t.Attr("rules", "C-39 C-50 C-51 C-52 C-56 C-57 C-62 C-30")
	w := newWorld(t)
	var all strings.Builder
	for _, c := range answers {
		method, path, _ := strings.Cut(c.send, " ")
		a := w.do(method, w.fill(path), c.body)
		checkAnswer(t, a)
		if strings.Contains(a.body, `"partition_cursor"`) {
			w.said["@cursor"] = a.member(t, "partition_cursor").(string)
		}
		if c.legacy != "" {
			checkShape(t, c.name, decoded(t, c.legacy), decoded(t, a.body))
		}
		fmt.Fprintf(&all, "%s: %d\n%s\n", c.name, a.status, changing.ReplaceAllString(a.body, `"$1":"*"`))
	}
	if *update {
		if err := os.WriteFile(goldenAnswers, []byte(all.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(goldenAnswers)
	if err != nil {
		t.Fatal(err)
	}
	want, got := strings.Split(string(golden), "\n"), strings.Split(all.String(), "\n")
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			t.Fatalf("C-39 C-59: line %d of %s is now\n%s", i+1, goldenAnswers, strings.Join(got[i:min(i+1, len(got))], ""))
		}
	}
}

// checkShape checks that got has every member that clients read, of the type they
// read.
func checkShape(t *testing.T, at string, want, got any) {
	t.Helper()
	if reflect.TypeOf(want) != reflect.TypeOf(got) {
		t.Errorf("C-39: %s is %v, clients read %v", at, got, want)
		return
	}
	switch want := want.(type) {
	case map[string]any:
		for name, v := range want {
			checkShape(t, at+"."+name, v, got.(map[string]any)[name])
		}
	case []any:
		for i, v := range want {
			if i < len(got.([]any)) {
				checkShape(t, fmt.Sprintf("%s[%d]", at, i), v, got.([]any)[i])
			}
		}
	}
}

// internalErrors never reach a client as themselves: the layer above turns them
// into others, or they are the server's own fault.
var internalErrors = []string{
	"storage.ErrExists",   // ids of logs are never used twice
	"storage.ErrNotFound", // a stream that was deleted meanwhile
	"storage.ErrUnknown",  // of a single record, DIS.5250

	"auth.ErrExists", "auth.ErrUnknown", "auth.ErrFixed", "auth.ErrKeyQuota", // of the administration, DIS.4200
	"kind.ErrRefused",  // between a task and its sink
	"monitor.ErrYoung", // between the monitor and automatic scaling
}

// TestEveryErrorIsKnown holds the errors that the domain packages export against
// the table of faults.
func TestEveryErrorIsKnown(t *testing.T) {
	listed := faultNames(t)
	for _, name := range internalErrors {
		if listed[name] {
			t.Errorf("%s is internal and in the table", name)
		}
		listed[name] = true
	}
	exported := make(map[string]bool)
	for pkg, dir := range map[string]string{
		"partition": "../partition", "cursor": "../cursor", "storage": "../storage", "codec": "codec", "auth": "../auth",
		"transfer": "../transfer", "kind": "../transfer/kind", "monitor": "../monitor", "group": "../cursor/group", "policy": "../auth/policy", "field": "../field", "rest": "rest", "dis": "dis", "ops": "ops",
	} {
		for _, name := range exportedErrors(t, dir) {
			exported[pkg+"."+name] = true
			if !listed[pkg+"."+name] {
				t.Errorf("%s.%s is neither in the table of faults nor internal", pkg, name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		if strings.Contains(name, ".") && !exported[name] {
			t.Errorf("%s does not exist", name)
		}
	}
	if len(exported) < 40 {
		t.Errorf("only %d errors found", len(exported))
	}
}

// faultNames returns the errors of the table, as the source spells them.
func faultNames(t *testing.T) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if spec.Names[0].Name == "faults" {
			for _, row := range spec.Values[0].(*ast.CompositeLit).Elts {
				found[spelled(row.(*ast.CallExpr).Args[0])] = true
			}
		}
		return false
	})
	return found
}

func spelled(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		return spelled(e.X) + "." + e.Sel.Name
	case *ast.Ident:
		return e.Name
	}
	return ""
}

func exportedErrors(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no source in %s: %v", dir, err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			vars, ok := decl.(*ast.GenDecl)
			if !ok || vars.Tok != token.VAR || strings.HasSuffix(name, "_test.go") {
				continue
			}
			for _, spec := range vars.Specs {
				for _, id := range spec.(*ast.ValueSpec).Names {
					if strings.HasPrefix(id.Name, "Err") {
						names = append(names, id.Name)
					}
				}
			}
		}
	}
	return names
}

// texts are the codes of section 8 with status and text, those that a record can
// have without one of the whole request included.
var texts = map[string]string{
	"DIS.4117": "400 Invalid Project Id. %s",
	"DIS.4200": "400 Invalid request. %s",
	"DIS.4201": "400 Invalid partition_id. %s",
	"DIS.4202": "400 Empty request.",
	"DIS.4203": "400 Invalid monitoring period. %s",
	"DIS.4204": "400 The monitoring period cannot be longer than 7 days.",
	"DIS.4205": "400 Stream is not running.",
	"DIS.4208": "400 Mrs cluster is invalid. %s",
	"DIS.4209": "400 Invalid metrics label. %s",
	"DIS.4213": "400 The record is too large. %s",
	"DIS.4215": "400 Invalid cursor type. %s",
	"DIS.4216": "400 Invalid sequence_number. %s",
	"DIS.4217": "400 Invalid partition cursor. %s",
	"DIS.4224": "400 Sequence_number out of range. %s",
	"DIS.4225": "400 Expired partition cursor. %s",
	"DIS.4226": "400 A partition iterator error occurred or a record to which the SN corresponds has expired. Try to obtain the partition iterator again.",
	"DIS.4300": "400 Request error.",
	"DIS.4301": "400 Stream does not exist. %s",
	"DIS.4302": "400 Partition does not exist. %s",
	"DIS.4303": "400 Exceeded traffic control limit.",
	"DIS.4305": "400 Too many stream requests.",
	"DIS.4306": "400 Bucket does not exist. %s",
	"DIS.4307": "400 The stream already exists.",
	"DIS.4308": "400 Insufficient quota.",
	"DIS.4309": "400 Too many request failures. Please try again later.",
	"DIS.4310": "400 OBS access error.",
	"DIS.4319": "400 Partition is expired. %s",
	"DIS.4329": "400 app quota exceeded.",
	"DIS.4330": "400 app already exist.",
	"DIS.4331": "400 app is using.",
	"DIS.4332": "400 app not found.",
	"DIS.4335": "400 Invalid IAM agency.",
	"DIS.4336": "400 Invalid HDFS path.",
	"DIS.4337": "400 The DLI database does not exist.",
	"DIS.4338": "400 The DLI table does not exist.",
	"DIS.4339": "400 Consumer quota exceeded.",
	"DIS.4341": "400 The CloudTable cluster does not exist.",
	"DIS.4342": "400 The CloudTable table does not exist",
	"DIS.4343": "400 The CloudTable table family does not exist.",
	"DIS.4345": "400 Invalid CloudTable schema.",
	"DIS.4348": "400 Invalid CloudTable openTSDB schema.",
	"DIS.4350": "400 Invalid DWS cluster.",
	"DIS.4351": "400 Invalid KMS userKey.",
	"DIS.4354": "400 The transfer task does not exist.",
	"DIS.4355": "400 The transfer task already exists.",
	"DIS.4357": "400 Exceeded transfer task quota.",
	"DIS.4360": "400 Invalid data schema.",
	"DIS.4375": "400 The app does not commit checkpoint",
	"DIS.4601": "400 The number of resource tags has reached the maximum.",
	"DIS.4602": "400 Invalid resource type.",
	"DIS.4603": "400 The resource does not exist.",
	"DIS.4604": "400 The key does not exist.",
	"DIS.4605": "400 The action is not supported.",
	"DIS.4701": "400 The consumer group is rebalancing. %s",
	"DIS.4702": "400 The consumer is not a member of the group. %s",
	"DIS.4703": "400 Illegal generation. %s",
	"DIS.4116": "403 Invalid RBAC. %s",
	"DIS.5000": "503 System error.",
}

// TestTexts holds the table of faults against section 8, whose texts are kept
// exactly (C-55).
func TestTexts(t *testing.T) {
	seen := make(map[string]bool)
	for _, f := range api.Faults() {
		if !strings.HasPrefix(f.Code, "DIS.") {
			continue
		}
		seen[f.Code] = true
		if got := fmt.Sprint(f.Status, " ", f.Message); got != texts[f.Code] {
			t.Errorf("%s: %q, want %q", f.Code, got, texts[f.Code])
		}
	}
	for code := range texts {
		if !seen[code] {
			t.Errorf("%s is never answered", code)
		}
	}
}

// Retention and the time of records.
func TestRulesRetention(t *testing.T) {
	w := newWorld(t)
	kept := func(rule, want string) step {
		return ask(rule, "GET /p/streams/s", "", `200 {"partitions":[{"sequence_number_range":"`+want+`"}]}`)
	}
	put := ask("E19", "POST /p/records", puts(`{"data":"AA==","timestamp":1}`), `200 {"failed_record_count":0}`)
	retention := func(hours string) step {
		return ask("E8-R4", "PUT /v3/proj/streams/s", `{"stream_name":"s","data_duration":`+hours+`}`, "204")
	}
	w.converse(
		ask("L-15", "POST /p/streams", create("s", 1, `"data_duration":48`), "201"),
		put,
		pass(48*time.Hour),
		kept("L-15 not less", "[0 : 1]"),
		pass(time.Millisecond),
		kept("L-15 L-13 E19-R8 whatever the producer says", "[1 : 1]"),
		put,
		pass(30*time.Hour),
		retention("72"),
		pass(30*time.Hour),
		kept("E8-R4 longer", "[1 : 2]"),
		retention("24"),
		kept("E8-R4 shorter: at the next pass", "[1 : 2]"),
		pass(0),
		kept("E8-R4 shorter", "[2 : 2]"),
		retention("168"),
		kept("E8-R4 they do not return", "[2 : 2]"),

		ask("E19-R8", "POST /p/records", puts(`{"data":""}`), `200 {"failed_record_count":0}`),
		happen(func(w *world) { w.clock.advance(-time.Hour) }),
		ask("E19-R8", "POST /p/records", puts(`{"data":""}`), `200 {"failed_record_count":0}`),
		ask("E19-R8", "GET /p/cursors?stream-name=s&partition-id=0", "", `200 {"partition_cursor":"@c"}`),
		ask("E19-R8 never smaller than the one before", "GET /p/records?partition-cursor=@c", "", `200 {"records":[{"timestamp":1795813628505},{"timestamp":1795813628505}]}`),
	)
	w.converse(
		ask("E3-R9 E3-R10", "POST /p/streams", create("typed", 1, `"data_type":"JSON","data_schema":"`+avro+`","compression_format":"gzip"`), "201"),
		ask("E3-R9 E3-R10", "POST /p/records", `{"stream_name":"typed","records":[{"data":"bm8gSlNPTg=="}]}`, `200 {"failed_record_count":0}`),
		ask("E3-R10", "GET /p/cursors?stream-name=typed&partition-id=0", "", `200 {"partition_cursor":"@typed"}`),
		ask("E3-R10", "GET /p/records?partition-cursor=@typed", "", `200 {"records":[{"data":"bm8gSlNPTg=="}]}`),
	)
}

// Everything acknowledged survives a restart.
func TestRulesRestart(t *testing.T) {
	w := newWorld(t)
	asks := []string{"/p/streams", "/p/streams/s", "/p/apps", "/p/apps/a", "/p/apps/a/streams/s", "/p/checkpoints?app_name=a&stream_name=s&partition_id=0", "/p/stream/tags", "/p/streams/s/policies"}
	w.want(201, "POST", "/p/streams", create("s", 2, `"tags":[{"key":"k","value":"v"}]`))
	w.want(201, "POST", "/p/streams", create("gone", 2))
	w.want(204, "DELETE", "/p/streams/gone", "")
	w.want(200, "PUT", "/p/streams/s", `{"stream_name":"s","target_partition_count":1}`)
	id := w.want(200, "GET", "/p/streams/s", "").member(t, "stream_id").(string)
	w.want(200, "POST", "/p/streams/s/policies", `{"stream_id":"`+id+`","principal_name":"other.bob","action_type":"putRecords","effect":"accept"}`)
	w.want(200, "POST", "/p/records", puts(`{"data":"AA=="}`))
	w.want(201, "POST", "/p/apps", `{"app_name":"a"}`)
	w.want(201, "POST", "/p/checkpoints", `{"app_name":"a","stream_name":"s","partition_id":0,"sequence_number":1,"metadata":"m"}`)
	before := make(map[string]string)
	for _, path := range asks {
		before[path] = w.want(200, "GET", path, "").body
	}
	w.start(t)
	for _, path := range asks {
		if after := w.want(200, "GET", path, "").body; after != before[path] {
			t.Errorf("L-27: %s\nbefore %s\nafter  %s", path, before[path], after)
		}
	}
}
