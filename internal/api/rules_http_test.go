package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"disd/internal/api"
)

// raw sends text as it is over one connection and returns all that comes back.
func (w *world) raw(t *testing.T, text string) string {
	t.Helper()
	conn := w.dial(t)
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func (w *world) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// TestRulesPaths is about how a resource is addressed.
func TestRulesPaths(t *testing.T) {
	w := newWorld(t)
	const none, method = "404 APIGW.0101 " + api.NoAPI, "405 APIGW.0101 " + api.NoAPI
	w.converse(
		ask("C-1 C-3", "POST //v2/proj/streams/", create("s", 1), "201"),
		ask("C-3", "GET /v2//proj///streams//s///", "", `200 {"stream_name":"s"}`),
		ask("C-3", "PUT /v3/proj/streams/s/", `{"stream_name":"s","data_duration":30}`, "204"),
		ask("C-3", "PUT /p/streams/s/update/", `{"data_duration":30}`, `200 {"stream_name":"s"}`),
		ask("C-3", "POST /p/apps/", `{"app_name":"a"}`, "201"),
		ask("C-3", "GET /p/apps/a/", "", `200 {"app_name":"a"}`),
		ask("C-3", "GET /p/apps/?limit=1", "", `200 {"total_number":1}`),
		ask("C-3", "GET /p/apps/a/streams/s/", "", `200 {"app_name":"a"}`),
		ask("C-3", "POST /p/checkpoints/", `{"app_name":"a","stream_name":"s","partition_id":"0","sequence_number":"0"}`, "201"),
		ask("C-3", "GET /p/checkpoints/?app_name=a&stream_name=s&partition_id=0", "", `200 {"sequence_number":"0"}`),
		ask("C-3", "POST /p/records/", puts(`{"data":""}`), `200 {"failed_record_count":0}`),
		ask("C-3", "GET /p/cursors/?stream-name=s&partition-id=0", "", `200 {"partition_cursor":"@c"}`),
		ask("C-3", "GET /p/records/?partition-cursor=@c", "", `200 {"records":[{}]}`),
		ask("C-3", "DELETE /p/checkpoints/?app_name=a&stream_name=s", "", "204"),
		ask("C-3", "DELETE /p/apps/a/", "", "204"),
		ask("C-3 case", "GET /V2/proj/streams", "", none),
		ask("C-3 case", "GET /p/Streams", "", none),
		ask("C-2", "GET /v3/proj/streams", "", none),
		ask("C-2", "POST /v3/proj/records", puts(), none),
		ask("C-2", "GET /v1/data", "", none),
		ask("C-6", "GET /p/streams/s/more", "", none),
		ask("C-6", "GET /v2/proj", "", none),
		ask("C-6 unknown method", "BREW /p/nothing", "", none),
		ask("C-6", "PATCH /p/streams/s", "{}", method),
		ask("C-6 unknown method", "BREW /p/streams/s", "", method),
		ask("C-7", "GET /p/./streams", "", none),
		ask("C-7", "GET /p/x/../streams", "", none),

		ask("C-5 + in a path", "GET /p/streams/a+b", "", "400 DIS.4301 Stream does not exist. [a+b][proj]"),
		ask("C-5 path", "GET /p/streams/%E5%88%86%20x", "", "400 DIS.4301 Stream does not exist. [分 x][proj]"),
		ask("C-5 path", "GET /p/str%65ams/%73", "", `200 {"stream_name":"s"}`),
		ask("C-5 slash in a name", "GET /p/streams/a%2Fb", "", "400 DIS.4301 Stream does not exist. [a/b][proj]"),
		ask("C-60 no check on look-ups", "GET /p/streams/"+strings.Repeat("x", 300), "", "400 DIS.4301 Stream does not exist. ["+strings.Repeat("x", 300)+"][proj]"),
		ask("8-N3", "GET /p/streams/DIS.4303", "", "400 DIS.4301 Stream does not exist. [DIS 4303][proj]"),

		ask("C-9", "GET /v2/%7Bproject_id%7D/streams", "", "400 DIS.4117 Invalid Project Id. [{project_id}]"),
		ask("C-9", "POST /v2/%7bproject_id%7d/streams/", create("x", 1), "400 DIS.4117 Invalid Project Id. [{project_id}]"),
		ask("C-9", "PUT /v3/{project_id}/streams/s", `{}`, "400 DIS.4117 Invalid Project Id. [{project_id}]"),
		ask("C-9", "POST /v2/p%FF/streams", create("x", 1), "400 DIS.4117 Invalid Project Id. [p\ufffd]"),
		ask("C-9", "POST /v2/p%00/streams", create("x", 1), "400 DIS.4117 Invalid Project Id. [p\x00]"),
		ask("C-9", "POST /v2/"+strings.Repeat("p", 257)+"/apps", `{"app_name":"x"}`, "400 DIS.4117 Invalid Project Id. ["+strings.Repeat("p", 64)+"]"),
		ask("1.2 X-Project-Id", "GET /p/streams", "", "400 DIS.4117 Invalid Project Id. [other]").with("X-Project-Id", "other"),
		ask("1.2 X-Project-Id", "GET /p/streams", "", `200 {"total_number":1}`).with("X-Project-Id", "proj", "X-Domain-Id", "d", "X-SDK-Version", "1", "Region", "r", "X-Language", "zh"),
		ask("C-2", "GET /v2/users/streams", "", "400 DIS.4117 Invalid Project Id. [users]"),
	)
	for path, allow := range map[string]string{
		"/p/streams": "GET, POST", "/p/streams/s": "GET, PUT, DELETE", "/p/streams/s/update/": "PUT", "/v3/proj/streams/s": "PUT",
		"/p/apps": "GET, POST", "/p/apps/a": "GET, DELETE", "/p/apps/a/streams/s": "GET", "/p/checkpoints": "GET, POST, DELETE",
		"/p/records": "GET, POST", "/p/cursors/": "GET",
	} {
		for _, m := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
			if slices.Contains(strings.Split(allow, ", "), m) {
				continue
			}
			a := w.do(m, path, "")
			if a.status != 405 || a.code(t) != "APIGW.0101" || a.header.Get("Allow") != allow {
				t.Errorf("C-6: %s %s: %d, Allow %q, want %q", m, path, a.status, a.header.Get("Allow"), allow)
			}
		}
	}
}

