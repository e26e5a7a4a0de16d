package control

import (
	"encoding/json"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A rule says where, when and how a fault is injected (section 2).
type rule struct {
	Name string `json:"name,omitempty"`

	Operation texts      `json:"operation,omitempty"`
	Method    string     `json:"method,omitempty"`
	Path      string     `json:"path,omitempty"`
	Project   texts      `json:"project,omitempty"`
	Stream    texts      `json:"stream,omitempty"`
	App       texts      `json:"app,omitempty"`
	Client    texts      `json:"client,omitempty"`
	Task      texts      `json:"task,omitempty"`
	Partition partitions `json:"partition,omitempty"`

	After       int64     `json:"after,omitempty"`
	Every       *int64    `json:"every,omitempty"`
	Probability *float64  `json:"probability,omitempty"`
	Seed        *int64    `json:"seed,omitempty"`
	Count       *int64    `json:"count,omitempty"`
	For         *timespan `json:"for,omitempty"`

	Error   *errorSpec   `json:"error,omitempty"`
	Abort   string       `json:"abort,omitempty"`
	Limit   *timespan    `json:"limit,omitempty"`
	Effect  string       `json:"effect,omitempty"`
	Records *recordsSpec `json:"records,omitempty"`
	Hide    *hideSpec    `json:"hide,omitempty"`
	Body    *bodySpec    `json:"body,omitempty"`
	Latency *latencySpec `json:"latency,omitempty"`
	Observe bool         `json:"observe,omitempty"`

	operations []int // numbers; nil for every one of DIS
}

// timespan is a duration that shows itself as it was given.
type timespan struct {
	text string
	d    time.Duration
}

func (s *timespan) set(n node, place string) error {
	var d duration
	if err := d.set(n, place); err != nil {
		return err
	}
	s.text, s.d = n.scalar.(string), time.Duration(d)
	return nil
}

// MarshalJSON writes the text.
func (s timespan) MarshalJSON() ([]byte, error) { return json.Marshal(s.text) }

// partitions is a partition or a list of them.
type partitions []partitionID

func (p *partitions) set(n node, place string) error {
	if n.kind != listNode {
		n = node{kind: listNode, items: []node{n}}
	}
	for i, item := range n.items {
		var id partitionID
		if err := id.set(item, index(place, i)); err != nil {
			return err
		}
		*p = append(*p, id)
	}
	return nil
}

// An errorSpec is an error of the API by its code, or what replaces parts of it
// (CTL-20).
type errorSpec struct {
	Status      *int64  `json:"status,omitempty"`
	Code        string  `json:"code,omitempty"`
	Message     *string `json:"message,omitempty"`
	Headers     headers `json:"headers,omitempty"`
	Raw         bool    `json:"raw,omitempty"`
	Body        string  `json:"body,omitempty"`
	ContentType string  `json:"content_type,omitempty"`
	text        bool    // it was given as a code alone
}

func (e *errorSpec) set(n node, place string) error {
	if s, ok := n.scalar.(string); ok {
		e.Code, e.text = s, true
		return nil
	}
	type plain errorSpec
	return fill(n, valueOf((*plain)(e)), place)
}

// MarshalJSON writes the code alone where that was given.
func (e errorSpec) MarshalJSON() ([]byte, error) {
	if e.text {
		return json.Marshal(e.Code)
	}
	type plain errorSpec
	return json.Marshal(plain(e))
}

// headers of an answer by name.
type headers map[string]string

func (h *headers) set(n node, place string) error {
	if n.kind != objectNode {
		return invalid(place, "must be an object")
	}
	*h = make(headers)
	for _, m := range n.members {
		s, ok := m.value.scalar.(string)
		if !ok || strings.ContainsAny(m.name+s, "\r\n\x00") || m.name == "" {
			return invalid(join(place, m.name), "must be a text")
		}
		(*h)[http.CanonicalHeaderKey(m.name)] = s
	}
	return nil
}

// A recordsSpec chooses records of an upload (CTL-22).
type recordsSpec struct {
	First   *int64  `json:"first,omitempty"`
	Last    *int64  `json:"last,omitempty"`
	Indexes []int64 `json:"indexes,omitempty"`
	All     bool    `json:"all,omitempty"`
	Error   string  `json:"error,omitempty"`
}

// A hideSpec is what is not there yet (CTL-23).
type hideSpec struct {
	Records *int64    `json:"records,omitempty"`
	Age     *timespan `json:"age,omitempty"`
	Commits *int64    `json:"commits,omitempty"`
}

// A bodySpec sends the true answer badly (CTL-24).
type bodySpec struct {
	Truncate *truncation `json:"truncate,omitempty"`
	Rate     *int64      `json:"bytes_per_second,omitempty"`
}

// A truncation is how much of a body is sent: bytes, or a share.
type truncation struct {
	bytes   int64
	percent int64 // -1 for bytes
}

func (t *truncation) set(n node, place string) error {
	if s, ok := n.scalar.(string); ok {
		digits, isShare := strings.CutSuffix(s, "%")
		p, err := node{scalar: json.Number(digits)}.integer(place)
		if !isShare || err != nil || p < 0 || p > 99 {
			return invalid(place, "must be a number of bytes or a share like 40%%")
		}
		t.percent = p
		return nil
	}
	b, err := n.integer(place)
	if err != nil || b < 0 {
		return invalid(place, "must be a number of bytes or a share like 40%%")
	}
	t.bytes, t.percent = b, -1
	return nil
}

// MarshalJSON writes it as it was given.
func (t truncation) MarshalJSON() ([]byte, error) {
	if t.percent >= 0 {
		return json.Marshal(strconv.FormatInt(t.percent, 10) + "%")
	}
	return json.Marshal(t.bytes)
}

func (t *truncation) of(n int) int {
	if t.percent >= 0 {
		return int(int64(n) * t.percent / 100)
	}
	return int(min(int64(n), t.bytes))
}

// A latencySpec is real time that passes before anything else; a range is drawn
// from evenly, by the match.
type latencySpec struct {
	From timespan `json:"from"`
	To   timespan `json:"to"`
	text bool
}

func (l *latencySpec) set(n node, place string) error {
	if n.kind == objectNode {
		type plain latencySpec
		if err := fill(n, valueOf((*plain)(l)), place); err != nil {
			return err
		}
	} else {
		if err := l.From.set(n, place); err != nil {
			return err
		}
		l.To, l.text = l.From, true
	}
	if l.From.d > l.To.d || l.To.d > maxLatency {
		return invalid(place, "must be at most 60s, and from before to")
	}
	return nil
}

// MarshalJSON writes it as it was given.
func (l latencySpec) MarshalJSON() ([]byte, error) {
	if l.text {
		return json.Marshal(l.From)
	}
	type plain latencySpec
	return json.Marshal(plain(l))
}

// maxLatency is the longest real time that faults hold a request back.
const maxLatency = 60 * time.Second

// defaultHang is how long a connection hangs unless the rule has a limit.
const defaultHang = 60 * time.Second

// check refuses what could never fire, or would lie (CTL-13).
func (r *rule) check(place string) error {
	for _, check := range []func(string) error{r.checkWhere, r.checkWhen, r.checkWhat, r.checkCode} {
		if err := check(place); err != nil {
			return err
		}
	}
	return nil
}

func (r *rule) checkWhere(place string) error {
	for i, name := range r.Operation {
		at := join(place, "operation")
		if len(r.Operation) > 1 {
			at = index(at, i)
		}
		n, ok := operationNumber(name)
		if !ok {
			return invalid(at, "no operation is called %s%s", name, meant(name, operationNames()))
		}
		r.operations = append(r.operations, n)
	}
	switch {
	case (r.Method != "" || r.Path != "") && len(r.Operation) > 0:
		return invalid(place, "takes either operation, or method and path")
	case r.Path != "" && !strings.HasPrefix(r.Path, "/"):
		return invalid(join(place, "path"), "must begin with /")
	}
	for _, name := range r.Stream {
		if name == "" || len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return invalid(join(place, "stream"), "%q has the form of no stream", name)
		}
	}
	return nil
}

