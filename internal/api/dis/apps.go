package dis

import (
	"slices"
	"strings"

	"disd/internal/api/rest"
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

// appCalls are the calls about apps, E11 to E15.
type appCalls struct {
	finder
	apps *cursor.Apps
}

type createAppRequest struct {
	AppName rest.Text `json:"app_name"`
}

// create answers E11.
func (s *appCalls) create(c *rest.Call) (rest.Reply, error) {
	var in createAppRequest
	if err := rest.Decode(c.Body, &in); err != nil {
		return rest.Reply{}, err
	}
	c.About("app", string(in.AppName))
	if err := field.Name("app_name", string(in.AppName), maxAppName); err != nil {
		return rest.Reply{}, err
	}
	if err := s.apps.Create(c.Project, string(in.AppName)); err != nil {
		return rest.Reply{}, err
	}
	return rest.Created()
}

type appReply struct {
	ID      string   `json:"app_id"`
	Name    string   `json:"app_name"`
	Created int64    `json:"create_time"`
	Streams []string `json:"commit_checkpoint_stream_names"`
}

func (s *appCalls) describeApp(app cursor.App, streamIDs []string) appReply {
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

// list answers E12.
func (s *appCalls) list(c *rest.Call) (rest.Reply, error) {
	limit, err := c.Query.Limit("limit", appPage, maxAppPage)
	if err != nil {
		return rest.Reply{}, err
	}
	streamID := ""
	if name := c.Query.Get("stream_name"); name != "" {
		st, err := s.stream(c, "", name, "")
		if err != nil {
			return rest.Reply{}, err
		}
		info, err := st.Info()
		if err != nil {
			return rest.Reply{}, notFound(c, name, err)
		}
		streamID = info.ID
	}
	all, err := s.apps.List(c.Project, streamID)
	if err != nil {
		return rest.Reply{}, err
	}
	page, more := pageAfter(all, c.Query.Get("start_app_name"), limit, func(a cursor.Listed) string { return a.Name })
	out := listAppsReply{More: more, Apps: []appReply{}, Total: len(all)}
	for _, a := range page {
		out.Apps = append(out.Apps, s.describeApp(a.App, a.Streams))
	}
	return rest.OK(out)
}

// delete answers E13.
func (s *appCalls) delete(c *rest.Call) (rest.Reply, error) {
	if err := s.apps.Delete(c.Project, c.Param("app")); err != nil {
		return rest.Reply{}, err
	}
	return rest.NoContent()
}

// show answers E14.
func (s *appCalls) show(c *rest.Call) (rest.Reply, error) {
	app, streams, err := s.apps.Get(c.Project, c.Param("app"))
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(s.describeApp(app, streams))
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

// showState answers E15.
func (s *appCalls) showState(c *rest.Call) (rest.Reply, error) {
	limit, limitErr := c.Query.Limit("limit", statePage, maxStatePage)
	first, startErr := 0, error(nil)
	if start := c.Query.Get("start_partition_id"); strings.Trim(start, "0") != "" || len(start) > 1 {
		first, startErr = startPartition(start) // the bare 0 means from the first (E15-R6)
	}
	if err := field.First(limitErr, startErr, checkType(c.Query.Get("checkpoint_type"))); err != nil {
		return rest.Reply{}, err
	}
	st, info, err := s.statedStream(c)
	if err != nil {
		return rest.Reply{}, err
	}
	marks, err := s.apps.Checkpoints(c.Project, c.Param("app"), info.ID)
	if err != nil {
		return rest.Reply{}, err
	}
	out := consumerStateReply{StreamName: info.Name, AppName: c.Param("app"), States: []stateReply{}}
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
	return rest.OK(out)
}

// statedStream returns the stream of E15, whose path may carry an id.
func (s *appCalls) statedStream(c *rest.Call) (*partition.Stream, *partition.Info, error) {
	name, id := c.Param("stream"), c.Query.Get("stream_id")
	if id == "" {
		id = name
	}
	return s.namedStream(c, policy.GetRecords, name, id)
}

// noCheckpoint is the sequence number of a checkpoint that does not exist.
const noCheckpoint = "-1"
