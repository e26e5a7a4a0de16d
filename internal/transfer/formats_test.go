package transfer_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	words "disd/internal/field"
	"disd/internal/storage/vfs/errfs"
	"disd/internal/transfer"
	"disd/internal/transfer/format"
	disdparquet "disd/internal/transfer/format/parquet"
	"disd/internal/transfer/kind"
)

const schema = `{"type":"record","name":"r","fields":[{"name":"k","type":"string"},{"name":"n","type":["null","int"]}]}`

// rows returns the rows of a Parquet file with that schema.
func rows(t *testing.T, content string) (all []string) {
	t.Helper()
	type row struct {
		K string `parquet:"k"`
		N *int32 `parquet:"n,optional"`
	}
	got, err := parquet.Read[row](strings.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatalf("%q: %v", content, err)
	}
	for _, r := range got {
		n := "null"
		if r.N != nil {
			n = fmt.Sprint(*r.N)
		}
		all = append(all, r.K+"="+n)
	}
	return all
}

func TestParquet(t *testing.T) {
	t.Attr("rules", "OBS-5 D-9 D-10 E8-R6")
	r := newRig(t, 1)
	r.stream.DataType, r.stream.Schema = "JSON", schema
	r.create(`,"destination_file_type":"parquet","partition_format":"yyyy","file_prefix":"x","record_delimiter":";"`)
	r.put(0, `{"k":"a","n":1}`, `{"k":"b","other":[]}`, `{"n":1}`, `{"k":"c","n":null}`, `no JSON`)
	r.round()
	got := objects(t, r.disk)
	if rows := rows(t, got["x/2017/s-t-shardId-0000000000-0-4.parquet"]); fmt.Sprint(rows) != "[a=1 b=null c=null]" {
		t.Errorf("delivered %v", rows)
	}
	if want := `{"sequence_number":"2","reason":"k: is missing","data":"eyJuIjoxfQ=="}` + "\n" +
		`{"sequence_number":"4","reason":"is not JSON in UTF-8","data":"bm8gSlNPTg=="}` + "\n"; got["x/obs_error/s-t-shardId-0000000000-0-4.bad.json"] != want {
		t.Errorf("set aside %s", got["x/obs_error/s-t-shardId-0000000000-0-4.bad.json"])
	}
	if len(got) != 2 {
		t.Errorf("%d objects", len(got))
	}
	// Without a schema that can be used the task waits, and goes on with what was
	// put in the meantime.
	r.stream.Schema = strings.Replace(schema, `["null","int"]`, `["string","int"]`, 1)
	r.put(0, `{"k":"d"}`, `{}`)
	r.round()
	if s := r.status(); s.State != transfer.Abnormal || !strings.Contains(s.Error, "n: is a union") || s.Partitions[0].Next != 5 {
		t.Errorf("status %+v", s)
	}
	r.stream.Schema = schema
	r.advance(time.Minute)
	r.round()
	if s := r.status(); s.State != transfer.Running || s.Partitions[0].Discarded != 3 {
		t.Errorf("status %+v", s)
	}
	if rows := rows(t, objects(t, r.disk)["x/2017/s-t-shardId-0000000000-5-6.parquet"]); fmt.Sprint(rows) != "[d=null]" {
		t.Errorf("delivered %v", rows)
	}
}

// A batch that an older server began goes out with the bytes that it would have
// given it.
func TestOlderRules(t *testing.T) {
	t.Attr("rules", "D-7 D-12")
	for _, version := range []int{1, 2} {
		r := newRig(t, 1)
		r.stream.DataType, r.stream.Schema = "JSON", schema
		r.create(`,"destination_file_type":"parquet"`)
		r.open(errfs.Wrap(r.disk, errfs.From(0)))
		record := `{"k":"a","n":1}`
		r.put(0, record)
		r.round()
		if n, err := transfer.SetVersion(r.db, version); n != 1 || err != nil {
			t.Fatalf("%d batches on their way, %v", n, err)
		}
		r.open(r.disk)
		r.advance(time.Minute)
		r.round()
		s, err := format.Parse(schema)
		if err != nil {
			t.Fatal(err)
		}
		table := disdparquet.New(s, version).Table()
		if err := table.Append([]byte(record)); err != nil {
			t.Fatal(err)
		}
		want, err := table.Files("")
		if err != nil {
			t.Fatal(err)
		}
		if got := objects(t, r.disk)["s-t-shardId-0000000000-0-0.parquet"]; got != string(want[0].Content) {
			t.Errorf("version %d: a file of %d bytes, want %d", version, len(got), len(want[0].Content))
		}
	}
}

