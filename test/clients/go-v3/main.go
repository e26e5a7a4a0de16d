// Command go-v3 calls all 33 operations of the Go SDK of the v3 generation.
package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/region"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	dis "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/dis/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/dis/v2/model"
)

func newClient() (*dis.DisClient, error) {
	// [snippet]
	keys, err := basic.NewCredentialsBuilder().
		WithAk(os.Getenv("DIS_AK")).WithSk(os.Getenv("DIS_SK")).WithProjectId(os.Getenv("DIS_PROJECT")).SafeBuild()
	if err != nil {
		return nil, err
	}
	http, err := dis.DisClientBuilder().WithCredential(keys).
		WithEndpoint(os.Getenv("DIS_ENDPOINT")). // http://127.0.0.1:20004
		SafeBuild()
	if err != nil {
		return nil, err
	}
	return dis.NewDisClient(http), nil // SSL_CERT_FILE names data_dir/tls/ca.pem, with TLS
	// [end]
}

var client = must(newClient())

const (
	stream, app, task = "go-v3", "go-v3-app", "go-v3-task"
	schema            = `{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}`
	text              = "中文 data"
)

var checked = make(map[string]bool)

// check runs the check of one operation, which panics with what it finds wrong.
func check(name string, body func()) {
	checked[name] = true
	defer func() {
		if p := recover(); p != nil {
			fmt.Printf("not ok %s: %s\n", name, strings.Join(strings.Fields(fmt.Sprint(p)), " "))
			return
		}
		fmt.Println("ok", name)
	}()
	body()
}

func must[T any](answer T, err error) T {
	if err != nil {
		panic(err)
	}
	return answer
}

// same compares values that the SDK decoded, as JSON, with what they are to be.
func same(want string, got ...any) {
	if raw := must(json.Marshal(got)); string(raw) != "["+want+"]" {
		panic(fmt.Sprintf("%s, want [%s]", raw, want))
	}
}

// refused wants the error of a call to be that of the server.
func refused(code string, err error) {
	var e *sdkerr.ServiceResponseError
	if !errors.As(err, &e) || e.ErrorCode != code || e.ErrorMessage == "" || e.RequestId == "" {
		panic(fmt.Sprintf("%v, want %s", err, code))
	}
}

func show() *model.ShowStreamResponse {
	return must(client.ShowStream(&model.ShowStreamRequest{StreamName: stream}))
}

func cursor(r model.ShowCursorRequest) string {
	r.StreamName, r.PartitionId = stream, "0"
	return *must(client.ShowCursor(&r)).PartitionCursor
}

func showTask() (*model.ShowTransferTaskResponse, error) {
	return client.ShowTransferTask(&model.ShowTransferTaskRequest{StreamName: stream, TaskName: task})
}

func main() {
	streams()
	records()
	apps()
	tags()
	monitoring()
	tasks()
	cleanup()
	check("a project found by its region, derived signatures", func() {
		endpoint, name := os.Getenv("DIS_ENDPOINT"), os.Getenv("DIS_PROJECT_NAME")
		keys := must(basic.NewCredentialsBuilder().WithAk(os.Getenv("DIS_AK")).WithSk(os.Getenv("DIS_SK")).
			WithIamEndpointOverride(endpoint).WithDerivedPredicate(auth.GetDefaultDerivedPredicate()).SafeBuild())
		http := must(dis.DisClientBuilder().WithCredential(keys).WithRegion(region.NewRegion(name, endpoint)).
			WithDerivedAuthServiceName("dis").SafeBuild())
		r := must(dis.NewDisClient(http).ListStreams(&model.ListStreamsRequest{}))
		same("200", r.HttpStatusCode)
	})
	check("all operations", func() {
		for method := range reflect.TypeFor[*dis.DisClient]().Methods() {
			if !checked[method.Name] && !strings.HasSuffix(method.Name, "Invoker") {
				panic(method.Name + " is not called")
			}
		}
	})
}

