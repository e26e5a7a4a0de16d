package kind

import (
	"fmt"
	"reflect"
	"time"

	"disd/internal/field"
)

// A Stream is what a task must know of the stream it reads.
type Stream struct {
	ID          string           `json:"id"`
	Project     string           `json:"project"`
	Name        string           `json:"name"`
	DataType    string           `json:"data_type"` // BLOB, JSON or CSV
	Schema      string           `json:"schema,omitempty"`
	Compression string           `json:"compression,omitempty"` // of the bytes inside records: snappy, gzip, zip or ""
	Delimiter   string           `json:"delimiter,omitempty"`   // of CSV fields
	Partitions  []PartitionState `json:"-"`                     // by id, the expired ones too
	Frozen      bool             `json:"-"`                     // by the operator: its tasks pause (L-3)
	Retention   time.Duration    `json:"-"`                     // how long a record is kept
}

// Same reports whether records mean the same by both descriptions.
func (s Stream) Same(other Stream) bool {
	s.Partitions, s.Retention, other.Partitions, other.Retention = nil, 0, nil, 0
	return reflect.DeepEqual(s, other)
}

// A PartitionState says which records a partition still gives.
type PartitionState int

const (
	Active  PartitionState = iota // records arrive
	Deleted                       // no record arrives any more; the rest is read
	Expired                       // its records are gone
)

// Values of Stream.DataType.
const (
	BLOB = "BLOB"
	JSON = "JSON"
	CSV  = "CSV"
)

// Needs demands one of some data types.
func (s Stream) Needs(types ...string) error {
	if reason := OneOf(types...)(s.DataType); reason != "" {
		return field.Invalid("destination_type", "the data type of the stream "+reason)
	}
	return nil
}

// NeedsSchema demands the schema that maps attributes of JSON to columns.
func (s Stream) NeedsSchema() error {
	if s.DataType == JSON && s.Schema == "" {
		return fmt.Errorf("%w: it has none", ErrSchema)
	}
	return nil
}

// HasAttributes looks for attributes in the data schema, if there is one (CT-8).
// The error is about a member of the descriptor.
func (s Stream) HasAttributes(member string, names ...string) error {
	if s.Schema == "" {
		return nil
	}
	a, err := parseSchema(s.Schema)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !a.has(name) {
			return field.Invalid(member, "the data schema has no "+name)
		}
	}
	return nil
}

// Attributes returns the names of the attributes of a record, in the order of
// the data schema; none without one. ErrSchema.
func (s Stream) Attributes() (names []string, err error) {
	if s.Schema == "" {
		return nil, nil
	}
	a, err := parseSchema(s.Schema)
	if err != nil {
		return nil, err
	}
	for i := range a.root.Fields {
		names = append(names, a.root.Fields[i].Name)
	}
	return names, nil
}