func (r *rule) checkWhen(place string) error {
	atLeast := func(name string, v *int64, least int64) error {
		if v != nil && *v < least {
			return invalid(join(place, name), "must be at least %d", least)
		}
		return nil
	}
	if err := atLeast("after", &r.After, 0); err != nil {
		return err
	}
	if err := atLeast("every", r.Every, 1); err != nil {
		return err
	}
	if err := atLeast("count", r.Count, 1); err != nil {
		return err
	}
	switch {
	case (r.Probability == nil) != (r.Seed == nil):
		return invalid(place, "probability and seed come together: by chance alone, a test passes by chance")
	case r.Probability != nil && (*r.Probability <= 0 || *r.Probability > 1):
		return invalid(join(place, "probability"), "must be above 0 and at most 1")
	case r.For != nil && r.For.d == 0:
		return invalid(join(place, "for"), "must be more than nothing")
	}
	return nil
}

func (r *rule) checkWhat(place string) error {
	var what []string
	for name, given := range map[string]bool{
		"error": r.Error != nil && r.Records == nil, "abort": r.Abort != "", "records": r.Records != nil,
		"hide": r.Hide != nil, "body": r.Body != nil, "observe": r.Observe,
	} {
		if given {
			what = append(what, name)
		}
	}
	slices.Sort(what)
	switch {
	case len(what) > 1:
		return invalid(place, "does more than one thing: %s", strings.Join(what, ", "))
	case len(what) == 0 && r.Latency == nil:
		return invalid(place, "does nothing: it needs error, abort, records, hide, body, latency or observe")
	case r.Effect != "" && r.Error == nil && r.Abort == "":
		return invalid(join(place, "effect"), "is of error and abort")
	case r.Effect != "" && r.Effect != "before" && r.Effect != "after":
		return invalid(join(place, "effect"), "must be before or after")
	case r.Abort != "" && !slices.Contains([]string{"close", "reset", "hang"}, r.Abort):
		return invalid(join(place, "abort"), "must be close, reset or hang")
	case r.Limit != nil && r.Abort != "hang":
		return invalid(join(place, "limit"), "is of abort: hang")
	}
	if err := r.checkRecords(place); err != nil {
		return err
	}
	return r.checkParts(place)
}

