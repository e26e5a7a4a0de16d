package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A process is a server under measurement.
type process struct {
	name string
	addr string
	log  string // file with what it printed
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// A rig is a directory and the servers that were started in it.
type rig struct {
	config
	dir       string
	processes []*process
}

func newRig(c config) (*rig, error) {
	dir, err := os.MkdirTemp(c.dir, "")
	return &rig{config: c, dir: dir}, err
}

// close ends the servers and removes the directory.
func (g *rig) close() {
	for _, p := range g.processes {
		p.kill()
	}
	os.RemoveAll(g.dir)
}

// disd runs bin on the data directory called name and returns when it is
// ready, with the time this took, counted from before the process existed.
func (g *rig) disd(ctx context.Context, name, bin string, further ...string) (*process, time.Duration, error) {
	began := time.Now()
	args := []string{"serve", "--listen", "$ADDR", "--data-dir", filepath.Join(g.dir, name), "--sync", "always"}
	p, err := g.start(ctx, name, bin, append(append(args, further...), g.args...)...)
	if err != nil {
		return nil, 0, err
	}
	err = p.waitReady("/_disd/ready")
	return p, time.Since(began), err
}

// noop runs the no-op server, which answers everything with reply.
func (g *rig) noop(ctx context.Context, reply []byte) (*process, error) {
	file := filepath.Join(g.dir, "reply")
	if err := os.WriteFile(file, reply, 0o600); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := g.start(ctx, "no-op", self, "noop", "-listen", "$ADDR", "-reply", file)
	if err != nil {
		return nil, err
	}
	return p, p.waitReady("/")
}

// start runs bin with args, in which $ADDR stands for the address to listen
// on, and does not wait until it listens.
func (g *rig) start(ctx context.Context, name, bin string, args ...string) (*process, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	for i, arg := range args {
		args[i] = strings.ReplaceAll(arg, "$ADDR", addr)
	}
	log, err := os.Create(filepath.Join(g.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{name: name, addr: addr, log: log.Name(), cmd: exec.CommandContext(ctx, bin, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	g.processes = append(g.processes, p)
	go func() {
		defer close(p.done)
		p.cmd.Wait()
	}()
	return p, nil
}

// freeAddr returns an address that was free a moment ago. The address in use
// could also be read from the log, but then the log's form would matter here.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

const readyTimeout = 2 * time.Minute

// waitReady asks for path until the answer is 200.
func (p *process) waitReady(path string) error {
	ask := request("GET " + path + " HTTP/1.1\r\nHost: disd\r\n\r\n")
	for began := time.Now(); time.Since(began) < readyTimeout; {
		if _, err := call(p.addr, ask); err == nil {
			return nil
		}
		select {
		case <-p.done:
			return p.failure(errors.New("ended before it was ready"))
		case <-time.After(500 * time.Microsecond):
		}
	}
	return p.failure(fmt.Errorf("not ready within %v", readyTimeout))
}

// failure adds the end of what the process printed to err.
func (p *process) failure(err error) error {
	printed, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s: %w\n%s", p.name, err, printed[max(0, len(printed)-2000):])
}

// kill ends the process as kill -9 does and waits until it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// cpu returns the processor time the process has used, and memory the bytes
// it has in main memory. Both are 0 where there is no /proc.
func (p *process) cpu() time.Duration {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every architecture
	stat, _ := os.ReadFile(p.proc("stat"))
	_, rest, _ := bytes.Cut(stat, []byte(") ")) // the name before it may contain spaces
	fields := strings.Fields(string(rest))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick
}

func (p *process) memory() int64 {
	statm, _ := os.ReadFile(p.proc("statm"))
	fields := strings.Fields(string(statm))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

func (p *process) proc(file string) string {
	return filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), file)
}

// version returns what bin says about itself, for the report.
func version(ctx context.Context, bin string) string {
	out, err := exec.CommandContext(ctx, bin, "version").Output()
	if err != nil {
		return bin
	}
	return strings.TrimSpace(string(out))
}
