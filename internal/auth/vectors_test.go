package auth

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A vector is a request signed by a real client.
type vector struct {
	name     string
	method   string
	target   string
	headers  [][2]string
	body     []byte
	ak, sk   string
	date     time.Time
	skew     time.Duration // of the client's clock
	canon    string        // "" where the file has none
	toSign   string
	host     string // "port_removed" where the client signs it so
	unsigned bool   // payload
	refuse   bool
	verifier *Verifier // by the clock of the client
}

// impossible are the vectors that no DIS call produces (S-13).
var impossible = map[string]bool{"caller-supplied-content-hash": true, "otc-signer-quirk-post-without-body": true}

func readVectors(t testing.TB) []vector {
	t.Helper()
	all := append(legacyVectors(t), v3Vectors(t)...)
	for i := range all {
		v := &all[i]
		v.verifier = verifierFor(t, v.ak, v.sk, v.date, VerifierOptions{ClockWindow: 15 * time.Minute})
	}
	return all
}

func readJSON(t testing.TB, file string, v any) {
	t.Helper()
	raw, err := os.ReadFile("../sign/testdata/" + file)
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func legacyVectors(t testing.TB) []vector {
	type entry struct {
		ID               string
		Expect           string
		Method, Target   string
		Headers          [][2]string
		Body             string `json:"body_base64"`
		CanonicalRequest string `json:"canonical_request"`
		StringToSign     string `json:"string_to_sign"`
		Skew             int    `json:"clock_skew_seconds"`
		Rules            struct{ Host string }
	}
	var file struct {
		Credentials struct {
			AK string `json:"access_key"`
			SK string `json:"secret_key"`
		}
		Vectors  []entry
		Negative []entry `json:"negative_vectors"`
	}
	readJSON(t, "signature-vectors.json", &file)
	var all []vector
	for _, e := range append(file.Vectors, file.Negative...) {
		body, err := base64.StdEncoding.DecodeString(e.Body)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, vector{
			name: e.ID, method: e.Method, target: e.Target, headers: e.Headers, body: body,
			ak: file.Credentials.AK, sk: file.Credentials.SK, date: dateOf(t, e.Headers),
			skew: time.Duration(e.Skew) * time.Second, canon: e.CanonicalRequest, toSign: e.StringToSign,
			host: e.Rules.Host, refuse: e.Expect != "accept",
		})
	}
	return all
}

func v3Vectors(t testing.TB) []vector {
	var entries []struct {
		Name, AK, SK     string
		Method, URL      string
		Headers          map[string]string
		Body             string
		Authorization    string
		CanonicalRequest string `json:"canonical_request"`
		StringToSign     string `json:"string_to_sign"`
	}
	readJSON(t, "signature-vectors-v3.json", &entries)
	var all []vector
	for _, e := range entries {
		rest := strings.TrimPrefix(e.URL, "http://")
		v := vector{
			name: e.Name, method: e.Method, target: rest[strings.IndexByte(rest, '/'):], body: []byte(e.Body),
			ak: e.AK, sk: e.SK, canon: e.CanonicalRequest, toSign: e.StringToSign, refuse: impossible[e.Name],
			unsigned: e.Headers["X-Sdk-Content-Sha256"] == "UNSIGNED-PAYLOAD",
		}
		for name, value := range e.Headers {
			v.headers = append(v.headers, [2]string{name, value})
		}
		v.headers = append(v.headers, [2]string{"Authorization", e.Authorization})
		v.date = dateOf(t, v.headers)
		all = append(all, v)
	}
	return all
}

func dateOf(t testing.TB, headers [][2]string) time.Time {
	t.Helper()
	for _, h := range headers {
		if strings.EqualFold(h[0], "x-sdk-date") {
			date, err := time.Parse("20060102T150405Z", h[1])
			if err != nil {
				t.Fatal(err)
			}
			return date
		}
	}
	t.Fatal("a vector without a date")
	return time.Time{}
}

// raw returns the request as bytes on the wire.
func (v *vector) raw() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", v.method, v.target)
	length := false
	for _, h := range v.headers {
		if strings.EqualFold(h[0], "content-length") {
			length, h[1] = true, strconv.Itoa(len(v.body))
		}
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	if !length && len(v.body) > 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(v.body))
	}
	return append(append(b.Bytes(), "\r\n"...), v.body...)
}

