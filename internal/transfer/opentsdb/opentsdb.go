// Package opentsdb is the kind of destination that is CloudTable OpenTSDB (4.7).
// This server has no such clusters yet, so every task is refused.
package opentsdb

import (
	"fmt"

	"disd/internal/field"
	"disd/internal/transfer/kind"
)

var fields = kind.CommonFields(
	kind.Field{Name: "cloudtable_cluster_name", Required: true},
	kind.Field{Name: "cloudtable_cluster_id", Required: true},
	kind.Field{Name: "opentsdb_schema", Shape: kind.List, Fault: kind.ErrOpenTSDBSchema, Fields: []kind.Field{
		{Name: "metric", Shape: kind.List, Required: true, Fields: []kind.Field{
			{Name: "type", Required: true, Valid: kind.OneOf(constant, "String")},
			{Name: "value", Required: true, Valid: kind.IsWord('.')},
		}},
		{Name: "timestamp", Shape: kind.Object, Required: true, Whole: kind.FormatNeeded("timestamp", "type", "format"), Fields: []kind.Field{
			{Name: "type", Required: true, Valid: kind.OneOf("Timestamp", "String")},
			{Name: "value", Required: true, Valid: kind.IsWord('_')},
			{Name: "format", Valid: kind.OneOf(kind.TimestampFormats...)},
		}},
		{Name: "value", Shape: kind.Object, Required: true, Fields: []kind.Field{
			{Name: "type", Required: true, Valid: kind.IsValueType},
			{Name: "value", Required: true, Valid: kind.IsWord('_')},
		}},
		{Name: "tags", Shape: kind.List, Required: true, Fields: []kind.Field{
			{Name: "name", Required: true, Valid: kind.IsWord('_')},
			{Name: "type", Required: true, Valid: kind.IsValueType},
			{Name: "value", Required: true, Valid: kind.IsWord('_')},
		}},
	}},
	kind.Field{Name: "obs_backup_bucket_path", Valid: kind.IsBucket},
	kind.Field{Name: "backup_file_prefix", Valid: kind.IsPrefix},
	kind.Field{Name: "retry_duration", Valid: kind.IsRetry},
)

// constant is the type of a part of a metric that is no attribute.
const constant = "Constant"

// Kind returns the kind of destination. It is one of two of its type.
func Kind() kind.Kind {
	return kind.Kind{
		Type:    kind.CloudTable,
		Variant: "opentsdb_schema", Fault: kind.ErrOpenTSDBSchema,
		Fields: fields, Decode: kind.Decoder[settings](fields),
		ErrorDir: "opentsdb_error", Ext: ".txt", GivesUp: true, Missing: kind.ErrCloudTableCluster,
	}
}

type settings struct {
	kind.Common
	kind.InBackupBucket
	ClusterName string    `json:"cloudtable_cluster_name"`
	ClusterID   string    `json:"cloudtable_cluster_id"`
	Schema      []element `json:"opentsdb_schema"`
}

// An element makes one point of a record.
type element struct {
	Metric    []attribute `json:"metric"`
	Timestamp timestamp   `json:"timestamp"`
	Value     attribute   `json:"value"`
	Tags      []tag       `json:"tags"`
}

// An attribute of a record, or a constant, with its type.
type attribute struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type timestamp struct {
	attribute
	Format string `json:"format"`
}

type tag struct {
	Name string `json:"name"`
	attribute
}

// Place implements kind.Settings.
func (s *settings) Place() []string { return []string{s.ClusterName, s.ClusterID} }

// Suits implements kind.Settings (CT-8).
func (s *settings) Suits(st kind.Stream) error {
	err := field.First(st.Needs(kind.JSON), st.HasAttributes("value", s.attributes()...))
	if err != nil {
		return fmt.Errorf("%w: %w", kind.ErrOpenTSDBSchema, err)
	}
	return nil
}

func (s *settings) attributes() (names []string) {
	for i := range s.Schema {
		e := &s.Schema[i]
		for _, m := range e.Metric {
			if m.Type != constant {
				names = append(names, m.Value)
			}
		}
		names = append(names, e.Timestamp.Value, e.Value.Value)
		for _, t := range e.Tags {
			names = append(names, t.Value)
		}
	}
	return names
}

// Form implements kind.Settings.
func (*settings) Form(b *kind.Batch) (kind.Form, error) { return kind.NewObjects(b.Target.Stream), nil }
