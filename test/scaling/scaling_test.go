// Package scaling has the built server scale a stream by the load that it carries.
package scaling

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"disd/test/harness"
)

var slow = flag.Bool("slow", false, "load a server for a few minutes")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(harness.Main(m))
}

type object map[string]any

// A history is what a stream says about its scalings.
type history struct {
	Writable   int `json:"writable_partition_count"`
	Partitions []struct {
		Range   string `json:"sequence_number_range"`
		Parents string `json:"parent_partitions"`
	} `json:"partitions"`
	Scalings []struct {
		From   int    `json:"src_partition_count"`
		To     int    `json:"target_partition_count"`
		Result string `json:"result_detail"`
		Auto   bool   `json:"auto_scale"`
	} `json:"update_partition_counts"`
}

// A producer uploads records under keys of its own, and tries again those that were
// refused.
type producer struct {
	*harness.Client
	stored, refused *atomic.Int64
}

func (p producer) run(ctx context.Context) error {
	const batch, size = 32, 8 << 10 // 256 KiB at once
	data := make([]byte, size)
	for ctx.Err() == nil {
		records := make([]harness.Record, batch)
		for i := range records {
			records[i] = harness.Record{Data: data, Key: fmt.Sprint(rand.Uint64())}
		}
		for len(records) > 0 {
			acks, err := p.Put(context.WithoutCancel(ctx), "s", records)
			if err != nil {
				return err
			}
			var again []harness.Record
			for i, ack := range acks {
				switch ack.Code {
				case "":
					p.stored.Add(1)
				case "DIS.4303":
					p.refused.Add(1)
					again = append(again, records[i])
				default:
					return fmt.Errorf("record refused: %s", ack.Code)
				}
			}
			if records = again; len(again) > 0 {
				time.Sleep(50 * time.Millisecond) // as clients do
			}
		}
	}
	return nil
}

// TestLoad uploads more than a partition takes until the stream has scaled up twice,
// by minutes of the wall clock. Nothing is lost or doubled on the way.
func TestLoad(t *testing.T) {
	t.Attr("rules", "L-16 L-17 L-18 L-19")
	if !*slow {
		t.Skip("it takes minutes: see make slow")
	}
	s := harness.Launch(t, harness.Options{Args: []string{"--quota-mode", "enforce"}})
	s.Ready(t)
	c := s.Client()
	err := c.Call(t.Context(), http.MethodPost, "streams", object{
		"stream_name": "s", "partition_count": 1,
		"auto_scale_enabled": true, "auto_scale_min_partition_count": 1, "auto_scale_max_partition_count": 3,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	show := func() (h history) {
		t.Helper()
		if err := c.Call(t.Context(), http.MethodGet, "streams/s", nil, &h); err != nil {
			t.Fatal(err)
		}
		return h
	}
	var stored, refused atomic.Int64
	ctx, stop := context.WithTimeout(t.Context(), 8*time.Minute)
	defer stop()
	var producers sync.WaitGroup
	for range 4 {
		producers.Go(func() {
			if err := (producer{c, &stored, &refused}).run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	for show().Writable < 3 && ctx.Err() == nil && !t.Failed() {
		time.Sleep(time.Second)
	}
	stop()
	producers.Wait()

	h := show()
	t.Logf("%d records stored, %d refused on the way; %+v", stored.Load(), refused.Load(), h.Scalings)
	if len(h.Scalings) != 2 || len(h.Partitions) != 3 {
		t.Fatalf("after the load: %+v", h)
	}
	for i, want := range [][2]int{{1, 2}, {2, 3}} { // ceil(1/0.6); ceil(2/0.6) is beyond the maximum
		if got := h.Scalings[i]; got.From != want[0] || got.To != want[1] || !got.Auto || got.Result != "0" {
			t.Errorf("scaling %d: %+v, want %v", i, got, want)
		}
		if h.Partitions[i+1].Parents == "" {
			t.Errorf("partition %d has no parents", i+1)
		}
	}
	var held int64
	for i, p := range h.Partitions {
		var oldest, next int64
		if _, err := fmt.Sscanf(p.Range, "[%d : %d]", &oldest, &next); err != nil || oldest != 0 || next == 0 {
			t.Errorf("partition %d holds %s", i, p.Range)
		}
		held += next
	}
	if held != stored.Load() {
		t.Errorf("%d records are there, %d were acknowledged", held, stored.Load())
	}
	s.Stop(t)
}
