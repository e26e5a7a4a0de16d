package hbase

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"disd/internal/transfer/thrift"
)

// A conn is a connection to one Thrift 2 server. It is used by one goroutine.
type conn struct {
	*thrift.Client
	net.Conn
	release func() bool // of the context
}

// dial connects to a server. The connection ends with ctx.
func dial(ctx context.Context, address string, framed bool, timeout time.Duration) (*conn, error) {
	d := net.Dialer{Timeout: timeout}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	release := context.AfterFunc(ctx, func() { c.Close() })
	return &conn{thrift.NewStream(c, framed, timeout), c, release}, nil
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.release()
	return c.Conn.Close()
}

// A serverError is what the gateway or HBase answers a call that failed: TIOError or
// TApplicationException.
type serverError struct {
	message string
	denied  bool // the user has no right
}

// maxMessage is how many bytes of an answer's first line are kept (HBASE-26).
const maxMessage = 300

func newServerError(message []byte) *serverError {
	line, _, _ := bytes.Cut(message, []byte("\n"))
	return &serverError{
		message: strings.ToValidUTF8(string(line[:min(len(line), maxMessage)]), ""),
		denied:  bytes.Contains(message, []byte("AccessDeniedException")),
	}
}

func (e *serverError) Error() string { return "HBase: " + e.message }

// call makes a call and returns its answer, or what HBase says against it.
func (c *conn) call(name string, write func(*thrift.Writer)) (thrift.Structure, error) {
	reply, err := c.Call(name, write)
	var exception *thrift.ExceptionError
	if errors.As(err, &exception) {
		return nil, newServerError(exception.Message)
	}
	if thrown, is := reply[1].(thrift.Structure); is { // TIOError
		return nil, newServerError(thrown.Bytes(1))
	}
	return reply, err
}

// tableName writes TTableName. "namespace:table" is taken apart (HBASE-5).
func tableName(w *thrift.Writer, table string) {
	namespace, qualifier, both := strings.Cut(table, ":")
	if !both {
		namespace, qualifier = "default", table
	}
	w.Field(thrift.Struct, 1)
	w.FieldBytes(1, []byte(namespace))
	w.FieldBytes(2, []byte(qualifier))
	w.Stop()
}

// tableExists asks for a table.
func (c *conn) tableExists(table string) (bool, error) {
	reply, err := c.call("tableExists", func(w *thrift.Writer) { tableName(w, table) })
	there, _ := reply[0].(bool)
	return there, err
}

// families returns the names of a table's column families.
func (c *conn) families(table string) (map[string]bool, error) {
	reply, err := c.call("getTableDescriptor", func(w *thrift.Writer) { tableName(w, table) })
	if err != nil {
		return nil, err
	}
	descriptor, ok := reply[0].(thrift.Structure)
	if !ok {
		return nil, thrift.ErrAnswer
	}
	names := make(map[string]bool)
	for _, family := range descriptor.Structs(2) {
		names[string(family.Bytes(1))] = true
	}
	return names, nil
}

// A row is what one put writes.
type row struct {
	key   []byte
	time  int64 // ms, of all cells
	cells []cell
}

type cell struct{ family, name, value []byte }

// putMultiple writes rows. After an error some may be written (HBASE-13 makes
// that harmless).
func (c *conn) putMultiple(table string, rows []row) error {
	_, err := c.call("putMultiple", func(w *thrift.Writer) { puts(w, table, rows) })
	return err
}

// puts writes the arguments of putMultiple.
func puts(w *thrift.Writer, table string, rows []row) {
	w.FieldBytes(1, []byte(table))
	w.FieldList(2, len(rows))
	for _, r := range rows {
		put(w, r)
	}
}

// callSize returns the bytes of a call of putMultiple beside its rows.
func callSize(table string) int { return len(table) + 39 }

// size returns the bytes of a row within a call.
func (r *row) size() int {
	n := len(r.key) + 16
	for _, c := range r.cells {
		n += len(c.family) + len(c.name) + len(c.value) + 33
	}
	return n
}

// put writes TPut.
func put(w *thrift.Writer, r row) {
	w.FieldBytes(1, r.key)
	w.FieldList(2, len(r.cells))
	for _, c := range r.cells { // TColumnValue
		w.FieldBytes(1, c.family)
		w.FieldBytes(2, c.name)
		w.FieldBytes(3, c.value)
		w.Field(thrift.I64, 4)
		w.I64(r.time)
		w.Stop()
	}
	w.Stop()
}

// shows reports whether HBase shows each cell of the rows with its time or a later
// one.
func (c *conn) shows(table string, rows []row) (bool, error) {
	reply, err := c.call("getMultiple", func(w *thrift.Writer) {
		w.FieldBytes(1, []byte(table))
		w.FieldList(2, len(rows))
		for _, r := range rows { // TGet
			w.FieldBytes(1, r.key)
			w.FieldList(2, len(r.cells))
			for _, c := range r.cells { // TColumn
				w.FieldBytes(1, c.family)
				w.FieldBytes(2, c.name)
				w.Stop()
			}
			w.Stop()
		}
	})
	if err != nil {
		return false, err
	}
	results := reply.Structs(0)
	if len(results) != len(rows) {
		return false, nil
	}
	for i, r := range rows {
		if !shown(r, results[i].Structs(2)) {
			return false, nil
		}
	}
	return true, nil
}

func shown(r row, got []thrift.Structure) bool {
	times := make(map[string]int64, len(got))
	for _, cell := range got { // TColumnValue
		t, _ := cell[4].(int64)
		times[string(cell.Bytes(1))+":"+string(cell.Bytes(2))] = t
	}
	for _, c := range r.cells {
		if t, there := times[string(c.family)+":"+string(c.name)]; !there || t < r.time {
			return false
		}
	}
	return true
}
