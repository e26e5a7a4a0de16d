package dis

import (
	"context"

	"disd/internal/api/rest"
	"disd/internal/partition"
	"disd/internal/storage"
)

// A spoiledError is a record that an emulator's fault keeps from being stored.
type spoiledError struct{ code, message string }

func (e *spoiledError) Error() string { return e.message }

// store stores the records of an upload, but for those that a fault spoils. Those fail
// before they are given to the stream, so that numbers have no gaps.
func (s *recordCalls) store(c *rest.Call, st *partition.Stream, u *uploader) error {
	if !c.Watched() {
		return st.Put(c.Context(), u.puts, u.outcomes)
	}
	ids := st.Route(u.puts)
	if err := c.Probe.Aim(uploadTarget(c, u, ids)); err != nil {
		return err
	}
	fail, code, message := c.Probe.Spoil(ids)
	if fail == nil {
		err := st.Put(c.Context(), u.puts, u.outcomes)
		c.Probe.Count(len(u.puts), failed(u.outcomes))
		return err
	}
	var puts []partition.Put
	for i := range u.puts {
		if !fail[i] {
			puts = append(puts, u.puts[i])
		}
	}
	outcomes := make([]partition.Outcome, len(puts))
	if len(puts) > 0 {
		if err := st.Put(c.Context(), puts, outcomes); err != nil {
			return err
		}
	}
	for i := range u.puts {
		if fail[i] {
			u.outcomes[i] = partition.Outcome{Partition: ids[i], Err: &spoiledError{code, message}}
			continue
		}
		u.outcomes[i], outcomes = outcomes[0], outcomes[1:]
	}
	c.Probe.Count(len(u.puts), failed(u.outcomes))
	return nil
}

func uploadTarget(c *rest.Call, u *uploader, ids []int32) rest.Target {
	return rest.Target{Project: c.Project, Stream: u.request.StreamName, StreamID: u.request.StreamID, Partitions: ids}
}

func failed(outcomes []partition.Outcome) (n int) {
	for i := range outcomes {
		if outcomes[i].Err != nil {
			n++
		}
	}
	return n
}

// visible returns what a download or a cursor sees of a log: all of it, unless a fault
// hides the newest records (CTL-23).
func (s *recordCalls) visible(c *rest.Call, log storage.Log) (storage.Log, error) {
	if !c.Watched() {
		return log, nil
	}
	records, age := c.Probe.Hide()
	if records == 0 && age == 0 {
		return log, nil
	}
	oldest, end := log.Bounds()
	if age > 0 {
		first, err := log.Find(c.Context(), s.now().Add(-age).UnixMilli()+1)
		if err != nil {
			return nil, err
		}
		end = min(end, first)
	}
	return &shortLog{log, max(oldest, end-storage.Seq(records))}, nil
}

// A shortLog is a log that ends earlier than it does.
type shortLog struct {
	storage.Log
	end storage.Seq
}

// Bounds implements storage.Log.
func (l *shortLog) Bounds() (oldest, next storage.Seq) {
	oldest, next = l.Log.Bounds()
	return oldest, max(oldest, min(next, l.end))
}

// Find implements storage.Log.
func (l *shortLog) Find(ctx context.Context, t int64) (storage.Seq, error) {
	seq, err := l.Log.Find(ctx, t)
	_, next := l.Bounds()
	return min(seq, next), err
}

// Read implements storage.Log.
func (l *shortLog) Read(ctx context.Context, seq storage.Seq, lim storage.Limit, c *storage.Chunk) error {
	_, next := l.Bounds()
	if seq >= next {
		c.Records = c.Records[:0]
		return ctx.Err()
	}
	lim.Records = min(lim.Records, int(next-seq))
	return l.Log.Read(ctx, seq, lim, c)
}
