package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"disd/test/harness"
)

// python returns an interpreter that has the legacy Python SDK, in an environment
// below bin/ that is kept for the next time. Without Python or an index of
// packages the test is skipped.
func python(t *testing.T) string {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	const sdk = "huaweicloud-sdk-python-dis==2.0.8"
	dir := filepath.Join(root, "bin", "python", sdk)
	interpreter := filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return interpreter
	}
	for _, step := range [][]string{
		{"python3", "-m", "venv", "--clear", dir},
		{interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", sdk, "protobuf<3.21"}, // what its generated code needs
	} {
		if out, err := exec.Command(step[0], step[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no %s: %v: %v\n%s", sdk, step, err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "complete"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return interpreter
}

func TestPythonLegacy(t *testing.T) {
	interpreter := python(t)
	run := func(s *harness.Server, encoding, signature string) {
		cmd := exec.Command(interpreter, "testdata/python_legacy.py", s.URL, harness.Project, encoding, signature)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s, encoding %q, signature %s: %v\n%s", s.URL, encoding, signature, err, out)
		}
	}
	open := harness.Start(t, harness.Options{Args: []string{"--empty-wait", "0s"}})
	for _, encoding := range []string{"", "protobuf"} {
		run(open, encoding, "derived")
	}
	s := guarded(t)
	for _, encoding := range []string{"", "protobuf"} {
		for _, signature := range []string{"derived", "plain"} {
			run(s, encoding, signature)
		}
	}
}
