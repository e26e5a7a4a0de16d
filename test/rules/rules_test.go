// Package rules holds the numbered rules of the contract against the tests
// that prove them.
package rules

import (
	_ "embed"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	//go:embed rules.txt
	rules string // every rule of the contract, one id a line
	//go:embed untested.txt
	untested string // the rules without a test, "id  reason" a line
)

// id is a rule's, as it stands in a list of them.
var id = regexp.MustCompile(`^(E\d+-R\d+|TC-R\d+|(C|S|PB|Z|D|OBS|DWS|MRS|DLI|CT|M|T|A|L|CU|G|Q)-\d+a?)[,:;]?$`)

// TestRules fails for a rule that has neither a test nor a reason, for a
// reason that a test has overtaken, and for an id that is no rule. A test
// claims the rules with whose ids one of its strings (the name of a row or of
// a subtest) or one of its comments (beside a row, a check or the test function)
// begins.
func TestRules(t *testing.T) {
	all := strings.Fields(rules)
	claims, err := claimed("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range slices.Sorted(maps.Keys(claims)) {
		if !slices.Contains(all, rule) {
			t.Errorf("%s claims %s, which is no rule", claims[rule], rule)
		}
	}

	reasons := map[string]string{}
	for line := range strings.Lines(untested) {
		rule, reason, _ := strings.Cut(strings.TrimSpace(line), " ")
		if reasons[rule] = strings.TrimSpace(reason); reasons[rule] == "" {
			t.Errorf("untested.txt gives no reason for %q", rule)
		}
		if !slices.Contains(all, rule) {
			t.Errorf("untested.txt has %s, which is no rule", rule)
		}
		if where, ok := claims[rule]; ok {
			t.Errorf("untested.txt has %s, which %s tests", rule, where)
		}
	}
	tested := 0
	for _, rule := range all {
		if claims[rule] != "" {
			tested++
		} else if reasons[rule] == "" {
			t.Errorf("%s has no test", rule)
		}
	}
	t.Logf("rules: %d, tested: %d, left with a reason: %d", len(all), tested, len(reasons))
}

// claimed returns the rules that the test files below root claim, each with
// one of the places that do.
func claimed(root string) (map[string]string, error) {
	claims := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		claim := func(at token.Pos, rules []string) {
			for _, rule := range rules {
				claims[rule] = files.Position(at).String()
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, _ := strconv.Unquote(lit.Value)
				claim(lit.Pos(), leading(text))
			}
			return true
		})
		for _, comment := range file.Comments {
			claim(comment.Pos(), leading(comment.Text()))
		}
		return nil
	})
	return claims, err
}

// leading returns the ids that text begins with.
func leading(text string) (rules []string) {
	for _, word := range strings.Fields(text) {
		if !id.MatchString(word) {
			break
		}
		rules = append(rules, strings.TrimRight(word, ",:;"))
	}
	return rules
}
