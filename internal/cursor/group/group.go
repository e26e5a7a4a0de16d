package group

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"disd/internal/clock"
	"disd/internal/quota"
)

// A phase is what a group is doing. An empty group does not exist.
type phase int

const (
	stable     phase = iota // everyone has its share
	collecting              // a round: members are being gathered
	handout                 // shares are fixed, not all of them fetched
)

// A group is the members of one app. What is not said to be otherwise is
// guarded by mu.
type group struct {
	groupID
	c       *Coordinator
	mu      sync.Mutex
	dropped bool // no longer in the coordinator's map

	// liveUntil is when the last member expires, in ns since 1970. It is
	// written with mu held and read without: whoever holds mu may be waiting
	// for a transaction that wants to know.
	liveUntil atomic.Int64

	members map[string]*member
	phase   phase

	// Of the round, while collecting.
	started  time.Time
	deadline time.Time
	renew    bool // subscriptions are out of date, so everyone must join again

	// Of the last round that ended. They outlast it, so that the next one can
	// leave partitions where they are.
	generation int64
	parts      map[string][]int32 // of the wanted streams, by id; nil for one that is gone
	owners     map[part]string    // client ids

	compared time.Time // real time when patterns were last compared with the streams
}

// A member is a client in a group.
type member struct {
	id         string
	contact    time.Time // of its last call
	sub        *subscription
	bytes      int // of its project's share of memory
	accelerate bool
	patience   time.Duration // how long a round waits for it
	joined     bool          // in the round under way

	synced     bool               // it fetched its share
	due        time.Time          // while not synced: when it is given up
	fetched    time.Time          // real time when it last fetched its share
	stale      bool               // not synced, and what it had may be another's now
	generation int64              // of the share it fetched last
	assignment map[string][]int32 // its share, by stream as it spells it
}

// advance brings a group up to date.
func (g *group) advance(now time.Time) error {
	if g.expire(now) && g.phase != collecting {
		g.start(now, false)
	}
	if g.phase != collecting {
		if err := g.compare(now); err != nil {
			return err
		}
	}
	return g.settle(now)
}

// expire removes members that are silent, or do not fetch their share (G-9),
// and reports whether there were any.
func (g *group) expire(now time.Time) bool {
	before := len(g.members)
	for id, m := range g.members {
		silent := now.Sub(m.contact) >= g.c.opts.SessionTimeout
		idle := g.phase == handout && !m.synced && !now.Before(m.due)
		if silent || idle {
			g.c.opts.Logger.Info("consumer expired", "app", g.app, "client", id, "silent", silent)
			g.remove(id)
		}
	}
	return len(g.members) < before
}

// dues returns when members expire ("session") and the round reaches its deadline
// ("round"), the earliest of each.
func (g *group) dues() map[string]time.Time {
	due := make(map[string]time.Time)
	if g.phase == collecting && len(g.members) > 0 {
		due["round"] = g.deadline
	}
	for _, m := range g.members {
		at := m.contact.Add(g.c.opts.SessionTimeout)
		if g.phase == handout && !m.synced {
			at = clock.Earlier(at, m.due)
		}
		due["session"] = clock.Earlier(due["session"], at)
	}
	return due
}

func (g *group) lastContact() (last time.Time) {
	for _, m := range g.members {
		if m.contact.After(last) {
			last = m.contact
		}
	}
	return last
}

// start begins a round. With renew, subscriptions are no longer what the
// members were told.
func (g *group) start(now time.Time, renew bool) {
	g.phase, g.started, g.deadline, g.renew = collecting, now, now, renew
	for _, m := range g.members {
		m.joined = false
		g.waitFor(m)
	}
}

// waitFor moves the deadline to where the member needs it (G-6).
func (g *group) waitFor(m *member) {
	if t := g.started.Add(m.patience); t.After(g.deadline) {
		g.deadline = t
	}
}