func (r *rule) checkRecords(place string) error {
	s := r.Records
	if s == nil {
		return nil
	}
	given := 0
	for _, is := range []bool{s.First != nil, s.Last != nil, s.Indexes != nil, s.All} {
		if is {
			given++
		}
	}
	code := s.Error
	if r.Error != nil && code == "" {
		code = r.Error.Code
	}
	s.Error, r.Error = code, nil
	switch {
	case given != 1:
		return invalid(join(place, "records"), "needs one of first, last, indexes and all")
	case s.First != nil && *s.First < 1 || s.Last != nil && *s.Last < 1:
		return invalid(join(place, "records"), "must be at least 1")
	case !slices.Contains(recordCodes, code):
		return invalid(join(place, "records.error"), "must be one of %s", strings.Join(recordCodes, ", "))
	case !slices.Equal(r.operations, []int{19}):
		return invalid(join(place, "records"), "is of SendRecords alone")
	}
	return nil
}

func (r *rule) checkParts(place string) error {
	if h := r.Hide; h != nil {
		given := 0
		for _, is := range []bool{h.Records != nil, h.Age != nil} {
			if is {
				given++
			}
		}
		if given != 1 || h.Records != nil && *h.Records < 1 {
			return invalid(join(place, "hide"), "needs either records or age")
		}
		allowed := []int{20, 21}
		if len(r.operations) == 0 || slices.ContainsFunc(r.operations, func(n int) bool { return !slices.Contains(allowed, n) }) {
			return invalid(join(place, "hide"), "is of ConsumeRecords and ShowCursor")
		}
	}
	if b := r.Body; b != nil {
		if (b.Truncate == nil) == (b.Rate == nil) || b.Rate != nil && *b.Rate < 1 {
			return invalid(join(place, "body"), "needs either truncate or bytes_per_second")
		}
	}
	return nil
}

