package partition

import (
	"testing"
	"time"

	"disd/internal/quota"
	"disd/internal/storage/catalog"
)

// piece stores a record as a piece of file "f".
func (b *bench) piece(st *Stream, partition int32, number int64, last bool) {
	b.t.Helper()
	out := b.put(st, to(partition, "piece"))
	if out[0].Err != nil {
		b.t.Fatal(out[0].Err)
	}
	if err := b.AddPieces(st, []Piece{{File: "f", Name: "a.log", Number: number, Last: last, Partition: partition, Seq: out[0].Seq}}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) wantFile(st *Stream, want FileState) {
	b.t.Helper()
	name, got, err := b.File(st, "f")
	if err != nil || got != want || (name == "a.log") != (want != FileUnknown) {
		b.t.Errorf("%q %q, %v, want %q", name, got, err, want)
	}
}

// stored counts the entries that are kept about files.
func (b *bench) stored() (n int) {
	b.t.Helper()
	count := func(catalog.Key, place) error { n++; return nil }
	err := b.db.View(func(tx catalog.Tx) error {
		if err := files.Each(tx, nil, func(catalog.Key, file) error { n++; return nil }); err != nil {
			return err
		}
		return pieces.Each(tx, nil, count)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// TestFile is E47-R2: the life of a file, over restarts.
func TestFile(t *testing.T) {
	b := newBench(t, quota.Off, Quotas{})
	st := b.create("s", 2)
	b.wantFile(st, FileUnknown)
	b.piece(st, 0, 2, true) // pieces may arrive in any order
	b.wantFile(st, FileReceiving)
	b.piece(st, 1, 0, false)
	b.wantFile(st, FileReceiving)
	b.restart()
	st = b.get("s")
	b.wantFile(st, FileReceiving)
	b.clock.Move(12 * time.Hour)
	b.piece(st, 0, 1, false)
	b.piece(st, 0, 1, false) // sent again after a lost answer
	b.wantFile(st, FileComplete)
	b.restart()
	st = b.get("s")
	b.wantFile(st, FileComplete)
	b.clock.Move(12*time.Hour + time.Minute) // of three pieces two are too old
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.wantFile(st, FileCancelled)
}

// TestFileInExpiredPartition is E47-R2 for a partition that is no more.
func TestFileInExpiredPartition(t *testing.T) {
	b := newBench(t, quota.Off, Quotas{})
	st := b.create("s", 2)
	b.piece(st, 1, 0, true)
	if _, err := b.Scale(t.Context(), st, 1, false); err != nil {
		t.Fatal(err)
	}
	b.wantFile(st, FileComplete)
	b.clock.Move(25 * time.Hour)
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.wantFile(st, FileCancelled)
}

// TestFilesAreForgotten is the end of what is kept about files.
func TestFilesAreForgotten(t *testing.T) {
	b := newBench(t, quota.Off, Quotas{})
	st := b.create("s", 1)
	b.piece(st, 0, 0, false)
	b.clock.Move(fileMemory)
	b.piece(st, 0, 1, false)
	for _, want := range []int{3, 0} {
		if err := b.ForgetFiles(); err != nil {
			t.Fatal(err)
		}
		if got := b.stored(); got != want {
			t.Errorf("%d entries, want %d", got, want)
		}
		b.clock.Move(fileMemory + time.Millisecond)
	}
	b.wantFile(st, FileUnknown)
	b.piece(st, 0, 0, true)
	if err := b.Delete(t.Context(), st); err != nil {
		t.Fatal(err)
	}
	if got := b.stored(); got != 0 {
		t.Errorf("%d entries of a deleted stream", got)
	}
	if err := b.AddPieces(st, []Piece{{File: "f"}}); err != ErrStreamNotFound {
		t.Errorf("a piece for a deleted stream: %v", err)
	}
}
