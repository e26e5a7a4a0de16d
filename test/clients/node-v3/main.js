"use strict";
// All 33 operations, through the core that the Node.js packages of all services use.
const assert = require("node:assert/strict");
const { BasicCredentials } = require("@huaweicloud/huaweicloud-sdk-core");
const { ClientBuilder } = require("@huaweicloud/huaweicloud-sdk-core/ClientBuilder");

function makeClient() {
  // [snippet]
  return new ClientBuilder((http) => http)
    .withCredential(new BasicCredentials()
      .withAk(process.env.DIS_AK)
      .withSk(process.env.DIS_SK)
      .withProjectId(process.env.DIS_PROJECT))
    .withEndpoint(process.env.DIS_ENDPOINT) // http://127.0.0.1:20004
    .build(); // NODE_EXTRA_CA_CERTS names data_dir/tls/ca.pem, with TLS
  // [end]
}

let client = makeClient();
const stream = "node-v3", app = "node-v3-app", task = "node-v3-task", shard = "shardId-0000000000";
const schema = '{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}';
const data = Buffer.from("中文 <>&").toString("base64");

// What the v3 SDKs of all languages send, and the success that the reference gives.
const streamPath = "/v2/{project_id}/streams/{stream_name}", tagsPath = "/v2/{project_id}/stream/{stream_id}/tags";
const tasksPath = streamPath + "/transfer-tasks", checkpoints = "/v2/{project_id}/checkpoints";
const operations = {
  CreateStream: ["POST", "/v2/{project_id}/streams", 201],
  ListStreams: ["GET", "/v2/{project_id}/streams", 200],
  ShowStream: ["GET", streamPath, 200],
  UpdatePartitionCount: ["PUT", streamPath, 200],
  UpdateStream: ["PUT", "/v3/{project_id}/streams/{stream_name}", 204],
  DeleteStream: ["DELETE", streamPath, 204],
  ListPolicies: ["GET", streamPath + "/policies", 200],
  CreateApp: ["POST", "/v2/{project_id}/apps", 201],
  ListApp: ["GET", "/v2/{project_id}/apps", 200],
  ShowApp: ["GET", "/v2/{project_id}/apps/{app_name}", 200],
  DeleteApp: ["DELETE", "/v2/{project_id}/apps/{app_name}", 204],
  ShowConsumerState: ["GET", "/v2/{project_id}/apps/{app_name}/streams/{stream_name}", 200],
  CommitCheckpoint: ["POST", checkpoints, 201],
  ShowCheckpoint: ["GET", checkpoints, 200],
  DeleteCheckpoint: ["DELETE", checkpoints, 204],
  SendRecords: ["POST", "/v2/{project_id}/records", 200],
  ShowCursor: ["GET", "/v2/{project_id}/cursors", 200],
  ConsumeRecords: ["GET", "/v2/{project_id}/records", 200],
  CreateObsTransferTask: ["POST", tasksPath, 201],
  ListTransferTasks: ["GET", tasksPath, 200],
  ShowTransferTask: ["GET", tasksPath + "/{task_name}", 200],
  DeleteTransferTask: ["DELETE", tasksPath + "/{task_name}", 204],
  BatchStartTransferTask: ["POST", tasksPath + "/action", 200],
  BatchStopTransferTask: ["POST", tasksPath + "/action", 200],
  ShowStreamMetrics: ["GET", streamPath + "/metrics", 200],
  ShowPartitionMetrics: ["GET", streamPath + "/partitions/{partition_id}/metrics", 200],
  CreateTag: ["POST", tagsPath, 204],
  ShowStreamTags: ["GET", tagsPath, 200],
  DeleteTag: ["DELETE", tagsPath + "/{key}", 204],
  BatchCreateTags: ["POST", tagsPath + "/action", 204],
  BatchDeleteTags: ["POST", tagsPath + "/action", 204],
  ListTags: ["GET", "/v2/{project_id}/stream/tags", 200],
  ListResourcesByTags: ["POST", "/v2/{project_id}/stream/resource_instances/action", 200],
};

async function call(operation, { path = {}, query = {}, body } = {}) {
  const [method, url, status] = operations[operation];
  const options = { method, url, contentType: "application/json", queryParams: query, pathParams: path, headers: {} };
  if (body !== undefined) options.data = body;
  const response = await client.sendRequest(options);
  assert.equal(response.httpStatusCode, status);
  return response;
}

