"""The calls of all demos of the legacy Python SDK.

Arguments: "" or "protobuf", "V11" or "plain" signatures. The old package, which has the
same modules, knows neither V11 nor streams by their id.
"""
import functools
import inspect
import os
import sys
import time

from dis_sdk_python import DumpTask, disclient, json

encoding, signature = sys.argv[1:]
NEW = "streamId" in inspect.signature(disclient.describeStream).parameters

methods = {name: method for name, method in vars(disclient).items() if inspect.isfunction(method) and not name.startswith("_")}
called = set()


def recorded(method):
    @functools.wraps(method)
    def call(*args, **kwargs):
        called.add(method.__name__)
        return method(*args, **kwargs)
    return call


for name, method in methods.items():
    setattr(disclient, name, recorded(method))


def make_client(**options):
    # [snippet]
    return disclient(
        endpoint=os.environ["DIS_ENDPOINT"],  # http://127.0.0.1:20004
        ak=os.environ["DIS_AK"], sk=os.environ["DIS_SK"],
        projectid=os.environ["DIS_PROJECT"], region=os.environ["DIS_REGION"],
        **options,  # none, or bodySerializeType="protobuf", derivationKeySwitch=False for signatures other than V11
    )
    # [end]


client = make_client(bodySerializeType=encoding, **({"derivationKeySwitch": signature == "V11"} if NEW else {}))
VARIANT = (encoding or "json") + "-" + signature
STREAM, APP, TASK = "python-" + VARIANT, "python-app-" + VARIANT, "python_task"


def equal(what, got, want):
    if got == want:
        print("ok", what, VARIANT, flush=True)
    else:
        print("not ok", what, VARIANT + ":", f"{got!r}, want {want!r}", flush=True)


def refused(what, code, call):
    try:
        got = call()
    except Exception as e:  # the SDK's own class says no more
        got = str(e)
    equal(what, code in str(got) and code, code)


def text(record):
    return record["data"] if isinstance(record["data"], str) else record["data"].decode()


equal("create stream", client.createStream(STREAM, 2, "JSON", "COMMON").statusCode, 201)
stream = client.describeStream(STREAM)
equal("describe stream", (stream.streamName, stream.status, stream.streamType, stream.retentionPeriod, len(stream.partitions)),
      (STREAM, "RUNNING", "COMMON", 24, 2))
stream_id = stream.body["stream_id"]
if NEW:
    equal("describe by id", client.describeStream("", streamId=stream_id).streamName, STREAM)
equal("list streams", STREAM in client.listStream().stream_names, True)

records = [{"data": "a", "partition_id": "shardId-0000000001"}, {"data": "中文", "partition_id": "1"},
           {"data": "keyed", "partition_key": "0"}, {"data": "hashed", "explicit_hash_key": "9223372036854775807"}]
put = client.putRecords(STREAM, records)
equal("put", (put.failedRecordCount, [(r["partition_id"], r["sequence_number"]) for r in put.recordResult]),
      (0, [("shardId-0000000001", str(i)) for i in range(4)]))
put = client.put_records("", stream_id, [{"data": "by id", "partition_id": "1"}, {"data": "x", "partition_id": "7"}])
equal("put by id", (put.recordResult[0]["sequence_number"], put.failedRecordCount, put.recordResult[1]["error_code"]), ("4", 1, "DIS.4302"))

cursor = client.getCursor(STREAM, "1", "TRIM_HORIZON").cursor
got = client.getRecords(cursor)
equal("get", [(r["sequence_number"], text(r), r["partitionKey"]) for r in got.recordResult],
      [("0", "a", None), ("1", "中文", None), ("2", "keyed", "0"), ("3", "hashed", None), ("4", "by id", None)])
