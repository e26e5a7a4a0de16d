// Package s3store keeps objects in a store that speaks the S3 protocol, such as
// OBS.
package s3store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"disd/internal/transfer/kind"
	"disd/internal/transfer/patience"
)

// Options of a Store.
type Options struct {
	Endpoint  string // scheme://host[:port], http or https
	AccessKey string
	SecretKey string
	Region    string // default us-east-1

	// Signature is v4, the default, or v2 for stores that know no other.
	Signature string

	// PathStyle puts the bucket into the path. It is always so when the
	// endpoint is an address or localhost; names get the bucket in front of
	// them, because OBS refuses the other form.
	PathStyle bool

	// Part is the size in bytes above which an object is sent in parts of that
	// size, default 16 MiB, at least 5 MiB.
	Part int

	// Timeout is how long a request may make no progress: neither the store take
	// a byte nor answer one. Default 1 min.
	Timeout time.Duration

	Transport http.RoundTripper // default minio's
}

// A Store is a kind.Store.
type Store struct {
	client *minio.Client
	part   int

	// unconditional is set when the store has refused a conditional write as
	// something it does not know.
	unconditional atomic.Bool
}

// Open returns the buckets of an endpoint. It does not connect.
func Open(opts Options) (*Store, error) {
	u, err := url.Parse(opts.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || *u != (url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}) || strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("object store endpoint is not of the form https://host:port") // its text may have a password in it
	}
	if opts.Region == "" {
		opts.Region = "us-east-1"
	}
	if opts.Part == 0 {
		opts.Part = 16 << 20
	}
	if opts.Timeout == 0 {
		opts.Timeout = time.Minute
	}
	creds, err := sign(opts)
	if err != nil {
		return nil, err
	}
	if opts.Transport == nil {
		transport, err := minio.DefaultTransport(u.Scheme == "https")
		if err != nil {
			return nil, err
		}
		transport.ResponseHeaderTimeout = 0 // Timeout stands for it
		opts.Transport = transport
	}
	lookup := minio.BucketLookupDNS
	if opts.PathStyle || net.ParseIP(u.Hostname()) != nil || u.Hostname() == "localhost" {
		lookup = minio.BucketLookupPath
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: creds, Secure: u.Scheme == "https",
		Region: opts.Region, BucketLookup: lookup, Transport: patience.Transport{RoundTripper: opts.Transport, Timeout: opts.Timeout},
		MaxRetries: 1, // the task tries again, with its own pauses
	})
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", u.Host, err)
	}
	return &Store{client: client, part: opts.Part}, nil
}

func sign(opts Options) (*credentials.Credentials, error) {
	switch opts.Signature {
	case "", "v4":
		return credentials.NewStaticV4(opts.AccessKey, opts.SecretKey, ""), nil
	case "v2":
		return credentials.NewStaticV2(opts.AccessKey, opts.SecretKey, ""), nil
	}
	return nil, fmt.Errorf("object store signature is %q, must be v4 or v2", opts.Signature)
}

// Bucket implements kind.Store.
func (s *Store) Bucket(ctx context.Context, bucket string) error {
	if s3utils.CheckValidBucketName(bucket) != nil {
		return noBucket(bucket)
	}
	ok, err := s.client.BucketExists(ctx, bucket)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", kind.ErrBucketAccess, err)
	case !ok:
		return noBucket(bucket)
	}
	return nil
}

func noBucket(bucket string) error {
	return &kind.DestinationError{Err: kind.ErrBucket, Name: bucket}
}

// sumHeader is the metadata that tells whether an object has the content it
// should.
const sumHeader = "Disd-Sha256"

