package control

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"disd/internal/storage/memory"
)

// A Seed is what a server has before its first request, or what is added to it (4.2).
type Seed struct {
	name string // of its file, "" for a body
	doc  seedDoc
}

type seedDoc struct {
	Clock *struct {
		Freeze *moment `json:"freeze"`
	} `json:"clock"`
	Projects []projectSeed `json:"projects"`
	Faults   []*rule       `json:"faults"`
}

type projectSeed struct {
	ID      string       `json:"id"`
	Streams []streamSeed `json:"streams"`
	Apps    []appSeed    `json:"apps"`
	Tasks   []taskSeed   `json:"tasks"`
}

// A streamSeed is a request of E3 with the records that the stream has.
type streamSeed struct {
	name    string
	request node
	records []recordSeed
	file    string
	place   string
}

// streamMembers are those of E3.
var streamMembers = []string{
	"stream_name", "partition_count", "stream_type", "data_type", "data_duration", "auto_scale_enabled",
	"auto_scale_min_partition_count", "auto_scale_max_partition_count", "data_schema", "csv_properties",
	"compression_format", "tags", "sys_tags",
}

func (s *streamSeed) set(n node, place string) error {
	if n.kind != objectNode {
		return invalid(place, "must be an object")
	}
	s.place, s.request = place, node{kind: objectNode}
	for _, m := range n.members {
		at := join(place, m.name)
		switch {
		case m.name == "records":
			if err := fill(m.value, valueOf(&s.records), at); err != nil {
				return err
			}
		case m.name == "records_file":
			s.file, _ = m.value.scalar.(string)
			if s.file == "" {
				return invalid(at, "must be the name of a file")
			}
		case slices.Contains(streamMembers, m.name):
			s.request.members = append(s.request.members, m)
		default:
			known := append([]string{"records", "records_file"}, streamMembers...)
			return &invalidError{place: at, reason: "unknown" + meant(m.name, known), line: m.value.line}
		}
	}
	name, _ := n.member("stream_name")
	s.name, _ = name.scalar.(string)
	if s.name == "" {
		return invalid(join(place, "stream_name"), "missing")
	}
	return nil
}

// A recordSeed is a record of E19, or with text or json in place of data.
type recordSeed struct {
	request node
	age     time.Duration
}

var recordMembers = []string{"data", "partition_key", "partition_id", "explicit_hash_key", "timestamp", "extended_info"}

func (s *recordSeed) set(n node, place string) error {
	if n.kind != objectNode {
		return invalid(place, "must be an object")
	}
	s.request = node{kind: objectNode}
	data := 0
	for _, m := range n.members {
		at := join(place, m.name)
		switch {
		case m.name == "age":
			var d duration
			if err := d.set(m.value, at); err != nil {
				return err
			}
			s.age = time.Duration(d)
			continue
		case m.name == "text" || m.name == "json":
			text, ok := m.value.scalar.(string)
			if m.name == "json" {
				text, ok = string(m.value.JSON()), true
			}
			if !ok {
				return invalid(at, "must be a text")
			}
			m = member{"data", node{scalar: base64.StdEncoding.EncodeToString([]byte(text))}}
		case !slices.Contains(recordMembers, m.name):
			known := append([]string{"text", "json", "age"}, recordMembers...)
			return &invalidError{place: at, reason: "unknown" + meant(m.name, known), line: m.value.line}
		}
		if m.name == "data" {
			data++
		}
		s.request.members = append(s.request.members, m)
	}
	if data != 1 {
		return invalid(place, "needs one of data, text and json")
	}
	return nil
}

type appSeed struct {
	Name        string           `json:"app_name"`
	Checkpoints []checkpointSeed `json:"checkpoints"`
}

type checkpointSeed struct {
	Stream    string      `json:"stream_name"`
	Partition partitionID `json:"partition_id"`
	Sequence  sequence    `json:"sequence_number"`
	Metadata  string      `json:"metadata"`
}

// A taskSeed is a request of E22 and E28 to E31 with the stream that the task is of.
type taskSeed struct {
	stream  string
	request node
}

func (s *taskSeed) set(n node, place string) error {
	if n.kind != objectNode {
		return invalid(place, "must be an object")
	}
	s.request = node{kind: objectNode}
	for _, m := range n.members {
		if m.name == "stream_name" {
			s.stream, _ = m.value.scalar.(string)
			continue
		}
		s.request.members = append(s.request.members, m)
	}
	if s.stream == "" {
		return invalid(join(place, "stream_name"), "missing")
	}
	return nil
}