func streams() {
	check("CreateStream", func() {
		r := must(client.CreateStream(&model.CreateStreamRequest{Body: &model.CreateStreamReq{
			StreamName: stream, PartitionCount: 1, DataDuration: new(int32(48)), DataSchema: new(schema),
			StreamType: new(model.GetCreateStreamReqStreamTypeEnum().COMMON), DataType: new(model.GetCreateStreamReqDataTypeEnum().JSON),
			CompressionFormat: new(model.GetCreateStreamReqCompressionFormatEnum().ZIP), CsvProperties: &model.CsvProperties{Delimiter: new(";")},
			AutoScaleEnabled: new(true), AutoScaleMinPartitionCount: new(int64(1)), AutoScaleMaxPartitionCount: new(int32(4)),
			Tags:    &[]model.Tag{{Key: new("k"), Value: new("v")}, {Key: new("empty")}},
			SysTags: &[]model.SysTag{{Key: new(model.GetSysTagKeyEnum().SYS_ENTERPRISE_PROJECT_ID), Value: new("0")}}}}))
		_, err := client.CreateStream(&model.CreateStreamRequest{Body: &model.CreateStreamReq{StreamName: stream, PartitionCount: 1}})
		same("201", r.HttpStatusCode)
		refused("DIS.4307", err)
	})
	check("ListStreams", func() {
		r := must(client.ListStreams(&model.ListStreamsRequest{Limit: new(int32(100))}))
		info := (*r.StreamInfoList)[0]
		same(`200,1,["go-v3"],false,"go-v3","RUNNING",1,48`, r.HttpStatusCode, r.TotalNumber, r.StreamNames, r.HasMoreStreams,
			info.StreamName, info.Status, info.PartitionCount, info.RetentionPeriod)
	})
	check("ShowStream", func() {
		r := show()
		same(`"RUNNING","COMMON","JSON",48,";","zip",true,1,4,false,1,1`, r.Status, r.StreamType, r.DataType, r.RetentionPeriod,
			r.CsvProperties.Delimiter, r.CompressionFormat, r.AutoScaleEnabled, r.AutoScaleMinPartitionCount,
			r.AutoScaleMaxPartitionCount, r.HasMorePartitions, r.WritablePartitionCount, r.ReadablePartitionCount)
		same(`[{"status":"ACTIVE","partition_id":"shardId-0000000000","hash_range":"[0 : 9223372036854775807]","sequence_number_range":"[0 : 0]"}]`, r.Partitions)
		same(`[{"key":"k","value":"v"},{"key":"empty","value":""}],[{"key":"_sys_enterprise_project_id","value":"0"}]`, r.Tags, r.SysTags)
		same("true,true", *r.DataSchema == schema, *r.CreateTime <= time.Now().UnixMilli())
		_, err := client.ShowStream(&model.ShowStreamRequest{StreamName: "nowhere"})
		refused("DIS.4301", err)
	})
	check("UpdatePartitionCount", func() {
		must(client.UpdatePartitionCount(&model.UpdatePartitionCountRequest{
			StreamName: stream, Body: &model.UpdatePartitionCountReq{StreamName: stream, TargetPartitionCount: 2}}))
		r := show()
		change := (*r.UpdatePartitionCounts)[0]
		same("2,1,2", r.WritablePartitionCount, change.SrcPartitionCount, change.TargetPartitionCount)
	})
	check("UpdateStream", func() {
		r := must(client.UpdateStream(&model.UpdateStreamRequest{
			StreamName: stream, Body: &model.UpdateStreamReq{StreamName: stream, DataDuration: new(int32(72))}}))
		after := show()
		same("204,72", r.HttpStatusCode, after.RetentionPeriod)
	})
}

