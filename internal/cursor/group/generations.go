package group

import "disd/internal/storage/catalog"

var generations = catalog.NewTable[int64]("generations") // project, app

// catalogGenerations numbers rounds in a catalog.
type catalogGenerations struct{ db catalog.Store }

// NewGenerations returns numbers of rounds that are kept in a catalog: none is given
// twice, across restarts too (G-18).
func NewGenerations(db catalog.Store) Generations { return catalogGenerations{db} }

// Next implements Generations.
func (g catalogGenerations) Next(project, app string) (next int64, err error) {
	key := catalog.Key{project, app}
	err = g.db.Update(func(tx catalog.Tx) error {
		last, _, err := generations.Get(tx, key)
		if err != nil {
			return err
		}
		next = last + 1
		return generations.Put(tx, key, next)
	})
	return next, err
}

// ForgetProject lets the rounds of a project's groups be numbered from the start again.
func ForgetProject(db catalog.Store, project string) error {
	return db.Update(func(tx catalog.Tx) error {
		_, err := generations.Clear(tx, catalog.Key{project})
		return err
	})
}
