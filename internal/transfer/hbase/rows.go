package hbase

import (
	"errors"
	"fmt"

	"disd/internal/transfer/jsontext"
)

// limits are what a row must keep to so that the server answers (HBASE-8, HBASE-9).
type limits struct {
	cell  int // bytes of a cell with its key
	frame int // bytes of a call, 0 for no limit
}

const (
	maxRowKey    = 32767 // bytes
	cellOverhead = 20    // bytes that HBase adds to a cell when it measures it
)

var errNoCell = errors.New("it has none of the columns")

// row makes the row of a record. Its error says why the record is bad.
func (s *settings) row(data []byte) (row, error) {
	v, err := jsontext.Parse(data)
	if err != nil || !v.IsObject() {
		return row{}, errors.New("it is not a JSON object in UTF-8")
	}
	record := v.Object()
	key, err := s.key(record)
	if err != nil {
		return row{}, err
	}
	r := row{key: key}
	for i, c := range s.Schema.Columns {
		value, err := c.find(record, "columns", i)
		switch {
		case err != nil:
			return row{}, err
		case value == nil:
			continue
		}
		text, err := c.text(value)
		if err != nil {
			return row{}, fmt.Errorf("columns[%d] %s: %w", i, c.Value, err)
		}
		size := len(key) + len(c.Family) + len(c.Name) + len(text) + cellOverhead
		if size > s.limits.cell {
			return row{}, fmt.Errorf("columns[%d] %s: makes a cell of %d bytes, more than %d", i, c.Value, size, s.limits.cell)
		}
		r.cells = append(r.cells, cell{[]byte(c.Family), []byte(c.Name), text})
	}
	if len(r.cells) == 0 {
		return row{}, errNoCell
	}
	if size := callSize(s.Table) + r.size(); s.limits.frame > 0 && size > s.limits.frame {
		return row{}, fmt.Errorf("it makes a call of %d bytes, more than a frame of %d", size, s.limits.frame)
	}
	return r, nil
}

// text returns what the cell of a value holds: of an object or array its text in the
// record, if the type is String.
func (c *column) text(v jsontext.Value) ([]byte, error) {
	if c.Type == jsontext.String && (v.IsObject() || v.IsArray()) {
		return v, nil
	}
	return v.As(c.Type)
}

// key joins the texts of the row key's attributes (CT-2).
func (s *settings) key(record *jsontext.Object) ([]byte, error) {
	var key []byte
	for i, a := range s.Schema.RowKey {
		v, err := a.find(record, "row_key", i)
		if err != nil {
			return nil, err
		}
		if v == nil {
			return nil, fmt.Errorf("row_key[%d] %s: is missing", i, a.Value)
		}
		text, err := v.As(a.Type)
		if err != nil {
			return nil, fmt.Errorf("row_key[%d] %s: %w", i, a.Value, err)
		}
		if i > 0 {
			key = append(key, s.Delimiter...)
		}
		key = append(key, text...)
	}
	if len(key) == 0 || len(key) > maxRowKey {
		return nil, fmt.Errorf("its row key has %d bytes, must have 1 to %d", len(key), maxRowKey)
	}
	return key, nil
}

// find returns the value of an attribute, nil when it is missing or null. list and i
// say for errors where in the schema the attribute is.
func (a *attribute) find(record *jsontext.Object, list string, i int) (jsontext.Value, error) {
	v, err := record.Find(a.Value)
	if err != nil {
		return nil, fmt.Errorf("%s[%d] %s: %w", list, i, a.Value, err)
	}
	if v == nil || v.IsNull() {
		return nil, nil
	}
	return v, nil
}
