package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/pierrec/lz4/v4"
	"google.golang.org/protobuf/encoding/protowire"
)

// A load is one row of the table: what is sent, and over how many connections.
type load struct {
	name       string
	conns      int
	partitions int    // of the stream
	records    int    // in each request; 0 reads instead
	apart      bool   // each request goes to one partition, the next to another, instead of each record
	tail       bool   // reads stay in the newest 16 MiB
	encode     encode // of requests with records
	signed     bool   // requests have a signature, else a token
	throttled  bool   // records may be refused
	args       args   // of the server; a load with some is held against one without
	baseline   int    // partitions of the stream with the other load; 0 holds it against the no-op server
	aim        float64
}

// args are further arguments of disd serve.
type args []string

var loads = []load{
	{name: "put/100x1KiB", conns: 16, partitions: 1, records: 100, encode: encodeJSON, aim: 0.35},
	{name: "put/1x1KiB", conns: 64, partitions: 1, records: 1, encode: encodeJSON, aim: 0.35},
	{name: "put/100x1KiB-proto", conns: 16, partitions: 1, records: 100, encode: encodeProto},
	{name: "put/100x1KiB-lz4", conns: 16, partitions: 1, records: 100, encode: encodeLZ4},
	{name: "put/100x1KiB-signed", conns: 16, partitions: 1, records: 100, encode: encodeJSON, signed: true, args: args{"--auth-mode", "required", "--auth-domains", accounts}},
	{name: "put/100x1KiB-throttled", conns: 16, partitions: 1, records: 100, encode: encodeJSON, throttled: true, args: args{"--quota-mode", "enforce"}},
	{name: "get/1MiB-tail", conns: 8, partitions: 1, tail: true, aim: 0.5},
	{name: "get/1MiB-old", conns: 8, partitions: 1, aim: 0.5},
	{name: "200/100x1KiB-mixed", conns: 16, partitions: 200, records: 100, encode: encodeJSON, baseline: 1, aim: 0.8},
	{name: "200/100x1KiB-apart", conns: 16, partitions: 200, records: 100, apart: true, encode: encodeJSON, baseline: 1, aim: 0.8},
	{name: "200/1x1KiB-apart", conns: 64, partitions: 200, records: 1, apart: true, encode: encodeJSON, baseline: 1, aim: 0.8},
}

const (
	recordSize = 1024
	// fetchRecords of recordSize make a JSON reply of about 1 MiB.
	fetchRecords = 700
	// distinct is how many different requests a load has, over all its
	// connections. It is above 200, so that a load that puts each request
	// into one of 200 partitions reaches all of them.
	distinct = 256
)

// encode returns the body of an upload and the header lines that describe it.
type encode func(stream string, recs []record) (header string, body []byte)

type record struct {
	data      []byte
	key       string
	partition int // used when key is empty
}

func encodeJSON(stream string, recs []record) (string, []byte) {
	b := []byte(`{"stream_name":"` + stream + `","records":[`)
	for i, r := range recs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"data":"`...)
		b = base64.StdEncoding.AppendEncode(b, r.data)
		if r.key != "" {
			b = append(b, `","partition_key":"`+r.key+`"}`...)
		} else {
			b = append(b, `","partition_id":"`+shard(r.partition)+`"}`...)
		}
	}
	return jsonHeader, append(b, "]}"...)
}

const jsonHeader = "Content-Type: application/json\r\n"

func encodeLZ4(stream string, recs []record) (string, []byte) {
	header, body := encodeJSON(stream, recs)
	b := make([]byte, lz4.CompressBlockBound(len(body)))
	n, err := lz4.CompressBlock(body, b, nil)
	if err != nil || n == 0 {
		panic("base64 cannot be compressed")
	}
	return fmt.Sprintf("%sContent-Encoding: lz4\r\nx-dis-lz4-content-length: %d\r\n", header, len(body)), b[:n]
}

