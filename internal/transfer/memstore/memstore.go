// Package memstore keeps objects in memory. It stands in for OBS where records are
// kept in memory too (CTL-54).
package memstore

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"disd/internal/transfer/kind"
)

// Options of a Store.
type Options struct {
	// Take reserves bytes, or gives them back when n is negative; its error means
	// that there are none left. Nil takes any number.
	Take func(n int64) error

	// Lend makes a bucket when a task names it, since nobody else can.
	Lend bool

	Now func() time.Time // default time.Now
}

// A Store is a kind.Store and a kind.Archive.
type Store struct {
	opts Options

	mu      sync.Mutex
	buckets map[string]map[string]object // by name, by key
}

// An object does not change.
type object struct {
	content []byte
	at      time.Time
}

// An Object is what is listed of one.
type Object struct {
	Key   string
	Bytes int64
	At    time.Time // when it was written
}

// Open returns a store without buckets.
func Open(opts Options) *Store {
	if opts.Take == nil {
		opts.Take = func(int64) error { return nil }
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Store{opts: opts, buckets: make(map[string]map[string]object)}
}

// overhead is what an object takes beside its content and its key.
const overhead = 200

func size(key string, content []byte) int64 { return int64(len(key)+len(content)) + overhead }

// Make makes a bucket, or returns false when it exists.
func (s *Store) Make(bucket string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, exists := s.buckets[bucket]
	if !exists {
		s.buckets[bucket] = make(map[string]object)
	}
	return !exists
}

// Remove removes a bucket with its objects, or returns false when there is none.
func (s *Store) Remove(bucket string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	objects, exists := s.buckets[bucket]
	for key, o := range objects {
		_ = s.opts.Take(-size(key, o.content)) // giving back does not fail
	}
	delete(s.buckets, bucket)
	return exists
}

// Names returns the buckets, in order.
func (s *Store) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.buckets))
}

// Objects returns the objects whose keys begin with a prefix, by key; false when
// there is no such bucket.
func (s *Store) Objects(bucket, prefix string) (list []Object, exists bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	objects, exists := s.buckets[bucket]
	for key, o := range objects {
		if strings.HasPrefix(key, prefix) {
			list = append(list, Object{key, int64(len(o.content)), o.at})
		}
	}
	slices.SortFunc(list, func(a, b Object) int { return cmp.Compare(a.Key, b.Key) })
	return list, exists
}

// Bucket implements kind.Store.
func (s *Store) Bucket(_ context.Context, bucket string) error {
	if s.opts.Lend && fs.ValidPath(bucket) && bucket != "." {
		s.Make(bucket)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets[bucket] == nil {
		return &kind.DestinationError{Err: kind.ErrBucket, Name: bucket}
	}
	return nil
}

// Put implements kind.Store.
func (s *Store) Put(_ context.Context, bucket, key string, content []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	objects := s.buckets[bucket]
	if objects == nil {
		return fmt.Errorf("%w: %w", kind.ErrRefused, &kind.DestinationError{Err: kind.ErrBucket, Name: bucket})
	}
	n := size(key, content)
	if before, exists := objects[key]; exists {
		n -= size(key, before.content)
	}
	if err := s.opts.Take(n); err != nil {
		return fmt.Errorf("bucket %s: %w", bucket, err)
	}
	objects[key] = object{slices.Clone(content), s.opts.Now()}
	return nil
}

// Has implements kind.Store.
func (s *Store) Has(_ context.Context, bucket, key string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, exists := s.buckets[bucket][key]
	return exists, nil
}

// Abandon implements kind.Store. A Put leaves nothing unfinished.
func (s *Store) Abandon(context.Context, string, string) error { return nil }

// Delete implements kind.Store.
func (s *Store) Delete(_ context.Context, bucket, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o, exists := s.buckets[bucket][key]; exists {
		_ = s.opts.Take(-size(key, o.content)) // giving back does not fail
		delete(s.buckets[bucket], key)
	}
	return nil
}

// List implements kind.Archive.
func (s *Store) List(_ context.Context, bucket, dir string) (keys []string, err error) {
	if dir != "" {
		dir += "/"
	}
	list, exists := s.Objects(bucket, dir)
	if !exists {
		return nil, &kind.DestinationError{Err: kind.ErrBucket, Name: bucket}
	}
	for _, o := range list {
		keys = append(keys, o.Key)
	}
	return keys, nil
}

// Get implements kind.Archive. The content must not be changed.
func (s *Store) Get(_ context.Context, bucket, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, exists := s.buckets[bucket][key]
	if !exists {
		return nil, fmt.Errorf("get %s/%s: %w", bucket, key, fs.ErrNotExist)
	}
	return o.content, nil
}
