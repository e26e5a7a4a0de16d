package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"

	"disd/internal/sign"
)

// A signer signs requests as api.md 1.11 says, by code of its own: what it and
// the verifier agree on is not agreed on by copying.
type signer struct {
	algorithm string
	scope     string // behind the access key, "" for the plain forms
	habits    habits
	undated   bool // does not sign the date
}

// habits are the ways in which clients differ (S-9).
type habits struct{ collapse, noPort, bare, lower, first, twice bool }

var forms = []signer{
	{algorithm: "SDK-HMAC-SHA256"},
	{algorithm: "SDK-HMAC-SHA256", scope: "20261123/cn-north-4/dis/sdk_request"},
	{algorithm: "SDK-HMAC-SHA256", scope: "20261123///sdk_request"},
	{algorithm: "V11-HMAC-SHA256", scope: "20261123/eu-de/dis"},
	{algorithm: "V11-HMAC-SHA256", scope: "20261123/eu-de/dis/sdk_request"},

	// From here on the forms of the v3 SDKs alone.
	{algorithm: "SDK-HMAC-SM3"},
	{algorithm: "SDK-ECDSA-P256-SHA256"},
	{algorithm: "SDK-SM2-SM3"},
}

// hmacForms are the first ones, with HMAC-SHA256.
const hmacForms = 5

const (
	testAK   = "AKFORTHETESTS0000001"
	testSK   = "a secret/of+the=tests"
	testDate = "20261123T101112Z"
)

var testTime = time.Date(2026, 11, 23, 10, 11, 12, 0, time.UTC)

func (s signer) hash() hash.Hash {
	if strings.Contains(s.algorithm, "SM3") {
		return sm3.New()
	}
	return sha256.New()
}

func (s signer) digest(b []byte) string {
	h := s.hash()
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}

func (s signer) mac(key, text []byte) []byte {
	m := hmac.New(s.hash, key)
	m.Write(text)
	return m.Sum(nil)
}

// percent escapes as RFC 3986 has it.
func percent(s string) string {
	return strings.NewReplacer("+", "%20", "%7E", "~").Replace(url.QueryEscape(s))
}

// sign puts X-Sdk-Date and Authorization on r, over the given headers.
func (s signer) sign(r *http.Request, body []byte, headers ...string) {
	r.Header.Set("X-Sdk-Date", testDate)
	if !s.undated {
		headers = append(headers, "x-sdk-date")
	}
	sort.Strings(headers)
	list := strings.Join(headers, ";")
	canonical := strings.Join([]string{
		r.Method, s.path(r.URL.Path), s.query(r.URL.RawQuery), s.headers(r, headers), list, s.digest(body),
	}, "\n")
	toSign := s.algorithm + "\n" + testDate + "\n"
	credential := "Access=" + testAK
	if s.scope != "" {
		toSign += s.scope + "\n"
		credential = "Credential=" + testAK + "/" + s.scope
	}
	toSign += s.digest([]byte(canonical))
	r.Header.Set("Authorization", fmt.Sprintf("%s %s, SignedHeaders=%s, Signature=%x", s.algorithm, credential, list, s.signature([]byte(toSign))))
}

func (s signer) path(p string) string {
	out := "/"
	for _, seg := range strings.Split(p, "/") {
		if seg == "" {
			continue
		}
		if s.habits.twice {
			seg = percent(seg)
		}
		out += percent(seg) + "/"
	}
	return out
}

func (s signer) query(raw string) string {
	values, err := url.ParseQuery(raw)
	if err != nil {
		panic(err)
	}
	var pieces, names []string
	for name := range values {
		names = append(names, name)
	}
	order := func(name string) string {
		switch {
		case s.habits.first:
			return strings.ToLower(name)
		case s.habits.lower:
			return percent(strings.ToLower(name))
		}
		return percent(name)
	}
	sort.Slice(names, func(i, j int) bool { return order(names[i]) < order(names[j]) })
	for _, name := range names {
		var escaped []string
		for _, v := range values[name] {
			escaped = append(escaped, percent(v))
		}
		if s.habits.first {
			escaped = escaped[:1]
		}
		sort.Strings(escaped)
		if s.habits.lower {
			name = strings.ToLower(name)
		}
		for _, v := range escaped {
			if v == "" && s.habits.bare {
				pieces = append(pieces, percent(name))
			} else {
				pieces = append(pieces, percent(name)+"="+v)
			}
		}
	}
	return strings.Join(pieces, "&")
}

