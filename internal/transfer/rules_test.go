package transfer_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"

	"disd/internal/transfer"
	"disd/internal/transfer/filestore"
	"disd/internal/transfer/kind"
)

// TestGivingUp: how long a delivery that fails is tried again, where it is put then,
// and that the task goes on.
func TestGivingUp(t *testing.T) {
	t.Attr("rules", "D-8 Q-13 MRS-2 DLI-2 CT-7")
	const common = `"task_name":"t","agency_name":"a","deliver_time_interval":30`
	const hbase = common + `,"cloudtable_cluster_name":"c","cloudtable_cluster_id":"c","cloudtable_table_name":"t","cloudtable_schema":{
		"row_key":[{"value":"k","type":"String"}],"columns":[{"column_family_name":"f","column_name":"c","value":"k","type":"String"}]}`
	const opentsdb = common + `,"cloudtable_cluster_name":"c","cloudtable_cluster_id":"c","opentsdb_schema":[{"metric":[{"type":"Constant","value":"m"}],
		"timestamp":{"type":"Timestamp","value":"k"},"value":{"type":"Double","value":"k"},"tags":[{"name":"n","type":"String","value":"k"}]}]`
	const dws = common + `,"dws_cluster_name":"c","dws_cluster_id":"c","dws_database_name":"d","dws_schema":"s","dws_table_name":"t","dws_delimiter":",",
		"user_name":"u","user_password":"secret","kms_user_key_name":"k","kms_user_key_id":"k","obs_bucket_path":"b"`
	for _, tt := range []struct {
		kind    kind.Type
		members string
		seconds int
		object  string // "" for none
	}{
		{kind.DWS, dws, 1800, "dws_error/s-t-shardId-0000000000-0-1.csv"},
		{kind.DWS, dws + `,"file_prefix":"x/y","retry_duration":"7200"`, 7200, "x/y/dws_error/s-t-shardId-0000000000-0-1.csv"},
		{kind.DWS, dws + `,"retry_duration":"0"`, 0, "dws_error/s-t-shardId-0000000000-0-1.csv"},
		{kind.MRS, common + `,"mrs_cluster_name":"c","mrs_cluster_id":"c","mrs_hdfs_path":"/","obs_bucket_path":"b","file_prefix":"x","retry_duration":5`, 5, "x/mrs_error/s-t-shardId-0000000000-0-1.txt"},
		{kind.MRS, common + `,"mrs_cluster_name":"c","mrs_cluster_id":"c","mrs_hdfs_path":"/","obs_bucket_path":"b","retry_duration":0`, 0, "mrs_error/s-t-shardId-0000000000-0-1.txt"},
		{kind.DLI, common + `,"dli_database_name":"d","dli_table_name":"t","obs_bucket_path":"b","file_prefix":"x","retry_duration":60`, 60, "x/dli_error/s-t-shardId-0000000000-0-1.csv"},
		{kind.DLI, common + `,"dli_database_name":"d","dli_table_name":"t","obs_bucket_path":"b","retry_duration":"0"`, 0, "dli_error/s-t-shardId-0000000000-0-1.csv"},
		{kind.CloudTable, hbase + `,"obs_backup_bucket_path":"b","backup_file_prefix":"x/y"`, 1800, "x/y/cloudtable_error/s-t-shardId-0000000000-0-1.txt"},
		{kind.CloudTable, hbase + `,"backup_file_prefix":"x"`, 1800, ""},
		{kind.CloudTable, opentsdb + `,"obs_backup_bucket_path":"b","retry_duration":0`, 0, "opentsdb_error/s-t-shardId-0000000000-0-1.txt"},
		{kind.CloudTable, opentsdb, 1800, ""},
	} {
		r := newRig(t, 1)
		r.stream.DataType, r.stream.Schema = "JSON", `{"type":"record","name":"r","fields":[{"name":"k","type":"string"}]}`
		d := &table{err: errors.New("not now"), password: map[bool]string{true: "secret"}[tt.kind == kind.DWS]}
		r.opts.Kinds = served(d, tt.kind)
		r.open(r.disk)
		desc, err := kinds.Parse(tt.kind, json.RawMessage("{"+tt.members+"}"))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.tasks.Create(t.Context(), streamID, desc); err != nil {
			t.Fatal(err)
		}
		r.put(0, `{"k":"1500000001"}`, `{"k":"1500000002"}`) // also times
		r.advance(30 * time.Second)
		if tt.seconds > 0 {
			r.tasks.Pass()
			r.advance(time.Duration(tt.seconds)*time.Second - time.Millisecond)
			r.tasks.Pass()
			if s := r.status(); s.State != transfer.Abnormal || s.Partitions[0].Next != 0 || len(objects(t, r.disk)) != 0 {
				t.Errorf("%s: before the end of its time: %+v", tt.members, s)
			}
			r.advance(time.Minute) // there are pauses between the attempts
		}
		r.tasks.Pass()
		if s := r.status(); s.State != transfer.Abnormal || s.Partitions[0].Next != 2 || s.Partitions[0].Discarded != 2 {
			t.Errorf("%s: after its time: %+v", tt.members, s)
		}
		want := map[string]string{}
		if tt.object != "" {
			want[tt.object] = "{\"k\":\"1500000001\"}\n{\"k\":\"1500000002\"}\n"
		}
		if got := objects(t, r.disk); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", tt.members, got, want)
		}
		d.err = nil
		r.put(0, `{"k":"1500000003"}`)
		r.round()
		if s := r.status(); s.State != transfer.Running || fmt.Sprint(d.rows) != `[{"k":"1500000003"}]` || s.Partitions[0].Next != 3 {
			t.Errorf("%s: it has %v, status %+v", tt.members, d.rows, s)
		}
	}
}

