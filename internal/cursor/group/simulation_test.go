package group

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The simulation runs clients as published ones behave, on one goroutine and
// under a clock of its own: members come, leave and die, answers are lost,
// streams and partitions change, the server restarts. While that goes on, what
// a member was promised must hold; when it ends, the group must find its peace.
type simulation struct {
	*testing.T
	*world
	rand    *rand.Rand
	c       *Coordinator
	hasty   bool // members prefer speed
	wild    bool // answers get lost, and clients have two threads without a lock
	queue   []*thread
	clients []*client
	order   int
}

// A thread is a client's thread, which gives up control by sleeping.
type thread struct {
	next  func() (time.Duration, bool)
	stop  func()
	wake  time.Time
	order int
}

// spawn starts a thread.
func (s *simulation) spawn(run func(sleep func(time.Duration))) {
	type ended struct{}
	seq := iter.Seq[time.Duration](func(yield func(time.Duration) bool) {
		defer func() {
			if r := recover(); r != nil && r != (any)(ended{}) {
				panic(r)
			}
		}()
		run(func(d time.Duration) {
			if !yield(d) {
				panic(ended{})
			}
		})
	})
	th := &thread{wake: s.now(), order: s.order}
	s.order++
	th.next, th.stop = iter.Pull(seq)
	s.queue = append(s.queue, th)
}

// run lets all threads live for a while.
func (s *simulation) run(d time.Duration) {
	end := s.now().Add(d)
	for {
		th := slices.MinFunc(s.queue, func(a, b *thread) int {
			return cmp.Or(a.wake.Compare(b.wake), cmp.Compare(a.order, b.order))
		})
		if th.wake.After(end) {
			s.advance(end.Sub(s.now()))
			return
		}
		s.advance(th.wake.Sub(s.now()))
		pause, alive := th.next()
		if !alive {
			s.queue = slices.DeleteFunc(s.queue, func(other *thread) bool { return other == th })
			continue
		}
		th.wake = s.now().Add(pause)
	}
}

// The states of a client (clients keep more of them, but tell nobody).
type clientState int

const (
	initial clientState = iota
	joining
	syncing
	settled
)

// A client is a consumer of the Kafka adapter.
type client struct {
	s    *simulation
	ask  JoinRequest
	old  bool // without a heartbeat thread, polls of up to 30 s
	dead bool // killed, closed, or its poll has thrown

	state      clientState
	generation int64
	fetched    map[string][]int32 // the assignment of the last sync
	owned      map[string][]int32 // the one in effect
	lastBeat   time.Time
	depth      int // of recursion

	joinedAt int64 // the group's generation when a join was accepted, -2 before
}

var errLost = errors.New("no answer")

func (s *simulation) add(r JoinRequest, old bool) *client {
	c := &client{s: s, ask: r, old: old, generation: NoGeneration, joinedAt: -2}
	s.clients = append(s.clients, c)
	s.spawn(func(sleep func(time.Duration)) {
		for !c.dead {
			if err := c.poll(sleep); errors.Is(err, errLost) {
				sleep(time.Second)
			} else if err != nil {
				c.dead = true
			}
		}
	})
	if s.wild && !old {
		s.spawn(c.beatThread)
	}
	return c
}

// beatThread beats every 10 s while the client is SYNCING or STABLE.
func (c *client) beatThread(sleep func(time.Duration)) {
	for !c.dead {
		sleep(10 * time.Second)
		if c.state == syncing || c.state == settled {
			if err := c.beat(sleep); err != nil && !errors.Is(err, errLost) {
				c.dead = true
			}
		}
	}
}

// poll is one call of the application.
func (c *client) poll(sleep func(time.Duration)) error {
	c.depth = 0
	if c.s.now().Sub(c.lastBeat) >= 10*time.Second {
		if err := c.beat(sleep); err != nil {
			return err
		}
	}
	for round := 0; c.state != settled && !c.dead; round++ {
		if round > 2000 {
			c.s.Fatalf("%s does not get anywhere", c.ask.ClientID)
		}
		if round >= 50 {
			sleep(50 * time.Millisecond)
		}
		if err := c.beat(sleep); err != nil {
			return err
		}
	}
	longest := time.Second
	if c.old {
		longest = 30 * time.Second
	}
	sleep(c.s.upTo(longest))
	return nil
}

func (s *simulation) upTo(d time.Duration) time.Duration {
	return time.Duration(s.rand.Int64N(int64(d)))
}

// call is the way to the server and back, on which answers get lost.
func (c *client) call(sleep func(time.Duration), do func()) error {
	sleep(c.s.upTo(5 * time.Millisecond))
	if c.dead {
		return errLost
	}
	do()
	lost := c.s.wild && c.s.rand.IntN(100) == 0
	sleep(c.s.upTo(5 * time.Millisecond))
	if lost || c.dead {
		return errLost
	}
	return nil
}

