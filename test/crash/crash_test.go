//go:build crash

// Package crash kills the built server with kill -9 under load, over and over,
// and compares what it holds after each start with what it had acknowledged.
package crash

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var cycles = flag.Int("cycles", 20, "how often the server is killed")

const (
	stream     = "crash"
	partitions = 4
	writers    = 6
	app        = "reader"
)

// A disd is a running server.
type disd struct {
	cmd  *exec.Cmd
	url  string
	logs *bytes.Buffer
}

var serving = regexp.MustCompile(`msg=serving address=(\S+)`)

func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "disd")
	if out, err := exec.Command("go", "build", "-o", binary, "disd/cmd/disd").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// start starts a server with small files, so that they are rolled and flushed
// many times within a cycle.
func start(t *testing.T, binary, data string) *disd {
	t.Helper()
	d := &disd{logs: new(bytes.Buffer), cmd: exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", data,
		"--storage-commit-log", "4194304", "--storage-segment", "2097152")}
	errs, err := d.cmd.StderrPipe()
	if err == nil {
		err = d.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(errs)
	for d.url == "" && lines.Scan() {
		d.logs.WriteString(lines.Text() + "\n")
		if m := serving.FindStringSubmatch(lines.Text()); m != nil {
			d.url = "http://" + m[1]
		}
	}
	go io.Copy(io.Discard, errs)
	if d.url == "" {
		d.cmd.Wait()
		t.Fatalf("the server did not start:\n%s", d.logs)
	}
	return d
}

func (d *disd) kill(t *testing.T) {
	t.Helper()
	d.cmd.Process.Signal(syscall.SIGKILL)
	d.cmd.Wait()
}

// do sends a request and decodes a JSON answer; the error is also one of status.
func (d *disd) do(method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if in == nil {
		body = nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, d.url+"/v2/project/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, text)
	}
	if out != nil {
		return json.Unmarshal(text, out)
	}
	return nil
}

// A ledger is what the server acknowledged.
type ledger struct {
	mu      sync.Mutex
	records [partitions]map[int64]string // sequence number, content
	mark    [partitions]int64            // checkpoints
	streams map[string]bool              // others: true when made, false when deleted
}

func newLedger() *ledger {
	l := &ledger{streams: make(map[string]bool)}
	for i := range l.records {
		l.records[i] = make(map[int64]string)
		l.mark[i] = -1
	}
	return l
}

type putEntry struct {
	Data      string `json:"data"`
	Partition string `json:"partition_id,omitempty"`
	Key       string `json:"partition_key,omitempty"`
}

type putReply struct {
	Failed  int `json:"failed_record_count"`
	Records []struct {
		Partition string `json:"partition_id"`
		Sequence  string `json:"sequence_number"`
		Code      string `json:"error_code"`
	} `json:"records"`
}

// write uploads batches of all sizes until the server is gone.
func (l *ledger) write(t *testing.T, d *disd, name string, r *rand.Rand) {
	for n := 0; ; n++ {
		var entries []putEntry
		var contents []string
		for i := range 1 + r.IntN(30) {
			content := fmt.Sprintf("%s-%d-%d-%s", name, n, i, strings.Repeat("x", r.IntN(3000)))
			e := putEntry{Data: base64.StdEncoding.EncodeToString([]byte(content))}
			if i%2 == 0 {
				e.Key = content[:min(10, len(content))]
			} else {
				e.Partition = strconv.Itoa(r.IntN(partitions))
			}
			entries, contents = append(entries, e), append(contents, content)
		}
		var out putReply
		if d.do("POST", "records", map[string]any{"stream_name": stream, "records": entries}, &out) != nil {
			return
		}
		l.acknowledge(t, contents, out)
	}
}

func (l *ledger) acknowledge(t *testing.T, contents []string, out putReply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(out.Records) != len(contents) {
		t.Errorf("%d answers to %d records", len(out.Records), len(contents))
		return
	}
	for i, r := range out.Records {
		if r.Code != "" {
			continue
		}
		p, seq := number(r.Partition), int64(number(r.Sequence))
		if other, ok := l.records[p][seq]; ok {
			t.Errorf("partition %d gave number %d twice, to %.40q and %.40q", p, seq, other, contents[i])
		}
		l.records[p][seq] = contents[i]
	}
}

func number(s string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(s, "shardId-"))
	return n
}