// A batch without a single good record makes no file.
func TestParquetOfBadRecords(t *testing.T) {
	t.Attr("rules", "D-9 OBS-3")
	r := newRig(t, 1)
	r.stream.DataType, r.stream.Schema = "JSON", schema
	r.create(`,"destination_file_type":"parquet","partition_format":"yyyy","processing_schema":{"timestamp_name":"at","timestamp_type":"Timestamp"}`)
	r.put(0, `{"at":1577934245000}`, `{"at":1577934245000,"k":"a"}`, `{"at":1277934245000}`, `{"k":"b"}`)
	r.round()
	r.put(0, `{}`)
	r.round()
	got := objects(t, r.disk)
	for key, want := range map[string]string{
		"2020/s-t-shardId-0000000000-1-1.parquet": "[a=null]",
		"2017/s-t-shardId-0000000000-3-3.parquet": "[b=null]",
	} {
		if rows := rows(t, got[key]); fmt.Sprint(rows) != want {
			t.Errorf("%s holds %v", key, rows)
		}
	}
	if n := strings.Count(got["obs_error/s-t-shardId-0000000000-0-3.bad.json"]+got["obs_error/s-t-shardId-0000000000-4-4.bad.json"], "k: is missing"); n != 3 || len(got) != 4 {
		t.Errorf("%d of %d objects", n, len(got))
	}
}

