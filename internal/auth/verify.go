package auth

import (
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"disd/internal/sign"
)

// MaxSignedBody is the largest body of a signed request in bytes (C-21, S-12).
const MaxSignedBody = 12 << 20

// VerifierOptions of a Verifier. Zero means the ordinary value.
type VerifierOptions struct {
	// ClockWindow is how far the date of a signature may be from now, 0 for any
	// distance (S-8).
	ClockWindow time.Duration

	// Prefix is the path under which the server is mounted, "/dis", which some
	// clients do not sign (S-9). Default none.
	Prefix string

	// Explain makes refusals carry what was computed, and makes ModeOpen compute
	// it too.
	Explain bool

	// MaxFailures of one address in FailureWindow lead to its being refused for
	// as long again. Default 0, for no limit.
	MaxFailures int
}

// FailureWindow is the time in which failures count.
const FailureWindow = 5 * time.Minute

// A Verifier finds out who sent a request. All methods may be called at any time.
type Verifier struct {
	dir      *Directory
	opts     VerifierOptions
	failures *failures
}

// NewVerifier returns a verifier over the identities of a directory, in its mode
// and by its clock.
func NewVerifier(dir *Directory, opts VerifierOptions) *Verifier {
	opts.Prefix = strings.TrimSuffix(opts.Prefix, "/")
	return &Verifier{dir, opts, newFailures(opts.MaxFailures)}
}

// A Check is a request whose headers are in order. Where NeedsBody says so, the
// whole body as it was received must be written to it before Verify.
type Check struct {
	v         *Verifier
	r         *http.Request
	principal Principal

	sig     *sign.Signature // nil when there is nothing to verify
	secret  string
	body    hash.Hash
	size    int64
	refused error // what ModeRequired would have answered
}

// Begin looks at the headers of a request. ErrDenied, as a DeniedError; ErrTooLarge
// for a signed body that says so in its length; ErrBlacklisted.
func (v *Verifier) Begin(r *http.Request) (*Check, error) {
	if v.dir.opts.Mode == ModeOpen {
		return v.beginOpen(r), nil
	}
	if v.failures.blocked(r.RemoteAddr, v.dir.opts.Now()) {
		return nil, ErrBlacklisted
	}
	c, err := v.begin(r)
	return c, v.count(r, err)
}

// Login is Directory.Login for a request. Logins that are refused count as other
// refused requests do. ErrBlacklisted as well.
func (v *Verifier) Login(r *http.Request, in Login) (Token, string, error) {
	if v.failures.blocked(r.RemoteAddr, v.dir.opts.Now()) {
		return Token{}, "", ErrBlacklisted
	}
	if net, ok := network(r.RemoteAddr); ok {
		in.from = net.String()
	}
	t, text, err := v.dir.Login(in)
	return t, text, v.count(r, err)
}

// count remembers that a request was refused.
func (v *Verifier) count(r *http.Request, err error) error {
	if v.dir.opts.Mode != ModeOpen && (errors.Is(err, ErrDenied) || errors.Is(err, ErrLogin)) {
		v.failures.add(r.RemoteAddr, v.dir.opts.Now())
	}
	return err
}

func (v *Verifier) begin(r *http.Request) (*Check, error) {
	if token := r.Header.Get("X-Auth-Token"); token != "" { // a token beats a signature (C-15)
		t, err := v.dir.ReadToken(token)
		return &Check{v: v, r: r, principal: t.principal()}, err
	}
	sig, err := v.readSignature(r)
	if err != nil {
		return nil, err
	}
	secret, u, err := v.dir.secret(sig.AK, r.Header.Get("X-Security-Token"))
	if err != nil {
		return nil, err
	}
	if r.ContentLength > MaxSignedBody {
		return nil, ErrTooLarge
	}
	return &Check{
		v: v, r: r, sig: sig, secret: secret, body: sig.NewHash(),
		principal: Principal{User: u, AccessKey: sig.AK, scope: scopeDomain},
	}, nil
}

// readSignature parses what a signed request says of itself, and checks its date.
func (v *Verifier) readSignature(r *http.Request) (*sign.Signature, error) {
	text := r.Header.Get("Authorization")
	if text == "" {
		return nil, &DeniedError{Reason: "no credentials"}
	}
	sig, err := sign.Parse(text)
	if err != nil {
		return nil, &DeniedError{Reason: err.Error(), AccessKey: sign.AccessKey(text)}
	}
	if reason := v.badDate(r.Header[sign.DateHeader], sig); reason != "" {
		return nil, &DeniedError{Reason: reason, AccessKey: sig.AK}
	}
	return sig, nil
}

