import com.huaweicloud.dis.*;
import com.huaweicloud.dis.core.Request;
import com.huaweicloud.dis.core.handler.AsyncHandler;
import com.huaweicloud.dis.core.http.HttpMethodName;
import com.huaweicloud.dis.http.exception.HttpClientErrorException;
import com.huaweicloud.dis.iface.app.request.*;
import com.huaweicloud.dis.iface.app.response.*;
import com.huaweicloud.dis.iface.data.request.*;
import com.huaweicloud.dis.iface.data.response.*;
import com.huaweicloud.dis.iface.stream.request.*;
import com.huaweicloud.dis.iface.stream.response.*;
import com.huaweicloud.dis.iface.transfertask.model.BatchTransferTask;
import com.huaweicloud.dis.iface.transfertask.request.*;
import com.huaweicloud.dis.iface.transfertask.response.*;
import com.huaweicloud.dis.util.compress.CompressionType;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.http.HttpRequest;

/** The demos of the legacy Java SDK in one program. Its argument is the encoding. */
public class Main {
    static String variant;
    static DIS dis;

    interface Check { void run() throws Exception; }

    static void check(String name, Check body) {
        try {
            body.run();
            System.out.println("ok " + variant + " " + name);
        } catch (Throwable t) {
            System.out.println("not ok " + variant + " " + name + ": " + String.valueOf(t).replaceAll("\\s+", " "));
        }
    }

    static void equal(Object got, Object want) {
        if (!Objects.equals(got, want)) throw new AssertionError("got " + got + ", want " + want);
    }

    static void fails(String code, Check body) throws Exception {
        try {
            body.run();
        } catch (Exception e) {
            if (!String.valueOf(e.getMessage()).contains(code)) throw e;
            return;
        }
        throw new AssertionError("no " + code);
    }

    static DISConfig config() {
        // [snippet]
        DISConfig config = new DISConfig()
            .setEndpoint(System.getenv("DIS_ENDPOINT")) // http://127.0.0.1:20004; the host needs a dot
            .setRegion(System.getenv("DIS_REGION"))
            .setProjectId(System.getenv("DIS_PROJECT"))
            .setAK(System.getenv("DIS_AK"))
            .setSK(System.getenv("DIS_SK"));
        // [end]
        switch (variant) {
            case "protobuf" -> config.setBodySerializeType(DISConfig.BodySerializeType.protobuf);
            case "lz4" -> config.setBodyCompressEnabled(true).setBodyCompressType(CompressionType.LZ4);
            case "snappy" -> config.setBodyCompressEnabled(true).setBodyCompressType(CompressionType.SNAPPY);
            case "zstd" -> config.setBodyCompressEnabled(true).setBodyCompressType(CompressionType.ZSTD);
        }
        return config;
    }

    static PutRecordsRequestEntry entry(String data, String key, String partition) {
        PutRecordsRequestEntry e = new PutRecordsRequestEntry();
        e.setData(ByteBuffer.wrap(data.getBytes(StandardCharsets.UTF_8)));
        e.setPartitionKey(key);
        e.setPartitionId(partition);
        return e;
    }

    static PutRecordsRequest request(String stream, PutRecordsRequestEntry... entries) {
        PutRecordsRequest r = new PutRecordsRequest();
        r.setStreamName(stream);
        r.setRecords(new ArrayList<>(List.of(entries)));
        return r;
    }

    static String cursor(String stream, String partition, String type, String sequence) {
        GetPartitionCursorRequest r = new GetPartitionCursorRequest();
        r.setStreamName(stream);
        r.setPartitionId(partition);
        r.setCursorType(type);
        r.setStartingSequenceNumber(sequence);
        return dis.getPartitionCursor(r).getPartitionCursor();
    }

    static GetRecordsResult read(String cursor) {
        GetRecordsRequest r = new GetRecordsRequest();
        r.setPartitionCursor(cursor);
        return dis.getRecords(r);
    }

    static String text(com.huaweicloud.dis.iface.data.response.Record r) {
        return StandardCharsets.UTF_8.decode(r.getData().duplicate()).toString();
    }

    static DescribeStreamResult describe(String stream) {
        DescribeStreamRequest r = new DescribeStreamRequest();
        r.setStreamName(stream);
        return dis.describeStream(r);
    }

