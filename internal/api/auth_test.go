package api_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"disd/internal/api"
	"disd/internal/api/ops"
	"disd/internal/auth"
	"disd/internal/auth/audit"
	"disd/internal/partition"
	"disd/internal/quota"
)

// Two accounts, with one project and some users each.
var twoDomains = []auth.DomainConfig{
	{
		ID: "d1", Name: "acme",
		Projects: []auth.ProjectConfig{{ID: "p1", Name: "region-1"}, {ID: "p1b", Name: "region-1_second"}},
		Users: []auth.UserConfig{
			{Name: "alice", Password: "alice-password", AccessKeys: []auth.KeyConfig{{AK: "AK-ALICE", SK: "sk-alice"}}},
			{Name: "ray", Role: auth.Reader, AccessKeys: []auth.KeyConfig{{AK: "AK-RAY", SK: "sk-ray"}}},
			{Name: "root", Role: auth.Administrator, AccessKeys: []auth.KeyConfig{{AK: "AK-ROOT", SK: "sk-root"}}},
		},
	},
	{
		ID: "d2", Name: "other",
		Projects: []auth.ProjectConfig{{ID: "p2", Name: "region-1"}},
		Users: []auth.UserConfig{
			{Name: "bob", Password: "bob-password", AccessKeys: []auth.KeyConfig{{AK: "AK-BOB", SK: "sk-bob"}}},
			{Name: "carol", AccessKeys: []auth.KeyConfig{{AK: "AK-CAROL", SK: "sk-carol"}}},
		},
	},
}

// newGuardedBench starts a server that lets nobody in without credentials.
func newGuardedBench(t *testing.T, edit ...func(*setup)) *bench {
	t.Helper()
	return newBench(t, append([]func(*setup){func(s *setup) {
		s.Auth.Mode, s.Auth.Domains = auth.ModeRequired, twoDomains
	}}, edit...)...)
}

// as sends a request signed with an access key.
func (b *bench) as(ak, method, path, body string, header ...string) answerSeen {
	b.Helper()
	return b.do(method, path, body, append(header, b.sign(ak, method, path, body)...)...)
}

// sign returns the headers that sign a request with an access key in the plain form
// (S-1), over the date alone.
func (b *bench) sign(ak, method, path, body string) (header []string) {
	b.Helper()
	return b.signWith(ak, strings.ToLower(strings.Replace(ak, "AK-", "sk-", 1)), method, path, body)
}

func (b *bench) signWith(ak, sk, method, path, body string) (header []string) {
	b.Helper()
	date := b.clock.now().UTC().Format("20060102T150405Z")
	u, err := url.Parse(path)
	if err != nil {
		b.Fatal(err)
	}
	canonical := method + "\n" + strings.TrimSuffix(u.Path, "/") + "/\n" + strings.ReplaceAll(u.Query().Encode(), "+", "%20") +
		"\nx-sdk-date:" + date + "\n\nx-sdk-date\n" + hexSum(body)
	mac := hmac.New(sha256.New, []byte(sk))
	fmt.Fprintf(mac, "SDK-HMAC-SHA256\n%s\n%s", date, hexSum(canonical))
	return []string{
		"X-Sdk-Date", date,
		"Authorization", fmt.Sprintf("SDK-HMAC-SHA256 Access=%s, SignedHeaders=x-sdk-date, Signature=%x", ak, mac.Sum(nil)),
	}
}

func hexSum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func login(user, domain, password, scope string) string {
	return fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":%q,"password":%q,"domain":{"name":%q}}}}%s}}`,
		user, password, domain, scope)
}

const (
	byProjectName = `,"scope":{"project":{"name":"region-1"}}`
	byProjectID   = `,"scope":{"project":{"id":"p1"}}`
	byDomain      = `,"scope":{"domain":{"name":"acme"}}`
)

// TestLogin is E1.
func TestLogin(t *testing.T) {
	b := newGuardedBench(t)
	for _, test := range []struct {
		rule, body string
		status     int
		code       string
	}{
		{"E1-R1", login("alice", "acme", "alice-password", byProjectName), 201, ""},
		{"E1-N1", login("alice", "acme", "alice-password", byProjectID), 201, ""},
		{"E1-R7", login("alice", "acme", "alice-password", byDomain), 201, ""},
		{"E1 without scope", login("alice", "acme", "alice-password", ""), 201, ""},
		{"E1-R3 password", login("alice", "acme", "wrong", byProjectID), 401, "IAM.0401"},
		{"E1-R3 domain", login("alice", "nowhere", "alice-password", byProjectID), 401, "IAM.0401"},
		{"E1-R3 user", login("nobody", "acme", "alice-password", byProjectID), 401, "IAM.0401"},
		{"E1-R4 unknown project", login("alice", "acme", "alice-password", `,"scope":{"project":{"id":"p9"}}`), 401, "IAM.0401"},
		{"E1-R4 foreign project", login("alice", "acme", "alice-password", `,"scope":{"project":{"id":"p2"}}`), 401, "IAM.0401"},
		{"E1-R4 no identity", `{"auth":{}}`, 400, "IAM.0400"},
		{"E1-R6", `{"auth":{"identity":{"methods":["password","totp"]}}}`, 401, "IAM.0401"},
		{"E1 malformed", `{`, 400, "IAM.0400"},
		{"E1 empty", ``, 400, "IAM.0400"},
	} {
		t.Attr("rules", test.rule)
		a := b.do("POST", "/v3/auth/tokens", test.body)
		if !requestID.MatchString(a.header.Get("X-Request-Id")) { // C-51
			t.Errorf("%s: request id %q", test.rule, a.header.Get("X-Request-Id"))
		}
		if a.status != test.status {
			t.Errorf("%s: status %d, want %d: %s", test.rule, a.status, test.status, a.body)
			continue
		}
		if test.code == "" {
			continue
		}
		if got := a.member(t, "errorCode"); got != test.code {
			t.Errorf("%s: %v, want %s", test.rule, got, test.code)
		}
		if got := a.member(t, "error.code"); got != json.Number(fmt.Sprint(test.status)) {
			t.Errorf("%s: error.code %v", test.rule, got)
		}
	}
}

