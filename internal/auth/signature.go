package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"math/big"
	"slices"
	"strings"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
)

// Algorithms of signatures (S-1).
const (
	hmacSHA256  = "SDK-HMAC-SHA256"
	derivedHMAC = "V11-HMAC-SHA256"
	hmacSM3     = "SDK-HMAC-SM3"
	ecdsaP256   = "SDK-ECDSA-P256-SHA256"
	sm2SM3      = "SDK-SM2-SM3"
)

// scopeEnd is the last part of the scope in the forms that have five.
const scopeEnd = "sdk_request"

// A signature is a parsed Authorization header (S-1).
type signature struct {
	algorithm string
	ak        string
	scope     []string // date, region, service and perhaps scopeEnd; none in the plain forms
	signed    string   // SignedHeaders, as received
	names     []string // the same, one by one
	text      string   // hex
}

var errAuthorization = errors.New("the Authorization header is not of a known form")

// parseSignature reads an Authorization header. The form is chosen by algorithm
// and credential together.
func parseSignature(header string) (*signature, error) {
	algorithm, rest, ok := strings.Cut(header, " ")
	credential, rest, ok2 := strings.Cut(rest, ", SignedHeaders=")
	signed, text, ok3 := strings.Cut(rest, ", Signature=")
	if !ok || !ok2 || !ok3 {
		return nil, errAuthorization
	}
	s := &signature{algorithm: algorithm, signed: signed, names: strings.Split(signed, ";"), text: text}
	if err := s.parseCredential(credential); err != nil {
		return nil, err
	}
	return s, s.checkNames()
}

func (s *signature) parseCredential(credential string) error {
	if ak, ok := strings.CutPrefix(credential, "Access="); ok {
		s.ak = ak
		if s.algorithm == derivedHMAC || s.newHash() == nil {
			return errAuthorization
		}
		return nil
	}
	scope, ok := strings.CutPrefix(credential, "Credential=")
	parts := strings.Split(scope, "/")
	s.ak, s.scope = parts[0], parts[1:]
	withEnd := len(s.scope) == 4 && s.scope[3] == scopeEnd
	derived := s.algorithm == derivedHMAC && len(s.scope) == 3
	if !ok || !withEnd && !derived || s.algorithm != hmacSHA256 && s.algorithm != derivedHMAC {
		return errAuthorization
	}
	return nil
}

// checkNames requires a date among the signed headers (S-7). No name may come
// twice: a long header named a thousand times would be hashed a thousand times.
func (s *signature) checkNames() error {
	sorted := slices.Sorted(slices.Values(s.names))
	switch {
	case len(slices.Compact(sorted)) != len(s.names) || slices.Contains(s.names, ""):
		return errors.New("SignedHeaders has empty or repeated names")
	case !slices.Contains(s.names, "x-sdk-date"):
		return errors.New("x-sdk-date is not signed")
	}
	return nil
}

// newHash returns the hash of the algorithm, nil for an unknown one.
func (s *signature) newHash() hash.Hash {
	switch s.algorithm {
	case hmacSHA256, derivedHMAC, ecdsaP256:
		return sha256.New()
	case hmacSM3, sm2SM3:
		return sm3.New()
	}
	return nil
}

// plain reports the form in which a payload may be unsigned (S-6).
func (s *signature) plain() bool { return s.algorithm == hmacSHA256 && s.scope == nil }

// stringToSign appends the text that is signed, for the hash of a canonical
// request (S-2).
func (s *signature) stringToSign(b []byte, date string, canonical []byte) []byte {
	b = append(append(append(b, s.algorithm...), '\n'), date...)
	b = append(b, '\n')
	if s.scope != nil {
		b = append(append(b, strings.Join(s.scope, "/")...), '\n')
	}
	return hex.AppendEncode(b, canonical)
}

// matcher returns the function that tells, in constant time, whether the
// signature is that of a string to sign.
func (s *signature) matcher(sk string) func(toSign []byte) bool {
	switch s.algorithm {
	case ecdsaP256:
		key := s.publicKey(sk, elliptic.P256().Params().N, sha256.New, parseP256)
		return s.pairMatcher(func(toSign, sig []byte) bool {
			sum := sha256.Sum256(toSign)
			return ecdsa.VerifyASN1(key, sum[:], sig)
		})
	case sm2SM3:
		key := s.publicKey(sk, sm2.P256().Params().N, sm3.New, parseSM2)
		return s.pairMatcher(func(toSign, sig []byte) bool {
			return sm2.VerifyASN1WithSM2(key, nil, toSign, sig)
		})
	case hmacSM3:
		return s.hmacMatcher(sm3.New, []byte(sk))
	}
	return s.hmacMatcher(sha256.New, s.signingKey(sk))
}

func (s *signature) hmacMatcher(h func() hash.Hash, key []byte) func([]byte) bool {
	given := []byte(s.text)
	mac := hmac.New(h, key)
	return func(toSign []byte) bool {
		mac.Reset()
		mac.Write(toSign)
		return hmac.Equal(hex.AppendEncode(nil, mac.Sum(nil)), given)
	}
}

// signingKey returns the key of the forms with HMAC-SHA256 (S-1).
func (s *signature) signingKey(sk string) []byte {
	if s.algorithm == derivedHMAC {
		sk = deriveSecret(sk, s.ak, strings.Join(s.scope[:3], "/"))
		if len(s.scope) == 3 {
			return []byte(sk)
		}
	}
	if s.scope == nil {
		return []byte(sk)
	}
	key := []byte("SDK" + sk)
	for _, part := range s.scope {
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
func (s *signature) pairMatcher(verify func(toSign, sig []byte) bool) func([]byte) bool {
	sig, err := hex.DecodeString(s.text)
	if err != nil || hex.EncodeToString(sig) != s.text {
		return func([]byte) bool { return false }
	}
	return func(toSign []byte) bool { return verify(toSign, sig) }
}

// publicKey derives the key pair of an access key: the first candidate that is a
// scalar of the curve, whose order is n. All but one in four thousand million
// are.
func (s *signature) publicKey(sk string, n *big.Int, h func() hash.Hash, parse func([]byte) (*ecdsa.PublicKey, error)) *ecdsa.PublicKey {
	limit := new(big.Int).Sub(n, big.NewInt(2))
	for c := byte(0); ; c++ {
		mac := hmac.New(h, []byte(sk))
		mac.Write([]byte("\x00\x00\x00\x01" + s.algorithm + "\x00" + s.ak))
		mac.Write([]byte{c, 0, 0, 1, 0})
		x := new(big.Int).SetBytes(mac.Sum(nil))
		if x.Cmp(limit) > 0 {
			continue
		}
		key, err := parse(x.Add(x, big.NewInt(1)).FillBytes(make([]byte, 32)))
		if err != nil {
			panic(err) // it is from 1 to n-1
		}
		return key
	}
}

func parseP256(scalar []byte) (*ecdsa.PublicKey, error) {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		return nil, err
	}
	return &key.PublicKey, nil
}

func parseSM2(scalar []byte) (*ecdsa.PublicKey, error) {
	key, err := sm2.ParseRawPrivateKey(scalar)
	if err != nil {
		return nil, err
	}
	return &key.PublicKey, nil
}
