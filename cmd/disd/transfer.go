package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"
	_ "time/tzdata" // the image has no time zones

	"disd/internal/auth"
	"disd/internal/partition"
	"disd/internal/quota"
	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/storage/vfs"
	"disd/internal/transfer"
	"disd/internal/transfer/dli"
	"disd/internal/transfer/dws"
	"disd/internal/transfer/filestore"
	"disd/internal/transfer/hbase"
	"disd/internal/transfer/kind"
	"disd/internal/transfer/mrs"
	"disd/internal/transfer/obs"
	"disd/internal/transfer/opentsdb"
	"disd/internal/transfer/s3store"
)

// openTransfer opens the transfer tasks. What they can write to is listed here.
func openTransfer(c *Config, logger *slog.Logger, engine storage.Engine, db catalog.Store, streams *partition.Set, keys *auth.Keyring, ledger *quota.Ledger) (*transfer.Tasks, error) {
	if dir := bucketsDir(c); dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	buckets, err := openBuckets(c)
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(c.Transfer.Zone)
	if err != nil {
		return nil, misuse{err}
	}
	if err := transfer.CheckFileName(c.Transfer.FileName); err != nil {
		return nil, misuse{fmt.Errorf("transfer.file_name: %w", err)}
	}
	agency, err := openAgencies(c, buckets)
	if err != nil {
		return nil, err
	}
	kinds, err := destinations(c)
	if err != nil {
		return nil, err
	}
	return transfer.Open(transfer.Options{
		DB: db, Streams: taskStreams{streams}, Logs: engine, Store: buckets, Agency: agency, Logger: logger,
		Zone: zone, FileName: c.Transfer.FileName,
		Keys:       keys.Derive("transfer tasks"),
		MaxRecords: c.Transfer.BatchRecords, MaxBytes: c.Transfer.BatchBytes, Workers: c.Transfer.Workers,
		Manifest: c.Transfer.Manifest,
		Kinds:    kinds,
		Exceeded: func(project, stream string) bool {
			if c.Quota.Mode != string(partition.Off) {
				ledger.Note("tasks", project, stream)
			}
			return c.Quota.Mode == string(partition.Enforce)
		},
	})
}

// destinations are the kinds of destinations that tasks may have. A kind that is
// made without a cluster or database refuses every task.
func destinations(c *Config) (kind.Set, error) {
	tables, err := dws.Kind(dws.Options{Clusters: c.Transfer.DWS.Clusters, Keys: c.Transfer.KMSKeys, Timeout: c.Transfer.DWS.Timeout})
	if err != nil {
		return nil, misuse{fmt.Errorf("transfer.dws.clusters: %w", err)}
	}
	return kind.Set{obs.Kind(), tables, mrs.Kind(), dli.Kind(), hbase.Kind(), opentsdb.Kind()}, nil
}

// buckets are what tasks write to and verify-dump reads.
type buckets interface {
	kind.Store
	kind.Archive
}

// openBuckets opens what stands in for OBS: an object store, or a directory whose
// directories are buckets.
func openBuckets(c *Config) (buckets, error) {
	if c.Transfer.OBS.Endpoint != "" {
		return openObjectStore(c, c.Transfer.OBS.AccessKey, c.Transfer.OBS.SecretKey)
	}
	if dir := bucketsDir(c); dir != "" {
		return filestore.Open(filestore.Options{Dir: dir}), nil
	}
	return filestore.Open(filestore.Options{FS: vfs.NewMem()}), nil // no buckets at all
}

// bucketsDir is the directory whose directories are buckets, "" for none.
func bucketsDir(c *Config) string {
	switch dir := c.Transfer.OBS.Directory; {
	case c.Transfer.OBS.Endpoint != "":
		return ""
	case dir == "" && c.Engine != "memory":
		return filepath.Join(c.DataDir, "obs")
	default:
		return dir
	}
}

// An Agency is what a task names by agency_name: credentials for what stands in
// for OBS.
type Agency struct {
	Name      string   `mapstructure:"name"`
	Projects  []string `mapstructure:"projects"`   // ids of those that may use it; none for all
	AccessKey string   `mapstructure:"access_key"` // default the server's own
	SecretKey string   `mapstructure:"secret_key"`

	store kind.Store
}

// defaultAgency is the one that the console of the cloud makes; it always exists.
const defaultAgency = "dis_admin_agency"

// openAgencies returns what finds the store of an agency. In mode open every name
// is accepted; one that is not configured stands for the server itself.
func openAgencies(c *Config, own kind.Store) (func(project, name string) (kind.Store, error), error) {
	agencies := c.Transfer.Agencies
	for i := range agencies {
		a := &agencies[i]
		switch {
		case a.Name == "" || (a.AccessKey == "") != (a.SecretKey == ""):
			return nil, misuse{fmt.Errorf("transfer.agencies: agency %q needs a name, and both keys or none", a.Name)}
		case a.AccessKey == "":
			a.store = own
			continue
		case c.Transfer.OBS.Endpoint == "":
			return nil, misuse{fmt.Errorf("transfer.agencies: agency %q has keys, and there is no object store that they could be for", a.Name)}
		}
		store, err := openObjectStore(c, a.AccessKey, a.SecretKey)
		if err != nil {
			return nil, err
		}
		a.store = store
	}
	return func(project, name string) (kind.Store, error) {
		for i := range agencies {
			if a := &agencies[i]; a.Name == name && (len(a.Projects) == 0 || slices.Contains(a.Projects, project)) {
				return a.store, nil
			}
		}
		if name != defaultAgency && c.Auth.Mode != auth.ModeOpen {
			return nil, &kind.DestinationError{Err: kind.ErrAgency, Name: name}
		}
		return own, nil
	}, nil
}

// openObjectStore opens the configured object store with an access key of its own
// or of an agency.
func openObjectStore(c *Config, accessKey, secretKey string) (buckets, error) {
	o := c.Transfer.OBS
	store, err := s3store.Open(s3store.Options{
		Endpoint: o.Endpoint, Region: o.Region, AccessKey: accessKey, SecretKey: secretKey,
		PathStyle: o.PathStyle, Signature: o.Signature, Part: o.Part, Timeout: o.Timeout,
	})
	if err != nil {
		return nil, misuse{err}
	}
	return store, nil
}

// taskStreams tells transfer tasks about streams.
type taskStreams struct{ set *partition.Set }

func (t taskStreams) Describe(id string) (kind.Stream, error) {
	st, err := t.set.GetID(id)
	if err != nil {
		return kind.Stream{}, err
	}
	info, err := st.Info()
	if err != nil {
		return kind.Stream{}, err
	}
	out := kind.Stream{
		ID: info.ID, Project: info.Project, Name: info.Name, DataType: info.DataType, Schema: info.Schema,
		Compression: info.Compression, Delimiter: info.Delimiter,
		Retention: time.Duration(info.Retention) * time.Hour, Frozen: info.Frozen,
	}
	states := map[partition.State]kind.PartitionState{
		partition.Active: kind.Active, partition.Deleted: kind.Deleted, partition.Expired: kind.Expired,
	}
	for _, p := range info.Parts {
		out.Partitions = append(out.Partitions, states[p.State])
	}
	return out, nil
}

func (t taskStreams) Exists(tx catalog.Tx, id string) error {
	st, err := t.set.GetID(id)
	if err != nil {
		return err
	}
	return st.Exists(tx)
}
