package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"disd/internal/storage"
	"disd/internal/storage/catalog"
	"disd/internal/storage/memory"
)

// The tests in files rules_*_test.go hold the server against api.md, rule by rule.
// Each step of a conversation is named after the rules it proves.

// A world is a bench that can be restarted, whose engine can be made to fail, and
// that remembers what answers said.
type world struct {
	*bench
	engine  *moody
	db      catalog.Store
	edit    []func(*setup)
	said    map[string]string // by @name
	used    map[string]bool   // the names that something was done with
	watched bool              // that each name is used
}

func newWorld(t *testing.T, edit ...func(*setup)) *world {
	t.Helper()
	w := &world{db: memoryCatalog(t), edit: edit, said: make(map[string]string), used: make(map[string]bool)}
	w.start(t)
	return w
}

// start starts a server, the first time with new engines, then over those of
// the one before.
func (w *world) start(t *testing.T) {
	t.Helper()
	before := w.bench
	w.bench = newBench(t, append(slices.Clone(w.edit), func(s *setup) {
		if before != nil {
			before.stop()
			s.Now = before.clock.now
		} else {
			engine := storage.Engine(memory.Open(memory.Options{Now: s.Now}))
			if s.wrap != nil {
				engine = s.wrap(engine)
			}
			w.engine = &moody{Engine: engine}
		}
		s.Options.Engine, s.Catalog = w.engine, w.db
	})...)
	if before != nil {
		w.clock = before.clock
	}
}

// A moody engine fails the batches that its mood says.
type moody struct {
	storage.Engine
	mu   sync.Mutex
	mood func(*storage.Batch) error
}

func (m *moody) set(mood func(*storage.Batch) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mood = mood
}

// Append implements storage.Engine.
func (m *moody) Append(ctx context.Context, batches []*storage.Batch) {
	m.mu.Lock()
	mood := m.mood
	m.mu.Unlock()
	if mood == nil {
		m.Engine.Append(ctx, batches)
		return
	}
	for _, b := range batches {
		if b.Err = mood(b); b.Err == nil {
			m.Engine.Append(ctx, []*storage.Batch{b})
		}
	}
}

// A step is one request and what its answer must be, or something that happens
// in between.
type step struct {
	rule   string
	send   string // "GET /p/streams"
	body   string
	header []string
	want   string
	happen func(*world)
}

// ask is a request. What is wanted is a status and
//
//	nothing              the body is empty
//	{"a":1}              the body has these members, among others; an array has
//	                     exactly these elements
//	DIS.4301 Stream …    the error has this code and this message; after "…" at
//	                     the end, the rest of a bracketed detail
//
// "@name" as a value stands for any text the first time it is seen, and for that
// text from then on, also in requests, of which there must be some; "@any"
// stands for any text and "@absent" for no such member.
func ask(rule, send, body, want string) step {
	return step{rule: rule, send: send, body: body, want: want}
}

// with adds headers to a request.
func (s step) with(header ...string) step {
	s.header = header
	return s
}

func happen(f func(*world)) step { return step{happen: f} }

// pass lets time pass, and retention be applied.
func pass(d time.Duration) step {
	return happen(func(w *world) {
		w.clock.advance(d)
		w.step()
	})
}

func freeze(stream string, frozen bool) step {
	return happen(func(w *world) { w.bench.freeze(stream, frozen) })
}

func restart() step { return happen(func(w *world) { w.start(w.T) }) }

// converse plays a conversation.
func (w *world) converse(steps ...step) {
	w.Helper()
	if !w.watched {
		w.watched = true
		w.Cleanup(func() {
			for name := range w.said {
				if !w.used[name] {
					w.Errorf("%s is never used, so that it matches anything: misspelt?", name)
				}
			}
		})
	}
	for _, s := range steps {
		if s.happen != nil {
			s.happen(w)
			continue
		}
		w.Run(s.rule, func(t *testing.T) { w.take(t, s) })
	}
}

