package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"

	"disd/internal/transfer/dli"
	"disd/internal/transfer/dws"
	"disd/internal/transfer/hbase"
	"disd/internal/transfer/kind"
	"disd/internal/transfer/mrs"
	"disd/internal/transfer/obs"
	"disd/internal/transfer/opentsdb"
)

// A node is a piece of the OpenAPI description.
type node map[string]any

func (n node) at(names ...string) node {
	for _, name := range names {
		next, _ := n[name].(map[string]any)
		n = next
	}
	return n
}

func (n node) text(name string) string {
	s, _ := n[name].(string)
	return s
}

func (n node) texts(name string) (out []string) {
	list, _ := n[name].([]any)
	for _, v := range list {
		out = append(out, fmt.Sprint(v))
	}
	return out
}

// list returns a list of objects.
func (n node) list(name string) (out []node) {
	list, _ := n[name].([]any)
	for _, v := range list {
		out = append(out, v.(map[string]any))
	}
	return out
}

var description = sync.OnceValue(func() node {
	var d node
	if err := json.Unmarshal([]byte(openAPI), &d); err != nil {
		panic(err)
	}
	return d
})

// resolve follows a reference. A description beside it goes before its own.
func (n node) resolve() node {
	ref := n.text("$ref")
	if ref == "" {
		return n
	}
	return description().at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
}

var pathParameter = regexp.MustCompile(`\{[a-z_]+\}`)

// place makes routes and described paths comparable. The kind of resource is a
// parameter of the routes of tags, and has one value.
func place(method, path string) string {
	path = strings.Replace(path, "{type}", "stream", 1)
	return strings.ToLower(method) + " " + pathParameter.ReplaceAllString(path, "{}")
}

// describedOps returns all described operations by place.
func describedOps() map[string]node {
	out := make(map[string]node)
	paths := description().at("paths")
	for path := range paths {
		for method := range paths.at(path) {
			if method != "parameters" {
				out[place(method, path)] = paths.at(path, method)
			}
		}
	}
	return out
}

// TestDescribedOperations holds the description against the routes.
func TestDescribedOperations(t *testing.T) {
	ops, seen := describedOps(), make(map[string]bool)
	for _, op := range slices.Concat(operations, identityOperations, adminOperations) {
		at := place(op.method, op.path)
		seen[at] = true
		d, ok := ops[at]
		if !ok {
			t.Errorf("%s is not described", at)
			continue
		}
		if name, _, _ := strings.Cut(d.text("operationId"), "_"); name != op.name {
			t.Errorf("%s is called %s, described as %s", at, op.name, name)
		}
		if _, open := d["security"]; open != op.public {
			t.Errorf("%s: public is %v, described as %v", at, op.public, open)
		}
		if body := d.at("requestBody"); op.proto && op.method == "POST" && body.at("content", protoType) == nil {
			t.Errorf("%s: the description has no protobuf body", at)
		}
	}
	for at := range ops {
		if !seen[at] {
			t.Errorf("%s is described and has no route", at)
		}
	}
}

// TestDescribedContract wants every operation of the contract, and each once
// under its name.
func TestDescribedContract(t *testing.T) {
	names, contract := make(map[string]int), make(map[string]bool)
	for _, d := range describedOps() {
		names[d.text("operationId")]++
		for _, e := range d.texts("x-contract") {
			contract[e] = true
		}
	}
	for name, n := range names {
		if n != 1 {
			t.Errorf("%d operations are called %q", n, name)
		}
	}
	for e := 1; e <= 59; e++ {
		if !contract[fmt.Sprint("E", e)] {
			t.Errorf("E%d is not described", e)
		}
	}
}

