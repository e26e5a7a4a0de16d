package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/signer/algorithm"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/region"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	dis "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/dis/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/dis/v2/model"
	golangsdk "github.com/opentelekomcloud/gophertelekomcloud"
	"github.com/opentelekomcloud/gophertelekomcloud/openstack"
	"github.com/opentelekomcloud/gophertelekomcloud/openstack/dis/v2/data"
	"github.com/opentelekomcloud/gophertelekomcloud/openstack/dis/v2/streams"

	"disd/test/harness"
)

const foreignProject = "0123456789abcdef0123456789abcdef"

// accounts are two that may use a server with auth.mode required.
const accounts = `[
	{"name":"acme","projects":[{"name":"region-1","id":"` + harness.Project + `"}],"users":[
		{"name":"alice","password":"secret","access_keys":[{"ak":"ACCESSKEY","sk":"secretkey"}]}]},
	{"name":"other","projects":[{"name":"region-1","id":"` + foreignProject + `"}],"users":[
		{"name":"bob","access_keys":[{"ak":"BOBSKEY","sk":"secretkey of bob"}]},
		{"name":"carol","access_keys":[{"ak":"CAROLSKEY","sk":"secretkey of carol"}]}]}]`

// required lets in only who belongs, over TLS with a certificate of the server's own
// making.
var required = []string{"--auth-mode", "required", "--auth-domains", accounts, "--tls-mode", "auto"}

func guarded(t *testing.T) *harness.Server {
	t.Helper()
	s := harness.Launch(t, harness.Options{Args: append(required, "--empty-wait", "0s")})
	s.Ready(t)
	t.Cleanup(func() {
		if !t.Failed() {
			s.Stop(t)
		}
	})
	return s
}

// A caller is who uses the Go SDK, and how it signs.
type caller struct {
	ak, sk, token string
	project       string // looked up by region if empty
	region        string // region-1 if empty
	algorithm     algorithm.SigningAlgorithm
	derived       bool
}

func (c caller) connect(t *testing.T, s *harness.Server) (*dis.DisClient, error) {
	t.Helper()
	credentials := basic.NewCredentialsBuilder().WithAk(c.ak).WithSk(c.sk).WithSecurityToken(c.token).
		WithProjectId(c.project).WithIamEndpointOverride(s.URL)
	if c.derived {
		credentials.WithDerivedPredicate(auth.GetDefaultDerivedPredicate())
	}
	credential, err := credentials.SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	if c.region == "" {
		c.region = "region-1"
	}
	transport := config.DefaultHttpConfig().WithHttpTransport(&http.Transport{TLSClientConfig: s.Trust(t)})
	if c.algorithm != "" {
		transport.WithSigningAlgorithm(c.algorithm)
	}
	client, err := dis.DisClientBuilder().WithRegion(region.NewRegion(c.region, s.URL)).WithCredential(credential).
		WithDerivedAuthServiceName("dis").WithHttpConfig(transport).SafeBuild()
	if err != nil {
		return nil, err
	}
	return dis.NewDisClient(client), nil
}

func (c caller) mustConnect(t *testing.T, s *harness.Server) *dis.DisClient {
	t.Helper()
	client, err := c.connect(t, s)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// code returns what a call of the Go SDK was answered: "ok" or status and code.
func code(err error) string {
	var e *sdkerr.ServiceResponseError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &e):
		return fmt.Sprint(e.StatusCode, " ", e.ErrorCode)
	}
	return err.Error()
}

func createStream(client *dis.DisClient, name string) error {
	return discard(client.CreateStream(&model.CreateStreamRequest{Body: &model.CreateStreamReq{StreamName: name, PartitionCount: 1}}))
}

