package dws_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"disd/internal/transfer/dws"
	"disd/internal/transfer/kind"
)

// A line to the database that does something to one of the pieces that pass.
type line struct {
	address string

	mu     sync.Mutex
	passed int
	at     int // the piece that it happens to, in both directions together
	fault  string
	hold   chan struct{} // of fault "hold": closed to let the piece go on
	pause  time.Duration // before each piece
}

// open passes connections on until the test ends.
func (l *line) open(t *testing.T, server string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.address = listener.Addr().String()
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			conn, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			go l.pass(client, conn)
			go l.pass(conn, client)
		}
	}()
}

// pass hands on what arrives, until a fault. A line that is cut loses the piece
// ("before") or hands it on as the last one ("after"). What was on hold is the last
// that the server is told, and it is read before the line ends.
func (l *line) pass(from, to net.Conn) {
	end := func() { from.Close(); to.Close() }
	defer func() { end() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		time.Sleep(l.pause) // is a fault
		l.mu.Lock()
		hit := l.passed == l.at
		l.passed++
		l.mu.Unlock()
		if hit && l.fault == "before" {
			return
		}
		if hit && l.fault == "hold" {
			<-l.hold
		}
		if _, err := to.Write(buf[:n]); err != nil || hit && l.fault == "after" {
			return
		}
		if hit && l.fault == "hold" {
			end = func() { to.(*net.TCPConn).CloseWrite() } // the other direction closes when the server does
			return
		}
	}
}

func (l *line) pieces() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.passed
}

// TestDeliverSurvivesEveryCut cuts the line at every piece of a delivery. After
// the next attempt the batch is there once, and so is what it rejected.
func TestDeliverSurvivesEveryCut(t *testing.T) {
	b := newBench(t)
	target := b.target(t, "a int, b text", map[string]any{"options": map[string]any{"reject_limit": "3", "error_table_name": "e"}})
	table := target.TaskID
	for _, fault := range []string{"before", "after"} {
		for n := 0; ; n++ {
			target.TaskID = fault + strconv.Itoa(n)
			l := &line{at: n, fault: fault}
			l.open(t, b.Address)
			through := clustered(t, dws.Cluster{Name: "c", ID: "1", Address: l.address, SSLMode: "disable"})
			s, err := through.Opener.Open(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			todo := batch(target, 0, 0, "1,x", "x,y", "2,z")
			committing := false
			todo.Committing = func() error { committing = true; return nil }
			done, err := s.Deliver(t.Context(), todo)
			if rows := b.rows(t, table+".t"); rows != "" && !committing {
				t.Fatalf("%s piece %d: committed without notice", fault, n)
			}
			if err == nil {
				b.checkOnce(t, table, done.Rejected, fault, n)
			}
			if errors.Is(err, kind.ErrRefused) {
				t.Fatalf("%s piece %d: %v is final", fault, n, err)
			}
			if done.Rejected, err = b.deliver(t, todo); err != nil {
				t.Fatalf("%s piece %d: %v", fault, n, err)
			}
			b.checkOnce(t, table, done.Rejected, fault, n)
			b.Query(t, "", "TRUNCATE "+table+".t, "+table+".e")
			if l.pieces() <= n {
				if n < 20 {
					t.Errorf("a delivery had only %d pieces", n)
				}
				break
			}
		}
	}
}

func (b *bench) checkOnce(t *testing.T, schema string, rejected int64, fault string, n int) {
	t.Helper()
	rows, errors := b.rows(t, schema+".t"), b.rows(t, "(SELECT rownum FROM "+schema+".e)")
	if rows != "1|x 2|z" || errors != "2" || rejected != 1 {
		t.Fatalf("%s piece %d: rows %s, rejected %d: %s", fault, n, rows, rejected, errors)
	}
}

// TestLateCommit holds a piece of a delivery on its way while the next attempt
// runs: whatever the database is told late, the batch is there once. Or the sink is
// asked meanwhile whether it is there: that stays true.
func TestLateCommit(t *testing.T) {
	b := newBench(t)
	target := b.target(t, "a int", nil)
	for n := 0; b.lateCommit(t, target, n, false); n++ {
	}
	for n := 0; b.lateCommit(t, target, n, true); n++ {
	}
}

// lateCommit holds piece n of a delivery, and returns false when there are less.
func (b *bench) lateCommit(t *testing.T, target kind.Target, n int, ask bool) bool {
	t.Helper()
	table := target.TaskID + ".t"
	target.TaskID = fmt.Sprint(n, ask)
	l := &line{at: n, fault: "hold", hold: make(chan struct{})}
	l.open(t, b.Address)
	through := clustered(t, dws.Cluster{Name: "c", ID: "1", Address: l.address, SSLMode: "disable"})
	s, err := through.Opener.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	todo := batch(target, 0, 0, "1", "2")
	first, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := s.Deliver(first, todo)
		ended <- err
	}()
	b.await(t, "the first attempt is held", func() bool { return l.pieces() > n || len(ended) > 0 })
	stop()
	firstErr := <-ended
	second := make(chan error, 1)
	there := false
	go func() {
		var err error
		if ask {
			there, err = s.Delivered(t.Context(), todo)
		} else {
			_, err = b.deliver(t, todo)
		}
		second <- err
	}()
	b.await(t, "the second attempt ends, or waits for the first", func() bool {
		return len(second) > 0 || b.Query(t, "", "SELECT count(*) FROM pg_locks WHERE NOT granted")[0][0] != "0"
	})
	close(l.hold)
	unclear := <-second // it may have met the row that the first made
	if unclear != nil && !ask {
		if _, err = b.deliver(t, todo); err != nil {
			t.Fatalf("piece %d: %v", n, err)
		}
	}
	b.await(t, "the first attempt's session has ended", func() bool {
		return b.Query(t, "", "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'disd'")[0][0] == "0"
	})
	want := "1 2"
	if ask && !there {
		want = ""
	}
	if got := b.rows(t, table); got != want && !(ask && unclear != nil) {
		t.Fatalf("piece %d: rows %q, want %q", n, got, want)
	}
	b.Query(t, "", "TRUNCATE "+table)
	return firstErr != nil
}

