package transfer

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"disd/internal/quota"
	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/transfer/kind"
)

// A State is the state of a task, or of one partition in it (4.2).
type State string

const (
	Starting State = "STARTING" // the server has not begun to run it
	Running  State = "RUNNING"
	Abnormal State = "ABNORMAL" // the destination fails at the moment
	Paused   State = "PAUSED"   // stopped by its owner, or while its stream is frozen
	Failed   State = "ERROR"    // waits for its owner: the destination refused a batch
)

// A Task is a transfer task as it is stored.
type Task struct {
	ID         string          `json:"id"`
	StreamID   string          `json:"stream_id"`
	Name       string          `json:"name"`
	Created    int64           `json:"created"`         // ms
	Order      int64           `json:"order,omitempty"` // of creation within the stream, 0 for tasks of older versions
	Descriptor kind.Descriptor `json:"descriptor"`
	Secret     []byte          `json:"secret,omitempty"` // what the descriptor hides, encrypted
	Revision   int             `json:"revision"`         // counts changes of the descriptor

	// Distinct is a task whose files have its id in their names.
	Distinct bool `json:"distinct,omitempty"`

	// Paused is what the owner wants, not what happens at the moment.
	Paused bool `json:"paused,omitempty"`

	Started int64 `json:"started,omitempty"` // ms when its owner started it last, 0 for never
}

// A Position is how far a task has come in one partition.
type Position struct {
	Next      storage.Seq `json:"next"`                // to deliver
	Discarded int64       `json:"discarded,omitempty"` // records that did not reach the destination (D-9)
	Delivered int64       `json:"delivered,omitempty"` // ms of the last delivery, 0 before the first
	Last      storage.Seq `json:"last"`                // delivered, -1 before the first
	Start     storage.Seq `json:"start,omitempty"`     // where the task began
	Floor     int64       `json:"floor,omitempty"`     // ms, behind every time that delivered batches may have used (HBASE-12)
}

// A Gap is a run of records that retention removed before a task read them.
type Gap struct {
	Last  storage.Seq `json:"last"`           // the first is in the key
	Found int64       `json:"found"`          // ms
	Kept  int64       `json:"kept,omitempty"` // number of records among them that are at the destination
}

// All tables begin with the stream, whose deletion takes them along.
var (
	tasks     = catalog.NewTable[Task]("tasks")              // Task.key
	positions = catalog.NewTable[Position]("task_positions") // Task.runKey
	intents   = catalog.NewTable[Intent]("task_intents")     // Task.runKey
	gaps      = catalog.NewTable[Gap]("task_gaps")           // Task.gapKey
)

func (row *Task) key() catalog.Key { return catalog.Key{row.StreamID, row.Name} }

// runsKey is what the rows about a task's partitions have in common.
func (row *Task) runsKey() catalog.Key { return catalog.Key{row.StreamID, row.ID} }

// runKey ends with the partition in ten digits.
func (row *Task) runKey(partition int32) catalog.Key {
	return append(row.runsKey(), catalog.Digits(partition, 10))
}

// gapKey ends with the first number of the gap in 19 digits.
func (row *Task) gapKey(partition int32, first storage.Seq) catalog.Key {
	return append(row.runKey(partition), catalog.Digits(first, 19))
}

// stored returns ErrTaskNotFound unless the task exists in the picture of a
// transaction. Whoever writes about a task asks first, so that nothing is left
// of one that was deleted.
func (row *Task) stored(tx catalog.Tx) error {
	now, ok, err := tasks.Get(tx, row.key())
	if err == nil && (!ok || now.ID != row.ID) {
		err = ErrTaskNotFound
	}
	return err
}

// A task is a live one.
type task struct {
	streamID, id, name string // never change

	change sync.Mutex // held by whoever changes the row

	mu      sync.Mutex
	row     Task    // as stored
	meant   meaning // of the row's descriptor
	runs    map[int32]*run
	failed  error // why nothing is delivered until the owner starts it again
	halted  bool  // no batch may be begun
	working sync.WaitGroup
	ctx     context.Context // of batches on their way
	cancel  context.CancelFunc
}

// A meaning is a descriptor, read by its kind.
type meaning struct {
	kind     *kind.Kind
	settings kind.Settings
}

