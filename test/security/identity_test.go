package security

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"disd/test/harness"
)

const (
	project     = harness.Project
	configured  = "SecretKeyOfTheConfiguration"
	password    = "PasswordOfTheConfiguration"
	accessKey   = "ACCESSKEYOFALICE"
	accountFile = `auth:
  mode: required
  explain: true
  domains:
    - name: acme
      projects: [{name: region-1, id: ` + project + `}]
      users: [{name: alice, password: ` + password + `, access_keys: [{ak: ` + accessKey + `, sk: ` + configured + `}]}]
transfer:
  dws: {clusters: [{name: c, id: c, address: "127.0.0.1:1", sslmode: disable}]}
  kms_keys: [{name: k, id: k}]
`
)

// A client calls the server and keeps all answers that are not to hold secrets.
type client struct {
	*testing.T
	http    http.Client
	url     string
	answers bytes.Buffer
}

// call sends a request, signed in the plain form if there is an access key (S-1),
// with further headers as names and values. Header names in lower case are signed.
func (c *client) call(ak, sk, method, path, body string, header ...string) *http.Response {
	c.Helper()
	req, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	signed, names := "", ""
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i] == strings.ToLower(header[i]) {
			signed, names = signed+header[i]+":"+header[i+1]+"\n", names+header[i]+";"
		}
	}
	if ak != "" {
		date := time.Now().UTC().Format("20060102T150405Z")
		req.Header.Set("X-Sdk-Date", date)
		names += "x-sdk-date"
		canonical := fmt.Sprintf("%s\n%s/\n\n%sx-sdk-date:%s\n\n%s\n%x", method, path, signed, date, names, sha256.Sum256([]byte(body)))
		mac := hmac.New(sha256.New, []byte(sk))
		fmt.Fprintf(mac, "SDK-HMAC-SHA256\n%s\n%x", date, sha256.Sum256([]byte(canonical)))
		req.Header.Set("Authorization", fmt.Sprintf("SDK-HMAC-SHA256 Access=%s, SignedHeaders=%s, Signature=%x", ak, names, mac.Sum(nil)))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.Fatal(err)
	}
	return resp
}

// keep reads an answer that must not hold a secret.
func (c *client) keep(resp *http.Response) int {
	c.Helper()
	defer resp.Body.Close()
	fmt.Fprintln(&c.answers, resp.Request.Method, resp.Request.URL, resp.Header)
	if _, err := io.Copy(&c.answers, resp.Body); err != nil {
		c.Fatal(err)
	}
	return resp.StatusCode
}

// want is call for an answer of that status that must not hold a secret.
func (c *client) want(status int, ak, sk, method, path, body string, header ...string) {
	c.Helper()
	if got := c.keep(c.call(ak, sk, method, path, body, header...)); got != status {
		c.Errorf("%s %s: status %d, want %d", method, path, got, status)
	}
}

// told returns an answer that is meant to hold a secret.
func (c *client) told(resp *http.Response, out any) http.Header {
	c.Helper()
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil || resp.StatusCode != http.StatusCreated {
		c.Fatalf("status %d, %v", resp.StatusCode, err)
	}
	return resp.Header
}

func login(password string) string {
	return `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"alice","domain":{"name":"acme"},"password":"` + password + `"}}},
		"scope":{"project":{"id":"` + project + `"}}}}`
}

