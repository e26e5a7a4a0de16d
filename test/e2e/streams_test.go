package e2e

import (
	"fmt"
	"slices"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/dis/v2/model"

	"disd/test/harness"
)

const schema = `{"type":"record","name":"R","fields":[{"name":"key1","type":"string"}]}`

func TestStream(t *testing.T) {
	onEachEngine(t, func(b *bench) {
		sysKey := model.GetSysTagKeyEnum().SYS_ENTERPRISE_PROJECT_ID
		created, err := b.CreateStream(&model.CreateStreamRequest{Body: &model.CreateStreamReq{
			StreamName: "orders", PartitionCount: 3,
			StreamType: new(model.GetCreateStreamReqStreamTypeEnum().ADVANCED), DataType: new(model.GetCreateStreamReqDataTypeEnum().CSV),
			DataDuration: new(int32(48)), DataSchema: new(schema), CsvProperties: &model.CsvProperties{Delimiter: new(";")},
			AutoScaleEnabled: new(true), AutoScaleMinPartitionCount: new(int64(2)), AutoScaleMaxPartitionCount: new(int32(10)),
			CompressionFormat: new(model.GetCreateStreamReqCompressionFormatEnum().GZIP),
			Tags:              &[]model.Tag{{Key: new("owner"), Value: new("team-a")}, {Key: new("empty")}},
			SysTags:           &[]model.SysTag{{Key: &sysKey, Value: new("0")}},
		}})
		b.must(201, created.HttpStatusCode, err)

		s := b.show("orders")
		got := []any{
			*s.StreamName, s.Status.Value(), s.StreamType.Value(), s.DataType.Value(), *s.RetentionPeriod, *s.DataSchema, *s.CsvProperties.Delimiter,
			s.CompressionFormat.Value(), *s.AutoScaleEnabled, *s.AutoScaleMinPartitionCount, *s.AutoScaleMaxPartitionCount,
			*s.WritablePartitionCount, *s.ReadablePartitionCount, *s.HasMorePartitions, len(*s.UpdatePartitionCounts),
			tags(*s.Tags), (*s.SysTags)[0].Key.Value(), *(*s.SysTags)[0].Value, len(*s.StreamId), *s.CreateTime == *s.LastModifiedTime,
		}
		want := []any{
			"orders", "RUNNING", "ADVANCED", "CSV", int32(48), schema, ";", "gzip", true, int32(2), int32(10), int32(3), int32(3), false, 0,
			"owner=team-a empty= ", "_sys_enterprise_project_id", "0", 19, true,
		}
		if !slices.Equal(got, want) {
			b.Errorf("show:\n%v, want\n%v", got, want)
		}
		if got, want := partitions(s), "0 ACTIVE [0 : 3074457345618258601] [0 : 0] \n"+ // L-5
			"1 ACTIVE [3074457345618258602 : 6148914691236517203] [0 : 0] \n"+
			"2 ACTIVE [6148914691236517204 : 9223372036854775807] [0 : 0] \n"; got != want {
			b.Errorf("partitions:\n%swant\n%s", got, want)
		}
		deleted, err := b.DeleteStream(&model.DeleteStreamRequest{StreamName: "orders"})
		b.must(204, deleted.HttpStatusCode, err)
		b.stream("orders", 1) // E5-R2: the name is free at once
		if again := b.show("orders"); *again.StreamId == *s.StreamId || again.DataType.Value() != "BLOB" || len(*again.Tags) != 0 {
			b.Errorf("a stream made anew is %v", again)
		}
	})
}

func tags(list []model.Tag) (s string) {
	for _, t := range list {
		s += *t.Key + "=" + *t.Value + " "
	}
	return s
}

// partitions describes the partitions of a stream, one a line.
func partitions(s *model.ShowStreamResponse) (text string) {
	for i, p := range *s.Partitions {
		id, seqs, parents := *p.PartitionId, "-", ""
		if id == fmt.Sprintf("shardId-%010d", i) {
			id = fmt.Sprint(i)
		}
		if p.SequenceNumberRange != nil {
			seqs = *p.SequenceNumberRange
		}
		if p.ParentPartitions != nil {
			parents = *p.ParentPartitions
		}
		text += fmt.Sprintln(id, p.Status.Value(), *p.HashRange, seqs, parents)
	}
	return text
}

