package server

import (
	"errors"
	"fmt"
	"os"

	"disd/internal/config"
	"disd/internal/storage"
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
		if err = s.openDisk(); err != nil {
			return err
		}
	}
	s.closeLater(s.db.Close)
	s.closeLater(s.engine.Close)
	return nil
}

// openDisk opens the logs and the catalog of the data directory. Both are locked and
// read, and compared, before the first write: a start that is refused changes nothing.
func (s *Server) openDisk() error {
	sync, err := segment.ParseSync(s.conf.Sync)
	if err != nil {
		return config.Misuse(err)
	}
	meta, err := file.Read(file.Options{Path: s.conf.CatalogFile(), Logger: s.log})
	if err != nil {
		return err
	}
	logs, err := segment.Read(segment.Options{
		Dir:           s.conf.LogsDir(),
		Sync:          sync,
		SyncInterval:  s.conf.SyncInterval,
		CommitLogSize: s.conf.Storage.CommitLog,
		SegmentSize:   s.conf.Storage.Segment,
		MaxPending:    s.conf.Limits.Pending,
		Catalog:       meta.Number,
		Now:           s.opts.Now,
		Logger:        s.log,
	})
	if err != nil {
		return errors.Join(err, meta.Close())
	}
	if err := Compare(s.conf, logs, meta); err != nil {
		return errors.Join(err, logs.Close(), meta.Close())
	}
	if err := os.MkdirAll(s.conf.DataDir, 0o700); err != nil {
		return errors.Join(err, logs.Close(), meta.Close())
	}
	engine, err := logs.Open()
	if err != nil {
		return errors.Join(err, meta.Close())
	}
	if s.db, err = meta.Open(engine); err != nil {
		return errors.Join(err, engine.Close())
	}
	s.engine = engine
	return nil
}

// Compare returns a storage.CorruptError when the logs and the catalog of a data
// directory do not belong together, or one is older than the other remembers it
// (docs/format-log.md, section 7).
func Compare(c *config.Config, logs *segment.Found, meta *file.Found) error {
	damaged := func(path, format string, args ...any) error {
		return &storage.CorruptError{File: path, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case !meta.Exists() && logs.Logs() > 0:
		return damaged(c.CatalogFile(), "file is missing, %d logs are there", logs.Logs())
	case !meta.Exists() && logs.Catalog() > 0:
		return damaged(c.CatalogFile(), "file is missing, the logs know its commit %d", logs.Catalog())
	case meta.Identity() != 0 && logs.Identity() == 0:
		return damaged(c.LogsDir(), "directory is missing or empty, the catalog describes its logs")
	case meta.Identity() != 0 && meta.Identity() != logs.Identity():
		return damaged(c.CatalogFile(), "is the catalog of another data directory than the logs")
	case logs.Group() < meta.Group():
		return damaged(c.LogsDir(), "the logs are older than the catalog: the last commit is %d, the catalog knows %d", logs.Group(), meta.Group())
	case meta.Number() < logs.Catalog():
		return damaged(c.CatalogFile(), "is older than the logs: the last commit is %d, the logs know %d", meta.Number(), logs.Catalog())
	}
	return nil
}
