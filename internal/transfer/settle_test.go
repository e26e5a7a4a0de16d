package transfer_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"disd/internal/storage"
	"disd/internal/storage/vfs/errfs"
	"disd/internal/transfer"
	"disd/internal/transfer/filestore"
	"disd/internal/transfer/kind"
)

// TestSplitBatchOvertaken ends the server at every call of the file system while it
// delivers a batch that is split over directories, and removes records of the batch
// before the next start. Whatever is at the destination is not delivered again, what
// is left in the log is, and the gap says how many of the others are there.
func TestSplitBatchOvertaken(t *testing.T) { // D13, D-9, OBS-3
	const total = 9
	var data []string
	for i := range total + 1 {
		data = append(data, gzipped(fmt.Sprintf(`{"i":%d,"at":%d}`, i, 1577934245000+i%3*86400_000)))
	}
	data[2], data[6] = "not gzip", "nor this"
	for trimmed := 1; trimmed <= total; trimmed++ {
		for n := 0; ; n++ {
			r := newRig(t, 1)
			r.stream.DataType, r.stream.Compression = "JSON", "gzip"
			r.create(`,"partition_format":"yyyy/MM/dd","processing_schema":{"timestamp_name":"at","timestamp_type":"Timestamp"}`)
			fault := errfs.From(n)
			r.opts.Manifest = true
			r.open(errfs.Wrap(r.disk, fault))
			r.put(0, data[:total]...)
			r.advance(30 * time.Second)
			r.tasks.Pass()
			r.trim(0, storage.Seq(trimmed))
			again := errfs.From(n % 7) // crashes again while it mends that
			r.open(errfs.Wrap(r.disk, again))
			r.round()
			r.trim(0, storage.Seq(min(total, trimmed+n%2)))
			r.open(r.disk)
			r.put(0, data[total])
			r.advance(time.Hour)
			r.round()

			times := make(map[int]int)
			aside := 0
			for key, content := range objects(t, r.disk) {
				if strings.Contains(key, "_manifest/") {
					continue
				}
				if strings.HasSuffix(key, ".bad.json") {
					aside += strings.Count(content, "\n")
					continue
				}
				for line := range strings.Lines(content) {
					var record struct{ I int }
					if err := json.Unmarshal([]byte(line), &record); err != nil {
						t.Fatal(err)
					}
					times[record.I]++
				}
			}
			oldest, _ := r.log(0).Bounds()
			for i := range total + 1 {
				bad := i == 2 || i == 6
				if times[i] > 1 || !bad && storage.Seq(i) >= oldest && times[i] == 0 {
					t.Fatalf("trimmed to %d, call %d: record %d is there %d times: %v", trimmed, n, i, times[i], objects(t, r.disk))
				}
			}
			s := r.status()
			if got, want := s.Partitions[0].Discarded, int64(total+1-len(times)); got != want || s.Partitions[0].Next != total+1 {
				t.Fatalf("trimmed to %d, call %d: %d discarded, want %d: %+v %v", trimmed, n, got, want, s, objects(t, r.disk))
			}
			lost := total + 1 - len(times) - aside
			for _, g := range r.tasks.Gaps(streamID) {
				lost -= int(g.Last-g.First) + 1 - int(g.Kept)
			}
			if lost != 0 {
				t.Fatalf("trimmed to %d, call %d: %d of the records that are missing are in no gap: %+v %+v %v", trimmed, n, lost, r.tasks.Gaps(streamID), s.Partitions, objects(t, r.disk))
			}
			dumps, err := transfer.VerifyDump(t.Context(), filestore.Open(filestore.Options{Dir: "obs", FS: r.disk}), kinds, "b", "")
			if err != nil || len(dumps) != 1 || dumps[0].End != total+1 || dumps[0].Discarded != s.Partitions[0].Discarded {
				t.Fatalf("trimmed to %d, call %d: manifests %+v, %v; %d discarded", trimmed, n, dumps, err, s.Partitions[0].Discarded)
			}
			for _, damage := range dumps[0].Damage {
				if !strings.Contains(damage.Error(), "no checksum") {
					t.Fatalf("trimmed to %d, call %d: %v", trimmed, n, damage)
				}
			}
			if !fault.Fired() {
				break
			}
		}
	}
}

// A littering store has an upload left of every put that failed, until it is
// abandoned.
type littering struct {
	kind.Store
	err   error
	fails string // part of the keys that fail
	left  map[string]bool
}

func (s *littering) Put(ctx context.Context, bucket, key string, content []byte) error {
	if s.err != nil && strings.Contains(key, s.fails) {
		s.left[bucket+"/"+key] = true
		return s.err
	}
	return s.Store.Put(ctx, bucket, key, content)
}

