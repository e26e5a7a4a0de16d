// Package transfer runs transfer (dump) tasks: it reads the records of a stream
// and delivers them, in batches, to where the task's descriptor says. What was
// delivered is complete, in order and not doubled, whatever crashed in between;
// DESIGN.md says how. Reference: section 5.5; api.md 3.6 and 4.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"disd/internal/clock"
	"disd/internal/quota"
	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/transfer/kind"
)

// Logs is where the records are: a storage.Engine.
type Logs interface {
	Open(ctx context.Context, id storage.LogID) (storage.Log, error)
}

// Streams is where tasks learn about streams.
type Streams interface {
	// Describe returns a stream by its id, or an error when it does not exist.
	Describe(id string) (kind.Stream, error)
	// Exists returns an error when the stream does not exist in the picture of
	// a transaction, so that no task outlives its stream.
	Exists(tx catalog.Tx, id string) error
}

// Options of Tasks. Nil and zero mean the ordinary value.
type Options struct {
	DB      catalog.Store // required
	Streams Streams       // required
	Logs    Logs          // required

	// Store is what stands in for OBS: where OBS tasks deliver, and where the
	// others put what they cannot deliver. It has the server's own credentials.
	// Required.
	Store kind.Store

	// Kinds are those of destinations that the server knows. Required.
	Kinds kind.Set

	// Agency returns the Store with the credentials of an agency, or kind.ErrAgency
	// when the project has none of that name. It is asked again for every batch.
	// By default every name is accepted and stands for the server itself.
	Agency func(project, name string) (kind.Store, error)

	// Manifest adds to what a task writes a manifest of each batch, by which
	// VerifyDump can tell whether everything is there.
	Manifest bool

	Now    func() time.Time // default time.Now
	Real   func() time.Time // real time, by which a destination is stuck; default clock.Wall
	Logger *slog.Logger     // default slog.Default

	// MaxTasks is the number of tasks a stream may have, default 5. Quota
	// decides whether one more is refused; nil never does.
	MaxTasks int
	Quota    *quota.Policy

	// Keys encrypt passwords at rest, 32 bytes each: the first one seals, all of
	// them open, and Open seals anew what another one sealed. By default a random
	// one, without which passwords are lost at the end.
	Keys [][]byte

	Zone       *time.Location // of time directories and times in records (OBS-2), default UTC; one with a name of the time zone database
	FileName   string         // template of the names of files, default kind.DefaultFileName
	Workers    int            // batches on their way at the same time, default 4; beside them, as many to destinations that are stuck
	MaxBytes   int            // data in one batch, default 64 MiB (D-6)
	MaxRecords int            // records in one batch, default 100 000
	Grace      time.Duration  // how long a batch may take when its task is stopped, default 5 s (E27-R1)
	Tick       time.Duration  // how often tasks are looked after, default 1 s
}

