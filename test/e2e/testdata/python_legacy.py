"""What the legacy Python SDK can do with streams, records, apps and checkpoints.

Arguments: endpoint, project, "" or "protobuf", "derived" or "plain" signatures.
The first check that fails ends the program.
"""
import json
import sys

from dis_sdk_python import disclient

endpoint, project, encoding, signature = sys.argv[1:]
client = disclient(endpoint, "ACCESSKEY", "secretkey", project, "region-1", encoding, signature == "derived")
STREAM, APP = "python-" + (encoding or "json") + "-" + signature, "python-app-" + (encoding or "json") + "-" + signature


def equal(what, got, want):
    if got != want:
        sys.exit(f"{what}: {got!r}, want {want!r}")
    print("ok", what)


def refused(what, code, call):
    try:
        call()
    except Exception as e:  # the SDK's own class says no more
        equal(what, code in str(e), True)
        return
    sys.exit(f"{what}: no {code}")


def text(record):
    return record["data"] if isinstance(record["data"], str) else record["data"].decode()


equal("create stream", client.createStream(STREAM, 2, "BLOB", "COMMON").statusCode, 201)
stream = client.describeStream(STREAM)
equal("describe stream", (stream.streamName, stream.status, stream.streamType, stream.retentionPeriod, len(stream.partitions)),
      (STREAM, "RUNNING", "COMMON", 24, 2))
stream_id = stream.body["stream_id"]
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
cursor = client.getCursor("", "1", "AT_SEQUENCE_NUMBER", startSeq="3", streamId=stream_id).cursor
equal("cursor by id", text(client.getRecords(cursor).recordResult[0]), "hashed")
cursor = client.getCursor(STREAM, "1", "AT_TIMESTAMP", timestamp=got.recordResult[0]["timestamp"]).cursor
equal("cursor by time", text(client.getRecords(cursor).recordResult[0]), "a")
refused("cursor out of range", "DIS.4224", lambda: client.getCursor(STREAM, "1", "AT_SEQUENCE_NUMBER", startSeq="99"))

equal("create app", client.createApp(APP).statusCode, 201)
equal("describe app", json.loads(json.dumps(client.describeApp(APP).body))["app_name"], APP)
equal("list apps", APP in [a["app_name"] for a in client.listApp("").apps], True)
equal("no checkpoint", client.getCheckpoint(STREAM, APP, "1").seqNumber, "-1")
equal("commit", client.commitCheckpoint(STREAM, APP, "1", "3", metaData="mine").statusCode, 201)
equal("commit a number", client.commitCheckpoint("", APP, "shardId-0000000001", 4, streamId=stream_id).statusCode, 201)
equal("checkpoint", client.getCheckpoint(STREAM, APP, "1").seqNumber, "4")
state = client.streamConsume(STREAM, APP).partition_consuming_states
equal("consuming state", [(s["partition_id"], s["sequence_number"], s["latest_offset"]) for s in state],
      [("shardId-0000000000", "-1", 0), ("shardId-0000000001", "4", 5)])
refused("app in use", "DIS.4331", lambda: client.deleteApp(APP))
equal("delete checkpoint", client.deleteCheckpoint(STREAM, APP).statusCode, 204)

equal("update partition count", client.changepartitionQuantity(STREAM, 3).statusCode, 200)
equal("partitions", len(client.describeStream(STREAM).partitions), 3)

equal("delete app", client.deleteApp(APP).statusCode, 204)
equal("delete stream", client.deleteStream(STREAM).statusCode, 204)
refused("stream is gone", "DIS.4301", lambda: client.describeStream(STREAM))
