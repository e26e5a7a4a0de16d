// Package test holds what is true of the whole tree. Its subdirectories hold
// the tests that run the built server.
package test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport is the architecture: imports go down only, and packages side by
// side do not know each other. What they need of each other they declare as
// small interfaces, which internal/server connects. Everyone but the packages in below
// may import the words of the system: of records, and of what is wrong with a request.
var mayImport = map[string][]string{
	"cmd/disd": {
		"internal/auth", "internal/config", "internal/server", "internal/sign",
		"internal/partition", "internal/transfer", "internal/storage/catalog/file", "internal/storage/segment", "internal/storage/vfs",
	},

	"internal/config": {"internal/auth", "internal/quota", "internal/transfer", "internal/transfer/destinations", "internal/transfer/kind"},
	"internal/server": {
		"internal/api/rest", "internal/clock", "internal/control", "internal/config", "internal/api",
		"internal/auth", "internal/auth/audit", "internal/auth/certs", "internal/auth/policy",
		"internal/cursor", "internal/cursor/group", "internal/monitor", "internal/partition", "internal/quota",
		"internal/transfer", "internal/transfer/destinations", "internal/transfer/filestore", "internal/transfer/kind", "internal/transfer/memstore", "internal/transfer/s3store",
		"internal/storage/catalog", "internal/storage/catalog/file", "internal/storage/memory", "internal/storage/segment", "internal/storage/vfs",
	},

	"internal/api": {
		"internal/api/codec", "internal/api/dis", "internal/api/iam", "internal/api/ops", "internal/api/rest",
		"internal/auth", "internal/auth/audit", "internal/auth/policy",
		"internal/cursor", "internal/cursor/group", "internal/monitor", "internal/partition", "internal/quota", "internal/transfer", "internal/transfer/kind", "internal/clock",
	},
	"internal/api/dis": {
		"internal/api/codec", "internal/api/rest", "internal/auth", "internal/auth/policy",
		"internal/cursor", "internal/cursor/group", "internal/monitor", "internal/partition", "internal/transfer", "internal/transfer/kind",
	},
	"internal/api/apitest": {"internal/api/openapi"},
	"internal/api/openapi": {},
	"internal/api/iam":     {"internal/api/rest", "internal/auth"},
	"internal/api/ops":     {"internal/api/openapi", "internal/api/rest", "internal/auth", "internal/clock", "internal/partition", "internal/quota"},
	"internal/api/rest":    {"internal/api/codec", "internal/auth", "internal/clock", "internal/sign"},
	"internal/api/codec":   {},

	"internal/clock": {},
	"internal/control": {
		"internal/api/rest", "internal/clock", "internal/cursor", "internal/cursor/group", "internal/partition", "internal/storage/catalog", "internal/storage/memory", "internal/transfer",
	},
	"internal/sign":  {},
	"internal/field": {},

	"internal/auth":         {"internal/storage/catalog", "internal/sign", "internal/auth/keyfile"},
	"internal/auth/audit":   {},
	"internal/auth/certs":   {"internal/auth/keyfile"},
	"internal/auth/keyfile": {},
	"internal/auth/policy":  {"internal/auth", "internal/storage/catalog"},

	"internal/cursor":       {"internal/quota", "internal/storage/catalog"},
	"internal/cursor/group": {"internal/clock", "internal/quota", "internal/storage/catalog"},
	"internal/monitor":      {"internal/clock", "internal/storage/catalog"},
	"internal/partition":    {"internal/clock", "internal/quota", "internal/schema", "internal/storage/catalog"},
	"internal/quota":        {},

	"internal/schema": {},

	// A kind of destination, and a store, know the words of kinds, never the engine.
	"internal/transfer":                {"internal/clock", "internal/quota", "internal/storage/catalog", "internal/transfer/kind"},
	"internal/transfer/dli":            {"internal/transfer/kind"},
	"internal/transfer/dws":            {"internal/transfer/kind"},
	"internal/transfer/filestore":      {"internal/transfer/kind", "internal/storage/vfs"},
	"internal/transfer/format":         {"internal/schema", "internal/transfer/jsontext"},
	"internal/transfer/format/carbon":  {"internal/transfer/format"},
	"internal/transfer/format/parquet": {"internal/transfer/format"},
	"internal/transfer/format/text":    {"internal/transfer/format"},
	"internal/transfer/hbase":          {"internal/transfer/jsontext", "internal/transfer/kind", "internal/transfer/thrift"},
	"internal/transfer/jsontext":       {},
	"internal/transfer/patience":       {},
	"internal/transfer/thrift":         {},
	"internal/transfer/destinations": {
		"internal/transfer/dli", "internal/transfer/dws", "internal/transfer/hbase", "internal/transfer/kind",
		"internal/transfer/mrs", "internal/transfer/obs", "internal/transfer/opentsdb",
	},
	"internal/transfer/kind":     {"internal/schema"},
	"internal/transfer/memstore": {"internal/transfer/kind"},
	"internal/transfer/mrs":      {"internal/transfer/kind", "internal/transfer/patience"},
	"internal/transfer/obs": {
		"internal/transfer/format", "internal/transfer/format/carbon", "internal/transfer/format/parquet", "internal/transfer/format/text",
		"internal/transfer/kind",
	},
	"internal/transfer/opentsdb": {"internal/transfer/jsontext", "internal/transfer/kind"},
	"internal/transfer/s3store":  {"internal/transfer/kind", "internal/transfer/patience"},
	"internal/transfer/sinktest": {"internal/transfer/kind"},

	"internal/storage":                     {},
	"internal/storage/catalog":             {},
	"internal/storage/catalog/catalogtest": {"internal/storage/catalog"},
	"internal/storage/catalog/file":        {"internal/storage/catalog", "internal/storage/vfs"},
	"internal/storage/memory":              {},
	"internal/storage/segment":             {"internal/storage/vfs"},
	"internal/storage/storagetest":         {},
	"internal/storage/vfs":                 {},
	"internal/storage/vfs/errfs":           {"internal/storage/vfs"},
}

