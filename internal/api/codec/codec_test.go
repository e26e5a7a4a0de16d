package codec

import (
	"bytes"
	"strings"
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

// TestAppendInfo holds the form that docs/format-log.md gives.
func TestAppendInfo(t *testing.T) {
	for _, tt := range []struct {
		info Info
		want string
	}{
		{Info{}, ""},
		{Info{End: true}, "\x01\x01\x00\x00\x00"},
		{Info{FileName: []byte("a.log")}, "\x01\x00\x05a.log\x00\x00"},
		{Info{FileName: []byte("a"), DeliverDataID: []byte("9d"), Seq: 150, End: true}, "\x01\x01\x01a\x029d\xac\x02"},
		{Info{DeliverDataID: bytes.Repeat([]byte("x"), 300), Seq: -1}, "\x01\x00\x00\xac\x02" + strings.Repeat("x", 300) + "\x01"},
	} {
		if got := string(AppendInfo(nil, &tt.info)); got != tt.want {
			t.Errorf("%v is written %x, want %x", tt.info, got, tt.want)
		}
	}
	largest := Info{FileName: make([]byte, storage.MaxInfo-infoRoom), Seq: 1<<63 - 1, End: true}
	if n := len(AppendInfo(nil, &largest)); n > storage.MaxInfo {
		t.Errorf("%d bytes do not fit", n)
	}
}
