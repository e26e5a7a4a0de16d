package transfer

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"disd/internal/transfer/kind"
	"disd/internal/transfer/obs"
	"disd/internal/transfer/s3store"
	"disd/internal/transfer/sinktest"
)

func open(t *testing.T, endpoint string, transport http.RoundTripper) *s3store.Store {
	t.Helper()
	s, err := s3store.Open(s3store.Options{Endpoint: endpoint, AccessKey: access, SecretKey: secret, Transport: transport, Part: 5 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSink(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Destination {
		endpoint, client := serve(t)
		target := sinktest.Target(t, obs.Kind(), `{"task_name":"t","agency_name":"a","obs_bucket_path":"dump","file_prefix":"x/y","partition_format":"yyyy/MM"}`)
		target.Store = open(t, endpoint, nil)
		return sinktest.Destination{
			Target: target,
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
				if errors.Is(err, kind.ErrRefused) {
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

// TestAbandon removes the parts of uploads of one object that nobody knows the id of.
func TestAbandon(t *testing.T) {
	endpoint, client := serve(t)
	s, core := open(t, endpoint, nil), minio.Core{Client: client}
	for _, key := range []string{"a/b", "a/b", "a/bc"} {
		id, err := core.NewMultipartUpload(t.Context(), bucket, key, minio.PutObjectOptions{})
		if err == nil {
			_, err = core.PutObjectPart(t.Context(), bucket, key, id, 1, strings.NewReader("part"), 4, minio.PutObjectPartOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := s.Abandon(t.Context(), bucket, "a/b"); err != nil {
			t.Fatal(err)
		}
	}
	var left []string
	for upload := range client.ListIncompleteUploads(t.Context(), bucket, "", true) {
		left = append(left, upload.Key)
	}
	if len(left) != 1 || left[0] != "a/bc" {
		t.Errorf("left: %v", left)
	}
	if err := s.Abandon(t.Context(), "other-bucket", "a/b"); !errors.Is(err, kind.ErrRefused) {
		t.Errorf("without a bucket: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	t.Attr("rules", "OBS-8")
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
		{"no bucket", good, "other-bucket", kind.ErrBucket, true},
		{"no name", good, "..", kind.ErrBucket, true},
		{"wrong secret", stranger, bucket, kind.ErrBucketAccess, true},
		{"nobody there", nowhere, bucket, kind.ErrBucketAccess, false},
	} {
		if err := tt.store.Bucket(t.Context(), tt.bucket); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err := tt.store.Put(t.Context(), tt.bucket, "k", nil); (err == nil) != (tt.want == nil) || errors.Is(err, kind.ErrRefused) != tt.final {
			t.Errorf("%s: put %v", tt.name, err)
		}
		if there, err := tt.store.Has(t.Context(), tt.bucket, "no-such-key"); there || err != nil && errors.Is(err, kind.ErrRefused) != tt.final {
			t.Errorf("%s: has %v, %v", tt.name, there, err)
		}
	}
	for _, endpoint := range []string{"", "host:80", "ftp://host", "http://"} {
		if _, err := s3store.Open(s3store.Options{Endpoint: endpoint}); err == nil {
			t.Errorf("endpoint %q is accepted", endpoint)
		}
	}
	if _, err := s3store.Open(s3store.Options{Endpoint: endpoint, Signature: "v5"}); err == nil {
		t.Error("an unknown form of signature is accepted")
	}
}

// overwriting counts the requests that replace whatever is there; the store may
// not know any other.
type overwriting struct {
	plain bool
	count int
}

func (o *overwriting) RoundTrip(r *http.Request) (*http.Response, error) {
	q := r.URL.Query()
	puts := r.Method == http.MethodPut && !q.Has("partNumber") || r.Method == http.MethodPost && q.Has("uploadId")
	conditional := r.Header.Get("If-None-Match") != ""
	if puts && !conditional {
		o.count++
	}
	if o.plain && conditional {
		return &http.Response{
			StatusCode: http.StatusNotImplemented, Header: http.Header{"Content-Type": {"application/xml"}},
			Body: io.NopCloser(strings.NewReader(`<Error><Code>NotImplemented</Code></Error>`)), Request: r,
		}, nil
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestPutTwice: what is there already is not touched, something else is replaced.
func TestPutTwice(t *testing.T) {
	t.Attr("rules", "D-7")
	endpoint, client := serve(t)
	small, large := "content", strings.Repeat("content,", 6<<20/8)
	for _, tt := range []struct {
		name, content string
		plain         bool
		overwrites    [4]int // puts so far that overwrote
	}{
		{"small", small, false, [4]int{0, 0, 1, 1}},
		{"small and plain", small, true, [4]int{1, 2, 3, 4}},
		{"in parts", large, false, [4]int{1, 1, 2, 2}},
		{"in parts and plain", large, true, [4]int{1, 1, 2, 2}},
	} {
		o := &overwriting{plain: tt.plain}
		s := open(t, endpoint, o)
		other := strings.ToUpper(tt.content)
		for i, content := range []string{tt.content, tt.content, other, other} {
			if err := s.Put(t.Context(), bucket, tt.name, []byte(content)); err != nil {
				t.Fatal(err)
			}
			if got := contents(t, client)[tt.name]; got != content {
				t.Fatalf("%s: holds %d bytes, want %d", tt.name, len(got), len(content))
			}
			if o.count != tt.overwrites[i] {
				t.Errorf("%s: %d of %d puts overwrote what was there, want %d", tt.name, o.count, i+1, tt.overwrites[i])
			}
		}
	}
}

// TestStuckStore: a store that takes everything and says nothing.
func TestStuckStore(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(io.Discard, c)
		}
	}()
	s, err := s3store.Open(s3store.Options{Endpoint: "http://" + l.Addr().String(), Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), bucket, "k", []byte("content")); err == nil || errors.Is(err, kind.ErrRefused) {
		t.Errorf("a put without an answer: %v", err)
	}
}
