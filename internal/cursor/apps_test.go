package cursor

import (
	"errors"
	"testing"

	"disd/internal/storage/catalog"
	"disd/internal/storage/catalog/file"
)

// TestMostApps: what a project can leave in the catalog ends somewhere, also when
// quotas are off.
func TestMostApps(t *testing.T) {
	db, err := file.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	a := OpenApps(db, Options{})
	err = db.Update(func(tx catalog.Tx) error {
		for i := range mostApps - 1 {
			if err := apps.Put(tx, appKey("p", catalog.Digits(i, 6)), App{}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		project, app string
		want         error
	}{{"p", "last", nil}, {"p", "one more", ErrAppQuota}, {"q", "first", nil}} {
		if err := a.Create(c.project, c.app); !errors.Is(err, c.want) {
			t.Errorf("create %s of %s: %v, want %v", c.app, c.project, err, c.want)
		}
	}
}
