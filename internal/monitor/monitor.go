// Package monitor keeps the figures of the monitoring API: what went in and out
// of streams and partitions, minute by minute, for seven days. Reference: section
// 5.6; api.md section 5, E32, E33. How points lie in the catalog is specified in
// docs/format-metrics.md.
package monitor

import (
	"errors"
	"iter"
	"log/slog"
	"sync"
	"time"

	"disd/internal/clock"
	"disd/internal/storage/catalog"
)

// Keep is how long points live (M-5).
const Keep = 7 * 24 * time.Hour

// Bucket is the time one point stands for (M-1).
const Bucket = time.Minute

// requests are the figures of a stream's calls in one minute.
type requests struct {
	put, putMicros, putThrottled int64
	get, getMicros, getThrottled int64
}

func (r *requests) add(o requests) {
	r.put += o.put
	r.putMicros += o.putMicros
	r.putThrottled += o.putThrottled
	r.get += o.get
	r.getMicros += o.getMicros
	r.getThrottled += o.getThrottled
}

// volume are the figures of a partition's data in one minute.
type volume struct{ putBytes, putRecords, getBytes, getRecords int64 }

func (v *volume) add(o volume) {
	v.putBytes += o.putBytes
	v.putRecords += o.putRecords
	v.getBytes += o.getBytes
	v.getRecords += o.getRecords
}

// A point is what happened to a stream in one minute.
type point struct {
	requests requests
	parts    []volume // by partition; ids are dense
}

// part returns the figures of a partition, to be changed.
func (p *point) part(id int32) *volume {
	if more := int(id) + 1 - len(p.parts); more > 0 {
		p.parts = append(p.parts, make([]volume, more)...)
	}
	return &p.parts[id]
}

func (p *point) add(o *point) {
	p.requests.add(o.requests)
	for id, v := range o.parts {
		p.part(int32(id)).add(v)
	}
}

func (p *point) empty() bool {
	for _, v := range p.parts {
		if v != (volume{}) {
			return false
		}
	}
	return p.requests == requests{}
}

// A Monitor counts. All methods may be called at any time.
type Monitor struct {
	db      catalog.Store
	now     func() time.Time
	log     *slog.Logger
	started time.Time

	// saving is held while points move from memory to the catalog, and shared
	// by readers, who find each of them in one of the two.
	saving  sync.RWMutex
	retired int64 // the hour in which old points were last removed

	stepped int64 // the minute of the last Step that saved, or of Open

	mu      sync.RWMutex // taken before a stream's lock, if both are
	streams map[string]*stream
}

// A stream is the minutes of one stream that are not in the catalog.
type stream struct {
	mu      sync.Mutex
	dropped bool  // no longer in the monitor's map
	minute  int64 // start of current, seconds
	current *point
	done    map[int64]*point // other minutes
}

// Options of a Monitor. Nil means the ordinary value.
type Options struct {
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default slog.Default
}

// Open returns a monitor that keeps its points in a catalog.
func Open(db catalog.Store, opts Options) *Monitor {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	now := opts.Now()
	return &Monitor{
		db: db, now: opts.Now, log: opts.Logger, started: now, stepped: minuteOf(now), streams: make(map[string]*stream),
	}
}

// Put counts an upload that was answered with 200 now: the bytes of each stored
// record by partition, the time it took, and whether flow control refused any of
// it (M-3, M-4).
func (m *Monitor) Put(streamID string, took time.Duration, stored iter.Seq2[int32, int], throttled bool) {
	st := m.count(streamID)
	defer st.mu.Unlock()
	p := st.current
	p.requests.put++
	p.requests.putMicros += took.Microseconds()
	if throttled {
		p.requests.putThrottled++
	}
	for id, size := range stored {
		v := p.part(id)
		v.putBytes += int64(size)
		v.putRecords++
	}
}

// Get counts a download that was answered with 200 now.
func (m *Monitor) Get(streamID string, partition int32, took time.Duration, records, bytes int, delayed bool) {
	st := m.count(streamID)
	defer st.mu.Unlock()
	p := st.current
	p.requests.get++
	p.requests.getMicros += took.Microseconds()
	if delayed {
		p.requests.getThrottled++
	}
	p.part(partition).add(volume{getBytes: int64(bytes), getRecords: int64(records)})
}

// Refused counts a download that flow control refused as a whole.
func (m *Monitor) Refused(streamID string) {
	st := m.count(streamID)
	defer st.mu.Unlock()
	st.current.requests.getThrottled++
}

// count returns a stream, locked, with the point of this minute.
func (m *Monitor) count(streamID string) *stream {
	for {
		st := m.stream(streamID)
		st.mu.Lock()
		if !st.dropped {
			st.turn(minuteOf(m.now()))
			return st
		}
		st.mu.Unlock()
	}
}

func minuteOf(t time.Time) int64 { return t.Unix() - t.Unix()%60 }

// turn begins a new point when the minute has changed, in whatever direction.
func (st *stream) turn(minute int64) {
	if minute == st.minute {
		return
	}
	if !st.current.empty() {
		st.keep(st.minute, st.current)
	}
	st.minute, st.current = minute, new(point)
}

// keep holds an ended point until it is saved.
func (st *stream) keep(at int64, p *point) {
	if other := st.done[at]; other != nil {
		p.add(other)
	}
	st.done[at] = p
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

// Step saves the minutes that have ended, and returns when there is next one to save,
// zero when nothing has happened in any. It is called by one goroutine at a time.
func (m *Monitor) Step() (next time.Time) {
	if minute := minuteOf(m.now()); minute != m.stepped {
		if err := m.Save(); err != nil {
			m.log.Error("monitoring data could not be saved", "error", err)
		} else {
			m.stepped = minute
		}
	}
	for _, d := range m.Due() {
		next = clock.Earlier(next, d.At)
	}
	return next
}

// Due returns when each minute ends that is to be saved then.
func (m *Monitor) Due() (due []clock.Due) {
	minutes := make(map[int64]bool)
	m.mu.RLock()
	for _, st := range m.streams {
		st.unsaved(minutes)
	}
	m.mu.RUnlock()
	for minute := range minutes {
		due = append(due, clock.Due{At: time.Unix(minute+60, 0), What: "minute"})
	}
	return due
}

// unsaved adds the minutes to a set that are not in the catalog.
func (st *stream) unsaved(minutes map[int64]bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for minute := range st.done {
		minutes[minute] = true
	}
	if !st.current.empty() {
		minutes[st.minute] = true
	}
}

// Flush saves also the minute that has not ended. What happens in it later is added.
func (m *Monitor) Flush() error { return m.save(minuteOf(m.now()) + 60) }

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
	samples, err := m.samples(streamID, wholeStream, first, last)
	for _, s := range samples {
		t.Put += s.volume.putBytes
		t.Get += s.volume.getBytes
		t.Throttled += s.requests.putThrottled
	}
	return t, err
}
