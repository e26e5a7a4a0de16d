// Package obs is the kind of destination that is OBS itself: each batch is one
// object, or one for each time directory when the directory follows the records
// (OBS-1 to OBS-5).
package obs

import (
	"context"
	"fmt"
	"slices"

	"disd/internal/field"
	"disd/internal/transfer/format"
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
	case s.FileType == carbonFile:
		return field.Invalid("destination_file_type", "CarbonData files cannot be written by this server; parquet and text can")
	case s.Processing != nil && st.DataType != kind.JSON:
		return field.Invalid("processing_schema", "needs a stream of data type JSON")
	case s.FileType == parquetFile:
		return representable(st)
	}
	return nil
}

// representable demands a schema that Parquet can stand for.
func representable(st kind.Stream) error {
	if err := st.NeedsSchema(); err != nil {
		return err
	}
	if _, err := format.Parse(st.Schema); err != nil {
		return fmt.Errorf("%w: %w", kind.ErrSchema, err)
	}
	return nil
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
func (s *settings) key(b *kind.Batch, p kind.Part) string {
	ext := text.Ext
	if s.FileType == parquetFile {
		ext = parquet.Ext
	}
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

// keys are the names of all objects of a batch.
func (s *settings) keys(b *kind.Batch) (keys []string) {
	parts := b.Parts
	if parts == nil {
		parts = []kind.Part{s.whole(b)}
	}
	for _, p := range parts {
		keys = append(keys, s.key(b, p))
	}
	return keys
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
		content, err := f.table.Files("")
		if err != nil {
			return kind.Receipt{}, err
		}
		if err := b.Target.Store.Put(ctx, k.settings.Bucket, k.settings.key(&b, k.settings.named(&b, f.Part)), content[0].Content); err != nil {
			return kind.Receipt{}, err
		}
	}
	return kind.Receipt{}, nil
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
	for _, key := range k.settings.keys(&b) {
		if there, err := b.Target.Store.Has(ctx, k.settings.Bucket, key); err != nil || !there {
			return false, err
		}
	}
	return true, nil
}

// Clean implements kind.Sink.
func (k *sink) Clean(ctx context.Context, b kind.Batch) error {
	for _, key := range k.settings.keys(&b) {
		if err := b.Target.Store.Abandon(ctx, k.settings.Bucket, key); err != nil {
			return err
		}
	}
	return nil
}

// Form implements kind.Settings.
func (s *settings) Form(b *kind.Batch) (kind.Form, error) { return newCutter(s, b) }

// keep finds a part to deliver by its directory.
func keep(parts []kind.Part, dir string) int {
	return slices.IndexFunc(parts, func(p kind.Part) bool { return p.Dir == dir && !p.There })
}
