package keyfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path+".tmp", []byte("what a crash left, for all to read"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first, and longer", "second"} {
		if err := Write(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		info, err2 := os.Stat(path)
		if err != nil || err2 != nil || string(got) != want || info.Mode().Perm() != 0o600 {
			t.Errorf("got %q, %v, %v, %v", got, info, err, err2)
		}
	}
	if _, err := os.Stat(path + ".tmp"); err == nil {
		t.Error("the temporary file is left")
	}
	if err := Write(filepath.Join(path, "below a file"), nil, 0o600); err == nil {
		t.Error("no error")
	}
}
