package rest

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// A Target is what a request is about, as far as it names it.
type Target struct {
	Variant                                      string // what tells operations of one path apart: the action, or the type of a destination
	Project, Stream, StreamID, App, Client, Task string
	Partitions                                   []int32 // of an upload, that of each record
}

// A Probe watches one request from within, and may keep it from taking place: that of
// an emulator.
type Probe interface {
	// Begin is told which operation the request is of, and its id.
	Begin(operation, requestID string)
	// Aim is told what an operation that is let in is about, before it takes place. An
	// error keeps it from that.
	Aim(t Target) error
	// Spoil says which records of an upload fail, and with what; nil for none.
	Spoil(partitions []int32) (fail []bool, code, message string)
	// Hide says how many of the newest records of a partition are not there yet, and
	// how young those are that are not; zero for none.
	Hide() (records int64, age time.Duration)
	// Count is told of the records of the answer, or of the upload, and how many of
	// those failed.
	Count(records, failed int)
}

// Watched reports whether the call has a probe.
func (c *Call) Watched() bool { return c.Probe != nil }

// aim tells the probe what the call is about, as far as path, query and body say.
func (c *Call) aim() error {
	var in struct {
		Stream      Text   `json:"stream_name"`
		StreamID    Text   `json:"stream_id"`
		App         Text   `json:"app_name"`
		Client      Text   `json:"client_id"`
		ClientGroup Text   `json:"clientId"`
		Partition   Text   `json:"partition_id"`
		Action      string `json:"action"`
		Type        string `json:"destination_type"`
	}
	if len(c.Body) > 0 && !c.Proto && json.Unmarshal(c.Body, &in) != nil && !json.Valid(c.Body) {
		return nil // its form is not understood, and it will fail by itself
	}
	first := func(names ...string) string {
		for _, name := range names {
			if name != "" {
				return name
			}
		}
		return ""
	}
	t := Target{
		Variant: first(in.Action, in.Type, c.Query.Get("stream_id")),
		Project: c.Project, Task: c.Param("task"),
		Stream:   first(c.Param("stream"), c.Query.Get("stream_name", "stream-name"), string(in.Stream)),
		StreamID: first(c.Query.Get("stream_id", "stream-id"), string(in.StreamID)),
		App:      first(c.Param("app"), c.Query.Get("app_name"), string(in.App)),
		Client:   first(c.Param("client"), string(in.Client), string(in.ClientGroup)),
	}
	if id, ok := partitionNumber(first(c.Param("partition"), c.Query.Get("partition_id", "partition-id"), string(in.Partition))); ok {
		t.Partitions = []int32{id}
	}
	return c.Probe.Aim(t)
}

// partitionNumber reads a partition in either spelling (C-40).
func partitionNumber(s string) (int32, bool) {
	n, err := strconv.ParseInt(strings.TrimPrefix(s, "shardId-"), 10, 32)
	return int32(n), err == nil && n >= 0
}
