package e2e

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/dis/v2/model"

	"disd/test/harness"
)

func TestRecords(t *testing.T) {
	onEachEngine(t, func(b *bench) {
		b.stream("s", 3)
		hashed := entry("hashed")
		hashed.ExplicitHashKey, hashed.PartitionKey = new("0"), new("user-1")
		both := toPartition("both", "1")
		both.PartitionKey = new("unused")
		acks := b.put("s", withKey("keyed", "user-1"), toPartition("sent to 1", "shardId-0000000001"), hashed, both, withKey("中文", "分区"), withKey("", "device-42"))
		var got []string
		for _, a := range acks {
			got = append(got, fmt.Sprint(a.Partition, "/", a.Seq))
		}
		// L-7: user-1 and 分区 to 2, device-42 to 0; E19-R2: what wins over what.
		if want := []string{"2/0", "1/0", "0/0", "1/1", "2/1", "0/1"}; !slices.Equal(got, want) {
			b.Errorf("E19-R2: places %v, want %v", got, want)
		}
		r, err := b.ConsumeRecords(&model.ConsumeRecordsRequest{PartitionCursor: b.mustCursor("s", position{partition: "1", kind: kinds.TRIM_HORIZON})})
		b.must(200, r.HttpStatusCode, err)
		for i, rec := range *r.Records {
			// E20-R6: the key is not returned when a partition was named.
			if *rec.SequenceNumber != strconv.Itoa(i) || rec.PartitionKey != nil || *rec.TimestampType != "CreateTime" || *rec.Timestamp < 1e12 {
				b.Errorf("E20-R7: %v", rec)
			}
		}
		if got, _ := b.read(*r.NextPartitionCursor); len(*r.Records) != 2 || got != nil {
			b.Errorf("E20-R3: %d records, then %v", len(*r.Records), got)
		}
		data, _ := b.read(b.mustCursor("s", position{partition: "2", kind: kinds.TRIM_HORIZON}))
		if !slices.Equal(data, []string{"keyed", "中文"}) {
			b.Errorf("partition 2 gives %q", data)
		}
		empty, err := b.send("s")
		b.must(200, empty.HttpStatusCode, err)
		if *empty.FailedRecordCount != 0 || len(*empty.Records) != 0 {
			b.Errorf("E19-R12: %v", empty)
		}
	})
}

func TestSpread(t *testing.T) {
	onEachEngine(t, func(b *bench) {
		b.stream("s", 4)
		counts := make(map[int]int)
		for range 10 {
			for _, a := range b.put("s", slices.Repeat([]model.PutRecordsRequestEntry{entry("x")}, 4)...) {
				counts[a.Partition]++
			}
		}
		for p := range 4 {
			if counts[p] != 10 {
				b.Errorf("E19-R2: records without a key went to %v", counts)
				break
			}
		}
	})
}

func TestById(t *testing.T) {
	onEachEngine(t, func(b *bench) {
		b.stream("s", 1)
		r, err := b.SendRecords(&model.SendRecordsRequest{Body: &model.PutRecordsRequest{
			StreamName: "unknown here", StreamId: b.show("s").StreamId, Records: []model.PutRecordsRequestEntry{entry("by id")},
		}})
		b.must(200, r.HttpStatusCode, err)
		if got, _ := b.read(b.mustCursor("s", position{partition: "0"})); !slices.Equal(got, []string{"by id"}) {
			b.Errorf("E19-R1: %v", got)
		}
	})
}

func TestLargeUpload(t *testing.T) {
	onEachEngine(t, func(b *bench) {
		b.stream("s", 2)
		block := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB, Q-18
		b.put("s", toPartition(block, "0"), toPartition(block, "0"), toPartition(block, "1"), toPartition(block, "0"))
		b.put("s", slices.Repeat([]model.PutRecordsRequestEntry{toPartition("small", "1")}, 10_000)...) // E19-R13
		at := b.mustCursor("s", position{partition: "0", kind: kinds.TRIM_HORIZON})
		for max, want := range map[int32]int{0: 1, 1<<20 - 1: 0, 1 << 20: 1, 3 << 20: 3} { // 0: not given
			req := &model.ConsumeRecordsRequest{PartitionCursor: at}
			if max > 0 {
				req.MaxFetchBytes = &max
			}
			r, err := b.ConsumeRecords(req)
			b.must(200, r.HttpStatusCode, err)
			if len(*r.Records) != want {
				b.Errorf("E20-R2: %d records within %d bytes, want %d", len(*r.Records), max, want)
			}
		}
	})
}

