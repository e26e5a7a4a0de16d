package partition

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"disd/internal/quota"
	"disd/internal/storage"
	"disd/internal/storage/catalog"
)

// Options of a Set. Nil means the ordinary value.
type Options struct {
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default slog.Default
	Quotas Quotas

	// Account names the account a project belongs to; quotas count per
	// account (C-71). By default all projects belong to one.
	Account func(project string) string

	// Quota decides what follows when one of Quotas is exceeded; nil never refuses.
	Quota *quota.Policy

	// Traffic returns what a stream carried in the last finished minutes, false
	// when that is not known. Without it streams do not scale by themselves.
	Traffic func(streamID string, minutes int) (Load, bool)

	// MayHaveLost says that the newest records may have been lost since others
	// were told their numbers (sync interval or off, and no orderly end).
	MayHaveLost bool

	// OnDelete is called in the transaction that deletes a stream, to delete
	// what other packages keep about it.
	OnDelete []func(tx catalog.Tx, streamID string) error
}

// exceeded reports whether a quota that a stream exceeded must be refused.
func (o *Options) exceeded(kind quota.Kind, info *Info) bool {
	return o.Quota.Exceeded(kind, info.Project, info.Name)
}

var (
	streams = catalog.NewTable[*Info]("streams") // streamKey

	// garbage lists logs that belong to no stream: those of a stream that is
	// being created or was deleted. A crash leaves them here, and the next
	// start removes them; a log that is in neither table is left alone.
	garbage = catalog.NewTable[bool]("garbage") // garbageKey
)

func streamKey(project, name string) catalog.Key { return catalog.Key{project, name} }

// garbageKey ends with the partition as it is, without padding.
func garbageKey(id storage.LogID) catalog.Key {
	return catalog.Key{id.Stream, strconv.Itoa(int(id.Partition))}
}

// A Set holds all streams of a server. All methods may be called at any time.
type Set struct {
	engine storage.Engine
	db     catalog.Store
	opts   *Options

	looked atomic.Int64 // ns since 1970 of the last StepScaling, or of Open

	mu       sync.RWMutex
	byName   map[string]map[string]*Stream // project, name; nil while it is being made or is damaged
	damaged  map[[2]string]error           // by project and name; filled once, by load
	byID     map[string]*Stream
	reserved map[account]int // partitions of streams and scalings under way

	// If records may have been lost, the number that was next in each log at
	// the start, and when that was, in ms.
	ends   map[storage.LogID]storage.Seq
	opened int64
}

// An account is what partition quotas are counted by.
type account struct{ name, streamType string }

// Open loads all streams and removes what an interrupted creation or deletion
// left behind.
func Open(ctx context.Context, engine storage.Engine, db catalog.Store, opts Options) (*Set, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Account == nil {
		opts.Account = func(string) string { return "" }
	}
	opts.Quotas = opts.Quotas.withDefaults()
	s := &Set{
		engine: engine, db: db, opts: &opts,
		byName:   make(map[string]map[string]*Stream),
		damaged:  make(map[[2]string]error),
		byID:     make(map[string]*Stream),
		reserved: make(map[account]int),
	}
	s.looked.Store(opts.Now().UnixNano())
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	if opts.MayHaveLost {
		if err := s.setBack(); err != nil {
			return nil, err
		}
	}
	if err := s.collect(ctx); err != nil { // of a full disk, say
		opts.Logger.Error("logs of deleted streams remain until the next start", "error", err)
	}
	return s, nil
}

func (s *Set) load(ctx context.Context) error {
	return s.db.View(func(tx catalog.Tx) error {
		keys, err := streams.Keys(tx, nil)
		if err != nil {
			return err
		}
		for _, key := range keys {
			info, _, err := streams.Get(tx, key)
			if damage := (*storage.CorruptError)(nil); errors.As(err, &damage) {
				s.opts.Logger.Error("stream cannot be opened", "project", key[0], "stream", key[1], "error", err)
				s.occupy(key[0], key[1])
				s.damaged[[2]string{key[0], key[1]}] = damage
				continue
			}
			if err != nil {
				return err
			}
			s.publish(newStream(s, s.open(ctx, info)))
		}
		return nil
	})
}

