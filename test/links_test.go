package test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	target  = regexp.MustCompile(`<a id="([^"]+)"></a>`)
	fenced  = regexp.MustCompile("(?ms)^```.*?^```")
	quoted  = regexp.MustCompile("`[^`\n]*`")
	links   = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// TestLinks fails for a link of a page to a file or an anchor that is not there.
func TestLinks(t *testing.T) {
	pages := []string{"../README.md", "../README.zh-CN.md", "../CONTRIBUTING.md", "../CHANGELOG.md"}
	for _, top := range []string{"../docs", "../internal"} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && filepath.Ext(path) == ".md" && !strings.Contains(path, "node_modules") {
				pages = append(pages, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	anchors := map[string]map[string]bool{}
	for _, page := range pages {
		text := quoted.ReplaceAllString(fenced.ReplaceAllString(read(t, page), ""), "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			file, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(file, ":") {
				continue
			}
			to := page
			if file != "" {
				to = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %s: no such file", page, m[1])
				continue
			}
			if anchor == "" {
				continue
			}
			if anchors[to] == nil {
				anchors[to] = anchorsOf(read(t, to))
			}
			if !anchors[to][anchor] {
				t.Errorf("%s: %s: no such heading", page, m[1])
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// anchorsOf returns what a link may name behind its #: headings, in the form that
// forges of code give them, and explicit anchors.
func anchorsOf(page string) map[string]bool {
	found := map[string]bool{}
	for _, m := range target.FindAllStringSubmatch(page, -1) {
		found[m[1]] = true
	}
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		text := links.ReplaceAllString(m[1], "$1")
		slug := strings.Map(func(r rune) rune {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			case r == ' ':
				return '-'
			}
			return -1
		}, text)
		found[slug] = true
	}
	return found
}
