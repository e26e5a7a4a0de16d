package hbase

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"disd/internal/storage"
	"disd/internal/transfer/kind"
	"disd/internal/transfer/sinktest"
	"disd/internal/transfer/thrift"
)

// A gateway is a Thrift 2 server over a table in memory. The real one is in the tests
// of sinks.
type gateway struct {
	address string

	mu    sync.Mutex
	table string // "" when there is none
	cells map[string]map[int64]string
	calls []string
	fault func(call string) string // "lost": no answer; else the message of a TIOError
}

func newGateway(t *testing.T) *gateway {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{address: listener.Addr().String(), table: "t", cells: make(map[string]map[int64]string)}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go g.serve(c)
		}
	}()
	return g
}

// fail has calls go wrong from now on.
func (g *gateway) fail(with func(call string) string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = with
}

func (g *gateway) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		m, err := thrift.Read(in, 64<<20)
		if err != nil {
			return
		}
		w := &thrift.Writer{}
		w.Begin(thrift.ReplyKind, m.Name, m.ID)
		if !g.answer(w, m) {
			return
		}
		w.Stop()
		if _, err := c.Write(w.Sent()); err != nil {
			return
		}
	}
}

func (g *gateway) answer(w *thrift.Writer, m thrift.Message) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, m.Name)
	fault := ""
	if g.fault != nil {
		fault = g.fault(m.Name)
	}
	if fault != "" && fault != "lost" {
		w.Field(thrift.Struct, 1)
		w.FieldBytes(1, []byte(fault))
		w.Stop()
		return true
	}
	switch m.Name {
	case "tableExists":
		name, _ := m.Body[1].(thrift.Structure)
		there := byte(0)
		if string(name.Bytes(1)) == "default" && string(name.Bytes(2)) == g.table {
			there = 1
		}
		w.Field(thrift.Bool, 0)
		w.Byte(there)
	case "getTableDescriptor":
		w.Field(thrift.Struct, 0)
		w.FieldList(2, 1)
		w.FieldBytes(1, []byte("f"))
		w.Stop()
		w.Stop()
	case "putMultiple":
		g.put(m.Body.Structs(2))
	case "getMultiple":
		g.get(w, m.Body.Structs(2))
	}
	return fault != "lost"
}

func (g *gateway) put(puts []thrift.Structure) {
	for _, p := range puts {
		for _, c := range p.Structs(2) {
			name := fmt.Sprintf("%s %s:%s", p.Bytes(1), c.Bytes(1), c.Bytes(2))
			if g.cells[name] == nil {
				g.cells[name] = make(map[int64]string)
			}
			g.cells[name][c[4].(int64)] = string(c.Bytes(3))
		}
	}
}

func (g *gateway) get(w *thrift.Writer, gets []thrift.Structure) {
	w.FieldList(0, len(gets))
	for _, get := range gets {
		var found [][2]any
		for _, c := range get.Structs(2) {
			if versions := g.cells[fmt.Sprintf("%s %s:%s", get.Bytes(1), c.Bytes(1), c.Bytes(2))]; len(versions) > 0 {
				found = append(found, [2]any{c, slices.Max(slices.Collect(maps.Keys(versions)))})
			}
		}
		w.FieldList(2, len(found))
		for _, f := range found {
			c := f[0].(thrift.Structure)
			w.FieldBytes(1, c.Bytes(1))
			w.FieldBytes(2, c.Bytes(2))
			w.Field(thrift.I64, 4)
			w.I64(f[1].(int64))
			w.Stop()
		}
		w.Stop()
	}
}

func (g *gateway) target(t *testing.T, more string, addresses ...string) kind.Target {
	t.Helper()
	k, err := Kind([]Cluster{{"c", "1", Gateway{Thrift: append(addresses, g.address)}}})
	if err != nil {
		t.Fatal(err)
	}
	target := sinktest.Target(t, k, `{"task_name":"t","agency_name":"a","cloudtable_cluster_name":"c","cloudtable_cluster_id":"1",
		"cloudtable_table_name":"t","cloudtable_schema":{"row_key":[{"value":"k","type":"String"}],
		"columns":[{"column_family_name":"f","column_name":"v","value":"v","type":"String"}]}`+more+`}`)
	target.Stream.DataType = kind.JSON
	return target
}

func TestSink(t *testing.T) { // HBASE-14, HBASE-17
	sinktest.Run(t, func(t *testing.T) sinktest.Destination {
		g := newGateway(t)
		record := func(partition int32, number int) string {
			return fmt.Sprintf(`{"k":"%d,%d","v":"x"}`, partition, number)
		}
		return sinktest.Destination{
			Target: g.target(t, ""), Record: record, Forgetful: true,
			Rows: func() (rows []string) {
				g.mu.Lock()
				defer g.mu.Unlock()
				for name, versions := range g.cells {
					if len(versions) != 1 {
						t.Errorf("cell %s has %d versions", name, len(versions))
					}
					rows = append(rows, fmt.Sprintf(`{"k":"%s","v":"x"}`, strings.TrimSuffix(name, " f:v")))
				}
				return rows
			},
			Vanish: func() {
				g.mu.Lock()
				defer g.mu.Unlock()
				g.table = ""
			},
		}
	})
}

func batch(target kind.Target, data ...string) kind.Batch {
	b := kind.Batch{Target: target, Last: storage.Seq(len(data) - 1)}
	for i, d := range data {
		b.Records = append(b.Records, storage.Record{Seq: storage.Seq(i), AppendTime: 1000, Data: []byte(d)})
	}
	return b
}

