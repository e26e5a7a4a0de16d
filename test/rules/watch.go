package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// An event is a line of go test -json.
type event struct {
	Action, Package, Test, Output string
	Key, Value                    string // of Action attr
}

// A watcher shows the events of go test as go test shows them without -json, and
// notes which rules the tests proved.
type watcher struct {
	out     io.Writer
	verbose bool
	output  map[string][]string // of tests that have not ended
	attrs   map[string][]string // the rules that those named by t.Attr
	notes   []string            // pass or skip, rule, test and the reason of a skip, by tabs
}

// watch reads events until there are no more.
func (w *watcher) watch(events io.Reader) error {
	lines := json.NewDecoder(events)
	for {
		var e event
		if err := lines.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		w.event(e)
	}
}

func (w *watcher) event(e event) {
	name := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		w.write(name, e)
	case "attr":
		if e.Key == "rules" {
			w.attrs[name] = append(w.attrs[name], leading(e.Value)...)
		}
	case "pass", "fail", "skip":
		w.end(name, e)
	}
}

// write shows output of the go command and of packages at once, that of tests when
// they fail.
func (w *watcher) write(name string, e event) {
	switch {
	case e.Test == "" && e.Output == "PASS\n", strings.HasPrefix(e.Output, "=== ATTR"):
	case e.Test == "" || w.verbose:
		fmt.Fprint(w.out, e.Output)
	}
	if e.Test != "" && !strings.HasPrefix(e.Output, "=== ") {
		w.output[name] = append(w.output[name], e.Output)
	}
}

// end shows a test that failed or was skipped, and notes its rules. When a package
// ends badly, it shows the tests that did not end.
func (w *watcher) end(name string, e event) {
	said := strings.Join(w.output[name], "")
	delete(w.output, name)
	rules := append(named(e.Test), w.attrs[name]...)
	delete(w.attrs, name)
	switch {
	case e.Test == "" && e.Action == "fail":
		for other, lines := range w.output {
			if strings.HasPrefix(other, name) {
				fmt.Fprint(w.out, "not ended: ", other, "\n", strings.Join(lines, ""))
			}
		}
	case e.Test != "" && e.Action != "pass" && !w.verbose:
		fmt.Fprint(w.out, said)
	}
	for _, rule := range rules {
		switch e.Action {
		case "pass":
			w.notes = append(w.notes, strings.Join([]string{"pass", rule, name}, "\t"))
		case "skip":
			w.notes = append(w.notes, strings.Join([]string{"skip", rule, name, reason(said)}, "\t"))
		}
	}
}

// said is what a skipped test printed, "file:line: reason" before its verdict.
var skipLine = regexp.MustCompile(`(?m)^\s*\S+\.go:\d+: (.*)$`)

// reason returns why a test was skipped, or nothing.
func reason(said string) string {
	if m := skipLine.FindStringSubmatch(said); m != nil {
		return m[1]
	}
	return ""
}

// function finds the rule in the name of a test function: TestCTL_7 or
// TestE3_R1_Names.
var function = regexp.MustCompile(`^Test([A-Z]+\d*)_([RN]?\d+a?)(?:_|$)`)

// named returns the rules that the last part of a test's name begins with. The
// testing package writes underscores for blanks.
func named(test string) []string {
	if m := function.FindStringSubmatch(test); m != nil && !strings.Contains(test, "/") {
		return leading(m[1] + "-" + m[2])
	}
	last := test[strings.LastIndex(test, "/")+1:]
	return leading(strings.ReplaceAll(last, "_", " "))
}
