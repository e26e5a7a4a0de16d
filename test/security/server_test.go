// Package security holds the built server to what docs/security.md promises.
package security

import (
	"os"
	"testing"

	"disd/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// launch starts a server and stops it at the end of the test.
func launch(t *testing.T, args ...string) *harness.Server {
	t.Helper()
	s := harness.Launch(t, harness.Options{Args: args})
	s.Ready(t)
	t.Cleanup(func() {
		if !t.Failed() {
			s.Stop(t)
		}
	})
	return s
}

// TestHealth: the check of a container goes through whatever the server speaks.
func TestHealth(t *testing.T) {
	for _, mode := range []string{"off", "auto"} {
		s := launch(t, "--tls-mode", mode)
		args := []string{"health", "--tls-mode", mode, "--listen", s.Address}
		if out, err := harness.Run(args...); err != nil {
			t.Errorf("tls.mode %s: %v\n%s", mode, err, out)
		}
	}
	if out, err := harness.Run("health", "--listen", "127.0.0.1:1"); err == nil {
		t.Errorf("healthy without a server: %s", out)
	}
}
