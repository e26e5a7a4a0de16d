package security

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"disd/test/harness"
	"disd/test/postgres"
)

// The keys for the object store, and what a database is entered with.
const (
	storeAK, storeSK   = "ACCESSKEYOFTHESTORE", "SecretKeyOfTheStore"
	agencyAK, agencySK = "ACCESSKEYOFTHEAGENCY", "SecretKeyOfTheAgency"
	firstPassword      = "PasswordOfTheLoader"
	otherPassword      = "OtherPasswordOfTheLoader"
	wrongPassword      = "WrongPasswordOfTheLoader"
)

var destinationSecrets = []secret{
	{"the secret key of the store", storeSK}, {"the secret key of an agency", agencySK}, {"the secret key of the configuration", configured},
	{"the password of a task", firstPassword}, {"the other password of a task", otherPassword}, {"a wrong password of a task", wrongPassword},
}

// destinations starts a server with an object store, as YAML, and with a database
// at an address.
func destinations(t *testing.T, store, database, ca string, args ...string) (s *harness.Server, c *client, trail string) {
	t.Helper()
	work := t.TempDir()
	config := filepath.Join(work, "disd.yaml")
	mode := "disable"
	if ca != "" {
		mode = "verify-full"
	}
	text := `auth:
  mode: required
  explain: true
  domains:
    - name: acme
      projects: [{name: region-1, id: ` + project + `}]
      users: [{name: alice, access_keys: [{ak: ` + accessKey + `, sk: ` + configured + `}]}]
transfer:
  obs: ` + store + `
  dws: {clusters: [{name: c, id: "1", address: "` + database + `", sslmode: ` + mode + `, ca_file: "` + ca + `"}]}
  kms_keys: [{name: k, id: "2"}]
  batch_records: 1
`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	trail = filepath.Join(work, "audit.log")
	s = harness.Launch(t, harness.Options{Args: append(args, "--config", config, "--audit-file", trail, "--log-level", "debug", "--log-format", "json")})
	s.Ready(t)
	c = &client{T: t, url: s.URL}
	t.Cleanup(func() {
		out, _ := harness.Run("verify-dump", "--config", config, "--bucket", "bucket")
		for _, hidden := range destinationSecrets {
			if hidden.isIn([]byte(out)) {
				t.Errorf("%s is in what verify-dump prints", hidden.name)
			}
		}
	})
	return s, c, trail
}

// ask is call as alice, whose answer holds no secret.
func (c *client) ask(status int, method, path, body string) {
	c.Helper()
	c.want(status, accessKey, configured, method, "/v2/"+project+path, body)
}

// until waits for a task's answer to hold some text.
func (c *client) until(task, text string) {
	c.Helper()
	path := "/v2/" + project + "/streams/s/transfer-tasks/" + task
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		resp := c.call(accessKey, configured, "GET", path, "")
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		c.answers.Write(body)
		if err == nil && strings.Contains(string(body), text) {
			return
		}
		if err != nil || time.Now().After(deadline) {
			c.Fatalf("task %s is not %s: %v\n%s", task, text, err, body)
		}
	}
}

// A badStore is an object store that refuses what it is sent, and repeats all of it
// in its answers.
type badStore struct {
	status atomic.Int32 // of the answers to HEAD
	used   atomic.Int32 // requests by each of the two keys, as bits
}

func (b *badStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for i, ak := range []string{storeAK, agencyAK} {
		if strings.Contains(r.Header.Get("Authorization"), ak) {
			b.used.Or(1 << i)
		}
	}
	if r.Method == http.MethodHead && strings.Trim(r.URL.Path, "/") == "bucket" {
		w.WriteHeader(int(b.status.Load()))
		return
	}
	var said strings.Builder
	_ = r.Header.Write(&said)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprintf(w, `<Error><Code>SignatureDoesNotMatch</Code><Message>%s was sent with %s</Message></Error>`, r.URL.Path, said.String())
}

