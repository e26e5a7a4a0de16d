package dis

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"disd/internal/api/rest"
	"disd/internal/field"
	"disd/internal/partition"
	"disd/internal/transfer"
	"disd/internal/transfer/kind"
)

// taskCalls are the calls about transfer tasks, E22 to E31, E48 and E49.
type taskCalls struct {
	finder
	tasks *transfer.Tasks
}

// taskRequest is the body of E22, E28 to E31 and E48, which are told apart by
// the type. Descriptors of other types are not read (TC-R4).
type taskRequest struct {
	Type       rest.Text       `json:"destination_type"`
	OBS        json.RawMessage `json:"obs_destination_descriptor"`
	DWS        json.RawMessage `json:"dws_destination_descriptor"`
	MRS        json.RawMessage `json:"mrs_destination_descriptor"`
	DLI        json.RawMessage `json:"dli_destination_descriptor"`
	CloudTable json.RawMessage `json:"cloudtable_destination_descriptor"`
}

func (in *taskRequest) descriptor() json.RawMessage {
	return map[kind.Type]json.RawMessage{
		kind.OBS: in.OBS, kind.DWS: in.DWS, kind.MRS: in.MRS,
		kind.DLI: in.DLI, kind.CloudTable: in.CloudTable,
	}[kind.Type(in.Type)]
}

