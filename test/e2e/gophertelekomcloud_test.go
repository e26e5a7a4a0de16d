package e2e

import (
	"os"
	"os/exec"
	"testing"

	// Keeps the module, and what its acceptance tests need, in go.mod.
	_ "github.com/opentelekomcloud/gophertelekomcloud/acceptance/clients"

	"disd/test/harness"
)

// account is who may use a server with auth.mode required.
const account = `[{"name":"acme","projects":[{"name":"region-1","id":"` + harness.Project + `"}],"users":[
	{"name":"alice","password":"secret","programmatic":true,"access_keys":[{"ak":"ACCESSKEY","sk":"secretkey"}]}]}]`

// TestGophertelekomcloud runs the acceptance test that its authors wrote against
// their cloud.
func TestGophertelekomcloud(t *testing.T) {
	open := []string{"--auth-mode", "open"}
	required := []string{"--auth-mode", "required", "--auth-domains", account}
	token := []string{"OS_USERNAME=alice", "OS_PASSWORD=secret", "OS_USER_DOMAIN_NAME=acme"}
	keys := []string{"OS_ACCESS_KEY=ACCESSKEY", "OS_SECRET_KEY=secretkey", "OS_DOMAIN_NAME=acme"}
	for _, row := range []struct {
		name        string
		args        []string
		credentials []string
	}{
		{"token of an open server", open, token},
		{"keys of an open server", open, keys},
		{"token", required, token},
		{"keys", required, keys},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := harness.Launch(t, harness.Options{Args: append(row.args, "--empty-wait", "0s")})
			s.Ready(t)
			cmd := exec.Command("go", "test", "-count=1", "-run", "^TestDISWorkflow$", "-v",
				"github.com/opentelekomcloud/gophertelekomcloud/acceptance/openstack/dis/v2")
			cmd.Env = append(append(os.Environ(), "OS_AUTH_URL="+s.URL+"/v3", "OS_PROJECT_NAME=region-1"), row.credentials...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			s.Stop(t)
		})
	}
}