// read returns what a descriptor means.
func (t *Tasks) read(d kind.Descriptor) (m meaning, err error) {
	m.kind, m.settings, err = t.opts.Kinds.Decode(d)
	return m, err
}

func (t *Tasks) newTask(row Task) (*task, error) {
	m, err := t.read(row.Descriptor)
	k := &task{streamID: row.StreamID, id: row.ID, name: row.Name, row: row, meant: m, runs: make(map[int32]*run)}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	return k, err
}

// set replaces the row, once it is stored.
func (k *task) set(row Task, m meaning) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.row, k.meant = row, m
}

// meaning returns what the descriptor of the task means.
func (k *task) meaning() meaning {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.meant
}

// load reads how far the task has come.
func (k *task) load(tx catalog.Tx) error {
	own := k.row.runsKey()
	err := positions.Each(tx, own, func(key catalog.Key, p Position) error {
		r, err := k.runOf(key[2])
		r.position = p
		return err
	})
	if err != nil {
		return err
	}
	return intents.Each(tx, own, func(key catalog.Key, i Intent) error {
		r, err := k.runOf(key[2])
		r.intent, r.resumed = &i, true
		return err
	})
}

func (k *task) runOf(partition string) (*run, error) {
	id, err := strconv.ParseInt(partition, 10, 32)
	return k.run(int32(id)), err
}

// run returns the run of a partition. One that is new to the task is read from
// its first record (D-5).
func (k *task) run(partition int32) *run {
	r := k.runs[partition]
	if r == nil {
		r = &run{partition: partition, position: Position{Last: -1}}
		k.runs[partition] = r
	}
	return r
}

// all returns the runs that there are.
func (k *task) all() []*run {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Collect(maps.Values(k.runs))
}

// snapshot returns the stored task.
func (k *task) snapshot() Task {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.row
}

// Create makes a task that runs when nil is returned (TC-R1 to TC-R7). The
// descriptor comes from kind.Set.Parse. An error of Streams, ErrTaskQuota, ErrTaskExists,
// a field.Error or one of the errors of destinations; nothing is stored
// then.
func (t *Tasks) Create(ctx context.Context, streamID string, d kind.Descriptor) error {
	stream, err := t.opts.Streams.Describe(streamID)
	if err != nil {
		return err
	}
	secret := t.opts.Kinds.Hide(d)
	m, err := t.read(d)
	if err != nil {
		return err
	}
	if err := m.settings.Suits(stream); err != nil {
		return err
	}
	row := Task{
		ID: catalog.NewID(), StreamID: streamID, Name: d.Text("task_name"),
		Created: t.opts.Now().UnixMilli(), Descriptor: d,
	}
	free, err := t.reserve(&row, stream)
	if err != nil {
		return err
	}
	defer free()
	if err := t.examine(ctx, t.target(&row, m, stream, secret)); err != nil {
		return err
	}
	row.Secret = t.vault.seal(row.ID, secret)
	k, err := t.newTask(row)
	if err != nil {
		return err
	}
	if err := t.place(ctx, k, stream); err != nil {
		return err
	}
	err = t.opts.DB.Update(func(tx catalog.Tx) error {
		if err := t.opts.Streams.Exists(tx, streamID); err != nil {
			return err
		}
		for id, r := range k.runs {
			if err := positions.Put(tx, row.runKey(id), r.position); err != nil {
				return err
			}
		}
		if err := t.claim(tx, &k.row, m.settings, stream, false); err != nil {
			return err
		}
		k.row.Order = 1
		if err := tasks.Each(tx, catalog.Key{streamID}, func(_ catalog.Key, other Task) error {
			k.row.Order = max(k.row.Order, other.Order+1)
			return nil
		}); err != nil {
			return err
		}
		return tasks.Put(tx, k.row.key(), k.row)
	})
	if err == nil {
		t.publish(k)
	}
	return err
}

