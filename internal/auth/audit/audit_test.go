package audit

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// entries returns the request ids in a file.
func entries(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var ids []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v: %s", path, err, lines.Bytes())
		}
		ids = append(ids, e.RequestID)
	}
	return ids
}

// Many write at once, across rotations and a restart. Nothing of the last files
// is lost, torn or out of order per writer.
func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	const writers, each, size = 4, 100, 4000
	for restart := range 2 {
		l, err := Open(path, size, 100)
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				for i := range each {
					e := Entry{
						Time: time.UnixMilli(0).UTC(), RequestID: fmt.Sprintf("%d.%d.%d", restart, w, i),
						Operation: "CreateStream", Resource: "a\nb", Status: 201, Code: "ok",
					}
					if err := l.Write(e); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	next := make(map[string]int)
	total := 0
	for i := len(files) - 1; i >= 0; i-- { // the oldest first
		name := path
		if i > 0 {
			name += "." + strconv.Itoa(i)
		}
		if info, err := os.Stat(name); err != nil || info.Size() > size || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
		for _, id := range entries(t, name) {
			var restart, w, n int
			fmt.Sscanf(id, "%d.%d.%d", &restart, &w, &n)
			key := fmt.Sprint(restart, w)
			if n != next[key] {
				t.Errorf("%s comes when %d is next", id, next[key])
			}
			next[key] = n + 1
			total++
		}
	}
	if total != 2*writers*each {
		t.Errorf("%d entries", total)
	}
}

func TestOldFilesGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l, err := Open(path, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range 5 {
		if err := l.Write(Entry{RequestID: strconv.Itoa(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{path: "4", path + ".1": "3", path + ".2": "2"} {
		if got := entries(t, name); len(got) != 1 || got[0] != want {
			t.Errorf("%s has %s", name, got)
		}
	}
	if _, err := os.Stat(path + ".3"); err == nil {
		t.Error("a file too many")
	}
}
