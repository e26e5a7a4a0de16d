package auth

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"disd/internal/field"
	"disd/internal/sign"
)

// A store keeps records in memory, and can refuse.
type store struct {
	records map[string][]byte
	fail    error
}

func newStore() *store { return &store{records: make(map[string][]byte)} }

func (s *store) List() (map[string][]byte, error) { return s.records, s.fail }

func (s *store) Put(name string, record []byte) error {
	if s.fail == nil {
		s.records[name] = record
	}
	return s.fail
}

func (s *store) Delete(name string) error {
	if s.fail == nil {
		delete(s.records, name)
	}
	return s.fail
}

// A clock stands still until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: testTime} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// accounts is a configuration of two domains.
func accounts() []DomainConfig {
	no := false
	return []DomainConfig{
		{
			Name: "acme", ID: "A",
			Projects: []ProjectConfig{{"P2", "eu-de_two"}, {"P1", "eu-de"}, {"P3", "cn-north-4"}},
			Users: []UserConfig{
				{Name: "alice", ID: "AA", Password: "alice's password", AccessKeys: []KeyConfig{{testAK, testSK}}},
				{Name: "web", Password: "web's password", Programmatic: &no, AccessKeys: []KeyConfig{{"AKWEB", "s"}}},
				{Name: "keys", AccessKeys: []KeyConfig{{"AKKEYS1", "s1"}, {"AKKEYS2", "s2"}}},
				{Name: "reader", Password: "r", Role: Reader},
				{Name: "root", Password: "r", Role: Administrator},
			},
		},
		{Name: "other", Projects: []ProjectConfig{{"Q", "eu-de"}}, Users: []UserConfig{{Name: "bob", Password: "bob's password"}}},
	}
}

