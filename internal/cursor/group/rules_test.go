package group

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"disd/internal/field"
	"disd/internal/quota"
)

// A script talks to a coordinator about group g1 of project p, in which a
// stream s1 of four partitions and a stream s2 of two exist.
type script struct {
	*testing.T
	*world
	c *Coordinator
}

func newScript(t *testing.T, change func(*Options)) *script {
	w := newWorld()
	w.create("s1", 4)
	w.create("s2", 2)
	return &script{t, w, w.coordinator(t, change)}
}

// ask returns an ordinary join request.
func ask(client string, change ...func(*JoinRequest)) JoinRequest {
	r := JoinRequest{ClientID: client, Streams: []string{"s1"}, RebalanceTimeout: 20 * time.Second}
	for _, f := range change {
		f(&r)
	}
	return r
}

func (s *script) join(r JoinRequest) JoinReply {
	s.Helper()
	reply, err := s.c.Join("p", "g1", r)
	if err != nil {
		s.Fatal(err)
	}
	return reply
}

func (s *script) joins(clients ...string) {
	s.Helper()
	for _, client := range clients {
		if reply := s.join(ask(client)); reply.State != JoinOK {
			s.Fatalf("join of %s: %s", client, reply.State)
		}
	}
}

func (s *script) sync(client string) SyncReply {
	s.Helper()
	reply, err := s.c.Sync("p", "g1", client)
	if err != nil {
		s.Fatal(err)
	}
	return reply
}

// syncs lets clients fetch their shares, and waits until they are told what comes next.
func (s *script) syncs(clients ...string) {
	s.Helper()
	for _, client := range clients {
		if reply := s.sync(client); reply.State != SyncOK {
			s.Fatalf("sync of %s: %s", client, reply.State)
		}
	}
	s.advance(calm)
}

func (s *script) beat(client string, generation int64) HeartbeatState {
	s.Helper()
	state, err := s.c.Heartbeat("p", "g1", client, generation)
	if err != nil {
		s.Fatal(err)
	}
	return state
}

func (s *script) beats(client string, generation int64, want HeartbeatState) {
	s.Helper()
	if got := s.beat(client, generation); got != want {
		s.Errorf("heartbeat of %s in generation %d: %s, want %s", client, generation, got, want)
	}
}

func (s *script) leave(client string) {
	s.Helper()
	if err := s.c.Leave("p", "g1", client); err != nil {
		s.Fatal(err)
	}
}

func (s *script) commits(client string, generation int64, want error) {
	s.Helper()
	if got := s.c.CheckCommit("p", "g1", client, generation); !errors.Is(got, want) {
		s.Errorf("commit of %s in generation %d: %v, want %v", client, generation, got, want)
	}
}

// form makes a stable group of these clients and returns its generation.
func (s *script) form(clients ...string) int64 {
	s.Helper()
	s.joins(clients...)
	if len(clients) > 1 {
		s.joins(clients[0]) // it was alone, and notices the others
	}
	generation := s.sync(clients[0]).Generation
	s.syncs(clients...)
	for _, client := range clients {
		s.beats(client, generation, Stable)
	}
	return generation
}

// collect brings a stable group of A and B into a round that B has joined.
func (s *script) collect() int64 {
	s.Helper()
	generation := s.form("A", "B")
	s.joins("B")
	return generation
}

// owned checks that the members' shares are parts of streams, each given once,
// and returns their sizes.
func (s *script) owned(want map[string]int, clients ...string) (sizes []int) {
	s.Helper()
	got := make(map[string]int)
	for _, client := range clients {
		n := 0
		for stream, parts := range s.sync(client).Assignment {
			got[stream] += len(parts)
			n += len(parts)
		}
		sizes = append(sizes, n)
	}
	if !maps.Equal(got, want) {
		s.Errorf("members own %v, want %v", got, want)
	}
	return sizes
}

