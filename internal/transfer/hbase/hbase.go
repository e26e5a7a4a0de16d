// Package hbase is the kind of destination that is a table of CloudTable HBase
// (4.7). This server has no such clusters yet, so every task is refused.
package hbase

import (
	"fmt"

	"disd/internal/field"
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

// Kind returns the kind of destination. It is one of two of its type.
func Kind() kind.Kind {
	return kind.Kind{
		Type:    kind.CloudTable,
		Variant: "cloudtable_schema", Fault: kind.ErrCloudTableSchema,
		Fields: fields, Decode: kind.Decoder[settings](fields),
		ErrorDir: "cloudtable_error", Ext: ".txt", GivesUp: true, Missing: kind.ErrCloudTableCluster,
	}
}

type settings struct {
	kind.Common
	kind.InBackupBucket
	ClusterName string `json:"cloudtable_cluster_name"`
	ClusterID   string `json:"cloudtable_cluster_id"`
	Table       string `json:"cloudtable_table_name"`
	Schema      schema `json:"cloudtable_schema"`
	Delimiter   string `json:"cloudtable_row_key_delimiter"`
}

type schema struct {
	RowKey  []attribute `json:"row_key"`
	Columns []column    `json:"columns"`
}

// An attribute of a record, with the type of the text that it becomes.
type attribute struct {
	Value string `json:"value"`
	Type  string `json:"type"`
}

type column struct {
	Family string `json:"column_family_name"`
	Name   string `json:"column_name"`
	attribute
}

// Place implements kind.Settings.
func (s *settings) Place() []string { return []string{s.ClusterName, s.ClusterID} }

// Valid implements kind.Settings (CT-8).
func (s *settings) Valid() error {
	if s.Table == "" {
		return fmt.Errorf("%w: %w", kind.ErrCloudTableSchema, field.Invalid("cloudtable_table_name", "is required"))
	}
	return nil
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

// Form implements kind.Settings.
func (*settings) Form(b *kind.Batch) (kind.Form, error) { return kind.NewObjects(b.Target.Stream), nil }
