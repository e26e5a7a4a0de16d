// Package dli is the kind of destination that is a table of DLI (4.6). This server
// has no such databases yet, so every task is refused.
package dli

import (
	"disd/internal/field"
	"disd/internal/transfer/kind"
)

var fields = kind.CommonFields(
	kind.Field{Name: "dli_database_name", Required: true},
	kind.Field{Name: "dli_table_name", Required: true},
	kind.Field{Name: "obs_bucket_path", Required: true, Valid: kind.IsBucket},
	kind.Field{Name: "file_prefix", Valid: kind.IsPrefix},
	kind.Field{Name: "retry_duration", Valid: kind.IsRetry},
)

// Kind returns the kind of destination.
func Kind() kind.Kind {
	return kind.Kind{
		Type:   kind.DLI,
		Fields: fields, Decode: kind.Decoder[settings](fields),
		ErrorDir: "dli_error", Ext: ".csv", GivesUp: true, Missing: kind.ErrDLIDatabase,
	}
}

type settings struct {
	kind.Common
	kind.InBucket
	Database string `json:"dli_database_name"`
	Table    string `json:"dli_table_name"`
}

// Place implements kind.Settings: all databases have one address (DLI-12).
func (*settings) Place() []string { return nil }

// Suits implements kind.Settings.
func (*settings) Suits(s kind.Stream) error {
	return field.First(s.Needs(kind.JSON, kind.CSV), s.NeedsSchema())
}

// Form implements kind.Settings.
func (*settings) Form(b *kind.Batch) (kind.Form, error) { return kind.NewObjects(b.Target.Stream), nil }