func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		name   string
		call   string
		fault  string
		refuse bool
		commit bool // Committing was called
	}{
		{"HBASE-20 no right", "putMultiple", "org.apache.hadoop.hbase.security.AccessDeniedException: no", true, true},
		{"HBASE-20 another failure", "putMultiple", "Failed 1 action: t: 1 time", false, true},
		{"HBASE-20 family being changed", "putMultiple", "NoSuchColumnFamilyException", false, true},
		{"HBASE-17 before anything is sent", "getTableDescriptor", "oh", false, false},
		{"lost answer", "putMultiple", "lost", false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGateway(t)
			target := g.target(t, "")
			s, err := target.Kind.Opener.Open(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			g.fail(func(call string) string {
				if call == tt.call {
					return tt.fault
				}
				return ""
			})
			committed := false
			b := batch(target, `{"k":"1","v":"x"}`)
			b.Committing = func() error { committed = true; return nil }
			if _, err := s.Deliver(t.Context(), b); err == nil || errors.Is(err, kind.ErrRefused) != tt.refuse {
				t.Errorf("got %v, refused should be %v", err, tt.refuse)
			}
			if committed != tt.commit {
				t.Errorf("Committing was called: %v, want %v", committed, tt.commit)
			}
			there, err := s.Delivered(t.Context(), b)
			if want := tt.fault == "lost"; err != nil || there != want { // HBASE-18
				t.Errorf("delivered: %v, %v, want %v", there, err, want)
			}
			g.mu.Lock()
			g.put([]thrift.Structure{{1: []byte("1"), 2: []any{thrift.Structure{1: []byte("f"), 2: []byte("v"), 4: int64(2000)}}}})
			g.mu.Unlock()
			if there, err := s.Delivered(t.Context(), b); err != nil || !there {
				t.Errorf("HBASE-18: with a later time: %v, %v", there, err)
			}
		})
	}
}

// The next attempt begins with the next address (HBASE-2).
func TestAddresses(t *testing.T) {
	g := newGateway(t)
	target := g.target(t, "", "127.0.0.1:1")
	s, err := target.Kind.Opener.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	b := batch(target, `{"k":"1","v":"x"}`)
	if _, err := s.Deliver(t.Context(), b); err == nil || errors.Is(err, kind.ErrRefused) {
		t.Errorf("the first address: %v", err)
	}
	for range 2 {
		if _, err := s.Deliver(t.Context(), b); err != nil {
			t.Errorf("the second address: %v", err)
		}
	}
}

func TestCheck(t *testing.T) { // HBASE-5
	for _, tt := range []struct {
		name string
		more string
		make func(*gateway)
		want error
	}{
		{"good", "", func(*gateway) {}, nil},
		{"another cluster", `,"cloudtable_cluster_id":"2"`, func(*gateway) {}, kind.ErrCloudTableCluster},
		{"fails", "", func(g *gateway) { g.fail(func(string) string { return "oh" }) }, kind.ErrCloudTableCluster},
		{"no table", `,"cloudtable_table_name":"u"`, func(*gateway) {}, kind.ErrCloudTableTable},
		{"namespace", `,"cloudtable_table_name":"n:t"`, func(*gateway) {}, kind.ErrCloudTableTable},
		{"no family", `,"cloudtable_schema":{"row_key":[{"value":"k","type":"String"}],"columns":[{"column_family_name":"g","column_name":"v","value":"v","type":"String"}]}`,
			func(*gateway) {}, kind.ErrColumnFamily},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGateway(t)
			tt.make(g)
			target := g.target(t, tt.more)
			if err := target.Kind.Opener.Check(t.Context(), target); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			if slices.Contains(g.calls, "putMultiple") {
				t.Error("the check wrote something")
			}
		})
	}
}

func TestSchema(t *testing.T) { // HBASE-3, CT-8
	k, err := Kind(nil)
	if err != nil {
		t.Fatal(err)
	}
	column := func(family, name string) string {
		return `{"column_family_name":"` + family + `","column_name":"` + name + `","value":"v","type":"String"}`
	}
	for columns, ok := range map[string]bool{
		column("f", "a") + "," + column("f", "b"): true,
		column("f", "a") + "," + column("f", "a"): false,
		column("f:g", "a"):                        false,
		column(".f", "a"):                         false,
		column(`f\u0001`, "a"):                    false,
		column("", "a"):                           false,
	} {
		_, err := kind.Set{k}.Parse(kind.CloudTable, []byte(`{"task_name":"t","agency_name":"a","cloudtable_cluster_name":"c","cloudtable_cluster_id":"1",
			"cloudtable_table_name":"t","cloudtable_schema":{"row_key":[{"value":"k","type":"String"}],"columns":[`+columns+`]}}`))
		if (err == nil) != ok || !ok && !errors.Is(err, kind.ErrCloudTableSchema) {
			t.Errorf("%s: %v", columns, err)
		}
	}
}

// What is wrong with the configuration is said with its key (HBASE-1).
func TestConfiguration(t *testing.T) {
	for _, tt := range []struct {
		gateway Gateway
		want    string
	}{
		{Gateway{}, "cluster c: hbase.thrift: at least one address is needed"},
		{Gateway{Thrift: []string{"a"}}, `cluster c: hbase.thrift: "a" is not host:port`},
		{Gateway{Thrift: []string{"a:1"}, Frame: 1}, "cluster c: hbase.frame: must be from 65536 to 1073741824"},
		{Gateway{Thrift: []string{"a:1"}, Cell: 2 << 30}, "cluster c: hbase.cell: must be from 1 to 1073741824"},
		{Gateway{Thrift: []string{"a:1"}, Timeout: 1}, "cluster c: hbase.timeout: must be from 1s to 1h"},
	} {
		if _, err := Kind([]Cluster{{"c", "1", tt.gateway}}); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}
