package transfer_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"disd/internal/storage"
	"disd/internal/transfer/filestore"
	"disd/internal/transfer/kind"
)

// A store of which some buckets do not answer until they are let go, after long.
type stuck struct {
	kind.Store
	buckets []string
	rig     *rig
	letGo   chan struct{}
	waiting atomic.Int32
	failed  sync.Map // buckets
}

func (s *stuck) Put(ctx context.Context, bucket, key string, content []byte) error {
	if !slices.Contains(s.buckets, bucket) {
		return s.Store.Put(ctx, bucket, key, content)
	}
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	select {
	case <-s.letGo:
		s.rig.advance(time.Minute)
		s.failed.Store(bucket, true)
		return errors.New("no answer")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *stuck) allFailed() bool {
	return !slices.ContainsFunc(s.buckets, func(bucket string) bool { _, failed := s.failed.Load(bucket); return !failed })
}

// TestStuckDestination has tasks deliver to buckets that do not answer: those of
// another task go on.
func TestStuckDestination(t *testing.T) {
	for _, tt := range []struct {
		name    string
		workers int
		stuck   []string
		again   bool // it is noticed only when attempts have ended
		held    int32
	}{
		{"one of four workers is left", 4, []string{"c"}, false, 3},
		{"a single worker", 1, []string{"c"}, true, 1},
		{"more than there are workers", 2, []string{"c", "d", "e"}, true, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, 6)
			s := &stuck{Store: filestore.Open(filestore.Options{Dir: "obs", FS: r.disk}), buckets: tt.stuck, rig: r, letGo: make(chan struct{})}
			r.opts.Store, r.opts.Workers, r.opts.Tick = s, tt.workers, time.Millisecond
			r.open(r.disk)
			for _, bucket := range tt.stuck {
				if err := r.disk.Mkdir("obs/" + bucket); err != nil {
					t.Fatal(err)
				}
				d, err := kinds.Parse(kind.OBS, json.RawMessage(`{"task_name":"`+bucket+`","agency_name":"a","obs_bucket_path":"`+bucket+`","deliver_time_interval":30}`))
				if err != nil {
					t.Fatal(err)
				}
				if err := r.tasks.Create(t.Context(), streamID, d); err != nil {
					t.Fatal(err)
				}
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- r.tasks.Run(ctx) }()
			defer func() { close(s.letGo); stop(); <-ended }()
			for p := range int32(6) {
				r.put(p, "old")
			}
			r.advance(30 * time.Second)
			r.await("the workers are held", func() bool { return s.waiting.Load() == tt.held })
			r.create("")
			for p := range int32(6) {
				r.put(p, "a")
			}
			r.advance(30 * time.Second)
			if tt.again {
				r.await("every bucket has failed once", func() bool {
					if s.allFailed() {
						return true
					}
					select {
					case s.letGo <- struct{}{}:
					default:
					}
					return false
				})
				r.await("they are tried again", func() bool {
					r.advance(time.Second)
					return s.waiting.Load() == tt.held
				})
				for p := range int32(6) {
					r.put(p, "b")
				}
				r.advance(time.Hour)
			}
			r.await("the other task delivers", func() bool {
				for _, p := range r.status().Partitions {
					if p.Next != storage.Seq(len(r.sent[p.Partition])) {
						return false
					}
				}
				return true
			})
		})
	}
}

// await waits until something has come true.
func (r *rig) await(what string, reached func() bool) {
	r.Helper()
	for deadline := time.Now().Add(20 * time.Second); !reached(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("it never happens that %s", what)
		}
	}
}