// TestSecretsOfStores: keys for object stores, the server's own and those of
// agencies, are told to nobody, whatever the store answers.
func TestSecretsOfStores(t *testing.T) {
	t.Parallel()
	for _, signature := range []string{"v4", "v2"} {
		store := new(badStore)
		store.status.Store(http.StatusForbidden)
		at := httptest.NewServer(store)
		defer at.Close()
		s, c, trail := destinations(t, `{endpoint: "`+at.URL+`", access_key: `+storeAK+`, secret_key: `+storeSK+`}
  agencies: [{name: team, access_key: `+agencyAK+`, secret_key: `+agencySK+`}]`, "127.0.0.1:1", "", "--transfer-obs-signature", signature)
		c.ask(201, "POST", "/streams", `{"stream_name":"s","partition_count":1}`)
		task := func(name, agency string) string {
			return `{"destination_type":"OBS","obs_destination_descriptor":{"task_name":"` + name + `","agency_name":"` + agency + `","obs_bucket_path":"bucket"}}`
		}
		for _, status := range []int{http.StatusForbidden, http.StatusInternalServerError} {
			store.status.Store(int32(status))
			c.ask(400, "POST", "/streams/s/transfer-tasks", task("own", "dis_admin_agency"))
			c.ask(400, "POST", "/streams/s/transfer-tasks", task("theirs", "team"))
		}
		store.status.Store(http.StatusOK)
		c.ask(201, "POST", "/streams/s/transfer-tasks", task("own", "dis_admin_agency"))
		c.ask(201, "POST", "/streams/s/transfer-tasks", task("theirs", "team"))
		c.ask(200, "POST", "/records", `{"stream_name":"s","records":[{"data":"ZGF0YQ=="}]}`)
		c.until("own", `"ERROR"`)
		c.until("theirs", `"ERROR"`)
		c.ask(200, "GET", "/streams/s/transfer-tasks", "")
		c.want(200, "", "", "GET", "/_disd/metrics", "")
		if store.used.Load() != 3 {
			t.Errorf("%s: the store was not asked with both keys", signature)
		}
		written := c.nowhere(s, trail, destinationSecrets)
		for _, said := range []string{"was sent with", storeAK, agencyAK} { // all that the store said is shown
			if !strings.Contains(string(written["the log"]), said) {
				t.Errorf("%s: the log does not repeat %s", signature, said)
			}
		}
	}
}

// TestSecretsOfDatabases: so it is with the passwords of transfer tasks to
// databases, when one is right and when it becomes wrong.
func TestSecretsOfDatabases(t *testing.T) {
	t.Parallel()
	db := postgres.Start(t)
	db.Query(t, "", "CREATE ROLE loader LOGIN PASSWORD '"+firstPassword+"'; CREATE SCHEMA s AUTHORIZATION loader; CREATE TABLE s.t (data text); ALTER TABLE s.t OWNER TO loader")
	buckets := t.TempDir()
	if err := os.Mkdir(filepath.Join(buckets, "bucket"), 0o700); err != nil {
		t.Fatal(err)
	}
	s, c, trail := destinations(t, `{directory: "`+buckets+`"}`, db.Address, db.CA)
	c.ask(201, "POST", "/streams", `{"stream_name":"s","partition_count":1,"data_type":"CSV"}`)
	tasks := "/streams/s/transfer-tasks"
	create := func(name, password string) string {
		text, _ := json.Marshal(map[string]any{"destination_type": "DWS", "dws_destination_descriptor": map[string]any{
			"task_name": name, "agency_name": "dis_admin_agency", "dws_cluster_name": "c", "dws_cluster_id": "1", "dws_database_name": "postgres",
			"dws_schema": "s", "dws_table_name": "t", "dws_delimiter": "|", "user_name": "loader", "user_password": password,
			"kms_user_key_name": "k", "kms_user_key_id": "2", "obs_bucket_path": "bucket", "retry_duration": "7200",
		}})
		return string(text)
	}
	change := func(password string) string {
		return `{"destination_type":"DWS","dws_destination_descriptor":{"task_name":"t","user_password":"` + password + `"}}`
	}
	rows := func(n string) {
		t.Helper()
		for deadline := time.Now().Add(patience); db.Query(t, "", "SELECT count(*) FROM s.t")[0][0] != n; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the table does not have %s rows", n)
			}
		}
	}
	record := `{"stream_name":"s","records":[{"data":"ZGF0YQ=="}]}`

	c.ask(400, "POST", tasks, create("t", wrongPassword))
	c.ask(201, "POST", tasks, create("t", firstPassword))
	c.ask(400, "POST", tasks, create("t", firstPassword)) // there is one
	c.ask(200, "POST", "/records", record)
	rows("1")
	c.ask(400, "PUT", tasks, change(wrongPassword))
	db.Query(t, "", "ALTER ROLE loader PASSWORD '"+otherPassword+"'")
	c.ask(200, "POST", "/records", record)
	c.until("t", `"ERROR"`)
	c.ask(400, "PUT", tasks, change(firstPassword))
	c.ask(200, "PUT", tasks, change(otherPassword))
	c.ask(200, "POST", tasks+"/action", `{"action":"start","tasks":[{"id":"t"}]}`)
	rows("2")
	c.ask(201, "POST", tasks, create("gone", otherPassword))
	c.ask(204, "DELETE", tasks+"/gone", "")
	c.ask(200, "GET", tasks, "")
	c.ask(200, "GET", "/streams/s", "")
	c.want(200, "", "", "GET", "/_disd/metrics", "")
	written := c.nowhere(s, trail, destinationSecrets)
	for where, text := range map[string]string{
		"the log": "password authentication failed", "an answer": "******", filepath.Join(s.Dir, "catalog.db"): "loader",
	} {
		if !strings.Contains(string(written[where]), text) {
			t.Errorf("%s is not in %s", text, where)
		}
	}
}

