package api

import (
	"net/http"

	"disd/internal/auth/policy"
	"disd/internal/field"
	"disd/internal/partition"
)

type policyRequest struct {
	StreamID  text `json:"stream_id"`
	Principal text `json:"principal_name"`
	Action    text `json:"action_type"`
	Effect    text `json:"effect"`
}

// createPolicies answers E9.
func (s *Server) createPolicies(c *call) (reply, error) {
	info, grant, err := s.grant(c)
	if err != nil {
		return reply{}, err
	}
	if err := s.policies.Add(info.ID, grant); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK}, nil
}

// deletePolicies answers E50.
func (s *Server) deletePolicies(c *call) (reply, error) {
	info, grant, err := s.grant(c)
	if err != nil {
		return reply{}, err
	}
	if err := s.policies.Remove(info.ID, grant); err != nil {
		return reply{}, err
	}
	return noContent()
}

// grant reads the body of E9 and E50, which names the stream of the path by its
// id (E9-R3).
func (s *Server) grant(c *call) (*partition.Info, policy.Grant, error) {
	var in policyRequest
	if err := decode(c.body, &in); err != nil {
		return nil, policy.Grant{}, err
	}
	err := field.First(
		field.Present("stream_id", string(in.StreamID)),
		field.Present("principal_name", string(in.Principal)),
		field.OneOf("action_type", string(in.Action), string(policy.PutRecords), string(policy.GetRecords), string(policy.GetStreamInfo)),
		field.OneOf("effect", string(in.Effect), "accept"),
	)
	if err != nil {
		return nil, policy.Grant{}, err
	}
	st, err := s.ownStream(c)
	if err != nil {
		return nil, policy.Grant{}, err
	}
	info, err := st.Info()
	if err == nil && info.ID != string(in.StreamID) {
		err = detail(partition.ErrStreamNotFound, string(in.StreamID), c.project)
	}
	return info, policy.Grant{Principals: string(in.Principal), Action: string(in.Action), Effect: string(in.Effect)}, err
}

type ruleReply struct {
	Action    policy.Action `json:"action_type"`
	Principal string        `json:"principal"`
	Name      string        `json:"principal_name"`
	Effect    string        `json:"effect"`
}

type listPoliciesReply struct {
	StreamID    string      `json:"stream_id"`
	StreamIDOld string      `json:"streamId"` // E10-N1
	Rules       []ruleReply `json:"rules"`
}

// listPolicies answers E10.
func (s *Server) listPolicies(c *call) (reply, error) {
	st, err := s.ownStream(c)
	if err != nil {
		return reply{}, err
	}
	info, err := st.Info()
	if err != nil {
		return reply{}, notFound(c, c.param("stream"), err)
	}
	rules, err := s.policies.Rules(info.ID)
	if err != nil {
		return reply{}, err
	}
	out := listPoliciesReply{info.ID, info.ID, []ruleReply{}}
	for _, r := range rules {
		out.Rules = append(out.Rules, ruleReply{r.Action, r.Principal(), s.policies.PrincipalName(r), "accept"})
	}
	return ok(out)
}
