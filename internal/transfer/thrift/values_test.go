package thrift

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"reflect"
	"testing"
	"time"
)

func read(kind byte, message []byte) (any, error) {
	r := &reader{r: bufio.NewReader(bytes.NewReader(message)), left: maxAnswer}
	return r.value(kind, 0)
}

func TestReads(t *testing.T) { // HBASE-2
	w := &Writer{}
	w.FieldBytes(1, []byte("row"))
	w.FieldList(2, 1)
	w.FieldBytes(1, []byte("k"))
	w.Field(I64, 4)
	w.I64(7)
	w.Stop()
	w.Field(Map, 3)
	w.buf = append(w.buf, String, Bool, 0, 0, 0, 1, 0, 0, 0, 1, 'x', 1)
	w.Field(Bool, 4)
	w.buf = append(w.buf, 1)
	w.Stop()
	want := Structure{
		1: []byte("row"), 3: nil, 4: true,
		2: []any{Structure{1: []byte("k"), 4: int64(7)}},
	}
	if got, err := read(Struct, w.buf); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for n := range w.buf {
		if _, err := read(Struct, w.buf[:n]); err == nil {
			t.Errorf("the first %d bytes were read", n)
		}
	}
	deep := bytes.Repeat([]byte{List, 0, 0, 0, 1}, 100)
	for name, message := range map[string][]byte{
		"long": {0x7f, 0xff, 0xff, 0xff}, "negative": {0xff, 0xff, 0xff, 0xff},
	} {
		if _, err := read(String, message); !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: %v, want ErrAnswer", name, err)
		}
	}
	many := append([]byte{Struct, 0, 0x7f, 0xff, 0xff}, make([]byte, maxValues)...)
	if _, err := read(List, many); !errors.Is(err, ErrAnswer) {
		t.Errorf("many: %v, want ErrAnswer", err)
	}
	if _, err := read(List, deep); !errors.Is(err, ErrAnswer) {
		t.Errorf("deep: %v, want ErrAnswer", err)
	}
}

// A list of values that take no bytes must not make memory of a length alone.
func TestListOfNothing(t *testing.T) {
	message := []byte{Struct, 0x7f, 0xff, 0xff, 0xff}
	if _, err := read(List, message); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

func FuzzReads(f *testing.F) {
	f.Add([]byte{String, 0, 1, 0, 0, 0, 1, 'x', 0})
	f.Add([]byte{List, 0, 2, Struct, 0, 0, 0, 2, 0, 0, 0})
	f.Fuzz(func(t *testing.T, message []byte) { _, _ = read(Struct, message) })
}

// answer runs a server that answers each call with what reply makes of it.
func answer(t *testing.T, framed bool, reply func(call []byte) []byte) *Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			c.Write(reply(buf[:n]))
		}
	}()
	c, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return NewStream(c, framed, 5*time.Second)
}

func TestAnswers(t *testing.T) { // HBASE-2
	header := func(version uint32, name string, id byte) []byte {
		w := &Writer{}
		w.I32(int32(version))
		w.Bytes([]byte(name))
		return append(w.buf, 0, 0, 0, id)
	}
	const reply, exception = 0x80010002, 0x80010003
	boolean := []byte{Bool, 0, 0, 1, 0}
	thrown := []byte{String, 0, 1, 0, 0, 0, 2, 'o', 'h', 0}
	for _, tt := range []struct {
		name   string
		answer []byte
		want   string // the error
	}{
		{"good", append(header(reply, "tableExists", 1), boolean...), ""},
		{"another call", append(header(reply, "tableExists", 2), boolean...), "tableExists: the answer is not Thrift's: it is for tableExists 2"},
		{"another name", append(header(reply, "x", 1), boolean...), "tableExists: the answer is not Thrift's: it is for x 1"},
		{"HTTP", []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "tableExists: the answer is not Thrift's"},
		{"TApplicationException", append(header(exception, "tableExists", 1), thrown...), "tableExists: oh"},
	} {
		for _, framed := range []bool{false, true} {
			c := answer(t, framed, func([]byte) []byte {
				if framed {
					return append([]byte{0, 0, 0, byte(len(tt.answer))}, tt.answer...)
				}
				return tt.answer
			})
			body, err := c.Call("tableExists", func(*Writer) {})
			there := body[0] == true
			if tt.want == "" && (err != nil || !there) || tt.want != "" && (err == nil || err.Error() != tt.want) {
				if framed && tt.name == "HTTP" {
					continue
				}
				t.Errorf("%s, framed %v: %v, %v, want %q", tt.name, framed, there, err, tt.want)
			}
		}
	}
}