// TestSignature: a server with auth.mode required lets in the SDK with the right
// secret key and no other, in every form in which the SDK can sign.
func TestSignature(t *testing.T) {
	s := guarded(t)
	temporary := temporaryKey(t, s)
	for name, c := range map[string]caller{
		"plain":         {},
		"SM3":           {algorithm: algorithm.HmacSM3},
		"ECDSA":         {algorithm: algorithm.EcdsaP256SHA256},
		"SM2":           {algorithm: algorithm.SM2SM3},
		"derived":       {derived: true},
		"temporary key": temporary,
	} {
		t.Run(name, func(t *testing.T) {
			if c.ak == "" {
				c.ak, c.sk = "ACCESSKEY", "secretkey"
			}
			c.project = harness.Project
			stream := strings.ReplaceAll(name, " ", "-")
			if got := code(createStream(c.mustConnect(t, s), stream)); got != "ok" {
				t.Errorf("the right key: %s", got)
			}
			for rule, row := range map[string]struct {
				edit func(*caller)
				want string
			}{
				"C-25 secret": {func(c *caller) { c.sk += "x" }, "401 APIGW.0301"},
				"C-25 key":    {func(c *caller) { c.ak += "X" }, "401 APIGW.0301"},
				"C-26":        {func(c *caller) { c.project = foreignProject }, "400 DIS.4117"},
			} {
				wrong := c
				row.edit(&wrong)
				if got := code(createStream(wrong.mustConnect(t, s), "never")); got != row.want {
					t.Errorf("%s: %s, want %s", rule, got, row.want)
				}
			}
		})
	}
	other := temporary
	other.project, other.token = harness.Project, temporaryKey(t, s).token
	if got := code(createStream(other.mustConnect(t, s), "never")); got != "401 APIGW.0301" {
		t.Errorf("the security token of another key: %s", got)
	}
}

// temporaryKey returns a key of alice that ends by itself (E57).
func temporaryKey(t *testing.T, s *harness.Server) caller {
	t.Helper()
	post := func(path, token, body string, out any) http.Header {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: s.Trust(t)}}
		req, err := http.NewRequest(http.MethodPost, s.URL+path, bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Auth-Token", token)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(out); err != nil || resp.StatusCode != http.StatusCreated {
			t.Fatalf("%s: status %d, %v", path, resp.StatusCode, err)
		}
		return resp.Header
	}
	var ignored any
	token := post("/v3/auth/tokens", "", `{"auth":{"identity":{"methods":["password"],"password":{"user":
		{"name":"alice","password":"secret","domain":{"name":"acme"}}}}}}`, &ignored).Get("X-Subject-Token")
	var key struct {
		Credential struct{ Access, Secret, SecurityToken string }
	}
	post("/v3.0/OS-CREDENTIAL/securitytokens", token, `{"auth":{"identity":{"methods":["token"]}}}`, &key)
	return caller{ak: key.Credential.Access, sk: key.Credential.Secret, token: key.Credential.SecurityToken}
}

// TestProjectLookup: the SDK finds the project id by the name of the region.
func TestProjectLookup(t *testing.T) {
	s := guarded(t)
	alice := caller{ak: "ACCESSKEY", sk: "secretkey"}
	if got := code(createStream(alice.mustConnect(t, s), "found")); got != "ok" {
		t.Error(got)
	}
	r, err := caller{ak: "ACCESSKEY", sk: "secretkey", project: harness.Project}.mustConnect(t, s).ListStreams(&model.ListStreamsRequest{})
	if err != nil || len(*r.StreamNames) != 1 {
		t.Errorf("the stream is not in the project: %v, %v", r, err)
	}
	alice.region = "region-2"
	if _, err := alice.connect(t, s); err == nil || !strings.Contains(err.Error(), "failed to get project id") {
		t.Errorf("a region without a project: %v", err)
	}
}

