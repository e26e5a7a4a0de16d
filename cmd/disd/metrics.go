package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"disd/internal/storage/segment"
)

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
