package opentsdb

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"disd/internal/storage"
	"disd/internal/transfer/kind"
	"disd/internal/transfer/sinktest"
)

// A tsd is an OpenTSDB in memory that answers as the real one does. The real one is
// in the tests of sinks.
type tsd struct {
	*httptest.Server
	mu      sync.Mutex
	points  map[string]string // value by series and time
	sizes   []int             // of requests
	queries []string
	limit   int // bytes of a request
	fault   func(w http.ResponseWriter) bool
}

func newTSD(t *testing.T) *tsd {
	s := &tsd{points: make(map[string]string), limit: 16 << 20}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP implements http.Handler.
func (s *tsd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil && s.fault(w) {
		return
	}
	if r.URL.Path == "/api/version" {
		fmt.Fprint(w, "{}")
		return
	}
	s.sizes, s.queries = append(s.sizes, len(body)), append(s.queries, r.URL.RawQuery)
	if len(body) > s.limit || r.ContentLength < 0 {
		http.Error(w, "<html>Chunked request not supported.</html>", http.StatusBadRequest)
		return
	}
	var points []struct {
		Metric    string
		Timestamp json.Number
		Value     json.RawMessage
		Tags      map[string]string
	}
	if err := json.Unmarshal(body, &points); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, p := range points {
		s.points[fmt.Sprint(p.Metric, p.Timestamp, p.Tags)] = string(p.Value)
	}
	fmt.Fprintf(w, `{"success":%d,"failed":0,"errors":[]}`, len(points))
}

func (s *tsd) target(t *testing.T, more Server, members string) kind.Target {
	t.Helper()
	more.URL = s.URL
	k, err := Kind([]Cluster{{"c", "1", more}})
	if err != nil {
		t.Fatal(err)
	}
	target := sinktest.Target(t, k, `{"task_name":"t","agency_name":"a","cloudtable_cluster_name":"c","cloudtable_cluster_id":"1",
		"opentsdb_schema":[{"metric":[{"type":"Constant","value":"m"}],"timestamp":{"type":"Timestamp","value":"t"},
		"value":{"type":"Bigint","value":"v"},"tags":[{"name":"p","type":"Bigint","value":"p"}]}]`+members+`}`)
	target.Stream.DataType = kind.JSON
	return target
}

func pointOf(partition int32, number int) string {
	return fmt.Sprintf(`{"p":%d,"t":%d,"v":%d}`, partition, 1_500_000_000+number, number)
}

func TestSink(t *testing.T) { // TSDB-16
	sinktest.Run(t, func(t *testing.T) sinktest.Destination {
		s := newTSD(t)
		return sinktest.Destination{
			Target: s.target(t, Server{}, ""), Record: pointOf, Forgetful: true,
			Rows: func() (rows []string) {
				s.mu.Lock()
				defer s.mu.Unlock()
				for name, value := range s.points {
					var at int64
					var partition int32
					if _, err := fmt.Sscanf(name, "m%dmap[p:%d]", &at, &partition); err != nil {
						t.Fatal(name, err)
					}
					rows = append(rows, fmt.Sprintf(`{"p":%d,"t":%d,"v":%s}`, partition, at/1000, value))
				}
				return rows
			},
			Vanish: func() { s.fault = status(http.StatusForbidden, "") },
		}
	})
}

func status(code int, body string) func(http.ResponseWriter) bool {
	return func(w http.ResponseWriter) bool {
		w.WriteHeader(code)
		io.WriteString(w, body)
		return true
	}
}

func batch(target kind.Target, data ...string) kind.Batch {
	b := kind.Batch{Target: target, Last: storage.Seq(len(data) - 1), Generated: time.UnixMilli(0).UTC()}
	for i, d := range data {
		b.Records = append(b.Records, storage.Record{Seq: storage.Seq(i), Data: []byte(d)})
	}
	return b
}

func open(t *testing.T, target kind.Target) kind.Sink {
	t.Helper()
	s, err := target.Kind.Opener.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAnswers(t *testing.T) { // TSDB-14, TSDB-17, TSDB-18
	for _, tt := range []struct {
		name   string
		status int
		body   string
		refuse bool
		want   string // the error, "" for none
	}{
		{"204", 204, "", false, ""},
		{"without timeouts", 200, `{"success":2,"failed":0}`, false, ""},
		{"too few", 200, `{"success":1,"failed":0}`, false, "1 of 2 points were not stored, 0 of them timed out: no reason given"},
		{"timeouts", 400, `{"success":1,"failed":1,"timeouts":1,"errors":[{"error":"Write timedout"}]}`, false, "1 of 2 points were not stored, 1 of them timed out: Write timedout"},
		{"TSDB-17 unknown metric", 400, `{"success":0,"failed":2,"errors":[{"error":"Unknown metric\nat x"},{"error":"b"}]}`, false, "2 of 2 points were not stored, 0 of them timed out: Unknown metric"},
		{"no details", 200, "", false, "HTTP 200: "},
		{"cut off", 200, `{"succ`, false, `HTTP 200: {"succ`},
		{"500", 500, "oh\nx", false, "HTTP 500: oh"},
		{"redirect", 302, "", false, "HTTP 302: "},
		{"401", 401, "", true, "refused by the destination: access is denied: HTTP 401"},
		{"403", 403, "", true, "refused by the destination: access is denied: HTTP 403"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newTSD(t)
			s.fault = status(tt.status, tt.body)
			_, err := open(t, s.target(t, Server{}, "")).Deliver(t.Context(), batch(s.target(t, Server{}, ""), pointOf(0, 1), pointOf(0, 2)))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != tt.want || errors.Is(err, kind.ErrRefused) != tt.refuse {
				t.Errorf("got %q, want %q, refused: %v", got, tt.want, tt.refuse)
			}
		})
	}
}

// Requests have at most the bytes that are configured, and the server is told when to
// give up (TSDB-13).
func TestRequests(t *testing.T) {
	s := newTSD(t)
	target := s.target(t, Server{Request: 4096, Requests: 2, Timeout: 5 * time.Second}, "")
	var data []string
	for i := range 500 {
		data = append(data, pointOf(0, i))
	}
	if _, err := open(t, target).Deliver(t.Context(), batch(target, data...)); err != nil {
		t.Fatal(err)
	}
	if len(s.points) != 500 || len(s.sizes) < 5 || slices.Max(s.sizes) > 4096 {
		t.Errorf("TSDB-13: %d points in requests of %v bytes", len(s.points), s.sizes)
	}
	if s.queries[0] != "details&sync&sync_timeout=4000" {
		t.Errorf("TSDB-13: query %s", s.queries[0])
	}
}

// A server with its default limits takes small requests only: they are sent again in
// parts, and smaller from then on (TSDB-15).
func TestSmallRequests(t *testing.T) {
	s := newTSD(t)
	s.limit = 8192
	target := s.target(t, Server{}, "")
	var data []string
	for i := range 500 {
		data = append(data, pointOf(0, i))
	}
	sink := open(t, target)
	for n := range 2 {
		s.sizes = nil
		if _, err := sink.Deliver(t.Context(), batch(target, data...)); err != nil {
			t.Fatal(err)
		}
		if len(s.points) != 500 || n == 1 && slices.Max(s.sizes) > 8000 {
			t.Errorf("TSDB-15: %d points in requests of %v bytes", len(s.points), s.sizes)
		}
	}
	s.limit = 100
	if _, err := sink.Deliver(t.Context(), batch(target, data...)); !errors.Is(err, errTooLarge) || errors.Is(err, kind.ErrRefused) {
		t.Errorf("TSDB-15: smaller still: %v", err)
	}
}

// Of points with one name only the last is sent (TSDB-12).
func TestSamePoint(t *testing.T) {
	s := newTSD(t)
	target := s.target(t, Server{}, "")
	if _, err := open(t, target).Deliver(t.Context(), batch(target, `{"p":1,"t":1500000000,"v":1}`, `{"p":2,"t":1500000000,"v":2}`, `{"p":1,"t":1500000000,"v":3}`)); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"m1500000000000map[p:1]": "3", "m1500000000000map[p:2]": "2"}
	for name, value := range s.points {
		if want[strings.ReplaceAll(name, " ", "")] != value {
			t.Errorf("TSDB-12: %s is %s", name, value)
		}
	}
	if len(s.points) != 2 {
		t.Errorf("TSDB-12: %d points", len(s.points))
	}
}

