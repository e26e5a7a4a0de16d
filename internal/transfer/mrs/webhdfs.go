package mrs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
)

// A client speaks WebHDFS to one cluster: to its name nodes, or to HttpFS. Its
// methods may be called at any time.
type client struct {
	name, id  string // of the cluster
	addresses []string
	user      string
	scheme    string            // http or https, also of the data nodes
	hosts     map[string]string // addresses of data nodes by their names in lower case
	http      *http.Client      // follows no redirect
	last      atomic.Uint32     // the address that answered last
}

// An exceptionError is what a server answers a call that it does not carry out.
type exceptionError struct {
	Status    int    // of HTTP
	Exception string // class without package, "" when the answer names none
	Message   string // at most 300 bytes
}

func (e *exceptionError) Error() string {
	if e.Exception == "" {
		return fmt.Sprintf("HTTP %d: %s", e.Status, e.Message)
	}
	return e.Exception + ": " + e.Message
}

// threw reports whether err is an exception of one of the classes.
func threw(err error, classes ...string) bool {
	var e *exceptionError
	if !errors.As(err, &e) {
		return false
	}
	return slices.Contains(classes, e.Exception)
}

// uploadError is returned by create when the content did not reach a data node.
type uploadError struct {
	node string // host:port, as the cluster names it
	err  error
}

func (e *uploadError) Error() string { return "upload to " + e.node + ": " + e.err.Error() }
func (e *uploadError) Unwrap() error { return e.err }

const (
	maxAnswer  = 1 << 20 // bytes of an answer that is not the content of a file
	maxMessage = 300     // bytes of a server's message that are logged (HDFS-22)
)

// status is what GETFILESTATUS says of a file or directory.
type status struct {
	Length int64  `json:"length"`
	Type   string `json:"type"` // FILE or DIRECTORY
}

// stat returns the status of a path. errGone when there is nothing.
func (c *client) stat(ctx context.Context, path string) (status, error) {
	var answer struct {
		FileStatus status `json:"FileStatus"`
	}
	err := c.call(ctx, http.MethodGet, path, "GETFILESTATUS", nil, &answer)
	if threw(err, "FileNotFoundException") {
		return status{}, errGone
	}
	return answer.FileStatus, err
}

// errGone is returned for a path that does not exist.
var errGone = errors.New("no such file or directory")

// mayWrite asks whether files may be made in a directory. A server that does not
// know the question counts as allowing (HDFS-5).
func (c *client) mayWrite(ctx context.Context, path string) error {
	err := c.call(ctx, http.MethodGet, path, "CHECKACCESS", url.Values{"fsaction": {"-wx"}}, nil)
	if threw(err, "UnsupportedOperationException", "IllegalArgumentException") {
		return nil
	}
	return err
}

// mkdirs makes a directory and those above it.
func (c *client) mkdirs(ctx context.Context, path string) error {
	return c.boolean(ctx, http.MethodPut, path, "MKDIRS", nil)
}

// rename gives a file another name and never overwrites. It fails when the
// destination exists, the source is gone or the directory is not there.
func (c *client) rename(ctx context.Context, from, to string) error {
	return c.boolean(ctx, http.MethodPut, from, "RENAME", url.Values{"destination": {to}})
}

// remove deletes a path with all below it. That there is nothing is no error.
func (c *client) remove(ctx context.Context, path string) error {
	err := c.boolean(ctx, http.MethodDelete, path, "DELETE", url.Values{"recursive": {"true"}})
	if errors.Is(err, errFalse) || threw(err, "FileNotFoundException") {
		return nil
	}
	return err
}

// errFalse is returned for a call that the server answered with false.
var errFalse = errors.New("the server answered false")

func (c *client) boolean(ctx context.Context, method, path, op string, params url.Values) error {
	var answer struct {
		Boolean bool `json:"boolean"`
	}
	if err := c.call(ctx, method, path, op, params, &answer); err != nil {
		return err
	}
	if !answer.Boolean {
		return fmt.Errorf("%s %s: %w", op, path, errFalse)
	}
	return nil
}

