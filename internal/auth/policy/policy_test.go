package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"disd/internal/auth"
	"disd/internal/field"
	"disd/internal/storage/catalog"
	"disd/internal/storage/catalog/file"
)

// newPolicies returns the policies of a server with the domains acme (owner of
// project p), other (users bob and b.c) and o.ther (user x).
func newPolicies(t *testing.T) (*Policies, *auth.Directory, catalog.Store) {
	t.Helper()
	d, err := auth.OpenDirectory(auth.Options{Store: make(store), PasswordCost: 1, Domains: []auth.DomainConfig{
		{Name: "acme", ID: "A", Projects: []auth.ProjectConfig{{ID: "p", Name: "here"}}, Users: []auth.UserConfig{{Name: "alice"}}},
		{Name: "other", ID: "O", Users: []auth.UserConfig{{Name: "bob", ID: "B"}, {Name: "b.c", ID: "BC"}}},
		{Name: "o.ther", ID: "OT", Users: []auth.UserConfig{{Name: "x", ID: "X"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	db, err := file.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return Open(db, d), d, db
}

type store map[string][]byte

func (s store) List() (map[string][]byte, error)     { return s, nil }
func (s store) Put(name string, record []byte) error { s[name] = record; return nil }
func (s store) Delete(name string) error             { delete(s, name); return nil }

func user(t *testing.T, d *auth.Directory, domain, name string) auth.Principal {
	t.Helper()
	u, err := d.FindUser(domain, name)
	if err != nil {
		t.Fatal(err)
	}
	return auth.Principal{User: u}
}

// list shows the rules of a stream.
func list(t *testing.T, p *Policies, stream string) string {
	t.Helper()
	all, err := p.Rules(stream)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range all {
		out = append(out, fmt.Sprint(r.Principal(), " ", p.PrincipalName(r), " ", r.Action))
	}
	return strings.Join(out, "; ")
}

func TestAdd(t *testing.T) {
	for _, tt := range []struct {
		rule  string
		grant Grant
		want  string
		field string // of the error
	}{
		{"E9-R1", Grant{"other.bob,acme.*", "putRecords", "accept"}, "O.B other.bob putRecords; A.* acme.* putRecords", ""},
		{"E9-R1 twice", Grant{"other.*,other.*", "getRecords", "accept"}, "O.* other.* getRecords", ""},
		{"E9-R2", Grant{" other , acme ", "getStreamInfo", "accept"}, "O.* other.* getStreamInfo; A.* acme.* getStreamInfo", ""},
		{"E9-R2 dots", Grant{"other.b.c,o.ther,o.ther.x,o.ther.*", "putRecords", "accept"}, "O.BC other.b.c putRecords; OT.* o.ther.* putRecords; OT.X o.ther.x putRecords", ""},
		{"E9-R2 empty item", Grant{"other,,acme", "putRecords", "accept"}, "", "principal_name"},
		{"E9-R2 nothing", Grant{"", "putRecords", "accept"}, "", "principal_name"},
		{"E9-R4 domain", Grant{"other.bob,nobody.*", "putRecords", "accept"}, "", "principal_name"},
		{"E9-R4 user", Grant{"other.nobody", "putRecords", "accept"}, "", "principal_name"},
		{"a name that is endless", Grant{"other." + strings.Repeat(".", 1<<20), "putRecords", "accept"}, "", "principal_name"},
		{"a hundred names", Grant{strings.Repeat("other,", 99) + "other", "putRecords", "accept"}, "O.* other.* putRecords", ""},
		{"too many names", Grant{strings.Repeat("other,", 100) + "other", "putRecords", "accept"}, "", "principal_name"},
		{"A-3", Grant{"other", "deleteStream", "accept"}, "", "action_type"},
		{"A-1", Grant{"other", "putRecords", "deny"}, "", "effect"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			p, _, _ := newPolicies(t)
			err := p.Add("s", tt.grant)
			var field *field.Error
			if errors.As(err, &field) != (tt.field != "") || field != nil && field.Field != tt.field {
				t.Errorf("got %v", err)
			}
			if got := list(t, p, "s"); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestAuthorize(t *testing.T) {
	t.Attr("rules", "A-8 A-7 A-2 E50-R1 A-10")
	p, d, db := newPolicies(t)
	alice, bob, bc, x := user(t, d, "acme", "alice"), user(t, d, "other", "bob"), user(t, d, "other", "b.c"), user(t, d, "o.ther", "x")
	may := func(who auth.Principal, stream string, want ...Action) {
		t.Helper()
		for _, a := range []Action{PutRecords, GetRecords, GetStreamInfo} {
			err := p.Authorize(who, "p", stream, a)
			if slices.Contains(want, a) != (err == nil) || err != nil && !errors.Is(err, auth.ErrForbidden) {
				t.Errorf("%s %s on %s: %v", who.User.Name, a, stream, err)
			}
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	may(alice, "s", PutRecords, GetRecords, GetStreamInfo)
	may(bob, "s")
	do(p.Add("s", Grant{"other.bob", "putRecords", "accept"}))
	may(bob, "s", PutRecords)
	may(bob, "s2")
	may(bc, "s")
	do(p.Add("s", Grant{"other", "getRecords", "accept"}))
	may(bob, "s", PutRecords, GetRecords)
	may(bc, "s", GetRecords)
	may(x, "s")
	do(p.Remove("s", Grant{"other.bob,nobody.*", "putRecords", "accept"})) // E50-R1
	may(bob, "s", GetRecords)
	do(p.Remove("s", Grant{"other", "getRecords", "accept"}))
	may(bob, "s")
	do(p.Remove("none", Grant{"other", "getRecords", "accept"}))
	do(p.Add("s", Grant{"other", "getRecords", "accept"}))
	do(db.Update(func(tx catalog.Tx) error { return Forget(tx, "s") }))
	may(bc, "s")
}

// A new user of an old name inherits nothing, and the old rule can be removed
//
func TestRulesReferToIDs(t *testing.T) {
	p, d, _ := newPolicies(t)
	grant := Grant{"other.carl", "putRecords", "accept"}
	for range 2 {
		if _, err := d.AddUser("other", "carl", "", ""); err != nil {
			t.Fatal(err)
		}
		carl := user(t, d, "other", "carl")
		if err := p.Authorize(carl, "p", "s", PutRecords); !errors.Is(err, auth.ErrForbidden) {
			t.Errorf("got %v", err)
		}
		if err := p.Add("s", grant); err != nil {
			t.Fatal(err)
		}
		if err := p.Authorize(carl, "p", "s", PutRecords); err != nil {
			t.Error(err)
		}
		if err := d.RemoveUser(carl.User.ID); err != nil {
			t.Fatal(err)
		}
	}
	if got := list(t, p, "s"); strings.Count(got, "other.carl") != 2 {
		t.Errorf("got %s", got)
	}
	if err := p.Remove("s", grant); err != nil || list(t, p, "s") != "" {
		t.Errorf("got %v, %s", err, list(t, p, "s"))
	}
}

// In open mode without domains every name is somebody's.
func TestOpenModeKnowsEveryName(t *testing.T) {
	_, _, db := newPolicies(t)
	d, err := auth.OpenDirectory(auth.Options{Mode: auth.ModeOpen})
	if err != nil {
		t.Fatal(err)
	}
	p := Open(db, d)
	if err := p.Add("s", Grant{"any.one,any", "putRecords", "accept"}); err != nil {
		t.Fatal(err)
	}
	if got := list(t, p, "s"); !strings.Contains(got, " any.one putRecords") || !strings.Contains(got, " any.* putRecords") {
		t.Errorf("got %s", got)
	}
}
