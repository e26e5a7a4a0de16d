package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"time"
	_ "time/tzdata" // the image has no time zones

	"disd/internal/partition"
	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/storage/vfs"
	"disd/internal/transfer"
	"disd/internal/transfer/filestore"
)

// openTransfer opens the transfer tasks. What they can write to is listed here.
func openTransfer(c *Config, logger *slog.Logger, engine storage.Engine, db *catalog.DB, streams *partition.Set, exceeded func(string)) (*transfer.Tasks, error) {
	buckets, err := openBuckets(c)
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(c.Transfer.Zone)
	if err != nil {
		return nil, misuse{err}
	}
	return transfer.Open(transfer.Options{
		DB: db, Streams: taskStreams{streams}, Logs: engine, Store: buckets, Logger: logger, Zone: zone,
		Exceeded: func() bool {
			if c.Quota.Mode != string(partition.Off) {
				exceeded("tasks")
			}
			return c.Quota.Mode == string(partition.Enforce)
		},
	})
}

// openBuckets opens the directory whose directories are buckets.
func openBuckets(c *Config) (*filestore.Store, error) {
	dir := c.Transfer.OBS.Directory
	if dir == "" && c.Engine == "memory" {
		return filestore.Open(filestore.Options{FS: vfs.NewMem()}), nil // no buckets at all
	}
	if dir == "" {
		dir = filepath.Join(c.DataDir, "obs")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return filestore.Open(filestore.Options{Dir: dir}), nil
}

// taskStreams tells transfer tasks about streams.
type taskStreams struct{ set *partition.Set }

func (t taskStreams) Describe(id string) (transfer.Stream, error) {
	st, err := t.set.GetID(id)
	if err != nil {
		return transfer.Stream{}, err
	}
	info, err := st.Info()
	if err != nil {
		return transfer.Stream{}, err
	}
	out := transfer.Stream{
		ID: info.ID, Project: info.Project, Name: info.Name, DataType: info.DataType, Schema: info.Schema,
		Compression: info.Compression, Delimiter: info.Delimiter,
	}
	states := map[partition.State]transfer.PartitionState{
		partition.Active: transfer.Active, partition.Deleted: transfer.Deleted, partition.Expired: transfer.Expired,
	}
	for _, p := range info.Parts {
		out.Partitions = append(out.Partitions, states[p.State])
	}
	return out, nil
}

func (t taskStreams) Exists(tx *catalog.Tx, id string) error {
	st, err := t.set.GetID(id)
	if err != nil {
		return err
	}
	return st.Exists(tx)
}
