// Package monitor keeps the figures of the monitoring API: what went in and out
// of streams and partitions, minute by minute, for seven days. Reference: section
// 5.6; api.md section 5, E32, E33.
package monitor

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"disd/internal/storage/catalog"
)

// Keep is how long points live (M-5).
const Keep = 7 * 24 * time.Hour

// Bucket is the time one point stands for (M-1).
const Bucket = time.Minute

// requests are the figures of a stream's calls in one minute.
type requests struct {
	Put          int64 `json:"put,omitempty"`
	PutMicros    int64 `json:"put_us,omitempty"`
	PutThrottled int64 `json:"put_throttled,omitempty"`
	Get          int64 `json:"get,omitempty"`
	GetMicros    int64 `json:"get_us,omitempty"`
	GetThrottled int64 `json:"get_throttled,omitempty"`
}

// volume are the figures of a partition's data in one minute.
type volume struct {
	PutBytes   int64 `json:"put_bytes,omitempty"`
	PutRecords int64 `json:"put_records,omitempty"`
	GetBytes   int64 `json:"get_bytes,omitempty"`
	GetRecords int64 `json:"get_records,omitempty"`
}

// A point is what happened to a stream in one minute.
type point struct {
	Requests requests         `json:"requests"`
	Parts    map[int32]volume `json:"parts,omitempty"`
}

func (p *point) empty() bool { return p.Requests == (requests{}) && len(p.Parts) == 0 }

// total is the sum over the partitions (M-5).
func (p *point) total() (v volume) {
	for _, part := range p.Parts {
		v.PutBytes += part.PutBytes
		v.PutRecords += part.PutRecords
		v.GetBytes += part.GetBytes
		v.GetRecords += part.GetRecords
	}
	return v
}

// points has a point for each minute in which something happened.
var points = catalog.NewTable[*point]("metrics") // stream id, day (ten digits of seconds), minute (same)

// A Monitor counts. All methods may be called at any time.
type Monitor struct {
	db      *catalog.DB
	now     func() time.Time
	log     *slog.Logger
	started time.Time

	mu      sync.RWMutex
	streams map[string]*stream
}

// A stream is the minutes of one stream that are not in the catalog yet.
type stream struct {
	mu      sync.Mutex
	minute  int64 // start of current, seconds
	current *point
	done    map[int64]*point // earlier ones, by minute
}

// Options of a Monitor. Nil means the ordinary value.
type Options struct {
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default slog.Default
}

// Open returns a monitor that keeps its points in a catalog.
func Open(db *catalog.DB, opts Options) *Monitor {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	return &Monitor{db: db, now: opts.Now, log: opts.Logger, started: opts.Now(), streams: make(map[string]*stream)}
}

// Put counts an upload that was answered with 200 now: the bytes of each stored
// record by partition, the time it took, and whether flow control refused any of
// it (M-3, M-4).
func (m *Monitor) Put(streamID string, took time.Duration, stored iter.Seq2[int32, int], throttled bool) {
	m.count(streamID, func(p *point) {
		p.Requests.Put++
		p.Requests.PutMicros += took.Microseconds()
		if throttled {
			p.Requests.PutThrottled++
		}
		last, v := int32(-1), volume{}
		for id, size := range stored {
			if id != last {
				p.add(last, v)
				last, v = id, volume{}
			}
			v.PutBytes += int64(size)
			v.PutRecords++
		}
		p.add(last, v)
	})
}

// Get counts a download that was answered with 200 now.
func (m *Monitor) Get(streamID string, partition int32, took time.Duration, records, bytes int, delayed bool) {
	m.count(streamID, func(p *point) {
		p.Requests.Get++
		p.Requests.GetMicros += took.Microseconds()
		if delayed {
			p.Requests.GetThrottled++
		}
		p.add(partition, volume{GetBytes: int64(bytes), GetRecords: int64(records)})
	})
}

// Refused counts a download that flow control refused as a whole.
func (m *Monitor) Refused(streamID string) {
	m.count(streamID, func(p *point) { p.Requests.GetThrottled++ })
}

func (p *point) add(partition int32, v volume) {
	if v == (volume{}) {
		return
	}
	have := p.Parts[partition]
	have.PutBytes += v.PutBytes
	have.PutRecords += v.PutRecords
	have.GetBytes += v.GetBytes
	have.GetRecords += v.GetRecords
	if p.Parts == nil {
		p.Parts = make(map[int32]volume)
	}
	p.Parts[partition] = have
}

func (m *Monitor) count(streamID string, add func(*point)) {
	st := m.stream(streamID)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.rollLocked(minuteOf(m.now()))
	add(st.current)
}

func minuteOf(t time.Time) int64 { return t.Unix() - t.Unix()%60 }

// rollLocked begins a new point when the minute has changed. A clock that went
// back goes on with the point it has.
func (st *stream) rollLocked(minute int64) {
	if minute <= st.minute {
		return
	}
	if !st.current.empty() {
		st.done[st.minute] = st.current
	}
	st.minute, st.current = minute, new(point)
}

func (m *Monitor) stream(id string) *stream {
	m.mu.RLock()
	st := m.streams[id]
	m.mu.RUnlock()
	if st != nil {
		return st
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if st = m.streams[id]; st == nil {
		st = &stream{current: new(point), done: make(map[int64]*point)}
		m.streams[id] = st
	}
	return st
}

// Forget removes a stream's points, within the transaction that deletes it (M-6).
// Its id is never used again, so what is still counted for it is not seen.
func Forget(tx *catalog.Tx, streamID string) error {
	_, err := points.Clear(tx, streamID)
	return err
}

// Run saves finished minutes until ctx ends, and then the unfinished ones too.
func (m *Monitor) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return m.save(minuteOf(m.now()) + 60)
		case <-tick.C:
			if err := m.Save(); err != nil {
				m.log.Error("monitoring data could not be saved", "error", err)
			}
		}
	}
}

