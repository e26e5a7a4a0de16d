package parquet_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"disd/internal/transfer/format"
	disdparquet "disd/internal/transfer/format/parquet"
)

func of(t testing.TB, schema string) format.Form {
	t.Helper()
	s, err := format.Parse(schema)
	if err != nil {
		t.Fatalf("%s: %v", schema, err)
	}
	return disdparquet.New(s, disdparquet.Version)
}

// one returns the schema of a record with one field v of a type.
func one(typ string) string {
	return `{"type":"record","name":"r","fields":[{"name":"v","type":` + typ + `}]}`
}

// file makes the file of a table.
func file(t testing.TB, table format.Table) []byte {
	t.Helper()
	files, err := table.Files("name")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 || files[0].Ext != disdparquet.Ext {
		t.Fatalf("%d files", len(files))
	}
	return files[0].Content
}

// open makes the file of a table and opens it.
func open(t testing.TB, table format.Table) *parquet.File {
	t.Helper()
	content := file(t, table)
	f, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// rows returns the rows of a file, as the values of their columns.
func rows(t testing.TB, f *parquet.File) []string {
	t.Helper()
	all := make([]parquet.Row, f.NumRows())
	r := parquet.NewReader(f)
	defer r.Close()
	for n := 0; n < len(all); {
		i, err := r.ReadRows(all[n:])
		if i == 0 {
			t.Fatal(err)
		}
		n += i
	}
	lines := make([]string, len(all))
	for i, row := range all {
		for _, v := range row {
			lines[i] += fmt.Sprintf("%q@%d.%d.%d ", v.String(), v.Column(), v.RepetitionLevel(), v.DefinitionLevel())
		}
	}
	return lines
}

// Every type of Avro with values that fit it, at its edges, and values that do
// not. want is what a column holds, or the reason why the record is bad.
func TestValues(t *testing.T) {
	t.Attr("rules", "OBS-5")
	for _, tt := range []struct{ typ, value, want, reason string }{
		{`"boolean"`, `true`, "true", ""},
		{`"boolean"`, `false`, "false", ""},
		{`"boolean"`, `1`, "", "v: is not true or false"},
		{`"int"`, `-2147483648`, "-2147483648", ""},
		{`"int"`, `-0`, "0", ""},
		{`"int"`, `2147483648`, "", "v: is not an integer of 32 bits"},
		{`"int"`, `1.0`, "", "v: is not an integer of 32 bits"},
		{`"int"`, `"1"`, "", "v: is not an integer of 32 bits"},
		{`"int"`, `null`, "", "v: is null"},
		{`"long"`, `9223372036854775807`, "9223372036854775807", ""},
		{`"long"`, `9223372036854775808`, "", "v: is not an integer of 64 bits"},
		{`"float"`, `0.1`, "0.1", ""},
		{`"float"`, `1e39`, "", "v: is beyond a number of 32 bits"},
		{`"double"`, `-1.7976931348623157e308`, "-1.7976931348623157e+308", ""},
		{`"double"`, `1e309`, "", "v: is beyond a number of 64 bits"},
		{`"double"`, `"NaN"`, "", "v: is not a number"},
		{`"string"`, `""`, "", ""},
		{`"string"`, `"a\"\\\/\b\f\n\r\t\u0000\u00E9\ud83d\ude00é"`, "a\"\\/\b\f\n\r\t\x00é😀é", ""},
		{`"string"`, `"\ud83d"`, "", "v: has half a surrogate pair"},
		{`"string"`, `"\ud83d\u0041"`, "", "v: has half a surrogate pair"},
		{`"string"`, `"\ufffd"`, "\ufffd", ""},
		{`"string"`, `{}`, "", "v: is not a string"},
		{`"bytes"`, `"\u0000Aÿ\u00ff"`, "\x00A\xff\xff", ""},
		{`"bytes"`, `"Ā"`, "", "v: has characters beyond U+00FF, which stand for no byte"},
		{`{"type":"fixed","name":"f","size":2}`, `"\u0000ÿ"`, "\x00\xff", ""},
		{`{"type":"fixed","name":"f","size":2}`, `"abc"`, "", "v: is not 2 bytes long"},
		{`{"type":"enum","name":"e","symbols":["A","B"],"default":"A"}`, `"B"`, "B", ""},
		{`{"type":"enum","name":"e","symbols":["A","B"],"default":"A"}`, `"C"`, "", "v: is not a symbol of the enumeration"},

		{`{"type":"int","logicalType":"date"}`, `"1969-12-31"`, "-1", ""},
		{`{"type":"int","logicalType":"date"}`, `19000`, "19000", ""},
		{`{"type":"int","logicalType":"date"}`, `"2023-02-29"`, "", "v: is not a date as 2006-01-02"},
		{`{"type":"int","logicalType":"time-millis"}`, `"23:59:59.999"`, "86399999", ""},
		{`{"type":"int","logicalType":"time-millis"}`, `86400000`, "", "v: is not within a day"},
		{`{"type":"int","logicalType":"time-millis"}`, `"00:00:00.0001"`, "", "v: is finer than 1ms"},
		{`{"type":"long","logicalType":"time-micros"}`, `"00:00:00.000001"`, "1", ""},
		{`{"type":"long","logicalType":"time-micros"}`, `-1`, "", "v: is not within a day"},
		{`{"type":"long","logicalType":"timestamp-millis"}`, `"2020-01-02T03:04:05.678+01:00"`, "1577930645678", ""},
		{`{"type":"long","logicalType":"timestamp-millis"}`, `"1969-12-31T23:59:59.999Z"`, "-1", ""},
		{`{"type":"long","logicalType":"timestamp-millis"}`, `1577930645678`, "1577930645678", ""},
		{`{"type":"long","logicalType":"timestamp-millis"}`, `"2020-01-02 03:04:05"`, "", "v: is not a time as 2006-01-02T15:04:05.999Z"},
		{`{"type":"long","logicalType":"timestamp-micros"}`, `"9999-12-31T23:59:59.999999Z"`, "253402300799999999", ""},
		{`{"type":"long","logicalType":"timestamp-nanos"}`, `"2020-01-02T03:04:05.000000001Z"`, "1577934245000000001", ""},
		{`{"type":"long","logicalType":"timestamp-nanos"}`, `"2020-01-02T03:04:05.0000000011Z"`, "", "v: is not a time as 2006-01-02T15:04:05.999Z"},
		{`{"type":"long","logicalType":"timestamp-nanos"}`, `"2263-01-01T00:00:00Z"`, "", "v: is too far away to be counted in 1ns"},
		{`{"type":"long","logicalType":"local-timestamp-millis"}`, `"2020-01-02T03:04:05"`, "1577934245000", ""},
		{`{"type":"long","logicalType":"local-timestamp-micros"}`, `"2020-01-02 03:04:05.000001"`, "1577934245000001", ""},
		{`{"type":"long","logicalType":"local-timestamp-nanos"}`, `"2020-01-02T03:04:05Z"`, "", "v: is not a time as 2006-01-02T15:04:05.999"},

		{`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, `-1234567.89`, "-123456789", ""},
		{`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, `"1.5"`, "150", ""},
		{`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, `1.2345e2`, "12345", ""},
		{`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, `0.00001e3`, "1", ""},
		{`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, `-0.000`, "0", ""},
		{`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, `0e999`, "0", ""},
		{`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, `1.001`, "", "v: has more than 2 digits behind the point"},
		{`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, `1e-5`, "", "v: has more than 2 digits behind the point"},
		{`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, `10000000`, "", "v: has more than 9 digits"},
		{`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, `1e999999999`, "", "v: is not a decimal number"},
		{`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, `"\u0001"`, "", "v: is not a decimal number"},
		{`{"type":"bytes","logicalType":"decimal","precision":18}`, `999999999999999999`, "999999999999999999", ""},
		{`{"type":"fixed","name":"d","size":16,"logicalType":"decimal","precision":38,"scale":1}`, `-0.1`, strings.Repeat("\xff", 16), ""},
		{`{"type":"fixed","name":"d","size":16,"logicalType":"decimal","precision":19}`, `256`, "\x00\x00\x00\x00\x00\x00\x00\x01\x00", ""},

		{`{"type":"string","logicalType":"uuid"}`, `"UUID"`, "UUID", ""},
		{`{"type":"string","logicalType":"date"}`, `"any"`, "any", ""}, // no such logical type of strings
		{`["int","null"]`, `7`, "7", ""},
		{`["null","int"]`, `null`, "<null>", ""},
		{`["null","int"]`, `"7"`, "", "v: is not an integer of 32 bits"},
		{`["int"]`, `7`, "7", ""},
	} {
		table := of(t, one(tt.typ)).Table()
		err := table.Append([]byte(`{"v":` + tt.value + `}`))
		if tt.reason != "" {
			if err == nil || err.Error() != tt.reason {
				t.Errorf("%s of %s: %v, want %s", tt.value, tt.typ, err, tt.reason)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s of %s: %v", tt.value, tt.typ, err)
			continue
		}
		level := 0
		if strings.Contains(tt.typ, "null") && tt.want != "<null>" {
			level = 1
		}
		if got, want := rows(t, open(t, table)), fmt.Sprintf("%q@0.0.%d ", tt.want, level); len(got) != 1 || got[0] != want {
			t.Errorf("%s of %s: %s, want %s", tt.value, tt.typ, got, want)
		}
	}
}

const nested = `{"type":"record","name":"r","namespace":"x.y","fields":[
	{"name":"z","type":"string"},
	{"name":"l","type":{"type":"array","items":{"type":"record","name":"in","fields":[
		{"name":"q","type":["null","long"]},
		{"name":"p","type":{"type":"map","values":["null","double"]}}]}}},
	{"name":"again","type":["null",{"type":"array","items":"x.y.in"}]},
	{"name":"a","type":["null","in"]}]}`

// A form of what the nested schema describes, as the library reads it.
type (
	outer struct {
		Z     string  `parquet:"z"`
		L     []inner `parquet:"l,list"`
		Again []inner `parquet:"again,optional,list"`
		A     *inner  `parquet:"a,optional"`
	}
	inner struct {
		Q *int64              `parquet:"q,optional"`
		P map[string]*float64 `parquet:"p"`
	}
)

func TestNesting(t *testing.T) {
	t.Attr("rules", "OBS-5")
	one, half := int64(1), 0.5
	data := []string{
		`{"l":[{"q":1,"p":{"a":0.5,"b":null}},{"p":{}}],"z":"first","more":[{"}":"\"]"}]}`,
		` { "z" : "2" , "l" : [ ] , "again" : [ { "p" : { } , "q" : null } ] , "a" : null } `,
		`{"z":"","l":[{"p":{"\u0061":0.5}}],"again":[],"a":{"q":1,"p":{}}}`,
	}
	want := []outer{
		{Z: "first", L: []inner{{Q: &one, P: map[string]*float64{"a": &half, "b": nil}}, {P: map[string]*float64{}}}},
		{Z: "2", L: []inner{}, Again: []inner{{P: map[string]*float64{}}}},
		{Z: "", L: []inner{{P: map[string]*float64{"a": &half}}}, Again: []inner{}, A: &inner{Q: &one, P: map[string]*float64{}}},
	}
	const many = 1000 // several calls of the writer
	table := of(t, nested).Table()
	for range many {
		for _, d := range data {
			if err := table.Append([]byte(d)); err != nil {
				t.Fatal(err)
			}
		}
	}
	f := open(t, table)
	var names []string
	for _, c := range f.Schema().Fields() {
		names = append(names, c.Name())
	}
	if fmt.Sprint(names) != "[z l again a]" {
		t.Errorf("columns %v are not in the order of the schema", names)
	}
	r := parquet.NewGenericReader[outer](f)
	got := make([]outer, many*len(want))
	if n, _ := r.Read(got); n != len(got) {
		t.Fatalf("read %d rows", n)
	}
	for i := range got {
		if g, w := text(got[i]), text(want[i%len(want)]); g != w {
			t.Fatalf("row %d is %s, want %s", i, g, w)
		}
	}
}

// text tells an empty list from none only where the reader does.
func text(v any) string {
	b, _ := json.Marshal(v)
	return strings.NewReplacer("[]", "null", "{}", "null").Replace(string(b))
}

// What a bad record put into columns before it was found to be bad is gone.
func TestBadRecords(t *testing.T) {
	t.Attr("rules", "D-9 OBS-5")
	table := of(t, nested).Table()
	for data, reason := range map[string]string{
		``:                              "is not JSON in UTF-8",
		`{"z":"a"`:                      "is not JSON in UTF-8",
		`{"z":"` + "\xff" + `","l":[]}`: "is not JSON in UTF-8",
		`[]`:                            "is not an object",
		`{"z":"a"}`:                     "l: is missing",
		`{"z":"a","l":null}`:            "l: is not an array",
		`{"z":"a","l":[],"z":"b"}`:      "has z twice",
		`{"z":"a","l":[],"\u007a":"b"}`: "has z twice",
		`{"z":"a","l":[],"\ud800":"b"}`: "a name has half a surrogate pair",
		`{"z":"a","l":[{"q":1,"p":{"k":1}},{"q":2,"p":[]}]}`: "l: [1]: p: is not an object",
		`{"z":"a","l":[{"p":{"k":1,"k":2}}]}`:                "l: [0]: p: has k twice",
		`{"z":"a","l":[{"p":{"k":true}}]}`:                   "l: [0]: p: k: is not a number",
		`{"z":"a","l":[],"a":{}}`:                            "a: p: is missing",
	} {
		if err := table.Append([]byte(data)); err == nil || err.Error() != reason {
			t.Errorf("%s: %v, want %s", data, err, reason)
		}
	}
	if err := table.Append([]byte(`{"z":"good","l":[]}`)); err != nil {
		t.Fatal(err)
	}
	want := `"good"@0.0.0 "<null>"@1.0.0 "<null>"@2.0.0 "<null>"@3.0.0 "<null>"@4.0.0 "<null>"@5.0.0 "<null>"@6.0.0 "<null>"@7.0.0 "<null>"@8.0.0 "<null>"@9.0.0 `
	if got := rows(t, open(t, table)); len(got) != 1 || got[0] != want {
		t.Errorf("%v", got)
	}
}

func TestSchemas(t *testing.T) {
	t.Attr("rules", "D-2")
	wide := make([]string, 65)
	for i := range wide {
		wide[i] = fmt.Sprintf(`{"name":"f%d","type":%s}`, i, map[bool]string{true: `"w0"`, false: wideRecord}[i > 0])
	}
	for _, tt := range []struct{ schema, reason string }{
		{`{`, "invalid schema"},
		{`"int"`, "the schema is not a record"},
		{one(`"null"`), "v: is always null"},
		{one(`["null"]`), "v: is always null"},
		{one(`["int","string"]`), "v: is a union of several types besides null"},
		{one(`["null","int","long"]`), "v: is a union of several types besides null"},
		{one(`{"type":"array","items":["int","long"]}`), "v: items: is a union of several types besides null"},
		{one(`{"type":"map","values":"null"}`), "v: values: is always null"},
		{one(`{"type":"record","name":"e","fields":[]}`), "v: record e has no fields"},
		{one(`["null","r"]`), "v: record r contains itself"},
		{one(`{"type":"array","items":{"type":"record","name":"n.s","fields":[{"name":"w","type":{"type":"map","values":"s"}}]}}`), "v: items: w: values: record n.s contains itself"},
		{one(strings.Repeat(`{"type":"array","items":`, 65) + `"int"` + strings.Repeat("}", 65)), "is nested deeper than 64"},
		{`{"type":"record","name":"r","fields":[` + strings.Join(wide, ",") + `]}`, "the schema has more than 4096 columns"},
		{one(`{"type":"fixed","name":"f","size":1048577}`), "v: is fixed with a size other than 1 to 1048576"},
		{one(`{"type":"bytes","logicalType":"decimal","precision":77}`), "v: is decimal with a precision other than 1 to 76 or a scale beyond it"},
	} {
		_, err := format.Parse(tt.schema)
		if err == nil || !strings.Contains(err.Error(), tt.reason) {
			t.Errorf("%.200s: %v, want %s", tt.schema, err, tt.reason)
		}
	}
}

var wideRecord = func() string {
	fields := make([]string, 64)
	for i := range fields {
		fields[i] = fmt.Sprintf(`{"name":"g%d","type":"int"}`, i)
	}
	return `{"type":"record","name":"w0","fields":[` + strings.Join(fields, ",") + `]}`
}()

// The bytes of a file are fixed, so that a batch that is delivered again after a
// crash, by this server or a later one, is the same. If a new version of the
// library writes other bytes, transfer.intentVersion has to change with it.
func TestSameBytes(t *testing.T) {
	t.Attr("rules", "D-7 D-12")
	content := func(version int) []byte {
		schema, err := format.Parse(nested)
		if err != nil {
			t.Fatal(err)
		}
		table := disdparquet.New(schema, version).Table()
		for i := range 5000 {
			data := fmt.Sprintf(`{"z":"%d","l":[{"q":%d,"p":{"k%d":%d.5}}],"a":{"p":{}}}`, i%7, i, i%3, i)
			if err := table.Append([]byte(data)); err != nil {
				t.Fatal(err)
			}
		}
		return file(t, table)
	}
	for version, golden := range []string{
		1: "30d3d07036be673fe15293dc9ef02b4d67581a3b0c17cd7a7bf91f8972e2af49",
		2: "ea37f12974073ad2b0ff85543747768f57dbeda1eff6b8beda44883310c3dced",
	} {
		if version == 0 {
			continue
		}
		b := content(version)
		if !bytes.Equal(b, content(version)) {
			t.Error("the same records become other bytes")
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(b)); got != golden {
			t.Errorf("version %d: %d bytes with hash %s", version, len(b), got)
		}
	}
}

// Whatever a record holds: it is refused exactly when the standard decoder
// refuses it or it does not fit, and what is kept is what the decoder reads.
func FuzzRecord(f *testing.F) {
	p := of(f, `{"type":"record","name":"r","fields":[
		{"name":"s","type":["null","string"]},
		{"name":"m","type":["null",{"type":"map","values":["null","double"]}]},
		{"name":"l","type":["null",{"type":"array","items":["null","double"]}]}]}`)
	for _, seed := range []string{
		`{}`, `{"s":"\ud83d\ude00\n","l":[1,null,-2e5],"m":{"a":1,"":null}}`, `{"x":[{"y":"}"},"]"],"s":null}`, "{\t\"s\" : \"\\\\\" }", `{"m":{"\"":0.0},"l":[]}`, `{"s":1`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		table := p.Table()
		err := table.Append(data)
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		var v any
		want, fits := "", json.Valid(data) && utf8.Valid(data) && decoder.Decode(&v) == nil
		if fits {
			want, fits = fuzzed(v)
		}
		switch {
		case err == nil && !fits:
			t.Fatal("accepted what does not fit")
		case err != nil && fits && !strings.HasSuffix(err.Error(), "twice") && !strings.HasSuffix(err.Error(), "surrogate pair"):
			t.Fatalf("refused: %v", err)
		case err != nil:
			return
		}
		got := make([]fuzzRow, 1)
		if n, err := parquet.NewGenericReader[fuzzRow](open(t, table)).Read(got); n != 1 {
			t.Fatal(err)
		}
		if g := text(got[0]); g != want {
			t.Fatalf("%s, want %s", g, want)
		}
	})
}

type fuzzRow struct {
	S *string             `parquet:"s,optional"`
	M map[string]*float64 `parquet:"m,optional"`
	L []*float64          `parquet:"l,optional,list"`
}

// fuzzed returns what the standard decoder read as the row it should become.
func fuzzed(v any) (row string, fits bool) {
	members, fits := v.(map[string]any)
	var want fuzzRow
	if v := members["s"]; v != nil {
		s, isString := v.(string)
		want.S, fits = &s, fits && isString
	}
	double := func(v any) *float64 {
		if v == nil {
			return nil
		}
		n, _ := v.(json.Number)
		f, err := n.Float64()
		fits = fits && err == nil
		return &f
	}
	if v := members["m"]; v != nil {
		m, isObject := v.(map[string]any)
		want.M, fits = make(map[string]*float64), fits && isObject
		for k, v := range m {
			want.M[k] = double(v)
		}
	}
	if v := members["l"]; v != nil {
		l, isArray := v.([]any)
		fits = fits && isArray
		for _, v := range l {
			want.L = append(want.L, double(v))
		}
	}
	if !fits {
		return "", false
	}
	return text(want), true
}
