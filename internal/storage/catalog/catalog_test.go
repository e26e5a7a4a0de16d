package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	bolt "go.etcd.io/bbolt"

	"disd/internal/storage"
)

type thing struct {
	Name string
	N    int
}

var things = NewTable[thing]("things")
var others = NewTable[int]("others")

// each runs fn on a catalog in a file and on one in memory.
func each(t *testing.T, fn func(t *testing.T, db *DB)) {
	open := map[string]func() (*DB, error){
		"file":   func() (*DB, error) { return Open(filepath.Join(t.TempDir(), "catalog.db")) },
		"memory": OpenMemory,
	}
	for name, open := range open {
		t.Run(name, func(t *testing.T) {
			db, err := open()
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			fn(t, db)
		})
	}
}

func put(t *testing.T, db *DB, v thing, key ...string) {
	t.Helper()
	if err := db.Update(func(tx *Tx) error { return things.Put(tx, v, key...) }); err != nil {
		t.Fatal(err)
	}
}

func keys(t *testing.T, db *DB, prefix ...string) (got []string) {
	t.Helper()
	err := db.View(func(tx *Tx) error {
		return things.Each(tx, prefix, func(key []string, v thing) error {
			got = append(got, fmt.Sprint(key, v.N))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTable(t *testing.T) {
	each(t, func(t *testing.T, db *DB) {
		put(t, db, thing{"a", 1}, "p", "a")
		put(t, db, thing{"ab", 2}, "p", "ab")
		put(t, db, thing{"b", 3}, "p", "b")
		put(t, db, thing{"a", 4}, "p2", "a")
		put(t, db, thing{"a", 5}, "p", "a")
		if got, want := keys(t, db, "p"), []string{"[p a] 5", "[p ab] 2", "[p b] 3"}; !reflect.DeepEqual(got, want) {
			t.Errorf("Each(p) = %q, want %q", got, want)
		}
		var n int
		err := db.Update(func(tx *Tx) (err error) {
			n, err = things.Clear(tx, "p")
			return err
		})
		if err != nil || n != 3 {
			t.Errorf("Clear = %d, %v, want 3", n, err)
		}
		if got, want := keys(t, db), []string{"[p2 a] 4"}; !reflect.DeepEqual(got, want) {
			t.Errorf("after Clear: %q, want %q", got, want)
		}
		err = db.View(func(tx *Tx) error {
			if _, ok, err := things.Get(tx, "p", "a"); ok || err != nil {
				t.Errorf("Get of a cleared key = %v, %v", ok, err)
			}
			if any, err := things.Any(tx, "p2"); !any || err != nil {
				t.Errorf("Any(p2) = %v, %v", any, err)
			}
			if any, err := things.Any(tx, "p"); any || err != nil {
				t.Errorf("Any(p) = %v, %v", any, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *Tx) error { return things.Put(tx, thing{}, "a\x00b") })
		if !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("a key with a zero byte: %v, want ErrInvalid", err)
		}
	})
}

func TestTransactionSpansTablesAndIsUndone(t *testing.T) {
	each(t, func(t *testing.T, db *DB) {
		no := errors.New("no")
		err := db.Update(func(tx *Tx) error {
			return errors.Join(things.Put(tx, thing{"a", 1}, "a"), others.Put(tx, 7, "x"), no)
		})
		if !errors.Is(err, no) {
			t.Fatalf("Update = %v, want the function's error", err)
		}
		err = db.View(func(tx *Tx) error {
			_, a, err := things.Get(tx, "a")
			_, b, err2 := others.Get(tx, "x")
			if a || b {
				t.Errorf("a failed transaction left something: %v %v", a, b)
			}
			return errors.Join(err, err2)
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestConcurrentUpdates holds that a failing update never harms those that
// share its transaction.
func TestConcurrentUpdates(t *testing.T) {
	each(t, func(t *testing.T, db *DB) {
		no := errors.New("no")
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				err := db.Update(func(tx *Tx) error {
					if err := things.Put(tx, thing{"", i}, fmt.Sprintf("%03d", i)); err != nil {
						return err
					}
					if i%3 == 0 {
						return no
					}
					return nil
				})
				if want := i%3 == 0; errors.Is(err, no) != want || (err != nil) != want {
					t.Errorf("update %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		if got := keys(t, db); len(got) != 133 {
			t.Errorf("%d values, want 133", len(got))
		}
	})
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
	if err := db.Update(func(*Tx) error { return nil }); !errors.Is(err, storage.ErrUnavailable) {
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
	err = db.View(func(tx *Tx) error {
		if v, ok, err := things.Get(tx, "b"); !ok || err != nil || v.N != 2 {
			t.Errorf("an undamaged neighbour: %v %v %v", v, ok, err)
		}
		_, _, err := things.Get(tx, "a")
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
	f.Add("a\x00", []byte("\x01\x00\x00\x00\x00{}"), "name", 3)
	f.Add("", []byte{}, "", 0)
	f.Fuzz(func(t *testing.T, key string, raw []byte, name string, n int) {
		var v thing
		decodeValue([]byte(key), raw, &v)
		enc, err := encodeValue([]byte(key), thing{N: n})
		if err != nil {
			t.Fatal(err)
		}
		if reason := decodeValue([]byte(key), enc, &v); reason != "" || v.N != n {
			t.Errorf("round trip: %q %v", reason, v)
		}
		if name != key && decodeValue([]byte(name), enc, &v) == "" && valueSum([]byte(name), enc[5:]) != valueSum([]byte(key), enc[5:]) {
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
	read := db.View(func(tx *Tx) error {
		return things.Each(tx, nil, func([]string, thing) error { return nil })
	})
	write := db.Update(func(tx *Tx) error { return things.Put(tx, thing{}, "new") })
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
	if err := db.Update(func(tx *Tx) error { return things.Put(tx, thing{}, "b") }); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("Update: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file changed: %v", err)
	}
}
