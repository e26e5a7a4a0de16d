package harness

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// A Client calls a server with the plainest requests of the API. It also keeps
// what it knows the server to hold, for Check.
type Client struct {
	root string // URL of the project
	http http.Client

	mu   sync.Mutex
	held map[place]Record
}

func newClient(url, project string, trust *tls.Config) *Client {
	return &Client{
		root: url + "/v2/" + project + "/",
		http: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, TLSClientConfig: trust}},
		held: make(map[place]Record),
	}
}

// A place is where a record lies.
type place struct {
	stream    string
	partition int
	seq       int64
}

// A Record is one record, as it was uploaded or as it was read.
type Record struct {
	Data      []byte
	Key       string // partition key
	HashKey   string // uploads: explicit hash key
	Partition string // uploads: partition id
	Seq       int64  // downloads
	Time      int64  // downloads, ms
}

// An Ack is the answer to one uploaded record: its place, or an error code.
type Ack struct {
	Partition int
	Seq       int64
	Code      string
}

// An Error is an answer other than success.
type Error struct {
	Status        int
	Code, Message string
}

func (e *Error) Error() string { return fmt.Sprintf("%d %s %s", e.Status, e.Code, e.Message) }

// Call sends in, unless it is nil, to a path below the project and decodes the
// answer into out, unless that is nil. An answer other than success is an *Error.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.root+path, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		e := Error{Status: resp.StatusCode}
		var said struct{ ErrorCode, Message string }
		json.Unmarshal(text, &said) // what is not JSON is shown as it came
		if e.Code, e.Message = said.ErrorCode, said.Message; e.Code == "" {
			e.Message = string(text)
		}
		return &e
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

type object map[string]any

// CreateStream creates a stream with that many partitions.
func (c *Client) CreateStream(ctx context.Context, name string, partitions int) error {
	return c.Call(ctx, http.MethodPost, "streams", object{"stream_name": name, "partition_count": partitions}, nil)
}

// DeleteStream deletes a stream.
func (c *Client) DeleteStream(ctx context.Context, name string) error {
	return c.Call(ctx, http.MethodDelete, "streams/"+name, nil, nil)
}

// Scale changes the number of a stream's partitions.
func (c *Client) Scale(ctx context.Context, name string, partitions int) error {
	return c.Call(ctx, http.MethodPut, "streams/"+name, object{"stream_name": name, "target_partition_count": partitions}, nil)
}

// CreateApp creates an app.
func (c *Client) CreateApp(ctx context.Context, name string) error {
	return c.Call(ctx, http.MethodPost, "apps", object{"app_name": name}, nil)
}

// DeleteApp deletes an app.
func (c *Client) DeleteApp(ctx context.Context, name string) error {
	return c.Call(ctx, http.MethodDelete, "apps/"+name, nil, nil)
}

// A Stream is what the server says about one.
type Stream struct {
	ID         string `json:"stream_id"`
	Writable   int    `json:"writable_partition_count"`
	More       bool   `json:"has_more_partitions"`
	Partitions []struct {
		ID     string `json:"partition_id"`
		Status string `json:"status"`
		Range  string `json:"sequence_number_range"`
	} `json:"partitions"`
}

// Show describes a stream with all its partitions.
func (c *Client) Show(ctx context.Context, name string) (*Stream, error) {
	var s Stream
	for after := ""; ; {
		page := Stream{}
		if err := c.Call(ctx, http.MethodGet, "streams/"+name+"?limit_partitions=1000&start_partitionId="+after, nil, &page); err != nil {
			return nil, err
		}
		page.Partitions = append(s.Partitions, page.Partitions...)
		if s = page; !s.More {
			return &s, nil
		}
		after = s.Partitions[len(s.Partitions)-1].ID
	}
}

// Streams returns the names of all streams.
func (c *Client) Streams(ctx context.Context) (names []string, err error) {
	for more, after := true, ""; more; {
		var page struct {
			Names []string `json:"stream_names"`
			More  bool     `json:"has_more_streams"`
		}
		if err := c.Call(ctx, http.MethodGet, "streams?limit=100&start_stream_name="+after, nil, &page); err != nil {
			return nil, err
		}
		if names, more = append(names, page.Names...), page.More; more {
			after = names[len(names)-1]
		}
	}
	return names, nil
}

// Apps returns the names of all apps.
func (c *Client) Apps(ctx context.Context) (names []string, err error) {
	for more, after := true, ""; more; {
		var page struct {
			Apps []struct {
				Name string `json:"app_name"`
			} `json:"apps"`
			More bool `json:"has_more_app"`
		}
		if err := c.Call(ctx, http.MethodGet, "apps?limit=100&start_app_name="+after, nil, &page); err != nil {
			return nil, err
		}
		for _, app := range page.Apps {
			names, after = append(names, app.Name), app.Name
		}
		more = page.More
	}
	return names, nil
}

