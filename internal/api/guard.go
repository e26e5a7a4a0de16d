package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"disd/internal/api/rest"
	"disd/internal/auth"
	"disd/internal/auth/audit"
	"disd/internal/quota"
)

// Errors of requests that are not let in.
var (
	errProject      = errors.New("invalid project id")
	errTooManyCalls = errors.New("too many calls")
)

// A guard decides who may call what, and tells the audit log. It implements
// rest.Guard.
type guard struct {
	*Options
	calls    *quota.Rate // nil for any number
	failures gate        // of strangers, in the audit log
}

func newGuard(o *Options) *guard {
	g := &guard{Options: o}
	if o.ControlCalls > 0 && o.Quota.On() {
		g.calls = quota.NewRate(o.ControlCalls, o.Now)
	}
	return g
}

// Begin implements rest.Guard.
func (g *guard) Begin(op *rest.Operation, r *http.Request) (*auth.Check, error) {
	if op.Everybody() || op.Service == rest.Admin && rest.IsLocal(r) {
		return nil, nil
	}
	return g.Verifier.Begin(r)
}

// letInKey is the key of a context for what is called when a request is let in.
type letInKey struct{}

// WhenLetIn returns a context for the requests of one connection. Whenever one of them is
// let in, that is known to be somebody's who may do something here, f is called.
func WhenLetIn(ctx context.Context, f func()) context.Context {
	return context.WithValue(ctx, letInKey{}, f)
}

// Admit implements rest.Guard.
func (g *guard) Admit(op *rest.Operation, c *rest.Call) error {
	if op.Everybody() {
		return nil
	}
	err := g.admit(op, c)
	if f, ok := c.Context().Value(letInKey{}).(func()); ok && err == nil {
		f()
	}
	return err
}

func (g *guard) admit(op *rest.Operation, c *rest.Call) error {
	switch op.Service {
	case rest.DIS:
		return g.admitProject(op, c)
	case rest.Admin:
		if c.Principal.Anybody() && rest.FromBrowser(c.Request) || !rest.IsLocal(c.Request) && !c.Principal.CanAdminister() {
			return rest.Detail(auth.ErrForbidden, op.Name)
		}
	}
	return nil
}

// admitProject checks that the caller may do this in the project of the path.
func (g *guard) admitProject(op *rest.Operation, c *rest.Call) error {
	c.Project = c.Param("project")
	if err := checkProject(c); err != nil {
		return err
	}
	if err := g.Identities.Enter(c.Principal, c.Project); err != nil {
		return rest.Detail(err, c.Project)
	}
	if op.Controls() && g.calls != nil && g.calls.Exceeded(c.Project) && g.Quota.Exceeded(quota.Calls, c.Project, "") {
		return errTooManyCalls
	}
	if op.Changes() && !c.Principal.CanWrite() {
		return rest.Detail(auth.ErrForbidden, op.Name)
	}
	return nil
}

// maxProject is the longest id of a project in bytes; those of the cloud have 32.
const maxProject = 256

// checkProject refuses the placeholder of SDKs that were given no project, what
// cannot be kept, and a header that contradicts the path (C-9, 1.2).
func checkProject(c *rest.Call) error {
	switch c.Project {
	case "auth", "projects", "users", "domains": // the names of IAM (C-2)
		return rest.Detail(errProject, c.Project)
	}
	if c.Project == "{project_id}" || len(c.Project) > maxProject || strings.IndexByte(c.Project, 0) >= 0 || !utf8.ValidString(c.Project) {
		return rest.Detail(errProject, c.Project[:min(len(c.Project), 64)])
	}
	if h := c.Header.Get("X-Project-Id"); h != "" && h != c.Project {
		return rest.Detail(errProject, h)
	}
	return nil
}

// Done implements rest.Guard: it tells the audit log who changed what, or was not let
// to.
func (g *guard) Done(op *rest.Operation, c *rest.Call, status int, code string) {
	refused := status == http.StatusUnauthorized || status == http.StatusForbidden
	if g.Audit == nil || op.Service == rest.Own || !refused && (!op.Changes() || op.Data) {
		return
	}
	u, now := c.Principal.User, g.Now()
	if u.ID == "" && status >= http.StatusBadRequest && !g.failures.pass(now) {
		return
	}
	g.Audit(audit.Entry{
		Time: now, RequestID: c.ID, Address: c.RemoteAddr,
		Domain: u.Domain.Name, User: u.Name, UserID: u.ID, AccessKey: clip(c.Principal.AccessKey),
		Project: clip(c.Project), Operation: op.Name, Resource: clip(c.URL.Path), Subjects: subjects(c), Status: status, Code: code,
	})
}

// subjects names what a call is about: what its path says, and what its operation added.
func subjects(c *rest.Call) map[string]string {
	for _, kind := range []string{"stream", "app", "client", "task", "tag", "key"} {
		c.About(kind, c.Param(kind))
	}
	for kind, name := range c.Subjects {
		c.Subjects[kind] = cut(name, 128)
	}
	return c.Subjects
}

// clip shortens what a client may have made long to fill the audit log.
func clip(s string) string { return cut(s, 512) }

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// A gate lets a hundred things a second pass: what strangers do in vain must not
// drive what others did out of the audit log, whose size is bounded.
type gate struct {
	mu     sync.Mutex
	second int64
	passed int
}

func (g *gate) pass(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t := now.Unix(); t != g.second {
		g.second, g.passed = t, 0
	}
	g.passed++
	return g.passed <= 100
}