func TestCursors(t *testing.T) {
	onEachEngine(t, func(b *bench) {
		b.stream("s", 2)
		b.put("s", toPartition("a", "1"), toPartition("b", "1"), toPartition("c", "1"))
		first, err := b.ConsumeRecords(&model.ConsumeRecordsRequest{PartitionCursor: b.mustCursor("s", position{partition: "1"})})
		if err != nil {
			b.Fatal(err)
		}
		stored := *(*first.Records)[0].Timestamp
		latest := position{partition: "1", kind: kinds.LATEST}
		before := b.mustCursor("s", latest)
		for _, row := range []struct {
			rule string
			at   position
			want string
		}{
			{"E21-R9", position{}, "abc"},
			{"E21-R9 number", position{seq: "1"}, "bc"},
			{"TRIM_HORIZON", position{kind: kinds.TRIM_HORIZON}, "abc"},
			{"E21-R4", position{kind: kinds.TRIM_HORIZON, seq: "99"}, "abc"},
			{"AT first", position{kind: kinds.AT_SEQUENCE_NUMBER, seq: "0"}, "abc"},
			{"AT last", position{kind: kinds.AT_SEQUENCE_NUMBER, seq: "2"}, "c"},
			{"E21-R3", position{kind: kinds.AT_SEQUENCE_NUMBER, seq: "3"}, ""},
			{"AFTER first", position{kind: kinds.AFTER_SEQUENCE_NUMBER, seq: "0"}, "bc"},
			{"AFTER last", position{kind: kinds.AFTER_SEQUENCE_NUMBER, seq: "2"}, ""},
			{"LATEST", position{kind: kinds.LATEST}, ""},
			{"E21-R5 at", position{kind: kinds.AT_TIMESTAMP, time: stored}, "abc"},
			{"E21-R5 before", position{kind: kinds.AT_TIMESTAMP, time: stored - 1000}, "abc"},
			{"E21-R5 future", position{kind: kinds.AT_TIMESTAMP, time: stored + 3_600_000}, ""},
		} {
			row.at.partition = "shardId-0000000001"
			got, next := b.read(b.mustCursor("s", row.at))
			if strings.Join(got, "") != row.want {
				b.Errorf("%s: %v, want %q", row.rule, got, row.want)
			}
			if more, _ := b.read(next); more != nil {
				b.Errorf("%s: then %v", row.rule, more)
			}
		}
		b.put("s", toPartition("d", "1"))
		if got, _ := b.read(before); !slices.Equal(got, []string{"d"}) { // E21-R7
			b.Errorf("LATEST from before an upload: %v", got)
		}
		if got, _ := b.read(before); !slices.Equal(got, []string{"d"}) {
			b.Errorf("E20-R4: the second time %v", got)
		}
	})
}

