package certs

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A clock stands still until it is moved.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.ns.Store(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// serve accepts TLS connections until the test ends.
func serve(t *testing.T, config *tls.Config) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.(*tls.Conn).HandshakeContext(t.Context()) // an error is the client's to see
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// connect shakes hands as a client that trusts the CA of dir, and returns the
// server's certificate.
func connect(t *testing.T, c *clock, dir, addr string, edit func(*tls.Config)) (*x509.Certificate, error) {
	t.Helper()
	ca, err := os.ReadFile(filepath.Join(dir, CAFile))
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1", Time: c.now}
	if !config.RootCAs.AppendCertsFromPEM(ca) {
		t.Fatal("the CA file has no certificate")
	}
	if edit != nil {
		edit(config)
	}
	conn, err := tls.Dial("tcp", addr, config)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

func auto(t *testing.T, c *clock, dir string, hosts ...string) *tls.Config {
	t.Helper()
	config, err := Auto(dir, hosts, Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestAuto(t *testing.T) {
	c, dir := newClock(), filepath.Join(t.TempDir(), "tls")
	addr := serve(t, auto(t, c, dir, "dis.example.com", "10.1.2.3"))
	for _, name := range []string{"127.0.0.1", "localhost", "dis.example.com", "10.1.2.3", "::1"} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			_, err := connect(t, c, dir, addr, func(config *tls.Config) {
				config.ServerName, config.MinVersion, config.MaxVersion = name, version, version
			})
			if err != nil {
				t.Errorf("%s, version %x: %v", name, version, err)
			}
		}
	}
	if _, err := connect(t, c, dir, addr, func(config *tls.Config) { config.ServerName = "evil.example.com" }); err == nil {
		t.Error("the certificate is good for any name")
	}
	_, err := connect(t, c, dir, addr, func(config *tls.Config) {
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	})
	if err == nil {
		t.Error("TLS 1.1 is on")
	}
	for file, want := range map[string]os.FileMode{CAFile: 0o644, caKeyFile: 0o600, serverFile: 0o644, serverKeyFile: 0o600} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
}

// What clients trust stays as long as it can; what they need not know changes.
func TestAutoRestarts(t *testing.T) {
	c, dir := newClock(), t.TempDir()
	first := peer(t, c, dir, auto(t, c, dir))
	if again := peer(t, c, dir, auto(t, c, dir)); !again.Equal(first) {
		t.Error("a restart made a new certificate")
	}
	more := peer(t, c, dir, auto(t, c, dir, "dis.example.com"))
	if more.Equal(first) || more.VerifyHostname("dis.example.com") != nil {
		t.Error("a new host is not in the certificate")
	}
	if err := os.WriteFile(filepath.Join(dir, serverKeyFile), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if repaired := peer(t, c, dir, auto(t, c, dir)); repaired.Equal(more) {
		t.Error("a torn key was used")
	}
	if err := os.Remove(filepath.Join(dir, caKeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Auto(dir, nil, Options{}); err == nil || !strings.Contains(err.Error(), CAFile) {
		t.Errorf("a CA without its key: %v", err)
	}
}

func peer(t *testing.T, c *clock, dir string, config *tls.Config) *x509.Certificate {
	t.Helper()
	cert, err := connect(t, c, dir, serve(t, config), nil)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// A server that is never restarted outlives its certificate.
func TestAutoRenews(t *testing.T) {
	c, dir := newClock(), t.TempDir()
	addr := serve(t, auto(t, c, dir))
	first, err := connect(t, c, dir, addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.advance(serverLifetime - renewBefore - time.Minute)
	if same, err := connect(t, c, dir, addr, nil); err != nil || !same.Equal(first) {
		t.Errorf("renewed early, or %v", err)
	}
	c.advance(2 * time.Minute)
	next, err := connect(t, c, dir, addr, nil)
	if err != nil || next.Equal(first) || !next.NotAfter.After(first.NotAfter) {
		t.Errorf("not renewed: %v", err)
	}
}

func TestFilesAreReadAgain(t *testing.T) {
	c, dir, other := newClock(), t.TempDir(), t.TempDir()
	auto(t, c, dir)
	certFile, keyFile := filepath.Join(dir, serverFile), filepath.Join(dir, serverKeyFile)
	var logs strings.Builder
	config, err := Files(certFile, keyFile, Options{Now: c.now, Logger: slog.New(slog.NewTextHandler(&logs, nil))})
	if err != nil {
		t.Fatal(err)
	}
	get := func() *x509.Certificate {
		cert, err := config.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return cert.Leaf
	}
	first := get()

	write(t, keyFile, []byte("half a file"))
	for range 3 {
		c.advance(2 * checkInterval)
		if !get().Equal(first) {
			t.Error("a broken key file replaced the certificate")
		}
	}
	if n := strings.Count(logs.String(), "level=ERROR"); n != 1 {
		t.Errorf("a broken file was reported %d times", n)
	}

	auto(t, c, other, "other.example.com")
	for from, to := range map[string]string{serverKeyFile: keyFile, serverFile: certFile} {
		b, err := os.ReadFile(filepath.Join(other, from))
		if err != nil {
			t.Fatal(err)
		}
		write(t, to, b)
	}
	if !get().Equal(first) {
		t.Error("looked at the files twice within the interval")
	}
	c.advance(2 * checkInterval)
	if get().VerifyHostname("other.example.com") != nil {
		t.Error("the new certificate is not served")
	}
}

// write writes a file whose time differs from what was there.
func write(t *testing.T, path string, b []byte) {
	t.Helper()
	before, err := os.Stat(path)
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err == nil {
		later := before.ModTime().Add(time.Second)
		err = os.Chtimes(path, later, later)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilesMustBeThere(t *testing.T) {
	if _, err := Files("none.pem", "none-key.pem", Options{}); err == nil {
		t.Error("no error")
	}
}
