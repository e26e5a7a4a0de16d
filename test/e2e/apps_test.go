package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/dis/v2/model"
)

var (
	committed = model.GetCommitCheckpointReqCheckpointTypeEnum().LAST_READ
	shown     = model.GetShowCheckpointRequestCheckpointTypeEnum().LAST_READ
	dropped   = model.GetDeleteCheckpointRequestCheckpointTypeEnum().LAST_READ
	consumed  = model.GetShowConsumerStateRequestCheckpointTypeEnum().LAST_READ
)

func TestApp(t *testing.T) {
	onEachEngine(t, func(b *bench) {
		created, err := b.CreateApp(&model.CreateAppRequest{Body: &model.CreateAppReq{AppName: "reader"}})
		b.must(201, created.HttpStatusCode, err)
		r, err := b.ShowApp(&model.ShowAppRequest{AppName: "reader"})
		b.must(200, r.HttpStatusCode, err)
		if *r.AppName != "reader" || len(*r.AppId) != 19 || *r.CreateTime < 1e12 || len(*r.CommitCheckpointStreamNames) != 0 {
			b.Errorf("E14: %v", r)
		}
		deleted, err := b.DeleteApp(&model.DeleteAppRequest{AppName: "reader"})
		b.must(204, deleted.HttpStatusCode, err)
		b.app("reader") // E13-R3
	})
}

func TestListApps(t *testing.T) {
	onEachEngine(t, func(b *bench) {
		b.stream("s", 1)
		for _, name := range []string{"c", "a", "b"} {
			b.app(name)
		}
		b.commit("b", "0", "0")
		var names []string
		for more, after := true, new(string); more; {
			r, err := b.ListApp(&model.ListAppRequest{Limit: new(int32(2)), StartAppName: after})
			b.must(200, r.HttpStatusCode, err)
			for _, app := range *r.Apps {
				names, after = append(names, *app.AppName+fmt.Sprint(*app.CommitCheckpointStreamNames)), app.AppName
			}
			if more = *r.HasMoreApp; *r.TotalNumber != 3 {
				b.Errorf("E12-R3: %d", *r.TotalNumber)
			}
		}
		if !slices.Equal(names, []string{"a[]", "b[s]", "c[]"}) {
			b.Errorf("E12-R1: %v", names)
		}
		r, err := b.ListApp(&model.ListAppRequest{StreamName: new("s")})
		b.must(200, r.HttpStatusCode, err)
		if *r.TotalNumber != 1 || len(*r.Apps) != 1 || *(*r.Apps)[0].AppName != "b" {
			b.Errorf("E12-R2: %v", r)
		}
	})
}

func (b *bench) tryCommit(app, stream, partition, seq, metadata string) error {
	return discard(b.CommitCheckpoint(&model.CommitCheckpointRequest{Body: &model.CommitCheckpointReq{
		AppName: app, StreamName: stream, PartitionId: partition, SequenceNumber: seq, CheckpointType: committed, Metadata: &metadata,
	}}))
}

// commit commits a checkpoint on the stream s.
func (b *bench) commit(app, partition, seq string) {
	b.Helper()
	if err := b.tryCommit(app, "s", partition, seq, "m"+seq); err != nil {
		b.Fatal(err)
	}
}

// checkpoint returns the position and the metadata of the app "reader" on s.
func (b *bench) checkpoint(partition string) string {
	b.Helper()
	r, err := b.ShowCheckpoint(&model.ShowCheckpointRequest{AppName: "reader", StreamName: "s", PartitionId: partition, CheckpointType: shown})
	b.must(200, r.HttpStatusCode, err)
	return *r.SequenceNumber + " " + *r.Metadata
}

func (b *bench) dropCheckpoint(app, stream string, partition *string) error {
	return discard(b.DeleteCheckpoint(&model.DeleteCheckpointRequest{AppName: app, StreamName: stream, PartitionId: partition, CheckpointType: dropped}))
}

