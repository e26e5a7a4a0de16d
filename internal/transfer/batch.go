package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"disd/internal/storage"
)

// An Intent is a batch that is recorded before anything of it is sent (D-12).
// Whatever its bytes and names depend on is in it, so that after a crash, and
// after changes of task and stream, the same batch goes out again.
type Intent struct {
	First     storage.Seq `json:"first"`
	Last      storage.Seq `json:"last"`
	Generated int64       `json:"generated"`           // ms
	Zone      string      `json:"zone"`                // of time directories and of times in records
	FileName  string      `json:"file_name,omitempty"` // template, "" for the default one

	Revision   int        `json:"revision"` // of the descriptor
	Descriptor Descriptor `json:"descriptor"`
	Stream     Stream     `json:"stream"`

	// Parts are the objects of a batch that is split. When retention removes records
	// of it, the batch begins at From, and so many of those before are Lost. Bad is
	// the number of bad records from there on.
	Parts []Part      `json:"parts,omitzero"` // empty is not none
	Bad   int64       `json:"bad,omitempty"`
	From  storage.Seq `json:"from,omitempty"` // First, if it is less
	Lost  int64       `json:"lost,omitempty"`

	// Failed is when the destination failed first, in ms, if its type is one that
	// gives up (D-8).
	Failed int64 `json:"failed,omitempty"`

	// Committing is set before the step by which the destination may have the
	// batch, though it does not answer.
	Committing bool `json:"committing,omitempty"`

	// Diverted is set before a batch that could not be delivered is written to
	// the error directory; it is never offered to the destination again.
	Diverted bool `json:"diverted,omitempty"`

	// Version of the rules by which names and bytes are made.
	Version int `json:"version"`
}

// from is the first record of the batch that was not removed by retention when
// that was looked at last.
func (i *Intent) from() storage.Seq { return max(i.First, i.From) }

// intentVersion is the only version of the rules so far.
const intentVersion = 1

// batch returns the batch of an intent, without records.
func (t *Tasks) batch(row *Task, partition int32, i *Intent) (Batch, error) {
	if i.Version != intentVersion {
		return Batch{}, fmt.Errorf("a batch was begun by version %d of the rules, which this server does not know", i.Version)
	}
	zone, err := time.LoadLocation(i.Zone)
	if err != nil {
		return Batch{}, fmt.Errorf("time zone of a batch: %w", err)
	}
	password, err := t.vault.open(row.ID, row.Secret)
	if err != nil {
		return Batch{}, err
	}
	target, err := t.target(row, i.Stream, i.Descriptor, password)
	if err != nil {
		return Batch{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return Batch{
		Target: target, Partition: partition, First: i.First, Last: i.Last,
		Generated: time.UnixMilli(i.Generated).In(zone), fileName: i.FileName,
	}, nil
}

// A bad record could not be read as the stream says it must be (D-9).
type bad struct {
	Seq    string `json:"sequence_number"`
	Reason string `json:"reason"`
	Data   []byte `json:"data"`
}

// fill gives the batch its records, decompressed (D-3). Those that cannot be
// read or converted are returned apart.
func (b *Batch) fill(records []storage.Record) (spoiled []bad, err error) {
	var c *cutter
	if b.Target.Descriptor.Type == OBS {
		if c, err = newCutter(b); err != nil {
			return nil, err
		}
	}
	b.Records = make([]storage.Record, 0, len(records))
	for _, r := range records {
		if err := b.admit(r, c); err != nil {
			spoiled = append(spoiled, bad{r.Seq.String(), err.Error(), r.Data})
		}
	}
	if c != nil {
		b.files = c.files
	}
	return spoiled, nil
}

// admit adds a record to the batch, and to its file if there are files. Its
// error says why the record is bad.
func (b *Batch) admit(r storage.Record, c *cutter) error {
	data, err := b.Target.read(r.Data)
	if err != nil {
		return err
	}
	r.Data = data
	if c != nil {
		if err := c.add(r); err != nil {
			return err
		}
	}
	b.Records = append(b.Records, r)
	return nil
}

// read returns the data of a record as it is delivered.
func (t *Target) read(data []byte) ([]byte, error) {
	if t.Stream.Compression != "" {
		var err error
		if data, err = decompress(t.Stream.Compression, data); err != nil {
			return nil, err
		}
	}
	needed := t.Stream.DataType == jsonData && t.Descriptor.Type != OBS && t.Descriptor.Type != MRS
	if needed && (!json.Valid(data) || bytes.TrimLeft(data, " \t\r\n")[0] != '{') {
		return nil, errors.New("it is not a JSON object")
	}
	return data, nil
}

// errorDirectories are where what cannot be delivered is put (D-8).
var errorDirectories = map[Type]string{OBS: "obs_error", DWS: "dws_error", MRS: "mrs_error", DLI: "dli_error"}

// errorObject returns bucket and key of an object in the error directory. The
// bucket is "" when there is none (CT-7).
func (b *Batch) errorObject(ext string) (bucket, key string) {
	d := b.Target.Descriptor
	bucket, prefix := d.backup()
	dir := errorDirectories[d.Type]
	switch {
	case d.Members["opentsdb_schema"] != nil:
		dir = "opentsdb_error"
	case d.Type == CloudTable:
		dir = "cloudtable_error"
	}
	return bucket, join(prefix, dir, b.Name(b.First, b.Last, ext))
}

// diverted returns bucket and key of a batch in the error directory.
func (b *Batch) diverted() (bucket, key string) {
	if kind := b.Target.Descriptor.Type; kind == DWS || kind == DLI {
		return b.errorObject(".csv")
	}
	return b.errorObject(".txt")
}

// join makes a key of path elements; empty ones leave none (D-8).
func join(elements ...string) string {
	parts := strings.FieldsFunc(strings.Join(elements, "/"), func(r rune) bool { return r == '/' })
	return strings.Join(parts, "/")
}

// Staged returns bucket, key and content of the file in which a batch waits for
// being loaded (DWS-1, D-10).
func (b *Batch) Staged() (bucket, key string, content []byte) {
	bucket, prefix := b.Target.Descriptor.backup()
	return bucket, join(prefix, b.Name(b.First, b.Last, ".csv")), delimited(b.Records, "\n")
}

// lines writes bad records one a line.
func lines(spoiled []bad) []byte {
	var out []byte
	for i := range spoiled {
		line, _ := json.Marshal(&spoiled[i]) // strings and bytes cannot fail
		out = append(append(out, line...), '\n')
	}
	return out
}

// delimited writes records one behind the other, each followed by the delimiter
// (OBS-4).
func delimited(records []storage.Record, delimiter string) []byte {
	size := 0
	for i := range records {
		size += len(records[i].Data) + len(delimiter)
	}
	out := make([]byte, 0, size)
	for i := range records {
		out = append(append(out, records[i].Data...), delimiter...)
	}
	return out
}
