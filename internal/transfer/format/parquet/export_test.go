package parquet

import "disd/internal/transfer/format"

// NewPages is New for files with pages of so many bytes.
func NewPages(s *format.Schema, page int) format.Form {
	f := New(s, Version).(*form)
	f.page = page
	return f
}
