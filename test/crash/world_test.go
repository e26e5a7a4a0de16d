package crash

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"disd/test/harness"
)

// A world is what the server must hold, by all that it has answered.
type world struct {
	t *testing.T

	mu      sync.Mutex
	fates   []fate // of the record with that id
	batches []batch
	streams map[string]*stream
	apps    map[string]presence
}

// Presence of what is not in a map is known too: it must not be there.
type presence int

const (
	present presence = iota + 1
	making           // asked for, unanswered
	leaving          // to be deleted, unanswered
)

// A fate is what became of a record.
type fate struct {
	state     state
	batch     int
	partition int
	seq       int64
}

type state int

const (
	tried   state = iota // may be stored or not
	held                 // acknowledged, or seen
	refused              // never stored
)

// A batch is the records of one upload. Those that go to one partition are
// stored together or not at all.
type batch struct {
	size int
	one  bool // all go to one partition
}

type stream struct {
	name    string
	is      presence
	ids     map[int]map[int64]uint64 // records by partition and sequence number
	marks   map[mark]position
	cursors []cursor
	counts  []int // numbers of partitions there may be: one, or also one asked for
}

type mark struct {
	app       string
	partition int
}

// A position is a checkpoint; asked is one that was not answered, else the same.
type position struct{ seq, asked int64 }

// A cursor was issued for that place.
type cursor struct {
	text      string
	partition int
	seq       int64
}

func newWorld(t *testing.T) *world {
	return &world{t: t, streams: make(map[string]*stream), apps: make(map[string]presence)}
}

// The streams and apps that live as long as the test.
var (
	steady = map[string]int{"wide": 5, "narrow": 1, scaled: 3}
	apps   = []string{"reader", "writer"}
)

const scaled = "scaled"

// found makes the steady streams and apps.
func (w *world) found(c *harness.Client) {
	w.t.Helper()
	for name, partitions := range steady {
		w.make(c, name, partitions)
	}
	for _, app := range apps {
		if err := c.CreateApp(w.t.Context(), app); err != nil {
			w.t.Fatal(err)
		}
		w.apps[app] = present
	}
}

// make makes a stream while nothing else happens.
func (w *world) make(c *harness.Client, name string, partitions int) {
	w.t.Helper()
	if err := c.CreateStream(w.t.Context(), name, partitions); err != nil {
		w.t.Fatal(err)
	}
	w.streams[name] = newStream(name, partitions)
	w.streams[name].is = present
}

func newStream(name string, partitions int) *stream {
	return &stream{
		name: name, is: making, counts: []int{partitions},
		ids: make(map[int]map[int64]uint64), marks: make(map[mark]position),
	}
}

// replaceLargest deletes the largest steady stream and makes it anew when it has
// more than so many records, so that a test can go on for ever.
func (w *world) replaceLargest(c *harness.Client, records int) {
	w.t.Helper()
	var largest *stream
	for name := range steady {
		if s := w.streams[name]; largest == nil || s.count() > largest.count() {
			largest = s
		}
	}
	if largest.count() <= records {
		return
	}
	if err := c.DeleteStream(w.t.Context(), largest.name); err != nil {
		w.t.Fatal(err)
	}
	w.make(c, largest.name, steady[largest.name])
}

func (s *stream) count() (n int) {
	for _, ids := range s.ids {
		n += len(ids)
	}
	return n
}

func (w *world) count() (n int) {
	for _, s := range w.streams {
		n += s.count()
	}
	return n
}

// content returns the record with that id. It can be told from its bytes whether
// a record is whole.
func content(id uint64) harness.Record {
	r := rand.New(rand.NewPCG(id, 1))
	size := 8 + r.IntN(1<<(4+r.IntN(9)))
	if r.IntN(200) == 0 {
		size += 300_000
	}
	rec := harness.Record{Data: binary.BigEndian.AppendUint64(nil, id)}
	for len(rec.Data) < size {
		rec.Data = binary.BigEndian.AppendUint64(rec.Data, r.Uint64())
	}
	rec.Data = rec.Data[:size]
	if r.IntN(2) == 0 {
		rec.Key = hex.EncodeToString(rec.Data[:4+r.IntN(4)])
	}
	return rec
}

// try announces a batch before it is sent, and returns the id of its first record.
func (w *world) try(b batch) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := len(w.fates)
	for range b.size {
		w.fates = append(w.fates, fate{batch: len(w.batches)})
	}
	w.batches = append(w.batches, b)
	return uint64(first)
}

// settle notes the answer to the record with that id.
func (w *world) settle(s *stream, id uint64, a harness.Ack) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.Code == "" {
		return w.hold(s, a.Partition, a.Seq, id)
	}
	w.fates[id].state = refused
	if !slices.Contains([]string{"DIS.4302", "DIS.4303", "DIS.4319"}, a.Code) {
		return fmt.Errorf("%s: a record was refused with %s", s.name, a.Code)
	}
	return nil
}

// hold notes that a record is stored. What was known before must agree.
func (w *world) hold(s *stream, partition int, seq int64, id uint64) error {
	if id >= uint64(len(w.fates)) {
		return fmt.Errorf("%s/%d: record %d was never sent", s.name, partition, seq)
	}
	f := &w.fates[id]
	switch other, taken := s.ids[partition][seq]; {
	case taken && other != id:
		return fmt.Errorf("%s/%d: number %d was given to the records with ids %d and %d", s.name, partition, seq, other, id)
	case f.state == refused:
		return fmt.Errorf("%s/%d: record %d was refused, and is stored", s.name, partition, seq)
	case f.state == held && !taken:
		return fmt.Errorf("%s/%d: record %d is stored twice, first as %d of partition %d", s.name, partition, seq, f.seq, f.partition)
	}
	f.state, f.partition, f.seq = held, partition, seq
	if s.ids[partition] == nil {
		s.ids[partition] = make(map[int64]uint64)
	}
	s.ids[partition][seq] = id
	return nil
}