// otc returns a client of gophertelekomcloud, signing with an access key.
func otc(t *testing.T, s *harness.Server, domain, ak, sk string) *golangsdk.ServiceClient {
	t.Helper()
	provider, err := openstack.NewClient(s.URL + "/v3")
	if err != nil {
		t.Fatal(err)
	}
	provider.HTTPClient.Transport = &http.Transport{TLSClientConfig: s.Trust(t)}
	err = openstack.Authenticate(provider, golangsdk.AKSKAuthOptions{
		IdentityEndpoint: s.URL + "/v3", ProjectName: "region-1", Region: "region-1", Domain: domain, AccessKey: ak, SecretKey: sk,
	})
	if err != nil {
		t.Fatal(err)
	}
	client, err := openstack.NewDISServiceV2(provider, golangsdk.EndpointOpts{Region: "region-1"})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// TestPolicies: users of another account reach a stream by its id, as far and as
// long as its owner wants (section 7).
func TestPolicies(t *testing.T) {
	s := guarded(t)
	owner := otc(t, s, "acme", "ACCESSKEY", "secretkey")
	alice := caller{ak: "ACCESSKEY", sk: "secretkey", project: harness.Project}.mustConnect(t, s)
	if err := createStream(alice, "shared"); err != nil {
		t.Fatal(err)
	}
	shown, err := alice.ShowStream(&model.ShowStreamRequest{StreamName: "shared"})
	if err != nil {
		t.Fatal(err)
	}
	id := *shown.StreamId
	grant := func(principals, action string) streams.CreatePolicyRuleOpts {
		return streams.CreatePolicyRuleOpts{StreamName: "shared", StreamId: id, PrincipalName: principals, ActionType: action, Effect: "accept"}
	}
	allow := func(principals, action string) {
		t.Helper()
		if err := streams.CreatePolicyRule(owner, grant(principals, action)); err != nil {
			t.Fatal(err)
		}
	}
	revoke := func(principals, action string) {
		t.Helper()
		_, err := owner.DeleteWithBody(owner.ServiceURL("streams", "shared", "policies"), grant(principals, action), nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	want := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}

	clients := map[string]*dis.DisClient{
		"bob":   caller{ak: "BOBSKEY", sk: "secretkey of bob", project: foreignProject}.mustConnect(t, s),
		"carol": caller{ak: "CAROLSKEY", sk: "secretkey of carol", project: foreignProject}.mustConnect(t, s),
	}
	put := func(who string) string {
		return code(discard(clients[who].SendRecords(&model.SendRecordsRequest{Body: &model.PutRecordsRequest{
			StreamName: "shared", StreamId: &id, Records: []model.PutRecordsRequestEntry{entry("from " + who)},
		}})))
	}
	show := func(who string) string {
		return code(discard(clients[who].ShowStream(&model.ShowStreamRequest{StreamName: id})))
	}
	carol := otc(t, s, "other", "CAROLSKEY", "secretkey of carol")
	get := func() string {
		cursor, err := data.GetCursor(carol, data.GetCursorOpts{StreamId: id, PartitionId: "0", CursorType: "TRIM_HORIZON"})
		if err != nil {
			return err.Error()
		}
		r, err := data.GetRecords(carol, data.GetRecordsOpts{PartitionCursor: cursor.PartitionCursor})
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(len(r.Records), " records")
	}

	want("without a policy", put("bob"), "403 DIS.4116")
	want("without a policy", show("bob"), "403 DIS.4116")
	want("by name", code(discard(clients["bob"].ShowStream(&model.ShowStreamRequest{StreamName: "shared"}))), "400 DIS.4301")
	want("in the owner's project", code(createStream(caller{ak: "BOBSKEY", sk: "secretkey of bob", project: harness.Project}.mustConnect(t, s), "never")), "400 DIS.4117")

	allow("other.bob", "putRecords")
	want("granted to bob", put("bob"), "ok")
	want("granted to bob", put("carol"), "403 DIS.4116")
	want("another action", show("bob"), "403 DIS.4116")
	allow("other.bob,other.carol", "getStreamInfo")
	want("granted to both", show("bob"), "ok")
	want("granted to both", show("carol"), "ok")
	if got := get(); !strings.Contains(got, "DIS.4116") {
		t.Errorf("another action: %s", got)
	}
	allow("other.*", "getRecords")
	want("granted to all", get(), "1 records")
	want("granted, as owner", code(discard(clients["bob"].DeleteStream(&model.DeleteStreamRequest{StreamName: id}))), "400 DIS.4301")

	revoke("other.bob", "putRecords")
	want("revoked", put("bob"), "403 DIS.4116")
	revoke("other.*", "getRecords")
	if got := get(); !strings.Contains(got, "DIS.4116") {
		t.Errorf("revoked: %s", got)
	}
	want("not revoked", show("carol"), "ok")
}
