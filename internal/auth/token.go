package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"disd/internal/field"
)

// TokenLifetime is how long a token can be used, from its issue (C-11).
const TokenLifetime = 24 * time.Hour

// maxTokenLength is the longest token in characters (E1-R5).
const maxTokenLength = 8 << 10

// A Token is what a client gets for a password. It says all of this itself,
// sealed, so that any server with the key file can read it and none has to
// remember it.
type Token struct {
	User      User
	Project   *Project // that it is for, nil for none
	ForDomain bool     // it is for the user's domain as such (E1-R7)
	Methods   []string // of the login
	Issued    time.Time
	Expires   time.Time

	open bool   // it was given to whoever asked (ModeOpen)
	mark string // of the user's password by then
}

// claims is what is sealed in a token. Its members are part of the format.
type claims struct {
	User      User     `json:"user"`
	Project   *Project `json:"project,omitempty"`
	ForDomain bool     `json:"for_domain,omitempty"`
	Methods   []string `json:"methods"`
	Issued    int64    `json:"issued"`  // microseconds
	Expires   int64    `json:"expires"` // microseconds
	Open      bool     `json:"open,omitempty"`
	Mark      string   `json:"mark,omitempty"`
}

// A Login is what E1 asks with. A name or an id is enough everywhere.
type Login struct {
	Methods  []string
	Domain   Ref // of the user; not needed with User.ID
	User     Ref
	Password string
	Token    string
	Scope    LoginScope

	from string // the client's network, "" when it is not known
}

// A Ref names something by id or by name; the id counts when both are given.
type Ref struct{ ID, Name string }

// A LoginScope is what a token shall be for: a project, a domain, or nothing.
type LoginScope struct {
	Project       *Ref
	ProjectDomain Ref // may be empty, otherwise it must be the user's
	Domain        *Ref
}

// Login answers E1: it checks a password or an earlier token, and returns a new
// token with its text. ErrLogin, whatever was wrong (E1-R3, E1-R4).
func (d *Directory) Login(in Login) (Token, string, error) {
	now := d.opts.Now().UTC().Truncate(time.Microsecond)
	t := Token{Methods: in.Methods, Issued: now, Expires: now.Add(TokenLifetime), open: d.opts.Mode == ModeOpen}
	var err error
	switch {
	case slices.Equal(in.Methods, []string{"password"}):
		t.User, t.mark, err = d.byPassword(in)
	case slices.Equal(in.Methods, []string{"token"}):
		var old Token
		old, err = d.ReadToken(in.Token)
		t.User, t.mark = old.User, old.mark
		if err == nil && !old.Expires.IsZero() {
			t.Expires = old.Expires // the new token ends with the old one (E1-R6)
		}
	default:
		err = errors.New("no method but one of password and token is known") // theirs might be a misplaced secret
	}
	if err == nil {
		err = d.scopeToken(&t, in.Scope)
	}
	if err != nil {
		return Token{}, "", fmt.Errorf("%w: %w", ErrLogin, err)
	}
	return t, d.sealToken(t), nil
}

// byPassword returns the user of a login, and the mark of the password.
func (d *Directory) byPassword(in Login) (User, string, error) {
	s := d.state.Load()
	if d.opts.Mode == ModeOpen {
		return d.openUser(s, in), "", nil
	}
	u := s.find(in)
	switch {
	case u == nil || !u.programmatic || u.digest == nil && u.hash == "":
		if s.hashed != "" {
			d.passwords.matchesStored(in.from, in.Password, s.hashed) // as slow as with a user there is
		}
		return User{}, "", fmt.Errorf("no such user with a password and programmatic access")
	case u.digest != nil && !d.passwords.matches(in.Password, u.digest),
		u.digest == nil && !d.passwords.check(in.from, in.Password, u.hash):
		return User{}, "", fmt.Errorf("wrong password of user %s", u.ID)
	}
	return u.User, u.mark, nil
}

// markOf returns what stands for a password, in clear or hashed, in a sealed text, so
// that it can be told from a later one.
func markOf(password string) string {
	sum := sha256.Sum256([]byte("mark " + password))
	return hex.EncodeToString(sum[:8])
}

// find returns the user a login names, nil for none.
func (s *state) find(in Login) *user {
	var u *user
	if in.User.ID != "" {
		u = s.users[in.User.ID]
	} else if dom := s.domain(in.Domain); dom != nil {
		u = dom.users[in.User.Name]
	}
	if u == nil || in.Domain != (Ref{}) && s.domain(in.Domain) != s.domains[u.Domain.ID] {
		return nil
	}
	return u
}

