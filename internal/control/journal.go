package control

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
)

// An entry is a request as the journal shows it (CTL-72).
type entry struct {
	N          int64    `json:"n"`
	ID         string   `json:"id"`
	At         string   `json:"at"`
	Wall       string   `json:"wall"`
	Method     string   `json:"method"`
	Path       string   `json:"path"`
	Operation  string   `json:"operation"`
	Project    string   `json:"project"`
	Stream     string   `json:"stream"`
	Partitions []string `json:"partitions"`
	App        string   `json:"app"`
	Client     string   `json:"client"`
	Task       string   `json:"task"`
	UserAgent  string   `json:"user_agent"`
	Status     int      `json:"status"`
	Code       string   `json:"code"`
	Fault      string   `json:"fault"`
	Outcome    string   `json:"outcome,omitempty"`
	Records    int      `json:"records"`
	Failed     int      `json:"failed"`
	BytesIn    int64    `json:"bytes_in"`
	BytesOut   int64    `json:"bytes_out"`
	Took       int64    `json:"took_us"`
	Request    string   `json:"request"`
	Response   string   `json:"response"`

	answered bool
	number   int // of the operation
	streamID string
}

// journalBody is how much of a body the journal keeps.
const journalBody = 4 << 10

// secrets are members of bodies that the journal does not show (CTL-75).
var secrets = regexp.MustCompile(`(?i)("(?:[a-z_]*password|[a-z_]*secret[a-z_]*|secret_?access_?key|sk|id_token|security_?token|securitytoken|[a-z_]*token_id|user_?key)"\s*:\s*)"(?:[^"\\]|\\.)*("|$)`)

// showBody returns a body as text, or as Base64, without secrets.
func showBody(b []byte) string {
	if !utf8.Valid(cutRune(b)) {
		return base64.StdEncoding.EncodeToString(b)
	}
	return secrets.ReplaceAllString(string(cutRune(b)), `${1}"******"`)
}

// cutRune drops the beginning of a letter at the end.
func cutRune(b []byte) []byte {
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-i:]) {
				return b[:len(b)-i]
			}
			break
		}
	}
	return b
}

// A journal keeps the last requests.
type journal struct {
	max     int
	changed func()

	mu      sync.Mutex
	last    int64
	entries []*entry // by n
	dropped int64
}

// begin numbers a request, as it arrives.
func (j *journal) begin(e *entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last++
	e.N = j.last
	if j.max == 0 {
		return
	}
	if len(j.entries) >= j.max+j.max/4+1 { // seldom, so that it costs nothing
		drop := len(j.entries) - j.max + 1
		j.dropped += int64(drop)
		j.entries = append(j.entries[:0:0], j.entries[drop:]...)
	}
	j.entries = append(j.entries, e)
}

// update changes an entry, which others may be looking at.
func (j *journal) update(e *entry, change func(*entry)) {
	j.mu.Lock()
	change(e)
	j.mu.Unlock()
}

// answered notes that a request has its answer.
func (j *journal) answered(e *entry, change func(*entry)) {
	j.update(e, func(e *entry) { change(e); e.answered = true })
	j.changed()
}

func (j *journal) clear(which func(*entry) bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = slices.DeleteFunc(j.entries, which)
}

// forget makes it as new.
func (j *journal) forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries, j.last, j.dropped = nil, 0, 0
}

// A selection chooses requests (CTL-73).
type selection struct {
	Operation texts  `json:"operation"`
	Project   texts  `json:"project"`
	Stream    texts  `json:"stream"`
	App       texts  `json:"app"`
	Client    texts  `json:"client"`
	Status    *int64 `json:"status"`
	Code      texts  `json:"code"`
	Fault     texts  `json:"fault"`
	Since     int64  `json:"since"`
	Count     *int64 `json:"count"`
}

func (s *selection) check(place string) error {
	for _, name := range s.Operation {
		if _, ok := operationNumber(name); !ok {
			return invalid(join(place, "operation"), "no operation is called %s%s", name, meant(name, operationNames()))
		}
	}
	return nil
}

func (s *selection) matches(e *entry) bool {
	return e.N > s.Since && s.meansOperation(e) && anyOf(s.Project, e.Project) &&
		(anyOf(s.Stream, e.Stream) || anyOf(s.Stream, e.streamID)) && anyOf(s.App, e.App) && anyOf(s.Client, e.Client) &&
		(s.Status == nil || int(*s.Status) == e.Status) && anyOf(s.Code, e.Code) && anyOf(s.Fault, e.Fault)
}