// Save makes the points of finished minutes durable and retires old ones.
func (m *Monitor) Save() error { return m.save(minuteOf(m.now())) }

// save ends all points before a minute and stores what was ended.
func (m *Monitor) save(minute int64) error {
	type finished struct {
		id     string
		st     *stream
		points map[int64]*point
	}
	var all []finished
	m.mu.RLock()
	for id, st := range m.streams {
		st.mu.Lock()
		st.rollLocked(minute)
		if len(st.done) > 0 {
			copied := make(map[int64]*point, len(st.done))
			for at, p := range st.done {
				copied[at] = p // no longer changed
			}
			all = append(all, finished{id, st, copied})
		}
		st.mu.Unlock()
	}
	m.mu.RUnlock()
	if len(all) == 0 {
		return nil
	}
	err := m.db.Update(func(tx *catalog.Tx) error {
		for _, f := range all {
			for at, p := range f.points {
				if err := store(tx, f.id, at, p); err != nil {
					return err
				}
			}
			if err := retire(tx, f.id, minute); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, f := range all {
		f.st.mu.Lock()
		for at := range f.points {
			delete(f.st.done, at)
		}
		f.st.mu.Unlock()
	}
	return nil
}

// store puts a point, together with what an earlier run of the server stored of the
// same minute.
func store(tx *catalog.Tx, streamID string, at int64, p *point) error {
	key := []string{streamID, dayKey(at), secondsKey(at)}
	before, ok, err := points.Get(tx, key...)
	if err != nil {
		return err
	}
	if ok {
		before.Requests.merge(p.Requests)
		for id, v := range p.Parts {
			before.add(id, v)
		}
		p = before
	}
	return points.Put(tx, p, key...)
}

func (r *requests) merge(o requests) {
	r.Put += o.Put
	r.PutMicros += o.PutMicros
	r.PutThrottled += o.PutThrottled
	r.Get += o.Get
	r.GetMicros += o.GetMicros
	r.GetThrottled += o.GetThrottled
}

const day = 24 * 3600

// retire removes whole days that are older than Keep. It looks back a while, for
// the time the server was not running.
func retire(tx *catalog.Tx, streamID string, now int64) error {
	oldest := now - int64(Keep/time.Second) - day
	for at := oldest; at > oldest-30*day; at -= day {
		if _, err := points.Clear(tx, streamID, dayKey(at)); err != nil {
			return err
		}
	}
	return nil
}

func dayKey(seconds int64) string { return secondsKey(seconds - seconds%day) }

// secondsKey has ten digits, so that keys sort by time.
func secondsKey(seconds int64) string {
	s := strconv.FormatInt(seconds, 10)
	return "0000000000"[min(len(s), 10):] + s
}

// each calls fn with the points of a stream from one second to another, in order.
func (m *Monitor) each(streamID string, from, to int64, fn func(at int64, p *point)) error {
	fresh := m.fresh(streamID, from, to)
	err := m.db.View(func(tx *catalog.Tx) error {
		for d := from - from%day; d <= to; d += day {
			err := points.Each(tx, []string{streamID, dayKey(d)}, func(key []string, p *point) error {
				at, err := strconv.ParseInt(key[2], 10, 64)
				if _, again := fresh[at]; err == nil && at >= from && at <= to && !again {
					fn(at, p)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	for at := from; at <= to && len(fresh) > 0; at += 60 {
		if p, ok := fresh[at]; ok {
			fn(at, p)
			delete(fresh, at)
		}
	}
	return err
}

// fresh returns copies of the points that are not in the catalog for sure.
func (m *Monitor) fresh(streamID string, from, to int64) map[int64]*point {
	out := make(map[int64]*point)
	m.mu.RLock()
	st := m.streams[streamID]
	m.mu.RUnlock()
	if st == nil {
		return out
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	for at, p := range st.done {
		if at >= from && at <= to {
			out[at] = p
		}
	}
	if st.minute >= from && st.minute <= to && !st.current.empty() {
		now := &point{Requests: st.current.Requests, Parts: make(map[int32]volume, len(st.current.Parts))}
		for id, v := range st.current.Parts {
			now.Parts[id] = v
		}
		out[st.minute] = now
	}
	return out
}

// Traffic is what a stream carried in some minutes.
type Traffic struct {
	Put, Get  int64 // bytes
	Throttled int64 // uploads refused in part or as a whole
}

// ErrYoung is an answer that needs more time than the monitor has been running.
var ErrYoung = errors.New("monitor has not been running long enough")

// Traffic returns what a stream carried in the last finished minutes. ErrYoung when
// the monitor has not seen all of them.
func (m *Monitor) Traffic(streamID string, minutes int) (t Traffic, err error) {
	last := minuteOf(m.now()) - 60
	first := last - int64(minutes-1)*60
	if m.started.Unix() > first {
		return t, ErrYoung
	}
	err = m.each(streamID, first, last, func(_ int64, p *point) {
		v := p.total()
		t.Put += v.PutBytes
		t.Get += v.GetBytes
		t.Throttled += p.Requests.PutThrottled
	})
	return t, err
}
