package main

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var anchorNow = flag.Bool("anchor", false, "give every rule of docs/contract its anchor")

const root = "../.."

// documents returns the contract.
func documents(t *testing.T) []document {
	t.Helper()
	all, err := contract(root)
	if err != nil || len(all) == 0 {
		t.Fatalf("no contract: %v", err)
	}
	return all
}

func TestEveryRuleHasOneAnchor(t *testing.T) {
	places := map[string]string{}
	for _, d := range documents(t) {
		text := anchored(d.text)
		if text != d.text && *anchorNow {
			if err := os.WriteFile(d.path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			d.text = text
		}
		if text != d.text {
			t.Errorf("%s: some rule has no anchor; go test ./test/rules -args -anchor", d.path)
		}
		for _, rule := range d.defined() {
			if other, twice := places[rule]; twice {
				t.Errorf("%s has two texts, in %s and in %s", rule, other, d.path)
			}
			places[rule] = d.path
		}
	}
}

// section finds where a section of a document of the contract is cited.
var section = regexp.MustCompile(`\b([a-z0-9-]+\.md)\)?,? (?:sections? )?(\d+(?:\.\d+)*)\b`)

// operation finds where an operation is cited.
var operation = regexp.MustCompile(`\b(E[1-9]\d?)\b`)

// coming are the ids of documents that are not there yet. Whoever brings such a
// document deletes its family here.
var coming = regexp.MustCompile(`^(CTL|CON|CLI|DEP|HDFS|HBASE|TSDB)-\d+$|^DLI-[1-4]\d$`)

// TestEveryCitedRuleHasText fails for the id of a rule, an operation or a section
// of the contract that code, tests or documents cite and the contract does not have.
func TestEveryCitedRuleHasText(t *testing.T) {
	have := map[string]bool{}
	sections := map[string]string{}
	for _, d := range documents(t) {
		for _, rule := range d.defined() {
			have[rule] = true
			if coming.MatchString(rule) {
				t.Errorf("coming has the family of %s, which is there", rule)
			}
		}
		sections[filepath.Base(d.path)] = d.text
	}
	operations := regexp.MustCompile(`(?m)^#### (E\d+) `)
	for _, m := range operations.FindAllStringSubmatch(sections["api.md"], -1) {
		have[m[1]] = true
	}
	check := func(path, text string) error {
		for _, rule := range cited(text) {
			if !have[rule] && !coming.MatchString(rule) {
				t.Errorf("%s cites %s, which has no text in docs/contract", path, rule)
			}
		}
		if filepath.Ext(path) == ".go" {
			for _, m := range operation.FindAllStringSubmatch(comments(text), -1) {
				if !have[m[1]] {
					t.Errorf("%s cites operation %s, which api.md does not have", path, m[1])
				}
			}
		}
		for _, m := range section.FindAllStringSubmatch(text, -1) {
			body, ok := sections[m[1]]
			if ok && !regexp.MustCompile(`(?m)^#+ `+regexp.QuoteMeta(m[2])+`\.? `).MatchString(body) {
				t.Errorf("%s cites section %s of %s, which does not exist", path, m[2], m[1])
			}
		}
		return nil
	}
	if err := walk(root, []string{".go", ".md", ".yaml", ".yml", ".proto", ".py", ".java", ".ts", ".sh", ".txt"}, check); err != nil {
		t.Fatal(err)
	}
}

// comments returns the lines of a Go source that are comments.
func comments(source string) string {
	var found []string
	for line := range strings.Lines(source) {
		if _, text, ok := strings.Cut(line, "//"); ok {
			found = append(found, text)
		}
	}
	return strings.Join(found, "")
}

func TestCitations(t *testing.T) {
	for text, want := range map[string][]string{
		"a project has at most 10 000 apps (Q-5).": {"Q-5"},
		"E3-R1, TC-R2 and L-12a":                   {"E3-R1", "TC-R2", "L-12a"},
		"UTF-8, RFC-822, X-1, MQ-5, x-S-9":         nil,
		"E3-N1: Q-4":                               {"E3-N1", "Q-4"},
	} {
		if got := cited(text); !slices.Equal(got, want) {
			t.Errorf("%q cites %v, want %v", text, got, want)
		}
	}
}
