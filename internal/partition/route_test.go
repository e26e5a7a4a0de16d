package partition

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestHashRanges are the vectors of L-5.
func TestHashRanges(t *testing.T) {
	for n, want := range map[int64][][2]int64{
		1: {{0, math.MaxInt64}},
		2: {{0, 4611686018427387902}, {4611686018427387903, math.MaxInt64}},
		3: {{0, 3074457345618258601}, {3074457345618258602, 6148914691236517203}, {6148914691236517204, math.MaxInt64}},
		5: {{0, 1844674407370955160}, {1844674407370955161, 3689348814741910321}, {3689348814741910322, 5534023222112865482},
			{5534023222112865483, 7378697629483820643}, {7378697629483820644, math.MaxInt64}},
	} {
		for k, r := range want {
			if low, high := hashRange(int64(k), n); low != r[0] || high != r[1] {
				t.Errorf("partition %d of %d: [%d : %d], want %v", k, n, low, high, r)
			}
		}
	}
}

// TestSlots are the vectors of L-6 and L-7.
func TestSlots(t *testing.T) {
	for _, v := range []struct {
		key   string
		hash  int64
		slots [4]int32 // of 1, 2, 3 and 5
	}{
		{"0", 5750288053043553775, [4]int32{0, 1, 1, 3}},
		{"1", 4956847150856741762, [4]int32{0, 1, 1, 2}},
		{"user-1", 6257593711501015798, [4]int32{0, 1, 2, 3}},
		{"device-42", 2869875835050476120, [4]int32{0, 0, 0, 1}},
		{"分区", 7404587220537540204, [4]int32{0, 1, 2, 4}},
	} {
		if h := Hash([]byte(v.key)); h != v.hash {
			t.Errorf("Hash(%q) = %d, want %d", v.key, h, v.hash)
		}
		for i, n := range []int64{1, 2, 3, 5} {
			if got := slot(v.hash, n); got != v.slots[i] {
				t.Errorf("%q goes to %d of %d, want %d", v.key, got, n, v.slots[i])
			}
		}
	}
}

// TestSlotLiesInRange: routing and the published ranges agree, at every edge and
// anywhere between.
func TestSlotLiesInRange(t *testing.T) {
	for n := int64(1); n <= 200; n++ {
		for k := range n {
			low, high := hashRange(k, n)
			for _, h := range []int64{low, high, low + rand.Int64N(max(high-low, 1))} {
				if got := slot(h, n); int64(got) != k {
					t.Fatalf("hash %d goes to %d of %d, want %d [%d : %d]", h, got, n, k, low, high)
				}
			}
		}
	}
}

// TestParents is L-9, by the ranges themselves.
func TestParents(t *testing.T) {
	for before := int64(1); before <= 12; before++ {
		for after := before + 1; after <= 24; after++ {
			for id := before; id < after; id++ {
				var want []int32
				low, high := hashRange(id, after)
				for p := range before {
					l, h := hashRange(p, before)
					if l <= high && low <= h {
						want = append(want, int32(p))
					}
				}
				got := parents(id, after, before)
				if len(got) != len(want) || len(got) == 0 || got[0] != want[0] {
					t.Errorf("parents of %d after %d -> %d: %v, want %v", id, before, after, got, want)
				}
			}
		}
	}
}
