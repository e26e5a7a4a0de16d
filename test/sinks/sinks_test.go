// Package sinks has the built server deliver to real HDFS, HBase and OpenTSDB, and
// takes each of them away while it does.
package sinks

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"disd/test/harness"
	"disd/test/servers"
)

var (
	real   = flag.Bool("servers", false, "run the tests that need the real servers")
	cycles = flag.Int("cycles", 3, "how often the server is ended while it delivers, to each destination")
	seed   = flag.Uint64("seed", 0, "of the random numbers; 0 for a new one")
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := 0
	switch missing := servers.Missing(); {
	case !*real:
		fmt.Println("sinks: skipped: run with -args -servers")
	case missing != "":
		fmt.Println("sinks: skipped:", missing)
	default:
		code = harness.Main(m)
		running.stop()
	}
	os.Exit(code)
}

// running are the servers that were started. They are shared by all tests: their
// start is most of the time.
var running pool

type pool struct {
	sync.Mutex
	servers map[string]*servers.Server
	dir     string
}

// server returns a server, which it starts if need be.
func server(t testing.TB, name string) *servers.Server {
	t.Helper()
	running.Lock()
	defer running.Unlock()
	if s := running.servers[name]; s != nil {
		return s
	}
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	if running.servers == nil {
		running.servers = make(map[string]*servers.Server)
		if running.dir, err = os.MkdirTemp("", "disd-sinks-*"); err != nil {
			t.Fatal(err)
		}
	}
	s, err := servers.Start(filepath.Join(root, "test", "servers"), name, filepath.Join(running.dir, name))
	if s != nil {
		running.servers[name] = s
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *pool) stop() {
	for _, s := range p.servers {
		s.Stop()
	}
	if p.dir != "" {
		_ = os.RemoveAll(p.dir) // a temporary directory
	}
}
