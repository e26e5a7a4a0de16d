package crash

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"disd/test/harness"
)

// A load is clients that do everything at the same time until the server is gone.
type load struct {
	*world
	c      *harness.Client
	steady []*stream
	ending atomic.Bool // the server may be gone
	wg     sync.WaitGroup
}

// start starts a load.
func (w *world) start(c *harness.Client, r *rand.Rand) *load {
	l := &load{world: w, c: c}
	for _, name := range slices.Sorted(maps.Keys(steady)) {
		l.steady = append(l.steady, w.streams[name])
	}
	for _, s := range l.steady {
		for size := 1; size <= 100; size *= 10 {
			l.repeat(r, func(r *rand.Rand) error { return l.put(s, 1+r.IntN(size), r) })
		}
		l.repeat(r, func(r *rand.Rand) error { return l.read(s, r) })
	}
	for _, app := range apps {
		l.repeat(r, func(r *rand.Rand) error { return l.commit(app, r) })
	}
	growing := w.streams[scaled]
	l.repeat(r, func(r *rand.Rand) error { return l.scale(growing, r) })
	l.repeat(r, l.churnStreams)
	l.repeat(r, l.churnApps)
	return l
}

// repeat does something over and over, until the server is gone.
func (l *load) repeat(r *rand.Rand, do func(*rand.Rand) error) {
	own := rand.New(rand.NewPCG(r.Uint64(), 0))
	l.wg.Go(func() {
		for {
			if err := do(own); l.gone(err) {
				return
			} else if err != nil {
				l.t.Error(err)
				return
			}
		}
	})
}

// gone says whether err is that of a client whose server has ended, or is about
// to (C-55).
func (l *load) gone(err error) bool {
	var answer *harness.Error
	return err != nil && l.ending.Load() && (!errors.As(err, &answer) || answer.Status == 503)
}

func (l *load) wait() { l.wg.Wait() }

// locked runs f while nobody else changes the world.
func (l *load) locked(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// put uploads n records, to one partition or to many.
func (l *load) put(s *stream, n int, r *rand.Rand) error {
	way := r.IntN(4)
	first := l.try(batch{size: n, one: way < 2})
	recs := make([]harness.Record, n)
	partition, hash := strconv.Itoa(r.IntN(l.countOf(s))), strconv.FormatInt(r.Int64(), 10)
	for i := range recs {
		recs[i] = content(first + uint64(i))
		switch way {
		case 0:
			recs[i].Partition = partition
		case 1:
			recs[i].HashKey = hash
		case 2:
			recs[i].Key = "" // spread evenly
		}
	}
	acks, err := l.c.Put(l.t.Context(), s.name, recs)
	if err != nil {
		return fmt.Errorf("put: %w", err)
	}
	for i, a := range acks {
		err = errors.Join(err, l.settle(s, first+uint64(i), a))
	}
	return err
}

func (l *load) countOf(s *stream) (n int) {
	l.locked(func() { n = s.counts[0] })
	return n
}

// read reads somewhere and keeps the cursors it got.
func (l *load) read(s *stream, r *rand.Rand) error {
	partition, seq, ok := l.known(s, r)
	if !ok {
		_, err := l.c.Show(l.t.Context(), s.name)
		return err
	}
	at, err := l.c.Cursor(l.t.Context(), s.name, partition, "AT_SEQUENCE_NUMBER", seq)
	if err != nil {
		return fmt.Errorf("cursor: %w", err)
	}
	recs, next, err := l.c.Get(l.t.Context(), at)
	if err != nil {
		return fmt.Errorf("get: %w", err)
	}
	if len(recs) == 0 || recs[0].Seq != seq {
		return fmt.Errorf("%s/%d: nothing at %d, which was acknowledged", s.name, partition, seq)
	}
	l.locked(func() {
		for _, rec := range recs {
			var id uint64
			if id, err = identify(rec); err == nil {
				err = l.hold(s, partition, rec.Seq, id)
			}
			if err != nil {
				return
			}
		}
		if len(s.cursors) < 20 {
			s.cursors = append(s.cursors, cursor{at, partition, seq}, cursor{next, partition, recs[len(recs)-1].Seq + 1})
		}
	})
	return err
}

// commit moves a checkpoint to a record that is there.
func (l *load) commit(app string, r *rand.Rand) error {
	s := l.steady[r.IntN(len(l.steady))]
	partition, seq, ok := l.known(s, r)
	if !ok {
		_, err := l.c.Show(l.t.Context(), s.name)
		return err
	}
	m := mark{app, partition}
	l.locked(func() {
		before, committed := s.marks[m]
		if !committed {
			before.seq = -1
		}
		s.marks[m] = position{before.seq, seq}
	})
	if err := l.c.Commit(l.t.Context(), app, s.name, partition, seq); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	l.locked(func() { s.marks[m] = position{seq, seq} })
	return nil
}

// scale changes the number of partitions of a stream.
func (l *load) scale(s *stream, r *rand.Rand) error {
	from := l.countOf(s)
	to := 1 + (from+r.IntN(5))%6
	l.locked(func() { s.counts = []int{from, to} })
	if err := l.c.Scale(l.t.Context(), s.name, to); err != nil {
		return fmt.Errorf("scale from %d to %d: %w", from, to, err)
	}
	l.locked(func() { s.counts = []int{to} })
	return nil
}

// churnStreams makes a stream of a name that was used before, writes to it, or
// deletes it.
func (l *load) churnStreams(r *rand.Rand) error {
	name := "churn-" + strconv.Itoa(r.IntN(3))
	var s *stream
	l.locked(func() { s = l.streams[name] })
	if s == nil {
		s = newStream(name, 1+r.IntN(3))
		l.locked(func() { l.streams[name] = s })
		if err := l.c.CreateStream(l.t.Context(), name, s.counts[0]); err != nil {
			return fmt.Errorf("create stream: %w", err)
		}
		l.locked(func() { s.is = present })
		return l.put(s, 1+r.IntN(20), r)
	}
	if r.IntN(2) == 0 {
		return l.put(s, 1+r.IntN(20), r)
	}
	l.locked(func() { s.is = leaving })
	if err := l.c.DeleteStream(l.t.Context(), name); err != nil {
		return fmt.Errorf("delete stream: %w", err)
	}
	l.locked(func() { delete(l.streams, name) })
	return nil
}

// churnApps makes or deletes an app.
func (l *load) churnApps(r *rand.Rand) error {
	app := "app-" + strconv.Itoa(r.IntN(3))
	var is presence
	l.locked(func() { is = l.apps[app] })
	if is == present {
		l.locked(func() { l.apps[app] = leaving })
		if err := l.c.DeleteApp(l.t.Context(), app); err != nil {
			return fmt.Errorf("delete app: %w", err)
		}
		l.locked(func() { delete(l.apps, app) })
		return nil
	}
	l.locked(func() { l.apps[app] = making })
	if err := l.c.CreateApp(l.t.Context(), app); err != nil {
		return fmt.Errorf("create app: %w", err)
	}
	l.locked(func() { l.apps[app] = present })
	return nil
}
