package security

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
	"time"

	"disd/test/harness"
)

// TestTLSVersions: TLS 1.2 is on for old clients, what is older is not.
func TestTLSVersions(t *testing.T) {
	t.Attr("rules", "C-1")
	s := launch(t, "--tls-mode", "auto")
	for version, accepted := range map[uint16]bool{
		tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true,
	} {
		config := s.Trust(t)
		config.MinVersion, config.MaxVersion = version, version
		conn, err := tls.Dial("tcp", s.Address, config)
		if (err == nil) != accepted {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// TestCertificateReload: a server goes over to a new certificate without a restart.
func TestCertificateReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	install := func(from string) {
		t.Helper()
		for _, name := range []string{"server-key.pem", "server.pem"} {
			text, err := os.ReadFile(filepath.Join(from, "tls", name))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	first, second := launch(t, "--tls-mode", "auto"), launch(t, "--tls-mode", "auto") // each with an authority of its own
	install(first.Dir)
	s := harness.Launch(t, harness.Options{Dir: first.Dir + "-files", Args: []string{
		"--tls-mode", "files", "--tls-cert-file", filepath.Join(dir, "server.pem"), "--tls-key-file", filepath.Join(dir, "server-key.pem"),
	}, CA: first.CA()})
	s.Ready(t)
	install(second.Dir)
	trusted := func() bool {
		conn, err := tls.Dial("tcp", s.Address, second.Trust(t))
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	for deadline := time.Now().Add(patience); !trusted(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the new certificate is not served")
		}
	}
	s.Stop(t)
}
