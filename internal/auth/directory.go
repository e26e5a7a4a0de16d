package auth

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a Directory. Nil and zero mean the ordinary value.
type Options struct {
	Mode    Mode           // default ModeRequired
	Domains []DomainConfig // of the configuration

	// Store keeps what administration creates; nil when nothing is created.
	Store Store

	// Keyring encrypts secrets and tokens, default a random one: what it sealed
	// is then worthless after a restart.
	Keyring *Keyring

	Now func() time.Time // default time.Now

	// Real tells real time, which the date of a signature may be near too: clients
	// sign with their own, whatever Now was told by a test (CTL-41). Default Now.
	Real func() time.Time

	// PasswordCost is the number of hash iterations of new passwords, default
	// 600 000. One costs about a quarter of a microsecond.
	PasswordCost int
}

// A DomainConfig is an account of the configuration. What has no id gets one that
// is derived from its name.
type DomainConfig struct {
	ID       string          `yaml:"id"`
	Name     string          `yaml:"name"`
	Projects []ProjectConfig `yaml:"projects"`
	Users    []UserConfig    `yaml:"users"`
}

// A ProjectConfig is a project of the configuration.
type ProjectConfig struct {
	ID   string `yaml:"id"`
	Name string `yaml:"name"`
}

// A UserConfig is a user of the configuration.
type UserConfig struct {
	ID           string      `yaml:"id"`
	Name         string      `yaml:"name"`
	Password     string      `yaml:"password"`     // "" for no login by password
	Programmatic *bool       `yaml:"programmatic"` // default true (C-14)
	Role         Role        `yaml:"role"`         // default Member
	AccessKeys   []KeyConfig `yaml:"access_keys"`  // at most two
}

// A KeyConfig is an access key of the configuration.
type KeyConfig struct {
	AK string `yaml:"ak"`
	SK string `yaml:"sk"`
}

// A Store keeps records by name, which has a slash in it. What Put and Delete
// did is durable when they return nil. They are called by one goroutine at a
// time.
type Store interface {
	List() (map[string][]byte, error)
	Put(name string, record []byte) error
	Delete(name string) error
}

// A Directory knows domains, projects, users and access keys. All methods may be
// called at any time; changes hold for what is asked after them.
type Directory struct {
	opts      Options
	passwords *passwords
	state     atomic.Pointer[state]

	// openTemporary is readTemporary, but in tests with security tokens of others.
	openTemporary func(securityToken string) (temporary, error)

	mu      sync.Mutex // held while something changes
	records map[string]record
	asked   []string // names of projects that were looked up and invented, the latest last
}

// A state is everything that is known at one time. It never changes.
type state struct {
	domains  map[string]*domain  // by id
	named    map[string]*domain  // by name
	projects map[string]*Project // by id
	users    map[string]*user    // by id
	keys     map[string]*key     // by AK
	first    *domain             // whom ModeOpen serves; nil when there is none
	hashed   string              // some stored password hash, "" when there is none
}

type domain struct {
	Domain
	projects []*Project       // in order of names (E2-R1)
	users    map[string]*user // by name
}

type user struct {
	User
	programmatic bool
	digest       []byte // of a configured password
	hash         string // of a stored one
	mark         string // of either
	keys         int
}

type key struct {
	Key
	secret string
}