func (w *world) take(t *testing.T, s step) answerSeen {
	t.Helper()
	method, path, _ := strings.Cut(s.send, " ")
	a := w.do(method, w.fill(path), w.fill(s.body), s.header...)
	defer func() {
		if t.Failed() {
			t.Logf("%s %s: %d %s, want %s", s.send, abbreviated(s.body), a.status, abbreviated(a.body), s.want)
		}
	}()
	checkAnswer(t, a)
	status, want, _ := strings.Cut(w.fill(s.want), " ")
	if strconv.Itoa(a.status) != status {
		t.Errorf("status %d", a.status)
		return a
	}
	switch {
	case want == "":
		if a.body != "" {
			t.Error("the body is not empty")
		}
	case want[0] == '{':
		w.match(t, "", decoded(t, want), decoded(t, a.body))
	default:
		checkError(t, a, want)
	}
	return a
}

// value returns what an answer said for a name.
func (w *world) value(name string) string {
	w.used[name] = true
	return w.said[name]
}

func abbreviated(s string) string {
	if len(s) > 1000 {
		return fmt.Sprintf("%s … (%d bytes)", s[:1000], len(s))
	}
	return s
}

var names = regexp.MustCompile(`@[a-z0-9]+`)

// fill puts in what earlier answers said.
func (w *world) fill(s string) string {
	return names.ReplaceAllStringFunc(s, func(name string) string {
		if v, ok := w.said[name]; ok {
			w.used[name] = true
			return v
		}
		return name
	})
}

func decoded(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// match holds a value against the wanted one.
func (w *world) match(t *testing.T, at string, want, got any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s is %v, want an object", at, got)
		}
		for name, v := range want {
			member, ok := object[name]
			if v == "@absent" == ok {
				t.Errorf("%s.%s is %v, want %v", at, name, member, v)
			} else if ok {
				w.match(t, at+"."+name, v, member)
			}
		}
	case []any:
		array, ok := got.([]any)
		if !ok || len(array) != len(want) {
			t.Errorf("%s is %v, want %v", at, got, want)
			return
		}
		for i := range want {
			w.match(t, fmt.Sprintf("%s[%d]", at, i), want[i], array[i])
		}
	default:
		if name, ok := want.(string); ok && len(name) > 1 && name[0] == '@' {
			if text, ok := got.(string); ok && text != "" {
				if name != "@any" {
					w.said[name] = text
				}
				return
			}
		}
		if want != got {
			t.Errorf("%s is %#v, want %#v", at, got, want)
		}
	}
}

// checkError holds an error against its code and message.
func checkError(t *testing.T, a answerSeen, want string) {
	t.Helper()
	code, message, _ := strings.Cut(want, " ")
	if got := a.code(t); got != code {
		t.Errorf("code %s, want %s", got, code)
	}
	got := a.member(t, "message").(string)
	if begin, open := strings.CutSuffix(message, "…"); open && strings.HasPrefix(got, begin) && strings.HasSuffix(got, "]") {
		return
	}
	if got != message {
		t.Errorf("message %q, want %q", got, message)
	}
}

var requestID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// checkAnswer checks what holds of every answer.
func checkAnswer(t *testing.T, a answerSeen) {
	t.Helper()
	if !requestID.MatchString(a.header.Get("X-Request-Id")) {
		t.Errorf("C-51: request id %q", a.header.Get("X-Request-Id"))
	}
	if a.status >= 300 && a.status < 400 || a.status == http.StatusTooManyRequests {
		t.Errorf("C-7, C-62: status %d", a.status)
	}
	length, kind := a.header.Get("Content-Length"), a.header.Get("Content-Type")
	if a.status == http.StatusNoContent {
		if a.body != "" || length != "" || kind != "" {
			t.Errorf("C-50: a 204 with a body: %q, length %q, type %q", a.body, length, kind)
		}
		return
	}
	if length != strconv.Itoa(len(a.body)) {
		t.Errorf("C-50: length %q of %d bytes", length, len(a.body))
	}
	if a.body == "" {
		return
	}
	if kind != "application/json;charset=utf-8" || a.header.Get("Content-Encoding") != "" {
		t.Errorf("C-30, C-57: type %q, encoding %q", kind, a.header.Get("Content-Encoding"))
	}
	if a.status < 300 {
		checkSuccess(t, a.body)
		return
	}
	if a.code(t) == "" || len(decoded(t, a.body).(map[string]any)) != 5 {
		t.Errorf("C-52: %s", a.body)
	}
}

