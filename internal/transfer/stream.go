package transfer

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"disd/internal/schema"
	"disd/internal/storage/catalog"
	"disd/internal/transfer/format"
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

// same reports whether records mean the same by both descriptions.
func (s Stream) same(other Stream) bool {
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

// Streams is where tasks learn about streams.
type Streams interface {
	// Describe returns a stream by its id, or an error when it does not exist.
	Describe(id string) (Stream, error)
	// Exists returns an error when the stream does not exist in the picture of
	// a transaction, so that no task outlives its stream.
	Exists(tx catalog.Tx, id string) error
}

// Values of Stream.DataType.
const (
	blobData = "BLOB"
	jsonData = "JSON"
	csvData  = "CSV"
)

// suits holds a descriptor against the stream (D-1, D-2, E22-R1, OBS-3, OBS-6).
func (d Descriptor) suits(s Stream) error {
	switch d.Type {
	case OBS:
		return d.suitsOBS(s)
	case DLI:
		return firstOf(d.needs(s, jsonData, csvData), needsSchema(s))
	case DWS:
		return firstOf(d.needs(s, jsonData, csvData), needsSchema(s), d.checkColumns(s))
	case MRS:
		return nil
	}
	fault := ErrCloudTableSchema
	if d.Members["opentsdb_schema"] != nil {
		fault = ErrOpenTSDBSchema
	}
	if err := firstOf(d.needs(s, jsonData), d.checkAttributes(s)); err != nil {
		return fmt.Errorf("%w: %w", fault, err)
	}
	return nil
}

func (d Descriptor) suitsOBS(s Stream) error {
	kind := d.Text("destination_file_type")
	switch {
	case kind != "" && kind != textFile && s.DataType != jsonData:
		return invalid("destination_file_type", kind+" needs a stream of data type JSON")
	case kind == carbonFile:
		return invalid("destination_file_type", "CarbonData files cannot be written by this server; parquet and text can")
	case d.Members["processing_schema"] != nil && s.DataType != jsonData:
		return invalid("processing_schema", "needs a stream of data type JSON")
	case kind == parquetFile:
		return representable(s)
	}
	return nil
}

// representable demands a schema that Parquet can stand for.
func representable(s Stream) error {
	if err := needsSchema(s); err != nil {
		return err
	}
	if _, err := format.Parse(s.Schema); err != nil {
		return fmt.Errorf("%w: %w", ErrSchema, err)
	}
	return nil
}

func (d Descriptor) needs(s Stream, types ...string) error {
	if reason := oneOf(types...)(s.DataType); reason != "" {
		return invalid("destination_type", "the data type of the stream "+reason)
	}
	return nil
}

// needsSchema demands the schema that maps attributes of JSON to columns.
func needsSchema(s Stream) error {
	if s.DataType == jsonData && s.Schema == "" {
		return fmt.Errorf("%w: it has none", ErrSchema)
	}
	return nil
}

// checkColumns looks for the columns to load in the schema (DWS-3).
func (d Descriptor) checkColumns(s Stream) error {
	columns := d.Text("dws_table_columns")
	if columns == "" || s.Schema == "" {
		return nil
	}
	a, err := parseSchema(s.Schema)
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(columns, ",") {
		if !a.has(strings.TrimSpace(name)) {
			return invalid("dws_table_columns", "the data schema has no "+name)
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
		raw := find(members, name)
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

// checkAttributes looks for the attributes of a CloudTable schema (CT-8).
func (d Descriptor) checkAttributes(s Stream) error {
	if s.Schema == "" {
		return nil
	}
	a, err := parseSchema(s.Schema)
	if err != nil {
		return err
	}
	for _, name := range d.attributes() {
		if !a.has(name) {
			return invalid("value", "the data schema has no "+name)
		}
	}
	return nil
}

// attributes lists the attributes of a record that a CloudTable task reads: the
// value of whatever is not a constant.
func (d Descriptor) attributes() (names []string) {
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			if name, scalar := v["value"].(string); scalar && v["type"] != "Constant" {
				names = append(names, name)
			}
			for _, member := range v {
				walk(member)
			}
		}
	}
	walk(d.Members["cloudtable_schema"])
	walk(d.Members["opentsdb_schema"])
	return names
}

// attributes of JSON data, as its Avro schema describes them.
type attributes struct {
	root  *schema.Node
	named map[string]*schema.Node
}

func parseSchema(text string) (*attributes, error) {
	root, err := schema.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	a := &attributes{root, make(map[string]*schema.Node)}
	a.collect(a.root)
	return a, nil
}

// collect notes the named records, to which other places may refer, with or
// without their namespace.
func (a *attributes) collect(n *schema.Node) {
	if n == nil {
		return
	}
	if n.Type == "record" {
		a.named[n.Name] = n
		a.named[n.Namespace+"."+n.Name] = n
	}
	a.collect(n.Items)
	a.collect(n.Values)
	for i := range n.Branches {
		a.collect(&n.Branches[i])
	}
	for i := range n.Fields {
		a.collect(&n.Fields[i].Type)
	}
}

// has reports whether there is an attribute of that name, literally or as a
// dotted path into nested objects (CT-4).
func (a *attributes) has(path string) bool { return a.find(a.root, path) }

func (a *attributes) find(n *schema.Node, path string) bool {
	if named := a.named[n.Type]; named != nil {
		n = named
	}
	for i := range n.Branches {
		if a.find(&n.Branches[i], path) {
			return true
		}
	}
	if n.Type == "map" {
		return true
	}
	for i := range n.Fields {
		f := &n.Fields[i]
		rest, nested := strings.CutPrefix(path, f.Name+".")
		if f.Name == path || nested && a.find(&f.Type, rest) {
			return true
		}
	}
	return false
}

// firstOf returns the first error.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
