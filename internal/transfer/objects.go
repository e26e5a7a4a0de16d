package transfer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"disd/internal/storage"
	"disd/internal/transfer/format"
	"disd/internal/transfer/format/parquet"
	"disd/internal/transfer/format/text"
)

// objects delivers to OBS: each batch is one object, or one for each time
// directory when the directory follows the records (OBS-1 to OBS-5).
type objects struct{}

// Objects returns what delivers tasks of type OBS.
func Objects() Opener { return objects{} }

// Check implements Opener. The bucket of a task is checked by its owner.
func (objects) Check(context.Context, Target) error { return nil }

// Open implements Opener.
func (objects) Open(context.Context, Target) (Sink, error) { return objects{}, nil }

// Close implements Sink.
func (objects) Close() {}

// Deliver implements Sink: putting the same objects again changes nothing.
func (objects) Deliver(ctx context.Context, b Batch) (rejected int64, err error) {
	files, err := b.cut()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	for _, f := range files {
		content, err := f.table.Files("")
		if err != nil {
			return 0, err
		}
		if err := b.Target.Store.Put(ctx, b.Target.Descriptor.Text("obs_bucket_path"), b.key(f.Part), content[0].Content); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// Delivered implements Settler, for batches that are one object. Of the others
// their owner knows the parts.
func (objects) Delivered(ctx context.Context, b Batch) (bool, error) {
	if b.Target.Descriptor.split() {
		return false, nil
	}
	return b.Target.Store.Has(ctx, b.Target.Descriptor.Text("obs_bucket_path"), b.key(b.whole()))
}

// delimiter ends each record of a text file (4.3-N1, 4.3-N2).
func (d Descriptor) delimiter() string {
	switch s := d.Text("record_delimiter"); s {
	case "", `\n`:
		return "\n"
	default:
		return s
	}
}

// split says whether a batch becomes one file for each directory (OBS-3).
func (d Descriptor) split() bool {
	return d.Members["processing_schema"] != nil && d.timeFormat() != ""
}

func (d Descriptor) timeFormat() string {
	if f := d.Text("partition_format"); f != "N/A" {
		return f
	}
	return ""
}

// A Part is what becomes one object: a whole batch, or of one that is split over
// directories, the records of one directory.
type Part struct {
	Dir     string      `json:"dir,omitempty"` // of the time
	First   storage.Seq `json:"first"`
	Last    storage.Seq `json:"last"`
	Records int         `json:"records"`         // number of those that are good
	There   bool        `json:"there,omitempty"` // it is at the destination: what is left of it in the log is not delivered
}

// whole is the only part of a batch that is not split, but for its number of
// records.
func (b *Batch) whole() Part {
	return Part{Dir: layoutOf(b.Target.Descriptor.timeFormat(), b.Generated), First: b.First, Last: b.Last}
}

// A file is a part with its records.
type file struct {
	Part
	records []storage.Record
	table   format.Table // the same records
}

// cut returns the files of a batch whose records are all good.
func (b *Batch) cut() ([]*file, error) {
	if b.files != nil {
		return b.files, nil
	}
	c, err := newCutter(b)
	if err != nil {
		return nil, err
	}
	for _, r := range b.Records {
		if err := c.add(r); err != nil {
			return nil, err
		}
	}
	return c.files, nil
}

// parts returns what a batch is split into; nil when it is not.
func (b *Batch) parts() (parts []Part) {
	if b.Target.Descriptor.split() {
		for _, f := range b.files {
			parts = append(parts, f.Part)
		}
	}
	return parts
}

// restrict leaves of a batch that is split the parts to deliver, with the names that they
// had when all their records were there.
func (b *Batch) restrict(parts []Part) {
	files := b.files
	b.files, b.Records = []*file{}, b.Records[:0]
	for _, f := range files {
		if i := slices.IndexFunc(parts, func(p Part) bool { return p.Dir == f.Dir && !p.There }); i >= 0 {
			f.Part = parts[i]
			b.files, b.Records = append(b.files, f), append(b.Records, f.records...)
		}
	}
}

// A cutter cuts a batch into files, in the order of their first records.
type cutter struct {
	batch *Batch
	whole Part
	split bool
	form  format.Form
	files []*file
	byDir map[string]*file
}

func newCutter(b *Batch) (*cutter, error) {
	d := b.Target.Descriptor
	c := &cutter{batch: b, whole: b.whole(), split: d.split(), form: text.New(d.delimiter()), byDir: make(map[string]*file)}
	if d.Text("destination_file_type") != parquetFile {
		return c, nil
	}
	schema, err := format.Parse(b.Target.Stream.Schema)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	c.form = parquet.New(schema)
	return c, nil
}

// add puts a record into its file. Its error says why the record is bad.
func (c *cutter) add(r storage.Record) error {
	part := c.whole
	if c.split {
		part.First, part.Last = r.Seq, r.Seq
		if at, ok := c.batch.timeOf(r.Data); ok {
			part.Dir = layoutOf(c.batch.Target.Descriptor.timeFormat(), at)
		}
	}
	f := c.byDir[part.Dir]
	if f == nil {
		f = &file{Part: part, table: c.form.Table()}
	}
	if err := f.table.Append(r.Data); err != nil {
		return err
	}
	if f.records = append(f.records, r); len(f.records) == 1 {
		c.files, c.byDir[part.Dir] = append(c.files, f), f
	}
	f.Records, f.Last = len(f.records), part.Last
	return nil
}

// key is the name of an object in its bucket (OBS-1).
func (b *Batch) key(p Part) string {
	d := b.Target.Descriptor
	ext := text.Ext
	if d.Text("destination_file_type") == parquetFile {
		ext = parquet.Ext
	}
	return join(d.Text("file_prefix"), p.Dir, b.Name(p.First, p.Last, ext))
}

// layouts translates the letters of time formats into Go's.
var layouts = strings.NewReplacer("yyyy", "2006", "MM", "01", "dd", "02", "HH", "15", "mm", "04", "ss", "05")

func layoutOf(format string, t time.Time) string { return t.Format(layouts.Replace(format)) }

// timeOf reads a record's own time, as the processing schema says.
func (b *Batch) timeOf(data []byte) (t time.Time, ok bool) {
	d := b.Target.Descriptor
	v, ok := attribute(data, d.Object("processing_schema", "timestamp_name"))
	if !ok {
		return t, false
	}
	if d.Object("processing_schema", "timestamp_type") == "String" {
		layout := layouts.Replace(d.Object("processing_schema", "timestamp_format"))
		t, err := time.ParseInLocation(layout, v, b.Generated.Location())
		return t, err == nil
	}
	ms, err := strconv.ParseInt(v, 10, 64)
	return time.UnixMilli(ms).In(b.Generated.Location()), err == nil && len(v) == 13
}

// attribute returns the text of a scalar in JSON data.
func attribute(data []byte, path string) (string, bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &members) != nil {
		return "", false
	}
	raw := find(members, path)
	if raw == nil {
		return "", false
	}
	s, err := scalar(raw, true)
	return s, err == nil
}

// find returns the value of an attribute by its name, else by its dotted path
// (CT-4); nil when there is none.
func find(members map[string]json.RawMessage, path string) json.RawMessage {
	if raw, ok := members[path]; ok {
		return raw
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		if raw, ok := members[path[:i]]; ok {
			var nested map[string]json.RawMessage
			if json.Unmarshal(raw, &nested) != nil {
				return nil
			}
			return find(nested, path[i+1:])
		}
	}
	return nil
}