equal("timestamps", all(r["timestamp"] > 1e12 and r["timestamp_type"] == "CreateTime" for r in got.recordResult), True)
equal("get a limit", len(client.getRecords(cursor, limit=2).recordResult), 2)
equal("get the end", client.getRecords(got.nextPartitionCursor).recordResult, [])
by_id = {"streamName": "", "streamId": stream_id} if NEW else {"streamName": STREAM}
cursor = client.getCursor(partitionId="1", cursorType="AT_SEQUENCE_NUMBER", startSeq="3", **by_id).cursor
equal("cursor by id", text(client.getRecords(cursor).recordResult[0]), "hashed")
cursor = client.getCursor(STREAM, "1", "AT_TIMESTAMP", timestamp=got.recordResult[0]["timestamp"]).cursor
equal("cursor by time", text(client.getRecords(cursor).recordResult[0]), "a")
refused("cursor out of range", "DIS.4224", lambda: client.getCursor(STREAM, "1", "AT_SEQUENCE_NUMBER", startSeq="99"))

equal("create app", client.createApp(APP).statusCode, 201)
equal("describe app", json.loads(json.dumps(client.describeApp(APP).body))["app_name"], APP)
equal("list apps", APP in [a["app_name"] for a in client.listApp("").apps], True)
equal("no checkpoint", client.getCheckpoint(STREAM, APP, "1").seqNumber, "-1")
equal("commit", client.commitCheckpoint(STREAM, APP, "1", "3", metaData="mine").statusCode, 201)
equal("commit a number", client.commitCheckpoint(appName=APP, partitionId="shardId-0000000001", seqNumber=4, **by_id).statusCode, 201)
equal("checkpoint", client.getCheckpoint(STREAM, APP, "1").seqNumber, "4")
state = client.streamConsume(STREAM, APP).partition_consuming_states
equal("consuming state", [(s["partition_id"], s["sequence_number"], s["latest_offset"]) for s in state],
      [("shardId-0000000000", "-1", 0), ("shardId-0000000001", "4", 5)])
refused("app in use", "DIS.4331", lambda: client.deleteApp(APP))
equal("delete checkpoint", client.deleteCheckpoint(STREAM, APP).statusCode, 204)

equal("update partition count", client.changepartitionQuantity(STREAM, 3).statusCode, 200)
equal("partitions", len(client.describeStream(STREAM).partitions), 3)

now = int(time.time())
got = client.streamMonitor(STREAM, "total_put_records_per_stream", now - 600, now + 60)
equal("stream metrics", (got.label, sum(p["value"] for p in got.dataPoints)), ("total_put_records_per_stream", 5))
got = client.partitionMonitor(STREAM, "shardId-0000000001", "total_put_records_per_partition", now - 600, now + 60)
equal("partition metrics", (got.label, sum(p["value"] for p in got.dataPoints)), ("total_put_records_per_partition", 5))

basic = DumpTask.setSchema(key=["consumer_strategy", "deliver_time_interval", "agency_name", "retry_duration"],
                           value=["LATEST", 30, "dis_admin_agency", 1800])
obs = DumpTask.setSchema(basic_Schema=dict(basic), key=["destination_file_type", "obs_bucket_path", "file_prefix", "partition_format", "record_delimiter"],
                         value=["text", "bucket", "", "yyyy", "|"])
equal("add dump task", client.add_dump_task(STREAM, TASK, "OBS", dict(obs)).statusCode, 201)
equal("list dump tasks", [(t["task_name"], t["destination_type"]) for t in client.list_dump_task(STREAM).tasks], [(TASK, "OBS")])
got = client.describe_dump_task(STREAM, TASK)
equal("describe dump task", (got.taskName, got.streamName, len(got.partitions), got.body["obs_destination_description"]["record_delimiter"]),
      (TASK, STREAM, 3, "|"))
equal("delete dump task", client.delete_dump_task(STREAM, TASK).statusCode, 204)
refused("dump task is gone", "DIS.4354", lambda: client.describe_dump_task(STREAM, TASK))

