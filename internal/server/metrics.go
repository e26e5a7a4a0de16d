package server

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"disd/internal/quota"
	"disd/internal/storage/segment"
	"disd/internal/transfer"
)

// collectors are the metrics of the parts.
func (s *Server) collectors() []prometheus.Collector {
	all := []prometheus.Collector{quotaCollector{s.quota.Ledger}, taskCollector{s.tasks}, s.auditLost}
	if local, ok := s.engine.(*segment.Engine); ok {
		all = append(all, collector{local})
	}
	return all
}

func newAuditLost() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Name: "disd_audit_lost_total", Help: "Entries of the audit log that could not be written.",
	})
}

// A stat is one figure of the engine.
type stat struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(segment.Stats) int64
}

func newStat(name, help string, kind prometheus.ValueType, value func(segment.Stats) int64) stat {
	return stat{prometheus.NewDesc("disd_storage_"+name, help, nil, nil), kind, value}
}

var stats = []stat{
	newStat("commits_total", "Groups of appends written to the commit log.", prometheus.CounterValue, func(s segment.Stats) int64 { return s.Groups }),
	newStat("commit_bytes_total", "Bytes written to the commit log.", prometheus.CounterValue, func(s segment.Stats) int64 { return s.GroupBytes }),
	newStat("syncs_total", "Syncs of the commit log.", prometheus.CounterValue, func(s segment.Stats) int64 { return s.Syncs }),
	newStat("flushes_total", "Flushes of records to segments.", prometheus.CounterValue, func(s segment.Stats) int64 { return s.Flushes }),
	newStat("flush_bytes_total", "Bytes written to segments.", prometheus.CounterValue, func(s segment.Stats) int64 { return s.FlushBytes }),
	newStat("flush_errors_total", "Flushes that failed, in part or as a whole.", prometheus.CounterValue, func(s segment.Stats) int64 { return s.FlushErrors }),
	newStat("tail_bytes", "Bytes of records that are in memory and the commit log only.", prometheus.GaugeValue, func(s segment.Stats) int64 { return s.Tail }),
}

// A collector exports the figures of an engine.
type collector struct{ engine *segment.Engine }

func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, s := range stats {
		out <- s.desc
	}
}

func (c collector) Collect(out chan<- prometheus.Metric) {
	now := c.engine.Stats()
	for _, s := range stats {
		out <- prometheus.MustNewConstMetric(s.desc, s.kind, float64(s.value(now)))
	}
}

// taskLabels tell one transfer task from another. There are as many values as tasks,
// which operators make, and whose lag is their business.
var taskLabels = []string{"project", "stream", "task"}

func newTaskDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("disd_transfer_"+name, help, append(taskLabels, labels...), nil)
}

var (
	taskBatches   = newTaskDesc("batches_total", "Batches delivered.")
	taskRecords   = newTaskDesc("records_total", "Records delivered.")
	taskBytes     = newTaskDesc("bytes_total", "Bytes of data delivered.")
	taskDiscarded = newTaskDesc("discarded_records_total", "Records that did not reach the destination, over the life of the task.")
	taskFailures  = newTaskDesc("failed_attempts", "Attempts that failed since one that did not; of the worst partition.")
	taskLag       = newTaskDesc("lag_records", "Records that are not delivered yet.")
	taskLagTime   = newTaskDesc("lag_seconds", "Age of the oldest record that is not delivered yet.")
	taskUntilLoss = newTaskDesc("seconds_until_loss", "How long retention keeps the oldest record that is not delivered yet; absent when there is none.")
	taskState     = newTaskDesc("state", "1 for the state that the task is in; of its worst partition.", "state")
)

// A taskCollector exports the figures of transfer tasks, over all partitions of
// each.
type taskCollector struct{ tasks *transfer.Tasks }

func (c taskCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{taskBatches, taskRecords, taskBytes, taskDiscarded, taskFailures, taskLag, taskLagTime, taskUntilLoss, taskState} {
		out <- d
	}
}

func (c taskCollector) Collect(out chan<- prometheus.Metric) {
	type key struct{ stream, task string }
	sums := make(map[key]transfer.Stat)
	for _, s := range c.tasks.Stats(context.Background()) {
		k := key{s.StreamID, s.Task}
		if sum, more := sums[k]; more {
			s = add(s, sum)
		}
		sums[k] = s
	}
	for _, s := range sums {
		send := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, kind, value, append([]string{s.Project, s.Stream, s.Task}, labels...)...)
		}
		send(taskBatches, prometheus.CounterValue, float64(s.Batches))
		send(taskRecords, prometheus.CounterValue, float64(s.Records))
		send(taskBytes, prometheus.CounterValue, float64(s.Bytes))
		send(taskDiscarded, prometheus.CounterValue, float64(s.Discarded))
		send(taskFailures, prometheus.GaugeValue, float64(s.Attempts))
		send(taskLag, prometheus.GaugeValue, float64(s.Lag))
		send(taskLagTime, prometheus.GaugeValue, s.LagTime.Seconds())
		if s.Lag > 0 {
			send(taskUntilLoss, prometheus.GaugeValue, s.UntilLoss.Seconds())
		}
		send(taskState, prometheus.GaugeValue, 1, string(s.State))
	}
}

// add joins the figures of two partitions of a task.
func add(a, b transfer.Stat) transfer.Stat {
	switch { // no lag, no loss
	case a.Lag == 0:
		a.UntilLoss = b.UntilLoss
	case b.Lag > 0:
		a.UntilLoss = min(a.UntilLoss, b.UntilLoss)
	}
	a.Batches, a.Records, a.Bytes = a.Batches+b.Batches, a.Records+b.Records, a.Bytes+b.Bytes
	a.Discarded, a.Lag, a.LagTime = a.Discarded+b.Discarded, a.Lag+b.Lag, max(a.LagTime, b.LagTime)
	a.Attempts = max(a.Attempts, b.Attempts)
	if b.State == transfer.Abnormal {
		a.State = b.State
	}
	return a
}

var quotaExceeded = prometheus.NewDesc("disd_quota_exceeded_total", "How often a quota was exceeded, by quota.", []string{"quota"}, nil)

// A quotaCollector exports how often quotas were exceeded.
type quotaCollector struct{ ledger *quota.Ledger }

func (c quotaCollector) Describe(out chan<- *prometheus.Desc) { out <- quotaExceeded }

func (c quotaCollector) Collect(out chan<- prometheus.Metric) {
	for kind, n := range c.ledger.Totals() {
		out <- prometheus.MustNewConstMetric(quotaExceeded, prometheus.CounterValue, float64(n), string(kind))
	}
}
