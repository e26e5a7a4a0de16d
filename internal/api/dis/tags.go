package dis

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"disd/internal/api/rest"
	"disd/internal/field"
	"disd/internal/partition"
)

// Limits of a search (T-13).
const (
	maxConditions   = 10 // keys of a list, and values of a key
	maxResourcePage = 1000
)

// tagCalls are the calls about the tags of streams, E34 to E40.
type tagCalls struct{ finder }

// taggable checks the kind of resource in the path; there is one (T-5).
func taggable(c *rest.Call) error {
	if c.Param("type") != "stream" {
		return ErrResourceType
	}
	return nil
}

// taggedStream returns the stream of the path, which is named by its id and must
// be in the caller's project (T-4).
func (s *tagCalls) taggedStream(c *rest.Call) (*partition.Stream, *partition.Info, error) {
	if err := taggable(c); err != nil {
		return nil, nil, err
	}
	st, err := s.streams.GetID(c.Param("id"))
	if errors.Is(err, partition.ErrStreamNotFound) {
		err = ErrNoResource
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := st.Info()
	if err != nil || info.Project != c.Project {
		return nil, nil, ErrNoResource
	}
	c.About("stream", info.Name)
	return st, info, nil
}

// editTags changes tags; of a stream that is gone meanwhile there are none (T-6).
func (s *tagCalls) editTags(st *partition.Stream, edit func([]partition.Tag) ([]partition.Tag, error)) (rest.Reply, error) {
	err := s.streams.EditTags(st, edit)
	if errors.Is(err, partition.ErrStreamNotFound) {
		err = ErrNoResource
	}
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.NoContent()
}

type createTagRequest struct {
	Tag *tag `json:"tag"`
}

// create answers E34.
func (s *tagCalls) create(c *rest.Call) (rest.Reply, error) {
	var in createTagRequest
	if err := rest.Decode(c.Body, &in); err != nil {
		return rest.Reply{}, err
	}
	if in.Tag == nil {
		return rest.Reply{}, field.Invalid("tag", "is required")
	}
	return s.addTags(c, []tag{*in.Tag})
}

func (s *tagCalls) addTags(c *rest.Call, in []tag) (rest.Reply, error) {
	c.About("tag", keysOf(in))
	add, err := checkTags(in)
	if err != nil {
		return rest.Reply{}, err
	}
	st, _, err := s.taggedStream(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return s.editTags(st, func(tags []partition.Tag) ([]partition.Tag, error) {
		for _, t := range add {
			if i := tagIndex(tags, t.Key); i >= 0 {
				tags[i] = t
			} else {
				tags = append(tags, t)
			}
		}
		if len(tags) > maxTags {
			return nil, ErrTagQuota
		}
		return tags, nil
	})
}

// keysOf lists the keys of tags, for the audit log, which says no more than some.
func keysOf(tags []tag) string {
	var keys []string
	for _, t := range tags[:min(len(tags), 2*maxTags)] {
		keys = append(keys, string(t.Key))
	}
	return strings.Join(keys, ",")
}

func tagIndex(tags []partition.Tag, key string) int {
	return slices.IndexFunc(tags, func(t partition.Tag) bool { return t.Key == key })
}

type tagsReply struct {
	Tags []partition.Tag `json:"tags"`
}

// show answers E35.
func (s *tagCalls) show(c *rest.Call) (rest.Reply, error) {
	_, info, err := s.taggedStream(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(tagsReply{sortedTags(info.Tags)})
}

func sortedTags(tags []partition.Tag) []partition.Tag {
	sorted := append([]partition.Tag{}, tags...)
	slices.SortFunc(sorted, func(a, b partition.Tag) int { return cmp.Compare(a.Key, b.Key) })
	return sorted
}

// delete answers E36.
func (s *tagCalls) delete(c *rest.Call) (rest.Reply, error) {
	st, _, err := s.taggedStream(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return s.editTags(st, func(tags []partition.Tag) ([]partition.Tag, error) {
		i := tagIndex(tags, c.Param("tag"))
		if i < 0 {
			return nil, ErrNoTag
		}
		return slices.Delete(tags, i, i+1), nil
	})
}

type tagActionRequest struct {
	Action rest.Text `json:"action"`
	Tags   []tag     `json:"tags"`
}

// act answers E37 and E40.
func (s *tagCalls) act(c *rest.Call) (rest.Reply, error) {
	var in tagActionRequest
	if err := rest.Decode(c.Body, &in); err != nil {
		return rest.Reply{}, err
	}
	if in.Action != "create" && in.Action != "delete" {
		return rest.Reply{}, ErrTagAction
	}
	if len(in.Tags) == 0 {
		return rest.Reply{}, field.Invalid("tags", "is required")
	}
	if in.Action == "create" {
		return s.addTags(c, in.Tags)
	}
	return s.removeTags(c, in.Tags)
}

func (s *tagCalls) removeTags(c *rest.Call, in []tag) (rest.Reply, error) {
	c.About("tag", keysOf(in))
	for _, t := range in {
		if err := field.Present("tags.key", string(t.Key)); err != nil {
			return rest.Reply{}, err
		}
	}
	st, _, err := s.taggedStream(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return s.editTags(st, func(tags []partition.Tag) ([]partition.Tag, error) {
		return slices.DeleteFunc(tags, func(have partition.Tag) bool {
			return slices.ContainsFunc(in, func(t tag) bool { // a value that is given must agree too (E40-R3)
				return string(t.Key) == have.Key && (t.Value == "" || string(t.Value) == have.Value)
			})
		}), nil
	})
}

type tagValues struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

type listTagsReply struct {
	Tags []tagValues `json:"tags"`
}

// list answers E38.
func (s *tagCalls) list(c *rest.Call) (rest.Reply, error) {
	if err := taggable(c); err != nil {
		return rest.Reply{}, err
	}
	values := make(map[string][]string)
	for _, info := range s.streams.List(c.Project) {
		for _, t := range info.Tags {
			values[t.Key] = append(values[t.Key], t.Value)
		}
	}
	out := listTagsReply{[]tagValues{}}
	for key, all := range values {
		slices.Sort(all)
		out.Tags = append(out.Tags, tagValues{key, slices.Compact(all)})
	}
	slices.SortFunc(out.Tags, func(a, b tagValues) int { return cmp.Compare(a.Key, b.Key) })
	return rest.OK(out)
}

// A condition asks for a tag key with one of some values.
type condition struct {
	Key    rest.Text   `json:"key"`
	Values []rest.Text `json:"values"`
}

// matches lists what a name must contain. Clients send it in three forms (E39-N2).
type matches []tag

func (m *matches) UnmarshalJSON(b []byte) error {
	if b[0] != '"' {
		return json.Unmarshal(b, (*[]tag)(m))
	}
	var form string
	if err := json.Unmarshal(b, &form); err != nil {
		return err
	}
	form = strings.TrimSpace(form)
	if form == "" {
		return nil
	}
	if json.Unmarshal([]byte(form), (*[]tag)(m)) == nil {
		return nil
	}
	return m.parseBrackets(form)
}

// parseBrackets reads "[{key=resource_name, value=resource1}]", as typed SDKs
// print a list.
func (m *matches) parseBrackets(form string) error {
	body, ok := strings.CutPrefix(form, "[")
	body, ok2 := strings.CutSuffix(body, "]")
	if !ok || !ok2 {
		*m = matches{{Key: rest.Text(form)}} // refused like any other unknown key
		return nil
	}
	for item := range strings.SplitSeq(body, "}") {
		item = strings.Trim(item, "{, ")
		if item == "" {
			continue
		}
		var t tag
		for pair := range strings.SplitSeq(item, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			switch name {
			case "key":
				t.Key = rest.Text(value)
			case "value":
				t.Value = rest.Text(value)
			}
		}
		*m = append(*m, t)
	}
	return nil
}

type searchRequest struct {
	Action     rest.Text   `json:"action"`
	Limit      rest.Number `json:"limit"`
	Offset     rest.Number `json:"offset"`
	Tags       []condition `json:"tags"`
	TagsAny    []condition `json:"tags_any"`
	NotTags    []condition `json:"not_tags"`
	NotTagsAny []condition `json:"not_tags_any"`
	Matches    matches     `json:"matches"`
}

type resourceReply struct {
	ID     string          `json:"resource_id"`
	Name   string          `json:"resource_name"`
	Detail *struct{}       `json:"resource_detail"` // always null
	Tags   []partition.Tag `json:"tags"`
}

type searchReply struct {
	Resources []resourceReply `json:"resources"`
	Total     int             `json:"total_count"`
}

type countReply struct {
	Total int `json:"total_count"`
}

// search answers E39.
func (s *tagCalls) search(c *rest.Call) (rest.Reply, error) {
	if err := taggable(c); err != nil {
		return rest.Reply{}, err
	}
	var in searchRequest
	if err := rest.Decode(c.Body, &in); err != nil {
		return rest.Reply{}, err
	}
	if in.Action != "filter" && in.Action != "count" {
		return rest.Reply{}, ErrTagAction
	}
	limit, offset, err := in.page()
	if err := field.First(err, in.check()); err != nil {
		return rest.Reply{}, err
	}
	found := []resourceReply{}
	for _, info := range s.streams.List(c.Project) {
		if in.holds(info) {
			found = append(found, resourceReply{ID: info.ID, Name: info.Name, Tags: sortedTags(info.Tags)})
		}
	}
	if in.Action == "count" {
		return rest.OK(countReply{len(found)})
	}
	from := min(offset, len(found))
	return rest.OK(searchReply{found[from:min(from+limit, len(found))], len(found)})
}

// page returns limit and offset, which only count with filter (E39-R2).
func (in *searchRequest) page() (limit, offset int, err error) {
	if in.Action == "count" {
		return maxResourcePage, 0, nil
	}
	l, limitErr := in.Limit.Within("limit", 1, maxResourcePage, maxResourcePage)
	o, offsetErr := in.Offset.Within("offset", 0, maxInt32, 0)
	return int(l), int(o), field.First(limitErr, offsetErr)
}

// check applies T-13, T-15 and T-16.
func (in *searchRequest) check() error {
	if len(in.Matches) > maxConditions { // all are looked for in all names
		return field.Invalid("matches", "has more than 10 elements")
	}
	for _, m := range in.Matches {
		if err := field.OneOf("matches.key", string(m.Key), "resource_name"); err != nil {
			return err
		}
	}
	return field.First(
		checkConditions("tags", in.Tags), checkConditions("tags_any", in.TagsAny),
		checkConditions("not_tags", in.NotTags), checkConditions("not_tags_any", in.NotTagsAny))
}

func checkConditions(name string, list []condition) error {
	if len(list) > maxConditions {
		return field.Invalid(name, "has more than 10 keys")
	}
	for i, e := range list {
		if n := utf8.RuneCountInString(string(e.Key)); n < 1 || n > maxTagKey {
			return field.Invalid(name+".key", "must have 1 to 36 characters")
		}
		if slices.ContainsFunc(list[:i], func(other condition) bool { return other.Key == e.Key }) {
			return field.Invalid(name+".key", "occurs twice: "+string(e.Key))
		}
		values := slices.Clone(e.Values)
		slices.Sort(values)
		if len(e.Values) > maxConditions || len(slices.Compact(values)) < len(e.Values) {
			return field.Invalid(name+".values", "must be at most 10 different ones")
		}
	}
	return nil
}

// holds applies T-10 to T-15.
func (in *searchRequest) holds(info *partition.Info) bool {
	has := func(e condition) bool { return e.matches(info.Tags) }
	hasNot := func(e condition) bool { return !has(e) }
	for _, m := range in.Matches {
		if m.Value == "" || !strings.Contains(strings.ToLower(info.Name), strings.ToLower(string(m.Value))) {
			return false
		}
	}
	return !slices.ContainsFunc(in.Tags, hasNot) &&
		(len(in.TagsAny) == 0 || slices.ContainsFunc(in.TagsAny, has)) &&
		(len(in.NotTags) == 0 || slices.ContainsFunc(in.NotTags, hasNot)) &&
		!slices.ContainsFunc(in.NotTagsAny, has)
}

// matches is K(e) of api.md 6.2.
func (e condition) matches(tags []partition.Tag) bool {
	i := tagIndex(tags, string(e.Key))
	if i < 0 {
		return false
	}
	return len(e.Values) == 0 || slices.ContainsFunc(e.Values, func(v rest.Text) bool {
		if part, ok := strings.CutPrefix(string(v), "*"); ok { // the value need only contain the rest (T-14)
			return strings.Contains(tags[i].Value, part)
		}
		return string(v) == tags[i].Value
	})
}
