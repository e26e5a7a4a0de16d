// Package harness runs the built server for tests, and checks at the end of each
// that everything the server holds is as it should be.
package harness

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binaryVariable names the server to test. Main sets it unless it is set already.
const binaryVariable = "DISD_BINARY"

// patience is how long a server may take for something that must happen.
const patience = time.Minute

// Main is what TestMain does: it builds the server, once for all tests of a
// package, and runs them.
func Main(m *testing.M) int {
	if os.Getenv(binaryVariable) == "" {
		dir, err := os.MkdirTemp("", "disd-*")
		if err == nil {
			defer os.RemoveAll(dir)
			err = build(filepath.Join(dir, "disd"))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "build the server:", err)
			return 1
		}
	}
	return m.Run()
}

func build(binary string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-o", binary, "./cmd/disd")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return os.Setenv(binaryVariable, binary)
}

// Root returns the root of the repository, looked for from the working
// directory up.
func Root() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		mod, _ := os.ReadFile(filepath.Join(dir, "go.mod"))
		switch {
		case bytes.HasPrefix(mod, []byte("module disd\n")):
			return dir, nil
		case dir == filepath.Dir(dir):
			return "", errors.New("not inside the repository")
		}
	}
	return "", err
}

// Options says how a server is started.
type Options struct {
	Dir  string   // data directory; empty for one that goes with the test
	Args []string // of serve, beside --listen and --data-dir
	Work string   // working directory; empty for that of the test
	CA   string   // file of whom clients trust, with tls.mode files
}

// A Server is a process that was started, whether or not it still runs.
type Server struct {
	URL     string // of its root, without a slash at the end; set by Ready
	Address string // host:port of the same; set by Ready
	Dir     string // its data directory

	cmd    *exec.Cmd
	ca     string
	serves chan [2]string // receives the address and tls.mode, or is closed
	ended  chan struct{}  // closed when the process has ended
	err    error          // how it ended
	client *Client

	mu   sync.Mutex
	logs bytes.Buffer
}

// Start starts a server, waits until it is ready, and at the end of the test
// checks all it holds (see Check), stops it and wants it to end well.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := Launch(t, o)
	s.Ready(t)
	t.Cleanup(func() {
		if t.Failed() || s.Ended() {
			return
		}
		Check(t, s.Client())
		s.Stop(t)
	})
	return s
}

// Launch starts a server and does not wait for it. It is killed at the end of
// the test if it still runs, and its log is shown if the test failed.
func Launch(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "data")
	}
	args := append([]string{"serve", "--listen", "127.0.0.1:0", "--data-dir", o.Dir}, o.Args...)
	if o.CA == "" {
		o.CA = filepath.Join(o.Dir, "tls", "ca.pem")
	}
	s := &Server{Dir: o.Dir, ca: o.CA, cmd: command(args...), serves: make(chan [2]string, 1), ended: make(chan struct{})}
	s.cmd.Dir = o.Work
	logs, err := s.cmd.StderrPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go s.watch(logs)
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("log of the server:\n%s", s.Logs())
		}
	})
	return s
}

// command returns the command that runs the server's binary. What is configured
// in the environment of the test is not meant for it.
func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Getenv(binaryVariable), args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "DISD_") })
	return cmd
}

// Run runs the server's binary until it ends and returns all it printed.
func Run(args ...string) (string, error) {
	out, err := command(args...).CombinedOutput()
	return string(out), err
}

// serving is in the log as text or as JSON.
var serving = regexp.MustCompile(`msg"?[=:]"?serving"?[ ,]"?address"?[=:]"?([^ "]+).*tls"?[=:]"?(\w+)`)

// watch keeps what the process prints, until it ends.
func (s *Server) watch(logs io.Reader) {
	defer close(s.ended)
	for lines := bufio.NewScanner(logs); lines.Scan(); {
		s.mu.Lock()
		s.logs.WriteString(lines.Text() + "\n")
		s.mu.Unlock()
		if m := serving.FindStringSubmatch(lines.Text()); m != nil {
			s.serves <- [2]string{m[1], m[2]}
		}
	}
	io.Copy(io.Discard, logs) // after a line too long to be kept
	close(s.serves)
	s.err = s.cmd.Wait()
}

// Ready waits until the server says that it is.
func (s *Server) Ready(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(patience)
	select {
	case serves, ok := <-s.serves:
		if !ok {
			<-s.ended
			t.Fatalf("the server did not start: %v", s.err)
		}
		scheme := "http"
		if serves[1] != "off" {
			scheme = "https"
		}
		s.Address = serves[0]
		s.URL = scheme + "://" + s.Address
		s.client = newClient(s.URL, Project, s.Trust(t))
	case <-time.After(patience):
		t.Fatal("the server did not start")
	}
	for !s.isReady() {
		if time.Now().After(deadline) {
			t.Fatal("the server did not become ready")
		}
	}
}

// CA is the file of the authority to trust, with TLS; with tls.mode auto the one
// that the server makes.
func (s *Server) CA() string { return s.ca }

// Trust returns what a client needs to shake hands with the server: its authority,
// if it has made one, nil otherwise.
func (s *Server) Trust(t testing.TB) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(s.CA())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(pem)
	return config
}

func (s *Server) isReady() bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/_disd/ready", nil)
	if err != nil {
		return false
	}
	resp, err := s.client.http.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Kill ends the server as kill -9 does, if it still runs.
func (s *Server) Kill() {
	s.cmd.Process.Kill()
	<-s.ended
}

// Terminate asks the server to stop and returns at once.
func (s *Server) Terminate() { s.cmd.Process.Signal(syscall.SIGTERM) }

// Stop stops the server and wants it to end well, without having logged an error.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.Terminate()
	s.Wait(t)
}

// Wait waits for the end of a server that was asked to stop.
func (s *Server) Wait(t testing.TB) {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		t.Fatal("the server did not stop")
	}
	if s.err != nil {
		t.Errorf("the server ended with %v", s.err)
	}
	s.CheckLogs(t)
}

// Ended says whether the process has ended.
func (s *Server) Ended() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// Logs returns what the server has printed so far.
func (s *Server) Logs() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logs.String()
}

// CheckLogs fails the test when the server has logged an error.
func (s *Server) CheckLogs(t testing.TB) {
	t.Helper()
	for line := range strings.Lines(s.Logs()) {
		if strings.Contains(line, "level=ERROR") {
			t.Errorf("the server logged an error: %s", line)
		}
	}
}

// Project is the project that Client uses.
const Project = "e9993fc787d94b6c886cbaa340f9c0f4"

// Client returns the client of the server, whose knowledge the check at the end
// goes by.
func (s *Server) Client() *Client { return s.client }
