package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"disd/internal/api/apitest"
	"disd/internal/api/dis"
	"disd/internal/api/iam"
	"disd/internal/api/ops"
	"disd/internal/api/rest"
	"disd/internal/transfer/destinations"
	"disd/internal/transfer/kind"
)

// TestDescribedOperations holds the description against the routes.
func TestDescribedOperations(t *testing.T) {
	described, seen := apitest.Operations(), make(map[string]bool)
	for _, op := range slices.Concat(new(dis.Service).Operations(), new(iam.Service).Operations(), new(ops.Service).Operations()) {
		if op.Service == rest.Own { // not of the API
			continue
		}
		at := apitest.Place(op.Method, op.Path)
		seen[at] = true
		d, ok := described[at]
		if !ok {
			t.Errorf("%s is not described", at)
			continue
		}
		if name, _, _ := strings.Cut(d.Text("operationId"), "_"); name != op.Name {
			t.Errorf("%s is called %s, described as %s", at, op.Name, name)
		}
		if _, open := d["security"]; open != op.Public {
			t.Errorf("%s: public is %v, described as %v", at, op.Public, open)
		}
		if body := d.At("requestBody"); op.Proto && op.Method == http.MethodPost && body.At("content", rest.ProtoType) == nil {
			t.Errorf("%s: the description has no protobuf body", at)
		}
	}
	for at := range described {
		if !seen[at] {
			t.Errorf("%s is described and has no route", at)
		}
	}
}

// TestDescribedContract wants every operation of the contract, and each once
// under its name.
func TestDescribedContract(t *testing.T) {
	names, contract := make(map[string]int), make(map[string]bool)
	for _, d := range apitest.Operations() {
		names[d.Text("operationId")]++
		for _, e := range d.Texts("x-contract") {
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
	for _, dir := range parts {
		for _, file := range apitest.Sources(t, dir) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(text)
		}
	}
	documented := make(map[string]bool)
	paths := apitest.Description().At("paths")
	for path := range paths {
		var inPath []string
		for _, p := range paths.At(path).List("parameters") {
			inPath = append(inPath, "{"+p.Resolve().Text("name")+"}")
		}
		if got := apitest.PathParameter.FindAllString(path, -1); !slices.Equal(got, inPath) {
			t.Errorf("%s: parameters %v", path, inPath)
		}
		for method := range paths.At(path) {
			for _, p := range paths.At(path, method).List("parameters") {
				documented[p.Resolve().Text("name")] = true
			}
		}
	}
	for name := range documented {
		if !strings.HasPrefix(name, "x-dis-") && !strings.Contains(source.String(), `"`+name+`"`) {
			t.Errorf("nobody reads parameter %s", name)
		}
	}
	quoted := regexp.MustCompile(`"([^"]+)"`)
	for _, use := range regexp.MustCompile(`\b(?:Query|q)\.(?:Get|Limit)\([^)]*\)|seconds\(q, [^)]*\)`).FindAllString(source.String(), -1) {
		for _, name := range quoted.FindAllStringSubmatch(use, -1) {
			if !documented[name[1]] {
				t.Errorf("parameter %s is not described", name[1])
			}
		}
	}
}

// byHand are the schemas of bodies that no Go type stands for.
var byHand = []string{
	"ExtendedInfo", "PutRecordsRequestEntry", "PutRecordsRequest", "PutRecordsResultEntry", "PutRecordsReply", "Record", "GetRecordsReply",
	"ObsDescriptor", "DwsDescriptor", "MrsDescriptor", "DliDescriptor", "CloudtableDescriptor",
}

// parts are the packages that have wire types.
var parts = []string{"rest", "dis", "iam", "ops"}

// TestDescribedTypes: every schema is of a type. The packages of the types hold them
// against their schemas.
func TestDescribedTypes(t *testing.T) {
	names := slices.Clone(byHand)
	for _, dir := range parts {
		names = append(names, apitest.TypesIn(t, dir)...)
	}
	slices.Sort(names)
	if got := slices.Sorted(maps.Keys(apitest.Description().At("components", "schemas"))); !slices.Equal(got, names) {
		t.Errorf("schemas\n%v\ntypes\n%v", got, names)
	}
}

// TestDescribedDescriptors holds the schemas of transfer tasks against what is
// read of a descriptor.
func TestDescribedDescriptors(t *testing.T) {
	kinds, err := destinations.All(destinations.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for typ, name := range map[kind.Type]string{
		kind.OBS: "ObsDescriptor", kind.DWS: "DwsDescriptor", kind.MRS: "MrsDescriptor", kind.DLI: "DliDescriptor", kind.CloudTable: "CloudtableDescriptor",
	} {
		schema := apitest.Description().At("components", "schemas", name)
		whole := make(map[string]any)
		for member := range schema.At("properties") {
			whole[member] = apitest.Sample(schema.At("properties", member))
		}
		if typ == kind.MRS {
			whole["mrs_hdfs_path"] = "/data"
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
			if required := slices.Contains(schema.Texts("x-required-to-create"), member); (err != nil) != required && !strings.HasSuffix(member, "_schema") {
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

// everywhere lists the errors that are not repeated with every operation.
var everywhere = []string{"DIS.4117", "DIS.4200", "DIS.4202", "DIS.4300", "DIS.4305", "DIS.4309"}

// Described returns in what an answer does not follow the description.
func (s *Server) Described(req *http.Request, status int, header http.Header, body string) (errs []error) {
	route := s.router.Find(chi.NewRouteContext(), req.Method, cleanPath(cmp.Or(req.URL.RawPath, req.URL.Path)))
	op, ok := apitest.Operations()[apitest.Place(req.Method, route)]
	if !ok {
		return nil
	}
	complain := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf(op.Text("operationId")+": "+format, args...))
	}
	responses := op.At("responses")
	response := responses.At(fmt.Sprint(status))
	if response == nil && status >= 400 {
		response = responses.At("default")
	}
	if response == nil {
		complain("status %d is not described", status)
		return errs
	}
	kind, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	schema := response.Resolve().At("content", kind, "schema")
	if (schema == nil) != (body == "") {
		complain("%d with a body of %d bytes of %s is not described", status, len(body), kind)
	}
	if schema == nil || kind != rest.JSONType {
		return errs
	}
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		complain("%w: %q", err, body)
		return errs
	}
	if err := schema.Accepts(v); err != nil {
		complain("%d %s: %w", status, body, err)
	}
	if e, _ := v.(map[string]any); status == 400 {
		code, _ := e["errorCode"].(string)
		if strings.HasPrefix(code, "DIS.") && !slices.Contains(everywhere, code) && !strings.Contains(response.Text("description"), code) {
			complain("error %s is not described", code)
		}
	}
	return errs
}
