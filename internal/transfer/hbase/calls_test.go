package hbase

import (
	"fmt"
	"strings"
	"testing"

	"disd/internal/storage"
)

var people = settings{
	Table: "t", Delimiter: "|", Schema: schema{
		RowKey:  []attribute{{"k", "String"}},
		Columns: []column{{"f", "a", attribute{"a", "String"}}, {"f", "b", attribute{"b", "Bigint"}}},
	},
}

var wide = limits{cell: 10 << 20}

// show writes the calls of a batch: rows in parentheses.
func show(t *testing.T, s settings, records []storage.Record, floor int64, l limits) string {
	t.Helper()
	s.limits = l
	var out []string
	for rows, err := range s.calls(records, floor) {
		if err != nil {
			t.Fatal(err)
		}
		var call []string
		for _, r := range rows {
			text := fmt.Sprintf("%s@%d", r.key, r.time)
			for _, c := range r.cells {
				text += fmt.Sprintf(" %s:%s=%.9s", c.family, c.name, c.value)
			}
			call = append(call, text)
		}
		out = append(out, "("+strings.Join(call, ", ")+")")
	}
	return strings.Join(out, " ")
}

func record(at int64, data string) storage.Record {
	return storage.Record{AppendTime: at, Data: []byte(data)}
}

