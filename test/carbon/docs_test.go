package carbon

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The command of docs/transfer.md reads a directory of a task.
func TestDocumentation(t *testing.T) {
	sdk(t)
	text, err := os.ReadFile("../../docs/transfer.md")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile("```sh\n(echo .*test/carbon/run)\n```").FindSubmatch(text)
	if command == nil {
		t.Fatal("docs/transfer.md has no such command")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	dump := filepath.Join(dir, "disd-data/obs/dump/carbon")
	if err := os.MkdirAll(dump, 0o700); err != nil {
		t.Fatal(err)
	}
	f, _ := form(t, manySchema)
	write(t, dump, "weather-carbon-shardId-0000000000-0-1", f, []string{many(0), many(1)})
	cmd := exec.Command("bash", "-c", strings.ReplaceAll(string(command[1]), "test/carbon/run", root+"/test/carbon/run"))
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil || strings.Count(string(out), `{"id":`) != 2 || !strings.HasSuffix(string(out), "\n.\n") {
		t.Errorf("%v: %s", err, out)
	}
}
