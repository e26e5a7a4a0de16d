package ops

import (
	"errors"
	"net/http"
	"time"

	"disd/internal/api/rest"
	"disd/internal/auth"
	"disd/internal/field"
	"disd/internal/partition"
	"disd/internal/quota"
)

// adminCalls are disd's own administration: who may use it, and the states that only
// an operator sets.
type adminCalls struct {
	ids     *auth.Directory
	streams *partition.Set
	quotas  *quota.Policy
}

// refused makes an answer of what administration could not do.
func refused(err error) error {
	for _, known := range []error{auth.ErrExists, auth.ErrUnknown, auth.ErrFixed, auth.ErrKeyQuota} {
		if errors.Is(err, known) {
			return rest.Detail(field.ErrInvalid, err.Error())
		}
	}
	return err
}

type identityRequest struct {
	Domain      rest.Text    `json:"domain"`
	Name        rest.Text    `json:"name"` // of what is made
	User        rest.Text    `json:"user"`
	Password    rest.Text    `json:"password"`
	Role        rest.Text    `json:"role"`
	Description rest.Text    `json:"description"`
	Active      rest.Boolean `json:"active"`
	Frozen      rest.Boolean `json:"frozen"`
}

// readIdentity decodes the body of an administrative call.
func readIdentity(c *rest.Call) (in identityRequest, err error) {
	err = rest.Decode(c.Body, &in)
	c.About("domain", string(in.Domain))
	c.About("user", string(in.User))
	return in, err
}

type identityReply struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func (s *adminCalls) createDomain(c *rest.Call) (rest.Reply, error) {
	in, err := readIdentity(c)
	if err := field.First(err, field.Present("name", string(in.Name))); err != nil {
		return rest.Reply{}, err
	}
	c.About("domain", string(in.Name))
	d, err := s.ids.AddDomain(string(in.Name))
	if err != nil {
		return rest.Reply{}, refused(err)
	}
	return rest.Answer(http.StatusCreated, identityReply{d.ID, d.Name})
}

func (s *adminCalls) createProject(c *rest.Call) (rest.Reply, error) {
	in, err := readIdentity(c)
	if err := field.First(err, field.Present("domain", string(in.Domain)), field.Present("name", string(in.Name))); err != nil {
		return rest.Reply{}, err
	}
	c.About("project", string(in.Name))
	p, err := s.ids.AddProject(string(in.Domain), string(in.Name))
	if err != nil {
		return rest.Reply{}, refused(err)
	}
	return rest.Answer(http.StatusCreated, identityReply{p.ID, p.Name})
}

func (s *adminCalls) createUser(c *rest.Call) (rest.Reply, error) {
	in, err := readIdentity(c)
	role := in.Role.Or(string(auth.Member))
	err = field.First(err, field.Present("domain", string(in.Domain)), field.Present("name", string(in.Name)),
		field.OneOf("role", role, string(auth.Member), string(auth.Reader), string(auth.Administrator)))
	if err != nil {
		return rest.Reply{}, err
	}
	c.About("user", string(in.Name))
	c.About("role", role)
	u, err := s.ids.AddUser(string(in.Domain), string(in.Name), string(in.Password), auth.Role(role))
	if err != nil {
		return rest.Reply{}, refused(err)
	}
	return rest.Answer(http.StatusCreated, identityReply{u.ID, u.Name})
}

// namedUser returns the user that a body names.
func (s *adminCalls) namedUser(c *rest.Call) (identityRequest, auth.User, error) {
	in, err := readIdentity(c)
	if err := field.First(err, field.Present("domain", string(in.Domain)), field.Present("user", string(in.User))); err != nil {
		return in, auth.User{}, err
	}
	u, err := s.ids.FindUser(string(in.Domain), string(in.User))
	return in, u, refused(err)
}

func (s *adminCalls) setPassword(c *rest.Call) (rest.Reply, error) {
	in, u, err := s.namedUser(c)
	if err := field.First(err, field.Present("password", string(in.Password))); err != nil {
		return rest.Reply{}, err
	}
	if err := s.ids.SetPassword(u.ID, string(in.Password)); err != nil {
		return rest.Reply{}, refused(err)
	}
	return rest.NoContent()
}

