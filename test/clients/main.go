// Command clients runs the published DIS clients, unmodified, against a disd
// binary, and writes what they found to docs/compatibility.md.
//
// Each client has a folder here with a description, client.yaml, and an
// executable "run", which prints one line for each thing it checked, "ok <what>"
// or "not ok <what>: <why>", and "skip <why>" if the client itself is not run.
// Packages come from the ordinary registries, by name and version, into the ignored
// folder "build". The environment tells it
//
//	DIS_ENDPOINT, DIS_CA      where the server is, and what it is to trust with TLS
//	DIS_PROJECT, DIS_REGION   a project of its own
//	DIS_PROJECT_NAME          the project's name
//	DIS_AK, DIS_SK            its access key
//	DIS_DOMAIN, DIS_USER      the account and the user it belongs to
//	DIS_PASSWORD              the user's password
//	DIS_AK2, DIS_SK2          that of another account, which
//	DIS_PROJECT2              owns this project
//	DIS_BINARY                the server, for what needs one that can be stopped
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A client is one published client. Its folder describes it in client.yaml.
type client struct {
	dir string // below this folder

	Name    string   `yaml:"name"`
	Version string   `yaml:"version"`
	Runtime string   `yaml:"runtime"`
	Needs   []string `yaml:"needs"`   // commands it needs
	Ran     string   `yaml:"ran"`     // what the driver does, for the table
	Notes   string   `yaml:"notes"`   // known differences, for the table
	Snippet string   `yaml:"snippet"` // file with the lines between [snippet] and [end]
}

// load reads the descriptions of all clients whose folder matches the pattern,
// in the order of their folders.
func load(pattern *regexp.Regexp) ([]client, error) {
	files, err := filepath.Glob("test/clients/*/client.yaml")
	if err != nil {
		return nil, err
	}
	var clients []client
	for _, file := range files {
		c := client{dir: filepath.Base(filepath.Dir(file))}
		if !pattern.MatchString(c.dir) {
			continue
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		decoder := yaml.NewDecoder(bytes.NewReader(raw))
		decoder.KnownFields(true)
		if err := decoder.Decode(&c); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		clients = append(clients, c)
	}
	return clients, nil
}

// A mode is a way to run the server.
type mode struct {
	name string
	args []string
}

// modes are run one after the other, each with all clients. In the second one
// nobody gets in without a valid signature.
func modes(clients []client) []mode {
	return []mode{
		{name: "open"},
		{name: "required, TLS", args: []string{"--auth-mode", "required", "--tls-mode", "auto", "--auth-domains", domains(clients)}},
	}
}

const (
	region                         = "region-1"
	domain, user, password         = "acme", "alice", "password-of-the-tests"
	accessKey, secretKey           = "ACCESSKEYOFTESTS0001", "secret-key-of-the-tests"
	otherAccessKey, otherSecretKey = "ACCESSKEYOFTESTS0002", "secret-key-of-the-other"
	otherProject                   = "0000000000000000000000006f746865"
)

// domains is the configuration of two accounts: one with a project for each
// client, and another one for what crosses accounts.
func domains(clients []client) string {
	type object map[string]any
	account := func(domain, user, ak, sk string, projects []object) object {
		return object{"name": domain, "projects": projects, "users": []object{{
			"name": user, "password": password, "programmatic": true, "access_keys": []object{{"ak": ak, "sk": sk}},
		}}}
	}
	var projects []object
	for _, c := range clients {
		projects = append(projects, object{"name": c.projectName(), "id": c.project()})
	}
	other := []object{{"name": region, "id": otherProject}}
	text, _ := json.Marshal([]object{
		account(domain, user, accessKey, secretKey, projects),
		account("other", "bob", otherAccessKey, otherSecretKey, other),
	}) // strings cannot fail
	return string(text)
}

// project is the id of the project that a client has for itself.
func (c client) project() string { return fmt.Sprintf("%032x", []byte(c.dir)[:min(len(c.dir), 16)]) }

func (c client) projectName() string { return region + "_" + c.dir }

// A result is what the runs of a client showed.
type result struct {
	client
	skipped string // why it was not run
	runs    []outcome
}

// An outcome is what one run of a client showed, in one mode.
type outcome struct {
	passed  int
	failed  []string
	skipped string // why the client itself was not run
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
	if binary, err = filepath.Abs(binary); err != nil {
		return false, err
	}
	clients, err := load(pattern)
	if err != nil {
		return false, err
	}
	var results []result
	for _, c := range clients {
		results = append(results, result{client: c, skipped: c.missing()})
	}
	for _, m := range modes(clients) {
		if err := runMode(binary, m, results); err != nil {
			return false, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	if write != "" {
		err = os.WriteFile(write, table(results), 0o644)
	}
	return summary(results), err
}

// summary prints the closing line and reports whether nothing failed.
func summary(results []result) bool {
	passed, failed, skipped := 0, 0, 0
	for _, r := range results {
		if r.skipped != "" {
			skipped++
			fmt.Printf("skip %s: %s\n", r.Name, r.skipped)
		}
		for _, o := range r.runs {
			if o.skipped != "" {
				skipped++
				fmt.Printf("skip %s: %s\n", r.Name, o.skipped)
			}
			passed, failed = passed+o.passed, failed+len(o.failed)
		}
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	return failed == 0
}

// runMode runs all clients against a server in one mode.
func runMode(binary string, m mode, results []result) error {
	server, err := start(binary, m)
	if err != nil {
		return err
	}
	for i := range results {
		if r := &results[i]; r.skipped == "" {
			fmt.Printf("# %s %s (%s)\n", r.Name, r.Version, m.name)
			r.runs = append(r.runs, r.run(server))
		}
	}
	return server.stop()
}

// missing returns why a client cannot be run here, "" if it can.
func (c client) missing() string {
	for _, need := range c.Needs {
		if _, err := exec.LookPath(need); err != nil {
			return need + " is not installed"
		}
	}
	return ""
}

// run runs a client once. What it prints is shown as it comes.
func (c client) run(s *server) (o outcome) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "./run")
	cmd.Dir = filepath.Join("test/clients", c.dir)
	cmd.Env = append(os.Environ(), s.environment(c)...)
	var trouble bytes.Buffer
	cmd.Stderr = &trouble
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return outcome{failed: []string{"start: " + err.Error()}}
	}
	o.read(out)
	if err := cmd.Wait(); err != nil {
		os.Stdout.Write(trouble.Bytes())
		o.failed = append(o.failed, "run: "+err.Error())
	}
	if o.passed == 0 && len(o.failed) == 0 && o.skipped == "" {
		o.failed = append(o.failed, "it checked nothing")
	}
	return o
}

// read counts the lines of a driver.
func (o *outcome) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "ok "):
			o.passed++
		case strings.HasPrefix(line, "skip "):
			o.skipped = strings.TrimPrefix(line, "skip ")
		case strings.HasPrefix(line, "not ok "):
			o.failed = append(o.failed, strings.TrimPrefix(line, "not ok "))
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
	bin  string // absolute path of the binary
}

