package api

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"disd/internal/field"
	"disd/internal/monitor"
	"disd/internal/partition"
)

// maxLabels is more than there are.
const maxLabels = 100

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

// showStreamMetrics answers E32.
func (s *Server) showStreamMetrics(c *call) (reply, error) {
	q, list, err := metricsQuery(c.query, -1)
	if err := field.First(err, s.checkMetrics(q)); err != nil {
		return reply{}, err
	}
	st, err := s.ownStream(c)
	if err != nil {
		return reply{}, err
	}
	info, err := st.Info()
	if err != nil {
		return reply{}, notFound(c, c.param("stream"), err)
	}
	return s.metricsReply(info.ID, q, list)
}

// showPartitionMetrics answers E33. An expired partition is answered like others.
func (s *Server) showPartitionMetrics(c *call) (reply, error) {
	id, idErr := parsePartition(c.param("partition"))
	q, list, err := metricsQuery(c.query, id)
	if err := field.First(idErr, err, s.checkMetrics(q)); err != nil {
		return reply{}, err
	}
	st, err := s.ownStream(c)
	if err != nil {
		return reply{}, err
	}
	info, err := st.Info()
	if err != nil {
		return reply{}, notFound(c, c.param("stream"), err)
	}
	if int(id) >= len(info.Parts) {
		return reply{}, detail(partition.ErrPartitionNotFound, partitionID(id))
	}
	return s.metricsReply(info.ID, q, list)
}

// metricsQuery reads the parameters; list reports a label_list (M-10, M-11, M-12).
func metricsQuery(q query, id int32) (out monitor.Query, list bool, err error) {
	out = monitor.Query{Partition: id}
	names := q.Get("label_list")
	if list = names != ""; !list {
		names = q.Get("label")
	}
	if names == "" {
		return out, false, detail(monitor.ErrLabel, "label or label_list is required")
	}
	for name := range strings.SplitSeq(names, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			return out, list, detail(monitor.ErrLabel, names)
		}
		if len(out.Labels) == maxLabels {
			return out, list, detail(monitor.ErrLabel, name)
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
func seconds(q query, name string) (int64, error) {
	text := q.Get(name)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || len(text) != 10 || n < 0 {
		return 0, detail(monitor.ErrPeriod, name)
	}
	return n, nil
}

func (s *Server) checkMetrics(q monitor.Query) error {
	err := q.Check(s.opts.Now())
	switch {
	case errors.Is(err, monitor.ErrLabel):
		return detail(err, strings.Join(q.Labels, ","))
	case errors.Is(err, monitor.ErrPeriod):
		return detail(err, "start_time")
	}
	return err
}

func (s *Server) metricsReply(streamID string, q monitor.Query, list bool) (reply, error) {
	all, err := s.opts.Monitor.Series(streamID, q)
	if err != nil {
		return reply{}, err
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
	return ok(out)
}