func openDirectory(t testing.TB, edit ...func(*Options)) *Directory {
	t.Helper()
	opts := Options{Domains: accounts(), Now: newClock().now, PasswordCost: 10}
	for _, e := range edit {
		e(&opts)
	}
	d, err := OpenDirectory(opts)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func withStore(s *store) func(*Options)     { return func(o *Options) { o.Store = s } }
func withKeyring(k *Keyring) func(*Options) { return func(o *Options) { o.Keyring = k } }
func withClock(c *clock) func(*Options)     { return func(o *Options) { o.Now = c.now } }
func withDomains(d []DomainConfig) func(*Options) {
	return func(o *Options) { o.Domains = d }
}
func open(o *Options) { o.Mode = ModeOpen }

func password(domain, user, password string) Login {
	return Login{Methods: []string{"password"}, Domain: Ref{Name: domain}, User: Ref{Name: user}, Password: password}
}

func (l Login) project(r Ref) Login { l.Scope.Project = &r; return l }
func (l Login) domain(r Ref) Login  { l.Scope.Domain = &r; return l }

func alice() Login { return password("acme", "alice", "alice's password") }

func login(t testing.TB, d *Directory, in Login) (Token, string) {
	t.Helper()
	tok, text, err := d.Login(in)
	if err != nil {
		t.Fatal(err)
	}
	return tok, text
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestLogin(t *testing.T) {
	t.Attr("rules", "E1-R2 E1-R5")
	d := openDirectory(t)
	byID := Login{Methods: []string{"password"}, User: Ref{ID: "AA"}, Password: "alice's password"}
	foreign := alice().project(Ref{Name: "eu-de"})
	foreign.Scope.ProjectDomain = Ref{Name: "other"}
	withDomain := alice().project(Ref{Name: "eu-de"})
	withDomain.Scope.ProjectDomain = Ref{Name: "acme"}
	for _, tt := range []struct {
		rule    string
		in      Login
		project string // "-" for a refusal
	}{
		{"E1 without scope", alice(), ""},
		{"E1 by user id", byID, ""},
		{"E1 project id", alice().project(Ref{ID: "P1"}), "P1"},
		{"E1 id wins", alice().project(Ref{ID: "P1", Name: "cn-north-4"}), "P1"},
		{"E1 project name", alice().project(Ref{Name: "cn-north-4"}), "P3"},
		{"E1 project domain", withDomain, "P1"},
		{"E1 other project domain", foreign, "-"},
		{"E1-R3 password", password("acme", "alice", "bob's password"), "-"},
		{"E1-R3 empty password", password("acme", "alice", ""), "-"},
		{"E1-R3 user", password("acme", "bob", "bob's password"), "-"},
		{"E1-R3 domain", password("acne", "alice", "alice's password"), "-"},
		{"E1-R3 no domain", password("", "alice", "alice's password"), "-"},
		{"E1-R3 no password", password("acme", "keys", ""), "-"},
		{"C-14", password("acme", "web", "web's password"), "-"},
		{"E1-R4 unknown", alice().project(Ref{ID: "P9"}), "-"},
		{"E1-R4 empty", alice().project(Ref{}), "-"},
		{"E1-R4 of another domain", alice().project(Ref{ID: "Q"}), "-"},
		{"E1-R6 totp", Login{Methods: []string{"password", "totp"}, Domain: Ref{Name: "acme"}, User: Ref{Name: "alice"}, Password: "alice's password"}, "-"},
		{"E1-R6 agency", Login{Methods: []string{"assume_role"}}, "-"},
		{"E1-R6 bad token", Login{Methods: []string{"token"}, Token: "x"}, "-"},
		{"E1 no method", Login{}, "-"},
		{"E1-R7", alice().domain(Ref{Name: "acme"}), ""},
		{"E1-R7 of another domain", alice().domain(Ref{Name: "other"}), "-"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			tok, text, err := d.Login(tt.in)
			if tt.project == "-" {
				if !errors.Is(err, ErrLogin) || text != "" {
					t.Errorf("got %+v, %v", tok, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tok.User.ID != "AA" || tok.User.Domain.ID != "A" || tok.ForDomain != (tt.in.Scope.Domain != nil) {
				t.Errorf("got %+v", tok)
			}
			if got := tok.Project; (got == nil) != (tt.project == "") || got != nil && got.ID != tt.project {
				t.Errorf("project %+v", got)
			}
			if tok.Expires.Sub(tok.Issued) != 24*time.Hour || !tok.Issued.Equal(testTime) { // E1-R2
				t.Errorf("issued %s, expires %s", tok.Issued, tok.Expires)
			}
			if len(text) > 8<<10 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) { // E1-R5
				t.Errorf("token %q", text)
			}
			if again, err := d.ReadToken(text); err != nil || fmt.Sprint(again) != fmt.Sprint(tok) && again.Project == nil {
				t.Errorf("reads as %+v, %v", again, err)
			}
		})
	}
}

func TestTokenExpires(t *testing.T) {
	t.Attr("rules", "Q-7 C-11 E1-R6 E52-R1")
	c := newClock()
	d := openDirectory(t, withClock(c))
	_, first := login(t, d, alice().project(Ref{ID: "P1"}))
	c.advance(23 * time.Hour)
	next, second := login(t, d, Login{Methods: []string{"token"}, Token: first}.project(Ref{ID: "P3"}))
	if next.Project.ID != "P3" || !slices.Equal(next.Methods, []string{"token"}) {
		t.Errorf("got %+v", next)
	}
	caller := Principal{User: next.User}
	if _, err := d.ShowToken(caller, first); err != nil {
		t.Error(err)
	}
	bob, _ := login(t, d, password("other", "bob", "bob's password"))
	if _, err := d.ShowToken(Principal{User: bob.User}, first); !errors.Is(err, ErrNotFound) {
		t.Errorf("another domain sees the token: %v", err)
	}
	c.advance(time.Hour)
	for _, text := range []string{first, second} {
		if _, err := d.ReadToken(text); !errors.Is(err, ErrDenied) {
			t.Errorf("got %v", err)
		}
		if _, err := d.ShowToken(caller, text); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
	}
}

// Every change of a token's text makes it worthless, and so does another key.
func TestTokensAreSealed(t *testing.T) {
	d := openDirectory(t)
	_, text := login(t, d, alice().project(Ref{ID: "P1"}))
	mutations(text, func(s string) {
		if _, err := d.ReadToken(s); s != text && !errors.Is(err, ErrDenied) {
			t.Errorf("%q: %v", s, err)
		}
	})
	for _, s := range []string{"", text + "=", text + "\n", text + text, strings.Repeat("A", 9<<10)} {
		if _, err := d.ReadToken(s); !errors.Is(err, ErrDenied) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if _, err := openDirectory(t).ReadToken(text); !errors.Is(err, ErrDenied) {
		t.Errorf("another server takes it: %v", err)
	}
	k := must[TemporaryKey](t)(d.NewTemporaryKey(text, 0))
	if _, err := d.ReadToken(k.SecurityToken); !errors.Is(err, ErrDenied) {
		t.Errorf("a security token is a token: %v", err)
	}
}

// request returns a signed request.
func request(project, ak, sk, securityToken string, date time.Time) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/v2/"+project+"/streams", http.NoBody)
	k := sign.Signer{AK: ak, SK: sk, SecurityToken: securityToken}
	if err := k.Sign(r, nil, date); err != nil {
		panic(err)
	}
	return r
}

func TestTemporaryKeys(t *testing.T) {
	c, ring, kept := newClock(), NewKeyring(), newStore()
	d := openDirectory(t, withClock(c), withKeyring(ring), withStore(kept))
	eve := must[User](t)(d.AddUser("acme", "eve", "eve's password", ""))
	_, token := login(t, d, password("acme", "eve", "eve's password"))
	for _, bad := range []time.Duration{time.Second, 25 * time.Hour, -time.Hour} { // E57-R2
		if _, err := d.NewTemporaryKey(token, bad); !errors.Is(err, field.ErrInvalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := d.NewTemporaryKey("x", 0); !errors.Is(err, ErrLogin) {
		t.Errorf("got %v", err)
	}
	k := must[TemporaryKey](t)(d.NewTemporaryKey(token, time.Hour))
	other := must[TemporaryKey](t)(d.NewTemporaryKey(token, 0))
	d = openDirectory(t, withClock(c), withKeyring(ring), withStore(kept)) // after a restart
	v := NewVerifier(d, VerifierOptions{ClockWindow: time.Minute})
	for _, tt := range []struct {
		rule          string
		sk, securityT string
		denied        bool
	}{
		{"S-10", k.SK, k.SecurityToken, false},
		{"S-10 missing", k.SK, "", true},
		{"S-10 of another key", k.SK, other.SecurityToken, true},
		{"S-10 foreign", k.SK, "x", true},
		{"S-10 changed", k.SK, "A" + k.SecurityToken, true},
		{"S-10 key and token of another", other.SK, other.SecurityToken, true},
		{"S-10 secret", other.SK, k.SecurityToken, true},
	} {
		t.Attr("rules", tt.rule)
		p, err := check(v, request("P1", k.AK, tt.sk, tt.securityT, c.now()))
		if errors.Is(err, ErrDenied) != tt.denied || !tt.denied && (err != nil || p.User.ID != eve.ID) {
			t.Errorf("%s: %+v, %v", tt.rule, p, err)
		}
	}
	for name, token := range map[string]string{"somebody's": k.SecurityToken, "no": "x"} {
		if _, err := check(v, request("P1", testAK, testSK, token, c.now())); !errors.Is(err, ErrDenied) {
			t.Errorf("S-10: a permanent key with %s token: %v", name, err)
		}
	}
	if _, err := check(v, request("P1", testAK, testSK, "", c.now())); err != nil {
		t.Errorf("a permanent key: %v", err)
	}
	c.advance(time.Hour)
	if _, err := check(v, request("P1", k.AK, k.SK, k.SecurityToken, c.now())); !errors.Is(err, ErrDenied) {
		t.Errorf("expired: %v", err)
	}
	_, token = login(t, d, password("acme", "eve", "eve's password"))
	k = must[TemporaryKey](t)(d.NewTemporaryKey(token, time.Hour))
	if err := d.RemoveUser(eve.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := check(v, request("P1", k.AK, k.SK, k.SecurityToken, c.now())); !errors.Is(err, ErrDenied) { // E57-R1
		t.Errorf("outlives its user: %v", err)
	}
	if _, err := d.ReadToken(token); !errors.Is(err, ErrDenied) {
		t.Errorf("token outlives its user: %v", err)
	}
}

func TestEnter(t *testing.T) {
	t.Attr("rules", "C-15")
	d := openDirectory(t)
	v := NewVerifier(d, VerifierOptions{})
	bySignature := must[Principal](t)(check(v, request("P1", testAK, testSK, "", testTime)))
	byToken := func(in Login) Principal {
		_, text := login(t, d, in)
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header.Set("X-Auth-Token", text)
		r.Header.Set("Authorization", "nonsense") // C-15
		return must[Principal](t)(check(v, r))
	}
	for _, tt := range []struct {
		rule    string
		p       Principal
		project string
		want    error
	}{
		{"C-26", bySignature, "P1", nil},
		{"C-26 any project", bySignature, "P3", nil},
		{"C-26 another domain", bySignature, "Q", ErrProject},
		{"C-26 unknown", bySignature, "P9", ErrProject},
		{"C-13", byToken(alice().project(Ref{ID: "P1"})), "P1", nil},
		{"C-13 another", byToken(alice().project(Ref{ID: "P1"})), "P3", ErrProject},
		{"C-12", byToken(alice()), "P1", ErrForbidden},
		{"C-12 domain", byToken(alice().domain(Ref{Name: "acme"})), "P1", ErrForbidden},
	} {
		t.Attr("rules", tt.rule)
		if err := d.Enter(tt.p, tt.project); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.rule, err, tt.want)
		}
	}
	if !bySignature.CanWrite() || bySignature.CanAdminister() || bySignature.AccessKey != testAK {
		t.Errorf("a member: %+v", bySignature)
	}
	if p := byToken(password("acme", "reader", "r")); p.CanWrite() || p.CanAdminister() {
		t.Errorf("a reader: %+v", p)
	}
	if p := byToken(password("acme", "root", "r")); !p.CanWrite() || !p.CanAdminister() {
		t.Errorf("an administrator: %+v", p)
	}
}

func TestDenied(t *testing.T) {
	t.Attr("rules", "C-25")
	d := openDirectory(t)
	v := NewVerifier(d, VerifierOptions{ClockWindow: 15 * time.Minute})
	with := func(edit func(r *http.Request)) *http.Request {
		r := request("P1", testAK, testSK, "", testTime)
		edit(r)
		return r
	}
	header := func(name, value string) *http.Request {
		return with(func(r *http.Request) { r.Header.Set(name, value) })
	}
	for name, r := range map[string]*http.Request{
		"no credentials":       with(func(r *http.Request) { r.Header = nil }),
		"unknown key":          request("P1", "AKNONE", testSK, "", testTime),
		"wrong secret":         request("P1", testAK, testSK+" ", "", testTime),
		"no programmatic use":  request("P1", "AKWEB", "s", "", testTime),
		"late":                 request("P1", testAK, testSK, "", testTime.Add(-15*time.Minute-time.Second)),
		"early":                request("P1", testAK, testSK, "", testTime.Add(15*time.Minute+time.Second)),
		"no date":              with(func(r *http.Request) { r.Header.Del("X-Sdk-Date") }),
		"two dates":            with(func(r *http.Request) { r.Header.Add("X-Sdk-Date", testDate) }),
		"date of another form": header("X-Sdk-Date", "2026-11-23T10:11"),
		"date that is none":    header("X-Sdk-Date", "20261323T101112Z"),
		"unknown algorithm":    header("Authorization", strings.Replace(request("P1", testAK, testSK, "", testTime).Header.Get("Authorization"), "256", "512", 1)),
		"date not signed":      header("Authorization", "SDK-HMAC-SHA256 Access="+testAK+", SignedHeaders=host, Signature=00"),
		"scope of another day": header("Authorization", "SDK-HMAC-SHA256 Credential="+testAK+"/20261122/r/dis/sdk_request, SignedHeaders=x-sdk-date, Signature=00"),
		"scope of three parts": header("Authorization", "SDK-HMAC-SHA256 Credential="+testAK+"/20261123/r/dis, SignedHeaders=x-sdk-date, Signature=00"),
		"basic":                header("Authorization", "Basic YTpi"),
		"bad token":            header("X-Auth-Token", "x"),
	} {
		if _, err := check(v, r); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, r := range map[string]*http.Request{
		"late, in the window":  request("P1", testAK, testSK, "", testTime.Add(-15*time.Minute)),
		"early, in the window": request("P1", testAK, testSK, "", testTime.Add(15*time.Minute)),
	} {
		if _, err := check(v, r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A signed body may have 12 MiB; one byte more is refused before it is read where
// its length is said, and as it is read where not (S-12).
func TestSignedBodySize(t *testing.T) {
	v := verifierFor(t, testAK, testSK, testTime, VerifierOptions{})
	body := bytes.Repeat([]byte("x"), MaxSignedBody+1)
	for _, n := range []int{MaxSignedBody, MaxSignedBody + 1} {
		r := httptest.NewRequest(http.MethodPost, "/v2/p/records", bytes.NewReader(body[:n]))
		forms[0].sign(r, body[:n])
		_, err := v.Begin(r)
		if (n > MaxSignedBody) != errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes, said: %v", n, err)
		}
		r.ContentLength = -1
		if _, err := check(v, r); (n > MaxSignedBody) != errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes, not said: %v", n, err)
		}
	}
}

// A path under a mount prefix is signed with it, or without (S-9).
func TestMountPrefix(t *testing.T) {
	t.Attr("rules", "S-9")
	with := verifierFor(t, testAK, testSK, testTime, VerifierOptions{Prefix: "/dis/"})
	without := verifierFor(t, testAK, testSK, testTime, VerifierOptions{})
	for signed, alsoWithout := range map[string]bool{"/dis/v2/p/streams": true, "/v2/p/streams": false} {
		r := httptest.NewRequest(http.MethodGet, signed, http.NoBody)
		forms[0].sign(r, nil)
		r.URL.Path = "/dis/v2/p/streams"
		if _, err := check(with, r); err != nil {
			t.Errorf("%s: %v", signed, err)
		}
		if _, err := check(without, r); (err == nil) != alsoWithout {
			t.Errorf("%s without a prefix: %v", signed, err)
		}
	}
}

// Only a port is left out of the host, and only a port that is one (S-9).
func TestHostWithoutPort(t *testing.T) {
	t.Attr("rules", "S-9")
	v := verifierFor(t, testAK, testSK, testTime, VerifierOptions{})
	for host, want := range map[string]bool{
		"dis.example.com": true, "dis.example.com:443": true, "dis.example.com:": false,
		"dis.example.com:99999": false, "dis.example.com:x": false, "dis.example.com:443:443": false, "dis.example.org:443": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/v2/p/streams", http.NoBody)
		r.Host = "dis.example.com"
		forms[0].sign(r, nil, "host")
		r.Host = host
		if _, err := check(v, r); (err == nil) != want {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// SignedHeaders must be a list of different names with the date among them (S-7),
// however well it is signed.
func TestSignedHeaders(t *testing.T) {
	t.Attr("rules", "S-7")
	v := verifierFor(t, testAK, testSK, testTime, VerifierOptions{})
	undated := signer{algorithm: sign.HMACSHA256, undated: true}
	for _, tt := range []struct {
		signer signer
		names  []string
		denied bool
	}{
		{forms[0], []string{"host", "x-absent"}, false},
		{forms[0], []string{"host", "host"}, true},
		{forms[0], []string{""}, true},
		{undated, []string{"host"}, true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/v2/p/streams", http.NoBody)
		tt.signer.sign(r, nil, tt.names...)
		if _, err := check(v, r); errors.Is(err, ErrDenied) != tt.denied {
			t.Errorf("%q: %v", tt.names, err)
		}
	}
}

// A scope of another day than the date is refused, however well it is signed
// (S-8).
func TestScopeDate(t *testing.T) {
	t.Attr("rules", "S-8")
	v := verifierFor(t, testAK, testSK, testTime, VerifierOptions{ClockWindow: time.Minute})
	for _, form := range forms[1:hmacForms] {
		form.scope = strings.Replace(form.scope, "20261123", "20261122", 1)
		r := httptest.NewRequest(http.MethodGet, "/v2/p/streams", http.NoBody)
		form.sign(r, nil)
		if _, err := check(v, r); !errors.Is(err, ErrDenied) {
			t.Errorf("%s %s: %v", form.algorithm, form.scope, err)
		}
	}
}

func TestFailuresOfAnAddress(t *testing.T) {
	t.Attr("rules", "Q-21")
	c := newClock()
	d := openDirectory(t, withClock(c))
	v := NewVerifier(d, VerifierOptions{MaxFailures: 3})
	from := func(addr string, r *http.Request) error {
		r.RemoteAddr = addr
		_, err := check(v, r)
		return err
	}
	good := func() *http.Request { return request("P1", testAK, testSK, "", c.now()) }
	bad := func() *http.Request { return request("P1", testAK, "wrong", "", c.now()) }
	for i, addr := range []string{"10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3"} {
		if err := from(addr, good()); err != nil {
			t.Errorf("before failure %d: %v", i, err)
		}
		if err := from(addr, bad()); !errors.Is(err, ErrDenied) {
			t.Errorf("failure %d: %v", i, err)
		}
	}
	if err := from("10.0.0.1:4", good()); !errors.Is(err, ErrBlacklisted) {
		t.Errorf("got %v", err)
	}
	if err := from("10.0.0.2:1", good()); err != nil {
		t.Errorf("another address: %v", err)
	}
	for range 3 {
		r := good()
		r.RemoteAddr = "10.0.0.3:1"
		if _, _, err := v.Login(r, password("acme", "alice", "wrong")); !errors.Is(err, ErrLogin) {
			t.Errorf("a login: %v", err)
		}
	}
	if err := from("10.0.0.3:2", good()); !errors.Is(err, ErrBlacklisted) {
		t.Errorf("after logins that were refused: %v", err)
	}
	r := good()
	r.RemoteAddr = "10.0.0.1:5"
	if _, _, err := v.Login(r, password("acme", "alice", "alice's password")); !errors.Is(err, ErrBlacklisted) {
		t.Errorf("a login: %v", err)
	}
	c.advance(FailureWindow)
	if err := from("10.0.0.1:5", good()); err != nil {
		t.Errorf("after the time: %v", err)
	}
	for i := range 3 {
		from(fmt.Sprintf("[2001:db8::%d]:1", i), bad())
	}
	if err := from("[2001:db8::9]:1", good()); !errors.Is(err, ErrBlacklisted) {
		t.Errorf("an address of the same network: %v", err)
	}
	for i := range maxAddresses + 10 {
		from(fmt.Sprintf("10.%d.%d.%d:1", 1+i>>16, i>>8&255, i&255), bad())
	}
	if n := len(v.failures.by); n > maxAddresses {
		t.Errorf("%d addresses are remembered", n)
	}
}

func TestLists(t *testing.T) {
	d := openDirectory(t)
	alice := Principal{User: must[User](t)(d.FindUser("acme", "alice"))}
	show := func(v any) string { return fmt.Sprint(v) }
	for rule, got := range map[string][2]string{
		"E2-R1":             {show(d.Projects(alice, "")), "[{P3 cn-north-4 {A acme}} {P1 eu-de {A acme}} {P2 eu-de_two {A acme}}]"},
		"E2-R2":             {show(d.Projects(alice, "eu-de")), "[{P1 eu-de {A acme}}]"},
		"E2-R2 none":        {show(d.Projects(alice, "nowhere")), "[]"},
		"E2-R3":             {show(d.Projects(alice, "EU-DE")), "[]"},
		"E53-R1":            {show(d.Regions(alice)), "[cn-north-4 eu-de]"},
		"E54-R1":            {show(d.Domains(alice, "")), "[{A acme}]"},
		"E54-R1 name":       {show(d.Domains(alice, "acme")), "[{A acme}]"},
		"E54-R1 other name": {show(d.Domains(alice, "other")), "[]"},
		"E56-R1":            {show(d.Users(alice, "alice")), "[{AA alice {A acme} member}]"},
		"E56-R1 none":       {show(d.Users(alice, "bob")), "[]"},
		"E56-R1 all":        {show(len(d.Users(alice, ""))), "5"},
	} {
		t.Attr("rules", rule)
		if got[0] != got[1] {
			t.Errorf("%s: got %s, want %s", rule, got[0], got[1])
		}
	}
	if k, err := d.Key(alice, "AKWEB"); err != nil || k.User.Name != "web" || !k.Active { // E59-R1
		t.Errorf("got %+v, %v", k, err)
	}
	bob := Principal{User: must[User](t)(d.FindUser("other", "bob"))}
	if _, err := d.Key(bob, "AKWEB"); !errors.Is(err, ErrNotFound) {
		t.Errorf("another domain's key: %v", err)
	}
}

// Administration: everything works at once and after a restart, and nothing that
// is stored gives a secret away.
func TestAdministration(t *testing.T) {
	t.Attr("rules", "Q-9")
	kept, ring := newStore(), NewKeyring()
	d := openDirectory(t, withStore(kept), withKeyring(ring))
	v := NewVerifier(d, VerifierOptions{})
	dom := must[Domain](t)(d.AddDomain("new"))
	p := must[Project](t)(d.AddProject("new", "eu-de"))
	u := must[User](t)(d.AddUser("new", "carol", "carol's password", Reader))
	ak, sk, err := d.CreateKey(u.ID, "first")
	if err != nil {
		t.Fatal(err)
	}
	signed := func(v *Verifier) error {
		got, err := check(v, request(p.ID, ak, sk, "", testTime))
		if err == nil && (got.User != u || got.User.Domain != dom) {
			err = fmt.Errorf("principal %+v", got)
		}
		return err
	}
	if err := signed(v); err != nil {
		t.Error(err)
	}
	again := openDirectory(t, withStore(kept), withKeyring(ring))
	if err := signed(NewVerifier(again, VerifierOptions{})); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	login(t, again, password("new", "carol", "carol's password").project(Ref{Name: "eu-de"}))
	for _, want := range []error{nil, ErrKeyQuota} {
		if _, _, err := d.CreateKey(u.ID, ""); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	for _, active := range []bool{false, true} {
		if err := d.SetKeyActive(ak, active); err != nil {
			t.Fatal(err)
		}
		if err := signed(v); errors.Is(err, ErrDenied) == active {
			t.Errorf("active %t: %v", active, err)
		}
	}
	_, old := login(t, d, password("new", "carol", "carol's password"))
	temp, err := d.NewTemporaryKey(old, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.secret(temp.AK, temp.SecurityToken); err != nil {
		t.Error(err)
	}
	if err := d.SetPassword(u.ID, "another password"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadToken(old); !errors.Is(err, ErrDenied) {
		t.Errorf("the token of the old password: %v", err)
	}
	if _, _, err := d.secret(temp.AK, temp.SecurityToken); !errors.Is(err, ErrDenied) {
		t.Errorf("the temporary key of the old password: %v", err)
	}
	if _, _, err := d.Login(password("new", "carol", "carol's password")); !errors.Is(err, ErrLogin) {
		t.Errorf("the old password: %v", err)
	}
	for range 2 { // the second time it is remembered
		login(t, d, password("new", "carol", "another password"))
		if _, _, err := d.Login(password("new", "carol", "wrong")); !errors.Is(err, ErrLogin) {
			t.Errorf("a wrong password: %v", err)
		}
	}
	for name, raw := range kept.records {
		for _, secret := range []string{sk, "another password", "carol's password"} {
			if bytes.Contains(raw, []byte(secret)) {
				t.Errorf("%s has a secret in it", name)
			}
		}
	}
	if len(d.Keys()) != 6 {
		t.Errorf("%d keys", len(d.Keys()))
	}
	if err := d.RemoveKey(ak); err != nil || !errors.Is(signed(v), ErrDenied) {
		t.Errorf("removed: %v", err)
	}
	_, token := login(t, d, password("new", "carol", "another password"))
	if err := d.RemoveUser(u.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadToken(token); !errors.Is(err, ErrDenied) {
		t.Errorf("the token of a removed user: %v", err)
	}
	if names := slices.DeleteFunc(recordNames(kept), func(n string) bool { return !strings.HasPrefix(n, "key/") }); len(names) > 0 {
		t.Errorf("left: %s", names)
	}
}

func recordNames(s *store) []string {
	var names []string
	for n := range s.records {
		names = append(names, n)
	}
	return names
}

// A key of the configuration can be switched off, which lasts.
func TestConfiguredKeyIsSwitchedOff(t *testing.T) {
	kept := newStore()
	d := openDirectory(t, withStore(kept))
	if err := d.SetKeyActive(testAK, false); err != nil {
		t.Fatal(err)
	}
	for _, d := range []*Directory{d, openDirectory(t, withStore(kept))} {
		if _, err := check(NewVerifier(d, VerifierOptions{}), request("P1", testAK, testSK, "", testTime)); !errors.Is(err, ErrDenied) {
			t.Errorf("got %v", err)
		}
	}
}

func TestAdministrationErrors(t *testing.T) {
	kept := newStore()
	d := openDirectory(t, withStore(kept))
	second := func(_ any, err error) error { return err }
	third := func(_, _ string, err error) error { return err }
	for name, tt := range map[string]struct {
		got  error
		want error
	}{
		"domain twice":          {second(d.AddDomain("acme")), ErrExists},
		"project twice":         {second(d.AddProject("acme", "eu-de")), ErrExists},
		"project of nobody":     {second(d.AddProject("nobody", "x")), ErrUnknown},
		"user twice":            {second(d.AddUser("acme", "alice", "", "")), ErrExists},
		"user of nobody":        {second(d.AddUser("nobody", "x", "", "")), ErrUnknown},
		"key of nobody":         {third(d.CreateKey("nobody", "")), ErrUnknown},
		"third key":             {third(d.CreateKey(must[User](t)(d.FindUser("acme", "keys")).ID, "")), ErrKeyQuota},
		"switch of an unknown":  {d.SetKeyActive("AKNONE", false), ErrUnknown},
		"configured user":       {d.RemoveUser("AA"), ErrFixed},
		"configured password":   {d.SetPassword("AA", "x"), ErrFixed},
		"configured key":        {d.RemoveKey(testAK), ErrFixed},
		"unknown user":          {d.RemoveUser("nobody"), ErrUnknown},
		"unknown key":           {d.RemoveKey("AKNONE"), ErrUnknown},
		"find a user of nobody": {second(d.FindUser("nobody", "x")), ErrUnknown},
		"find an unknown user":  {second(d.FindUser("acme", "x")), ErrUnknown},
	} {
		if !errors.Is(tt.got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, tt.got, tt.want)
		}
	}
	if _, err := d.AddUser("acme", "x", "", "king"); err == nil {
		t.Error("a role that does not exist")
	}
	kept.fail = errors.New("disk full")
	if _, err := d.AddDomain("new"); !errors.Is(err, kept.fail) {
		t.Errorf("got %v", err)
	}
	if _, ok := d.DomainNamed("new"); ok {
		t.Error("what was not stored is there")
	}
	if _, err := openDirectory(t).AddDomain("new"); err == nil {
		t.Error("without a store")
	}
}

func TestBadConfigurations(t *testing.T) {
	user := func(u UserConfig) []DomainConfig {
		return []DomainConfig{{Name: "d", Users: []UserConfig{u}}}
	}
	for name, domains := range map[string][]DomainConfig{
		"domain without a name":  {{}},
		"domain twice":           {{Name: "d"}, {Name: "d", ID: "x"}},
		"domain id twice":        {{Name: "d", ID: "x"}, {Name: "e", ID: "x"}},
		"project without a name": {{Name: "d", Projects: []ProjectConfig{{ID: "x"}}}},
		"project twice":          {{Name: "d", Projects: []ProjectConfig{{"x", "p"}, {"y", "p"}}}},
		"project id twice":       {{Name: "d", Projects: []ProjectConfig{{"x", "p"}}}, {Name: "e", Projects: []ProjectConfig{{"x", "p"}}}},
		"user twice":             {{Name: "d", Users: []UserConfig{{Name: "u"}, {Name: "u", ID: "x"}}}},
		"role":                   user(UserConfig{Name: "u", Role: "king"}),
		"user without a name":    user(UserConfig{ID: "x"}),
		"key without a secret":   user(UserConfig{Name: "u", AccessKeys: []KeyConfig{{AK: "x"}}}),
		"key with a slash":       user(UserConfig{Name: "u", AccessKeys: []KeyConfig{{"x/y", "z"}}}),
		"key twice":              user(UserConfig{Name: "u", AccessKeys: []KeyConfig{{"x", "y"}, {"x", "z"}}}),
		"three keys":             user(UserConfig{Name: "u", AccessKeys: []KeyConfig{{"x", "y"}, {"y", "y"}, {"z", "y"}}}),
	} {
		if _, err := OpenDirectory(Options{Domains: domains}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestOpenMode(t *testing.T) {
	d := openDirectory(t, open, withDomains(nil))
	v := NewVerifier(d, VerifierOptions{})
	for ak, authorization := range map[string]string{
		"":      "",
		"AKANY": "SDK-HMAC-SHA256 Access=AKANY, SignedHeaders=x, Signature=y",
		"AKOLD": "SDK-HMAC-SHA256 Credential=AKOLD/x/y/z/sdk_request, SignedHeaders=x, Signature=y",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header.Set("Authorization", authorization)
		r.Header.Set("X-Auth-Token", "any")
		c, err := v.Begin(r)
		if err != nil || c.NeedsBody() {
			t.Fatalf("needs the body, or %v", err)
		}
		p := must[Principal](t)(c.Verify())
		if p.AccessKey != ak || p.User.Domain.Name != "default" || !p.Anybody() || !p.CanWrite() || !p.CanAdminister() || d.Enter(p, "any") != nil {
			t.Errorf("got %+v", p)
		}
	}
	anybody := Principal{User: inventUser(inventDomain("default"), "default"), scope: scopeAll}
	one := d.Projects(anybody, "eu-de")
	tok, text := login(t, d, password("some", "body", "whatever").project(Ref{Name: "eu-de"}))
	if len(one) != 1 || one[0].Name != "eu-de" || tok.User.Name != "body" || tok.User.Domain.Name != "some" || tok.Project.Name != "eu-de" {
		t.Errorf("got %+v, %+v", one, tok)
	}
	if again, err := d.ShowToken(anybody, text); err != nil || again.User.Name != "body" {
		t.Errorf("got %+v, %v", again, err)
	}
	if p := d.Projects(anybody, ""); len(p) != 1 {
		t.Errorf("got %+v", p)
	}
	if got := fmt.Sprint(d.Regions(anybody)); got != "[default eu-de]" { // E53
		t.Errorf("regions %s", got)
	}
	for i := range 2 * maxAsked {
		d.Projects(anybody, fmt.Sprintf("region-%d_x", i))
	}
	if got := d.Regions(anybody); len(got) != maxAsked+1 || slices.Contains(got, "eu-de") || !slices.Contains(got, "region-63") {
		t.Errorf("regions %s", got)
	}
	byID, _ := login(t, d, Login{Methods: []string{"token"}, Token: "any"}.project(Ref{ID: "some id"}))
	if byID.Project.ID != "some id" {
		t.Errorf("got %+v", byID)
	}
}

// With domains, open mode knows them and invents none.
func TestOpenModeWithDomains(t *testing.T) {
	d := openDirectory(t, open)
	anybody := must[Principal](t)(must[*Check](t)(NewVerifier(d, VerifierOptions{}).Begin(httptest.NewRequest(http.MethodGet, "/", http.NoBody))).Verify())
	if p := d.Projects(anybody, "eu-de"); len(p) != 1 || p[0].ID != "P1" {
		t.Errorf("got %+v", p)
	}
	if p := d.Projects(anybody, "nowhere"); len(p) != 0 {
		t.Errorf("got %+v", p)
	}
	tok, _ := login(t, d, password("acme", "alice", "any password"))
	if tok.User.ID != "AA" {
		t.Errorf("got %+v", tok)
	}
}

// In open mode an explanation tells what required mode would have said.
func TestOpenModeExplains(t *testing.T) {
	v := NewVerifier(openDirectory(t, open), VerifierOptions{Explain: true, ClockWindow: time.Minute})
	for name, tt := range map[string]struct {
		r      *http.Request
		reason string
	}{
		"right":   {request("P1", testAK, testSK, "", testTime), ""},
		"wrong":   {request("P1", testAK, "wrong", "", testTime), "signature mismatch"},
		"late":    {request("P1", testAK, testSK, "", testTime.Add(-time.Hour)), "X-Sdk-Date is"},
		"unknown": {request("P1", "AKNONE", "x", "", testTime), "unknown access key"},
	} {
		c := must[*Check](t)(v.Begin(tt.r))
		must[Principal](t)(c.Verify())
		err := c.Refused()
		var why *DeniedError
		if (err != nil) != (tt.reason != "") || errors.As(err, &why) && !strings.HasPrefix(why.Reason, tt.reason) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An explanation names everything but what would let its reader in.
func TestExplanationHidesSecrets(t *testing.T) {
	v := verifierFor(t, testAK, testSK, testTime, VerifierOptions{Explain: true})
	r := httptest.NewRequest(http.MethodGet, "/v2/p/streams", http.NoBody)
	r.Header.Set("X-Security-Token", "the-security-token")
	forms[0].sign(r, nil, "x-security-token")
	r.Method = "PUT"
	_, err := check(v, r)
	var why *DeniedError
	if !errors.As(err, &why) {
		t.Fatal(err)
	}
	all := why.Error() + fmt.Sprint(why.LogValue())
	if strings.Contains(all, "the-security-token") || !strings.Contains(all, "x-security-token:(hidden)") {
		t.Errorf("got %s", all)
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "auth.key")
	first := must[*Keyring](t)(OpenKeyring(path))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	kept := newStore()
	d := openDirectory(t, withStore(kept), withKeyring(first))
	ak, sk, err := d.CreateKey("AA", "")
	if err != nil {
		t.Fatal(err)
	}
	_, token := login(t, d, alice())
	works := func(ring *Keyring) error {
		d, err := OpenDirectory(Options{Domains: accounts(), Store: kept, Keyring: ring, Now: newClock().now})
		if err != nil {
			return err
		}
		if _, err := d.ReadToken(token); err != nil {
			return err
		}
		_, err = check(NewVerifier(d, VerifierOptions{}), request("P1", ak, sk, "", testTime))
		return err
	}
	if err := works(must[*Keyring](t)(OpenKeyring(path))); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if err := works(NewKeyring()); !errors.Is(err, errSealed) {
		t.Errorf("with another key file: %v", err)
	}

	// Rotation: a new key in front, a start, and the old key is not needed for
	// secrets any more; only tokens sealed with it end.
	old := must[[]byte](t)(os.ReadFile(path))
	newKey := keyPrefix + strings.Repeat("0123456789abcdef", 4) + "\n"
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(newKey + string(old))
	if err := works(must[*Keyring](t)(OpenKeyring(path))); err != nil {
		t.Errorf("with both keys: %v", err)
	}
	write(newKey)
	ring := must[*Keyring](t)(OpenKeyring(path))
	if err := works(ring); !errors.Is(err, ErrDenied) {
		t.Errorf("an old token with the new key alone: %v", err)
	}
	_, token = login(t, openDirectory(t, withStore(kept), withKeyring(ring)), alice())
	if err := works(ring); err != nil {
		t.Errorf("with the new key alone: %v", err)
	}
	for _, bad := range []string{"", "# only a comment\n", "disd-key-1 00\n", "disd-key-2 " + newKey[len(keyPrefix):], newKey + "x"} {
		write(bad)
		if _, err := OpenKeyring(path); err == nil || strings.Contains(err.Error(), "0123456789") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestStoredRecordsAreChecked(t *testing.T) {
	for name, raw := range map[string]string{
		"key/A":    `{`,
		"domain/A": `{"kind":"domain","id":"B","name":"x"}`,
		"thing/A":  `{"kind":"thing","id":"A"}`,
		"key/K":    `{"kind":"key","id":"K","user":"AA","secret":"AAAA"}`,
	} {
		s := newStore()
		s.records[name] = []byte(raw)
		if _, err := OpenDirectory(Options{Domains: accounts(), Store: s}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Changes and questions at once (for the race detector).
func TestConcurrentUse(t *testing.T) {
	d := openDirectory(t, withStore(newStore()))
	v := NewVerifier(d, VerifierOptions{MaxFailures: 1000})
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := range 50 {
				name := fmt.Sprint(w, ".", i)
				if _, err := d.AddUser("acme", name, name, ""); err != nil {
					t.Error(err)
				}
				if _, _, err := d.Login(password("acme", name, name)); err != nil {
					t.Error(err)
				}
				if _, err := check(v, request("P1", testAK, testSK, "", testTime)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func TestRandomText(t *testing.T) {
	for range 100 {
		ak, sk := newKeyPair()
		if len(ak) != 20 || len(sk) != 40 || strings.Trim(ak, upperDigits) != "" || strings.Trim(sk, letters) != "" {
			t.Fatalf("got %s %s", ak, sk)
		}
	}
}

// TestOpenTokens: what an open server gave to whoever asked for it opens nothing
// when it is started again in mode required.
func TestOpenTokens(t *testing.T) {
	ring, c := NewKeyring(), newClock()
	then := openDirectory(t, open, withKeyring(ring), withClock(c))
	now := openDirectory(t, withKeyring(ring), withClock(c))
	for mode, d := range map[string]*Directory{"open": then, "required": now} {
		_, token, err := d.Login(password("acme", "alice", "alice's password"))
		if err != nil {
			t.Fatal(err)
		}
		key, err := d.NewTemporaryKey(token, 0)
		if err != nil {
			t.Fatal(err)
		}
		for what, hold := range map[string]func() error{
			"a token":         func() error { _, err := now.ReadToken(token); return err },
			"a login":         func() error { _, _, err := now.Login(Login{Methods: []string{"token"}, Token: token}); return err },
			"a key of it":     func() error { _, err := now.NewTemporaryKey(token, 0); return err },
			"a temporary key": func() error { _, _, err := now.secret(key.AK, key.SecurityToken); return err },
		} {
			if err := hold(); (err == nil) != (mode == "required") {
				t.Errorf("%s of mode %s: %v", what, mode, err)
			}
		}
	}
}

// TestLongRequests: the deviations of S-9 are not tried on requests that no client
// sends. They cost many times the canonical form.
func TestLongRequests(t *testing.T) {
	v := verifierFor(t, testAK, testSK, testTime, VerifierOptions{})
	lower := signer{algorithm: "SDK-HMAC-SHA256", habits: habits{lower: true}}
	for _, test := range []struct {
		params, size int
		signer       signer
		want         bool
	}{
		{256, 1, lower, true},
		{257, 1, lower, false},
		{257, 1, forms[0], true},
		{1, 16_000, lower, true},
		{1, 17_000, lower, false},
		{1, 17_000, forms[0], true},
	} {
		var query []string
		for i := range test.params {
			query = append(query, fmt.Sprintf("A%d=%s", i, strings.Repeat("x", test.size)))
		}
		r := httptest.NewRequest(http.MethodGet, "/v2/p/streams?"+strings.Join(query, "&"), http.NoBody)
		test.signer.sign(r, nil)
		if _, err := check(v, r); (err == nil) != test.want {
			t.Errorf("%d parameters of %d characters: %v", test.params, test.size, err)
		}
	}
}

// TestGuessesWaitForEachOther: however many guesses come from one address, another
// address is next. It may come too late to be, but not always.
func TestGuessesWaitForEachOther(t *testing.T) {
	stored := hashPassword("right", 1)
	place := func() int {
		p := newPasswords()
		for range cap(p.slots) {
			p.slots <- struct{}{} // all are taken
		}
		order := make(chan string, 100)
		var all sync.WaitGroup
		guess := func(from string, n int) {
			for range n {
				all.Go(func() {
					p.matchesStored(from, "wrong", stored)
					order <- from
				})
			}
			for arrived := 0; arrived < n; time.Sleep(time.Millisecond) {
				p.mu.Lock()
				if t := p.turns[from]; t != nil {
					arrived = t.n
				}
				p.mu.Unlock()
			}
		}
		guess("guesser", 50)
		guess("other", 1)
		<-p.slots // for one after the other
		all.Wait()
		close(order)
		var got []string
		for from := range order {
			got = append(got, from)
		}
		if len(p.turns) != 0 {
			t.Errorf("%d addresses are remembered", len(p.turns))
		}
		return slices.Index(got, "other")
	}
	for range 20 {
		if place() <= 2 {
			return
		}
	}
	t.Error("the other address is never next")
}

// TestWrongPasswordsAreSlow: also those of users whose right one is remembered.
func TestWrongPasswordsAreSlow(t *testing.T) {
	p := newPasswords()
	stored := hashPassword("right", 1)
	if !p.check("", "right", stored) {
		t.Fatal("the right one is refused")
	}
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	if !p.check("", "right", stored) {
		t.Error("the right one is not remembered")
	}
	wrong := make(chan bool)
	go func() { wrong <- p.check("", "wrong", stored) }()
	select {
	case <-wrong:
		t.Error("a wrong one is refused without comparing it")
	case <-time.After(10 * time.Millisecond):
		<-p.slots
		if <-wrong {
			t.Error("a wrong one is accepted")
		}
	}
}

// TestPasswordsAreForgotten: those that were changed do not fill the memory.
func TestPasswordsAreForgotten(t *testing.T) {
	p := newPasswords()
	for i := range maxKnown + 10 {
		p.remember(p.digest("secret"), fmt.Sprint("hash ", i))
	}
	if n := len(p.known); n > maxKnown || n == 0 {
		t.Errorf("%d passwords are remembered", n)
	}
}