func TestRecordErrors(t *testing.T) {
	onEachEngine(t, func(b *bench) {
		b.stream("s", 1)
		b.stream("gone", 1)
		b.put("s", entry("a"))
		orphan := b.mustCursor("gone", position{partition: "0"})
		if err := discard(b.DeleteStream(&model.DeleteStreamRequest{StreamName: "gone"})); err != nil {
			b.Fatal(err)
		}
		send := func(change func(*model.PutRecordsRequestEntry)) func() error {
			return func() error {
				e := entry("x")
				change(&e)
				return discard(b.send("s", entry("not stored either"), e))
			}
		}
		cursor := func(stream string, p position) func() error {
			return func() error { return discard(b.cursor(stream, p)) }
		}
		get := func(cursor string) func() error {
			return func() error { return discard(b.ConsumeRecords(&model.ConsumeRecordsRequest{PartitionCursor: cursor})) }
		}
		good := b.mustCursor("s", position{partition: "0"})
		altered := "A" + good[1:]
		if altered == good {
			altered = "B" + good[1:]
		}
		b.refuses([]refusal{
			{"E19-R1", func() error { return discard(b.send("none", entry("x"))) }, "DIS.4301", "Stream does not exist. [none][" + harness.Project + "]"},
			{"E19-R3 data", send(func(e *model.PutRecordsRequestEntry) { e.Data = "***" }), "DIS.4200", "Invalid request. ["},
			{"E19-R3 hash", send(func(e *model.PutRecordsRequestEntry) { e.ExplicitHashKey = new("9223372036854775808") }), "DIS.4200", "Invalid request. ["},
			{"E19-R3 partition", send(func(e *model.PutRecordsRequestEntry) { e.PartitionId = new("one") }), "DIS.4201", "Invalid partition_id. [one]"},
			{"E19-R3 key", send(func(e *model.PutRecordsRequestEntry) { e.PartitionKey = new(strings.Repeat("k", 257)) }), "DIS.4200", "Invalid request. ["},
			{"Q-18", send(func(e *model.PutRecordsRequestEntry) {
				e.Data = base64.StdEncoding.EncodeToString(make([]byte, 1<<20+1))
			}), "DIS.4213", "The record is too large."},
			{"E20-R5", get(altered), "DIS.4217", "Invalid partition cursor."},
			{"E20-R5 text", get("cursor"), "DIS.4217", "Invalid partition cursor."},
			{"E20-R5 long", get(strings.Repeat("x", 513)), "DIS.4217", "Invalid partition cursor."},
			{"E20-R5 gone", get(orphan), "DIS.4301", "Stream does not exist."},
			{"E20 max", func() error {
				return discard(b.ConsumeRecords(&model.ConsumeRecordsRequest{PartitionCursor: good, MaxFetchBytes: new(int32(-1))}))
			}, "DIS.4200", "Invalid request. [max_fetch_bytes"},
			{"E21 stream", cursor("none", position{partition: "0"}), "DIS.4301", "Stream does not exist. [none]"},
			{"E21-R2", cursor("s", position{partition: "0", kind: kinds.AT_SEQUENCE_NUMBER}), "DIS.4216", "Invalid sequence_number."},
			{"E21-R2 text", cursor("s", position{partition: "0", kind: kinds.AFTER_SEQUENCE_NUMBER, seq: "x"}), "DIS.4216", "Invalid sequence_number."},
			{"E21-R3", cursor("s", position{partition: "0", kind: kinds.AT_SEQUENCE_NUMBER, seq: "2"}), "DIS.4224", "Sequence_number out of range. [2][ should be within ][0][ ][1]"},
			{"E21-R3 after", cursor("s", position{partition: "0", kind: kinds.AFTER_SEQUENCE_NUMBER, seq: "1"}), "DIS.4224", "Sequence_number out of range. [1]"},
			{"E21-R5", cursor("s", position{partition: "0", kind: kinds.AT_TIMESTAMP, time: 0}), "DIS.4300", "Request error. [timestamp is expired, timestamp should be larger than 1"},
			{"E21-R8", cursor("s", position{partition: "1"}), "DIS.4302", "Partition does not exist."},
			{"E21-R8 malformed", cursor("s", position{partition: "one"}), "DIS.4201", "Invalid partition_id. [one]"},
		})
		if got, _ := b.read(good); !slices.Equal(got, []string{"a"}) {
			b.Errorf("E19-R3: refused uploads left %v", got)
		}
		// E19-R4: single records fail in an upload that succeeds.
		r, err := b.send("s", toPartition("x", "7"), toPartition("b", "0"))
		b.must(200, r.HttpStatusCode, err)
		bad := (*r.Records)[0]
		if *r.FailedRecordCount != 1 || *bad.ErrorCode != "DIS.4302" || !strings.HasSuffix(*bad.ErrorMessage, " DIS.4302") || *(*r.Records)[1].SequenceNumber != "1" {
			b.Errorf("E19-R4: %v", r)
		}
	})
}

// TestThrottling: with quotas enforced, an upload beyond them fails record by
// record, in a 200.
func TestThrottling(t *testing.T) {
	b := newBench(t, harness.Options{Args: []string{"--engine", "memory", "--quota-mode", "enforce"}})
	b.stream("s", 1)
	r, err := b.send("s", slices.Repeat([]model.PutRecordsRequestEntry{entry("x")}, 1500)...) // 1000 records a second
	b.must(200, r.HttpStatusCode, err)
	for i, rec := range *r.Records {
		if refused := rec.ErrorCode != nil; refused != (i >= 1000) || refused && *rec.ErrorCode != "DIS.4303" {
			t.Fatalf("E19-R10: record %d: %v", i, rec)
		}
	}
	if *r.FailedRecordCount != 500 {
		t.Errorf("E19-R5: %d", *r.FailedRecordCount)
	}
}

// TestRestart: everything is there after a restart, also for a consumer that was
// in the middle of something.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, harness.Options{Dir: dir})
	b.stream("s", 1)
	b.app("reader")
	b.put("s", entry("a"), entry("b"))
	b.commit("reader", "0", "1")
	before, at := b.show("s"), b.mustCursor("s", position{partition: "0", kind: kinds.AT_SEQUENCE_NUMBER, seq: "1"})
	b.server.Stop(t)

	b = newBench(t, harness.Options{Dir: dir})
	if after := b.show("s"); partitions(after) != partitions(before) || *after.StreamId != *before.StreamId || *after.CreateTime != *before.CreateTime {
		t.Errorf("the stream was %v and is %v", before, after)
	}
	if got := b.checkpoint("0"); got != "1 m1" {
		t.Errorf("L-27: checkpoint %q", got)
	}
	if got, _ := b.read(at); !slices.Equal(got, []string{"b"}) { // L-22
		t.Errorf("a cursor from before gives %v", got)
	}
	if acks := b.put("s", entry("c")); acks[0].Seq != 2 {
		t.Errorf("L-14: the next number is %d", acks[0].Seq)
	}
}
