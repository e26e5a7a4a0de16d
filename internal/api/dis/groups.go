package dis

import (
	"errors"
	"time"

	"disd/internal/api/rest"
	"disd/internal/auth"
	"disd/internal/auth/policy"
	"disd/internal/cursor/group"
	"disd/internal/field"
)

// minGeneration is what a client says that has no generation (G-10).
const minGeneration = -1

// groupCalls are the calls of consumer groups, E43 to E46.
type groupCalls struct {
	finder
	groups *group.Coordinator
}

type joinRequest struct {
	ClientID   rest.Text    `json:"clientId"`
	Streams    []rest.Text  `json:"interestedStream"`
	StreamIDs  []rest.Text  `json:"interestedStreamIdList"`
	Pattern    rest.Text    `json:"streamPattern"`
	Accelerate rest.Boolean `json:"accelerateAssignEnabled"`
	Timeout    rest.Number  `json:"rebalanceTimeoutMs"`
}

// groupReply is what a group answers with when there is no more to say (G-2).
type groupReply[S ~string] struct {
	State S `json:"state"`
}

type joinReply struct {
	State        group.JoinState `json:"state"`
	Subscription []string        `json:"subscription"`
	Delay        int64           `json:"syncDelayedTimeMs"`
}

// join answers E43.
func (s *groupCalls) join(c *rest.Call) (rest.Reply, error) {
	var in joinRequest
	if err := rest.Decode(c.Body, &in); err != nil {
		return rest.Reply{}, err
	}
	accelerate, accelerateErr := in.Accelerate.Value("accelerateAssignEnabled")
	timeout, timeoutErr := in.Timeout.Within("rebalanceTimeoutMs", 0, maxInt32, 0)
	if err := field.First(field.Present("clientId", string(in.ClientID)), accelerateErr, timeoutErr); err != nil {
		return rest.Reply{}, err
	}
	ids := plain(in.StreamIDs)
	for i, id := range ids {
		if _, err := s.stream(c, policy.GetRecords, "", id); err != nil {
			ids[i] = "unreadable " + id // of no stream, so the group refuses it (G-12, G-20)
		}
	}
	got, err := s.groups.Join(c.Project, c.Param("app"), group.JoinRequest{
		ClientID: string(in.ClientID), Streams: plain(in.Streams), StreamIDs: ids, Pattern: string(in.Pattern),
		Accelerate: accelerate != nil && *accelerate, RebalanceTimeout: time.Duration(timeout) * time.Millisecond,
	})
	if err != nil {
		return rest.Reply{}, err
	}
	if got.State != group.JoinOK {
		return rest.OK(groupReply[group.JoinState]{got.State})
	}
	return rest.OK(joinReply{got.State, orEmpty(got.Subscription), got.SyncDelay.Milliseconds()})
}

func plain(texts []rest.Text) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = string(t)
	}
	return out
}

// memberRequest is the body of E44 and E45. Group and client are those of the path.
type memberRequest struct {
	Generation rest.Number `json:"generation"`
}

type syncReply struct {
	State      group.SyncState    `json:"state"`
	Generation int64              `json:"generation"`
	Assignment map[string][]int32 `json:"assignment"`
}

// sync answers E44.
func (s *groupCalls) sync(c *rest.Call) (rest.Reply, error) {
	var in memberRequest
	if err := rest.Decode(c.Body, &in); err != nil {
		return rest.Reply{}, err
	}
	if err := s.dismiss(c); err != nil {
		return rest.Reply{}, err
	}
	got, err := s.groups.Sync(c.Project, c.Param("app"), c.Param("client"))
	if err != nil {
		return rest.Reply{}, err
	}
	if got.State != group.SyncOK {
		return rest.OK(groupReply[group.SyncState]{got.State})
	}
	if got.Assignment == nil {
		got.Assignment = map[string][]int32{}
	}
	return rest.OK(syncReply{got.State, got.Generation, got.Assignment})
}

// heartbeat answers E45.
func (s *groupCalls) heartbeat(c *rest.Call) (rest.Reply, error) {
	var in memberRequest
	if err := rest.Decode(c.Body, &in); err != nil {
		return rest.Reply{}, err
	}
	if !in.Generation.Set {
		return rest.Reply{}, field.Invalid("generation", "is required")
	}
	generation, err := in.Generation.Within("generation", minGeneration, 1<<62, minGeneration)
	if err != nil {
		return rest.Reply{}, err
	}
	if err := s.dismiss(c); err != nil {
		return rest.Reply{}, err
	}
	state, err := s.groups.Heartbeat(c.Project, c.Param("app"), c.Param("client"), generation)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(groupReply[group.HeartbeatState]{state})
}

// dismiss ends the membership of a client that may no longer read a stream it
// asked for, so that the right ends with its policy and not with the round
// (G-20). The client is told to join and then that it cannot.
func (s *groupCalls) dismiss(c *rest.Call) error {
	ids, err := s.groups.StreamIDs(c.Project, c.Param("app"), c.Param("client"))
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := s.stream(c, policy.GetRecords, "", id); errors.Is(err, auth.ErrForbidden) {
			return s.groups.Leave(c.Project, c.Param("app"), c.Param("client"))
		}
	}
	return nil
}

// leave answers E46.
func (s *groupCalls) leave(c *rest.Call) (rest.Reply, error) {
	if err := s.groups.Leave(c.Project, c.Param("app"), c.Param("client")); err != nil {
		return rest.Reply{}, err
	}
	return rest.NoContent()
}
