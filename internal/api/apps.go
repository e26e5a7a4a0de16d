package api

import (
	"slices"
	"strings"

	"disd/internal/auth/policy"
	"disd/internal/cursor"
	"disd/internal/field"
	"disd/internal/partition"
)

const (
	maxAppName   = 200
	appPage      = 10
	maxAppPage   = 100
	statePage    = 100
	maxStatePage = 1000
)

type createAppRequest struct {
	AppName text `json:"app_name"`
}

// createApp answers E11.
func (s *Server) createApp(c *call) (reply, error) {
	var in createAppRequest
	if err := decode(c.body, &in); err != nil {
		return reply{}, err
	}
	if err := field.Name("app_name", string(in.AppName), maxAppName); err != nil {
		return reply{}, err
	}
	if err := s.apps.Create(c.project, string(in.AppName)); err != nil {
		return reply{}, err
	}
	return created()
}

type appReply struct {
	ID      string   `json:"app_id"`
	Name    string   `json:"app_name"`
	Created int64    `json:"create_time"`
	Streams []string `json:"commit_checkpoint_stream_names"`
}

func (s *Server) describeApp(app cursor.App, streamIDs []string) appReply {
	out := appReply{app.ID, app.Name, app.Created, []string{}}
	for _, id := range streamIDs {
		if st, err := s.streams.GetID(id); err == nil {
			if info, err := st.Info(); err == nil {
				out.Streams = append(out.Streams, info.Name)
			}
		}
	}
	slices.Sort(out.Streams)
	return out
}

type listAppsReply struct {
	More  bool       `json:"has_more_app"`
	Apps  []appReply `json:"apps"`
	Total int        `json:"total_number"`
}

// listApps answers E12.
func (s *Server) listApps(c *call) (reply, error) {
	limit, err := c.query.limit("limit", appPage, maxAppPage)
	if err != nil {
		return reply{}, err
	}
	streamID := ""
	if name := c.query.Get("stream_name"); name != "" {
		st, err := s.stream(c, "", name, "")
		if err != nil {
			return reply{}, err
		}
		info, err := st.Info()
		if err != nil {
			return reply{}, notFound(c, name, err)
		}
		streamID = info.ID
	}
	all, err := s.apps.List(c.project, streamID)
	if err != nil {
		return reply{}, err
	}
	page, more := pageAfter(all, c.query.Get("start_app_name"), limit, func(a cursor.Listed) string { return a.Name })
	out := listAppsReply{More: more, Apps: []appReply{}, Total: len(all)}
	for _, a := range page {
		out.Apps = append(out.Apps, s.describeApp(a.App, a.Streams))
	}
	return ok(out)
}

// deleteApp answers E13.
func (s *Server) deleteApp(c *call) (reply, error) {
	if err := s.apps.Delete(c.project, c.param("app")); err != nil {
		return reply{}, err
	}
	return noContent()
}

// showApp answers E14.
func (s *Server) showApp(c *call) (reply, error) {
	app, streams, err := s.apps.Get(c.project, c.param("app"))
	if err != nil {
		return reply{}, err
	}
	return ok(s.describeApp(app, streams))
}

type stateReply struct {
	Partition string          `json:"partition_id"`
	Sequence  string          `json:"sequence_number"`
	Latest    int64           `json:"latest_offset"`
	Earliest  int64           `json:"earliest_offset"`
	Type      string          `json:"checkpoint_type"`
	Status    partition.State `json:"status"`
	Metadata  string          `json:"metadata,omitempty"`
}

type consumerStateReply struct {
	More       bool         `json:"has_more"`
	StreamName string       `json:"stream_name"`
	AppName    string       `json:"app_name"`
	States     []stateReply `json:"partition_consuming_states"`
}

// showConsumerState answers E15.
func (s *Server) showConsumerState(c *call) (reply, error) {
	limit, limitErr := c.query.limit("limit", statePage, maxStatePage)
	first, startErr := 0, error(nil)
	if start := c.query.Get("start_partition_id"); strings.Trim(start, "0") != "" || len(start) > 1 {
		first, startErr = startPartition(start) // the bare 0 means from the first (E15-R6)
	}
	if err := field.First(limitErr, startErr, checkType(c.query.Get("checkpoint_type"))); err != nil {
		return reply{}, err
	}
	st, info, err := s.statedStream(c)
	if err != nil {
		return reply{}, err
	}
	marks, err := s.apps.Checkpoints(c.project, c.param("app"), info.ID)
	if err != nil {
		return reply{}, err
	}
	out := consumerStateReply{StreamName: info.Name, AppName: c.param("app"), States: []stateReply{}}
	for id := first; id < len(info.Parts); id++ {
		log, err := st.Log(int32(id))
		if err != nil {
			continue // expired (E15-R1)
		}
		if len(out.States) == limit {
			out.More = true
			break
		}
		mark, committed := marks[int32(id)]
		state := stateReply{Partition: partitionID(int32(id)), Sequence: noCheckpoint, Type: lastRead, Status: info.Parts[id].State}
		if committed {
			state.Sequence, state.Metadata = mark.Seq.String(), mark.Metadata
		}
		oldest, next := log.Bounds()
		state.Earliest, state.Latest = int64(oldest), int64(next)
		out.States = append(out.States, state)
	}
	return ok(out)
}

// statedStream returns the stream of E15, whose path may carry an id.
func (s *Server) statedStream(c *call) (*partition.Stream, *partition.Info, error) {
	name, id := c.param("stream"), c.query.Get("stream_id")
	if id == "" {
		id = name
	}
	return s.namedStream(c, policy.GetRecords, name, id)
}

// noCheckpoint is the sequence number of a checkpoint that does not exist.
const noCheckpoint = "-1"