// TestRulesQueries is about query strings in every state.
func TestRulesQueries(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c"} {
		w.want(201, "POST", "/p/streams", create(name, 2))
	}
	list := func(rule, query, first string, more bool) step {
		return ask(rule, "GET /p/streams?"+query, "", fmt.Sprintf(`200 {"stream_info_list":[{"stream_name":%q}],"has_more_streams":%v}`, first, more))
	}
	missing := func(rule, query, name string) step {
		return ask(rule, "GET /p/checkpoints?partition_id=0&app_name=x&"+query, "", "400 DIS.4301 Stream does not exist. ["+name+"][proj]")
	}
	w.converse(
		list("C-5 trailing &", "limit=1&", "a", true),
		list("C-5 empty pieces", "&&limit=1&&&", "a", true),
		list("C-5 first value", "limit=1&limit=100", "a", true),
		list("C-5 unknown", "limit=1&stream_name=b&app_name=&timestamp=x&x", "a", true),
		list("C-5 empty value", "limit=1&start_stream_name=", "a", true),
		list("C-5 bare name", "start_stream_name&limit=1", "a", true),
		list("C-5 the first is empty", "limit=1&start_stream_name=&start_stream_name=a", "a", true),
		list("C-5 decoded", "start_stream_name=%62&l%69mit=1", "c", false),
		list("C-5 ; is no separator", "limit=1&x=1;limit=5", "a", true),
		missing("C-5 plus", "stream_name=x+y%2B", "x y+"),
		missing("C-5 UTF-8", "stream_name=%E5%88%86", "分"),
		missing("C-5 not escaped", "stream_name=分", "分"),
		missing("C-5 not escaped", "stream_name=x%y", "x%y"),
		missing("C-5 not escaped", "stream_name=x%zz+y", "x%zz y"),
		missing("C-5 =", "stream_name=x=y==", "x=y=="),
		missing("C-5 slashes", "stream_name=x/y?z:@", "x/y?z:@"),
	)
}