// beat is the heartbeat step.
func (c *client) beat(sleep func(time.Duration)) error {
	c.lastBeat = c.s.now()
	var state HeartbeatState
	if err := c.call(sleep, func() { state = c.heartbeat() }); err != nil {
		return err
	}
	if c.state == settled && state != Stable {
		c.revoke()
	}
	if c.state == syncing && state == Stable {
		c.take()
	}
	switch {
	case state == HeartbeatGroupNotExist:
		return fmt.Errorf("group does not exist")
	case state == Syncing:
		return c.sync(sleep)
	case state == Stable && (c.state == syncing || c.state == settled):
		c.state = settled
		return nil
	}
	c.state = joining
	return c.join(sleep)
}

func (c *client) heartbeat() HeartbeatState {
	s := c.s
	state, err := s.c.Heartbeat("p", "g1", c.ask.ClientID, c.generation)
	if err != nil {
		s.Fatal(err)
	}
	g := s.c.groups[groupID{"p", "g1"}]
	if state == Joining && g != nil && g.members[c.ask.ClientID] != nil && g.generation == c.joinedAt {
		s.Fatalf("%s joined and is told to join again in the same round", c.ask.ClientID)
	}
	return state
}

// revoke is the application's listener: it commits, because this is its last
// chance.
func (c *client) revoke() {
	err := c.s.c.CheckCommit("p", "g1", c.ask.ClientID, c.generation)
	if err != nil && !errors.Is(err, ErrNotMember) && !c.s.hasty && !c.s.wild {
		c.s.Fatalf("%s cannot commit what it read in generation %d: %v", c.ask.ClientID, c.generation, err)
	}
	c.owned = nil
}

// take puts the last assignment in effect, and nobody else may have any of it
// who does not know by now, or was not given up.
func (c *client) take() {
	c.owned = c.fetched
	g := c.s.c.groups[groupID{"p", "g1"}]
	if c.s.hasty || c.s.wild || g == nil {
		return
	}
	mine := c.parts()
	for _, other := range c.s.clients {
		if other == c || other.dead || g.members[other.ask.ClientID] == nil || other.generation > c.generation {
			continue
		}
		for p := range other.parts() {
			if mine[p] {
				c.s.Fatalf("%s (generation %d) takes %v from %s (generation %d)", c.ask.ClientID, c.generation, p, other.ask.ClientID, other.generation)
			}
		}
	}
}

// parts returns what a client has in effect.
func (c *client) parts() map[part]bool {
	list := make(map[part]bool)
	for spelling, numbers := range c.owned {
		id := spelling
		if st, ok := c.s.ByName("p", spelling); ok {
			id = st.ID
		}
		for _, n := range numbers {
			list[part{id, n}] = true
		}
	}
	return list
}

// join is the join step.
func (c *client) join(sleep func(time.Duration)) error {
	var reply JoinReply
	err := c.call(sleep, func() {
		var err error
		if reply, err = c.s.c.Join("p", "g1", c.ask); err != nil {
			c.s.Fatal(err)
		}
		c.joinedAt = -2
		if g := c.s.c.groups[groupID{"p", "g1"}]; reply.State == JoinOK && g.phase == collecting {
			c.joinedAt = g.generation
		}
	})
	if err != nil {
		return err
	}
	if reply.State != JoinOK {
		return fmt.Errorf("join: %s", reply.State)
	}
	sleep(reply.SyncDelay)
	return c.sync(sleep)
}

// sync is the sync step.
func (c *client) sync(sleep func(time.Duration)) error {
	if c.depth++; c.depth > 1000 {
		c.s.Fatalf("%s recurses %d deep", c.ask.ClientID, c.depth)
	}
	var reply SyncReply
	err := c.call(sleep, func() {
		var err error
		if reply, err = c.s.c.Sync("p", "g1", c.ask.ClientID); err != nil {
			c.s.Fatal(err)
		}
	})
	if err != nil {
		return err
	}
	switch reply.State {
	case SyncOK:
		if reply.Generation < c.generation {
			c.s.Fatalf("%s: generation %d after %d", c.ask.ClientID, reply.Generation, c.generation)
		}
		for spelling, numbers := range reply.Assignment {
			if !slices.IsSorted(numbers) || len(numbers) == 0 {
				c.s.Fatalf("%s is given %v of %s", c.ask.ClientID, numbers, spelling)
			}
		}
		c.fetched, c.generation, c.state = reply.Assignment, reply.Generation, syncing
		return nil
	case SyncWaiting:
		sleep(500 * time.Millisecond)
		return c.sync(sleep)
	case SyncRejoin:
		return c.join(sleep)
	}
	return fmt.Errorf("sync: %s", reply.State)
}