    static void makeStream(String stream, int partitions) {
        CreateStreamRequest r = new CreateStreamRequest();
        r.setStreamName(stream);
        r.setPartitionCount(partitions);
        dis.createStream(r);
    }

    public static void main(String[] args) {
        variant = args[0];
        dis = new DISClient(config());
        String stream = "java-" + variant, app = "java-app-" + variant;

        check("create stream", () -> {
            CreateStreamRequest r = new CreateStreamRequest();
            r.setStreamName(stream);
            r.setPartitionCount(2);
            r.setDataType("JSON");
            r.setDataSchema(SCHEMA);
            r.setAutoScaleEnabled(true);
            r.setAutoScaleMinPartitionCount(1);
            r.setAutoScaleMaxPartitionCount(5);
            dis.createStream(r);
        });
        check("describe stream", () -> {
            DescribeStreamResult d = describe(stream);
            equal(d.getStreamName(), stream);
            equal(d.getPartitions().size(), 2);
            equal(d.getWritablePartitionCount(), 2);
            equal(d.getDataSchema(), SCHEMA);
            equal(d.getPartitions().get(0).getSequenceNumberRange(), "[0 : 0]");
            DescribeStreamRequest byId = new DescribeStreamRequest();
            byId.setStreamId(d.getStreamId());
            equal(dis.describeStream(byId).getStreamName(), stream);
        });
        check("list streams", () -> {
            ListStreamsRequest r = new ListStreamsRequest();
            r.setLimit(100);
            ListStreamsResult l = dis.listStreams(r);
            if (!l.getStreamNames().contains(stream)) throw new AssertionError(l.getStreamNames());
            equal(l.getHasMoreStreams(), false);
        });
        check("create and describe app", () -> {
            dis.createApp(app);
            equal(dis.describeApp(app).getAppName(), app);
            fails("DIS.4330", () -> dis.createApp(app));
            fails("DIS.4332", () -> dis.describeApp("nobody"));
            ListAppsRequest r = new ListAppsRequest();
            r.setLimit(100);
            ListAppsResult l = dis.listApps(r);
            equal(l.getApps().stream().map(DescribeAppResult::getAppName).toList(), List.of(app));
            equal(l.getHasMoreApp(), false);
            r.setExclusiveStartAppName(app);
            equal(dis.listApps(r).getApps(), List.of());
        });
        check("put records", () -> {
            PutRecordsResult r = dis.putRecords(request(stream,
                entry("one", "key", null), entry("two", null, "shardId-0000000000"), entry("", null, "0"), entry("中文 <>&", null, "0")));
            equal(r.getFailedRecordCount().get(), 0);
            equal(r.getRecords().size(), 4);
            equal(r.getRecords().get(1).getPartitionId(), "shardId-0000000000");
        });
        check("put one record", () -> {
            PutRecordRequest r = new PutRecordRequest();
            r.setStreamName(stream);
            r.setData(ByteBuffer.wrap("single".getBytes(StandardCharsets.UTF_8)));
            String partition = dis.putRecord(r).getPartitionId();
            if (!partition.startsWith("shardId-")) throw new AssertionError(partition);
        });
        check("partial failure", () -> {
            PutRecordsResult r = dis.putRecords(request(stream, entry("x", null, "1"), entry("y", null, "77")));
            equal(r.getFailedRecordCount().get(), 1);
            equal(r.getRecords().get(1).getErrorCode(), "DIS.4302");
        });
        check("get records", () -> {
            GetRecordsResult r = read(cursor(stream, "0", "TRIM_HORIZON", null));
            List<String> got = new ArrayList<>();
            for (var record : r.getRecords()) {
                got.add(text(record));
                equal(record.getTimestampType(), "CreateTime");
                if (record.getTimestamp() <= 0) throw new AssertionError("no timestamp");
            }
            if (!got.containsAll(List.of("two", "", "中文 <>&"))) throw new AssertionError(got);
            equal(read(r.getNextPartitionCursor()).getRecords().size(), 0);
            equal(text(read(cursor(stream, "0", "AT_SEQUENCE_NUMBER", "1")).getRecords().get(0)), got.get(1));
        });
        check("errors are told apart", () -> {
            expect("DISSequenceNumberOutOfRangeException", () -> cursor(stream, "0", "AT_SEQUENCE_NUMBER", "999"));
            expect("DISPartitionNotExistsException", () -> cursor(stream, "99", "LATEST", null));
            expect("DISStreamNotExistsException", () -> cursor("nowhere", "0", "LATEST", null));
            fails("DIS.4217", () -> read("bad"));
            expect("DISTimestampOutOfRangeException", () -> {
                GetPartitionCursorRequest r = new GetPartitionCursorRequest();
                r.setStreamName(stream);
                r.setPartitionId("0");
                r.setCursorType("AT_TIMESTAMP");
                r.setTimestamp(1L);
                dis.getPartitionCursor(r);
            });
        });
        check("checkpoints", () -> {
            GetCheckpointRequest get = new GetCheckpointRequest();
            get.setStreamName(stream);
            get.setAppName(app);
            get.setPartitionId("0");
            get.setCheckpointType("LAST_READ");
            equal(dis.getCheckpoint(get).getSequenceNumber(), "-1");
            CommitCheckpointRequest r = new CommitCheckpointRequest();
            r.setStreamName(stream);
            r.setAppName(app);
            r.setPartitionId("shardId-0000000000");
            r.setSequenceNumber("2");
            r.setMetadata("m");
            r.setCheckpointType("LAST_READ");
            dis.commitCheckpoint(r);
            equal(dis.getCheckpoint(get).getSequenceNumber(), "2");
            equal(dis.getCheckpoint(get).getMetadata(), "m");
            fails("DIS.4224", () -> {
                r.setSequenceNumber("999");
                dis.commitCheckpoint(r);
            });
            ListStreamConsumingStateRequest state = new ListStreamConsumingStateRequest();
            state.setAppName(app);
            state.setStreamName(stream);
            state.setLimit(100);
            List<PartitionConsumingState> states = dis.listStreamConsumingState(state).getPartitionConsumingStates();
            equal(states.stream().map(PartitionConsumingState::getSequenceNumber).toList(), List.of("2", "-1"));
            PartitionConsumingState first = states.get(0);
            equal(List.of(first.getPartitionId(), first.getMetadata(), first.getEarliestOffset(), first.getStatus()),
                List.of("shardId-0000000000", "m", 0L, "ACTIVE"));
            equal(read(cursor(stream, "0", "AT_SEQUENCE_NUMBER", first.getLatestOffset().toString())).getRecords(), List.of());
            ListAppsRequest users = new ListAppsRequest();
            users.setStreamName(stream);
            equal(dis.listApps(users).getApps().stream().map(DescribeAppResult::getAppName).toList(), List.of(app));
            DeleteCheckpointRequest delete = new DeleteCheckpointRequest();
            delete.setStreamName(stream);
            delete.setAppName(app);
            delete.setPartitionId("0");
            dis.deleteCheckpoint(delete);
            equal(dis.getCheckpoint(get).getSequenceNumber(), "-1");
        });
        check("update stream and partition count", () -> {
            UpdateStreamRequest u = new UpdateStreamRequest();
            u.setStreamName(stream);
            u.setUpdateType("AUTO_SCALE");
            u.setAutoScaleEnabled(false);
            dis.updateStream(u);
            UpdatePartitionCountRequest p = new UpdatePartitionCountRequest();
            p.setStreamName(stream);
            p.setTargetPartitionCount(3);
            UpdatePartitionCountResult r = dis.updatePartitionCount(p);
            equal(r.getCurrentPartitionCount(), 2);
            equal(r.getTargetPartitionCount(), 3);
            equal(describe(stream).getWritablePartitionCount(), 3);
        });
        check("consumer by time", () -> {
            dis.putRecords(request(stream, entry("old", null, "2")));
            Thread.sleep(50);
            long now = System.currentTimeMillis();
            PutRecordsRequest put = request(stream, entry("new", null, "2"));
            put.getRecords().get(0).setTimestamp(1_700_000_000_000L);
            dis.putRecords(put);
            GetPartitionCursorRequest r = new GetPartitionCursorRequest();
            r.setStreamName(stream);
            r.setPartitionId("2");
            r.setCursorType("AT_TIMESTAMP");
            r.setTimestamp(now);
            var records = read(dis.getPartitionCursor(r).getPartitionCursor()).getRecords();
            equal(records.stream().map(Main::text).toList(), List.of("new"));
            equal(records.get(0).getTimestamp(), 1_700_000_000_000L);
            r.setTimestamp(now + 3_600_000);
            equal(read(dis.getPartitionCursor(r).getPartitionCursor()).getRecords(), List.of());
        });
        check("asynchronous client", () -> {
            DISClientAsync async = new DISClientAsync(config());
            equal(async.putRecordsAsync(request(stream, entry("async", null, "2"))).get().getFailedRecordCount().get(), 0);
            async.close();
        });
        check("NIO client", () -> {
            DISClientAsync2 nio = new DISClientAsync2(config());
            PutRecordsResult put = nio.putRecordsAsync(request(stream, entry("nio", null, "2"), entry("y", null, "77"))).get();
            equal(put.getRecords().get(1).getErrorCode(), "DIS.4302");
            DescribeStreamRequest describe = new DescribeStreamRequest();
            describe.setStreamName(stream);
            equal(nio.describeStreamAsync(describe).get().getPartitions().size(), 3);
            GetPartitionCursorRequest c = new GetPartitionCursorRequest();
            c.setStreamName(stream);
            c.setPartitionId("2");
            c.setCursorType("AT_SEQUENCE_NUMBER");
            c.setStartingSequenceNumber(put.getRecords().get(0).getSequenceNumber());
            GetRecordsRequest r = new GetRecordsRequest();
            r.setPartitionCursor(nio.getPartitionCursorAsync(c).get().getPartitionCursor());
            CompletableFuture<GetRecordsResult> called = new CompletableFuture<>();
            nio.getRecordsAsync(r, new AsyncHandler<GetRecordsResult>() {
                public void onError(Exception e) { called.completeExceptionally(e); }
                public void onSuccess(GetRecordsResult result) { called.complete(result); }
            });
            equal(called.get(30, TimeUnit.SECONDS).getRecords().stream().map(Main::text).toList(), List.of("nio"));
            try {
                nio.putRecordsAsync(request("nowhere", entry("x", null, null))).get();
                throw new AssertionError("no DIS.4301");
            } catch (HttpClientErrorException e) { // unlike the other clients' exceptions it has the code in its body only
                if (!e.getResponseBodyAsString().contains("DIS.4301")) throw e;
            }
            nio.close();
        });
        check("transfer tasks", () -> transferTasks(stream));
        check("another account's stream, by id", () -> anotherAccount(stream));
        check("delete does not leak connections", () -> {
            for (int i = 0; i < 120; i++) { // more than the pool of 100
                dis.createApp("leak-" + variant + i);
                dis.deleteApp("leak-" + variant + i);
            }
        });
        check("delete stream and app", () -> {
            DeleteStreamRequest r = new DeleteStreamRequest();
            r.setStreamName(stream);
            dis.deleteStream(r);
            dis.deleteApp(app);
            expect("DISStreamNotExistsException", () -> describe(stream));
        });
        System.exit(0);
    }

