package auth

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A record is an identity as it is stored: as JSON under its kind and id. Its
// members are part of the catalog's format.
type record struct {
	Kind   string `json:"kind"`
	ID     string `json:"id"`               // of a key, the AK
	Name   string `json:"name,omitempty"`   // of a domain, project or user
	Domain string `json:"domain,omitempty"` // id, of a project or user

	Password string `json:"password,omitempty"` // of a user, hashed
	Role     Role   `json:"role,omitempty"`     // of a user

	User        string `json:"user,omitempty"`   // id, of a key
	Secret      []byte `json:"secret,omitempty"` // of a key, sealed; none for a key of the configuration
	Inactive    bool   `json:"inactive,omitempty"`
	Description string `json:"description,omitempty"`
	Created     int64  `json:"created,omitempty"` // ms, of a key
}

// kinds, in the order in which they need each other.
var kinds = []string{"domain", "project", "user", "key"}

func (r record) rank() int    { return slices.Index(kinds, r.Kind) }
func (r record) name() string { return r.Kind + "/" + r.ID }

func (r record) kind() string {
	if r.rank() < 0 {
		return ""
	}
	return r.Kind
}

// restore adds what a record says. What belongs to something that is gone, or is
// said by the configuration now, is left out; it stays in the store.
func (d *Directory) restore(s *state, r record) error {
	err := d.restoreAny(s, r)
	if errors.Is(err, ErrUnknown) || errors.Is(err, ErrExists) {
		return nil
	}
	return err
}

func (d *Directory) restoreAny(s *state, r record) error {
	switch r.Kind {
	case "domain":
		_, err := s.addDomain(Domain{r.ID, r.Name})
		return err
	case "key":
		return d.restoreKey(s, r)
	}
	dom := s.domains[r.Domain]
	if dom == nil {
		return ErrUnknown
	}
	if r.Kind == "project" {
		return s.addProject(dom, r.ID, r.Name)
	}
	u := &user{User: User{r.ID, r.Name, dom.Domain, cmp.Or(r.Role, Member)}, programmatic: true, hash: r.Password, mark: markOf(r.Password)}
	s.hashed = cmp.Or(s.hashed, r.Password)
	return s.addUser(dom, u)
}

func (d *Directory) restoreKey(s *state, r record) error {
	if len(r.Secret) == 0 { // a mark on a key of the configuration
		if k := s.keys[r.ID]; k != nil {
			k.Active = !r.Inactive
		}
		return nil
	}
	u := s.users[r.User]
	if u == nil {
		return ErrUnknown
	}
	secret, _, err := d.opts.Keyring.open(forSecrets, r.Secret, r.ID)
	if err != nil {
		return err
	}
	return s.addKey(u, &key{secret: string(secret), Key: Key{
		AK: r.ID, User: u.User, Active: !r.Inactive, Created: time.UnixMilli(r.Created), Description: r.Description,
	}})
}

// change stores and forgets records, and then lets everyone see what follows.
// Nothing is stored when nothing valid would follow.
func (d *Directory) change(put []record, remove ...string) error {
	if d.opts.Store == nil {
		return errors.New("identities cannot be changed: there is no store")
	}
	next := maps.Clone(d.records)
	for _, r := range put {
		next[r.name()] = r
	}
	for _, name := range remove {
		delete(next, name)
	}
	s, err := d.build(next)
	if err != nil {
		return err
	}
	for _, r := range put {
		if err := d.put(r); err != nil {
			return err
		}
	}
	for _, name := range remove {
		if err := d.opts.Store.Delete(name); err != nil {
			return fmt.Errorf("forget %s: %w", name, err)
		}
	}
	d.records = next
	d.state.Store(s)
	return nil
}

func (d *Directory) put(r record) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := d.opts.Store.Put(r.name(), raw); err != nil {
		return fmt.Errorf("store %s: %w", r.name(), err)
	}
	return nil
}

// AddDomain makes a domain. ErrExists.
func (d *Directory) AddDomain(name string) (Domain, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if name == "" || d.state.Load().named[name] != nil {
		return Domain{}, fmt.Errorf("domain %q: %w", name, ErrExists)
	}
	dom := Domain{newID(), name}
	return dom, d.change([]record{{Kind: "domain", ID: dom.ID, Name: name}})
}

// AddProject makes a project of a domain, given by name. ErrUnknown, ErrExists.
func (d *Directory) AddProject(domain, name string) (Project, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dom := d.state.Load().named[domain]
	if dom == nil {
		return Project{}, fmt.Errorf("domain %q: %w", domain, ErrUnknown)
	}
	if name == "" || slices.ContainsFunc(dom.projects, func(p *Project) bool { return p.Name == name }) {
		return Project{}, fmt.Errorf("project %q: %w", name, ErrExists)
	}
	p := Project{newID(), name, dom.Domain}
	return p, d.change([]record{{Kind: "project", ID: p.ID, Name: name, Domain: dom.ID}})
}

