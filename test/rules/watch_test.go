package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestNamed(t *testing.T) {
	for name, want := range map[string][]string{
		"TestQ_7":                       {"Q-7"},
		"TestE3_R1_Names":               {"E3-R1"},
		"TestKill":                      nil,
		"TestX/E3-R1":                   {"E3-R1"},
		"TestX/E3-R1,_E3-R2:_names":     {"E3-R1", "E3-R2"},
		"TestX/E3-R1_too_long#01":       {"E3-R1"},
		"TestX/too_long_as_in_E3-R1":    nil,
		"TestX/E3-R1_outer/anything":    nil,
		"TestX/outer/Q-5_apps":          {"Q-5"},
		"TestX/X-5_is_no_family_of_ids": nil,
	} {
		if got := named(name); !slices.Equal(got, want) {
			t.Errorf("%s names %v, want %v", name, got, want)
		}
	}
}

// TestWatch watches a run with every kind of end.
func TestWatch(t *testing.T) {
	var out bytes.Buffer
	w := watcher{out: &out, output: map[string][]string{}, attrs: map[string][]string{}}
	err := w.watch(strings.NewReader(`
{"Action":"build-output","Output":"# cannot be built\n"}
{"Action":"output","Package":"p","Test":"TestA/Q-1_good","Output":"=== RUN   TestA/Q-1_good\n"}
{"Action":"output","Package":"p","Test":"TestA/Q-1_good","Output":"    a_test.go:1: nobody asks\n"}
{"Action":"pass","Package":"p","Test":"TestA/Q-1_good"}
{"Action":"fail","Package":"p","Test":"TestA/Q-2_bad"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: needs a database\n"}
{"Action":"attr","Package":"p","Test":"TestB","Key":"rules","Value":"Q-3, Q-4"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"attr","Package":"p","Test":"TestC","Key":"rules","Value":"Q-5 Q-6"}
{"Action":"attr","Package":"p","Test":"TestC","Key":"other","Value":"Q-7"}
{"Action":"pass","Package":"p","Test":"TestC"}
{"Action":"output","Package":"p","Test":"TestD","Output":"panic: over\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\n"}
{"Action":"fail","Package":"p"}`))
	if err != nil {
		t.Fatal(err)
	}
	wantNotes := []string{
		"pass\tQ-1\tp TestA/Q-1_good",
		"skip\tQ-3\tp TestB\tneeds a database", "skip\tQ-4\tp TestB\tneeds a database",
		"pass\tQ-5\tp TestC", "pass\tQ-6\tp TestC",
	}
	if !slices.Equal(w.notes, wantNotes) {
		t.Errorf("noted\n%s\nwant\n%s", strings.Join(w.notes, "\n"), strings.Join(wantNotes, "\n"))
	}
	const wantOut = "# cannot be built\n    b_test.go:7: needs a database\nFAIL\tp\nnot ended: p TestD\npanic: over\n"
	if out.String() != wantOut {
		t.Errorf("shown\n%s\nwant\n%s", &out, wantOut)
	}
}

// TestReport holds notes against a contract of four rules: a skip counts as an
// excuse only if it has a reason, and never as a test.
func TestReport(t *testing.T) {
	for name, tt := range map[string]struct {
		notes, want string
		fails       bool
	}{
		"all passed":            {"pass\tQ-1\tp TestA\npass\tQ-2\tp TestA\n", "rules: 2, tested: 2\n", false},
		"none ran":              {"", "Q-1: NO TEST PASSED\nQ-2: NO TEST PASSED\nrules: 2, tested: 0\n", true},
		"skipped with a reason": {"pass\tQ-1\tp TestA\nskip\tQ-2\tp TestB\tno PostgreSQL\n", "Q-2: skipped here: p TestB: no PostgreSQL\nrules: 2, tested: 1\n", false},
		"skipped without":       {"pass\tQ-1\tp TestA\nskip\tQ-2\tp TestB\t\n", "Q-2: NO TEST PASSED\nrules: 2, tested: 1\n", true},
		"skipped and passed":    {"pass\tQ-1\tp TestA\nskip\tQ-2\tp TestB\t\npass\tQ-2\tq TestC\n", "rules: 2, tested: 2\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range map[string]string{
				"docs/contract/api.md": "- <a id=\"Q-1\"></a>**Q-1 [P]** one\n- <a id=\"Q-2\"></a>**Q-2 [P]** two\n- <a id=\"E3-N1\"></a>**E3-N1** a note\n",
				"ran/test":             tt.notes,
			} {
				file = filepath.Join(dir, file)
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var out bytes.Buffer
			err := report(&out, dir, filepath.Join(dir, "ran"))
			if out.String() != tt.want || (err != nil) != tt.fails {
				t.Errorf("%q, %v, want %q", &out, err, tt.want)
			}
		})
	}
}