// ParseSeed reads a seed, as YAML or JSON. Its name is that of the file in errors; file
// returns a file that the seed names, and is nil where it may name none.
func ParseSeed(name string, content []byte, file func(name string) ([]byte, error)) (*Seed, error) {
	n, err := parseYAML(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s, err := newSeed(n, file)
	if err != nil {
		line := ""
		if bad := (*invalidError)(nil); errors.As(err, &bad) && bad.line > 0 {
			line = fmt.Sprint(":", bad.line)
		}
		return nil, fmt.Errorf("%s%s: %w", name, line, err)
	}
	s.name = name
	return s, nil
}

func newSeed(n node, file func(name string) ([]byte, error)) (*Seed, error) {
	s := new(Seed)
	if err := decode(n, &s.doc); err != nil {
		return nil, err
	}
	for i, r := range s.doc.Faults {
		if err := r.check(index("faults", i)); err != nil {
			return nil, err
		}
	}
	for i := range s.doc.Projects {
		p := &s.doc.Projects[i]
		if p.ID == "" {
			return nil, invalid(index("projects", i)+".id", "missing")
		}
		for j := range p.Streams {
			if err := p.Streams[j].load(file); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// load reads the records of a file beside the seed.
func (s *streamSeed) load(file func(name string) ([]byte, error)) error {
	if s.file == "" {
		return nil
	}
	at := join(s.place, "records_file")
	if file == nil {
		return invalid(at, "only the seed of the start may name a file")
	}
	content, err := file(s.file)
	if err != nil {
		return invalid(at, "%v", err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
		n, err := parseJSON([]byte(line))
		if err != nil {
			return invalid(at, "line %d: %v", i+1, err)
		}
		_, head := n.member("disd_export")
		_, end := n.member("end")
		if head || end {
			continue
		}
		kept := node{kind: objectNode}
		for _, m := range n.members {
			if m.name != "sequence_number" && m.name != "append_time_ms" && !(m.name == "timestamp" && string(m.value.JSON()) == "0") {
				kept.members = append(kept.members, m)
			}
		}
		var r recordSeed
		if err := r.set(kept, fmt.Sprintf("%s line %d", at, i+1)); err != nil {
			return err
		}
		s.records = append(s.records, r)
	}
	return nil
}

// seeded is what a seed made.
type seeded struct {
	Streams int `json:"streams"`
	Apps    int `json:"apps"`
	Tasks   int `json:"tasks"`
	Records int `json:"records"`
	Faults  int `json:"faults"`
}

func (c *Control) postSeed(r *request) (int, any, error) {
	existing := r.query.Get("existing")
	if existing != "" && !slices.Contains([]string{"fail", "skip", "replace"}, existing) {
		return 0, nil, invalid("existing", "must be fail, skip or replace")
	}
	n, err := r.document()
	if err != nil {
		return 0, nil, err
	}
	s, err := newSeed(n, nil)
	if err != nil {
		return 0, nil, err
	}
	c.moving.Lock()
	defer c.moving.Unlock()
	made, err := c.sow(r.Context(), s, existing)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, made, nil
}

// Sow applies a seed whole, or returns why that cannot be.
func (c *Control) Sow(ctx context.Context, s *Seed) error {
	_, err := c.sow(ctx, s, "")
	if err != nil && s.name != "" {
		err = fmt.Errorf("%s: %w", s.name, err)
	}
	return err
}

// A sower applies a seed, and takes back what it made when something cannot be.
type sower struct {
	c        *Control
	p        *Parts
	existing string // what to do with what is there: skip, replace, or fail
	made     seeded
	undo     []func()
}

func (c *Control) sow(ctx context.Context, s *Seed, existing string) (seeded, error) {
	w := &sower{c: c, p: c.opts.World.Parts(), existing: existing}
	err := w.all(ctx, &s.doc)
	if err != nil {
		for _, undo := range slices.Backward(w.undo) {
			undo()
		}
		return seeded{}, err
	}
	c.changed()
	return w.made, nil
}

func (w *sower) all(ctx context.Context, doc *seedDoc) error {
	if doc.Clock != nil && doc.Clock.Freeze != nil {
		w.c.clock.Set(time.Time(*doc.Clock.Freeze), 0)
	}
	for i := range doc.Projects {
		if err := w.project(ctx, &doc.Projects[i], index("projects", i)); err != nil {
			return err
		}
	}
	_, err := w.c.faults.add(doc.Faults)
	w.made.Faults = len(doc.Faults)
	return err
}

// placed adds the place in the seed to what was refused.
func placed(place string, err error) error {
	if known := (*Error)(nil); errors.As(err, &known) {
		return &Error{Status: known.Status, Code: known.Code, Message: place + ": " + known.Message, More: known.More}
	}
	return err
}

func (w *sower) project(ctx context.Context, p *projectSeed, place string) error {
	for i := range p.Streams {
		if err := w.stream(ctx, p.ID, &p.Streams[i]); err != nil {
			return placed(index(join(place, "streams"), i), err)
		}
	}
	for i := range p.Apps {
		if err := w.app(ctx, p.ID, &p.Apps[i]); err != nil {
			return placed(index(join(place, "apps"), i), err)
		}
	}
	for i := range p.Tasks {
		t := &p.Tasks[i]
		err := w.post(ctx, streamPath(p.ID, t.stream)+"/transfer-tasks", t.request.JSON())
		if err != nil {
			return placed(index(join(place, "tasks"), i), err)
		}
		w.made.Tasks++
	}
	return nil
}

func projectPath(project, rest string) string { return "/v2/" + url.PathEscape(project) + rest }

func streamPath(project, stream string) string {
	return projectPath(project, "/streams/"+url.PathEscape(stream))
}

// post makes a call of the API that must succeed.
func (w *sower) post(ctx context.Context, path string, body []byte) error {
	status, answer := w.p.call(ctx, http.MethodPost, path, body)
	if status < 300 {
		return nil
	}
	var e struct {
		Code    string `json:"errorCode"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(answer, &e) // what is no error of the API is shown by its status
	return refuse(http.StatusBadRequest, "CTL.Invalid", "%s %s (status %d)", e.Code, e.Message, status)
}

func (w *sower) stream(ctx context.Context, project string, s *streamSeed) error {
	if _, err := w.p.Streams.Get(project, s.name); err == nil {
		switch w.existing {
		case "skip":
			return nil
		case "replace":
			if status, _ := w.p.call(ctx, http.MethodDelete, streamPath(project, s.name), nil); status >= 300 {
				return conflict("stream %s cannot be removed", s.name)
			}
		default:
			return conflict("stream %s of project %s exists", s.name, project)
		}
	}
	if err := w.post(ctx, projectPath(project, "/streams"), s.request.JSON()); err != nil {
		return err
	}
	w.made.Streams++
	w.undo = append(w.undo, func() {
		w.p.call(context.WithoutCancel(ctx), http.MethodDelete, streamPath(project, s.name), nil)
	})
	return w.records(ctx, project, s)
}

// seedBatch is how many records a seed stores at once.
const seedBatch = 500

// records stores the records of a stream in their order; those of one age together.
func (w *sower) records(ctx context.Context, project string, s *streamSeed) error {
	now := w.c.clock.Now()
	for from := 0; from < len(s.records); {
		to := from + 1
		for to < len(s.records) && to-from < seedBatch && s.records[to].age == s.records[from].age {
			to++
		}
		if err := w.upload(memory.At(ctx, now.Add(-s.records[from].age)), project, s.name, s.records[from:to]); err != nil {
			return placed(index("records", from), err)
		}
		w.made.Records += to - from
		from = to
	}
	return nil
}

func (w *sower) upload(ctx context.Context, project, stream string, records []recordSeed) error {
	list := node{kind: listNode}
	for _, r := range records {
		list.items = append(list.items, r.request)
	}
	body := node{kind: objectNode, members: []member{{"stream_name", node{scalar: stream}}, {"records", list}}}
	status, answer := w.p.call(ctx, http.MethodPost, projectPath(project, "/records"), body.JSON())
	var reply struct {
		Failed  int `json:"failed_record_count"`
		Records []struct {
			Code    string `json:"error_code"`
			Message string `json:"error_message"`
		} `json:"records"`
		Code    string `json:"errorCode"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(answer, &reply); err != nil || status != http.StatusOK {
		return refuse(http.StatusBadRequest, "CTL.Invalid", "%s %s (status %d)", reply.Code, reply.Message, status)
	}
	for i, r := range reply.Records {
		if r.Code != "" {
			return refuse(http.StatusBadRequest, "CTL.Invalid", "record %d: %s %s", i, r.Code, r.Message)
		}
	}
	return nil
}

func (w *sower) app(ctx context.Context, project string, s *appSeed) error {
	if w.p.Apps.Exists(project, s.Name) == nil {
		switch w.existing {
		case "skip":
			return nil
		case "replace":
			if err := w.p.Apps.Remove(project, s.Name); err != nil {
				return err
			}
		default:
			return conflict("app %s of project %s exists", s.Name, project)
		}
	}
	body := node{kind: objectNode, members: []member{{"app_name", node{scalar: s.Name}}}}
	if err := w.post(ctx, projectPath(project, "/apps"), body.JSON()); err != nil {
		return err
	}
	w.made.Apps++
	w.undo = append(w.undo, func() { _ = w.p.Apps.Remove(project, s.Name) }) // the seed failed anyway
	for i, point := range s.Checkpoints {
		body, err := json.Marshal(map[string]string{
			"app_name": s.Name, "checkpoint_type": "LAST_READ", "stream_name": point.Stream, "metadata": point.Metadata,
			"partition_id": showPartition(int32(point.Partition)), "sequence_number": fmt.Sprint(int64(point.Sequence)),
		})
		if err == nil {
			err = w.post(ctx, projectPath(project, "/checkpoints"), body)
		}
		if err != nil {
			return placed(index("checkpoints", i), err)
		}
	}
	return nil
}
