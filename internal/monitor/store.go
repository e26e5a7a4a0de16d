package monitor

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strconv"
	"time"

	"disd/internal/storage/catalog"
)

// Tables of points. A point is one value whatever the number of partitions, and
// lies under its hour first, so that an hour that has grown old is one range.
var (
	points = catalog.NewTable[[]byte]("metrics")    // pointKey
	hours  = catalog.NewTable[bool]("metric_hours") // hourKey: those that have points
)

const hour = 3600

// hourKey is the key of the hour in which a second lies.
func hourKey(at int64) catalog.Key { return catalog.Key{catalog.Digits(at-at%hour, 10)} }

// streamKey is what the points of a stream in one hour have in common.
func streamKey(hour catalog.Key, stream string) catalog.Key { return catalog.Key{hour[0], stream} }

// pointKey is that of a stream's minute.
func pointKey(stream string, at int64) catalog.Key {
	return append(streamKey(hourKey(at), stream), catalog.Digits(at, 10))
}

// formatVersion is the first byte of a stored point.
const formatVersion = 1

var errFormat = errors.New("unknown form of a monitoring point")

func (r *requests) fields() []*int64 {
	return []*int64{&r.put, &r.putMicros, &r.putThrottled, &r.get, &r.getMicros, &r.getThrottled}
}

func (v *volume) fields() []*int64 {
	return []*int64{&v.putBytes, &v.putRecords, &v.getBytes, &v.getRecords}
}

// encode leaves out partitions without figures.
func (p *point) encode() []byte {
	b := appendFields([]byte{formatVersion}, p.requests.fields())
	next := 0
	for id := range p.parts {
		if v := &p.parts[id]; *v != (volume{}) {
			b = appendFields(binary.AppendUvarint(b, uint64(id-next)), v.fields())
			next = id + 1
		}
	}
	return b
}

func appendFields(b []byte, fields []*int64) []byte {
	for _, f := range fields {
		b = binary.AppendUvarint(b, uint64(*f))
	}
	return b
}

// maxPartition bounds what a damaged point can make us allocate. No stream has
// as many partitions: each has files of its own.
const maxPartition = 1 << 20

// parsePoint reads what encode wrote.
func parsePoint(b []byte) (*point, error) {
	p := new(point)
	if len(b) == 0 || b[0] != formatVersion {
		return nil, errFormat
	}
	b, err := parseFields(b[1:], p.requests.fields())
	for id := int64(-1); err == nil && len(b) > 0; {
		var gap int64
		b, err = parseFields(b, []*int64{&gap})
		if err != nil || gap > maxPartition || id+gap+1 > maxPartition {
			return nil, errFormat
		}
		id += gap + 1
		b, err = parseFields(b, p.part(int32(id)).fields())
	}
	return p, err
}

func parseFields(b []byte, fields []*int64) ([]byte, error) {
	for _, f := range fields {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > math.MaxInt64 {
			return nil, errFormat
		}
		*f, b = int64(n), b[size:]
	}
	return b, nil
}

// Save makes the points of finished minutes durable and removes old ones.
func (m *Monitor) Save() error { return m.save(minuteOf(m.now())) }

// save ends the current points, which belong before a minute, and stores all
// that have ended. What it cannot store it keeps.
func (m *Monitor) save(minute int64) error {
	m.saving.Lock()
	defer m.saving.Unlock()
	all, some := m.end(minute)
	this := minute - minute%hour
	var err error
	if some || this != m.retired {
		err = m.db.Update(func(tx catalog.Tx) error {
			for _, e := range all {
				for at, p := range e.points {
					if err := store(tx, e.id, at, p); err != nil {
						return err
					}
				}
			}
			return retire(tx, minute)
		})
	}
	if err != nil {
		m.restore(all)
		return err
	}
	m.retired = this
	m.drop(all)
	return nil
}

// ended are the minutes of a stream that no longer change.
type ended struct {
	id     string
	stream *stream
	points map[int64]*point
}

// end takes the minutes that have ended from all streams.
func (m *Monitor) end(minute int64) (all []ended, some bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for id, st := range m.streams {
		st.mu.Lock()
		st.turn(minute)
		all = append(all, ended{id, st, st.done})
		some = some || len(st.done) > 0
		st.done = make(map[int64]*point)
		st.mu.Unlock()
	}
	return all, some
}