// TestToken is E1-R1, E1-R2, E1-R7, E1-R8, C-11, C-12, C-13 and E52.
func TestToken(t *testing.T) {
	t.Attr("rules", "E1-R1 E1-R9")
	b := newGuardedBench(t)
	a := b.want(201, "POST", "/v3/auth/tokens", login("alice", "acme", "alice-password", byProjectName))
	token := a.header.Get("X-Subject-Token")
	if a.member(t, "token.project.id") != "p1" || a.member(t, "token.user.domain.name") != "acme" {
		t.Errorf("E1-R1: %s", a.body)
	}
	if !strings.Contains(a.body, `"catalog":[`+catalogOf("dis", b.url, "region-1")+`]`) {
		t.Errorf("E1-R8: %s", a.body)
	}
	second := b.want(201, "POST", "/v3/auth/tokens", login("alice", "acme", "alice-password", `,"scope":{"project":{"name":"region-1_second"}}`))
	if !strings.Contains(second.body, `"catalog":[`+catalogOf("dis", b.url, "region-1")+`]`) {
		t.Errorf("E1-R8, a project of the same region: %s", second.body)
	}
	if _, err := time.Parse(time.RFC3339, a.member(t, "token.expires_at").(string)); err != nil {
		t.Errorf("E1-R9: %v", err)
	}
	list := func(project, token string) string {
		a := b.do("GET", "/v2/"+project+"/streams", "", "X-Auth-Token", token)
		if a.status == 200 {
			return "ok"
		}
		return a.code(t)
	}
	domain := b.want(201, "POST", "/v3/auth/tokens", login("alice", "acme", "alice-password", byDomain))
	if domain.member(t, "token.project") != nil || domain.member(t, "token.domain.id") != "d1" {
		t.Errorf("E1-R7: %s", domain.body)
	}
	again := b.want(201, "POST", "/v3/auth/tokens", `{"auth":{"identity":{"methods":["token"],"token":{"id":"`+token+`"}},"scope":{"project":{"id":"p1b"}}}}`)
	for _, test := range []struct{ rule, project, token, want string }{
		{"E1-R1", "p1", token, "ok"},
		{"C-13", "p1b", token, "DIS.4117"},
		{"C-13", "p2", token, "DIS.4117"},
		{"C-12", "p1", domain.header.Get("X-Subject-Token"), "DIS.4116"},
		{"E1-R6", "p1b", again.header.Get("X-Subject-Token"), "ok"},
		{"C-25", "p1", token + "x", "APIGW.0301"},
		{"C-25", "p1", "", "APIGW.0301"},
	} {
		t.Attr("rules", test.rule)
		if got := list(test.project, test.token); got != test.want {
			t.Errorf("%s: project %s: %s, want %s", test.rule, test.project, got, test.want)
		}
	}
	shown := b.do("GET", "/v3/auth/tokens", "", "X-Auth-Token", token, "X-Subject-Token", token)
	if shown.status != 200 || shown.header.Get("X-Subject-Token") != token || shown.body != a.body {
		t.Errorf("E52-R1: %+v", shown)
	}
	bob := b.want(201, "POST", "/v3/auth/tokens", login("bob", "other", "bob-password", "")).header.Get("X-Subject-Token")
	if a := b.do("GET", "/v3/auth/tokens", "", "X-Auth-Token", bob, "X-Subject-Token", token); a.status != 404 {
		t.Errorf("E52-R1 of another domain: %d %s", a.status, a.body)
	}
	if a := b.do("GET", "/v3/auth/tokens", "", "X-Auth-Token", token, "X-Subject-Token", "x"); a.status != 404 || a.member(t, "errorCode") != "IAM.0404" {
		t.Errorf("E52-R1 unknown: %d %s", a.status, a.body)
	}
	b.clock.advance(24*time.Hour - time.Second)
	if got := list("p1", token); got != "ok" {
		t.Errorf("C-11 before the end: %s", got)
	}
	b.clock.advance(2 * time.Second)
	if got := list("p1", token); got != "APIGW.0301" {
		t.Errorf("C-11 after the end: %s", got)
	}
}

// catalogOf is an entry of the catalog, byte for byte.
func catalogOf(service, url string, regions ...string) string {
	var endpoints []string
	for _, r := range regions {
		endpoints = append(endpoints, fmt.Sprintf(`{"id":"%s-public","interface":"public","region":%q,"region_id":%q,"url":%q}`, service, r, r, url))
	}
	return fmt.Sprintf(`{"id":%q,"name":%q,"type":%q,"endpoints":[%s]}`, service, service, service, strings.Join(endpoints, ","))
}

// TestObjectStoreInCatalog: clients find the object store where they find DIS.
func TestObjectStoreInCatalog(t *testing.T) {
	t.Attr("rules", "E1-R8")
	const store = "https://obs.example.com"
	b := newGuardedBench(t, func(o *setup) {
		obs := &o.Transfer.OBS
		obs.Directory, obs.Endpoint, obs.AccessKey, obs.SecretKey = "", store, "ak", "sk"
	})
	want := `"catalog":[` + catalogOf("dis", b.url, "region-1") + "," + catalogOf("object", store, "region-1") + `]`
	if a := b.want(201, "POST", "/v3/auth/tokens", login("alice", "acme", "alice-password", byProjectID)); !strings.Contains(a.body, want) {
		t.Errorf("%s, want %s", a.body, want)
	}
	if a := b.as("AK-ALICE", "GET", "/v3/auth/catalog", ""); !strings.Contains(a.body, want) { // E53-R1, one of two projects
		t.Errorf("%s, want %s", a.body, want)
	}
}

