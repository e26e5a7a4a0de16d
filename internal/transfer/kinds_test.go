package transfer_test

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"disd/internal/field"
	"disd/internal/transfer/destinations"
	"disd/internal/transfer/kind"
)

// kinds are all that there are, without clusters.
var kinds = func() kind.Set {
	all, err := destinations.All(destinations.Options{})
	if err != nil {
		panic(err)
	}
	return all
}()

// served are the kinds when destinations of some types are reached by an opener.
func served(o kind.Opener, types ...kind.Type) kind.Set {
	all := slices.Clone(kinds)
	for i := range all {
		if slices.Contains(types, all[i].Type) {
			all[i].Opener = o
		}
	}
	return all
}

// whole is, for each kind by the name of its error directory, a descriptor with all
// fields, and which of them say where: Place, Directory and Backup.
var whole = map[string]struct{ members, place, directory, backup string }{
	"obs_error": {`{"task_name":"t","agency_name":"a","deliver_time_interval":30,"consumer_strategy":"LATEST",
		"file_prefix":"p","partition_format":"yyyy","obs_bucket_path":"b","destination_file_type":"text",
		"processing_schema":{"timestamp_name":"n","timestamp_type":"String","timestamp_format":"yyyy/MM/dd HH:mm:ss"},"record_delimiter":","}`,
		"agency_name obs_bucket_path", "file_prefix obs_bucket_path", "file_prefix obs_bucket_path"},
	"dws_error": {`{"task_name":"t","agency_name":"a","deliver_time_interval":30,"consumer_strategy":"LATEST",
		"dws_cluster_name":"c","dws_cluster_id":"1","dws_database_name":"d","dws_schema":"s","dws_table_name":"t","dws_delimiter":",",
		"user_name":"u","user_password":"******","kms_user_key_name":"k","kms_user_key_id":"2","obs_bucket_path":"b","file_prefix":"p",
		"retry_duration":"0","dws_table_columns":"x","options":{"fill_missing_fields":"on","ignore_extra_data":"on",
		"compatible_illegal_chars":"on","reject_limit":"1","error_table_name":"e"}}`,
		"agency_name dws_cluster_id dws_cluster_name obs_bucket_path", "file_prefix obs_bucket_path", "file_prefix obs_bucket_path"},
	"mrs_error": {`{"task_name":"t","agency_name":"a","deliver_time_interval":30,"consumer_strategy":"LATEST",
		"mrs_cluster_name":"c","mrs_cluster_id":"1","mrs_hdfs_path":"/d","hdfs_prefix_folder":"f","obs_bucket_path":"b","file_prefix":"p",
		"retry_duration":"0","destination_file_type":"text"}`,
		"mrs_cluster_id mrs_cluster_name", "hdfs_prefix_folder mrs_cluster_id mrs_hdfs_path", "file_prefix obs_bucket_path"},
	"dli_error": {`{"task_name":"t","agency_name":"a","deliver_time_interval":30,"consumer_strategy":"LATEST",
		"dli_database_name":"d","dli_table_name":"t","obs_bucket_path":"b","file_prefix":"p","retry_duration":"0"}`,
		"", "file_prefix obs_bucket_path", "file_prefix obs_bucket_path"},
	"cloudtable_error": {`{"task_name":"t","agency_name":"a","deliver_time_interval":30,"consumer_strategy":"LATEST",
		"cloudtable_cluster_name":"c","cloudtable_cluster_id":"1","cloudtable_table_name":"t",
		"cloudtable_schema":{"row_key":[{"value":"v","type":"String"}],"columns":[{"column_family_name":"f","column_name":"n","value":"v","type":"String"}]},
		"cloudtable_row_key_delimiter":",","obs_backup_bucket_path":"b","backup_file_prefix":"p","retry_duration":"0"}`,
		"cloudtable_cluster_id cloudtable_cluster_name", "backup_file_prefix obs_backup_bucket_path", "backup_file_prefix obs_backup_bucket_path"},
	"opentsdb_error": {`{"task_name":"t","agency_name":"a","deliver_time_interval":30,"consumer_strategy":"LATEST",
		"cloudtable_cluster_name":"c","cloudtable_cluster_id":"1",
		"opentsdb_schema":[{"metric":[{"type":"Constant","value":"m"}],"timestamp":{"type":"String","value":"v","format":"yyyy/MM/dd HH:mm:ss"},
		"value":{"type":"Double","value":"v"},"tags":[{"name":"n","type":"String","value":"v"}]}],
		"obs_backup_bucket_path":"b","backup_file_prefix":"p","retry_duration":"0"}`,
		"cloudtable_cluster_id cloudtable_cluster_name", "backup_file_prefix obs_backup_bucket_path", "backup_file_prefix obs_backup_bucket_path"},
}

