package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestWire(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	for _, tt := range []struct {
		name  string
		reply []string // as it arrives
		want  string
		err   string
	}{
		{"whole", []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"}, "ok", ""},
		{"head in pieces", []string{"HTTP/1.1 201 Cre", "ated\r\nContent-Length: 0\r", "\n\r\n"}, "", ""},
		{"body in pieces", []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\nhe", "ll", "o"}, "hello", ""},
		{"body larger than the buffer", []string{"HTTP/1.1 200 OK\r\nContent-Length: 204800\r\n\r\n" + long}, long, ""},
		{"refused", []string{"HTTP/1.1 400 Bad Request\r\nContent-Length: 8\r\n\r\nDIS.4301"}, "", "status 400: DIS.4301"},
		{"chunked", []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}, "", "without Content-Length"},
		{"cut short", []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"}, "", "EOF"},
		{"another protocol", []string{"220 mail.example ESMTP\r\n\r\n"}, "", "not a reply"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			here, there := net.Pipe()
			go func() {
				defer there.Close()
				http.ReadRequest(bufio.NewReader(there))
				for _, part := range tt.reply {
					io.WriteString(there, part)
				}
			}()
			w := &wire{conn: here, buf: make([]byte, 64<<10)}
			defer w.Close()
			got, err := w.send(newRequest("GET", "/streams", "", nil))
			if string(got) != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %.40q, %v; want %.40q, %q", got, err, tt.want, tt.err)
			}
		})
	}
}

// Every request that is counted was received whole by the server.
func TestDriveCountsWhatWasServed(t *testing.T) {
	l := load{conns: 3, records: 2, encode: encodeJSON}
	conns := l.puts(7)
	sent := make(map[string]bool)
	for _, requests := range conns {
		for _, r := range requests {
			_, body, _ := bytes.Cut(r, []byte("\r\n\r\n"))
			sent[string(body)] = true
		}
	}
	var served atomic.Int64
	next := &noop{reply: []byte(`{"failed_record_count":0}`)}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !sent[string(body)] {
			t.Errorf("served %.80q, %v", body, err)
		}
		served.Add(1)
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	}))
	defer s.Close()
	var begun atomic.Int64
	got, err := drive(s.Listener.Addr().String(), conns, l.check, func() bool { return begun.Add(1) <= 300 })
	if err != nil {
		t.Fatal(err)
	}
	if got.requests != 300 || served.Load() != 300 || len(got.latencies) != 300 {
		t.Errorf("counted %d requests and %d latencies, served %d, want 300", got.requests, len(got.latencies), served.Load())
	}
}

func TestDriveStopsAtAFailedRecord(t *testing.T) {
	s := httptest.NewServer(&noop{reply: []byte(`{"failed_record_count":1}`)})
	defer s.Close()
	l := load{conns: 4, records: 1, encode: encodeJSON}
	_, err := drive(s.Listener.Addr().String(), l.puts(1), l.check, func() bool { return true })
	if err == nil || !strings.Contains(err.Error(), "records failed") {
		t.Errorf("got %v", err)
	}
}

// A load over 200 partitions that does not reach them all would look fast.
func TestApartReachesEveryPartition(t *testing.T) {
	l := load{conns: 16, partitions: 200, records: 2, apart: true, encode: encodeJSON}
	seen := make(map[string]int)
	for _, requests := range l.puts(200) {
		for _, r := range requests {
			for _, rec := range decodePut(t, r).Records {
				seen[rec.Partition]++
			}
		}
	}
	if len(seen) != 200 {
		t.Errorf("reached %d partitions", len(seen))
	}
}

func TestMixedHasDistinctKeysAndData(t *testing.T) {
	l := load{conns: 16, records: 5, encode: encodeJSON}
	keys, data := make(map[string]bool), make(map[string]bool)
	records := 0
	for _, requests := range l.puts(200) {
		for _, r := range requests {
			for _, rec := range decodePut(t, r).Records {
				keys[rec.Key], data[rec.Data] = true, true
				records++
			}
		}
	}
	if len(data) != records || len(keys) < records*9/10 {
		t.Errorf("%d records have %d keys and %d contents", records, len(keys), len(data))
	}
}

type put struct {
	Stream  string `json:"stream_name"`
	Records []struct {
		Data      string `json:"data"`
		Key       string `json:"partition_key"`
		Partition string `json:"partition_id"`
	} `json:"records"`
}

func decodePut(t *testing.T, r request) put {
	t.Helper()
	parsed, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(r)))
	if err != nil {
		t.Fatal(err)
	}
	var p put
	if err := json.NewDecoder(parsed.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	for _, rec := range p.Records {
		if b, err := base64.StdEncoding.DecodeString(rec.Data); err != nil || len(b) != recordSize {
			t.Fatalf("data of %d bytes, %v", len(b), err)
		}
	}
	return p
}

func TestSpreadOf(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   spread
	}{
		{nil, spread{}},
		{[]float64{2}, spread{2, 2, 2}},
		{[]float64{9, 1, 4}, spread{4, 1, 9}},
		{[]float64{4, 1, 9, 2}, spread{3, 1, 9}},
	} {
		if got := spreadOf(tt.values, number); got != tt.want {
			t.Errorf("spreadOf(%v) = %v, want %v", tt.values, got, tt.want)
		}
	}
}