func (o *Options) setDefaults() {
	if o.Agency == nil {
		o.Agency = func(string, string) (kind.Store, error) { return o.Store, nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Real == nil {
		o.Real = clock.Wall
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	setDefault(&o.FileName, kind.DefaultFileName)
	setDefault(&o.MaxTasks, 5)
	setDefault(&o.Workers, 4)
	setDefault(&o.MaxBytes, 64<<20)
	setDefault(&o.MaxRecords, 100_000)
	setDefault(&o.Grace, 5*time.Second)
	setDefault(&o.Tick, time.Second)
}

func setDefault[T comparable](field *T, v T) {
	var zero T
	if *field == zero {
		*field = v
	}
}

// Tasks holds the transfer tasks of all streams. All methods may be called at
// any time.
type Tasks struct {
	opts  Options
	vault vault

	running atomic.Bool    // Run is at work
	wake    chan struct{}  // one token: a run may be due
	leaving sync.WaitGroup // what is done for tasks whose stream is gone

	workers chan struct{} // a token for each batch on its way
	spare   chan struct{} // the same for destinations that are stuck

	mu    sync.Mutex
	byID  map[string]map[string]*task // stream id, task name; nil while it is being made
	lanes map[string]*lane            // by destination
}

// Open loads all tasks. They are at rest until Run is called.
func Open(opts Options) (*Tasks, error) {
	opts.setDefaults()
	if _, err := time.LoadLocation(opts.Zone.String()); err != nil {
		return nil, fmt.Errorf("the zone of time directories must have a name that can be looked up again: %w", err)
	}
	if err := CheckFileName(opts.FileName); err != nil {
		return nil, fmt.Errorf("template of file names: %w", err)
	}
	vault, err := openVault(opts.Keys)
	if err != nil {
		return nil, err
	}
	if err := vault.renew(opts.DB); err != nil {
		return nil, err
	}
	t := &Tasks{
		opts: opts, vault: vault, byID: make(map[string]map[string]*task),
		wake: make(chan struct{}, 1), workers: make(chan struct{}, opts.Workers), spare: make(chan struct{}, opts.Workers),
		lanes: make(map[string]*lane),
	}
	err = opts.DB.View(func(tx catalog.Tx) error {
		return tasks.Each(tx, nil, func(_ catalog.Key, row Task) error {
			k, err := t.newTask(row)
			if err != nil {
				return fmt.Errorf("transfer task %s: %w", row.Name, err)
			}
			t.publish(k)
			return k.load(tx)
		})
	})
	if err != nil {
		return nil, err
	}
	if err := t.setBack(); err != nil {
		return nil, err
	}
	return t, t.claimAll()
}

// setBack moves tasks back that stand beyond the end of a log: the loss of power took
// records that they had read, and their numbers will be given again. It must be done,
// durably, before anything is appended.
func (t *Tasks) setBack() error {
	for _, k := range t.live() {
		for _, r := range k.all() {
			log, err := t.opts.Logs.Open(context.Background(), storage.LogID{Stream: k.streamID, Partition: r.partition})
			if err != nil {
				continue // the partition has expired, or says what is wrong when it is read
			}
			_, next := log.Bounds()
			p := r.position
			if p.Next <= next && (r.intent == nil || r.intent.Last < next) {
				continue
			}
			d := t.newDelivery(k, r, log)
			d.logger().Error("a transfer task is set back: records that it had read were lost unsynced", "from", p.Next, "to", min(p.Next, next))
			p.Next, p.Last, p.Start = min(p.Next, next), min(p.Last, next-1), min(p.Start, next)
			if err := d.update(p, nil, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Tasks) publish(k *task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	names := t.byID[k.streamID]
	if names == nil {
		names = make(map[string]*task)
		t.byID[k.streamID] = names
	}
	names[k.name] = k
}

// find returns the live task of that name, or ErrTaskNotFound.
func (t *Tasks) find(streamID, name string) (*task, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.byID[streamID][name]; k != nil {
		return k, nil
	}
	return nil, ErrTaskNotFound
}

// drop forgets a live task.
func (t *Tasks) drop(k *task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[k.streamID][k.name] == k {
		t.removeLocked(k.streamID, k.name)
	}
}

func (t *Tasks) removeLocked(streamID, name string) {
	delete(t.byID[streamID], name)
	if len(t.byID[streamID]) == 0 {
		delete(t.byID, streamID)
	}
}

// Kinds are those of destinations that tasks may have.
func (t *Tasks) Kinds() kind.Set { return t.opts.Kinds }

// Quota is how many tasks a stream may have (E23).
func (t *Tasks) Quota() int { return t.opts.MaxTasks }

// ForgetStream removes all tasks of a stream, within the transaction that
// deletes it (E5-R5). Their runs end by themselves.
func ForgetStream(tx catalog.Tx, streamID string) error {
	var errs []error
	for _, clear := range []func(catalog.Tx, catalog.Key) (int, error){tasks.Clear, positions.Clear, intents.Clear, gaps.Clear} {
		_, err := clear(tx, catalog.Key{streamID})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
