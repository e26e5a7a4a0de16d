// Package sign makes and verifies the signatures of requests, in every form that
// published clients use (api.md 1.11), and reads their queries: who verifies a
// signature and who acts on the request must not read it in two ways.
package sign

import (
	"cmp"
	"encoding/hex"
	"hash"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Signer signs requests for one access key.
type Signer struct {
	AK, SK        string
	SecurityToken string   // of a temporary key; default none
	Algorithm     string   // default HMACSHA256
	Scope         []string // region, service and perhaps "sdk_request"; default the plain form (S-1)
}

// Sign sets the date, the security token and the signature of a request with the given
// body. The signature covers the date, the token and the named headers, in lower case;
// "host" stands for the host. A form that does not exist is an error.
func (k *Signer) Sign(r *http.Request, body []byte, now time.Time, headers ...string) error {
	date := now.UTC().Format(DateForm)
	r.Header.Set(DateHeader, date)
	names := append(slices.Clone(headers), strings.ToLower(DateHeader))
	if k.SecurityToken != "" {
		r.Header.Set("X-Security-Token", k.SecurityToken)
		names = append(names, "x-security-token")
	}
	slices.Sort(names)
	s := &Signature{Algorithm: cmp.Or(k.Algorithm, HMACSHA256), AK: k.AK, names: slices.Compact(names)}
	s.signed = strings.Join(s.names, ";")
	if k.Scope != nil {
		s.Scope = append([]string{date[:8]}, k.Scope...)
	}
	if _, err := Parse(s.String()); err != nil {
		return err
	}
	sum := s.NewHash()
	sum.Write(body)
	text := NewText(r, s, "")
	raw, err := s.create(k.SK, text.stringToSign(append(text.append(nil, 0), s.Payload(r, sum)...), s, s.NewHash()))
	if err != nil {
		return err
	}
	s.text = hex.EncodeToString(raw)
	r.Header.Set("Authorization", s.String())
	return nil
}

// Requests that are longer, or have more parameters, than any client's are held
// against the canonical text alone: the variants multiply what they cost, and whoever
// knows an access key can send them.
const (
	maxVariedText   = 16 << 10
	maxVariedParams = 256
)

// Verify reports whether s is the signature of the text and the payload, made with the
// secret sk. It tries the canonical text and then its variants in the order of S-9.
// What was signed is what counts: when the query was signed in a spelling that may be
// read differently, signed is that spelling, else "".
func (c *Text) Verify(s *Signature, sk, payload string) (signed string, ok bool) {
	matches, possible, h := s.matcher(sk), c.variants(), s.NewHash()
	var b []byte
	for v := variant(0); v <= allVariants; v++ {
		if v&^possible != 0 {
			continue
		}
		b = append(c.append(b[:0], v), payload...)
		length := len(b)
		if b = c.stringToSign(b, s, h); matches(b) {
			return c.spelling(v), true
		}
		if length > maxVariedText || len(c.query) > maxVariedParams {
			break
		}
	}
	return "", false
}

// stringToSign replaces a canonical request by the text that is signed.
func (c *Text) stringToSign(request []byte, s *Signature, h hash.Hash) []byte {
	h.Reset()
	h.Write(request)
	return s.stringToSign(request[:0], c.date, h.Sum(nil))
}

// spelling returns the query as the signature has it where that may be read
// differently.
func (c *Text) spelling(v variant) string {
	if v &= lowerNames | firstValues; v == 0 {
		return ""
	}
	return string(appendQuery(nil, c.query, v))
}

// Explain returns what was computed for a signature, without the values of headers
// that are secrets.
func (c *Text) Explain(s *Signature, payload string) (canonical, toSign string) {
	canonical = string(append(c.hidden().append(nil, 0), payload...))
	return canonical, string(c.stringToSign(append(c.append(nil, 0), payload...), s, s.NewHash()))
}

// hidden returns c without the values of headers that are secrets.
func (c *Text) hidden() *Text {
	shown := *c
	shown.headers = nil
	for _, h := range c.headers {
		switch h.name {
		case "authorization", "cookie", "proxy-authorization", "x-auth-token", "x-security-token", "x-subject-token":
			h.values = []string{"(hidden)"}
		}
		shown.headers = append(shown.headers, h)
	}
	return &shown
}
