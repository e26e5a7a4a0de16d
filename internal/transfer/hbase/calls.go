package hbase

import (
	"iter"

	"disd/internal/storage"
)

// The largest call, but for a row that is larger alone (HBASE-16).
const (
	maxCallRows  = 1000
	maxCallBytes = 1 << 20
)

// calls yields the rows of each call that a batch takes, in the order of the records,
// or an error that ends it. What it yields is a pure function of the batch: the cells
// of a record have the largest AppendTime up to it, and never less than floor
// (HBASE-12).
func (s *settings) calls(records []storage.Record, floor int64) iter.Seq2[[]row, error] {
	return func(yield func([]row, error) bool) {
		b := &caller{limit: maxCallBytes - callSize(s.Table), split: s.limits.frame > 0, yield: yield}
		if b.split {
			b.limit = min(maxCallBytes, s.limits.frame) - callSize(s.Table)
		}
		for at, group := range groups(records, floor) {
			if !s.send(b, group, at) {
				return
			}
		}
		if len(b.rows) > 0 {
			yield(b.rows, nil)
		}
	}
}

// groups yields the runs of records whose cells have the same time.
func groups(records []storage.Record, floor int64) iter.Seq2[int64, []storage.Record] {
	return func(yield func(int64, []storage.Record) bool) {
		for len(records) > 0 {
			floor = max(floor, records[0].AppendTime)
			n := 1
			for n < len(records) && records[n].AppendTime <= floor {
				n++
			}
			if !yield(floor, records[:n]) {
				return
			}
			records = records[n:]
		}
	}
}

// send adds the rows of a group. Records with one row key are one row: for each
// column the last record that has a cell for it. So no two puts name the same cell
// with different values, and the order in which they are carried out does not matter
// (HBASE-13).
func (s *settings) send(b *caller, group []storage.Record, at int64) bool {
	keys := make([]string, len(group))
	same := make(map[string][]int, len(group)) // the records of each key
	for i := range group {
		r, err := s.row(group[i].Data)
		if err != nil {
			b.yield(nil, err)
			return false
		}
		if len(group) == 1 {
			r.time = at
			return b.add(r)
		}
		keys[i] = string(r.key)
		same[keys[i]] = append(same[keys[i]], i)
	}
	for i, key := range keys {
		records := same[key]
		if records[len(records)-1] != i {
			continue
		}
		r, err := s.merge(group, records)
		if err != nil {
			b.yield(nil, err)
			return false
		}
		r.time = at
		if !b.add(r) {
			return false
		}
	}
	return true
}

// merge makes one row of the records with the same row key.
func (s *settings) merge(group []storage.Record, records []int) (merged row, err error) {
	cells := make(map[string]int) // of merged, by their column
	for _, i := range records {
		r, err := s.row(group[i].Data)
		if err != nil {
			return row{}, err
		}
		merged.key = r.key
		for _, c := range r.cells {
			name := string(c.family) + ":" + string(c.name)
			if at, there := cells[name]; there {
				merged.cells[at] = c
				continue
			}
			cells[name] = len(merged.cells)
			merged.cells = append(merged.cells, c)
		}
	}
	return merged, nil
}

// A caller gathers rows until they make a call.
type caller struct {
	limit int  // bytes of the rows of a call
	split bool // a row that is larger
	rows  []row
	size  int
	yield func([]row, error) bool
}

// add takes a row, after yielding a call that has no room for it. False ends it. A
// row of several records that is too large is split: its cells differ.
func (b *caller) add(r row) bool {
	size := r.size()
	if n := len(r.cells); b.split && size > b.limit && n > 1 {
		half := r
		half.cells, r.cells = r.cells[:n/2], r.cells[n/2:]
		return b.add(half) && b.add(r)
	}
	if len(b.rows) > 0 && (len(b.rows) == maxCallRows || b.size+size > b.limit) {
		if !b.yield(b.rows, nil) {
			return false
		}
		b.rows, b.size = nil, 0
	}
	b.rows, b.size = append(b.rows, r), b.size+size
	return true
}
