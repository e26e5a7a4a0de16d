package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// run runs a command and returns its exit status with what it wrote.
func run(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	status = command(t.Context(), args, &out, &errs)
	return status, out.String(), errs.String()
}

// TestCheck: everything that would keep a server from starting is said with status 2,
// and nothing is written.
func TestCheck(t *testing.T) { // CLI-21
	dir := t.TempDir()
	used, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	file := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(file, []byte("# nothing\nlisen: x\nlog: {level: loud}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	free := []string{"check", "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(dir, "data")}
	for _, tt := range []struct {
		args []string
		want []string // in the error, none when all is well
	}{
		{nil, nil},
		{[]string{"--config", file}, []string{"c.yaml:2: unknown option lisen: did you mean listen?"}},
		{[]string{"--config", file + ".none"}, []string{"no such file"}},
		{[]string{"--listen", used.Addr().String()}, []string{"listen: ", "in use"}},
		{[]string{"--data-dir", file}, []string{"data_dir: ", "is no directory"}},
		{[]string{"--tls-mode", "files", "--tls-cert-file", file, "--tls-key-file", file}, []string{"PEM"}},
		{[]string{"--audit-file", dir, "--auth-key-file", dir}, []string{"audit.file: ", "auth.key_file: "}},
		{[]string{"--transfer-dws-clusters", `[{"name":"a","id":"b","address":"nowhere"}]`}, []string{"transfer.dws.clusters"}},
		{[]string{"--transfer-obs-endpoint", "ftp://x", "--transfer-obs-access-key", "a", "--transfer-obs-secret-key", "b"}, []string{"object store endpoint"}},
		{[]string{"--auth-domains", `[{"name":"a","users":[{"name":"u","role":"king"}]}]`}, []string{"--auth-domains: auth.domains: "}},
	} {
		status, out, errs := run(t, append(free, tt.args...)...)
		if tt.want == nil && (status != 0 || out == "") || tt.want != nil && status != 2 {
			t.Errorf("%q: status %d, %s%s", tt.args, status, out, errs)
		}
		for _, want := range tt.want {
			if !strings.Contains(errs, want) {
				t.Errorf("%q: %s, want %s", tt.args, errs, want)
			}
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("written: %v, %v", left, err)
	}
}

// TestHelp: every command and every group has help, which is no failure.
func TestHelp(t *testing.T) {
	commands := [][]string{{"serve"}, {"check"}, {"inspect"}, {"verify-dump"}, {"health"}, {"doctor"}}
	for _, a := range acts {
		commands = append(commands, []string{a.noun}, []string{a.noun, a.verb})
	}
	for _, c := range commands {
		status, out, errs := run(t, append(c, "--help")...)
		if status != 0 || !strings.Contains(out+errs, "Usage") {
			t.Errorf("%q: status %d, %s%s", c, status, out, errs)
		}
	}
}
