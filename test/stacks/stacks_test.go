// Package stacks refuses uploads of other HTTP stacks than Go's before their body was
// read: their clients must get the answer. It needs Python or Java; make stacks runs it.
package stacks

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"disd/test/harness"
)

var run = flag.Bool("stacks", false, "run the programs of other languages")

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

func TestRefusals(t *testing.T) {
	if !*run {
		t.Skip("only with -stacks (make stacks)")
	}
	s := harness.Launch(t, harness.Options{Args: []string{"--auth-mode", "required"}})
	s.Ready(t)
	for _, program := range [][]string{{"python3", "testdata/urllib_client.py"}, {"java", "testdata/Client.java"}} {
		for _, size := range []int{1 << 20, 4 << 20, 30 << 20} {
			t.Run(fmt.Sprintf("%s, %d MiB", program[0], size>>20), func(t *testing.T) {
				if _, err := exec.LookPath(program[0]); err != nil {
					t.Skip("there is no ", program[0])
				}
				for path, want := range map[string]string{"/v2/p/records": "401", "/nothing": "404", "/v3/auth/tokens": "413"} {
					refused(t, want, append(program, s.URL+path, fmt.Sprint(size)))
				}
			})
		}
	}
}

// refused runs a program that prints nothing but the wanted status, with each client it
// has.
func refused(t *testing.T, want string, command []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	seen := strings.Fields(string(out))
	for _, status := range seen {
		if status != want {
			err = fmt.Errorf("want %s", want)
		}
	}
	if err != nil || len(seen) == 0 {
		t.Errorf("%v: %v: %s", command, err, out)
	}
}
