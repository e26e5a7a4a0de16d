package transfer_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"disd/internal/storage"
	"disd/internal/transfer"
	"disd/internal/transfer/kind"
)

// An owner is a task of a stream.
type owner struct{ project, streamID, stream, task, members string }

// add makes a stream with one partition, unless it exists, and a task that delivers
// to the bucket.
func (r *rig) add(o owner) {
	r.Helper()
	if r.others == nil {
		r.others = make(map[string]kind.Stream)
	}
	if _, exists := r.others[o.streamID]; !exists {
		if err := r.engine.Create(r.Context(), storage.LogID{Stream: o.streamID}); err != nil {
			r.Fatal(err)
		}
		r.others[o.streamID] = kind.Stream{
			ID: o.streamID, Project: o.project, Name: o.stream, DataType: "BLOB", Partitions: []kind.PartitionState{kind.Active},
		}
	}
	d, err := kinds.Parse(kind.OBS, json.RawMessage(`{"task_name":"`+o.task+`","agency_name":"a","obs_bucket_path":"b","deliver_time_interval":30`+o.members+`}`))
	if err != nil {
		r.Fatal(err)
	}
	if err := r.tasks.Create(r.Context(), o.streamID, d); err != nil {
		r.Fatal(err)
	}
}

// write puts a record that says whose it is, and has it delivered.
func (r *rig) write(o owner) {
	r.Helper()
	log, err := r.engine.Open(r.Context(), storage.LogID{Stream: o.streamID})
	if err != nil {
		r.Fatal(err)
	}
	b := &storage.Batch{Log: log, Records: []storage.Record{{Data: []byte(o.streamID + " " + o.task)}}}
	r.engine.Append(r.Context(), []*storage.Batch{b})
	if b.Err != nil {
		r.Fatal(b.Err)
	}
	r.round()
}

var taskID = regexp.MustCompile(`-[A-Za-z0-9]{19}-shardId`)

// TestNames has two tasks with one bucket whose files would have the same names.
func TestNames(t *testing.T) {
	t.Attr("rules", "D-10")
	one := owner{project: "p", streamID: "1", stream: "a-b", task: "c"}
	const plain, apart = "a-b-c-shardId-0000000000-0-0.txt", "a-b-c-ID-shardId-0000000000-0-0.txt"
	for _, tt := range []struct {
		name   string
		second owner
		before func(r *rig) // the second task is made
		want   string
	}{
		{"ambiguous", owner{"p", "2", "a", "b-c", ""}, nil, plain + " " + apart},
		{"another project", owner{"q", "2", "a-b", "c", ""}, nil, plain + " " + apart},
		{"a stream that was deleted and made again", owner{"p", "2", "a-b", "c", ""}, func(r *rig) { r.tasks.Delete("1", "c") }, plain + " " + apart},
		{"after a restart", owner{"p", "2", "a", "b-c", ""}, func(r *rig) { r.open(r.disk) }, plain + " " + apart},
		{"another directory", owner{"p", "2", "a", "b-c", `,"file_prefix":"x"`}, nil, plain + " x/" + plain},
		{"the same directory in another spelling", owner{"q", "2", "a-b", "c", `,"file_prefix":"x//"`}, nil, "x/" + plain + " x/" + apart},
		{"perhaps the same directory", owner{"p", "2", "a", "b-c", `,"file_prefix":"2017/10"`}, nil, plain + " 2017/10/" + apart},
		{"a task that was deleted and made again", owner{"p", "1", "a-b", "c", ""}, func(r *rig) { r.tasks.Delete("1", "c") },
			plain + " a-b-c-shardId-0000000000-1-1.txt"},
		{"another template since", owner{"p", "2", "a", "b", ""}, func(r *rig) {
			r.opts.FileName = "{stream_name}-b-c-{task_id}-{partition_id}-{first_seq}-{last_seq}"
			r.open(r.disk)
		}, plain + " a-b-c-ID-shardId-0000000000-0-0.txt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, 1)
			one := one
			if strings.Contains(tt.second.members, "x//") {
				one.members = `,"file_prefix":"x"`
			}
			r.add(one)
			r.write(one)
			if tt.before != nil {
				tt.before(r)
			}
			r.add(tt.second)
			r.write(tt.second)
			var keys []string
			for _, key := range slices.Collect(maps.Keys(objects(t, r.disk))) {
				keys = append(keys, taskID.ReplaceAllString(key, "-ID-shardId"))
			}
			slices.Sort(keys)
			want := strings.Fields(tt.want)
			slices.Sort(want)
			if !slices.Equal(keys, want) {
				t.Errorf("objects %q, want %q", keys, want)
			}
		})
	}
}

