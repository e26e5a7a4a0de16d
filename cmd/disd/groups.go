package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"disd/internal/cursor"
	"disd/internal/cursor/group"
	"disd/internal/partition"
	"disd/internal/quota"
	"disd/internal/storage/catalog"
)

// openGroups opens the coordinator of consumer groups.
func openGroups(c *Config, logger *slog.Logger, db catalog.Store, apps *cursor.Apps, streams *partition.Set, ledger *quota.Ledger) (*group.Coordinator, error) {
	opts := group.Options{
		Topology: topology{apps, streams}, Generations: generations{db}, Logger: logger, SessionTimeout: c.Groups.SessionTimeout,
	}
	if c.Quota.Mode != string(partition.Off) {
		opts.MaxMembers = 1000
		opts.Exceeded = func(project, app string) bool {
			ledger.Note("members", project, app)
			return c.Quota.Mode == string(partition.Enforce)
		}
	}
	return group.New(opts)
}

// tickGroups lets groups move on that nobody calls.
func tickGroups(ctx context.Context, groups *group.Coordinator) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			groups.Tick()
		}
	}
}

var generationTable = catalog.NewTable[int64]("generations") // project, app

// generations numbers the rounds of groups, durably.
type generations struct{ db catalog.Store }

func (g generations) Next(project, app string) (next int64, err error) {
	key := catalog.Key{project, app}
	err = g.db.Update(func(tx catalog.Tx) error {
		last, _, err := generationTable.Get(tx, key)
		if err != nil {
			return err
		}
		next = last + 1
		return generationTable.Put(tx, key, next)
	})
	return next, err
}

// topology tells groups about apps and streams.
type topology struct {
	apps    *cursor.Apps
	streams *partition.Set
}

func (t topology) AppExists(project, app string) (bool, error) {
	err := t.apps.Exists(project, app)
	if errors.Is(err, cursor.ErrAppNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (t topology) ByName(project, name string) (group.Stream, bool) {
	st, err := t.streams.Get(project, name)
	return describe(st, err)
}

// ByID does not look at the project: who may read the stream was asked when the
// member joined.
func (t topology) ByID(_, id string) (group.Stream, bool) {
	st, err := t.streams.GetID(id)
	return describe(st, err)
}

func (t topology) List(project string) []group.Stream {
	var out []group.Stream
	for _, info := range t.streams.List(project) {
		out = append(out, groupStream(info))
	}
	return out
}

func describe(st *partition.Stream, err error) (group.Stream, bool) {
	if err != nil {
		return group.Stream{}, false
	}
	info, err := st.Info()
	if err != nil {
		return group.Stream{}, false
	}
	return groupStream(info), true
}

func groupStream(info *partition.Info) group.Stream {
	s := group.Stream{ID: info.ID, Name: info.Name}
	for id, p := range info.Parts {
		if p.State != partition.Expired {
			s.Readable = append(s.Readable, int32(id))
		}
	}
	return s
}
