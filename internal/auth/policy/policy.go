// Package policy says what another account may do with a stream: rules that a
// stream's owner gives, per principal and action. There are no rules that deny.
// Reference: 5.1.7 and 5.1.8; api.md section 7, E9, E10, E50.
package policy

import (
	"fmt"
	"slices"
	"strings"

	"disd/internal/auth"
	"disd/internal/field"
	"disd/internal/storage/catalog"
)

// An Action is what a rule opens.
type Action string

const (
	PutRecords    Action = "putRecords"    // upload
	GetRecords    Action = "getRecords"    // download, cursors, and checkpoints of own apps
	GetStreamInfo Action = "getStreamInfo" // details
)

// accept is the only effect there is.
const accept = "accept"

// A Rule lets a principal do something with a stream. It refers to ids, so that
// renaming keeps it and a new user of an old name does not inherit it.
type Rule struct {
	DomainID string `json:"domain_id"`
	UserID   string `json:"user_id"` // "*" for every user of the domain
	Action   Action `json:"action"`

	// The names at the time of creation, shown when nobody has the ids any more.
	DomainName string `json:"domain_name"`
	UserName   string `json:"user_name"`
}

// maxPrincipal bounds what it costs to look for the dot in a principal.
const maxPrincipal = 1024

// everyone is the user of a rule for a whole domain.
const everyone = "*"

// A Grant is what a caller asks to add or to remove.
type Grant struct {
	Principals string // domain, domain.* or domain.user, separated by commas (E9-R2)
	Action     string
	Effect     string
}

// identities is what policies need of auth.Directory.
type identities interface {
	DomainNamed(name string) (auth.Domain, bool)
	UserNamed(dom auth.Domain, name string) (auth.User, bool)
	DomainName(id string) string
	UserName(id string) string
	Owns(dom auth.Domain, project string) bool
}

// rules has the rules of a stream in order of creation, by stream id.
var rules = catalog.NewTable[[]Rule]("policies")

// key is that of rules.
func key(stream string) catalog.Key { return catalog.Key{stream} }

// Policies keeps rules. All methods may be called at any time; a change holds for
// what is asked after it.
type Policies struct {
	db  catalog.Store
	ids identities
}

// Open returns the policies in a catalog.
func Open(db catalog.Store, ids identities) *Policies { return &Policies{db, ids} }

// Forget removes the rules of a stream, within the transaction that deletes it.
func Forget(tx catalog.Tx, stream string) error { return rules.Delete(tx, key(stream)) }

// Add grants an action on a stream; granting it twice changes nothing (E9). A
// FieldError for a principal nobody knows, or another bad member.
func (p *Policies) Add(stream string, g Grant) error {
	added, err := p.resolve(g)
	if err != nil {
		return err
	}
	return p.db.Update(func(tx catalog.Tx) error {
		have, _, err := rules.Get(tx, key(stream))
		if err != nil {
			return err
		}
		for _, r := range added {
			if !slices.ContainsFunc(have, r.same) {
				have = append(have, r)
			}
		}
		if len(have) > maxRules {
			return field.Invalid("principal_name", "the stream has 1000 rules already")
		}
		return rules.Put(tx, key(stream), have)
	})
}

// Remove takes a grant back; where there is none nothing changes (E50). What
// nobody has any more is removed by the name it is listed with.
func (p *Policies) Remove(stream string, g Grant) error {
	items, err := g.check()
	if err != nil {
		return err
	}
	gone := func(r Rule) bool {
		name := p.PrincipalName(r)
		return string(r.Action) == g.Action &&
			(slices.Contains(items, name) || slices.Contains(items, strings.TrimSuffix(name, ".*")))
	}
	return p.db.Update(func(tx catalog.Tx) error {
		have, _, err := rules.Get(tx, key(stream))
		if err != nil || len(have) == 0 {
			return err
		}
		return rules.Put(tx, key(stream), slices.DeleteFunc(have, gone))
	})
}