// TestDescribedParameters holds the parameters against the paths that have them
// and the sources that read them.
func TestDescribedParameters(t *testing.T) {
	var source bytes.Buffer
	for _, file := range sourceFiles(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(text)
	}
	documented := make(map[string]bool)
	paths := description().at("paths")
	for path := range paths {
		var inPath []string
		for _, p := range paths.at(path).list("parameters") {
			inPath = append(inPath, "{"+p.resolve().text("name")+"}")
		}
		if got := pathParameter.FindAllString(path, -1); !slices.Equal(got, inPath) {
			t.Errorf("%s: parameters %v", path, inPath)
		}
		for method := range paths.at(path) {
			for _, p := range paths.at(path, method).list("parameters") {
				documented[p.resolve().text("name")] = true
			}
		}
	}
	for name := range documented {
		if !strings.HasPrefix(name, "x-dis-") && !strings.Contains(source.String(), `"`+name+`"`) {
			t.Errorf("nobody reads parameter %s", name)
		}
	}
	quoted := regexp.MustCompile(`"([^"]+)"`)
	for _, use := range regexp.MustCompile(`\b(?:query|q)\.(?:get|limit)\([^)]*\)|seconds\(q, [^)]*\)`).FindAllString(source.String(), -1) {
		for _, name := range quoted.FindAllStringSubmatch(use, -1) {
			if !documented[name[1]] {
				t.Errorf("parameter %s is not described", name[1])
			}
		}
	}
}

func sourceFiles(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
}

// wireTypes is every type with JSON members.
var wireTypes = []any{
	tag{}, csvProperties{}, createStreamRequest{}, streamInfo{}, listStreamsReply{}, partitionResult{}, scalingResult{}, csvResult{},
	showStreamReply{}, updateCountRequest{}, updateCountReply{}, updateStreamRequest{}, updateOldReply{},
	policyRequest{}, ruleReply{}, listPoliciesReply{},
	createAppRequest{}, appReply{}, listAppsReply{}, stateReply{}, consumerStateReply{},
	commitCheckpointRequest{}, checkpointReply{}, cursorReply{}, fileReply{}, dataPoint{}, series{}, metricsReply{},
	createTagRequest{}, tagsReply{}, tagActionRequest{}, tagValues{}, listTagsReply{}, condition{}, searchRequest{}, resourceReply{}, searchReply{}, countReply{},
	joinRequest{}, groupReply[string]{}, joinReply{}, memberRequest{}, syncReply{},
	taskRequest{}, taskReply{}, listTasksReply{}, taskPartition{}, showTaskReply{}, taskActionRequest{},
	envelope{}, keystone{},
	ref{}, loginRequest{}, named{}, catalogEndpoint{}, catalogEntry{}, tokenReply{}, links{}, domainReply{}, listDomainsReply{},
	projectReply{}, listProjectsReply{}, userReply{}, listUsersReply{}, credentialReply{}, accessKeyReply{}, versionLink{}, versionReply{},
	identityRequest{}, identityReply{}, keyReply{}, quotaReply{}, excessReply{},
}

// byHand are the schemas of bodies that no Go type stands for.
var byHand = []string{
	"ExtendedInfo", "PutRecordsRequestEntry", "PutRecordsRequest", "PutRecordsResultEntry", "PutRecordsReply", "Record", "GetRecordsReply",
	"ObsDescriptor", "DwsDescriptor", "MrsDescriptor", "DliDescriptor", "CloudtableDescriptor",
}

// schemaName is what the schema of a type is called.
func schemaName(name string) string {
	name, _, _ = strings.Cut(name, "[")
	return strings.ToUpper(name[:1]) + name[1:]
}

// TestDescribedTypes holds the schemas against the wire types: all of them are
// there, with the same members of the same types, and what an answer always has
// is required.
func TestDescribedTypes(t *testing.T) {
	schemas := description().at("components", "schemas")
	names := slices.Clone(byHand)
	for _, v := range wireTypes {
		typ := reflect.TypeOf(v)
		name := schemaName(typ.Name())
		names = append(names, name)
		if schemas.at(name) == nil {
			t.Errorf("%s is not described", name)
			continue
		}
		compareMembers(typ, schemas.at(name), name, isRequest(name), func(err string) { t.Error(err) })
	}
	slices.Sort(names)
	if got := slices.Sorted(maps.Keys(schemas)); !slices.Equal(got, names) {
		t.Errorf("schemas\n%v\ntypes\n%v", got, names)
	}
	for _, name := range typesWithMembers(t) {
		if !slices.Contains(names, name) {
			t.Errorf("type %s is missing in this test", name)
		}
	}
}

