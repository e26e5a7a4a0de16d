package codec

import (
	"bytes"
	"errors"
	"testing"

	"disd/internal/storage"
)

func TestPartitionID(t *testing.T) {
	for id, want := range map[int32]string{
		0:         "shardId-0000000000",
		7:         "shardId-0000000007",
		10:        "shardId-0000000010",
		999999999: "shardId-0999999999",
		1 << 30:   "shardId-1073741824",
		1<<31 - 1: "shardId-2147483647",
	} {
		got := string(AppendPartitionID(nil, id))
		if back, ok := ParsePartitionID(got); got != want || back != id || !ok {
			t.Errorf("%d is written %q and read as %d, %t", id, got, back, ok)
		}
	}
}

func TestInfoRoundTrip(t *testing.T) {
	for _, f := range []Info{
		{},
		{End: true},
		{FileName: []byte("a.log")},
		{DeliverDataID: bytes.Repeat([]byte("x"), 300), Seq: -1},
		{FileName: []byte("a.log"), DeliverDataID: []byte("9d"), Seq: 1<<63 - 1, End: true},
		{FileName: make([]byte, storage.MaxInfo-infoRoom), Seq: 1<<63 - 1, End: true},
	} {
		text := AppendInfo(nil, &f)
		got, err := ParseInfo(text)
		if err != nil || !sameInfo(&got, &f) || len(text) > storage.MaxInfo {
			t.Errorf("%d bytes read back as %v, %v", len(text), got, err)
		}
	}
}

func TestParseInfoFaults(t *testing.T) {
	good := AppendInfo(nil, &Info{FileName: []byte("a"), DeliverDataID: []byte("b"), Seq: 3, End: true})
	for name, text := range map[string][]byte{
		"version only":   good[:1],
		"other version":  append([]byte{2}, good[1:]...),
		"other flag":     append([]byte{infoVersion, 2}, good[2:]...),
		"cut in a name":  good[:3],
		"cut in a size":  {infoVersion, 0, 0x80},
		"without number": good[:len(good)-1],
		"and more":       append(bytes.Clone(good), 0),
		"endless size":   {infoVersion, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0},
	} {
		if f, err := ParseInfo(text); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
}

func sameInfo(a, b *Info) bool {
	return bytes.Equal(a.FileName, b.FileName) && bytes.Equal(a.DeliverDataID, b.DeliverDataID) && a.Seq == b.Seq && a.End == b.End
}

func FuzzParseInfo(f *testing.F) {
	f.Add(AppendInfo(nil, &Info{FileName: []byte("a.log"), DeliverDataID: []byte("9d"), Seq: 3, End: true}))
	f.Add([]byte{infoVersion, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0})
	f.Add([]byte{2, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := ParseInfo(text)
		if err != nil {
			return
		}
		back, err := ParseInfo(AppendInfo(nil, &got))
		if err != nil || !sameInfo(&got, &back) {
			t.Errorf("%x is %v, then %v, %v", text, got, back, err)
		}
	})
}