func TestListStreams(t *testing.T) {
	onEachEngine(t, func(b *bench) {
		for _, name := range []string{"c", "a", "B", "d"} {
			b.stream(name, 2)
		}
		var pages []string
		for more, after := true, new(string); more; {
			r, err := b.ListStreams(&model.ListStreamsRequest{Limit: new(int32(3)), StartStreamName: after})
			b.must(200, r.HttpStatusCode, err)
			if *r.TotalNumber != 4 || len(*r.StreamInfoList) != len(*r.StreamNames) {
				b.Errorf("list: %v", r)
			}
			pages = append(pages, fmt.Sprint(*r.StreamNames))
			for _, info := range *r.StreamInfoList {
				if *info.PartitionCount != 2 || info.Status.Value() != "RUNNING" || info.DataType.Value() != "BLOB" || *info.RetentionPeriod != 24 || *info.AutoScaleMinPartitionCount != 0 {
					b.Errorf("E4: %v", info)
				}
				after = info.StreamName
			}
			more = *r.HasMoreStreams
		}
		if fmt.Sprint(pages) != "[[B a c] [d]]" {
			b.Errorf("E4-R1: pages %v", pages)
		}
	})
}

func TestPartitionPages(t *testing.T) {
	onEachEngine(t, func(b *bench) {
		b.stream("wide", 5)
		var ids []string
		for more, after := true, new(string); more; {
			r, err := b.ShowStream(&model.ShowStreamRequest{StreamName: "wide", StartPartitionId: after, LimitPartitions: new(int32(2))})
			b.must(200, r.HttpStatusCode, err)
			for _, p := range *r.Partitions {
				ids, after = append(ids, *p.PartitionId), p.PartitionId
			}
			if more = *r.HasMorePartitions; *r.WritablePartitionCount != 5 {
				b.Errorf("E6-R3: %d", *r.WritablePartitionCount)
			}
		}
		if len(ids) != 5 || !slices.IsSorted(ids) {
			b.Errorf("E6-R1: %v", ids)
		}
	})
}

func (b *bench) scale(stream string, to int32) error {
	return discard(b.UpdatePartitionCount(&model.UpdatePartitionCountRequest{
		StreamName: stream, Body: &model.UpdatePartitionCountReq{StreamName: stream, TargetPartitionCount: to},
	}))
}

func TestScale(t *testing.T) {
	onEachEngine(t, func(b *bench) {
		b.stream("s", 2)
		b.put("s", toPartition("0", "0"), toPartition("1", "1"))
		r, err := b.UpdatePartitionCount(&model.UpdatePartitionCountRequest{
			StreamName: "s", Body: &model.UpdatePartitionCountReq{StreamName: "s", TargetPartitionCount: 3},
		})
		b.must(200, r.HttpStatusCode, err)
		b.put("s", toPartition("2", "shardId-0000000002"))
		if err := b.scale("s", 1); err != nil {
			b.Fatal(err)
		}
		s := b.show("s")
		if got, want := partitions(s), "0 ACTIVE [0 : 9223372036854775807] [0 : 1] \n"+ // L-10
			"1 DELETED [-1 : -1] [0 : 1] \n"+
			"2 DELETED [-1 : -1] [0 : 1] shardId-0000000001\n"; got != want { // L-9
			b.Errorf("partitions:\n%swant\n%s", got, want)
		}
		if *s.WritablePartitionCount != 1 || *s.ReadablePartitionCount != 3 {
			b.Errorf("E6-R3: %d writable, %d readable", *s.WritablePartitionCount, *s.ReadablePartitionCount)
		}
		history := ""
		for _, u := range *s.UpdatePartitionCounts {
			history += fmt.Sprint(*u.SrcPartitionCount, ">", *u.TargetPartitionCount, *u.AutoScale, u.ResultCode, " ")
		}
		if history != "2>3 false <nil> 3>1 false <nil> " {
			b.Errorf("E6-R5: %s", history)
		}
		closed, err := b.send("s", toPartition("late", "1"), entry("in time"))
		if err != nil {
			b.Fatal(err)
		}
		late := (*closed.Records)[0]
		if *closed.FailedRecordCount != 1 || *late.ErrorCode != "DIS.4319" || late.PartitionId != nil || late.SequenceNumber != nil {
			b.Errorf("E19-R4: %v", closed)
		}
		if got, _ := b.read(b.mustCursor("s", position{partition: "1", kind: kinds.TRIM_HORIZON})); !slices.Equal(got, []string{"1"}) {
			b.Errorf("E20-N3: a closed partition gives %v", got)
		}
		if err := b.scale("s", 2); err != nil {
			b.Fatal(err)
		}
		if acks := b.put("s", toPartition("again", "1")); acks[0].Seq != 1 {
			b.Errorf("L-8: a partition that is active again goes on at %d", acks[0].Seq)
		}
	})
}

