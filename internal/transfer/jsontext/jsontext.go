// Package jsontext reads the attributes of JSON records without making values of
// them: numbers keep their digits, and nested objects their text.
package jsontext

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

// A Value is the text of one JSON value, without white space around it. What
// reads it relies on Parse: the text as a whole was checked once.
type Value []byte

// ErrNotJSON is returned for data that is not one JSON value in UTF-8.
var ErrNotJSON = errors.New("is not JSON in UTF-8")

// Parse returns the JSON value that data consists of.
func Parse(data []byte) (Value, error) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, ErrNotJSON
	}
	return bytes.Trim(data, " \t\r\n"), nil
}

// IsObject reports whether v is an object.
func (v Value) IsObject() bool { return v[0] == '{' }

// IsArray reports whether v is an array.
func (v Value) IsArray() bool { return v[0] == '[' }

// IsString reports whether v is a string.
func (v Value) IsString() bool { return v[0] == '"' }

// IsNumber reports whether v is a number.
func (v Value) IsNumber() bool { return v[0] == '-' || v[0] >= '0' && v[0] <= '9' }

// IsBool reports whether v is true or false.
func (v Value) IsBool() bool { return v[0] == 't' || v[0] == 'f' }

// IsNull reports whether v is null.
func (v Value) IsNull() bool { return v[0] == 'n' }

// Members yields the members of an object, with their names still in quotes.
func (v Value) Members() iter.Seq2[Value, Value] {
	return func(yield func(Value, Value) bool) {
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

// Elements yields the elements of an array.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
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
func past(v Value, i int) int {
	for v[i] == ' ' || v[i] == '\t' || v[i] == '\r' || v[i] == '\n' {
		i++
	}
	return i
}

// ended returns where the value that begins at i ends.
func ended(v Value, i int) int {
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

// ErrSurrogate is returned for a string that has half a surrogate pair: it has no text.
var ErrSurrogate = errors.New("has half a surrogate pair")

// escapes are the characters that a backslash and a letter stand for.
var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// Text returns what a string says. It shares memory with v where it can.
func (v Value) Text() ([]byte, error) {
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
				return nil, ErrSurrogate
			}
			if r = utf16.DecodeRune(r, unit(s[i+3:])); r == utf8.RuneError {
				return nil, ErrSurrogate
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

// An Object is an object whose members are found by their names. It is used by one
// goroutine.
type Object struct{ members map[string]*member }

type member struct {
	value  Value
	twice  bool
	object *Object // of value, once it was asked for
}

// ErrTwice is returned for a key that an object has twice.
var ErrTwice = errors.New("is there twice")

// Object indexes the members of an object. A key with half a surrogate pair is left
// out: nothing can name it.
func (v Value) Object() *Object {
	o := &Object{make(map[string]*member)}
	for quoted, item := range v.Members() {
		key, err := quoted.Text()
		if err != nil {
			continue
		}
		if m := o.members[string(key)]; m != nil {
			m.twice = true
			continue
		}
		o.members[string(key)] = &member{value: item}
	}
	return o
}

// Member returns the value of a key, nil when it is not there. ErrTwice.
func (o *Object) Member(key string) (Value, error) {
	if m := o.members[key]; m != nil {
		return m.get()
	}
	return nil, nil
}

// Find returns the value that an attribute's name stands for: as a key, else as a
// dotted path into objects, where each step takes the shortest part before a dot that
// is a key, and there is no way back (CT-4, HBASE-6). It returns nil when there is
// none, and ErrTwice when a key on the way is there twice.
func (o *Object) Find(name string) (Value, error) {
	if m := o.members[name]; m != nil {
		return m.get()
	}
	for i := range len(name) {
		m := o.members[name[:i]]
		if name[i] != '.' || m == nil {
			continue
		}
		v, err := m.get()
		if err != nil || !v.IsObject() {
			return nil, err
		}
		if m.object == nil {
			m.object = v.Object()
		}
		return m.object.Find(name[i+1:])
	}
	return nil, nil
}

func (m *member) get() (Value, error) {
	if m.twice {
		return nil, ErrTwice
	}
	return m.value, nil
}
