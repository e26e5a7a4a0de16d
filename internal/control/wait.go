package control

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"disd/internal/partition"
	"disd/internal/transfer"
)

// A sequence is a sequence number, as a text or a number.
type sequence int64

func (s *sequence) set(n node, place string) error {
	text, ok := n.scalar.(string)
	if digits, isNumber := n.scalar.(json.Number); isNumber {
		text, ok = string(digits), true
	}
	if !ok {
		return invalid(place, "must be a sequence number")
	}
	v, err := number(text, place)
	*s = sequence(v)
	return err
}

type recordsCondition struct {
	Project   string       `json:"project"`
	Stream    string       `json:"stream"`
	Partition *partitionID `json:"partition"`
	Count     *int64       `json:"count"`
	Sequence  *sequence    `json:"sequence_number"`
}

type checkpointCondition struct {
	Project   string       `json:"project"`
	App       string       `json:"app"`
	Stream    string       `json:"stream"`
	Partition *partitionID `json:"partition"`
	Sequence  *sequence    `json:"sequence_number"`
}

type deliveredCondition struct {
	Project   string       `json:"project"`
	Stream    string       `json:"stream"`
	Task      string       `json:"task"`
	Partition *partitionID `json:"partition"`
	Sequence  *sequence    `json:"sequence_number"`
}

type taskCondition struct {
	Project string `json:"project"`
	Stream  string `json:"stream"`
	Task    string `json:"task"`
	State   string `json:"state"`
}

type groupCondition struct {
	Project string `json:"project"`
	App     string `json:"app"`
	State   string `json:"state"`
	Members *int64 `json:"members"`
}

type streamCondition struct {
	Project    string `json:"project"`
	Stream     string `json:"stream"`
	Status     string `json:"status"`
	Partitions *int64 `json:"partitions"`
}

// conditions are what a wait waits for; all that are given must hold together
// (CTL-63).
type conditions struct {
	Timeout    *duration            `json:"timeout"`
	Records    *recordsCondition    `json:"records"`
	Checkpoint *checkpointCondition `json:"checkpoint"`
	Delivered  *deliveredCondition  `json:"delivered"`
	Task       *taskCondition       `json:"task"`
	Group      *groupCondition      `json:"group"`
	Stream     *streamCondition     `json:"stream"`
	Requests   *selection           `json:"requests"`
}

// A condition looks and says what it saw.
type condition struct {
	name string
	look func() (holds bool, seen any)
}

func needs(place string, members ...string) error {
	for i := 0; i < len(members); i += 2 {
		if members[i+1] == "" {
			return invalid(join(place, members[i]), "missing")
		}
	}
	return nil
}

// wait answers as soon as all conditions hold.
func (c *Control) wait(r *request) (int, any, error) {
	var in conditions
	if err := r.decode(&in); err != nil {
		return 0, nil, err
	}
	timeout := defaultWait
	if in.Timeout != nil {
		timeout = time.Duration(*in.Timeout)
		if err := checkTimeout(timeout); err != nil {
			return 0, nil, invalid("timeout", "%v", err)
		}
	}
	all, err := c.conditions(&in)
	if err != nil {
		return 0, nil, err
	}
	var seen map[string]any
	err = c.await(r.Context(), timeout, func() (bool, error) {
		seen = make(map[string]any)
		holds := true
		for _, x := range all {
			ok, saw := x.look()
			seen[x.name] = saw
			holds = holds && ok
		}
		return holds, nil
	})
	if isTimeout(err) {
		c.addClock(r, seen)
		err = &Error{
			Status: http.StatusConflict, Code: "CTL.NotReached", Message: "not all of it happened in " + timeout.String(),
			More: map[string]any{"seen": seen},
		}
	}
	if err != nil {
		return 0, nil, err
	}
	c.addClock(r, seen)
	return http.StatusOK, map[string]any{"seen": seen}, nil
}

// addClock says that the clock stands, and what would be next.
func (c *Control) addClock(r *request, seen map[string]any) {
	if c.clock.Read().Speed != 0 {
		return
	}
	seen["clock"] = "frozen"
	if due := c.driver().Due(r.Context(), 1); len(due) > 0 {
		seen["due"] = showDue(due)[0]
	}
}

func (c *Control) conditions(in *conditions) (all []condition, err error) {
	for _, make := range []func(*conditions) (*condition, error){
		c.recordsCondition, c.checkpointCondition, c.deliveredCondition, c.taskCondition,
		c.groupCondition, c.streamCondition, c.requestsCondition,
	} {
		x, err := make(in)
		if err != nil {
			return nil, err
		}
		if x != nil {
			all = append(all, *x)
		}
	}
	if len(all) == 0 {
		return nil, invalid("", "waits for nothing")
	}
	return all, nil
}

func (c *Control) recordsCondition(in *conditions) (*condition, error) {
	x := in.Records
	if x == nil {
		return nil, nil
	}
	if err := needs("records", "project", x.Project, "stream", x.Stream); err != nil {
		return nil, err
	}
	if (x.Count == nil) == (x.Sequence == nil) {
		return nil, invalid("records", "needs either count or sequence_number")
	}
	return &condition{"records", func() (bool, any) {
		count, highest := c.stored(x.Project, x.Stream, x.Partition)
		seen := map[string]any{"count": count, "next": highest}
		if x.Count != nil {
			return count >= *x.Count, seen
		}
		return highest > int64(*x.Sequence), seen
	}}, nil
}

