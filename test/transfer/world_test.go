package transfer

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"disd/test/harness"
)

const (
	stream, task = "s", "t"
	putRecords   = 40
	interval     = 900
)

// A world is a stream with a task, what was put into it, and what was found where
// it is delivered to.
type world struct {
	t     *testing.T
	place place
	large bool // records of which a batch makes several parts
	batch int  // a batch is due when so many records wait
	s     *harness.Server

	ids atomic.Uint64 // of records

	mu    sync.Mutex
	acked map[record]uint64 // ids of records that were acknowledged since the last look

	held    map[int][]string  // data of the stream's records, by partition and number
	checked map[string]string // versions of the objects that were compared
	figures figures
}

// figures of what was done.
type figures struct{ records, objects, bytes, comparisons int }

type record struct {
	partition int
	seq       int64
}

func newWorld(t *testing.T, p place, large bool) *world {
	return &world{t: t, place: p, large: large, acked: make(map[record]uint64), held: make(map[int][]string), checked: make(map[string]string)}
}

// found makes the stream and its task.
func (w *world) found(members map[string]any) {
	w.t.Helper()
	c := w.s.Client()
	if err := c.CreateStream(w.t.Context(), stream, 3); err != nil {
		w.t.Fatal(err)
	}
	descriptor := map[string]any{"task_name": task, "agency_name": "dis_admin_agency", "obs_bucket_path": bucket, "deliver_time_interval": interval}
	for name, value := range members {
		descriptor[name] = value
	}
	in := map[string]any{"destination_type": "OBS", "obs_destination_descriptor": descriptor}
	if err := c.Call(w.t.Context(), http.MethodPost, "streams/"+stream+"/transfer-tasks", in, nil); err != nil {
		w.t.Fatal(err)
	}
}

// data returns the data of the record with that id.
func (w *world) data(id uint64) []byte {
	r := rand.New(rand.NewPCG(id, 1))
	size := 8 + r.IntN(500)
	if w.large {
		size = 400_000 + r.IntN(200_000)
	}
	out := binary.BigEndian.AppendUint64(nil, id)
	for len(out) < size {
		out = binary.BigEndian.AppendUint64(out, r.Uint64())
	}
	return out[:size]
}

// put uploads n records, into one partition unless it is -1.
func (w *world) put(n, partition int) error {
	recs := make([]harness.Record, n)
	ids := make([]uint64, n)
	for i := range recs {
		ids[i] = w.ids.Add(1)
		recs[i].Data = w.data(ids[i])
		if recs[i].Key = strconv.FormatUint(ids[i], 10); partition >= 0 {
			recs[i].Partition = strconv.Itoa(partition)
		}
	}
	acks, err := w.s.Client().Put(w.t.Context(), stream, recs)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, a := range acks {
		if a.Code != "" {
			return fmt.Errorf("a record was refused with %s", a.Code)
		}
		w.acked[record{a.Partition, a.Seq}] = ids[i]
	}
	return nil
}

// A load is clients that do everything to the stream and its task until the server
// is gone.
type load struct {
	*world
	ending atomic.Bool // the server may be gone
	wg     sync.WaitGroup
}

// start puts at most so many times, and meddles with stream and task now and then.
func (l *load) start(r *rand.Rand, puts int) {
	l.repeat(puts, func() error { return l.put(putRecords, -1) })
	if r.IntN(5) == 0 {
		to := 1 + r.IntN(4)
		l.repeat(1, func() error { return l.scale(to) })
	}
	if r.IntN(5) == 0 {
		l.repeat(1, func() error { return errors.Join(l.act("stop"), l.act("start")) })
	}
}

// scale changes the number of partitions, unless it is so already.
func (w *world) scale(to int) error {
	s, err := w.s.Client().Show(w.t.Context(), stream)
	if err != nil || s.Writable == to {
		return err
	}
	return w.s.Client().Scale(w.t.Context(), stream, to)
}

func (l *load) repeat(n int, do func() error) {
	l.wg.Go(func() {
		for range n {
			if err := do(); err != nil && l.ending.Load() {
				return
			} else if err != nil {
				l.t.Error(err)
				return
			}
		}
	})
}

// act starts or stops the task.
func (w *world) act(action string) error {
	in := map[string]any{"action": action, "tasks": []map[string]string{{"id": task}}}
	return w.s.Client().Call(w.t.Context(), http.MethodPost, "streams/"+stream+"/transfer-tasks/action", in, nil)
}

// verify compares every object that is new or was touched with the records of the
// stream. No two may hold the same record, and what the task says it has delivered
// must be there. More may arrive meanwhile: a listing is no moment in time.
func (w *world) verify() {
	w.t.Helper()
	parts, err := w.partitions()
	if err != nil {
		w.t.Fatal(err)
	}
	versions, err := w.place.list()
	if err != nil {
		w.t.Fatal(err)
	}
	w.learn() // after the listing, so that what was listed is known
	w.compare(versions, parts)
	w.figures.objects = len(versions)
}