// rules has a test for every rule of consumer groups in api.md.
var rules = []struct {
	rule string
	says string
	run  func(s *script)
}{
	{"E43-R1", "group conditions are states", func(s *script) {
		for _, r := range []JoinRequest{ask("A"), ask("A", streams("none")), ask("A", pattern("(?=x)"))} {
			if _, err := s.c.Join("p", "g1", r); err != nil {
				s.Errorf("join of %v: %v", r, err)
			}
		}
	}},
	{"E43-R3", "what a member leaves behind is bounded", testBounds},
	{"E43-R2", "client id and one of three subscriptions are needed", func(s *script) {
		for _, r := range []JoinRequest{ask(""), ask("A", streams()), {ClientID: "A", Streams: []string{}, StreamIDs: []string{}}} {
			if _, err := s.c.Join("p", "g1", r); !errors.Is(err, field.ErrInvalid) {
				s.Errorf("join of %v: %v", r, err)
			}
		}
		for _, r := range []JoinRequest{
			{ClientID: "A", Streams: []string{"s1"}, StreamIDs: []string{}},
			{ClientID: "A", Streams: []string{}, StreamIDs: []string{"id1"}},
			{ClientID: "A", Pattern: "s."},
		} {
			if reply := s.join(r); reply.State != JoinOK {
				s.Errorf("join of %v: %s", r, reply.State)
			}
		}
	}},
	{"E44-R1", "a repeated sync gives the same", func(s *script) {
		s.form("A", "B")
		if first, second := s.sync("A"), s.sync("A"); !reflect.DeepEqual(first, second) {
			s.Errorf("%v, then %v", first, second)
		}
	}},
	{"E45-R1", "a heartbeat makes no member", func(s *script) {
		s.beats("A", -1, Joining)
		s.beats("A", 7, Joining)
		if s.c.HasLiveMembers("p", "g1") {
			s.Error("a heartbeat made a member")
		}
	}},
	{"E46-R1", "leaving is never an error", func(s *script) {
		s.leave("A")
		s.form("A")
		s.leave("B")
		s.noApp["g1"] = true
		s.leave("A")
	}},
	{"G-1", "the group is the app, the member the client id", func(s *script) {
		s.form("A")
		if reply, err := s.c.Join("p", "g2", ask("A")); err != nil || reply.SyncDelay != 0 {
			s.Errorf("%v, %v: A is alone in g2", reply, err)
		}
		if reply, err := s.c.Join("p2", "g1", ask("A")); err != nil || reply.SyncDelay != 0 {
			s.Errorf("%v, %v: A is alone in p2", reply, err)
		}
		s.beats("A", s.sync("A").Generation, Stable)
	}},
	{"G-2", "states have names", func(s *script) {
		got := []any{Joining, Syncing, Stable, HeartbeatGroupNotExist, JoinOK, JoinErrSubscription, JoinGroupNotExist,
			SyncOK, SyncWaiting, SyncRejoin, SyncGroupNotExist}
		const want = "[JOINING SYNCING STABLE GROUP_NOT_EXIST OK ERR_SUBSCRIPTION GROUP_NOT_EXIST OK WAITING REJOIN GROUP_NOT_EXIST]"
		if fmt.Sprint(got) != want {
			s.Errorf("got %v, want %s", got, want)
		}
	}},
	{"G-3", "an unknown app is GROUP_NOT_EXIST", func(s *script) {
		s.form("A")
		s.noApp["g1"] = true
		if state := s.join(ask("A")).State; state != JoinGroupNotExist {
			s.Errorf("join: %s", state)
		}
		if state := s.sync("A").State; state != SyncGroupNotExist {
			s.Errorf("sync: %s", state)
		}
		s.beats("A", 0, HeartbeatGroupNotExist)
		s.leave("A")
	}},
	{"G-4", "answers by phase", testAnswers},
	{"G-4", "who has just fetched its share hears of the next one a moment later", testCalm},
	{"G-5", "who joined is not told to join again in that round", func(s *script) {
		generation := s.collect()
		for range 30 {
			s.beats("B", generation, Syncing)
			if state := s.sync("B").State; state != SyncWaiting {
				s.Fatalf("sync of B: %s", state)
			}
			s.advance(500 * time.Millisecond)
		}
		s.advance(5 * time.Second) // 20 s after the start
		s.beats("B", generation, Syncing)
		s.syncs("B")
	}},
	{"G-6", "a round ends", testRoundEnds},
	{"G-7", "generations grow, also over a restart", func(s *script) {
		last := int64(-1)
		for range 5 {
			generation := s.form("A", "B")
			if generation <= last {
				s.Errorf("generation %d after %d", generation, last)
			}
			last = generation
			s.c = s.coordinator(s.T, nil)
		}
	}},
	{"G-8", "the delay before the first sync", func(s *script) {
		if d := s.join(ask("A")).SyncDelay; d != 0 {
			s.Errorf("delay of a lone member: %v", d)
		}
		if d := s.join(ask("B")).SyncDelay; d <= 0 || d > time.Second {
			s.Errorf("delay of the second member: %v", d)
		}
		s.advance(20*time.Second - 300*time.Millisecond)
		if d := s.join(ask("B")).SyncDelay; d != 300*time.Millisecond {
			s.Errorf("delay at the end of the round: %v", d)
		}
	}},
	{"G-9", "silent members expire, every call is a sign of life", testExpiry},
	{"G-10", "who left stays out", func(s *script) {
		generation := s.form("A", "B")
		s.leave("B")
		s.beats("A", generation, Joining)
		s.joins("A")
		s.syncs("A")
		for range 12 {
			s.beats("B", -1, Joining)
			s.beats("A", generation+1, Stable)
			s.advance(10 * time.Second)
		}
	}},
	{"G-11", "a join out of the blue starts a round; two of one id are one", func(s *script) {
		generation := s.form("A", "B")
		s.joins("A", "A") // no heartbeat told it to; the second process has the same id
		s.beats("B", generation, Joining)
		s.joins("B")
		first := s.sync("A")
		if second := s.sync("A"); second.Generation <= generation || !reflect.DeepEqual(first, second) {
			s.Errorf("shares of two processes: %v, %v", first, second)
		}
	}},
	{"G-12", "unknown and double subscriptions", func(s *script) {
		generation := s.form("A")
		for _, r := range []JoinRequest{
			ask("B", streams("s1", "none")),
			ask("B", streams(), ids("none")),
			ask("B", streams("s1"), ids("id1")),
		} {
			if reply := s.join(r); reply.State != JoinErrSubscription {
				s.Errorf("join of %v: %v", r, reply)
			}
			s.beats("A", generation, Stable)
			s.beats("B", -1, Joining)
		}
		// The round does not wait for a member that cannot join.
		s.joins("A", "B")
		s.join(ask("A", streams("none")))
		if reply := s.sync("B"); len(reply.Assignment["s1"]) != 4 {
			s.Errorf("sync of B: %v", reply)
		}
	}},
	{"G-13", "patterns", testPatterns},
	{"G-14", "every partition has one owner", testAssignment},
	{"G-15", "partitions and streams come and go", testTopology},
	{"G-16", "commits", testCommits},
	{"G-17", "commits without a client are not the group's business", func(s *script) {
		// The interface cannot be asked without a client; what it must not do
		// is take an unknown one for a member.
		s.form("A")
		s.commits("", 0, ErrNotMember)
		s.commits("old", 0, ErrNotMember)
	}},
	{"G-18", "after a restart the group forms again", func(s *script) {
		generation := s.form("A", "B")
		s.c = s.coordinator(s.T, nil)
		s.beats("A", generation, Joining)
		s.commits("A", generation, ErrNotMember)
		if again := s.form("A", "B"); again <= generation {
			s.Errorf("generation %d after %d", again, generation)
		}
	}},
	{"G-19", "live members", func(s *script) {
		if s.c.HasLiveMembers("p", "g1") {
			s.Error("an empty group has members")
		}
		s.form("A", "B")
		if !s.c.HasLiveMembers("p", "g1") {
			s.Error("a group of two has no members")
		}
		s.advance(59 * time.Second)
		s.beat("A", 0)
		s.advance(time.Second)
		if !s.c.HasLiveMembers("p", "g1") {
			s.Error("a group of one has no members")
		}
		s.advance(59 * time.Second)
		if s.c.HasLiveMembers("p", "g1") {
			s.Error("an expired group has members")
		}
		s.form("A")
		s.leave("A")
		if s.c.HasLiveMembers("p", "g1") {
			s.Error("the last member left")
		}
	}},
	{"G-20", "streams of others by id only, and only where allowed", func(s *script) {
		id := s.create("theirs", 1)
		s.foreign[id] = true
		for _, r := range []JoinRequest{ask("A", streams("theirs")), ask("A", streams(), ids(id))} {
			if reply := s.join(r); reply.State != JoinErrSubscription {
				s.Errorf("join of %v: %s", r, reply.State)
			}
		}
		if reply := s.join(ask("A", streams(), pattern("theirs|s1"))); !slices.Equal(reply.Subscription, []string{"s1"}) {
			s.Errorf("pattern: %v", reply.Subscription)
		}
		reply, err := s.c.Join("friend", "g1", ask("A", streams(), ids(id)))
		if err != nil || !slices.Equal(reply.Subscription, []string{id}) {
			s.Errorf("join of a friend: %v, %v", reply, err)
		}
	}},
	{"Q-22", "members of one group", testQuota},
	{"Q-23", "session timeout", func(s *script) {
		for _, d := range []time.Duration{time.Second, minSession - 1, -1} {
			if _, err := New(Options{Topology: s.world, Generations: s.world, SessionTimeout: d}); !errors.Is(err, field.ErrInvalid) {
				s.Errorf("session timeout of %v: %v", d, err)
			}
		}
		s.c = s.coordinator(s.T, func(o *Options) { o.SessionTimeout = 45 * time.Second })
		generation := s.form("A")
		s.advance(45*time.Second - 1)
		s.beats("A", generation, Stable)
		s.advance(45 * time.Second)
		s.beats("A", generation, Joining)
	}},
}

