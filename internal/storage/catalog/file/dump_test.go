package file

import (
	"testing"

	"disd/internal/storage/catalog"
)

func TestDump(t *testing.T) {
	texts := catalog.NewTable[string]("texts")
	put := func(db *DB, v string) {
		t.Helper()
		if err := db.Update(func(tx catalog.Tx) error { return texts.Put(tx, catalog.Key{"k"}, v) }); err != nil {
			t.Fatal(err)
		}
	}
	want := func(db *DB, v string) {
		t.Helper()
		err := db.View(func(tx catalog.Tx) error {
			got, _, err := texts.Get(tx, catalog.Key{"k"})
			if got != v {
				t.Errorf("got %q, want %q", got, v)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	open := func(dump []byte) *DB {
		t.Helper()
		db, err := OpenDump(dump)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	db := open(nil)
	put(db, "old")
	dump, version, err := db.Dump()
	if err != nil {
		t.Fatal(err)
	}
	put(db, "new")
	if now, err := db.Version(); err != nil || now == version {
		t.Errorf("version %d after an update, %d before, %v", now, version, err)
	}
	one, two := open(dump), open(dump)
	put(one, "one")
	want(db, "new")
	want(one, "one")
	want(two, "old")
}