func TestFileTypes(t *testing.T) {
	t.Attr("rules", "D-2 E22-R1 OBS-6 CARBON-1")
	for _, tt := range []struct {
		kind, data, schema string
		field              string // of DIS.4200; "" for DIS.4360
	}{
		{"parquet", "BLOB", "", "destination_file_type"},
		{"parquet", "CSV", schema, "destination_file_type"},
		{"parquet", "JSON", "", ""},
		{"parquet", "JSON", strings.Replace(schema, `"string"`, `"null"`, 1), ""},
		{"carbon", "BLOB", "", "destination_file_type"},
		{"carbon", "JSON", "", ""},
		{"carbon", "JSON", strings.Replace(schema, `"n"`, `"K"`, 1), ""},
		{"carbon", "JSON", strings.Replace(schema, `"string"`, `{"type":"bytes","logicalType":"decimal","precision":39}`, 1), ""},
	} {
		r := newRig(t, 1)
		r.stream.DataType, r.stream.Schema = tt.data, tt.schema
		err := r.tryCreate(`,"destination_file_type":"` + tt.kind + `"`)
		var field *words.Error
		switch {
		case tt.field == "" && !errors.Is(err, kind.ErrSchema):
			t.Errorf("%+v: %v", tt, err)
		case tt.field != "" && (!errors.As(err, &field) || field.Field != tt.field):
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// The directory follows the record's own time in each of its forms; texts are
// read in the zone of the directories.
func TestTimesOfRecords(t *testing.T) {
	t.Attr("rules", "OBS-2 OBS-3")
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ kind, format, value, dir string }{
		{"String", "yyyy/MM/dd HH:mm:ss", `"2020/02/01 03:04:05"`, "2020/02/01/03/04"},
		{"String", "MM/dd/yyyy HH:mm:ss", `"02/01/2020 03:04:05"`, "2020/02/01/03/04"},
		{"String", "dd/MM/yyyy HH:mm:ss", `"01/02/2020 03:04:05"`, "2020/02/01/03/04"},
		{"String", "yyyy-MM-dd HH:mm:ss", `"2020-02-01 03:04:05"`, "2020/02/01/03/04"},
		{"String", "MM-dd-yyyy HH:mm:ss", `"02-01-2020 03:04:05"`, "2020/02/01/03/04"},
		{"String", "dd-MM-yyyy HH:mm:ss", `"01-02-2020 03:04:05"`, "2020/02/01/03/04"},
		{"Timestamp", "", `1580497445000`, "2020/02/01/03/04"},
		{"Timestamp", "", `"1580497445000"`, "2020/02/01/03/04"},
		{"Timestamp", "", `1580497445`, "2017/11/10/22/49"}, // seconds
		{"String", "yyyy-MM-dd HH:mm:ss", `"2020/02/01 03:04:05"`, "2017/11/10/22/49"},
		{"String", "yyyy-MM-dd HH:mm:ss", `"2020-02-30 03:04:05"`, "2017/11/10/22/49"},
		{"String", "yyyy-MM-dd HH:mm:ss", `null`, "2017/11/10/22/49"},
		{"String", "yyyy-MM-dd HH:mm:ss", `["2020-02-01 03:04:05"]`, "2017/11/10/22/49"},
	} {
		r := newRig(t, 1)
		r.opts.Zone, r.stream.DataType = shanghai, "JSON"
		r.open(r.disk)
		r.create(fmt.Sprintf(`,"partition_format":"yyyy/MM/dd/HH/mm","processing_schema":{"timestamp_name":"at","timestamp_type":%q,"timestamp_format":%q}`, tt.kind, tt.format))
		data := `{"at":` + tt.value + `}`
		r.put(0, data)
		r.round()
		if got := objects(t, r.disk)[tt.dir+"/s-t-shardId-0000000000-0-0.txt"]; got != data+"\n" {
			t.Errorf("%+v: %v", tt, objects(t, r.disk))
		}
	}
}

func TestFileName(t *testing.T) {
	t.Attr("rules", "D-10")
	const id = `[0-9A-Za-z]+`
	for _, tt := range []struct{ template, want string }{ // a pattern, or the reason why it is refused
		{"{task_id}/{partition_id}/{first_seq}", "^x/2017/" + id + "/shardId-0000000000/0.txt$"},
		{"p={project_id}/{stream_id}-{task_name}/{partition_id}_{first_seq}_{last_seq}.v1", "^x/2017/p=p/" + streamID + "-t/shardId-0000000000_0_1.v1.txt$"},
		{"{stream_name}-{task_name}-{partition_id}-{first_seq}", "^x/2017/s-t-shardId-0000000000-0.txt$"},
		{"{task_id}-{partition_id}-{last_seq}", "{partition_id} and {first_seq} are needed"},
		{"{task_id}-{first_seq}", "{partition_id} and {first_seq} are needed"},
		{"{task_name}-{partition_id}-{first_seq}", "{task_id} is needed, or"},
		{"{stream_id}-{partition_id}-{first_seq}", "{task_id} is needed, or"},
		{"{task_id}-{partition_id}-{first_seq}{last_seq}", "two placeholders need a character between them"},
		{"{task_id}-{partition_id}-{first_seq}-{time}", "unknown placeholder {time}"},
		{"{task_id}-{partition_id}-{first_seq}-{", "only letters"},
		{"{task_id} {partition_id}-{first_seq}", "only letters"},
		{"/{task_id}-{partition_id}-{first_seq}", "empty path elements"},
		{"a/../{task_id}-{partition_id}-{first_seq}", "empty path elements"},
	} {
		r := newRig(t, 1)
		r.opts.FileName = tt.template
		if _, err := transfer.Open(transfer.Options{DB: r.db, FileName: tt.template}); err != nil {
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v", tt.template, err)
			}
			continue
		}
		r.open(r.disk)
		r.create(`,"file_prefix":"x","partition_format":"yyyy"`)
		r.put(0, "a", "b")
		r.round()
		for key := range objects(t, r.disk) {
			if !regexp.MustCompile(tt.want).MatchString(key) {
				t.Errorf("%s made %s", tt.template, key)
			}
		}
		if len(objects(t, r.disk)) != 1 {
			t.Errorf("%s made %v", tt.template, objects(t, r.disk))
		}
	}
}

// A batch keeps the name under which it was begun.
func TestFileNameOfBegunBatch(t *testing.T) {
	t.Attr("rules", "D-12")
	r := newRig(t, 1)
	f := r.failing()
	r.create("")
	r.put(0, "a")
	f.set(errors.New("reply lost"), true)
	r.round()
	r.opts.FileName = "other/{task_id}-{partition_id}-{first_seq}"
	f.set(nil, false)
	r.open(r.disk)
	r.advance(time.Minute)
	r.round()
	if got := objects(t, r.disk); len(got) != 1 || got["s-t-shardId-0000000000-0-0.txt"] != "a\n" {
		t.Errorf("%v", got)
	}
}
