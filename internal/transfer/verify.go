package transfer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"disd/internal/storage"
	"disd/internal/transfer/kind"
)

// A Dump is what the manifests of a task say about one partition.
type Dump struct {
	Stream, Task, TaskID string
	Partition            int32
	Start, End           storage.Seq // the first record and the one after the last
	Batches, Objects     int
	Bytes                int64
	Discarded, Lost      int64 // records

	Damage []error
}

// VerifyDump holds everything that tasks wrote to a bucket, below a prefix, against
// their manifests. An error is one of the archive; damage is in the dumps, and what
// is damaged of the manifests themselves is in a dump without a task. It reads every
// object.
func VerifyDump(ctx context.Context, a kind.Archive, bucket, prefix string) ([]Dump, error) {
	keys, err := a.List(ctx, bucket, kind.Key(prefix, manifestDir))
	if err != nil {
		return nil, err
	}
	type place struct {
		task      string
		partition int32
	}
	chains := make(map[place][]*Manifest)
	unread := Dump{}
	for _, key := range keys {
		text, err := a.Get(ctx, bucket, key)
		if err != nil {
			return nil, err
		}
		m, err := parseManifest(text)
		if err == nil && m.key(prefix) != key {
			err = errors.New("it belongs elsewhere")
		}
		if err != nil {
			unread.Damage = append(unread.Damage, fmt.Errorf("manifest %s: %w", key, err))
			continue
		}
		at := place{m.TaskID, m.Partition}
		chains[at] = append(chains[at], m)
	}
	var dumps []Dump
	for _, chain := range chains {
		d, err := verifyChain(ctx, a, chain)
		if err != nil {
			return nil, err
		}
		dumps = append(dumps, d)
	}
	slices.SortFunc(dumps, func(a, b Dump) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Task, b.Task), cmp.Compare(a.TaskID, b.TaskID), cmp.Compare(a.Partition, b.Partition))
	})
	if unread.Damage != nil {
		dumps = append(dumps, unread)
	}
	return dumps, nil
}

// verifyChain verifies the manifests of one task and partition.
func verifyChain(ctx context.Context, a kind.Archive, chain []*Manifest) (Dump, error) {
	slices.SortFunc(chain, func(a, b *Manifest) int { return cmp.Compare(a.First, b.First) })
	m := chain[0]
	d := Dump{Stream: m.Stream, Task: m.Task, TaskID: m.TaskID, Partition: m.Partition, Start: m.Start, End: m.Start}
	owner := make(map[string]storage.Seq) // first record of the batch that an object belongs to
	for _, m := range chain {
		switch {
		case m.First > d.End:
			d.damage("records %d to %d are missing", d.End, m.First-1)
		case m.First < d.End:
			d.damage("records %d to %d are there twice", m.First, min(m.Last, d.End-1))
		}
		d.End = max(d.End, m.Last+1)
		d.Batches++
		d.Discarded += m.Discarded
		switch m.Outcome {
		case Lost:
			d.Lost += int64(m.Last-m.First) + 1
		case Settled:
			d.damage("records %d to %d were delivered, but no checksum of them is known", m.First, m.Last)
		case Delivered, Diverted:
		}
		for _, o := range m.Objects {
			name := o.Bucket + "/" + o.Key
			if first, twice := owner[name]; twice {
				d.damage("%s belongs to the batches from %d and from %d on", name, first, m.First)
			}
			owner[name] = m.First
			if err := d.verifyObject(ctx, a, o); err != nil {
				return d, err
			}
		}
	}
	return d, nil
}

func (d *Dump) damage(format string, args ...any) {
	d.Damage = append(d.Damage, fmt.Errorf(format, args...))
}

func (d *Dump) verifyObject(ctx context.Context, a kind.Archive, o Object) error {
	content, err := a.Get(ctx, o.Bucket, o.Key)
	if errors.Is(err, fs.ErrNotExist) {
		d.damage("%s/%s is missing", o.Bucket, o.Key)
		return nil
	}
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	switch {
	case int64(len(content)) != o.Size:
		d.damage("%s/%s has %d bytes, not %d", o.Bucket, o.Key, len(content), o.Size)
	case hex.EncodeToString(sum[:]) != o.SHA256:
		d.damage("%s/%s has other bytes than were delivered", o.Bucket, o.Key)
	}
	d.Objects++
	d.Bytes += int64(len(content))
	return nil
}
