package carbon

import "encoding/binary"

// Types of Thrift's compact protocol.
const (
	i32      = 5
	i64      = 6
	binaries = 8
	list     = 9
	mapping  = 11
	structs  = 12
	booleans = 1
)

// A message is structs in Thrift's compact protocol, one behind the other.
type message struct {
	out   []byte
	last  int // field of the struct that is open
	outer []int
}

// field begins the field of a type.
func (m *message) field(id int, typ byte) {
	m.out = append(m.out, byte(id-m.last)<<4|typ)
	m.last = id
}

func (m *message) varint(n uint64) { m.out = binary.AppendUvarint(m.out, n) }

func (m *message) zigzag(n int64) { m.varint(uint64(n<<1) ^ uint64(n>>63)) }

// number writes an i32 or i64.
func (m *message) number(id int, typ byte, n int64) {
	m.field(id, typ)
	m.zigzag(n)
}

func (m *message) flag(id int, v bool) {
	if v {
		m.field(id, 1)
	} else {
		m.field(id, 2)
	}
}

func (m *message) bytes(id int, b []byte) {
	m.field(id, binaries)
	m.item(b)
}

func (m *message) text(id int, s string) { m.bytes(id, []byte(s)) }

// item writes bytes in a list.
func (m *message) item(b []byte) {
	m.varint(uint64(len(b)))
	m.out = append(m.out, b...)
}

// list begins a list of n values.
func (m *message) list(id int, typ byte, n int) {
	m.field(id, list)
	if n < 15 {
		m.out = append(m.out, byte(n)<<4|typ)
		return
	}
	m.out = append(m.out, 0xf0|typ)
	m.varint(uint64(n))
}

func (m *message) numbers(id int, typ byte, all []int64) {
	m.list(id, typ, len(all))
	for _, n := range all {
		m.zigzag(n)
	}
}

func (m *message) items(id int, all [][]byte) {
	m.list(id, binaries, len(all))
	for _, b := range all {
		m.item(b)
	}
}

func (m *message) flags(id int, all []bool) {
	m.list(id, booleans, len(all))
	for _, v := range all {
		if v {
			m.out = append(m.out, 1)
		} else {
			m.out = append(m.out, 2)
		}
	}
}

// open begins a struct that is a field, begin one that is not. Each ends by end.
func (m *message) open(id int) {
	m.field(id, structs)
	m.begin()
}

func (m *message) begin() { m.outer, m.last = append(m.outer, m.last), 0 }

func (m *message) end() {
	m.out = append(m.out, 0)
	m.last = m.outer[len(m.outer)-1]
	m.outer = m.outer[:len(m.outer)-1]
}