var serving = regexp.MustCompile(`msg=serving address=(\S+) .* tls=(\S+)`)

// start starts a disd on a free port, with a data directory of its own.
func start(binary string, m mode) (*server, error) {
	data, err := os.MkdirTemp("", "disd-clients-*")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(data, "obs", "bucket"), 0o700); err != nil { // for transfer tasks
		return nil, err
	}
	args := append([]string{"serve", "--listen", "127.0.0.1:0", "--data-dir", data}, m.args...)
	s := &server{data: data, bin: binary, cmd: exec.Command(binary, args...)}
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
			if m[2] != "off" {
				s.url = "https://" + m[1]
			}
		}
	}
	go io.Copy(io.Discard, logs)
	if s.url == "" {
		return nil, errors.Join(errors.New("disd did not start"), s.stop())
	}
	return s, nil
}

// environment tells a client where the server is, and who it is there.
func (s *server) environment(c client) []string {
	return []string{
		"DIS_ENDPOINT=" + s.url,
		"DIS_PROJECT=" + c.project(),
		"DIS_PROJECT_NAME=" + c.projectName(),
		"DIS_REGION=" + region,
		"DIS_AK=" + accessKey, "DIS_SK=" + secretKey,
		"DIS_DOMAIN=" + domain, "DIS_USER=" + user, "DIS_PASSWORD=" + password,
		"DIS_CA=" + filepath.Join(s.data, "tls", "ca.pem"),
		"DIS_AK2=" + otherAccessKey, "DIS_SK2=" + otherSecretKey, "DIS_PROJECT2=" + otherProject,
		"DIS_BINARY=" + s.bin,
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
		"Only the endpoint and the credentials are set. For a client that is in no package registry the requests that are\n" +
		"documented for it are sent, signed as it signs them, and it is run too where its own build is put in place.\n\n" +
		"| client | package | runtime | what was run |")
	for _, m := range modes(nil) {
		b.WriteString(" " + m.name + " |")
	}
	b.WriteString(" notes |\n|---|---|---|---|" + strings.Repeat("---|", len(modes(nil))) + "---|\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |", r.Name, r.Version, r.Runtime, r.Ran)
		for i := range modes(nil) {
			b.WriteString(" " + r.cell(i) + " |")
		}
		b.WriteString(" " + r.Notes + " |\n")
	}
	b.WriteString("\n## How to point each client at disd\n")
	for _, r := range results {
		if text := r.excerpt(); text != "" {
			fmt.Fprintf(&b, "\n### %s\n\n```%s\n%s```\n", r.Name, strings.TrimPrefix(filepath.Ext(r.Snippet), "."), text)
		}
	}
	return b.Bytes()
}

// cell is what the table says of a client in one mode.
func (r *result) cell(mode int) string {
	if r.skipped != "" {
		return "not run: " + r.skipped
	}
	o := r.runs[mode]
	n := o.passed + len(o.failed)
	text := fmt.Sprintf("%d of %d passed", o.passed, n)
	switch {
	case o.skipped == "":
		return text
	case n == 0:
		return "not run: " + o.skipped
	}
	return text + "; itself not run: " + o.skipped
}

// excerpt returns the lines of the driver between [snippet] and [end], without
// their common indentation.
func (c client) excerpt() string {
	raw, err := os.ReadFile(filepath.Join("test/clients", c.dir, c.Snippet))
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