// TestCompressedRecords: every compression of a stream is undone before a record is
// written, and what is not compressed so is set aside.
func TestCompressedRecords(t *testing.T) {
	t.Attr("rules", "D-3")
	zipped := func(contents ...string) string {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for i, content := range contents {
			w, err := z.Create(fmt.Sprint(i))
			if err != nil {
				t.Fatal(err)
			}
			w.Write([]byte(content))
		}
		z.Close()
		return b.String()
	}
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	w.Write([]byte("plain"))
	w.Close()
	for format, record := range map[string]string{
		"gzip": gz.String(), "zip": zipped("plain", "second"), "snappy": string(snappy.Encode(nil, []byte("plain"))),
	} {
		r := newRig(t, 1)
		r.stream.Compression = format
		r.create("")
		r.put(0, record, "plain", record, "")
		r.round()
		if got := objects(t, r.disk)["s-t-shardId-0000000000-0-3.txt"]; got != "plain\nplain\n" {
			t.Errorf("%s: %q", format, got)
		}
		if s := r.status(); s.Partitions[0].Discarded != 2 || s.State != transfer.Running {
			t.Errorf("%s: status %+v", format, s)
		}
	}
	r := newRig(t, 1)
	r.stream.Compression = "zip"
	r.create("")
	r.put(0, zipped()) // without an entry
	r.round()
	if s := r.status(); s.Partitions[0].Discarded != 1 {
		t.Errorf("status %+v", s)
	}
}

