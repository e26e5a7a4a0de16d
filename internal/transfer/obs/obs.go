// Package obs is the kind of destination that is OBS itself: each batch is one
// object, or one for each time directory when the directory follows the records
// (OBS-1 to OBS-5).
package obs

import (
	"context"
	"fmt"
	"path"
	"slices"

	"disd/internal/field"
	"disd/internal/transfer/format"
	"disd/internal/transfer/format/carbon"
	"disd/internal/transfer/format/parquet"
	"disd/internal/transfer/format/text"
	"disd/internal/transfer/kind"
)

// Values of destination_file_type; absent means textFile.
const (
	textFile    = "text"
	parquetFile = "parquet"
	carbonFile  = "carbon"
)

// anyDirectory is a partition_format that makes no time directories.
const anyDirectory = "N/A"

// partitionFormats are the time directories, by growing precision.
var partitionFormats = []string{"yyyy", "yyyy/MM", "yyyy/MM/dd", "yyyy/MM/dd/HH", "yyyy/MM/dd/HH/mm"}

var fields = kind.CommonFields(
	kind.Field{Name: "file_prefix", Valid: kind.IsPrefix},
	kind.Field{Name: "partition_format", Valid: kind.OneOf(append([]string{anyDirectory}, partitionFormats...)...)},
	kind.Field{Name: "obs_bucket_path", Required: true, Valid: kind.IsBucket},
	kind.Field{Name: "destination_file_type", Valid: kind.OneOf(textFile, parquetFile, carbonFile)},
	kind.Field{Name: "processing_schema", Shape: kind.Object, Whole: kind.FormatNeeded("processing_schema", "timestamp_type", "timestamp_format"), Fields: []kind.Field{
		{Name: "timestamp_name", Required: true},
		{Name: "timestamp_type", Required: true, Valid: kind.OneOf("String", "Timestamp")},
		{Name: "timestamp_format", Valid: kind.OneOf(kind.TimestampFormats...)},
	}},
	kind.Field{Name: "record_delimiter", Valid: kind.OneOf(",", ";", "|", "\n", `\n`)},
)

// Kind returns the kind of destination. It needs nothing but the task's Store.
func Kind() kind.Kind {
	return kind.Kind{
		Type:   kind.OBS,
		Fields: fields, Decode: kind.Decoder[settings](fields),
		ErrorDir: "obs_error", Ext: ".txt", Opener: opener{},
	}
}

type settings struct {
	kind.Common
	kind.InBucket
	PartitionFormat string      `json:"partition_format"`
	FileType        string      `json:"destination_file_type"`
	Processing      *processing `json:"processing_schema"`
	Delimiter       string      `json:"record_delimiter"`
}

// A processing schema says where a record has its own time (OBS-3).
type processing struct {
	Name   string `json:"timestamp_name"`
	Type   string `json:"timestamp_type"`
	Format string `json:"timestamp_format"`
}

// Place implements kind.Settings.
func (s *settings) Place() []string { return []string{s.Agency, s.Bucket} }

// Suits implements kind.Settings.
func (s *settings) Suits(st kind.Stream) error {
	switch {
	case s.FileType != "" && s.FileType != textFile && st.DataType != kind.JSON:
		return field.Invalid("destination_file_type", s.FileType+" needs a stream of data type JSON")
	case s.Processing != nil && st.DataType != kind.JSON:
		return field.Invalid("processing_schema", "needs a stream of data type JSON")
	case s.columnar():
		return field.First(st.NeedsSchema(), s.representable(st))
	}
	return nil
}

// columnar says whether files have the columns of the stream's schema.
func (s *settings) columnar() bool { return s.FileType == parquetFile || s.FileType == carbonFile }

// representable demands a schema that the files can stand for.
func (s *settings) representable(st kind.Stream) error {
	_, _, err := s.form(st, parquet.Version)
	return err
}

// form returns the form of files, by a version of the rules, and its number of columns.
func (s *settings) form(st kind.Stream, version int) (form format.Form, columns int, err error) {
	if !s.columnar() {
		return text.New(s.delimiter()), 0, nil
	}
	schema, err := format.Parse(st.Schema)
	switch {
	case err != nil:
	case s.FileType == carbonFile:
		form, err = carbon.New(schema)
	default:
		form = parquet.New(schema, version)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", kind.ErrSchema, err)
	}
	return form, schema.Root.Leaves, nil
}

// extensions are those of the files that belong together, in the order in which they
// are stored. When the last is there, all are.
func (s *settings) extensions() []string {
	switch s.FileType {
	case parquetFile:
		return []string{parquet.Ext}
	case carbonFile:
		return []string{carbon.Ext, carbon.IndexExt}
	}
	return []string{text.Ext}
}

// delimiter ends each record of a text file (4.3-N1, 4.3-N2).
func (s *settings) delimiter() string {
	if s.Delimiter == "" || s.Delimiter == `\n` {
		return "\n"
	}
	return s.Delimiter
}

// split says whether a batch becomes one file for each directory (OBS-3).
func (s *settings) split() bool { return s.Processing != nil && s.timeFormat() != "" }

