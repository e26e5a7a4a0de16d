package s3store_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"disd/internal/transfer/kind"
	"disd/internal/transfer/s3store"
)

const access, secret = "EXAMPLEACCESSKEY0001", "example-secret-0001"

// narrow dials with a small buffer, so that what was written has nearly arrived.
func narrow(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(16 << 10)
	}
	return c, err
}

// TestPace: a store may be slow, as long as it takes or answers something now and
// then; one that does neither is given up.
func TestPace(t *testing.T) {
	const timeout, pause, pauses = 500 * time.Millisecond, 25 * time.Millisecond, 40
	content := strings.Repeat("content\n", 64<<10/8*pauses)
	for _, tt := range []struct {
		name   string
		method string
		serve  func(w http.ResponseWriter, r *http.Request)
		works  bool
	}{
		{"slow to take", http.MethodPut, func(w http.ResponseWriter, r *http.Request) {
			for range pauses {
				time.Sleep(pause) // is the fault
				io.CopyN(io.Discard, r.Body, 64<<10)
			}
			io.Copy(io.Discard, r.Body)
		}, true},
		{"slow to answer", http.MethodGet, func(w http.ResponseWriter, _ *http.Request) {
			for range pauses {
				time.Sleep(pause) // is the fault
				io.WriteString(w, content[:64<<10])
				http.NewResponseController(w).Flush()
			}
		}, true},
		{"stops to answer", http.MethodGet, func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, content[:64<<10])
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, false},
		{"stops to take", http.MethodPut, func(w http.ResponseWriter, r *http.Request) {
			io.CopyN(io.Discard, r.Body, 64<<10)
			<-r.Context().Done()
		}, false},
		{"does not answer", http.MethodPut, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gone := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != tt.method {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				ctx, stop := context.WithCancel(r.Context())
				defer stop()
				go func() { <-gone; stop() }()
				w.Header().Set("ETag", `"x"`)
				w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
				tt.serve(w, r.WithContext(ctx))
			}))
			defer server.Close()
			defer close(gone)
			s, err := s3store.Open(s3store.Options{
				Endpoint: server.URL, AccessKey: access, SecretKey: secret, Timeout: timeout, Transport: &http.Transport{DialContext: narrow},
			})
			if err != nil {
				t.Fatal(err)
			}
			if tt.method == http.MethodPut {
				err = s.Put(t.Context(), "bucket", "key", []byte(content))
			} else {
				var got []byte
				if got, err = s.Get(t.Context(), "bucket", "key"); err == nil && string(got) != content {
					t.Errorf("got %d bytes", len(got))
				}
			}
			if (err == nil) != tt.works || errors.Is(err, kind.ErrRefused) {
				t.Error(err)
			}
		})
	}
}

// subresources are the parameters that a signature of version 2 covers, of those
// that a Store uses.
var subresources = []string{"location", "partNumber", "uploadId", "uploads"}

// signV2 returns what AWS defines as the signature of version 2 of a request.
func signV2(secret, bucketInHost string, r *http.Request) string {
	var amz []string
	for name, values := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") {
			amz = append(amz, name+":"+strings.Join(values, ",")+"\n")
		}
	}
	slices.Sort(amz)
	resource := r.URL.EscapedPath()
	if bucketInHost != "" {
		resource = "/" + bucketInHost + resource
	}
	separator := "?"
	for _, name := range subresources {
		if values, there := r.URL.Query()[name]; there {
			resource += separator + name
			if values[0] != "" {
				resource += "=" + values[0]
			}
			separator = "&"
		}
	}
	date := r.Header.Get("Date")
	if r.Header.Get("X-Amz-Date") != "" {
		date = ""
	}
	mac := hmac.New(sha1.New, []byte(secret))
	io.WriteString(mac, strings.Join([]string{r.Method, r.Header.Get("Content-MD5"), r.Header.Get("Content-Type"), date, strings.Join(amz, "") + resource}, "\n"))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// TestSignV2 holds what this test goes by against the example of AWS.
func TestSignV2(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/photos/puppy.jpg", nil)
	r.Header.Set("Date", "Tue, 27 Mar 2007 19:36:42 +0000")
	if got := signV2("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "awsexamplebucket1", r); got != "qgk2+6Sv9/oM7G3qLEjTH1a1l1g=" {
		t.Errorf("got %s", got)
	}
}

// TestVersion2 has every kind of request signed by version 2, with the bucket in the
// path and in front of the host.
func TestVersion2(t *testing.T) {
	for _, inHost := range []bool{false, true} {
		var mu sync.Mutex
		var seen []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			bucket := ""
			if inHost {
				bucket, _, _ = strings.Cut(r.Host, ".")
			}
			q := r.URL.Query()
			mu.Lock()
			seen = append(seen, r.Method+" "+strings.Join(slices.Sorted(maps.Keys(q)), ","))
			mu.Unlock()
			want := "AWS " + access + ":" + signV2(secret, bucket, r)
			if got := r.Header.Get("Authorization"); got != want {
				t.Errorf("bucket in host %v: %s %s is signed %q, want %q", inHost, r.Method, r.URL, got, want)
			}
			io.Copy(io.Discard, r.Body)
			w.Header().Set("ETag", `"x"`)
			switch {
			case r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, "key"):
				w.WriteHeader(http.StatusNotFound)
			case r.Method == http.MethodDelete:
				w.WriteHeader(http.StatusNoContent)
			case r.Method == http.MethodGet:
				io.WriteString(w, "<ListMultipartUploadsResult></ListMultipartUploadsResult>")
			case q.Has("uploads"):
				io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>")
			case q.Has("uploadId"):
				io.WriteString(w, `<CompleteMultipartUploadResult><Bucket>bucket</Bucket><ETag>"x"</ETag></CompleteMultipartUploadResult>`)
			}
		}))
		opts := s3store.Options{Endpoint: server.URL, AccessKey: access, SecretKey: secret, Signature: "v2", Part: 5 << 20}
		if inHost {
			opts.Endpoint = "http://obs.example.com"
			opts.Transport = &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
			}}
		}
		s, err := s3store.Open(opts)
		if err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"bucket": s.Bucket(t.Context(), "bucket"),
			"put":    s.Put(t.Context(), "bucket", "a/small key", []byte("content")),
			"parts":  s.Put(t.Context(), "bucket", "a/large key", make([]byte, 6<<20)),
			"delete": s.Delete(t.Context(), "bucket", "a/key"),
		} {
			if err != nil {
				t.Errorf("bucket in host %v: %s: %v", inHost, what, err)
			}
		}
		server.Close()
		for _, kind := range []string{"HEAD ", "PUT ", "POST uploads", "PUT partNumber,uploadId", "POST uploadId", "DELETE "} {
			if !slices.Contains(seen, kind) {
				t.Errorf("no request %q among %q", kind, seen)
			}
		}
	}
}
