package sign

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"math/big"
	"net/http"
	"slices"
	"strings"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
)

// Algorithms of signatures (S-1).
const (
	HMACSHA256    = "SDK-HMAC-SHA256"
	HMACSHA256V11 = "V11-HMAC-SHA256" // with a derived secret
	HMACSM3       = "SDK-HMAC-SM3"
	ECDSAP256     = "SDK-ECDSA-P256-SHA256"
	SM2SM3        = "SDK-SM2-SM3"
)

// scopeEnd is the last part of the scope in the forms that have five.
const scopeEnd = "sdk_request"

// The date of a signed request: its header, and its form in UTC (S-8).
const (
	DateHeader = "X-Sdk-Date"
	DateForm   = "20060102T150405Z"
)

// A Signature is what an Authorization header says (S-1).
type Signature struct {
	Algorithm string
	AK        string
	Scope     []string // date, region, service and perhaps "sdk_request"; none in the plain forms

	signed string   // SignedHeaders, as received
	names  []string // the same, one by one
	text   string   // hex
}

var errAuthorization = errors.New("the Authorization header is not of a known form")

// Parse reads an Authorization header. The form is chosen by algorithm and credential
// together. Errors never repeat what the header says.
func Parse(header string) (*Signature, error) {
	algorithm, rest, ok := strings.Cut(header, " ")
	credential, rest, ok2 := strings.Cut(rest, ", SignedHeaders=")
	signed, text, ok3 := strings.Cut(rest, ", Signature=")
	if !ok || !ok2 || !ok3 {
		return nil, errAuthorization
	}
	s := &Signature{Algorithm: algorithm, signed: signed, names: strings.Split(signed, ";"), text: text}
	if err := s.parseCredential(credential); err != nil {
		return nil, err
	}
	return s, s.checkNames()
}

func (s *Signature) parseCredential(credential string) error {
	if ak, ok := strings.CutPrefix(credential, "Access="); ok {
		s.AK = ak
		if s.Algorithm == HMACSHA256V11 || s.NewHash() == nil {
			return errAuthorization
		}
		return nil
	}
	scope, ok := strings.CutPrefix(credential, "Credential=")
	parts := strings.Split(scope, "/")
	s.AK, s.Scope = parts[0], parts[1:]
	withEnd := len(s.Scope) == 4 && s.Scope[3] == scopeEnd
	derived := s.Algorithm == HMACSHA256V11 && len(s.Scope) == 3
	if !ok || !withEnd && !derived || s.Algorithm != HMACSHA256 && s.Algorithm != HMACSHA256V11 {
		return errAuthorization
	}
	return nil
}

// checkNames requires a date among the signed headers (S-7). No name may come
// twice: a long header named a thousand times would be hashed a thousand times.
func (s *Signature) checkNames() error {
	sorted := slices.Sorted(slices.Values(s.names))
	switch {
	case len(slices.Compact(sorted)) != len(s.names) || slices.Contains(s.names, ""):
		return errors.New("SignedHeaders has empty or repeated names")
	case !slices.Contains(s.names, "x-sdk-date"):
		return errors.New("x-sdk-date is not signed")
	}
	return nil
}

// NewHash returns the hash of the algorithm, for the body among others; nil for an
// unknown algorithm.
func (s *Signature) NewHash() hash.Hash {
	switch s.Algorithm {
	case HMACSHA256, HMACSHA256V11, ECDSAP256:
		return sha256.New()
	case HMACSM3, SM2SM3:
		return sm3.New()
	}
	return nil
}

// unsignedPayload, as the content hash, says that the signature does not cover
// the body (S-6).
const unsignedPayload = "UNSIGNED-PAYLOAD"

// Payload returns the last line of the canonical request: the hash of the body, unless
// the request says that its body is not signed, which the plain form allows (S-6).
func (s *Signature) Payload(r *http.Request, body hash.Hash) string {
	if s.Algorithm == HMACSHA256 && s.Scope == nil && r.Header.Get("X-Sdk-Content-Sha256") == unsignedPayload {
		return unsignedPayload
	}
	return hex.EncodeToString(body.Sum(nil))
}

// String returns the header that Parse reads.
func (s *Signature) String() string {
	credential := "Access=" + s.AK
	if s.Scope != nil {
		credential = "Credential=" + s.AK + "/" + strings.Join(s.Scope, "/")
	}
	return s.Algorithm + " " + credential + ", SignedHeaders=" + s.signed + ", Signature=" + s.text
}

// AccessKey returns the access key in an Authorization header that begins like one of
// S-1, whatever follows; "" if there is none: what stands in another form may be a
// secret.
func AccessKey(header string) string {
	algorithm, rest, _ := strings.Cut(header, " ")
	name, ak, _ := strings.Cut(rest, "=")
	if (&Signature{Algorithm: algorithm}).NewHash() == nil || name != "Access" && name != "Credential" {
		return ""
	}
	if i := strings.IndexAny(ak, "/, "); i >= 0 {
		ak = ak[:i]
	}
	return ak
}

