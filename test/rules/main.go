// Command rules runs tests, notes which rules of the contract they proved, and
// says which rules nothing proved.
//
//	rules test NAME [-C DIR] ARGUMENT...   run go test with the arguments, note what it proved in bin/ran/NAME
//	rules report                           hold bin/ran against docs/contract
//
// A test proves the rules whose ids begin its name, or the name of one of its
// subtests, and those it names by t.Attr("rules", "Q-7 C-11"). It proves them if
// it ran and passed: neither a comment nor a skipped test does.
package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// ran is where the notes of test runs lie, one file a run.
const ran = "bin/ran"

// untested are the rules without a test, "id reason" or, for a family of which only
// some have one yet, "CTL-* reason" a line.
//
//go:embed untested.txt
var untested string

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) >= 2 && args[0] == "test":
		return test(args[1], args[2:])
	case len(args) == 1 && args[0] == "report":
		return report(os.Stdout, ".", ran)
	}
	return fmt.Errorf("usage: rules test NAME [-C DIR] ARGUMENT... | rules report")
}

// test runs go test and notes what it proved.
func test(name string, args []string) error {
	if err := os.MkdirAll(ran, 0o750); err != nil {
		return err
	}
	notes, err := os.Create(filepath.Join(ran, name)) // #nosec G304
	if err != nil {
		return err
	}
	defer notes.Close()
	verb := []string{"test", "-json"}
	if len(args) >= 2 && args[0] == "-C" {
		verb, args = []string{"test", "-C", args[1], "-json"}, args[2:]
	}
	cmd := exec.Command("go", append(verb, args...)...) // #nosec G204
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	w := watcher{out: os.Stdout, verbose: slices.Contains(args, "-v"), output: map[string][]string{}, attrs: map[string][]string{}}
	err = w.watch(events)
	for _, n := range w.notes {
		fmt.Fprintln(notes, n)
	}
	if waited := cmd.Wait(); waited != nil {
		return fmt.Errorf("go test: %w", waited)
	}
	return err
}

// report writes which rules of the contract below root the notes prove, and
// fails if a rule has neither a proof nor an excuse: a line of untested.txt, or a
// skipped test that says why.
func report(w io.Writer, root, ran string) error {
	documents, err := contract(root)
	if err != nil {
		return err
	}
	proved, skipped, err := readNotes(ran)
	if err != nil {
		return err
	}
	excused := excuses()
	rules, tested, failed := 0, 0, 0
	for _, d := range documents {
		for _, rule := range d.defined() {
			if note.MatchString(rule) {
				continue
			}
			rules++
			switch {
			case proved[rule]:
				tested++
			case excuse(excused, rule) != "":
				fmt.Fprintf(w, "%s: not tested: %s\n", rule, excuse(excused, rule))
			case skipped[rule] != "":
				fmt.Fprintf(w, "%s: skipped here: %s\n", rule, skipped[rule])
			default:
				failed++
				fmt.Fprintf(w, "%s: NO TEST PASSED\n", rule)
			}
		}
	}
	fmt.Fprintf(w, "rules: %d, tested: %d\n", rules, tested)
	if failed > 0 {
		return fmt.Errorf("%d rules without a test that ran and passed", failed)
	}
	return nil
}

// readNotes returns the rules that runs proved, and those whose tests they
// skipped with the reason.
func readNotes(ran string) (proved map[string]bool, skipped map[string]string, err error) {
	proved, skipped = map[string]bool{}, map[string]string{}
	files, err := filepath.Glob(filepath.Join(ran, "*"))
	if err != nil {
		return nil, nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file) // #nosec G304
		if err != nil {
			return nil, nil, err
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.SplitN(strings.TrimSpace(line), "\t", 4)
			switch {
			case len(fields) < 3:
				return nil, nil, fmt.Errorf("%s: no note: %q", file, line)
			case fields[0] == "pass":
				proved[fields[1]] = true
			case len(fields) == 4:
				skipped[fields[1]] = fields[2] + ": " + fields[3]
			}
		}
	}
	return proved, skipped, nil
}

// excuses returns the reasons of untested.txt by rule.
func excuses() map[string]string {
	reasons := map[string]string{}
	for line := range strings.Lines(untested) {
		rule, reason, _ := strings.Cut(strings.TrimSpace(line), " ")
		reasons[rule] = strings.TrimSpace(reason)
	}
	return reasons
}

// excuse returns the reason of the rule's own line, or that of its family's.
func excuse(reasons map[string]string, rule string) string {
	family, _, _ := strings.Cut(rule, "-")
	return cmp.Or(reasons[rule], reasons[family+"-*"])
}