// AddUser makes a user of a domain, given by name; without a password it can only
// use access keys. ErrUnknown, ErrExists.
func (d *Directory) AddUser(domain, name, password string, role Role) (User, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dom := d.state.Load().named[domain]
	if dom == nil {
		return User{}, fmt.Errorf("domain %q: %w", domain, ErrUnknown)
	}
	if name == "" || dom.users[name] != nil {
		return User{}, fmt.Errorf("user %q: %w", name, ErrExists)
	}
	u := User{newID(), name, dom.Domain, cmp.Or(role, Member)}
	r := record{Kind: "user", ID: u.ID, Name: name, Domain: dom.ID, Role: u.Role}
	if password != "" {
		r.Password = hashPassword(password, d.opts.PasswordCost)
	}
	return u, d.change([]record{r})
}

// FindUser returns a user by the names of its domain and itself. ErrUnknown.
func (d *Directory) FindUser(domain, name string) (User, error) {
	dom := d.state.Load().named[domain]
	if dom == nil || dom.users[name] == nil {
		return User{}, fmt.Errorf("user %s.%s: %w", domain, name, ErrUnknown)
	}
	return dom.users[name].User, nil
}

// SetPassword gives a user another password. ErrUnknown, ErrFixed.
func (d *Directory) SetPassword(userID, password string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, err := d.stored("user", userID)
	if err != nil {
		return err
	}
	r.Password = hashPassword(password, d.opts.PasswordCost)
	return d.change([]record{r})
}

// RemoveUser removes a user with its keys; its tokens and temporary keys are
// worthless from then on. ErrUnknown, ErrFixed.
func (d *Directory) RemoveUser(userID string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, err := d.stored("user", userID)
	if err != nil {
		return err
	}
	names := []string{r.name()}
	for name, k := range d.records {
		if k.Kind == "key" && k.User == userID {
			names = append(names, name)
		}
	}
	return d.change(nil, names...)
}

// stored returns the record of what administration made.
func (d *Directory) stored(kind, id string) (record, error) {
	r, ok := d.records[kind+"/"+id]
	s := d.state.Load()
	switch {
	case ok && (kind != "key" || len(r.Secret) > 0):
		return r, nil
	case kind == "user" && s.users[id] != nil, kind == "key" && s.keys[id] != nil:
		return record{}, fmt.Errorf("%s %s: %w", kind, id, ErrFixed)
	}
	return record{}, fmt.Errorf("%s %s: %w", kind, id, ErrUnknown)
}

// CreateKey makes an access key of a user and returns it with its secret, which
// cannot be asked for again. ErrUnknown, ErrKeyQuota.
func (d *Directory) CreateKey(userID, description string) (ak, sk string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.state.Load().users[userID]
	if u == nil {
		return "", "", fmt.Errorf("user %s: %w", userID, ErrUnknown)
	}
	ak, sk = newKeyPair()
	err = d.change([]record{{
		Kind: "key", ID: ak, User: userID, Secret: d.opts.Keyring.seal(forSecrets, []byte(sk), ak),
		Description: description, Created: d.opts.Now().UnixMilli(),
	}})
	return ak, sk, err
}

// Keys returns all access keys, in order of users and keys.
func (d *Directory) Keys() []Key {
	var keys []Key
	for _, k := range d.state.Load().keys {
		keys = append(keys, k.Key)
	}
	slices.SortFunc(keys, func(a, b Key) int {
		return cmp.Or(strings.Compare(a.User.Domain.Name, b.User.Domain.Name),
			strings.Compare(a.User.Name, b.User.Name), strings.Compare(a.AK, b.AK))
	})
	return keys
}

// SetKeyActive switches an access key on or off, also one of the configuration.
// ErrUnknown.
func (d *Directory) SetKeyActive(ak string, active bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state.Load().keys[ak] == nil {
		return fmt.Errorf("key %s: %w", ak, ErrUnknown)
	}
	r, ok := d.records["key/"+ak]
	if !ok {
		r = record{Kind: "key", ID: ak}
	}
	r.Inactive = !active
	return d.change([]record{r})
}

// RemoveKey removes an access key. ErrUnknown, ErrFixed.
func (d *Directory) RemoveKey(ak string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, err := d.stored("key", ak)
	if err != nil {
		return err
	}
	return d.change(nil, r.name())
}