func TestRules(t *testing.T) {
	for _, r := range rules {
		t.Run(r.rule+" "+r.says, func(t *testing.T) { r.run(newScript(t, nil)) })
	}
}

func streams(names ...string) func(*JoinRequest) {
	return func(r *JoinRequest) { r.Streams = names }
}

func ids(ids ...string) func(*JoinRequest) {
	return func(r *JoinRequest) { r.StreamIDs = ids }
}

func pattern(p string) func(*JoinRequest) {
	return func(r *JoinRequest) { r.Streams, r.Pattern = nil, p }
}

func patient(d time.Duration) func(*JoinRequest) {
	return func(r *JoinRequest) { r.RebalanceTimeout = d }
}

func hasty(r *JoinRequest) { r.Accelerate = true }

func testCalm(s *script) {
	t := s.T
	for _, tt := range []struct {
		name   string
		change func(s *script)
		want   HeartbeatState
	}{
		{"another joins", func(s *script) { s.joins("B") }, Joining},
		{"partitions appear", func(s *script) { s.resize("s1", 6) }, Syncing},
		{"stream is made anew", func(s *script) { s.remove("s1"); s.create("s1", 4) }, Joining},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(t, nil)
			s.joins("A")
			generation := s.sync("A").Generation
			tt.change(s)
			for range 2 {
				s.beats("A", generation, Stable)
				s.commits("A", generation, nil)
				s.advance(calm / 2)
			}
			s.beats("A", generation, tt.want)
		})
	}
	t.Run("a client that is started again", func(t *testing.T) {
		s := newScript(t, nil)
		s.joins("A")
		s.sync("A")
		s.joins("B")
		s.beats("A", NoGeneration, Joining)
	})
	t.Run("what it fetched may be another's", func(t *testing.T) {
		s := newScript(t, nil)
		s.join(ask("A", hasty))
		s.join(ask("B", hasty))
		generation := s.sync("B").Generation
		s.join(ask("A", hasty))
		s.beats("B", generation, Syncing)
	})
}