func (v *Verifier) badDate(dates []string, sig *sign.Signature) string {
	if len(dates) != 1 || len(dates[0]) != len(sign.DateForm) {
		return "X-Sdk-Date is not one date like " + sign.DateForm
	}
	signed, err := time.Parse(sign.DateForm, dates[0])
	if err != nil {
		return "X-Sdk-Date is not a date"
	}
	if sig.Scope != nil && sig.Scope[0] != dates[0][:8] {
		return "the date of the credential scope is not that of X-Sdk-Date"
	}
	now := v.dir.opts.Now().UTC()
	outside := func(t time.Time) bool { return t.Sub(signed).Abs() > v.opts.ClockWindow }
	if w := v.opts.ClockWindow; w > 0 && outside(now) && outside(v.dir.opts.Real()) {
		return fmt.Sprintf("X-Sdk-Date is %s, server time is %s, the window is %s", dates[0], now.Format(sign.DateForm), w)
	}
	return ""
}

// beginOpen lets everybody in. With Explain the signature is verified all the
// same, and Refused tells the outcome.
func (v *Verifier) beginOpen(r *http.Request) *Check {
	home := v.dir.state.Load().home()
	c := &Check{v: v, r: r}
	if v.opts.Explain {
		var err error
		if c, err = v.begin(r); err != nil {
			c = &Check{v: v, r: r, refused: err}
		}
	}
	c.principal = Principal{
		User: inventUser(home, "default"), AccessKey: sign.AccessKey(r.Header.Get("Authorization")), scope: scopeAll,
	}
	c.principal.User.Role = Administrator
	return c
}

// NeedsBody reports whether the body must be written to the check.
func (c *Check) NeedsBody() bool { return c.sig != nil }

// MaxBody returns the largest body in bytes that the request may have, where others
// may have n (C-21).
func (c *Check) MaxBody(n int64) int64 {
	if c == nil || c.sig == nil || c.principal.Anybody() {
		return n
	}
	return min(n, MaxSignedBody)
}

// Write takes a piece of the body, which counts for nothing unless it is needed.
// ErrTooLarge when it was one too many (S-12).
func (c *Check) Write(p []byte) (int, error) {
	if c == nil || c.sig == nil {
		return len(p), nil
	}
	c.size += int64(len(p))
	if c.size > MaxSignedBody && !c.principal.Anybody() {
		return 0, ErrTooLarge
	}
	return c.body.Write(p)
}

// Verify returns who sent the request. ErrDenied, as a DeniedError. What was signed is
// what counts: a query that was signed in another spelling than it was received
// in (S-9) is replaced in the request.
func (c *Check) Verify() (Principal, error) {
	if c.sig == nil {
		return c.principal, nil
	}
	err := c.verify()
	if c.principal.Anybody() {
		c.refused = err
		return c.principal, nil
	}
	if err != nil {
		return Principal{}, c.v.count(c.r, err)
	}
	return c.principal, nil
}

// Refused returns what ModeRequired would have answered, in ModeOpen with
// Explain, after Verify.
func (c *Check) Refused() error { return c.refused }

// verify compares the signature with those of the request's secret.
func (c *Check) verify() error {
	text, payload := sign.NewText(c.r, c.sig, c.v.opts.Prefix), c.sig.Payload(c.r, c.body)
	query, ok := text.Verify(c.sig, c.secret, payload)
	if !ok {
		return c.mismatch(text, payload)
	}
	if query != "" {
		c.r.URL.RawQuery = query
	}
	return nil
}

func (c *Check) mismatch(text *sign.Text, payload string) error {
	r := &DeniedError{Reason: "signature mismatch", AccessKey: c.sig.AK}
	if c.v.opts.Explain {
		r.CanonicalRequest, r.StringToSign = text.Explain(c.sig, payload)
	}
	return r
}

// A DeniedError says why a request was not let in. It is for the operator: a client
// learns no more than ErrDenied (C-25). It never holds a secret.
type DeniedError struct {
	Reason    string
	AccessKey string // "" when there was none

	// What the server computed, with Explain; "" when it did not come to that.
	CanonicalRequest string
	StringToSign     string
}

func (r *DeniedError) Error() string { return ErrDenied.Error() + ": " + r.Reason }

// Unwrap returns ErrDenied.
func (r *DeniedError) Unwrap() error { return ErrDenied }

// LogValue shows everything.
func (r *DeniedError) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("reason", r.Reason), slog.String("access_key", r.AccessKey),
		slog.String("canonical_request", r.CanonicalRequest), slog.String("string_to_sign", r.StringToSign),
	)
}