// join makes a member, or renews it, and starts a round or takes part in the
// one under way (G-4).
func (g *group) join(now time.Time, r JoinRequest, sub *subscription) error {
	m := g.members[r.ClientID]
	if m == nil {
		m = &member{id: strings.Clone(r.ClientID), generation: NoGeneration}
	}
	bytes := memberBytes + len(m.id) + sub.bytes()
	if err := g.c.hold(g.project, bytes-m.bytes); err != nil {
		return err
	}
	m.bytes = bytes
	g.members[m.id] = m
	m.contact, m.sub, m.accelerate, m.patience = now, sub, r.Accelerate, patience(r.RebalanceTimeout)
	if g.phase != collecting {
		g.start(now, false)
	}
	if !m.joined { // a repeated join must not extend the round
		m.joined = true
		g.waitFor(m)
	}
	return g.settle(now)
}

// remove takes a member out of the group.
func (g *group) remove(client string) {
	if m := g.members[client]; m != nil {
		delete(g.members, client)
		_ = g.c.hold(g.project, -m.bytes) // giving back is never refused
	}
}

func patience(asked time.Duration) time.Duration {
	if asked <= 0 {
		return unhurried
	}
	return min(asked, maxRebalance)
}

func (g *group) full() bool {
	opts := &g.c.opts
	if opts.MaxMembers == 0 || len(g.members) < opts.MaxMembers {
		return false
	}
	return opts.Quota.Exceeded(quota.Members, g.project, g.app)
}

// syncDelay is how long a member that has joined waits before it asks for its
// share (G-8).
func (g *group) syncDelay(now time.Time) time.Duration {
	if g.phase != collecting {
		return 0
	}
	return max(0, min(syncDelay, g.deadline.Sub(now)))
}

// settle ends the round when everyone joined or at its deadline.
func (g *group) settle(now time.Time) error {
	if g.phase != collecting {
		return nil
	}
	if !now.Before(g.deadline) {
		for id, m := range g.members {
			if !m.joined {
				g.c.opts.Logger.Info("consumer did not join in time", "app", g.app, "client", id)
				g.remove(id)
			}
		}
	}
	if len(g.members) == 0 || !g.gathered() {
		return nil
	}
	return g.finish(now)
}

// gathered reports whether a round need not wait. Members that prefer speed do
// not wait for each other: the first to join brings about new shares for all
// (G-6), unless the others must be told a new subscription.
func (g *group) gathered() bool {
	all, some, hurry := true, false, !g.renew
	for _, m := range g.members {
		all = all && m.joined
		some = some || m.joined
		hurry = hurry && m.accelerate
	}
	return all || some && hurry
}

// finish ends the round with a new generation and new shares. Without a
// generation it goes on collecting.
func (g *group) finish(now time.Time) error {
	generation, err := g.c.opts.Generations.Next(g.project, g.app)
	if err != nil {
		return err
	}
	g.parts = g.readable()
	g.deal(now, generation, assign(g.wants(), g.parts, g.owners))
	for _, m := range g.members {
		m.stale, m.due = true, now.Add(g.c.opts.SessionTimeout)
	}
	g.c.opts.Logger.Debug("consumer group balanced", "app", g.app, "generation", generation, "members", len(g.members))
	return nil
}

// readable looks up the partitions of all wanted streams.
func (g *group) readable() map[string][]int32 {
	parts := make(map[string][]int32)
	for _, m := range g.members {
		for _, w := range m.sub.streams {
			if _, ok := parts[w.id]; !ok {
				st, _ := g.c.opts.Topology.ByID(g.project, w.id)
				parts[w.id] = st.Readable
			}
		}
	}
	return parts
}

// wants returns who wants which stream.
func (g *group) wants() map[string][]string {
	wants := make(map[string][]string)
	for id, m := range g.members {
		for _, w := range m.sub.streams {
			wants[w.id] = append(wants[w.id], id)
		}
	}
	return wants
}

