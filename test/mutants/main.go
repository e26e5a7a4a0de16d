// Command mutants makes faults, one after the other, in a copy of the tree, and
// fails for each that the tests of the named packages do not notice.
//
//	mutants [-check] [REGEXP]
//
// A regular expression chooses mutants by their names. With -check it only looks
// whether every place of the list is there.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A mutant replaces a text that stands in a file exactly once.
type mutant struct {
	name     string
	file     string
	old, new string
	packages string // whose tests must notice, by blanks
}

// limit ends the tests of a mutant that hangs; it counts as noticed then.
const limit = 6 * time.Minute

func main() {
	check := flag.Bool("check", false, "only look whether every place is there")
	flag.Parse()
	if err := run(*check, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(check bool, choice string) error {
	chosen, err := regexp.Compile(choice)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := copyTree(dir); err != nil {
		return err
	}
	if !check {
		if err := sound(dir, chosen); err != nil {
			return err
		}
	}
	var bad []error
	for _, m := range list {
		if !chosen.MatchString(m.name) {
			continue
		}
		began := time.Now()
		err := m.run(dir, check)
		fmt.Printf("%-44s %5.1f s  %s\n", m.name, time.Since(began).Seconds(), verdict(err))
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", m.name, err))
		}
	}
	return errors.Join(bad...)
}

// sound returns an error if tests fail without any fault: they would kill all.
func sound(dir string, chosen *regexp.Regexp) error {
	var packages []string
	for _, m := range list {
		if chosen.MatchString(m.name) {
			packages = append(packages, strings.Fields(m.packages)...)
		}
	}
	slices.Sort(packages)
	out, err := goIn(context.Background(), dir, append([]string{"test"}, slices.Compact(packages)...)...)
	if err != nil {
		return fmt.Errorf("without a fault: %w: %s", err, out)
	}
	return nil
}

func verdict(err error) string {
	if err != nil {
		return "NOT KILLED"
	}
	return "killed"
}

// copyTree copies what git knows or would add to dir.
func copyTree(dir string) error {
	out, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	for _, name := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
		text, err := os.ReadFile(name) // #nosec G304
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// run returns nil if the tests noticed the mutant.
func (m mutant) run(dir string, check bool) (err error) {
	path := filepath.Join(dir, m.file)
	text, err := os.ReadFile(path) // #nosec G304
	if err != nil {
		return err
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		return fmt.Errorf("%s has the place %d times: %q", m.file, n, m.old)
	}
	if check {
		return nil
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600); err != nil { // #nosec G703
		return err
	}
	defer func() { err = errors.Join(err, os.WriteFile(path, text, 0o600)) }() // #nosec G703
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	packages := strings.Fields(m.packages)
	if out, err := goIn(ctx, dir, append([]string{"build"}, packages...)...); err != nil {
		return fmt.Errorf("does not build: %s", out)
	}
	out, err := goIn(ctx, dir, append([]string{"test", "-failfast"}, packages...)...)
	switch {
	case ctx.Err() != nil:
		return nil
	case err == nil:
		return errors.New("no test noticed it")
	case strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]"):
		return fmt.Errorf("does not build: %s", out)
	}
	return nil
}

func goIn(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...) // #nosec G204
	cmd.Dir, cmd.WaitDelay = dir, 10*time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}
