// Package group coordinates consumer groups: it gathers the members of an app,
// shares the partitions of the streams they want among them, and says whose
// checkpoints count. There is no leader among the clients; they poll, and each
// call is answered at once with a state (api.md 9.9 and E43 to E46).
package group

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"disd/internal/clock"
	"disd/internal/field"
	"disd/internal/quota"
)

// Errors of groups. All but ErrQuota are told to commits only (G-2).
var (
	ErrRebalancing = errors.New("consumer group is rebalancing")
	ErrNotMember   = errors.New("not a member of the consumer group")
	ErrGeneration  = errors.New("illegal generation")
	ErrQuota       = errors.New("consumer group is full")
)

// A Stream is what the coordinator must know of a stream.
type Stream struct {
	ID       string
	Name     string
	Readable []int32 // ACTIVE and DELETED partitions, ascending
}

// A Topology knows the apps and streams there are. Its methods are called by any
// number of goroutines, also with a group's lock held, so they may call nothing
// of the Coordinator but HasLiveMembers.
type Topology interface {
	// AppExists reports whether the project has that app.
	AppExists(project, app string) (bool, error)
	// ByName returns the project's stream of that name, or false.
	ByName(project, name string) (Stream, bool)
	// ByID returns the stream with that id, or false when there is none or
	// the project may not read it (G-20).
	ByID(project, id string) (Stream, bool)
	// List returns the project's own streams by name.
	List(project string) []Stream
}

// Generations numbers the rounds of groups. It is called with the group's lock
// held.
type Generations interface {
	// Next returns a number, at least 0, larger than all it returned for that
	// app before, also before a restart (G-7).
	Next(project, app string) (int64, error)
}

// Bounds of times.
const (
	// minSession is the shortest session timeout: old clients are silent for
	// 30 s.
	minSession     = 45 * time.Second
	defaultSession = 60 * time.Second

	// unhurried is how long a round waits for a member that does not say how
	// long it takes: it may notice the round only after 30 s (G-6).
	unhurried = 35 * time.Second
	// maxRebalance bounds what a member may ask the others to wait.
	maxRebalance = 5 * time.Minute

	// syncDelay is what a member of an unfinished round is told to wait (G-8).
	syncDelay = 500 * time.Millisecond

	// calm is how long a member that fetched its share is not told of the next
	// round, which it would learn at its next heartbeat otherwise. A client with
	// two threads asks for its checkpoints in one of them then; if the other one
	// got the next share meanwhile, it would take them for those of that share,
	// find none, and read from wherever groups without checkpoints begin.
	calm = time.Second

	// patternPause is the longest time in which a pattern is not compared with
	// the streams there are (G-13).
	patternPause = 5 * time.Second
)

// Options of a Coordinator. Nil and zero mean the ordinary value.
type Options struct {
	Topology    Topology         // needed
	Generations Generations      // needed
	Now         func() time.Time // default time.Now
	Logger      *slog.Logger     // default slog.Default

	// Real tells real time, by which members are kept calm and patterns are
	// compared, so that groups work while the clock stands still (CTL-43). Default
	// clock.Wall.
	Real func() time.Time

	// SessionTimeout is how long a member may be silent, at least 45 s,
	// default 60 s.
	SessionTimeout time.Duration

	// MaxMembers is the largest number of members of a group, 0 for no
	// limit. Quota decides whether one more is refused; nil never does.
	MaxMembers int
	Quota      *quota.Policy
}

// A Coordinator keeps the groups of a server, in memory: after a restart they
// form again by themselves (G-18). All methods may be called at any time. They
// answer at once and never wait for other members.
type Coordinator struct {
	opts Options

	mu     sync.Mutex // taken after a group's lock, if both are
	groups map[groupID]*group
	held   map[string]int // bytes that the members of a project's groups take
}

// maxHeld bounds what the members of all groups of a project take, in bytes: some
// 30 000 members that want a stream each.
const maxHeld = 64 << 20