func (s *selection) meansOperation(e *entry) bool {
	return len(s.Operation) == 0 || slices.ContainsFunc(s.Operation, func(name string) bool {
		n, _ := operationNumber(name)
		return n == e.number && e.number != 0
	})
}

// find returns copies of the entries that a selection chooses, with answered only
// those that have their answer.
func (j *journal) find(s *selection, answered bool) (list []entry, dropped, next int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	extra := max(0, len(j.entries)-j.max)
	for _, e := range j.entries[extra:] {
		if (e.answered || !answered) && s.matches(e) {
			list = append(list, *e)
		}
	}
	return list, j.dropped + int64(extra), j.last
}

func (j *journal) count() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return min(len(j.entries), j.max)
}

var requestQuery = []string{"operation", "project", "stream", "app", "client", "status", "code", "fault", "since"}

// selected reads a selection from the query.
func (r *request) selected() (*selection, error) {
	s := new(selection)
	for name, to := range map[string]*texts{
		"operation": &s.Operation, "project": &s.Project, "stream": &s.Stream, "app": &s.App,
		"client": &s.Client, "code": &s.Code, "fault": &s.Fault,
	} {
		if r.query.Has(name) {
			*to = texts{r.query.Get(name)}
		}
	}
	var err error
	if s.Since, err = r.number("since", 0, 0, 1<<53); err != nil {
		return nil, err
	}
	if r.query.Has("status") {
		status, err := r.number("status", 0, 0, 599)
		if err != nil {
			return nil, err
		}
		s.Status = &status
	}
	return s, s.check("")
}

func (c *Control) needJournal() error {
	if c.journal.max == 0 {
		return conflict("no requests are kept: emulator.journal is 0")
	}
	return nil
}

func (c *Control) listRequests(r *request) (int, any, error) {
	if err := c.needJournal(); err != nil {
		return 0, nil, err
	}
	s, err := r.selected()
	if err != nil {
		return 0, nil, err
	}
	last, err := r.number("last", 100, 1, 1<<31)
	if err != nil {
		return 0, nil, err
	}
	list, dropped, next := c.journal.find(s, false)
	shown := list[max(0, len(list)-int(last)):]
	return http.StatusOK, requestsReply(shown, len(list), dropped, next), nil
}

func requestsReply(list []entry, count int, dropped, next int64) map[string]any {
	if list == nil {
		list = []entry{}
	}
	return map[string]any{"requests": list, "count": count, "dropped": dropped, "next": next}
}

func (c *Control) clearRequests(r *request) (int, any, error) {
	if err := c.needJournal(); err != nil {
		return 0, nil, err
	}
	project, some := r.query.Get("project"), r.query.Has("project")
	c.journal.clear(func(e *entry) bool { return !some || e.Project == project })
	return http.StatusOK, map[string]any{"next": c.journal.next()}, nil
}

func (j *journal) next() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// waitRequests answers with the first requests that match, as soon as so many are
// answered (CTL-74).
func (c *Control) waitRequests(r *request) (int, any, error) {
	if err := c.needJournal(); err != nil {
		return 0, nil, err
	}
	s, err := r.selected()
	if err != nil {
		return 0, nil, err
	}
	count, err := r.number("count", 1, 1, 1<<31)
	if err != nil {
		return 0, nil, err
	}
	timeout, err := r.timeout(defaultWait)
	if err != nil {
		return 0, nil, err
	}
	var list []entry
	var dropped int64
	err = c.await(r.Context(), timeout, func() (bool, error) {
		list, dropped, _ = c.journal.find(s, true)
		return int64(len(list)) >= count, nil
	})
	if isTimeout(err) {
		err = &Error{
			Status: http.StatusConflict, Code: "CTL.NotReached", Message: "not so many requests were answered in " + timeout.String(),
			More: map[string]any{"seen": map[string]any{"count": len(list)}},
		}
	}
	if err != nil {
		return 0, nil, err
	}
	list = list[:count]
	return http.StatusOK, requestsReply(list, len(list), dropped, list[count-1].N), nil
}

// timed fills in when a request came and what it is.
func newEntry(r *http.Request, now, wall time.Time) *entry {
	return &entry{
		At: showTime(now), Wall: showTime(wall), Method: r.Method, Path: r.URL.Path,
		UserAgent: r.UserAgent(), Partitions: []string{},
	}
}