// TestNamesChange: a task that comes to have another one's names, by a change of
// its own or of the template, gets others; one that has had them keeps them.
func TestNamesChange(t *testing.T) {
	one, two := owner{"p", "1", "a-b", "c", ""}, owner{"p", "2", "a", "b-c", `,"file_prefix":"x"`}
	distinct := func(r *rig) string {
		var is []bool
		for _, o := range []owner{one, two} {
			s, err := r.tasks.Get(o.streamID, o.task)
			if err != nil {
				t.Fatal(err)
			}
			is = append(is, s.Distinct)
		}
		return fmt.Sprint(is)
	}
	t.Run("prefix", func(t *testing.T) {
		r := newRig(t, 1)
		r.add(one)
		r.add(two)
		if got := distinct(r); got != "[false false]" {
			t.Errorf("distinct: %s", got)
		}
		d, err := kinds.ParseUpdate(kind.OBS, json.RawMessage(`{"task_name":"b-c","file_prefix":"2020"}`))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.tasks.Update(t.Context(), "2", d); err != nil {
			t.Fatal(err)
		}
		r.open(r.disk)
		if got := distinct(r); got != "[false true]" {
			t.Errorf("distinct: %s", got)
		}
	})
	for _, legacy := range []bool{false, true} {
		t.Run(fmt.Sprint("template, without notes ", legacy), func(t *testing.T) {
			r := newRig(t, 1)
			two := owner{"p", "2", "a", "b-c", ""}
			r.opts.FileName = "{stream_name}.{task_name}.{partition_id}.{first_seq}"
			r.open(r.disk)
			r.add(one)
			r.advance(time.Second)
			r.add(two)
			if legacy {
				transfer.ForgetNames(r.db)
			}
			r.opts.FileName = ""
			r.open(r.disk)
			if got, want := distinct(r), fmt.Sprint([]bool{false, !legacy}); got != want {
				t.Errorf("distinct: %s, want %s", got, want)
			}
			r.open(r.disk)
			if got, want := distinct(r), fmt.Sprint([]bool{false, !legacy}); got != want {
				t.Errorf("after another start: distinct: %s, want %s", got, want)
			}
		})
	}
}

// TestOldSpelling: two tasks of an older version have one directory in two spellings;
// after the next start the younger one has names of its own. Those of a task that is
// gone stay taken.
func TestOldSpelling(t *testing.T) {
	r := newRig(t, 1)
	first, second := owner{"p", "1", "a", "t", `,"file_prefix":"x"`}, owner{"q", "2", "a", "t", `,"file_prefix":"x/"`}
	third, fourth := owner{"p", "3", "b", "t", `,"file_prefix":"y/"`}, owner{"p", "4", "b", "t", `,"file_prefix":"y"`}
	r.add(first)
	r.advance(time.Second)
	r.add(second)
	r.add(third)
	if err := r.tasks.Delete("3", "t"); err != nil {
		t.Fatal(err)
	}
	transfer.SpellNames(r.db, map[string]string{"1": "x", "2": "x/", "3": "y/"})
	r.open(r.disk)
	r.add(fourth)
	for _, o := range []owner{first, second, fourth} {
		r.write(o)
	}
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(objects(t, r.disk))) {
		keys = append(keys, taskID.ReplaceAllString(key, "-ID-shardId"))
	}
	want := "[x/a-t-ID-shardId-0000000000-0-0.txt x/a-t-shardId-0000000000-0-0.txt y/b-t-ID-shardId-0000000000-0-0.txt]"
	slices.Sort(keys)
	if fmt.Sprint(keys) != want {
		t.Errorf("objects %v, want %s", keys, want)
	}
}

// TestOrder: tasks that are made in the same millisecond are listed as they were made.
func TestOrder(t *testing.T) {
	r := newRig(t, 1)
	var want []string
	for _, name := range []string{"b", "c", "a"} {
		r.add(owner{"p", "1", "s", name, ""})
		want = append(want, name)
	}
	for range 2 {
		all, err := r.tasks.List("1")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range all {
			got = append(got, s.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("listed %v, want %v", got, want)
		}
		r.open(r.disk)
	}
}
