package jsontext_test

import (
	"errors"
	"testing"

	"disd/internal/transfer/jsontext"
)

func parse(t *testing.T, text string) jsontext.Value {
	t.Helper()
	v, err := jsontext.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestFind(t *testing.T) {
	t.Attr("rules", "CT-4 HBASE-6")
	for _, tt := range []struct{ record, name, want string }{
		{`{"a":1}`, "a", "1"},
		{`{"a":1}`, "b", ""},
		{`{"a.b":1,"a":{"b":2}}`, "a.b", "1"},
		{`{"a":{"b":2}}`, "a.b", "2"},
		{`{"a":{"b.c":2}}`, "a.b.c", "2"},
		{`{"a":{"x":1},"a.b":{"c":2}}`, "a.b.c", ""}, // the shortest part is taken, and there is no way back
		{`{"a":1,"a.b":{"c":2}}`, "a.b.c", ""},
		{"{ \"\\u0061\" : [1, 2] }", "a", "[1, 2]"},
		{`{"a":null}`, "a", "null"},
		{`{"a":1,"a":2}`, "a", "is there twice"},
		{`{"a":{"b":1},"a":2}`, "a.b", "is there twice"},
		{`{"a":1,"b":2,"b":3}`, "a", "1"},
		{`{"\ud800":1,"a":2}`, "a", "2"},
		{`{"":{"":7}}`, ".", "7"},
	} {
		v, err := parse(t, tt.record).Object().Find(tt.name)
		got := string(v)
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s of %s: %q, want %q", tt.name, tt.record, got, tt.want)
		}
	}
}

func TestAs(t *testing.T) {
	t.Attr("rules", "CT-3 HBASE-7")
	for _, tt := range []struct {
		kind  jsontext.Type
		value string
		want  string
		err   error
	}{
		{"Bigint", "9223372036854775807", "9223372036854775807", nil},
		{"Bigint", "-0", "0", nil},
		{"Bigint", "9223372036854775808", "", jsontext.ErrRange},
		{"Bigint", "1.0", "", jsontext.ErrType},
		{"Bigint", "1e3", "", jsontext.ErrType},
		{"Bigint", `"1"`, "", jsontext.ErrType},
		{"Timestamp", "1510325340000", "1510325340000", nil},
		{"Timestamp", "-1", "", jsontext.ErrRange},
		{"Double", "2.50", "2.5", nil},
		{"Double", "100", "100", nil},
		{"Double", "0.000001", "0.000001", nil},
		{"Double", "0.0000001", "1e-7", nil},
		{"Double", "1e21", "1e+21", nil},
		{"Double", "123456789012345678901", "123456789012345680000", nil},
		{"Double", "-0", "-0", nil},
		{"Double", "-0.0", "-0", nil},
		{"Double", "1e999", "", jsontext.ErrRange},
		{"Double", "true", "", jsontext.ErrType},
		{"Boolean", "true", "true", nil},
		{"Boolean", `"true"`, "", jsontext.ErrType},
		{"Boolean", "1", "", jsontext.ErrType},
		{"Decimal", "1.500", "1.500", nil},
		{"Decimal", `"-1.50e3"`, "-1.50e3", nil},
		{"Decimal", `" 1"`, "", jsontext.ErrType},
		{"Decimal", `"1x"`, "", jsontext.ErrType},
		{"Decimal", `""`, "", jsontext.ErrType},
		{"String", `"a\"\u00e9\ud83d\ude00\n"`, "a\"é😀\n", nil},
		{"String", `"\ud83d"`, "", jsontext.ErrSurrogate},
		{"String", "1", "", jsontext.ErrType},
		{"String", "{}", "", jsontext.ErrType},
		{"Other", "1", "", jsontext.ErrType},
	} {
		got, err := parse(t, tt.value).As(tt.kind)
		if !errors.Is(err, tt.err) || err == nil && string(got) != tt.want {
			t.Errorf("%s as %s: %q, %v, want %q, %v", tt.value, tt.kind, got, err, tt.want, tt.err)
		}
	}
}
