package transfer

import (
	"strconv"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
)

// Step begins what is due and waits until it has ended.
func (t *Tasks) Step() {
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
	t.opts.DB.View(func(tx *catalog.Tx) error {
		return gaps.Each(tx, []string{streamID}, func(key []string, g Gap) error {
			first, err := strconv.ParseInt(key[3], 10, 64)
			all = append(all, GapRow{storage.Seq(first), g})
			return err
		})
	})
	return all
}

// Rows counts what is stored about a stream.
func Rows(db *catalog.DB, streamID string) (n int) {
	db.View(func(tx *catalog.Tx) error {
		for _, table := range []func(*catalog.Tx, ...string) (bool, error){tasks.Any, positions.Any, intents.Any, gaps.Any} {
			if any, _ := table(tx, streamID); any {
				n++
			}
		}
		return nil
	})
	return n
}

// ForgetNames leaves what there was before names were noted.
func ForgetNames(db *catalog.DB) {
	db.Update(func(tx *catalog.Tx) error {
		_, err := names.Clear(tx)
		return err
	})
}
