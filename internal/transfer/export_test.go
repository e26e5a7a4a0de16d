package transfer

import (
	"slices"
	"strconv"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
)

// Pass begins what is due and waits until it has ended.
func (t *Tasks) Pass() {
	t.running.Store(true)
	t.sweep()
	for _, k := range t.live() {
		k.working.Wait()
	}
	t.leaving.Wait()
}

// A GapRow is a gap with its first number.
type GapRow struct {
	First storage.Seq
	Gap
}

// Gaps returns a task's gaps.
func (t *Tasks) Gaps(streamID string) (all []GapRow) {
	t.opts.DB.View(func(tx catalog.Tx) error {
		return gaps.Each(tx, catalog.Key{streamID}, func(key catalog.Key, g Gap) error {
			first, err := strconv.ParseInt(key[3], 10, 64)
			all = append(all, GapRow{storage.Seq(first), g})
			return err
		})
	})
	return all
}

// Rows counts what is stored about a stream.
func Rows(db catalog.Store, streamID string) (n int) {
	db.View(func(tx catalog.Tx) error {
		for _, table := range []func(catalog.Tx, catalog.Key) (bool, error){tasks.Any, positions.Any, intents.Any, gaps.Any} {
			if any, _ := table(tx, catalog.Key{streamID}); any {
				n++
			}
		}
		return nil
	})
	return n
}

// ForgetNames leaves what there was before names were noted.
func ForgetNames(db catalog.Store) {
	db.Update(func(tx catalog.Tx) error {
		_, err := names.Clear(tx, nil)
		return err
	})
}

// SetVersion makes all batches that are on their way ones of an older version of
// the rules.
func SetVersion(db catalog.Store, version int) (n int, err error) {
	err = db.Update(func(tx catalog.Tx) error {
		begun := make(map[string]Intent)
		keys := make(map[string]catalog.Key)
		if err := intents.Each(tx, nil, func(key catalog.Key, i Intent) error {
			begun[key[2]], keys[key[2]] = i, slices.Clone(key)
			return nil
		}); err != nil {
			return err
		}
		for partition, i := range begun {
			i.Version = version
			if err := intents.Put(tx, keys[partition], i); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}
