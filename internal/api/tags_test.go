package api_test

import (
	"fmt"
	"strings"
	"testing"
)

// tagBench has stream "s", whose id it returns.
func tagBench(t *testing.T) (*bench, string) {
	b := newBench(t)
	b.want(201, "POST", "/p/streams", `{"stream_name":"s","partition_count":1,"sys_tags":[{"key":"_sys_enterprise_project_id","value":"0"}]}`)
	return b, b.want(200, "GET", "/p/streams/s", "").member(t, "stream_id").(string)
}

// tagList is a JSON array of n tags k0 to kn-1.
func tagList(n int) string {
	var tags []string
	for i := range n {
		tags = append(tags, fmt.Sprintf(`{"key":"k%d","value":"v"}`, i))
	}
	return "[" + strings.Join(tags, ",") + "]"
}

// TestTags is a conversation about one stream; ID stands for its id.
func TestTags(t *testing.T) {
	b, id := tagBench(t)
	b.want(201, "POST", "/v2/foreign/streams", `{"stream_name":"f","partition_count":1}`)
	foreign := b.want(200, "GET", "/v2/foreign/streams/f", "").member(t, "stream_id").(string)
	for _, step := range []struct {
		rule, method, path, body string
		want                     string // the code, or the body of a success
	}{
		{"E35", "GET", "stream/ID/tags", "", `{"tags":[]}`},
		{"E34-R1", "POST", "stream/ID/tags", `{"tag":{"key":"b","value":"1"}}`, ""},
		{"E34", "POST", "stream/ID/tags/", `{"tag":{"key":"a"}}`, ""},
		{"E35", "GET", "stream/ID/tags", "", `{"tags":[{"key":"a","value":""},{"key":"b","value":"1"}]}`},
		{"E34-R1 again", "POST", "stream/ID/tags", `{"tag":{"key":"b","value":"2.0"}}`, ""},
		{"E38", "GET", "stream/tags", "", `{"tags":[{"key":"a","values":[""]},{"key":"b","values":["2.0"]}]}`},
		{"E36", "DELETE", "stream/ID/tags/a", "", ""},
		{"E36-R1", "DELETE", "stream/ID/tags/a", "", "DIS.4604"},
		{"E36-R2 two segments", "DELETE", "stream/ID/tags/a/b", "", "APIGW.0101"},
		{"E36-R2 encoded", "DELETE", "stream/ID/tags/a%2Fb", "", "DIS.4604"},
		{"E34 no tag", "POST", "stream/ID/tags", `{"x":1}`, "DIS.4200"},
		{"E34 empty", "POST", "stream/ID/tags", ``, "DIS.4202"},
		{"E34 malformed", "POST", "stream/ID/tags", `{"tag":3}`, "DIS.4300"},
		{"T-1 empty key", "POST", "stream/ID/tags", `{"tag":{"key":""}}`, "DIS.4200"},
		{"T-7 not the older ones", "GET", "stream/ID/tags", "", `{"tags":[{"key":"b","value":"2.0"}]}`},
		{"T-1 long key", "POST", "stream/ID/tags", `{"tag":{"key":"` + strings.Repeat("k", 37) + `"}}`, "DIS.4200"},
		{"T-1 characters", "POST", "stream/ID/tags", `{"tag":{"key":"a.b"}}`, "DIS.4200"},
		{"T-1 Chinese", "POST", "stream/ID/tags", `{"tag":{"key":"键","value":"值.1"}}`, ""},
		{"T-1 Chinese", "DELETE", "stream/ID/tags/%E9%94%AE", "", ""},
		{"T-2 long value", "POST", "stream/ID/tags", `{"tag":{"key":"k","value":"` + strings.Repeat("v", 44) + `"}}`, "DIS.4200"},
		{"T-2 characters", "POST", "stream/ID/tags", `{"tag":{"key":"k","value":"a b"}}`, "DIS.4200"},
		{"T-7", "POST", "stream/ID/tags", `{"tag":{"key":"_sys_x"}}`, "DIS.4200"},
		{"T-7", "POST", "stream/ID/tags/action", `{"action":"create","tags":[{"key":"_sys_x"}]}`, "DIS.4200"},
		{"T-4", "GET", "stream/0000000000000000000/tags", "", "DIS.4603"},
		{"T-4", "POST", "stream/0000000000000000000/tags", `{"tag":{"key":"k"}}`, "DIS.4603"},
		{"T-4", "DELETE", "stream/0000000000000000000/tags/k", "", "DIS.4603"},
		{"T-4", "POST", "stream/0000000000000000000/tags/action", `{"action":"delete","tags":[{"key":"k"}]}`, "DIS.4603"},
		{"T-4 foreign", "GET", "stream/" + foreign + "/tags", "", "DIS.4603"},
		{"T-5", "GET", "topic/ID/tags", "", "DIS.4602"},
		{"T-5", "POST", "topic/ID/tags", `{"tag":{"key":"k"}}`, "DIS.4602"},
		{"T-5", "DELETE", "topic/ID/tags/b", "", "DIS.4602"},
		{"T-5", "POST", "topic/ID/tags/action", `{"action":"create","tags":[{"key":"k"}]}`, "DIS.4602"},
		{"T-5", "GET", "topic/tags", "", "DIS.4602"},
		{"T-5", "POST", "topic/resource_instances/action", `{"action":"count"}`, "DIS.4602"},
		{"E37", "POST", "stream/ID/tags/action", `{"action":"create","tags":[{"key":"b","value":"3"},{"key":"c"}]}`, ""},
		{"E37-R1", "GET", "stream/ID/tags", "", `{"tags":[{"key":"b","value":"3"},{"key":"c","value":""}]}`},
		{"E37-R2", "POST", "stream/ID/tags/action", `{"action":"create","tags":[{"key":"d"},{"key":"d"}]}`, "DIS.4200"},
		{"E37-R3", "POST", "stream/ID/tags/action", `{"action":"create","tags":` + tagList(9) + `}`, "DIS.4601"},
		{"E37-R3 nothing", "GET", "stream/ID/tags", "", `{"tags":[{"key":"b","value":"3"},{"key":"c","value":""}]}`},
		{"E37-R4", "POST", "stream/ID/tags/action", `{"action":"update","tags":[{"key":"d"}]}`, "DIS.4605"},
		{"E37 no tags", "POST", "stream/ID/tags/action", `{"action":"create","tags":[]}`, "DIS.4200"},
		{"E40-R3 other value", "POST", "stream/ID/tags/action", `{"action":"delete","tags":[{"key":"b","value":"9"}]}`, ""},
		{"E40-R3", "GET", "stream/ID/tags", "", `{"tags":[{"key":"b","value":"3"},{"key":"c","value":""}]}`},
		{"E40-R1, E40-R4", "POST", "stream/ID/tags/action", `{"action":"delete","tags":[{"key":"b","value":"3"},{"key":"c"},{"key":"c"},{"key":"a b/?"}]}`, ""},
		{"E40", "GET", "stream/ID/tags", "", `{"tags":[]}`},
		{"E40-R2 no tags", "POST", "stream/ID/tags/action", `{"action":"delete"}`, "DIS.4200"},
		{"E40-R2 no key", "POST", "stream/ID/tags/action", `{"action":"delete","tags":[{"value":"x"}]}`, "DIS.4200"},
		{"T-3 ten", "POST", "stream/ID/tags/action", `{"action":"create","tags":` + tagList(10) + `}`, ""},
		{"T-3 replaced at ten", "POST", "stream/ID/tags", `{"tag":{"key":"k3","value":"w"}}`, ""},
		{"E34-R2", "POST", "stream/ID/tags", `{"tag":{"key":"k10"}}`, "DIS.4601"},
		{"E5-R1", "DELETE", "streams/s", "", ""},
		{"E5-R1", "GET", "stream/tags", "", `{"tags":[]}`},
		{"T-6", "GET", "stream/ID/tags", "", "DIS.4603"},
	} {
		t.Attr("rules", step.rule)
		a := b.do(step.method, "/p/"+strings.ReplaceAll(step.path, "ID", id), step.body)
		got := a.body
		if a.status >= 400 {
			got = a.code(t)
		} else if want := map[bool]int{true: 204, false: 200}[step.method != "GET"]; a.status != want {
			t.Errorf("%s: status %d, want %d", step.rule, a.status, want)
		}
		if got != step.want {
			t.Errorf("%s: %s %s %s\ngot  %s\nwant %s", step.rule, step.method, step.path, step.body, got, step.want)
		}
	}
}