// guarded starts a server that lets in alice, and says how it went wrong for
// others. It returns a client and where the audit log is.
func guarded(t *testing.T, args ...string) (s *harness.Server, c *client, trail string) {
	t.Helper()
	work := t.TempDir()
	trail = filepath.Join(work, "audit.log")
	config := filepath.Join(work, "disd.yaml")
	err := os.MkdirAll(filepath.Join(work, "buckets", "b"), 0o700)
	if err == nil {
		err = os.WriteFile(config, []byte(accountFile), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	args = append(args, "--config", config, "--audit-file", trail, "--log-level", "debug", "--transfer-obs-directory", filepath.Join(work, "buckets"))
	s = launch(t, args...)
	return s, &client{T: t, url: s.URL}, trail
}

// admin runs an administrative command on the server's machine.
func admin(t *testing.T, s *harness.Server, args ...string) string {
	t.Helper()
	out, err := harness.Run(append(args, "--endpoint", s.URL)...)
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return out
}

// TestKeys: what the commands do to keys holds for the next request.
func TestKeys(t *testing.T) {
	s, c, _ := guarded(t)
	admin(t, s, "users", "create", "--domain", "acme", "--name", "dave")
	m := regexp.MustCompile(`ak +(\S+)\nsk +(\S+)\n`).FindStringSubmatch(admin(t, s, "keys", "create", "--domain", "acme", "--user", "dave"))
	if m == nil {
		t.Fatal("no key was printed")
	}
	ak, sk, streams := m[1], m[2], "/v2/"+project+"/streams"
	c.want(200, ak, sk, "GET", streams, "")
	c.want(401, ak, sk+"x", "GET", streams, "")
	for _, key := range [][2]string{{ak, sk}, {accessKey, configured}} { // made by a command, and of the configuration
		admin(t, s, "keys", "disable", key[0])
		c.want(401, key[0], key[1], "GET", streams, "")
		admin(t, s, "keys", "enable", key[0])
		c.want(200, key[0], key[1], "GET", streams, "")
	}
	if list := admin(t, s, "keys", "list"); !strings.Contains(list, ak) || strings.Contains(list, sk) {
		t.Errorf("the list is\n%s", list)
	}
	admin(t, s, "keys", "delete", ak)
	c.want(401, ak, sk, "GET", streams, "")
	for _, key := range []string{ak, "none"} {
		if out, err := harness.Run("keys", "disable", key, "--endpoint", s.URL); err == nil {
			t.Errorf("a key that is not there: %s", out)
		}
	}
}

// A secret is what must be found nowhere, by a name for messages.
type secret struct{ name, text string }

// spellings returns the forms in which a secret could lie somewhere: as it is, in
// hex, and in base64 wherever in the encoded text it begins.
func (s secret) spellings() [][]byte {
	found := [][]byte{[]byte(s.text), []byte(hex.EncodeToString([]byte(s.text))), []byte(strings.ToUpper(hex.EncodeToString([]byte(s.text))))}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			whole := len(s.text) - (before+len(s.text))%3 // what ends with the last whole group
			text := encoding.EncodeToString([]byte(strings.Repeat("\x00", before) + s.text[:whole]))
			found = append(found, []byte(text[[3]int{0, 2, 3}[before]:])) // without what the bytes before it decide
		}
	}
	return found
}

func (s secret) isIn(text []byte) bool {
	for _, spelling := range s.spellings() {
		if bytes.Contains(text, spelling) {
			return true
		}
	}
	return false
}

// nowhere stops a server and looks for secrets, and for its own key, in everything
// that it wrote and that was printed about it: log, audit log, answers, data
// directory. It returns all that by name.
func (c *client) nowhere(s *harness.Server, trail string, secrets []secret) map[string][]byte {
	c.Helper()
	s.Stop(c.T)
	for _, command := range []string{"inspect", "health"} {
		out, _ := harness.Run(command, "--data-dir", s.Dir, "--listen", s.Address)
		c.answers.WriteString(out)
	}
	keyFile := filepath.Join(s.Dir, "identity.key")
	text, err := os.ReadFile(keyFile)
	if err != nil {
		c.Fatal(err)
	}
	digits := regexp.MustCompile(`[0-9a-f]{64}`).FindString(string(text))
	key, err := hex.DecodeString(digits)
	if err != nil || digits == "" {
		c.Fatalf("the key file has no key: %v", err)
	}
	secrets = append(secrets, secret{"the key of the key file", string(key)})
	written := map[string][]byte{"the log": []byte(s.Logs()), "an answer": c.answers.Bytes()}
	for _, root := range []string{s.Dir, trail} {
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || path == keyFile {
				return err
			}
			written[path], err = os.ReadFile(path)
			return err
		})
		if err != nil {
			c.Fatal(err)
		}
	}
	for where, text := range written {
		for _, hidden := range secrets {
			if hidden.isIn(text) {
				c.Errorf("%s is in %s", hidden.name, where)
			}
		}
	}
	return written
}

