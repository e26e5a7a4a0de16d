// Package text makes text files: records as they are, one behind the other
// (OBS-4).
package text

import "disd/internal/transfer/format"

// Ext is the extension of text files.
const Ext = ".txt"

// New returns the form of files in which each record is followed by a delimiter.
func New(delimiter string) format.Form { return form(delimiter) }

type form string

func (f form) Table() format.Table { return &table{delimiter: string(f)} }

// A table holds records whose data it does not copy.
type table struct {
	delimiter string
	records   [][]byte
	size      int64 // of the file
}

// header is what a record takes beside its data.
const header = 24

// Append implements format.Table. Every record fits.
func (t *table) Append(data []byte) error {
	t.records = append(t.records, data)
	t.size += int64(len(data) + len(t.delimiter))
	return nil
}

// Size implements format.Table.
func (t *table) Size() int64 { return header * int64(len(t.records)) }

// Files implements format.Table.
func (t *table) Files(string) ([]format.File, error) {
	out := make([]byte, 0, t.size)
	for _, data := range t.records {
		out = append(append(out, data...), t.delimiter...)
	}
	return []format.File{{Ext: Ext, Content: out}}, nil
}
