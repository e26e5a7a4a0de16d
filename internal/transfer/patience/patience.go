// Package patience ends what makes no progress, and never what is slow: a server that
// is stuck must not keep a batch for ever, nor a slow one be cut off.
package patience

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// A Transport ends a request, its answer included, when no byte has moved for Timeout.
type Transport struct {
	http.RoundTripper
	Timeout time.Duration
}

// RoundTrip implements http.RoundTripper.
func (p Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(p.Timeout, func() { cancel(fmt.Errorf("no progress for %v", p.Timeout)) })
	end := func() {
		timer.Stop()
		cancel(nil)
	}
	progress := func() { timer.Reset(p.Timeout) }
	sent := r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		sent.Body = moving{r.Body, progress, func() {}}
	}
	resp, err := p.RoundTripper.RoundTrip(sent)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		end()
		return nil, err
	}
	progress()
	resp.Body = moving{resp.Body, progress, end}
	return resp, nil
}

// A moving body says when bytes of it have moved.
type moving struct {
	io.ReadCloser
	progress, end func()
}

func (m moving) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	if n > 0 {
		m.progress()
	}
	return n, err
}

func (m moving) Close() error {
	defer m.end()
	return m.ReadCloser.Close()
}