func TestCheckpoint(t *testing.T) {
	onEachEngine(t, func(b *bench) {
		b.stream("s", 2)
		b.app("reader")
		b.put("s", toPartition("a", "1"), toPartition("b", "1"), toPartition("c", "1"))
		if got := b.checkpoint("1"); got != "-1 " {
			b.Errorf("E17-R1: %q", got)
		}
		r, err := b.CommitCheckpoint(&model.CommitCheckpointRequest{Body: &model.CommitCheckpointReq{
			AppName: "reader", StreamName: "s", PartitionId: "shardId-0000000001", SequenceNumber: "3", CheckpointType: committed,
		}})
		b.must(201, r.HttpStatusCode, err)
		b.commit("reader", "0", "0") // E16-R2: the end of an empty partition
		for partition, want := range map[string]string{"1": "3 ", "shardId-0000000001": "3 ", "0": "0 m0"} {
			if got := b.checkpoint(partition); got != want {
				b.Errorf("checkpoint of %s is %q, want %q", partition, got, want)
			}
		}
		b.commit("reader", "1", "1") // E16-R1: also backwards
		if got := b.checkpoint("1"); got != "1 m1" {
			b.Errorf("E16-R1: %q", got)
		}
		// A consumer goes on where it was.
		if got, _ := b.read(b.mustCursor("s", position{partition: "1", kind: kinds.AFTER_SEQUENCE_NUMBER, seq: "1"})); !slices.Equal(got, []string{"c"}) {
			b.Errorf("after the checkpoint come %v", got)
		}
		deleted, err := b.DeleteCheckpoint(&model.DeleteCheckpointRequest{AppName: "reader", StreamName: "s", PartitionId: new("1"), CheckpointType: dropped})
		b.must(204, deleted.HttpStatusCode, err)
		if got := b.checkpoint("1") + b.checkpoint("0"); got != "-1 0 m0" {
			b.Errorf("E18-R1: %q", got)
		}
		if err := b.dropCheckpoint("reader", "s", nil); err != nil {
			b.Fatal(err)
		}
		if got := b.checkpoint("0"); got != "-1 " {
			b.Errorf("E18-R2: %q", got)
		}
	})
}

func TestConsumerState(t *testing.T) {
	onEachEngine(t, func(b *bench) {
		b.stream("s", 3)
		b.app("reader")
		b.put("s", toPartition("a", "1"), toPartition("b", "1"))
		b.commit("reader", "1", "1")
		var got []string
		for more, after := true, new(string); more; {
			r, err := b.ShowConsumerState(&model.ShowConsumerStateRequest{
				AppName: "reader", StreamName: "s", Limit: new(int32(2)), StartPartitionId: after, CheckpointType: consumed,
			})
			b.must(200, r.HttpStatusCode, err)
			if *r.AppName != "reader" || *r.StreamName != "s" {
				b.Errorf("E15: %v", r)
			}
			for _, p := range *r.PartitionConsumingStates {
				after = p.PartitionId
				got = append(got, fmt.Sprint(*p.PartitionId, *p.SequenceNumber, " ", *p.EarliestOffset, *p.LatestOffset, p.CheckpointType.Value(), p.Status.Value()))
			}
			more = *r.HasMore
		}
		want := []string{
			"shardId-0000000000-1 0 0LAST_READACTIVE",
			"shardId-00000000011 0 2LAST_READACTIVE",
			"shardId-0000000002-1 0 0LAST_READACTIVE",
		}
		if !slices.Equal(got, want) {
			b.Errorf("E15-R1: %q, want %q", got, want)
		}
	})
}