func TestCheck(t *testing.T) { // TSDB-2, TSDB-3
	many := `,"opentsdb_schema":[{"metric":[{"type":"Constant","value":"m"}],"timestamp":{"type":"Timestamp","value":"t"},
		"value":{"type":"Bigint","value":"v"},"tags":[{"name":"p","type":"Bigint","value":"p"},{"name":"q","type":"Bigint","value":"p"}]}]`
	puts := func(code int) func(http.ResponseWriter) bool {
		calls := 0
		return func(w http.ResponseWriter) bool {
			if calls++; calls == 1 {
				return status(404, "")(w)
			}
			return status(code, "")(w)
		}
	}
	for _, tt := range []struct {
		name  string
		more  string
		fault func(http.ResponseWriter) bool
		want  error
	}{
		{"good", "", nil, nil},
		{"another cluster", `,"cloudtable_cluster_name":"d"`, nil, kind.ErrCloudTableCluster},
		{"fails", "", status(500, ""), kind.ErrCloudTableCluster},
		{"knows no version, takes points", "", puts(400), nil},
		{"knows neither", "", puts(404), kind.ErrCloudTableCluster},
		{"TSDB-3 too many tags", many, nil, kind.ErrOpenTSDBSchema},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newTSD(t)
			s.fault = tt.fault
			target := s.target(t, Server{MaxTags: 1}, tt.more)
			if err := target.Kind.Opener.Check(t.Context(), target); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// What is wrong with the configuration is said with its key (TSDB-1).
func TestConfiguration(t *testing.T) {
	for _, tt := range []struct {
		server Server
		want   string
	}{
		{Server{URL: "tsd:4242"}, `cluster c: opentsdb.url: "tsd:4242" is not of http or https with a host`},
		{Server{URL: "http://h/?a"}, "cluster c: opentsdb.url: must have no query, fragment or user"},
		{Server{URL: "http://h", CAFile: "x"}, "cluster c: opentsdb.ca_file: has no effect without https"},
		{Server{URL: "http://h", Password: "x"}, "cluster c: opentsdb.password: has no effect without user"},
		{Server{URL: "http://h", Request: 100}, "cluster c: opentsdb.request: must be at least 4096"},
		{Server{URL: "http://h", Requests: 101}, "cluster c: opentsdb.requests: must be from 1 to 100"},
		{Server{URL: "http://h", MaxTags: -1}, "cluster c: opentsdb.max_tags: must be at least 1"},
		{Server{URL: "http://h", Timeout: time.Second}, "cluster c: opentsdb.timeout: must be from 2s to 1h"},
	} {
		if _, err := Kind([]Cluster{{"c", "1", tt.server}}); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
	if _, err := Kind([]Cluster{{"c", "1", Server{URL: "https://h:1/p/"}}}); err != nil {
		t.Error(err)
	}
}

func TestTagsTwice(t *testing.T) { // TSDB-3
	k, err := Kind(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = kind.Set{k}.Parse(kind.CloudTable, []byte(`{"task_name":"t","agency_name":"a","cloudtable_cluster_name":"c","cloudtable_cluster_id":"1",
		"opentsdb_schema":[{"metric":[{"type":"Constant","value":"m"}],"timestamp":{"type":"Timestamp","value":"t"},
		"value":{"type":"Bigint","value":"v"},"tags":[{"name":"p","type":"Bigint","value":"p"},{"name":"p","type":"Bigint","value":"q"}]}]}`))
	if !errors.Is(err, kind.ErrOpenTSDBSchema) {
		t.Errorf("got %v", err)
	}
}
