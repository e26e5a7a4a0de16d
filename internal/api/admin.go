package api

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"disd/internal/auth"
	"disd/internal/field"
	"disd/internal/quota"
)

// adminOperations are disd's own administration: who may use it, and the states
// that only an operator sets. They need the credentials of an administrator, or
// come from this machine without any.
var adminOperations = []operation{
	{method: "POST", path: "/_disd/domains", name: "AdminCreateDomain", endpoint: (*Server).adminCreateDomain, admin: true},
	{method: "POST", path: "/_disd/projects", name: "AdminCreateProject", endpoint: (*Server).adminCreateProject, admin: true},
	{method: "POST", path: "/_disd/users", name: "AdminCreateUser", endpoint: (*Server).adminCreateUser, admin: true},
	{method: "PUT", path: "/_disd/users", name: "AdminSetPassword", endpoint: (*Server).adminSetPassword, admin: true},
	{method: "DELETE", path: "/_disd/users", name: "AdminRemoveUser", endpoint: (*Server).adminRemoveUser, admin: true, body: true},
	{method: "GET", path: "/_disd/keys", name: "AdminListKeys", endpoint: (*Server).adminListKeys, admin: true},
	{method: "POST", path: "/_disd/keys", name: "AdminCreateKey", endpoint: (*Server).adminCreateKey, admin: true},
	{method: "PUT", path: "/_disd/keys/{key}", name: "AdminSwitchKey", endpoint: (*Server).adminSwitchKey, admin: true},
	{method: "DELETE", path: "/_disd/keys/{key}", name: "AdminRemoveKey", endpoint: (*Server).adminRemoveKey, admin: true},
	{method: "GET", path: "/_disd/quota", name: "AdminShowQuota", endpoint: (*Server).adminShowQuota, admin: true},
	{method: "PUT", path: "/_disd/projects/{project}/streams/{stream}", name: "AdminFreezeStream", endpoint: (*Server).adminFreezeStream, admin: true},
}

// isLocal reports a request from this machine, to this machine, that claims to be
// nobody's. What a proxy passed on is not from this machine; an empty header may be
// its client's, with the proxy's behind it. What a browser sends may be the wish of
// any page that is open in it; one whose name was made to point here (DNS rebinding)
// still sends that name as host.
func isLocal(r *http.Request) bool {
	for name := range r.Header {
		switch name {
		case "Authorization", "X-Auth-Token", "Forwarded", "Via", "X-Real-Ip":
			return false
		}
		if strings.HasPrefix(name, "X-Forwarded-") {
			return false
		}
	}
	return !fromBrowser(r) && isLoopback(r.RemoteAddr) && isLoopback(r.Host)
}

// fromBrowser reports whether a page in a browser made the request.
func fromBrowser(r *http.Request) bool {
	return r.Header["Origin"] != nil || r.Header["Sec-Fetch-Site"] != nil
}