func TestAppErrors(t *testing.T) {
	onEachEngine(t, func(b *bench) {
		b.stream("s", 1)
		b.app("reader")
		b.app("idle")
		b.put("s", entry("a"))
		b.commit("reader", "0", "1")
		create := func(name string) func() error {
			return func() error {
				return discard(b.CreateApp(&model.CreateAppRequest{Body: &model.CreateAppReq{AppName: name}}))
			}
		}
		remove := func(name string) func() error {
			return func() error { return discard(b.DeleteApp(&model.DeleteAppRequest{AppName: name})) }
		}
		state := func(app, stream, after string) func() error {
			return func() error {
				return discard(b.ShowConsumerState(&model.ShowConsumerStateRequest{AppName: app, StreamName: stream, StartPartitionId: &after, CheckpointType: consumed}))
			}
		}
		commit := func(app, stream, partition, seq, metadata string) func() error {
			return func() error { return b.tryCommit(app, stream, partition, seq, metadata) }
		}
		show := func(stream, partition string) func() error {
			return func() error {
				return discard(b.ShowCheckpoint(&model.ShowCheckpointRequest{AppName: "reader", StreamName: stream, PartitionId: partition, CheckpointType: shown}))
			}
		}
		drop := func(app, stream, partition string) func() error {
			return func() error { return b.dropCheckpoint(app, stream, &partition) }
		}
		list := func(limit int32, stream string) func() error {
			return func() error { return discard(b.ListApp(&model.ListAppRequest{Limit: &limit, StreamName: &stream})) }
		}
		b.refuses([]refusal{
			{"E11-R1", create("reader"), "DIS.4330", "app already exist."},
			{"E11 name", create("no blank"), "DIS.4200", "Invalid request. [app_name"},
			{"E11 length", create(strings.Repeat("x", 201)), "DIS.4200", "Invalid request. [app_name"},
			{"E12 limit", list(101, ""), "DIS.4200", "Invalid request. [limit"},
			{"E12-R2", list(1, "none"), "DIS.4301", "Stream does not exist. [none]"},
			{"E13-R1", remove("none"), "DIS.4332", "app not found."},
			{"E13-R2", remove("reader"), "DIS.4331", "app is using."},
			{"E14", func() error { return discard(b.ShowApp(&model.ShowAppRequest{AppName: "none"})) }, "DIS.4332", "app not found."},
			{"E15 app", state("none", "s", ""), "DIS.4332", "app not found."},
			{"E15 stream", state("reader", "none", ""), "DIS.4301", "Stream does not exist. [none]"},
			{"E15 partition", state("reader", "s", "x"), "DIS.4201", "Invalid partition_id. [x]"},
			{"E16-R2", commit("reader", "s", "0", "2", ""), "DIS.4224", "Sequence_number out of range. [2][ should be within ][0][ ][1]"},
			{"E16-R3", commit("reader", "s", "0", "-1", ""), "DIS.4216", "Invalid sequence_number."},
			{"E16-R3 text", commit("reader", "s", "0", "one", ""), "DIS.4216", "Invalid sequence_number."},
			{"E16-R3 large", commit("reader", "s", "0", "9223372036854775808", ""), "DIS.4216", "Invalid sequence_number."},
			{"E16-R4 app", commit("none", "s", "0", "0", ""), "DIS.4332", "app not found."},
			{"E16-R4 stream", commit("reader", "none", "0", "0", ""), "DIS.4301", "Stream does not exist. [none]"},
			{"E16-R4 partition", commit("reader", "s", "1", "0", ""), "DIS.4302", "Partition does not exist."},
			{"E16-R4 malformed", commit("reader", "s", "one", "0", ""), "DIS.4201", "Invalid partition_id. [one]"},
			{"E16-R5", commit("reader", "s", "0", "0", strings.Repeat("x", 1001)), "DIS.4200", "Invalid request. [metadata"},
			{"E17 stream", show("none", "0"), "DIS.4301", "Stream does not exist. [none]"},
			{"E17 partition", show("s", "1"), "DIS.4302", "Partition does not exist."},
			{"E17 malformed", show("s", "one"), "DIS.4201", "Invalid partition_id. [one]"},
			{"E18-R3", drop("idle", "s", "0"), "DIS.4375", "The app does not commit checkpoint"},
			{"E18 app", drop("none", "s", "0"), "DIS.4332", "app not found."},
			{"E18 stream", drop("reader", "none", "0"), "DIS.4301", "Stream does not exist. [none]"},
			{"E18 partition", drop("reader", "s", "1"), "DIS.4302", "Partition does not exist."},
		})
		// E5-R5: an app can be deleted when its streams are gone.
		if err := discard(b.DeleteStream(&model.DeleteStreamRequest{StreamName: "s"})); err != nil {
			b.Fatal(err)
		}
		b.server.Client().Forget("s")
		if err := remove("reader")(); err != nil {
			b.Errorf("E13-R2: %v", err)
		}
	})
}
