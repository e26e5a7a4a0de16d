package rest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the figures of the HTTP side. Their labels have few values: the
// operations of the API and the codes of its error table.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	in, out  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "disd_requests_total",
			Help: "Requests by operation and by outcome: ok or the error code.",
		}, []string{"operation", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "disd_request_seconds",
			Help:    "Time from the first byte of a request to the last of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"operation"}),
		in: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "disd_request_bytes_total", Help: "Bytes of request bodies by operation.",
		}, []string{"operation"}),
		out: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "disd_response_bytes_total", Help: "Bytes of answers by operation.",
		}, []string{"operation"}),
	}
	reg.MustRegister(m.requests, m.seconds, m.in, m.out)
	return m
}

// operation returns the function that counts the requests of one operation.
func (m *metrics) operation(op *Operation) func(code string, d time.Duration, in, out int) {
	if op.Service == Own {
		return func(string, time.Duration, int, int) {}
	}
	name := op.Name
	fine := m.requests.WithLabelValues(name, "ok")
	seconds := m.seconds.WithLabelValues(name)
	bytesIn, bytesOut := m.in.WithLabelValues(name), m.out.WithLabelValues(name)
	return func(code string, d time.Duration, in, out int) {
		if code == "ok" {
			fine.Inc()
		} else {
			m.requests.WithLabelValues(name, code).Inc()
		}
		seconds.Observe(d.Seconds())
		bytesIn.Add(float64(in))
		bytesOut.Add(float64(out))
	}
}