func (b *bench) update(r model.UpdateStreamReq) error {
	return discard(b.UpdateStream(&model.UpdateStreamRequest{StreamName: "s", Body: &r}))
}

func TestUpdateStream(t *testing.T) {
	onEachEngine(t, func(b *bench) {
		b.stream("s", 1)
		types := model.GetUpdateStreamReqDataTypeEnum()
		r, err := b.UpdateStream(&model.UpdateStreamRequest{StreamName: "s", Body: &model.UpdateStreamReq{
			StreamName: "s", DataType: &types.JSON, DataSchema: new(schema),
			AutoScaleEnabled: new(true), AutoScaleMinPartitionCount: new(int64(1)), AutoScaleMaxPartitionCount: new(int64(4)),
		}})
		b.must(204, r.HttpStatusCode, err)
		if err := b.update(model.UpdateStreamReq{StreamName: "s", DataDuration: new(int32(72))}); err != nil {
			b.Fatal(err)
		}
		s := b.show("s")
		got := []any{s.DataType.Value(), *s.DataSchema, *s.RetentionPeriod, *s.AutoScaleEnabled, *s.AutoScaleMaxPartitionCount}
		if want := []any{"JSON", schema, int32(72), true, int32(4)}; !slices.Equal(got, want) {
			b.Errorf("E8-R1: %v, want %v", got, want)
		}
		if err := b.update(model.UpdateStreamReq{StreamName: "s", DataType: &types.BLOB}); err != nil {
			b.Fatal(err)
		}
		if s := b.show("s"); s.DataSchema != nil || *s.RetentionPeriod != 72 {
			b.Errorf("E8-R2: %v", s)
		}
	})
}

