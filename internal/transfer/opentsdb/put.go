package opentsdb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// A client speaks to one OpenTSDB. Its methods may be called at any time.
type client struct {
	url            string // without a slash at the end
	user, password string // Basic, for a proxy in front
	http           *http.Client
	timeout        time.Duration // of a request
	requests       int           // of one batch at the same time
	maxTags        int           // of a point
	utf8           bool          // it keeps any letter
	size           atomic.Int64  // bytes of a request
}

// smallest is what a server with its default limits takes (TSDB-15).
const smallest = 8000

const (
	maxAnswer  = 1 << 20
	maxMessage = 300 // bytes of an answer that are logged
)

// errAccess is returned when the server refuses the user.
var errAccess = errors.New("access is denied")

// errTooLarge is returned for a request that the server finds too large.
var errTooLarge = errors.New("the server takes only small requests: is tsd.http.request.enable_chunked set?")

// put brings points there, of which none names the same as another. The order does
// not matter.
func (c *client) put(ctx context.Context, points []point) error {
	going, together := errgroup.WithContext(ctx)
	going.SetLimit(c.requests)
	for len(points) > 0 && together.Err() == nil {
		n, body := c.request(points)
		sent := points[:n]
		going.Go(func() error { return c.send(together, sent, body) })
		points = points[n:]
	}
	if err := going.Wait(); err != nil {
		return err
	}
	return ctx.Err() // then some were not sent
}

// request returns the body of the next request and how many points are in it.
func (c *client) request(points []point) (n int, body []byte) {
	limit := int(c.size.Load())
	for n < len(points) {
		text := points[n].json()
		if n > 0 && len(body)+len(text)+2 > limit {
			break
		}
		separator := byte(',')
		if n == 0 {
			separator = '['
		}
		body = append(append(body, separator), text...)
		n++
	}
	return n, append(body, ']')
}

// send sends one request. One that is too large for the server is sent again in
// parts, at once.
func (c *client) send(ctx context.Context, points []point, body []byte) error {
	err := c.post(ctx, len(points), body)
	if !errors.Is(err, errTooLarge) || len(body) <= smallest {
		return err
	}
	if c.size.Swap(smallest) != smallest {
		slog.Warn("an OpenTSDB takes only small requests, which is slow; set tsd.http.request.enable_chunked and max_chunk there", "url", c.url)
	}
	for len(points) > 0 {
		n, body := c.request(points)
		if err := c.post(ctx, n, body); err != nil {
			return err
		}
		points = points[n:]
	}
	return nil
}

// An answer is what the server says of a request with details.
type answer struct {
	Success  *int `json:"success"`
	Failed   int  `json:"failed"`
	Timeouts int  `json:"timeouts"`
	Errors   []struct {
		Error string `json:"error"`
	} `json:"errors"`
}

// post sends a request of n points and returns nil only if all are stored (TSDB-14).
func (c *client) post(ctx context.Context, n int, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	// The server is told to give up before we do.
	patience := strconv.FormatInt((c.timeout - time.Second).Milliseconds(), 10)
	status, text, err := c.do(ctx, http.MethodPost, "/api/put?details&sync&sync_timeout="+patience, body)
	if err != nil {
		return err
	}
	if status == http.StatusNoContent {
		return nil
	}
	var a answer
	detailed := json.Unmarshal(text, &a) == nil && a.Success != nil
	switch {
	case detailed && status == http.StatusOK && *a.Success == n && a.Failed == 0 && a.Timeouts == 0:
		return nil
	case detailed:
		return a.refusal(n)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("%w: HTTP %d", errAccess, status)
	case status == http.StatusRequestEntityTooLarge,
		status == http.StatusBadRequest && (bytes.Contains(text, []byte("Chunked")) || bytes.Contains(text, []byte("too large"))):
		return errTooLarge
	}
	return fmt.Errorf("HTTP %d: %s", status, firstLine(text))
}

// refusal says how many points were not stored, and why the first was not.
func (a *answer) refusal(n int) error {
	reason := "no reason given"
	if len(a.Errors) > 0 {
		reason = firstLine([]byte(a.Errors[0].Error))
	}
	return fmt.Errorf("%d of %d points were not stored, %d of them timed out: %s", n-*a.Success, n, a.Timeouts, reason)
}

func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	return strings.ToValidUTF8(string(line[:min(len(line), maxMessage)]), "")
}

// do sends a request with a length and returns status and body of the answer.
func (c *client) do(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.user != "" {
		req.SetBasicAuth(c.user, c.password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, text, err
}

// check asks whether the server is one, and changes nothing (TSDB-2).
func (c *client) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	status, _, err := c.do(ctx, http.MethodGet, "/api/version", nil)
	if err != nil || status == http.StatusOK {
		return err
	}
	if status == http.StatusBadRequest || status == http.StatusNotFound {
		status, _, err = c.do(ctx, http.MethodPost, "/api/put", []byte("[]"))
		if err != nil || status/100 == 2 || status == http.StatusBadRequest {
			return err
		}
	}
	return fmt.Errorf("HTTP %d", status)
}
