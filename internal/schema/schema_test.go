package schema

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/avro"
)

// record returns a record with fields.
func record(name string, fields ...string) string {
	return fmt.Sprintf(`{"type":"record","name":%q,"fields":[%s]}`, name, strings.Join(fields, ","))
}

// field returns a field with a default; def is its JSON.
func field(name, typ, def string) string {
	return fmt.Sprintf(`{"name":%q,"type":%s,"default":%s}`, name, typ, def)
}

// nested returns n records around each other, each with two defaults that the one
// inside it fills out.
func nested(n int, def string) string {
	s := record("r0", field("a", `"int"`, "1"))
	for i := 1; i < n; i++ {
		s = record(fmt.Sprintf("n.r%d", i), field("a", s, def), field("b", fmt.Sprintf(`"r%d"`, i-1), def))
	}
	return s
}

// choices returns a default that does not fit, of unions of two records in each other.
func choices(n int) string {
	typ, def := `"int"`, `"x"`
	for i := range n {
		named := fmt.Sprintf(`"u%d"`, i)
		typ = fmt.Sprintf(`[%s,%s]`, record(fmt.Sprintf("p%d", i), fmt.Sprintf(`{"name":"a","type":%s}`, record(fmt.Sprintf("u%d", i), fmt.Sprintf(`{"name":"a","type":%s}`, typ)))),
			record(fmt.Sprintf("q%d", i), `{"name":"a","type":`+named+`}`))
		def = fmt.Sprintf(`{"a":{"a":%s}}`, def)
	}
	return record("r", field("v", typ, def))
}

// Each of these texts takes the library long, or would at a hundred times its size.
func TestBounds(t *testing.T) {
	t.Attr("rules", "E3-R5")
	array := func(n int) string {
		return strings.Repeat(`{"type":"array","items":`, n) + `"int"` + strings.Repeat("}", n)
	}
	many := strings.TrimSuffix(strings.Repeat(`"s",`, 30_000), ",")
	for name, tt := range map[string]struct{ text, reason string }{
		"size":             {record("r", field("a", `"string"`, `"`+strings.Repeat("x", maxSize)+`"`)), "bytes, more than 524288"},
		"depth":            {record("r", field("a", array(254), "[]")), "nested deeper than 256 brackets"},
		"values":           {record("r", `{"name":"a","type":"int","x":[`+strings.Repeat("0,", maxWork)+`0]}`), "stands for more than"},
		"omitted":          {nested(40, "{}"), "stands for more than"},
		"escaped":          {strings.ReplaceAll(nested(40, "{}"), "default", `d\u0065fault`), "stands for more than"},
		"items":            {record("r", field("a", `{"type":"array","items":`+nested(12, "{}")+`}`, "["+strings.TrimSuffix(strings.Repeat("{},", 100), ",")+"]")), "stands for more than"},
		"values of a map":  {record("r", field("a", `{"type":"map","values":`+nested(16, "{}")+`}`, `{"a":{},"b":{}}`)), "stands for more than"},
		"branches":         {choices(30), "stands for more than"},
		"long text":        {record("r", field("a", `{"type":"array","items":`+record("q", field("b", `"string"`, `"`+strings.Repeat("x", 100_000)+`"`))+`}`, "["+strings.TrimSuffix(strings.Repeat("{},", 100), ",")+"]")), "stands for more than"},
		"symbols":          {record("r", field("a", `{"type":"array","items":{"type":"enum","name":"e","symbols":[`+many+`]}}`, "["+strings.TrimSuffix(strings.Repeat(`"s",`, 100), ",")+"]")), "stands for more than"},
		"itself":           {record("r", field("a", `"r"`, "{}")), "stands for more than"},
		"of a name":        {record("r", field("a", record("q", field("b", `"q"`, "{}")), "{}")), "stands for more than"},
		"deep inside":      {nested(12, "{}"), ""},
		"one of each name": {record("r", field("int", `"int"`, "1"), field("string", `["null","string"]`, "null"), field("r", `{"type":"array","items":"r"}`, "[]")), ""},
		"not JSON":         {`{`, "unexpected EOF"},
	} {
		_, err := Parse(tt.text)
		if (tt.reason == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.reason) {
			t.Errorf("%s: %.200v, want %q", name, err, tt.reason)
		}
	}
}

// Within the bounds, what the library accepts is accepted and nothing else, and no
// text takes it so long that the fuzzer gives up.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{nested(3, "{}"), choices(2), `["int"]`, record("r", field("a", `{"type":"map","values":["null",{"type":"enum","name":"e","symbols":["A"]}]}`, `{"k":"A"}`))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		root, err := Parse(text)
		if bounded(text) != nil {
			return
		}
		_, want := avro.Parse(text)
		if (err == nil) != (want == nil) || err == nil && root == nil {
			t.Fatalf("%v, the library says %v", err, want)
		}
	})
}
