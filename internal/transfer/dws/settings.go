package dws

import (
	"math"
	"strings"

	"disd/internal/field"
	"disd/internal/transfer/kind"
)

var fields = kind.CommonFields(
	kind.Field{Name: "dws_cluster_name", Required: true},
	kind.Field{Name: "dws_cluster_id", Required: true},
	kind.Field{Name: "dws_database_name", Required: true},
	kind.Field{Name: "dws_schema", Required: true},
	kind.Field{Name: "dws_table_name", Required: true},
	kind.Field{Name: "dws_delimiter", Required: true, Valid: kind.OneOf(",", ";", "|")},
	kind.Field{Name: "user_name", Required: true},
	kind.Field{Name: "user_password", Required: true, Secret: true},
	kind.Field{Name: "kms_user_key_name", Required: true},
	kind.Field{Name: "kms_user_key_id", Required: true},
	kind.Field{Name: "obs_bucket_path", Required: true, Valid: kind.IsBucket},
	kind.Field{Name: "file_prefix", Valid: kind.IsPrefix},
	kind.Field{Name: "retry_duration", Valid: kind.IsRetry},
	kind.Field{Name: "dws_table_columns"},
	kind.Field{Name: "options", Shape: kind.Object, Fields: []kind.Field{
		{Name: "fill_missing_fields", Shape: kind.Toggle, Valid: isToggle},
		{Name: "ignore_extra_data", Shape: kind.Toggle, Valid: isToggle},
		{Name: "compatible_illegal_chars", Shape: kind.Toggle, Valid: isToggle},
		{Name: "reject_limit", Valid: isLimit},
		{Name: "error_table_name"},
	}},
)

type settings struct {
	kind.Common
	kind.InBucket
	ClusterName string  `json:"dws_cluster_name"`
	ClusterID   string  `json:"dws_cluster_id"`
	Database    string  `json:"dws_database_name"`
	Schema      string  `json:"dws_schema"`
	Table       string  `json:"dws_table_name"`
	Delimiter   string  `json:"dws_delimiter"`
	User        string  `json:"user_name"`
	KeyName     string  `json:"kms_user_key_name"`
	KeyID       string  `json:"kms_user_key_id"`
	Columns     string  `json:"dws_table_columns"`
	Options     options `json:"options"`
}

type options struct {
	Fill        toggle `json:"fill_missing_fields"`
	Ignore      toggle `json:"ignore_extra_data"`
	Compatible  toggle `json:"compatible_illegal_chars"`
	RejectLimit string `json:"reject_limit"`
	ErrorTable  string `json:"error_table_name"`
}

// A toggle is true or false in one of three spellings (4.4-N1).
type toggle string

func (t toggle) on() bool {
	v := strings.ToLower(string(t))
	return strings.HasPrefix(v, "true") || v == "on"
}

func isToggle(s string) string {
	return kind.OneOf("true", "on", "true/on", "false", "off", "false/off")(strings.ToLower(s))
}

// isLimit accepts a number of rows or "unlimited".
func isLimit(s string) string {
	if s == "unlimited" {
		return ""
	}
	return kind.Between(0, math.MaxInt)(s)
}

// of returns the settings of a target.
func of(t kind.Target) *settings { return t.Settings.(*settings) }

// Place implements kind.Settings. Batches are staged in the bucket, so it counts.
func (s *settings) Place() []string { return []string{s.Agency, s.Bucket, s.ClusterName, s.ClusterID} }

// Suits implements kind.Settings (D-1, D-2).
func (s *settings) Suits(st kind.Stream) error {
	return field.First(st.Needs(kind.JSON, kind.CSV), st.NeedsSchema(), s.checkColumns(st))
}

// checkColumns looks for the columns to load in the schema (DWS-3).
func (s *settings) checkColumns(st kind.Stream) error {
	if s.Columns == "" {
		return nil
	}
	var names []string
	for name := range strings.SplitSeq(s.Columns, ",") {
		names = append(names, strings.TrimSpace(name))
	}
	return st.HasAttributes("dws_table_columns", names...)
}

// Form implements kind.Settings.
func (*settings) Form(b *kind.Batch) (kind.Form, error) { return kind.NewObjects(b.Target.Stream), nil }