// testAnswers goes through the table of G-4: what client X is answered.
func testAnswers(s *script) {
	t := s.T
	empty := func(*script) int64 { return -1 }
	unknown := func(s *script) int64 { return s.form("A", "B") }
	notJoined := func(s *script) int64 {
		generation := s.form("X", "B")
		s.joins("B")
		return generation
	}
	joined := func(s *script) int64 {
		generation := s.form("X", "B")
		s.joins("X")
		return generation
	}
	handedOut := func(s *script) int64 {
		generation := joined(s)
		s.joins("B")
		return generation
	}
	synced := func(s *script) int64 {
		handedOut(s)
		s.syncs("X")
		return s.sync("X").Generation
	}
	steady := func(s *script) int64 { return s.form("X", "B") }
	for _, tt := range []struct {
		phase     string
		bring     func(*script) int64
		heartbeat HeartbeatState
		older     HeartbeatState // with the generation before
		sync      SyncState
		round     bool // a join makes B join again
		left      bool // leaving makes B join again
	}{
		{"empty", empty, Joining, Joining, SyncRejoin, false, false},
		{"unknown", unknown, Joining, Joining, SyncRejoin, true, false},
		{"collecting, not joined", notJoined, Joining, Joining, SyncRejoin, false, false},
		{"collecting, joined", joined, Syncing, Syncing, SyncWaiting, true, true},
		{"handout", handedOut, Syncing, Syncing, SyncOK, true, true},
		{"handout, synced", synced, Stable, Stable, SyncOK, true, true},
		{"stable", steady, Stable, Joining, SyncOK, true, true},
	} {
		begin := func(t *testing.T) (*script, int64) {
			s := newScript(t, nil)
			return s, tt.bring(s)
		}
		t.Run(tt.phase+"/heartbeat", func(t *testing.T) {
			s, generation := begin(t)
			s.beats("X", generation, tt.heartbeat)
			s.beats("X", generation-1, tt.older)
		})
		t.Run(tt.phase+"/sync", func(t *testing.T) {
			s, _ := begin(t)
			if reply := s.sync("X"); reply.State != tt.sync || reply.State == SyncOK && (reply.Generation < 0 || reply.Assignment == nil) {
				t.Errorf("got %v, want %s", reply, tt.sync)
			}
		})
		t.Run(tt.phase+"/join", func(t *testing.T) {
			s, _ := begin(t)
			s.joins("X")
			if tt.round != (s.beat("B", s.sync("B").Generation) == Joining) && tt.phase != "empty" {
				t.Errorf("round for B: want %t", tt.round)
			}
		})
		t.Run(tt.phase+"/leave", func(t *testing.T) {
			s, _ := begin(t)
			s.leave("X")
			if tt.left != (s.beat("B", s.sync("B").Generation) == Joining) && tt.phase != "empty" {
				t.Errorf("round for B: want %t", tt.left)
			}
			s.beats("X", -1, Joining)
		})
	}
}

func testRoundEnds(s *script) {
	t := s.T
	for _, tt := range []struct {
		name string
		a, b JoinRequest
		want time.Duration // until the round of a second join of B ends without A
	}{
		{"largest timeout, not joined", ask("A", patient(30*time.Second)), ask("B"), 30 * time.Second},
		{"largest timeout, joined", ask("A"), ask("B", patient(25*time.Second)), 25 * time.Second},
		{"one did not say", ask("A", patient(0)), ask("B"), 35 * time.Second},
		{"at least what was said", ask("A", patient(0)), ask("B", patient(50*time.Second)), 50 * time.Second},
		{"without reason", ask("A", patient(time.Hour)), ask("B"), maxRebalance},
		{"only one in a hurry", ask("A"), ask("B", hasty), 20 * time.Second},
		{"all in a hurry", ask("A", hasty), ask("B", hasty), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(t, func(o *Options) { o.SessionTimeout = 2 * time.Hour })
			s.join(tt.a)
			s.join(tt.b)
			s.join(tt.a)
			s.syncs("A", "B")
			s.join(tt.b)
			if tt.want > 0 {
				s.advance(tt.want - 1)
				tt.b.RebalanceTimeout = maxRebalance
				s.join(tt.b) // must not extend it
				if state := s.sync("B").State; state != SyncWaiting {
					t.Fatalf("before the deadline: %s", state)
				}
				s.advance(1)
			}
			s.syncs("B")
			if known := s.sync("A").State == SyncOK; known != (tt.want == 0) {
				t.Errorf("A is a member: %t", known)
			}
		})
	}
	t.Run("a group of one", func(t *testing.T) {
		s := newScript(t, nil)
		for want := range int64(3) {
			s.joins("A")
			if reply := s.sync("A"); reply.Generation != want {
				t.Errorf("got %v, want generation %d", reply, want)
			}
		}
	})
	t.Run("nobody joins", func(t *testing.T) {
		s := newScript(t, nil)
		s.form("A", "B", "C")
		s.leave("C")
		s.advance(20 * time.Second)
		s.c.Step()
		if s.c.HasLiveMembers("p", "g1") || len(s.c.groups) > 0 {
			t.Error("members that did not join remain")
		}
	})
	t.Run("in a hurry but out of date", func(t *testing.T) {
		s := newScript(t, nil)
		all := func(client string) JoinRequest { return ask(client, pattern("s."), hasty) }
		s.join(all("A"))
		s.join(all("B"))
		s.syncs("A", "B")
		s.create("s3", 1)
		s.advance(patternPause)
		s.beats("A", 1, Joining)
		s.join(all("A"))
		if state := s.sync("A").State; state != SyncWaiting {
			t.Errorf("sync of A: %s, but B does not know of s3", state)
		}
		s.join(all("B"))
		s.owned(map[string]int{"s1": 4, "s2": 2, "s3": 1}, "A", "B")
	})
	t.Run("without a generation it waits", func(t *testing.T) {
		s := newScript(t, nil)
		s.broken = errBroken
		if _, err := s.c.Join("p", "g1", ask("A")); !errors.Is(err, errBroken) {
			t.Errorf("join: %v", err)
		}
		if _, err := s.c.Sync("p", "g1", "A"); !errors.Is(err, errBroken) {
			t.Errorf("sync: %v", err)
		}
		s.broken = nil
		s.syncs("A")
	})
}

