"""All 33 operations of the v3 Python SDK."""
import base64
import os
import time

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdkdis.v2 import *


# [snippet]
def config():
    http = HttpConfig.get_default_config()
    http.ssl_ca_cert = os.environ.get("DIS_CA")  # data_dir/tls/ca.pem, with TLS
    return http


def make_client():
    return (
        DisClient.new_builder()
        .with_http_config(config())
        .with_credentials(BasicCredentials(os.environ["DIS_AK"], os.environ["DIS_SK"], os.environ["DIS_PROJECT"]))
        .with_endpoint(os.environ["DIS_ENDPOINT"])  # http://127.0.0.1:20004
        .build()
    )
# [end]


client = make_client()


checked = set()


def check(name):
    checked.add(name)

    def run(body):
        try:
            body()
            print("ok", name, flush=True)
        except Exception as e:  # whatever it is, it is the result of the check
            print("not ok", name + ":", " ".join(f"{e!r} {vars(e)}".split())[:400], flush=True)
    return run


def fails(code, call):
    try:
        call()
    except ClientRequestException as e:
        assert e.error_code == code and e.request_id, (e.error_code, e.error_msg)
        return
    raise AssertionError("no " + code)


STREAM, APP, TASK = "python-v3", "python-v3-app", "python-v3-task"
SCHEMA = '{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}'


def show():
    return client.show_stream(ShowStreamRequest(stream_name=STREAM))


def cursor(kind="TRIM_HORIZON", **more):
    r = client.show_cursor(ShowCursorRequest(stream_name=STREAM, partition_id="0", cursor_type=kind, **more))
    return r.partition_cursor


@check("CreateStream")
def _():
    client.create_stream(CreateStreamRequest(body=CreateStreamReq(
        stream_name=STREAM, partition_count=1, stream_type="COMMON", data_type="JSON", data_duration=48, data_schema=SCHEMA,
        compression_format="zip", csv_properties=CSVProperties(delimiter=";"), auto_scale_enabled=True,
        auto_scale_min_partition_count=1, auto_scale_max_partition_count=4, tags=[Tag(key="k", value="v"), Tag(key="empty")],
        sys_tags=[SysTag(key="_sys_enterprise_project_id", value="0")])))
    fails("DIS.4307", lambda: client.create_stream(CreateStreamRequest(body=CreateStreamReq(stream_name=STREAM, partition_count=1))))


@check("ListStreams")
def _():
    r = client.list_streams(ListStreamsRequest(limit=100))
    assert (r.stream_names, r.total_number, r.has_more_streams) == ([STREAM], 1, False), r
    info = r.stream_info_list[0]
    assert (info.stream_name, info.status, info.partition_count, info.retention_period) == (STREAM, "RUNNING", 1, 48), r


@check("ShowStream")
def _():
    r = show()
    assert (r.data_schema, r.csv_properties.delimiter, r.compression_format) == (SCHEMA, ";", "zip"), r
    assert (r.status, r.stream_type, r.data_type, r.writable_partition_count) == ("RUNNING", "COMMON", "JSON", 1), r
    assert (r.auto_scale_enabled, r.auto_scale_min_partition_count, r.auto_scale_max_partition_count) == (True, 1, 4), r
    assert (r.partitions[0].partition_id, r.partitions[0].sequence_number_range) == ("shardId-0000000000", "[0 : 0]"), r
    assert r.partitions[0].hash_range == "[0 : 9223372036854775807]" and r.retention_period == 48, r
    assert {t.key: t.value for t in r.tags} == {"k": "v", "empty": ""}, r.tags
    fails("DIS.4301", lambda: client.show_stream(ShowStreamRequest(stream_name="nowhere")))


@check("UpdatePartitionCount")
def _():
    client.update_partition_count(UpdatePartitionCountRequest(
        stream_name=STREAM, body=UpdatePartitionCountReq(stream_name=STREAM, target_partition_count=2)))
    r = show()
    change = r.update_partition_counts[0]
    assert (r.writable_partition_count, change.src_partition_count, change.target_partition_count) == (2, 1, 2), r


@check("UpdateStream")
def _():
    client.update_stream(UpdateStreamRequest(stream_name=STREAM, body=UpdateStreamReq(stream_name=STREAM, data_duration=72)))
    assert show().retention_period == 72


