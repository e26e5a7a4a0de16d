package group

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// clone is for assign, which sorts what it is given.
func clone(wants map[string][]string) map[string][]string {
	c := make(map[string][]string)
	for s, m := range wants {
		c[s] = slices.Clone(m)
	}
	return c
}

func TestAssignKeepsItsPromises(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 0))
		wants, parts, before := randomGroup(r)
		sh := assign(clone(wants), parts, before)
		checkShares(t, seed, wants, parts, sh)

		again := assign(clone(wants), parts, before)
		if !maps.Equal(sh.owners, again.owners) {
			t.Fatalf("seed %d: two results", seed)
		}
		if same := assign(clone(wants), parts, sh.owners); !maps.Equal(sh.owners, same.owners) {
			t.Fatalf("seed %d: partitions move without need", seed)
		}
		for s := range parts {
			parts[s] = upTo(len(parts[s]) + 1)
		}
		more := assign(clone(wants), parts, sh.owners)
		checkShares(t, seed, wants, parts, more)
	}
}

func randomGroup(r *rand.Rand) (wants map[string][]string, parts map[string][]int32, before map[part]string) {
	wants, parts, before = make(map[string][]string), make(map[string][]int32), make(map[part]string)
	members := 1 + r.IntN(8)
	for i := range 1 + r.IntN(6) {
		s := fmt.Sprint("s", i)
		parts[s] = upTo(r.IntN(12))
		for m := range members {
			if r.IntN(3) > 0 || len(wants[s]) == 0 {
				wants[s] = append(wants[s], fmt.Sprint("m", m))
			}
		}
		for n := range int32(14) {
			if r.IntN(2) == 0 {
				before[part{s, n}] = fmt.Sprint("m", r.IntN(members+2)) // some are gone
			}
		}
	}
	return wants, parts, before
}

func checkShares(t *testing.T, seed uint64, wants map[string][]string, parts map[string][]int32, sh *shares) {
	t.Helper()
	load, total := make(map[string]int), 0
	for s, numbers := range parts {
		total += len(numbers)
		for _, n := range numbers {
			owner := sh.owners[part{s, n}]
			if !slices.Contains(wants[s], owner) {
				t.Fatalf("seed %d: %s/%d belongs to %q, who does not want it", seed, s, n, owner)
			}
			load[owner]++
			if !slices.Contains(sh.held[hold{owner, s}], n) {
				t.Fatalf("seed %d: %s does not hold %s/%d", seed, owner, s, n)
			}
		}
	}
	held := 0
	for _, numbers := range sh.held {
		held += len(numbers)
	}
	if len(sh.owners) != total || held != total {
		t.Fatalf("seed %d: %d owned and %d held of %d partitions", seed, len(sh.owners), held, total)
	}
	for p, owner := range sh.owners {
		for _, other := range wants[p.stream] {
			if load[owner]-load[other] > 1 {
				t.Fatalf("seed %d: %s has %d, %s could take one and has %d", seed, owner, load[owner], other, load[other])
			}
		}
	}
}

// With one set of streams for all, not a partition moves more than balance
// demands: those above their member's new share.
func TestAssignMovesLittle(t *testing.T) {
	members := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf("m%02d", i))
		}
		return list
	}
	for n := 1; n < 20; n++ {
		parts := map[string][]int32{"s": upTo(40)}
		old := assign(map[string][]string{"s": members(n)}, parts, nil).owners
		now := assign(map[string][]string{"s": members(n + 1)}, parts, old).owners
		moved := 0
		for p, owner := range now {
			if old[p] != owner {
				moved++
			}
		}
		if want := 40 / (n + 1); moved != want {
			t.Errorf("%d to %d members: %d partitions move, want %d", n, n+1, moved, want)
		}
	}
}

func BenchmarkAssign(b *testing.B) {
	wants, parts := make(map[string][]string), make(map[string][]int32)
	for s := range 20 {
		id := fmt.Sprint("s", s)
		parts[id] = upTo(50)
		for m := range 1000 {
			wants[id] = append(wants[id], fmt.Sprint("m", m))
		}
	}
	for b.Loop() {
		assign(wants, parts, nil)
	}
}