// OpenDirectory returns the directory of a configuration and a store.
func OpenDirectory(opts Options) (*Directory, error) {
	if opts.Mode == "" {
		opts.Mode = ModeRequired
	}
	if opts.Keyring == nil {
		opts.Keyring = NewKeyring()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Real == nil {
		opts.Real = opts.Now
	}
	if opts.PasswordCost == 0 {
		opts.PasswordCost = defaultPasswordCost
	}
	d := &Directory{opts: opts, passwords: newPasswords(), records: make(map[string]record)}
	d.openTemporary = d.readTemporary
	if opts.Store != nil {
		if err := d.load(); err != nil {
			return nil, err
		}
	}
	s, err := d.build(d.records)
	if err != nil {
		return nil, err
	}
	d.state.Store(s)
	return d, nil
}

// load reads the records, and seals secrets again that an older key sealed.
func (d *Directory) load() error {
	stored, err := d.opts.Store.List()
	if err != nil {
		return fmt.Errorf("read identities: %w", err)
	}
	for name, raw := range stored {
		var r record
		if err := json.Unmarshal(raw, &r); err != nil {
			return fmt.Errorf("identity %s: %w", name, err)
		}
		if r.kind() == "" || r.name() != name {
			return fmt.Errorf("identity %s: is stored under a wrong name", name)
		}
		if err := d.reseal(&r); err != nil {
			return fmt.Errorf("identity %s: %w", name, err)
		}
		d.records[name] = r
	}
	return nil
}

func (d *Directory) reseal(r *record) error {
	if len(r.Secret) == 0 {
		return nil
	}
	secret, current, err := d.opts.Keyring.open(forSecrets, r.Secret, r.ID)
	if err != nil || current {
		return err
	}
	r.Secret = d.opts.Keyring.seal(forSecrets, secret, r.ID)
	return d.put(*r)
}

// build makes a state of the configuration and the records.
func (d *Directory) build(records map[string]record) (*state, error) {
	s := &state{
		domains: make(map[string]*domain), named: make(map[string]*domain),
		projects: make(map[string]*Project), users: make(map[string]*user), keys: make(map[string]*key),
	}
	for _, c := range d.opts.Domains {
		if err := d.configure(s, c); err != nil {
			return nil, fmt.Errorf("domain %q: %w", c.Name, err)
		}
	}
	byKind := slices.SortedFunc(maps.Values(records), func(a, b record) int {
		return cmp.Or(a.rank()-b.rank(), strings.Compare(a.ID, b.ID))
	})
	for _, r := range byKind {
		if err := d.restore(s, r); err != nil {
			return nil, fmt.Errorf("identity %s: %w", r.name(), err)
		}
	}
	for _, dom := range s.domains {
		slices.SortFunc(dom.projects, func(a, b *Project) int { return strings.Compare(a.Name, b.Name) })
	}
	return s, nil
}

// configure adds a domain of the configuration.
func (d *Directory) configure(s *state, c DomainConfig) error {
	dom, err := s.addDomain(Domain{cmp.Or(c.ID, derive("domain", c.Name)), c.Name})
	if err != nil {
		return err
	}
	for _, p := range c.Projects {
		id := cmp.Or(p.ID, derive("project", c.Name, p.Name))
		if err := s.addProject(dom, id, p.Name); err != nil {
			return fmt.Errorf("project %q: %w", p.Name, err)
		}
	}
	for _, u := range c.Users {
		if err := d.configureUser(s, dom, u); err != nil {
			return fmt.Errorf("user %q: %w", u.Name, err)
		}
	}
	return nil
}

func (d *Directory) configureUser(s *state, dom *domain, c UserConfig) error {
	u := &user{User: User{
		ID: cmp.Or(c.ID, derive("user", dom.Name, c.Name)), Name: c.Name, Domain: dom.Domain, Role: cmp.Or(c.Role, Member),
	}}
	u.programmatic = c.Programmatic == nil || *c.Programmatic
	if c.Password != "" {
		u.digest, u.mark = d.passwords.digest(c.Password), markOf(c.Password)
	}
	if err := s.addUser(dom, u); err != nil {
		return err
	}
	for _, k := range c.AccessKeys {
		if k.AK == "" || k.SK == "" || strings.ContainsAny(k.AK, "/, ") {
			return errors.New("access key: ak and sk must not be empty, and ak has no slash, comma or blank")
		}
		err := s.addKey(u, &key{Key: Key{AK: k.AK, User: u.User, Active: true}, secret: k.SK})
		if err != nil {
			return fmt.Errorf("access key %s: %w", k.AK, err)
		}
	}
	return nil
}

func (s *state) addDomain(dom Domain) (*domain, error) {
	if dom.Name == "" {
		return nil, errors.New("a domain needs a name")
	}
	if s.domains[dom.ID] != nil || s.named[dom.Name] != nil {
		return nil, ErrExists
	}
	added := &domain{Domain: dom, users: make(map[string]*user)}
	s.domains[dom.ID], s.named[dom.Name] = added, added
	if s.first == nil {
		s.first = added
	}
	return added, nil
}

func (s *state) addProject(dom *domain, id, name string) error {
	taken := func(p *Project) bool { return p.Name == name }
	switch {
	case name == "":
		return errors.New("a project needs a name")
	case s.projects[id] != nil || slices.ContainsFunc(dom.projects, taken):
		return ErrExists
	}
	p := &Project{id, name, dom.Domain}
	s.projects[id] = p
	dom.projects = append(dom.projects, p)
	return nil
}

func (s *state) addUser(dom *domain, u *user) error {
	switch {
	case u.Name == "":
		return errors.New("a user needs a name")
	case !u.Role.valid():
		return fmt.Errorf("role is %q, must be one of %s, %s, %s", u.Role, Member, Reader, Administrator)
	case s.users[u.ID] != nil || dom.users[u.Name] != nil:
		return ErrExists
	}
	s.users[u.ID], dom.users[u.Name] = u, u
	return nil
}

func (s *state) addKey(u *user, k *key) error {
	if s.keys[k.AK] != nil {
		return ErrExists
	}
	if u.keys == maxKeys {
		return ErrKeyQuota
	}
	u.keys++
	s.keys[k.AK] = k
	return nil
}

// maxKeys is the number of permanent access keys of a user.
const maxKeys = 2

// invents reports whether names that nobody defined are taken at their word: in
// ModeOpen, as long as no domain is defined.
func (d *Directory) invents(s *state) bool { return d.opts.Mode == ModeOpen && s.first == nil }

// home returns the domain that ModeOpen serves.
func (s *state) home() Domain {
	if s.first != nil {
		return s.first.Domain
	}
	return inventDomain("default")
}

func inventDomain(name string) Domain { return Domain{derive("domain", name), name} }

func inventUser(dom Domain, name string) User {
	return User{derive("user", dom.Name, name), name, dom, Member}
}

func inventProject(dom Domain, name string) Project {
	return Project{derive("project", dom.Name, name), name, dom}
}

// DomainNamed returns the domain of a name.
func (d *Directory) DomainNamed(name string) (Domain, bool) {
	s := d.state.Load()
	if dom := s.named[name]; dom != nil {
		return dom.Domain, true
	}
	return inventDomain(name), d.invents(s) && name != ""
}

// UserNamed returns a domain's user of a name.
func (d *Directory) UserNamed(dom Domain, name string) (User, bool) {
	s := d.state.Load()
	if known := s.domains[dom.ID]; known != nil && known.users[name] != nil {
		return known.users[name].User, true
	}
	return inventUser(dom, name), d.invents(s) && name != ""
}

// DomainName and UserName return the present name of an id, "" when nobody has
// it.
func (d *Directory) DomainName(id string) string {
	if dom := d.state.Load().domains[id]; dom != nil {
		return dom.Name
	}
	return ""
}

// UserName is described with DomainName.
func (d *Directory) UserName(id string) string {
	if u := d.state.Load().users[id]; u != nil {
		return u.Name
	}
	return ""
}

// Enter checks that a principal may work in a project: ErrForbidden for a token
// without one (C-12), ErrProject for a project that is not the token's or not
// of the domain (C-13, C-26).
func (d *Directory) Enter(p Principal, project string) error {
	switch p.scope {
	case scopeAll:
		return nil
	case scopeNone:
		return fmt.Errorf("%w: the token is for no project", ErrForbidden)
	case scopeProject:
		if p.project != project {
			return ErrProject
		}
		return nil
	}
	if !d.Owns(p.User.Domain, project) {
		return ErrProject
	}
	return nil
}

// Owns reports whether a project is of a domain.
func (d *Directory) Owns(dom Domain, project string) bool {
	known := d.state.Load().projects[project]
	return known != nil && known.Domain.ID == dom.ID
}

// Account names the account of a project, which is its domain (C-71). What no domain
// has, all of it in mode open without domains, is of one account.
func (d *Directory) Account(project string) string {
	if known := d.state.Load().projects[project]; known != nil {
		return known.Domain.ID
	}
	return ""
}

// Domains returns the caller's domain, or nothing when name is another (E54).
func (d *Directory) Domains(p Principal, name string) []Domain {
	dom := p.User.Domain
	if name != "" && name != dom.Name {
		if !d.invents(d.state.Load()) {
			return nil
		}
		dom = inventDomain(name)
	}
	return []Domain{dom}
}

// Projects returns the projects of the caller's domain in order of names, or
// only the one of the given name (E2, E55).
func (d *Directory) Projects(p Principal, name string) []Project {
	s := d.state.Load()
	if d.invents(s) {
		d.remember(name)
		return []Project{inventProject(s.home(), cmp.Or(name, "default"))}
	}
	var found []Project
	if dom := s.domains[p.User.Domain.ID]; dom != nil {
		for _, pr := range dom.projects {
			if name == "" || name == pr.Name {
				found = append(found, *pr)
			}
		}
	}
	return found
}

// maxAsked bounds how many regions are remembered.
const maxAsked = 32

// remember keeps the name of an invented project among the regions: a client that
// looks its project up by name, and then asks for the catalog, wants to find its
// region there.
func (d *Directory) remember(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if name != "" && !slices.Contains(d.asked, name) {
		d.asked = append(d.asked[max(0, len(d.asked)+1-maxAsked):], name)
	}
}

// Users returns the users of the caller's domain in order of names, or only the
// one of the given name (E56).
func (d *Directory) Users(p Principal, name string) []User {
	s := d.state.Load()
	if d.invents(s) {
		return []User{inventUser(p.User.Domain, cmp.Or(name, p.User.Name))}
	}
	var found []User
	if dom := s.domains[p.User.Domain.ID]; dom != nil {
		for _, n := range slices.Sorted(maps.Keys(dom.users)) {
			if name == "" || name == n {
				found = append(found, dom.users[n].User)
			}
		}
	}
	return found
}

// Regions returns the regions in which the caller has projects: the distinct
// names up to the first underscore, in order (E1-R8, E53). Where names are taken at
// their word, they are those that were lately looked up.
func (d *Directory) Regions(p Principal) []string {
	projects := d.Projects(p, "")
	if s := d.state.Load(); d.invents(s) {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, name := range d.asked {
			projects = append(projects, inventProject(s.home(), name))
		}
	}
	var regions []string
	for _, pr := range projects {
		regions = append(regions, pr.Region())
	}
	slices.Sort(regions)
	return slices.Compact(regions)
}

// Region returns the name of the project up to its first underscore (E1-R8).
func (p Project) Region() string {
	region, _, _ := strings.Cut(p.Name, "_")
	return region
}

// Key returns an access key of the caller's domain (E59). ErrNotFound.
func (d *Directory) Key(p Principal, ak string) (Key, error) {
	k := d.state.Load().keys[ak]
	if k == nil || k.User.Domain.ID != p.User.Domain.ID {
		return Key{}, ErrNotFound
	}
	return k.Key, nil
}
