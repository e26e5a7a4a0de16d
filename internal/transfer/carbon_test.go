package transfer_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"disd/internal/storage"
	"disd/internal/storage/vfs"
	"disd/internal/storage/vfs/errfs"
)

const carbonTask = `,"destination_file_type":"carbon","file_prefix":"p","partition_format":"yyyy"`

// carbonRig has a task that writes CarbonData.
func carbonRig(t *testing.T, more string) *rig {
	r := newRig(t, 1)
	r.stream.DataType, r.stream.Schema = "JSON", schema
	r.opts.Manifest = true
	r.open(r.disk)
	r.create(carbonTask + more)
	return r
}

// keys returns the objects of a bucket that are no manifests.
func keys(t *testing.T, disk vfs.FS) []string {
	t.Helper()
	all := slices.Sorted(maps.Keys(objects(t, disk)))
	return slices.DeleteFunc(all, func(key string) bool { return strings.Contains(key, "_manifest/") })
}

func TestCarbon(t *testing.T) {
	r := carbonRig(t, "")
	r.put(0, `{"k":"a","n":1}`, `{"n":1}`, `{"k":"c"}`)
	r.round()
	r.put(0, `no JSON`)
	r.round()
	t.Run("CARBON-2", func(t *testing.T) {
		want := "[p/2017/s-t-shardId-0000000000-0-2.carbondata p/2017/s-t-shardId-0000000000-0-2.carbonindex p/obs_error/s-t-shardId-0000000000-0-2.bad.json p/obs_error/s-t-shardId-0000000000-3-3.bad.json]"
		if got := keys(t, r.disk); fmt.Sprint(got) != want {
			t.Errorf("%v", got)
		}
	})
	t.Run("CARBON-10", func(t *testing.T) {
		if got := objects(t, r.disk)["p/obs_error/s-t-shardId-0000000000-0-2.bad.json"]; !strings.Contains(got, "k: is missing") {
			t.Errorf("set aside: %s", got)
		}
	})
	t.Run("CARBON-15", func(t *testing.T) {
		got := dumps(t, r.disk)
		if len(got) != 1 || got[0].Objects != 4 || damages(got) != "" { // two with bad records
			t.Errorf("%+v", got)
		}
		if err := r.disk.Remove("obs/b/p/2017/s-t-shardId-0000000000-0-2.carbonindex"); err != nil {
			t.Fatal(err)
		}
		if damages(dumps(t, r.disk)) == "" {
			t.Error("an index that is missing is not noticed")
		}
	})
}

func TestCarbonDirectories(t *testing.T) {
	r := carbonRig(t, `,"processing_schema":{"timestamp_name":"at","timestamp_type":"Timestamp"}`)
	r.put(0, `{"at":1577934245000,"k":"a"}`, `{"at":1609556645000,"k":"b"}`)
	r.round()
	t.Run("CARBON-13", func(t *testing.T) {
		want := "[p/2020/s-t-shardId-0000000000-0-0.carbondata p/2020/s-t-shardId-0000000000-0-0.carbonindex p/2021/s-t-shardId-0000000000-1-1.carbondata p/2021/s-t-shardId-0000000000-1-1.carbonindex]"
		if got := keys(t, r.disk); fmt.Sprint(got) != want {
			t.Errorf("%v", got)
		}
	})
}

func TestCarbonSchemaChanges(t *testing.T) {
	r := carbonRig(t, "")
	r.put(0, `{"k":"a"}`)
	r.round()
	r.stream.Schema = strings.Replace(schema, `"n"`, `"later"`, 1)
	r.put(0, `{"k":"b","later":2}`)
	r.round()
	t.Run("CARBON-14", func(t *testing.T) {
		got := objects(t, r.disk)
		for first, column := range []string{"later", "n"} {
			for _, ext := range []string{".carbondata", ".carbonindex"} {
				content := got[fmt.Sprintf("p/2017/s-t-shardId-0000000000-%d-%d%s", 1-first, 1-first, ext)]
				if !strings.Contains(content, string(byte(len(column)))+column) {
					t.Errorf("batch %d has no column %s in its %s", 1-first, column, ext)
				}
			}
		}
	})
}

// The server is ended at every call of the file system while it delivers; with
// trim, retention removes the records before it starts again.
func TestCarbonAfterCrash(t *testing.T) {
	for _, tt := range []struct {
		rule string
		trim storage.Seq
	}{{"CARBON-11", 0}, {"CARBON-12", 0}, {"CARBON-12", 2}} {
		t.Run(tt.rule, func(t *testing.T) {
			for n, whole := 0, map[string]string(nil); ; n++ {
				r := carbonRig(t, "")
				fault := errfs.From(n)
				if whole == nil {
					fault = errfs.None()
				}
				r.open(errfs.Wrap(r.disk, fault))
				r.put(0, `{"k":"a","n":1}`, `{"k":"b"}`)
				r.round()
				after := r.disk.Crash(nil)
				r.trim(0, tt.trim)
				r.open(after)
				r.advance(time.Hour)
				r.round()
				got := objects(t, after)
				data, data1 := got["p/2017/s-t-shardId-0000000000-0-1.carbondata"]
				index, index1 := got["p/2017/s-t-shardId-0000000000-0-1.carbonindex"]
				there := len(keys(t, after))
				switch {
				case whole == nil:
					whole = got
				case data != "" && data != whole["p/2017/s-t-shardId-0000000000-0-1.carbondata"], index != "" && index != whole["p/2017/s-t-shardId-0000000000-0-1.carbonindex"]:
					t.Fatalf("call %d: other bytes", n)
				}
				if data1 != index1 || there != 0 && there != 2 || tt.trim == 0 && there != 2 {
					t.Fatalf("call %d: %v", n, keys(t, after))
				}
				if lost := r.gaps() != ""; lost != (there == 0) {
					t.Fatalf("call %d: gaps %s, objects %v", n, r.gaps(), keys(t, after))
				}
				if n > 0 && !fault.Fired() {
					return
				}
			}
		})
	}
}