    static void transferTasks(String stream) {
        OBSDestinationDescriptorRequest obs = new OBSDestinationDescriptorRequest();
        obs.setTransferTaskName("task");
        obs.setAgencyName("dis_admin_agency");
        obs.setObsBucketPath("bucket");
        obs.setFilePrefix("java");
        obs.setDeliverTimeInterval(60);
        obs.setConsumerStrategy("LATEST");
        CreateTransferTaskRequest create = new CreateTransferTaskRequest();
        create.setStreamName(stream);
        create.setDestinationType(StreamDestinationType.OBS);
        create.setObsDestinationDescriptor(obs);
        dis.createTransferTask(create);

        ListTransferTasksRquest list = new ListTransferTasksRquest();
        list.setStreamName(stream);
        ListTransferTasksResult l = dis.listTransferTasks(list);
        equal(l.getTaskNumber(), 1);
        equal(l.getTasks().get(0).getTransferTaskName() + l.getTasks().get(0).getDestinationType(), "taskOBS");

        DescribeTransferTaskRequest describe = new DescribeTransferTaskRequest();
        describe.setStreamName(stream);
        describe.setTransferTaskName("task");
        DescribeTransferTaskResult d = dis.describeTransferTask(describe);
        equal(d.getObsDestinationDescription().getFilePrefix() + d.getObsDestinationDescription().getDeliverTimeInterval(), "java60");
        equal(d.getPartitions().stream().map(PartitionTransferResult::getPartitionId).toList(),
            List.of("shardId-0000000000", "shardId-0000000001", "shardId-0000000002"));

        BatchTransferTask task = new BatchTransferTask();
        task.setTaskId(d.getTransferTaskId());
        for (String[] step : new String[][] {{"stop", "PAUSED"}, {"start", "RUNNING"}}) {
            BatchTransferTaskRequest batch = new BatchTransferTaskRequest();
            batch.setStreamName(stream);
            batch.setAction(step[0]);
            batch.setTransferTasks(List.of(task));
            dis.batchTransferTask(batch);
            equal(dis.describeTransferTask(describe).getState(), step[1]);
        }
        DeleteTransferTaskRequest delete = new DeleteTransferTaskRequest();
        delete.setStreamName(stream);
        delete.setTransferTaskName("task");
        dis.deleteTransferTask(delete);
        equal(dis.listTransferTasks(list).getTaskNumber(), 0);
    }

