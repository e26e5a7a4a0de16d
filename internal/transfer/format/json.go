package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A value is the text of one JSON value, without white space around it. What
// reads it relies on wellFormed: the text as a whole was checked once.
type value []byte

var errNotJSON = errors.New("is not JSON in UTF-8")

// wellFormed returns the JSON value that data consists of.
func wellFormed(data []byte) (value, error) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, errNotJSON
	}
	return bytes.Trim(data, " \t\r\n"), nil
}

func (v value) isObject() bool { return v[0] == '{' }
func (v value) isArray() bool  { return v[0] == '[' }
func (v value) isString() bool { return v[0] == '"' }
func (v value) isNumber() bool { return v[0] == '-' || v[0] >= '0' && v[0] <= '9' }
func (v value) isNull() bool   { return v[0] == 'n' }

// members yields the members of an object, with their names still in quotes.
func (v value) members() iter.Seq2[value, value] {
	return func(yield func(value, value) bool) {
		for i := past(v, 1); v[i] != '}'; {
			name := v[i:ended(v, i)]
			i = past(v, i+len(name))
			i = past(v, i+1) // the colon
			item := v[i:ended(v, i)]
			if !yield(name, item) {
				return
			}
			if i = past(v, i+len(item)); v[i] == ',' {
				i = past(v, i+1)
			}
		}
	}
}

// elements yields the elements of an array.
func (v value) elements() iter.Seq[value] {
	return func(yield func(value) bool) {
		for i := past(v, 1); v[i] != ']'; {
			item := v[i:ended(v, i)]
			if !yield(item) {
				return
			}
			if i = past(v, i+len(item)); v[i] == ',' {
				i = past(v, i+1)
			}
		}
	}
}

// past returns where the white space from i on ends.
func past(v value, i int) int {
	for v[i] == ' ' || v[i] == '\t' || v[i] == '\r' || v[i] == '\n' {
		i++
	}
	return i
}

// ended returns where the value that begins at i ends.
func ended(v value, i int) int {
	switch v[i] {
	case '"':
		for i++; ; i++ {
			i += bytes.IndexAny(v[i:], `"\`)
			if v[i] == '"' {
				return i + 1
			}
			i++ // what follows a backslash
		}
	case '{', '[':
		for depth := 0; ; {
			switch v[i] {
			case '"':
				i = ended(v, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			if i++; depth == 0 {
				return i
			}
		}
	}
	for i < len(v) && strings.IndexByte(" \t\r\n,]}", v[i]) < 0 {
		i++
	}
	return i
}

var errSurrogate = errors.New("has half a surrogate pair")

// escapes are the characters that a backslash and a letter stand for.
var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// text returns what a string says. It shares memory with v where it can.
func (v value) text() ([]byte, error) {
	s := v[1 : len(v)-1]
	if bytes.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		if i++; s[i] != 'u' {
			out = append(out, escapes[s[i]])
			continue
		}
		r := unit(s[i+1:])
		i += 4
		if utf16.IsSurrogate(r) {
			if !bytes.HasPrefix(s[i+1:], []byte(`\u`)) {
				return nil, errSurrogate
			}
			if r = utf16.DecodeRune(r, unit(s[i+3:])); r == utf8.RuneError {
				return nil, errSurrogate
			}
			i += 6
		}
		out = utf8.AppendRune(out, r)
	}
	return out, nil
}

// unit reads the four digits of \u0000.
func unit(s []byte) rune {
	n, _ := strconv.ParseUint(string(s[:4]), 16, 16)
	return rune(n)
}