func (s *littering) Abandon(_ context.Context, bucket, key string) error {
	delete(s.left, bucket+"/"+key)
	return nil
}

// TestNothingIsLeft: whatever becomes of a batch whose put was interrupted, what
// that left is removed.
func TestNothingIsLeft(t *testing.T) {
	const split = `,"partition_format":"yyyy","processing_schema":{"timestamp_name":"at","timestamp_type":"Timestamp"}`
	restart := func(r *rig, s *littering) {
		s.err = nil
		r.open(r.disk)
		r.round()
	}
	remove := func(r *rig, _ *littering) {
		if err := r.tasks.Delete(streamID, "t"); err != nil {
			r.Error(err)
		}
	}
	for _, tt := range []struct {
		name           string
		fails, members string
		table          *table // of a DWS task
		next           func(r *rig, s *littering)
	}{
		{"the server starts again", ".txt", "", nil, restart},
		{"and was staging", ".csv", "", &table{stages: true}, restart},
		{"the task is deleted", ".txt", "", nil, remove},
		{"and its batch was split", "2020/", split, nil, remove},
		{"and set bad records aside", ".bad.json", "", nil, remove},
		{"and was staging a batch", ".csv", "", &table{stages: true}, remove},
		{"and was giving up", "dws_error/s-t-shardId-0000000000-0-2.csv", `,"retry_duration":0`, &table{err: errors.New("down")}, remove},
		{"the stream is deleted", ".txt", "", nil, func(r *rig, _ *littering) {
			r.gone = true
			r.tasks.Pass()
		}},
		{"retention removes the batch", ".txt", "", nil, func(r *rig, s *littering) {
			s.err = nil
			r.trim(0, 3)
			r.round()
		}},
		{"retention removes a part of it", "2020/", split, nil, func(r *rig, s *littering) {
			s.err = nil
			r.trim(0, 1)
			r.round()
		}},
		{"the task gets another directory", "/s-t-shardId-0000000000-0-2.txt", `,"file_prefix":"x"`, nil, func(r *rig, s *littering) {
			d, err := kinds.ParseUpdate(kind.OBS, json.RawMessage(`{"task_name":"t","file_prefix":"y"}`))
			if err != nil {
				r.Fatal(err)
			}
			if err := r.tasks.Update(r.Context(), streamID, d); err != nil {
				r.Error(err)
			}
			s.fails, s.err = "x/s-t", fmt.Errorf("%w: closed", kind.ErrRefused)
			r.round()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, 1)
			s := &littering{
				Store: filestore.Open(filestore.Options{Dir: "obs", FS: r.disk}), err: errors.New("line broken"), fails: tt.fails, left: make(map[string]bool),
			}
			r.opts.Store = s
			r.stream.DataType, r.stream.Compression = "JSON", "gzip"
			r.open(r.disk)
			if tt.table != nil {
				r.load(tt.table, tt.members)
			} else {
				r.create(tt.members)
			}
			r.put(0, gzipped(`{"at":1577934245000}`), gzipped(`{"at":1609556645000}`), "bad")
			r.round()
			if len(s.left) == 0 {
				t.Fatal("nothing was interrupted")
			}
			tt.next(r, s)
			if len(s.left) > 0 {
				t.Errorf("left: %v", s.left)
			}
		})
	}
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(s))
	w.Close()
	return b.String()
}

// TestDivertedBatchOvertaken: what is in the error directory is not delivered too
// when retention removes a record of it before it is passed.
func TestDivertedBatchOvertaken(t *testing.T) {
	t.Attr("rules", "D-8 D-9")
	for _, written := range []bool{true, false} {
		r := newRig(t, 1)
		f := r.failing()
		d := &table{err: errors.New("down")}
		r.load(d, `,"retry_duration":0`)
		r.put(0, "1,2", "3,4")
		f.set(errors.New("no answer"), written)
		r.round()
		f.set(nil, false)
		d.err = nil
		r.trim(0, 1)
		r.open(r.disk)
		r.round()
		want, discarded := "[3,4] map[]", int64(1)
		if written {
			want, discarded = "[] map[dws_error/s-t-shardId-0000000000-0-1.csv:1,2\n3,4\n]", 2
		}
		if got := fmt.Sprint(d.rows, objects(t, r.disk)); got != want || r.status().Partitions[0].Discarded != discarded {
			t.Errorf("written %v: %s, want %s; %+v", written, got, want, r.status().Partitions)
		}
	}
}
