// Package security holds the built server to what docs/security.md promises.
package security

import (
	"os"
	"path/filepath"
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

// TestHealth: the check of a container goes through whatever the server speaks,
// whether or not it is told what that is.
func TestHealth(t *testing.T) {
	other := launch(t, "--tls-mode", "auto")
	files := func(name string) string { return filepath.Join(other.Dir, "tls", name) }
	for name, args := range map[string][]string{
		"off":   {"--tls-mode", "off"},
		"auto":  {"--tls-mode", "auto"},
		"files": {"--tls-mode", "files", "--tls-cert-file", files("server.pem"), "--tls-key-file", files("server-key.pem")},
	} {
		o := harness.Options{Args: args}
		if name == "files" {
			o.CA = other.CA()
		}
		s := harness.Launch(t, o)
		s.Ready(t)
		told := append([]string{"health", "--listen", s.Address}, args...)
		for _, check := range [][]string{told, told[:3]} {
			if out, err := harness.Run(check...); err != nil {
				t.Errorf("tls.mode %s: %q: %v\n%s", name, check, err, out)
			}
		}
		s.Stop(t)
		if out, err := harness.Run(told...); err == nil {
			t.Errorf("tls.mode %s: healthy without a server: %s", name, out)
		}
	}
}
