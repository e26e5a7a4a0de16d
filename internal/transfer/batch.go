package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"disd/internal/storage"
	"disd/internal/transfer/kind"
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

	Revision   int             `json:"revision"` // of the descriptor
	Descriptor kind.Descriptor `json:"descriptor"`
	Stream     kind.Stream     `json:"stream"`

	// Parts are the objects of a batch that is split. When retention removes records
	// of it, the batch begins at From, and so many of those before are Lost. Bad is
	// the number of bad records from there on.
	Parts []kind.Part `json:"parts,omitzero"` // empty is not none
	Bad   int64       `json:"bad,omitempty"`
	From  storage.Seq `json:"from,omitempty"` // First, if it is less
	Lost  int64       `json:"lost,omitempty"`

	// Columns are those of the destination, once it has told them (DLI-22).
	Columns []kind.Column `json:"columns,omitempty"`

	// Floor lies behind every time that the batches before used, Ceiling behind
	// those that this one may use, in ms (HBASE-12).
	Floor   int64 `json:"floor,omitempty"`
	Ceiling int64 `json:"ceiling,omitempty"`

	// Failed is when the destination failed first, in ms, if its type is one that
	// gives up (D-8).
	Failed int64 `json:"failed,omitempty"`

	// Committing is set before the step by which the destination may have the
	// batch, though it does not answer.
	Committing bool `json:"committing,omitempty"`

	// Diverted is set before a batch that could not be delivered is written to
	// the error directory; it is never offered to the destination again.
	Diverted bool `json:"diverted,omitempty"`

	// Starts is the number of starts of the server at which the batch was taken up
	// again, as long as no attempt has ended since. Fatal marks a single record that
	// has ended the server.
	Starts int  `json:"starts,omitempty"`
	Fatal  bool `json:"fatal,omitempty"`

	// Version of the rules by which names and bytes are made.
	Version int `json:"version"`
}

// from is the first record of the batch that was not removed by retention when
// that was looked at last.
func (i *Intent) from() storage.Seq { return max(i.First, i.From) }

// intentVersion is the version of the rules by which new batches are made. What began by an
// older one ends by it. Since 2, Parquet files have right bounds of all columns.
const intentVersion = 2

// batchOf returns the batch of an intent, without records.
func (t *Tasks) batchOf(row *Task, partition int32, i *Intent) (b kind.Batch, err error) {
	if i.Version < 1 || i.Version > intentVersion {
		return b, fmt.Errorf("a batch was begun by version %d of the rules, which this server does not know", i.Version)
	}
	zone, err := time.LoadLocation(i.Zone)
	if err != nil {
		return b, fmt.Errorf("time zone of a batch: %w", err)
	}
	secret, err := t.vault.open(row.ID, row.Secret)
	if err != nil {
		return b, err
	}
	m, err := t.read(i.Descriptor)
	if err != nil {
		return b, err
	}
	target := t.target(row, m, i.Stream, secret)
	if err := t.equip(&target); err != nil {
		return b, fmt.Errorf("%w: %w", kind.ErrRefused, err)
	}
	return kind.Batch{
		Target: target, Partition: partition, First: i.First, Last: i.Last,
		Generated: time.UnixMilli(i.Generated).In(zone), Version: i.Version, Template: i.FileName,
		Parts: i.Parts, Columns: i.Columns, Floor: i.Floor,
	}, nil
}

// A bad record could not be read as the stream says it must be (D-9).
type bad struct {
	Seq    string `json:"sequence_number"`
	Reason string `json:"reason"`
	Data   []byte `json:"data"`
}

// A batch in hand.
type batch struct {
	kind.Batch
	spoiled []bad
	size    int  // bytes of the records' data, decompressed
	fatal   bool // its record has ended the server
}

// fill gives the batch the form of its destination, and the records of its intent.
func (b *batch) fill(i *Intent, records []storage.Record) (err error) {
	if b.Form, err = b.Target.Settings.Form(&b.Batch); err != nil {
		return err
	}
	b.fatal, b.Records = i.Fatal, make([]storage.Record, 0, len(records))
	for _, r := range records {
		b.take(r, math.MaxInt)
	}
	return nil
}

// take adds a record, decompressed (D-3); one that cannot be read or converted is set
// apart. It returns false, and takes nothing, when the batch would have more than max
// bytes of data or its form has, unless the record is the first.
func (b *batch) take(r storage.Record, max int) bool {
	raw, some := r.Data, len(b.Records)+len(b.spoiled) > 0
	reason := b.read(&r)
	if some && (b.size+len(r.Data) > max || b.Form.Size() >= int64(max)) {
		return false
	}
	if reason == nil {
		reason = b.Form.Add(r)
	}
	if reason != nil {
		b.spoiled, b.size = append(b.spoiled, bad{r.Seq.String(), reason.Error(), raw}), b.size+len(raw)
		return true
	}
	b.Records, b.size = append(b.Records, r), b.size+len(r.Data)
	return true
}

// errFatal is the reason of a record that is given up because of what became of the
// server.
var errFatal = errors.New("the server has ended several times while it was delivered")

// read makes the data of a record what it is delivered as. Its error says why the
// record is bad.
func (b *batch) read(r *storage.Record) (err error) {
	if b.fatal {
		return errFatal
	}
	if compression := b.Target.Stream.Compression; compression != "" {
		data := r.Data
		if data, err = decompress(compression, data); err == nil {
			r.Data = data
		}
	}
	return err
}

// errorObject returns bucket and key of an object in the error directory. The
// bucket is "" when there is none (CT-7).
func errorObject(b *kind.Batch, ext string) (bucket, key string) {
	bucket, prefix := b.Target.Settings.Backup()
	return bucket, kind.Key(prefix, b.Target.Kind.ErrorDir, b.Name(b.First, b.Last, ext))
}

// divertedObject returns bucket and key of a batch in the error directory.
func divertedObject(b *kind.Batch) (bucket, key string) { return errorObject(b, b.Target.Kind.Ext) }

// badObject returns bucket and key of the bad records of a batch.
func badObject(b *kind.Batch) (bucket, key string) { return errorObject(b, ".bad.json") }

// has reports whether an object of a batch is there.
func has(ctx context.Context, b *kind.Batch, name func(*kind.Batch) (bucket, key string)) (bool, error) {
	bucket, key := name(b)
	if bucket == "" {
		return false, nil
	}
	return b.Target.Store.Has(ctx, bucket, key)
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