// known returns a place in s where a record is.
func (w *world) known(s *stream, r *rand.Rand) (partition int, seq int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	partition = r.IntN(s.counts[0])
	if n := len(s.ids[partition]); n > 0 {
		seq = r.Int64N(int64(n)) // dense from 0, apart from what is on its way
	}
	_, ok = s.ids[partition][seq]
	return partition, seq, ok
}

// verify compares the server with the world, and takes over what the server did
// without answering. With all, it must have done nothing of that kind.
func (w *world) verify(c *harness.Client, all bool) {
	w.t.Helper()
	names, err := c.Streams(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for name, s := range w.streams {
		switch there := slices.Contains(names, name); {
		case !there && s.is == present, !there && s.is == leaving && all, there && s.is == making && all:
			w.t.Errorf("stream %s: there is %v", name, there)
		case !there:
			delete(w.streams, name)
		default:
			s.is = present
			if err := errors.Join(w.verifyRecords(c, s, all), w.verifyCount(c, s, all), w.verifyMarks(c, s, all), w.verifyCursors(c, s)); err != nil {
				w.t.Error(err)
			}
		}
	}
	for _, name := range names {
		if w.streams[name] == nil {
			w.t.Errorf("stream %s should not be there", name)
		}
	}
	w.verifyApps(c, all)
}

func (w *world) verifyRecords(c *harness.Client, s *stream, all bool) error {
	read := 0
	err := c.ReadAll(w.t.Context(), s.name, func(p harness.Partition) error {
		read += len(p.Records)
		return w.verifyPartition(s, p, all)
	})
	if err == nil && read != s.count() {
		err = fmt.Errorf("%s: holds %d records, %d were acknowledged", s.name, read, s.count())
	}
	return err
}

func (w *world) verifyPartition(s *stream, p harness.Partition, all bool) error {
	parts := make(map[int][]uint64) // what is here of batches that were not answered
	for _, r := range p.Records {
		id, err := identify(r)
		if err != nil {
			return err
		}
		if id < uint64(len(w.fates)) && w.fates[id].state == tried {
			if all {
				return fmt.Errorf("record %d was stored without an answer", r.Seq)
			}
			parts[w.fates[id].batch] = append(parts[w.fates[id].batch], id)
		}
		if err := w.hold(s, p.ID, r.Seq, id); err != nil {
			return err
		}
	}
	for n, ids := range parts {
		if w.batches[n].one && len(ids) != w.batches[n].size {
			return fmt.Errorf("%d records of %d that were sent together are stored", len(ids), w.batches[n].size)
		}
		for i := 1; i < len(ids); i++ {
			if ids[i] < ids[i-1] || w.fates[ids[i]].seq != w.fates[ids[i-1]].seq+1 {
				return fmt.Errorf("record %d does not follow the one it was sent with", w.fates[ids[i]].seq)
			}
		}
	}
	return nil
}

// identify returns the id of a record that is whole.
func identify(r harness.Record) (uint64, error) {
	if len(r.Data) < 8 {
		return 0, fmt.Errorf("record %d has %d bytes", r.Seq, len(r.Data))
	}
	id := binary.BigEndian.Uint64(r.Data)
	if want := content(id); !bytes.Equal(r.Data, want.Data) {
		return 0, fmt.Errorf("record %d is not what was sent as %d", r.Seq, id)
	}
	return id, nil
}

func (w *world) verifyCount(c *harness.Client, s *stream, all bool) error {
	d, err := c.Show(w.t.Context(), s.name)
	if err != nil {
		return err
	}
	if !slices.Contains(s.counts, d.Writable) || all && d.Writable != s.counts[0] {
		return fmt.Errorf("%s has %d partitions, should have one of %v", s.name, d.Writable, s.counts)
	}
	s.counts = []int{d.Writable}
	return nil
}

func (w *world) verifyMarks(c *harness.Client, s *stream, all bool) error {
	for m, want := range s.marks {
		seq, metadata, err := c.Checkpoint(w.t.Context(), m.app, s.name, m.partition)
		if err != nil {
			return err
		}
		asked := seq == want.asked && !all
		if seq != want.seq && !asked || seq >= 0 && metadata != harness.Metadata(seq) {
			return fmt.Errorf("%s/%d: checkpoint of %s is %d %q, should be %+v", s.name, m.partition, m.app, seq, metadata, want)
		}
		s.marks[m] = position{seq, seq}
	}
	return nil
}

// verifyCursors uses cursors from before: each still means the same place.
func (w *world) verifyCursors(c *harness.Client, s *stream) error {
	for _, k := range s.cursors {
		recs, _, err := c.Get(w.t.Context(), k.text)
		if err != nil {
			return err
		}
		if _, stored := s.ids[k.partition][k.seq]; stored != (len(recs) > 0) || stored && recs[0].Seq != k.seq {
			return fmt.Errorf("%s/%d: the cursor at %d gives %d records", s.name, k.partition, k.seq, len(recs))
		}
	}
	s.cursors = nil
	return nil
}

func (w *world) verifyApps(c *harness.Client, all bool) {
	w.t.Helper()
	names, err := c.Apps(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for app, is := range w.apps {
		switch there := slices.Contains(names, app); {
		case !there && is == present, !there && is == leaving && all, there && is == making && all:
			w.t.Errorf("app %s: there is %v", app, there)
		case there:
			w.apps[app] = present
		default:
			delete(w.apps, app)
		}
	}
	for _, app := range names {
		if w.apps[app] == 0 {
			w.t.Errorf("app %s should not be there", app)
		}
	}
}
