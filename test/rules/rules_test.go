package rules

import (
	_ "embed"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// untested are the rules without a test, "id  reason" a line.
//
//go:embed untested.txt
var untested string

// TestRules fails for a rule that has neither a test nor a reason, for a
// reason that a test has overtaken, and for an id that is no rule. A test
// claims the rules with whose ids one of its strings (the name of a row or of
// a subtest) or one of its comments (beside a row, a check or the test function)
// begins.
func TestRules(t *testing.T) {
	var all []string
	for _, d := range documents(t) {
		all = append(all, d.defined()...)
	}
	claims, err := claimed(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range slices.Sorted(maps.Keys(claims)) {
		if !slices.Contains(all, rule) && !coming.MatchString(rule) {
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
	rules, tested := 0, 0
	for _, rule := range all {
		if note.MatchString(rule) {
			continue
		}
		rules++
		if claims[rule] != "" {
			tested++
		} else if reasons[rule] == "" {
			t.Errorf("%s has no test", rule)
		}
	}
	t.Logf("rules: %d, tested: %d, left with a reason: %d", rules, tested, len(reasons))
}

// claimed returns the rules that the test files below root claim, each with
// one of the places that do.
func claimed(root string) (map[string]string, error) {
	claims := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") || filepath.Dir(path) == filepath.Join(root, "test/rules") {
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