# Other destinations: understood, but this server has none of them.
cloud_table = ["cloudtable_cluster_name", "cloudtable_cluster_id", "obs_backup_bucket_path", "backup_file_prefix"]
for kind, code, key, value in (
    ("MRS", "DIS.4208", ["destination_file_type", "mrs_cluster_id", "mrs_cluster_name", "mrs_hdfs_path", "obs_bucket_path"],
     ["text", "id", "name", "/app-logs", "bucket"]),
    ("CloudTable_HBase", "DIS.4341", cloud_table + ["cloudtable_table_name", "cloudtable_row_key_delimiter", "row_key", "columns"],
     ["name", "id", "bucket", "", "table", "|", [{"value": "dataId", "type": "String"}],
      [{"column_family_name": "cfname1", "column_name": "ID", "value": "dataId", "type": "String"}]]),
    ("CloudTable_OpenTSDB", "DIS.4341", cloud_table + ["metric", "timestamp", "value", "tags"],
     ["name", "id", "bucket", "", [{"type": "Constant", "value": "age"}],
      {"value": "date", "type": "String", "format": "yyyy/MM/dd HH:mm:ss"}, {"value": "value", "type": "Bigint"},
      [{"name": "name", "value": "name", "type": "Bigint"}]]),
):
    schema = DumpTask.setSchema(basic_Schema=dict(basic), key=key, value=value)
    refused("add dump task " + kind, code, lambda: client.add_dump_task(STREAM, TASK, kind, schema))


def foreign_stream():
    """A stream of another account, by its id."""
    owner = disclient(os.environ["DIS_ENDPOINT"], os.environ["DIS_AK2"], os.environ["DIS_SK2"], os.environ["DIS_PROJECT2"], "region-1")
    owner.createStream(STREAM, 1, "BLOB", "COMMON")
    foreign = owner.describeStream(STREAM).body["stream_id"]
    for action in "putRecords", "getRecords", "getStreamInfo":  # the SDK has no such call, but signs it
        owner._disclient__sendRequest(owner._disclient__generateRequest(
            "POST", "/v2/" + owner.projectid + "/streams/" + STREAM + "/policies", query={}, headers={}, body=json.dumps(
                {"stream_id": foreign, "principal_name": os.environ["DIS_DOMAIN"] + ".*", "action_type": action, "effect": "accept"})))
    equal("foreign: describe", client.describeStream("", streamId=foreign).streamName, STREAM)
    equal("foreign: put", client.put_records("", foreign, [{"data": "theirs", "partition_id": "0"}]).failedRecordCount, 0)
    cursor = client.getCursor("", "0", "TRIM_HORIZON", streamId=foreign).cursor
    equal("foreign: get", [text(r) for r in client.getRecords(cursor).recordResult], ["theirs"])
    equal("foreign: commit", client.commitCheckpoint("", APP, "0", "1", streamId=foreign).statusCode, 201)
    equal("foreign: checkpoint", client.getCheckpoint("", APP, "0", streamId=foreign).seqNumber, "1")
    equal("foreign: consuming state", client.streamConsume("", APP, streamId=foreign).partition_consuming_states[0]["sequence_number"], "1")
    equal("foreign: delete checkpoint", client.deleteCheckpoint("", APP, streamId=foreign).statusCode, 204)
    owner.deleteStream(STREAM)


if NEW:
    foreign_stream()

client.setUserAgent("conformance")
client.updateAuthInfo("NOBODYSKEY0000000001", "nobody's", os.environ["DIS_PROJECT"], os.environ["DIS_REGION"])
if os.path.exists(os.environ["DIS_CA"]):
    refused("unknown credentials", "APIGW.0301", lambda: client.listStream())
client.updateAuthInfo(os.environ["DIS_AK"], os.environ["DIS_SK"], os.environ["DIS_PROJECT"], os.environ["DIS_REGION"])
equal("new credentials", STREAM in client.listStream().stream_names, True)

equal("delete app", client.deleteApp(APP).statusCode, 204)
equal("delete stream", client.deleteStream(STREAM).statusCode, 204)
refused("stream is gone", "DIS.4301", lambda: client.describeStream(STREAM))
equal("all calls", set(methods) - called, set())