// TestTagsChangeTheStream is E6-R7 and E6-R11.
func TestTagsChangeTheStream(t *testing.T) {
	b, id := tagBench(t)
	b.clock.advance(1e9)
	b.want(204, "POST", "/p/stream/"+id+"/tags", `{"tag":{"key":"k"}}`)
	show := b.want(200, "GET", "/p/streams/s", "")
	if show.member(t, "last_modified_time") == show.member(t, "create_time") || !strings.Contains(show.body, `"tags":[{"key":"k","value":""}]`) {
		t.Errorf("%s", show.body)
	}
}

// TestTagSearch is T-10 to T-19 and E39, over the streams of T-19 and one more.
func TestTagSearch(t *testing.T) {
	t.Attr("rules", "E39-R2 E38-R1 T-10")
	b := newBench(t)
	for name, tags := range map[string]string{
		"A": `[{"key":"k1","value":"v1"},{"key":"k2","value":"v2"}]`,
		"B": `[{"key":"k1","value":"v1"}]`,
		"C": `[]`,
	} {
		b.want(201, "POST", "/p/streams", `{"stream_name":"`+name+`","partition_count":1,"tags":`+tags+
			`,"sys_tags":[{"key":"_sys_enterprise_project_id","value":"0"}]}`)
	}
	b.want(201, "POST", "/v2/foreign/streams", `{"stream_name":"F","partition_count":1,"tags":[{"key":"k3"}]}`)
	const both = `[{"key":"k1","values":["v1"]},{"key":"k2","values":[]}]`
	for _, test := range []struct{ rule, body, want string }{
		{"T-19 tags", `"tags":` + both, "A 1"},
		{"T-19 tags_any", `"tags_any":` + both, "A B 2"},
		{"T-19 not_tags", `"not_tags":` + both, "B C 2"},
		{"T-19 not_tags_any", `"not_tags_any":` + both, "C 1"},
		{"E39-R4 no condition", `"tags":[]`, "A B C 3"},
		{"T-11 and-ed", `"tags":[{"key":"k1"}],"not_tags":[{"key":"k2"}]`, "B 1"},
		{"T-12 or-ed", `"tags":[{"key":"k2","values":["v1","v2"]}]`, "A 1"},
		{"T-14 contains", `"tags":[{"key":"k1","values":["*1"]}]`, "A B 2"},
		{"T-14 any", `"tags":[{"key":"k2","values":["*"]}]`, "A 1"},
		{"T-14 case", `"tags":[{"key":"k1","values":["V1"]}]`, " 0"},
		{"T-15 substring", `"matches":[{"key":"resource_name","value":"a"}]`, "A 1"},
		{"T-15 empty", `"matches":[{"key":"resource_name","value":""}]`, " 0"},
		{"T-15 and-ed", `"matches":[{"key":"resource_name","value":"a"},{"key":"resource_name","value":"b"}]`, " 0"},
		{"T-15 and-ed", `"matches":[{"key":"resource_name","value":"B"},{"key":"resource_name","value":"b"}]`, "B 1"},
		{"T-11 with matches", `"tags":[{"key":"k1"}],"matches":[{"key":"resource_name","value":"b"}]`, "B 1"},
		{"T-15 too many", `"matches":[` + strings.Repeat(`{"key":"resource_name","value":"a"},`, 10) + `{"key":"resource_name","value":"a"}]`, "DIS.4200"},
		{"T-15 other key", `"matches":[{"key":"id","value":"a"}]`, "DIS.4200"},
		{"E39-N2 string of JSON", `"matches":"[{\"key\":\"resource_name\",\"value\":\"B\"}]"`, "B 1"},
		{"E39-N2 bracket form", `"matches":"[{key=resource_name, value=c}]"`, "C 1"},
		{"E39-N2 other string", `"matches":"x"`, "DIS.4200"},
		{"E39-R1 page", `"limit":"1","offset":"1"`, "B 3"},
		{"E39-R1 numbers", `"limit":2,"offset":0`, "A B 3"},
		{"E39-R1 beyond", `"offset":"9"`, " 3"},
		{"E39-R3 limit 0", `"limit":"0"`, "DIS.4200"},
		{"E39-R3 limit 1001", `"limit":"1001"`, "DIS.4200"},
		{"E39-R3 offset -1", `"offset":"-1"`, "DIS.4200"},
		{"E39-R3 offset x", `"offset":"x"`, "DIS.4200"},
		{"E39-R5 no key", `"tags":[{"values":["x"]}]`, "DIS.4200"},
		{"T-13 repeated key", `"tags":[{"key":"a"},{"key":"a"}]`, "DIS.4200"},
		{"T-13 repeated value", `"not_tags":[{"key":"a","values":["x","x"]}]`, "DIS.4200"},
		{"T-13 no key", `"not_tags_any":[{"key":"","values":["x"]}]`, "DIS.4200"},
		{"T-13 repeated value in tags", `"tags":[{"key":"a","values":["x","x"]}]`, "DIS.4200"},
		{"T-13 eleven values", `"tags_any":[{"key":"a","values":["0","1","2","3","4","5","6","7","8","9","a"]}]`, "DIS.4200"},
		{"T-13 eleven keys", `"not_tags_any":` + tagList(11), "DIS.4200"},
		{"T-18, T-17", `"limit":1,"not_tags":[{"key":"foreign"}]`, "A 3"},
		{"T-7 system tags", `"tags":[{"key":"_sys_enterprise_project_id"}]`, " 0"},
		{"C-31", `"tags":null,"tags_any":null,"matches":"","limit":"","offset":null`, "A B C 3"},
		{"T-16 characters", `"tags":[{"key":"a b"}]`, " 0"},
		{"T-16 length", `"tags":[{"key":"` + strings.Repeat("k", 37) + `"}]`, "DIS.4200"},
	} {
		t.Attr("rules", test.rule)
		a := b.do("POST", "/p/stream/resource_instances/action", `{"action":"filter",`+test.body+`}`)
		got := ""
		if a.status >= 400 {
			got = a.code(t)
		} else {
			var names []string
			for _, r := range a.member(t, "resources").([]any) {
				names = append(names, r.(map[string]any)["resource_name"].(string))
			}
			got = strings.Join(names, " ") + " " + fmt.Sprint(a.member(t, "total_count"))
		}
		if got != test.want {
			t.Errorf("%s: %s\ngot  %s\nwant %s", test.rule, test.body, got, test.want)
		}
	}
	if a := b.want(200, "POST", "/p/stream/resource_instances/action", `{"action":"count","limit":"x","tags":[{"key":"k1"}]}`); a.body != `{"total_count":2}` {
		t.Errorf("E39-R2: %s", a.body)
	}
	if a := b.want(200, "GET", "/p/stream/tags", ""); a.body != `{"tags":[{"key":"k1","values":["v1"]},{"key":"k2","values":["v2"]}]}` {
		t.Errorf("E38-R1: %s", a.body)
	}
	if a := b.do("POST", "/p/stream/resource_instances/action", `{}`); a.code(t) != "DIS.4202" {
		t.Errorf("C-34: %s", a.body)
	}
	if a := b.do("POST", "/p/stream/resource_instances/action", `{"action":"list"}`); a.code(t) != "DIS.4605" {
		t.Errorf("E39-R4: %s", a.body)
	}
	if a := b.want(200, "POST", "/p/stream/resource_instances/action", `{"action":"filter","limit":"1"}`); !strings.Contains(a.body, `"resource_detail":null`) {
		t.Errorf("E39: %s", a.body)
	}
}