// open opens the logs of a stream.
func (s *Set) open(ctx context.Context, info *Info) *layout {
	l := &layout{info: info, active: info.Count(Active)}
	for _, id := range logIDs(info, 0) {
		log, err := s.engine.Open(ctx, id)
		if errors.Is(err, storage.ErrNotFound) { // not for lack of a stream
			err = &storage.CorruptError{File: id.String(), Reason: "log is missing"}
		}
		if err != nil {
			s.opts.Logger.Error("partition cannot be opened", "stream", info.Name, "stream_id", info.ID, "partition", id.Partition, "error", err)
		}
		l.logs = append(l.logs, partitionLog{log, err})
	}
	return l
}

// occupy keeps a name from being given to another stream.
func (s *Set) occupy(project, name string) {
	if s.byName[project] == nil {
		s.byName[project] = make(map[string]*Stream)
	}
	s.byName[project][name] = nil
}

// collect removes the logs listed as garbage.
func (s *Set) collect(ctx context.Context) error {
	var ids []storage.LogID
	err := s.db.View(func(tx catalog.Tx) error {
		return garbage.Each(tx, nil, func(key catalog.Key, _ bool) error {
			n, err := strconv.Atoi(key[1])
			ids = append(ids, storage.LogID{Stream: key[0], Partition: int32(n)})
			return err
		})
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	return s.removeLogs(ctx, ids)
}

func (s *Set) publish(st *Stream) {
	info := st.layout.Load().info
	s.mu.Lock()
	defer s.mu.Unlock()
	names := s.byName[info.Project]
	if names == nil {
		names = make(map[string]*Stream)
		s.byName[info.Project] = names
	}
	names[info.Name] = st
	s.byID[info.ID] = st
}

// Get returns the stream of that name. ErrStreamNotFound, or a
// storage.CorruptError for one whose description is damaged.
func (s *Set) Get(project, name string) (*Stream, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if st := s.byName[project][name]; st != nil {
		return st, nil
	}
	if damage := s.damaged[[2]string{project, name}]; damage != nil {
		return nil, damage
	}
	return nil, ErrStreamNotFound
}

// GetID returns the stream with that id, of whatever project. ErrStreamNotFound, or
// a storage.CorruptError when it may be one whose description is damaged.
func (s *Set) GetID(id string) (*Stream, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if st := s.byID[id]; st != nil {
		return st, nil
	}
	if len(id) != catalog.IDLength { // a name, by those who take either
		return nil, ErrStreamNotFound
	}
	for _, damage := range s.damaged { // whose id is not known may have this one
		return nil, damage
	}
	return nil, ErrStreamNotFound
}

// List describes the streams of a project, in byte order of their names.
func (s *Set) List(project string) []*Info {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []*Info
	for _, st := range s.byName[project] {
		if st == nil {
			continue
		}
		if info, err := st.Info(); err == nil {
			list = append(list, info)
		}
	}
	slices.SortFunc(list, func(a, b *Info) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Create makes a stream of n partitions, which is running and durable when it
// returns, or nothing at all (E3). ErrStreamExists, ErrQuota, ErrSchema, a
// field.Error, or an error of the engine.
func (s *Set) Create(ctx context.Context, project, name string, n int, set Settings) (*Info, error) {
	if err := set.Check(); err != nil {
		return nil, err
	}
	if n > maxPartitions {
		return nil, ErrQuota
	}
	now := s.opts.Now().UnixMilli()
	info := &Info{
		ID: catalog.NewID(), Project: project, Name: name,
		Created: now, Modified: now, Settings: set, Parts: make([]Part, n),
	}
	for i := range info.Parts {
		info.Parts[i].State = Active
	}
	undo, err := s.reserve(info)
	if err != nil {
		return nil, err
	}
	defer undo()
	err = s.addLogs(ctx, logIDs(info, 0), func(logs []partitionLog) error {
		err := s.commit(info, 0)
		if err == nil {
			s.publish(newStream(s, &layout{info: info, logs: logs, active: n}))
		}
		return err
	})
	return info, err
}

// reserve takes the name and the quota of a stream to be made. What it returns
// gives back what was not used.
func (s *Set) reserve(info *Info) (undo func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	free, err := s.takeQuota(info, len(info.Parts))
	if err != nil {
		return nil, err
	}
	if _, ok := s.byName[info.Project][info.Name]; ok { // quotas come first (C-35)
		free()
		return nil, ErrStreamExists
	}
	s.occupy(info.Project, info.Name)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		free()
		if s.byName[info.Project][info.Name] == nil {
			delete(s.byName[info.Project], info.Name)
		}
	}, nil
}

// takeQuota reserves n more partitions for the stream's account, or returns
// ErrQuota. s.mu is held, and must be when free is called.
func (s *Set) takeQuota(info *Info, n int) (free func(), err error) {
	if !s.opts.Quota.On() {
		return func() {}, nil
	}
	a := account{s.opts.Account(info.Project), info.Type}
	if s.usedLocked(a)+n > s.opts.Quotas.partitions(info.Type) && s.opts.exceeded(quota.Partitions, info) {
		return nil, ErrQuota
	}
	s.reserved[a] += n
	return func() { s.reserved[a] -= n }, nil
}

// usedLocked returns how many partitions an account has, or is about to have.
func (s *Set) usedLocked(a account) int {
	used := s.reserved[a]
	for _, st := range s.byID {
		if info, err := st.Info(); err == nil && info.Type == a.streamType && s.opts.Account(info.Project) == a.name {
			used += info.Count(Active)
		}
	}
	return used
}

func logIDs(info *Info, from int) []storage.LogID {
	var ids []storage.LogID
	for id := from; id < len(info.Parts); id++ {
		ids = append(ids, storage.LogID{Stream: info.ID, Partition: int32(id)})
	}
	return ids
}

// addLogs makes logs and lets use commit them to a stream. They are listed as
// garbage before the first is made, and use takes them off the list in the
// transaction that gives them a stream; a crash in between leaves the list.
func (s *Set) addLogs(ctx context.Context, ids []storage.LogID, use func([]partitionLog) error) error {
	if len(ids) == 0 {
		return use(nil)
	}
	err := s.db.Update(func(tx catalog.Tx) error { return listGarbage(tx, ids) })
	if err != nil {
		return err
	}
	logs, err := s.createLogs(ctx, ids)
	if err == nil {
		err = use(logs)
	}
	if err != nil && !errors.Is(err, storage.ErrUnknown) {
		err = errors.Join(err, s.removeLogs(context.WithoutCancel(ctx), ids))
	}
	return err
}

func listGarbage(tx catalog.Tx, ids []storage.LogID) error {
	for _, id := range ids {
		if err := garbage.Put(tx, garbageKey(id), true); err != nil {
			return err
		}
	}
	return nil
}

// atOnce is how many logs are made or removed at the same time; the engine makes
// that durable together.
const atOnce = 32

// parallel calls f for 0 to n-1 and returns an error of one of them, the first by
// number. After an error some calls are left out.
func parallel(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for c := range min(atOnce, n) {
		wg.Go(func() {
			for i := c; i < n; i += atOnce {
				if errs[i] = f(i); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Set) createLogs(ctx context.Context, ids []storage.LogID) ([]partitionLog, error) {
	logs := make([]partitionLog, len(ids))
	err := parallel(len(ids), func(i int) (err error) {
		if err = s.engine.Create(ctx, ids[i]); err == nil {
			logs[i].log, err = s.engine.Open(ctx, ids[i])
		}
		return err
	})
	return logs, err
}

// removeLogs removes logs that are listed as garbage, and then the list.
func (s *Set) removeLogs(ctx context.Context, ids []storage.LogID) error {
	err := parallel(len(ids), func(i int) error {
		if err := s.engine.Remove(ctx, ids[i]); err != nil {
			return fmt.Errorf("remove log %v: %w", ids[i], err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.db.Update(func(tx catalog.Tx) error {
		for _, id := range ids {
			if err := garbage.Delete(tx, garbageKey(id)); err != nil {
				return err
			}
		}
		return nil
	})
}

// commit makes a description durable; the logs from index made on leave the
// garbage list with it.
func (s *Set) commit(info *Info, made int) error {
	return s.db.Update(func(tx catalog.Tx) error {
		for _, id := range logIDs(info, made) {
			if err := garbage.Delete(tx, garbageKey(id)); err != nil {
				return err
			}
		}
		return streams.Put(tx, streamKey(info.Project, info.Name), info)
	})
}

// Delete removes a stream with everything that is kept about it. It is gone and
// its name free when Delete returns, whatever becomes of its files (E5).
func (s *Set) Delete(ctx context.Context, st *Stream) error {
	st.change.Lock()
	defer st.change.Unlock()
	st.uploads.Lock()
	defer st.uploads.Unlock()
	info, err := st.Info()
	if err != nil {
		return err
	}
	ids := logIDs(info, 0)
	err = s.db.Update(func(tx catalog.Tx) error {
		for _, also := range s.opts.OnDelete {
			if err := also(tx, info.ID); err != nil {
				return err
			}
		}
		return errors.Join(streams.Delete(tx, streamKey(info.Project, info.Name)), forgetFilesOf(tx, info.ID), listGarbage(tx, ids))
	})
	if err != nil {
		return err
	}
	st.layout.Store(nil)
	s.mu.Lock()
	delete(s.byID, info.ID)
	delete(s.byName[info.Project], info.Name)
	s.mu.Unlock()
	if err := s.removeLogs(context.WithoutCancel(ctx), ids); err != nil {
		s.opts.Logger.Error("logs of a deleted stream remain until the next start", "stream_id", info.ID, "error", err)
	}
	return nil
}

// A Change is an update of a stream's settings; nil keeps the value (E8).
type Change struct {
	Retention *int // hours
	DataType  *string
	Schema    *string // "" clears it
	AutoScale *bool
	AutoMin   *int
	AutoMax   *int
}

// Update changes settings and returns the new description. ErrStreamNotFound,
// ErrNotRunning, ErrSchema, or a field.Error about the resulting stream.
func (s *Set) Update(st *Stream, c Change) (*Info, error) {
	return s.change(st, func(info *Info) error {
		if err := info.Running(); err != nil {
			return err
		}
		c.apply(&info.Settings)
		info.Modified = s.opts.Now().UnixMilli()
		return info.Check()
	})
}

func (c *Change) apply(set *Settings) {
	assign(&set.Retention, c.Retention)
	assign(&set.DataType, c.DataType)
	if set.DataType == Blob && c.DataType != nil && c.Schema == nil {
		set.Schema = "" // a change to BLOB drops the schema (E8-R2)
	}
	assign(&set.Schema, c.Schema)
	assign(&set.AutoScale, c.AutoScale)
	assign(&set.AutoMin, c.AutoMin)
	assign(&set.AutoMax, c.AutoMax)
}

func assign[T any](field *T, v *T) {
	if v != nil {
		*field = *v
	}
}

// Freeze sets or lifts the administrative state FROZEN (L-3).
func (s *Set) Freeze(st *Stream, frozen bool) error {
	_, err := s.change(st, func(info *Info) error { info.Frozen = frozen; return nil })
	return err
}

// change replaces a stream's description by an edited copy, durably.
func (s *Set) change(st *Stream, edit func(*Info) error) (*Info, error) {
	st.change.Lock()
	defer st.change.Unlock()
	l := st.layout.Load()
	if l == nil {
		return nil, ErrStreamNotFound
	}
	info := l.info.clone()
	if err := edit(info); err != nil {
		return nil, err
	}
	if err := s.commit(info, len(info.Parts)); err != nil {
		return nil, err
	}
	st.layout.Store(&layout{info: info, logs: l.logs, active: info.Count(Active)})
	return info, nil
}

// Names returns the names of all streams in a catalog, with their projects, by id,
// and the logs that they are made of. It is for those who look at a data directory
// without a server.
func Names(db catalog.Store) (names map[string]string, logs []storage.LogID, err error) {
	names = make(map[string]string)
	err = db.View(func(tx catalog.Tx) error {
		return streams.Each(tx, nil, func(_ catalog.Key, info *Info) error {
			names[info.ID] = info.Project + "/" + info.Name
			logs = append(logs, logIDs(info, 0)...)
			return nil
		})
	})
	return names, logs, err
}
