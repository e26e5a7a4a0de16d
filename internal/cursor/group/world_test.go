package group

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"
)

// A world is what surrounds a coordinator: a clock, streams, and numbers that
// survive a restart.
type world struct {
	mu      sync.Mutex
	time    time.Time
	streams map[string]*Stream // by id
	foreign map[string]bool    // ids of other accounts that may be read
	noApp   map[string]bool
	numbers map[groupID]int64
	broken  error // of Next
	nextID  int
}

func newWorld() *world {
	return &world{
		time:    time.Unix(1_800_000_000, 0),
		streams: make(map[string]*Stream),
		foreign: make(map[string]bool),
		noApp:   make(map[string]bool),
		numbers: make(map[groupID]int64),
	}
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.time
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.time = w.time.Add(d)
}

// create makes a stream of n partitions and returns its id.
func (w *world) create(name string, n int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nextID++
	id := fmt.Sprintf("id%d", w.nextID)
	w.streams[id] = &Stream{ID: id, Name: name, Readable: upTo(n)}
	return id
}

func upTo(n int) []int32 {
	list := make([]int32, n)
	for i := range list {
		list[i] = int32(i)
	}
	return list
}

func (w *world) remove(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, st := range w.streams {
		if st.Name == name {
			delete(w.streams, id)
		}
	}
}

// resize sets which partitions of a stream can be read.
func (w *world) resize(name string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, st := range w.streams {
		if st.Name == name {
			w.streams[id] = &Stream{ID: id, Name: name, Readable: upTo(n)}
		}
	}
}

func (w *world) AppExists(_, app string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if app == "broken" {
		return false, errBroken
	}
	return !w.noApp[app], nil
}

func (w *world) ByName(_, name string) (Stream, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, st := range w.streams {
		if st.Name == name && !w.foreign[id] {
			return *st, true
		}
	}
	return Stream{}, false
}

func (w *world) ByID(project, id string) (Stream, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	st := w.streams[id]
	if st == nil || w.foreign[id] && project != "friend" {
		return Stream{}, false
	}
	return *st, true
}

func (w *world) List(string) (list []Stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, st := range w.streams {
		if !w.foreign[id] {
			list = append(list, *st)
		}
	}
	slices.SortFunc(list, func(a, b Stream) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

var errBroken = errors.New("disk is full")

func (w *world) Next(project, app string) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return 0, w.broken
	}
	id := groupID{project, app}
	if _, ok := w.numbers[id]; ok {
		w.numbers[id]++
	} else {
		w.numbers[id] = 0
	}
	return w.numbers[id], nil
}

func (w *world) coordinator(t *testing.T, change func(*Options)) *Coordinator {
	t.Helper()
	opts := Options{Topology: w, Generations: w, Now: w.now, Real: w.now, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&opts)
	}
	c, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