async function refused(code, answer) {
  const e = await answer.then(() => assert.fail("no " + code), (e) => e);
  assert.deepEqual([e.httpStatusCode, e.errorCode, !!e.errorMsg, !!e.requestId], [400, code, true, true], String(e.stack ?? e));
}

const checked = new Set();

// check runs the check of one operation.
async function check(operation, body) {
  checked.add(operation);
  try {
    await body();
    console.log("ok " + operation);
  } catch (e) {
    console.log("not ok " + operation + ": " + `${e.message ?? e.errorMsg ?? e}`.replace(/\s+/g, " "));
  }
}

const show = () => call("ShowStream", { path: { stream_name: stream } });
const showTask = () => call("ShowTransferTask", { path: { stream_name: stream, task_name: task } });
const showTags = (tags) => Object.fromEntries(tags.map((t) => [t.key, t.value]));

async function cursor(kind, more) {
  const query = { "stream-name": stream, "partition-id": "0", "cursor-type": kind, ...more };
  return (await call("ShowCursor", { query })).partition_cursor;
}

async function read(kind, more) {
  const r = await call("ConsumeRecords", { query: { "partition-cursor": await cursor(kind, more), max_fetch_bytes: 1 << 20 } });
  return r.records.map((record) => record.sequence_number).join(" ");
}

async function streams() {
  await check("CreateStream", async () => {
    const body = {
      stream_name: stream, partition_count: 1, stream_type: "COMMON", data_type: "JSON", data_duration: 48, data_schema: schema,
      compression_format: "zip", csv_properties: { delimiter: ";" }, auto_scale_enabled: true, auto_scale_min_partition_count: 1,
      auto_scale_max_partition_count: 4, tags: [{ key: "k", value: "v" }, { key: "empty" }],
      sys_tags: [{ key: "_sys_enterprise_project_id", value: "0" }],
    };
    await call("CreateStream", { body });
    await refused("DIS.4307", call("CreateStream", { body }));
  });
  await check("ListStreams", async () => {
    const r = await call("ListStreams", { query: { limit: 100, start_stream_name: "a b" } });
    assert.deepEqual([r.stream_names, r.total_number, r.has_more_streams], [[stream], 1, false]);
    const info = r.stream_info_list[0];
    assert.deepEqual([info.stream_name, info.status, info.partition_count, info.retention_period], [stream, "RUNNING", 1, 48]);
  });
  await check("ShowStream", async () => {
    const r = await show();
    assert.deepEqual([r.status, r.data_schema, r.csv_properties.delimiter, r.compression_format], ["RUNNING", schema, ";", "zip"]);
    assert.deepEqual([r.retention_period, r.auto_scale_enabled, r.auto_scale_max_partition_count], [48, true, 4]);
    assert.deepEqual(r.partitions.map((p) => [p.partition_id, p.status, p.sequence_number_range]), [[shard, "ACTIVE", "[0 : 0]"]]);
    assert.deepEqual(showTags(r.tags), { k: "v", empty: "" });
    await refused("DIS.4301", call("ShowStream", { path: { stream_name: "nowhere" } }));
  });
  await check("UpdatePartitionCount", async () => {
    await call("UpdatePartitionCount", { path: { stream_name: stream }, body: { stream_name: stream, target_partition_count: 2 } });
    const r = await show(), change = r.update_partition_counts[0];
    assert.deepEqual([r.writable_partition_count, change.src_partition_count, change.target_partition_count], [2, 1, 2]);
  });
  await check("UpdateStream", async () => {
    await call("UpdateStream", { path: { stream_name: stream }, body: { stream_name: stream, data_duration: 72 } });
    assert.equal((await show()).retention_period, 72);
  });
}

