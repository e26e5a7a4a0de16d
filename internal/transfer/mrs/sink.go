package mrs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"sync"

	"disd/internal/storage"
	"disd/internal/transfer/kind"
)

// A sink writes the batches of one task. A file gets its name by a rename that
// never overwrites, from a hidden file whose name is new for each attempt:
//
//	{mrs_hdfs_path}/{hdfs_prefix_folder}/.disd/{task_id}/{name}.txt/{8 hex digits}
type sink struct {
	kind.Plain
	cluster *client
	root    string // mrs_hdfs_path
	dir     string // of the files
	hidden  string // of the task's hidden files

	mu     sync.Mutex
	failed string // the data node that failed last, "" for none (HDFS-15)
}

// A file is what becomes of a batch.
type file struct {
	name    string // below the directory; may have directories of its own
	records []storage.Record
	commit  func() error // to be called before the rename
}

func fileOf(b *kind.Batch) file {
	return file{b.Name(b.First, b.Last, ".txt"), b.Records, b.Commit}
}

func (s *sink) path(f file) string { return path.Join(s.dir, f.name) }

// attempts is the directory of the hidden files of one file.
func (s *sink) attempts(f file) string { return path.Join(s.hidden, f.name) }

// Deliver implements kind.Sink. There is no file without a record (HDFS-7).
func (s *sink) Deliver(ctx context.Context, b kind.Batch) (kind.Receipt, error) {
	f := fileOf(&b)
	if len(f.records) == 0 {
		return kind.Receipt{}, nil
	}
	if err := s.deliver(ctx, f); err != nil {
		return kind.Receipt{}, err
	}
	content := newContent(f.records)
	return kind.Receipt{Files: []kind.File{{
		Cluster: s.cluster.id, Path: s.path(f), Size: content.size(), SHA256: content.sum(),
	}}}, nil
}

// deliver brings a file to its place, whatever earlier attempts did:
//
//	root there? ─► file there? ─► fence ─► file there? ─► hide ─► right size? ─► rename ─► clean
//
// The fence removes the hidden files of earlier attempts: what they left cannot be
// renamed any more, and what was renamed before is seen afterwards. A name that is
// new for each attempt matters: a rename that is carried out late moves a whole file.
func (s *sink) deliver(ctx context.Context, f file) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if there, err := s.there(ctx, f); there || err != nil {
		return err
	}
	if err := s.clean(ctx, f); err != nil {
		return err
	}
	if there, err := s.there(ctx, f); there || err != nil {
		return err
	}
	hidden, err := s.hide(ctx, f)
	if err != nil {
		return err
	}
	if err := f.commit(); err != nil {
		return err
	}
	if err := s.cluster.rename(ctx, hidden, s.path(f)); err != nil {
		return err
	}
	_ = s.clean(ctx, f) // the file is there; what is left is removed when the server starts (HDFS-13)
	return nil
}

// ready returns kind.ErrRefused when the directory that the task names is gone (HDFS-14).
// A CREATE below it would make it again.
func (s *sink) ready(ctx context.Context) error {
	st, err := s.cluster.stat(ctx, s.root)
	switch {
	case errors.Is(err, errGone):
		return fmt.Errorf("%w: %s: %w", kind.ErrRefused, s.root, err)
	case err != nil:
		return refusal(err)
	case st.Type != "DIRECTORY":
		return fmt.Errorf("%w: %s is no directory", kind.ErrRefused, s.root)
	}
	return nil
}

// there reports whether the file is in its place, with its content. A file of that
// name with another one is refused: none is ever overwritten (HDFS-9).
func (s *sink) there(ctx context.Context, f file) (bool, error) {
	at, want := s.path(f), newContent(f.records)
	st, err := s.cluster.stat(ctx, at)
	switch {
	case errors.Is(err, errGone):
		return false, nil
	case err != nil:
		return false, refusal(err)
	case st.Type != "FILE" || st.Length != want.size():
		return false, fmt.Errorf("%w: %s is there already, with another content", kind.ErrRefused, at)
	}
	got, err := s.cluster.open(ctx, at)
	if err != nil {
		return false, refusal(err)
	}
	defer got.Close()
	same, err := want.equals(got)
	if err == nil && !same {
		err = fmt.Errorf("%w: %s is there already, with another content", kind.ErrRefused, at)
	}
	return same, err
}

// hide writes the content to a new hidden file and makes the directory of the file.
func (s *sink) hide(ctx context.Context, f file) (hidden string, err error) {
	var digits [4]byte
	_, _ = rand.Read(digits[:]) // never fails
	hidden = path.Join(s.attempts(f), hex.EncodeToString(digits[:]))
	content := newContent(f.records)
	size := content.size()
	if err := s.create(ctx, hidden, f); err != nil {
		return "", refusal(err)
	}
	st, err := s.cluster.stat(ctx, hidden)
	if err == nil && st.Length != size {
		err = fmt.Errorf("%s has %d bytes, not %d", hidden, st.Length, size)
	}
	if err == nil {
		err = s.cluster.mkdirs(ctx, path.Dir(s.path(f)))
	}
	return hidden, refusal(err)
}

// create leaves out the data node that failed last, unless that leaves none.
func (s *sink) create(ctx context.Context, at string, f file) error {
	excluded := s.failedNode()
	content := newContent(f.records)
	err := s.cluster.create(ctx, at, content, content.size(), excluded)
	var upload *uploadError
	switch {
	case err == nil:
		s.fail("")
	case errors.As(err, &upload):
		s.fail(upload.node)
	case excluded != "": // perhaps there is no other node
		s.fail("")
	}
	return err
}

func (s *sink) failedNode() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func (s *sink) fail(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = node
}

// clean removes the hidden files of a file. It is also the fence.
func (s *sink) clean(ctx context.Context, f file) error {
	return refusal(s.cluster.remove(ctx, s.attempts(f)))
}

// Delivered implements kind.Sink. It asks after the fence: then false also means that
// no earlier attempt will bring the file there (HDFS-12). Without its records, the
// file's existence counts.
func (s *sink) Delivered(ctx context.Context, b kind.Batch) (bool, error) {
	f := fileOf(&b)
	if err := s.clean(ctx, f); err != nil {
		return false, err
	}
	st, err := s.cluster.stat(ctx, s.path(f))
	switch {
	case errors.Is(err, errGone):
		return false, nil
	case err != nil:
		return false, refusal(err)
	}
	return f.records == nil || st.Length == newContent(f.records).size(), nil
}

// Clean implements kind.Sink (HDFS-13).
func (s *sink) Clean(ctx context.Context, b kind.Batch) error { return s.clean(ctx, fileOf(&b)) }

// Forget implements kind.Sink (HDFS-13).
func (s *sink) Forget(ctx context.Context) error { return s.cluster.remove(ctx, s.hidden) }

// refusal wraps the errors that trying again does not cure (HDFS-14).
func refusal(err error) error {
	var e *exceptionError
	if threw(err, "AccessControlException") || errors.As(err, &e) && e.Status == 401 {
		return fmt.Errorf("%w: %w", kind.ErrRefused, err)
	}
	return err
}