var errorCode = regexp.MustCompile(`"(error_code|error_message|result_detail)":"[^"]*"`)

// checkSuccess checks the body of a success: its types, and that no client takes
// it for an error.
func checkSuccess(t *testing.T, body string) {
	t.Helper()
	if plain := errorCode.ReplaceAllString(body, ""); strings.Contains(body, "errorCode") || strings.Contains(plain, "DIS.") {
		t.Errorf("C-56: looks like an error: %s", body)
	}
	if bytes.ContainsAny([]byte(body), "\r\n") {
		t.Errorf("more than one line: %q", body)
	}
	checkTypes(t, "", "object", decoded(t, body))
}

// types is the documented type of every member of every answer of these
// endpoints (C-39). Integer is below 2^31.
var types = map[string]string{
	"total_number": "long", "stream_names": "strings", "has_more_streams": "boolean", "stream_info_list": "objects",
	"stream_id": "string", "stream_name": "string", "create_time": "long", "last_modified_time": "long", "retention_period": "integer",
	"status": "string", "stream_type": "string", "data_type": "string", "partition_count": "integer",
	"auto_scale_enabled": "boolean", "auto_scale_min_partition_count": "integer", "auto_scale_max_partition_count": "integer",
	"tags": "objects", "sys_tags": "objects", "key": "string", "value": "string",
	"data_schema": "string", "compression_format": "string", "csv_properties": "object", "delimiter": "string",
	"writable_partition_count": "integer", "readable_partition_count": "integer", "has_more_partitions": "boolean",
	"update_partition_counts": "objects", "create_timestamp": "long", "src_partition_count": "integer",
	"target_partition_count": "integer", "current_partition_count": "integer", "result_detail": "string", "auto_scale": "boolean",
	"partitions": "objects", "partition_id": "string", "hash_range": "string", "sequence_number_range": "string", "parent_partitions": "string",
	"target_data_type": "string",
	"apps":             "objects", "app_id": "string", "app_name": "string", "commit_checkpoint_stream_names": "strings", "has_more_app": "boolean",
	"has_more": "boolean", "partition_consuming_states": "objects", "sequence_number": "string", "latest_offset": "long", "earliest_offset": "long",
	"checkpoint_type": "string", "metadata": "string",
	"failed_record_count": "integer", "records": "objects", "error_code": "string", "error_message": "string",
	"partition_key": "string", "data": "string", "timestamp": "long", "timestamp_type": "string",
	"next_partition_cursor": "string", "partition_cursor": "string",
}

// checkTypes is the strictest client: every member must be known and have exactly
// its type, and nothing is null.
func checkTypes(t *testing.T, at, kind string, v any) {
	t.Helper()
	if of, ok := strings.CutSuffix(kind, "s"); ok {
		array, ok := v.([]any)
		if !ok {
			t.Errorf("C-39: %s is %v, want an array", at, v)
		}
		for i, item := range array {
			checkTypes(t, fmt.Sprintf("%s[%d]", at, i), of, item)
		}
		return
	}
	if object, ok := v.(map[string]any); ok && kind == "object" {
		for _, name := range slices.Sorted(maps.Keys(object)) {
			if types[name] == "" {
				t.Errorf("%s.%s is no member of the contract", at, name)
			}
			checkTypes(t, at+"."+name, types[name], object[name])
		}
		return
	}
	if !isOf(kind, v) {
		t.Errorf("C-39: %s is %#v, want %s", at, v, kind)
	}
}

func isOf(kind string, v any) bool {
	switch v := v.(type) {
	case string:
		return kind == "string"
	case bool:
		return kind == "boolean"
	case json.Number:
		bits := map[string]int{"integer": 32, "long": 64}[kind]
		_, err := strconv.ParseInt(string(v), 10, max(bits, 1))
		return bits > 0 && err == nil
	}
	return false
}
