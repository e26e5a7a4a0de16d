package control

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"unicode/utf8"

	"disd/internal/cursor"
	"disd/internal/cursor/group"
	"disd/internal/partition"
	"disd/internal/storage"
)

// recordReply is a record as it is stored, decoded where it can be (CTL-62).
type recordReply struct {
	Partition  string          `json:"partition_id"`
	Seq        string          `json:"sequence_number"`
	Data       string          `json:"data"`
	Text       *string         `json:"text,omitempty"`
	JSON       json.RawMessage `json:"json,omitempty"`
	Key        string          `json:"partition_key"`
	Timestamp  int64           `json:"timestamp"`
	AppendTime int64           `json:"append_time_ms"`
}

func showRecord(id int32, r *storage.Record) recordReply {
	reply := recordReply{
		Partition: showPartition(id), Seq: r.Seq.String(), Data: base64.StdEncoding.EncodeToString(r.Data),
		Key: string(r.Key), Timestamp: r.Timestamp, AppendTime: r.AppendTime,
	}
	if utf8.Valid(r.Data) {
		text := string(r.Data)
		reply.Text = &text
		if json.Valid(r.Data) {
			reply.JSON = append(json.RawMessage(nil), r.Data...)
		}
	}
	return reply
}

// readChunk bounds one read of a log.
var readChunk = storage.Limit{Records: 1000, Bytes: 4 << 20, AtLeastOne: true}

// each calls fn for every record of a log from a number on, until fn returns false.
func each(ctx context.Context, log storage.Log, from storage.Seq, fn func(*storage.Record) bool) error {
	oldest, _ := log.Bounds()
	seq := max(from, oldest)
	for {
		var c storage.Chunk
		err := log.Read(ctx, seq, readChunk, &c)
		if errors.Is(err, storage.ErrTrimmed) {
			seq, _ = log.Bounds()
			continue
		}
		if errors.Is(err, storage.ErrBeyond) || err == nil && len(c.Records) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range c.Records {
			if !fn(&c.Records[i]) {
				return nil
			}
		}
		seq += storage.Seq(len(c.Records))
	}
}

func (c *Control) listRecords(r *request) (int, any, error) {
	st, info, err := c.stream(r.PathValue("project"), r.PathValue("stream"))
	if err != nil {
		return 0, nil, err
	}
	only, err := r.partition(info)
	if err != nil {
		return 0, nil, err
	}
	from, err := r.number("from", 0, 0, 1<<62)
	if err != nil {
		return 0, nil, err
	}
	limit, err := r.number("limit", 100, 1, 10_000)
	if err != nil {
		return 0, nil, err
	}
	list, more := []recordReply{}, false
	for id := range info.Parts {
		if only >= 0 && id != only {
			continue
		}
		log, err := st.Log(int32(id))
		if errors.Is(err, partition.ErrPartitionExpired) {
			continue
		}
		if err == nil {
			err = each(r.Context(), log, storage.Seq(from), func(rec *storage.Record) bool {
				if more = int64(len(list)) == limit; !more {
					list = append(list, showRecord(int32(id), rec))
				}
				return !more
			})
		}
		if err != nil {
			return 0, nil, err
		}
	}
	return http.StatusOK, map[string]any{"records": list, "more": more}, nil
}

// partition returns the partition of the query, -1 for all.
func (r *request) partition(info *partition.Info) (int, error) {
	if !r.query.Has("partition") {
		return -1, nil
	}
	id, err := parsePartition(r.query.Get("partition"))
	if err != nil {
		return 0, invalid("partition", "must be the number of a partition, or like shardId-0000000000")
	}
	if int(id) >= len(info.Parts) {
		return 0, notFound("stream %s has no partition %d", info.Name, id)
	}
	return int(id), nil
}

type groupReply struct {
	State      string        `json:"state"`
	Generation int64         `json:"generation"`
	Members    []memberReply `json:"members"`
	Deadline   *string       `json:"deadline"`
}

type memberReply struct {
	Client      string             `json:"client"`
	LastContact string             `json:"last_contact"`
	Joined      bool               `json:"joined"`
	Generation  int64              `json:"generation"`
	Assignment  map[string][]int32 `json:"assignment"`
}

func showGroup(v group.View) groupReply {
	g := groupReply{State: v.State, Generation: v.Generation, Members: []memberReply{}}
	if !v.Deadline.IsZero() {
		at := showTime(v.Deadline)
		g.Deadline = &at
	}
	for _, m := range v.Members {
		g.Members = append(g.Members, memberReply{m.Client, showTime(m.LastContact), m.Joined, m.Generation, m.Assignment})
	}
	return g
}

func noGroup(r *request) error {
	return notFound("no consumer group of app %s in project %s", r.PathValue("app"), r.PathValue("project"))
}

func (c *Control) getGroup(r *request) (int, any, error) {
	v, ok := c.opts.World.Parts().Groups.Show(r.PathValue("project"), r.PathValue("app"))
	if !ok {
		return 0, nil, noGroup(r)
	}
	return http.StatusOK, showGroup(v), nil
}

func (c *Control) expireMember(r *request) (int, any, error) {
	var in struct {
		Client string `json:"client"`
	}
	if err := r.decode(&in); err != nil {
		return 0, nil, err
	}
	found, err := c.opts.World.Parts().Groups.Expire(r.PathValue("project"), r.PathValue("app"), in.Client)
	if err != nil {
		return 0, nil, err
	}
	if !found {
		return 0, nil, noGroup(r)
	}
	return c.groupNow(r)
}

func (c *Control) rebalance(r *request) (int, any, error) {
	if err := r.decode(&struct{}{}); err != nil {
		return 0, nil, err
	}
	found, err := c.opts.World.Parts().Groups.Rebalance(r.PathValue("project"), r.PathValue("app"))
	if err != nil {
		return 0, nil, err
	}
	if !found {
		return 0, nil, noGroup(r)
	}
	return c.groupNow(r)
}

// groupNow shows a group that may be empty by now.
func (c *Control) groupNow(r *request) (int, any, error) {
	c.changed()
	v, _ := c.opts.World.Parts().Groups.Show(r.PathValue("project"), r.PathValue("app"))
	return http.StatusOK, showGroup(v), nil
}

// checkpoint returns the number of a stored checkpoint, -1 for none (CTL-65).
func (c *Control) checkpoint(project, app, stream string, id int32) int64 {
	_, info, err := c.stream(project, stream)
	if err != nil {
		return -1
	}
	mark := cursor.Mark{Project: project, App: app, StreamID: info.ID, Partition: id}
	point, ok, err := c.opts.World.Parts().Apps.Checkpoint(mark)
	if err != nil || !ok {
		return -1
	}
	return int64(point.Seq)
}

func number(text, place string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, invalid(place, "must be a sequence number")
	}
	return n, nil
}