func testExpiry(s *script) {
	t := s.T
	calls := map[string]func(s *script, generation int64){
		"heartbeat": func(s *script, generation int64) { s.beat("B", generation) },
		"sync":      func(s *script, _ int64) { s.sync("B") },
		"commit":    func(s *script, generation int64) { s.commits("B", generation, nil) },
		"bad join":  func(s *script, _ int64) { s.join(ask("B", streams("none"))) },
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, nil)
			generation := s.form("A", "B")
			for range 4 {
				s.advance(59 * time.Second)
				s.beats("A", generation, Stable)
				call(s, generation)
			}
			s.advance(59 * time.Second)
			s.beats("A", generation, Stable)
			s.advance(time.Second)
			s.c.Step()
			s.beats("A", generation, Joining)
			s.joins("A")
			s.owned(map[string]int{"s1": 4}, "A")
			s.commits("B", generation, ErrNotMember)
		})
	}
	t.Run("who does not fetch its share, however often it changes", func(t *testing.T) {
		s := newScript(t, nil)
		generation := s.form("A", "B")
		for n := 5; n < 11; n++ {
			s.resize("s1", n)
			s.beats("B", generation, Syncing)
			s.syncs("A")
			s.advance(10 * time.Second)
		}
		s.beats("B", generation, Joining)
	})
	t.Run("who does not fetch its share", func(t *testing.T) {
		s := newScript(t, nil)
		generation := s.form("A", "B")
		s.joins("A", "B")
		s.syncs("A")
		for range 6 {
			s.beats("A", generation+1, Stable)
			s.beats("B", generation, Syncing)
			s.advance(10 * time.Second)
		}
		s.beats("A", generation+1, Joining)
		s.beats("B", generation, Joining)
	})
}

func testPatterns(s *script) {
	t := s.T
	for _, tt := range []struct {
		pattern string
		want    []string // nil for ERR_SUBSCRIPTION
	}{
		{"s.", []string{"s1", "s2"}},
		{"s", []string{}},
		{"s1|s2", []string{"s1", "s2"}},
		{"[a-z]\\d", []string{"s1", "s2"}},
		{"^s1$", []string{"s1"}},
		{"\\Qs1\\E", []string{"s1"}},
		{"(?i)S1", []string{"s1"}},
		{"(?<n>s)1", []string{"s1"}},
		{"s[^]2]", []string{"s1"}},
		{"s{1}[1]", []string{"s1"}},
		{"nothing.*", []string{}},
		{"(?!s2)s.", nil},
		{"(?<=s)1", nil},
		{"(s)\\1", nil},
		{"(?<n>s)\\k<n>", nil},
		{"s\\061", nil},
		{"\\u0073.", nil},
		{"s.++", nil},
		{"s.*+", nil},
		{"s.?+", nil},
		{"s.{1}+", nil},
		{"(?>s).", nil},
		{"[s&&[^t]].", nil},
		{"[a-m[n-z]].", nil},
		{"[\\Qs\\E].", nil},
		{"\\p{Lower}.", nil},
		{"s1)|(s2", nil},
		{"\\Qs1", nil},
		{"s\\", nil},
		{"s1" + string(make([]byte, maxPattern)), nil},
	} {
		s := newScript(t, nil)
		reply := s.join(ask("A", pattern(tt.pattern)))
		if tt.want == nil {
			if reply.State != JoinErrSubscription {
				t.Errorf("%q: %v, want a refusal", tt.pattern, reply)
			}
		} else if reply.State != JoinOK || reply.Subscription == nil || !slices.Equal(reply.Subscription, tt.want) {
			t.Errorf("%q: %v, want %v", tt.pattern, reply, tt.want)
		}
	}
	t.Run("none matches", func(t *testing.T) {
		s := newScript(t, nil)
		s.join(ask("A", pattern("none")))
		if reply := s.sync("A"); reply.State != SyncOK || reply.Assignment == nil || len(reply.Assignment) > 0 {
			t.Errorf("sync: %v", reply)
		}
	})
	t.Run("with names", func(t *testing.T) {
		s := newScript(t, nil)
		if reply := s.join(JoinRequest{ClientID: "A", Streams: []string{"s2"}, Pattern: "s."}); !slices.Equal(reply.Subscription, []string{"s2", "s1"}) {
			t.Errorf("join: %v", reply)
		}
	})
	for _, tt := range []struct {
		name   string
		change func(s *script)
	}{
		{"a stream that matches", func(s *script) { s.create("s3", 1) }},
		{"a match is deleted", func(s *script) { s.remove("s2") }},
		{"a match is made anew", func(s *script) { s.remove("s2"); s.create("s2", 2) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(t, nil)
			s.join(ask("A", pattern("s.")))
			s.syncs("A")
			s.create("x", 1)
			s.advance(20 * time.Second)
			s.beats("A", 0, Stable)
			tt.change(s)
			s.advance(30 * time.Second)
			s.beats("A", 0, Joining)
			s.join(ask("A", pattern("s.")))
			s.syncs("A")
			s.beats("A", 1, Stable)
			s.advance(30 * time.Second)
			s.beats("A", 1, Stable)
		})
	}
}

