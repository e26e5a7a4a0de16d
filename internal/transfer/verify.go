package transfer

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
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

// VerifyDump holds everything that tasks wrote to a bucket, below a prefix, or to
// files of their kind of destination, against their manifests. An error is one of the archive; damage is in the dumps, and what
// is damaged of the manifests themselves is in a dump without a task. It reads every
// object.
func VerifyDump(ctx context.Context, a kind.Archive, kinds kind.Set, bucket, prefix string) ([]Dump, error) {
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
		d, err := verifyChain(ctx, a, kinds, chain)
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
func verifyChain(ctx context.Context, a kind.Archive, kinds kind.Set, chain []*Manifest) (Dump, error) {
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
		for _, f := range m.Files {
			name := f.Cluster + ":" + f.Path
			if first, twice := owner[name]; twice {
				d.damage("%s belongs to the batches from %d and from %d on", name, first, m.First)
			}
			owner[name] = m.First
			if err := d.verifyFile(ctx, kinds, m.Type, f); err != nil {
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
	return d.compare(o.Bucket+"/"+o.Key, o.Size, o.SHA256, bytes.NewReader(content), err)
}

// verifyFile reads a file by the kind that wrote it.
func (d *Dump) verifyFile(ctx context.Context, kinds kind.Set, t kind.Type, f kind.File) error {
	for i := range kinds {
		if k := &kinds[i]; k.Type == t && k.Fetch != nil {
			content, err := k.Fetch(ctx, f)
			if err == nil {
				defer content.Close()
			}
			return d.compare(f.Cluster+":"+f.Path, f.Size, f.SHA256, content, err)
		}
	}
	return fmt.Errorf("%s:%s: this server cannot read files of type %s", f.Cluster, f.Path, t)
}

// compare holds content, or the error of who opened it, against a manifest.
func (d *Dump) compare(name string, size int64, want string, content io.Reader, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		d.damage("%s is missing", name)
		return nil
	}
	if err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(sum, content)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	switch {
	case n != size:
		d.damage("%s has %d bytes, not %d", name, n, size)
	case hex.EncodeToString(sum.Sum(nil)) != want:
		d.damage("%s has other bytes than were delivered", name)
	}
	d.Objects++
	d.Bytes += n
	return nil
}
