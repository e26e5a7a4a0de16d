package control

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"sync"

	"disd/internal/clock"
)

// maxSnapshots is how many snapshots there may be (CTL-6).
const maxSnapshots = 100

// A snapshot is a state under a name, with the clock as it was.
type snapshot struct {
	Name    string `json:"name"`
	At      string `json:"at"`
	Streams int    `json:"streams"`
	Records int    `json:"records"`
	Bytes   int64  `json:"bytes"`

	state *State
	clock clock.Reading
}

// snapshots are those of an emulator, by name.
type snapshots struct {
	mu  sync.Mutex
	all map[string]*snapshot
}

func newSnapshots() *snapshots { return &snapshots{all: make(map[string]*snapshot)} }

func (s *snapshots) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

func (s *snapshots) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.all)
}

func (s *snapshots) find(name string) (*snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.all[name]; x != nil {
		return x, nil
	}
	return nil, notFound("no snapshot %s", name)
}

func (s *snapshots) put(x *snapshot, replace bool, most int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.all[x.Name]
	if old != nil && !replace {
		return conflict("snapshot %s exists", x.Name)
	}
	if old == nil && len(s.all) >= maxSnapshots {
		return tooLarge("there are %d snapshots", maxSnapshots)
	}
	total := x.Bytes
	for _, other := range s.all {
		if other != old {
			total += other.Bytes
		}
	}
	if most > 0 && total > most {
		return tooLarge("snapshots would hold %d bytes, more than storage.memory", total)
	}
	s.all[x.Name] = x
	return nil
}

var snapshotName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (c *Control) takeSnapshot(r *request) (int, any, error) {
	var in struct {
		Name    string `json:"name"`
		Replace bool   `json:"replace"`
	}
	if err := r.decode(&in); err != nil {
		return 0, nil, err
	}
	if !snapshotName.MatchString(in.Name) {
		return 0, nil, invalid("name", "must be 1 to 64 of letters, digits, - and _")
	}
	c.moving.Lock()
	defer c.moving.Unlock()
	state, err := c.opts.World.Capture(r.Context())
	if err != nil {
		return 0, nil, engineError(err)
	}
	reading := c.clock.Read()
	x := &snapshot{
		Name: in.Name, At: showTime(reading.Now), Streams: c.opts.World.Parts().Streams.Count(),
		Records: state.Logs.Records(), Bytes: state.Logs.Size(), state: state, clock: reading,
	}
	if err := c.snapshots.put(x, in.Replace, c.opts.MaxMemory); err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, x, nil
}

func engineError(err error) error {
	if errors.Is(err, ErrEngine) {
		return conflict("%v", err)
	}
	return err
}

func (c *Control) listSnapshots(*request) (int, any, error) {
	c.snapshots.mu.Lock()
	defer c.snapshots.mu.Unlock()
	list := slices.SortedFunc(maps.Values(c.snapshots.all), func(a, b *snapshot) int { return cmp.Compare(a.Name, b.Name) })
	if list == nil {
		list = []*snapshot{}
	}
	return http.StatusOK, map[string]any{"snapshots": list}, nil
}

func (c *Control) removeSnapshot(r *request) (int, any, error) {
	x, err := c.snapshots.find(r.PathValue("name"))
	if err != nil {
		return 0, nil, err
	}
	c.snapshots.mu.Lock()
	delete(c.snapshots.all, x.Name)
	c.snapshots.mu.Unlock()
	return http.StatusOK, x, nil
}

// restore makes the state exactly that of a snapshot, and the clock too (CTL-56).
func (c *Control) restore(r *request) (int, any, error) {
	if err := r.decode(&struct{}{}); err != nil {
		return 0, nil, err
	}
	x, err := c.snapshots.find(r.PathValue("name"))
	if err != nil {
		return 0, nil, err
	}
	c.moving.Lock()
	defer c.moving.Unlock()
	watch := clock.Start()
	c.setReading(x.clock)
	if err := c.opts.World.Renew(r.Context(), x.state); err != nil {
		return 0, nil, engineError(err)
	}
	c.changed()
	return http.StatusOK, map[string]any{
		"name": x.Name, "at": x.At, "streams": x.Streams, "records": x.Records, "bytes": x.Bytes,
		"took_us": watch.Elapsed().Microseconds(),
	}, nil
}

// setReading makes the clock show what it showed, moving as it did.
func (c *Control) setReading(r clock.Reading) {
	c.unreached = nil
	c.clock.Set(r.Now, r.Speed)
}