// TestIdentityLists is E2 and E51 to E59.
func TestIdentityLists(t *testing.T) {
	t.Attr("rules", "E51-R1 E58-R1")
	b := newGuardedBench(t)
	for _, test := range []struct{ rule, path, member, want string }{
		{"E2-R1", "/v3/projects", "projects.1.name", "region-1_second"},
		{"E2-R2", "/v3/projects?name=region-1", "projects.0.id", "p1"},
		{"E53-R1", "/v3/auth/catalog", "catalog.0.endpoints.0.region_id", "region-1"},
		{"E54-R1", "/v3/auth/domains", "domains.0.name", "acme"},
		{"E55-R1", "/v3/auth/projects", "projects.0.domain_id", "d1"},
		{"E56-R1", "/v3/users?name=alice", "users.0.domain_id", "d1"},
		{"E59-R1", "/v3.0/OS-CREDENTIAL/credentials/AK-ALICE", "credential.status", "active"},
	} {
		t.Attr("rules", test.rule)
		a := b.as("AK-ALICE", "GET", test.path, "")
		if a.status != 200 || a.member(t, test.member) != test.want {
			t.Errorf("%s: %d %s", test.rule, a.status, a.body)
		}
	}
	for _, test := range []struct{ rule, path, body string }{
		{"E2-R2", "/v3/projects?name=region", `{"projects":[],`},
		{"E2-R3", "/v3/projects?name=REGION-1", `{"projects":[],`},
		{"E54-R1", "/v3/auth/domains?name=other", `{"domains":[],`},
		{"E56-R1", "/v3/users?name=bob", `{"users":[],`},
	} {
		t.Attr("rules", test.rule)
		if a := b.as("AK-ALICE", "GET", test.path, ""); a.status != 200 || !strings.HasPrefix(a.body, test.body) || !strings.Contains(a.body, `"next":null`) {
			t.Errorf("%s: %d %s", test.rule, a.status, a.body)
		}
	}
	if a := b.as("AK-ALICE", "GET", "/v3.0/OS-CREDENTIAL/credentials/AK-BOB", ""); a.status != 404 || a.member(t, "errorCode") != "IAM.0404" {
		t.Errorf("E59-R1 foreign: %d %s", a.status, a.body)
	}
	if a := b.as("AK-ALICE", "GET", "/v3.0/OS-CREDENTIAL/credentials/AK-ALICE", ""); strings.Contains(a.body, "sk-alice") || strings.Contains(a.body, "secret") {
		t.Errorf("E59-R1: %s", a.body)
	}
	version := `{"id":"v3.6","status":"stable","links":[{"rel":"self","href":"` + b.url + `/v3/"}]}`
	if a := b.want(200, "GET", "/", ""); a.body != `{"versions":{"values":[`+version+`]}}` {
		t.Errorf("E51-R1: %s", a.body)
	}
	if a := b.want(200, "GET", "/v3/", ""); a.body != `{"version":`+version+`}` {
		t.Errorf("E51-R1: %s", a.body)
	}
	if a := b.do("POST", "/v3.0/OS-AUTH/id-token/tokens", `{"auth":{"id_token":{"id":"x"}}}`); a.status != 401 || a.member(t, "errorCode") != "IAM.0401" {
		t.Errorf("E58-R1: %d %s", a.status, a.body)
	}
}

// TestTemporaryKeys is E57 and S-10.
func TestTemporaryKeys(t *testing.T) {
	t.Attr("rules", "E57-R1 E57-R2 S-10")
	b := newGuardedBench(t)
	token := b.want(201, "POST", "/v3/auth/tokens", login("alice", "acme", "alice-password", byProjectID)).header.Get("X-Subject-Token")
	ask := func(extra string) answerSeen {
		return b.do("POST", "/v3.0/OS-CREDENTIAL/securitytokens", `{"auth":{"identity":{"methods":["token"],"token":{"id":"`+token+`"`+extra+`}}}}`)
	}
	a := ask(`,"duration_seconds":900`)
	if a.status != 201 || a.member(t, "credential.securitytoken") == "" {
		t.Fatalf("E57-R1: %d %s", a.status, a.body)
	}
	ak, sk := a.member(t, "credential.access").(string), a.member(t, "credential.secret").(string)
	security := []string{"X-Security-Token", a.member(t, "credential.securitytoken").(string)}
	use := func(method, path, body string) int {
		return b.do(method, path, body, append(b.signWith(ak, sk, method, path, body), security...)...).status
	}
	if got := use("POST", "/v2/p1b/apps", `{"app_name":"a"}`); got != 201 { // those of its user, in any project
		t.Errorf("E57-R1 a temporary key: %d", got)
	}
	if got := use("GET", "/v2/p2/apps", ""); got != 400 {
		t.Errorf("E57-R1 in another account: %d", got)
	}
	if got := b.do("GET", "/v2/p1/apps", "", b.signWith(ak, sk, "GET", "/v2/p1/apps", "")...).status; got != 401 {
		t.Errorf("S-10 without its token: %d", got)
	}
	b.clock.advance(899 * time.Second)
	if got := use("GET", "/v2/p1/apps", ""); got != 200 {
		t.Errorf("E57-R1 before its end: %d", got)
	}
	b.clock.advance(time.Second)
	if got := use("GET", "/v2/p1/apps", ""); got != 401 {
		t.Errorf("E57-R1 after its end: %d", got)
	}
	if a := ask(`,"duration_seconds":899`); a.status != 400 || a.member(t, "errorCode") != "IAM.0400" {
		t.Errorf("E57-R2 duration: %d %s", a.status, a.body)
	}
	if a := b.do("POST", "/v3.0/OS-CREDENTIAL/securitytokens", `{"auth":{"identity":{"methods":["assume_role"]}}}`); a.status != 401 {
		t.Errorf("E57-R2 method: %d %s", a.status, a.body)
	}
}

// TestSignedCalls is C-20 to C-26 and A-11 at the HTTP surface; the forms of
// signatures are tested in package auth.
func TestSignedCalls(t *testing.T) {
	b := newGuardedBench(t)
	const stream = `{"stream_name":"s","partition_count":1}`
	for _, test := range []struct {
		rule, ak, method, path, body, want string
	}{
		{"C-20", "AK-ALICE", "POST", "/v2/p1/streams", stream, "201"},
		{"C-26", "AK-ALICE", "POST", "/v2/p1b/streams", stream, "201"},
		{"C-26 foreign project", "AK-ALICE", "GET", "/v2/p2/streams", "", "DIS.4117"},
		{"C-26 unknown project", "AK-ALICE", "GET", "/v2/p9/streams", "", "DIS.4117"},
		{"C-25 unknown key", "AK-NOBODY", "GET", "/v2/p1/streams", "", "APIGW.0301"},
		{"A-11 reader reads", "AK-RAY", "GET", "/v2/p1/streams/s", "", "200"},
		{"A-11 reader writes", "AK-RAY", "DELETE", "/v2/p1/streams/s", "", "DIS.4116"},
		{"C-8 a body on GET counts", "AK-ALICE", "GET", "/v2/p1/streams", `{"ignored":1}`, "200"},
		{"C-2 a name of IAM is no project", "AK-ALICE", "GET", "/v2/auth/streams", "", "DIS.4117"},
	} {
		t.Attr("rules", test.rule)
		a := b.as(test.ak, test.method, test.path, test.body)
		got := fmt.Sprint(a.status)
		if a.status >= 400 {
			got = a.code(t)
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s: %s", test.rule, got, test.want, a.body)
		}
	}
	if a := b.do("GET", "/v2/p1/streams", ""); a.status != 401 || a.code(t) != "APIGW.0301" {
		t.Errorf("1.2: no credentials: %d %s", a.status, a.body)
	}
}

