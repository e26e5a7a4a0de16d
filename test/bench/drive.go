package main

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

// A turn is what one side did in its time.
type turn struct {
	requests  int
	bytes     int64 // on the wire, both ways, without the heads of replies
	elapsed   time.Duration
	latencies []time.Duration // ascending
	cpu       time.Duration   // used by the server
}

func (t turn) rate() float64 { return float64(t.requests) / t.elapsed.Seconds() }

// percentile returns the latency that a share of p of the requests did not
// exceed.
func (t turn) percentile(p float64) time.Duration {
	if len(t.latencies) == 0 {
		return 0
	}
	return t.latencies[min(int(p*float64(len(t.latencies))), len(t.latencies)-1)]
}

// drive sends the requests of each element of conns over a connection of its
// own, in a circle, the next one when the last was answered, until more says
// no. more is called before each request, from many goroutines. check sees
// every reply. The first error ends all.
func drive(addr string, conns [][]request, check func(reply []byte) error, more func() bool) (turn, error) {
	wires, err := dialAll(addr, len(conns))
	defer closeAll(wires)
	if err != nil {
		return turn{}, err
	}
	runtime.GC() // what building the requests left behind
	parts := make([]turn, len(conns))
	var wg sync.WaitGroup
	var once sync.Once
	began := time.Now()
	for i, w := range wires {
		wg.Go(func() {
			if failed := parts[i].circle(w, conns[i], check, more); failed != nil {
				once.Do(func() {
					err = failed
					closeAll(wires) // the others fail because of it
				})
			}
		})
	}
	wg.Wait()
	total := sum(parts)
	total.elapsed = time.Since(began)
	return total, err
}

func (t *turn) circle(w *wire, requests []request, check func([]byte) error, more func() bool) error {
	for i := 0; more(); i++ {
		r := requests[i%len(requests)]
		sent := time.Now()
		reply, err := w.send(r)
		if err != nil {
			return err
		}
		if err := check(reply); err != nil {
			return err
		}
		t.latencies = append(t.latencies, time.Since(sent))
		t.bytes += int64(len(r) + len(reply))
		t.requests++
	}
	return nil
}

func sum(parts []turn) turn {
	var total turn
	for _, t := range parts {
		total.requests += t.requests
		total.bytes += t.bytes
		total.latencies = append(total.latencies, t.latencies...)
	}
	slices.Sort(total.latencies)
	return total
}

func dialAll(addr string, n int) ([]*wire, error) {
	var wires []*wire
	for range n {
		w, err := dial(addr)
		if err != nil {
			return wires, err
		}
		wires = append(wires, w)
	}
	return wires, nil
}

func closeAll(wires []*wire) {
	for _, w := range wires {
		w.Close()
	}
}
