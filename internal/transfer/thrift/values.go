// Package thrift speaks the strict binary protocol of Apache Thrift: messages written
// by hand, answers of any shape read within bounds, over a stream, in frames or over
// HTTP.
package thrift

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Types of values.
const (
	typeStop = 0
	Bool     = 2
	Byte     = 3
	Double   = 4
	I16      = 6
	I32      = 8
	I64      = 10
	String   = 11
	Struct   = 12
	Map      = 13
	Set      = 14
	List     = 15
)

const version = 0x80010000

// Kinds of messages.
const (
	CallKind      = 1
	ReplyKind     = 2
	ExceptionKind = 3
)

// A Writer appends values to a message. Its methods return nothing: memory does
// not fail.
type Writer struct{ buf []byte }

// Begin begins a message; its fields follow, and Stop ends it.
func (w *Writer) Begin(kind byte, name string, id int32) {
	w.buf = binary.BigEndian.AppendUint32(w.buf, version|uint32(kind))
	w.Bytes([]byte(name))
	w.I32(id)
}

// Sent returns what was written.
func (w *Writer) Sent() []byte { return w.buf }

// Byte appends a number of 8 bits.
func (w *Writer) Byte(b byte) { w.buf = append(w.buf, b) }

// Bool appends a bool.
func (w *Writer) Bool(b bool) {
	if b {
		w.Byte(1)
		return
	}
	w.Byte(0)
}

// I32 appends a number of 32 bits.
func (w *Writer) I32(n int32) { w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(n)) }

// I64 appends a number of 64 bits.
func (w *Writer) I64(n int64) { w.buf = binary.BigEndian.AppendUint64(w.buf, uint64(n)) }

// Stop ends a struct.
func (w *Writer) Stop() { w.buf = append(w.buf, typeStop) }

// Bytes appends a string, whose bytes need no encoding.
func (w *Writer) Bytes(b []byte) {
	w.I32(int32(len(b)))
	w.buf = append(w.buf, b...)
}

// Field begins a field of a struct; its value follows.
func (w *Writer) Field(kind byte, id int16) {
	w.buf = append(w.buf, kind, byte(id>>8), byte(id))
}

// FieldBytes appends a field that is a string.
func (w *Writer) FieldBytes(id int16, b []byte) {
	w.Field(String, id)
	w.Bytes(b)
}

// FieldList begins a list of n structs, which follow.
func (w *Writer) FieldList(id int16, n int) {
	w.Field(List, id)
	w.buf = append(w.buf, Struct)
	w.I32(int32(n))
}

// A Structure is the fields of a struct that was read, by their ids. Their values are
// bool, int64, float64, []byte, Structure and []any. Maps are read past, and nil.
type Structure map[int16]any

// Bytes returns a field that is a string, nil for none.
func (s Structure) Bytes(id int16) []byte {
	b, _ := s[id].([]byte)
	return b
}

// Structs returns the structs of a field that is a list of them, nil for none.
func (s Structure) Structs(id int16) []Structure {
	items, _ := s[id].([]any)
	var out []Structure
	for _, item := range items {
		if st, ok := item.(Structure); ok {
			out = append(out, st)
		}
	}
	return out
}

const (
	maxAnswer = 64 << 20 // bytes of an answer (HBASE-2)
	maxDepth  = 16       // of structs, lists and maps in one another
	maxValues = 1 << 20  // of an answer; that to the largest call has a tenth
)

// ErrAnswer is returned for an answer that is not one: no Thrift, too long, or to
// another call. The connection is of no use after it.
var ErrAnswer = errors.New("the answer is not Thrift's")

// A reader reads the values of one message, of at most maxAnswer bytes.
type reader struct {
	r      *bufio.Reader
	left   int64 // bytes
	values int   // that were read
}

// take returns the next n bytes. They are allocated as they arrive, so that a
// length alone costs nothing.
func (r *reader) take(n int64) ([]byte, error) {
	if n < 0 || n > r.left {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrAnswer, maxAnswer)
	}
	r.left -= n
	if n <= 64<<10 {
		b := make([]byte, n)
		_, err := io.ReadFull(r.r, b)
		return b, err
	}
	b, err := io.ReadAll(io.LimitReader(r.r, n))
	if err == nil && int64(len(b)) < n {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

func (r *reader) uint(size int64) (uint64, error) {
	b, err := r.take(size)
	if err != nil {
		return 0, err
	}
	var n uint64
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n, nil
}

func (r *reader) length() (int64, error) {
	n, err := r.uint(4)
	return int64(int32(n)), err
}

// A Message is a call or an answer.
type Message struct {
	Kind byte
	Name string // of the call
	ID   int32  // of the call
	Body Structure
}

// Read reads a message of at most size bytes.
func Read(in *bufio.Reader, size int64) (m Message, err error) {
	r := &reader{r: in, left: size}
	n, err := r.uint(4)
	if err != nil {
		return m, err
	}
	if n&0xffff0000 != version {
		return m, ErrAnswer
	}
	name, err := r.string()
	if err != nil {
		return m, err
	}
	id, err := r.uint(4)
	if err != nil {
		return m, err
	}
	body, err := r.structure(0)
	return Message{byte(n), string(name), int32(id), body}, err
}

func (r *reader) string() ([]byte, error) {
	n, err := r.length()
	if err != nil {
		return nil, err
	}
	return r.take(n)
}

// value reads a value of a kind.
func (r *reader) value(kind byte, depth int) (any, error) {
	if r.values++; depth > maxDepth || r.values > maxValues {
		return nil, fmt.Errorf("%w: it has too many values, or too many in one another", ErrAnswer)
	}
	switch kind {
	case Bool:
		n, err := r.uint(1)
		return n != 0, err
	case Byte:
		n, err := r.uint(1)
		return int64(int8(n)), err
	case I16:
		n, err := r.uint(2)
		return int64(int16(n)), err
	case I32:
		n, err := r.uint(4)
		return int64(int32(n)), err
	case I64:
		n, err := r.uint(8)
		return int64(n), err
	case Double:
		n, err := r.uint(8)
		return math.Float64frombits(n), err
	case String:
		return r.string()
	case Struct:
		return r.structure(depth)
	case List, Set:
		return r.list(depth)
	case Map:
		return nil, r.skipMap(depth)
	}
	return nil, fmt.Errorf("%w: type %d", ErrAnswer, kind)
}

func (r *reader) structure(depth int) (Structure, error) {
	s := make(Structure)
	for {
		kind, err := r.uint(1)
		if err != nil || kind == typeStop {
			return s, err
		}
		id, err := r.uint(2)
		if err != nil {
			return nil, err
		}
		if s[int16(id)], err = r.value(byte(kind), depth+1); err != nil {
			return nil, err
		}
	}
}

func (r *reader) list(depth int) ([]any, error) {
	kind, err := r.uint(1)
	if err != nil {
		return nil, err
	}
	n, err := r.length()
	if err != nil {
		return nil, err
	}
	var items []any
	for range n {
		item, err := r.value(byte(kind), depth+1)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

func (r *reader) skipMap(depth int) error {
	kinds, err := r.take(2)
	if err != nil {
		return err
	}
	n, err := r.length()
	if err != nil {
		return err
	}
	for range n {
		for _, kind := range kinds {
			if _, err := r.value(kind, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