// reserve takes the name and the quota of a task to be made. What it returns
// gives the name back if it was not used.
func (t *Tasks) reserve(row *Task, stream kind.Stream) (free func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	names := t.byID[row.StreamID]
	if len(names) >= t.opts.MaxTasks && t.opts.Quota.Exceeded(quota.Tasks, stream.Project, stream.Name) {
		return nil, ErrTaskQuota
	}
	if _, taken := names[row.Name]; taken {
		return nil, ErrTaskExists
	}
	if names == nil {
		names = make(map[string]*task)
		t.byID[row.StreamID] = names
	}
	names[row.Name] = nil
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if k, made := t.byID[row.StreamID][row.Name]; made && k == nil {
			t.removeLocked(row.StreamID, row.Name)
		}
	}, nil
}

// place sets where the task starts in every partition there is (TC-R7, D-5).
func (t *Tasks) place(ctx context.Context, k *task, stream kind.Stream) error {
	for id, status := range stream.Partitions {
		if status == kind.Expired {
			continue
		}
		log, err := t.opts.Logs.Open(ctx, storage.LogID{Stream: stream.ID, Partition: int32(id)})
		if err != nil {
			return err
		}
		oldest, next := log.Bounds()
		if k.meant.settings.Task().FromOldest() {
			next = oldest
		}
		p := &k.run(int32(id)).position
		p.Next, p.Start = next, next
	}
	return nil
}

// target returns what a task delivers to, but for its store.
func (t *Tasks) target(row *Task, m meaning, stream kind.Stream, secret string) kind.Target {
	return kind.Target{
		TaskID: row.ID, TaskName: row.Name, Stream: stream,
		Settings: m.settings, Kind: m.kind, Secret: secret,
	}
}

// equip gives a target the store of the task's agency. ErrAgency.
func (t *Tasks) equip(target *kind.Target) (err error) {
	target.Store, err = t.opts.Agency(target.Stream.Project, target.Settings.Task().Agency)
	return err
}

// examine looks whether the outside world has what a task needs (TC-R6).
func (t *Tasks) examine(ctx context.Context, target kind.Target) error {
	if err := t.equip(&target); err != nil {
		return err
	}
	opener, err := opener(target.Kind)
	if err != nil {
		return err
	}
	if err := opener.Check(ctx, target); err != nil {
		return err
	}
	bucket, _ := target.Settings.Backup()
	if bucket == "" {
		return nil
	}
	return target.Store.Bucket(ctx, bucket)
}

// opener returns what reaches destinations of a kind.
func opener(k *kind.Kind) (kind.Opener, error) {
	if k.Opener == nil {
		return nil, &kind.DestinationError{Err: k.Missing, Name: "this server has no destination of type " + string(k.Type)}
	}
	return k.Opener, nil
}

// Update changes the descriptor of a task to that of
// kind.Set.ParseUpdate, all or nothing
// (E48). Batches already sealed are delivered as they were meant. ErrTaskNotFound,
// or an error of Create.
func (t *Tasks) Update(ctx context.Context, streamID string, change kind.Descriptor) error {
	stream, err := t.opts.Streams.Describe(streamID)
	if err != nil {
		return err
	}
	k, err := t.find(streamID, change.Text("task_name"))
	if err != nil {
		return err
	}
	k.change.Lock()
	defer k.change.Unlock()
	row := k.snapshot()
	row.Descriptor, err = t.opts.Kinds.Change(row.Descriptor, change)
	if err != nil {
		return err
	}
	secret, err := t.changedSecret(&row)
	if err != nil {
		return err
	}
	m, err := t.read(row.Descriptor)
	if err != nil {
		return err
	}
	if err := m.settings.Suits(stream); err != nil {
		return err
	}
	if err := t.examine(ctx, t.target(&row, m, stream, secret)); err != nil {
		return err
	}
	row.Revision++
	err = t.opts.DB.Update(func(tx catalog.Tx) error {
		if err := row.stored(tx); err != nil {
			return err
		}
		if err := t.claim(tx, &row, m.settings, stream, false); err != nil {
			return err
		}
		return tasks.Put(tx, row.key(), row)
	})
	if err == nil {
		k.set(row, m)
	}
	return err
}

// changedSecret takes a new password out of the descriptor; the mask, which is
// all that clients are shown, stands for the old one.
func (t *Tasks) changedSecret(row *Task) (string, error) {
	secret := t.opts.Kinds.Hide(row.Descriptor)
	if secret == kind.Hidden {
		return t.vault.open(row.ID, row.Secret)
	}
	row.Secret = t.vault.seal(row.ID, secret)
	return secret, nil
}

