package segment

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"disd/internal/storage"
	"disd/internal/storage/storagetest"
	"disd/internal/storage/vfs"
)

var update = flag.Bool("update", false, "write testdata/v2 anew; only for a format that was never released")

// goldenRecords are what testdata/v1 and v2 hold, in the log storagetest.ID(0).
var goldenRecords = []storage.Record{
	{Timestamp: 1700000000123, Key: []byte("a key"), Info: []byte{1}, Data: []byte("first record")},
	{Data: []byte("second")},
}

const goldenTime = 1750000000000

// golden returns the disks of an engine that was killed, and of one that was
// closed, after these records.
func golden(t *testing.T) (killed, closed *vfs.Mem) {
	o := Options{
		Dir: "data", CommitLogSize: 4 * block, IdleFlush: -1,
		Now:  func() time.Time { return time.UnixMilli(goldenTime) },
		Rand: strings.NewReader("\x11\x22\x33\x44\x55\x66\x77\x88"),
	}
	killed, closed, _ = still(t, o, func(u *user) {
		u.create(storagetest.ID(0))
		b := &storage.Batch{Log: u.open(storagetest.ID(0)), Records: goldenRecords}
		u.e.Append(ctx, []*storage.Batch{b})
		if b.Err != nil {
			t.Fatal(b.Err)
		}
	})
	return killed, closed
}

// goldenFiles says where each state's files are.
var goldenFiles = map[string][]string{
	"killed": {"manifest", "marks", "commit-0000000000000001.log"},
	"closed": {"manifest", "marks", "8QM3Nt9YTLOWtUVYJhO/0/00000000000000000000.seg"},
}

// TestGolden compares what the engine writes with testdata, byte by byte.
func TestGolden(t *testing.T) {
	killed, closed := golden(t)
	for state, disk := range map[string]*vfs.Mem{"killed": killed, "closed": closed} {
		for _, name := range goldenFiles[state] {
			got, err := vfs.ReadFile(disk, "data/"+name)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata/v2", state, name)
			if *update {
				if err := errorsOf(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, got, 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s is written differently:\n%s", file, hex.Dump(got[:min(len(got), 512)]))
			}
		}
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestGoldenIsRead opens what each version left behind, and what this one made of it.
func TestGoldenIsRead(t *testing.T) {
	for _, version := range []string{"v1", "v2"} {
		for state := range goldenFiles {
			dir := t.TempDir() + "/logs"
			if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", version, state))); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				checkGolden(t, version+"/"+state, dir)
			}
		}
	}
}

func checkGolden(t *testing.T, state, dir string) {
	t.Helper()
	r, err := Inspect(vfs.OS, dir)
	if err != nil || len(r.Damage)+len(r.Stray)+len(r.Unknown) > 0 {
		t.Errorf("%s: %+v, %v", state, r, err)
	}
	e, err := Open(Options{Dir: dir, CommitLogSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	l, err := e.Open(ctx, storagetest.ID(0))
	if err != nil {
		t.Fatal(err)
	}
	got, err := storagetest.All(l)
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	for i := range got {
		if !storagetest.Equal(&got[i], &goldenRecords[i]) || got[i].AppendTime != goldenTime {
			t.Errorf("%s: record %d is %+v", state, i, got[i])
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDocumentShowsGolden holds the dumps in the format's page against the
// files.
func TestDocumentShowsGolden(t *testing.T) {
	page, err := os.ReadFile("../../../docs/format-log.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for state, names := range goldenFiles {
		for _, name := range names {
			data, err := os.ReadFile(filepath.Join("testdata/v2", state, name))
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(hex.Dump(data)) {
				if strings.Contains(line[8:60], " 00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00 ") {
					continue
				}
				lines++
				if !bytes.Contains(page, []byte(strings.TrimRight(line, "\n"))) {
					t.Errorf("docs/format-log.md lacks this line of %s/%s:\n%s", state, name, line)
				}
			}
		}
	}
	if lines < 10 {
		t.Errorf("only %d lines were looked for", lines)
	}
}
