// Package iam is the identity service that clients log in to: tokens, projects, users,
// temporary keys, and where the services are. E1, E2, E51 to E59 of api.md.
package iam

import (
	"net/http"
	"time"

	"disd/internal/api/rest"
	"disd/internal/auth"
	"disd/internal/field"
)

// A Service is the calls of the identity service. All methods may be called at any time.
type Service struct {
	ids         *auth.Directory
	verifier    *auth.Verifier
	objectStore string // URL for the catalog of services (E1-R8), "" for none
}

// New returns the service over the given identities. Clients find the object store at
// its URL in the catalog of services (E1-R8), unless that is "".
func New(ids *auth.Directory, verifier *auth.Verifier, objectStore string) *Service {
	return &Service{ids, verifier, objectStore}
}

// Operations is every call.
func (s *Service) Operations() []rest.Operation {
	return []rest.Operation{
		{Method: "GET", Path: "/", Name: "ListVersions", Do: s.listVersions, Service: rest.Identity, Public: true},
		{Method: "GET", Path: "/v3", Name: "ShowVersion", Do: s.showVersion, Service: rest.Identity, Public: true},
		{Method: "POST", Path: "/v3/auth/tokens", Name: "CreateToken", Do: s.createToken, Service: rest.Identity, Public: true},
		{Method: "GET", Path: "/v3/auth/tokens", Name: "ShowToken", Do: s.showToken, Service: rest.Identity},
		{Method: "GET", Path: "/v3/auth/catalog", Name: "ShowCatalog", Do: s.showCatalog, Service: rest.Identity},
		{Method: "GET", Path: "/v3/auth/domains", Name: "ListDomains", Do: s.listDomains, Service: rest.Identity},
		{Method: "GET", Path: "/v3/auth/projects", Name: "ListProjects", Do: s.listProjects, Service: rest.Identity},
		{Method: "GET", Path: "/v3/projects", Name: "ListProjects", Do: s.listProjects, Service: rest.Identity},
		{Method: "GET", Path: "/v3/users", Name: "ListUsers", Do: s.listUsers, Service: rest.Identity},
		{Method: "POST", Path: "/v3.0/OS-CREDENTIAL/securitytokens", Name: "CreateTemporaryKey", Do: s.createTemporaryKey, Service: rest.Identity, Public: true},
		{Method: "GET", Path: "/v3.0/OS-CREDENTIAL/credentials/{key}", Name: "ShowAccessKey", Do: s.showAccessKey, Service: rest.Identity},
		{Method: "POST", Path: "/v3.0/OS-AUTH/id-token/tokens", Name: "CreateTokenByIdentity", Do: s.createTokenByIdentity, Service: rest.Identity, Public: true},
	}
}

// timeForm is how the identity service writes times (E1).
const timeForm = "2006-01-02T15:04:05.000000Z"

func iamTime(t time.Time) string { return t.UTC().Format(timeForm) }

type ref struct {
	ID   rest.Text `json:"id"`
	Name rest.Text `json:"name"`
}

func (r *ref) pointer() *auth.Ref {
	if r == nil || *r == (ref{}) {
		return nil
	}
	return &auth.Ref{ID: string(r.ID), Name: string(r.Name)}
}

func (r ref) value() auth.Ref { return auth.Ref{ID: string(r.ID), Name: string(r.Name)} }

// loginRequest is the body of E1 and E57.
type loginRequest struct {
	Auth *struct {
		Identity *struct {
			Methods []rest.Text `json:"methods"`
			Token   struct {
				ID       rest.Text   `json:"id"`
				Duration rest.Number `json:"duration_seconds"` // E57
			} `json:"token"`
			Password struct {
				User struct {
					ref
					Password rest.Text `json:"password"`
					Domain   ref       `json:"domain"`
				} `json:"user"`
			} `json:"password"`
		} `json:"identity"`
		Scope struct {
			Project *struct {
				ref
				Domain ref `json:"domain"`
			} `json:"project"`
			Domain *ref `json:"domain"`
		} `json:"scope"`
	} `json:"auth"`
}

// read decodes and checks what both calls need.
func (in *loginRequest) read(body []byte) error {
	if err := rest.Decode(body, in); err != nil {
		return err
	}
	if in.Auth == nil || in.Auth.Identity == nil {
		return field.Invalid("auth.identity", "is required")
	}
	if len(in.Auth.Identity.Methods) == 0 {
		return field.Invalid("auth.identity.methods", "is required")
	}
	return nil
}

func (in *loginRequest) login() auth.Login {
	id, scope := in.Auth.Identity, in.Auth.Scope
	user := id.Password.User
	out := auth.Login{
		Domain: user.Domain.value(), User: user.ref.value(), Password: string(user.Password), Token: string(id.Token.ID),
		Scope: auth.LoginScope{Domain: scope.Domain.pointer()},
	}
	for _, m := range id.Methods {
		out.Methods = append(out.Methods, string(m))
	}
	if scope.Project != nil {
		out.Scope.Project, out.Scope.ProjectDomain = scope.Project.ref.pointer(), scope.Project.Domain.value()
	}
	return out
}

