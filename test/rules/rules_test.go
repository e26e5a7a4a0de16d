package main

import (
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

// TestRules fails for a rule that has neither a test nor a reason, for a reason
// that a test has overtaken, and for an id that is no rule. It knows a test's
// claims by the strings that begin with ids: names of subtests and of rows, values
// of t.Attr. Whether those tests ran and passed is what rules report tells.
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

	reasons := excuses()
	for rule, reason := range reasons {
		if reason == "" {
			t.Errorf("untested.txt gives no reason for %q", rule)
		}
		if family, ok := strings.CutSuffix(rule, "*"); ok {
			left := func(rule string) bool { return strings.HasPrefix(rule, family) && claims[rule] == "" }
			if !slices.ContainsFunc(all, left) {
				t.Errorf("untested.txt has %s, but all of them have tests", rule)
			}
			continue
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
		} else if excuse(reasons, rule) == "" {
			t.Errorf("%s has no test", rule)
		}
	}
	t.Logf("rules: %d, tested: %d, left with a reason: %d", rules, tested, rules-tested)
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
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
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
		return nil
	})
	return claims, err
}
