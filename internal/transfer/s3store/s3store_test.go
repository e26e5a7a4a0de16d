package s3store_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"

	"disd/internal/transfer"
	"disd/internal/transfer/s3store"
	"disd/internal/transfer/sinktest"
)

const access, secret, bucket = "access", "secret-key", "bucket"

// serve starts an object store with one bucket and returns its endpoint and a
// client of its own.
func serve(t *testing.T) (endpoint string, client *minio.Client) {
	t.Helper()
	sidecar, err := meta.NewSideCar(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files, err := posix.New(t.TempDir(), sidecar, posix.PosixOpts{})
	if err != nil {
		t.Fatal(err)
	}
	listening := make(chan struct{})
	server, err := s3api.New(files, middlewares.RootUserConfig{Access: access, Secret: secret}, "us-east-1",
		auth.NewIAMServiceSingle(auth.Account{Access: access, Secret: secret, Role: auth.RoleAdmin}), nil, nil, nil, nil,
		s3api.WithQuiet(), s3api.WithConcurrencyLimiter(1000, 1000), s3api.WithMpMaxParts(10000),
		s3api.WithOnListen(func() { close(listening) }))
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	ended := make(chan error, 1)
	go func() { ended <- server.ServeMultiPort([]string{address}) }()
	select {
	case <-listening:
	case err := <-ended:
		t.Fatal(err)
	}
	t.Cleanup(func() { server.ShutDown(); <-ended })
	client, err = minio.New(address, &minio.Options{Creds: credentials.NewStaticV4(access, secret, ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return "http://" + address, client
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func open(t *testing.T, endpoint string, transport http.RoundTripper) *s3store.Store {
	t.Helper()
	s, err := s3store.Open(s3store.Options{Endpoint: endpoint, AccessKey: access, SecretKey: secret, Transport: transport, Part: 5 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// contents returns all objects by key.
func contents(t *testing.T, client *minio.Client) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for info := range client.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		if info.Err != nil {
			t.Fatal(info.Err)
		}
		o, err := client.GetObject(t.Context(), bucket, info.Key, minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(o)
		if err != nil {
			t.Fatal(err)
		}
		all[info.Key] = string(content)
	}
	return all
}

func TestSink(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Destination {
		endpoint, client := serve(t)
		d, err := transfer.Parse(transfer.OBS, json.RawMessage(`{"task_name":"t","agency_name":"a","obs_bucket_path":"bucket","file_prefix":"x/y","partition_format":"yyyy/MM"}`))
		if err != nil {
			t.Fatal(err)
		}
		return sinktest.Destination{
			Opener: transfer.Objects(),
			Target: transfer.Target{TaskID: "1", TaskName: "t", Stream: transfer.Stream{Name: "s"}, Descriptor: d, Store: open(t, endpoint, nil)},
			Rows: func() (rows []string) {
				for _, content := range contents(t, client) {
					rows = append(rows, strings.Split(strings.TrimSuffix(content, "\n"), "\n")...)
				}
				return rows
			},
			Vanish: func() {
				if err := client.RemoveBucket(t.Context(), bucket); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

// A line to the store that breaks at one request: before it arrives, or after it
// was carried out and the reply is on its way; or the store is not well.
type line struct {
	mu       sync.Mutex
	requests int
	at       int
	fault    string // "before", "after", "500"
}

var errBroken = errors.New("connection reset by peer")

func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	broken := l.requests == l.at
	l.requests++
	l.mu.Unlock()
	switch {
	case broken && l.fault == "before":
		return nil, errBroken
	case broken && l.fault == "500":
		return &http.Response{StatusCode: http.StatusInternalServerError, Status: "500 no", Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if broken && err == nil {
		resp.Body.Close()
		return nil, errBroken
	}
	return resp, err
}

// TestPutSurvivesEveryFault breaks the line at every request of a put, small and
// in parts. After the next attempt the object is whole, nothing else is there,
// and no part of an upload is left.
func TestPutSurvivesEveryFault(t *testing.T) {
	endpoint, client := serve(t)
	for name, content := range map[string][]byte{
		"small": []byte("content\n"), "empty": {}, "in parts": bytes.Repeat([]byte("0123456789abcdef"), 11<<20/16),
	} {
		for _, fault := range []string{"before", "after", "500"} {
			for n := 0; ; n++ {
				key := "a/b/object"
				l := &line{at: n, fault: fault}
				err := open(t, endpoint, l).Put(t.Context(), bucket, key, content)
				if err == nil && contents(t, client)[key] != string(content) {
					t.Fatalf("%s, %s at request %d: acknowledged and not there", name, fault, n)
				}
				if errors.Is(err, transfer.ErrRefused) {
					t.Fatalf("%s, %s at request %d: %v is final", name, fault, n, err)
				}
				if err := open(t, endpoint, nil).Put(t.Context(), bucket, key, content); err != nil {
					t.Fatalf("%s, %s at request %d: %v", name, fault, n, err)
				}
				if got := contents(t, client); len(got) != 1 || got[key] != string(content) {
					t.Fatalf("%s, %s at request %d: %d objects, %d bytes", name, fault, n, len(got), len(got[key]))
				}
				for left := range client.ListIncompleteUploads(t.Context(), bucket, "", true) {
					t.Errorf("%s, %s at request %d: an upload of %s is left", name, fault, n, left.Key)
				}
				for range 2 {
					if err := open(t, endpoint, nil).Delete(t.Context(), bucket, key); err != nil {
						t.Fatal(err)
					}
				}
				if got := contents(t, client); len(got) != 0 {
					t.Fatalf("%s, %s at request %d: an object that was deleted is there", name, fault, n)
				}
				if l.requests <= n {
					break
				}
			}
		}
	}
}

func TestRefusals(t *testing.T) { // OBS-8
	endpoint, _ := serve(t)
	good := open(t, endpoint, nil)
	stranger, err := s3store.Open(s3store.Options{Endpoint: endpoint, AccessKey: access, SecretKey: "wrong-secret"})
	if err != nil {
		t.Fatal(err)
	}
	nowhere := open(t, "http://"+freeAddress(t), nil)
	for _, tt := range []struct {
		name   string
		store  *s3store.Store
		bucket string
		want   error
		final  bool
	}{
		{"good", good, bucket, nil, false},
		{"no bucket", good, "other-bucket", transfer.ErrBucket, true},
		{"no name", good, "..", transfer.ErrBucket, true},
		{"wrong secret", stranger, bucket, transfer.ErrBucketAccess, true},
		{"nobody there", nowhere, bucket, transfer.ErrBucketAccess, false},
	} {
		if err := tt.store.Bucket(t.Context(), tt.bucket); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err := tt.store.Put(t.Context(), tt.bucket, "k", nil); (err == nil) != (tt.want == nil) || errors.Is(err, transfer.ErrRefused) != tt.final {
			t.Errorf("%s: put %v", tt.name, err)
		}
	}
	for _, endpoint := range []string{"", "host:80", "ftp://host", "http://"} {
		if _, err := s3store.Open(s3store.Options{Endpoint: endpoint}); err == nil {
			t.Errorf("endpoint %q is accepted", endpoint)
		}
	}
}
