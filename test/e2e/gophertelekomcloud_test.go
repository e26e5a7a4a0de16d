package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	// Keeps the module, and what its acceptance tests need, in go.mod.
	_ "github.com/opentelekomcloud/gophertelekomcloud/acceptance/clients"

	"disd/test/harness"
)

// TestGophertelekomcloud runs the acceptance test that its authors wrote against
// their cloud.
func TestGophertelekomcloud(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "acceptance")
	build := exec.Command("go", "test", "-c", "-o", binary, "github.com/opentelekomcloud/gophertelekomcloud/acceptance/openstack/dis/v2")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	open := []string{"--auth-mode", "open"}
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
			cmd := exec.Command(binary, "-test.run", "^TestDISWorkflow$", "-test.v")
			cmd.Env = append(append(os.Environ(), "SSL_CERT_FILE="+s.CA(), "OS_AUTH_URL="+s.URL+"/v3", "OS_PROJECT_NAME=region-1"), row.credentials...)
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestDISWorkflow") {
				t.Errorf("%v\n%s", err, out)
			}
			s.Stop(t)
		})
	}
}