// create answers E22 and E28 to E31.
func (s *taskCalls) create(c *rest.Call) (rest.Reply, error) {
	d, err := readDescriptor(c, s.tasks.Kinds().Parse)
	if err != nil {
		return rest.Reply{}, err
	}
	info, err := s.runningStream(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if err := s.tasks.Create(c.Context(), info.ID, d); err != nil {
		return rest.Reply{}, notFound(c, info.Name, err)
	}
	return rest.Created()
}

// update answers E48.
func (s *taskCalls) update(c *rest.Call) (rest.Reply, error) {
	d, err := readDescriptor(c, s.tasks.Kinds().ParseUpdate)
	if err != nil {
		return rest.Reply{}, err
	}
	info, err := s.runningStream(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if err := s.tasks.Update(c.Context(), info.ID, d); err != nil {
		return rest.Reply{}, notFound(c, info.Name, err)
	}
	return rest.Reply{Status: http.StatusOK}, nil
}

func readDescriptor(c *rest.Call, parse func(kind.Type, json.RawMessage) (kind.Descriptor, error)) (kind.Descriptor, error) {
	var in taskRequest
	if err := rest.Decode(c.Body, &in); err != nil {
		return kind.Descriptor{}, err
	}
	d, err := parse(kind.Type(in.Type), in.descriptor())
	c.About("task", d.Text("task_name"))
	return d, err
}

// taskStream returns the stream of the path, by name only.
func (s *taskCalls) taskStream(c *rest.Call) (*partition.Stream, *partition.Info, error) {
	st, err := s.ownStream(c)
	if err != nil {
		return nil, nil, err
	}
	info, err := st.Info()
	return st, info, notFound(c, c.Param("stream"), err)
}

func (s *taskCalls) runningStream(c *rest.Call) (*partition.Info, error) {
	_, info, err := s.taskStream(c)
	if err != nil {
		return nil, err
	}
	return info, info.Running()
}

type taskReply struct {
	ID          string         `json:"task_id"`
	Name        string         `json:"task_name"`
	State       transfer.State `json:"state"`
	Destination kind.Type      `json:"destination_type"`
	CreateTime  int64          `json:"create_time"`
	Delivered   int64          `json:"last_transfer_timestamp,omitempty"`
}

func listedTask(st *transfer.Status) taskReply {
	return taskReply{st.ID, st.Name, st.State, st.Descriptor.Type, st.Created, st.Delivered}
}

type listTasksReply struct {
	Total int         `json:"total_number"`
	Quota int         `json:"quota"`
	Tasks []taskReply `json:"tasks"`
}

// list answers E23.
func (s *taskCalls) list(c *rest.Call) (rest.Reply, error) {
	limit, err := rest.ParseNumber(c.Query.Get("limit")).Within("limit", 0, maxInt32, 0)
	if err != nil {
		return rest.Reply{}, err
	}
	_, info, err := s.taskStream(c)
	if err != nil {
		return rest.Reply{}, err
	}
	all, err := s.tasks.List(info.ID)
	if err != nil {
		return rest.Reply{}, notFound(c, info.Name, err)
	}
	out := listTasksReply{Total: len(all), Quota: s.tasks.Quota(), Tasks: []taskReply{}}
	start := slices.IndexFunc(all, func(st transfer.Status) bool { return st.Name == c.Query.Get("start_task_name") })
	for i := range all[start+1:] {
		if limit > 0 && i == int(limit) {
			break
		}
		out.Tasks = append(out.Tasks, listedTask(&all[start+1+i]))
	}
	return rest.OK(out)
}

// taskPartition has the members of two editions of the reference (E25-R6).
type taskPartition struct {
	PartitionID string         `json:"partitionId"`
	State       transfer.State `json:"state"`
	Discarded   int64          `json:"discard"`
	Delivered   int64          `json:"last_transfer_timestamp,omitempty"`
	Offset      int64          `json:"last_transfer_offset"`
	partitionResult
}

// showTaskReply has exactly one description, under every name that clients
// know for it (E25-R5).
type showTaskReply struct {
	StreamID   string `json:"stream_id"`
	StreamName string `json:"stream_name"`
	taskReply
	OBS            map[string]any  `json:"obs_destination_description,omitempty"`
	DWS            map[string]any  `json:"dws_destination_description,omitempty"`
	DWSOld         map[string]any  `json:"dws_destination_descripton,omitempty"`
	MRS            map[string]any  `json:"mrs_destination_description,omitempty"`
	DLI            map[string]any  `json:"dli_destination_description,omitempty"`
	CloudTable     map[string]any  `json:"cloudtable_destination_description,omitempty"`
	CloudTableOld  map[string]any  `json:"cloudtable_destination_descripton,omitempty"`
	CloudTableElse map[string]any  `json:"cloud_table_destination_description,omitempty"`
	Partitions     []taskPartition `json:"partitions"`
}

func (out *showTaskReply) describe(d kind.Descriptor) {
	switch d.Type {
	case kind.OBS:
		out.OBS = d.Members
	case kind.DWS:
		out.DWS, out.DWSOld = d.Members, d.Members
	case kind.MRS:
		out.MRS = d.Members
	case kind.DLI:
		out.DLI = d.Members
	case kind.CloudTable:
		out.CloudTable, out.CloudTableOld, out.CloudTableElse = d.Members, d.Members, d.Members
	}
}

// show answers E25.
func (s *taskCalls) show(c *rest.Call) (rest.Reply, error) {
	st, info, err := s.taskStream(c)
	if err != nil {
		return rest.Reply{}, err
	}
	task, err := s.tasks.Get(info.ID, c.Param("task"))
	if err != nil {
		return rest.Reply{}, notFound(c, info.Name, err)
	}
	out := showTaskReply{StreamID: info.ID, StreamName: info.Name, taskReply: listedTask(&task), Partitions: []taskPartition{}}
	out.describe(task.Descriptor)
	for _, p := range task.Partitions {
		if int(p.Partition) < len(info.Parts) { // scaled since
			out.Partitions = append(out.Partitions, taskPartition{
				PartitionID: partitionID(p.Partition), State: p.State, Discarded: p.Discarded,
				Delivered: p.Delivered, Offset: int64(p.Last), partitionResult: describePartition(st, info, p.Partition),
			})
		}
	}
	return rest.OK(out)
}

// delete answers E24.
func (s *taskCalls) delete(c *rest.Call) (rest.Reply, error) {
	_, info, err := s.taskStream(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if err := s.tasks.Delete(info.ID, c.Param("task")); err != nil {
		return rest.Reply{}, err
	}
	return rest.NoContent()
}

type taskActionRequest struct {
	Action rest.Text `json:"action"`
	Tasks  []struct {
		ID rest.Text `json:"id"`
	} `json:"tasks"`
}

// act answers E26 and E27.
func (s *taskCalls) act(c *rest.Call) (rest.Reply, error) {
	var in taskActionRequest
	if err := rest.Decode(c.Body, &in); err != nil {
		return rest.Reply{}, err
	}
	ids, err := in.ids()
	c.About("task", strings.Join(ids, ","))
	c.About("action", string(in.Action))
	if err != nil {
		return rest.Reply{}, err
	}
	_, info, err := s.taskStream(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if in.Action == "start" {
		err = s.tasks.Start(info.ID, ids)
	} else {
		err = s.tasks.Stop(info.ID, ids)
	}
	return rest.Reply{Status: http.StatusOK}, err
}

func (in *taskActionRequest) ids() (ids []string, err error) {
	if err := field.OneOf("action", string(in.Action), "start", "stop"); err != nil {
		return nil, err
	}
	if len(in.Tasks) == 0 {
		return nil, field.Invalid("tasks", "is required")
	}
	for i, t := range in.Tasks {
		if t.ID == "" {
			return nil, field.Invalid("tasks["+strconv.Itoa(i)+"].id", "is required")
		}
		ids = append(ids, string(t.ID))
	}
	return ids, nil
}
