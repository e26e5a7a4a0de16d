package server

import (
	"os"
	"slices"
	"time"

	"disd/internal/auth"
	"disd/internal/config"
	"disd/internal/partition"
	"disd/internal/storage/catalog"
	"disd/internal/storage/memory"
	"disd/internal/transfer"
	"disd/internal/transfer/destinations"
	"disd/internal/transfer/filestore"
	"disd/internal/transfer/kind"
	"disd/internal/transfer/memstore"
	"disd/internal/transfer/s3store"
)

// openTasks opens the transfer tasks. What they can write to is listed here.
func (s *Server) openTasks(keys *auth.Keyring) error {
	t := &s.conf.Transfer
	if dir := s.conf.BucketsDir(); dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	buckets, err := s.openBuckets()
	if err != nil {
		return err
	}
	zone, err := time.LoadLocation(t.Zone)
	if err != nil {
		return config.Misuse(err)
	}
	agency, err := s.openAgencies(buckets)
	if err != nil {
		return err
	}
	kinds, err := s.destinations()
	if err != nil {
		return err
	}
	s.tasks, err = transfer.Open(transfer.Options{
		DB: s.db, Streams: taskStreams{s.streams}, Logs: s.engine, Store: buckets, Agency: agency,
		Now: s.opts.Now, Real: s.opts.Real, Logger: s.log,
		Zone: zone, FileName: t.FileName,
		Keys:       keys.Derive("transfer tasks"),
		MaxRecords: t.BatchRecords, MaxBytes: t.BatchBytes, Workers: t.Workers,
		Manifest: t.Manifest,
		Kinds:    kinds,
		Tick:     s.opts.Tick,
		MaxTasks: s.opts.Quotas.Tasks,
		Quota:    s.quota,
	})
	return err
}

func (s *Server) destinations() (kind.Set, error) {
	if s.opts.Kinds != nil {
		return s.opts.Kinds, nil
	}
	return Destinations(s.conf)
}

// Destinations are the kinds of destinations that tasks may have.
func Destinations(c *config.Config) (kind.Set, error) {
	all, err := destinations.All(c.Transfer.Options)
	return all, config.Misuse(err)
}

// Buckets are what tasks write to and verify-dump reads.
type Buckets interface {
	kind.Store
	kind.Archive
}

// openBuckets opens what stands in for OBS: where records are in memory and nothing is
// configured, buckets in memory, whose bytes count as those of records (CTL-54).
func (s *Server) openBuckets() (Buckets, error) {
	engine, inMemory := s.engine.(*memory.Engine)
	if !inMemory || s.conf.BucketsDir() != "" || s.conf.Transfer.OBS.Endpoint != "" {
		return OpenBuckets(s.conf)
	}
	return memstore.Open(memstore.Options{Take: engine.Take, Lend: s.conf.Auth.Mode == auth.ModeOpen, Now: s.opts.Now}), nil
}

// OpenBuckets opens what stands in for OBS: an object store, or a directory whose
// directories are buckets.
func OpenBuckets(c *config.Config) (Buckets, error) {
	if o := &c.Transfer.OBS; o.Endpoint != "" {
		return openObjectStore(c, o.AccessKey, o.SecretKey)
	}
	if dir := c.BucketsDir(); dir != "" {
		return filestore.Open(filestore.Options{Dir: dir}), nil
	}
	return memstore.Open(memstore.Options{}), nil // no buckets at all
}

// openObjectStore opens the configured object store with an access key of its own
// or of an agency.
func openObjectStore(c *config.Config, accessKey, secretKey string) (Buckets, error) {
	o := &c.Transfer.OBS
	store, err := s3store.Open(s3store.Options{
		Endpoint: o.Endpoint, Region: o.Region, AccessKey: accessKey, SecretKey: secretKey,
		PathStyle: o.PathStyle, Signature: o.Signature, Part: o.Part, Timeout: o.Timeout,
	})
	return store, config.Misuse(err)
}

// defaultAgency is the one that the console of the cloud makes; it always exists.
const defaultAgency = "dis_admin_agency"

// openAgencies returns what finds the store of an agency. In mode open every name
// is accepted; one that is not configured stands for the server itself.
func (s *Server) openAgencies(own kind.Store) (func(project, name string) (kind.Store, error), error) {
	if s.opts.Agency != nil {
		return s.opts.Agency, nil
	}
	agencies := s.conf.Transfer.Agencies
	stores := make([]kind.Store, len(agencies))
	for i, a := range agencies {
		stores[i] = own
		if a.AccessKey == "" {
			continue
		}
		store, err := openObjectStore(s.conf, a.AccessKey, a.SecretKey)
		if err != nil {
			return nil, err
		}
		stores[i] = store
	}
	return func(project, name string) (kind.Store, error) {
		for i, a := range agencies {
			if a.Name == name && (len(a.Projects) == 0 || slices.Contains(a.Projects, project)) {
				return stores[i], nil
			}
		}
		if name != defaultAgency && s.conf.Auth.Mode != auth.ModeOpen {
			return nil, &kind.DestinationError{Err: kind.ErrAgency, Name: name}
		}
		return own, nil
	}, nil
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