// TestSignedBodies is C-23: the body is hashed, whatever a header says of it.
func TestSignedBodies(t *testing.T) {
	b := newGuardedBench(t)
	const path, body = "/v2/p1/apps", `{"app_name":"a"}`
	signed := b.sign("AK-ALICE", "POST", path, body)
	for _, test := range []struct {
		rule, sent, header string
		status             int
	}{
		{"C-23 another body", `{"app_name":"b"}`, "", 401},
		{"C-23 another body under the signed one's hash", `{"app_name":"b"}`, hexSum(body), 401},
		{"C-23 another body under its own hash", `{"app_name":"b"}`, hexSum(`{"app_name":"b"}`), 401},
		{"C-23 a body that claims not to be signed", `{"app_name":"b"}`, "UNSIGNED-PAYLOAD", 401},
		{"C-23 the body under another hash", body, hexSum("another body"), 201},
	} {
		t.Attr("rules", test.rule)
		a := b.do("POST", path, test.sent, append(slices.Clone(signed), "X-Sdk-Content-Sha256", test.header)...)
		if a.status != test.status {
			t.Errorf("%s: %d %s", test.rule, a.status, a.body)
		}
		if a.status == 401 && a.code(t) != "APIGW.0301" {
			t.Errorf("%s: %s", test.rule, a.body)
		}
	}
	for _, test := range []struct {
		rule string
		age  time.Duration
		want int
	}{
		{"C-23 in the window", 15 * time.Minute, 200},
		{"C-23 too old", 15*time.Minute + time.Second, 401},
		{"C-23 from the future, in the window", -15 * time.Minute, 200},
		{"C-23 from the future", -15*time.Minute - time.Second, 401},
	} {
		t.Attr("rules", test.rule)
		b := newGuardedBench(t)
		b.clock.advance(time.Second - time.Duration(b.clock.now().Nanosecond())) // dates have seconds
		b.clock.advance(-test.age)
		signed := b.sign("AK-ALICE", "GET", "/v2/p1/apps", "")
		b.clock.advance(test.age)
		if a := b.do("GET", "/v2/p1/apps", "", signed...); a.status != test.want {
			t.Errorf("%s: %d %s", test.rule, a.status, a.body)
		}
	}
	undated := b.sign("AK-ALICE", "GET", path, "")
	undated[3] = strings.Replace(undated[3], "SignedHeaders=x-sdk-date", "SignedHeaders=host", 1)
	if a := b.do("GET", path, "", undated...); a.status != 401 {
		t.Errorf("C-23 a date that is not signed: %d %s", a.status, a.body)
	}
}

// TestUnsignedHeaders: what a signature does not cover changes nothing about whose
// request it is.
func TestUnsignedHeaders(t *testing.T) {
	b := newGuardedBench(t)
	if a := b.as("AK-BOB", "POST", "/v2/p2/apps", `{"app_name":"bobs"}`); a.status != 201 {
		t.Fatal(a)
	}
	for _, test := range []struct {
		rule, path string
		header     []string
		want       string
	}{
		{"S-11 the project is that of the path", "/v2/p2/apps", []string{"X-Project-Id", "p1"}, "DIS.4117"},
		{"S-11 a header opens no other project", "/v2/p2/apps", []string{"X-Project-Id", "p2"}, "DIS.4117"},
		{"S-11 a header takes to no other project", "/v2/p1/apps", []string{"X-Project-Id", "p2"}, "DIS.4117"},
		{"S-11 nor another account", "/v2/p2/apps", []string{"X-Project-Id", "p2", "X-Domain-Id", "d2"}, "DIS.4117"},
		{"S-11 its own", "/v2/p1/apps", []string{"X-Project-Id", "p1", "X-Domain-Id", "d2", "X-User-Id", "bob", "X-Domain-Name", "other"}, `"total_number":0`},
		{"S-11 what it may enter", "/v3/projects", []string{"X-Project-Id", "p2", "X-Domain-Id", "d2"}, `"id":"p1b"`},
		{"S-10 a token of temporary keys", "/v2/p1/apps", []string{"X-Security-Token", "x"}, "APIGW.0301"},
	} {
		t.Attr("rules", test.rule)
		a := b.as("AK-ALICE", "GET", test.path, "", test.header...)
		if !strings.Contains(a.body, test.want) || strings.Contains(a.body, "bobs") || strings.Contains(a.body, `"p2"`) {
			t.Errorf("%s: %d %s", test.rule, a.status, a.body)
		}
	}
}

