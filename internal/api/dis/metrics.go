package dis

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"disd/internal/api/rest"
	"disd/internal/field"
	"disd/internal/monitor"
	"disd/internal/partition"
)

// maxLabels is more than there are.
const maxLabels = 100

// metricCalls are the calls about the figures of streams, E32 and E33.
type metricCalls struct {
	finder
	monitor *monitor.Monitor
	now     func() time.Time
}

type dataPoint struct {
	Time  int64 `json:"timestamp"`
	Value int64 `json:"value"`
}

type series struct {
	Label  string      `json:"label"`
	Points []dataPoint `json:"dataPoints"`
	Snake  []dataPoint `json:"data_points"` // the same, as one client spells it
}

type metricsReply struct {
	First series   `json:"metrics"`
	All   []series `json:"metrics_list,omitempty"`
}

// showStream answers E32.
func (s *metricCalls) showStream(c *rest.Call) (rest.Reply, error) {
	q, list, err := metricsQuery(c.Query, -1)
	if err := field.First(err, s.check(q)); err != nil {
		return rest.Reply{}, err
	}
	st, err := s.ownStream(c)
	if err != nil {
		return rest.Reply{}, err
	}
	info, err := st.Info()
	if err != nil {
		return rest.Reply{}, notFound(c, c.Param("stream"), err)
	}
	return s.reply(info.ID, q, list)
}

// showPartition answers E33. An expired partition is answered like others.
func (s *metricCalls) showPartition(c *rest.Call) (rest.Reply, error) {
	id, idErr := parsePartition(c.Param("partition"))
	q, list, err := metricsQuery(c.Query, id)
	if err := field.First(idErr, err, s.check(q)); err != nil {
		return rest.Reply{}, err
	}
	st, err := s.ownStream(c)
	if err != nil {
		return rest.Reply{}, err
	}
	info, err := st.Info()
	if err != nil {
		return rest.Reply{}, notFound(c, c.Param("stream"), err)
	}
	if int(id) >= len(info.Parts) {
		return rest.Reply{}, rest.Detail(partition.ErrPartitionNotFound, partitionID(id))
	}
	return s.reply(info.ID, q, list)
}

// metricsQuery reads the parameters; list reports a label_list (M-10, M-11, M-12).
func metricsQuery(q rest.Query, id int32) (out monitor.Query, list bool, err error) {
	out = monitor.Query{Partition: id}
	names := q.Get("label_list")
	if list = names != ""; !list {
		names = q.Get("label")
	}
	if names == "" {
		return out, false, rest.Detail(monitor.ErrLabel, "label or label_list is required")
	}
	for name := range strings.SplitSeq(names, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			return out, list, rest.Detail(monitor.ErrLabel, names)
		}
		if len(out.Labels) == maxLabels {
			return out, list, rest.Detail(monitor.ErrLabel, name)
		}
		if !slices.Contains(out.Labels, name) {
			out.Labels = append(out.Labels, name)
		}
	}
	var fromErr, toErr error
	out.From, fromErr = seconds(q, "start_time")
	out.To, toErr = seconds(q, "end_time")
	return out, list, field.First(fromErr, toErr)
}

// seconds reads a time of ten digits.
func seconds(q rest.Query, name string) (int64, error) {
	text := q.Get(name)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || len(text) != 10 || n < 0 {
		return 0, rest.Detail(monitor.ErrPeriod, name)
	}
	return n, nil
}

func (s *metricCalls) check(q monitor.Query) error {
	err := q.Check(s.now())
	switch {
	case errors.Is(err, monitor.ErrLabel):
		return rest.Detail(err, strings.Join(q.Labels, ","))
	case errors.Is(err, monitor.ErrPeriod):
		return rest.Detail(err, "start_time")
	}
	return err
}

func (s *metricCalls) reply(streamID string, q monitor.Query, list bool) (rest.Reply, error) {
	all, err := s.monitor.Series(streamID, q)
	if err != nil {
		return rest.Reply{}, err
	}
	var out metricsReply
	for i, points := range all {
		one := series{Label: q.Labels[i], Points: []dataPoint{}}
		for _, p := range points {
			one.Points = append(one.Points, dataPoint(p))
		}
		one.Snake = one.Points
		out.All = append(out.All, one)
	}
	out.First = out.All[0]
	if !list {
		out.All = nil
	}
	return rest.OK(out)
}
