package opentsdb

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"disd/internal/transfer/jsontext"
	"disd/internal/transfer/kind"
)

// rules are what points must keep to at one cluster.
type rules struct {
	zone *time.Location // of times without one
	utf8 bool           // the server keeps any letter
}

// A point is one value of a series. Its text is what the server gets.
type point struct {
	series string // metric, time and tags: what names the point
	value  string // a JSON number
}

// json returns the point as the server reads it.
func (p *point) json() string { return p.series + `,"value":` + p.value + "}" }

// points makes the points of a record, one for each element, all or none. The error
// says why the record is bad (TSDB-6).
func points(schema []element, data []byte, r rules) ([]point, error) {
	v, err := jsontext.Parse(data)
	if err != nil || !v.IsObject() {
		return nil, errors.New("it is not a JSON object in UTF-8")
	}
	record := v.Object()
	made := make([]point, len(schema))
	for i := range schema {
		if made[i], err = schema[i].point(record, r); err != nil {
			return nil, fmt.Errorf("opentsdb_schema[%d].%w", i, err)
		}
	}
	return made, nil
}

func (e *element) point(record *jsontext.Object, r rules) (p point, err error) {
	metric, err := e.name(record, r)
	if err != nil {
		return p, fmt.Errorf("metric: %w", err)
	}
	at, err := e.Timestamp.ms(record, r.zone)
	if err != nil {
		return p, fmt.Errorf("timestamp: %w", err)
	}
	if p.value, err = e.Value.number(record); err != nil {
		return p, fmt.Errorf("value: %w", err)
	}
	tags, err := e.tagTexts(record, r)
	if err != nil {
		return p, err
	}
	p.series = `{"metric":` + quote(metric) + `,"timestamp":` + strconv.FormatInt(at, 10) + `,"tags":{` + strings.Join(tags, ",") + "}"
	return p, nil
}

// quote writes a string as JSON.
func quote(s string) string {
	text, _ := json.Marshal(s) // a string cannot fail
	return string(text)
}

// find returns the value of an attribute, nil when it is missing or null.
func find(record *jsontext.Object, name string) (jsontext.Value, error) {
	v, err := record.Find(name)
	if err != nil || v == nil || v.IsNull() {
		return nil, err
	}
	return v, nil
}

var errMissing = errors.New("is missing")

// name joins the parts of the metric (TSDB-7).
func (e *element) name(record *jsontext.Object, r rules) (string, error) {
	parts := make([]string, len(e.Metric))
	for i, p := range e.Metric {
		if p.Type == constant {
			parts[i] = p.Value
			continue
		}
		v, err := find(record, p.Value)
		if err != nil {
			return "", err
		}
		if v == nil {
			return "", errMissing
		}
		text, err := v.As(jsontext.String)
		if err == nil && len(text) == 0 {
			err = errMissing
		}
		if err != nil {
			return "", err
		}
		if parts[i], err = r.clean(string(text)); err != nil {
			return "", err
		}
	}
	return strings.Join(parts, "."), nil
}

// errDamaged is the reason of a name that the server would store as another one.
var errDamaged = errors.New("has a letter that OpenTSDB would store as ?")

// clean replaces the characters that the server refuses (TSDB-11).
func (r rules) clean(s string) (string, error) {
	var out strings.Builder
	for _, c := range s {
		switch {
		case c < 0x80 && (unicode.IsLetter(c) || unicode.IsDigit(c)) || strings.ContainsRune("-_./", c):
		case c >= 0xaa && c <= 0xff && unicode.IsLetter(c):
		case c > 0xff && (unicode.IsLetter(c) || unicode.IsDigit(c)):
			if !r.utf8 {
				return "", errDamaged
			}
		default:
			c = '_'
		}
		out.WriteRune(c)
	}
	return out.String(), nil
}

const (
	seconds  = 1 << 32           // a number below is seconds, from here on ms
	latestMS = 4_294_967_295_999 // the last ms that rows of the server can name
)

var errTime = errors.New("is not a time from 1970 to 2106")

// ms returns the time of a point (TSDB-8, TSDB-9).
func (t *timestamp) ms(record *jsontext.Object, zone *time.Location) (int64, error) {
	v, err := find(record, t.Value)
	if err != nil {
		return 0, err
	}
	if v == nil {
		return 0, errMissing
	}
	if t.Type == textTime {
		return t.parse(v, zone)
	}
	number, err := v.Number()
	if err != nil {
		return 0, err
	}
	n, err := number.Int64()
	if err != nil {
		return 0, err
	}
	if n >= 0 && n < seconds {
		n *= 1000
	}
	// The server would take fewer ms for seconds.
	if n < seconds || n > latestMS {
		return 0, errTime
	}
	return n, nil
}

// parse reads a time that has exactly the format: what time.Parse takes beside it,
// fractions and single digits, would not be written like that again.
func (t *timestamp) parse(v jsontext.Value, zone *time.Location) (int64, error) {
	text, err := v.As(jsontext.String)
	if err != nil {
		return 0, err
	}
	layout := kind.Layout(t.Format)
	day, err := time.Parse(layout, string(text))
	if err != nil || day.Format(layout) != string(text) {
		return 0, errors.New("does not have the format")
	}
	at := time.Date(day.Year(), day.Month(), day.Day(), day.Hour(), day.Minute(), day.Second(), 0, zone)
	if ms := at.UnixMilli(); ms >= seconds && ms <= latestMS {
		return ms, nil
	}
	return 0, errTime
}

// number returns the value of a point as a JSON number. Those of one type have one
// encoding at the server: an integer never follows a float (TSDB-10).
func (a *attribute) number(record *jsontext.Object) (string, error) {
	v, err := find(record, a.Value)
	if err != nil {
		return "", err
	}
	if v == nil {
		return "", errMissing
	}
	if a.Type == jsontext.Boolean {
		return boolean(v)
	}
	if a.Type == jsontext.String && !v.IsString() {
		return "", jsontext.ErrType
	}
	n, err := v.Number()
	if err != nil {
		return "", err
	}
	integer := a.Type == jsontext.Bigint || a.Type == jsontext.Timestamp
	if i, err := n.Int64(); integer || a.Type == jsontext.String && err == nil {
		return strconv.FormatInt(i, 10), err
	}
	f, err := n.Float64()
	text := jsontext.FormatFloat(f)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text, err
}

func boolean(v jsontext.Value) (string, error) {
	if v.IsString() {
		text, err := v.Text()
		if err != nil {
			return "", err
		}
		v = text
	}
	switch string(v) {
	case "true":
		return "1", nil
	case "false":
		return "0", nil
	}
	return "", jsontext.ErrType
}

var errNoTag = errors.New("tags: has none of them")

// tagTexts returns the tags of a point as members of a JSON object, by name. One
// without a usable value is left out (TSDB-11).
func (e *element) tagTexts(record *jsontext.Object, r rules) ([]string, error) {
	var members []string
	for _, t := range e.Tags {
		v, err := find(record, t.Value)
		if err != nil {
			return nil, fmt.Errorf("tags.%s: %w", t.Name, err)
		}
		if v == nil {
			continue
		}
		text, err := v.As(t.Type)
		if err != nil || len(text) == 0 {
			continue
		}
		clean, err := r.clean(string(text))
		if err != nil {
			return nil, fmt.Errorf("tags.%s: %w", t.Name, err)
		}
		members = append(members, quote(t.Name)+":"+quote(clean))
	}
	if len(members) == 0 {
		return nil, errNoTag
	}
	slices.Sort(members)
	return members, nil
}
