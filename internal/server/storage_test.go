package server

import (
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"testing"

	"disd/internal/config"
	"disd/internal/partition"
	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/storage/segment"
)

// local is a configuration with a data directory of its own.
func local(t *testing.T) *config.Config {
	c := config.Default()
	c.DataDir, c.Storage.CommitLog = t.TempDir(), 1<<20
	return c
}

func open(t *testing.T, c *config.Config) *Server {
	t.Helper()
	s, err := Open(c, Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestPartsOfOneDirectory takes one of the parts of a data directory away, or puts an
// older copy of it there. The start is refused, names the part, and changes nothing;
// with the part put back it succeeds.
func TestPartsOfOneDirectory(t *testing.T) {
	c := local(t)
	run := func() {
		t.Helper()
		s := open(t, c)
		_, err := s.streams.Create(t.Context(), "p", "s"+catalog.NewID(), 1, partition.Settings{Type: partition.Common, DataType: partition.Blob})
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	copyTo := func(to, from string) {
		t.Helper()
		if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
			t.Fatal(err)
		}
	}
	catalogOf := func(dir string) { // the catalog and its mark
		t.Helper()
		for _, name := range []string{"catalog.db", "catalog.mark"} {
			b, err := os.ReadFile(dir + "/" + name)
			if err := errors.Join(err, os.WriteFile(c.DataDir+"/"+name, b, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
	older, newer, other := t.TempDir()+"/older", t.TempDir()+"/newer", local(t)
	run()
	copyTo(older, c.DataDir)
	run()
	copyTo(newer, c.DataDir)
	if err := open(t, other).Close(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]struct {
		do   func()
		file string
	}{
		"no catalog":              {func() { os.Remove(c.CatalogFile()); os.Remove(c.DataDir + "/catalog.mark") }, c.CatalogFile()},
		"no logs":                 {func() { os.RemoveAll(c.LogsDir()) }, c.LogsDir()},
		"an older catalog":        {func() { catalogOf(older) }, c.CatalogFile()},
		"older logs":              {func() { copyTo(c.LogsDir(), older+"/logs") }, c.LogsDir()},
		"the logs of another one": {func() { copyTo(c.LogsDir(), other.LogsDir()) }, c.CatalogFile()},
		"no marks":                {func() { os.Remove(c.LogsDir() + "/marks") }, c.LogsDir() + "/marks"},
		"no manifest":             {func() { os.Remove(c.LogsDir() + "/manifest") }, c.LogsDir() + "/manifest"},
	} {
		change.do()
		before := files(t, c.DataDir)
		_, err := Open(c, Options{Logger: slog.New(slog.DiscardHandler)})
		if damage := (*storage.CorruptError)(nil); !errors.As(err, &damage) || damage.File != change.file {
			t.Errorf("%s: %v", name, err)
		}
		if after := files(t, c.DataDir); !maps.Equal(before, after) {
			t.Errorf("%s: the refused start changed files", name)
		}
		copyTo(c.DataDir, newer)
	}
	run()
}

// files returns what is below dir.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			all[name] = "directory"
			return err
		}
		b, err := os.ReadFile(dir + "/" + name)
		all[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestNoCatalogYet starts on what a first start left that ended before it made the
// catalog.
func TestNoCatalogYet(t *testing.T) {
	c := local(t)
	e, err := segment.Open(segment.Options{Dir: c.LogsDir(), CommitLogSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Close(), open(t, c).Close()); err != nil {
		t.Fatal(err)
	}
}

// TestMissingLog takes a stream's log away: that is damage, and no answer says
// that the stream does not exist.
func TestMissingLog(t *testing.T) {
	c := local(t)
	s := open(t, c)
	info, err := s.streams.Create(t.Context(), "p", "s", 1, partition.Settings{Type: partition.Common, DataType: partition.Blob})
	if err != nil {
		t.Fatal(err)
	}
	err = s.engine.Remove(t.Context(), storage.LogID{Stream: info.ID})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	s = open(t, c)
	defer s.Close()
	st, err := s.streams.Get("p", "s")
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.Log(0)
	if damage := (*storage.CorruptError)(nil); !errors.As(err, &damage) || errors.Is(err, storage.ErrNotFound) {
		t.Errorf("the log: %v", err)
	}
}
