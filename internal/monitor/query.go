package monitor

import (
	"errors"
	"strings"
	"time"
)

// Errors of queries.
var (
	ErrLabel  = errors.New("invalid metrics label")
	ErrPeriod = errors.New("invalid monitoring period")
	// ErrTooOld is returned when a period is longer than seven days or began before them.
	ErrTooOld = errors.New("monitoring period longer than seven days")
)

// A label is one series: its value in a minute, false where nothing happened (M-2).
type label func(s *sample) (int64, bool)

func counted(n int64) (int64, bool) { return n, n != 0 }

// mean is rounded half up to whole ms (M-3).
func mean(micros, n int64) (int64, bool) {
	if n == 0 {
		return 0, false
	}
	return (micros/n + 500) / 1000, true
}

var streamLabels = map[string]label{
	"total_put_bytes_per_stream":   func(s *sample) (int64, bool) { return counted(s.volume.putBytes) },
	"total_get_bytes_per_stream":   func(s *sample) (int64, bool) { return counted(s.volume.getBytes) },
	"total_put_records_per_stream": func(s *sample) (int64, bool) { return counted(s.volume.putRecords) },
	"total_get_records_per_stream": func(s *sample) (int64, bool) { return counted(s.volume.getRecords) },
	"total_put_req_latency":        func(s *sample) (int64, bool) { return mean(s.requests.putMicros, s.requests.put) },
	"total_get_req_latency":        func(s *sample) (int64, bool) { return mean(s.requests.getMicros, s.requests.get) },
	"total_put_req_suc_per_stream": func(s *sample) (int64, bool) { return counted(s.requests.put) },
	"total_get_req_suc_per_stream": func(s *sample) (int64, bool) { return counted(s.requests.get) },
	"traffic_control_put":          func(s *sample) (int64, bool) { return counted(s.requests.putThrottled) },
	"traffic_control_get":          func(s *sample) (int64, bool) { return counted(s.requests.getThrottled) },
}

var partitionLabels = map[string]label{
	"total_put_bytes_per_partition":   streamLabels["total_put_bytes_per_stream"],
	"total_get_bytes_per_partition":   streamLabels["total_get_bytes_per_stream"],
	"total_put_records_per_partition": streamLabels["total_put_records_per_stream"],
	"total_get_records_per_partition": streamLabels["total_get_records_per_stream"],
}

// A Query asks for series of a stream, or of one of its partitions.
type Query struct {
	Labels    []string // as clients spell them
	Partition int32    // -1 for the whole stream
	From, To  int64    // seconds
}

// A Point is one value of a series.
type Point struct {
	Time  int64 // start of its minute, seconds
	Value int64
}

func (q *Query) lookup(name string) (label, bool) {
	if q.Partition >= 0 {
		l, ok := partitionLabels[name]
		return l, ok
	}
	l, ok := streamLabels[strings.Replace(name, "controll_", "control_", 1)] // the reference spells two labels so (E32-N2)
	return l, ok
}

// Check refuses labels and periods that cannot be asked for, at a time: ErrLabel,
// ErrPeriod, ErrTooOld (M-11 to M-13).
func (q *Query) Check(now time.Time) error {
	for _, name := range q.Labels {
		if _, ok := q.lookup(name); !ok {
			return ErrLabel
		}
	}
	week := int64(Keep / time.Second)
	switch {
	case q.From > q.To || q.From > now.Unix()+60:
		return ErrPeriod
	case q.From < now.Unix()-week-60 || q.To-q.From > week:
		return ErrTooOld
	}
	return nil
}

// Series answers a checked query, a series for each label, oldest point first.
func (m *Monitor) Series(streamID string, q Query) ([][]Point, error) {
	from, to := q.From-q.From%60, min(q.To, m.now().Unix()) // an end in the future counts as now (M-14)
	samples, err := m.samples(streamID, q.Partition, from, to)
	if err != nil {
		return nil, err
	}
	out := make([][]Point, len(q.Labels))
	for i, name := range q.Labels {
		value, _ := q.lookup(name)
		for j := range samples {
			if n, ok := value(&samples[j]); ok {
				out[i] = append(out[i], Point{samples[j].at, n})
			}
		}
	}
	return out, nil
}