@check("SendRecords")
def _():
    data = base64.b64encode("中文 data".encode()).decode()
    r = client.send_records(SendRecordsRequest(body=PutRecordsRequest(stream_name=STREAM, records=[
        PutRecordsRequestEntry(data=data, explicit_hash_key="0", partition_key="pk"), PutRecordsRequestEntry(data=data, partition_id="0"),
        PutRecordsRequestEntry(data=data, partition_id="7"), PutRecordsRequestEntry(data=data)])))
    assert r.failed_record_count == 1 and len(r.records) == 4, r
    assert [(e.partition_id, e.sequence_number) for e in r.records[:2]] == [("shardId-0000000000", "0"), ("shardId-0000000000", "1")], r
    assert r.records[2].error_code == "DIS.4302", r


@check("ShowCursor")
def _():
    for kind, more in (("TRIM_HORIZON", {}), ("LATEST", {}), ("AT_SEQUENCE_NUMBER", {"starting_sequence_number": "1"}),
                       ("AFTER_SEQUENCE_NUMBER", {"starting_sequence_number": "0"}), ("AT_TIMESTAMP", {"timestamp": int(time.time() * 1000)})):
        assert cursor(kind, **more), kind
    fails("DIS.4224", lambda: cursor("AT_SEQUENCE_NUMBER", starting_sequence_number="99"))


@check("ConsumeRecords")
def _():
    r = client.consume_records(ConsumeRecordsRequest(partition_cursor=cursor(), max_fetch_bytes=1 << 20))
    assert base64.b64decode(r.records[0].data).decode() == "中文 data" and r.records[0].timestamp_type == "CreateTime", r
    assert (r.records[0].sequence_number, r.records[0].partition_key) == ("0", "pk") and r.records[0].timestamp > 1e12, r
    again = client.consume_records(ConsumeRecordsRequest(partition_cursor=r.next_partition_cursor))
    assert again.records == [], again
    fails("DIS.4217", lambda: client.consume_records(ConsumeRecordsRequest(partition_cursor="x")))


@check("CreateApp")
def _():
    client.create_app(CreateAppRequest(body=CreateAppReq(app_name=APP)))
    fails("DIS.4330", lambda: client.create_app(CreateAppRequest(body=CreateAppReq(app_name=APP))))


@check("CommitCheckpoint")
def _():
    client.commit_checkpoint(CommitCheckpointRequest(body=CommitCheckpointReq(
        app_name=APP, checkpoint_type="LAST_READ", stream_name=STREAM, partition_id="0", sequence_number="1", metadata="meta")))


@check("ShowCheckpoint")
def _():
    r = client.show_checkpoint(ShowCheckpointRequest(
        stream_name=STREAM, partition_id="shardId-0000000000", app_name=APP, checkpoint_type="LAST_READ"))
    assert (r.sequence_number, r.metadata) == ("1", "meta"), r


@check("ShowConsumerState")
def _():
    r = client.show_consumer_state(ShowConsumerStateRequest(app_name=APP, stream_name=STREAM, checkpoint_type="LAST_READ"))
    assert [s.sequence_number for s in r.partition_consuming_states] == ["1", "-1"], r


@check("ListApp")
def _():
    r = client.list_app(ListAppRequest(stream_name=STREAM))
    assert [a.app_name for a in r.apps] == [APP], r


@check("ShowApp")
def _():
    r = client.show_app(ShowAppRequest(app_name=APP))
    assert r.commit_checkpoint_stream_names == [STREAM], r


@check("CreateTag")
def _():
    client.create_tag(CreateTagRequest(stream_id=show().stream_id, body=CreateTagReq(tag=Tag(key="one", value="1"))))


@check("BatchCreateTags")
def _():
    client.batch_create_tags(BatchCreateTagsRequest(stream_id=show().stream_id, body=BatchCreateTagsReq(
        action="create", tags=[Tag(key="two", value="2"), Tag(key="three", value="3")])))


@check("ShowStreamTags")
def _():
    r = client.show_stream_tags(ShowStreamTagsRequest(stream_id=show().stream_id))
    assert {t.key: t.value for t in r.tags} == {"k": "v", "empty": "", "one": "1", "two": "2", "three": "3"}, r


@check("ListTags")
def _():
    r = client.list_tags(ListTagsRequest())
    assert "one" in [t.key for t in r.tags], r


@check("ListResourcesByTags")
def _():
    r = client.list_resources_by_tags(ListResourcesByTagsRequest(body=ListResourceInstancesReq(
        action="filter", limit="10", offset="0", tags=[Tags(key="one", values=["1"])])))
    assert r.total_count == 1 and r.resources[0].resource_name == STREAM, r


@check("DeleteTag")
def _():
    client.delete_tag(DeleteTagRequest(stream_id=show().stream_id, key="one"))


