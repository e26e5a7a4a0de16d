package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"disd/internal/storage"
	"disd/internal/transfer/kind"
)

// A Manifest tells what became of a run of records, docs/format-manifest.md. Those
// of a task and partition follow each other without gap.
type Manifest struct {
	Version   int         `json:"version"`
	Project   string      `json:"project_id"`
	StreamID  string      `json:"stream_id"`
	Stream    string      `json:"stream_name"`
	TaskID    string      `json:"task_id"`
	Task      string      `json:"task_name"`
	Type      kind.Type   `json:"destination_type"`
	Partition int32       `json:"partition"`
	Start     storage.Seq `json:"start"` // where the task began in the partition
	First     storage.Seq `json:"first"`
	Last      storage.Seq `json:"last"`
	Generated int64       `json:"generated"` // ms
	Outcome   Outcome     `json:"outcome"`
	Discarded int64       `json:"discarded"` // records that did not reach the destination
	Objects   []Object    `json:"objects"`
	Files     []kind.File `json:"files,omitempty"` // outside of buckets (HDFS-20)
}

// An Outcome is what became of a batch.
type Outcome string

const (
	Delivered Outcome = "delivered"
	Diverted  Outcome = "diverted" // to the error directory
	Lost      Outcome = "lost"     // retention removed the records before they were read

	// Settled is a batch that is at the destination, whose records retention
	// removed before the checksums of its objects were written down.
	Settled Outcome = "settled"
)

// An Object is one that belongs to a batch.
type Object struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hexadecimal
}

// Versions of manifests: those of batches that became files outside of buckets have
// a member more (HDFS-20).
const (
	manifestVersion = 1
	filesVersion    = 2
)

// manifestDir is where below its prefix a task's manifests lie.
const manifestDir = "_manifest"

// A recorder is a Store that notes which objects it was left with.
type recorder struct {
	kind.Store
	mu      sync.Mutex
	objects map[string]Object // by bucket and key
}

// Put implements Store.
func (r *recorder) Put(ctx context.Context, bucket, key string, content []byte) error {
	if err := r.Store.Put(ctx, bucket, key, content); err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.objects[bucket+"/"+key] = Object{bucket, key, int64(len(content)), hex.EncodeToString(sum[:])}
	return nil
}

// Delete implements Store.
func (r *recorder) Delete(ctx context.Context, bucket, key string) error {
	r.mu.Lock()
	delete(r.objects, bucket+"/"+key)
	r.mu.Unlock()
	return r.Store.Delete(ctx, bucket, key)
}

func (r *recorder) list() []Object {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []Object{}
	for _, name := range slices.Sorted(maps.Keys(r.objects)) {
		list = append(list, r.objects[name])
	}
	return list
}

// witness lets a batch note its objects for its manifest.
func (t *Tasks) witness(b *batch) {
	if t.opts.Manifest {
		b.Target.Store = &recorder{Store: b.Target.Store, objects: make(map[string]Object)}
	}
}

// attest writes the manifest of a batch, before it is passed.
func (t *Tasks) attest(ctx context.Context, b *batch, start storage.Seq, outcome Outcome, discarded int64, files []kind.File) error {
	bucket, prefix := b.Target.Settings.Backup()
	if !t.opts.Manifest || bucket == "" {
		return nil
	}
	m := Manifest{
		Version: manifestVersion, Project: b.Target.Stream.Project, StreamID: b.Target.Stream.ID, Stream: b.Target.Stream.Name,
		TaskID: b.Target.TaskID, Task: b.Target.TaskName, Type: b.Target.Kind.Type,
		Partition: b.Partition, Start: start, First: b.First, Last: b.Last, Generated: b.Generated.UnixMilli(),
		Outcome: outcome, Discarded: discarded, Objects: []Object{}, Files: files,
	}
	if files != nil {
		m.Version = filesVersion
	}
	if r, ok := b.Target.Store.(*recorder); ok {
		m.Objects = r.list()
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return b.Target.Store.Put(ctx, bucket, m.key(prefix), append(text, '\n'))
}

// key is the name of a manifest: one that is written again, because the server
// crashed, replaces itself. That of a loss does not pass for that of a batch.
func (m *Manifest) key(prefix string) string {
	suffix := ""
	if m.Outcome == Lost {
		suffix = "-lost"
	}
	return kind.Key(prefix, manifestDir, m.TaskID, fmt.Sprintf("%010d-%019d%s.json", m.Partition, m.First, suffix))
}

// attested reports whether a batch has its manifest.
func (t *Tasks) attested(ctx context.Context, b *kind.Batch) (bool, error) {
	bucket, prefix := b.Target.Settings.Backup()
	if !t.opts.Manifest || bucket == "" {
		return false, nil
	}
	m := Manifest{TaskID: b.Target.TaskID, Partition: b.Partition, First: b.First}
	return b.Target.Store.Has(ctx, bucket, m.key(prefix))
}

// parseManifest reads a manifest strictly: what is not understood must not count
// as proof.
func parseManifest(text []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, err
	}
	switch {
	case m.Version != manifestVersion && m.Version != filesVersion:
		return nil, fmt.Errorf("version %d is not known", m.Version)
	case (m.Version == filesVersion) != (m.Files != nil):
		return nil, errors.New("its version is not that of its files")
	case m.TaskID == "" || m.Last < m.First || m.First < m.Start || m.Start < 0:
		return nil, errors.New("it makes no sense")
	case !slices.Contains([]Outcome{Delivered, Diverted, Lost, Settled}, m.Outcome):
		return nil, fmt.Errorf("outcome %q is not known", m.Outcome)
	}
	return &m, nil
}