func (s signer) headers(r *http.Request, names []string) string {
	out := ""
	for _, name := range names {
		values := append([]string(nil), r.Header.Values(name)...)
		if name == "host" {
			values = []string{r.Host}
			if s.habits.noPort {
				values[0], _, _ = strings.Cut(r.Host, ":")
			}
		}
		if len(values) == 0 {
			values = []string{""}
		}
		sort.Strings(values)
		for _, v := range values {
			if s.habits.collapse {
				v = strings.Join(strings.FieldsFunc(v, func(c rune) bool { return c == ' ' }), " ")
			}
			out += name + ":" + strings.TrimSpace(v) + "\n"
		}
	}
	return out
}

func (s signer) signature(toSign []byte) []byte {
	switch s.algorithm {
	case "SDK-ECDSA-P256-SHA256":
		sum := sha256.Sum256(toSign)
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), s.private(elliptic.P256().Params().N))
		if err != nil {
			panic(err)
		}
		sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		if err != nil {
			panic(err)
		}
		return sig
	case "SDK-SM2-SM3":
		key, err := sm2.ParseRawPrivateKey(s.private(sm2.P256().Params().N))
		if err != nil {
			panic(err)
		}
		sig, err := key.SignWithSM2(rand.Reader, nil, toSign)
		if err != nil {
			panic(err)
		}
		return sig
	}
	key := []byte(testSK)
	parts := strings.Split(s.scope, "/")
	if s.algorithm == "V11-HMAC-SHA256" {
		prk := s.mac([]byte(testAK), []byte(testSK)) // HKDF of one block, by hand
		okm := s.mac(prk, []byte(strings.Join(parts[:3], "/")+"\x01"))
		key = []byte(hex.EncodeToString(okm))
	}
	if len(parts) == 4 {
		key = append([]byte("SDK"), key...)
		for _, p := range parts {
			key = s.mac(key, []byte(p))
		}
	}
	return s.mac(key, toSign)
}

// private returns the private scalar of the key pair that belongs to the access
// key, on a curve of order n.
func (s signer) private(n *big.Int) []byte {
	for c := 0; ; c++ {
		var b bytes.Buffer
		b.Write([]byte{0, 0, 0, 1})
		b.WriteString(s.algorithm + "\x00" + testAK)
		b.Write([]byte{byte(c), 0, 0, 1, 0})
		d := new(big.Int).SetBytes(s.mac([]byte(testSK), b.Bytes()))
		if d.Cmp(new(big.Int).Sub(n, big.NewInt(2))) <= 0 {
			return d.Add(d, big.NewInt(1)).FillBytes(make([]byte, 32))
		}
	}
}

// A dice makes random requests.
type dice struct{ *mathrand.Rand }

func (d dice) flip() bool { return d.IntN(2) == 0 }

func (d dice) text(alphabet []rune, low, high int) string {
	out := make([]rune, low+d.IntN(high-low+1))
	for i := range out {
		out[i] = alphabet[d.IntN(len(alphabet))]
	}
	return string(out)
}

var (
	plainText = []rune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
	wildText  = []rune("aZ9-_.~ +/=&?%;:,!*'()[]{}<>@#$|^`\\\"键é🙂\t")
	lowText   = []rune("abcdefghijklmnopqrstuvwxyz_-")
)

// request returns a random request for one client's habits, and its body.
func (d dice) request(h *habits) (*http.Request, []byte) {
	some := func() bool { return d.IntN(5) == 0 }
	*h = habits{collapse: some(), noPort: some(), bare: some(), lower: some(), first: some(), twice: some()}
	path := "/v2/" + d.text(plainText, 1, 20)
	for range d.IntN(4) {
		path += "/" + url.PathEscape(d.text(wildText, 1, 12))
	}
	if d.flip() {
		path += "/"
	}
	var query []string
	for i := range d.IntN(5) {
		name := d.text(lowText, 1, 10) + string(rune('a'+i))
		if d.flip() {
			name = string(rune('A'+i)) + name
		}
		piece := url.QueryEscape(name)
		switch d.IntN(4) {
		case 0:
		case 1:
			piece += "="
		default:
			piece += "=" + url.QueryEscape(d.text(wildText, 0, 15))
			if d.IntN(4) == 0 {
				piece += "&" + url.QueryEscape(name) + "=" + url.QueryEscape(d.text(wildText, 0, 5))
			}
		}
		query = append(query, piece)
	}
	method := []string{"GET", "POST", "PUT", "DELETE"}[d.IntN(4)]
	body := []byte(d.text(wildText, 0, 300))
	r := httptest.NewRequest(method, path+"?"+strings.Join(query, "&"), bytes.NewReader(body))
	r.Host = []string{"dis.example.com", "127.0.0.1:20004", "dis.example.com:8443"}[d.IntN(3)]
	r.Header.Set("User-Agent", d.text(plainText, 1, 10)+"  "+d.text(plainText, 1, 10))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	for range d.IntN(3) {
		r.Header.Add("X-Custom", d.text(plainText, 0, 10))
	}
	return r, body
}

