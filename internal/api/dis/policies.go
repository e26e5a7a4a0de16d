package dis

import (
	"net/http"

	"disd/internal/api/rest"
	"disd/internal/auth/policy"
	"disd/internal/field"
	"disd/internal/partition"
)

// policyCalls are the calls about the policies of streams, E9, E10 and E50.
type policyCalls struct {
	finder
	policies *policy.Policies
}

type policyRequest struct {
	StreamID  rest.Text `json:"stream_id"`
	Principal rest.Text `json:"principal_name"`
	Action    rest.Text `json:"action_type"`
	Effect    rest.Text `json:"effect"`
}

// create answers E9.
func (s *policyCalls) create(c *rest.Call) (rest.Reply, error) {
	info, grant, err := s.grant(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if err := s.policies.Add(info.ID, grant); err != nil {
		return rest.Reply{}, err
	}
	return rest.Reply{Status: http.StatusOK}, nil
}

// delete answers E50.
func (s *policyCalls) delete(c *rest.Call) (rest.Reply, error) {
	info, grant, err := s.grant(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if err := s.policies.Remove(info.ID, grant); err != nil {
		return rest.Reply{}, err
	}
	return rest.NoContent()
}

// grant reads the body of E9 and E50, which names the stream of the path by its
// id (E9-R3).
func (s *policyCalls) grant(c *rest.Call) (*partition.Info, policy.Grant, error) {
	var in policyRequest
	if err := rest.Decode(c.Body, &in); err != nil {
		return nil, policy.Grant{}, err
	}
	c.About("principal", string(in.Principal))
	c.About("action", string(in.Action))
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
		err = rest.Detail(partition.ErrStreamNotFound, string(in.StreamID), c.Project)
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
	StreamIDOld string      `json:"streamId"` // SDKs read the other spelling (E10-N1)
	Rules       []ruleReply `json:"rules"`
}

// list answers E10.
func (s *policyCalls) list(c *rest.Call) (rest.Reply, error) {
	st, err := s.ownStream(c)
	if err != nil {
		return rest.Reply{}, err
	}
	info, err := st.Info()
	if err != nil {
		return rest.Reply{}, notFound(c, c.Param("stream"), err)
	}
	rules, err := s.policies.Rules(info.ID)
	if err != nil {
		return rest.Reply{}, err
	}
	out := listPoliciesReply{info.ID, info.ID, []ruleReply{}}
	for _, r := range rules {
		out.Rules = append(out.Rules, ruleReply{r.Action, r.Principal(), s.policies.PrincipalName(r), "accept"})
	}
	return rest.OK(out)
}