func testAssignment(s *script) {
	t := s.T
	t.Run("spelling", func(t *testing.T) {
		s := newScript(t, nil)
		s.joins("A")
		s.join(ask("B", streams("s2"), ids("id1")))
		s.joins("A")
		a, b := s.sync("A").Assignment, s.sync("B").Assignment
		if len(a["s1"]) != 3 || len(b["id1"]) != 1 || len(b["s2"]) != 2 || len(a) != 1 || len(b) != 2 {
			t.Errorf("A has %v, B has %v", a, b)
		}
	})
	t.Run("none left", func(t *testing.T) {
		s := newScript(t, nil)
		s.form("A", "B", "C", "D", "E")
		sizes := s.owned(map[string]int{"s1": 4}, "A", "B", "C", "D", "E")
		if slices.Sort(sizes); !slices.Equal(sizes, []int{0, 1, 1, 1, 1}) {
			t.Errorf("shares of %v", sizes)
		}
	})
	t.Run("sticky", func(t *testing.T) {
		s := newScript(t, nil)
		s.form("A", "B")
		before := map[string][]int32{"A": s.sync("A").Assignment["s1"], "B": s.sync("B").Assignment["s1"]}
		s.joins("C", "A", "B")
		s.syncs("C")
		for client, had := range before {
			for _, n := range s.sync(client).Assignment["s1"] {
				if !slices.Contains(had, n) {
					t.Errorf("%s had %v and was given %d", client, had, n)
				}
			}
		}
		if sizes := s.owned(map[string]int{"s1": 4}, "A", "B", "C"); slices.Max(sizes) != 2 || slices.Min(sizes) != 1 {
			t.Errorf("shares of %v", sizes)
		}
	})
}

func testTopology(s *script) {
	t := s.T
	for _, tt := range []struct {
		name   string
		change func(s *script)
		want   HeartbeatState
		total  int
	}{
		{"partitions appear", func(s *script) { s.resize("s1", 7) }, Syncing, 7},
		{"partitions expire, none moves", func(s *script) { s.resize("s1", 3) }, Syncing, 3},
		{"other streams change", func(s *script) { s.resize("s2", 7); s.create("s3", 1) }, Stable, 4},
		{"stream is deleted", func(s *script) { s.remove("s1") }, Joining, 0},
		{"stream is made anew", func(s *script) { s.remove("s1"); s.create("s1", 4) }, Joining, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(t, nil)
			generation := s.form("A", "B")
			tt.change(s)
			s.beats("A", generation, tt.want)
			s.beats("B", generation, tt.want)
			if tt.want == Joining {
				s.join(ask("A"))
				s.join(ask("B"))
			}
			if tt.total == 0 {
				if s.c.HasLiveMembers("p", "g1") {
					t.Error("members remain that want only what is not there")
				}
				return
			}
			s.owned(map[string]int{"s1": tt.total}, "A", "B")
			if tt.want != Stable {
				generation++
			}
			s.beats("A", generation, Stable)
			s.beats("B", generation, Stable)
		})
	}
	t.Run("partitions expire, one moves", func(t *testing.T) {
		s := newScript(t, nil)
		s.joins("A")
		s.syncs("A") // A has all four
		s.resize("s1", 6)
		s.beats("A", 0, Syncing)
		s.syncs("A")
		s.joins("B", "A")
		s.syncs("A", "B") // A keeps 0 1 2, B has 3 4 5
		s.resize("s1", 3)
		s.beats("A", 2, Joining)
		s.beats("B", 2, Joining)
		s.joins("A", "B")
		if sizes := s.owned(map[string]int{"s1": 3}, "A", "B"); slices.Min(sizes) != 1 {
			t.Errorf("shares of %v", sizes)
		}
	})
	t.Run("twice before it was fetched", func(t *testing.T) {
		s := newScript(t, nil)
		generation := s.form("A", "B")
		s.resize("s1", 5)
		s.beats("A", generation, Syncing)
		s.syncs("A")
		s.resize("s1", 6)
		s.beats("A", generation+1, Syncing)
		s.owned(map[string]int{"s1": 6}, "A", "B")
		s.beats("A", generation+2, Stable)
	})
	t.Run("one vanishes and comes back unnoticed", func(t *testing.T) {
		s := newScript(t, nil)
		generation := s.form("A", "B")
		had := s.sync("B").Assignment["s1"]
		if had[1] != 3 {
			t.Fatalf("B has %v, want the last partition", had)
		}
		s.resize("s1", 3)
		s.beats("A", generation, Syncing)
		s.syncs("A")
		s.resize("s1", 5)
		s.beats("A", generation+1, Syncing)
		if got := s.sync("A").Assignment["s1"]; slices.Contains(got, 3) {
			t.Errorf("A has %v, but B may still read 3", got)
		}
	})
	t.Run("deleted during a round", func(t *testing.T) {
		s := newScript(t, nil)
		generation := s.collect()
		s.remove("s1")
		s.beats("B", generation, Syncing) // G-5
		s.join(ask("A", streams("s2")))
		s.beats("B", generation, Joining)
		if state := s.join(ask("B")).State; state != JoinErrSubscription {
			t.Errorf("join of B: %s", state)
		}
		s.join(ask("A", streams("s2")))
		s.owned(map[string]int{"s2": 2}, "A")
	})
	t.Run("without a generation nothing changes", func(t *testing.T) {
		s := newScript(t, nil)
		generation := s.form("A")
		s.resize("s1", 5)
		s.broken = errBroken
		if _, err := s.c.Heartbeat("p", "g1", "A", generation); !errors.Is(err, errBroken) {
			t.Errorf("heartbeat: %v", err)
		}
		s.c.Step()
		s.broken = nil
		s.beats("A", generation, Syncing)
	})
}

