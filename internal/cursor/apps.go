package cursor

import (
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"disd/internal/quota"
	"disd/internal/storage"
	"disd/internal/storage/catalog"
)

// Errors of apps and checkpoints.
var (
	ErrAppExists    = errors.New("app exists")
	ErrAppNotFound  = errors.New("app does not exist")
	ErrAppInUse     = errors.New("app is in use")
	ErrAppQuota     = errors.New("app quota exceeded")
	ErrNoCheckpoint = errors.New("app has no such checkpoint")
)

// An App is the name under which a program keeps its checkpoints.
type App struct {
	Name    string `json:"name"`
	ID      string `json:"id"`
	Created int64  `json:"created"` // ms
}

// A Checkpoint is the position an app recorded in a partition. What the number
// means, last read or next to read, is the app's business (L-23).
type Checkpoint struct {
	Seq      storage.Seq `json:"seq"`
	Metadata string      `json:"metadata,omitempty"`
}

var (
	apps = catalog.NewTable[App]("apps") // appKey

	// checkpoints begin with the stream, whose deletion takes them along.
	checkpoints = catalog.NewTable[Checkpoint]("checkpoints") // Mark.key

	// appStreams lists the streams on which an app has checkpoints.
	appStreams = catalog.NewTable[bool]("app_streams") // appStreamKey
)

func appKey(project, name string) catalog.Key { return catalog.Key{project, name} }

func appStreamKey(project, app, stream string) catalog.Key { return catalog.Key{project, app, stream} }

// marksKey is what the checkpoints of an app on a stream have in common.
func marksKey(stream, project, app string) catalog.Key { return catalog.Key{stream, project, app} }

// Options of Apps. Nil means the ordinary value.
type Options struct {
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default slog.Default

	// MaxApps is the largest number of apps of a project, 0 for no
	// limit. Quota decides whether one more is refused; nil never does.
	MaxApps int
	Quota   *quota.Policy

	// InUse tells of uses of an app beside its checkpoints, nil for none.
	InUse func(project, app string) bool
}

// Apps keeps apps and checkpoints. All methods may be called at any time.
type Apps struct {
	db   catalog.Store
	opts Options
}

// OpenApps returns the apps and checkpoints in a catalog.
func OpenApps(db catalog.Store, opts Options) *Apps {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	return &Apps{db, opts}
}

// Create makes an app (E11). ErrAppExists, ErrAppQuota.
func (a *Apps) Create(project, name string) error {
	app := App{Name: name, ID: catalog.NewID(), Created: a.opts.Now().UnixMilli()}
	return a.db.Update(func(tx catalog.Tx) error {
		if full, err := a.full(tx, project); err != nil || full { // quotas come first (C-35)
			return errors.Join(err, ErrAppQuota)
		}
		if _, ok, err := apps.Get(tx, appKey(project, name)); err != nil || ok {
			return errors.Join(err, ErrAppExists)
		}
		return apps.Put(tx, appKey(project, name), app)
	})
}

// mostApps bounds what a project can leave in the catalog, whatever the quota.
const mostApps = 100_000

func (a *Apps) full(tx catalog.Tx, project string) (bool, error) {
	keys, err := apps.Keys(tx, catalog.Key{project})
	if err != nil || len(keys) >= mostApps {
		return err == nil, err
	}
	if a.opts.MaxApps == 0 || len(keys) < a.opts.MaxApps {
		return false, nil
	}
	return a.opts.Quota.Exceeded(quota.Apps, project, ""), nil
}

// Get returns an app and the ids of the streams on which it has checkpoints
// (E14). ErrAppNotFound.
func (a *Apps) Get(project, name string) (app App, streams []string, err error) {
	err = a.db.View(func(tx catalog.Tx) error {
		app, err = mustExist(tx, project, name)
		if err == nil {
			streams, err = streamsOf(tx, project, name)
		}
		return err
	})
	return app, streams, err
}

func mustExist(tx catalog.Tx, project, name string) (App, error) {
	app, ok, err := apps.Get(tx, appKey(project, name))
	if err == nil && !ok {
		err = ErrAppNotFound
	}
	return app, err
}

func streamsOf(tx catalog.Tx, project, app string) (ids []string, err error) {
	err = appStreams.Each(tx, appKey(project, app), func(key catalog.Key, _ bool) error {
		ids = append(ids, key[2])
		return nil
	})
	return ids, err
}

// A Listed is an app with the ids of the streams on which it has checkpoints.
type Listed struct {
	App
	Streams []string
}

