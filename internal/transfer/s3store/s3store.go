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
	"net"
	"net/http"
	"net/url"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"disd/internal/transfer"
)

// Options of a Store.
type Options struct {
	Endpoint  string // scheme://host[:port], http or https
	AccessKey string
	SecretKey string
	Region    string // default us-east-1

	// PathStyle puts the bucket into the path. It is always so when the
	// endpoint is an address or localhost; names get the bucket in front of
	// them, because OBS refuses the other form.
	PathStyle bool

	// Part is the size in bytes above which an object is sent in parts of that
	// size, default 16 MiB, at least 5 MiB.
	Part int

	Transport http.RoundTripper // default minio's
}

// A Store is a transfer.Store.
type Store struct {
	client *minio.Client
	part   int
}

// Open returns the buckets of an endpoint. It does not connect.
func Open(opts Options) (*Store, error) {
	u, err := url.Parse(opts.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("object store endpoint %q is not of the form https://host:port", opts.Endpoint)
	}
	if opts.Region == "" {
		opts.Region = "us-east-1"
	}
	if opts.Part == 0 {
		opts.Part = 16 << 20
	}
	lookup := minio.BucketLookupDNS
	if opts.PathStyle || net.ParseIP(u.Hostname()) != nil || u.Hostname() == "localhost" {
		lookup = minio.BucketLookupPath
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(opts.AccessKey, opts.SecretKey, ""), Secure: u.Scheme == "https",
		Region: opts.Region, BucketLookup: lookup, Transport: opts.Transport,
		MaxRetries: 1, // the task tries again, with its own pauses
	})
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", opts.Endpoint, err)
	}
	return &Store{client, opts.Part}, nil
}

// Bucket implements transfer.Store.
func (s *Store) Bucket(ctx context.Context, bucket string) error {
	if s3utils.CheckValidBucketName(bucket) != nil {
		return noBucket(bucket)
	}
	ok, err := s.client.BucketExists(ctx, bucket)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", transfer.ErrBucketAccess, err)
	case !ok:
		return noBucket(bucket)
	}
	return nil
}

func noBucket(bucket string) error {
	return &transfer.DestinationError{Err: transfer.ErrBucket, Name: bucket}
}

// sumHeader is the metadata that tells whether an object has the content it
// should.
const sumHeader = "Disd-Sha256"

// Put implements transfer.Store. When the outcome is unclear, the store is asked
// for it.
func (s *Store) Put(ctx context.Context, bucket, key string, content []byte) error {
	if s3utils.CheckValidBucketName(bucket) != nil {
		return errors.Join(transfer.ErrRefused, noBucket(bucket))
	}
	if len(content) > s.part {
		// What a crash left of an earlier attempt would stay for ever.
		if err := s.client.RemoveIncompleteUpload(ctx, bucket, key); err != nil {
			return classify(bucket, err)
		}
	}
	digest := sha256.Sum256(content)
	sum := hex.EncodeToString(digest[:])
	_, err := s.client.PutObject(ctx, bucket, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{
		ContentType: "application/octet-stream", UserMetadata: map[string]string{sumHeader: sum}, PartSize: uint64(s.part), SendContentMd5: true,
	})
	if err == nil {
		return nil
	}
	info, statErr := s.client.StatObject(ctx, bucket, key, minio.StatObjectOptions{})
	if statErr == nil && info.Size == int64(len(content)) && info.UserMetadata[sumHeader] == sum {
		return nil
	}
	return classify(bucket, err)
}

// Has implements transfer.Store.
func (s *Store) Has(ctx context.Context, bucket, key string) (bool, error) {
	_, err := s.client.StatObject(ctx, bucket, key, minio.StatObjectOptions{})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return false, nil
	}
	return err == nil, err
}

// Delete implements transfer.Store.
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
	case minio.NoSuchBucket:
		return errors.Join(transfer.ErrRefused, noBucket(bucket))
	case minio.AccessDenied, "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return fmt.Errorf("%w: %w: %w", transfer.ErrRefused, transfer.ErrBucketAccess, err)
	}
	return fmt.Errorf("put to bucket %s: %w", bucket, err)
}
