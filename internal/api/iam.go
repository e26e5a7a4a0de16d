package api

import (
	"net/http"
	"time"

	"disd/internal/auth"
	"disd/internal/field"
)

// timeForm is how the identity service writes times (E1).
const timeForm = "2006-01-02T15:04:05.000000Z"

func iamTime(t time.Time) string { return t.UTC().Format(timeForm) }

type ref struct {
	ID   text `json:"id"`
	Name text `json:"name"`
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
			Methods []text `json:"methods"`
			Token   struct {
				ID       text   `json:"id"`
				Duration number `json:"duration_seconds"` // E57
			} `json:"token"`
			Password struct {
				User struct {
					ref
					Password text `json:"password"`
					Domain   ref  `json:"domain"`
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
	if err := decode(body, in); err != nil {
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
func (s *Server) serviceCatalog(c *call, regions ...string) []catalogEntry {
	entry := func(name, url string) catalogEntry {
		e := catalogEntry{ID: name, Name: name, Type: name, Endpoints: []catalogEndpoint{}}
		for _, r := range regions {
			e.Endpoints = append(e.Endpoints, catalogEndpoint{name + "-public", "public", r, r, url})
		}
		return e
	}
	list := []catalogEntry{entry("dis", root(c))}
	if s.opts.ObjectStore != "" {
		list = append(list, entry("object", s.opts.ObjectStore))
	}
	return list
}

// root is the server's address as the client spelled it.
func root(c *call) string {
	if c.TLS != nil {
		return "https://" + c.Host
	}
	return "http://" + c.Host
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

func (s *Server) describeToken(c *call, t auth.Token, regions []string) tokenReply {
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
func (s *Server) createToken(c *call) (reply, error) {
	var in loginRequest
	if err := in.read(c.body); err != nil {
		return reply{}, err
	}
	t, text, err := s.opts.Verifier.Login(c.Request, in.login())
	if err != nil {
		return reply{}, err
	}
	c.principal.User = t.User // for the audit log
	return s.tokenReply(c, http.StatusCreated, t, text)
}

func (s *Server) tokenReply(c *call, status int, t auth.Token, text string) (reply, error) {
	out, err := answer(status, map[string]tokenReply{"token": s.describeToken(c, t, s.ids.Regions(auth.Principal{User: t.User}))})
	out.subject = text
	return out, err
}

// showToken answers E52.
func (s *Server) showToken(c *call) (reply, error) {
	subject := c.Header.Get("X-Subject-Token")
	t, err := s.ids.ShowToken(c.principal, subject)
	if err != nil {
		return reply{}, err
	}
	return s.tokenReply(c, http.StatusOK, t, subject)
}

// createTokenByIdentity answers E58. No identity provider can be configured, so
// every token is one that does not verify (E58-R1).
func (s *Server) createTokenByIdentity(c *call) (reply, error) {
	var in struct {
		Auth struct {
			Token struct {
				ID text `json:"id"`
			} `json:"id_token"`
		} `json:"auth"`
	}
	if err := decode(c.body, &in); err != nil {
		return reply{}, err
	}
	if err := field.Present("auth.id_token.id", string(in.Auth.Token.ID)); err != nil {
		return reply{}, err
	}
	return reply{}, auth.ErrLogin
}

type links struct {
	Next     *string `json:"next"` // never set: clients would follow it (E2-R3)
	Previous *string `json:"previous"`
	Self     string  `json:"self"`
}

func self(c *call, path string) links { return links{Self: root(c) + path} }

// showCatalog answers E53.
func (s *Server) showCatalog(c *call) (reply, error) {
	return ok(struct {
		Catalog []catalogEntry `json:"catalog"`
		Links   links          `json:"links"`
	}{s.serviceCatalog(c, s.ids.Regions(c.principal)...), self(c, "/v3/auth/catalog")})
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
func (s *Server) listDomains(c *call) (reply, error) {
	out := listDomainsReply{[]domainReply{}, self(c, "/v3/auth/domains")}
	for _, d := range s.ids.Domains(c.principal, c.query.Get("name")) {
		out.Domains = append(out.Domains, domainReply{d.ID, d.Name, true, "", self(c, "/v3/domains/"+d.ID)})
	}
	return ok(out)
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
func (s *Server) listProjects(c *call) (reply, error) {
	out := listProjectsReply{[]projectReply{}, self(c, c.URL.Path)}
	for _, p := range s.ids.Projects(c.principal, c.query.Get("name")) {
		out.Projects = append(out.Projects, projectReply{
			DomainID: p.Domain.ID, ParentID: p.Domain.ID, Name: p.Name,
			Links: self(c, "/v3/projects/"+p.ID), ID: p.ID, Enabled: true,
		})
	}
	return ok(out)
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
func (s *Server) listUsers(c *call) (reply, error) {
	out := listUsersReply{[]userReply{}, self(c, "/v3/users")}
	for _, u := range s.ids.Users(c.principal, c.query.Get("name")) {
		out.Users = append(out.Users, userReply{u.ID, u.Name, u.Domain.ID, true})
	}
	return ok(out)
}

type credentialReply struct {
	Access        string `json:"access"`
	Secret        string `json:"secret"`
	SecurityToken string `json:"securitytoken"`
	Expires       string `json:"expires_at"`
}

// createTemporaryKey answers E57.
func (s *Server) createTemporaryKey(c *call) (reply, error) {
	var in loginRequest
	if err := in.read(c.body); err != nil {
		return reply{}, err
	}
	token := in.Auth.Identity.Token
	seconds, err := token.Duration.within("duration_seconds", int64(auth.MinTemporary/time.Second), int64(auth.MaxTemporary/time.Second), 0)
	if err != nil {
		return reply{}, err
	}
	if len(in.Auth.Identity.Methods) != 1 || in.Auth.Identity.Methods[0] != "token" {
		return reply{}, auth.ErrLogin // E57-R2
	}
	if token.ID == "" {
		token.ID = text(c.Header.Get("X-Auth-Token"))
	}
	key, err := s.ids.NewTemporaryKey(string(token.ID), time.Duration(seconds)*time.Second)
	if err != nil {
		return reply{}, err
	}
	return answer(http.StatusCreated, map[string]credentialReply{"credential": {key.AK, key.SK, key.SecurityToken, iamTime(key.Expires)}})
}

type accessKeyReply struct {
	UserID      string `json:"user_id"`
	Access      string `json:"access"`
	Status      string `json:"status"`
	Created     string `json:"create_time"`
	Description string `json:"description"`
}

// showAccessKey answers E59.
func (s *Server) showAccessKey(c *call) (reply, error) {
	k, err := s.ids.Key(c.principal, c.param("key"))
	if err != nil {
		return reply{}, err
	}
	status := "active"
	if !k.Active {
		status = "inactive"
	}
	return ok(map[string]accessKeyReply{"credential": {k.User.ID, k.AK, status, iamTime(k.Created), k.Description}})
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

func version(c *call) versionReply {
	return versionReply{"v3.6", "stable", []versionLink{{"self", root(c) + "/v3/"}}}
}

// listVersions answers E51 at the root.
func (s *Server) listVersions(c *call) (reply, error) {
	return ok(map[string]map[string][]versionReply{"versions": {"values": {version(c)}}})
}

// showVersion answers E51 at /v3.
func (s *Server) showVersion(c *call) (reply, error) {
	return ok(map[string]versionReply{"version": version(c)})
}
