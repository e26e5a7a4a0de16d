package e2e

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

// blocks returns the code of a page, by language.
func blocks(t *testing.T, page string) map[string][]string {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string][]string)
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		found[m[1]] = append(found[m[1]], m[2])
	}
	return found
}

// legacySDK is the legacy Python SDK.
const legacySDK = "huaweicloud-sdk-python-dis==2.0.8"

// python returns an interpreter that has some packages, in an environment below
// bin/ that is kept for the next time. Without Python or an index of packages the
// test is skipped.
func python(t *testing.T, packages ...string) string {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "bin", "python", packages[0])
	interpreter := filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return interpreter
	}
	for _, step := range [][]string{
		{"python3", "-m", "venv", "--clear", dir},
		append([]string{interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"}, packages...),
	} {
		if out, err := exec.Command(step[0], step[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no %s: %v: %v\n%s", packages[0], step, err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "complete"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return interpreter
}

// TestReadme runs the programs of the README as they stand there, but for the
// endpoint.
func TestReadme(t *testing.T) {
	code := blocks(t, "README.md")
	twin := blocks(t, "README.zh-CN.md")
	for language := range code {
		if !slices.Equal(code[language], twin[language]) {
			t.Errorf("the two READMEs have different %s code", language)
		}
	}
	s := harness.Launch(t, harness.Options{})
	s.Ready(t)
	program := func(t *testing.T, language, name string) string {
		t.Helper()
		if len(code[language]) != 1 || !strings.Contains(code[language][0], "http://127.0.0.1:20004") {
			t.Fatalf("the README has not one %s program with the default endpoint", language)
		}
		file := filepath.Join(t.TempDir(), name)
		text := strings.ReplaceAll(code[language][0], "http://127.0.0.1:20004", s.URL)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	run := func(t *testing.T, want string, command ...string) {
		t.Helper()
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Stderr = os.Stderr
		if out, err := cmd.Output(); err != nil || string(out) != want {
			t.Errorf("%v: it printed %q, want %q", err, out, want)
		}
	}
	t.Run("go", func(t *testing.T) {
		run(t, "0: hello from Go\n", "go", "run", program(t, "go", "main.go"))
	})
	t.Run("python", func(t *testing.T) {
		interpreter := python(t, legacySDK, "protobuf<3.21") // what its generated code needs
		run(t, "0: hello from Python\n0\n", interpreter, program(t, "python", "main.py"))
	})
	s.Stop(t)
}

var link = regexp.MustCompile(`\]\(([^):]+)\)`)

// TestReadmeLinks: what the READMEs point to in the repository exists.
func TestReadmeLinks(t *testing.T) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"README.md", "README.zh-CN.md"} {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}
