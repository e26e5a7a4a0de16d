package auth

import "disd/internal/storage/catalog"

var identities = catalog.NewTable[[]byte]("identities") // name of the record

// catalogStore keeps records in a catalog.
type catalogStore struct{ db catalog.Store }

// NewStore returns a Store in a catalog.
func NewStore(db catalog.Store) Store { return catalogStore{db} }

// List implements Store.
func (s catalogStore) List() (map[string][]byte, error) {
	all := make(map[string][]byte)
	err := s.db.View(func(tx catalog.Tx) error {
		return identities.Each(tx, nil, func(key catalog.Key, record []byte) error {
			all[key[0]] = record
			return nil
		})
	})
	return all, err
}

// Put implements Store.
func (s catalogStore) Put(name string, record []byte) error {
	return s.db.Update(func(tx catalog.Tx) error { return identities.Put(tx, catalog.Key{name}, record) })
}

// Delete implements Store.
func (s catalogStore) Delete(name string) error {
	return s.db.Update(func(tx catalog.Tx) error { return identities.Delete(tx, catalog.Key{name}) })
}