async function records() {
  await check("SendRecords", async () => {
    const r = await call("SendRecords", { body: { stream_name: stream, records: [
      { data, explicit_hash_key: "0", partition_key: "pk" }, { data: "", partition_id: "0" }, { data, partition_id: "77" }, { data }] } });
    assert.deepEqual(r.records.slice(0, 2).map((e) => e.partition_id + " " + e.sequence_number), [shard + " 0", shard + " 1"]);
    assert.deepEqual([r.failed_record_count, r.records.length, r.records[2].error_code], [1, 4, "DIS.4302"]);
  });
  await check("ShowCursor", async () => {
    assert.equal(await read("AT_SEQUENCE_NUMBER", { "starting-sequence-number": "1" }).then((s) => s.split(" ")[0]), "1");
    assert.equal(await read("LATEST"), "");
    assert.equal(await read("AT_TIMESTAMP", { timestamp: Date.now() - 60_000 }).then((s) => s.split(" ")[0]), "0");
    await refused("DIS.4224", cursor("AFTER_SEQUENCE_NUMBER", { "starting-sequence-number": "99" }));
  });
  await check("ConsumeRecords", async () => {
    const r = await call("ConsumeRecords", { query: { "partition-cursor": await cursor("TRIM_HORIZON") } }), first = r.records[0];
    assert.deepEqual([first.data, first.sequence_number, first.partition_key, first.timestamp_type], [data, "0", "pk", "CreateTime"]);
    assert.ok(Math.abs(first.timestamp - Date.now()) < 60_000);
    assert.deepEqual((await call("ConsumeRecords", { query: { "partition-cursor": r.next_partition_cursor } })).records, []);
    await refused("DIS.4217", call("ConsumeRecords", { query: { "partition-cursor": "x" } }));
  });
}

async function apps() {
  const position = { stream_name: stream, partition_id: shard, app_name: app, checkpoint_type: "LAST_READ" };
  await check("CreateApp", async () => {
    await call("CreateApp", { body: { app_name: app } });
    await refused("DIS.4330", call("CreateApp", { body: { app_name: app } }));
  });
  await check("CommitCheckpoint", () => call("CommitCheckpoint", { body: { ...position, sequence_number: "1", metadata: "meta" } }));
  await check("ShowCheckpoint", async () => {
    const r = await call("ShowCheckpoint", { query: position });
    assert.deepEqual([r.sequence_number, r.metadata], ["1", "meta"]);
  });
  await check("ShowConsumerState", async () => {
    const r = await call("ShowConsumerState", { path: { app_name: app, stream_name: stream }, query: { checkpoint_type: "LAST_READ" } });
    assert.deepEqual(r.partition_consuming_states.map((s) => s.sequence_number), ["1", "-1"]);
  });
  await check("ListApp", async () => {
    const r = await call("ListApp", { query: { stream_name: stream, limit: 10 } });
    assert.deepEqual([r.apps.map((a) => a.app_name), r.has_more_app, r.total_number], [[app], false, 1]);
  });
  await check("ShowApp", async () => {
    assert.deepEqual((await call("ShowApp", { path: { app_name: app } })).commit_checkpoint_stream_names, [stream]);
  });
}

async function tags() {
  const path = { stream_id: (await show()).stream_id };
  await check("CreateTag", () => call("CreateTag", { path, body: { tag: { key: "键", value: "值" } } }));
  await check("BatchCreateTags", () =>
    call("BatchCreateTags", { path, body: { action: "create", tags: [{ key: "two", value: "2" }, { key: "three", value: "3" }] } }));
  await check("ShowStreamTags", async () => {
    assert.deepEqual(showTags((await call("ShowStreamTags", { path })).tags), { k: "v", empty: "", 键: "值", two: "2", three: "3" });
  });
  await check("ListTags", async () => {
    const all = (await call("ListTags")).tags;
    assert.deepEqual(all.find((t) => t.key === "two").values, ["2"]);
  });
  await check("ListResourcesByTags", async () => {
    const r = await call("ListResourcesByTags",
      { body: { action: "filter", limit: "10", offset: "0", tags: [{ key: "two", values: ["2"] }] } });
    assert.deepEqual([r.total_count, r.resources[0].resource_name], [1, stream]);
  });
  await check("DeleteTag", () => call("DeleteTag", { path: { ...path, key: "键" } }));
  await check("BatchDeleteTags", async () => {
    await call("BatchDeleteTags", { path, body: { action: "delete", tags: [{ key: "two", value: "2" }, { key: "three" }] } });
    assert.deepEqual(showTags((await show()).tags), { k: "v", empty: "" });
  });
  await check("ListPolicies", async () => {
    const r = await call("ListPolicies", { path: { stream_name: stream } });
    assert.deepEqual([r.stream_id, r.rules], [path.stream_id, []]);
  });
}

