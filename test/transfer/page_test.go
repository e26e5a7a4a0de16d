package transfer

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"disd/test/harness"
)

var fence = regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```")

// TestPage runs the commands of docs/transfer.md about object stores as they stand
// there, but for the addresses.
func TestPage(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## To an object store\n")
	code := fence.FindAllStringSubmatch(section, 2)
	if !found || len(code) < 2 || code[0][1] != "sh" || code[1][1] != "bash" {
		t.Fatal("the page does not have the commands")
	}
	endpoint, _ := serve(t)
	var args, environment []string
	for line := range strings.Lines(strings.ReplaceAll(code[0][2], "http://127.0.0.1:9000", endpoint)) {
		line = strings.TrimSpace(line)
		if variable, is := strings.CutPrefix(line, "export "); is {
			environment = append(environment, variable)
			name, value, _ := strings.Cut(strings.TrimPrefix(variable, "DISD_"), "=")
			args = append(args, "--"+strings.ToLower(strings.ReplaceAll(name, "_", "-")), value)
		} else if flags, is := strings.CutPrefix(line, "disd serve "); is {
			args = append(args, strings.Fields(flags)...)
		}
	}
	s := harness.Start(t, harness.Options{Args: args})
	binary := os.Getenv("DISD_BINARY")
	cmd := exec.Command("bash", "-eu", "-o", "pipefail")
	cmd.Dir, cmd.Stderr = t.TempDir(), os.Stderr
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(code[1][2], "http://127.0.0.1:20004", s.URL))
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "DISD_") }), environment...)
	cmd.Env = append(cmd.Env, "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	if out, err := cmd.Output(); err != nil || string(out) != "no damage\n" {
		t.Errorf("%v: it printed %q", err, out)
	}
}