// hold takes bytes of a project's share of memory, or gives them back.
func (c *Coordinator) hold(project string, bytes int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.held[project] + bytes
	if bytes > 0 && now > maxHeld {
		return ErrQuota
	}
	if c.held[project] = now; now == 0 {
		delete(c.held, project)
	}
	return nil
}

type groupID struct{ project, app string }

// New returns a coordinator without groups. A session timeout below the minimum
// is a field.Error.
func New(opts Options) (*Coordinator, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Real == nil {
		opts.Real = clock.Wall
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.SessionTimeout == 0 {
		opts.SessionTimeout = defaultSession
	}
	if opts.SessionTimeout < minSession {
		return nil, &field.Error{Field: "session timeout", Reason: fmt.Sprintf("below %v", minSession)}
	}
	return &Coordinator{opts: opts, groups: make(map[groupID]*group), held: make(map[string]int)}, nil
}

// Join makes a client a member, or renews what it wants, and starts a round
// unless one is under way (E43). ErrQuota, a field.Error, or an error of
// the topology or of the generations.
func (c *Coordinator) Join(project, app string, r JoinRequest) (JoinReply, error) {
	if err := r.check(); err != nil {
		return JoinReply{}, err
	}
	if ok, err := c.opts.Topology.AppExists(project, app); err != nil || !ok {
		return JoinReply{State: JoinGroupNotExist}, err
	}
	id := groupID{project, app}
	sub, err := subscribe(c.opts.Topology, project, r)
	if err != nil {
		c.opts.Logger.Info("consumer cannot subscribe", "app", app, "client", r.ClientID, "error", err)
		return JoinReply{State: JoinErrSubscription}, c.refuse(id, r.ClientID)
	}
	reply := JoinReply{State: JoinOK, Subscription: sub.spellings()}
	err = c.enter(id, func(g *group, now time.Time) error {
		if g.members[r.ClientID] == nil && g.full() {
			return ErrQuota
		}
		err := g.join(now, r, sub)
		reply.SyncDelay = g.syncDelay(now)
		return err
	})
	return reply, err
}

// refuse notes that a client asked for what cannot be. That harms the group
// only if it is waiting for this client.
func (c *Coordinator) refuse(id groupID, client string) error {
	return c.visit(id, func(g *group, now time.Time) error {
		m := g.members[client]
		if m == nil {
			return nil
		}
		m.contact = now
		if g.phase == collecting && !m.joined {
			g.remove(client)
		}
		return g.settle(now)
	})
}

// Sync hands a member its share of the partitions (E44).
func (c *Coordinator) Sync(project, app, client string) (SyncReply, error) {
	if ok, err := c.opts.Topology.AppExists(project, app); err != nil || !ok {
		return SyncReply{State: SyncGroupNotExist}, err
	}
	reply := SyncReply{State: SyncRejoin}
	err := c.visit(groupID{project, app}, func(g *group, now time.Time) error {
		reply = g.sync(now, client)
		return nil
	})
	return reply, err
}

// StreamIDs returns the ids by which a member asked for streams, nil if it is
// no member.
func (c *Coordinator) StreamIDs(project, app, client string) (ids []string, err error) {
	err = c.visit(groupID{project, app}, func(g *group, now time.Time) error {
		if m := g.members[client]; m != nil {
			ids = m.sub.ids
		}
		return nil
	})
	return ids, err
}

// Heartbeat tells a client what to do (E45). It never makes a member (G-10).
func (c *Coordinator) Heartbeat(project, app, client string, generation int64) (HeartbeatState, error) {
	if ok, err := c.opts.Topology.AppExists(project, app); err != nil || !ok {
		return HeartbeatGroupNotExist, err
	}
	state := Joining
	err := c.visit(groupID{project, app}, func(g *group, now time.Time) error {
		state = g.heartbeat(now, client, generation)
		return nil
	})
	return state, err
}

// Leave ends a membership (E46). Leaving what one is not in is no error.
func (c *Coordinator) Leave(project, app, client string) error {
	return c.visit(groupID{project, app}, func(g *group, now time.Time) error {
		return g.leave(now, client)
	})
}

// CheckCommit says whether a member may commit a checkpoint now (G-16). It is
// not asked about commits that name no client (G-17). ErrNotMember,
// ErrRebalancing, ErrGeneration.
func (c *Coordinator) CheckCommit(project, app, client string, generation int64) error {
	refusal := ErrNotMember
	err := c.visit(groupID{project, app}, func(g *group, now time.Time) error {
		refusal = g.checkCommit(now, client, generation)
		return nil
	})
	return errors.Join(err, refusal)
}

// HasLiveMembers reports whether an app is in use (G-19). It waits for nothing,
// so it may be called within a transaction that Generations need.
func (c *Coordinator) HasLiveMembers(project, app string) bool {
	c.mu.Lock()
	g := c.groups[groupID{project, app}]
	c.mu.Unlock()
	return g != nil && c.opts.Now().UnixNano() < g.liveUntil.Load()
}

// Step does what is due: it removes silent members, ends rounds at their deadline,
// and notices changed streams. Calls of members do the same for their group, so how
// often Step is called decides only how soon a group without calls moves on; once a
// second is ordinary. It returns when something is next due by the clock, zero when
// nothing is.
func (c *Coordinator) Step() (next time.Time) {
	for _, id := range c.ids() {
		err := c.visit(id, func(g *group, _ time.Time) error {
			for _, at := range g.dues() {
				next = clock.Earlier(next, at)
			}
			return nil
		})
		if err != nil {
			c.opts.Logger.Error("consumer group cannot go on", "app", id.app, "error", err)
		}
	}
	return next
}

// Due returns when members expire by themselves and rounds reach their deadline.
func (c *Coordinator) Due() (due []clock.Due) {
	for _, id := range c.ids() {
		c.look(id, func(g *group) {
			for what, at := range g.dues() {
				due = append(due, clock.Due{At: at, What: what, Project: id.project, Name: id.app})
			}
		})
	}
	return due
}

func (c *Coordinator) ids() []groupID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.groups))
}