// TestSecretsOfMisuse: what is wrong with a command or a configuration is said
// without the secrets that stand there.
func TestSecretsOfMisuse(t *testing.T) {
	hidden := secret{"the secret", "SecretOfTheMisuse"}
	for _, text := range []string{
		`auth: {domains: ` + hidden.text + `}`,
		`auth: {domains: [{name: a, users: [{name: u, password: [` + hidden.text + `]}]}]}`,
		`auth: {domains: [{name: a, users: [{name: u, access_keys: [{ak: A, sk: {x: ` + hidden.text + `}}]}]}]}`,
		`auth: {domains: [{name: a, users: [{name: u, access_keys: [{ak: "", sk: ` + hidden.text + `}]}]}]}`,
		`auth: {domains: [{name: a, users: [{name: u, password: ` + hidden.text,
		`transfer: {obs: ` + hidden.text + `}`,
		`transfer: {obs: {secret_key: [` + hidden.text + `]}}`,
		`transfer: {obs: {endpoint: "http://user:` + hidden.text + `@127.0.0.1"}}`,
		`transfer: {obs: {endpoint: "http:/user:` + hidden.text + `@127.0.0.1"}}`,
		`transfer: {agencies: [{name: "", access_key: A, secret_key: ` + hidden.text + `}]}`,
	} {
		config := filepath.Join(t.TempDir(), "disd.yaml")
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := harness.Run("serve", "--config", config, "--engine", "memory", "--listen", "127.0.0.1:0")
		if err == nil || out == "" || hidden.isIn([]byte(out)) {
			t.Errorf("%s: %v, it prints\n%s", text, err, out)
		}
	}
	for _, args := range [][]string{
		{"doctor", "--endpoint", "http://user:" + hidden.text + "@127.0.0.1:1"},
		{"doctor", "--endpoint", "user:" + hidden.text + "@127.0.0.1:1"},
		{"doctor", "--endpoint", "http://127.0.0.1:1", "--ak", "A", "--sk", hidden.text},
		{"keys", "list", "--endpoint", "http://127.0.0.1:1", "--ak", "A", "--sk", hidden.text},
	} {
		if out, err := harness.Run(args...); err == nil || out == "" || hidden.isIn([]byte(out)) {
			t.Errorf("%q: %v, it prints\n%s", args, err, out)
		}
	}
}