type named struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Domain *named `json:"domain,omitempty"`
}

func nameOf(d auth.Domain) *named { return &named{ID: d.ID, Name: d.Name} }

type catalogEndpoint struct {
	ID        string `json:"id"`
	Interface string `json:"interface"`
	Region    string `json:"region"`
	RegionID  string `json:"region_id"`
	URL       string `json:"url"`
}

type catalogEntry struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Type      string            `json:"type"`
	Endpoints []catalogEndpoint `json:"endpoints"`
}

// serviceCatalog lists where DIS is, here, and the object store, for every region
// (E1-R8).
func (s *Service) serviceCatalog(c *rest.Call, regions ...string) []catalogEntry {
	entry := func(name, url string) catalogEntry {
		e := catalogEntry{ID: name, Name: name, Type: name, Endpoints: []catalogEndpoint{}}
		for _, r := range regions {
			e.Endpoints = append(e.Endpoints, catalogEndpoint{name + "-public", "public", r, r, url})
		}
		return e
	}
	list := []catalogEntry{entry("dis", c.Root())}
	if s.objectStore != "" {
		list = append(list, entry("object", s.objectStore))
	}
	return list
}

type tokenReply struct {
	Expires string         `json:"expires_at"`
	Issued  string         `json:"issued_at"`
	Methods []string       `json:"methods"`
	User    named          `json:"user"`
	Project *named         `json:"project,omitempty"`
	Domain  *named         `json:"domain,omitempty"`
	Roles   []named        `json:"roles"`
	Catalog []catalogEntry `json:"catalog"`
}

func (s *Service) describeToken(c *rest.Call, t auth.Token, regions []string) tokenReply {
	out := tokenReply{
		Expires: iamTime(t.Expires), Issued: iamTime(t.Issued), Methods: t.Methods,
		User:  named{t.User.ID, t.User.Name, nameOf(t.User.Domain)},
		Roles: []named{{ID: string(t.User.Role), Name: string(t.User.Role)}},
	}
	switch {
	case t.Project != nil:
		out.Project = &named{t.Project.ID, t.Project.Name, nameOf(t.Project.Domain)}
		regions = []string{t.Project.Region()}
	case t.ForDomain:
		out.Domain = nameOf(t.User.Domain)
	}
	out.Catalog = s.serviceCatalog(c, regions...)
	return out
}

// createToken answers E1.
func (s *Service) createToken(c *rest.Call) (rest.Reply, error) {
	var in loginRequest
	if err := in.read(c.Body); err != nil {
		return rest.Reply{}, err
	}
	c.About("domain", string(in.Auth.Identity.Password.User.Domain.Name))
	c.About("user", string(in.Auth.Identity.Password.User.Name))
	t, text, err := s.verifier.Login(c.Request, in.login())
	if err != nil {
		return rest.Reply{}, err
	}
	c.Principal.User = t.User // for the audit log
	return s.tokenReply(c, http.StatusCreated, t, text)
}

func (s *Service) tokenReply(c *rest.Call, status int, t auth.Token, text string) (rest.Reply, error) {
	out, err := rest.Answer(status, map[string]tokenReply{"token": s.describeToken(c, t, s.ids.Regions(auth.Principal{User: t.User}))})
	out.SubjectToken = text
	return out, err
}

// showToken answers E52.
func (s *Service) showToken(c *rest.Call) (rest.Reply, error) {
	subject := c.Header.Get("X-Subject-Token")
	t, err := s.ids.ShowToken(c.Principal, subject)
	if err != nil {
		return rest.Reply{}, err
	}
	return s.tokenReply(c, http.StatusOK, t, subject)
}

// createTokenByIdentity answers E58. No identity provider can be configured, so
// every token is one that does not verify (E58-R1).
func (s *Service) createTokenByIdentity(c *rest.Call) (rest.Reply, error) {
	var in struct {
		Auth struct {
			Token struct {
				ID rest.Text `json:"id"`
			} `json:"id_token"`
		} `json:"auth"`
	}
	if err := rest.Decode(c.Body, &in); err != nil {
		return rest.Reply{}, err
	}
	if err := field.Present("auth.id_token.id", string(in.Auth.Token.ID)); err != nil {
		return rest.Reply{}, err
	}
	return rest.Reply{}, auth.ErrLogin
}

type links struct {
	Next     *string `json:"next"` // never set: clients would follow it (E2-R3)
	Previous *string `json:"previous"`
	Self     string  `json:"self"`
}

func self(c *rest.Call, path string) links { return links{Self: c.Root() + path} }

// showCatalog answers E53.
func (s *Service) showCatalog(c *rest.Call) (rest.Reply, error) {
	return rest.OK(struct {
		Catalog []catalogEntry `json:"catalog"`
		Links   links          `json:"links"`
	}{s.serviceCatalog(c, s.ids.Regions(c.Principal)...), self(c, "/v3/auth/catalog")})
}

type domainReply struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Enabled     bool   `json:"enabled"`
	Description string `json:"description"`
	Links       links  `json:"links"`
}