// Put implements kind.Store. An object that has the content already is left
// alone, so that a batch that is delivered again changes nothing: a small one by a
// conditional write, where the store knows them, one in parts by asking first, as
// minio-go has no condition for those. When the outcome is unclear, the store is
// asked for it.
func (s *Store) Put(ctx context.Context, bucket, key string, content []byte) error {
	if s3utils.CheckValidBucketName(bucket) != nil {
		return errors.Join(kind.ErrRefused, noBucket(bucket))
	}
	digest := sha256.Sum256(content)
	sum := hex.EncodeToString(digest[:])
	if len(content) > s.part {
		// What is left of an earlier attempt would stay for ever.
		if err := s.Abandon(ctx, bucket, key); err != nil {
			return err
		}
		if s.holds(ctx, bucket, key, len(content), sum) {
			return nil
		}
	}
	err := s.put(ctx, bucket, key, content, sum, !s.unconditional.Load())
	if err == nil || s.holds(ctx, bucket, key, len(content), sum) {
		return nil
	}
	switch minio.ToErrorResponse(err).Code {
	case minio.PreconditionFailed: // there is another object
		err = s.put(ctx, bucket, key, content, sum, false)
	case minio.NotImplemented:
		s.unconditional.Store(true)
		err = s.put(ctx, bucket, key, content, sum, false)
	}
	if err == nil || s.holds(ctx, bucket, key, len(content), sum) {
		return nil
	}
	return classify(bucket, err)
}

// put makes an object; a small one that must be new only where there is none.
func (s *Store) put(ctx context.Context, bucket, key string, content []byte, sum string, mustBeNew bool) error {
	opts := minio.PutObjectOptions{
		ContentType: "application/octet-stream", UserMetadata: map[string]string{sumHeader: sum}, PartSize: uint64(s.part), SendContentMd5: true,
	}
	if mustBeNew {
		opts.SetMatchETagExcept("*")
	}
	info, err := s.client.PutObject(ctx, bucket, key, bytes.NewReader(content), int64(len(content)), opts)
	if err == nil && info.ETag == "" {
		return errNoETag
	}
	return err
}

// errNoETag is a 200 that is not the answer to a put, but perhaps that of a proxy
// on the way.
var errNoETag = errors.New("the answer names no object")

// holds reports whether an object is there, with a size and a checksum.
func (s *Store) holds(ctx context.Context, bucket, key string, size int, sum string) bool {
	info, err := s.client.StatObject(ctx, bucket, key, minio.StatObjectOptions{})
	return err == nil && info.Size == int64(size) && info.UserMetadata[sumHeader] == sum
}

// Has implements kind.Store.
func (s *Store) Has(ctx context.Context, bucket, key string) (bool, error) {
	_, err := s.client.StatObject(ctx, bucket, key, minio.StatObjectOptions{})
	switch {
	case minio.ToErrorResponse(err).Code == minio.NoSuchKey:
		return false, nil
	case err != nil:
		return false, classify(bucket, err)
	}
	return true, nil
}

// List implements kind.Archive.
func (s *Store) List(ctx context.Context, bucket, dir string) (keys []string, err error) {
	if dir != "" {
		dir += "/"
	}
	for info := range s.client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: dir, Recursive: true}) {
		if info.Err != nil {
			return nil, fmt.Errorf("list bucket %s: %w", bucket, info.Err)
		}
		keys = append(keys, info.Key)
	}
	return keys, nil
}

// Get implements kind.Archive.
func (s *Store) Get(ctx context.Context, bucket, key string) ([]byte, error) {
	o, err := s.client.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("get %s/%s: %w", bucket, key, err)
	}
	content, err := io.ReadAll(o)
	_ = o.Close() // it was only read
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return nil, fmt.Errorf("get %s/%s: %w", bucket, key, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("get %s/%s: %w", bucket, key, err)
	}
	return content, nil
}

// Abandon implements kind.Store. Uploads in parts are found by their key: nobody
// needs to know their ids.
func (s *Store) Abandon(ctx context.Context, bucket, key string) error {
	err := s.client.RemoveIncompleteUpload(ctx, bucket, key)
	if err != nil {
		return classify(bucket, err)
	}
	return nil
}

// Delete implements kind.Store.
func (s *Store) Delete(ctx context.Context, bucket, key string) error {
	err := s.client.RemoveObject(ctx, bucket, key, minio.RemoveObjectOptions{})
	if err == nil || minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return nil
	}
	return classify(bucket, err)
}

// classify says what trying again would not cure.
func classify(bucket string, err error) error {
	switch minio.ToErrorResponse(err).Code {
	case minio.NoSuchBucket, minio.InvalidBucketName:
		return errors.Join(kind.ErrRefused, noBucket(bucket))
	case minio.AccessDenied, "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return fmt.Errorf("%w: %w: %w", kind.ErrRefused, kind.ErrBucketAccess, err)
	}
	return fmt.Errorf("bucket %s: %w", bucket, err)
}