// deal hands out shares under a new generation. Who has not fetched the ones
// before does not get more time for these.
func (g *group) deal(now time.Time, generation int64, sh *shares) {
	g.phase, g.generation, g.owners = handout, generation, sh.owners
	for _, m := range g.members {
		if m.synced {
			m.synced, m.due = false, now.Add(g.c.opts.SessionTimeout)
		}
		m.assignment = make(map[string][]int32)
		for _, w := range m.sub.streams {
			if held := sh.held[hold{m.id, w.id}]; len(held) > 0 {
				slices.Sort(held)
				m.assignment[w.spelling] = held
			}
		}
	}
}

// compare looks whether the streams are still those that were shared (G-13,
// G-15). A stream that is gone, or a pattern that means other streams, needs a
// round, because members learn their subscription when they join. Partitions
// that come or go need one only if others have to move; else new shares are
// handed out at once, and nobody can lose one to a member that has it already.
func (g *group) compare(now time.Time) error {
	changed := false
	for id, parts := range g.parts {
		st, ok := g.c.opts.Topology.ByID(g.project, id)
		if !ok {
			g.start(now, true)
			return nil
		}
		changed = changed || !slices.Equal(st.Readable, parts)
	}
	if !g.patternsCurrent() {
		g.start(now, true)
		return nil
	}
	if !changed {
		return nil
	}
	return g.extend(now)
}

func (g *group) patternsCurrent() bool {
	now := g.c.opts.Real()
	if now.Sub(g.compared) < patternPause {
		return true
	}
	g.compared = now
	for _, m := range g.members {
		if !m.sub.current(g.c.opts.Topology, g.project) {
			return false
		}
	}
	return true
}

// extend shares the partitions there are now, without a round if none of them
// moves between members.
func (g *group) extend(now time.Time) error {
	parts := g.readable()
	sh := assign(g.wants(), parts, g.owners)
	for p, owner := range g.owners {
		other, ok := sh.owners[p]
		if ok && other != owner {
			g.start(now, false)
			return nil
		}
		if !ok { // gone; should it come back, its owner may not have noticed
			sh.owners[p] = owner
		}
	}
	generation, err := g.c.opts.Generations.Next(g.project, g.app)
	if err != nil {
		return err
	}
	g.parts = parts
	g.deal(now, generation, sh)
	return nil
}

func (g *group) sync(now time.Time, client string) SyncReply {
	m := g.members[client]
	if m == nil {
		return SyncReply{State: SyncRejoin}
	}
	m.contact = now
	if g.phase == collecting {
		if m.joined {
			return SyncReply{State: SyncWaiting}
		}
		return SyncReply{State: SyncRejoin}
	}
	m.synced, m.stale, m.generation, m.fetched = true, false, g.generation, g.c.opts.Real()
	if g.allSynced() {
		g.phase = stable
	}
	return SyncReply{State: SyncOK, Generation: g.generation, Assignment: m.assignment}
}

func (g *group) allSynced() bool {
	for _, m := range g.members {
		if !m.synced {
			return false
		}
	}
	return true
}

func (g *group) heartbeat(now time.Time, client string, generation int64) HeartbeatState {
	m := g.members[client]
	if m == nil {
		return Joining
	}
	m.contact = now
	switch {
	case g.phase == collecting && m.joined:
		return Syncing
	case !m.stale && generation == m.generation && g.c.opts.Real().Sub(m.fetched) < calm:
		return Stable
	case g.phase == collecting:
		return Joining
	case !m.synced:
		return Syncing
	case g.phase == stable && generation != g.generation:
		return Joining
	}
	return Stable
}

func (g *group) leave(now time.Time, client string) error {
	if g.members[client] == nil {
		return nil
	}
	g.remove(client)
	if g.phase != collecting {
		g.start(now, false)
	}
	return g.settle(now)
}

// checkCommit accepts the generation a member was last given, until what it had
// then may be another's. Its clients commit between the news of a round and
// their join (G-16).
func (g *group) checkCommit(now time.Time, client string, generation int64) error {
	m := g.members[client]
	if m == nil {
		return ErrNotMember
	}
	m.contact = now
	switch {
	case g.phase == handout && m.stale:
		return ErrRebalancing
	case generation != m.generation || generation == NoGeneration:
		return ErrGeneration
	}
	return nil
}
