// Package servers starts the real servers that transfer tasks deliver to, from
// published packages. Each lies in a directory of its own beside this file, with a
// script that says what it needs.
package servers

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Server is one that was started, whatever became of its daemons since.
type Server struct {
	dir   string
	cmd   *exec.Cmd
	logs  bytes.Buffer
	ended chan struct{} // closed when the script has ended
}

// patience is how long a server may take to serve: the first start on a machine
// fetches its software.
const patience = 10 * time.Minute

// Missing says what the servers need and this machine has not, "" for nothing.
func Missing() string {
	for _, program := range []string{"java", "mvn", "python3", "curl", "setpriv"} {
		if _, err := exec.LookPath(program); err != nil {
			return "there is no " + program
		}
	}
	return ""
}

// Start starts the server name, hdfs, hbase, opentsdb or spark, on data in dir, and
// waits until it serves. root is the directory of this package. args are those of the
// script after the directory.
func Start(root, name, dir string, args ...string) (*Server, error) {
	s := &Server{dir: dir, ended: make(chan struct{})}
	s.cmd = exec.Command(filepath.Join(root, name, "start"), append([]string{dir}, args...)...)
	s.cmd.Stdout, s.cmd.Stderr = &s.logs, &s.logs
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait() // its output says why
	}()
	return s, s.Await()
}

// At returns a server that another one started for itself, by its ready file. It can
// be asked and its daemons ended; the other one revives and stops it.
func At(ready string) *Server { return &Server{dir: filepath.Dir(ready)} }

// Await waits until the server serves, also again after one of its daemons was ended.
func (s *Server) Await() error {
	limit := time.After(patience)
	for {
		if _, err := os.Stat(filepath.Join(s.dir, "ready")); err == nil {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-s.ended:
			return fmt.Errorf("%s has ended: %s", s.cmd.Path, s.logs.String())
		case <-limit:
			return fmt.Errorf("%s does not serve after %v", s.cmd.Path, patience)
		}
	}
}

// Get returns what the server says of itself, such as an address; "" when it says
// nothing of the kind.
func (s *Server) Get(key string) string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "ready")) // then it says nothing
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
			return value
		}
	}
	return ""
}

// Signal sends a signal to a daemon, by the key that has its process id.
func (s *Server) Signal(key string, sig syscall.Signal) error {
	pid, err := strconv.Atoi(s.Get(key))
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return syscall.Kill(pid, sig)
}

// Kill ends a daemon by SIGKILL and waits until it is gone: what was just killed
// still looks alive for a moment.
func (s *Server) Kill(key string) error {
	if err := s.Signal(key, syscall.SIGKILL); err != nil {
		return err
	}
	for {
		stat, _ := os.ReadFile("/proc/" + s.Get(key) + "/stat") // not there when it is gone
		_, state, _ := strings.Cut(string(stat), ") ")
		if state == "" || strings.HasPrefix(state, "Z") {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Revive starts the daemons again that were ended, and waits until they serve.
func (s *Server) Revive() error {
	if err := os.Remove(filepath.Join(s.dir, "ready")); err != nil {
		return err
	}
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	return s.Await()
}

// Stop ends the server and its daemons.
func (s *Server) Stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	<-s.ended
}
