package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// families are the beginnings of the ids of rules and notes, those of an
// operation (E3-R1, E3-N1) left out. An id with another beginning is none.
const families = `C|S|PB|Z|TC|D|OBS|DWS|MRS|DLI|CT|M|T|A|L|CU|G|Q|CTL|CON|CLI|DEP|HDFS|HBASE|TSDB|CARBON`

const ids = `E\d+-[RN]\d+|(?:` + families + `)-[RN]?\d+a?`

var (
	// id is a rule's or a note's, as it stands in a list of them.
	id = regexp.MustCompile(`^(?:` + ids + `)[,:;]?$`)
	// note tells the ids of notes, which need no test.
	note = regexp.MustCompile(`-N\d+$`)
	// anchor is what makes an id the target of a link.
	anchor = regexp.MustCompile(`<a id="(` + ids + `)"></a>`)
	// bare finds where a rule is defined without its anchor: its id begins a list
	// item or a row, in bold or as the whole cell.
	bare = regexp.MustCompile(`(?m)^(\s*- |\| )((?:\*\*)?)(` + ids + `)(\*\*| \[| \|)`)
)

// anchored returns the text of a document of the contract with an anchor
// before each rule.
func anchored(text string) string {
	return bare.ReplaceAllString(text, `${1}<a id="${3}"></a>${2}${3}${4}`)
}

// A document is a file of the contract.
type document struct {
	path, text string
}

// contract returns the documents of the contract below root.
func contract(root string) ([]document, error) {
	paths, err := filepath.Glob(filepath.Join(root, "docs/contract/*.md"))
	if err != nil {
		return nil, err
	}
	documents := make([]document, len(paths))
	for i, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		documents[i] = document{path, string(text)}
	}
	return documents, nil
}

// defined returns the ids that the document has an anchor for, in its order.
func (d document) defined() (found []string) {
	for _, m := range anchor.FindAllStringSubmatch(d.text, -1) {
		found = append(found, m[1])
	}
	return found
}

// left are the directories that hold what others wrote or a program made.
var left = []string{"testdata", "node_modules", "bin", "build", "dist"}

// walk calls visit with every file of the project below root that has one of
// the extensions.
func walk(root string, extensions []string, visit func(path, text string) error) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if hidden := strings.HasPrefix(d.Name(), ".") && path != root; hidden || slices.Contains(left, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || !slices.Contains(extensions, filepath.Ext(path)) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return visit(path, string(text))
	})
}

// cited returns the ids that any text mentions.
func cited(text string) []string {
	words := strings.FieldsFunc(text, func(r rune) bool {
		return r != '-' && r != '_' && r != '+' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	return slices.DeleteFunc(words, func(word string) bool {
		return !strings.Contains(word, "-") || !id.MatchString(word)
	})
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
