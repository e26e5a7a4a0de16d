package api

import (
	"errors"
	"time"

	"disd/internal/auth"
	"disd/internal/auth/policy"
	"disd/internal/cursor/group"
	"disd/internal/field"
)

// minGeneration is what a client says that has no generation (G-10).
const minGeneration = -1

type joinRequest struct {
	ClientID   text    `json:"clientId"`
	Streams    []text  `json:"interestedStream"`
	StreamIDs  []text  `json:"interestedStreamIdList"`
	Pattern    text    `json:"streamPattern"`
	Accelerate boolean `json:"accelerateAssignEnabled"`
	Timeout    number  `json:"rebalanceTimeoutMs"`
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

// joinGroup answers E43.
func (s *Server) joinGroup(c *call) (reply, error) {
	var in joinRequest
	if err := decode(c.body, &in); err != nil {
		return reply{}, err
	}
	accelerate, accelerateErr := in.Accelerate.value("accelerateAssignEnabled")
	timeout, timeoutErr := in.Timeout.within("rebalanceTimeoutMs", 0, maxInt32, 0)
	if err := field.First(field.Present("clientId", string(in.ClientID)), accelerateErr, timeoutErr); err != nil {
		return reply{}, err
	}
	ids := plain(in.StreamIDs)
	for i, id := range ids {
		if _, err := s.stream(c, policy.GetRecords, "", id); err != nil {
			ids[i] = "unreadable " + id // of no stream, so the group refuses it (G-12, G-20)
		}
	}
	got, err := s.opts.Groups.Join(c.project, c.param("app"), group.JoinRequest{
		ClientID: string(in.ClientID), Streams: plain(in.Streams), StreamIDs: ids, Pattern: string(in.Pattern),
		Accelerate: accelerate != nil && *accelerate, RebalanceTimeout: time.Duration(timeout) * time.Millisecond,
	})
	if err != nil {
		return reply{}, err
	}
	if got.State != group.JoinOK {
		return ok(groupReply[group.JoinState]{got.State})
	}
	return ok(joinReply{got.State, orEmpty(got.Subscription), got.SyncDelay.Milliseconds()})
}

func plain(texts []text) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = string(t)
	}
	return out
}

// memberRequest is the body of E44 and E45. Group and client are those of the path.
type memberRequest struct {
	Generation number `json:"generation"`
}

type syncReply struct {
	State      group.SyncState    `json:"state"`
	Generation int64              `json:"generation"`
	Assignment map[string][]int32 `json:"assignment"`
}

// syncGroup answers E44.
func (s *Server) syncGroup(c *call) (reply, error) {
	var in memberRequest
	if err := decode(c.body, &in); err != nil {
		return reply{}, err
	}
	if err := s.dismiss(c); err != nil {
		return reply{}, err
	}
	got, err := s.opts.Groups.Sync(c.project, c.param("app"), c.param("client"))
	if err != nil {
		return reply{}, err
	}
	if got.State != group.SyncOK {
		return ok(groupReply[group.SyncState]{got.State})
	}
	if got.Assignment == nil {
		got.Assignment = map[string][]int32{}
	}
	return ok(syncReply{got.State, got.Generation, got.Assignment})
}

// heartbeat answers E45.
func (s *Server) heartbeat(c *call) (reply, error) {
	var in memberRequest
	if err := decode(c.body, &in); err != nil {
		return reply{}, err
	}
	if !in.Generation.set {
		return reply{}, field.Invalid("generation", "is required")
	}
	generation, err := in.Generation.within("generation", minGeneration, 1<<62, minGeneration)
	if err != nil {
		return reply{}, err
	}
	if err := s.dismiss(c); err != nil {
		return reply{}, err
	}
	state, err := s.opts.Groups.Heartbeat(c.project, c.param("app"), c.param("client"), generation)
	if err != nil {
		return reply{}, err
	}
	return ok(groupReply[group.HeartbeatState]{state})
}

// dismiss ends the membership of a client that may no longer read a stream it
// asked for, so that the right ends with its policy and not with the round
// (G-20). The client is told to join and then that it cannot.
func (s *Server) dismiss(c *call) error {
	ids, err := s.opts.Groups.StreamIDs(c.project, c.param("app"), c.param("client"))
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := s.stream(c, policy.GetRecords, "", id); errors.Is(err, auth.ErrForbidden) {
			return s.opts.Groups.Leave(c.project, c.param("app"), c.param("client"))
		}
	}
	return nil
}

// leaveGroup answers E46.
func (s *Server) leaveGroup(c *call) (reply, error) {
	if err := s.opts.Groups.Leave(c.project, c.param("app"), c.param("client")); err != nil {
		return reply{}, err
	}
	return noContent()
}
