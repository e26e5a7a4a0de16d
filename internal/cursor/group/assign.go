package group

import (
	"cmp"
	"maps"
	"slices"
)

// A part is a partition of a stream.
type part struct {
	stream string // id
	number int32
}

// assign gives every partition to one of the members that want its stream
// (G-14). Partitions stay with who has them as far as balance allows: no member
// has two more than another that could take one of them. Among members that
// want the same streams, shares therefore differ by at most one. The same
// arguments give the same result.
func assign(wants map[string][]string, parts map[string][]int32, before map[part]string) *shares {
	a := &shares{
		wants:  wants,
		owners: make(map[part]string),
		load:   make(map[string]int),
		held:   make(map[hold][]int32),
	}
	for _, members := range wants {
		slices.Sort(members)
	}
	// Streams that few want first, so that those who want more can make up for
	// it with the rest.
	streams := slices.SortedFunc(maps.Keys(wants), func(x, y string) int {
		return cmp.Or(cmp.Compare(len(wants[x]), len(wants[y])), cmp.Compare(x, y))
	})
	for _, s := range streams {
		a.keep(s, parts[s], before)
	}
	for _, s := range streams {
		a.fill(s, parts[s])
	}
	for a.level(streams) {
	}
	return a
}

type hold struct{ member, stream string }

// shares say who has what.
type shares struct {
	wants  map[string][]string // members by stream, sorted
	owners map[part]string
	load   map[string]int   // partitions by member
	held   map[hold][]int32 // and which, in any order
}

func (a *shares) give(p part, member string) {
	a.owners[p] = member
	a.load[member]++
	h := hold{member, p.stream}
	a.held[h] = append(a.held[h], p.number)
}

// keep leaves partitions with the members that had them.
func (a *shares) keep(stream string, parts []int32, before map[part]string) {
	for _, n := range parts {
		p := part{stream, n}
		owner, ok := before[p]
		if !ok {
			continue
		}
		if _, ok := slices.BinarySearch(a.wants[stream], owner); ok {
			a.give(p, owner)
		}
	}
}

// fill gives the rest to whoever has least.
func (a *shares) fill(stream string, parts []int32) {
	for _, n := range parts {
		p := part{stream, n}
		if _, ok := a.owners[p]; !ok {
			a.give(p, a.least(stream))
		}
	}
}

func (a *shares) least(stream string) string {
	return slices.MinFunc(a.wants[stream], func(x, y string) int { return cmp.Compare(a.load[x], a.load[y]) })
}

// most returns who has most of those that have a partition of the stream.
func (a *shares) most(stream string) (member string) {
	for _, m := range a.wants[stream] {
		if len(a.held[hold{m, stream}]) > 0 && (member == "" || a.load[m] > a.load[member]) {
			member = m
		}
	}
	return member
}

// level moves partitions from who has most to who has least, and reports
// whether it moved any. It comes to an end, because every move makes the sum of
// the squares of the loads smaller.
func (a *shares) level(streams []string) (moved bool) {
	for _, s := range streams {
		for {
			from, to := a.most(s), a.least(s)
			if from == "" || a.load[from]-a.load[to] < 2 {
				break
			}
			h := hold{from, s}
			last := len(a.held[h]) - 1
			p := part{s, a.held[h][last]}
			a.held[h] = a.held[h][:last]
			a.load[from]--
			a.give(p, to)
			moved = true
		}
	}
	return moved
}