// control commits checkpoints and makes and deletes streams until the server is
// gone.
func (l *ledger) control(d *disd, cycle int) {
	for n := 0; ; n++ {
		p := n % partitions
		l.mu.Lock()
		next := int64(len(l.records[p]))
		l.mu.Unlock()
		commit := map[string]any{"app_name": app, "stream_name": stream, "partition_id": strconv.Itoa(p), "sequence_number": strconv.FormatInt(next/2, 10)}
		if d.do("POST", "checkpoints", commit, nil) != nil {
			return
		}
		name := fmt.Sprintf("other-%d-%d", cycle, n/2)
		l.mu.Lock()
		l.mark[p] = next / 2
		l.mu.Unlock()
		var err error
		if n%2 == 0 {
			err = d.do("POST", "streams", map[string]any{"stream_name": name, "partition_count": 2}, nil)
		} else {
			err = d.do("DELETE", "streams/"+name, nil, nil)
		}
		l.mu.Lock()
		if err == nil {
			l.streams[name] = n%2 == 0
		} else {
			delete(l.streams, name) // it may have happened
		}
		l.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// verify reads everything back.
func (l *ledger) verify(t *testing.T, d *disd) {
	t.Helper()
	for p := range partitions {
		l.verifyPartition(t, d, p)
		var mark struct {
			Sequence string `json:"sequence_number"`
		}
		if err := d.do("GET", fmt.Sprintf("checkpoints?app_name=%s&stream_name=%s&partition_id=%d", app, stream, p), nil, &mark); err != nil {
			t.Fatal(err)
		}
		if got, _ := strconv.ParseInt(mark.Sequence, 10, 64); got < l.mark[p] {
			t.Errorf("checkpoint of partition %d is %d, %d was acknowledged", p, got, l.mark[p])
		}
	}
	for name, exists := range l.streams {
		err := d.do("GET", "streams/"+name, nil, nil)
		if gone := err != nil && strings.Contains(err.Error(), "DIS.4301"); gone == exists {
			t.Errorf("stream %s: should exist: %v; %v", name, exists, err)
		}
	}
}

func (l *ledger) verifyPartition(t *testing.T, d *disd, p int) {
	t.Helper()
	var at struct {
		Cursor string `json:"partition_cursor"`
	}
	if err := d.do("GET", fmt.Sprintf("cursors?stream-name=%s&partition-id=%d&cursor-type=TRIM_HORIZON", stream, p), nil, &at); err != nil {
		t.Fatal(err)
	}
	seen, last := int64(0), int64(0)
	for {
		var page struct {
			Next    string `json:"next_partition_cursor"`
			Records []struct {
				Sequence  string `json:"sequence_number"`
				Data      []byte `json:"data"`
				Timestamp int64  `json:"timestamp"`
			} `json:"records"`
		}
		if err := d.do("GET", "records?max_fetch_bytes=4194304&partition-cursor="+at.Cursor, nil, &page); err != nil {
			t.Fatal(err)
		}
		if len(page.Records) == 0 {
			break
		}
		for _, r := range page.Records {
			if r.Sequence != strconv.FormatInt(seen, 10) {
				t.Fatalf("partition %d: number %s where %d should be", p, r.Sequence, seen)
			}
			if want, ok := l.records[p][seen]; ok && want != string(r.Data) {
				t.Fatalf("partition %d, number %d: %.60q was acknowledged, %.60q is there", p, seen, want, r.Data)
			}
			if r.Timestamp < last {
				t.Fatalf("partition %d, number %d: time goes back", p, seen)
			}
			// What was not acknowledged may be there all the same, and is the
			// server's from now on.
			l.records[p][seen] = string(r.Data)
			seen, last = seen+1, r.Timestamp
		}
		at.Cursor = page.Next
	}
	if int64(len(l.records[p])) != seen {
		t.Fatalf("partition %d holds %d records, %d were acknowledged", p, seen, len(l.records[p]))
	}
}

func TestKill(t *testing.T) {
	binary, data, seed := build(t), t.TempDir(), rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	l := newLedger()
	d := start(t, binary, data)
	for _, err := range []error{
		d.do("POST", "streams", map[string]any{"stream_name": stream, "partition_count": partitions}, nil),
		d.do("POST", "apps", map[string]any{"app_name": app}, nil),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for cycle := range *cycles {
		var wg sync.WaitGroup
		for w := range writers {
			own := rand.New(rand.NewPCG(r.Uint64(), 0))
			wg.Go(func() { l.write(t, d, fmt.Sprintf("c%d-w%d", cycle, w), own) })
		}
		wg.Go(func() { l.control(d, cycle) })
		time.Sleep(time.Duration(50+r.IntN(400)) * time.Millisecond) // the moment of death is random, nothing waits for it
		d.kill(t)
		wg.Wait()
		d = start(t, binary, data)
		l.verify(t, d)
		if t.Failed() {
			t.Fatalf("after cycle %d\n%s", cycle, d.logs)
		}
	}
	for p := range partitions {
		total += len(l.records[p])
	}
	t.Logf("%d cycles, %d records", *cycles, total)
	d.kill(t)
}

// TestGracefulStop: what was accepted before SIGTERM is answered, and a restart
// finds all of it.
func TestGracefulStop(t *testing.T) {
	binary, data := build(t), t.TempDir()
	l := newLedger()
	d := start(t, binary, data)
	if err := d.do("POST", "streams", map[string]any{"stream_name": stream, "partition_count": partitions}, nil); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() { l.write(t, d, fmt.Sprintf("w%d", w), rand.New(rand.NewPCG(uint64(w), 1))) })
	}
	time.Sleep(300 * time.Millisecond) // of load
	d.cmd.Process.Signal(syscall.SIGTERM)
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("stopped with %v", err)
	}
	wg.Wait()
	d = start(t, binary, data)
	defer d.kill(t)
	for p := range partitions {
		l.verifyPartition(t, d, p)
	}
}

// TestOneServerPerDirectory: a second server is refused, and says why.
func TestOneServerPerDirectory(t *testing.T) {
	binary, data := build(t), t.TempDir()
	d := start(t, binary, data)
	defer d.kill(t)
	out, err := exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", data).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "locked by another process") {
		t.Errorf("a second server: %v\n%s", err, out)
	}
}

// TestNothingWritable: with the engine in memory no directory is needed.
func TestNothingWritable(t *testing.T) {
	binary := build(t)
	cmd := exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--engine", "memory")
	cmd.Dir = t.TempDir()
	if err := os.Chmod(cmd.Dir, 0o500); err != nil {
		t.Fatal(err)
	}
	errs, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(errs).ReadString('\n')
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil || !serving.MatchString(line) {
		t.Errorf("%v: %s", err, line)
	}
	if left, _ := os.ReadDir(cmd.Dir); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}