// TestRulesRawAnswers looks at empty answers byte by byte (C-50).
func TestRulesRawAnswers(t *testing.T) {
	w := newWorld(t)
	request := func(line, body string) string {
		return fmt.Sprintf("%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", line, len(body), body)
	}
	for _, c := range []struct{ rule, text, status string }{
		{"C-50 E3", request("POST /v2/proj/streams", create("s", 1)), "201 Created"},
		{"C-50 E11-R4", request("POST /v2/proj/apps/", `{"app_name":"a"}`), "201 Created"},
		{"C-50 E16", request("POST /v2/proj/checkpoints", `{"app_name":"a","stream_name":"s","partition_id":0,"sequence_number":0}`), "201 Created"},
		{"C-50 E8", request("PUT /v3/proj/streams/s", `{"stream_name":"s","data_duration":30}`), "204 No Content"},
		{"C-50 E18", request("DELETE /v2/proj/checkpoints?app_name=a&stream_name=s", ""), "204 No Content"},
		{"C-50 E13", request("DELETE /v2/proj/apps/a", ""), "204 No Content"},
		{"C-50 E5", request("DELETE /v2/proj/streams/s", ""), "204 No Content"},
	} {
		t.Attr("rules", c.rule)
		answer := w.raw(t, c.text)
		head, body, _ := strings.Cut(answer, "\r\n\r\n")
		length := strings.Contains(head, "\r\nContent-Length: 0")
		if !strings.HasPrefix(head, "HTTP/1.1 "+c.status+"\r\n") || body != "" || length != strings.HasPrefix(c.status, "201") ||
			strings.Contains(head, "Transfer-Encoding") || !strings.Contains(head, "\r\nX-Request-Id: ") {
			t.Errorf("%s: %q", c.rule, answer)
		}
	}
	answer := w.raw(t, request("GET /v2/proj/streams", ""))
	if !strings.Contains(answer, "\r\nContent-Type: application/json;charset=utf-8\r\n") || strings.Contains(answer, "Transfer-Encoding") {
		t.Errorf("C-30 C-50: %q", answer)
	}
}