// learn reads the new records of the stream, and looks for those that were
// acknowledged.
func (w *world) learn() {
	w.t.Helper()
	c := w.s.Client()
	parts, err := w.partitions()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range parts {
		for next := int64(len(w.held[p.id])); next < p.next; next = int64(len(w.held[p.id])) {
			cursor, err := c.Cursor(w.t.Context(), stream, p.id, "AT_SEQUENCE_NUMBER", next)
			if err != nil {
				w.t.Fatal(err)
			}
			recs, _, err := c.Get(w.t.Context(), cursor)
			if err != nil || len(recs) == 0 || recs[0].Seq != next {
				w.t.Fatalf("partition %d: %d records at %d of %d, %v", p.id, len(recs), next, p.next, err)
			}
			for _, rec := range recs {
				w.held[p.id] = append(w.held[p.id], string(rec.Data))
				w.figures.records++
				w.figures.bytes += len(rec.Data)
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for at, id := range w.acked {
		if held := w.held[at.partition]; at.seq >= int64(len(held)) || held[at.seq] != string(w.data(id)) {
			w.t.Errorf("partition %d: record %d was acknowledged and is not what was put", at.partition, at.seq)
		}
	}
	clear(w.acked)
}

// A partition is one as the server shows it.
type partition struct {
	id   int
	open bool  // takes records
	next int64 // number of the next record
	done int64 // number of the next record to deliver
}

func (w *world) partitions() ([]partition, error) {
	c := w.s.Client()
	s, err := c.Show(w.t.Context(), stream)
	if err != nil {
		return nil, err
	}
	var k struct {
		Partitions []struct {
			ID   string `json:"partition_id"`
			Last int64  `json:"last_transfer_offset"`
		} `json:"partitions"`
	}
	if err := c.Call(w.t.Context(), http.MethodGet, "streams/"+stream+"/transfer-tasks/"+task, nil, &k); err != nil {
		return nil, err
	}
	done := make(map[string]int64)
	for _, p := range k.Partitions {
		done[p.ID] = p.Last + 1
	}
	var all []partition
	for _, shown := range s.Partitions {
		p := partition{open: shown.Status == "ACTIVE", done: done[shown.ID]}
		var oldest int64
		_, err1 := fmt.Sscanf(shown.Range, "[%d : %d]", &oldest, &p.next)
		_, err2 := fmt.Sscanf(shown.ID, "shardId-%d", &p.id)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

var objectName = regexp.MustCompile(`^(?:.*/)?` + stream + `-` + task + `-shardId-(\d{10})-(\d+)-(\d+)\.txt$`)

// A piece is an object's run of records.
type piece struct {
	key                    string
	partition, first, last int
}

func (w *world) compare(versions map[string]string, parts []partition) {
	w.t.Helper()
	pieces := make(map[int][]piece)
	for key := range versions {
		if strings.Contains(key, "_manifest/") {
			continue // verify-dump reads them
		}
		p, err := parsePiece(key)
		if err != nil {
			w.t.Error(err)
		}
		pieces[p.partition] = append(pieces[p.partition], p)
	}
	for key := range w.checked {
		if versions[key] == "" {
			w.t.Errorf("object %s is gone", key)
		}
	}
	for _, part := range parts {
		list, held := pieces[part.id], w.held[part.id]
		delete(pieces, part.id)
		slices.SortFunc(list, func(a, b piece) int { return cmp.Compare(a.first, b.first) })
		next := 0
		for _, p := range list {
			gap := p.first > next && int64(next) < part.done
			if gap || p.first < next || p.last < p.first || p.last >= len(held) {
				w.t.Fatalf("partition %d: %s, where %d is next, %d are delivered, %d are held", part.id, p.key, next, part.done, len(held))
			}
			if w.checked[p.key] != versions[p.key] {
				w.compareObject(p, held[p.first:p.last+1])
				w.checked[p.key] = versions[p.key]
			}
			next = p.last + 1
		}
		if int64(next) < part.done {
			w.t.Errorf("partition %d: objects end at %d of the %d that are delivered", part.id, next, part.done)
		}
	}
	for id := range pieces {
		w.t.Errorf("objects of partition %d, which does not exist", id)
	}
}

func parsePiece(key string) (piece, error) {
	m := objectName.FindStringSubmatch(key)
	if m == nil {
		return piece{}, fmt.Errorf("object %s is of no task", key)
	}
	partition, err1 := strconv.Atoi(m[1])
	first, err2 := strconv.Atoi(m[2])
	last, err3 := strconv.Atoi(m[3])
	return piece{key, partition, first, last}, errors.Join(err1, err2, err3)
}

func (w *world) compareObject(p piece, held []string) {
	w.t.Helper()
	content, err := w.place.read(p.key)
	if err != nil {
		w.t.Fatal(err)
	}
	if want := strings.Join(held, "\n") + "\n"; content != want {
		w.t.Errorf("%s holds %d bytes that are not the %d of its records", p.key, len(content), len(want))
	}
	w.figures.comparisons++
}

// finish has everything delivered, and compares all objects with all records
// again, each byte.
func (w *world) finish() {
	w.t.Helper()
	if err := w.put(putRecords, -1); err != nil { // perhaps the first that arrive
		w.t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); !w.drained(); {
		if time.Now().After(deadline) {
			w.t.Fatalf("not everything is delivered")
		}
		time.Sleep(20 * time.Millisecond) // the server is asked for its progress
	}
	clear(w.checked)
	w.verify()
	delivered := 0
	for key := range w.checked {
		if p, err := parsePiece(key); err == nil {
			delivered += p.last - p.first + 1
		}
	}
	if delivered != w.figures.records {
		w.t.Errorf("%d of %d records are delivered", delivered, w.figures.records)
	}
	if left, err := w.place.litter(); err != nil || len(left) > 0 {
		w.t.Errorf("left behind: %q, %v", left, err)
	}
}

// drained reports whether everything is delivered, and adds records to what waits
// for more.
func (w *world) drained() bool {
	w.t.Helper()
	parts, err := w.partitions()
	if err != nil {
		w.t.Fatal(err)
	}
	drained := true
	for _, p := range parts {
		waiting := int(p.next - p.done)
		drained = drained && waiting == 0
		if p.open && waiting > 0 && waiting < w.batch {
			if err := w.put(w.batch-waiting, p.id); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	return drained
}
