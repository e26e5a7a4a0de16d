package dws_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"disd/internal/storage"
	"disd/internal/transfer/dws"
	"disd/internal/transfer/filestore"
	"disd/internal/transfer/kind"
	"disd/internal/transfer/sinktest"
	"disd/test/postgres"
)

// A bench is a database server and a bucket.
type bench struct {
	*postgres.Server
	kind   kind.Kind
	dir    string // of the bucket
	store  kind.Store
	schema int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{Server: postgres.Start(t, "synchronous_commit=off"), dir: filepath.Join(t.TempDir(), "b")}
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.store = filestore.Open(filestore.Options{Dir: filepath.Dir(b.dir)})
	tables, err := dws.Kind(dws.Options{
		Clusters: []dws.Cluster{{Name: "c", ID: "1", Address: b.Address, SSLMode: "disable"}},
		Keys:     []dws.Key{{Name: "k", ID: "2"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.kind = tables
	return b
}

// target makes a table with columns in a schema of its own, and a task with more
// members that writes to it.
func (b *bench) target(t *testing.T, columns string, members map[string]any) kind.Target {
	t.Helper()
	b.schema++
	schema := "s" + strconv.Itoa(b.schema)
	b.Query(t, "", `CREATE SCHEMA `+schema+`; CREATE TABLE `+schema+`.t (`+columns+`)`)
	all := map[string]any{
		"task_name": "t", "agency_name": "a", "dws_cluster_name": "c", "dws_cluster_id": "1", "dws_database_name": "postgres",
		"dws_schema": schema, "dws_table_name": "t", "dws_delimiter": ",", "user_name": postgres.User, "user_password": "hidden",
		"kms_user_key_name": "k", "kms_user_key_id": "2", "obs_bucket_path": "b", "file_prefix": "x",
	}
	for name, v := range members {
		all[name] = v
	}
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	target := sinktest.Target(t, b.kind, string(raw))
	target.TaskID, target.Stream.DataType, target.Secret, target.Store = schema, kind.CSV, postgres.Password, b.store
	return target
}

func TestSink(t *testing.T) {
	b := newBench(t)
	sinktest.Run(t, func(t *testing.T) sinktest.Destination {
		target := b.target(t, "a text, b text", nil)
		table := target.TaskID + ".t"
		return sinktest.Destination{
			Target: target,
			Rows: func() (rows []string) {
				for _, row := range b.Query(t, "", "SELECT a || ',' || b FROM "+table) {
					rows = append(rows, row[0])
				}
				return rows
			},
			Vanish: func() { b.Query(t, "", "DROP TABLE "+table) },
		}
	})
	var left []string
	filepath.WalkDir(b.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			left = append(left, path)
		}
		return err
	})
	if len(left) > 0 {
		t.Errorf("staging files are left: %v", left)
	}
}

// batch makes a batch of a partition from records.
func batch(target kind.Target, partition int32, first int, data ...string) kind.Batch {
	b := kind.Batch{Target: target, Partition: partition, First: storage.Seq(first), Last: storage.Seq(first + len(data) - 1)}
	for i := range data {
		b.Records = append(b.Records, storage.Record{Seq: b.First + storage.Seq(i), Data: []byte(data[i])})
	}
	return b
}

func (b *bench) deliver(t *testing.T, batch kind.Batch) (rejected int64, err error) {
	t.Helper()
	s, err := b.kind.Opener.Open(t.Context(), batch.Target)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	done, err := s.Deliver(t.Context(), batch)
	return done.Rejected, err
}

// rows returns a table's rows, in order of their columns; ∅ is NULL.
func (b *bench) rows(t *testing.T, table string) string {
	t.Helper()
	var rows []string
	for _, row := range b.Query(t, "", `SELECT * FROM (SELECT array_to_string(ARRAY(SELECT coalesce(value, '∅') FROM json_each_text(row_to_json(t))), '|') FROM `+table+` t) x ORDER BY 1`) {
		rows = append(rows, row[0])
	}
	return strings.Join(rows, " ")
}

const schema = `{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":["null","string"]},
	{"name":"c","type":{"type":"record","name":"C","fields":[{"name":"d","type":"string"}]}}]}`

func TestLoads(t *testing.T) {
	b := newBench(t)
	type m = map[string]any
	options := func(pairs ...string) m {
		o := m{}
		for i := 0; i < len(pairs); i += 2 {
			o[pairs[i]] = pairs[i+1]
		}
		return m{"options": o}
	}
	for _, tt := range []struct {
		name    string
		columns string
		stream  kind.Stream
		members m
		records []string

		rows     string // in the table
		rejected int64
		err      string // the load fails
		log      string // rows of the error table "e", without the time and the file
	}{
		{name: "DWS-2 in order, no quoting, one newline dropped", columns: "a int, b text", records: []string{"1,x", "2,\"y\"\n", "3,z\r\n", "4,w\n\n"},
			rows: "1|x 2|\"y\" 3|z 4|w\n"},
		{name: "DWS-2 what COPY escapes", columns: "a text, b text", members: m{"dws_delimiter": "|"}, records: []string{"a\tb|c\\d", "\\N|\\.", "x\ny|\r"},
			rows: "\\N|\\. a\tb|c\\d x\ny|\r"},
		{name: "DWS-2 an empty field is NULL", columns: "a int, b text, c int", records: []string{",,1", "2,,"}, rows: "2|∅|∅ ∅|∅|1"},
		{name: "DWS-2 JSON in schema order", columns: "x int, y text, z json", stream: kind.Stream{DataType: "JSON", Schema: schema},
			records: []string{`{"c":{"d": "e"},"b":"q,\"r\"","a":1,"other":3}`, `{"a":2,"b":null}`, `{"a":3,"b":""}`},
			rows:    `1|q,"r"|{"d": "e"} 2|∅|∅ 3||∅`},
		{name: "DWS-3 JSON by name", columns: `z text, b text, "c.d" text, a int`, stream: kind.Stream{DataType: "JSON", Schema: schema},
			members: m{"dws_table_columns": "c.d, a"}, records: []string{`{"a":1,"b":"x","c":{"d":"e"}}`}, rows: "∅|∅|e|1"},
		{name: "DWS-3 CSV with a schema", columns: "c text, b text, a int", stream: kind.Stream{DataType: "CSV", Schema: schema},
			members: m{"dws_table_columns": "a,c"}, records: []string{"1,x,y"}, rows: "y|∅|1"},
		{name: "DWS-3 CSV without a schema", columns: "a int, b text, c text", members: m{"dws_table_columns": "c,a"}, records: []string{"y,1"}, rows: "1|∅|y"},
		{name: "generated columns are not loaded", columns: "a int, b int GENERATED ALWAYS AS (a * 2) STORED, c int", records: []string{"1,3"}, rows: "1|2|3"},

		{name: "DWS-4 off", columns: "a int, b int", records: []string{"1,2", "3"}, err: "1 fields instead of 2"},
		{name: "DWS-4 on", columns: "a int, b int", members: options("fill_missing_fields", "on"), records: []string{"1,2", "3"}, rows: "1|2 3|∅"},
		{name: "DWS-4 more than one", columns: "a int, b int, c int", members: options("fill_missing_fields", "true"), records: []string{"1"}, err: "1 fields instead of 3"},
		{name: "DWS-5 off", columns: "a int", records: []string{"1,2"}, err: "2 fields instead of 1"},
		{name: "DWS-5 on", columns: "a int", members: options("ignore_extra_data", "TRUE/ON"), records: []string{"1,2,3"}, rows: "1"},
		{name: "DWS-6 off", columns: "a text", records: []string{"x\x00"}, err: "invalid byte sequence", members: options("reject_limit", "unlimited")},
		{name: "DWS-6 off, not UTF-8", columns: "a text", records: []string{"x\xff"}, err: "invalid byte sequence"},
		{name: "DWS-6 on", columns: "a text", members: options("compatible_illegal_chars", "true/on"), records: []string{"x\x00y", "\xffé\xfe", "\uFFFD"}, rows: "?é? x y \uFFFD"},
		{name: "DWS-6 on, JSON", columns: "a text, b text, c text", stream: kind.Stream{DataType: "JSON", Schema: schema},
			members: options("compatible_illegal_chars", "on"), records: []string{"{\"a\":\"x\\u0000y\",\"b\":\"\xff\"}"}, rows: "x y|?|∅"},
		{name: "DWS-7 default", columns: "a int", records: []string{"1", "x"}, err: "invalid input syntax"},
		{name: "DWS-7 at most", columns: "a int", members: options("reject_limit", "2"), records: []string{"x", "1", "2", "y", "3"}, rows: "1 2 3", rejected: 2},
		{name: "DWS-7 more", columns: "a int", members: options("reject_limit", "2"), records: []string{"x", "1", "1,2", "y"}, err: "invalid input syntax"},
		{name: "DWS-7 unlimited", columns: "a smallint", members: options("reject_limit", "unlimited"), records: []string{"99999", "x", "1,1", ""}, rows: "∅", rejected: 3},
		{name: "DWS-7 all", columns: "a int", members: options("reject_limit", "unlimited"), records: []string{"x", "y"}, rejected: 2},
		{name: "DWS-7 not the format", columns: "a int NOT NULL", members: options("reject_limit", "unlimited"), records: []string{"1", ""}, err: "violates not-null"},
		{name: "DWS-8", columns: "a int, b date", members: options("reject_limit", "unlimited", "error_table_name", "e"),
			records: []string{"1,2020-01-01", "2", "3,2020-02-31", "4\x00"},
			rows:    "1|2020-01-01", rejected: 3,
			log: "2|2|it has 1 fields instead of 2 3|3,2020-02-31|ERROR: date/time field value out of range: \"2020-02-31\" (SQLSTATE 22008) 4|4 |it has 1 fields instead of 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			target := b.target(t, tt.columns, tt.members)
			if tt.stream.DataType != "" {
				tt.stream.Name = "s"
				target.Stream = tt.stream
			}
			if err := b.kind.Opener.Check(t.Context(), target); err != nil {
				t.Fatal(err)
			}
			rejected, err := b.deliver(t, batch(target, 0, 0, tt.records...))
			if tt.err != "" {
				if err == nil || errors.Is(err, kind.ErrRefused) || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want a transient error about %q", err, tt.err)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if got := b.rows(t, target.TaskID+".t"); got != tt.rows || rejected != tt.rejected {
				t.Errorf("%d rejected, and the rows\n%q, want %d and\n%q", rejected, got, tt.rejected, tt.rows)
			}
			if again, err := b.deliver(t, batch(target, 0, 0, tt.records...)); tt.err == "" && (err != nil || again != rejected) {
				t.Errorf("the second time %d rejected, %v", again, err)
			}
			if tt.log != "" {
				if got := b.rows(t, `(SELECT rownum, rawrecord, detail FROM `+target.TaskID+`.e)`); got != tt.log {
					t.Errorf("error table %q, want %q", got, tt.log)
				}
			}
		})
	}
}

// A database of another encoding says itself what it does not have.
func TestOtherEncoding(t *testing.T) {
	t.Attr("rules", "DWS-6")
	b := newBench(t)
	b.Query(t, "", "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
	for _, compatible := range []string{"off", "on"} {
		target := b.target(t, "a text", map[string]any{
			"dws_database_name": "latin", "options": map[string]any{"compatible_illegal_chars": compatible},
		})
		b.Query(t, "latin", "CREATE SCHEMA "+target.TaskID+"; CREATE TABLE "+target.TaskID+".t (a text)")
		_, err := b.deliver(t, batch(target, 0, 0, "é€", "中€", "x"))
		want := "[[x] [é?] [??]]"
		if compatible == "off" {
			want = "[]"
		}
		rows := b.Query(t, "latin", "SET client_encoding TO UTF8; SELECT a FROM "+target.TaskID+".t ORDER BY a = 'x' DESC, a LIKE '?%'")
		if got := fmt.Sprint(rows); got != want || (err == nil) != (compatible == "on") || errors.Is(err, kind.ErrRefused) {
			t.Errorf("%s: %s, %v, want %s", compatible, got, err, want)
		}
	}
}
