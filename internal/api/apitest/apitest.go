// Package apitest holds operations, wire types and answers against the OpenAPI
// description of the API.
package apitest

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"disd/internal/api/openapi"
)

// A Node is a piece of the OpenAPI description.
type Node map[string]any

// At returns a member of members, nil if there is none.
func (n Node) At(names ...string) Node {
	for _, name := range names {
		next, _ := n[name].(map[string]any)
		n = next
	}
	return n
}

// Text returns a member that is a string.
func (n Node) Text(name string) string {
	s, _ := n[name].(string)
	return s
}

// Texts returns a member that is a list of strings.
func (n Node) Texts(name string) (out []string) {
	list, _ := n[name].([]any)
	for _, v := range list {
		out = append(out, fmt.Sprint(v))
	}
	return out
}

// List returns a list of objects.
func (n Node) List(name string) (out []Node) {
	list, _ := n[name].([]any)
	for _, v := range list {
		out = append(out, v.(map[string]any))
	}
	return out
}

// Description returns the whole of it.
var Description = sync.OnceValue(func() Node {
	var d Node
	if err := json.Unmarshal([]byte(openapi.Text), &d); err != nil {
		panic(err)
	}
	return d
})

// Resolve follows a reference. A description beside it goes before its own.
func (n Node) Resolve() Node {
	ref := n.Text("$ref")
	if ref == "" {
		return n
	}
	return Description().At(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
}

// PathParameter is a parameter in a path.
var PathParameter = regexp.MustCompile(`\{[a-z_]+\}`)

// Place makes routes and described paths comparable. The kind of resource is a
// parameter of the routes of tags, and has one value.
func Place(method, path string) string {
	path = strings.Replace(path, "{type}", "stream", 1)
	return strings.ToLower(method) + " " + PathParameter.ReplaceAllString(path, "{}")
}

// Operations returns all described operations by place.
func Operations() map[string]Node {
	out := make(map[string]Node)
	paths := Description().At("paths")
	for path := range paths {
		for method := range paths.At(path) {
			if method != "parameters" {
				out[Place(method, path)] = paths.At(path, method)
			}
		}
	}
	return out
}

// schemaName is what the schema of a type is called.
func schemaName(name string) string {
	name, _, _ = strings.Cut(name, "[")
	return strings.ToUpper(name[:1]) + name[1:]
}

// CheckTypes holds the wire types of a package, whose test calls it, against the schemas
// of their names: all are there, with the same members of the same types, and what an
// answer always has is required. Every type of the package with JSON members must be
// among them.
func CheckTypes(t *testing.T, types ...any) {
	schemas, checked := Description().At("components", "schemas"), make(map[string]bool)
	for _, v := range types {
		typ := reflect.TypeOf(v)
		name := schemaName(typ.Name())
		checked[name] = true
		if schemas.At(name) == nil {
			t.Errorf("%s is not described", name)
			continue
		}
		compareMembers(typ, schemas.At(name), name, isRequest(name), func(err string) { t.Error(err) })
	}
	for _, name := range TypesIn(t, ".") {
		if !checked[name] {
			t.Errorf("type %s is missing in this test", name)
		}
	}
}

// isRequest reports types that clients send, whose members may all be absent.
func isRequest(name string) bool {
	return strings.HasSuffix(name, "Request") || slices.Contains([]string{"Tag", "CsvProperties", "Condition", "Ref"}, name)
}

// TypesIn names the schemas of all types with JSON members in a directory.
func TypesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, file := range Sources(t, dir) {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if st, ok := spec.Type.(*ast.StructType); ok && slices.ContainsFunc(st.Fields.List, func(f *ast.Field) bool {
				return f.Tag != nil && strings.Contains(f.Tag.Value, `json:"`)
			}) {
				names = append(names, schemaName(spec.Name.Name))
			}
			return true
		})
	}
	return names
}

// scalars are the types of package rest that are read as scalars, whatever they are in
// Go; the package is not imported, whose tests use this one.
var scalars = map[string]string{"rest.Text": "string", "rest.Number": "integer", "rest.Boolean": "boolean"}