// restore gives streams back what was taken.
func (m *Monitor) restore(all []ended) {
	for _, e := range all {
		e.stream.mu.Lock()
		for at, p := range e.points {
			e.stream.keep(at, p)
		}
		e.stream.mu.Unlock()
	}
}

// drop removes streams from memory of which nothing is left there.
func (m *Monitor) drop(all []ended) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range all {
		e.stream.mu.Lock()
		if len(e.stream.done) == 0 && e.stream.current.empty() {
			e.stream.dropped = true
			delete(m.streams, e.id)
		}
		e.stream.mu.Unlock()
	}
}

// store puts a point, together with what is stored of the same minute already.
func store(tx catalog.Tx, streamID string, at int64, p *point) error {
	key := pointKey(streamID, at)
	raw, ok, err := points.Get(tx, key)
	if err != nil {
		return err
	}
	if ok {
		before, err := parsePoint(raw)
		if err != nil {
			return err
		}
		before.add(p)
		p = before
	}
	return errors.Join(points.Put(tx, key, p.encode()), hours.Put(tx, hourKey(at), true))
}

// retire removes hours that are older than Keep altogether.
func retire(tx catalog.Tx, now int64) error {
	oldest := hourKey(now - int64(Keep/time.Second))
	var old []catalog.Key
	err := hours.Each(tx, nil, func(h catalog.Key, _ bool) error {
		if h[0] < oldest[0] {
			old = append(old, h)
		}
		return nil
	})
	for _, h := range old {
		_, clearErr := points.Clear(tx, h)
		err = errors.Join(err, clearErr, hours.Delete(tx, h))
	}
	return err
}

// Forget removes a stream's points, within the transaction that deletes it (M-6).
// Its id is never used again, so what is still counted for it is not seen, and
// grows old like the rest.
func Forget(tx catalog.Tx, streamID string) error {
	return hours.Each(tx, nil, func(h catalog.Key, _ bool) error {
		_, err := points.Clear(tx, streamKey(h, streamID))
		return err
	})
}

// wholeStream asks for the sum over the partitions (M-5).
const wholeStream = -1

// A sample is a point as one partition, or the stream, sees it.
type sample struct {
	at       int64
	requests requests
	volume   volume
}

func (p *point) sample(at int64, partition int32) sample {
	s := sample{at: at, requests: p.requests}
	switch {
	case partition == wholeStream:
		for _, v := range p.parts {
			s.volume.add(v)
		}
	case int(partition) < len(p.parts):
		s.volume = p.parts[partition]
	}
	return s
}

// samples returns the minutes of a stream from one second to another, in order.
func (m *Monitor) samples(streamID string, partition int32, from, to int64) (list []sample, err error) {
	m.saving.RLock()
	defer m.saving.RUnlock()
	err = m.db.View(func(tx catalog.Tx) error {
		for h := from - from%hour; h <= to && err == nil; h += hour {
			err = points.Each(tx, streamKey(hourKey(h), streamID), func(key catalog.Key, raw []byte) error {
				at, err := strconv.ParseInt(key[2], 10, 64)
				if err != nil || at < from || at > to {
					return err
				}
				p, err := parsePoint(raw)
				if err == nil {
					list = append(list, p.sample(at, partition))
				}
				return err
			})
		}
		return err
	})
	for _, s := range m.fresh(streamID, partition) {
		if s.at >= from && s.at <= to {
			list = insert(list, s)
		}
	}
	return list, err
}

// insert adds a sample where it belongs, to what there is of its minute.
func insert(list []sample, s sample) []sample {
	i, ok := slices.BinarySearchFunc(list, s.at, func(s sample, at int64) int { return cmp.Compare(s.at, at) })
	if !ok {
		return slices.Insert(list, i, s)
	}
	list[i].requests.add(s.requests)
	list[i].volume.add(s.volume)
	return list
}

// fresh returns the minutes of a stream that are not in the catalog.
func (m *Monitor) fresh(streamID string, partition int32) (list []sample) {
	m.mu.RLock()
	st := m.streams[streamID]
	m.mu.RUnlock()
	if st == nil {
		return nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	for at, p := range st.done {
		list = append(list, p.sample(at, partition))
	}
	return append(list, st.current.sample(st.minute, partition))
}