// stored returns how many records were ever stored, and the largest number to be given
// next.
func (c *Control) stored(project, stream string, only *partitionID) (count, next int64) {
	st, info, err := c.stream(project, stream)
	if err != nil {
		return 0, 0
	}
	for id, p := range info.Parts {
		if only != nil && int32(*only) != int32(id) || p.State == partition.Expired {
			continue
		}
		if log, err := st.Log(int32(id)); err == nil {
			_, end := log.Bounds()
			count, next = count+int64(end), max(next, int64(end))
		}
	}
	return count, next
}

func (c *Control) checkpointCondition(in *conditions) (*condition, error) {
	x := in.Checkpoint
	if x == nil {
		return nil, nil
	}
	if err := needs("checkpoint", "project", x.Project, "app", x.App, "stream", x.Stream); err != nil {
		return nil, err
	}
	if x.Partition == nil || x.Sequence == nil {
		return nil, invalid("checkpoint", "needs partition and sequence_number")
	}
	return &condition{"checkpoint", func() (bool, any) {
		at := c.checkpoint(x.Project, x.App, x.Stream, int32(*x.Partition))
		return at >= int64(*x.Sequence), map[string]any{"sequence_number": at}
	}}, nil
}

func (c *Control) deliveredCondition(in *conditions) (*condition, error) {
	x := in.Delivered
	if x == nil {
		return nil, nil
	}
	if err := needs("delivered", "project", x.Project, "stream", x.Stream, "task", x.Task); err != nil {
		return nil, err
	}
	return &condition{"delivered", func() (bool, any) { return c.delivered(x) }}, nil
}

// delivered reports whether records up to a number, or all there are, are at the
// destination.
func (c *Control) delivered(x *deliveredCondition) (holds bool, seen any) {
	st, info, err := c.stream(x.Project, x.Stream)
	if err != nil {
		return false, nil
	}
	status, err := c.opts.World.Parts().Tasks.Get(info.ID, x.Task)
	if err != nil {
		return false, nil
	}
	holds = true
	parts := []map[string]any{}
	for _, p := range status.Partitions {
		if x.Partition != nil && int32(*x.Partition) != p.Partition {
			continue
		}
		log, err := st.Log(p.Partition)
		if err != nil {
			return false, nil
		}
		_, end := log.Bounds()
		parts = append(parts, map[string]any{"partition_id": showPartition(p.Partition), "next": int64(p.Next)})
		if x.Sequence != nil {
			holds = holds && int64(p.Next) > int64(*x.Sequence)
		} else {
			holds = holds && p.Next >= end
		}
	}
	return holds && len(parts) > 0, map[string]any{"state": string(status.State), "partitions": parts}
}

func (c *Control) taskCondition(in *conditions) (*condition, error) {
	x := in.Task
	if x == nil {
		return nil, nil
	}
	if err := needs("task", "project", x.Project, "stream", x.Stream, "task", x.Task, "state", x.State); err != nil {
		return nil, err
	}
	return &condition{"task", func() (bool, any) {
		var status transfer.Status
		_, info, err := c.stream(x.Project, x.Stream)
		if err == nil {
			status, err = c.opts.World.Parts().Tasks.Get(info.ID, x.Task)
		}
		if err != nil {
			return false, nil
		}
		return string(status.State) == x.State, map[string]any{"state": string(status.State)}
	}}, nil
}

func (c *Control) groupCondition(in *conditions) (*condition, error) {
	x := in.Group
	if x == nil {
		return nil, nil
	}
	if err := needs("group", "project", x.Project, "app", x.App, "state", x.State); err != nil {
		return nil, err
	}
	return &condition{"group", func() (bool, any) {
		v, ok := c.opts.World.Parts().Groups.Show(x.Project, x.App)
		holds := ok && strings.EqualFold(v.State, x.State)
		if x.Members != nil {
			holds = holds && int64(len(v.Members)) == *x.Members
		}
		return holds, showGroup(v)
	}}, nil
}

func (c *Control) streamCondition(in *conditions) (*condition, error) {
	x := in.Stream
	if x == nil {
		return nil, nil
	}
	if err := needs("stream", "project", x.Project, "stream", x.Stream); err != nil {
		return nil, err
	}
	return &condition{"stream", func() (bool, any) {
		_, info, err := c.stream(x.Project, x.Stream)
		if err != nil {
			return false, nil
		}
		status, active := "RUNNING", info.Count(partition.Active)
		if info.Frozen {
			status = "FROZEN"
		}
		return (x.Status == "" || x.Status == status) && (x.Partitions == nil || int64(active) == *x.Partitions),
			map[string]any{"status": status, "partitions": active}
	}}, nil
}

func (c *Control) requestsCondition(in *conditions) (*condition, error) {
	x := in.Requests
	if x == nil {
		return nil, nil
	}
	if err := c.needJournal(); err != nil {
		return nil, err
	}
	if x.Count == nil || *x.Count < 1 {
		return nil, invalid("requests.count", "must be at least 1")
	}
	if err := x.check("requests"); err != nil {
		return nil, err
	}
	return &condition{"requests", func() (bool, any) {
		list, _, _ := c.journal.find(x, true)
		return int64(len(list)) >= *x.Count, map[string]any{"count": len(list)}
	}}, nil
}
