// Package catalogtest is what every catalog.Store must pass.
package catalogtest

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
)

type thing struct {
	Name string
	N    int
}

var (
	things = catalog.NewTable[thing]("things")
	others = catalog.NewTable[int]("others")
)

var errNo = errors.New("no")

// Run runs the suite. open returns an empty store, which the suite closes.
func Run(t *testing.T, open func(t *testing.T) catalog.Store) {
	for name, test := range map[string]func(*testing.T, catalog.Store){
		"rows":                 testRows,
		"keys":                 testKeys,
		"order":                testOrder,
		"prefix":               testPrefix,
		"own writes":           testOwnWrites,
		"one picture":          testOnePicture,
		"undone":               testUndone,
		"concurrent updates":   testConcurrentUpdates,
		"counter":              testCounter,
		"values are its own":   testAliasing,
		"panics of a function": testPanic,
		"large":                testLarge,
		"close":                testClose,
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			t.Cleanup(func() { _ = db.Close() })
			test(t, db)
			if damage := db.Check(); damage != nil && name != "close" {
				t.Errorf("Check: %v", damage)
			}
		})
	}
}

func update(t *testing.T, db catalog.Store, fn func(catalog.Tx) error) {
	t.Helper()
	if err := db.Update(fn); err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, db catalog.Store, fn func(catalog.Tx) error) {
	t.Helper()
	if err := db.View(fn); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, db catalog.Store, v thing, key ...string) {
	t.Helper()
	update(t, db, func(tx catalog.Tx) error { return things.Put(tx, key, v) })
}

// rows returns key and number of each row, in order.
func rows(t *testing.T, db catalog.Store, prefix ...string) (got []string) {
	t.Helper()
	view(t, db, func(tx catalog.Tx) error {
		got = nil
		return things.Each(tx, prefix, func(key catalog.Key, v thing) error {
			got = append(got, fmt.Sprintf("%s=%d", key, v.N))
			return nil
		})
	})
	return got
}

func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func testRows(t *testing.T, db catalog.Store) {
	want(t, "at first", rows(t, db))
	put(t, db, thing{"a", 1}, "p", "a")
	put(t, db, thing{"ab", 2}, "p", "ab")
	put(t, db, thing{"b", 3}, "p", "b")
	put(t, db, thing{"a", 4}, "p2", "a")
	put(t, db, thing{"a", 5}, "p", "a")
	want(t, "of p", rows(t, db, "p"), "p/a=5", "p/ab=2", "p/b=3")
	update(t, db, func(tx catalog.Tx) error {
		n, err := things.Clear(tx, catalog.Key{"p"})
		if n != 3 {
			t.Errorf("Clear = %d, want 3", n)
		}
		return err
	})
	want(t, "after Clear", rows(t, db), "p2/a=4")
	view(t, db, func(tx catalog.Tx) error {
		if _, ok, err := things.Get(tx, catalog.Key{"p", "a"}); ok || err != nil {
			t.Errorf("Get of a cleared key = %v, %v", ok, err)
		}
		if v, ok, err := things.Get(tx, catalog.Key{"p2", "a"}); !ok || err != nil || v != (thing{"a", 4}) {
			t.Errorf("Get = %v, %v, %v", v, ok, err)
		}
		for prefix, want := range map[string]bool{"p2": true, "p": false} {
			if any, err := things.Any(tx, catalog.Key{prefix}); any != want || err != nil {
				t.Errorf("Any(%s) = %v, %v", prefix, any, err)
			}
		}
		if any, err := others.Any(tx, nil); any || err != nil {
			t.Errorf("Any of a table nobody used = %v, %v", any, err)
		}
		return nil
	})
	update(t, db, func(tx catalog.Tx) error {
		return errors.Join(things.Delete(tx, catalog.Key{"p2", "a"}), things.Delete(tx, catalog.Key{"nobody"}), others.Delete(tx, catalog.Key{"x"}))
	})
	want(t, "after Delete", rows(t, db))
}