// Words may be imported by every package but those in below. What is wrong with a field
// of a request is no word of the log.
const (
	recordWords  = "internal/storage"
	requestWords = "internal/field"
)

var below = []string{"internal/storage/vfs", "internal/storage/vfs/errfs", "internal/sign", requestWords}

// knows reports whether the package may import the words.
func knows(dir, words string) bool {
	switch words {
	case recordWords:
		return !slices.Contains(below, dir)
	case requestWords:
		return !slices.Contains(below, dir) && !strings.HasPrefix(dir, recordWords)
	}
	return false
}

// outside says which packages may import a module that is not disd's, so that
// replacing it is the business of one place. Test files may use any.
var outside = map[string][]string{
	"github.com/emmansun/gmsm":            {"internal/sign"},
	"github.com/go-chi/chi/v5":            {"internal/api"},
	"github.com/golang/snappy":            {"internal/api/codec", "internal/transfer", "internal/transfer/format/carbon", "internal/transfer/format/parquet"},
	"github.com/jackc/pgx/v5":             {"internal/transfer/dws"},
	"github.com/klauspost/compress":       {"internal/api/codec"},
	"github.com/minio/minio-go/v7":        {"internal/transfer/s3store"},
	"github.com/parquet-go/parquet-go":    {"internal/transfer/format/parquet"},
	"github.com/pierrec/lz4/v4":           {"internal/api/codec"},
	"github.com/prometheus/client_golang": {"cmd/disd", "internal/api", "internal/api/ops", "internal/api/rest", "internal/server"},
	"github.com/segmentio/asm":            {"internal/api/codec"},
	"github.com/spf13/pflag":              {"cmd/disd", "internal/config"},
	"github.com/twmb/avro":                {"internal/schema"},
	"go.yaml.in/yaml/v3":                  {"internal/config", "internal/control"},
	"go.etcd.io/bbolt":                    {"internal/storage/catalog/file"},
	"golang.org/x/sync":                   {"internal/api/dis", "internal/api/rest", "internal/server", "internal/transfer/opentsdb"},
	"golang.org/x/time":                   {"internal/quota"},
	"golang.org/x/sys":                    {"internal/storage/catalog/file", "internal/storage/vfs"},
	"google.golang.org/protobuf":          {"internal/api/codec"},
}

// A source is the files of one directory.
type source struct {
	dir          string // from the root of the repository
	set          *token.FileSet
	files, tests []*ast.File
}