// TestTagsAtCreation is T-1, T-2, T-3 and T-7 in E3.
func TestTagsAtCreation(t *testing.T) {
	b := newBench(t)
	for _, test := range []struct{ rule, tags, want string }{
		{"T-1", `[{"key":"a.b"}]`, "DIS.4200"},
		{"T-1 twice", `[{"key":"a"},{"key":"a"}]`, "DIS.4200"},
		{"T-2", `[{"key":"a","value":"/"}]`, "DIS.4200"},
		{"T-3", tagList(11), "DIS.4601"},
		{"T-7", `[{"key":"_sys_a"}]`, "DIS.4200"},
	} {
		t.Attr("rules", test.rule)
		if got := b.want(400, "POST", "/p/streams", `{"stream_name":"s","partition_count":1,"tags":`+test.tags+`}`).code(t); got != test.want {
			t.Errorf("%s: %s: %s, want %s", test.rule, test.tags, got, test.want)
		}
	}
	b.want(201, "POST", "/p/streams", `{"stream_name":"s","partition_count":1,"tags":`+tagList(10)+`}`)
}

// TestTagStates is T-6 and T-8: tags of a stream that does not run, and what may
// be repeated.
func TestTagStates(t *testing.T) {
	t.Attr("rules", "T-8")
	b, id := tagBench(t)
	b.freeze("s", true)
	for range 2 {
		b.want(204, "POST", "/p/stream/"+id+"/tags", `{"tag":{"key":"k"}}`)
		b.want(204, "POST", "/p/stream/"+id+"/tags/action", `{"action":"create","tags":[{"key":"l"}]}`)
	}
	b.want(204, "DELETE", "/p/stream/"+id+"/tags/k", "")
	for range 2 {
		b.want(204, "POST", "/p/stream/"+id+"/tags/action", `{"action":"delete","tags":[{"key":"k"},{"key":"l"},{"key":"l"}]}`)
	}
}

