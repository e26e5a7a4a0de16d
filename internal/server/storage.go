package server

import (
	"context"
	"errors"
	"fmt"
	"os"

	"disd/internal/config"
	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/storage/catalog/file"
	"disd/internal/storage/memory"
	"disd/internal/storage/segment"
)

// openStorage opens the engine and the catalog, both in the data directory or
// both in memory, unless they are given.
func (s *Server) openStorage() (err error) {
	switch {
	case s.opts.Engine != nil:
		s.engine, s.db = s.opts.Engine, s.opts.Catalog
		return nil
	case s.conf.Engine == "memory":
		s.engine = memory.Open(memory.Options{Max: s.conf.Storage.Memory, Now: s.opts.Now})
		if s.db, err = file.OpenMemory(); err != nil {
			return err
		}
	default:
		if s.engine, err = s.openSegments(); err != nil {
			return err
		}
		if s.db, err = openCatalog(s.conf, s.engine); err != nil {
			return errors.Join(err, s.engine.Close())
		}
	}
	s.closeLater(s.db.Close)
	s.closeLater(s.engine.Close)
	return nil
}

func (s *Server) openSegments() (storage.Engine, error) {
	sync, err := segment.ParseSync(s.conf.Sync)
	if err != nil {
		return nil, config.Misuse(err)
	}
	if err := os.MkdirAll(s.conf.DataDir, 0o700); err != nil {
		return nil, err
	}
	return segment.Open(segment.Options{
		Dir:           s.conf.LogsDir(),
		Sync:          sync,
		SyncInterval:  s.conf.SyncInterval,
		CommitLogSize: s.conf.Storage.CommitLog,
		SegmentSize:   s.conf.Storage.Segment,
		MaxPending:    s.conf.Limits.Pending,
		Now:           s.opts.Now,
		Logger:        s.log,
	})
}

func openCatalog(c *config.Config, engine storage.Engine) (catalog.Store, error) {
	logs, err := engine.List(context.Background())
	if err == nil {
		err = MissingCatalog(c, len(logs))
	}
	if err != nil {
		return nil, err
	}
	return file.Open(c.CatalogFile())
}

// MissingCatalog returns an error when a data directory has logs and no catalog,
// which would say what they are: it is made before the first of them.
func MissingCatalog(c *config.Config, logs int) error {
	path := c.CatalogFile()
	if _, err := os.Stat(path); logs > 0 && errors.Is(err, os.ErrNotExist) {
		return &storage.CorruptError{File: path, Reason: fmt.Sprintf("file is missing, %d logs are there", logs)}
	}
	return nil
}