func (s *state) domain(r Ref) *domain {
	if r.ID != "" {
		return s.domains[r.ID]
	}
	return s.named[r.Name]
}

// openUser takes a login at its word (ModeOpen).
func (d *Directory) openUser(s *state, in Login) User {
	if u := s.find(in); u != nil {
		return u.User
	}
	dom := s.home()
	if in.Domain.Name != "" && d.invents(s) {
		dom = inventDomain(in.Domain.Name)
	}
	if in.User.Name == "" {
		return User{ID: in.User.ID, Name: in.User.ID, Domain: dom, Role: Member}
	}
	return inventUser(dom, in.User.Name)
}

// scopeToken makes a token one for a project or for the domain.
func (d *Directory) scopeToken(t *Token, scope LoginScope) error {
	switch {
	case scope.Project != nil:
		if !scope.ProjectDomain.matches(t.User.Domain) {
			return fmt.Errorf("scope is a project of domain %q", scope.ProjectDomain)
		}
		p, ok := d.project(t.User.Domain, *scope.Project)
		if !ok {
			return fmt.Errorf("scope is an unknown project %q", *scope.Project)
		}
		t.Project = &p
	case scope.Domain != nil:
		if !scope.Domain.matches(t.User.Domain) {
			return fmt.Errorf("scope is domain %q", *scope.Domain)
		}
		t.ForDomain = true
	}
	return nil
}

// matches reports whether r names dom, or nothing.
func (r Ref) matches(dom Domain) bool {
	if r.ID != "" {
		return r.ID == dom.ID
	}
	return r.Name == "" || r.Name == dom.Name
}

// project returns a domain's project.
func (d *Directory) project(dom Domain, r Ref) (Project, bool) {
	s := d.state.Load()
	if known := s.domains[dom.ID]; known != nil {
		for _, p := range known.projects {
			if r.ID == p.ID || r.ID == "" && r.Name == p.Name {
				return *p, true
			}
		}
	}
	switch {
	case d.opts.Mode != ModeOpen || r == (Ref{}):
		return Project{}, false
	case r.ID != "":
		return Project{r.ID, r.ID, dom}, true
	}
	return inventProject(dom, r.Name), true
}

func (d *Directory) sealToken(t Token) string {
	doc, err := json.Marshal(claims{t.User, t.Project, t.ForDomain, t.Methods, t.Issued.UnixMicro(), t.Expires.UnixMicro(), t.open, t.mark})
	if err != nil {
		panic(err) // strings and integers can always be marshalled
	}
	return d.opts.Keyring.sealText(forTokens, doc)
}

// ReadToken returns what a token says, if it holds: it is of this server, it has
// not expired, and its user may still use it and has the same password. In ModeOpen every token holds, and
// one that is not of this server is of the default domain. ErrDenied.
func (d *Directory) ReadToken(text string) (Token, error) {
	t, err := d.openToken(text)
	if d.opts.Mode == ModeOpen {
		if err != nil {
			t = Token{User: inventUser(d.state.Load().home(), "default"), Methods: []string{"token"}}
		}
		return t, nil
	}
	if err != nil {
		return Token{}, &DeniedError{Reason: "token: " + err.Error()}
	}
	if t.open {
		return Token{}, &DeniedError{Reason: "token: " + openReason}
	}
	u := d.state.Load().users[t.User.ID]
	if u == nil || !u.programmatic {
		return Token{}, &DeniedError{Reason: "token: its user is gone"}
	}
	if t.mark != u.mark {
		return Token{}, &DeniedError{Reason: "token: " + markReason}
	}
	t.User = u.User
	if t.Project != nil && !d.Owns(u.Domain, t.Project.ID) {
		return Token{}, &DeniedError{Reason: "token: its project is gone"}
	}
	return t, nil
}

func (d *Directory) openToken(text string) (Token, error) {
	if len(text) > maxTokenLength {
		return Token{}, fmt.Errorf("longer than %d characters", maxTokenLength)
	}
	doc, err := d.opts.Keyring.openText(forTokens, text)
	if err != nil {
		return Token{}, err
	}
	var c claims
	if err := json.Unmarshal(doc, &c); err != nil {
		return Token{}, err
	}
	t := Token{c.User, c.Project, c.ForDomain, c.Methods, time.UnixMicro(c.Issued).UTC(), time.UnixMicro(c.Expires).UTC(), c.Open, c.Mark}
	if !d.opts.Now().Before(t.Expires) {
		return Token{}, fmt.Errorf("expired at %s", t.Expires)
	}
	return t, nil
}