// List returns the apps of a project in byte order of their names (E12); with a
// stream id only those that have a checkpoint on it.
func (a *Apps) List(project, streamID string) (list []Listed, err error) {
	err = a.db.View(func(tx catalog.Tx) error {
		return apps.Each(tx, catalog.Key{project}, func(_ catalog.Key, app App) error {
			streams, err := streamsOf(tx, project, app.Name)
			if err == nil && (streamID == "" || slices.Contains(streams, streamID)) {
				list = append(list, Listed{app, streams})
			}
			return err
		})
	})
	return list, err
}

// Delete removes an app (E13). ErrAppNotFound; ErrAppInUse while it has a
// checkpoint on an existing stream or is otherwise in use.
func (a *Apps) Delete(project, name string) error {
	return a.db.Update(func(tx catalog.Tx) error {
		if _, err := mustExist(tx, project, name); err != nil {
			return err
		}
		streams, err := streamsOf(tx, project, name)
		if err != nil {
			return err
		}
		if len(streams) > 0 || a.opts.InUse != nil && a.opts.InUse(project, name) {
			return ErrAppInUse
		}
		return apps.Delete(tx, appKey(project, name))
	})
}

// A Mark names a checkpoint.
type Mark struct {
	Project   string // of the app
	App       string
	StreamID  string
	Partition int32
}

// key ends with the partition in ten digits.
func (m Mark) key() catalog.Key {
	return append(marksKey(m.StreamID, m.Project, m.App), catalog.Digits(m.Partition, 10))
}

// A stream is what checkpoints lie on. Exists is asked within the transaction
// that adds one, so that none outlives its stream.
type stream interface {
	Exists(tx catalog.Tx) error
}

// Commit records a checkpoint, durably, in place of an earlier one (E16). The
// number is checked against the log. ErrAppNotFound, a RangeError, or the error
// of st.
func (a *Apps) Commit(m Mark, c Checkpoint, st stream, log source) error {
	if oldest, next := log.Bounds(); c.Seq < oldest || c.Seq > next {
		return errors.Join(a.Exists(m.Project, m.App), &RangeError{c.Seq, oldest, next})
	}
	return a.db.Update(func(tx catalog.Tx) error {
		if _, err := mustExist(tx, m.Project, m.App); err != nil {
			return err
		}
		if err := st.Exists(tx); err != nil {
			return err
		}
		return errors.Join(
			checkpoints.Put(tx, m.key(), c),
			appStreams.Put(tx, appStreamKey(m.Project, m.App, m.StreamID), true))
	})
}

