// Package postgres runs a real PostgreSQL for tests of what delivers to one.
package postgres

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"disd/internal/auth/certs"
)

// The superuser, with a password that has to be quoted.
const (
	User     = "dbadmin"
	Password = `it's a \ secret`
)

// A Server is a database server with a cluster of its own, at one address
// however often it is started.
type Server struct {
	Address string // host:port, with and without TLS
	CA      string // file of the authority of its certificate
	dir     string
	bin     string
	owner   *syscall.Credential // nil for whoever runs the test
}

// Start makes a cluster, with more settings as name=value, and serves it
// until the test ends. The test is skipped where there is no PostgreSQL.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	bin := programs()
	if bin == "" {
		t.Skip("no PostgreSQL here: neither initdb in PATH nor Debian's postgresql is installed")
	}
	p := &Server{bin: bin, Address: freeAddress(t)}
	dir, err := os.MkdirTemp("", "disd-postgres-*") // that of the test is for its user only
	if err != nil {
		t.Fatal(err)
	}
	p.dir = dir
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Getuid() == 0 { // whom PostgreSQL refuses to run as
		p.owner = ownerOf(t, "postgres", "nobody")
		if err := p.give(dir); err != nil {
			t.Fatal(err)
		}
	}
	secure := filepath.Join(dir, "tls")
	if _, err := certs.Auto(secure, []string{"127.0.0.1"}, certs.Options{}); err != nil {
		t.Fatal(err)
	}
	p.CA = filepath.Join(secure, certs.CAFile)
	key := filepath.Join(secure, "server-key.pem")
	if err := p.give(secure, key); err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(Password), 0o644); err != nil {
		t.Fatal(err)
	}
	p.run(t, "initdb", "--pgdata", p.data(), "--username", User, "--pwfile", password, "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--locale", "C", "--no-sync")
	_, port, _ := net.SplitHostPort(p.Address)
	// What the operating system has is safe from the end of the process, which
	// is all that tests do to it.
	for _, s := range append([]string{"port=" + port, "listen_addresses=127.0.0.1", "unix_socket_directories=" + dir, "fsync=off",
		"ssl=on", "ssl_cert_file=" + filepath.Join(secure, "server.pem"), "ssl_key_file=" + key}, settings...) {
		p.set(t, s)
	}
	t.Cleanup(func() { p.stop("immediate") })
	p.Restart(t)
	return p
}

func programs() (dir string) {
	if debian, _ := filepath.Glob("/usr/lib/postgresql/*/bin"); len(debian) > 0 {
		return debian[len(debian)-1]
	}
	if initdb, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(initdb)
	}
	return ""
}

// give lets the server have files of the test.
func (p *Server) give(names ...string) error {
	for _, name := range names {
		if p.owner == nil {
			return nil
		}
		if err := os.Chown(name, int(p.owner.Uid), int(p.owner.Gid)); err != nil {
			return err
		}
	}
	return nil
}

// ownerOf returns the first of the users that exists.
func ownerOf(t testing.TB, names ...string) *syscall.Credential {
	t.Helper()
	for _, name := range names {
		if u, err := user.Lookup(name); err == nil {
			uid, _ := strconv.ParseUint(u.Uid, 10, 32)
			gid, _ := strconv.ParseUint(u.Gid, 10, 32)
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	t.Skipf("PostgreSQL does not run as root, and there is none of the users %v", names)
	return nil
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (p *Server) data() string { return filepath.Join(p.dir, "data") }

func (p *Server) set(t testing.TB, setting string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(p.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		name, value, _ := strings.Cut(setting, "=")
		_, err = fmt.Fprintf(f, "%s = '%s'\n", name, value)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (p *Server) run(t testing.TB, program string, args ...string) {
	t.Helper()
	if out, err := p.command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s%s", program, err, out, p.log())
	}
}

func (p *Server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, program), args...)
	cmd.Dir = p.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.owner}
	return cmd
}

func (p *Server) log() []byte {
	text, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	return text
}

// Restart starts the server again and waits until it accepts connections.
func (p *Server) Restart(t testing.TB) {
	t.Helper()
	p.run(t, "pg_ctl", "--pgdata", p.data(), "--log", filepath.Join(p.dir, "log"), "--wait", "--timeout", "60", "start")
}

// Crash ends the server at once; what it has not committed is lost.
func (p *Server) Crash(t testing.TB) {
	t.Helper()
	if out, err := p.stop("immediate"); err != nil {
		t.Fatalf("stop PostgreSQL: %v\n%s", err, out)
	}
}

func (p *Server) stop(mode string) ([]byte, error) {
	return p.command("pg_ctl", "--pgdata", p.data(), "--mode", mode, "--wait", "stop").CombinedOutput()
}

// Query runs SQL as the superuser in a database, "" for the first, and returns
// the rows of the last statement that has some as text.
func (p *Server) Query(t testing.TB, database, sql string) (rows [][]string) {
	t.Helper()
	if database == "" {
		database = "postgres"
	}
	host, port, _ := net.SplitHostPort(p.Address)
	config, err := pgconn.ParseConfig("host=" + host + " port=" + port + " sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	config.User, config.Password, config.Database = User, Password, database
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	for _, r := range results {
		for _, row := range r.Rows {
			texts := make([]string, len(row))
			for i, field := range row {
				texts[i] = string(field)
			}
			rows = append(rows, texts)
		}
	}
	return rows
}