func records() {
	kinds := model.GetShowCursorRequestCursorTypeEnum()
	check("SendRecords", func() {
		data := base64.StdEncoding.EncodeToString([]byte(text))
		r := must(client.SendRecords(&model.SendRecordsRequest{Body: &model.PutRecordsRequest{StreamName: stream, Records: []model.PutRecordsRequestEntry{
			{Data: data, PartitionId: new("0"), PartitionKey: new("pk")}, {Data: data, ExplicitHashKey: new("0")},
			{Data: data, PartitionId: new("7")}, {Data: data}}}}))
		got := *r.Records
		same(`1,"shardId-0000000000","0","shardId-0000000000","1","DIS.4302"`, r.FailedRecordCount,
			got[0].PartitionId, got[0].SequenceNumber, got[1].PartitionId, got[1].SequenceNumber, got[2].ErrorCode)
	})
	check("ShowCursor", func() {
		for _, r := range []model.ShowCursorRequest{
			{}, {CursorType: &kinds.TRIM_HORIZON}, {CursorType: &kinds.LATEST},
			{CursorType: &kinds.AT_SEQUENCE_NUMBER, StartingSequenceNumber: new("1")},
			{CursorType: &kinds.AFTER_SEQUENCE_NUMBER, StartingSequenceNumber: new("0")},
			{CursorType: &kinds.AT_TIMESTAMP, Timestamp: new(time.Now().UnixMilli())},
		} {
			cursor(r)
		}
		_, err := client.ShowCursor(&model.ShowCursorRequest{StreamName: stream, PartitionId: "0",
			CursorType: &kinds.AT_SEQUENCE_NUMBER, StartingSequenceNumber: new("99")})
		refused("DIS.4224", err)
	})
	check("ConsumeRecords", func() {
		r := must(client.ConsumeRecords(&model.ConsumeRecordsRequest{
			PartitionCursor: cursor(model.ShowCursorRequest{CursorType: &kinds.TRIM_HORIZON}), MaxFetchBytes: new(int32(1 << 20))}))
		first := (*r.Records)[0]
		data := must(base64.StdEncoding.DecodeString(*first.Data))
		same(`"中文 data","0","CreateTime",true`, string(data), first.SequenceNumber, first.TimestampType, *first.Timestamp > 1e12)
		same("true", *r.NextPartitionCursor != "")
		_, err := client.ConsumeRecords(&model.ConsumeRecordsRequest{PartitionCursor: "x"})
		refused("DIS.4217", err)
	})
}

func apps() {
	check("CreateApp", func() {
		request := &model.CreateAppRequest{Body: &model.CreateAppReq{AppName: app}}
		r := must(client.CreateApp(request))
		_, err := client.CreateApp(request)
		same("201", r.HttpStatusCode)
		refused("DIS.4330", err)
	})
	check("CommitCheckpoint", func() {
		r := must(client.CommitCheckpoint(&model.CommitCheckpointRequest{Body: &model.CommitCheckpointReq{
			AppName: app, CheckpointType: model.GetCommitCheckpointReqCheckpointTypeEnum().LAST_READ, StreamName: stream,
			PartitionId: "0", SequenceNumber: "1", Metadata: new("meta")}}))
		same("201", r.HttpStatusCode)
	})
	check("ShowCheckpoint", func() {
		r := must(client.ShowCheckpoint(&model.ShowCheckpointRequest{StreamName: stream, PartitionId: "shardId-0000000000",
			AppName: app, CheckpointType: model.GetShowCheckpointRequestCheckpointTypeEnum().LAST_READ}))
		same(`"1","meta"`, r.SequenceNumber, r.Metadata)
	})
	check("ShowConsumerState", func() {
		r := must(client.ShowConsumerState(&model.ShowConsumerStateRequest{AppName: app, StreamName: stream,
			CheckpointType: model.GetShowConsumerStateRequestCheckpointTypeEnum().LAST_READ}))
		states := *r.PartitionConsumingStates
		same(`false,"shardId-0000000000","1",0,"LAST_READ","-1"`, r.HasMore, states[0].PartitionId, states[0].SequenceNumber,
			states[0].EarliestOffset, states[0].CheckpointType, states[1].SequenceNumber)
	})
	check("ListApp", func() {
		r := must(client.ListApp(&model.ListAppRequest{StreamName: new(stream), Limit: new(int32(10))}))
		same(`false,1,"go-v3-app"`, r.HasMoreApp, r.TotalNumber, (*r.Apps)[0].AppName)
	})
	check("ShowApp", func() {
		r := must(client.ShowApp(&model.ShowAppRequest{AppName: app}))
		same(`"go-v3-app",["go-v3"]`, r.AppName, r.CommitCheckpointStreamNames)
	})
}