type listDomainsReply struct {
	Domains []domainReply `json:"domains"`
	Links   links         `json:"links"`
}

// listDomains answers E54.
func (s *Service) listDomains(c *rest.Call) (rest.Reply, error) {
	out := listDomainsReply{[]domainReply{}, self(c, "/v3/auth/domains")}
	for _, d := range s.ids.Domains(c.Principal, c.Query.Get("name")) {
		out.Domains = append(out.Domains, domainReply{d.ID, d.Name, true, "", self(c, "/v3/domains/"+d.ID)})
	}
	return rest.OK(out)
}

type projectReply struct {
	DomainID    string `json:"domain_id"`
	IsDomain    bool   `json:"is_domain"`
	ParentID    string `json:"parent_id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Links       links  `json:"links"`
	ID          string `json:"id"`
	Enabled     bool   `json:"enabled"`
}

type listProjectsReply struct {
	Projects []projectReply `json:"projects"`
	Links    links          `json:"links"`
}

// listProjects answers E2 and E55.
func (s *Service) listProjects(c *rest.Call) (rest.Reply, error) {
	out := listProjectsReply{[]projectReply{}, self(c, c.URL.Path)}
	for _, p := range s.ids.Projects(c.Principal, c.Query.Get("name")) {
		out.Projects = append(out.Projects, projectReply{
			DomainID: p.Domain.ID, ParentID: p.Domain.ID, Name: p.Name,
			Links: self(c, "/v3/projects/"+p.ID), ID: p.ID, Enabled: true,
		})
	}
	return rest.OK(out)
}

type userReply struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	DomainID string `json:"domain_id"`
	Enabled  bool   `json:"enabled"`
}

type listUsersReply struct {
	Users []userReply `json:"users"`
	Links links       `json:"links"`
}

// listUsers answers E56.
func (s *Service) listUsers(c *rest.Call) (rest.Reply, error) {
	out := listUsersReply{[]userReply{}, self(c, "/v3/users")}
	for _, u := range s.ids.Users(c.Principal, c.Query.Get("name")) {
		out.Users = append(out.Users, userReply{u.ID, u.Name, u.Domain.ID, true})
	}
	return rest.OK(out)
}

type credentialReply struct {
	Access        string `json:"access"`
	Secret        string `json:"secret"`
	SecurityToken string `json:"securitytoken"`
	Expires       string `json:"expires_at"`
}

// createTemporaryKey answers E57.
func (s *Service) createTemporaryKey(c *rest.Call) (rest.Reply, error) {
	var in loginRequest
	if err := in.read(c.Body); err != nil {
		return rest.Reply{}, err
	}
	token := in.Auth.Identity.Token
	seconds, err := token.Duration.Within("duration_seconds", int64(auth.MinTemporary/time.Second), int64(auth.MaxTemporary/time.Second), 0)
	if err != nil {
		return rest.Reply{}, err
	}
	if len(in.Auth.Identity.Methods) != 1 || in.Auth.Identity.Methods[0] != "token" {
		return rest.Reply{}, auth.ErrLogin // no method but a token (E57-R2)
	}
	if token.ID == "" {
		token.ID = rest.Text(c.Header.Get("X-Auth-Token"))
	}
	key, err := s.ids.NewTemporaryKey(string(token.ID), time.Duration(seconds)*time.Second)
	if err != nil {
		return rest.Reply{}, err
	}
	c.About("key", key.AK)
	return rest.Answer(http.StatusCreated, map[string]credentialReply{"credential": {key.AK, key.SK, key.SecurityToken, iamTime(key.Expires)}})
}

type accessKeyReply struct {
	UserID      string `json:"user_id"`
	Access      string `json:"access"`
	Status      string `json:"status"`
	Created     string `json:"create_time"`
	Description string `json:"description"`
}

// showAccessKey answers E59.
func (s *Service) showAccessKey(c *rest.Call) (rest.Reply, error) {
	k, err := s.ids.Key(c.Principal, c.Param("key"))
	if err != nil {
		return rest.Reply{}, err
	}
	status := "active"
	if !k.Active {
		status = "inactive"
	}
	return rest.OK(map[string]accessKeyReply{"credential": {k.User.ID, k.AK, status, iamTime(k.Created), k.Description}})
}

type versionLink struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}

type versionReply struct {
	ID     string        `json:"id"`
	Status string        `json:"status"`
	Links  []versionLink `json:"links"`
}

func version(c *rest.Call) versionReply {
	return versionReply{"v3.6", "stable", []versionLink{{"self", c.Root() + "/v3/"}}}
}

// listVersions answers E51 at the root.
func (s *Service) listVersions(c *rest.Call) (rest.Reply, error) {
	return rest.OK(map[string]map[string][]versionReply{"versions": {"values": {version(c)}}})
}

// showVersion answers E51 at /v3.
func (s *Service) showVersion(c *rest.Call) (rest.Reply, error) {
	return rest.OK(map[string]versionReply{"version": version(c)})
}