func TestSpellings(t *testing.T) {
	s := secret{"", "SecretOfTheTest"}
	for _, text := range []string{
		"a" + s.text, hex.EncodeToString([]byte("x" + s.text)), fmt.Sprintf("%X", s.text),
		base64.StdEncoding.EncodeToString([]byte(s.text)),
		base64.StdEncoding.EncodeToString([]byte("x" + s.text + "y")),
		base64.URLEncoding.EncodeToString([]byte("xx" + s.text + "yy")),
	} {
		if !s.isIn([]byte(text)) {
			t.Errorf("not found in %s", text)
		}
	}
}

// TestSecrets goes through everything that has to do with secrets, also what goes
// wrong, and then looks for all of them in everything that the server wrote.
func TestSecrets(t *testing.T) {
	s, c, trail := guarded(t, "--log-format", "json")
	streams, records := "/v2/"+project+"/streams", "/v2/"+project+"/records"
	secrets := []secret{
		{"the secret key of the configuration", configured}, {"the password of the configuration", password},
		{"a wrong password", "WrongPasswordOfAlice"}, {"a wrong secret key", "WrongSecretKeyOfAlice"},
		{"the password of a user", "PasswordOfDaveAtFirst"}, {"the other password of a user", "PasswordOfDaveAfterwards"},
		{"a wrong token", "WrongTokenOfNobody"}, {"the password of a transfer task", "PasswordOfTheWarehouse"},
	}
	keep := func(name, text string) string {
		if len(text) < 16 {
			t.Fatalf("%s is %q", name, text)
		}
		secrets = append(secrets, secret{name, text})
		return text
	}

	// Tokens and passwords.
	var ignored any
	token := keep("a token", c.told(c.call("", "", "POST", "/v3/auth/tokens", login(password)), &ignored).Get("X-Subject-Token"))
	c.want(200, "", "", "GET", streams, "", "X-Auth-Token", token)
	c.want(401, "", "", "GET", streams, "", "X-Auth-Token", "WrongTokenOfNobody")
	c.want(401, "", "", "GET", streams, "", "X-Auth-Token", token[:len(token)-1]+"!")
	for _, scheme := range []string{"Bearer ", "Token token=", "Basic Access="} {
		c.want(401, "", "", "GET", streams, "", "Authorization", scheme+token)
	}
	c.want(404, "", "", "GET", "/v3/auth/tokens", "", "X-Auth-Token", token, "X-Subject-Token", "WrongTokenOfNobody")
	c.want(401, "", "", "POST", "/v3/auth/tokens", login("WrongPasswordOfAlice"))
	c.want(400, "", "", "POST", "/v3/auth/tokens", strings.Replace(login(password), `"alice"`, `{"x":1}`, 1))
	c.want(400, "", "", "POST", "/v3/auth/tokens", strings.Replace(login(password), `"`+password+`"`, `["`+password+`"]`, 1))
	c.want(400, "", "", "POST", "/v3/auth/tokens", login(password)+password)
	c.want(401, "", "", "POST", "/v3/auth/tokens", `{"auth":{"identity":{"methods":["`+token+`"]}}}`)
	c.want(201, "", "", "POST", "/_disd/users", `{"domain":"acme","name":"dave","password":"PasswordOfDaveAtFirst"}`)
	c.want(400, "", "", "POST", "/_disd/users", `{"domain":"acme","name":"dave","password":"PasswordOfDaveAtFirst"}`)
	c.want(204, "", "", "PUT", "/_disd/users", `{"domain":"acme","user":"dave","password":"PasswordOfDaveAfterwards"}`)

	// Keys, permanent and temporary.
	var made struct{ AK, SK string }
	c.told(c.call("", "", "POST", "/_disd/keys", `{"domain":"acme","user":"dave"}`), &made)
	keep("the secret of a key", made.SK)
	c.want(200, "", "", "GET", "/_disd/keys", "")
	var temporary struct {
		Credential struct{ Access, Secret, SecurityToken string }
	}
	c.told(c.call("", "", "POST", "/v3.0/OS-CREDENTIAL/securitytokens", `{"auth":{"identity":{"methods":["token"]}}}`, "X-Auth-Token", token), &temporary)
	key := temporary.Credential
	keep("the secret of a temporary key", key.Secret)
	keep("a security token", key.SecurityToken)

	// Signatures, right and refused with an explanation.
	task := streams + "/s/transfer-tasks"
	for _, k := range []struct {
		ak, sk string
		header []string
	}{
		{accessKey, configured, nil},
		{made.AK, made.SK, nil},
		{key.Access, key.Secret, []string{"X-Security-Token", key.SecurityToken}},
		{key.Access, key.Secret, []string{"x-security-token", key.SecurityToken}},
	} {
		c.want(200, k.ak, k.sk, "GET", streams, "", k.header...)
		c.want(401, k.ak, "WrongSecretKeyOfAlice", "GET", streams, "", k.header...)
		c.want(401, k.ak, "WrongSecretKeyOfAlice", "POST", task, `{"user_password":"PasswordOfTheWarehouse"}`, k.header...)
	}
	c.want(401, key.Access, key.Secret, "GET", streams, "", "x-security-token", key.SecurityToken+"x")
	c.want(401, key.Access, key.Secret, "GET", streams, "")

	// A transfer task with a password, whose database does not answer.
	c.want(201, accessKey, configured, "POST", streams, `{"stream_name":"s","partition_count":1,"data_type":"JSON","data_schema":"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":\"string\"}]}"}`)
	for _, body := range []string{
		`{"destination_type":"DWS","dws_destination_descriptor":{"task_name":"t","agency_name":"dis_admin_agency","deliver_time_interval":60,"consumer_strategy":"LATEST",
			"dws_cluster_name":"c","dws_cluster_id":"c","dws_database_name":"d","dws_schema":"s","dws_table_name":"t","dws_delimiter":"|","user_name":"u",
			"user_password":"PasswordOfTheWarehouse","kms_user_key_name":"k","kms_user_key_id":"k","obs_bucket_path":"b"}}`,
		`{"destination_type":"DWS","dws_destination_descriptor":{"user_password":["PasswordOfTheWarehouse"]}}`,
		`{"destination_type":"DWS","dws_destination_descriptor":{"user_password":"PasswordOfTheWarehouse"`,
	} {
		c.want(400, accessKey, configured, "POST", task, body)
	}
	c.want(200, accessKey, configured, "GET", task, "")
	c.want(200, accessKey, configured, "POST", records, `{"stream_name":"s","records":[{"data":"`+base64.StdEncoding.EncodeToString([]byte(`{"a":"canary of the test"}`))+`"}]}`)
	c.want(200, "", "", "GET", "/_disd/metrics", "")

	written := c.nowhere(s, trail, secrets)
	// What is no secret is found, so a secret would be.
	for where, text := range map[string]string{
		"the log": "canonical_request", "an answer": "disd_requests_total", trail: accessKey,
		filepath.Join(s.Dir, "catalog.db"): made.AK,
	} {
		if !bytes.Contains(written[where], []byte(text)) {
			t.Errorf("%s is not in %s", text, where)
		}
	}
	canary := secret{"the record", "canary of the test"}
	found := false
	for where, text := range written {
		found = found || strings.HasPrefix(where, s.Dir) && canary.isIn(text)
	}
	if !found {
		t.Error("the record is not in the data directory")
	}
}
