package filestore_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"disd/internal/storage/vfs"
	"disd/internal/storage/vfs/errfs"
	"disd/internal/transfer/filestore"
	"disd/internal/transfer/kind"
	"disd/internal/transfer/obs"
	"disd/internal/transfer/sinktest"
)

func TestSink(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Destination {
		dir := t.TempDir()
		bucket := filepath.Join(dir, "b")
		if err := os.Mkdir(bucket, 0o700); err != nil {
			t.Fatal(err)
		}
		target := sinktest.Target(t, obs.Kind(), `{"task_name":"t","agency_name":"a","obs_bucket_path":"b","file_prefix":"x/y","partition_format":"yyyy/MM"}`)
		target.Store = filestore.Open(filestore.Options{Dir: dir})
		return sinktest.Destination{
			Target: target,
			Rows:   func() []string { return rows(t, bucket) },
			Vanish: func() { os.RemoveAll(bucket) },
		}
	})
}

// rows returns the lines of all files.
func rows(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".tmp") {
			return err
		}
		content, err := os.ReadFile(path)
		for line := range strings.SplitSeq(strings.TrimSuffix(string(content), "\n"), "\n") {
			all = append(all, line)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestPutSurvivesEveryFault takes the machine away at every call: an object is
// whole or not there, and one that was acknowledged is there.
func TestPutSurvivesEveryFault(t *testing.T) {
	const key, old, content = "a/b/c", "old", "content"
	long := strings.Repeat(content, 1000) // longer than a block
	for n := 0; ; n++ {
		disk, fault := vfs.NewMem(), errfs.From(n)
		for _, err := range []error{disk.Mkdir("obs"), disk.SyncDir("."), disk.Mkdir("obs/b"), disk.SyncDir("obs")} {
			if err != nil {
				t.Fatal(err)
			}
		}
		s := filestore.Open(filestore.Options{Dir: "obs", FS: errfs.Wrap(disk, fault)})
		first := s.Put(t.Context(), "b", key, []byte(old))
		second := s.Put(t.Context(), "b", key, []byte(long))
		for seed := range uint64(20) {
			coin := rand.New(rand.NewPCG(seed, uint64(n)))
			after := disk.Crash(func() bool { return coin.IntN(2) == 0 })
			got, err := vfs.ReadFile(after, "obs/b/"+key)
			switch {
			case errors.Is(err, fs.ErrNotExist) && first != nil:
			case err != nil:
				t.Fatalf("fault %d: %v", n, err)
			case string(got) != long && (string(got) != old || second == nil):
				t.Fatalf("fault %d: the object holds %d bytes", n, len(got))
			}
			abandoned := after.Clone()
			if err := filestore.Open(filestore.Options{Dir: "obs", FS: abandoned}).Abandon(t.Context(), "b", key); err != nil {
				t.Fatalf("fault %d: abandon: %v", n, err)
			}
			if _, err := vfs.ReadFile(abandoned.Crash(nil), "obs/b/"+key+".tmp"); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("fault %d: something is left: %v", n, err)
			}
			again := filestore.Open(filestore.Options{Dir: "obs", FS: after})
			if err := again.Put(t.Context(), "b", key, []byte(long)); err != nil {
				t.Fatalf("fault %d: %v", n, err)
			}
			if has, err := again.Has(t.Context(), "b", key); err != nil || !has {
				t.Fatalf("fault %d: has %v, %v", n, has, err)
			}
			for range 2 {
				if err := again.Delete(t.Context(), "b", key); err != nil {
					t.Fatalf("fault %d: delete: %v", n, err)
				}
			}
			if has, err := again.Has(t.Context(), "b", key); err != nil || has {
				t.Fatalf("fault %d: has %v, %v after it was deleted", n, has, err)
			}
		}
		if !fault.Fired() {
			return
		}
	}
}

func TestNames(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := filestore.Open(filestore.Options{Dir: dir})
	for _, bucket := range []string{"b", "", ".", "..", "other", "b/.."} {
		if err := s.Bucket(t.Context(), bucket); (err == nil) != (bucket == "b") || err != nil && !errors.Is(err, kind.ErrBucket) {
			t.Errorf("bucket %q: %v", bucket, err)
		}
	}
	for _, name := range [][2]string{{"b", "../x"}, {"b", "/x"}, {"b", ""}, {"b", "a//x"}, {"..", "x"}, {"b", "."}} {
		if err := s.Put(t.Context(), name[0], name[1], nil); !errors.Is(err, kind.ErrRefused) {
			t.Errorf("put %q: %v", name, err)
		}
	}
	if err := filestore.Open(filestore.Options{Dir: filepath.Join(dir, "none")}).Bucket(t.Context(), "b"); !errors.Is(err, kind.ErrBucket) {
		t.Errorf("no directory of buckets: %v", err)
	}
}
