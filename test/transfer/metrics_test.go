package transfer

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"disd/test/harness"
)

// TestMetrics reads what the server tells Prometheus about a task.
func TestMetrics(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	into := filepath.Join(dir, "obs", bucket)
	if err := os.MkdirAll(into, 0o700); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, dirPlace(into), false)
	w.s = harness.Start(t, harness.Options{Dir: dir, Args: []string{"--transfer-batch-records", "20"}})
	w.found(nil)
	for partition, n := range []int{25, 21, 0} {
		if n == 0 {
			continue
		}
		if err := w.put(n, partition); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(time.Minute); metric(t, w.s, "records_total") < 40; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is delivered")
		}
	}
	for name, want := range map[string]float64{
		"batches_total": 2, "records_total": 40, "lag_records": 6, "discarded_records_total": 0, "failed_attempts": 0,
	} {
		if got := metric(t, w.s, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	const day = 24 * 3600
	age, left := metric(t, w.s, "lag_seconds"), metric(t, w.s, "seconds_until_loss")
	if age < 0 || left <= 0 || left > day || age+left < day-1 {
		t.Errorf("the oldest record is %v s old and is kept for %v more", age, left)
	}
	if bytes := metric(t, w.s, "bytes_total"); bytes < 40*8 {
		t.Errorf("bytes_total is %v", bytes)
	}
}

// metric returns a figure of the task; 0 when there is none.
func metric(t *testing.T, s *harness.Server, name string) float64 {
	t.Helper()
	resp, err := http.Get(s.URL + "/_disd/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	labels := `\{project="` + harness.Project + `",stream="` + stream + `",task="` + task + `"\}`
	m := regexp.MustCompile(`(?m)^disd_transfer_` + name + labels + ` (\S+)$`).FindSubmatch(text)
	if m == nil {
		return 0
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
