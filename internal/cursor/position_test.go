package cursor

import (
	"context"
	"errors"
	"testing"
	"time"

	"disd/internal/field"
	"disd/internal/storage"
)

// A fakeLog holds the append times of its records, the first of which has
// number oldest.
type fakeLog struct {
	oldest storage.Seq
	times  []int64
}

func (l fakeLog) Bounds() (oldest, next storage.Seq) {
	return l.oldest, l.oldest + storage.Seq(len(l.times))
}

func (l fakeLog) Find(_ context.Context, t int64) (storage.Seq, error) {
	for i, at := range l.times {
		if at >= t {
			return l.oldest + storage.Seq(i), nil
		}
	}
	_, next := l.Bounds()
	return next, nil
}

func TestResolve(t *testing.T) {
	ms := now.UnixMilli()
	full := fakeLog{10, []int64{ms - 5000, ms - 4000, ms - 4000, ms - 1000}} // 10 to 13
	empty := fakeLog{}
	drained := fakeLog{oldest: 10}
	for _, test := range []struct {
		name string
		log  fakeLog
		req  Request
		seq  storage.Seq
		want error
	}{
		{"at the first", full, Request{Type: "AT_SEQUENCE_NUMBER", Sequence: "10"}, 10, nil},
		{"at the last", full, Request{Type: "AT_SEQUENCE_NUMBER", Sequence: "13"}, 13, nil},
		{"at next", full, Request{Type: "AT_SEQUENCE_NUMBER", Sequence: "14"}, 14, nil},
		{"beyond next", full, Request{Type: "AT_SEQUENCE_NUMBER", Sequence: "15"}, 0, ErrRange},
		{"before the first", full, Request{Type: "AT_SEQUENCE_NUMBER", Sequence: "9"}, 0, ErrRange},
		{"a number alone", full, Request{Sequence: "11"}, 11, nil},
		{"nothing at all", full, Request{}, 10, nil},
		{"at 0 of an empty one", empty, Request{Sequence: "0"}, 0, nil},
		{"at 1 of an empty one", empty, Request{Sequence: "1"}, 0, ErrRange},
		{"after the one before the first", full, Request{Type: "AFTER_SEQUENCE_NUMBER", Sequence: "9"}, 10, nil},
		{"after the first", full, Request{Type: "AFTER_SEQUENCE_NUMBER", Sequence: "10"}, 11, nil},
		{"after the last", full, Request{Type: "AFTER_SEQUENCE_NUMBER", Sequence: "13"}, 14, nil},
		{"after next", full, Request{Type: "AFTER_SEQUENCE_NUMBER", Sequence: "14"}, 0, ErrRange},
		{"after one long gone", full, Request{Type: "AFTER_SEQUENCE_NUMBER", Sequence: "8"}, 0, ErrRange},
		{"after 0 of an empty one", empty, Request{Type: "AFTER_SEQUENCE_NUMBER", Sequence: "0"}, 0, ErrRange},
		{"after the largest number", full, Request{Type: "AFTER_SEQUENCE_NUMBER", Sequence: "9223372036854775807"}, 0, ErrRange},
		{"larger than any number", full, Request{Type: "AT_SEQUENCE_NUMBER", Sequence: "9223372036854775808"}, 0, ErrSequence},
		{"negative", full, Request{Type: "AT_SEQUENCE_NUMBER", Sequence: "-1"}, 0, ErrSequence},
		{"signed", full, Request{Type: "AT_SEQUENCE_NUMBER", Sequence: "+11"}, 0, ErrSequence},
		{"not a number", full, Request{Sequence: "x"}, 0, ErrSequence},
		{"named type without a number", full, Request{Type: "AT_SEQUENCE_NUMBER"}, 0, ErrSequence},
		{"named type without a number, after", full, Request{Type: "AFTER_SEQUENCE_NUMBER"}, 0, ErrSequence},
		{"horizon", full, Request{Type: "TRIM_HORIZON"}, 10, nil},
		{"horizon of an empty one", empty, Request{Type: "TRIM_HORIZON"}, 0, nil},
		{"horizon after retention took all", drained, Request{Type: "TRIM_HORIZON"}, 10, nil},
		{"horizon with what it does not need", full, Request{Type: "TRIM_HORIZON", Sequence: "x", Timestamp: "y"}, 10, nil},
		{"latest", full, Request{Type: "LATEST", Timestamp: "0"}, 14, nil},
		{"latest of an empty one", empty, Request{Type: "LATEST"}, 0, nil},
		{"exactly the first time", full, Request{Type: "AT_TIMESTAMP", Timestamp: stamp(ms - 5000)}, 10, nil},
		{"between two", full, Request{Type: "AT_TIMESTAMP", Timestamp: stamp(ms - 4500)}, 11, nil},
		{"the first of two equal times", full, Request{Type: "AT_TIMESTAMP", Timestamp: stamp(ms - 4000)}, 11, nil},
		{"before the first time", full, Request{Type: "AT_TIMESTAMP", Timestamp: stamp(ms - 9000)}, 10, nil},
		{"after the last time", full, Request{Type: "AT_TIMESTAMP", Timestamp: stamp(ms)}, 14, nil},
		{"in the future", full, Request{Type: "AT_TIMESTAMP", Timestamp: stamp(ms + 1e9)}, 14, nil},
		{"time in an empty one", empty, Request{Type: "AT_TIMESTAMP", Timestamp: stamp(ms)}, 0, nil},
		{"exactly the retention", full, Request{Type: "AT_TIMESTAMP", Timestamp: stamp(ms - 24*3600e3)}, 10, nil},
		{"within the grace", full, Request{Type: "AT_TIMESTAMP", Timestamp: stamp(ms - 24*3600e3 - 60e3)}, 10, nil},
		{"older than the grace", full, Request{Type: "AT_TIMESTAMP", Timestamp: stamp(ms - 24*3600e3 - 60e3 - 1)}, 0, ErrTimestamp},
		{"time 0", full, Request{Type: "AT_TIMESTAMP", Timestamp: "0"}, 0, ErrTimestamp},
		{"no time", full, Request{Type: "AT_TIMESTAMP"}, 0, field.ErrInvalid},
		{"negative time", full, Request{Type: "AT_TIMESTAMP", Timestamp: "-5"}, 0, field.ErrInvalid},
		{"unknown type", full, Request{Type: "FIRST"}, 0, ErrType},
		{"type in lower case", full, Request{Type: "latest"}, 0, ErrType},
	} {
		c, err := test.req.Resolve(t.Context(), test.log, now, 24*time.Hour)
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: error %v, want %v", test.name, err, test.want)
		}
		if err == nil && c.Seq != test.seq {
			t.Errorf("%s: position %d, want %d", test.name, c.Seq, test.seq)
		}
	}
}

// TestAnnouncedTimestamp is the client's second try of E21-R5: what it is told
// still holds a minute later.
func TestAnnouncedTimestamp(t *testing.T) {
	log := fakeLog{}
	_, err := Request{Type: "AT_TIMESTAMP", Timestamp: "1"}.Resolve(t.Context(), log, now, 24*time.Hour)
	var old *TimestampError
	if !errors.As(err, &old) {
		t.Fatal(err)
	}
	again := Request{Type: "AT_TIMESTAMP", Timestamp: stamp(old.Oldest)}
	if _, err := again.Resolve(t.Context(), log, now.Add(time.Minute), 24*time.Hour); err != nil {
		t.Error(err)
	}
}

func stamp(ms int64) string { return storage.Seq(ms).String() }