// stringToSign appends the text that is signed, for the hash of a canonical
// request (S-2).
func (s *Signature) stringToSign(b []byte, date string, canonical []byte) []byte {
	b = append(append(append(b, s.Algorithm...), '\n'), date...)
	b = append(b, '\n')
	if s.Scope != nil {
		b = append(append(b, strings.Join(s.Scope, "/")...), '\n')
	}
	return hex.AppendEncode(b, canonical)
}

// matcher returns the function that tells, in constant time, whether the
// signature is that of a string to sign.
func (s *Signature) matcher(sk string) func(toSign []byte) bool {
	switch s.Algorithm {
	case ECDSAP256:
		key := &s.p256Key(sk).PublicKey
		return s.pairMatcher(func(toSign, sig []byte) bool {
			sum := sha256.Sum256(toSign)
			return ecdsa.VerifyASN1(key, sum[:], sig)
		})
	case SM2SM3:
		key := &s.sm2Key(sk).PublicKey
		return s.pairMatcher(func(toSign, sig []byte) bool {
			return sm2.VerifyASN1WithSM2(key, nil, toSign, sig)
		})
	}
	mac := s.newMAC(sk)
	given := []byte(s.text)
	return func(toSign []byte) bool {
		mac.Reset()
		mac.Write(toSign)
		return hmac.Equal(hex.AppendEncode(nil, mac.Sum(nil)), given)
	}
}

// create returns the signature of a string to sign, in bytes.
func (s *Signature) create(sk string, toSign []byte) ([]byte, error) {
	switch s.Algorithm {
	case ECDSAP256:
		sum := sha256.Sum256(toSign)
		return ecdsa.SignASN1(rand.Reader, s.p256Key(sk), sum[:])
	case SM2SM3:
		return s.sm2Key(sk).SignWithSM2(rand.Reader, nil, toSign)
	}
	mac := s.newMAC(sk)
	mac.Write(toSign)
	return mac.Sum(nil), nil
}

// newMAC returns the authentication code of the forms that have one.
func (s *Signature) newMAC(sk string) hash.Hash {
	if s.Algorithm == HMACSM3 {
		return hmac.New(sm3.New, []byte(sk))
	}
	return hmac.New(sha256.New, s.signingKey(sk))
}

// signingKey returns the key of the forms with HMAC-SHA256 (S-1).
func (s *Signature) signingKey(sk string) []byte {
	if s.Algorithm == HMACSHA256V11 {
		sk = deriveSecret(sk, s.AK, strings.Join(s.Scope[:3], "/"))
		if len(s.Scope) == 3 {
			return []byte(sk)
		}
	}
	if s.Scope == nil {
		return []byte(sk)
	}
	key := []byte("SDK" + sk)
	for _, part := range s.Scope {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return key
}

// deriveSecret returns the derived secret of both V11 forms, as text.
func deriveSecret(sk, ak, scope string) string {
	raw, err := hkdf.Key(sha256.New, []byte(sk), []byte(ak), scope, 32)
	if err != nil {
		panic(err) // the length is small
	}
	return hex.EncodeToString(raw)
}

// pairMatcher is matcher for the forms whose key pair is derived from the access
// key. Only lower-case digits are a signature, here as in the other forms.
func (s *Signature) pairMatcher(verify func(toSign, sig []byte) bool) func([]byte) bool {
	sig, err := hex.DecodeString(s.text)
	if err != nil || hex.EncodeToString(sig) != s.text {
		return func([]byte) bool { return false }
	}
	return func(toSign []byte) bool { return verify(toSign, sig) }
}

// scalar derives the private key of an access key: the first candidate that is a
// scalar of the curve, whose order is n. All but one in four thousand million
// are.
func (s *Signature) scalar(sk string, n *big.Int, h func() hash.Hash) []byte {
	limit := new(big.Int).Sub(n, big.NewInt(2))
	for c := byte(0); ; c++ {
		mac := hmac.New(h, []byte(sk))
		mac.Write([]byte("\x00\x00\x00\x01" + s.Algorithm + "\x00" + s.AK))
		mac.Write([]byte{c, 0, 0, 1, 0})
		x := new(big.Int).SetBytes(mac.Sum(nil))
		if x.Cmp(limit) <= 0 {
			return x.Add(x, big.NewInt(1)).FillBytes(make([]byte, 32))
		}
	}
}

func (s *Signature) p256Key(sk string) *ecdsa.PrivateKey {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), s.scalar(sk, elliptic.P256().Params().N, sha256.New))
	if err != nil {
		panic(err) // the scalar is from 1 to n-1
	}
	return key
}

func (s *Signature) sm2Key(sk string) *sm2.PrivateKey {
	key, err := sm2.ParseRawPrivateKey(s.scalar(sk, sm2.P256().Params().N, sm3.New))
	if err != nil {
		panic(err) // the scalar is from 1 to n-1
	}
	return key
}