// ShowToken answers E52: what the subject says, to a caller of the same domain.
// ErrNotFound.
func (d *Directory) ShowToken(caller Principal, subject string) (Token, error) {
	t, err := d.ReadToken(subject)
	if err != nil || !caller.Anybody() && t.User.Domain.ID != caller.User.Domain.ID {
		return Token{}, ErrNotFound
	}
	return t, nil
}

func (t Token) principal() Principal {
	p := Principal{User: t.User}
	if t.Project != nil {
		p.scope, p.project = scopeProject, t.Project.ID
	}
	return p
}

// A TemporaryKey is an access key that ends by itself. Requests signed with it
// carry the security token (S-10).
type TemporaryKey struct {
	AK, SK, SecurityToken string
	Expires               time.Time
}

// temporary is what is sealed in a security token. Its members are part of the
// format.
type temporary struct {
	AK      string `json:"ak"`
	SK      string `json:"sk"`
	User    string `json:"user"`
	Expires int64  `json:"expires"` // microseconds
	Open    bool   `json:"open,omitempty"`
	Mark    string `json:"mark,omitempty"`
}

// markReason is why what was got with a password ends with it.
const markReason = "the password of its user is another one by now"

// openReason is why what ModeOpen gave to whoever asked for it does not hold in
// ModeRequired.
const openReason = "is of a time when everybody was let in"

// The lifetime of temporary keys (E57).
const (
	MinTemporary = 15 * time.Minute // also when none is asked for
	MaxTemporary = 24 * time.Hour
)

// NewTemporaryKey answers E57: a key with the rights of the token's user. Zero is
// the shortest lifetime. ErrLogin for the token, ErrInvalid for the lifetime.
func (d *Directory) NewTemporaryKey(token string, lifetime time.Duration) (TemporaryKey, error) {
	t, err := d.ReadToken(token)
	if err != nil {
		return TemporaryKey{}, fmt.Errorf("%w: %w", ErrLogin, err)
	}
	if lifetime == 0 {
		lifetime = MinTemporary
	}
	if lifetime < MinTemporary || lifetime > MaxTemporary {
		return TemporaryKey{}, &field.Error{Field: "duration_seconds", Reason: "must be from 900 to 86400"}
	}
	k := TemporaryKey{Expires: d.opts.Now().UTC().Truncate(time.Microsecond).Add(lifetime)}
	k.AK, k.SK = newKeyPair()
	doc, err := json.Marshal(temporary{k.AK, k.SK, t.User.ID, k.Expires.UnixMicro(), d.opts.Mode == ModeOpen, t.mark})
	if err != nil {
		panic(err) // strings and integers can always be marshalled
	}
	k.SecurityToken = d.opts.Keyring.sealText(forSecurityTokens, doc)
	return k, nil
}

// secret returns the secret of an access key, and whose it is. Only a temporary key has
// a security token: with one, a permanent key is refused, as is any other key that the
// token was not issued with (S-10).
func (d *Directory) secret(ak, securityToken string) (string, User, error) {
	s := d.state.Load()
	if securityToken != "" {
		return d.temporarySecret(s, ak, securityToken)
	}
	k := s.keys[ak]
	if k == nil {
		return "", User{}, &DeniedError{Reason: "unknown access key", AccessKey: ak}
	}
	u := s.users[k.User.ID]
	if !k.Active || !u.programmatic {
		return "", User{}, &DeniedError{Reason: "access key is inactive", AccessKey: ak}
	}
	return k.secret, u.User, nil
}

func (d *Directory) temporarySecret(s *state, ak, securityToken string) (string, User, error) {
	refuse := func(reason string) (string, User, error) {
		return "", User{}, &DeniedError{Reason: "security token: " + reason, AccessKey: ak}
	}
	t, err := d.openTemporary(securityToken)
	if err != nil {
		return refuse(err.Error())
	}
	u := s.users[t.User]
	switch {
	case t.Open && d.opts.Mode != ModeOpen:
		return refuse(openReason)
	case t.AK != ak:
		return refuse("is not of this access key")
	case !d.opts.Now().Before(time.UnixMicro(t.Expires)):
		return refuse("has expired")
	case u == nil || !u.programmatic:
		return refuse("its user is gone")
	case d.opts.Mode != ModeOpen && t.Mark != u.mark:
		return refuse(markReason)
	}
	return t.SK, u.User, nil
}

// readTemporary opens a security token of this server.
func (d *Directory) readTemporary(securityToken string) (t temporary, err error) {
	doc, err := d.opts.Keyring.openText(forSecurityTokens, securityToken)
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(doc, &t)
}
