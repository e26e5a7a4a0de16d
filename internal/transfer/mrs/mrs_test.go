package mrs

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"disd/internal/storage"
	"disd/internal/transfer/kind"
	"disd/internal/transfer/sinktest"
)

// open returns a sink that writes below /data/f of servers.
func open(t *testing.T, more string, servers ...*hdfs) (kind.Sink, kind.Target) {
	t.Helper()
	k, target := setup(t, more, servers...)
	s, err := k.Opener.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	return s, target
}

func setup(t *testing.T, more string, servers ...*hdfs) (kind.Kind, kind.Target) {
	t.Helper()
	c := Cluster{Name: "c", ID: "1", User: "dis"}
	for _, s := range servers {
		c.Addresses = append(c.Addresses, s.address())
	}
	k, err := Kind(Options{[]Cluster{c}, 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return k, sinktest.Target(t, k, `{"task_name":"t","agency_name":"a","mrs_cluster_name":"c","mrs_cluster_id":"1","obs_bucket_path":"b",
		"mrs_hdfs_path":"/data","hdfs_prefix_folder":"f"`+more+`}`)
}

func batch(target kind.Target, first storage.Seq, data ...string) kind.Batch {
	b := kind.Batch{Target: target, First: first, Last: first + storage.Seq(len(data)) - 1}
	for i, d := range data {
		b.Records = append(b.Records, storage.Record{Seq: first + storage.Seq(i), Data: []byte(d)})
	}
	return b
}

const name = "/data/f/s-t-shardId-0000000000-0-1.txt"

func TestSink(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Destination {
		h := newHDFS(t, "/data")
		_, target := setup(t, "", h)
		return sinktest.Destination{
			Target: target,
			Rows: func() (rows []string) {
				files, hidden := h.list()
				if hidden {
					t.Error("a hidden file is left")
				}
				for _, content := range files {
					rows = append(rows, strings.Split(strings.TrimSuffix(content, "\n"), "\n")...)
				}
				return rows
			},
			Vanish: func() { clear(h.files) },
		}
	})
}

// Each call is lost once, before and after it took effect: after the next successful
// attempt the file is there once, with all bytes, and nothing is hidden.
func TestLostAnswers(t *testing.T) { // HDFS-10, HDFS-12, HDFS-15
	for _, op := range []string{"GETFILESTATUS", "DELETE", "CREATE", "CREATE at node", "MKDIRS", "RENAME", "OPEN", "OPEN at node"} {
		for _, what := range []fault{before, lost} {
			for nth := range 3 {
				t.Run(fmt.Sprintf("%s %d %d", op, what, nth), func(t *testing.T) {
					h := newHDFS(t, "/data")
					s, target := open(t, "", h)
					b := batch(target, 0, "a", "b")
					calls := 0
					h.fail(func(got, _ string) fault {
						if got != op {
							return none
						}
						if calls++; calls == nth+1 {
							return what
						}
						return none
					})
					failures := 0
					for ; ; failures++ {
						if failures > 3 {
							t.Fatal("it never succeeds")
						}
						if _, err := s.Deliver(t.Context(), b); err == nil {
							break
						} else if errors.Is(err, kind.ErrRefused) {
							t.Fatal(err)
						}
					}
					if _, err := s.Deliver(t.Context(), b); err != nil {
						t.Fatal(err)
					}
					h.fail(nil)
					if there, err := s.Delivered(t.Context(), b); err != nil || !there {
						t.Errorf("delivered: %v, %v", there, err)
					}
					files, _ := h.list()
					if want := map[string]string{name: "a\nb\n"}; !maps.Equal(files, want) {
						t.Errorf("files %v, want %v", files, want)
					}
				})
			}
		}
	}
}

// A rename that is carried out late, after the fence, finds nothing to rename.
func TestFence(t *testing.T) { // HDFS-10, HDFS-12
	h := newHDFS(t, "/data")
	s, target := open(t, "", h)
	b := batch(target, 0, "a", "b")
	h.fail(func(op, _ string) fault {
		if op == "RENAME" {
			return before
		}
		return none
	})
	if _, err := s.Deliver(t.Context(), b); err == nil {
		t.Fatal("delivered without a rename")
	}
	if _, hidden := h.list(); !hidden {
		t.Fatal("no hidden file is left")
	}
	if there, err := s.Delivered(t.Context(), b); there || err != nil {
		t.Fatalf("delivered: %v, %v", there, err)
	}
	if files, _ := h.list(); len(files) > 0 {
		t.Errorf("after the fence there are %v", files)
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(h *hdfs)
		want string
	}{
		{"HDFS-9 another file", func(h *hdfs) { h.files[name] = "x\ny\n" }, name + " is there already, with another content"},
		{"HDFS-9 another length", func(h *hdfs) { h.files[name] = "x" }, name + " is there already, with another content"},
		{"HDFS-9 a directory", func(h *hdfs) { h.mkdirs(name) }, name + " is there already, with another content"},
		{"HDFS-14 path gone", func(h *hdfs) { clear(h.files) }, "/data: no such file or directory"},
		{"HDFS-14 path a file", func(h *hdfs) { clear(h.files); h.files["/data"] = "" }, "/data is no directory"},
		{"HDFS-14 denied", func(h *hdfs) {
			h.fail(func(op, _ string) fault {
				if op == "CREATE at node" {
					return denied
				}
				return none
			})
		}, "Permission denied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHDFS(t, "/data")
			tt.make(h)
			before, _ := h.list()
			s, target := open(t, "", h)
			_, err := s.Deliver(t.Context(), batch(target, 0, "a", "b"))
			if !errors.Is(err, kind.ErrRefused) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a refusal that says %q", err, tt.want)
			}
			if after, _ := h.list(); !maps.Equal(before, after) {
				t.Errorf("files were %v and are %v", before, after)
			}
		})
	}
}

