package transfer_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"disd/internal/storage"
	"disd/internal/storage/vfs/errfs"
)

// TestSplitBatchOvertaken ends the server at every call of the file system while it
// delivers a batch that is split over directories, and removes records of the batch
// before the next start. Whatever is at the destination is not delivered again, what
// is left in the log is, and the gap says how many of the others are there.
func TestSplitBatchOvertaken(t *testing.T) { // D13, D-9, OBS-3
	const total = 9
	var data []string
	for i := range total + 1 {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		fmt.Fprintf(w, `{"i":%d,"at":%d}`, i, 1577934245000+i%3*86400_000)
		w.Close()
		data = append(data, b.String())
	}
	data[2], data[6] = "not gzip", "nor this"
	for trimmed := 1; trimmed <= total; trimmed++ {
		for n := 0; ; n++ {
			r := newRig(t, 1)
			r.stream.DataType, r.stream.Compression = "JSON", "gzip"
			r.create(`,"partition_format":"yyyy/MM/dd","processing_schema":{"timestamp_name":"at","timestamp_type":"Timestamp"}`)
			fault := errfs.From(n)
			r.open(errfs.Wrap(r.disk, fault))
			r.put(0, data[:total]...)
			r.advance(30 * time.Second)
			r.tasks.Step()
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
			if !fault.Fired() {
				break
			}
		}
	}
}
