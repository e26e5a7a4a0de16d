package codec

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects may nest, as in encoding/json.
const maxDepth = 10000

// A scanner reads a JSON text from front to back. After the first mistake bad
// is set, and what it returns means nothing any more: loops end by more, and
// the caller looks at bad once.
type scanner struct {
	b     []byte
	i     int // of the next byte to read
	depth int
	bad   bool
}

func (s *scanner) fail() { s.bad = true }

// peek returns the first byte of the next token, 0 at the end of the text.
func (s *scanner) peek() byte {
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// enter passes the bracket that opens an array or object and reports whether
// anything comes before the one that closes it.
func (s *scanner) enter(end byte) bool {
	s.i++
	s.depth++
	if s.depth > maxDepth {
		s.fail()
	}
	if s.peek() == end {
		return s.more(end)
	}
	return !s.bad
}

// more passes what follows an element and reports whether it is a comma.
func (s *scanner) more(end byte) bool {
	c := s.peek()
	if c != ',' && c != end {
		s.fail()
	}
	if s.bad {
		return false
	}
	s.i++
	if c == end {
		s.depth--
	}
	return c == ','
}

// name reads the name of a member and the colon behind it.
func (s *scanner) name() []byte {
	if s.peek() != '"' {
		s.fail()
		return nil
	}
	name := s.str()
	if s.peek() != ':' {
		s.fail()
		return nil
	}
	s.i++
	return name
}

// end reports whether nothing follows.
func (s *scanner) end() bool {
	s.peek()
	return !s.bad && s.i == len(s.b)
}

// skip reads any value.
func (s *scanner) skip() {
	switch c := s.peek(); c {
	case '{':
		for ok := s.enter('}'); ok; ok = s.more('}') {
			s.name()
			s.skip()
		}
	case '[':
		for ok := s.enter(']'); ok; ok = s.more(']') {
			s.skip()
		}
	case 't', 'f':
		s.boolean()
	default:
		s.text()
	}
}

// text reads a value where the contract has a String or a number: a string, or
// a number as it is written (C-32). It returns nil for null.
func (s *scanner) text() []byte {
	switch c := s.peek(); {
	case c == '"':
		return s.str()
	case c == '-' || isDigit(c):
		return s.number()
	}
	s.literal("null")
	return nil
}

// boolean reads a value where the contract has a Boolean: a literal or a
// string. It returns nil for null.
func (s *scanner) boolean() []byte {
	switch s.peek() {
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case '"':
		return s.str()
	}
	s.literal("null")
	return nil
}

// long reads a String value that is expected to be long, without looking at
// every byte: one that is not plain must still pass isContent.
func (s *scanner) long() (text []byte, plain bool) {
	if s.peek() != '"' {
		return s.text(), true
	}
	text = s.b[s.i+1:]
	n := bytes.IndexByte(text, '"')
	if n < 0 || bytes.IndexByte(text[:n], '\\') >= 0 {
		return s.str(), true
	}
	s.i += n + 2
	return text[:n:n], false
}

// isContent reports whether b can stand between the quotes of a string,
// quotes and backslashes aside.
func isContent(b []byte) bool {
	for _, c := range b {
		if c < ' ' {
			return false
		}
	}
	return utf8.Valid(b)
}

func (s *scanner) literal(word string) []byte {
	if !bytes.HasPrefix(s.b[s.i:], []byte(word)) {
		s.fail()
		return nil
	}
	s.i += len(word)
	return s.b[s.i-len(word) : s.i : s.i]
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func (s *scanner) number() []byte {
	start := s.i
	s.pass("-")
	if !s.pass("0") {
		s.digits()
	}
	if s.pass(".") {
		s.digits()
	}
	if s.pass("eE") {
		s.pass("+-")
		s.digits()
	}
	return s.b[start:s.i:s.i]
}

// pass passes the next byte if it is one of set.
func (s *scanner) pass(set string) bool {
	if s.i == len(s.b) || strings.IndexByte(set, s.b[s.i]) < 0 {
		return false
	}
	s.i++
	return true
}

// digits passes one digit or more.
func (s *scanner) digits() {
	start := s.i
	for s.i < len(s.b) && isDigit(s.b[s.i]) {
		s.i++
	}
	if s.i == start {
		s.fail()
	}
}

// str reads a string, unescapes it in place (it never grows) and returns it.
func (s *scanner) str() []byte {
	s.i++
	start, w := s.i, s.i
	for !s.bad && s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			text := s.b[start:w:w]
			if !utf8.Valid(text) {
				s.fail()
			}
			return text
		case c == '\\':
			w += s.escape(s.b[w:])
		case c < ' ':
			s.fail()
		default:
			s.b[w] = c
			w++
			s.i++
		}
	}
	s.fail()
	return nil
}

// escape reads an escape sequence and writes what it stands for to dst.
func (s *scanner) escape(dst []byte) int {
	if s.i+1 == len(s.b) {
		s.fail()
		return 0
	}
	if s.b[s.i+1] == 'u' {
		return utf8.EncodeRune(dst, s.unicode())
	}
	k := strings.IndexByte(`"\/bfnrt`, s.b[s.i+1])
	if k < 0 {
		s.fail()
		return 0
	}
	s.i += 2
	dst[0] = "\"\\/\b\f\n\r\t"[k]
	return 1
}

// unicode reads a \u escape, two if they are a surrogate pair.
func (s *scanner) unicode() rune {
	r := s.hex()
	if !utf16.IsSurrogate(r) {
		return r
	}
	if next := s.i; bytes.HasPrefix(s.b[next:], []byte(`\u`)) {
		if pair := utf16.DecodeRune(r, s.hex()); pair != utf8.RuneError {
			return pair
		}
		s.i = next
	}
	return utf8.RuneError
}

// hex reads one \u with its four digits.
func (s *scanner) hex() (r rune) {
	if len(s.b)-s.i < 6 {
		s.fail()
		return 0
	}
	for _, c := range s.b[s.i+2 : s.i+6] {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			s.fail()
		}
		r = r<<4 | rune(c&15)
	}
	s.i += 6
	return r
}