// TestRulesConnections is about HTTP itself.
func TestRulesConnections(t *testing.T) {
	w := newWorld(t, func(o *setup) { o.Limits.Body = 4096 })
	status := func(rule, answer, want string) {
		t.Helper()
		if !strings.HasPrefix(answer, want) {
			t.Errorf("%s: %q, want %s", rule, answer, want)
		}
	}
	body := create("old", 1)
	status("C-58 HTTP/1.0", w.raw(t, fmt.Sprintf("POST /v2/proj/streams HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s", len(body), body)), "HTTP/1.0 201 Created\r\n")
	answer := w.raw(t, "GET /v2/proj/streams/ HTTP/1.0\r\n\r\n")
	status("C-58 HTTP/1.0", answer, "HTTP/1.0 200 OK\r\n")
	if !strings.HasSuffix(answer, `"has_more_streams":false}`) {
		t.Errorf("C-58 HTTP/1.0: %q", answer)
	}
	status("1.2 chunked", w.raw(t, "POST /v2/proj/streams HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"5\r\n{\"str\r\n28;x=y\r\neam_name\":\"chunked\",\"partition_count\":1}\r\n0\r\n\r\n"), "HTTP/1.1 201 Created\r\n")
	status("1.2 chunked, empty", w.raw(t, "POST /v2/proj/streams HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "HTTP/1.1 400 ")
	w.converse(ask("1.2 chunked", "GET /p/streams/chunked", "", `200 {"stream_name":"chunked"}`))

	conn := w.dial(t)
	body = create("patient", 1)
	fmt.Fprintf(conn, "POST /v2/proj/streams HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(body))
	r := bufio.NewReader(conn)
	if line, _ := r.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Errorf("C-58 Expect: %q", line)
	}
	fmt.Fprint(conn, body)
	r.ReadString('\n')
	if line, _ := r.ReadString('\n'); line != "HTTP/1.1 201 Created\r\n" {
		t.Errorf("C-58 Expect: %q", line)
	}
	large := "POST /v2/proj/streams HTTP/1.1\r\nHost: x\r\nContent-Length: 4097\r\nConnection: close\r\n"
	answer = w.raw(t, large+"Expect: 100-continue\r\n\r\n")
	status("E19-R13 no body is asked for", answer, "HTTP/1.1 413 ")

	conn = w.dial(t) // a body that nobody wants must not be taken for the next request
	fmt.Fprint(conn, "GET /v2/proj/streams HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nContent-Type: application/json\r\n\r\nGET / ...")
	fmt.Fprint(conn, "DELETE /v2/proj/streams/old HTTP/1.1\r\nHost: x\r\nContent-Encoding: lz4\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}x\r\n0\r\n\r\n")
	fmt.Fprint(conn, "GET /v2/proj/streams/old HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	r = bufio.NewReader(conn)
	for _, want := range []int{200, 204, 400} {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != want {
			t.Errorf("C-8: status %d, want %d", resp.StatusCode, want)
		}
	}
}

// bodyCalls are the calls with a body, with one that is accepted.
var bodyCalls = []struct{ name, send, body, success string }{
	{"E3", "POST /p/streams", create("new", 1), "201"},
	{"E7", "PUT /p/streams/s", `{"stream_name":"s","target_partition_count":2}`, "200 {}"},
	{"E8", "PUT /v3/proj/streams/s", `{"stream_name":"s","data_duration":30}`, "204"},
	{"E41", "PUT /p/streams/s/update", `{"data_duration":31}`, "200 {}"},
	{"E11", "POST /p/apps", `{"app_name":"new"}`, "201"},
	{"E16", "POST /p/checkpoints", `{"app_name":"a","stream_name":"s","partition_id":"0","sequence_number":"0"}`, "201"},
	{"E19", "POST /p/records", `{"stream_name":"s","records":[{"data":""}]}`, `200 {}`},
}

// TestRulesBodies sends good and bad bodies to every call that has one.
func TestRulesBodies(t *testing.T) {
	t.Attr("rules", "C-33 C-30 C-54 PB-1 Z-1")
	const empty, malformed, large, kind = "400 DIS.4202 Empty request.", "400 DIS.4300 Request error.", "413 APIGW.0201 Request entity too large", "415 APIGW.0201 Unsupported media type"
	for _, c := range bodyCalls {
		w := newWorld(t, func(o *setup) { o.Limits.Body = 10000 })
		w.want(201, "POST", "/p/streams", create("s", 1))
		w.want(201, "POST", "/p/apps", `{"app_name":"a"}`)
		inner := c.body[1 : len(c.body)-1]
		bad := func(rule, body, want string, header ...string) {
			t.Helper()
			w.converse(ask(c.name+" "+rule, c.send, body, want).with(header...))
		}
		bad("C-34 absent", "", empty)
		bad("C-34 blank", " \r\n\t", malformed)
		bad("C-34 no members", "{}", empty)
		bad("C-34 no members", " { \n } ", empty)
		bad("C-31 null", "null", empty)
		bad("C-33 trailing comma", c.body[:len(c.body)-1]+",}", malformed)
		bad("C-33 missing comma", `{"x":1 `+inner+"}", malformed)
		bad("C-33 comment", c.body+"// done", malformed)
		bad("C-33 comment", "{/**/"+inner+"}", malformed)
		bad("C-33 two documents", c.body+c.body, malformed)
		bad("C-33 quotes", strings.ReplaceAll(c.body, `"`, `'`), malformed)
		bad("C-33 cut off", c.body[:len(c.body)-1], malformed)
		bad("C-33 no name", strings.Replace(c.body, `"`, "", 2), malformed)
		bad("C-30 not UTF-8", `{"x":"`+"\xff"+`",`+inner+"}", malformed)
		bad("C-33 control character", `{"x":"`+"\n"+`",`+inner+"}", malformed)
		bad("C-34 array", "["+c.body+"]", malformed)
		bad("C-34 text", `"x"`, malformed)
		bad("C-34 number", "1", malformed)
		bad("C-34 syntax before fields", `{"stream_name":"-/-","app_name":"-/-","update_type":"x","x":}`, malformed)

		padded := c.body[:len(c.body)-1] + strings.Repeat(" ", 10001-len(c.body)) + "}"
		bad("E19-R13 C-54", padded, large)
		chunked(t, w, c.name+" E19-R13 chunked", c.send, padded, 413)
		bad("C-35 size before syntax", strings.Repeat("x", 10001), large)
		bad("C-35 project before size", padded, "400 DIS.4117 Invalid Project Id. [other]", "X-Project-Id", "other")

		for _, header := range []string{"text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/json, text/plain", "*/*", "json", "multipart/form-data; boundary=x"} {
			bad("1.2 "+header, c.body, kind, "Content-Type", header)
		}
		if c.name != "E19" {
			bad("PB-1", c.body, kind, "Content-Type", "application/x-protobuf")
		}
		bad("Z-1", c.body, kind, "Content-Encoding", "br")
		bad("C-35 type before syntax", "x", kind, "Content-Type", "text/plain")
		unknown := `{"StreamName":"x","private":{"a":[1,null,{}]},"is_private":false,` + inner
		largest := unknown + strings.Repeat(" ", 9999-len(unknown)) + "}"
		w.converse(ask(c.name+" C-31 unknown members E19-R13 the largest body", c.send, largest, c.success))
	}
}

// chunked sends a body without its length.
func chunked(t *testing.T, w *world, rule, send, body string, status int) {
	t.Helper()
	method, path, _ := strings.Cut(send, " ")
	req, err := http.NewRequestWithContext(t.Context(), method, w.url+strings.Replace(path, "/p/", "/v2/proj/", 1), io.MultiReader(strings.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s: %v", rule, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		t.Errorf("%s: %d %s, %v", rule, resp.StatusCode, text, err)
	}
	checkAnswer(t, answerSeen{resp.StatusCode, resp.Header, string(text)})
}

// TestRulesMediaTypes tries what may be said of a body.
func TestRulesMediaTypes(t *testing.T) {
	for _, header := range [][]string{
		nil, {"Content-Type", ""}, {"Content-Type", "application/json"}, {"Content-Type", "Application/JSON"},
		{"Content-Type", "application/json;charset=utf-8"}, {"Content-Type", "application/json ;  charset = UTF8 ; x"},
		{"Content-Type", "application/json;"}, {"Content-Type", "APPLICATION/JSON; Charset=\"utf-8\""},
		{"Content-Encoding", "identity"}, {"Accept", "text/html"}, {"Accept-Encoding", "lz4"}, {"Accept-Encoding", "snappy, zstd"},
	} {
		w := newWorld(t)
		w.want(201, "POST", "/p/streams", create("s", 1))
		w.want(201, "POST", "/p/apps", `{"app_name":"a"}`)
		for _, c := range bodyCalls {
			w.converse(ask(fmt.Sprint(c.name, " 1.2 C-8 C-57 ", header), c.send, c.body, c.success).with(header...))
		}
	}
	w := newWorld(t)
	w.want(201, "POST", "/p/streams", create("s", 1))
	for _, header := range []string{"text/plain", "application/json", "application/x-protobuf", "x", ""} {
		for _, body := range []string{"", "{}", "nonsense"} {
			w.converse(
				ask("C-8 1.2 "+header, "GET /p/streams/s", body, `200 {"stream_name":"s"}`).with("Content-Type", header, "Content-Encoding", "br"),
				ask("C-8 1.2 "+header, "DELETE /p/streams/none", body, "400 DIS.4301 Stream does not exist. [none][proj]").with("Content-Type", header),
				ask("C-8 1.2 "+header, "GET /p/cursors?stream-name=s&partition-id=0", body, `200 {}`).with("Content-Type", header, "Accept", "image/png"),
			)
		}
	}
}