// TestTagsOfSDKs sends what published SDKs send, to the byte (clients-v3.md).
func TestTagsOfSDKs(t *testing.T) {
	b, id := tagBench(t)
	for _, step := range []struct {
		status             int
		method, path, body string
	}{
		{204, "POST", "stream/" + id + "/tags", "{\"tag\":{\"key\":\"key\",\"value\":\"value\"}}\n"},
		{200, "GET", "stream/" + id + "/tags", ""},
		{400, "DELETE", "stream/" + id + "/tags/%E9%94%AE%20k%2F1%3F%25&+", ""},
		{404, "DELETE", "stream/" + id + "/tags/%E9%94%AE%20k/1%3F%25&+", ""},
		{204, "POST", "stream/" + id + "/tags/action", "{\"action\":\"create\",\"tags\":[{\"key\":\"k1\",\"value\":\"v1\"}]}\n"},
		{204, "POST", "stream/" + id + "/tags/action", "{\"action\":\"delete\",\"tags\":[{\"key\":\"k1\"}]}\n"},
		{200, "GET", "stream/tags", ""},
		{200, "POST", "stream/resource_instances/action", "{\"action\":\"filter\",\"limit\":\"100\",\"offset\":\"0\",\"tags\":[{\"key\":\"k1\",\"values\":[\"v1\",\"v2\"]}],\"matches\":\"\"}\n"},
	} {
		b.want(step.status, step.method, "/p/"+step.path, step.body)
	}
}

// TestReaderSearches is E39 for somebody who may only read: it is a POST that
// changes nothing.
func TestReaderSearches(t *testing.T) {
	t.Attr("rules", "A-11")
	b := newGuardedBench(t)
	const search = "/v2/p1/stream/resource_instances/action"
	if a := b.as("AK-RAY", "POST", search, `{"action":"count"}`); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := b.as("AK-RAY", "POST", "/v2/p1/stream/x/tags", `{"tag":{"key":"k"}}`); a.status != 403 {
		t.Errorf("A-11: %d %s", a.status, a.body)
	}
}