// isRequest reports types that clients send, whose members may all be absent.
func isRequest(name string) bool {
	return strings.HasSuffix(name, "Request") || slices.Contains([]string{"Tag", "CsvProperties", "Condition", "Ref"}, name)
}

func typesWithMembers(t *testing.T) (names []string) {
	t.Helper()
	for _, file := range sourceFiles(t) {
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

// scalars are structs that are scalars on the wire.
var scalars = map[reflect.Type]bool{reflect.TypeFor[number](): true, reflect.TypeFor[boolean](): true}

// compareType reports where a schema is not that of a type.
func compareType(typ reflect.Type, schema node, at string, request bool, report func(string)) {
	if typ.Kind() == reflect.Pointer && typ != reflect.TypeFor[*struct{}]() {
		typ = typ.Elem()
	}
	if typ.Kind() == reflect.Struct && typ.Name() != "" && !scalars[typ] {
		if want := "#/components/schemas/" + schemaName(typ.Name()); schema.text("$ref") != want {
			report(at + " is not described by " + want)
		}
		return
	}
	schema = schema.resolve()
	want := ""
	switch typ {
	case reflect.TypeFor[text]():
		want = "string"
	case reflect.TypeFor[number]():
		want = "integer"
		if schema.text("type") == "string" { // documented as one, and read as both (C-32)
			return
		}
	case reflect.TypeFor[boolean]():
		want = "boolean"
	case reflect.TypeFor[matches](), reflect.TypeFor[json.RawMessage](), reflect.TypeFor[*struct{}]():
		return
	default:
		want = jsonKind(typ)
	}
	if types := append(schema.texts("type"), schema.text("type")); !slices.Contains(types, want) {
		report(fmt.Sprintf("%s is %s, described as %v", at, want, types))
		return
	}
	switch {
	case typ.Kind() == reflect.Slice:
		compareType(typ.Elem(), schema.at("items"), at+"[]", request, report)
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

func compareMembers(typ reflect.Type, schema node, at string, request bool, report func(string)) {
	properties, always := schema.at("properties"), []string{}
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
		if properties.at(name) == nil {
			report(at + "." + name + " is not described")
			continue
		}
		compareType(f.Type, properties.at(name), at+"."+name, request, report)
	}
	for name := range properties {
		if !known[name] {
			report(at + "." + name + " is described and does not exist")
		}
	}
	required := schema.texts("required")
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

// TestDescribedDescriptors holds the schemas of transfer tasks against what is
// read of a descriptor.
func TestDescribedDescriptors(t *testing.T) {
	tables, err := dws.Kind(dws.Options{})
	if err != nil {
		t.Fatal(err)
	}
	kinds := kind.Set{obs.Kind(), tables, mrs.Kind(), dli.Kind(), hbase.Kind(), opentsdb.Kind()}
	for typ, name := range map[kind.Type]string{
		kind.OBS: "ObsDescriptor", kind.DWS: "DwsDescriptor", kind.MRS: "MrsDescriptor", kind.DLI: "DliDescriptor", kind.CloudTable: "CloudtableDescriptor",
	} {
		schema := description().at("components", "schemas", name)
		whole := make(map[string]any)
		for member := range schema.at("properties") {
			whole[member] = sample(schema.at("properties", member))
		}
		parse := func(without string) (kind.Descriptor, error) {
			part := maps.Clone(whole)
			delete(part, without)
			if typ == kind.CloudTable && without != "opentsdb_schema" {
				delete(part, "cloudtable_schema") // one of the two
			}
			raw, err := json.Marshal(part)
			if err != nil {
				t.Fatal(err)
			}
			return kinds.Parse(typ, raw)
		}
		for member := range whole {
			d, err := parse(member)
			if required := slices.Contains(schema.texts("x-required-to-create"), member); (err != nil) != required && !strings.HasSuffix(member, "_schema") {
				t.Errorf("%s without %s: %v", name, member, err)
			}
			for other := range whole {
				if _, read := d.Members[other]; !read && other != member && !strings.HasSuffix(other, "_schema") {
					t.Errorf("%s: nobody reads %s", name, other)
				}
			}
		}
	}
}

// sample makes a value of a schema.
func sample(schema node) any {
	if values, ok := schema["enum"].([]any); ok {
		return values[0]
	}
	switch schema.text("type") {
	case "integer":
		return schema["minimum"]
	case "array":
		return []any{sample(schema.at("items"))}
	case "object":
		v := make(map[string]any)
		for name := range schema.at("properties") {
			v[name] = sample(schema.at("properties", name))
		}
		return v
	}
	if schema.text("default") != "" {
		return schema["default"]
	}
	if strings.HasSuffix(schema.text("description"), "false/off") {
		return "true/on"
	}
	return "1"
}

// everywhere lists the errors that are not repeated with every operation.
var everywhere = []string{"DIS.4117", "DIS.4200", "DIS.4202", "DIS.4300", "DIS.4305", "DIS.4309"}

// Described returns in what an answer does not follow the description.
func (s *Server) Described(req *http.Request, status int, header http.Header, body string) (errs []error) {
	route := s.router.Find(chi.NewRouteContext(), req.Method, cleanPath(cmp.Or(req.URL.RawPath, req.URL.Path)))
	op, ok := describedOps()[place(req.Method, route)]
	if !ok {
		return nil
	}
	complain := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf(op.text("operationId")+": "+format, args...))
	}
	responses := op.at("responses")
	response := responses.at(fmt.Sprint(status))
	if response == nil && status >= 400 {
		response = responses.at("default")
	}
	if response == nil {
		complain("status %d is not described", status)
		return errs
	}
	kind, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	schema := response.resolve().at("content", kind, "schema")
	if (schema == nil) != (body == "") {
		complain("%d with a body of %d bytes of %s is not described", status, len(body), kind)
	}
	if schema == nil || kind != jsonType {
		return errs
	}
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		complain("%w: %q", err, body)
		return errs
	}
	if err := schema.accepts(v); err != nil {
		complain("%d %s: %w", status, body, err)
	}
	if e, _ := v.(map[string]any); status == 400 {
		code, _ := e["errorCode"].(string)
		if strings.HasPrefix(code, "DIS.") && !slices.Contains(everywhere, code) && !strings.Contains(response.text("description"), code) {
			complain("error %s is not described", code)
		}
	}
	return errs
}

// accepts returns why a value does not follow a schema. It knows the keywords
// that the description uses for answers.
func (n node) accepts(v any) error {
	n = n.resolve()
	if choice := append(n.list("oneOf"), n.list("anyOf")...); len(choice) > 0 {
		var err error
		for _, c := range choice {
			if err = c.accepts(v); err == nil {
				break
			}
		}
		return err
	}
	if types := append(n.texts("type"), n.text("type")); !slices.Contains(types, typeOf(v)) {
		return fmt.Errorf("%v is no %v", v, types)
	}
	if enum, ok := n["enum"].([]any); ok && !slices.Contains(enum, v) {
		return fmt.Errorf("%v is none of %v", v, enum)
	}
	switch v := v.(type) {
	case string:
		if p := n.text("pattern"); p != "" && !regexp.MustCompile(p).MatchString(v) {
			return fmt.Errorf("%q does not match %s", v, p)
		}
	case []any:
		for _, item := range v {
			if err := n.at("items").accepts(item); err != nil {
				return err
			}
		}
	case map[string]any:
		return n.acceptsObject(v)
	}
	return nil
}

func (n node) acceptsObject(v map[string]any) error {
	for _, name := range n.texts("required") {
		if _, ok := v[name]; !ok {
			return fmt.Errorf("%s is missing", name)
		}
	}
	for name, member := range v {
		schema := n.at("properties", name)
		if schema == nil {
			schema = n.at("additionalProperties")
		}
		if schema == nil {
			return fmt.Errorf("%s is not described", name)
		}
		if err := schema.accepts(member); err != nil {
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
