package segment

import (
	"errors"
	"os"
	"testing"

	"disd/internal/storage"
	"disd/internal/storage/storagetest"
)

func mustRead(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/v1/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestShortInput gives every decoder every beginning of what it reads: it
// refuses it, and does not look at what is behind.
func TestShortInput(t *testing.T) {
	commit, segment, manifest := mustRead(t, goldenCommit)[block:], mustRead(t, goldenSegment), mustRead(t, "closed/manifest")
	g, err := parseGroup(commit)
	if err != nil {
		t.Fatal(err)
	}
	_, payload, err := parseBatch(segment[segmentHeader:])
	if err != nil {
		t.Fatal(err)
	}
	s := span{base: 0, next: 2, end: 184, time: goldenTime}
	footer := index{}.add(&header{}, segmentHeader).footer(s)
	id := putID(storagetest.ID(3))
	mark := make([]byte, markHeader)
	(&marks{dir: 1, number: 2, file: 3, size: 4, group: 5, catalog: 6, safe: true}).put(mark)
	for _, test := range []struct {
		name   string
		b      []byte
		decode func(b []byte) error
	}{
		{"batch", segment[segmentHeader:184], func(b []byte) error { _, _, err := parseBatch(b); return err }},
		{"record", payload[:38], func(b []byte) error { _, err := parseRecord(b, new(storage.Record)); return err }},
		{"group", commit[:groupHeader], func(b []byte) error { _, err := parseGroup(b); return err }},
		{"directory", commit[:0xc8], func(b []byte) error { _, err := parseDirectory(&g, b); return err }},
		{"log id", id[:8+19], func(b []byte) error { _, err := parseID(b); return err }},
		{"segment", segment[:segmentHeader], func(b []byte) error { _, _, _, err := parseSegmentStart(b); return err }},
		{"index", footer[:indexHeader], func(b []byte) error { _, _, err := parseFooter(b, s); return err }},
		{"manifest", manifest, func(b []byte) error { _, err := parseManifest(b); return err }},
		{"mark", mark, func(b []byte) error { _, err := parseMarks(b); return err }},
		{"state of a log", manifest[manifestHeader:], func(b []byte) error { _, _, err := parseLogState(b); return err }},
	} {
		if err := test.decode(test.b); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		for n := range len(test.b) {
			if err := test.decode(test.b[:n:n]); err == nil {
				t.Errorf("%s: %d of %d bytes were accepted", test.name, n, len(test.b))
			}
			if err := test.decode(test.b[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes were accepted, with more behind", test.name, n, len(test.b))
			}
		}
	}
}

// TestBodyOfAnotherGroup puts a good batch where the directory describes
// another one of the same size, as a write that got only half-way over an old
// group would.
func TestBodyOfAnotherGroup(t *testing.T) {
	batch := func(data string) []byte {
		b := make([]byte, batchHeader+24)
		encode(b, header{first: 7, time: 1, count: 1, log: 3}, []storage.Record{{Data: []byte(data)}})
		return b
	}
	mine := batch("new!")
	var e entry
	f := effect{kind: kindAppend, l: &log{number: 3}, data: mine}
	f.lines(func(line entry) { e = line })
	if err := e.check(mine); err != nil {
		t.Error(err)
	}
	if err := e.check(batch("old!")); !errors.Is(err, errFields) {
		t.Errorf("the old body: %v", err)
	}
}
