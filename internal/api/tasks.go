package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"disd/internal/field"
	"disd/internal/partition"
	"disd/internal/transfer"
	"disd/internal/transfer/kind"
)

// taskRequest is the body of E22, E28 to E31 and E48, which are told apart by
// the type. Descriptors of other types are not read (TC-R4).
type taskRequest struct {
	Type       text            `json:"destination_type"`
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

// createTask answers E22 and E28 to E31.
func (s *Server) createTask(c *call) (reply, error) {
	d, err := readDescriptor(c, s.opts.Tasks.Kinds().Parse)
	if err != nil {
		return reply{}, err
	}
	info, err := s.runningStream(c)
	if err != nil {
		return reply{}, err
	}
	if err := s.opts.Tasks.Create(c.Context(), info.ID, d); err != nil {
		return reply{}, notFound(c, info.Name, err)
	}
	return created()
}

// updateTask answers E48.
func (s *Server) updateTask(c *call) (reply, error) {
	d, err := readDescriptor(c, s.opts.Tasks.Kinds().ParseUpdate)
	if err != nil {
		return reply{}, err
	}
	info, err := s.runningStream(c)
	if err != nil {
		return reply{}, err
	}
	if err := s.opts.Tasks.Update(c.Context(), info.ID, d); err != nil {
		return reply{}, notFound(c, info.Name, err)
	}
	return reply{status: http.StatusOK}, nil
}

func readDescriptor(c *call, parse func(kind.Type, json.RawMessage) (kind.Descriptor, error)) (kind.Descriptor, error) {
	var in taskRequest
	if err := decode(c.body, &in); err != nil {
		return kind.Descriptor{}, err
	}
	return parse(kind.Type(in.Type), in.descriptor())
}

// taskStream returns the stream of the path, by name only.
func (s *Server) taskStream(c *call) (*partition.Stream, *partition.Info, error) {
	st, err := s.ownStream(c)
	if err != nil {
		return nil, nil, err
	}
	info, err := st.Info()
	return st, info, notFound(c, c.param("stream"), err)
}

func (s *Server) runningStream(c *call) (*partition.Info, error) {
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

// listTasks answers E23.
func (s *Server) listTasks(c *call) (reply, error) {
	limit, err := parseNumber(c.query.Get("limit")).within("limit", 0, maxInt32, 0)
	if err != nil {
		return reply{}, err
	}
	_, info, err := s.taskStream(c)
	if err != nil {
		return reply{}, err
	}
	all, err := s.opts.Tasks.List(info.ID)
	if err != nil {
		return reply{}, notFound(c, info.Name, err)
	}
	out := listTasksReply{Total: len(all), Quota: s.opts.Tasks.Quota(), Tasks: []taskReply{}}
	start := slices.IndexFunc(all, func(st transfer.Status) bool { return st.Name == c.query.Get("start_task_name") })
	for i := range all[start+1:] {
		if limit > 0 && i == int(limit) {
			break
		}
		out.Tasks = append(out.Tasks, listedTask(&all[start+1+i]))
	}
	return ok(out)
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

// showTask answers E25.
func (s *Server) showTask(c *call) (reply, error) {
	st, info, err := s.taskStream(c)
	if err != nil {
		return reply{}, err
	}
	task, err := s.opts.Tasks.Get(info.ID, c.param("task"))
	if err != nil {
		return reply{}, notFound(c, info.Name, err)
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
	return ok(out)
}

// deleteTask answers E24.
func (s *Server) deleteTask(c *call) (reply, error) {
	_, info, err := s.taskStream(c)
	if err != nil {
		return reply{}, err
	}
	if err := s.opts.Tasks.Delete(info.ID, c.param("task")); err != nil {
		return reply{}, err
	}
	return noContent()
}

type taskActionRequest struct {
	Action text `json:"action"`
	Tasks  []struct {
		ID text `json:"id"`
	} `json:"tasks"`
}

// actOnTasks answers E26 and E27.
func (s *Server) actOnTasks(c *call) (reply, error) {
	var in taskActionRequest
	if err := decode(c.body, &in); err != nil {
		return reply{}, err
	}
	ids, err := in.ids()
	if err != nil {
		return reply{}, err
	}
	_, info, err := s.taskStream(c)
	if err != nil {
		return reply{}, err
	}
	if in.Action == "start" {
		err = s.opts.Tasks.Start(info.ID, ids)
	} else {
		err = s.opts.Tasks.Stop(info.ID, ids)
	}
	return reply{status: http.StatusOK}, err
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