// TestDeleteUnderWay: a task can be deleted whatever it is doing, and writes nothing
// more then.
func TestDeleteUnderWay(t *testing.T) {
	t.Attr("rules", "E24-R1")
	for _, state := range []transfer.State{transfer.Running, transfer.Abnormal, transfer.Paused, transfer.Failed} {
		r := newRig(t, 1)
		f := r.failing()
		r.create("")
		r.put(0, "a")
		switch state {
		case transfer.Abnormal:
			f.set(errors.New("busy"), false)
		case transfer.Failed:
			f.set(fmt.Errorf("gone: %w", kind.ErrRefused), false)
		case transfer.Paused:
			if err := r.tasks.Stop(streamID, []string{"t"}); err != nil {
				t.Fatal(err)
			}
		}
		r.round()
		if s := r.status(); s.State != state {
			t.Fatalf("%s instead of %s", s.State, state)
		}
		f.set(nil, false)
		before := len(objects(t, r.disk))
		if err := r.tasks.Delete(streamID, "t"); err != nil {
			t.Errorf("%s: %v", state, err)
		}
		r.put(0, "b")
		r.advance(time.Hour)
		r.round()
		r.open(r.disk)
		r.round()
		if got := len(objects(t, r.disk)); got != before || transfer.Rows(r.db, streamID) != 0 {
			t.Errorf("%s: %d objects, %d before", state, got, before)
		}
	}

	r := newRig(t, 1)
	h := &hanging{filestore.Open(filestore.Options{Dir: "obs", FS: r.disk}), make(chan struct{})}
	r.opts.Store, r.opts.Grace, r.opts.Tick = h, time.Millisecond, time.Millisecond
	r.open(r.disk)
	r.create("")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.tasks.Run(ctx) }()
	r.put(0, "a")
	r.advance(30 * time.Second)
	<-h.begun
	if err := r.tasks.Delete(streamID, "t"); err != nil { // returns when nothing is under way any more
		t.Error(err)
	}
	if _, err := r.tasks.Get(streamID, "t"); !errors.Is(err, transfer.ErrTaskNotFound) {
		t.Errorf("it is still shown: %v", err)
	}
	stop()
	<-ended
	if got := objects(t, r.disk); len(got) != 0 {
		t.Errorf("objects %v", got)
	}
}

// TestTimesWithoutDirectories: where there are no time directories, the time of a
// record changes nothing.
func TestTimesWithoutDirectories(t *testing.T) {
	t.Attr("rules", "OBS-3")
	r := newRig(t, 1)
	r.stream.DataType = "JSON"
	r.create(`,"processing_schema":{"timestamp_name":"at","timestamp_type":"Timestamp"}`)
	records := []string{`{"at":1577934245000}`, `{"at":1277934245000}`}
	r.put(0, records...)
	r.round()
	if got := objects(t, r.disk); len(got) != 1 || got["s-t-shardId-0000000000-0-1.txt"] != strings.Join(records, "\n")+"\n" {
		t.Errorf("objects %v", got)
	}
}

// TestInterval: what a task does not say about its interval.
func TestInterval(t *testing.T) {
	t.Attr("rules", "Q-12")
	r := newRig(t, 1)
	d, err := kinds.Parse(kind.OBS, json.RawMessage(`{"task_name":"t","agency_name":"a","obs_bucket_path":"b"}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.tasks.Create(t.Context(), streamID, d); err != nil {
		t.Fatal(err)
	}
	r.put(0, "a")
	r.advance(300*time.Second - time.Millisecond)
	r.tasks.Pass()
	if got := objects(t, r.disk); len(got) != 0 {
		t.Errorf("before 300 s: %v", got)
	}
	r.advance(time.Millisecond)
	r.tasks.Pass()
	if got := objects(t, r.disk); len(got) != 1 {
		t.Errorf("after 300 s: %v", got)
	}
}

// TestFrozenStream: tasks of a stream that the operator froze do nothing, go on where
// they were when it is no longer frozen, and then say what retention took meanwhile.
func TestFrozenStream(t *testing.T) {
	t.Attr("rules", "L-3")
	r := newRig(t, 1)
	f := r.failing()
	r.create("")
	r.put(0, "a")
	f.set(errors.New("busy"), false)
	r.round() // a batch is begun
	attempts := f.puts
	r.put(0, "b", "c")
	r.stream.Frozen = true
	f.set(nil, false)
	r.advance(time.Hour)
	r.round()
	if s := r.status(); s.State != transfer.Paused || s.Partitions[0].State != transfer.Paused || f.puts != attempts {
		t.Errorf("frozen: %+v, %d attempts", s, f.puts-attempts)
	}
	r.open(r.disk) // nor after a restart
	r.round()
	if got := objects(t, r.disk); len(got) != 0 {
		t.Errorf("frozen: %v", got)
	}
	r.trim(0, 2)
	r.stream.Frozen = false
	r.round()
	s := r.status()
	if got := objects(t, r.disk)["s-t-shardId-0000000000-2-2.txt"]; got != "c\n" || s.State != transfer.Running || s.Partitions[0].Discarded != 2 {
		t.Errorf("afterwards: %v, %+v", objects(t, r.disk), s)
	}
}