// create makes a file of size bytes, which must not exist. excluded is a data node
// that shall not get it, "" for none. The error is an uploadError when a data node
// was the one that failed.
func (c *client) create(ctx context.Context, path string, content io.Reader, size int64, excluded string) error {
	params := url.Values{"overwrite": {"false"}}
	if excluded != "" {
		params.Set("excludedatanodes", excluded)
	}
	resp, err := c.ask(ctx, http.MethodPut, path, "CREATE", params)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	to, node, err := c.redirect(resp)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, to.String(), content)
	if err != nil {
		return err
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", "application/octet-stream")
	sent, err := c.send(req)
	if err != nil {
		return &uploadError{node, err}
	}
	defer sent.Body.Close()
	finish(sent)
	return nil
}

// open returns the content of a file. The caller closes it.
func (c *client) open(ctx context.Context, path string) (io.ReadCloser, error) {
	resp, err := c.ask(ctx, http.MethodGet, path, "OPEN", nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusTemporaryRedirect {
		to, _, err := c.redirect(resp)
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
		if err != nil {
			return nil, err
		}
		if resp, err = c.send(req); err != nil {
			return nil, err
		}
	}
	return resp.Body, nil
}

// redirect returns where an answer sends the content and what the cluster calls that
// data node, and finishes the answer. Only a 307 redirects, and only with the scheme
// of the cluster (HDFS-3).
func (c *client) redirect(resp *http.Response) (to *url.URL, node string, err error) {
	defer finish(resp)
	if resp.StatusCode != http.StatusTemporaryRedirect {
		return nil, "", fmt.Errorf("HTTP %d where a redirect was expected", resp.StatusCode)
	}
	to, err = resp.Location()
	switch {
	case err != nil:
		return nil, "", err
	case to.Scheme != c.scheme:
		return nil, "", fmt.Errorf("a redirect leads from %s to %s", c.scheme, to.Scheme)
	}
	node = to.Host
	if address, known := c.hosts[strings.ToLower(to.Hostname())]; known {
		to.Host = net.JoinHostPort(address, to.Port())
	}
	return to, node, nil
}

// call asks and decodes the answer into v, unless v is nil.
func (c *client) call(ctx context.Context, method, path, op string, params url.Values, v any) error {
	resp, err := c.ask(ctx, method, path, op, params)
	if err != nil {
		return err
	}
	defer finish(resp)
	if v == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(v); err != nil {
		return fmt.Errorf("%s: the answer is not of WebHDFS: %w", op, err)
	}
	return nil
}

// ask sends a request without a body to the address that answered last, and to the
// others when that one does not answer or stands by (HDFS-2). An answer of status 400
// or more is an exceptionError; any other the caller finishes.
func (c *client) ask(ctx context.Context, method, path, op string, params url.Values) (*http.Response, error) {
	var failures []error
	n, first := uint32(len(c.addresses)), c.last.Load()
	for i := range n {
		at := (first + i) % n
		resp, err := c.askAt(ctx, c.addresses[at], method, path, op, params)
		var answer *exceptionError
		if err == nil || errors.As(err, &answer) && answer.Exception != "StandbyException" {
			c.last.Store(at)
			return resp, err
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("cluster %s: %w", c.name, errors.Join(failures...))
}

func (c *client) askAt(ctx context.Context, address, method, path, op string, params url.Values) (*http.Response, error) {
	query := url.Values{"op": {op}, "user.name": {c.user}}
	maps.Copy(query, params)
	u := c.scheme + "://" + address + "/webhdfs/v1" + escape(path) + "?" + query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u, nil)
	if err != nil {
		return nil, err
	}
	return c.send(req)
}

// send sends a request and makes an exceptionError of an answer of status 400 or
// more.
func (c *client) send(req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp, nil
	}
	defer finish(resp)
	var answer struct {
		RemoteException struct{ Exception, Message string }
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	e := &exceptionError{Status: resp.StatusCode, Message: string(text)}
	if json.Unmarshal(text, &answer) == nil && answer.RemoteException.Exception != "" {
		e.Exception, e.Message = answer.RemoteException.Exception, answer.RemoteException.Message
	}
	e.Message = strings.ToValidUTF8(e.Message[:min(len(e.Message), maxMessage)], "")
	return nil, e
}

// finish reads what is left of an answer, so that the connection is used again.
func finish(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // it was understood without that
	resp.Body.Close()
}

// escape encodes the elements of a path as WebHDFS reads them (HDFS-7).
func escape(path string) string {
	elements := strings.Split(path, "/")
	for i, e := range elements {
		elements[i] = strings.ReplaceAll(url.PathEscape(e), "+", "%2B")
	}
	return strings.Join(elements, "/")
}
