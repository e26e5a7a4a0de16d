package memstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"disd/internal/transfer/kind"
	"disd/internal/transfer/memstore"
	"disd/internal/transfer/obs"
	"disd/internal/transfer/sinktest"
)

func TestSink(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Destination {
		s := memstore.Open(memstore.Options{})
		s.Make("b")
		target := sinktest.Target(t, obs.Kind(), `{"task_name":"t","agency_name":"a","obs_bucket_path":"b","file_prefix":"x/y","partition_format":"yyyy/MM"}`)
		target.Store = s
		return sinktest.Destination{
			Target: target,
			Rows: func() (rows []string) {
				list, _ := s.Objects("b", "")
				for _, o := range list {
					content, err := s.Get(t.Context(), "b", o.Key)
					if err != nil {
						t.Fatal(err)
					}
					rows = append(rows, strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")...)
				}
				return rows
			},
			Vanish: func() { s.Remove("b") },
		}
	})
}

func TestBuckets(t *testing.T) { // CTL-54
	for _, lend := range []bool{false, true} {
		s := memstore.Open(memstore.Options{Lend: lend})
		if err := s.Bucket(t.Context(), "b"); errors.Is(err, kind.ErrBucket) == lend {
			t.Errorf("lent %t: %v", lend, err)
		}
		if s.Make("b") == lend || fmt.Sprint(s.Names()) != "[b]" {
			t.Errorf("lent %t: buckets %v", lend, s.Names())
		}
		if err := s.Put(t.Context(), "c", "k", nil); !errors.Is(err, kind.ErrBucket) || !errors.Is(err, kind.ErrRefused) {
			t.Errorf("put into no bucket: %v", err)
		}
		if err := s.Bucket(t.Context(), ".."); !errors.Is(err, kind.ErrBucket) {
			t.Errorf("a bucket without a name: %v", err)
		}
	}
}

// What objects take is counted, and given back with them.
func TestBudget(t *testing.T) { // CTL-54
	errFull := errors.New("full")
	used := int64(0)
	s := memstore.Open(memstore.Options{Take: func(n int64) error {
		if used+n > 1000 {
			return errFull
		}
		used += n
		return nil
	}})
	s.Make("b")
	put := func(key string, n int) error { return s.Put(t.Context(), "b", key, make([]byte, n)) }
	for _, step := range []struct {
		do   func() error
		full bool
	}{
		{func() error { return put("a", 500) }, false},
		{func() error { return put("b", 500) }, true},
		{func() error { return put("a", 700) }, false},
		{func() error { return put("a", 900) }, true},
		{func() error { return s.Delete(t.Context(), "b", "a") }, false},
		{func() error { return put("b", 700) }, false},
	} {
		if err := step.do(); errors.Is(err, errFull) != step.full {
			t.Errorf("%d bytes used: %v, want full %t", used, err, step.full)
		}
	}
	if s.Remove("b"); used != 0 {
		t.Errorf("%d bytes are kept", used)
	}
}