// SetBack sets checkpoints back, durably, that lie at or beyond the end of a
// partition whose newest records may have been lost: to the last record that is
// there, since an app may mean by the number what it read last. One on a partition
// that has none left is removed. bounds returns the oldest and the next number,
// false for a partition that lost nothing.
func (a *Apps) SetBack(bounds func(streamID string, partition int32) (oldest, next storage.Seq, ok bool)) error {
	type change struct {
		key      catalog.Key
		from, to Checkpoint
		remove   bool
	}
	var changes []change
	err := a.db.View(func(tx catalog.Tx) error {
		return checkpoints.Each(tx, nil, func(key catalog.Key, c Checkpoint) error {
			id, err := strconv.ParseInt(key[3], 10, 32)
			if err != nil {
				return err
			}
			oldest, next, ok := bounds(key[0], int32(id))
			if !ok || c.Seq < next || c.Seq == oldest && next > 0 {
				return nil
			}
			to := c
			to.Seq = max(next-1, oldest)
			changes = append(changes, change{key, c, to, next == 0})
			return nil
		})
	})
	if err != nil || len(changes) == 0 {
		return err
	}
	return a.db.Update(func(tx catalog.Tx) error {
		for _, c := range changes {
			a.opts.Logger.Warn("a checkpoint is set back, records were lost unsynced", "stream_id", c.key[0],
				"project", c.key[1], "app", c.key[2], "partition", c.key[3],
				"from", int64(c.from.Seq), "to", int64(c.to.Seq), "removed", c.remove)
			err := checkpoints.Put(tx, c.key, c.to)
			if c.remove {
				err = checkpoints.Delete(tx, c.key)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Exists returns ErrAppNotFound when there is no such app.
func (a *Apps) Exists(project, name string) error {
	return a.db.View(func(tx catalog.Tx) error {
		_, err := mustExist(tx, project, name)
		return err
	})
}

// Checkpoint returns a checkpoint, or false when there is none, also when the
// app does not exist (E17-R1).
func (a *Apps) Checkpoint(m Mark) (c Checkpoint, ok bool, err error) {
	err = a.db.View(func(tx catalog.Tx) error {
		c, ok, err = checkpoints.Get(tx, m.key())
		return err
	})
	return c, ok, err
}

// Checkpoints returns an app's checkpoints on a stream by partition (E15).
// ErrAppNotFound.
func (a *Apps) Checkpoints(project, app, streamID string) (map[int32]Checkpoint, error) {
	byPartition := make(map[int32]Checkpoint)
	err := a.db.View(func(tx catalog.Tx) error {
		if _, err := mustExist(tx, project, app); err != nil {
			return err
		}
		return checkpoints.Each(tx, marksKey(streamID, project, app), func(key catalog.Key, c Checkpoint) error {
			id, err := strconv.ParseInt(key[3], 10, 32)
			byPartition[int32(id)] = c
			return err
		})
	})
	return byPartition, err
}

// DeleteCheckpoint removes one checkpoint (E18). ErrAppNotFound, ErrNoCheckpoint.
func (a *Apps) DeleteCheckpoint(m Mark) error {
	return a.deleteCheckpoints(m.Project, m.App, m.StreamID, m.key())
}

// DeleteCheckpoints removes all checkpoints of an app on a stream (E18).
// ErrAppNotFound, ErrNoCheckpoint.
func (a *Apps) DeleteCheckpoints(project, app, streamID string) error {
	return a.deleteCheckpoints(project, app, streamID, marksKey(streamID, project, app))
}

func (a *Apps) deleteCheckpoints(project, app, streamID string, which catalog.Key) error {
	return a.db.Update(func(tx catalog.Tx) error {
		if _, err := mustExist(tx, project, app); err != nil {
			return err
		}
		n, err := checkpoints.Clear(tx, which)
		if err == nil && n == 0 {
			err = ErrNoCheckpoint
		}
		if err != nil {
			return err
		}
		remain, err := checkpoints.Any(tx, marksKey(streamID, project, app))
		if err != nil || remain {
			return err
		}
		return appStreams.Delete(tx, appStreamKey(project, app, streamID))
	})
}

// ForgetStream removes all checkpoints on a stream, within the transaction that
// deletes it (E5-R5).
func ForgetStream(tx catalog.Tx, streamID string) error {
	err := checkpoints.Each(tx, catalog.Key{streamID}, func(key catalog.Key, _ Checkpoint) error {
		return appStreams.Delete(tx, appStreamKey(key[1], key[2], streamID))
	})
	if err != nil {
		return err
	}
	_, err = checkpoints.Clear(tx, catalog.Key{streamID})
	return err
}

// Projects returns the projects that have apps, in order.
func (a *Apps) Projects() (projects []string, err error) {
	err = a.db.View(func(tx catalog.Tx) error {
		keys, err := apps.Keys(tx, nil)
		for _, key := range keys {
			projects = append(projects, key[0])
		}
		return err
	})
	return slices.Compact(projects), err
}

// Count returns how many apps a project has, or all of them together, "".
func (a *Apps) Count(project string) (n int, err error) {
	var prefix catalog.Key
	if project != "" {
		prefix = catalog.Key{project}
	}
	err = a.db.View(func(tx catalog.Tx) error {
		keys, err := apps.Keys(tx, prefix)
		n = len(keys)
		return err
	})
	return n, err
}

// Clear removes all apps of a project with their checkpoints, whether they are in use
// or not.
func (a *Apps) Clear(project string) error {
	return a.db.Update(func(tx catalog.Tx) error { return remove(tx, catalog.Key{project}) })
}

// Remove removes an app with its checkpoints, whether it is in use or not.
func (a *Apps) Remove(project, name string) error {
	return a.db.Update(func(tx catalog.Tx) error { return remove(tx, catalog.Key{project, name}) })
}

// remove removes the apps whose keys begin with a prefix, and their checkpoints.
func remove(tx catalog.Tx, prefix catalog.Key) error {
	marks, err := appStreams.Keys(tx, prefix)
	for _, key := range marks {
		_, clearErr := checkpoints.Clear(tx, catalog.Key{key[2], key[0], key[1]})
		err = errors.Join(err, clearErr)
	}
	_, marksErr := appStreams.Clear(tx, prefix)
	_, appsErr := apps.Clear(tx, prefix)
	return errors.Join(err, marksErr, appsErr)
}
