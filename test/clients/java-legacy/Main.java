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
import com.huaweicloud.dis.core.DISCredentials;
import java.lang.reflect.*;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
import org.apache.http.HttpRequest;

/** The demos of the legacy Java SDK in one program. Its argument is the encoding, or the kind of client. */
public class Main {
    static String variant;
    static boolean nio;
    static DIS dis;
    static final Set<String> called = ConcurrentHashMap.newKeySet(); // methods of DIS

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
            if (!text(e).contains(code)) throw e;
            return;
        }
        throw new AssertionError("no " + code);
    }

    /** What an error says. The NIO client's has the server's words in its body only. */
    static String text(Exception e) {
        return e instanceof HttpClientErrorException h ? h.getResponseBodyAsString() : String.valueOf(e.getMessage());
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
        switch (variant.replace("nio-", "")) {
            case "protobuf" -> config.setBodySerializeType(DISConfig.BodySerializeType.protobuf);
            case "lz4" -> config.setBodyCompressEnabled(true).setBodyCompressType(CompressionType.LZ4);
            case "snappy" -> config.setBodyCompressEnabled(true).setBodyCompressType(CompressionType.SNAPPY);
            case "zstd" -> config.setBodyCompressEnabled(true).setBodyCompressType(CompressionType.ZSTD);
        }
        return config;
    }

    static DIS client(DISConfig config) {
        if (nio) return new DISClientAsync2(config);
        return variant.equals("async") ? new DISClientAsync(config) : new DISClient(config);
    }

    /** The client, but it remembers what was called, and an asynchronous one is called by its asynchronous methods. */
    static DIS recorded(DIS client) {
        return (DIS) Proxy.newProxyInstance(Main.class.getClassLoader(), new Class<?>[] {DIS.class}, (proxy, method, arguments) -> {
            called.add(method.getName());
            try {
                if (client instanceof DISAsync) {
                    try {
                        if (nio && method.getName().startsWith("delete")) { // the future of a DELETE cannot be waited for
                            CompletableFuture<Object> handled = new CompletableFuture<>();
                            DISAsync.class.getMethod(method.getName() + "Async", method.getParameterTypes()[0], AsyncHandler.class)
                                .invoke(client, arguments[0], completing(handled));
                            return handled.get(30, TimeUnit.SECONDS);
                        }
                        Method async = DISAsync.class.getMethod(method.getName() + "Async", method.getParameterTypes());
                        return ((Future<?>) async.invoke(client, arguments)).get();
                    } catch (NoSuchMethodException e) {
                        // there is none for a few
                    }
                }
                return method.invoke(client, arguments);
            } catch (InvocationTargetException | ExecutionException e) {
                throw e.getCause();
            }
        });
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
        nio = variant.startsWith("nio");
        dis = recorded(client(config()));
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
            expect("DISSequenceNumberOutOfRangeException", "DIS.4224", () -> cursor(stream, "0", "AT_SEQUENCE_NUMBER", "999"));
            expect("DISPartitionNotExistsException", "DIS.4302", () -> cursor(stream, "99", "LATEST", null));
            expect("DISStreamNotExistsException", "DIS.4301", () -> cursor("nowhere", "0", "LATEST", null));
            fails("DIS.4217", () -> read("bad"));
            expect("DISTimestampOutOfRangeException", "DIS.4300", () -> {
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
        if (client(config()) instanceof DISAsync async) check("callbacks", () -> callbacks(async, stream));
        check("transfer tasks", () -> transferTasks(stream));
        check("another account's stream, by id", () -> anotherAccount(stream));
        check("new credentials", () -> {
            dis.updateCredentials(new DISCredentials("NOBODYSKEY0000000001", "nobody's"));
            if (REQUIRED) fails("", () -> describe(stream));
            dis.updateCredentials(new DISCredentials(System.getenv("DIS_AK"), System.getenv("DIS_SK")));
            equal(describe(stream).getStreamName(), stream);
        });
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
            expect("DISStreamNotExistsException", "DIS.4301", () -> describe(stream));
        });
        check("all operations", () -> {
            Set<String> all = Arrays.stream(DIS.class.getMethods()).map(Method::getName).collect(Collectors.toCollection(TreeSet::new));
            equal(new TreeSet<>(called), all);
        });
        System.exit(0);
    }

    /** The other half of an asynchronous client: it calls a handler. */
    static void callbacks(DISAsync async, String stream) throws Exception {
        CompletableFuture<PutRecordsResult> put = new CompletableFuture<>();
        async.putRecordsAsync(request(stream, entry("called", null, "2"), entry("y", null, "77")), completing(put));
        List<PutRecordsResultEntry> results = put.get(30, TimeUnit.SECONDS).getRecords();
        equal(results.get(1).getErrorCode(), "DIS.4302");
        GetRecordsRequest r = new GetRecordsRequest();
        r.setPartitionCursor(cursor(stream, "2", "AT_SEQUENCE_NUMBER", results.get(0).getSequenceNumber()));
        CompletableFuture<GetRecordsResult> got = new CompletableFuture<>();
        async.getRecordsAsync(r, completing(got));
        equal(got.get(30, TimeUnit.SECONDS).getRecords().stream().map(Main::text).toList(), List.of("called"));
        CompletableFuture<PutRecordsResult> none = new CompletableFuture<>();
        async.putRecordsAsync(request("nowhere", entry("x", null, null)), completing(none));
        fails("DIS.4301", () -> {
            try {
                none.get(30, TimeUnit.SECONDS);
            } catch (ExecutionException e) {
                throw (Exception) e.getCause();
            }
        });
        async.close();
    }

    static <T> AsyncHandler<T> completing(CompletableFuture<T> future) {
        return new AsyncHandler<>() {
            public void onError(Exception e) { future.completeExceptionally(e); }
            public void onSuccess(T result) { future.complete(result); }
        };
    }

    static void transferTasks(String stream) throws Exception {
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

        UpdateTransferTaskRequest update = new UpdateTransferTaskRequest();
        update.setStreamName(stream);
        update.setDestinationType(StreamDestinationType.OBS);
        obs.setDeliverTimeInterval(90);
        update.setObsDestinationDescriptor(obs);
        if (nio) { // it sends what makes a task
            fails("DIS.4355", () -> dis.updateTransferTask(update));
        } else {
            dis.updateTransferTask(update);
            equal(dis.describeTransferTask(describe).getObsDestinationDescription().getDeliverTimeInterval(), 90);
        }

        BatchTransferTask task = new BatchTransferTask();
        task.setTaskId(d.getTransferTaskId());
        for (String[] step : new String[][] {{"stop", "PAUSED"}, {"start", "RUNNING"}}) {
            BatchTransferTaskRequest batch = new BatchTransferTaskRequest();
            batch.setStreamName(stream);
            batch.setAction(step[0]);
            batch.setTransferTasks(List.of(task));
            dis.batchTransferTask(batch);
            equal(dis.describeTransferTask(describe).getState(), nio ? "RUNNING" : step[1]); // which sends nothing
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
        DIS guest = recorded(client(config().setProjectId(System.getenv("DIS_PROJECT2"))
            .setAK(System.getenv("DIS_AK2")).setSK(System.getenv("DIS_SK2"))));
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

    /** Wants an exception of a class, or of the code that the NIO client leaves to be read. */
    static void expect(String exception, String code, Check body) throws Exception {
        try {
            body.run();
        } catch (Exception e) {
            if (!e.getClass().getSimpleName().equals(exception) && !(nio && text(e).contains(code))) throw e;
            return;
        }
        throw new AssertionError("no " + exception);
    }
}