async function monitoring() {
  const now = Math.floor(Date.now() / 1000), span = { start_time: now - 600, end_time: now + 60 };
  const sum = (metrics) => metrics.dataPoints.reduce((n, p) => n + p.value, 0);
  await check("ShowStreamMetrics", async () => {
    const query = { label_list: "total_put_records_per_stream,total_get_bytes_per_stream", ...span };
    const r = await call("ShowStreamMetrics", { path: { stream_name: stream }, query });
    assert.deepEqual(r.metrics_list.map((m) => m.label), query.label_list.split(","));
    assert.equal(sum(r.metrics_list[0]), 3);
  });
  await check("ShowPartitionMetrics", async () => {
    const query = { label: "total_put_records_per_partition", ...span };
    const r = await call("ShowPartitionMetrics", { path: { stream_name: stream, partition_id: "0" }, query });
    assert.deepEqual([r.metrics.label, sum(r.metrics) >= 2], [query.label, true]);
  });
}

async function tasks() {
  const path = { stream_name: stream }, batch = [{ id: task }];
  await check("CreateObsTransferTask", async () => {
    const body = { destination_type: "OBS", obs_destination_descriptor: {
      task_name: task, agency_name: "dis_admin_agency", deliver_time_interval: 30, obs_bucket_path: "bucket", file_prefix: "p",
      consumer_strategy: "LATEST", destination_file_type: "text", partition_format: "yyyy/MM/dd/HH/mm", record_delimiter: "\n" } };
    await call("CreateObsTransferTask", { path, body });
    await refused("DIS.4355", call("CreateObsTransferTask", { path, body }));
  });
  await check("ListTransferTasks", async () => {
    const r = await call("ListTransferTasks", { path });
    assert.deepEqual([r.total_number, r.tasks[0].task_name, r.tasks[0].destination_type], [1, task, "OBS"]);
  });
  await check("ShowTransferTask", async () => {
    const r = await showTask(), obs = r.obs_destination_description;
    assert.deepEqual([obs.obs_bucket_path, obs.file_prefix, obs.deliver_time_interval, obs.record_delimiter], ["bucket", "p", 30, "\n"]);
  });
  await check("BatchStopTransferTask", async () => {
    await call("BatchStopTransferTask", { path, body: { action: "stop", tasks: batch } });
    assert.equal((await showTask()).state, "PAUSED");
  });
  await check("BatchStartTransferTask", async () => {
    await call("BatchStartTransferTask", { path, body: { action: "start", tasks: batch } });
    assert.equal((await showTask()).state, "RUNNING");
  });
  await check("DeleteTransferTask", async () => {
    await call("DeleteTransferTask", { path: { ...path, task_name: task } });
    await refused("DIS.4354", showTask());
  });
}

async function cleanup() {
  await check("DeleteCheckpoint", async () => {
    const position = { stream_name: stream, app_name: app, checkpoint_type: "LAST_READ" };
    await call("DeleteCheckpoint", { query: position });
    assert.equal((await call("ShowCheckpoint", { query: { ...position, partition_id: "0" } })).sequence_number, "-1");
  });
  await check("DeleteStream", async () => {
    await call("DeleteStream", { path: { stream_name: stream } });
    await refused("DIS.4301", show());
  });
  await check("DeleteApp", async () => {
    await call("DeleteApp", { path: { app_name: app } });
    await refused("DIS.4332", call("ShowApp", { path: { app_name: app } }));
  });
}

(async () => {
  for (const part of [streams, records, apps, tags, monitoring, tasks, cleanup]) await part();
  const done = [...checked].sort();
  await check("a project found by its region, derived signatures", async () => {
    const region = { id: process.env.DIS_PROJECT_NAME, endpoints: [process.env.DIS_ENDPOINT] };
    const keys = new BasicCredentials().withAk(process.env.DIS_AK).withSk(process.env.DIS_SK)
      .withIamEndpoint(process.env.DIS_ENDPOINT).withDerivedPredicate(BasicCredentials.getDefaultDerivedPredicate.bind(BasicCredentials));
    client = new ClientBuilder((http) => http).withCredential(keys).withRegion(region).withDerivedAuthServiceName("dis").build();
    assert.equal((await call("ListStreams")).has_more_streams, false);
  });
  await check("all operations", () => assert.deepEqual(done, Object.keys(operations).sort()));
})();
