package segment

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"disd/internal/storage"
)

func TestSmoke(t *testing.T) {
	dir := t.TempDir() + "/d"
	ctx := context.Background()
	for round := range 3 {
		e, err := Open(Options{Dir: dir, CommitLogSize: 1 << 20, SegmentSize: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		id := storage.LogID{Stream: "abc", Partition: 1}
		if err := e.Create(ctx, id); round == 0 && err != nil {
			t.Fatal(err)
		}
		l, err := e.Open(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			b := &storage.Batch{Log: l}
			for j := range 100 {
				b.Records = append(b.Records, storage.Record{Key: []byte("k"), Data: []byte(fmt.Sprintf("%d-%d-%d %s", round, i, j, bytes.Repeat([]byte("x"), 1000)))})
			}
			e.Append(ctx, []*storage.Batch{b})
			if b.Err != nil {
				t.Fatal(b.Err)
			}
		}
		_, next := l.Bounds()
		if want := storage.Seq(round+1) * 10000; next != want {
			t.Fatal(next, want)
		}
		var c storage.Chunk
		n := 0
		for seq := storage.Seq(0); seq < next; {
			if err := l.Read(ctx, seq, storage.Limit{Records: 1000, Bytes: 1 << 20}, &c); err != nil {
				t.Fatal(seq, err)
			}
			for _, r := range c.Records {
				w := fmt.Sprintf("%d-%d-%d ", n/10000, n/100%100, n%100)
				if r.Seq != storage.Seq(n) || !bytes.HasPrefix(r.Data, []byte(w)) {
					t.Fatal(n, r.Seq, string(r.Data[:10]))
				}
				n++
			}
			seq += storage.Seq(len(c.Records))
		}
		t.Logf("%+v", e.Stats())
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