// sources parses the module. It reads the files itself: a test that asked the
// go command would be cached as passing after an import was added.
func sources(t *testing.T) map[string]*source {
	t.Helper()
	root, set, found := os.DirFS(".."), token.NewFileSet(), make(map[string]*source)
	for _, top := range []string{"cmd", "internal", "test"} {
		err := fs.WalkDir(root, top, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				return skip(root, name, d)
			}
			if path.Ext(name) != ".go" {
				return nil
			}
			return parse(set, found, name)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// skip leaves out what the go command leaves out, and modules of their own.
func skip(root fs.FS, name string, d fs.DirEntry) error {
	_, err := fs.Stat(root, path.Join(name, "go.mod"))
	if err == nil || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") {
		return fs.SkipDir
	}
	return nil
}

func parse(set *token.FileSet, found map[string]*source, name string) error {
	f, err := parser.ParseFile(set, filepath.Join("..", name), nil, parser.ParseComments)
	if err != nil {
		return err
	}
	dir := path.Dir(name)
	if found[dir] == nil {
		found[dir] = &source{dir: dir, set: set}
	}
	if s := found[dir]; strings.HasSuffix(name, "_test.go") {
		s.tests = append(s.tests, f)
	} else {
		s.files = append(s.files, f)
	}
	return nil
}

// product returns the packages that go into the binary, in order.
func product(t *testing.T) []*source {
	all := sources(t)
	maps.DeleteFunc(all, func(dir string, s *source) bool { return strings.HasPrefix(dir, "test") || len(s.files) == 0 })
	return slices.SortedFunc(maps.Values(all), func(a, b *source) int { return strings.Compare(a.dir, b.dir) })
}

// imports calls check with every import of s outside its tests.
func (s *source) imports(t *testing.T, check func(name string) error) {
	t.Helper()
	for _, f := range s.files {
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if err := check(name); err != nil {
				t.Errorf("%s: %v", s.set.Position(spec.Pos()), err)
			}
		}
	}
}

func TestImportsGoDown(t *testing.T) {
	unused := maps.Clone(mayImport)
	for _, s := range product(t) {
		allowed, known := mayImport[s.dir]
		if !known {
			t.Errorf("package %s is not in mayImport", s.dir)
		}
		delete(unused, s.dir)
		s.imports(t, func(name string) error {
			name, own := strings.CutPrefix(name, "disd/")
			if !own || slices.Contains(allowed, name) || knows(s.dir, name) {
				return nil
			}
			return fmt.Errorf("%s may not import %s", s.dir, name)
		})
	}
	for dir := range unused {
		t.Errorf("mayImport has %s, which does not exist", dir)
	}
}

func TestOutsideModulesHaveOnePlace(t *testing.T) {
	unused := maps.Clone(outside)
	for _, s := range product(t) {
		s.imports(t, func(name string) error {
			first, _, _ := strings.Cut(name, "/")
			if first == "disd" || !strings.Contains(first, ".") {
				return nil
			}
			module := moduleOf(name)
			delete(unused, module)
			if module == "" {
				return fmt.Errorf("%s is of a module that is not in outside", name)
			}
			if !slices.Contains(outside[module], s.dir) {
				return fmt.Errorf("%s may not import %s", s.dir, name)
			}
			return nil
		})
	}
	for module := range unused {
		t.Errorf("outside has %s, which nobody imports", module)
	}
}

// moduleOf returns the module of outside that the package belongs to.
func moduleOf(name string) string {
	for module := range outside {
		if name == module || strings.HasPrefix(name, module+"/") {
			return module
		}
	}
	return ""
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, s := range sources(t) {
		files := s.files
		if len(files) == 0 {
			files = s.tests
		}
		if !slices.ContainsFunc(files, hasDoc) {
			t.Errorf("%s has no package comment", s.dir)
		}
	}
}

func hasDoc(f *ast.File) bool {
	if f.Name.Name == "main" {
		return strings.HasPrefix(f.Doc.Text(), "Command ")
	}
	return strings.HasPrefix(f.Doc.Text(), "Package "+f.Name.Name+" ")
}

// Time is given: below cmd, time.Now occurs as the default of an option and
// is never called. A test, and a user of the emulator, can then stop the clock.
func TestNobodyReadsTheClock(t *testing.T) {
	for _, s := range product(t) {
		if !strings.HasPrefix(s.dir, "internal/") {
			continue
		}
		for _, f := range s.files {
			for _, pos := range clockReads(f) {
				if s.dir == "internal/clock" {
					continue
				}
				t.Errorf("%s: reads the clock", s.set.Position(pos))
			}
		}
	}
}

