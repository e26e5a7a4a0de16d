package segment

import (
	"bytes"
	"errors"
	"math"
	"os"
	"testing"

	"disd/internal/storage"
	"disd/internal/storage/storagetest"
	"disd/internal/storage/vfs"
)

// seed adds files of testdata/v1, from offset on, without the zeros at the end.
func seed(f *testing.F, name string, offset int) {
	f.Helper()
	b, err := os.ReadFile("testdata/v1/" + name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.TrimRight(b[offset:], "\x00"))
}

// sign makes the checksum at sumAt of b right, so that fuzzing gets past it.
func sign(b []byte, from, to, sumAt int) {
	if from <= to && to <= len(b) && sumAt+4 <= len(b) {
		le.PutUint32(b[sumAt:], checksum(b[from:to]))
	}
}

const (
	goldenCommit  = "killed/commit-0000000000000001.log"
	goldenSegment = "closed/8QM3Nt9YTLOWtUVYJhO/0/00000000000000000000.seg"
)

// FuzzBatch decodes a batch whose checksums are right. What it decodes to is
// encoded to the same bytes.
func FuzzBatch(f *testing.F) {
	seed(f, goldenSegment, segmentHeader)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < batchHeader {
			return
		}
		sign(b, batchHeader, batchHeader+alignUp(int(le.Uint32(b[28:])), 8), 32)
		sign(b, 8, batchHeader, 4)
		h, payload, err := parseBatch(b)
		if err != nil {
			return
		}
		recs, err := allOf(h, payload)
		if err != nil {
			return
		}
		again := make([]byte, h.size())
		encode(again, header{first: h.first, time: h.time, count: h.count, log: h.log}, recs)
		h2, payload2, err := parseBatch(again)
		if err != nil || h2.count != h.count || h2.payload != h.payload {
			t.Fatalf("encoded again: %+v, %v, was %+v", h2, err, h)
		}
		recs2, err := allOf(h2, payload2)
		if err != nil {
			t.Fatal(err)
		}
		for i := range recs {
			if !storagetest.Equal(&recs[i], &recs2[i]) {
				t.Fatalf("record %d: %v became %v", i, recs[i], recs2[i])
			}
		}
	})
}

// allOf returns the records of a batch.
func allOf(h header, payload []byte) ([]storage.Record, error) {
	var c storage.Chunk
	f := filler{c: &c, lim: storage.Limit{Records: math.MaxInt, Bytes: math.MaxInt}, seq: h.first}
	err := f.add(h.first, h.next(), h.time, payload)
	return c.Records, err
}

// FuzzGroup decodes a group whose checksums are right.
func FuzzGroup(f *testing.F) {
	seed(f, goldenCommit, 0)
	seed(f, goldenCommit, block)
	f.Fuzz(func(t *testing.T, b []byte) {
		signGroup(b)
		g, err := parseGroup(b)
		if err != nil {
			return
		}
		again := make([]byte, groupHeader)
		g.put(again)
		if g2, err := parseGroup(again); err != nil || g2 != g {
			t.Fatalf("%+v became %+v, %v", g, g2, err)
		}
		entries, err := parseDirectory(&g, b)
		if err != nil {
			return
		}
		for i, body := range split(entries, b[groupHeader:]) {
			if err := entries[i].check(body); err == nil && entries[i].kind == kindCreate {
				_, _ = parseID(body)
			}
		}
	})
}

func signGroup(b []byte) {
	if len(b) < groupHeader {
		return
	}
	start := groupHeader + int(le.Uint32(b[48:]))
	sign(b, start, start+int(le.Uint32(b[52:]))*entrySize, 56)
	sign(b, 0, 60, 60)
}

// FuzzManifest decodes a manifest whose checksums are right. What it decodes
// to is encoded to the same bytes.
func FuzzManifest(f *testing.F) {
	seed(f, "closed/manifest", 0)
	seed(f, "killed/manifest", 0)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= manifestHeader {
			sign(b, manifestHeader, len(b), 56)
			sign(b, 0, 60, 60)
		}
		m, err := parseManifest(b)
		if err != nil {
			return
		}
		again := m.append(nil)
		m2, err := parseManifest(again)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, m2.append(nil)) {
			t.Fatalf("%+v became %+v", m, m2)
		}
	})
}

// FuzzMarks decodes a marks file whose checksums are right, and encodes what it
// decoded to.
func FuzzMarks(f *testing.F) {
	b, err := os.ReadFile("testdata/v2/closed/marks")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		for i := range markSlots {
			if slot := b[min(i*block, len(b)):]; len(slot) >= markHeader {
				sign(slot, 0, 60, 60)
			}
		}
		m, err := parseMarks(b)
		if err != nil {
			return
		}
		again := make([]byte, markHeader)
		m.put(again)
		if m2, err := parseMark(again); err != nil || m2 != m {
			t.Fatalf("%+v became %+v, %v", m, m2, err)
		}
	})
}

// FuzzSegment reads a file in a segment's place.
func FuzzSegment(f *testing.F) {
	seed(f, goldenSegment, 0)
	f.Fuzz(func(t *testing.T, b []byte) {
		sign(b, 0, 76, 76)
		if len(b) < segmentHeader+batchHeader {
			return
		}
		sign(b, segmentHeader+8, segmentHeader+batchHeader, segmentHeader+4)
		disk := vfs.NewMem()
		file, err := disk.OpenFile("segment", vfs.Create)
		if err != nil {
			t.Fatal(err)
		}
		if err := file.WriteAt([][]byte{b}, 0); err != nil {
			t.Fatal(err)
		}
		s := &segment{span: span{base: 0, next: 2, end: int64(len(b))}, name: "segment", dir: 0x8877665544332211, log: 1}
		var c storage.Chunk
		fill := &filler{c: &c, lim: storage.Limit{Records: 10, Bytes: 1 << 20}}
		if err := s.read(disk, fill); err != nil && !isCorrupt(err) {
			t.Fatal(err)
		}
		if len(c.Records) > 2 {
			t.Fatalf("%d records, there can be 2", len(c.Records))
		}
		if _, err := s.findTime(disk, goldenTime); err != nil && !isCorrupt(err) {
			t.Fatal(err)
		}
	})
}

// FuzzRecovery opens a directory with any commit log file.
func FuzzRecovery(f *testing.F) {
	seed(f, goldenCommit, 0)
	seed(f, goldenCommit, block)
	manifest, err := os.ReadFile("testdata/v1/killed/manifest")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for pos := 0; pos < len(b); pos += block {
			signGroup(b[pos:])
		}
		disk := vfs.NewMem()
		if err := disk.Mkdir("data"); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string][]byte{"manifest": manifest, commitName(1): b} {
			if err := vfs.WriteFile(disk, "data", name, content); err != nil {
				t.Fatal(err)
			}
		}
		e, err := Open(Options{FS: disk, Dir: "data", CommitLogSize: 4 * block, IdleFlush: -1})
		if err != nil {
			return
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Inspect(disk, "data"); err != nil && !errors.Is(err, errVersion) {
			t.Fatal(err)
		}
	})
}
