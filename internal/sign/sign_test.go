package sign

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// A signed is a request that a published client signed. Package auth sends all of them
// to a server; here the same requests are signed again.
type signed struct {
	name, ak, sk string
	r            *http.Request
	body         []byte
}

func (v *signed) add(name, value string) {
	if strings.EqualFold(name, "host") {
		v.r.Host = value
	}
	v.r.Header.Add(name, value)
}

func readJSON(t *testing.T, file string, v any) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + file)
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func newSigned(t *testing.T, name, ak, sk, method, target string, body []byte) signed {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{Method: method, URL: u, Header: make(http.Header), ContentLength: int64(len(body))}
	return signed{name, ak, sk, r, body}
}

func vectors(t *testing.T) (all []signed) {
	t.Helper()
	var old struct {
		Credentials struct {
			AK string `json:"access_key"`
			SK string `json:"secret_key"`
		}
		Vectors []struct {
			ID, Method, Target string
			Headers            [][2]string
			Body               string `json:"body_base64"`
		}
	}
	readJSON(t, "signature-vectors.json", &old)
	for _, e := range old.Vectors {
		body, err := base64.StdEncoding.DecodeString(e.Body)
		if err != nil {
			t.Fatal(err)
		}
		v := newSigned(t, e.ID, old.Credentials.AK, old.Credentials.SK, e.Method, e.Target, body)
		for _, h := range e.Headers {
			v.add(h[0], h[1])
		}
		all = append(all, v)
	}
	var v3 []struct {
		Name, AK, SK, Method, URL, Body, Authorization string
		Headers                                        map[string]string
	}
	readJSON(t, "signature-vectors-v3.json", &v3)
	for _, e := range v3 {
		v := newSigned(t, e.Name, e.AK, e.SK, e.Method, e.URL, []byte(e.Body))
		for name, value := range e.Headers {
			v.add(name, value)
		}
		v.add("Authorization", e.Authorization)
		all = append(all, v)
	}
	return all
}

// again signs the request as its client did, and returns the two signatures.
func (v *signed) again(t *testing.T) (theirs, ours *Signature) {
	t.Helper()
	theirs, err := Parse(v.r.Header.Get("Authorization"))
	if err != nil {
		t.Fatal(err)
	}
	k := Signer{AK: v.ak, SK: v.sk, Algorithm: theirs.Algorithm}
	if theirs.Scope != nil {
		k.Scope = theirs.Scope[1:]
	}
	now, err := time.Parse(DateForm, v.r.Header.Get(DateHeader))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Sign(v.r, v.body, now, theirs.names...); err != nil {
		t.Fatal(err)
	}
	if ours, err = Parse(v.r.Header.Get("Authorization")); err != nil {
		t.Fatal(err)
	}
	return theirs, ours
}

func (v *signed) accepts(s *Signature, sk string) bool {
	h := s.NewHash()
	h.Write(v.body)
	_, ok := NewText(v.r, s, "").Verify(s, sk, s.Payload(v.r, h))
	return ok
}

// TestSigner signs the requests of published clients again. What they signed in the
// canonical spelling has the same signature, byte for byte; every signature verifies,
// and with another secret none does (S-1 to S-7).
func TestSigner(t *testing.T) {
	same, forms := 0, make(map[string]bool)
	for _, v := range vectors(t) {
		t.Run(v.name, func(t *testing.T) {
			theirs, ours := v.again(t)
			forms[ours.Algorithm+strings.Repeat("/", len(ours.Scope))] = true
			if !v.accepts(ours, v.sk) || v.accepts(ours, v.sk+"x") {
				t.Errorf("%s: accepted %t, with another secret %t", ours, v.accepts(ours, v.sk), v.accepts(ours, v.sk+"x"))
			}
			if theirs.text == ours.text {
				same++
			} else if random := slices.Contains([]string{ECDSAP256, SM2SM3}, ours.Algorithm); !random && v.canonical(theirs) {
				t.Errorf("signed\n%s, the client\n%s", ours, theirs)
			}
		})
	}
	if same < 73 || len(forms) != 7 {
		t.Errorf("%d signatures are the clients' own, of %d forms", same, len(forms))
	}
}

// canonical reports whether the client's signature covers the canonical text, so that
// ours must be equal.
func (v *signed) canonical(s *Signature) bool {
	text, h := NewText(v.r, s, ""), s.NewHash()
	h.Write(v.body)
	request := append(text.append(nil, 0), s.Payload(v.r, h)...)
	return slices.IsSorted(s.names) && s.matcher(v.sk)(text.stringToSign(request, s, s.NewHash()))
}

func TestSignerRefusesUnknownForms(t *testing.T) {
	for _, k := range []Signer{
		{Algorithm: "SDK-HMAC-MD5"},
		{Algorithm: HMACSM3, Scope: []string{"r", "dis", "sdk_request"}},
		{Algorithm: HMACSHA256, Scope: []string{"r", "dis"}},
	} {
		r, err := http.NewRequest(http.MethodGet, "http://host/v2/p/streams", nil)
		if err != nil {
			t.Fatal(err)
		}
		if k.Sign(r, nil, time.Now()) == nil {
			t.Errorf("%+v signed as %s", k, r.Header.Get("Authorization"))
		}
	}
}

// TestSignedPath signs what needs escaping: the text has it once, whatever the client
// sends (S-3, S-4).
func TestSignedPath(t *testing.T) {
	for _, target := range []string{
		"http://host/v2/p/streams/a%20b%2Fc/?x=1&a=%2B+&a=&b",
		"http://host//v2//p/",
		"http://host?q=键",
	} {
		r, err := http.NewRequest(http.MethodGet, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		k := Signer{AK: "ak", SK: "sk", SecurityToken: "token"}
		if err := k.Sign(r, nil, time.Now(), "host"); err != nil {
			t.Fatal(err)
		}
		s, err := Parse(r.Header.Get("Authorization"))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "host" // as it arrives
		v := signed{r: r}
		if !v.accepts(s, "sk") || !slices.Equal(s.names, []string{"host", "x-sdk-date", "x-security-token"}) {
			t.Errorf("%s: %s", target, s)
		}
	}
}

// FuzzQuery holds the reader of queries against C-5 and, where a query is well formed,
// against the standard library.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"a=1&a=2&", "a", "a=", "&&", "a=b=c", "a=%zz+b", "%61=+", "a=%E9%94%AE", "a;b=1", "=", "%=%&x=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q := ParseQuery(raw)
		if n := strings.Count(raw, "&") + 1; len(q) > n {
			t.Fatalf("%d parameters of %d pieces", len(q), n)
		}
		want, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		for name, values := range want {
			if got := q.Get(name); got != values[0] {
				t.Fatalf("%q: %q is %q, want %q", raw, name, got, values[0])
			}
		}
	})
}