func TestCalls(t *testing.T) {
	big := strings.Repeat("x", 700<<10)
	for _, tt := range []struct {
		name    string
		records []storage.Record
		floor   int64
		limits  limits
		want    string
	}{
		{name: "HBASE-12 the largest time so far", records: []storage.Record{record(5, `{"k":"1","b":1}`), record(9, `{"k":"2","b":2}`), record(7, `{"k":"3","b":3}`)},
			want: "(1@5 f:b=1, 2@9 f:b=2, 3@9 f:b=3)"},
		{name: "HBASE-12 the floor", records: []storage.Record{record(5, `{"k":"1","b":1}`), record(9, `{"k":"2","b":2}`)}, floor: 8,
			want: "(1@8 f:b=1, 2@9 f:b=2)"},
		{name: "HBASE-13 one put", records: []storage.Record{record(5, `{"k":"1","a":"x","b":1}`), record(5, `{"k":"2","b":2}`), record(5, `{"k":"1","b":3}`)},
			want: "(2@5 f:b=2, 1@5 f:a=x f:b=3)"},
		{name: "HBASE-13 other times are other puts", records: []storage.Record{record(5, `{"k":"1","b":1}`), record(6, `{"k":"1","b":2}`)},
			want: "(1@5 f:b=1, 1@6 f:b=2)"},
		{name: "HBASE-16 bytes of a call", records: []storage.Record{record(5, `{"k":"1","a":"`+big+`"}`), record(5, `{"k":"2","a":"`+big+`"}`), record(5, `{"k":"3","b":1}`)},
			want: "(1@5 f:a=xxxxxxxxx) (2@5 f:a=xxxxxxxxx, 3@5 f:b=1)"},
		{name: "HBASE-16 a larger row alone", records: []storage.Record{record(5, `{"k":"1","b":1}`), record(5, `{"k":"2","a":"`+big+big+`","b":2}`), record(5, `{"k":"3","b":1}`)},
			want: "(1@5 f:b=1) (2@5 f:a=xxxxxxxxx f:b=2) (3@5 f:b=1)"},
		{name: "HBASE-16 a frame", records: []storage.Record{record(5, `{"k":"1","a":"`+big[:60<<10]+`"}`), record(5, `{"k":"1","b":2}`)}, limits: limits{cell: 1 << 20, frame: 61*1024 - 1},
			want: "(1@5 f:a=xxxxxxxxx f:b=2)"},
		{name: "HBASE-16 a merged row larger than a frame", records: []storage.Record{record(5, `{"k":"1","a":"`+big[:60<<10]+`"}`), record(5, `{"k":"1","b":2}`)}, limits: limits{cell: 1 << 20, frame: 60<<10 + 100},
			want: "(1@5 f:a=xxxxxxxxx) (1@5 f:b=2)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.limits.cell == 0 {
				tt.limits = wide
			}
			if got := show(t, people, tt.records, tt.floor, tt.limits); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	var many []storage.Record
	for i := range 2500 {
		many = append(many, record(5, fmt.Sprintf(`{"k":"%d","b":1}`, i)))
	}
	calls := 0
	s := people
	s.limits = wide
	for rows := range s.calls(many, 0) {
		if calls++; len(rows) > maxCallRows {
			t.Errorf("HBASE-16: a call has %d rows", len(rows))
		}
	}
	if calls != 3 {
		t.Errorf("HBASE-16: %d calls, want 3", calls)
	}
}

func TestRows(t *testing.T) {
	t.Attr("rules", "CT-1 CT-2")
	s := &settings{Delimiter: "|", limits: limits{cell: 100}, Schema: schema{
		RowKey:  []attribute{{"city", "String"}, {"o.n", "Bigint"}},
		Columns: []column{{"f", "v", attribute{"v", "Double"}}, {"g", "o", attribute{"o", "String"}}, {"f", "d", attribute{"d", "Decimal"}}},
	}}
	for _, tt := range []struct{ name, data, want string }{
		{"HBASE-7", `{"city":"x","o":{"n":-0, "m":[1,"é"]},"v":2.50,"d":"1.50"}`, `x|0 f:v=2.5 g:o={"n":-0, "m":[1,"é"]} f:d=1.50`},
		{"HBASE-8 nothing is escaped", `{"city":"a|b","o":{"n":1}}`, `a|b|1 g:o={"n":1}`},
		{"HBASE-8 empty element", `{"city":"","o":{"n":1}}`, `|1 g:o={"n":1}`},
		{"HBASE-8 missing", `{"o":{"n":1}}`, "!row_key[0] city: is missing"},
		{"HBASE-8 null", `{"city":null,"o":{"n":1}}`, "!row_key[0] city: is missing"},
		{"HBASE-8 type", `{"city":"x","o":{"n":"1"}}`, "!row_key[1] o.n: is of the wrong type"},
		{"HBASE-8 long", `{"city":"` + strings.Repeat("x", 32766) + `","o":{"n":1}}`, "!its row key has 32768 bytes, must have 1 to 32767"},
		{"HBASE-9 null", `{"city":"x","o":{"n":1},"v":null}`, `x|1 g:o={"n":1}`},
		{"HBASE-9 wrong type", `{"city":"x","o":{"n":1},"v":"2"}`, "!columns[0] v: is of the wrong type"},
		{"HBASE-9 too large", `{"city":"x","o":{"n":1},"d":` + strings.Repeat("1", 100) + `}`, "!columns[2] d: makes a cell of 125 bytes, more than 100"},
		{"HBASE-10 half a pair", `{"city":"\ud800","o":{"n":1}}`, "!row_key[0] city: has half a surrogate pair"},
		{"HBASE-10 no UTF-8", "{\"city\":\"\xff\",\"o\":{\"n\":1}}", "!it is not a JSON object in UTF-8"},
		{"HBASE-6 twice", `{"city":"x","city":"y","o":{"n":1}}`, "!row_key[0] city: is there twice"},
		{"no object", `[1]`, "!it is not a JSON object in UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := s.row([]byte(tt.data))
			got := string(r.key)
			for _, c := range r.cells {
				got += fmt.Sprintf(" %s:%s=%s", c.family, c.name, c.value)
			}
			if err != nil {
				got = "!" + err.Error()
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	none := &settings{limits: wide, Schema: schema{s.Schema.RowKey[:1], s.Schema.Columns[:1]}}
	if _, err := none.row([]byte(`{"city":"x"}`)); err != errNoCell {
		t.Errorf("HBASE-9: %v, want errNoCell", err)
	}
}
