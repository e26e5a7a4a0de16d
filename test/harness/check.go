package harness

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"testing"
)

// A Partition is one that was read from its oldest record to its end.
type Partition struct {
	Stream       string
	ID           int
	Oldest, Next int64 // its sequence_number_range
	Records      []Record
}

// ReadAll reads every readable partition of a stream and hands it to visit. It is
// an error if sequence numbers are not dense and within the range that the stream
// shows, or if times decrease; nothing may be written meanwhile.
func (c *Client) ReadAll(ctx context.Context, stream string, visit func(Partition) error) error {
	s, err := c.Show(ctx, stream)
	if err != nil {
		return err
	}
	for _, described := range s.Partitions {
		if described.Status == "EXPIRED" {
			continue
		}
		p := Partition{Stream: stream, ID: partitionNumber(described.ID)}
		if _, err := fmt.Sscanf(described.Range, "[%d : %d]", &p.Oldest, &p.Next); err != nil {
			return fmt.Errorf("%s/%s: range %q: %w", stream, described.ID, described.Range, err)
		}
		if err = c.read(ctx, &p); err == nil {
			err = visit(p)
		}
		if err != nil {
			return fmt.Errorf("%s/%d: %w", stream, p.ID, err)
		}
	}
	return nil
}

func (c *Client) read(ctx context.Context, p *Partition) error {
	cursor, err := c.Cursor(ctx, p.Stream, p.ID, "TRIM_HORIZON", 0)
	if err != nil {
		return err
	}
	for at, last := p.Oldest, int64(0); at < p.Next; {
		recs, next, err := c.Get(ctx, cursor)
		if err != nil {
			return err
		}
		if len(recs) == 0 {
			return fmt.Errorf("ends at %d, before %d", at, p.Next)
		}
		for _, r := range recs {
			if r.Seq != at || r.Seq >= p.Next {
				return fmt.Errorf("record %d where %d should be, of [%d : %d]", r.Seq, at, p.Oldest, p.Next)
			}
			if r.Time < last {
				return fmt.Errorf("record %d is older than the one before it", r.Seq)
			}
			at, last = at+1, r.Time
		}
		p.Records, cursor = append(p.Records, recs...), next
	}
	return nil
}

// Holds tells Check that the server acknowledged a record. With one that it has
// put elsewhere before, the test fails at the end.
func (c *Client) Holds(t testing.TB, stream string, a Ack, r Record) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	at := place{stream, a.Partition, a.Seq}
	if _, twice := c.held[at]; twice {
		t.Errorf("%s/%d: number %d was given twice", stream, a.Partition, a.Seq)
	}
	c.held[at] = r
}

// Forget tells Check that a stream was deleted.
func (c *Client) Forget(stream string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at := range c.held {
		if at.stream == stream {
			delete(c.held, at)
		}
	}
}

// Check verifies everything the server holds in the client's project: every
// acknowledged record is readable, byte for byte, in order and exactly once per
// sequence number, times never decrease, and every checkpoint lies within its
// partition.
func Check(t testing.TB, c *Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	names, err := c.Streams(ctx)
	if err != nil {
		t.Fatal(err)
	}
	apps, err := c.Apps(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	missing := len(c.held)
	c.mu.Unlock()
	for _, name := range names {
		err := c.ReadAll(ctx, name, func(p Partition) error {
			found, err := c.compare(p)
			missing -= found
			return err
		})
		if err != nil {
			t.Error(err)
		}
		for _, app := range apps {
			if err := c.checkCheckpoints(ctx, app, name); err != nil {
				t.Error(err)
			}
		}
	}
	if missing != 0 {
		t.Errorf("%d acknowledged records are missing", missing)
	}
}

// compare returns how many of the records in p were acknowledged.
func (c *Client) compare(p Partition) (found int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, got := range p.Records {
		want, ok := c.held[place{p.Stream, p.ID, got.Seq}]
		if !ok {
			continue
		}
		found++
		if string(got.Data) != string(want.Data) || got.Key != want.Key {
			return found, fmt.Errorf("record %d is %.40q with key %q, acknowledged was %.40q with key %q", got.Seq, got.Data, got.Key, want.Data, want.Key)
		}
	}
	return found, nil
}

// checkCheckpoints compares the checkpoints of an app with the bounds of their
// partitions. One may point to records that have expired (L-25).
func (c *Client) checkCheckpoints(ctx context.Context, app, stream string) error {
	var out struct {
		States []struct {
			ID   string `json:"partition_id"`
			Seq  string `json:"sequence_number"`
			Next int64  `json:"latest_offset"`
		} `json:"partition_consuming_states"`
	}
	if err := c.Call(ctx, http.MethodGet, "apps/"+app+"/streams/"+stream+"?limit=1000", nil, &out); err != nil {
		return err
	}
	for _, s := range out.States {
		if seq, err := strconv.ParseInt(s.Seq, 10, 64); err != nil || seq < -1 || seq > s.Next {
			return fmt.Errorf("%s: checkpoint of %s on %s is %s, its end is %d", app, stream, s.ID, s.Seq, s.Next)
		}
	}
	return nil
}
