package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// A report is the outcome of a run. Its JSON form is what docs/performance.md
// is written from.
type report struct {
	Time        time.Time `json:"time"`
	Go          string    `json:"go"`
	OS          string    `json:"os"`
	Arch        string    `json:"arch"`
	CPUs        int       `json:"cpus"`
	Disd        string    `json:"disd"`
	Against     string    `json:"against"`
	compare     bool      // with another build of disd
	Args        []string  `json:"args,omitempty"`
	TurnSeconds float64   `json:"turn_seconds"`
	Turns       int       `json:"turns"`
	Loads       []result  `json:"loads"`
	Dumps       []dump    `json:"dumps"`
	Starts      []*starts `json:"starts"` // of the binary measured, then of the one it is held against
}

// A result is one row of the table of loads.
type result struct {
	Name     string  `json:"name"`
	Conns    int     `json:"connections"`
	Aim      float64 `json:"aim,omitempty"`
	Ratio    spread  `json:"ratio"` // of neighbouring turns
	Disd     side    `json:"disd"`
	Baseline side    `json:"baseline"`
	Synced   spread  `json:"synced_appends,omitzero"` // as requests per second
}

type side struct {
	Name  string `json:"name"`
	Rate  spread `json:"requests_per_second"`
	Bytes spread `json:"megabytes_per_second"`
	P50   spread `json:"p50_ms"`
	P99   spread `json:"p99_ms"`
	CPU   spread `json:"cpu_us_per_request"` // of the server
}

// starts are the figures of one binary, one for each time it was started.
type starts struct {
	Ready    []float64 `json:"empty_start_ms"`
	Idle     []float64 `json:"idle_mib"`
	Restart  []float64 `json:"start_after_kill_ms,omitempty"`
	Retained int64     `json:"retained_mib,omitempty"`
}

type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf returns the median, the least and the greatest of what value makes
// of each of xs.
func spreadOf[T any](xs []T, value func(T) float64) spread {
	if len(xs) == 0 {
		return spread{}
	}
	values := make([]float64, 0, len(xs))
	for _, x := range xs {
		values = append(values, value(x))
	}
	slices.Sort(values)
	n := len(values)
	return spread{(values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]}
}

func number(x float64) float64 { return x }

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

func sideOf(name string, turns []turn) side {
	return side{
		Name:  name,
		Rate:  spreadOf(turns, turn.rate),
		Bytes: spreadOf(turns, func(t turn) float64 { return float64(t.bytes) / t.elapsed.Seconds() / 1e6 }),
		P50:   spreadOf(turns, func(t turn) float64 { return milliseconds(t.percentile(0.50)) }),
		P99:   spreadOf(turns, func(t turn) float64 { return milliseconds(t.percentile(0.99)) }),
		CPU:   spreadOf(turns, func(t turn) float64 { return t.cpu.Seconds() * 1e6 / float64(max(1, t.requests)) }),
	}
}

func (r *report) addLoad(l load, first, second *contestant, synced []float64) {
	name := second.server.name
	if second.server == first.server {
		name = fmt.Sprintf("%d partition", l.baseline)
	}
	ratios := make([]float64, len(first.turns))
	for i := range ratios {
		ratios[i] = first.turns[i].rate() / second.turns[i].rate()
	}
	row := result{
		Name: l.name, Conns: l.conns, Aim: l.aim,
		Ratio: spreadOf(ratios, number), Synced: spreadOf(synced, number),
		Disd: sideOf("disd", first.turns), Baseline: sideOf(name, second.turns),
	}
	if r.compare {
		row.Aim = 0 // those are against the no-op server
	}
	r.Loads = append(r.Loads, row)
}

// starts returns where the figures of the i-th binary go.
func (r *report) starts(i int) *starts {
	for len(r.Starts) <= i {
		r.Starts = append(r.Starts, new(starts))
	}
	return r.Starts[i]
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s against %s, %s %s/%s, %d CPUs, %s\n", r.Disd, r.Against, r.Go, r.OS, r.Arch, r.CPUs, r.Time.Format(time.RFC3339))
	fmt.Fprintf(w, "Median of %d alternations of %gs, [least … greatest]. Per second; MB on the wire, both ways;\n", r.Turns, r.TurnSeconds)
	fmt.Fprintf(w, "CPU time of the server per request; synced: raw appends of the records of all connections at a time.\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "load\tconns\tdisd\tMB\tp50 ms\tp99 ms\tCPU µs\tbaseline\t\tCPU µs\tratio\t\taim\tsynced")
	for _, l := range r.Loads {
		d, b := l.Disd, l.Baseline
		fmt.Fprintf(t, "%s\t%d\t%.0f\t%.0f\t%.2f\t%.2f\t%.0f\t%s\t%.0f\t%.0f\t%.2f\t[%.2f … %.2f]\t%s\t%s\n",
			l.Name, l.Conns, d.Rate.Median, d.Bytes.Median, d.P50.Median, d.P99.Median, d.CPU.Median,
			b.Name, b.Rate.Median, b.CPU.Median, l.Ratio.Median, l.Ratio.Min, l.Ratio.Max, column(l.Aim, "%.2f"), column(l.Synced.Median, "%.0f"))
	}
	t.Flush()
	if len(r.Dumps) > 0 {
		fmt.Fprintln(w, "\nTransfer tasks, MB of records per second; the copy of their files, MB of files per second:")
		fmt.Fprintln(t, "task\tMB\tMB per core\t\tcopy MB\tcopy MB per core\tsize")
	}
	for _, d := range r.Dumps {
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t[%.0f … %.0f]\t%.0f\t%.0f\t%.2f\n",
			d.Name, d.Rate.Median, d.PerCore.Median, d.PerCore.Min, d.PerCore.Max, d.Copy.Median, d.CopyCPU.Median, d.Size)
	}
	t.Flush()
	for i, s := range r.Starts {
		fmt.Fprintf(w, "\n%s\n", []string{r.Disd, r.Against}[i])
		s.print(w)
	}
}

// column leaves out what does not apply.
func column(x float64, format string) string {
	if x == 0 {
		return ""
	}
	return fmt.Sprintf(format, x)
}

func (s *starts) print(w io.Writer) {
	line := func(name, unit string, aim float64, values []float64) {
		if len(values) == 0 {
			return
		}
		v := spreadOf(values, number)
		fmt.Fprintf(w, "%-44s %7.1f %-3s [%.1f … %.1f]  aim %g\n", name, v.Median, unit, v.Min, v.Max, aim)
	}
	line("ready after an empty start", "ms", 50, s.Ready)
	line("memory when idle", "MiB", 25, s.Idle)
	line(fmt.Sprintf("ready after kill -9 with %d MiB retained", s.Retained), "ms", 1000, s.Restart)
}

func (r *report) write(name string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}
