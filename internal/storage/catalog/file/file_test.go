package file

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/storage/catalog/catalogtest"
)

type thing struct {
	Name string
	N    int
}

var things = catalog.NewTable[thing]("things")

func TestStore(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) (*DB, error){
		"file":   func(t *testing.T) (*DB, error) { return Open(filepath.Join(t.TempDir(), "catalog.db")) },
		"memory": func(*testing.T) (*DB, error) { return OpenMemory() },
	} {
		t.Run(name, func(t *testing.T) {
			catalogtest.Run(t, func(t *testing.T) catalog.Store {
				db, err := open(t)
				if err != nil {
					t.Fatal(err)
				}
				return db
			})
		})
	}
}

func put(t *testing.T, db *DB, v thing, key ...string) {
	t.Helper()
	if err := db.Update(func(tx catalog.Tx) error { return things.Put(tx, key, v) }); err != nil {
		t.Fatal(err)
	}
}

func keys(t *testing.T, db *DB, prefix ...string) (got []string) {
	t.Helper()
	err := db.View(func(tx catalog.Tx) error {
		return things.Each(tx, prefix, func(key catalog.Key, v thing) error {
			got = append(got, fmt.Sprint(key, v.N))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, db, thing{"a", 1}, "a")
	if _, err := Open(path); !errors.Is(err, ErrLocked) {
		t.Errorf("a second Open = %v, want ErrLocked", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(catalog.Tx) error { return nil }); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("Update after Close = %v, want ErrUnavailable", err)
	}
	db, err = Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got := keys(t, db); len(got) != 1 {
		t.Errorf("after reopening: %q", got)
	}
}

// TestTornCreation: whatever a crash during the creation left under the
// temporary name does not matter.
func TestTornCreation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	if err := os.WriteFile(path+".tmp", []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	if _, err := os.Stat(path + ".tmp"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary file is still there: %v", err)
	}
}

func TestUnknownVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	b, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrVersion) {
		t.Errorf("Open of a foreign bbolt file = %v, want ErrVersion", err)
	}
}

func TestDamagedValueIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	put(t, db, thing{"a", 1}, "a")
	put(t, db, thing{"b", 2}, "b")
	err = db.bolt.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("things"))
		raw := append([]byte(nil), b.Get([]byte("a\x00"))...)
		raw[len(raw)-2] ^= 1
		return b.Put([]byte("a\x00"), raw)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(func(tx catalog.Tx) error {
		if v, ok, err := things.Get(tx, catalog.Key{"b"}); !ok || err != nil || v.N != 2 {
			t.Errorf("an undamaged neighbour: %v %v %v", v, ok, err)
		}
		_, _, err := things.Get(tx, catalog.Key{"a"})
		return err
	})
	var damage *storage.CorruptError
	if !errors.As(err, &damage) || damage.File != path {
		t.Errorf("Get of a damaged value = %v, want a CorruptError naming %s", err, path)
	}
}

// FuzzValue: no bytes make decoding panic, and what was encoded is read back
// under its own key only.
func FuzzValue(f *testing.F) {
	f.Add("a\x00", []byte("\x01\x00\x00\x00\x00{}"), "name")
	f.Add("", []byte{}, "")
	f.Fuzz(func(t *testing.T, key string, raw []byte, name string) {
		decodeValue([]byte(key), raw)
		value := encodeValue([]byte(key), raw)
		if doc, reason := decodeValue([]byte(key), value); reason != "" || !bytes.Equal(doc, raw) {
			t.Errorf("round trip: %q %q", doc, reason)
		}
		if _, reason := decodeValue([]byte(name), value); reason == "" && valueSum([]byte(name), raw) != valueSum([]byte(key), raw) {
			t.Errorf("value of %q was read under %q", key, name)
		}
	})
}

// TestDamagedPages zeroes one page after the other of a catalog, and the start of
// it: that is told, by Open or by Check, and never takes the process down.
func TestDamagedPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		put(t, db, thing{"name", i}, fmt.Sprintf("%030d", i))
	}
	if damage := db.Check(); damage != nil {
		t.Errorf("nothing is damaged: %v", damage)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	seen := 0
	for at := 2 * page; at < len(good); at += page {
		for _, n := range []int{page, 64} {
			bad := bytes.Clone(good)
			clear(bad[at : at+n])
			copied := fmt.Sprintf("%s.%d.%d", path, at, n) // a lock may stay behind
			if err := os.WriteFile(copied, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if useDamaged(t, copied) {
				seen++
			}
		}
	}
	for _, n := range []int{0, page, len(good) / 2} {
		cut := fmt.Sprintf("%s.cut%d", path, n)
		if err := os.WriteFile(cut, good[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if !useDamaged(t, cut) {
			t.Errorf("only %d bytes are left, and nobody noticed", n)
		}
	}
	if seen < 10 {
		t.Errorf("%d damages were noticed in %d bytes", seen, len(good))
	}
}

// useDamaged does what a server does with a catalog and reports whether Open or
// Check noticed that it is damaged, which they must if anything failed.
func useDamaged(t *testing.T, path string) (noticed bool) {
	db, err := Open(path)
	if err != nil {
		if !strings.Contains(err.Error(), path) {
			t.Errorf("Open does not name the file: %v", err)
		}
		return true
	}
	noticed = db.Check() != nil
	read := db.View(func(tx catalog.Tx) error {
		return things.Each(tx, nil, func(catalog.Key, thing) error { return nil })
	})
	write := db.Update(func(tx catalog.Tx) error { return things.Put(tx, catalog.Key{"new"}, thing{}) })
	if (read != nil || write != nil) && !noticed {
		t.Errorf("Check noticed nothing: %v, %v", read, write)
	}
	_ = db.Close()
	return noticed
}

// TestOpenToRead: what is opened for reading stays as it is, and whoever writes to
// it is noticed.
func TestOpenToRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, db, thing{"a", 1}, "a")
	if _, err := OpenToRead(path); !errors.Is(err, ErrLocked) {
		t.Errorf("beside a writer: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if db, err = OpenToRead(path); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, db); len(got) != 1 || db.Check() != nil {
		t.Errorf("it has %q, %v", got, db.Check())
	}
	if err := db.Update(func(tx catalog.Tx) error { return things.Put(tx, catalog.Key{"b"}, thing{}) }); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("Update: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file changed: %v", err)
	}
}