// compareType reports where a schema is not that of a type.
func compareType(typ reflect.Type, schema Node, at string, request bool, report func(string)) {
	if typ.Kind() == reflect.Pointer && typ != reflect.TypeFor[*struct{}]() {
		typ = typ.Elem()
	}
	if typ.Kind() == reflect.Struct && typ.Name() != "" && scalars[typ.String()] == "" {
		if want := "#/components/schemas/" + schemaName(typ.Name()); schema.Text("$ref") != want {
			report(at + " is not described by " + want)
		}
		return
	}
	schema = schema.Resolve()
	want := scalars[typ.String()]
	switch {
	case want == "integer" && schema.Text("type") == "string": // documented as one, and read as both (C-32)
		return
	case want != "":
	case typ == reflect.TypeFor[*struct{}](), reflect.PointerTo(typ).Implements(reflect.TypeFor[json.Unmarshaler]()):
		return // null, or of several forms
	default:
		want = jsonKind(typ)
	}
	if types := append(schema.Texts("type"), schema.Text("type")); !slices.Contains(types, want) {
		report(fmt.Sprintf("%s is %s, described as %v", at, want, types))
		return
	}
	switch {
	case typ.Kind() == reflect.Slice:
		compareType(typ.Elem(), schema.At("items"), at+"[]", request, report)
	case typ.Kind() == reflect.Struct && want == "object":
		compareMembers(typ, schema, at, request, report)
	}
}

func jsonKind(typ reflect.Type) string {
	switch typ.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "integer"
	case reflect.Slice:
		return "array"
	case reflect.Map, reflect.Struct:
		return "object"
	}
	return typ.String()
}

func compareMembers(typ reflect.Type, schema Node, at string, request bool, report func(string)) {
	properties, always := schema.At("properties"), []string{}
	known := make(map[string]bool)
	for _, f := range reflect.VisibleFields(typ) {
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || len(f.Index) > 1 && known[name] {
			continue
		}
		known[name] = true
		if option == "" {
			always = append(always, name)
		}
		if properties.At(name) == nil {
			report(at + "." + name + " is not described")
			continue
		}
		compareType(f.Type, properties.At(name), at+"."+name, request, report)
	}
	for name := range properties {
		if !known[name] {
			report(at + "." + name + " is described and does not exist")
		}
	}
	required := schema.Texts("required")
	slices.Sort(required)
	slices.Sort(always)
	if !request && !slices.Equal(required, always) {
		report(fmt.Sprintf("%s always has %v, described as %v", at, always, required))
	}
	for _, name := range required {
		if !known[name] {
			report(at + "." + name + " is required and does not exist")
		}
	}
}

// Sample makes a value of a schema.
func Sample(schema Node) any {
	if values, ok := schema["enum"].([]any); ok {
		return values[0]
	}
	switch schema.Text("type") {
	case "integer":
		return schema["minimum"]
	case "array":
		return []any{Sample(schema.At("items"))}
	case "object":
		v := make(map[string]any)
		for name := range schema.At("properties") {
			v[name] = Sample(schema.At("properties", name))
		}
		return v
	}
	if schema.Text("default") != "" {
		return schema["default"]
	}
	if strings.HasSuffix(schema.Text("description"), "false/off") {
		return "true/on"
	}
	return "1"
}

// Accepts returns why a value does not follow a schema. It knows the keywords
// that the description uses for answers.
func (n Node) Accepts(v any) error {
	n = n.Resolve()
	if choice := append(n.List("oneOf"), n.List("anyOf")...); len(choice) > 0 {
		var err error
		for _, c := range choice {
			if err = c.Accepts(v); err == nil {
				break
			}
		}
		return err
	}
	if types := append(n.Texts("type"), n.Text("type")); !slices.Contains(types, typeOf(v)) {
		return fmt.Errorf("%v is no %v", v, types)
	}
	if enum, ok := n["enum"].([]any); ok && !slices.Contains(enum, v) {
		return fmt.Errorf("%v is none of %v", v, enum)
	}
	switch v := v.(type) {
	case string:
		if p := n.Text("pattern"); p != "" && !regexp.MustCompile(p).MatchString(v) {
			return fmt.Errorf("%q does not match %s", v, p)
		}
	case []any:
		for _, item := range v {
			if err := n.At("items").Accepts(item); err != nil {
				return err
			}
		}
	case map[string]any:
		return n.acceptsObject(v)
	}
	return nil
}

func (n Node) acceptsObject(v map[string]any) error {
	for _, name := range n.Texts("required") {
		if _, ok := v[name]; !ok {
			return fmt.Errorf("%s is missing", name)
		}
	}
	for name, member := range v {
		schema := n.At("properties", name)
		if schema == nil {
			schema = n.At("additionalProperties")
		}
		if schema == nil {
			return fmt.Errorf("%s is not described", name)
		}
		if err := schema.Accepts(member); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func typeOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case bool:
		return "boolean"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "number"
		}
		return "integer"
	case []any:
		return "array"
	}
	return "object"
}

// Sources lists the Go files of a directory but for tests.
func Sources(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
}