func encodeProto(stream string, recs []record) (string, []byte) {
	b := appendBytes(nil, 1, []byte(stream))
	for _, r := range recs {
		entry := appendBytes(nil, 3, r.data)
		if r.key != "" {
			entry = appendBytes(entry, 5, []byte(r.key))
		} else {
			entry = appendBytes(entry, 6, []byte(shard(r.partition)))
		}
		b = appendBytes(b, 2, entry)
	}
	return "Content-Type: application/x-protobuf\r\n", b
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func shard(partition int) string { return fmt.Sprintf("shardId-%010d", partition) }

func streamName(partitions int) string { return "bench-" + strconv.Itoa(partitions) }

// createStream is the request that makes the stream with that many partitions.
func createStream(partitions int) request {
	body := fmt.Sprintf(`{"stream_name":%q,"partition_count":%d}`, streamName(partitions), partitions)
	return newRequest("POST", "/streams", jsonHeader, []byte(body))
}

// puts returns the uploads of l, shared out over its connections. Their data
// is random, so nothing on the way can compress it, but the same in every run.
func (l load) puts(partitions int) [][]request {
	conns, random := make([][]request, l.conns), rand.NewChaCha8([32]byte{})
	for i := range distinct {
		recs := make([]record, l.records)
		for j := range recs {
			recs[j] = record{data: make([]byte, recordSize), partition: i % partitions}
			random.Read(recs[j].data)
			if !l.apart {
				recs[j].key = "key-" + strconv.FormatUint(random.Uint64()%1e6, 10)
			}
		}
		header, body := l.encode(streamName(partitions), recs)
		conns[i%l.conns] = append(conns[i%l.conns], l.from(newRequest("POST", "/records", header, body)))
	}
	return conns
}

// from returns a request as the load sends it.
func (l load) from(r request) request {
	if l.signed {
		return r.signed(time.Now())
	}
	return r
}

// gets returns the downloads of l from a partition that holds stored records.
// A cursor lives for five minutes, so they are asked for before each turn, and
// gives the same records as often as it is used.
func (l load) gets(addr string, stored int) ([][]request, error) {
	w, err := dial(addr)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	first := 0
	if l.tail {
		first = max(0, stored-(16<<20)/recordSize)
	}
	conns := make([][]request, l.conns)
	for i := range distinct {
		seq := first + i*(stored-first-fetchRecords)/distinct
		cursor, err := cursorAt(w, streamName(l.partitions), seq)
		if err != nil {
			return nil, err
		}
		path := fmt.Sprintf("/records?partition-cursor=%s&max_fetch_bytes=%d", cursor, fetchRecords*recordSize)
		conns[i%l.conns] = append(conns[i%l.conns], newRequest("GET", path, "", nil))
	}
	return conns, nil
}

func cursorAt(w *wire, stream string, seq int) (string, error) {
	path := fmt.Sprintf("/cursors?stream-name=%s&partition-id=%s&cursor-type=AT_SEQUENCE_NUMBER&starting-sequence-number=%d", stream, shard(0), seq)
	body, err := w.send(newRequest("GET", path, "", nil))
	if err != nil {
		return "", err
	}
	var reply struct {
		Cursor string `json:"partition_cursor"`
	}
	return reply.Cursor, json.Unmarshal(body, &reply)
}

// check refuses a reply that does not say that everything asked for was done.
func (l load) check(reply []byte) error {
	// In JSON, and as field 21 of a protobuf message, which is its first.
	ok := bytes.Contains(reply, []byte(`"failed_record_count":0`)) || bytes.HasPrefix(reply, []byte{21<<3&0x7f | 0x80, 21 >> 4, 0})
	if l.records > 0 && !ok && !(l.throttled && bytes.Contains(reply, []byte(`"failed_record_count":`))) {
		return fmt.Errorf("records failed: %.300s", reply)
	}
	if l.records == 0 && len(reply) < fetchRecords*recordSize {
		return fmt.Errorf("short of records: %.300s", reply)
	}
	return nil
}

// A contestant carries one side of a load.
type contestant struct {
	load     load
	server   *process
	requests func() ([][]request, error)
	turns    []turn
}

// runLoads measures every load in question, each on servers and a directory
// of its own.
func runLoads(ctx context.Context, c config, r *report) error {
	for _, l := range loads {
		if !c.only.MatchString(l.name) {
			continue
		}
		fmt.Fprintln(os.Stderr, "running", l.name)
		if err := l.run(ctx, c, r); err != nil {
			return fmt.Errorf("%s: %w", l.name, errors.Join(context.Cause(ctx), err))
		}
	}
	return nil
}

func (l load) run(ctx context.Context, c config, r *report) error {
	g, err := newRig(c)
	if err != nil {
		return err
	}
	defer g.close()
	first, err := l.contestant(ctx, g, "disd", c.disd)
	if err != nil {
		return err
	}
	second, err := l.rival(ctx, g, first)
	if err != nil {
		return err
	}
	synced, err := l.alternate(g, first, second)
	if err != nil {
		return err
	}
	r.addLoad(l, first, second, synced)
	return nil
}

// contestant starts disd and prepares it for l.
func (l load) contestant(ctx context.Context, g *rig, name, bin string) (*contestant, error) {
	server, _, err := g.disd(ctx, name, bin, l.args...)
	if err != nil {
		return nil, err
	}
	if _, err := call(server.addr, l.from(createStream(l.partitions))); err != nil {
		return nil, server.failure(err)
	}
	if l.records > 0 {
		return &contestant{load: l, server: server, requests: putsInto(l, l.partitions)}, nil
	}
	stored, err := fill(server.addr, g.fill, l.partitions)
	if err != nil {
		return nil, server.failure(err)
	}
	gets := func() ([][]request, error) { return l.gets(server.addr, stored) }
	return &contestant{load: l, server: server, requests: gets}, nil
}

func putsInto(l load, partitions int) func() ([][]request, error) {
	return func() ([][]request, error) { return l.puts(partitions), nil }
}

// rival prepares what l on first is held against.
func (l load) rival(ctx context.Context, g *rig, first *contestant) (*contestant, error) {
	if g.against != "" {
		return l.contestant(ctx, g, "other", g.against)
	}
	if len(l.args) > 0 {
		l.args, l.signed, l.throttled = nil, false, false
		return l.contestant(ctx, g, "plain disd", g.config.disd)
	}
	if l.baseline > 0 {
		if _, err := call(first.server.addr, createStream(l.baseline)); err != nil {
			return nil, first.server.failure(err)
		}
		return &contestant{load: l, server: first.server, requests: putsInto(l, l.baseline)}, nil
	}
	conns, err := first.requests()
	if err != nil {
		return nil, err
	}
	reply, err := call(first.server.addr, conns[0][0])
	if err != nil {
		return nil, first.server.failure(err)
	}
	server, err := g.noop(ctx, reply)
	return &contestant{load: l, server: server, requests: first.requests}, err
}

// alternate lets the two take turns. It returns the rates of synced appends
// measured in between, for loads that write.
func (l load) alternate(g *rig, first, second *contestant) (synced []float64, err error) {
	for i := range g.turns + 1 {
		d := g.turn
		if i == 0 {
			d /= 4 // to warm up; not counted
		}
		for _, a := range []*contestant{first, second} {
			if err := a.take(d); err != nil {
				return nil, a.server.failure(err)
			}
		}
		if l.records == 0 {
			continue
		}
		rate, err := syncedAppends(filepath.Join(g.dir, "synced"), l.conns*l.records*recordSize, d/2)
		if err != nil {
			return nil, err
		}
		synced = append(synced, rate/float64(l.records*recordSize))
	}
	first.turns, second.turns = first.turns[1:], second.turns[1:]
	return synced[min(1, len(synced)):], nil
}

func (a *contestant) take(d time.Duration) error {
	conns, err := a.requests()
	if err != nil {
		return err
	}
	used := a.server.cpu()
	end := time.Now().Add(d)
	t, err := drive(a.server.addr, conns, a.load.check, func() bool { return time.Now().Before(end) })
	t.cpu = a.server.cpu() - used
	a.turns = append(a.turns, t)
	return err
}

// fill puts bytes of records into the stream with that many partitions and
// returns how many records these are.
func fill(addr string, bytes int64, partitions int) (int, error) {
	l := load{conns: 16, partitions: partitions, records: 100, encode: encodeJSON}
	quota := bytes / int64(l.records*recordSize)
	var begun atomic.Int64
	t, err := drive(addr, l.puts(partitions), l.check, func() bool { return begun.Add(1) <= quota })
	return t.requests * l.records, err
}