// checkCode holds an error against the table of the API.
func (r *rule) checkCode(place string) error {
	e := r.Error
	if e == nil {
		return nil
	}
	at := join(place, "error")
	if len(r.Partition) > 0 && (len(r.operations) == 0 || slices.Contains(r.operations, 19)) {
		return invalid(join(place, "partition"), "an upload does not fail as a whole for a partition: use records")
	}
	if e.Status != nil && (*e.Status < 200 || *e.Status > 599) {
		return invalid(join(at, "status"), "must be from 200 to 599")
	}
	if !e.Raw && (e.Body != "" || e.ContentType != "") {
		return invalid(at, "body and content_type need raw")
	}
	if !e.text {
		if !e.Raw && e.Code == "" {
			return invalid(join(at, "code"), "missing")
		}
		return nil
	}
	c, ok := codes[e.Code]
	if !ok {
		return invalid(at, "no error of the API is called %s", e.Code)
	}
	for _, n := range r.operations {
		if !c.answers(n) {
			hint := ""
			if n == 19 && slices.Contains(recordCodes, e.Code) {
				hint = ": an upload does not fail with it as a whole (C-63), use records"
			}
			return invalid(at, "%s is no answer of %s%s", e.Code, numbers[n][0], hint)
		}
	}
	if len(r.operations) == 0 && r.Path == "" && c.group != common && c.group != anywhere && c.group != withBody && e.Code != "APIGW.0301" {
		return invalid(at, "%s is no answer of every operation: say which", e.Code)
	}
	return nil
}

// matches reports whether a rule is about a target.
func (r *rule) matches(t *Target) bool {
	if r.Method != "" || r.Path != "" {
		if r.Method != "" && !strings.EqualFold(r.Method, t.Method) || r.Path != "" && !matchPath(r.Path, t.Path) {
			return false
		}
	} else if !r.meantOperation(t.Number) {
		return false
	}
	return anyOf(r.Project, t.Project) && (anyOf(r.Stream, t.Stream) || anyOf(r.Stream, t.StreamID)) &&
		anyOf(r.App, t.App) && anyOf(r.Client, t.Client) && anyOf(r.Task, t.Task) && r.matchesPartition(t)
}

func (r *rule) meantOperation(n int) bool {
	if len(r.operations) == 0 {
		return n >= 3 && n <= 50
	}
	return slices.Contains(r.operations, n)
}

func (r *rule) matchesPartition(t *Target) bool {
	return len(r.Partition) == 0 || slices.ContainsFunc(t.Partitions, func(id int32) bool {
		return slices.Contains(r.Partition, partitionID(id))
	})
}

func anyOf(wanted texts, is string) bool { return len(wanted) == 0 || slices.Contains(wanted, is) }

// matchPath holds a path against a pattern, in which * stands for one segment and **
// at the end for any rest.
func matchPath(pattern, p string) bool {
	want, got := strings.Split(path.Clean(pattern), "/"), strings.Split(path.Clean(p), "/")
	for i, segment := range want {
		if segment == "**" && i == len(want)-1 {
			return len(got) >= i
		}
		if i >= len(got) || segment != "*" && segment != got[i] {
			return false
		}
	}
	return len(want) == len(got)
}

// chosen reports whether the rule fires at its m-th match, counted from 1, unless
// its count is used up (CTL-17).
func (r *rule) chosen(m int64) bool {
	if m <= r.After || r.Every != nil && (m-r.After-1)%*r.Every != 0 {
		return false
	}
	return r.Probability == nil || share(*r.Seed, m) < *r.Probability
}

// share is the fixed sequence that stands for chance, from 0 to below 1.
func share(seed, m int64) float64 {
	z := uint64(seed) + uint64(m)*0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	z ^= z >> 31
	return float64(z>>11) / (1 << 53)
}

// chosenRecords marks the records of an upload that fail: those chosen of the ones
// that would go to the rule's partitions.
func (r *rule) chosenRecords(parts []int32) []bool {
	var mine []int
	for i, id := range parts {
		if len(r.Partition) == 0 || slices.Contains(r.Partition, partitionID(id)) {
			mine = append(mine, i)
		}
	}
	marks := make([]bool, len(parts))
	s := r.Records
	switch {
	case s.First != nil:
		mine = mine[:min(len(mine), int(min(*s.First, int64(len(mine)))))]
	case s.Last != nil:
		mine = mine[len(mine)-int(min(*s.Last, int64(len(mine)))):]
	case s.Indexes != nil:
		mine = slices.DeleteFunc(mine, func(i int) bool { return !slices.Contains(s.Indexes, int64(i)) })
	}
	for _, i := range mine {
		marks[i] = true
	}
	return marks
}

// valueOf is what fill fills.
func valueOf(v any) reflect.Value { return reflect.ValueOf(v).Elem() }