// isLoopback reports whether an address, with or without a port, is of this machine
// alone.
func isLoopback(address string) bool {
	host := (&url.URL{Host: address}).Hostname()
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// refused makes an answer of what administration could not do.
func refused(err error) error {
	for _, known := range []error{auth.ErrExists, auth.ErrUnknown, auth.ErrFixed, auth.ErrKeyQuota} {
		if errors.Is(err, known) {
			return detail(field.ErrInvalid, err.Error())
		}
	}
	return err
}

type identityRequest struct {
	Domain      text    `json:"domain"`
	Name        text    `json:"name"` // of what is made
	User        text    `json:"user"`
	Password    text    `json:"password"`
	Role        text    `json:"role"`
	Description text    `json:"description"`
	Active      boolean `json:"active"`
	Frozen      boolean `json:"frozen"`
}

// readIdentity decodes the body of an administrative call.
func readIdentity(c *call) (in identityRequest, err error) {
	err = decode(c.body, &in)
	return in, err
}

type identityReply struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func (s *Server) adminCreateDomain(c *call) (reply, error) {
	in, err := readIdentity(c)
	if err := field.First(err, field.Present("name", string(in.Name))); err != nil {
		return reply{}, err
	}
	d, err := s.ids.AddDomain(string(in.Name))
	if err != nil {
		return reply{}, refused(err)
	}
	return answer(http.StatusCreated, identityReply{d.ID, d.Name})
}

func (s *Server) adminCreateProject(c *call) (reply, error) {
	in, err := readIdentity(c)
	if err := field.First(err, field.Present("domain", string(in.Domain)), field.Present("name", string(in.Name))); err != nil {
		return reply{}, err
	}
	p, err := s.ids.AddProject(string(in.Domain), string(in.Name))
	if err != nil {
		return reply{}, refused(err)
	}
	return answer(http.StatusCreated, identityReply{p.ID, p.Name})
}

func (s *Server) adminCreateUser(c *call) (reply, error) {
	in, err := readIdentity(c)
	role := orElse(in.Role, string(auth.Member))
	err = field.First(err, field.Present("domain", string(in.Domain)), field.Present("name", string(in.Name)),
		field.OneOf("role", role, string(auth.Member), string(auth.Reader), string(auth.Administrator)))
	if err != nil {
		return reply{}, err
	}
	u, err := s.ids.AddUser(string(in.Domain), string(in.Name), string(in.Password), auth.Role(role))
	if err != nil {
		return reply{}, refused(err)
	}
	return answer(http.StatusCreated, identityReply{u.ID, u.Name})
}

// namedUser returns the user that a body names.
func (s *Server) namedUser(c *call) (identityRequest, auth.User, error) {
	in, err := readIdentity(c)
	if err := field.First(err, field.Present("domain", string(in.Domain)), field.Present("user", string(in.User))); err != nil {
		return in, auth.User{}, err
	}
	u, err := s.ids.FindUser(string(in.Domain), string(in.User))
	return in, u, refused(err)
}

func (s *Server) adminSetPassword(c *call) (reply, error) {
	in, u, err := s.namedUser(c)
	if err := field.First(err, field.Present("password", string(in.Password))); err != nil {
		return reply{}, err
	}
	if err := s.ids.SetPassword(u.ID, string(in.Password)); err != nil {
		return reply{}, refused(err)
	}
	return noContent()
}

func (s *Server) adminRemoveUser(c *call) (reply, error) {
	_, u, err := s.namedUser(c)
	if err != nil {
		return reply{}, err
	}
	if err := s.ids.RemoveUser(u.ID); err != nil {
		return reply{}, refused(err)
	}
	return noContent()
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

func (s *Server) adminListKeys(*call) (reply, error) {
	out := []keyReply{}
	for _, k := range s.ids.Keys() {
		out = append(out, keyReply{
			AK: k.AK, Domain: k.User.Domain.Name, User: k.User.Name, Active: k.Active,
			Created: k.Created.UTC().Format(time.RFC3339), Description: k.Description,
		})
	}
	return ok(map[string][]keyReply{"keys": out})
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

// adminShowQuota reports what the cloud would have refused, or was refused, since
// the start.
func (s *Server) adminShowQuota(*call) (reply, error) {
	out := quotaReply{Mode: s.opts.Quota.Mode, Exceeded: []excessReply{}}
	for _, x := range s.opts.Quota.Ledger.List() {
		out.Exceeded = append(out.Exceeded, excessReply{
			Quota: x.Quota, Project: x.Project, Name: x.Name,
			Count: x.Count, First: x.First.UTC().Format(time.RFC3339), Last: x.Last.UTC().Format(time.RFC3339),
		})
	}
	return ok(out)
}

func (s *Server) adminCreateKey(c *call) (reply, error) {
	in, u, err := s.namedUser(c)
	if err != nil {
		return reply{}, err
	}
	ak, sk, err := s.ids.CreateKey(u.ID, string(in.Description))
	if err != nil {
		return reply{}, refused(err)
	}
	return answer(http.StatusCreated, keyReply{AK: ak, SK: sk, Domain: u.Domain.Name, User: u.Name, Active: true})
}

func (s *Server) adminSwitchKey(c *call) (reply, error) {
	in, err := readIdentity(c)
	active, activeErr := in.Active.value("active")
	if err := field.First(err, activeErr); err != nil {
		return reply{}, err
	}
	if active == nil {
		return reply{}, field.Invalid("active", "is required")
	}
	if err := s.ids.SetKeyActive(c.param("key"), *active); err != nil {
		return reply{}, refused(err)
	}
	return noContent()
}

func (s *Server) adminRemoveKey(c *call) (reply, error) {
	if err := s.ids.RemoveKey(c.param("key")); err != nil {
		return reply{}, refused(err)
	}
	return noContent()
}

// adminFreezeStream sets or lifts the state FROZEN (L-3).
func (s *Server) adminFreezeStream(c *call) (reply, error) {
	in, err := readIdentity(c)
	frozen, frozenErr := in.Frozen.value("frozen")
	if err := field.First(err, frozenErr); err != nil {
		return reply{}, err
	}
	if frozen == nil {
		return reply{}, field.Invalid("frozen", "is required")
	}
	c.project = c.param("project")
	st, err := s.ownStream(c)
	if err != nil {
		return reply{}, err
	}
	if err := s.streams.Freeze(st, *frozen); err != nil {
		return reply{}, notFound(c, c.param("stream"), err)
	}
	return noContent()
}
