package control

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"disd/internal/clock"
)

// Options of a Control.
type Options struct {
	Clock   *clock.Clock // required
	World   World        // required
	Logger  *slog.Logger // default slog.Default
	Version string       // of the program
	Engine  string       // the name of the storage engine

	// Admit returns an Error when a request may not use the controls (section 8).
	Admit func(*http.Request) error

	// Changed is told of every call that changes something, with its status.
	Changed func(r *http.Request, status int)

	Seed      *Seed // of the start, nil for none
	Journal   int   // how many requests are kept, 0 for none
	MaxBody   int64 // bytes of a body, default 128 MiB
	MaxMemory int64 // bytes of the records of all snapshots together, 0 for any number
}

// A Control is the controls of an emulator. All methods may be called at any time.
type Control struct {
	opts    Options
	clock   *clock.Clock
	faults  *Faults
	journal *journal

	// moving is held while the clock is set or advanced.
	moving    sync.Mutex
	unreached *unreached

	mu      sync.Mutex
	pulse   chan struct{} // closed when something may have happened that somebody waits for
	waiters int

	snapshots *snapshots
}

// New returns the controls of an emulator.
func New(opts Options) *Control {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.MaxBody == 0 {
		opts.MaxBody = 128 << 20
	}
	c := &Control{opts: opts, clock: opts.Clock, pulse: make(chan struct{}), snapshots: newSnapshots()}
	c.faults = newFaults(opts.Clock, c.changed)
	c.journal = &journal{max: opts.Journal, changed: c.changed}
	return c
}

func (c *Control) driver() *Driver { return c.opts.World.Parts().Driver }

// changed lets everybody look again who waits for something.
func (c *Control) changed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiters > 0 {
		close(c.pulse)
		c.pulse = make(chan struct{})
	}
}

var errTimeout = errors.New("it did not happen in time")

func isTimeout(err error) bool { return errors.Is(err, errTimeout) }

// defaultWait is how long a wait takes unless it says otherwise, in real time, and
// maxWaits how many there may be at a time (CTL-68).
const (
	defaultWait = 10 * time.Second
	maxWaits    = 1000
)

// look is the longest real time between two looks at what somebody waits for, where
// nothing announces it.
const lookAgain = 20 * time.Millisecond

// await returns nil as soon as reached says so, errTimeout when it does not in time,
// or the error of reached or of ctx.
func (c *Control) await(ctx context.Context, timeout time.Duration, reached func() (bool, error)) error {
	c.mu.Lock()
	if c.waiters >= maxWaits {
		c.mu.Unlock()
		return tooLarge("%d waits are under way", maxWaits)
	}
	c.waiters++
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.waiters--
		c.mu.Unlock()
	}()
	late := time.NewTimer(timeout)
	defer late.Stop()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		c.mu.Lock()
		pulse := c.pulse
		c.mu.Unlock()
		if ok, err := reached(); ok || err != nil {
			return err
		}
		select {
		case <-pulse:
		case <-again.C:
		case <-late.C:
			return errTimeout
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// note tells the log and the audit of a change (CTL-103).
func (c *Control) note(r *http.Request, status int) {
	if status < http.StatusBadRequest {
		c.opts.Logger.Info("control", "method", r.Method, "path", r.URL.Path, "from", r.RemoteAddr)
	}
	if c.opts.Changed != nil {
		c.opts.Changed(r, status)
	}
}

func (c *Control) routes() []route {
	return []route{
		{"GET /{$}", c.show, nil, true},

		{"POST /faults", c.addFaults, nil, false},
		{"GET /faults", c.listFaults, nil, true},
		{"DELETE /faults", c.removeFaults, []string{"project"}, false},
		{"GET /faults/{id}", c.getFault, nil, true},
		{"DELETE /faults/{id}", c.removeFault, nil, false},
		{"GET /faults/{id}/wait", c.waitFault, []string{"fired", "matched", "timeout"}, true},

		{"GET /clock", c.getClock, nil, true},
		{"POST /clock/freeze", c.freeze, nil, false},
		{"POST /clock/advance", c.advance, nil, false},
		{"POST /clock/set", c.set, nil, false},
		{"POST /clock/run", c.run, nil, false},
		{"POST /clock/resume", c.resume, nil, false},

		{"POST /reset", c.reset, nil, false},
		{"POST /seed", c.postSeed, []string{"existing"}, false},
		{"POST /snapshots", c.takeSnapshot, nil, false},
		{"GET /snapshots", c.listSnapshots, nil, true},
		{"DELETE /snapshots/{name}", c.removeSnapshot, nil, false},
		{"POST /snapshots/{name}/restore", c.restore, nil, false},

		{"POST /wait", c.wait, nil, true},
		{"GET /streams/{project}/{stream}/records", c.listRecords, []string{"partition", "from", "limit"}, true},
		{"GET /groups/{project}/{app}", c.getGroup, nil, true},
		{"POST /groups/{project}/{app}/expire", c.expireMember, nil, false},
		{"POST /groups/{project}/{app}/rebalance", c.rebalance, nil, false},
		{"GET /requests", c.listRequests, append([]string{"last"}, requestQuery...), true},
		{"DELETE /requests", c.clearRequests, []string{"project"}, false},
		{"GET /requests/wait", c.waitRequests, append([]string{"count", "timeout"}, requestQuery...), true},
	}
}

// show says that the controls are on, and what is there (CTL-7).
func (c *Control) show(r *request) (int, any, error) {
	return http.StatusOK, map[string]any{
		"version": c.opts.Version, "engine": c.opts.Engine, "clock": c.showClock(r.Context()),
		"faults": c.faults.count(), "snapshots": c.snapshots.count(), "requests": c.journal.count(),
		"streams": c.opts.World.Parts().Streams.Count(),
	}, nil
}
