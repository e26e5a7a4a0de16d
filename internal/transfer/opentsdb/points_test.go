package opentsdb

import (
	"strings"
	"testing"
	"time"

	"disd/internal/transfer/jsontext"
)

func TestPoints(t *testing.T) {
	t.Attr("rules", "CT-1 CT-5")
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	const text = "yyyy-MM-dd HH:mm:ss"
	number := timestamp{attribute: attribute{"Timestamp", "t"}}
	for _, tt := range []struct {
		name    string
		element element // what is not given is metric m, time t, value v as Bigint and tag k
		utf8    bool
		record  string
		want    string // of the point; or, beginning with !, the reason
	}{
		{name: "TSDB-7 constant and attribute", element: element{Metric: []attribute{{constant, "a"}, {"String", "m"}}}, record: `{"m":"b c","t":1,"v":1,"k":"x"}`,
			want: "!opentsdb_schema[0].timestamp: is not a time"},
		{name: "TSDB-7 joined", element: element{Metric: []attribute{{constant, "a"}, {"String", "m"}}}, record: `{"m":"b c","t":1500000000,"v":1,"k":"x"}`,
			want: `{"metric":"a.b_c","timestamp":1500000000000,"tags":{"k":"x"},"value":1}`},
		{name: "TSDB-7 empty", element: element{Metric: []attribute{{"String", "m"}}}, record: `{"m":"","t":1500000000,"v":1,"k":"x"}`, want: "!opentsdb_schema[0].metric: is missing"},
		{name: "TSDB-7 a number", element: element{Metric: []attribute{{"String", "m"}}}, record: `{"m":1,"t":1500000000,"v":1,"k":"x"}`, want: "!opentsdb_schema[0].metric: is of the wrong type"},
		{name: "TSDB-8 ms", record: `{"t":1500000000123,"v":1,"k":"x"}`, want: `{"metric":"m","timestamp":1500000000123,"tags":{"k":"x"},"value":1}`},
		{name: "TSDB-8 string", record: `{"t":"1500000000","v":1,"k":"x"}`, want: `{"metric":"m","timestamp":1500000000000,"tags":{"k":"x"},"value":1}`},
		{name: "TSDB-8 last", record: `{"t":4294967295999,"v":1,"k":"x"}`, want: `{"metric":"m","timestamp":4294967295999,"tags":{"k":"x"},"value":1}`},
		{name: "TSDB-8 too late", record: `{"t":4294967296000,"v":1,"k":"x"}`, want: "!opentsdb_schema[0].timestamp: is not a time"},
		{name: "TSDB-8 zero", record: `{"t":0,"v":1,"k":"x"}`, want: "!opentsdb_schema[0].timestamp: is not a time"},
		{name: "TSDB-8 negative", record: `{"t":-5000000000,"v":1,"k":"x"}`, want: "!opentsdb_schema[0].timestamp: is not a time"},
		{name: "TSDB-8 too early to be told from seconds", record: `{"t":4294967,"v":1,"k":"x"}`, want: "!opentsdb_schema[0].timestamp: is not a time"},
		{name: "TSDB-8 a fraction", record: `{"t":1500000000.5,"v":1,"k":"x"}`, want: "!opentsdb_schema[0].timestamp: is of the wrong type"},
		{name: "TSDB-9", element: element{Timestamp: timestamp{attribute{textTime, "t"}, text}}, record: `{"t":"2017-07-14 04:40:00","v":1,"k":"x"}`,
			want: `{"metric":"m","timestamp":1500000000000,"tags":{"k":"x"},"value":1}`},
		{name: "TSDB-9 skipped", element: element{Timestamp: timestamp{attribute{textTime, "t"}, text}}, record: `{"t":"2017-03-26 02:30:00","v":1,"k":"x"}`,
			want: `{"metric":"m","timestamp":1490491800000,"tags":{"k":"x"},"value":1}`},
		{name: "TSDB-9 a fraction", element: element{Timestamp: timestamp{attribute{textTime, "t"}, text}}, record: `{"t":"2017-07-14 04:40:00.5","v":1,"k":"x"}`, want: "!opentsdb_schema[0].timestamp: does not have the format"},
		{name: "TSDB-9 one digit", element: element{Timestamp: timestamp{attribute{textTime, "t"}, text}}, record: `{"t":"2017-07-14 4:40:00","v":1,"k":"x"}`, want: "!opentsdb_schema[0].timestamp: does not have the format"},
		{name: "TSDB-9 no such day", element: element{Timestamp: timestamp{attribute{textTime, "t"}, text}}, record: `{"t":"2017-02-29 04:40:00","v":1,"k":"x"}`, want: "!opentsdb_schema[0].timestamp: does not have the format"},
		{name: "TSDB-9 too early", element: element{Timestamp: timestamp{attribute{textTime, "t"}, text}}, record: `{"t":"1970-02-19 18:02:46","v":1,"k":"x"}`, want: "!opentsdb_schema[0].timestamp: is not a time"},
		{name: "TSDB-10 Bigint as a string", record: `{"t":1500000000,"v":"-7","k":"x"}`, want: `{"metric":"m","timestamp":1500000000000,"tags":{"k":"x"},"value":-7}`},
		{name: "TSDB-10 Bigint", record: `{"t":1500000000,"v":1.5,"k":"x"}`, want: "!opentsdb_schema[0].value: is of the wrong type"},
		{name: "TSDB-10 Double", element: element{Value: attribute{"Double", "v"}}, record: `{"t":1500000000,"v":1,"k":"x"}`, want: `{"metric":"m","timestamp":1500000000000,"tags":{"k":"x"},"value":1.0}`},
		{name: "TSDB-10 Decimal", element: element{Value: attribute{"Decimal", "v"}}, record: `{"t":1500000000,"v":"1e300","k":"x"}`, want: `{"metric":"m","timestamp":1500000000000,"tags":{"k":"x"},"value":1e+300}`},
		{name: "TSDB-10 not finite", element: element{Value: attribute{"Double", "v"}}, record: `{"t":1500000000,"v":1e999,"k":"x"}`, want: "!opentsdb_schema[0].value: is out of range"},
		{name: "TSDB-10 NaN", element: element{Value: attribute{"Double", "v"}}, record: `{"t":1500000000,"v":"NaN","k":"x"}`, want: "!opentsdb_schema[0].value: is of the wrong type"},
		{name: "TSDB-10 Boolean", element: element{Value: attribute{"Boolean", "v"}}, record: `{"t":1500000000,"v":"true","k":"x"}`, want: `{"metric":"m","timestamp":1500000000000,"tags":{"k":"x"},"value":1}`},
		{name: "TSDB-10 String, an integer", element: element{Value: attribute{"String", "v"}}, record: `{"t":1500000000,"v":"12","k":"x"}`, want: `{"metric":"m","timestamp":1500000000000,"tags":{"k":"x"},"value":12}`},
		{name: "TSDB-10 String, a float", element: element{Value: attribute{"String", "v"}}, record: `{"t":1500000000,"v":"12.0","k":"x"}`, want: `{"metric":"m","timestamp":1500000000000,"tags":{"k":"x"},"value":12.0}`},
		{name: "TSDB-10 String, a number", element: element{Value: attribute{"String", "v"}}, record: `{"t":1500000000,"v":12,"k":"x"}`, want: "!opentsdb_schema[0].value: is of the wrong type"},
		{name: "TSDB-10 missing", record: `{"t":1500000000,"v":null,"k":"x"}`, want: "!opentsdb_schema[0].value: is missing"},
		{name: "TSDB-11 replaced", record: `{"t":1500000000,"v":1,"k":"a b:é²½😀"}`, want: `{"metric":"m","timestamp":1500000000000,"tags":{"k":"a_b_é___"},"value":1}`},
		{name: "TSDB-11 damaged", record: `{"t":1500000000,"v":1,"k":"北京"}`, want: "!opentsdb_schema[0].tags.k: has a letter that OpenTSDB would store as ?"},
		{name: "TSDB-11 kept", utf8: true, record: `{"t":1500000000,"v":1,"k":"北京"}`, want: `{"metric":"m","timestamp":1500000000000,"tags":{"k":"北京"},"value":1}`},
		{name: "TSDB-11 left out", element: element{Tags: []tag{{"b", attribute{"String", "k"}}, {"a", attribute{"Double", "n"}}, {"c", attribute{"String", "none"}}}},
			record: `{"t":1500000000,"v":1,"k":"x","n":2.50}`, want: `{"metric":"m","timestamp":1500000000000,"tags":{"a":"2.5","b":"x"},"value":1}`},
		{name: "TSDB-11 none", record: `{"t":1500000000,"v":1,"k":7}`, want: "!opentsdb_schema[0].tags: has none of them"},
		{name: "no JSON", record: `1,2`, want: "!it is not a JSON object in UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := tt.element
			if e.Metric == nil {
				e.Metric = []attribute{{constant, "m"}}
			}
			if e.Timestamp.Value == "" {
				e.Timestamp = number
			}
			if e.Value.Value == "" {
				e.Value = attribute{jsontext.Bigint, "v"}
			}
			if e.Tags == nil {
				e.Tags = []tag{{"k", attribute{jsontext.String, "k"}}}
			}
			made, err := points([]element{e}, []byte(tt.record), rules{zone: zone, utf8: tt.utf8})
			got := ""
			if err != nil {
				got = "!" + err.Error()
			} else {
				got = made[0].json()
			}
			if got != tt.want && !(strings.HasPrefix(tt.want, "!") && strings.HasPrefix(got, tt.want)) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// All points of a record, or none (TSDB-6).
func TestAllOrNone(t *testing.T) {
	good := element{[]attribute{{constant, "m"}}, timestamp{attribute: attribute{"Timestamp", "t"}}, attribute{jsontext.Bigint, "v"}, []tag{{"k", attribute{jsontext.String, "k"}}}}
	bad := good
	bad.Value.Value = "w"
	made, err := points([]element{good, bad}, []byte(`{"t":1500000000,"v":1,"k":"x"}`), rules{zone: time.UTC})
	if err == nil || err.Error() != "opentsdb_schema[1].value: is missing" || made != nil {
		t.Errorf("got %v, %v", made, err)
	}
}