func (s *adminCalls) removeUser(c *rest.Call) (rest.Reply, error) {
	_, u, err := s.namedUser(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if err := s.ids.RemoveUser(u.ID); err != nil {
		return rest.Reply{}, refused(err)
	}
	return rest.NoContent()
}

type keyReply struct {
	AK          string `json:"ak"`
	SK          string `json:"sk,omitempty"` // only when it is made
	Domain      string `json:"domain"`
	User        string `json:"user"`
	Active      bool   `json:"active"`
	Created     string `json:"created,omitempty"`
	Description string `json:"description,omitempty"`
}

func (s *adminCalls) listKeys(*rest.Call) (rest.Reply, error) {
	out := []keyReply{}
	for _, k := range s.ids.Keys() {
		out = append(out, keyReply{
			AK: k.AK, Domain: k.User.Domain.Name, User: k.User.Name, Active: k.Active,
			Created: k.Created.UTC().Format(time.RFC3339), Description: k.Description,
		})
	}
	return rest.OK(map[string][]keyReply{"keys": out})
}

type excessReply struct {
	Quota   quota.Kind `json:"quota"`
	Project string     `json:"project,omitempty"` // none for all that there is no room to tell apart
	Name    string     `json:"name,omitempty"`    // of the stream; of the app, for members
	Count   int64      `json:"count"`
	First   string     `json:"first"` // RFC 3339
	Last    string     `json:"last"`
}

type quotaReply struct {
	Mode     quota.Mode    `json:"mode"`
	Exceeded []excessReply `json:"exceeded"`
}

// showQuota reports what the cloud would have refused, or was refused, since
// the start.
func (s *adminCalls) showQuota(*rest.Call) (rest.Reply, error) {
	out := quotaReply{Mode: s.quotas.Mode, Exceeded: []excessReply{}}
	for _, x := range s.quotas.Ledger.List() {
		out.Exceeded = append(out.Exceeded, excessReply{
			Quota: x.Quota, Project: x.Project, Name: x.Name,
			Count: x.Count, First: x.First.UTC().Format(time.RFC3339), Last: x.Last.UTC().Format(time.RFC3339),
		})
	}
	return rest.OK(out)
}

func (s *adminCalls) createKey(c *rest.Call) (rest.Reply, error) {
	in, u, err := s.namedUser(c)
	if err != nil {
		return rest.Reply{}, err
	}
	ak, sk, err := s.ids.CreateKey(u.ID, string(in.Description))
	if err != nil {
		return rest.Reply{}, refused(err)
	}
	c.About("key", ak)
	return rest.Answer(http.StatusCreated, keyReply{AK: ak, SK: sk, Domain: u.Domain.Name, User: u.Name, Active: true})
}

func (s *adminCalls) switchKey(c *rest.Call) (rest.Reply, error) {
	in, err := readIdentity(c)
	active, activeErr := in.Active.Value("active")
	if err := field.First(err, activeErr); err != nil {
		return rest.Reply{}, err
	}
	if active == nil {
		return rest.Reply{}, field.Invalid("active", "is required")
	}
	if err := s.ids.SetKeyActive(c.Param("key"), *active); err != nil {
		return rest.Reply{}, refused(err)
	}
	return rest.NoContent()
}

func (s *adminCalls) removeKey(c *rest.Call) (rest.Reply, error) {
	if err := s.ids.RemoveKey(c.Param("key")); err != nil {
		return rest.Reply{}, refused(err)
	}
	return rest.NoContent()
}

// freezeStream sets or lifts the state FROZEN (L-3).
func (s *adminCalls) freezeStream(c *rest.Call) (rest.Reply, error) {
	in, err := readIdentity(c)
	frozen, frozenErr := in.Frozen.Value("frozen")
	if err := field.First(err, frozenErr); err != nil {
		return rest.Reply{}, err
	}
	if frozen == nil {
		return rest.Reply{}, field.Invalid("frozen", "is required")
	}
	c.Project = c.Param("project")
	st, err := s.streams.Get(c.Project, c.Param("stream"))
	if err == nil {
		err = s.streams.Freeze(st, *frozen)
	}
	if errors.Is(err, partition.ErrStreamNotFound) {
		err = rest.Detail(err, c.Param("stream"), c.Project)
	}
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.NoContent()
}
