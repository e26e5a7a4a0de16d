package s3store_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"disd/internal/transfer"
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
			if (err == nil) != tt.works || errors.Is(err, transfer.ErrRefused) {
				t.Error(err)
			}
		})
	}
}