// change makes something happen.
func (s *simulation) change() {
	name := fmt.Sprint("s", s.rand.IntN(4))
	_, exists := s.ByName("p", name)
	switch s.rand.IntN(12) {
	case 0, 1, 2, 3:
		s.newClient()
	case 4: // killed, or closed without leaving
		if len(s.clients) > 0 {
			s.clients[s.rand.IntN(len(s.clients))].dead = true
		}
	case 5:
		if len(s.clients) > 0 {
			c := s.clients[s.rand.IntN(len(s.clients))]
			c.dead, c.owned = true, nil
			if err := s.c.Leave("p", "g1", c.ask.ClientID); err != nil {
				s.Fatal(err)
			}
		}
	case 6, 7, 8:
		if exists {
			s.resize(name, 1+s.rand.IntN(8))
		}
	case 9:
		if !exists {
			s.create(name, 1+s.rand.IntN(5))
		}
	case 10:
		if exists && s.rand.IntN(3) == 0 {
			s.remove(name)
		}
	case 11:
		if s.rand.IntN(3) == 0 {
			s.restart()
		}
	}
}

func (s *simulation) restart() {
	s.c = s.coordinator(s.T, nil)
	for _, c := range s.clients {
		c.joinedAt = -2
	}
}

func (s *simulation) newClient() {
	living := 0
	for _, c := range s.clients {
		if !c.dead {
			living++
		}
	}
	if living >= 8 {
		return
	}
	r := JoinRequest{ClientID: fmt.Sprint("c", len(s.clients)), Accelerate: s.hasty, RebalanceTimeout: 20 * time.Second}
	old := s.rand.IntN(4) == 0
	if old {
		r.RebalanceTimeout = 0
	}
	a, okA := s.ByName("p", "s0")
	b, okB := s.ByName("p", "s1")
	switch s.rand.IntN(4) {
	case 0:
		r.Pattern = "s[0-9]"
	case 1:
		r.Streams, r.StreamIDs = []string{"s1"}, []string{}
		if okA {
			r.StreamIDs = append(r.StreamIDs, a.ID)
		}
	case 2:
		r.StreamIDs = []string{"s0"}
		if okB {
			r.StreamIDs = []string{b.ID}
		}
	default:
		r.Streams = []string{"s0", "s1"}
	}
	s.add(r, old)
}

// settle checks that the group has found its peace: every readable partition
// of every wanted stream has one owner, and the clients know.
func (s *simulation) settle() {
	s.run(4 * time.Minute) // session, a round, heartbeats, lost answers
	if s.balanced() {
		return
	}
	// A lost answer, of which there is one in a hundred, can begin a round at
	// any time.
	for range 20 {
		s.run(20 * time.Second)
		if s.balanced() {
			return
		}
	}
	for _, c := range s.clients {
		s.Logf("%s dead %t old %t state %d generation %d owns %v, wants %v %v %q", c.ask.ClientID, c.dead, c.old, c.state, c.generation, c.owned, c.ask.Streams, c.ask.StreamIDs, c.ask.Pattern)
	}
	s.Fatal("the group does not settle")
}

func (s *simulation) balanced() bool {
	owners, want := make(map[part]int), make(map[part]int)
	var generation int64 = -1
	for _, c := range s.clients {
		if c.dead {
			continue
		}
		if c.state != settled || generation >= 0 && c.generation != generation {
			return false
		}
		generation = c.generation
		for p := range c.parts() {
			owners[p]++
		}
		sub, err := subscribe(s.world, "p", c.ask)
		if err != nil {
			return false
		}
		for _, w := range sub.streams {
			st, _ := s.ByID("p", w.id)
			for _, n := range st.Readable {
				want[part{w.id, n}] = 1
			}
		}
	}
	return maps.Equal(owners, want)
}

func TestSimulation(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			s := &simulation{T: t, world: newWorld(), rand: rand.New(rand.NewPCG(seed, 1)), hasty: seed%5 == 4, wild: seed%2 == 1}
			s.c = s.coordinator(t, nil)
			defer func() {
				for _, th := range s.queue {
					th.stop()
				}
			}()
			for i := range 3 {
				s.create(fmt.Sprint("s", i), 3)
			}
			s.spawn(func(sleep func(time.Duration)) {
				for {
					sleep(time.Second)
					s.c.Step()
				}
			})
			for range 3 {
				for range 25 {
					s.change()
					s.run(s.upTo(15 * time.Second))
				}
				s.settle()
			}
		})
	}
}
