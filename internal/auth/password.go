package auth

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// defaultPasswordCost is the number of PBKDF2 iterations of new passwords.
const defaultPasswordCost = 600_000

// passwordScheme begins every stored hash: scheme$iterations$salt$hash.
const passwordScheme = "pbkdf2-sha256"

// hashPassword returns what is stored of a password.
func hashPassword(password string, cost int) string {
	salt := make([]byte, 16)
	rand.Read(salt)
	e := base64.RawStdEncoding
	return strings.Join([]string{passwordScheme, strconv.Itoa(cost), e.EncodeToString(salt), e.EncodeToString(stretch(password, salt, cost))}, "$")
}

func stretch(password string, salt []byte, cost int) []byte {
	b, err := pbkdf2.Key(sha256.New, password, salt, cost, sha256.Size)
	if err != nil {
		panic(err) // the length is right
	}
	return b
}

// matchesHash compares a password with a stored hash, slowly.
func matchesHash(password, stored string) bool {
	parts := strings.Split(stored, "$")
	if len(parts) != 4 || parts[0] != passwordScheme {
		return false
	}
	cost, err := strconv.Atoi(parts[1])
	salt, err2 := base64.RawStdEncoding.DecodeString(parts[2])
	want, err3 := base64.RawStdEncoding.DecodeString(parts[3])
	if err != nil || err2 != nil || err3 != nil || cost < 1 {
		return false
	}
	return hmac.Equal(stretch(password, salt, cost), want)
}

// passwords checks passwords. One that was right is recognised at once the next
// time: a run of an infrastructure client logs in hundreds of times (E1-R9). One
// that is wrong always takes its time.
type passwords struct {
	key   [32]byte // of this process, for what is remembered
	slots chan struct{}

	mu    sync.Mutex
	known map[string][]byte // keyed digest of the right password, by stored hash
	turns map[string]*turn  // by address, those with comparisons
}

// A turn is held by the one comparison of an address that may wait for a slot.
type turn struct {
	sync.Mutex
	n int // comparisons of the address
}

func newPasswords() *passwords {
	p := &passwords{
		// The runtime has one more than there are processors: main.
		slots: make(chan struct{}, min(2, max(1, (runtime.GOMAXPROCS(0)-1)/2))),
		known: make(map[string][]byte), turns: make(map[string]*turn),
	}
	rand.Read(p.key[:])
	return p
}

// digest stands for a password in memory.
func (p *passwords) digest(password string) []byte {
	h := hmac.New(sha256.New, p.key[:])
	h.Write([]byte(password))
	return h.Sum(nil)
}

// check compares a password, which came from an address, with a stored hash.
func (p *passwords) check(from, password, stored string) bool {
	given := p.digest(password)
	p.mu.Lock()
	known := p.known[stored]
	p.mu.Unlock()
	if known != nil && hmac.Equal(given, known) {
		return true
	}
	if !p.matchesStored(from, password, stored) {
		return false
	}
	p.remember(given, stored)
	return true
}

// maxKnown bounds how many passwords are remembered: each change of one leaves the
// one before behind.
const maxKnown = 10_000

func (p *passwords) remember(digest []byte, stored string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= maxKnown {
		clear(p.known)
	}
	p.known[stored] = digest
}

// matchesStored compares a password with a stored hash, slowly. At most two such
// comparisons run at a time, on half of the processors, so that guessing does not
// take these from the streams, and one of each address, so that others get their
// turn.
func (p *passwords) matchesStored(from, password, stored string) bool {
	p.mu.Lock()
	t := p.turns[from]
	if t == nil {
		t = new(turn)
		p.turns[from] = t
	}
	t.n++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if t.n--; t.n == 0 {
			delete(p.turns, from)
		}
	}()
	t.Lock()
	defer t.Unlock()
	p.slots <- struct{}{}
	defer func() { <-p.slots }()
	return matchesHash(password, stored)
}

// randomText returns n random characters of an alphabet of at most 64.
func randomText(alphabet string, n int) string {
	out := make([]byte, 0, n)
	var b [64]byte
	limit := byte(256 / len(alphabet) * len(alphabet) % 256) // 0 for 256
	for len(out) < n {
		rand.Read(b[:])
		for _, c := range b {
			if (limit == 0 || c < limit) && len(out) < n {
				out = append(out, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return string(out)
}

const (
	upperDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	letters     = upperDigits + "abcdefghijklmnopqrstuvwxyz"
)

// newKeyPair returns a random access key and its secret.
func newKeyPair() (ak, sk string) { return randomText(upperDigits, 20), randomText(letters, 40) }

// newID returns a random id of 32 hex digits.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return fmt.Sprintf("%x", b)
}

// matches compares a password with the digest of the right one.
func (p *passwords) matches(password string, digest []byte) bool {
	return hmac.Equal(p.digest(password), digest)
}
