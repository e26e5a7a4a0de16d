// Command clients runs the published DIS clients, unmodified, against a disd
// binary, and writes what they found to docs/compatibility.md.
//
// Each client has a folder here with an executable "run", which finds the server
// in its environment (DISD_ENDPOINT, DISD_PROJECT, DISD_REGION, DISD_AK, DISD_SK)
// and prints one line for each thing it checked, "ok <what>" or "not ok <what>:
// <why>". Packages come from the ordinary registries, by name and version.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// A client is one published client.
type client struct {
	dir     string // below this folder
	name    string
	version string
	runtime string
	needs   []string // commands it needs
	ran     string   // what the driver does, for the table
	notes   string   // known differences, for the table
	snippet string   // file with the lines between [snippet] and [end]
}

var clients = []client{
	{
		dir: "java-legacy", name: "Java SDK, legacy", version: "com.huaweicloud.dis:huaweicloud-sdk-java-dis 1.3.21",
		runtime: "Java", needs: []string{"java", "mvn"},
		ran:     "streams, apps, records, cursors, checkpoints; the asynchronous client; JSON, protobuf, lz4, snappy and zstd",
		notes:   "The host in the endpoint needs a dot: `127.0.0.1`, not `localhost`.",
		snippet: "Main.java",
	},
	{
		dir: "python-v3", name: "Python SDK, v3", version: "huaweicloudsdkdis 3.1.219",
		runtime: "Python", needs: []string{"python3"},
		ran:     "all 33 operations",
		snippet: "main.py",
	},
}

// A result is what one run of a client showed.
type result struct {
	client
	skipped string // why it was not run
	passed  int
	failed  []string
}

func main() {
	binary := flag.String("disd", "bin/disd", "`binary` to run the clients against")
	only := flag.String("run", "", "only clients whose folder matches the `pattern`")
	write := flag.String("write", "", "`file` to write the table to")
	flag.Parse()
	ok, err := run(*binary, *only, *write)
	if err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func run(binary, only, write string) (ok bool, err error) {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return false, err
	}
	server, err := start(binary)
	if err != nil {
		return false, err
	}
	defer server.stop()
	var results []result
	ok = true
	passed, failed, skipped := 0, 0, 0
	for _, c := range clients {
		if !pattern.MatchString(c.dir) {
			continue
		}
		r := c.run(server)
		results = append(results, r)
		passed, failed = passed+r.passed, failed+len(r.failed)
		if r.skipped != "" {
			skipped++
			fmt.Printf("skip %s: %s\n", c.name, r.skipped)
		}
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if write != "" {
		err = os.WriteFile(write, table(results), 0o644)
	}
	return failed == 0, err
}

// run runs a client. What it prints is shown as it comes.
func (c client) run(s *server) result {
	r := result{client: c}
	for _, need := range c.needs {
		if _, err := exec.LookPath(need); err != nil {
			r.skipped = need + " is not installed"
			return r
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "./run")
	cmd.Dir = filepath.Join("test/clients", c.dir)
	cmd.Env = append(os.Environ(), s.environment(c.dir)...)
	var trouble bytes.Buffer
	cmd.Stderr = &trouble
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.failed = append(r.failed, "start: "+err.Error())
		return r
	}
	fmt.Println("#", c.name, c.version)
	r.read(out)
	if err := cmd.Wait(); err != nil {
		os.Stdout.Write(trouble.Bytes())
		r.failed = append(r.failed, "run: "+err.Error())
	}
	if r.passed == 0 && len(r.failed) == 0 && r.skipped == "" {
		r.failed = append(r.failed, "it checked nothing")
	}
	return r
}

// read counts the lines of a driver.
func (r *result) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "ok "):
			r.passed++
		case strings.HasPrefix(line, "not ok "):
			r.failed = append(r.failed, strings.TrimPrefix(line, "not ok "))
		case strings.HasPrefix(line, "skip "):
			r.skipped = strings.TrimPrefix(line, "skip ")
		default:
			continue // chatter of the client's own logging
		}
		fmt.Println("  " + line)
	}
}

// A server is a disd under test.
type server struct {
	cmd  *exec.Cmd
	url  string
	data string
}

var serving = regexp.MustCompile(`msg=serving address=(\S+)`)

// start starts a disd on a free port, with a data directory of its own.
func start(binary string) (*server, error) {
	data, err := os.MkdirTemp("", "disd-clients-*")
	if err != nil {
		return nil, err
	}
	s := &server{data: data, cmd: exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", data)}
	logs, err := s.cmd.StderrPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(data))
	}
	lines := bufio.NewScanner(logs)
	for s.url == "" && lines.Scan() {
		if m := serving.FindStringSubmatch(lines.Text()); m != nil {
			s.url = "http://" + m[1]
		}
	}
	go io.Copy(io.Discard, logs)
	if s.url == "" {
		return nil, errors.Join(errors.New("disd did not start"), s.stop())
	}
	resp, err := http.Get(s.url + "/_disd/ready")
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	resp.Body.Close()
	return s, nil
}

// environment tells a client where the server is. Each client has a project of
// its own.
func (s *server) environment(dir string) []string {
	return []string{
		"DISD_ENDPOINT=" + s.url,
		"DISD_PROJECT=" + fmt.Sprintf("%032x", []byte(dir)[:min(len(dir), 16)]),
		"DISD_REGION=region-1",
		"DISD_AK=ACCESSKEY", "DISD_SK=secretkey",
	}
}

func (s *server) stop() error {
	s.cmd.Process.Signal(os.Interrupt)
	s.cmd.Wait()
	return os.RemoveAll(s.data)
}

// table returns docs/compatibility.md.
func table(results []result) []byte {
	var b bytes.Buffer
	b.WriteString("# Compatibility\n\nPublished clients, unmodified, run against disd by `make conformance`, which writes this page.\n" +
		"Only the endpoint and the credentials are set.\n\n" +
		"| client | package | runtime | what was run | passed | failed | notes |\n|---|---|---|---|---|---|---|\n")
	for _, r := range results {
		notes := r.notes
		if r.skipped != "" {
			notes = strings.TrimSpace("Not run: " + r.skipped + ". " + notes)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d | %d | %s |\n", r.name, r.version, r.runtime, r.ran, r.passed, len(r.failed), notes)
	}
	b.WriteString("\n## How to point each client at disd\n")
	for _, r := range results {
		if text := r.excerpt(); text != "" {
			fmt.Fprintf(&b, "\n### %s\n\n```%s\n%s```\n", r.name, strings.TrimPrefix(filepath.Ext(r.snippet), "."), text)
		}
	}
	return b.Bytes()
}

// excerpt returns the lines of the driver between [snippet] and [end], without
// their common indentation.
func (c client) excerpt() string {
	raw, err := os.ReadFile(filepath.Join("test/clients", c.dir, c.snippet))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(raw), "[snippet]\n")
	text, _, ok := strings.Cut(rest, "[end]")
	if !ok {
		return ""
	}
	lines := strings.Split(text, "\n")
	lines = lines[:len(lines)-1] // the line of the mark itself
	indent := len(lines[0]) - len(strings.TrimLeft(lines[0], " \t"))
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line[min(indent, len(line)):] + "\n")
	}
	return b.String()
}