// TestPace: a database may be slow, as long as it takes or answers something now
// and then. One that does neither is given up, whatever it does later.
func TestPace(t *testing.T) {
	const timeout = time.Second
	b := newBench(t)
	target := b.target(t, "a int", nil)
	todo := batch(target, 0, 0, "1", "2")
	deliver := func(l *line) error {
		l.open(t, b.Address)
		k, err := dws.Kind(dws.Options{
			Clusters: []dws.Cluster{{Name: "c", ID: "1", Address: l.address, SSLMode: "disable"}}, Timeout: timeout,
		})
		if err != nil {
			t.Fatal(err)
		}
		s, err := k.Opener.Open(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Deliver(t.Context(), todo)
		return err
	}
	slow := &line{at: -1, pause: 40 * time.Millisecond}
	begun := time.Now()
	if err := deliver(slow); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < timeout {
		t.Fatalf("the delivery took only %v", took)
	}
	b.Query(t, "", "TRUNCATE "+target.TaskID+".t, "+target.TaskID+"."+dws.ProgressTable)
	for _, n := range []int{10, 20} {
		l := &line{at: n, fault: "hold", hold: make(chan struct{})}
		err := deliver(l)
		if err == nil || errors.Is(err, kind.ErrRefused) {
			t.Errorf("piece %d is held: %v", n, err)
		}
		close(l.hold)
	}
	if _, err := b.deliver(t, todo); err != nil {
		t.Fatal(err)
	}
	if got := b.rows(t, target.TaskID+".t"); got != "1 2" {
		t.Errorf("rows %s", got)
	}
}

// await waits until something has come true.
func (b *bench) await(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !reached(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never happens that %s", what)
		}
	}
}
