package partition

import (
	"math"
	"sync"
	"time"

	"disd/internal/quota"
)

// Quotas are the limits of api.md 1.9 that concern streams. A zero value of a
// field means its default.
type Quotas struct {
	CommonPartitions   int           // per account, default 50
	AdvancedPartitions int           // per account, default 10
	ScalingAttempts    int           // per stream and hour, default 5
	ScalingPause       time.Duration // after a success, default 1 h

	Common   Throughput // of one partition, Q-16
	Advanced Throughput // of one partition, Q-17
}

// Throughput is what one partition takes and gives in a second.
type Throughput struct {
	WriteBytes   int
	WriteRecords int
	ReadBytes    int
}

func (q Quotas) withDefaults() Quotas {
	set := func(field *int, def int) {
		if *field == 0 {
			*field = def
		}
	}
	if q.ScalingPause == 0 {
		q.ScalingPause = time.Hour
	}
	set(&q.CommonPartitions, 50)
	set(&q.AdvancedPartitions, 10)
	set(&q.ScalingAttempts, 5)
	set(&q.Common.WriteBytes, 1<<20)
	set(&q.Common.WriteRecords, 1000)
	set(&q.Common.ReadBytes, 2<<20)
	set(&q.Advanced.WriteBytes, 5<<20)
	set(&q.Advanced.WriteRecords, 2000)
	set(&q.Advanced.ReadBytes, 10<<20)
	return q
}

// maxPartitions is how many partitions a stream can have where no quota says less;
// a larger number is a mistake that would use up the memory.
const maxPartitions = 10000

func (q *Quotas) partitions(streamType string) int {
	if streamType == Advanced {
		return q.AdvancedPartitions
	}
	return q.CommonPartitions
}

func (q *Quotas) throughput(streamType string) Throughput {
	if streamType == Advanced {
		return q.Advanced
	}
	return q.Common
}

// A bucket is a token bucket that holds one second's worth. It is full at first.
type bucket struct {
	level float64
	last  int64 // ms
}

// fill adds what the time since the last call gives; a clock that was set back
// gives nothing.
func (b *bucket) fill(rate int, now int64) {
	if b.last == 0 {
		b.level = float64(rate)
	} else {
		b.level = math.Min(b.level+float64(rate)*float64(max(now-b.last, 0))/1000, float64(rate))
	}
	b.last = now
}

// limits holds the buckets of a stream's partitions.
type limits struct {
	mu    sync.Mutex
	write []struct{ bytes, records bucket }
	read  []bucket
}

// An admission decides, record by record, what one upload may store (E19-R10).
// Without quotas it admits everything and holds no lock.
type admission struct {
	limits  *limits // locked; nil without quotas
	opts    *Options
	info    *Info
	rate    Throughput
	now     int64
	refused map[int32]bool // partitions closed for the rest of the upload
}

func (m *limits) begin(l *layout, opts *Options) admission {
	a := admission{opts: opts}
	if !opts.Quota.On() {
		return a
	}
	a.limits, a.info, a.rate, a.now = m, l.info, opts.Quotas.throughput(l.info.Type), opts.Now().UnixMilli()
	m.mu.Lock()
	for len(m.write) < l.active {
		m.write = append(m.write, struct{ bytes, records bucket }{})
	}
	return a
}

func (a *admission) end() {
	if a.limits != nil {
		a.limits.mu.Unlock()
	}
}

// record reports whether one more record of an upload may go to a partition.
func (a *admission) record(id int32, size int) bool {
	if a.limits == nil {
		return true
	}
	if !a.refused[id] && !a.take(id, size) {
		if a.refused == nil {
			a.refused = make(map[int32]bool)
		}
		a.refused[id] = true
		a.opts.exceeded(quota.Throughput, a.info)
	}
	return !a.refused[id] || !a.opts.Quota.Enforced()
}

// take takes a record off a partition's allowance, if it has enough: what would be
// refused takes nothing.
func (a *admission) take(id int32, size int) bool {
	b := &a.limits.write[id]
	b.bytes.fill(a.rate.WriteBytes, a.now)
	b.records.fill(a.rate.WriteRecords, a.now)
	if b.bytes.level < float64(size) || b.records.level < 1 {
		return false
	}
	b.bytes.level -= float64(size)
	b.records.level--
	return true
}

// maxReadWait is how long a download may be held back before it is refused
// (E20-R8).
const maxReadWait = 5 * time.Second

// Pace returns how long a download from a partition must wait before it may be
// answered. ErrThrottled when that is too long, ErrStreamNotFound.
func (st *Stream) Pace(id int32) (time.Duration, error) {
	opts := st.set.opts
	if !opts.Quota.On() {
		return 0, nil
	}
	info, err := st.Info()
	if err != nil {
		return 0, err
	}
	b, rate, unlock := st.readBucket(info, id)
	defer unlock()
	if b.level >= 0 {
		return 0, nil
	}
	if !opts.exceeded(quota.Throughput, info) {
		b.level = 0 // as if it had waited
		return 0, nil
	}
	wait := time.Duration(-b.level / float64(rate) * float64(time.Second))
	if wait > maxReadWait {
		return 0, ErrThrottled
	}
	return wait, nil
}

// Took notes that a download gave n bytes of a partition.
func (st *Stream) Took(id int32, n int) {
	info, err := st.Info()
	if err != nil || !st.set.opts.Quota.On() {
		return
	}
	b, _, unlock := st.readBucket(info, id)
	defer unlock()
	b.level -= float64(n)
}

func (st *Stream) readBucket(info *Info, id int32) (b *bucket, rate int, unlock func()) {
	opts := st.set.opts
	rate = opts.Quotas.throughput(info.Type).ReadBytes
	m := &st.limits
	m.mu.Lock()
	for len(m.read) <= int(id) {
		m.read = append(m.read, bucket{})
	}
	b = &m.read[id]
	b.fill(rate, opts.Now().UnixMilli())
	return b, rate, m.mu.Unlock
}