// The other name node is asked when one stands by or does not answer (HDFS-2).
func TestTwoNameNodes(t *testing.T) {
	for _, what := range []fault{standby, before} {
		a, b := newHDFS(t, "/data"), newHDFS(t, "/data")
		a.fail(func(string, string) fault { return what })
		s, target := open(t, "", a, b)
		if _, err := s.Deliver(t.Context(), batch(target, 0, "a", "b")); err != nil {
			t.Errorf("HDFS-2: %v", err)
		}
		if n := a.calls(); len(n) > 2 { // the connection may be tried twice
			t.Errorf("HDFS-2: the one that does not answer was asked %d times", len(n))
		}
		b.fail(func(string, string) fault { return standby })
		if _, err := s.Deliver(t.Context(), batch(target, 2, "c")); err == nil || errors.Is(err, kind.ErrRefused) {
			t.Errorf("HDFS-14: all stand by: %v, want a transient error", err)
		}
	}
}

func TestCheck(t *testing.T) { // HDFS-4, HDFS-5
	for _, tt := range []struct {
		name string
		more string
		make func(h *hdfs)
		want error
	}{
		{"good", "", func(*hdfs) {}, nil},
		{"HDFS-4 another id", `,"mrs_cluster_id":"2"`, func(*hdfs) {}, kind.ErrMRSCluster},
		{"HDFS-4 does not answer", "", func(h *hdfs) { h.Close() }, kind.ErrMRSCluster},
		{"HDFS-5 no path", `,"mrs_hdfs_path":"/none"`, func(*hdfs) {}, kind.ErrHDFSPath},
		{"HDFS-5 a file", `,"mrs_hdfs_path":"/x"`, func(h *hdfs) { h.files["/x"] = "" }, kind.ErrHDFSPath},
		{"HDFS-5 denied", "", func(h *hdfs) {
			h.fail(func(op, _ string) fault {
				if op == "CHECKACCESS" {
					return denied
				}
				return none
			})
		}, kind.ErrHDFSPath},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHDFS(t, "/data")
			k, target := setup(t, tt.more, h)
			tt.make(h)
			if err := k.Opener.Check(t.Context(), target); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			for _, call := range h.calls() {
				if !strings.HasPrefix(call, "GETFILESTATUS") && !strings.HasPrefix(call, "CHECKACCESS") {
					t.Errorf("the check made the call %s", call)
				}
			}
		})
	}
}

// Clean and Forget leave nothing hidden (HDFS-13).
func TestClean(t *testing.T) {
	h := newHDFS(t, "/data")
	s, target := open(t, "", h)
	b := batch(target, 0, "a", "b")
	b.Committing = func() error { return errTest }
	for _, clean := range []func() error{
		func() error { return s.Clean(t.Context(), b) },
		func() error { return s.Forget(t.Context()) },
	} {
		if _, err := s.Deliver(t.Context(), b); !errors.Is(err, errTest) {
			t.Fatal(err)
		}
		if _, hidden := h.list(); !hidden {
			t.Fatal("nothing is hidden")
		}
		if err := clean(); err != nil {
			t.Error(err)
		}
		if files, _ := h.list(); len(files) > 0 {
			t.Errorf("there are %v", files)
		}
	}
}

// What is wrong with the configuration is said with its key (HDFS-1).
func TestConfiguration(t *testing.T) {
	good := Cluster{Name: "c", ID: "1", User: "u", Addresses: []string{"a:1"}}
	for _, tt := range []struct {
		change func(*Cluster)
		want   string
	}{
		{func(c *Cluster) { c.Name = "" }, "clusters[1].name: it and id are needed"},
		{func(c *Cluster) { c.ID = "1" }, `clusters[1]: name "c" and id "1" are there twice`},
		{func(c *Cluster) { c.Addresses = nil }, "clusters[1].addresses: at least one is needed"},
		{func(c *Cluster) { c.Addresses = []string{"a"} }, `clusters[1].addresses: "a" is not host:port`},
		{func(c *Cluster) { c.Addresses = []string{"a:1", "a:1"} }, "clusters[1].addresses: a:1 is there twice"},
		{func(c *Cluster) { c.User = "" }, "clusters[1].user: is needed"},
		{func(c *Cluster) { c.CAFile = "x" }, "clusters[1].ca_file: has no effect without tls"},
		{func(c *Cluster) { c.TLS, c.CAFile = true, "/dev/null" }, "clusters[1].ca_file: /dev/null has no certificate in PEM"},
	} {
		bad := good
		bad.ID = "2"
		tt.change(&bad)
		if _, err := Kind(Options{[]Cluster{good, bad}, time.Second}); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

// A server that neither takes nor gives a byte is given up (HDFS-19).
func TestNoProgress(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c, err := (&Cluster{Name: "c", ID: "1", User: "u", Addresses: []string{listener.Addr().String()}}).client(10 * time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.stat(t.Context(), "/"); err == nil || !strings.Contains(err.Error(), "no progress") {
		t.Errorf("got %v", err)
	}
}

func TestPaths(t *testing.T) { // HDFS-5
	for path, ok := range map[string]bool{"/a b+%?#北": true, "a": false, "/a/../b": false, "/.": false, "/a:b": false, "/a\n": false, "/.a": true} {
		if err := (&settings{Path: path}).Valid(); (err == nil) != ok || !ok && !errors.Is(err, kind.ErrHDFSPath) {
			t.Errorf("%q: %v", path, err)
		}
	}
}