func testKeys(t *testing.T, db catalog.Store) {
	update(t, db, func(tx catalog.Tx) error {
		for _, bad := range []catalog.Key{{"a\x00b"}, {"a", "\x00"}} {
			_, _, getErr := things.Get(tx, bad)
			_, keysErr := things.Keys(tx, bad)
			for what, err := range map[string]error{
				"Put": things.Put(tx, bad, thing{}), "Delete": things.Delete(tx, bad), "Get": getErr, "Keys": keysErr,
			} {
				if !errors.Is(err, storage.ErrInvalid) {
					t.Errorf("%s of key %q: %v, want ErrInvalid", what, bad, err)
				}
			}
		}
		return nil
	})
	odd := []catalog.Key{{""}, {"", ""}, {"a", "", "b"}, {"\xff\xfe"}, {"ü/%"}, {strings.Repeat("k", 2000)}}
	update(t, db, func(tx catalog.Tx) error {
		for i, key := range odd {
			if err := things.Put(tx, key, thing{N: i}); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, db, func(tx catalog.Tx) error {
		for i, key := range odd {
			if v, ok, err := things.Get(tx, key); !ok || v.N != i || err != nil {
				t.Errorf("key %q: %v, %v, %v", key, v, ok, err)
			}
		}
		keys, err := things.Keys(tx, nil)
		for _, key := range keys {
			if !slices.ContainsFunc(odd, func(k catalog.Key) bool { return slices.Equal(k, key) }) {
				t.Errorf("there is key %q", key)
			}
		}
		return err
	})
}

func testOrder(t *testing.T, db catalog.Store) {
	put(t, db, thing{}, "a", catalog.Digits(10, 3))
	put(t, db, thing{}, "a", catalog.Digits(9, 3))
	put(t, db, thing{}, "a!", "0")
	put(t, db, thing{}, "B")
	put(t, db, thing{}, "a")
	want(t, "order", rows(t, db), "B=0", "a=0", "a/009=0", "a/010=0", "a!/0=0")
}

func testPrefix(t *testing.T, db catalog.Store) {
	for i, key := range []catalog.Key{{"a", "b"}, {"a", "bc"}, {"a", "b", "c"}, {"ab", "c"}} {
		put(t, db, thing{N: i}, key...)
	}
	want(t, "a", rows(t, db, "a"), "a/b=0", "a/b/c=2", "a/bc=1")
	want(t, "a/b", rows(t, db, "a", "b"), "a/b=0", "a/b/c=2")
	want(t, "c", rows(t, db, "c"))
	err := db.View(func(tx catalog.Tx) error {
		return things.Each(tx, nil, func(catalog.Key, thing) error { return errNo })
	})
	if !errors.Is(err, errNo) {
		t.Errorf("Each ended with %v", err)
	}
}

func testOwnWrites(t *testing.T, db catalog.Store) {
	put(t, db, thing{N: 1}, "a")
	put(t, db, thing{N: 1}, "b")
	update(t, db, func(tx catalog.Tx) error {
		err := errors.Join(
			things.Put(tx, catalog.Key{"a"}, thing{N: 2}),
			things.Delete(tx, catalog.Key{"b"}),
			things.Put(tx, catalog.Key{"c"}, thing{N: 3}))
		var got []string
		each := things.Each(tx, nil, func(key catalog.Key, v thing) error {
			got = append(got, fmt.Sprintf("%s=%d", key, v.N))
			return nil
		})
		want(t, "its own writes", got, "a=2", "c=3")
		v, ok, getErr := things.Get(tx, catalog.Key{"a"})
		if !ok || v.N != 2 {
			t.Errorf("Get = %v, %v", v, ok)
		}
		if _, ok, _ := things.Get(tx, catalog.Key{"b"}); ok {
			t.Error("what it deleted is there")
		}
		return errors.Join(err, each, getErr)
	})
}

// testOnePicture: what a transaction wrote is seen together or not at all.
func testOnePicture(t *testing.T, db catalog.Store) {
	const updates = 50
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range updates {
			err := db.Update(func(tx catalog.Tx) error {
				return errors.Join(things.Put(tx, catalog.Key{"a"}, thing{N: i}), others.Put(tx, catalog.Key{"a"}, i))
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	for last := 0; last < updates-1 && !t.Failed(); {
		view(t, db, func(tx catalog.Tx) error {
			v, _, err := things.Get(tx, catalog.Key{"a"})
			n, _, otherErr := others.Get(tx, catalog.Key{"a"})
			if v.N != n || n < last {
				t.Errorf("a view sees %d and %d after %d", v.N, n, last)
			}
			last = n
			return errors.Join(err, otherErr)
		})
	}
	writer.Wait()
}

func testUndone(t *testing.T, db catalog.Store) {
	put(t, db, thing{N: 9}, "b")
	err := db.Update(func(tx catalog.Tx) error {
		return errors.Join(
			things.Put(tx, catalog.Key{"a"}, thing{"a", 1}), things.Delete(tx, catalog.Key{"b"}),
			others.Put(tx, catalog.Key{"x"}, 7), errNo)
	})
	if !errors.Is(err, errNo) {
		t.Fatalf("Update = %v, want the function's error", err)
	}
	want(t, "after it", rows(t, db), "b=9")
	view(t, db, func(tx catalog.Tx) error {
		any, err := others.Any(tx, nil)
		if any {
			t.Error("a failed transaction left something in another table")
		}
		return err
	})
}

// testConcurrentUpdates: a failing update never harms those that share its
// transaction.
func testConcurrentUpdates(t *testing.T, db catalog.Store) {
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			err := db.Update(func(tx catalog.Tx) error {
				if err := things.Put(tx, catalog.Key{catalog.Digits(i, 3)}, thing{N: i}); err != nil || i%3 != 0 {
					return err
				}
				return errNo
			})
			if want := i%3 == 0; errors.Is(err, errNo) != want || (err != nil) != want {
				t.Errorf("update %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if got := rows(t, db); len(got) != 133 {
		t.Errorf("%d values, want 133", len(got))
	}
}

// testCounter: updates that decide by what they read do not lose each other's.
func testCounter(t *testing.T, db catalog.Store) {
	const callers, each = 8, 25
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				err := db.Update(func(tx catalog.Tx) error {
					n, _, err := others.Get(tx, catalog.Key{"n"})
					return errors.Join(err, others.Put(tx, catalog.Key{"n"}, n+1))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	view(t, db, func(tx catalog.Tx) error {
		n, _, err := others.Get(tx, catalog.Key{"n"})
		if n != callers*each {
			t.Errorf("counted to %d, want %d", n, callers*each)
		}
		return err
	})
}

// testAliasing: the store keeps no memory of its callers.
func testAliasing(t *testing.T, db catalog.Store) {
	key, doc := []byte("a\x00"), []byte(`{"N":1}`)
	update(t, db, func(tx catalog.Tx) error {
		err := tx.Put("things", key, doc)
		copy(doc, "########")
		return err
	})
	copy(key, "#")
	want(t, "kept", rows(t, db), "a=1")
}

func testPanic(t *testing.T, db catalog.Store) {
	for what, run := range map[string]func(func(catalog.Tx) error) error{"View": db.View, "Update": db.Update} {
		if err := run(func(catalog.Tx) error { panic("of the function") }); err == nil {
			t.Errorf("%s returned nil", what)
		}
	}
	put(t, db, thing{N: 1}, "a")
	want(t, "afterwards", rows(t, db), "a=1")
}

func testLarge(t *testing.T, db catalog.Store) {
	text := string(bytes.Repeat([]byte("x"), 1<<20))
	update(t, db, func(tx catalog.Tx) error {
		err := things.Put(tx, catalog.Key{"large"}, thing{text, 1})
		for i := range 2000 {
			err = errors.Join(err, things.Put(tx, catalog.Key{"many", catalog.Digits(i, 30)}, thing{"", i}))
		}
		return err
	})
	view(t, db, func(tx catalog.Tx) error {
		v, _, err := things.Get(tx, catalog.Key{"large"})
		if !reflect.DeepEqual(v, thing{text, 1}) {
			t.Errorf("%d bytes came back", len(v.Name))
		}
		keys, keysErr := things.Keys(tx, catalog.Key{"many"})
		if len(keys) != 2000 {
			t.Errorf("%d keys", len(keys))
		}
		return errors.Join(err, keysErr)
	})
	update(t, db, func(tx catalog.Tx) error { _, err := things.Clear(tx, nil); return err })
	want(t, "after Clear", rows(t, db))
}

func testClose(t *testing.T, db catalog.Store) {
	put(t, db, thing{}, "a")
	if err := db.Health(); err != nil {
		t.Errorf("Health = %v", err)
	}
	if err := errors.Join(db.Close(), db.Close()); err != nil {
		t.Errorf("Close = %v", err)
	}
	if err := db.Update(func(catalog.Tx) error { return nil }); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("Update after Close = %v, want ErrUnavailable", err)
	}
	if err := db.Health(); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("Health after Close = %v, want ErrUnavailable", err)
	}
}