// TestProjectsOfKeys: SDKs look up the project of a key by a request that is signed
// over nothing but its date, as often as they start.
func TestProjectsOfKeys(t *testing.T) {
	t.Attr("rules", "E2-R4")
	b := newGuardedBench(t, quotas(quota.Enforce, partition.Quotas{}), func(o *setup) {
		o.Quota.ControlCalls = 1
	})
	signed := b.sign("AK-ALICE", "GET", "/v3/projects?name=region-1", "")
	if !strings.Contains(signed[3], "SignedHeaders=x-sdk-date,") {
		t.Fatal(signed)
	}
	for range 10 {
		b.want(201, "POST", "/v3/auth/tokens", login("alice", "acme", "alice-password", byProjectID)) // E1-R9
	}
	for range 100 { // E2-R4, also twice the same
		a := b.do("GET", "/v3/projects?name=region-1", "", signed...)
		if a.status != 200 || a.member(t, "projects.0.id") != "p1" {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
}

// TestGuestsThroughput: what another account does with a stream is the stream's
// traffic, and uses up no quota of that account.
func TestGuestsThroughput(t *testing.T) {
	t.Attr("rules", "A-9")
	b := newGuardedBench(t, quotas(quota.Enforce, partition.Quotas{CommonPartitions: 1, Common: partition.Throughput{WriteBytes: 10, ReadBytes: 10}}))
	must := func(ak, method, path, body, want string) answerSeen {
		t.Helper()
		a := b.as(ak, method, path, body)
		if !strings.Contains(a.body, want) || want == "" && a.status >= 300 {
			t.Errorf("%s %s %s: %d %s, want %s", ak, method, path, a.status, a.body, want)
		}
		return a
	}
	must("AK-ALICE", "POST", "/v2/p1/streams", `{"stream_name":"s","partition_count":1}`, "")
	id := must("AK-ALICE", "GET", "/v2/p1/streams/s", "", "").member(t, "stream_id").(string)
	for _, action := range []string{"putRecords", "getRecords"} {
		must("AK-ALICE", "POST", "/v2/p1/streams/s/policies", fmt.Sprintf(`{"stream_id":%q,"principal_name":"other.*","action_type":%q,"effect":"accept"}`, id, action), "")
	}
	own := `{"stream_name":"s","records":[{"data":"QUFBQUFB"}]}` // six bytes
	guest := `{"stream_name":"","stream_id":"` + id + `","records":[{"data":"QUFBQUFB"}]}`
	must("AK-BOB", "POST", "/v2/p2/records", guest, `"failed_record_count":0`)
	must("AK-ALICE", "POST", "/v2/p1/records", own, "DIS.4303")
	must("AK-BOB", "POST", "/v2/p2/records", guest, "DIS.4303")
	b.clock.advance(time.Second)
	must("AK-ALICE", "POST", "/v2/p1/records", own, `"failed_record_count":0`)
	must("AK-BOB", "POST", "/v2/p2/records", guest, "DIS.4303")
	cursor := must("AK-BOB", "GET", "/v2/p2/cursors?partition-id=0&stream-id="+id, "", "").member(t, "partition_cursor").(string)
	must("AK-BOB", "GET", "/v2/p2/records?partition-cursor="+cursor, "", `"data"`) // twelve bytes of ten
	b.clock.advance(time.Second)

	end := b.clock.now().Unix()
	metrics := func(path string) string {
		return fmt.Sprintf("%s?start_time=%d&end_time=%d&label_list=total_put_records_per_stream,total_get_bytes_per_stream,traffic_control_put", path, end-120, end)
	}
	points := regexp.MustCompile(`"value":\d+`).FindAllString(must("AK-ALICE", "GET", metrics("/v2/p1/streams/s/metrics"), "", "").body, -1)
	if got := strings.Join(slices.Compact(points), " "); got != `"value":2 "value":12 "value":3` { // each of them twice, for old and new clients
		t.Errorf("A-9: the stream's metrics are %s", got)
	}
	must("AK-ALICE", "POST", "/v2/p1/streams", `{"stream_name":"t","partition_count":1}`, "DIS.4308")
	must("AK-BOB", "POST", "/v2/p2/streams", `{"stream_name":"t","partition_count":1}`, "") // his own quota is free
}

// TestPolicies is section 7, E9, E10 and E50.
func TestPolicies(t *testing.T) {
	t.Attr("rules", "E9-R3 A-6 A-4 A-5 E50-R2 E9-R5 E20-R10 A-8 A-7 E50-R1")
	b := newGuardedBench(t)
	must := func(ak, method, path, body, want string) answerSeen {
		t.Helper()
		a := b.as(ak, method, path, body)
		got := fmt.Sprint(a.status)
		if a.status >= 400 {
			got = a.code(t)
		}
		if got != want {
			t.Fatalf("%s: %s %s %s: %s, want %s: %s", ak, method, path, body, got, want, a.body)
		}
		return a
	}
	must("AK-ALICE", "POST", "/v2/p1/streams", `{"stream_name":"s","partition_count":1}`, "201")
	id := must("AK-ALICE", "GET", "/v2/p1/streams/s", "", "200").member(t, "stream_id").(string)
	put := `{"stream_name":"","stream_id":"` + id + `","records":[{"data":"YQ=="}]}`
	must("AK-BOB", "POST", "/v2/p2/records", put, "DIS.4116")
	must("AK-BOB", "POST", "/v2/p2/records", strings.Replace(put, id, "0000000000000000000", 1), "DIS.4301")
	named := strings.Replace(put, `"stream_name":""`, `"stream_name":"s"`, 1)
	must("AK-BOB", "POST", "/v2/p2/records", named, "DIS.4116") // A-6, no such name of his
	must("AK-BOB", "POST", "/v2/p2/streams", `{"stream_name":"s","partition_count":1}`, "201")
	must("AK-BOB", "POST", "/v2/p2/records", named, "200") // A-6, his own comes first
	must("AK-BOB", "DELETE", "/v2/p2/streams/s", "", "204")

	grant := func(principal, action string) string {
		return fmt.Sprintf(`{"stream_id":%q,"principal_name":%q,"action_type":%q,"effect":"accept"}`, id, principal, action)
	}
	const policies = "/v2/p1/streams/s/policies"
	must("AK-ALICE", "POST", policies, grant("other.bob", "putRecords"), "200")
	must("AK-ALICE", "POST", policies, grant("other.bob", "putRecords"), "200")              // E9-R1, again
	must("AK-BOB", "POST", "/v2/p2/records", put, "200")
	must("AK-CAROL", "POST", "/v2/p2/records", put, "DIS.4116")                              // another user
	must("AK-BOB", "GET", "/v2/p2/cursors?partition-id=0&stream-id="+id, "", "DIS.4116")     // another action
	must("AK-BOB", "GET", "/v2/p2/streams/x?stream_id="+id, "", "DIS.4116")                  // another action
	must("AK-ALICE", "POST", policies, grant("other.*", "getRecords"), "200")                // every user
	must("AK-ALICE", "POST", policies, grant("other , other.carol", "getStreamInfo"), "200") // E9-R2
	must("AK-CAROL", "GET", "/v2/p2/streams?stream_id="+id, "", "200")                       // A-5, E42-R1
	must("AK-CAROL", "GET", "/v2/p2/streams/"+id, "", "200")                                 // E6-R10
	cursor := must("AK-CAROL", "GET", "/v2/p2/cursors?partition-id=0&stream-id="+id, "", "200").member(t, "partition_cursor").(string)
	must("AK-CAROL", "GET", "/v2/p2/records?partition-cursor="+cursor, "", "200")
	must("AK-CAROL", "POST", "/v2/p2/apps", `{"app_name":"mine"}`, "201")
	must("AK-CAROL", "POST", "/v2/p2/checkpoints", `{"app_name":"mine","stream_id":"`+id+`","partition_id":"0","sequence_number":"1"}`, "201") // L-26
	must("AK-CAROL", "GET", "/v2/p2/checkpoints?app_name=mine&partition_id=0&stream_id="+id, "", "200")
	must("AK-CAROL", "GET", "/v2/p2/apps/mine/streams/"+id, "", "200")
	must("AK-CAROL", "DELETE", "/v2/p2/checkpoints?app_name=mine&stream_id="+id, "", "204")
	must("AK-CAROL", "DELETE", "/v2/p2/apps/mine", "", "204")
	must("AK-CAROL", "POST", "/v2/p2/records", put, "DIS.4116")                                                // A-4, not what was not granted
	must("AK-CAROL", "POST", "/v2/p2/streams/"+id+"/policies", grant("other.carol", "putRecords"), "DIS.4301") // E9-R3
	must("AK-CAROL", "DELETE", "/v2/p2/streams/s", "", "DIS.4301")                                             // A-8, by name there is none
	must("AK-ALICE", "GET", policies, "", "200")

	for _, bad := range []struct{ rule, body, want string }{
		{"E9-R4", grant("other.nobody", "putRecords"), "DIS.4200"},
		{"E9-R4", grant("nowhere.*", "putRecords"), "DIS.4200"},
		{"E9-R2", grant("other.bob,,other.carol", "putRecords"), "DIS.4200"},
		{"E9", grant("other.bob", "deleteStream"), "DIS.4200"},
		{"E9", strings.Replace(grant("other.bob", "putRecords"), "accept", "deny", 1), "DIS.4200"},
		{"E9-R3", strings.Replace(grant("other.bob", "putRecords"), id, "0000000000000000000", 1), "DIS.4301"},
		{"E9", `{}`, "DIS.4202"},
	} {
		t.Attr("rules", bad.rule)
		must("AK-ALICE", "POST", policies, bad.body, bad.want)
	}
	list := must("AK-ALICE", "GET", policies, "", "200")
	if list.member(t, "rules.0.principal_name") != "other.bob" || list.member(t, "rules.1.principal") != "d2.*" || list.member(t, "streamId") != id {
		t.Errorf("E10: %s", list.body)
	}
	must("AK-BOB", "DELETE", policies, grant("other.bob", "putRecords"), "DIS.4117")                    // E50-R2
	must("AK-BOB", "DELETE", "/v2/p2/streams/s/policies", grant("other.bob", "putRecords"), "DIS.4301") // E50-R2
	must("AK-BOB", "POST", "/v2/p2/records", put, "200")                                                // E50-R2, nothing was revoked
	must("AK-ALICE", "DELETE", policies, grant("other.bob", "putRecords"), "204")                       // E50-R1
	must("AK-ALICE", "DELETE", policies, grant("other.bob", "putRecords"), "204")                       // again
	must("AK-BOB", "POST", "/v2/p2/records", put, "DIS.4116")                                           // E9-R5, revoked at once
	must("AK-ALICE", "DELETE", policies, grant("other.*", "getRecords"), "204")
	must("AK-CAROL", "GET", "/v2/p2/records?partition-cursor="+cursor, "", "DIS.4116") // E20-R10
	must("AK-ALICE", "DELETE", "/v2/p1/streams/s", "", "204")
	must("AK-BOB", "POST", "/v2/p2/records", put, "DIS.4301")
}

// TestRevokedConsumer: what a policy gave a member of a group ends with it, not
// with the round.
func TestRevokedConsumer(t *testing.T) {
	t.Attr("rules", "G-20")
	b := newGuardedBench(t)
	b.as("AK-ALICE", "POST", "/v2/p1/streams", `{"stream_name":"s","partition_count":1}`)
	id := b.as("AK-ALICE", "GET", "/v2/p1/streams/s", "").member(t, "stream_id").(string)
	grant := fmt.Sprintf(`{"stream_id":%q,"principal_name":"other.carol","action_type":"getRecords","effect":"accept"}`, id)
	join := fmt.Sprintf(`{"clientId":"A","interestedStreamIdList":[%q]}`, id)
	commit := fmt.Sprintf(`{"app_name":"mine","stream_id":%q,"partition_id":"0","sequence_number":"0","client_id":"A","generation_id":1}`, id)
	const policies, group = "/v2/p1/streams/s/policies", "/v2/p2/apps/mine/consumers"
	for i, tt := range []struct{ ak, method, path, body, want string }{
		{"AK-CAROL", "POST", "/v2/p2/apps", `{"app_name":"mine"}`, ""},
		{"AK-CAROL", "POST", group, join, "ERR_SUBSCRIPTION"},
		{"AK-ALICE", "POST", policies, grant, ""},
		{"AK-CAROL", "POST", group, join, `"OK"`},
		{"AK-CAROL", "POST", group + "/A/partitions", `{"generation":-1}`, `"OK"`},
		{"AK-CAROL", "POST", group + "/A/heartbeats", `{"generation":1}`, "STABLE"},
		{"AK-CAROL", "POST", "/v2/p2/checkpoints", commit, ""},
		{"AK-ALICE", "DELETE", policies, grant, ""},
		{"AK-CAROL", "POST", "/v2/p2/checkpoints", commit, "DIS.4116"},
		{"AK-CAROL", "POST", group + "/A/heartbeats", `{"generation":1}`, "JOINING"},
		{"AK-CAROL", "POST", group, join, "ERR_SUBSCRIPTION"},
		{"AK-ALICE", "POST", policies, grant, ""},
		{"AK-CAROL", "POST", group, join, `"OK"`},
		{"AK-ALICE", "DELETE", policies, grant, ""},
		{"AK-CAROL", "POST", group + "/A/partitions", `{"generation":-1}`, "REJOIN"},
	} {
		a := b.as(tt.ak, tt.method, tt.path, tt.body)
		if !strings.Contains(a.body, tt.want) || tt.want == "" && a.status >= 300 {
			t.Errorf("%d %s %s: %d %s, want %s", i, tt.method, tt.path, a.status, a.body, tt.want)
		}
	}
}

// TestWithoutCredentials asks for every operation without any: a few of the
// identity service are for everybody, all others are refused.
func TestWithoutCredentials(t *testing.T) {
	t.Attr("rules", "C-10")
	b := newGuardedBench(t)
	public := map[string]bool{ // E1, E51, E57 with a token in its body, E58
		"GET /": true, "GET /v3": true, "POST /v3/auth/tokens": true,
		"POST /v3.0/OS-CREDENTIAL/securitytokens": true, "POST /v3.0/OS-AUTH/id-token/tokens": true,
	}
	parameter := regexp.MustCompile(`\{[^}]*\}`)
	for _, op := range api.Operations() {
		a := b.do(op[0], parameter.ReplaceAllString(op[1], "x"), "")
		if refused := a.status == 401; refused == public[op[0]+" "+op[1]] {
			t.Errorf("%s %s: %d %s", op[0], op[1], a.status, a.body)
		}
	}
}

// TestAdministration: only administrators, or this machine without credentials.
func TestAdministration(t *testing.T) {
	b := newGuardedBench(t)
	if a := b.as("AK-ALICE", "GET", "/_disd/keys", ""); a.status != 403 {
		t.Errorf("a member: %d %s", a.status, a.body)
	}
	for _, test := range []struct {
		from   string
		header []string
		status int
	}{
		{"this machine", nil, 200},
		{"this machine, by name", []string{"Host", "localhost:20004"}, 200},
		{"this machine, by IPv6", []string{"Host", "[::1]"}, 200},
		{"a proxy", []string{"X-Forwarded-For", "10.0.0.1"}, 401},
		{"a client that hides a proxy", []string{"X-Forwarded-For", ""}, 401},
		{"another proxy", []string{"X-Real-Ip", "10.0.0.1"}, 401},
		{"a proxy that tells the scheme alone", []string{"X-Forwarded-Proto", "https"}, 401},
		{"a client with no token", []string{"X-Auth-Token", ""}, 401},
		{"a page of another site", []string{"Origin", "http://evil.example"}, 403},
		{"a page of a file", []string{"Origin", "null"}, 403},
		{"a link or an image", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"a name that was made to point here", []string{"Host", "evil.example:20004"}, 401},
	} {
		if a := b.do("GET", "/_disd/keys", "", test.header...); a.status != test.status {
			t.Errorf("from %s: %d %s", test.from, a.status, a.body)
		}
	}
	if a := b.as("AK-ROOT", "GET", "/_disd/keys", ""); a.status != 200 || strings.Contains(a.body, "sk-") {
		t.Errorf("an administrator: %d %s", a.status, a.body)
	}
	b.want(204, "PUT", "/_disd/keys/AK-BOB", `{"active":false}`)
	if a := b.as("AK-BOB", "GET", "/v2/p2/streams", ""); a.status != 401 {
		t.Errorf("a disabled key: %d", a.status)
	}
	b.want(204, "PUT", "/_disd/keys/AK-BOB", `{"active":true}`)
	if a := b.as("AK-BOB", "GET", "/v2/p2/streams", ""); a.status != 200 {
		t.Errorf("an enabled key: %d", a.status)
	}
	b.want(400, "PUT", "/_disd/keys/AK-NOBODY", `{"active":true}`)
	if a := b.as("AK-ALICE", "POST", "/v2/p1/streams", `{"stream_name":"s","partition_count":1}`); a.status != 201 {
		t.Fatal(a)
	}
	b.want(204, "PUT", "/_disd/projects/p1/streams/s", `{"frozen":true}`)
	if a := b.as("AK-ALICE", "POST", "/v2/p1/records", `{"stream_name":"s","records":[{"data":""}]}`); a.code(t) != "DIS.4205" {
		t.Errorf("L-2: %s", a.body)
	}
	if a := b.as("AK-ALICE", "GET", "/v2/p1/streams/s", ""); a.member(t, "status") != "FROZEN" {
		t.Errorf("L-3: %s", a.body)
	}
}

// TestAdministrationOfAnOpenServer: pages in a browser cannot, whatever they claim.
func TestAdministrationOfAnOpenServer(t *testing.T) {
	b := newBench(t)
	for _, test := range []struct {
		header []string
		status int
	}{
		{nil, 200},
		{[]string{"X-Auth-Token", "any"}, 200},
		{[]string{"Origin", "http://evil.example"}, 403},
		{[]string{"Origin", "http://evil.example", "X-Auth-Token", "any"}, 403},
		{[]string{"Sec-Fetch-Site", "same-origin"}, 403},
	} {
		if a := b.do("GET", "/_disd/keys", "", test.header...); a.status != test.status {
			t.Errorf("with %q: %d %s", test.header, a.status, a.body)
		}
	}
}

// TestAudit: changes and refusals are told, reads and data are not.
func TestAudit(t *testing.T) {
	var seen []string
	b := newGuardedBench(t, func(o *setup) {
		o.Options.Audit = func(e audit.Entry) { seen = append(seen, e.User+" "+e.Operation+" "+e.Code) }
	})
	b.as("AK-ALICE", "POST", "/v2/p1/streams", `{"stream_name":"s","partition_count":1}`)
	b.as("AK-ALICE", "GET", "/v2/p1/streams/s", "")
	b.as("AK-ALICE", "POST", "/v2/p1/records", `{"stream_name":"s","records":[{"data":""}]}`)
	b.as("AK-RAY", "DELETE", "/v2/p1/streams/s", "")
	b.do("GET", "/v2/p1/streams", "")
	b.do("POST", "/v3/auth/tokens", login("alice", "acme", "alice-password", byProjectID))
	want := "alice CreateStream ok;ray DeleteStream DIS.4116; ListStreams APIGW.0301;alice CreateToken ok"
	if got := strings.Join(seen, ";"); got != want {
		t.Errorf("audited\n%s, want\n%s", got, want)
	}
}

// TestAuditSubjects: an entry names what was made, changed or removed, wherever the
// request names it.
func TestAuditSubjects(t *testing.T) {
	var last audit.Entry
	b := newGuardedBench(t, func(o *setup) {
		o.Options.Audit = func(e audit.Entry) { last = e }
	})
	var id string
	for _, test := range []struct{ method, path, body, want string }{
		{"POST", "/v2/p1/streams", `{"stream_name":"s","partition_count":1}`, "map[stream:s]"},
		{"PUT", "/v2/p1/streams/s", `{"stream_name":"s","target_partition_count":2}`, "map[stream:s]"},
		{"POST", "/v2/p1/apps", `{"app_name":"a"}`, "map[app:a]"},
		{"DELETE", "/v2/p1/checkpoints?stream_name=s&app_name=a", "", "map[app:a stream:s]"},
		{"POST", "/v2/p1/stream/ID/tags", `{"tag":{"key":"k","value":"v"}}`, "map[stream:s tag:k]"},
		{"POST", "/v2/p1/stream/ID/tags/action", `{"action":"create","tags":[{"key":"x"},{"key":"y"}]}`, "map[stream:s tag:x,y]"},
		{"DELETE", "/v2/p1/stream/ID/tags/k", "", "map[stream:s tag:k]"},
		{"POST", "/v2/p1/streams/s/policies", `{"stream_id":"ID","principal_name":"other.*","action_type":"putRecords","effect":"accept"}`, "map[action:putRecords principal:other.* stream:s]"},
		{"POST", "/v2/p1/streams/s/transfer-tasks/action", `{"action":"stop","tasks":[{"id":"t1"},{"id":"t2"}]}`, "map[action:stop stream:s task:t1,t2]"},
		{"POST", "/v2/p1/streams/s/transfer-tasks", `{"destination_type":"OBS","obs_destination_descriptor":{"task_name":"dump"}}`, "map[stream:s task:dump]"},
		{"DELETE", "/v2/p1/streams/s/transfer-tasks/dump", "", "map[stream:s task:dump]"},
		{"DELETE", "/v2/p1/apps/a", "", "map[app:a]"},
		{"POST", "/_disd/domains", `{"name":"d3"}`, "map[domain:d3]"},
		{"POST", "/_disd/projects", `{"domain":"d3","name":"region-1"}`, "map[domain:d3 project:region-1]"},
		{"POST", "/_disd/users", `{"domain":"d3","name":"carl","password":"carls-password"}`, "map[domain:d3 role:member user:carl]"},
		{"POST", "/_disd/keys", `{"domain":"d3","user":"carl"}`, "map[domain:d3 key:AK user:carl]"},
		{"DELETE", "/_disd/keys/AK", "", "map[key:AK]"},
		{"POST", "/v3/auth/tokens", login("alice", "acme", "wrong", byProjectID), "map[domain:acme user:alice]"},
	} {
		who := "AK-ALICE"
		if strings.HasPrefix(test.path, "/_disd") {
			who = "AK-ROOT"
		}
		last = audit.Entry{}
		a := b.as(who, test.method, strings.ReplaceAll(test.path, "ID", id), strings.ReplaceAll(test.body, `"ID"`, `"`+id+`"`))
		got := fmt.Sprint(last.Subjects)
		if strings.HasPrefix(test.want, "map[domain:d3 key") && a.status == 201 {
			got = strings.Replace(got, a.member(t, "ak").(string), "AK", 1)
		}
		if got != test.want {
			t.Errorf("%s %s: %s, want %s (%d %s)", test.method, test.path, got, test.want, a.status, a.body)
		}
		if id == "" {
			id = b.as("AK-ALICE", "GET", "/v2/p1/streams/s", "").member(t, "stream_id").(string)
		}
	}
}

// TestAuditOfAFlood: strangers cannot fill the audit log, and keep nobody else out of
// it.
func TestAuditOfAFlood(t *testing.T) {
	var seen []audit.Entry
	b := newGuardedBench(t, func(o *setup) {
		o.Options.Audit = func(e audit.Entry) { seen = append(seen, e) }
	})
	entries := func(want int) {
		t.Helper()
		if len(seen) != want {
			t.Errorf("%d entries, want %d", len(seen), want)
		}
		seen = nil
	}
	long := "/v2/p1/streams/" + strings.Repeat("ü", 10_000)
	for range 60 {
		b.do("GET", long, "")
		b.do("POST", "/v3/auth/tokens", "{")
	}
	if text, _ := json.Marshal(seen[0]); len(text) > 1000 || !utf8.Valid(text) {
		t.Errorf("an entry of %d bytes: %s", len(text), text)
	}
	entries(100)
	for range 3 {
		b.as("AK-RAY", "DELETE", "/v2/p1/streams/s", "")
		b.want(204, "PUT", "/_disd/keys/AK-BOB", `{"active":true}`)
	}
	entries(6)
	b.clock.advance(time.Second)
	b.do("GET", long, "")
	entries(1)
}

// TestSignedTooLarge is C-21 and S-12.
func TestSignedTooLarge(t *testing.T) {
	t.Attr("rules", "Q-8")
	b := newGuardedBench(t)
	body := strings.Repeat(" ", auth.MaxSignedBody) + `{"app_name":"a"}`
	a := b.as("AK-ALICE", "POST", "/v2/p1/apps", body)
	if a.status != http.StatusRequestEntityTooLarge || a.code(t) != "APIGW.0201" {
		t.Errorf("S-12: %d %s", a.status, a.body)
	}
	body = body[len(`{"app_name":"a"}`):]
	if a := b.as("AK-ALICE", "POST", "/v2/p1/apps", body); a.status != 201 {
		t.Errorf("C-21, inclusive: %d %s", a.status, a.body)
	}
	token := b.want(201, "POST", "/v3/auth/tokens", login("alice", "acme", "alice-password", byProjectID)).header.Get("X-Subject-Token")
	body = strings.Repeat(" ", 2*auth.MaxSignedBody) + `{"app_name":"b"}`
	if a := b.do("POST", "/v2/p1/apps", body, "X-Auth-Token", token); a.status != 201 {
		t.Errorf("C-21, with a token: %d %s", a.status, a.body)
	}
}

// TestStrangers: those who have not said who they are cannot make the server work or
// use much memory.
func TestStrangers(t *testing.T) {
	b := newGuardedBench(t)
	fit := login("alice", "acme", "alice-password", byProjectID)
	large := fit + strings.Repeat(" ", 64<<10-len(fit))
	for _, path := range []string{"/v3/auth/tokens", "/v3.0/OS-CREDENTIAL/securitytokens", "/v3.0/OS-AUTH/id-token/tokens"} {
		if a := b.do("POST", path, large+" "); a.status != 413 || !strings.Contains(a.body, `"error_code":"APIGW.0201"`) {
			t.Errorf("%s, a large body: %d %s", path, a.status, a.body)
		}
		for _, encoding := range encodings[1:] {
			body, headers := compressed(t, encoding, large+" ")
			if a := b.do("POST", path, body, headers...); a.status != 413 {
				t.Errorf("%s, a large body in %s: %d %s", path, encoding, a.status, a.body)
			}
		}
	}
	b.want(201, "POST", "/v3/auth/tokens", large)
	for _, encoding := range encodings[1:] {
		body, headers := compressed(t, encoding, large)
		if a := b.do("POST", "/v3/auth/tokens", body, headers...); a.status != 201 {
			t.Errorf("in %s: %d %s", encoding, a.status, a.body)
		}
	}
	many := `{"app_name":"a","x":[` + strings.Repeat("1,", 100_000) + `1]}`
	if a := b.as("AK-ALICE", "POST", "/v2/p1/apps", many); a.status != 413 {
		t.Errorf("a body of many elements: %d %s", a.status, a.body)
	}
}

// A slowCollector takes as long as it is told to.
type slowCollector struct{ begun, end chan struct{} }

func (c slowCollector) Describe(out chan<- *prometheus.Desc) {
	out <- prometheus.NewDesc("slow", "", nil, nil)
}

func (c slowCollector) Collect(chan<- prometheus.Metric) {
	c.begun <- struct{}{}
	<-c.end
}

// TestScrapes: strangers cannot have metrics collected as often as they like.
func TestScrapes(t *testing.T) {
	slow := slowCollector{make(chan struct{}), make(chan struct{})}
	b := newGuardedBench(t, func(o *setup) {
		o.Collectors = []prometheus.Collector{slow}
	})
	scrape := func() int {
		resp, err := http.Get(b.url + "/_disd/metrics")
		if err != nil {
			t.Error(err)
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	var all sync.WaitGroup
	for range ops.MaxScrapes {
		all.Go(func() {
			if status := scrape(); status != 200 {
				t.Errorf("status %d", status)
			}
		})
		<-slow.begun
	}
	if status := scrape(); status != 503 {
		t.Errorf("one more: status %d", status)
	}
	close(slow.end)
	all.Wait()
}
