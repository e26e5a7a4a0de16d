package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// A dump is a row of the table of transfer tasks: how fast one writes a stream
// of JSON to a bucket that is a directory, beside a plain copy of the same bytes
// into another one. Rates are of the records' own bytes.
type dump struct {
	Name    string  `json:"name"`
	Rate    spread  `json:"megabytes_per_second"`          // from the first batch to the last
	PerCore spread  `json:"megabytes_per_cpu_second"`      // of the server
	Copy    spread  `json:"copy_megabytes_per_second"`     // each file synced
	CopyCPU spread  `json:"copy_megabytes_per_cpu_second"` // of the copying process
	Size    float64 `json:"size"`                          // of the files, as a share of the records' bytes
}

const (
	dumpBatch  = 25_000  // records; a batch that is not full would wait for its interval
	dumpTotal  = 500_000 // records
	dumpStream = "dump"
)

const dumpSchema = `{"type":"record","name":"visit","fields":[
	{"name":"id","type":"long"},{"name":"user","type":"string"},{"name":"path","type":"string"},
	{"name":"agent","type":["null","string"]},{"name":"status","type":"int"},{"name":"seconds","type":"double"},
	{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
	{"name":"place","type":{"type":"record","name":"place","fields":[{"name":"city","type":"string"},{"name":"zip","type":["null","string"]}]}},
	{"name":"tags","type":{"type":"array","items":"string"}}]}`

// visit is the data of a record, about 350 bytes.
func visit(i int) []byte {
	return fmt.Appendf(nil, `{"id":%d,"user":"user-%d","path":"/articles/%d/comments?page=%d&order=newest","agent":"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0","status":%d,"seconds":%d.%03d,"at":%d,"place":{"city":"city %d","zip":"%05d"},"tags":["a%d","beta","gamma"]}`,
		i, i*7919%100_000, i*31%5000, i%17, 200+i%5, i%3, i%1000, 1577934245000+int64(i), i%300, i*13%100_000, i%40)
}

func runDumps(ctx context.Context, c config, r *report) error {
	for _, kind := range []string{"text", "parquet", "carbon"} {
		if name := "dump/" + kind; c.only.MatchString(name) {
			fmt.Fprintln(os.Stderr, "running", name)
			d, err := dumpOf(ctx, c, kind)
			if err != nil {
				return fmt.Errorf("%s: %w", name, errors.Join(context.Cause(ctx), err))
			}
			d.Name = name
			r.Dumps = append(r.Dumps, d)
		}
	}
	return nil
}

func dumpOf(ctx context.Context, c config, kind string) (d dump, err error) {
	c.args = append(c.args, "--transfer-batch-records", fmt.Sprint(dumpBatch))
	g, err := newRig(c)
	if err != nil {
		return d, err
	}
	defer g.close()
	p, _, err := g.disd(ctx, "disd", c.disd)
	if err != nil {
		return d, err
	}
	size, err := fillVisits(p.addr)
	if err != nil {
		return d, p.failure(err)
	}
	bucket := filepath.Join(g.dir, "disd", "obs", "bucket")
	if err := os.MkdirAll(bucket, 0o700); err != nil {
		return d, err
	}
	var rate, perCore, copied, copiedCPU []float64
	for n := range c.turns {
		task := fmt.Sprintf("%s_%d", kind, n)
		seconds, cpu, err := dumpOnce(p, task, kind)
		if err != nil {
			return d, p.failure(err)
		}
		rate = append(rate, size*(1-1.0*dumpBatch/dumpTotal)/seconds.Seconds()/1e6)
		perCore = append(perCore, size/cpu.Seconds()/1e6)
		began, used := time.Now(), ownCPU()
		written, err := copySynced(filepath.Join(g.dir, "disd", "obs", "copy-"+task), filepath.Join(bucket, task))
		if err != nil {
			return d, err
		}
		copied = append(copied, written/time.Since(began).Seconds()/1e6)
		copiedCPU = append(copiedCPU, written/max(ownCPU()-used, time.Microsecond).Seconds()/1e6)
		d.Size = written / size
	}
	d.Rate, d.PerCore = spreadOf(rate, number), spreadOf(perCore, number)
	d.Copy, d.CopyCPU = spreadOf(copied, number), spreadOf(copiedCPU, number)
	return d, nil
}