// Rules returns the rules of a stream in order of creation (E10).
func (p *Policies) Rules(stream string) (list []Rule, err error) {
	err = p.db.View(func(tx catalog.Tx) error {
		list, _, err = rules.Get(tx, key(stream))
		return err
	})
	return list, err
}

// Authorize checks that a principal may do something with a stream of a project,
// which need not be its own. auth.ErrForbidden.
func (p *Policies) Authorize(who auth.Principal, project, stream string, action Action) error {
	if who.Anybody() || p.ids.Owns(who.User.Domain, project) {
		return nil
	}
	list, err := p.Rules(stream)
	if err != nil {
		return err
	}
	for _, r := range list {
		if r.Action == action && r.DomainID == who.User.Domain.ID && (r.UserID == everyone || r.UserID == who.User.ID) {
			return nil
		}
	}
	return fmt.Errorf("%w: no policy lets %s.%s %s", auth.ErrForbidden, who.User.Domain.Name, who.User.Name, action)
}

// Principal returns the principal of a rule in ids, as E10 lists it.
func (r Rule) Principal() string { return r.DomainID + "." + r.UserID }

// PrincipalName returns the principal of a rule in present names.
func (p *Policies) PrincipalName(r Rule) string {
	domain, user := p.ids.DomainName(r.DomainID), everyone
	if domain == "" {
		domain = r.DomainName
	}
	if r.UserID != everyone {
		if user = p.ids.UserName(r.UserID); user == "" {
			user = r.UserName
		}
	}
	return domain + "." + user
}

func (r Rule) same(o Rule) bool {
	return r.DomainID == o.DomainID && r.UserID == o.UserID && r.Action == o.Action
}

// Bounds of the work that a grant makes: each of its principals is looked up, and
// compared with every rule.
const (
	maxPrincipals = 100
	maxRules      = 1000 // of one stream
)

// check returns the principals of a grant, one by one, in the order of the field
// table (C-35).
func (g Grant) check() ([]string, error) {
	if strings.Count(g.Principals, ",") >= maxPrincipals {
		return nil, field.Invalid("principal_name", "has more than 100 names")
	}
	items := strings.Split(g.Principals, ",")
	for i := range items {
		if items[i] = strings.TrimSpace(items[i]); items[i] == "" {
			return nil, field.Invalid("principal_name", "must be domainName.* or domainName.userName, separated by commas")
		}
	}
	switch Action(g.Action) {
	case PutRecords, GetRecords, GetStreamInfo:
	default:
		return nil, field.Invalid("action_type", "must be putRecords, getRecords or getStreamInfo")
	}
	if g.Effect != accept {
		return nil, field.Invalid("effect", "must be accept")
	}
	return items, nil
}

// resolve returns the rules of a grant. The whole grant fails when one of its
// principals is unknown (E9-R4).
func (p *Policies) resolve(g Grant) ([]Rule, error) {
	items, err := g.check()
	if err != nil {
		return nil, err
	}
	var list []Rule
	for _, item := range items {
		r, ok := p.principal(item)
		if !ok {
			return nil, field.Invalid("principal_name", "there is no domain or user "+item)
		}
		r.Action = Action(g.Action)
		list = append(list, r)
	}
	return list, nil
}

// principal finds who is meant. Names may have dots in them, so every dot may be
// the one between domain and user; a bare domain means all its users.
func (p *Policies) principal(item string) (Rule, bool) {
	if len(item) > maxPrincipal {
		return Rule{}, false
	}
	for i := range len(item) {
		if item[i] != '.' {
			continue
		}
		dom, ok := p.ids.DomainNamed(item[:i])
		if !ok {
			continue
		}
		if item[i+1:] == everyone {
			return Rule{DomainID: dom.ID, UserID: everyone, DomainName: dom.Name}, true
		}
		if u, ok := p.ids.UserNamed(dom, item[i+1:]); ok {
			return Rule{DomainID: dom.ID, UserID: u.ID, DomainName: dom.Name, UserName: u.Name}, true
		}
	}
	dom, ok := p.ids.DomainNamed(item)
	return Rule{DomainID: dom.ID, UserID: everyone, DomainName: dom.Name}, ok
}