// look calls fn with a group as it is, locked, if it exists.
func (c *Coordinator) look(id groupID, fn func(g *group)) bool {
	c.mu.Lock()
	g := c.groups[id]
	c.mu.Unlock()
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.dropped {
		fn(g)
	}
	return !g.dropped
}

// visit enters a group if it exists.
func (c *Coordinator) visit(id groupID, fn func(g *group, now time.Time) error) error {
	c.mu.Lock()
	exists := c.groups[id] != nil
	c.mu.Unlock()
	if !exists {
		return nil
	}
	return c.enter(id, fn)
}

// enter calls fn with a group, brought up to date and locked. When that fails,
// for want of a generation, the group waits for one and fn is called all the
// same: members must not expire meanwhile.
func (c *Coordinator) enter(id groupID, fn func(g *group, now time.Time) error) error {
	g := c.open(id)
	defer c.close(g)
	now := c.opts.Now()
	err := g.advance(now)
	return errors.Join(err, fn(g, now))
}

// open returns a group, made if necessary, locked.
func (c *Coordinator) open(id groupID) *group {
	for {
		c.mu.Lock()
		g := c.groups[id]
		if g == nil {
			g = &group{groupID: id, c: c, members: make(map[string]*member)}
			c.groups[id] = g
		}
		c.mu.Unlock()
		g.mu.Lock()
		if !g.dropped {
			return g
		}
		g.mu.Unlock()
	}
}

// close unlocks a group, and drops it when nobody is left.
func (c *Coordinator) close(g *group) {
	g.liveUntil.Store(g.lastContact().Add(c.opts.SessionTimeout).UnixNano())
	if len(g.members) == 0 {
		g.dropped = true
		c.mu.Lock()
		delete(c.groups, g.groupID)
		c.mu.Unlock()
	}
	g.mu.Unlock()
}