// TestKinds holds every kind against its descriptor: each field of the table is
// decoded, and exactly those that say where a task delivers change its lane, the
// place of its names and that of its error directory.
func TestKinds(t *testing.T) {
	for i := range kinds {
		k := &kinds[i]
		t.Run(k.ErrorDir, func(t *testing.T) {
			want := whole[k.ErrorDir]
			d, err := kinds.Parse(k.Type, json.RawMessage(want.members))
			if err != nil {
				t.Fatal(err)
			}
			found, settings, err := kinds.Decode(d)
			if err != nil || found != k {
				t.Fatalf("it is of kind %v, %v", found, err)
			}
			checkDecoded(t, k, d, settings)
			for what, tt := range map[string]struct {
				of     func(kind.Settings) any
				fields string
			}{
				"place":     {func(s kind.Settings) any { return s.Place() }, want.place},
				"directory": {func(s kind.Settings) any { root, dir := s.Directory(); return []string{root, dir} }, want.directory},
				"backup":    {func(s kind.Settings) any { bucket, prefix := s.Backup(); return []string{bucket, prefix} }, want.backup},
			} {
				var moved []string
				for _, f := range k.Fields {
					if s := other(t, d, f); s != nil && !reflect.DeepEqual(tt.of(s), tt.of(settings)) {
						moved = append(moved, f.Name)
					}
				}
				slices.Sort(moved)
				if got := strings.Join(moved, " "); got != tt.fields {
					t.Errorf("the %s is told by %q, want %q", what, got, tt.fields)
				}
			}
		})
	}
}

// checkDecoded demands that the example has all fields, and the settings too.
func checkDecoded(t *testing.T, k *kind.Kind, d kind.Descriptor, settings kind.Settings) {
	t.Helper()
	left := maps.Clone(d.Members)
	for _, f := range k.Fields {
		if d.Members[f.Name] == nil {
			t.Errorf("the example has no %s", f.Name)
		}
		if f.Secret {
			delete(left, f.Name)
		}
	}
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	members, _ := json.Marshal(left)
	if json.Unmarshal(text, &got) != nil || json.Unmarshal(members, &want) != nil {
		t.Fatalf("%s, %s", text, members)
	}
	if all, _ := got.(map[string]any); all != nil && left["retry_duration"] == nil {
		delete(all, "retry_duration") // a common member, in the tables of those that give up
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s was decoded as %s", members, text)
	}
}

// other returns the settings of a descriptor that differs in one field; nil for
// structures.
func other(t *testing.T, d kind.Descriptor, f kind.Field) kind.Settings {
	t.Helper()
	members := maps.Clone(d.Members)
	switch v := members[f.Name].(type) {
	case string:
		members[f.Name] = v + "x"
	case int64:
		members[f.Name] = v + 1
	default:
		return nil
	}
	_, settings, err := kinds.Decode(kind.Descriptor{Type: d.Type, Members: members})
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

// TestVariants: of the two kinds of CloudTable, a descriptor is of the one whose
// schema it has (CT-8).
func TestVariants(t *testing.T) {
	for _, name := range []string{"cloudtable_error", "opentsdb_error"} {
		d, err := kinds.Parse(kind.CloudTable, json.RawMessage(whole[name].members))
		if err != nil {
			t.Fatal(err)
		}
		k, err := kinds.Find(d)
		if err != nil || k.ErrorDir != name {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
}

// TestLargeDescriptor: what a task leaves in the catalog is bounded, whatever its kind.
func TestLargeDescriptor(t *testing.T) {
	for name, w := range whole {
		typ := kinds[slices.IndexFunc(kinds, func(k kind.Kind) bool { return k.ErrorDir == name })].Type
		large := json.RawMessage(w.members + strings.Repeat(" ", 1<<20))
		_, err := kinds.Parse(typ, large)
		_, updateErr := kinds.ParseUpdate(typ, large)
		for _, err := range []error{err, updateErr} {
			if wrong := (*field.Error)(nil); !errors.As(err, &wrong) || !strings.HasSuffix(wrong.Field, "_destination_descriptor") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := kinds.Parse(typ, large[:1<<20]); err != nil {
			t.Errorf("%s of 1 MiB: %v", name, err)
		}
	}
}

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
	f.Fuzz(func(t *testing.T, typ string, raw []byte) {
		d, err := kinds.Parse(kind.Type(typ), raw)
		if err != nil {
			return
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var stored kind.Descriptor
		if err := json.Unmarshal(text, &stored); err != nil {
			t.Fatal(err)
		}
		if _, _, err := kinds.Decode(stored); err != nil {
			t.Fatalf("%s cannot be decoded: %v", text, err)
		}
		merged, err := kinds.Change(stored, d)
		if err != nil {
			t.Fatalf("refused when given again: %v", err)
		}
		if again, _ := json.Marshal(merged); string(again) != string(text) {
			t.Fatalf("%s became %s", text, again)
		}
		members, _ := json.Marshal(d.Members)
		reread, err := kinds.Parse(d.Type, members)
		if err != nil || !reflect.DeepEqual(reread, d) {
			t.Fatalf("%s is read as %v, %v", members, reread, err)
		}
	})
}
