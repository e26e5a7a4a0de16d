package transfer

import (
	"slices"
	"strconv"
	"strings"

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

// SpellNames notes the names of tasks as an older version did: by stream id, in the
// directory as it was spelled, and none as distinct.
func SpellNames(db catalog.Store, dirs map[string]string) {
	db.Update(func(tx catalog.Tx) error {
		var rows []Task
		tasks.Each(tx, nil, func(_ catalog.Key, row Task) error {
			rows = append(rows, row)
			return nil
		})
		for _, row := range rows {
			row.Distinct = false
			tasks.Put(tx, row.key(), row)
		}
		noted := make(map[string]string) // stream id, name
		names.Each(tx, nil, func(key catalog.Key, owners []nameOwner) error {
			for _, o := range owners {
				noted[o.StreamID] = strings.ReplaceAll(key[2], rowID(rows, o.StreamID)+"-", "")
			}
			return nil
		})
		names.Clear(tx, nil)
		for id, name := range noted {
			names.Put(tx, catalog.Key{"b", dirs[id], name}, []nameOwner{{id, "t"}})
		}
		return nil
	})
}

func rowID(rows []Task, streamID string) string {
	for _, row := range rows {
		if row.StreamID == streamID {
			return row.ID
		}
	}
	return "none"
}
