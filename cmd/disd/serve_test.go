package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets tests run the program: with TEST_DISD_PROGRAM it is not a test but disd.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_DISD_PROGRAM") != "" {
		main()
	}
	os.Exit(m.Run())
}

// A program is a disd process that serves.
type program struct {
	*testing.T
	cmd  *exec.Cmd
	url  string
	logs *os.File // the reading end of its stderr
	told *net.UnixConn
}

// start starts disd with an audit log, and waits until it says that it is ready.
func start(t *testing.T, dir string, args ...string) *program {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	socket := filepath.Join(dir, "notify")
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { told.Close() })
	logs, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { logs.Close() })
	cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{
		"serve", "--listen", address, "--data-dir", filepath.Join(dir, "data"), "--storage-commit-log", "1MiB", "--audit-file", filepath.Join(dir, "audit.log"),
	}, args...)...)
	cmd.Env = append(os.Environ(), "TEST_DISD_PROGRAM=1", "NOTIFY_SOCKET="+socket)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stderr.Close()
	p := &program{T: t, cmd: cmd, url: "http://" + address, logs: logs, told: told}
	p.hears("READY=1")
	return p
}

// hears waits for what the process tells systemd.
func (p *program) hears(want string) {
	p.Helper()
	if err := p.told.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		p.Fatal(err)
	}
	buf := make([]byte, 100)
	n, err := p.told.Read(buf)
	if err != nil || string(buf[:n]) != want {
		p.Fatalf("%q, %v, want %s", buf[:n], err, want)
	}
}

func (p *program) ask(method, path, body string) (int, string) {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (p *program) signal(s os.Signal) {
	p.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.Fatal(err)
	}
}

// ends waits for an orderly end.
func (p *program) ends() {
	p.Helper()
	p.hears("STOPPING=1")
	if err := p.cmd.Wait(); err != nil {
		p.Error(err)
	}
}

// until waits for something to become true.
func (p *program) until(what string, is func() bool) {
	p.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			p.Fatalf("in vain: %s", what)
		}
	}
}

func (p *program) create(stream string) {
	p.Helper()
	if status, body := p.ask("POST", "/v2/p/streams", `{"stream_name":"`+stream+`","partition_count":1}`); status != 201 {
		p.Errorf("%d %s", status, body)
	}
}

// TestSignals is the table of docs/operations.md: signal by state.
func TestSignals(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			p := start(t, t.TempDir())
			const body = `{"stream_name":"s","partition_count":1}`
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(p.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, "POST /v2/p/streams HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 39\r\nExpect: 100-continue\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			const goOn = "HTTP/1.1 100 Continue\r\n\r\n"
			if _, err := io.CopyN(io.Discard, conn, int64(len(goOn))); err != nil { // its body is waited for
				t.Fatal(err)
			}
			p.signal(s)
			p.hears("STOPPING=1")
			p.signal(syscall.SIGHUP) // nothing any more
			if _, err := io.WriteString(conn, body); err != nil {
				t.Fatal(err)
			}
			answer := make([]byte, 12)
			if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 201" {
				t.Errorf("the request that was accepted: %q, %v", answer, err)
			}
			if err := p.cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("SIGHUP", func(t *testing.T) {
		dir := t.TempDir()
		file, audit := filepath.Join(dir, "c.yaml"), filepath.Join(dir, "audit.log")
		put := func(text string) {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		put("log: {level: info}\n")
		p := start(t, dir, "--config", file)
		logged := make(chan string, 1)
		go func() {
			text, _ := io.ReadAll(p.logs)
			logged <- string(text)
		}()
		p.create("a")
		if err := os.Rename(audit, audit+".rotated"); err != nil {
			t.Fatal(err)
		}
		put("log: {level: debug}\n")
		p.signal(syscall.SIGHUP)
		p.until("the audit log is opened anew", func() bool { _, err := os.Stat(audit); return err == nil })
		p.create("b")
		put("log: {level: loud}\n") // which changes nothing
		if err := os.Remove(audit); err != nil {
			t.Fatal(err)
		}
		p.signal(syscall.SIGHUP)
		p.until("the audit log is opened anew", func() bool { _, err := os.Stat(audit); return err == nil })
		p.create("c")
		p.ask("GET", "/v2/p/streams/none", "")
		for name, want := range map[string]string{audit + ".rotated": "CreateStream", audit: "CreateStream"} {
			if text, err := os.ReadFile(name); err != nil || strings.Count(string(text), want) != 1 {
				t.Errorf("%s: %s, %v", name, text, err)
			}
		}
		p.signal(syscall.SIGTERM)
		p.ends()
		text := <-logged
		for _, want := range []string{"request failed", "not everything was read again", "must be one of debug, info, warn, error", "data_dir=" + dir, "config=" + file} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in the log:\n%s", want, text)
			}
		}
	})
}

// TestNobodyReadsTheLog: the server goes on, counts the lines, and ends in order.
func TestNobodyReadsTheLog(t *testing.T) {
	p := start(t, t.TempDir(), "--log-level", "debug")
	p.logs.Close()
	for range 3 {
		if status, _ := p.ask("GET", "/v2/p/streams/none", ""); status != 400 {
			t.Errorf("status %d", status)
		}
	}
	if _, metrics := p.ask("GET", "/_disd/metrics", ""); !regexp.MustCompile(`disd_log_lost_total ([3-9]|[1-9][0-9])`).MatchString(metrics) {
		t.Error("the lines are not counted")
	}
	p.signal(syscall.SIGTERM)
	p.ends()
}

// TestAuditLogCannotBeWritten: calls are answered, and the entries are counted.
func TestAuditLogCannotBeWritten(t *testing.T) {
	p := start(t, t.TempDir(), "--audit-file", "/dev/full")
	p.create("a")
	if _, metrics := p.ask("GET", "/_disd/metrics", ""); !strings.Contains(metrics, "disd_audit_lost_total 1") {
		t.Error("the entry is not counted")
	}
	p.signal(syscall.SIGTERM)
	p.ends()
}