func testCommits(s *script) {
	t := s.T
	t.Run("stable", func(t *testing.T) {
		s := newScript(t, nil)
		s.commits("A", 0, ErrNotMember)
		generation := s.form("A", "B")
		s.commits("A", generation, nil)
		s.commits("A", generation-1, ErrGeneration)
		s.commits("A", generation+1, ErrGeneration)
		s.commits("A", NoGeneration, ErrGeneration)
		s.commits("C", generation, ErrNotMember)
	})
	t.Run("collecting", func(t *testing.T) {
		s := newScript(t, nil)
		generation := s.collect()
		s.commits("A", generation, nil)
		s.commits("B", generation, nil)
		s.commits("A", generation+1, ErrGeneration)
		s.joins("C")
		s.commits("C", NoGeneration, ErrGeneration)
	})
	t.Run("handout", func(t *testing.T) {
		s := newScript(t, nil)
		generation := s.collect()
		s.joins("A")
		s.commits("A", generation, ErrRebalancing)
		s.syncs("A")
		s.commits("A", generation, ErrGeneration)
		s.commits("A", generation+1, nil)
		s.commits("B", generation, ErrRebalancing)
	})
	t.Run("handout in which nothing moves", func(t *testing.T) {
		s := newScript(t, nil)
		generation := s.form("A", "B")
		s.resize("s1", 6)
		s.beats("A", generation, Syncing)
		s.commits("A", generation, nil) // it has lost nothing
		s.syncs("A")
		s.commits("A", generation, ErrGeneration)
		s.commits("A", generation+1, nil)
	})
	t.Run("removed", func(t *testing.T) {
		s := newScript(t, nil)
		generation := s.collect()
		s.advance(20 * time.Second)
		s.commits("A", generation, ErrNotMember)
	})
}

// testBounds: one project cannot fill the memory with members, whatever they are
// called and want, and gets back what those that leave had.
func testBounds(s *script) {
	name := strings.Repeat("n", maxClientID)
	s.joins(name)
	if _, err := s.c.Join("p", "g1", ask(name+"n")); !errors.Is(err, field.ErrInvalid) {
		s.Errorf("a client id of %d bytes: %v", len(name)+1, err)
	}
	same := s.join(ask(name, streams(slices.Repeat([]string{"s1"}, 10_000)...)))
	if len(same.Subscription) != 1 || len(s.c.groups[groupID{"p", "g1"}].members[name].sub.names) != 1 {
		s.Errorf("one stream, named often: %d", len(same.Subscription))
	}
	large := "(?:a?b?c?){1000}|"
	if got := s.join(ask("large", pattern(large+"s."))); got.State != JoinErrSubscription {
		s.Errorf("a pattern of many instructions: %v", got.State)
	}
	s.leave(name)

	if err := s.c.hold("p", maxHeld-1<<20); err != nil {
		s.Fatal(err)
	}
	r := func(i int) JoinRequest { return ask(fmt.Sprint(i), pattern("(?:a){1000}|s.")) }
	n := 0
	for ; n < 100; n++ {
		if _, err := s.c.Join("p", fmt.Sprint("g", n%3), r(n)); err != nil {
			if !errors.Is(err, ErrQuota) {
				s.Fatal(err)
			}
			break
		}
	}
	if n < 10 || n == 100 {
		s.Fatalf("%d members with large patterns", n)
	}
	if _, err := s.c.Join("other", "g0", r(n)); err != nil {
		s.Errorf("another project: %v", err)
	}
	if _, err := s.c.Join("p", "g0", r(0)); err != nil {
		s.Errorf("a member that joins again: %v", err)
	}
	if err := s.c.Leave("p", "g1", "1"); err != nil {
		s.Fatal(err)
	}
	if _, err := s.c.Join("p", "g2", r(n)); err != nil {
		s.Errorf("when another has left: %v", err)
	}
	s.advance(time.Hour)
	s.c.Step()
	if s.c.held["p"] != maxHeld-1<<20 || s.c.held["other"] != 0 {
		s.Errorf("when all have expired %v is held", s.c.held)
	}
}