// fillVisits makes the stream and returns the bytes of its records.
func fillVisits(addr string) (bytes float64, err error) {
	body, _ := json.Marshal(map[string]any{"stream_name": dumpStream, "partition_count": 1, "data_type": "JSON", "data_schema": dumpSchema})
	w, err := dial(addr)
	if err != nil {
		return 0, err
	}
	defer w.Close()
	if _, err := w.send(newRequest("POST", "/streams", jsonHeader, body)); err != nil {
		return 0, err
	}
	l := load{records: 1000}
	for first := 0; first < dumpTotal; first += l.records {
		recs := make([]record, l.records)
		for i := range recs {
			recs[i].data = visit(first + i)
			bytes += float64(len(recs[i].data))
		}
		header, body := encodeJSON(dumpStream, recs)
		reply, err := w.send(newRequest("POST", "/records", header, body))
		if err == nil {
			err = l.check(reply)
		}
		if err != nil {
			return 0, err
		}
	}
	return bytes, nil
}

// dumpOnce creates a task that delivers the whole stream. It returns the time
// from the first batch to the last, and the processor time of all of it.
func dumpOnce(p *process, task, kind string) (took, cpu time.Duration, err error) {
	body, _ := json.Marshal(map[string]any{"destination_type": "OBS", "obs_destination_descriptor": map[string]any{
		"task_name": task, "agency_name": "dis_admin_agency", "consumer_strategy": "TRIM_HORIZON",
		"obs_bucket_path": "bucket", "file_prefix": task, "destination_file_type": kind,
	}})
	used := p.cpu()
	w, err := dial(p.addr)
	if err != nil {
		return 0, 0, err
	}
	defer w.Close()
	tasks := "/streams/" + dumpStream + "/transfer-tasks"
	if _, err := w.send(newRequest("POST", tasks, jsonHeader, body)); err != nil {
		return 0, 0, err
	}
	show, first := newRequest("GET", tasks+"/"+task, "", nil), time.Time{}
	for began := time.Now(); time.Since(began) < 5*time.Minute; time.Sleep(5 * time.Millisecond) {
		reply, err := w.send(show)
		if err != nil {
			return 0, 0, err
		}
		var shown struct {
			Partitions []struct {
				Last    int `json:"last_transfer_offset"`
				Discard int `json:"discard"`
			} `json:"partitions"`
		}
		if err := json.Unmarshal(reply, &shown); err != nil || len(shown.Partitions) != 1 || shown.Partitions[0].Discard > 0 {
			return 0, 0, fmt.Errorf("%w: %s", err, reply)
		}
		switch last := shown.Partitions[0].Last; {
		case last == dumpTotal-1:
			return time.Since(first), p.cpu() - used, nil
		case last >= 0 && first.IsZero():
			first = time.Now()
		}
	}
	return 0, 0, errors.New("the task did not end")
}

// copySynced copies the files of one directory into a new one and syncs each.
func copySynced(to, from string) (bytes float64, err error) {
	files, err := os.ReadDir(from)
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return 0, err
	}
	for _, f := range files {
		n, err := copyFile(filepath.Join(to, f.Name()), filepath.Join(from, f.Name()))
		if err != nil {
			return 0, err
		}
		bytes += float64(n)
	}
	return bytes, nil
}

func copyFile(to, from string) (int64, error) {
	in, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	n, err := io.Copy(struct{ io.Writer }{out}, in) // by bytes, not by the kernel's reflinks
	return n, errors.Join(err, out.Sync())
}

// ownCPU is the processor time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
