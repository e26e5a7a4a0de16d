package memory

import (
	"context"
	"errors"
	"testing"

	"disd/internal/storage"
	"disd/internal/storage/storagetest"
)

func TestContract(t *testing.T) {
	storagetest.Run(t, func(_ *testing.T, clock *storagetest.Clock) storage.Engine {
		return Open(Options{Now: clock.Now})
	})
}

// TestFull fills the memory of an engine: it refuses more, and takes it again when
// records were trimmed or logs removed.
func TestFull(t *testing.T) {
	ctx := context.Background()
	e := Open(Options{Max: 1 << 20})
	var logs []storage.Log
	for id := range int32(2) {
		if err := e.Create(ctx, storagetest.ID(int(id))); err != nil {
			t.Fatal(err)
		}
		log, err := e.Open(ctx, storagetest.ID(int(id)))
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, log)
	}
	fill := func() (bytes int, err error) {
		for i := 0; err == nil; i++ {
			b := &storage.Batch{Log: logs[i%2], Records: []storage.Record{{Data: make([]byte, 10<<10)}}}
			e.Append(ctx, []*storage.Batch{b})
			if err = b.Err; err == nil {
				bytes += 10 << 10
			}
		}
		return bytes, err
	}
	first, err := fill()
	if !errors.Is(err, storage.ErrUnavailable) || first > 1<<20 {
		t.Errorf("%d bytes, then %v", first, err)
	}
	if err := e.Health(); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("health of a full engine: %v", err)
	}
	_, next := logs[0].Bounds()
	if err := logs[0].Trim(ctx, next); err != nil {
		t.Fatal(err)
	}
	if err := e.Health(); err != nil {
		t.Errorf("health with room: %v", err)
	}
	if again, _ := fill(); again < first*2/5 {
		t.Errorf("%d bytes, after half of %d were trimmed", again, first)
	}
	for id := range 2 {
		if err := e.Remove(ctx, storagetest.ID(id)); err != nil {
			t.Fatal(err)
		}
	}
	if used := e.used.Load(); used != 0 {
		t.Errorf("nothing takes %d bytes", used)
	}
}
