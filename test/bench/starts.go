package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// runStarts measures what happens without load: how soon disd is ready, what
// memory it takes when idle, and how soon it is ready again after a kill -9
// under load.
func runStarts(ctx context.Context, c config, r *report) error {
	if !c.only.MatchString("start") {
		return nil
	}
	fmt.Fprintln(os.Stderr, "running starts")
	bins := []string{c.disd}
	if c.against != "" {
		bins = append(bins, c.against)
	}
	for i, bin := range bins {
		if err := startsOf(ctx, c, bin, r.starts(i)); err != nil {
			return fmt.Errorf("starts of %s: %w", bin, errors.Join(context.Cause(ctx), err))
		}
	}
	return nil
}

func startsOf(ctx context.Context, c config, bin string, s *starts) error {
	for range max(5, c.turns) {
		if err := s.empty(ctx, c, bin); err != nil {
			return err
		}
	}
	if c.retained == 0 {
		return nil
	}
	return s.killed(ctx, c, bin)
}

// empty starts disd on a new directory.
func (s *starts) empty(ctx context.Context, c config, bin string) error {
	g, err := newRig(c)
	if err != nil {
		return err
	}
	defer g.close()
	p, took, err := g.disd(ctx, "disd", bin)
	if err != nil {
		return err
	}
	time.Sleep(time.Second) // what it does after it is ready counts as idle
	s.Ready = append(s.Ready, milliseconds(took))
	s.Idle = append(s.Idle, float64(p.memory())/(1<<20))
	return nil
}

// killed fills a stream of one partition and one of 200. Then it kills disd
// while more is coming in and starts it again, several times.
func (s *starts) killed(ctx context.Context, c config, bin string) error {
	g, err := newRig(c)
	if err != nil {
		return err
	}
	defer g.close()
	p, _, err := g.disd(ctx, "disd", bin)
	if err != nil {
		return err
	}
	for _, partitions := range []int{1, 200} {
		if _, err := call(p.addr, createStream(partitions)); err != nil {
			return p.failure(err)
		}
		if _, err := fill(p.addr, c.retained/2, partitions); err != nil {
			return p.failure(err)
		}
	}
	s.Retained = c.retained >> 20
	for range max(5, c.turns) {
		if err := killUnderLoad(p); err != nil {
			return err
		}
		var took time.Duration
		if p, took, err = g.disd(ctx, "disd", bin); err != nil {
			return err
		}
		s.Restart = append(s.Restart, milliseconds(took))
	}
	return nil
}

// killUnderLoad kills p between the hundredth request and its answer.
func killUnderLoad(p *process) error {
	l := load{conns: 16, partitions: 200, records: 100, encode: encodeJSON}
	var begun atomic.Int64
	_, err := drive(p.addr, l.puts(l.partitions), l.check, func() bool {
		if begun.Add(1) == 100 {
			go p.kill()
		}
		return true // until the connection breaks
	})
	if begun.Load() < 100 {
		return p.failure(err)
	}
	<-p.done
	return nil
}