@check("BatchDeleteTags")
def _():
    client.batch_delete_tags(BatchDeleteTagsRequest(stream_id=show().stream_id, body=BatchDeleteTagsReq(
        action="delete", tags=[Tag(key="two", value="2"), Tag(key="three")])))
    assert sorted(t.key for t in show().tags) == ["empty", "k"]


@check("ListPolicies")
def _():
    r = client.list_policies(ListPoliciesRequest(stream_name=STREAM))
    assert r.rules == [] and r.stream_id == show().stream_id, r


@check("ShowStreamMetrics")
def _():
    now = int(time.time())
    r = client.show_stream_metrics(ShowStreamMetricsRequest(
        stream_name=STREAM, label="total_put_records_per_stream", start_time=now - 600, end_time=now + 60))
    assert r.metrics.label == "total_put_records_per_stream" and sum(p.value for p in r.metrics.data_points) == 3, r


@check("ShowPartitionMetrics")
def _():
    now = int(time.time())
    r = client.show_partition_metrics(ShowPartitionMetricsRequest(
        stream_name=STREAM, partition_id="0", label="total_put_bytes_per_partition", start_time=now - 600, end_time=now + 60))
    assert r.metrics.label == "total_put_bytes_per_partition" and r.metrics.data_points, r


def task():
    return client.show_transfer_task(ShowTransferTaskRequest(stream_name=STREAM, task_name=TASK))


@check("CreateObsTransferTask")
def _():
    client.create_obs_transfer_task(CreateObsTransferTaskRequest(stream_name=STREAM, body=CreateTransferTaskReq(
        destination_type="OBS", obs_destination_descriptor=OBSDestinationDescriptorRequest(
            task_name=TASK, agency_name="dis_admin_agency", deliver_time_interval=30, obs_bucket_path="bucket", file_prefix="p",
            consumer_strategy="LATEST", destination_file_type="text", partition_format="yyyy/MM/dd/HH/mm", record_delimiter="\n"))))


@check("ListTransferTasks")
def _():
    r = client.list_transfer_tasks(ListTransferTasksRequest(stream_name=STREAM))
    assert [t.task_name for t in r.tasks] == [TASK] and r.total_number == 1, r


@check("ShowTransferTask")
def _():
    r = task()
    obs = r.obs_destination_description
    assert (obs.obs_bucket_path, obs.file_prefix, obs.partition_format, obs.record_delimiter) == ("bucket", "p", "yyyy/MM/dd/HH/mm", "\n"), r


@check("BatchStopTransferTask")
def _():
    client.batch_stop_transfer_task(BatchStopTransferTaskRequest(stream_name=STREAM, body=BatchStopTransferTaskReq(
        action="stop", tasks=[BatchTransferTask(id=TASK)])))
    assert task().state == "PAUSED", task().state


@check("BatchStartTransferTask")
def _():
    client.batch_start_transfer_task(BatchStartTransferTaskRequest(stream_name=STREAM, body=BatchStartTransferTaskReq(
        action="start", tasks=[BatchTransferTask(id=TASK)])))
    assert task().state == "RUNNING", task().state


@check("DeleteTransferTask")
def _():
    client.delete_transfer_task(DeleteTransferTaskRequest(stream_name=STREAM, task_name=TASK))
    fails("DIS.4354", task)


@check("DeleteCheckpoint")
def _():
    client.delete_checkpoint(DeleteCheckpointRequest(stream_name=STREAM, app_name=APP, checkpoint_type="LAST_READ"))
    assert client.show_app(ShowAppRequest(app_name=APP)).commit_checkpoint_stream_names == []


@check("DeleteStream")
def _():
    client.delete_stream(DeleteStreamRequest(stream_name=STREAM))
    fails("DIS.4301", show)


@check("DeleteApp")
def _():
    client.delete_app(DeleteAppRequest(app_name=APP))
    fails("DIS.4332", lambda: client.show_app(ShowAppRequest(app_name=APP)))


@check("a project found by its region")
def _():
    keys = BasicCredentials(os.environ["DIS_AK"], os.environ["DIS_SK"]).with_iam_endpoint(os.environ["DIS_ENDPOINT"])
    region = Region(os.environ["DIS_PROJECT_NAME"], os.environ["DIS_ENDPOINT"])
    by_region = DisClient.new_builder().with_http_config(config()).with_credentials(keys).with_region(region).build()
    assert by_region.list_streams(ListStreamsRequest()).has_more_streams is False


@check("all operations")
def _():
    methods = [m for m in vars(DisClient) if not m.startswith("_") and not m.endswith("_invoker") and m not in ("new_builder", "call_api")]
    missing = {"".join(w.title() for w in m.split("_")) for m in methods} - checked
    assert len(methods) >= 33 and not missing, missing