func testQuota(s *script) {
	t := s.T
	full := func(t *testing.T, p *quota.Policy) *script {
		s := newScript(t, func(o *Options) { o.MaxMembers, o.Quota = 2, p })
		s.form("A", "B")
		return s
	}
	t.Run("enforced", func(t *testing.T) {
		s := full(t, &quota.Policy{Mode: quota.Enforce})
		if _, err := s.c.Join("p", "g1", ask("C")); !errors.Is(err, ErrQuota) {
			t.Errorf("join of a third: %v", err)
		}
		s.joins("A", "B")
		s.syncs("A", "B")
		s.leave("A")
		s.joins("C")
	})
	t.Run("counted", func(t *testing.T) {
		p := &quota.Policy{Mode: quota.Warn, Ledger: quota.New(time.Now)}
		s := full(t, p)
		s.joins("A", "C")
		if by := p.Ledger.List(); len(by) != 1 || by[0].Place != (quota.Place{Quota: quota.Members, Project: "p", Name: "g1"}) || by[0].Count != 1 {
			t.Errorf("exceeded by %v, want p/g1 once", by)
		}
	})
	t.Run("no policy", func(t *testing.T) {
		s := full(t, nil)
		s.joins("A", "C")
	})
}

func TestErrorsOfTheTopology(t *testing.T) {
	s := newScript(t, nil)
	_, joinErr := s.c.Join("p", "broken", ask("A"))
	_, syncErr := s.c.Sync("p", "broken", "A")
	_, beatErr := s.c.Heartbeat("p", "broken", "A", 0)
	for _, err := range []error{joinErr, syncErr, beatErr} {
		if !errors.Is(err, errBroken) {
			t.Errorf("got %v", err)
		}
	}
}

// Generations are kept where apps are, and deleting an app asks, within its
// transaction, whether the app is in use. The two must not wait for each other.
func TestLiveMembersWaitForNothing(t *testing.T) {
	s := newScript(t, nil)
	s.form("A", "B")
	asked := &asking{world: s.world}
	s.c = s.coordinator(t, func(o *Options) { o.Generations = asked })
	asked.ask = func() bool { return s.c.HasLiveMembers("p", "g1") }
	s.form("A", "B")
	if !slices.Equal(asked.answers, []bool{false, true}) {
		t.Errorf("live members while generations are made: %v", asked.answers)
	}
}

type asking struct {
	*world
	ask     func() bool
	answers []bool
}

func (a *asking) Next(project, app string) (int64, error) {
	a.answers = append(a.answers, a.ask())
	return a.world.Next(project, app)
}

func TestManyAtOnce(t *testing.T) {
	s := newScript(t, nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			client := fmt.Sprint("c", i)
			for n := range 100 {
				_, joinErr := s.c.Join("p", "g1", ask(client))
				_, syncErr := s.c.Sync("p", "g1", client)
				_, beatErr := s.c.Heartbeat("p", "g1", client, int64(n))
				if err := errors.Join(joinErr, syncErr, beatErr); err != nil {
					t.Error(err)
				}
				_ = s.c.CheckCommit("p", "g1", client, int64(n)) // whatever it says
				s.c.HasLiveMembers("p", "g1")
				s.c.Step()
				if n%10 == i {
					_ = s.c.Leave("p", "g1", client) // nor this
				}
			}
		})
	}
	wg.Wait()
	s.advance(time.Minute)
	s.c.Step()
	if len(s.c.groups) > 0 {
		t.Error("silent members remain")
	}
	s.form("A", "B")
}

// TestCTL43 lets a group form, grow and shrink under a clock that stands still; only
// real time passes.
func TestCTL43(t *testing.T) {
	still, real := time.Unix(1_900_000_000, 0), time.Unix(1_800_000_000, 0)
	s := newScript(t, func(o *Options) {
		o.Now = func() time.Time { return still }
		o.Real = func() time.Time { return real }
	})
	one := s.joinAndSync("A")
	s.beats("A", one, Stable)
	s.joins("B")
	s.beats("A", one, Stable) // calm
	real = real.Add(calm)
	s.beats("A", one, Joining)
	s.joins("A")
	s.syncs("A", "B")
	if len(s.sync("A").Assignment["s1"]) != 2 || len(s.sync("B").Assignment["s1"]) != 2 {
		t.Error("the partitions are not shared")
	}
	if next, want := s.c.Step(), still.Add(defaultSession); !next.Equal(want) {
		t.Errorf("next due %v, want %v", next, want)
	}
	still = still.Add(defaultSession)
	if next := s.c.Step(); !next.IsZero() || s.c.HasLiveMembers("p", "g1") {
		t.Errorf("silent members are there; next due %v", next)
	}
}

func (s *script) joinAndSync(client string) int64 {
	s.Helper()
	s.joins(client)
	return s.sync(client).Generation
}