func tags() {
	check("CreateTag", func() {
		r := must(client.CreateTag(&model.CreateTagRequest{StreamId: *show().StreamId, Body: &model.CreateTagReq{Tag: &model.Tag{Key: new("one"), Value: new("1")}}}))
		same("204", r.HttpStatusCode)
	})
	check("BatchCreateTags", func() {
		r := must(client.BatchCreateTags(&model.BatchCreateTagsRequest{StreamId: *show().StreamId, Body: &model.BatchCreateTagsReq{
			Action: model.GetBatchCreateTagsReqActionEnum().CREATE, Tags: []model.Tag{{Key: new("two"), Value: new("2")}, {Key: new("three")}}}}))
		same("204", r.HttpStatusCode)
	})
	check("ShowStreamTags", func() {
		r := must(client.ShowStreamTags(&model.ShowStreamTagsRequest{StreamId: *show().StreamId}))
		got := make(map[string]string)
		for _, t := range *r.Tags {
			got[*t.Key] = *t.Value
		}
		same(`{"empty":"","k":"v","one":"1","three":"","two":"2"}`, got)
	})
	check("ListTags", func() {
		r := must(client.ListTags(&model.ListTagsRequest{}))
		got := make(map[string][]string)
		for _, t := range *r.Tags {
			got[*t.Key] = *t.Values
		}
		same(`{"empty":[""],"k":["v"],"one":["1"],"three":[""],"two":["2"]}`, got)
	})
	check("ListResourcesByTags", func() {
		r := must(client.ListResourcesByTags(&model.ListResourcesByTagsRequest{Body: &model.ListResourceInstancesReq{
			Action: model.GetListResourceInstancesReqActionEnum().FILTER, Limit: new("10"), Offset: new("0"),
			Tags: &[]model.Tags{{Key: new("one"), Values: &[]string{"1"}}}}}))
		same(`1,"go-v3"`, r.TotalCount, (*r.Resources)[0].ResourceName)
	})
	check("DeleteTag", func() {
		r := must(client.DeleteTag(&model.DeleteTagRequest{StreamId: *show().StreamId, Key: "one"}))
		same("204", r.HttpStatusCode)
	})
	check("BatchDeleteTags", func() {
		r := must(client.BatchDeleteTags(&model.BatchDeleteTagsRequest{StreamId: *show().StreamId, Body: &model.BatchDeleteTagsReq{
			Action: model.GetBatchDeleteTagsReqActionEnum().DELETE, Tags: []model.Tag{{Key: new("two"), Value: new("2")}, {Key: new("three")}}}}))
		after := show()
		same("204,2", r.HttpStatusCode, len(*after.Tags))
	})
	check("ListPolicies", func() {
		r := must(client.ListPolicies(&model.ListPoliciesRequest{StreamName: stream}))
		same("true,[]", *r.StreamId == *show().StreamId, r.Rules)
	})
}

func monitoring() {
	now := time.Now().Unix()
	check("ShowStreamMetrics", func() {
		r := must(client.ShowStreamMetrics(&model.ShowStreamMetricsRequest{StreamName: stream, StartTime: now - 600, EndTime: now + 60,
			LabelList: new("total_put_records_per_stream,total_get_records_per_stream")}))
		same(`"total_put_records_per_stream","total_get_records_per_stream",true`, (*r.MetricsList)[0].Label, (*r.MetricsList)[1].Label,
			*(*(*r.MetricsList)[0].DataPoints)[0].Value == 3)
	})
	check("ShowPartitionMetrics", func() {
		r := must(client.ShowPartitionMetrics(&model.ShowPartitionMetricsRequest{StreamName: stream, PartitionId: "0", StartTime: now - 600, EndTime: now + 60,
			Label: new(model.GetShowPartitionMetricsRequestLabelEnum().TOTAL_PUT_BYTES_PER_PARTITION)}))
		same(`"total_put_bytes_per_partition",true`, r.Metrics.Label, r.Metrics.DataPoints != nil)
	})
}

