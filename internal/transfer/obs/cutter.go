package obs

import (
	"strconv"
	"time"

	"disd/internal/storage"
	"disd/internal/transfer/format"
	"disd/internal/transfer/kind"
)

// A file is a part with its records.
type file struct {
	kind.Part
	records []storage.Record
	table   format.Table // the same records
}

// A cutter is the kind.Form that cuts a batch into files, in the order of their
// first records.
type cutter struct {
	settings *settings
	batch    *kind.Batch
	whole    kind.Part
	form     format.Form
	files    []*file
	byDir    map[string]*file
	size     int64 // of all tables
	each     int64 // of a table without rows
	spent    bool  // the files were made, and let go
}

// fileSize is what a file takes without rows: in memory, in the intent and as a
// request of its own. columnSize is what a column adds.
const (
	fileSize   = 8 << 10
	columnSize = 128
)

func newCutter(s *settings, b *kind.Batch) (*cutter, error) {
	form, columns, err := s.form(b.Target.Stream, b.Version)
	if err != nil {
		return nil, err
	}
	return &cutter{
		settings: s, batch: b, whole: s.whole(b), form: form, byDir: make(map[string]*file),
		each: fileSize + int64(columns)*columnSize,
	}, nil
}

// Add implements kind.Form: it puts a record into its file.
func (c *cutter) Add(r storage.Record) error {
	part := c.whole
	if c.settings.split() {
		part.First, part.Last = r.Seq, r.Seq
		if at, ok := c.timeOf(r.Data); ok {
			part.Dir = kind.FormatTime(c.settings.timeFormat(), at)
		}
	}
	f := c.byDir[part.Dir]
	if f == nil {
		f = &file{Part: part, table: c.form.Table()}
	}
	before := f.table.Size()
	if len(f.records) == 0 && len(c.files) > 0 { // one file there is always
		before -= c.each
	}
	if err := f.table.Append(r.Data); err != nil {
		return err
	}
	c.size += f.table.Size() - before
	if f.records = append(f.records, r); len(f.records) == 1 {
		c.files, c.byDir[part.Dir] = append(c.files, f), f
	}
	f.Records, f.Last = len(f.records), part.Last
	return nil
}

// Size implements kind.Form.
func (c *cutter) Size() int64 { return c.size }

// Parts implements kind.Form.
func (c *cutter) Parts() (parts []kind.Part) {
	if c.settings.split() {
		for _, f := range c.files {
			parts = append(parts, f.Part)
		}
	}
	return parts
}

// Keep implements kind.Form.
func (c *cutter) Keep(parts []kind.Part) []storage.Record {
	files, records := []*file{}, []storage.Record{}
	for _, f := range c.files {
		if i := keep(parts, f.Dir); i >= 0 {
			f.Part = parts[i]
			files, records = append(files, f), append(records, f.records...)
		}
	}
	c.files = files
	return records
}

// timeOf reads a record's own time, as the processing schema says.
func (c *cutter) timeOf(data []byte) (t time.Time, ok bool) {
	p, zone := c.settings.Processing, c.batch.Generated.Location()
	v, ok := kind.Attribute(data, p.Name)
	if !ok {
		return t, false
	}
	if p.Type == "String" {
		t, err := time.ParseInLocation(kind.Layout(p.Format), v, zone)
		return t, err == nil
	}
	ms, err := strconv.ParseInt(v, 10, 64)
	return time.UnixMilli(ms).In(zone), err == nil && len(v) == 13
}
