package kind

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"

	"disd/internal/storage"
)

// Values returns attributes of JSON data as text, strings without their quotes;
// nil for null and for what is not there. Each is looked for by its name, else by
// its dotted path (CT-4).
func Values(data []byte, attributes []string) ([][]byte, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("it is not UTF-8") // which decoding would mend
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, err
	}
	values := make([][]byte, len(attributes))
	for i, name := range attributes {
		raw := Find(members, name)
		switch {
		case raw == nil || string(raw) == "null":
		case raw[0] == '"':
			var s string
			if err := json.Unmarshal(raw, &s); err != nil {
				return nil, err
			}
			values[i] = []byte(s)
		default:
			values[i] = raw
		}
	}
	return values, nil
}

// Attribute returns the text of a scalar in JSON data.
func Attribute(data []byte, path string) (string, bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &members) != nil {
		return "", false
	}
	raw := Find(members, path)
	if raw == nil {
		return "", false
	}
	s, err := scalar(raw, true)
	return s, err == nil
}

// Find returns the value of an attribute by its name, else by its dotted path
// (CT-4); nil when there is none.
func Find(members map[string]json.RawMessage, path string) json.RawMessage {
	if raw, ok := members[path]; ok {
		return raw
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		if raw, ok := members[path[:i]]; ok {
			var nested map[string]json.RawMessage
			if json.Unmarshal(raw, &nested) != nil {
				return nil
			}
			return Find(nested, path[i+1:])
		}
	}
	return nil
}

// Objects is a Form that takes JSON objects, where the stream says that its data
// is JSON, and otherwise every record (D-9).
type Objects struct {
	Any
	demanded bool
}

// NewObjects returns the form of a batch of a stream.
func NewObjects(s Stream) Objects { return Objects{demanded: s.DataType == JSON} }

// Add implements Form.
func (o Objects) Add(r storage.Record) error {
	if o.demanded && (!json.Valid(r.Data) || bytes.TrimLeft(r.Data, " \t\r\n")[0] != '{') {
		return errors.New("it is not a JSON object")
	}
	return nil
}

// Delimited writes records one behind the other, each followed by the delimiter
// (OBS-4).
func Delimited(records []storage.Record, delimiter string) []byte {
	size := 0
	for i := range records {
		size += len(records[i].Data) + len(delimiter)
	}
	out := make([]byte, 0, size)
	for i := range records {
		out = append(append(out, records[i].Data...), delimiter...)
	}
	return out
}