func tasks() {
	check("CreateObsTransferTask", func() {
		r := must(client.CreateObsTransferTask(&model.CreateObsTransferTaskRequest{StreamName: stream, Body: &model.CreateTransferTaskReq{
			DestinationType: model.GetCreateTransferTaskReqDestinationTypeEnum().OBS,
			ObsDestinationDescriptor: &model.ObsDestinationDescriptorRequest{
				TaskName: task, AgencyName: "dis_admin_agency", DeliverTimeInterval: 30, ObsBucketPath: "bucket", FilePrefix: new("p"),
				ConsumerStrategy:    new(model.GetObsDestinationDescriptorRequestConsumerStrategyEnum().LATEST),
				PartitionFormat:     new(model.GetObsDestinationDescriptorRequestPartitionFormatEnum().YYYY_MM_DD_HH_MM),
				DestinationFileType: new(model.GetObsDestinationDescriptorRequestDestinationFileTypeEnum().TEXT),
				RecordDelimiter:     new("|")}}}))
		same("201", r.HttpStatusCode)
	})
	check("ListTransferTasks", func() {
		r := must(client.ListTransferTasks(&model.ListTransferTasksRequest{StreamName: stream}))
		same(`1,"go-v3-task","OBS"`, r.TotalNumber, (*r.Tasks)[0].TaskName, (*r.Tasks)[0].DestinationType)
	})
	check("ShowTransferTask", func() {
		r := must(showTask())
		obs := r.ObsDestinationDescription
		same(`"OBS","bucket","p","|","yyyy/MM/dd/HH/mm","LATEST",30`, r.DestinationType, obs.ObsBucketPath, obs.FilePrefix,
			obs.RecordDelimiter, obs.PartitionFormat, obs.ConsumerStrategy, obs.DeliverTimeInterval)
	})
	check("BatchStopTransferTask", func() {
		must(client.BatchStopTransferTask(&model.BatchStopTransferTaskRequest{StreamName: stream, Body: &model.BatchStopTransferTaskReq{
			Action: model.GetBatchStopTransferTaskReqActionEnum().STOP, Tasks: []model.BatchTransferTask{{Id: task}}}}))
		r := must(showTask())
		same(`"PAUSED"`, r.State)
	})
	check("BatchStartTransferTask", func() {
		must(client.BatchStartTransferTask(&model.BatchStartTransferTaskRequest{StreamName: stream, Body: &model.BatchStartTransferTaskReq{
			Action: model.GetBatchStartTransferTaskReqActionEnum().START, Tasks: []model.BatchTransferTask{{Id: task}}}}))
		r := must(showTask())
		same(`"RUNNING"`, r.State)
	})
	check("DeleteTransferTask", func() {
		r := must(client.DeleteTransferTask(&model.DeleteTransferTaskRequest{StreamName: stream, TaskName: task}))
		_, err := showTask()
		same("204", r.HttpStatusCode)
		refused("DIS.4354", err)
	})
}

func cleanup() {
	check("DeleteCheckpoint", func() {
		r := must(client.DeleteCheckpoint(&model.DeleteCheckpointRequest{StreamName: stream, AppName: app,
			CheckpointType: model.GetDeleteCheckpointRequestCheckpointTypeEnum().LAST_READ}))
		same("204", r.HttpStatusCode)
	})
	check("DeleteStream", func() {
		r := must(client.DeleteStream(&model.DeleteStreamRequest{StreamName: stream}))
		_, err := client.ShowStream(&model.ShowStreamRequest{StreamName: stream})
		same("204", r.HttpStatusCode)
		refused("DIS.4301", err)
	})
	check("DeleteApp", func() {
		r := must(client.DeleteApp(&model.DeleteAppRequest{AppName: app}))
		_, err := client.ShowApp(&model.ShowAppRequest{AppName: app})
		same("204", r.HttpStatusCode)
		refused("DIS.4332", err)
	})
}
