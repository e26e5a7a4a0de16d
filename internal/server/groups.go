package server

import (
	"errors"

	"disd/internal/cursor"
	"disd/internal/cursor/group"
	"disd/internal/partition"
)

// openConsumers opens apps with their checkpoints, and the coordinator of consumer
// groups.
func (s *Server) openConsumers() (err error) {
	apps := cursor.Options{
		Now: s.opts.Now, Logger: s.log,
		MaxApps: s.opts.Quotas.Apps, Quota: s.quota,
		InUse: func(project, app string) bool { return s.groups.HasLiveMembers(project, app) },
	}
	groups := group.Options{
		Now: s.opts.Now, Real: s.opts.Real, Logger: s.log, SessionTimeout: s.conf.Groups.SessionTimeout,
		Generations: group.NewGenerations(s.db),
		MaxMembers:  s.opts.Quotas.Members, Quota: s.quota,
	}
	s.apps = cursor.OpenApps(s.db, apps)
	groups.Topology = topology{s.apps, s.streams}
	s.groups, err = group.New(groups)
	return err
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