// verifierFor returns a verifier that knows one access key, which is taken for a
// temporary one in requests with a security token: that of a vector was issued by
// another server.
func verifierFor(t testing.TB, ak, sk string, now time.Time, opts VerifierOptions) *Verifier {
	t.Helper()
	d, err := OpenDirectory(Options{
		Now: func() time.Time { return now },
		Domains: []DomainConfig{{Name: "acme", Users: []UserConfig{
			{Name: "alice", AccessKeys: []KeyConfig{{AK: ak, SK: sk}}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	u, err := d.FindUser("acme", "alice")
	if err != nil {
		t.Fatal(err)
	}
	d.openTemporary = func(string) (temporary, error) {
		return temporary{AK: ak, SK: sk, User: u.ID, Expires: now.Add(time.Hour).UnixMicro()}, nil
	}
	return NewVerifier(d, opts)
}

// check does what the API does with a request.
func check(v *Verifier, r *http.Request) (Principal, error) {
	c, err := v.Begin(r)
	if err != nil {
		return Principal{}, err
	}
	if c.NeedsBody() {
		if _, err := io.Copy(c, r.Body); err != nil {
			return Principal{}, err
		}
	}
	return c.Verify()
}

// TestVectors sends every vector to a real server, so that it is also shown that
// net/http loses nothing that was signed (S-5, S-13).
func TestVectors(t *testing.T) {
	t.Attr("rules", "S-1 S-2 S-3 S-4 S-5 S-6 S-13 C-22 C-24")
	for _, v := range readVectors(t) {
		t.Run(v.name, func(t *testing.T) {
			got := make(chan error, 1)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				p, err := check(v.verifier, r)
				if err == nil && (p.User.Name != "alice" || p.AccessKey != v.ak) {
					err = fmt.Errorf("principal is %+v", p)
				}
				got <- err
			}))
			defer server.Close()
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write(v.raw()); err != nil {
				t.Fatal(err)
			}
			if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
				t.Fatal(err)
			}
			err = <-got
			if v.refuse != errors.Is(err, ErrDenied) {
				t.Errorf("got %v, refused: want %t", err, v.refuse)
			}
		})
	}
}

// TestExplanation compares what a refusal says with what the client computed.
func TestExplanation(t *testing.T) {
	n := 0
	for _, v := range readVectors(t) {
		if v.refuse || v.canon == "" || v.host == "port_removed" || strings.Contains(v.canon, "x-security-token:") || strings.Contains(v.name, "quirk") {
			continue
		}
		n++
		t.Run(v.name, func(t *testing.T) {
			verifier := verifierFor(t, v.ak, "another secret", v.date, VerifierOptions{Explain: true})
			_, err := check(verifier, parse(t, v.raw()))
			var why *DeniedError
			if !errors.As(err, &why) {
				t.Fatalf("got %v", err)
			}
			if why.CanonicalRequest != v.canon || why.StringToSign != v.toSign {
				t.Errorf("got\n%s\n%s\nwant\n%s\n%s", why.CanonicalRequest, why.StringToSign, v.canon, v.toSign)
			}
			if strings.Contains(fmt.Sprint(why.LogValue()), "another secret") {
				t.Error("the explanation has the secret")
			}
		})
	}
	if n < 60 {
		t.Errorf("only %d vectors compared", n)
	}
}

func parse(t testing.TB, raw []byte) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestClockWindow is S-8, with a client whose clock is eight hours late.
func TestClockWindow(t *testing.T) {
	t.Attr("rules", "S-8")
	for _, v := range readVectors(t) {
		if v.skew == 0 {
			continue
		}
		for _, tt := range []struct {
			window time.Duration
			denied bool
		}{{15 * time.Minute, true}, {8 * time.Hour, false}, {8*time.Hour - time.Second, true}, {0, false}} {
			verifier := verifierFor(t, v.ak, v.sk, v.date.Add(-v.skew), VerifierOptions{ClockWindow: tt.window})
			if _, err := check(verifier, parse(t, v.raw())); errors.Is(err, ErrDenied) != tt.denied {
				t.Errorf("window %s: got %v", tt.window, err)
			}
		}
		return
	}
	t.Error("no vector with a wrong clock")
}

// TestCTL41 signs with real time what a server verifies whose clock was moved, and the
// other way round.
func TestCTL41(t *testing.T) {
	for _, v := range readVectors(t) {
		if v.skew != 0 {
			continue
		}
		for _, tt := range []struct {
			now, real time.Duration // from the date that was signed
			denied    bool
		}{{0, 72 * time.Hour, false}, {72 * time.Hour, 0, false}, {72 * time.Hour, time.Hour, true}} {
			verifier := verifierFor(t, v.ak, v.sk, v.date.Add(tt.now), VerifierOptions{ClockWindow: 15 * time.Minute})
			verifier.dir.opts.Real = func() time.Time { return v.date.Add(tt.real) }
			if _, err := check(verifier, parse(t, v.raw())); errors.Is(err, ErrDenied) != tt.denied {
				t.Errorf("clock %v, wall clock %v after the signature: %v", tt.now, tt.real, err)
			}
		}
		return
	}
}

// meaning returns what a request asks for, told by other code than the
// verifier's: what has the same meaning may be spelled in several ways.
func (v *vector) meaning(r *http.Request, body []byte) string {
	var b strings.Builder
	fmt.Fprintln(&b, r.Header["Authorization"]) // has one spelling only
	fmt.Fprintln(&b, r.Method, strings.FieldsFunc(r.URL.Path, func(c rune) bool { return c == '/' }))
	first := make(map[string]string)
	for piece := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(piece, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil {
			plain = strings.ReplaceAll(name, "+", " ")
		}
		text, err := url.QueryUnescape(value)
		if err != nil {
			text = strings.ReplaceAll(value, "+", " ")
		}
		if _, again := first[plain]; !again && piece != "" {
			first[plain] = text
		}
	}
	fmt.Fprintf(&b, "%q\n", first) // in order of names
	_, list, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	list, _, _ = strings.Cut(list, ",")
	for name := range strings.SplitSeq(list, ";") {
		values := r.Header.Values(name)
		if name == "host" {
			values = []string{r.Host}
			if host, _, err := net.SplitHostPort(r.Host); err == nil && v.host == "port_removed" {
				values[0] = host
			}
		}
		for _, value := range values {
			fmt.Fprintln(&b, name, strings.Fields(value))
		}
	}
	if !v.unsigned {
		b.Write(body)
	}
	return b.String()
}

// mutations calls fn with every change of one character of s: another one in its
// place in two ways, and none or the same twice in turns.
func mutations(s string, fn func(string)) {
	for i := range len(s) {
		fn(s[:i] + string(s[i]^1) + s[i+1:])
		fn(s[:i] + string(s[i]^0x20) + s[i+1:])
		if i%2 == 0 {
			fn(s[:i] + s[i+1:])
		} else {
			fn(s[:i] + string(s[i]) + s[i:])
		}
	}
}

// TestNoMutantIsAccepted changes one character of what was signed, in every place
// of every vector. The request is refused, or means what the client signed.
func TestNoMutantIsAccepted(t *testing.T) {
	var refused, same atomic.Int64
	t.Run("vectors", func(t *testing.T) {
		for _, v := range readVectors(t) {
			if v.refuse {
				continue
			}
			t.Run(v.name, func(t *testing.T) {
				t.Parallel()
				want, err := v.check()
				if err != nil {
					t.Fatal(err)
				}
				v.mutants(func(m *vector) {
					got, err := m.check()
					switch {
					case errors.Is(err, ErrDenied):
						refused.Add(1)
					case err != nil:
						t.Error(err)
					case got != want:
						t.Errorf("accepted\n%s", m.raw())
					default:
						same.Add(1)
					}
				})
			})
		}
	})
	t.Logf("%d mutants refused, %d mean the same", refused.Load(), same.Load())
	if refused.Load() < 100_000 {
		t.Errorf("only %d mutants", refused.Load())
	}
}

// check returns what a vector means to the server, and whether it is let in.
func (v *vector) check() (string, error) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(v.raw())))
	if err != nil {
		return "", ErrDenied // net/http answers 400
	}
	_, err = check(v.verifier, r)
	return v.meaning(r, v.body), err
}

// mutants calls fn with every changed vector.
func (v *vector) mutants(fn func(*vector)) {
	m := *v
	mutations(v.method, func(s string) { m.method = s; fn(&m) })
	m = *v
	mutations(v.target, func(s string) { m.target = s; fn(&m) })
	m = *v
	mutations(string(v.body), func(s string) { m.body = []byte(s); fn(&m) })
	m = *v
	auth := ""
	for _, h := range v.headers {
		if h[0] == "Authorization" {
			auth = h[1]
		}
	}
	for i, h := range v.headers {
		name := strings.ToLower(h[0])
		if name == "content-length" || name != "authorization" && !strings.Contains(auth, "="+name) && !strings.Contains(auth, ";"+name) {
			continue
		}
		mutations(h[1], func(s string) {
			m.headers = append([][2]string(nil), v.headers...)
			m.headers[i][1] = s
			fn(&m)
		})
	}
}
