// Package carbon has CarbonData's own reader read the files of transfer tasks.
package carbon

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"disd/internal/transfer/format"
	"disd/internal/transfer/format/carbon"
)

var java = flag.Bool("java", false, "read with CarbonData's SDK; needs a JDK and Maven (make carbon)")

// A jvm is a process of the reader that stays up.
type jvm struct {
	sync.Mutex
	in  io.Writer
	out *bufio.Scanner
}

var started = sync.OnceValues(start)

func start() (*jvm, error) {
	cmd := exec.Command("./run")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(os.TempDir(), "carbon.log"))
	if err != nil {
		return nil, err
	}
	cmd.Stderr = log
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	return &jvm{in: in, out: lines}, cmd.Start() // ends when its input does
}

// sdk returns the reader, or skips the test with the reason.
func sdk(t testing.TB) *jvm {
	t.Helper()
	if !*java {
		t.Skip("not asked for: make carbon")
	}
	for _, program := range []string{"java", "mvn", "flock"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("skipped: there is no %s", program)
		}
	}
	j, err := started()
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// read returns the lines that the reader prints for arguments.
func (j *jvm) read(args ...string) (lines []string, err error) {
	j.Lock()
	defer j.Unlock()
	fmt.Fprintln(j.in, strings.Join(args, "\t"))
	for j.out.Scan() {
		switch line := j.out.Text(); {
		case line == ".":
			return lines, nil
		case strings.HasPrefix(line, "!"):
			return lines, fmt.Errorf("the reader says %s", line)
		default:
			lines = append(lines, line)
		}
	}
	return lines, fmt.Errorf("the reader has ended: %w", j.out.Err())
}

// form returns the form of files for a schema.
func form(t testing.TB, schema string) (format.Form, *format.Schema) {
	t.Helper()
	s, err := format.Parse(schema)
	if err != nil {
		t.Fatalf("%s: %v", schema, err)
	}
	f, err := carbon.New(s)
	if err != nil {
		t.Fatalf("%s: %v", schema, err)
	}
	return f, s
}

// write writes the files of records into a directory.
func write(t testing.TB, dir, name string, f format.Form, records []string) {
	t.Helper()
	table := f.Table()
	for _, r := range records {
		if err := table.Append([]byte(r)); err != nil {
			t.Fatalf("%s: %v", r, err)
		}
	}
	files, err := table.Files(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if err := os.WriteFile(filepath.Join(dir, name+file.Ext), file.Content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
