package segment

import (
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"disd/internal/storage"
)

// newSpace returns a space over a disk with free bytes.
func newSpace(free *int64, logs io.Writer) *space {
	return &space{free: func() (int64, error) { return *free, nil }, logger: slog.New(slog.NewTextHandler(logs, nil))}
}

// TestSpaceOwesNoMoreThanIsFree does what appenders, committer and flusher do, in
// any order, and writes to the disk what was set aside for it, or less. What is
// owed always fits.
func TestSpaceOwesNoMoreThanIsFree(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		free := rng.Int64N(64 << 20)
		s := newSpace(&free, io.Discard)
		var pending, sealed []int64 // set aside for groups, for logs
		draw := func(from *[]int64) int64 {
			if len(*from) == 0 {
				return 0
			}
			i := rng.IntN(len(*from))
			n := (*from)[i]
			*from = append((*from)[:i], (*from)[i+1:]...)
			return n
		}
		refused := 0
		for step := range 2000 {
			switch rng.IntN(6) {
			case 0, 1: // an append is admitted
				n := rng.Int64N(1 << 20)
				if s.require(n) != nil {
					refused++
					break
				}
				s.set(n)
				pending = append(pending, n)
			case 2: // its group fails
				s.giveBack(draw(&pending))
			case 3: // or is published, and needs less than was set aside
				if n := draw(&pending); n > 0 {
					used := rng.Int64N(n + 1)
					s.giveBack(n - used)
					sealed = append(sealed, used)
				}
			case 4: // a flush writes it
				n := draw(&sealed)
				free -= rng.Int64N(n + 1)
				s.spend(n)
			case 5: // a commit log file is made
				if n := rng.Int64N(4 << 20); s.take(n) == nil {
					free -= n
					s.spend(n)
				}
			}
			if s.owed < 0 || s.owed > free {
				t.Fatalf("seed %d, step %d: %d bytes are owed, %d are free", seed, step, s.owed, free)
			}
		}
		if refused == 0 {
			t.Fatalf("seed %d: nothing was ever refused", seed)
		}
	}
}

// TestSpaceHealth refuses a large append on a disk that has room for small ones:
// it is not healthy until there is room for what was refused, and says so once.
func TestSpaceHealth(t *testing.T) {
	free, logs := int64(5<<20), &strings.Builder{}
	s := newSpace(&free, logs)
	if err := s.health(healthyRoom); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.require(6 << 20); !errors.Is(err, storage.ErrUnavailable) || !errors.Is(err, errFull) {
			t.Fatal(err)
		}
		if s.require(1<<20) != nil {
			t.Error("a small append has room")
		}
		if s.health(healthyRoom) == nil {
			t.Error("healthy while appends are refused")
		}
	}
	free = 7 << 20
	if err := s.health(healthyRoom); err != nil {
		t.Error(err)
	}
	free = 0
	s.spare = 0 // nothing is known of before
	if s.health(healthyRoom) == nil {
		t.Error("healthy on a full disk")
	}
	if n := strings.Count(logs.String(), "level=ERROR"); n != 2 {
		t.Errorf("%d errors in the log, want one for each time: %s", n, logs)
	}
	if n := strings.Count(logs.String(), "level=INFO"); n != 1 {
		t.Errorf("%d ends in the log: %s", n, logs)
	}
}
