package transfer

import (
	"encoding/json"
	"reflect"
	"testing"

	"disd/internal/storage"
)

// Whatever is accepted is shown, stored and updated with itself without a change.
func FuzzDescriptor(f *testing.F) {
	for _, seed := range []struct{ kind, text string }{
		{"OBS", `{"task_name":"t","agency_name":"a","obs_bucket_path":"b","deliver_time_interval":"30","processing_schema":{"timestamp_name":"x","timestamp_type":"Timestamp"}}`},
		{"MRS", `{"task_name":"t","agency_name":"a","obs_bucket_path":"b","mrs_cluster_name":1,"mrs_cluster_id":"c","mrs_hdfs_path":"/","retry_duration ":0}`},
		{"DWS", `{"user_password":"p","options":{"fill_missing_fields":true,"reject_limit":5}}`},
		{"CLOUDTABLE", `{"task_name":"t","agency_name":"a","cloudtable_cluster_name":"c","cloudtable_cluster_id":"c","opentsdb_schema":[{"metric":[{"type":"Constant","value":"m"}],
			"timestamp":{"type":"Timestamp","value":"v"},"value":{"type":"Double","value":"v"},"tags":[{"name":"n","type":"String","value":"v"}]}]}`},
		{"DLI", `{"task_name":null}`}, {"OBS", `[]`}, {"", `{}`},
	} {
		f.Add(seed.kind, []byte(seed.text))
	}
	f.Fuzz(func(t *testing.T, kind string, raw []byte) {
		d, err := Parse(Type(kind), raw)
		if err != nil {
			return
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var stored Descriptor
		if err := json.Unmarshal(text, &stored); err != nil {
			t.Fatal(err)
		}
		merged, err := stored.changed(d)
		if err != nil {
			t.Fatalf("refused when given again: %v", err)
		}
		if again, _ := json.Marshal(merged); string(again) != string(text) {
			t.Fatalf("%s became %s", text, again)
		}
		members, _ := json.Marshal(d.Members)
		reread, err := Parse(d.Type, members)
		if err != nil || !reflect.DeepEqual(reread, d) {
			t.Fatalf("%s is read as %v, %v", members, reread, err)
		}
	})
}

// Whatever is in a record, decompressing ends, within the bound.
func FuzzDecompress(f *testing.F) {
	f.Add("gzip", []byte("\x1f\x8b"))
	f.Add("zip", []byte("PK\x03\x04"))
	f.Add("snappy", []byte("\xff\xff\xff\xff\x0f"))
	f.Add("snappy", []byte("\x01\x00a"))
	f.Fuzz(func(t *testing.T, format string, data []byte) {
		out, err := decompress(format, data)
		if err == nil && len(out) > storage.MaxData {
			t.Fatalf("%d bytes", len(out))
		}
	})
}
