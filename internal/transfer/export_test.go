package transfer

import "disd/internal/storage/catalog"

// Step begins what is due and waits until it has ended.
func (t *Tasks) Step() {
	t.running.Store(true)
	t.sweep()
	for _, k := range t.live() {
		k.working.Wait()
	}
}

// Gaps returns the first and last numbers of a task's gaps.
func (t *Tasks) Gaps(streamID string) (all [][2]string) {
	t.opts.DB.View(func(tx *catalog.Tx) error {
		return gaps.Each(tx, []string{streamID}, func(key []string, g Gap) error {
			all = append(all, [2]string{key[3], g.Last.String()})
			return nil
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