func TestStreamErrors(t *testing.T) {
	onEachEngine(t, func(b *bench) {
		b.stream("s", 1)
		create := func(change func(*model.CreateStreamReq)) func() error {
			return func() error {
				r := model.CreateStreamReq{StreamName: "other", PartitionCount: 1}
				change(&r)
				return b.createStream(r)
			}
		}
		update := func(change func(*model.UpdateStreamReq)) func() error {
			return func() error {
				r := model.UpdateStreamReq{StreamName: "s"}
				change(&r)
				return b.update(r)
			}
		}
		show := func(name, after string, limit int32) func() error {
			return func() error {
				return discard(b.ShowStream(&model.ShowStreamRequest{StreamName: name, StartPartitionId: &after, LimitPartitions: &limit}))
			}
		}
		missing := "Stream does not exist. [none][" + harness.Project + "]"
		b.refuses([]refusal{
			{"E3-R2", create(func(r *model.CreateStreamReq) { r.StreamName = "s" }), "DIS.4307", "The stream already exists."},
			{"E3 name", create(func(r *model.CreateStreamReq) { r.StreamName = "no blank" }), "DIS.4200", "Invalid request. [stream_name"},
			{"E3 no name", create(func(r *model.CreateStreamReq) { r.StreamName = "" }), "DIS.4200", "Invalid request. [stream_name"},
			{"E3 count", create(func(r *model.CreateStreamReq) { r.PartitionCount = 0 }), "DIS.4200", "Invalid request. [partition_count"},
			{"Q-11", create(func(r *model.CreateStreamReq) { r.DataDuration = new(int32(23)) }), "DIS.4200", "Invalid request. [data_duration"},
			{"E3-R5", create(func(r *model.CreateStreamReq) { r.DataSchema = new(schema) }), "DIS.4360", "Invalid data schema."},
			{"E3-R7", create(func(r *model.CreateStreamReq) {
				r.AutoScaleMinPartitionCount, r.AutoScaleMaxPartitionCount = new(int64(3)), new(int32(2))
			}), "DIS.4200", "Invalid request. [auto_scale_"},
			{"E3-R8", create(func(r *model.CreateStreamReq) { r.Tags = manyTags(11) }), "DIS.4601", "The number of resource tags has reached the maximum."},
			{"E3-R8 twice", create(func(r *model.CreateStreamReq) {
				r.Tags = &[]model.Tag{{Key: new("k")}, {Key: new("k")}}
			}), "DIS.4200", "Invalid request. [tags"},
			{"E3-R11", show("other", "", 0), "DIS.4301", "Stream does not exist. [other]"},
			{"E4-R4", func() error { return discard(b.ListStreams(&model.ListStreamsRequest{Limit: new(int32(101))})) }, "DIS.4200", "Invalid request. [limit"},
			{"E5-R3", func() error { return discard(b.DeleteStream(&model.DeleteStreamRequest{StreamName: "none"})) }, "DIS.4301", missing},
			{"E6", show("none", "", 0), "DIS.4301", missing},
			{"E6 start", show("s", "shard-x", 0), "DIS.4201", "Invalid partition_id. [shard-x]"},
			{"E6 limit", show("s", "", 1001), "DIS.4200", "Invalid request. [limit_partitions"},
			{"E7-R1", func() error { return b.scale("s", 1) }, "DIS.4200", "Invalid request. [target_partition_count"},
			{"E7-R1 none", func() error { return b.scale("s", 0) }, "DIS.4200", "Invalid request. [target_partition_count"},
			{"E7", func() error { return b.scale("none", 2) }, "DIS.4301", missing},
			{"E8-R1", update(func(*model.UpdateStreamReq) {}), "DIS.4202", "Empty request."},
			{"E8-R2", update(func(r *model.UpdateStreamReq) { r.AutoScaleEnabled = new(true) }), "DIS.4200", "Invalid request. [auto_scale_"},
			{"E8-R3", update(func(r *model.UpdateStreamReq) {
				r.DataType, r.DataSchema = new(model.GetUpdateStreamReqDataTypeEnum().JSON), new("{}")
			}), "DIS.4360", "Invalid data schema."},
			{"E8 name", func() error {
				return discard(b.UpdateStream(&model.UpdateStreamRequest{StreamName: "s", Body: &model.UpdateStreamReq{StreamName: "t", DataDuration: new(int32(24))}}))
			}, "DIS.4200", "Invalid request. [stream_name"},
			{"E8", func() error {
				return discard(b.UpdateStream(&model.UpdateStreamRequest{StreamName: "none", Body: &model.UpdateStreamReq{StreamName: "none", DataDuration: new(int32(24))}}))
			}, "DIS.4301", missing},
		})
	})
}

func manyTags(n int) *[]model.Tag {
	list := make([]model.Tag, n)
	for i := range list {
		list[i] = model.Tag{Key: new(fmt.Sprint("k", i))}
	}
	return &list
}

// TestStreamQuotas: what the server refuses only when told to.
func TestStreamQuotas(t *testing.T) {
	b := newBench(t, harness.Options{Args: []string{"--engine", "memory", "--quota-mode", "enforce"}})
	b.stream("s", 48)
	b.refuses([]refusal{
		{"E3-R3", func() error { return b.createStream(model.CreateStreamReq{StreamName: "other", PartitionCount: 3}) }, "DIS.4308", "Insufficient quota."},
		{"E7-R3", func() error { return b.scale("s", 51) }, "DIS.4308", "Insufficient quota."},
	})
	if err := b.scale("s", 50); err != nil {
		t.Fatal(err)
	}
	b.refuses([]refusal{{"E7-R2", func() error { return b.scale("s", 49) }, "DIS.4305", "Too many stream requests."}})
}
