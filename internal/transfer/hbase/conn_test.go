package hbase

import (
	"testing"

	"disd/internal/transfer/thrift"
)

// The size that limits a call is the size that it has.
func TestCallSize(t *testing.T) { // HBASE-9, HBASE-16
	rows := []row{{[]byte("k"), 7, []cell{{[]byte("f"), []byte("n"), []byte("v")}, {[]byte("f"), []byte("m"), nil}}}, {key: []byte("kk")}}
	w := &thrift.Writer{}
	w.Begin(thrift.CallKind, "putMultiple", 1)
	puts(w, "table", rows)
	w.Stop()
	want := callSize("table")
	for _, r := range rows {
		want += r.size()
	}
	if len(w.Sent()) != want {
		t.Errorf("a call has %d bytes, not %d", len(w.Sent()), want)
	}
}