// Put uploads records and returns one answer for each.
func (c *Client) Put(ctx context.Context, stream string, recs []Record) ([]Ack, error) {
	entries := make([]object, len(recs))
	for i, r := range recs {
		entries[i] = object{"data": r.Data}
		for name, value := range map[string]string{"partition_key": r.Key, "explicit_hash_key": r.HashKey, "partition_id": r.Partition} {
			if value != "" {
				entries[i][name] = value
			}
		}
	}
	var out struct {
		Records []struct {
			Partition string `json:"partition_id"`
			Seq       string `json:"sequence_number"`
			Code      string `json:"error_code"`
		} `json:"records"`
	}
	if err := c.Call(ctx, http.MethodPost, "records", object{"stream_name": stream, "records": entries}, &out); err != nil {
		return nil, err
	}
	if len(out.Records) != len(recs) {
		return nil, fmt.Errorf("%d answers for %d records", len(out.Records), len(recs))
	}
	acks := make([]Ack, len(recs))
	for i, r := range out.Records {
		acks[i] = Ack{Code: r.Code}
		if r.Code != "" {
			continue
		}
		seq, err := strconv.ParseInt(r.Seq, 10, 64)
		if err != nil {
			return nil, err
		}
		acks[i].Partition, acks[i].Seq = partitionNumber(r.Partition), seq
	}
	return acks, nil
}

func partitionNumber(id string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(id, "shardId-"))
	if err != nil {
		return -1
	}
	return n
}

// Cursor returns a cursor of that type; seq counts for the sequence types.
func (c *Client) Cursor(ctx context.Context, stream string, partition int, kind string, seq int64) (string, error) {
	q := url.Values{
		"stream-name": {stream}, "partition-id": {strconv.Itoa(partition)},
		"cursor-type": {kind}, "starting-sequence-number": {strconv.FormatInt(seq, 10)},
	}
	var out struct {
		Cursor string `json:"partition_cursor"`
	}
	err := c.Call(ctx, http.MethodGet, "cursors?"+q.Encode(), nil, &out)
	return out.Cursor, err
}

// Get returns the records at a cursor, as many as the server gives, and the
// cursor behind them.
func (c *Client) Get(ctx context.Context, cursor string) ([]Record, string, error) {
	var out struct {
		Records []struct {
			Data []byte `json:"data"`
			Key  string `json:"partition_key"`
			Seq  string `json:"sequence_number"`
			Time int64  `json:"timestamp"`
		} `json:"records"`
		Next string `json:"next_partition_cursor"`
	}
	if err := c.Call(ctx, http.MethodGet, "records?max_fetch_bytes=4194304&partition-cursor="+cursor, nil, &out); err != nil {
		return nil, "", err
	}
	recs := make([]Record, len(out.Records))
	for i, r := range out.Records {
		seq, err := strconv.ParseInt(r.Seq, 10, 64)
		if err != nil {
			return nil, "", err
		}
		recs[i] = Record{Data: r.Data, Key: r.Key, Seq: seq, Time: r.Time}
	}
	return recs, out.Next, nil
}

// Commit commits a checkpoint.
func (c *Client) Commit(ctx context.Context, app, stream string, partition int, seq int64) error {
	return c.Call(ctx, http.MethodPost, "checkpoints", object{
		"app_name": app, "stream_name": stream, "partition_id": strconv.Itoa(partition),
		"sequence_number": strconv.FormatInt(seq, 10), "checkpoint_type": "LAST_READ", "metadata": Metadata(seq),
	}, nil)
}

// Metadata is what Commit stores with a checkpoint.
func Metadata(seq int64) string { return fmt.Sprintf("at %d", seq) }

// Checkpoint returns a committed position, -1 if there is none, and its metadata.
func (c *Client) Checkpoint(ctx context.Context, app, stream string, partition int) (seq int64, metadata string, err error) {
	var out struct {
		Seq      string `json:"sequence_number"`
		Metadata string `json:"metadata"`
	}
	q := url.Values{"app_name": {app}, "stream_name": {stream}, "partition_id": {strconv.Itoa(partition)}}
	if err := c.Call(ctx, http.MethodGet, "checkpoints?"+q.Encode(), nil, &out); err != nil {
		return 0, "", err
	}
	seq, err = strconv.ParseInt(out.Seq, 10, 64)
	return seq, out.Metadata, err
}
