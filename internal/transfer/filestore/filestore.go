// Package filestore keeps objects as files: a bucket is a directory, and the
// slashes of a key are directories in it. It stands in for OBS where there is no
// object store.
package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"disd/internal/storage/vfs"
	"disd/internal/transfer/kind"
)

// Options of a Store.
type Options struct {
	Dir string // that holds the buckets
	FS  vfs.FS // default vfs.OS
}

// A Store is a kind.Store. A bucket is made with mkdir.
type Store struct {
	dir string
	fs  vfs.FS
}

// Open returns the buckets below a directory.
func Open(opts Options) *Store {
	if opts.FS == nil {
		opts.FS = vfs.OS
	}
	return &Store{opts.Dir, opts.FS}
}

// Bucket implements kind.Store.
func (s *Store) Bucket(_ context.Context, bucket string) error {
	names, err := s.fs.ReadDir(s.dir)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", kind.ErrBucketAccess, err)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case !slices.Contains(names, bucket+"/"):
		return &kind.DestinationError{Err: kind.ErrBucket, Name: bucket}
	}
	return nil
}

// Put implements kind.Store. The object appears whole, under its own name,
// when it is on stable storage; a crash leaves at most a file that ends in .tmp,
// which the next Put of the same object replaces.
func (s *Store) Put(ctx context.Context, bucket, key string, content []byte) error {
	dir, name, err := s.locate(bucket, key)
	if err != nil {
		return err
	}
	if err := s.Bucket(ctx, bucket); errors.Is(err, kind.ErrBucket) {
		return fmt.Errorf("%w: %w", kind.ErrRefused, err)
	} else if err != nil {
		return err
	}
	if err := s.makeDirs(bucket, path.Dir(key)); err != nil {
		return err
	}
	return vfs.WriteFile(s.fs, dir, name, content)
}

// Has implements kind.Store.
func (s *Store) Has(_ context.Context, bucket, key string) (bool, error) {
	dir, name, err := s.locate(bucket, key)
	if err != nil {
		return false, err
	}
	f, err := s.fs.OpenFile(dir+"/"+name, vfs.Read)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, f.Close()
}

// Abandon implements kind.Store.
func (s *Store) Abandon(ctx context.Context, bucket, key string) error {
	return s.Delete(ctx, bucket, key+".tmp")
}

// Delete implements kind.Store.
func (s *Store) Delete(_ context.Context, bucket, key string) error {
	dir, name, err := s.locate(bucket, key)
	if err != nil {
		return err
	}
	if err := s.fs.Remove(dir + "/" + name); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return s.fs.SyncDir(dir)
}

// List implements kind.Archive. What a crash left unfinished is no object.
func (s *Store) List(ctx context.Context, bucket, dir string) (keys []string, err error) {
	if err := s.Bucket(ctx, bucket); err != nil {
		return nil, err
	}
	names, err := s.fs.ReadDir(path.Join(s.dir, bucket, dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, name := range names {
		key := path.Join(dir, name)
		switch {
		case strings.HasSuffix(name, "/"):
			below, err := s.List(ctx, bucket, key)
			if err != nil {
				return nil, err
			}
			keys = append(keys, below...)
		case !strings.HasSuffix(name, ".tmp"):
			keys = append(keys, key)
		}
	}
	return keys, err
}

// Get implements kind.Archive.
func (s *Store) Get(_ context.Context, bucket, key string) ([]byte, error) {
	dir, name, err := s.locate(bucket, key)
	if err != nil {
		return nil, err
	}
	return vfs.ReadFile(s.fs, dir+"/"+name)
}

// locate returns directory and name of an object's file. What would lie
// elsewhere than in the bucket is refused.
func (s *Store) locate(bucket, key string) (dir, name string, err error) {
	if !fs.ValidPath(bucket+"/"+key) || strings.Contains(bucket, "/") || bucket == "." || key == "." {
		return "", "", fmt.Errorf("%w: no file can have the name %q in bucket %q", kind.ErrRefused, key, bucket)
	}
	return path.Join(s.dir, bucket, path.Dir(key)), path.Base(key), nil
}

// makeDirs makes the directories of a key. Each is durable before anything is
// put into it.
func (s *Store) makeDirs(bucket, dir string) error {
	parent := s.dir + "/" + bucket
	if dir == "." {
		return nil
	}
	for element := range strings.SplitSeq(dir, "/") {
		if err := vfs.MkdirSync(s.fs, parent, element); err != nil {
			return err
		}
		parent += "/" + element
	}
	return nil
}