func (s *settings) timeFormat() string {
	if s.PartitionFormat == anyDirectory {
		return ""
	}
	return s.PartitionFormat
}

// key is the name of an object in its bucket (OBS-1).
func (s *settings) key(b *kind.Batch, p kind.Part, ext string) string {
	return kind.Key(s.Prefix, p.Dir, b.Name(p.First, p.Last, ext))
}

// named returns the part by which a file is named: of a batch that is not split, the
// batch, whose end was not known when the file was begun.
func (s *settings) named(b *kind.Batch, p kind.Part) kind.Part {
	if s.split() {
		return p
	}
	return s.whole(b)
}

// parts are what a batch consists of.
func (s *settings) parts(b *kind.Batch) []kind.Part {
	if b.Parts == nil {
		return []kind.Part{s.whole(b)}
	}
	return b.Parts
}

// whole is the only part of a batch that is not split, but for its number of
// records.
func (s *settings) whole(b *kind.Batch) kind.Part {
	return kind.Part{Dir: kind.FormatTime(s.timeFormat(), b.Generated), First: b.First, Last: b.Last}
}

// An opener opens sinks. They hold nothing.
type opener struct{}

// Check implements kind.Opener. The bucket is checked by the engine.
func (opener) Check(context.Context, kind.Target) error { return nil }

// Open implements kind.Opener.
func (opener) Open(_ context.Context, t kind.Target) (kind.Sink, error) {
	return &sink{settings: t.Settings.(*settings)}, nil
}

type sink struct {
	kind.Plain
	settings *settings
}

// Deliver implements kind.Sink: putting the same objects again changes nothing.
func (k *sink) Deliver(ctx context.Context, b kind.Batch) (kind.Receipt, error) {
	files, err := k.cut(&b)
	if err != nil {
		return kind.Receipt{}, fmt.Errorf("%w: %w", kind.ErrRefused, err)
	}
	for i, f := range files {
		files[i] = nil // one file at a time is in memory
		if err := k.put(ctx, &b, f); err != nil {
			return kind.Receipt{}, err
		}
	}
	return kind.Receipt{}, nil
}

// put puts the objects of a part.
func (k *sink) put(ctx context.Context, b *kind.Batch, f *file) error {
	part := k.settings.named(b, f.Part)
	files, err := f.table.Files(path.Base(k.settings.key(b, part, "")))
	if err != nil {
		return err
	}
	for _, o := range files {
		if err := b.Target.Store.Put(ctx, k.settings.Bucket, k.settings.key(b, part, o.Ext), o.Content); err != nil {
			return err
		}
	}
	return nil
}

// cut returns the files of a batch: those of its form, or new ones if it has none.
func (k *sink) cut(b *kind.Batch) ([]*file, error) {
	if c, ok := b.Form.(*cutter); ok && !c.spent {
		c.spent = true
		return c.files, nil
	}
	c, err := newCutter(k.settings, b)
	if err != nil {
		return nil, err
	}
	for _, r := range b.Records {
		if err := c.Add(r); err != nil {
			return nil, err
		}
	}
	return c.files, nil
}

// Delivered implements kind.Sink. Of a batch that is split, all parts must be there.
func (k *sink) Delivered(ctx context.Context, b kind.Batch) (bool, error) {
	if b.Parts == nil && k.settings.split() {
		return false, nil // it was not cut yet
	}
	for _, p := range k.settings.parts(&b) {
		if there, err := k.has(ctx, &b, p); err != nil || !there {
			return false, err
		}
	}
	return true, nil
}

// has reports whether a part is there, whole.
func (k *sink) has(ctx context.Context, b *kind.Batch, p kind.Part) (bool, error) {
	all := k.settings.extensions()
	return b.Target.Store.Has(ctx, k.settings.Bucket, k.settings.key(b, p, all[len(all)-1]))
}

// Clean implements kind.Sink.
func (k *sink) Clean(ctx context.Context, b kind.Batch) error {
	for _, p := range k.settings.parts(&b) {
		if err := k.clean(ctx, &b, p); err != nil {
			return err
		}
	}
	return nil
}

// clean removes what is left of a part. Its first object without its last would be
// read as if the part were there (CARBON-12).
func (k *sink) clean(ctx context.Context, b *kind.Batch, p kind.Part) error {
	all := k.settings.extensions()
	for _, ext := range all {
		if err := b.Target.Store.Abandon(ctx, k.settings.Bucket, k.settings.key(b, p, ext)); err != nil {
			return err
		}
	}
	if len(all) == 1 {
		return nil
	}
	if there, err := k.has(ctx, b, p); err != nil || there {
		return err
	}
	return b.Target.Store.Delete(ctx, k.settings.Bucket, k.settings.key(b, p, all[0]))
}

// Form implements kind.Settings.
func (s *settings) Form(b *kind.Batch) (kind.Form, error) { return newCutter(s, b) }

// keep finds a part to deliver by its directory.
func keep(parts []kind.Part, dir string) int {
	return slices.IndexFunc(parts, func(p kind.Part) bool { return p.Dir == dir && !p.There })
}
