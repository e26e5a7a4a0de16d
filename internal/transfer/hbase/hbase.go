// Package hbase is the kind of destination that is a table of CloudTable HBase
// (4.7), reached by Thrift 2. Each record becomes cells whose time is a function of
// it, so that writing them again changes nothing.
package hbase

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode"

	"disd/internal/field"
	"disd/internal/storage"
	"disd/internal/transfer/jsontext"
	"disd/internal/transfer/kind"
)

var fields = kind.CommonFields(
	kind.Field{Name: "cloudtable_cluster_name", Required: true},
	kind.Field{Name: "cloudtable_cluster_id", Required: true},
	kind.Field{Name: "cloudtable_table_name"},
	kind.Field{Name: "cloudtable_schema", Shape: kind.Object, Fault: kind.ErrCloudTableSchema, Fields: []kind.Field{
		{Name: "row_key", Shape: kind.List, Required: true, Most: 64, Fields: []kind.Field{
			{Name: "value", Required: true},
			{Name: "type", Required: true, Valid: kind.IsValueType},
		}},
		{Name: "columns", Shape: kind.List, Required: true, Most: 4096, Fields: []kind.Field{
			{Name: "column_family_name", Required: true},
			{Name: "column_name", Required: true, Valid: kind.IsWord('_')},
			{Name: "value", Required: true},
			{Name: "type", Required: true, Valid: kind.IsValueType},
		}},
	}},
	kind.Field{Name: "cloudtable_row_key_delimiter", Valid: kind.OneOf(",", ".", "|", ";", `\`, "-", "_", "~")},
	kind.Field{Name: "obs_backup_bucket_path", Valid: kind.IsBucket},
	kind.Field{Name: "backup_file_prefix", Valid: kind.IsPrefix},
	kind.Field{Name: "retry_duration", Valid: kind.IsRetry},
)

// A Cluster is what a task names by cloudtable_cluster_name and
// cloudtable_cluster_id.
type Cluster struct {
	Name, ID string
	Gateway
}

// A Gateway is how a cluster is reached. What is zero has its default (HBASE-1).
type Gateway struct {
	Thrift  []string      `yaml:"thrift"`  // host:port of Thrift 2 servers
	Framed  bool          `yaml:"framed"`  // framed transport
	Frame   int           `yaml:"frame"`   // bytes of the largest frame, 64 KiB to 1 GiB; default 2 MiB
	Timeout time.Duration `yaml:"timeout"` // of a call, 1 s to 1 h; default 1 min
	Cell    int           `yaml:"cell"`    // bytes of a cell with its key, up to 1 GiB; default 10 MiB
}

// Kind returns the kind of destination. It is one of two of its type, and connects
// to nothing.
func Kind(list []Cluster) (kind.Kind, error) {
	all := make(clusters)
	for _, c := range list {
		cluster, err := c.check()
		if err != nil {
			return kind.Kind{}, fmt.Errorf("cluster %s: hbase.%w", c.Name, err)
		}
		all[[2]string{c.Name, c.ID}] = cluster
	}
	decode := kind.Decoder[settings](fields)
	return kind.Kind{
		Type:    kind.CloudTable,
		Variant: "cloudtable_schema", Fault: kind.ErrCloudTableSchema,
		Fields: fields,
		Decode: func(d kind.Descriptor) (kind.Settings, error) {
			decoded, err := decode(d)
			if err != nil {
				return nil, err
			}
			s := decoded.(*settings)
			s.complete(all)
			return s, nil
		},
		ErrorDir: "cloudtable_error", Ext: ".txt", GivesUp: true,
		Opener: all, Missing: kind.ErrCloudTableCluster,
	}, nil
}

const defaultCell = 10 << 20

// check makes a cluster of the configuration. The error begins with the key.
func (c *Cluster) check() (*cluster, error) {
	if len(c.Thrift) == 0 {
		return nil, errors.New("thrift: at least one address is needed")
	}
	for _, address := range c.Thrift {
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("thrift: %q is not host:port", address)
		}
	}
	g := c.Gateway
	for _, limit := range []struct {
		key                    string
		n                      *int
		byDefault, least, most int
	}{
		{"frame", &g.Frame, 2 << 20, 64 << 10, 1 << 30},
		{"cell", &g.Cell, defaultCell, 1, 1 << 30},
	} {
		if *limit.n == 0 {
			*limit.n = limit.byDefault
		}
		if *limit.n < limit.least || *limit.n > limit.most {
			return nil, fmt.Errorf("%s: must be from %d to %d", limit.key, limit.least, limit.most)
		}
	}
	if g.Timeout == 0 {
		g.Timeout = time.Minute
	}
	if g.Timeout < time.Second || g.Timeout > time.Hour {
		return nil, errors.New("timeout: must be from 1s to 1h")
	}
	return &cluster{Gateway: g, name: c.Name}, nil
}

type settings struct {
	kind.Common
	kind.InBackupBucket
	ClusterName string `json:"cloudtable_cluster_name"`
	ClusterID   string `json:"cloudtable_cluster_id"`
	Table       string `json:"cloudtable_table_name"`
	Schema      schema `json:"cloudtable_schema"`
	Delimiter   string `json:"cloudtable_row_key_delimiter"`

	limits limits // of the cluster
}

// complete adds what the descriptor leaves to defaults and to the configuration.
func (s *settings) complete(all clusters) {
	if s.Delimiter == "" {
		s.Delimiter = "."
	}
	s.limits = limits{cell: defaultCell}
	if c := all[[2]string{s.ClusterName, s.ClusterID}]; c != nil {
		s.limits = c.limits()
	}
}

// A schema says what of a record becomes a row.
type schema struct {
	RowKey  []attribute `json:"row_key"`
	Columns []column    `json:"columns"`
}

// An attribute of a record, with the type of the text that it becomes.
type attribute struct {
	Value string        `json:"value"`
	Type  jsontext.Type `json:"type"`
}

type column struct {
	Family string `json:"column_family_name"`
	Name   string `json:"column_name"`
	attribute
}

// Place implements kind.Settings.
func (s *settings) Place() []string { return []string{s.ClusterName, s.ClusterID} }

// Valid implements kind.Settings (CT-8, HBASE-3).
func (s *settings) Valid() error {
	if s.Table == "" {
		return fmt.Errorf("%w: %w", kind.ErrCloudTableSchema, field.Invalid("cloudtable_table_name", "is required"))
	}
	there := make(map[[2]string]bool)
	for _, c := range s.Schema.Columns {
		reason := checkFamily(c.Family)
		if there[[2]string{c.Family, c.Name}] {
			reason = c.Family + " has the column_name " + c.Name + " twice"
		}
		if reason != "" {
			return fmt.Errorf("%w: %w", kind.ErrCloudTableSchema, field.Invalid("cloudtable_schema.columns.column_family_name", reason))
		}
		there[[2]string{c.Family, c.Name}] = true
	}
	return nil
}

// checkFamily says what is wrong with the name of a column family.
func checkFamily(name string) (reason string) {
	switch {
	case strings.HasPrefix(name, "."):
		return "must not begin with a dot"
	case strings.ContainsFunc(name, func(r rune) bool { return r == ':' || unicode.IsControl(r) }):
		return "must not have a colon or a control character"
	}
	return ""
}

// Suits implements kind.Settings (CT-8).
func (s *settings) Suits(st kind.Stream) error {
	err := field.First(st.Needs(kind.JSON), st.HasAttributes("value", s.Schema.attributes()...))
	if err != nil {
		return fmt.Errorf("%w: %w", kind.ErrCloudTableSchema, err)
	}
	return nil
}

func (s *schema) attributes() (names []string) {
	for _, a := range s.RowKey {
		names = append(names, a.Value)
	}
	for _, c := range s.Columns {
		names = append(names, c.Value)
	}
	return names
}

// Form implements kind.Settings: it says which records make no row.
func (s *settings) Form(*kind.Batch) (kind.Form, error) { return form{settings: s}, nil }

type form struct {
	kind.Any
	settings *settings
}

// Add implements kind.Form.
func (f form) Add(r storage.Record) error {
	_, err := f.settings.row(r.Data)
	return err
}
