package partition

import (
	"context"
	"crypto/md5"
	"encoding/binary"
	"math"
	"sync"

	"disd/internal/storage"
)

// Hash returns the hash value of a partition key: the first eight bytes,
// big-endian, of its MD5, without the sign bit (L-6).
func Hash(key []byte) int64 {
	sum := md5.Sum(key)
	return int64(binary.BigEndian.Uint64(sum[:8]) & math.MaxInt64)
}

// hashRange returns the inclusive range of partition k of n (L-5).
func hashRange(k, n int64) (low, high int64) {
	w := math.MaxInt64 / n
	if k == n-1 {
		return k * w, math.MaxInt64
	}
	return k * w, (k+1)*w - 1
}

// slot returns the partition of n whose range contains a hash value (L-7).
func slot(hash, n int64) int32 {
	return int32(min(hash/(math.MaxInt64/n), n-1))
}

// A Put is one record on its way to a partition (E19-R2).
type Put struct {
	Partition int32 // -1 when the producer named none
	Hash      int64 // explicit hash value, -1 for none
	Key       []byte
	Timestamp int64
	Info      []byte
	Data      []byte
}

// An Outcome tells where a record was stored, or why not: ErrPartitionNotFound,
// ErrPartitionExpired, ErrThrottled, or an error of the engine.
type Outcome struct {
	Partition int32
	Seq       storage.Seq
	Err       error
}

// Put stores records, each in the partition it belongs to, records of one
// partition in the order given, and sets out[i] for puts[i]. What it stored is
// durable when it returns. The error is one of the whole request:
// ErrStreamNotFound, ErrNotRunning; nothing is stored then.
func (st *Stream) Put(ctx context.Context, puts []Put, out []Outcome) error {
	st.uploads.RLock()
	defer st.uploads.RUnlock()
	l := st.layout.Load()
	if l == nil {
		return ErrStreamNotFound
	}
	if err := l.info.Running(); err != nil {
		return err
	}
	w := uploads.Get().(*upload)
	defer w.release()
	w.route(st, l, puts, out)
	w.group(l, puts, out)
	st.set.engine.Append(ctx, w.batches)
	w.settle(out)
	return nil
}

// route chooses a partition for every record, or sets its error.
func (w *upload) route(st *Stream, l *layout, puts []Put, out []Outcome) {
	admit := st.limits.begin(l, st.set.opts)
	for i := range puts {
		p := &puts[i]
		id := p.Partition
		if id < 0 {
			id = st.choose(int64(l.active), p)
		}
		o := &out[i]
		*o = Outcome{Partition: id, Err: l.writable(id)}
		if o.Err == nil && !admit.record(id, len(p.Data)) {
			o.Err = ErrThrottled
		}
	}
	admit.end()
}

func (st *Stream) choose(n int64, p *Put) int32 {
	switch {
	case n == 1:
		return 0
	case p.Hash >= 0:
		return slot(p.Hash, n)
	case p.Key != nil:
		return slot(Hash(p.Key), n)
	}
	return int32(int64(st.turn.Add(1)) % n)
}

func (l *layout) writable(id int32) error {
	switch {
	case int(id) >= len(l.logs):
		return ErrPartitionNotFound
	case int(id) >= l.active:
		return ErrPartitionExpired
	}
	return l.logs[id].err
}

// Route chooses the partition of every record that names none, as Put would, and
// returns all of them.
func (st *Stream) Route(puts []Put) []int32 {
	ids := make([]int32, len(puts))
	l := st.layout.Load()
	for i := range puts {
		if p := &puts[i]; p.Partition < 0 && l != nil {
			p.Partition = st.choose(int64(l.active), p)
		}
		ids[i] = puts[i].Partition
	}
	return ids
}

// An upload is the working memory of one Put, used again and again.
type upload struct {
	shares  []share          // by partition
	records []storage.Record // grouped by partition
	index   []int32          // by put: where its record is in records
	store   []storage.Batch
	batches []*storage.Batch
}

// A share is the part of an upload that goes to one partition.
type share struct {
	count int32 // records
	first int32 // where they begin in upload.records
	next  int32 // where the next one goes
	batch int32 // its batch in upload.store
}

var uploads = sync.Pool{New: func() any { return new(upload) }}

// group sorts the records by partition, keeping their order, and makes a batch
// of each partition's share.
func (w *upload) group(l *layout, puts []Put, out []Outcome) {
	w.shares = sized(w.shares, l.active)
	clear(w.shares)
	n := int32(0)
	for i := range out {
		if out[i].Err == nil {
			w.shares[out[i].Partition].count++
			n++
		}
	}
	w.records = sized(w.records, int(n))
	w.index = sized(w.index, len(puts))
	w.cut(l)
	for i := range puts {
		if out[i].Err == nil {
			s := &w.shares[out[i].Partition]
			w.index[i] = s.next
			w.records[s.next] = puts[i].record()
			s.next++
		}
	}
}

// cut gives each share its place in records, and a batch over it.
func (w *upload) cut(l *layout) {
	w.store, w.batches = w.store[:0], w.batches[:0]
	at := int32(0)
	for id := range w.shares {
		s := &w.shares[id]
		s.first, s.next, s.batch = at, at, int32(len(w.store))
		if s.count == 0 {
			continue
		}
		at += s.count
		w.store = append(w.store, storage.Batch{Log: l.logs[id].log, Records: w.records[s.first:at]})
	}
	for i := range w.store {
		w.batches = append(w.batches, &w.store[i])
	}
}

// record returns what is stored. The key is kept only where no partition was
// named (E20-R6).
func (p *Put) record() storage.Record {
	r := storage.Record{Timestamp: p.Timestamp, Info: p.Info, Data: p.Data}
	if p.Partition < 0 {
		r.Key = p.Key
	}
	return r
}

// settle copies the batches' outcomes to their records.
func (w *upload) settle(out []Outcome) {
	for i := range out {
		if out[i].Err != nil {
			continue
		}
		s := &w.shares[out[i].Partition]
		b := &w.store[s.batch]
		out[i].Seq, out[i].Err = b.First+storage.Seq(w.index[i]-s.first), b.Err
	}
}

// release gives the memory back, without what it refers to.
func (w *upload) release() {
	clear(w.records)
	clear(w.store)
	uploads.Put(w)
}

func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}