    /** The owner's client, with the one call that the SDK lacks. */
    static class Owner extends DISClient {
        Owner(DISConfig config) { super(config); }

        void allow(String stream, String id, String action) {
            Request<HttpRequest> r = buildRequest(HttpMethodName.POST, disConfig.getEndpoint(),
                "/v2/" + disConfig.getProjectId() + "/streams/" + stream + "/policies/");
            request(Map.of("stream_id", id, "principal_name", "other.*", "action_type", action, "effect", "accept"), r, null);
        }
    }

    /** Another account uses the stream, by its id, with a project and an app of its own. */
    static void anotherAccount(String stream) throws Exception {
        String id = describe(stream).getStreamId(), app = "guest-" + variant;
        DIS guest = new DISClient(config().setProjectId(System.getenv("DIS_PROJECT2"))
            .setAK(System.getenv("DIS_AK2")).setSK(System.getenv("DIS_SK2")));
        PutRecordsRequest put = request(null, entry("guest", null, "1"));
        put.setStreamId(id);
        if (REQUIRED) { // else everybody may do everything
            fails("DIS.4116", () -> guest.putRecords(put));
            Owner owner = new Owner(config());
            for (String action : List.of("putRecords", "getRecords", "getStreamInfo")) owner.allow(stream, id, action);
        }
        PutRecordsResult written = guest.putRecords(put);
        equal(written.getFailedRecordCount().get(), 0);
        String sequence = written.getRecords().get(0).getSequenceNumber();
        DescribeStreamRequest describe = new DescribeStreamRequest();
        describe.setStreamId(id);
        equal(guest.describeStream(describe).getStreamName(), stream);

        GetPartitionCursorRequest c = new GetPartitionCursorRequest();
        c.setStreamId(id);
        c.setPartitionId("1");
        c.setCursorType("AT_SEQUENCE_NUMBER");
        c.setStartingSequenceNumber(sequence);
        GetRecordsRequest get = new GetRecordsRequest();
        get.setPartitionCursor(guest.getPartitionCursor(c).getPartitionCursor());
        equal(guest.getRecords(get).getRecords().stream().map(Main::text).toList(), List.of("guest"));

        guest.createApp(app);
        CommitCheckpointRequest commit = new CommitCheckpointRequest();
        commit.setStreamId(id);
        commit.setAppName(app);
        commit.setPartitionId("1");
        commit.setSequenceNumber(sequence);
        commit.setCheckpointType("LAST_READ");
        guest.commitCheckpoint(commit);
        GetCheckpointRequest checkpoint = new GetCheckpointRequest();
        checkpoint.setStreamId(id);
        checkpoint.setAppName(app);
        checkpoint.setPartitionId("1");
        checkpoint.setCheckpointType("LAST_READ");
        equal(guest.getCheckpoint(checkpoint).getSequenceNumber(), sequence);
        DeleteCheckpointRequest delete = new DeleteCheckpointRequest();
        delete.setStreamId(id);
        delete.setAppName(app);
        delete.setPartitionId("1");
        guest.deleteCheckpoint(delete);
        equal(guest.getCheckpoint(checkpoint).getSequenceNumber(), "-1");
        guest.deleteApp(app);
    }

    static final boolean REQUIRED = new java.io.File(System.getenv("DIS_CA")).exists();

    static final String SCHEMA = "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":\"string\"}]}";

    static void expect(String exception, Check body) throws Exception {
        try {
            body.run();
        } catch (Exception e) {
            if (!e.getClass().getSimpleName().equals(exception)) throw e;
            return;
        }
        throw new AssertionError("no " + exception);
    }
}