// Delete stops a task and forgets it with all its positions (E24). Nothing is
// written to the destination after it returned. ErrTaskNotFound.
func (t *Tasks) Delete(streamID, name string) error {
	k, err := t.find(streamID, name)
	if err != nil {
		return err
	}
	k.change.Lock()
	defer k.change.Unlock()
	k.halt(t.opts.Grace)
	t.tidy(k, k.all()...)
	t.forget(k)
	row := k.snapshot()
	err = t.opts.DB.Update(func(tx catalog.Tx) error {
		if err := row.stored(tx); err != nil {
			return err
		}
		_, err1 := positions.Clear(tx, row.runsKey())
		_, err2 := intents.Clear(tx, row.runsKey())
		_, err3 := gaps.Clear(tx, row.runsKey())
		return errors.Join(err1, err2, err3, tasks.Delete(tx, row.key()))
	})
	if err != nil && !errors.Is(err, ErrTaskNotFound) {
		k.resume()
		return err
	}
	t.drop(k)
	return err
}

// Start lets tasks go on where they stopped, all or none (E26). Each is named by
// its id or its name. ErrTaskNotFound.
func (t *Tasks) Start(streamID string, ids []string) error {
	return t.pause(streamID, ids, false)
}

// Stop pauses tasks, all or none (E27). What is on its way is delivered, or
// given back after a few seconds. ErrTaskNotFound.
func (t *Tasks) Stop(streamID string, ids []string) error {
	return t.pause(streamID, ids, true)
}

func (t *Tasks) pause(streamID string, ids []string, paused bool) error {
	named, err := t.resolve(streamID, ids)
	if err != nil {
		return err
	}
	for _, k := range named {
		k.change.Lock()
		defer k.change.Unlock()
	}
	if paused {
		haltAll(named, t.opts.Grace)
	}
	now := t.opts.Now().UnixMilli()
	rows := make([]Task, len(named))
	for i, k := range named {
		rows[i] = k.snapshot()
		if rows[i].Paused = paused; !paused {
			rows[i].Started = now
		}
	}
	err = t.opts.DB.Update(func(tx catalog.Tx) error {
		for _, row := range rows {
			if err := row.stored(tx); err != nil {
				return err
			}
			if err := tasks.Put(tx, row.key(), row); err != nil {
				return err
			}
		}
		return nil
	})
	for i, k := range named {
		if err == nil {
			k.set(rows[i], k.meaning())
		}
		k.resume()
	}
	return err
}

// resolve finds tasks by id, else by name; each once, in the order of names, so
// that two calls lock them in the same order (E26-R3, E26-R5).
func (t *Tasks) resolve(streamID string, ids []string) ([]*task, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []*task
	for _, id := range ids {
		k := t.byID[streamID][id]
		for _, other := range t.byID[streamID] {
			if other != nil && other.id == id {
				k = other
			}
		}
		if k == nil {
			return nil, ErrTaskNotFound
		}
		if !slices.Contains(found, k) {
			found = append(found, k)
		}
	}
	slices.SortFunc(found, func(a, b *task) int { return cmp.Compare(a.name, b.name) })
	return found, nil
}

// halt lets no new batch begin and waits for those on their way; what has not
// ended within grace is given back (E27-R1).
func (k *task) halt(grace time.Duration) {
	k.mu.Lock()
	k.halted = true
	late := time.AfterFunc(grace, k.cancel)
	k.mu.Unlock()
	k.working.Wait()
	late.Stop()
}

func haltAll(all []*task, grace time.Duration) {
	var halting sync.WaitGroup
	for _, k := range all {
		halting.Go(func() { k.halt(grace) })
	}
	halting.Wait()
}

// resume undoes halt, and forgets earlier failures: whoever starts a task wants
// it tried at once.
func (k *task) resume() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ctx.Err() != nil {
		k.ctx, k.cancel = context.WithCancel(context.Background())
	}
	k.halted, k.failed = false, nil
	for _, r := range k.runs {
		r.failure = failure{last: r.failure.last}
	}
}