// timers are the packages that may wait for real time, with the reason. Whatever goes
// by the server's clock has a Step, and one driver owns all of these, or a timer of
// the clock.
var timers = map[string]string{
	"internal/api":               "gives memory back",
	"internal/api/dis":           "how long an empty download is held back",
	"internal/clock":             "makes timers",
	"internal/control":           "drives what is due, and waits for what a test waits for",
	"internal/server":            "how long accepted requests may take at the end",
	"internal/storage/segment":   "when it flushes and syncs",
	"internal/transfer":          "how long a batch may take when its task is stopped",
	"internal/transfer/dws":      "how long a statement may make no progress",
	"internal/transfer/opentsdb": "how long a request may take",
	"internal/transfer/patience": "how long a request may make no progress",
	"internal/transfer/thrift":   "how long a call may take",

	"internal/transfer/sinktest": "how long a test waits",
}

func TestTimersHaveAReason(t *testing.T) {
	unused := maps.Clone(timers)
	for _, s := range product(t) {
		if !strings.HasPrefix(s.dir, "internal/") {
			continue
		}
		for _, f := range s.files {
			for _, pos := range makesTimers(f) {
				if delete(unused, s.dir); timers[s.dir] == "" {
					t.Errorf("%s: waits for real time", s.set.Position(pos))
				}
			}
		}
	}
	for dir := range unused {
		t.Errorf("timers has %s, which makes none", dir)
	}
}

// makesTimers returns where f makes something that real time ends.
func makesTimers(f *ast.File) (found []token.Pos) {
	ast.Inspect(f, func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		for _, name := range []string{"NewTimer", "NewTicker", "After", "AfterFunc", "Sleep", "Tick"} {
			if isOf(f, "time", e, name) {
				found = append(found, n.Pos())
			}
		}
		for _, name := range []string{"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause"} {
			if isOf(f, "context", e, name) {
				found = append(found, n.Pos())
			}
		}
		return true
	})
	return found
}

// clockReads returns where f calls time.Now, or mentions a function that does.
func clockReads(f *ast.File) []token.Pos {
	var found []token.Pos
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if isTime(f, n.Fun, "Now") {
				found = append(found, n.Pos())
			}
		case *ast.SelectorExpr:
			if isTime(f, n, "Since") || isTime(f, n, "Until") {
				found = append(found, n.Pos())
			}
		}
		return true
	})
	return found
}

// isTime says whether e is the function of package time with that name.
func isTime(f *ast.File, e ast.Expr, name string) bool { return isOf(f, "time", e, name) }

// isOf says whether e is the function of a package of the standard library with that
// name.
func isOf(f *ast.File, pkg string, e ast.Expr, name string) bool {
	selector, ok := e.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != name {
		return false
	}
	x, ok := selector.X.(*ast.Ident)
	return ok && slices.ContainsFunc(f.Imports, func(spec *ast.ImportSpec) bool {
		return spec.Path.Value == strconv.Quote(pkg) && (spec.Name == nil && x.Name == pkg || spec.Name != nil && spec.Name.Name == x.Name)
	})
}

func TestMakesTimers(t *testing.T) {
	for _, tt := range []struct {
		source string
		want   int
	}{
		{`import "time"; var c = time.After(1)`, 1},
		{`import "time"; var f = time.NewTicker`, 1},
		{`import . "disd/internal/clock"; import "time"; var d time.Duration`, 0},
		{`import ("context"; "time"); func f(ctx context.Context) { context.WithTimeout(ctx, 1); time.Unix(0, 0) }`, 1},
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "", "package p; "+tt.source, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(makesTimers(f)); got != tt.want {
			t.Errorf("%s: found %d, want %d", tt.source, got, tt.want)
		}
	}
}

func TestClockReads(t *testing.T) {
	for _, tt := range []struct {
		source string
		want   int
	}{
		{`import "time"; var now = time.Now`, 0},
		{`import "time"; var now = time.Now()`, 1},
		{`import clock "time"; func f() { _ = clock.Now() }`, 1},
		{`import "time"; func f(t time.Time) { _ = time.Since(t); _ = time.Until(t) }`, 2},
		{`import "time"; var age = time.Since`, 1},
		{`import "disd/time"; var now = time.Now()`, 0},
		{`type o struct{ Now func() int }; func f(time o) { time.Now() }`, 0},
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "", "package p; "+tt.source, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(clockReads(f)); got != tt.want {
			t.Errorf("%s: found %d, want %d", tt.source, got, tt.want)
		}
	}
}
