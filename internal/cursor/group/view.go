package group

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// A View is a group as it is shown to those who look at it from outside.
type View struct {
	State      string // STABLE, JOINING while members are gathered, SYNCING while shares are fetched
	Generation int64
	Members    []MemberView // by client id
	Deadline   time.Time    // of the round under way, zero without one
}

// A MemberView is a member of a View.
type MemberView struct {
	Client      string
	LastContact time.Time
	Joined      bool               // in the round under way, or in the group
	Synced      bool               // it fetched its share of the generation
	Generation  int64              // of the share it fetched last
	Assignment  map[string][]int32 // its share, by stream as it spells it
}

// Show describes a group, false if there is none.
func (c *Coordinator) Show(project, app string) (v View, ok bool) {
	ok = c.look(groupID{project, app}, func(g *group) { v = g.view() })
	return v, ok && len(v.Members) > 0
}

func (g *group) view() View {
	v := View{State: string(Stable), Generation: g.generation}
	switch g.phase {
	case collecting:
		v.State, v.Deadline = string(Joining), g.deadline
	case handout:
		v.State = string(Syncing)
	}
	for _, m := range g.members {
		v.Members = append(v.Members, MemberView{
			Client: m.id, LastContact: m.contact, Joined: m.joined || g.phase != collecting,
			Synced: m.synced, Generation: m.generation, Assignment: maps.Clone(m.assignment),
		})
	}
	slices.SortFunc(v.Members, func(a, b MemberView) int { return cmp.Compare(a.Client, b.Client) })
	return v
}

// Expire removes members as if their sessions had timed out (G-9): the one of that
// client id, or all of them, "". It reports false when there are none such.
func (c *Coordinator) Expire(project, app, client string) (found bool, err error) {
	err = c.visit(groupID{project, app}, func(g *group, now time.Time) error {
		for id := range g.members {
			if client == "" || id == client {
				delete(g.members, id)
				found = true
			}
		}
		if found && g.phase != collecting {
			g.start(now, false)
		}
		return g.settle(now)
	})
	return found, err
}

// Rebalance starts a round as if a member had asked for it (G-11), unless one is under
// way. It reports false when there is no group.
func (c *Coordinator) Rebalance(project, app string) (found bool, err error) {
	err = c.visit(groupID{project, app}, func(g *group, now time.Time) error {
		if found = len(g.members) > 0; found && g.phase != collecting {
			g.start(now, true)
		}
		return nil
	})
	return found, err
}

// Forget drops the groups of a project, or all of them, "". Members are told to join
// again (G-18).
func (c *Coordinator) Forget(project string) {
	for _, id := range c.ids() {
		if project == "" || id.project == project {
			c.look(id, func(g *group) {
				clear(g.members)
				g.dropped = true
				g.liveUntil.Store(0)
				c.mu.Lock()
				delete(c.groups, id)
				c.mu.Unlock()
			})
		}
	}
}
