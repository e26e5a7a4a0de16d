package control

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"
)

// Buckets are what stands in for OBS, as far as controls look into it.
type Buckets interface {
	// Make makes a bucket in memory, and reports false when it exists.
	Make(name string) bool
	// Remove removes a bucket in memory with its objects, and reports false when
	// there is none.
	Remove(name string) bool
	// Names returns the buckets, in order.
	Names() []string
	// Objects returns the objects of a bucket whose keys begin with a prefix, and
	// false when there is no such bucket.
	Objects(ctx context.Context, bucket, prefix string) ([]Object, bool)
	// Object returns the content of an object, and false when it does not exist.
	Object(ctx context.Context, bucket, key string) ([]byte, bool)
}

// An Object is one of a bucket.
type Object struct {
	Key   string
	Bytes int64
	At    time.Time // when it was written
}

func (c *Control) buckets() (Buckets, error) {
	b := c.opts.World.Parts().Buckets
	if b == nil {
		return nil, conflict("buckets are not kept in memory")
	}
	return b, nil
}

func (c *Control) listBuckets(*request) (int, any, error) {
	b, err := c.buckets()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]any{"buckets": append([]string{}, b.Names()...)}, nil
}

func (c *Control) makeBucket(r *request) (int, any, error) {
	b, err := c.buckets()
	if err != nil {
		return 0, nil, err
	}
	name := r.PathValue("bucket")
	if !b.Make(name) {
		return 0, nil, conflict("bucket %s exists", name)
	}
	return http.StatusCreated, map[string]any{"bucket": name}, nil
}

func (c *Control) removeBucket(r *request) (int, any, error) {
	b, err := c.buckets()
	if err != nil {
		return 0, nil, err
	}
	name := r.PathValue("bucket")
	if !b.Remove(name) {
		return 0, nil, notFound("no bucket %s", name)
	}
	return http.StatusOK, map[string]any{"bucket": name}, nil
}

type objectReply struct {
	Key   string `json:"key"`
	Bytes int64  `json:"bytes"`
	At    string `json:"at"`
}

func (c *Control) listObjects(r *request) (int, any, error) {
	b, err := c.buckets()
	if err != nil {
		return 0, nil, err
	}
	objects, ok := b.Objects(r.Context(), r.PathValue("bucket"), r.query.Get("prefix"))
	if !ok {
		return 0, nil, notFound("no bucket %s", r.PathValue("bucket"))
	}
	list := []objectReply{}
	for _, o := range objects {
		list = append(list, objectReply{o.Key, o.Bytes, showTime(o.At)})
	}
	slices.SortFunc(list, func(a, b objectReply) int { return cmp.Compare(a.Key, b.Key) })
	return http.StatusOK, map[string]any{"objects": list}, nil
}

func (c *Control) getObject(r *request) (int, any, error) {
	b, err := c.buckets()
	if err != nil {
		return 0, nil, err
	}
	body, ok := b.Object(r.Context(), r.PathValue("bucket"), r.PathValue("key"))
	if !ok {
		return 0, nil, notFound("no object %s in bucket %s", r.PathValue("key"), r.PathValue("bucket"))
	}
	return http.StatusOK, raw{"application/octet-stream", body}, nil
}