// TestFreshSignatures signs random requests of every form, with the habits of all
// clients: none is refused, and none with another secret is accepted.
func TestFreshSignatures(t *testing.T) {
	t.Attr("rules", "S-9")
	for i, form := range forms {
		t.Run(strings.Trim(form.algorithm+" "+form.scope, " "), func(t *testing.T) {
			t.Parallel()
			d := dice{mathrand.New(mathrand.NewPCG(uint64(i), 4))}
			right := verifierFor(t, testAK, testSK, testTime, VerifierOptions{ClockWindow: time.Minute})
			wrong := verifierFor(t, testAK, testSK+"x", testTime, VerifierOptions{ClockWindow: time.Minute})
			for range freshRequests {
				s := form
				r, body := d.request(&s.habits)
				if i >= hmacForms {
					s.habits = habits{} // of a library whose clients have none
				}
				var names []string
				for _, n := range []string{"host", "user-agent", "content-type", "x-custom", "x-absent"} {
					if d.flip() {
						names = append(names, n)
					}
				}
				s.sign(r, body, names...)
				again := r.Clone(t.Context())
				if _, err := check(right, r); err != nil {
					t.Fatalf("%v: %+v %s %s %v", err, s.habits, r.Method, r.URL, r.Header)
				}
				again.Body = http.NoBody
				if d.IntN(50) > 0 {
					continue
				}
				if _, err := check(wrong, again); !errors.Is(err, ErrDenied) {
					t.Fatalf("another secret: %v", err)
				}
			}
		})
	}
}

// FuzzCanonical signs whatever request the fuzzer makes and expects it accepted.
func FuzzCanonical(f *testing.F) {
	f.Add("GET", "/v2/p/streams", "limit=10&x", "a  b", "127.0.0.1:20004", uint8(0))
	f.Add("DELETE", "/v2/p/stream/s/tags/键 k~1/%2F", "b=2&b=1&B=x&a[k]=v", "", "h", uint8(255))
	verifier := verifierFor(f, testAK, testSK, testTime, VerifierOptions{})
	f.Fuzz(func(t *testing.T, method, path, query, header, host string, choice uint8) {
		if _, err := url.ParseQuery(query); err != nil || strings.TrimSpace(host) != host {
			return // net/http refuses such a host
		}
		r := &http.Request{
			Method: method, URL: &url.URL{Path: path, RawQuery: query}, Host: host,
			Header: http.Header{"X-Custom": {header}}, Body: http.NoBody,
		}
		s := forms[int(choice)%hmacForms]
		s.sign(r, nil, "x-custom", "host")
		if _, err := check(verifier, r); err != nil {
			t.Errorf("%v: %s %q %q %q", err, method, path, query, header)
		}
	})
}

// FuzzAuthorization parses any header: what is read is what was written.
func FuzzAuthorization(f *testing.F) {
	for _, v := range readVectors(f) {
		for _, h := range v.headers {
			if h[0] == "Authorization" {
				f.Add(h[1])
			}
		}
	}
	verifier := verifierFor(f, testAK, testSK, testTime, VerifierOptions{Explain: true})
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := sign.Parse(text); err == nil && s.String() != text {
			t.Errorf("read %q from %q", s, text)
		}
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header.Set("X-Sdk-Date", testDate)
		r.Header.Set("Authorization", text)
		if _, err := check(verifier, r); !errors.Is(err, ErrDenied) {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// BenchmarkVerify measures what a signature costs beside the hash of the body,
// which is a benchmark of its own for comparison.
func BenchmarkVerify(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 64<<10)
	verifier := verifierFor(b, testAK, testSK, testTime, VerifierOptions{ClockWindow: time.Minute})
	for _, form := range forms {
		b.Run(strings.Trim(form.algorithm+" "+form.scope, " "), func(b *testing.B) {
			r := httptest.NewRequest(http.MethodPost, "/v2/p/records", http.NoBody)
			r.Header.Set("Content-Type", "application/json")
			form.sign(r, body, "host", "content-type")
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				r.Body = io.NopCloser(bytes.NewReader(body))
				if _, err := check(verifier, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("hash only", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			sha256.Sum256(body)
		}
	})
}
