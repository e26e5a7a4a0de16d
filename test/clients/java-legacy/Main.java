import com.huaweicloud.dis.*;
import com.huaweicloud.dis.iface.app.request.*;
import com.huaweicloud.dis.iface.data.request.*;
import com.huaweicloud.dis.iface.data.response.*;
import com.huaweicloud.dis.iface.stream.request.*;
import com.huaweicloud.dis.iface.stream.response.*;
import com.huaweicloud.dis.util.compress.CompressionType;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.*;

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
            if (dis.listApps(r).getApps().isEmpty()) throw new AssertionError("no apps");
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
            ListStreamConsumingStateRequest state = new ListStreamConsumingStateRequest();
            state.setAppName(app);
            state.setStreamName(stream);
            state.setLimit(100);
            equal(dis.listStreamConsumingState(state).getPartitionConsumingStates().size(), 2);
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
        check("asynchronous client", () -> {
            DISClientAsync async = new DISClientAsync(config());
            PutRecordsResult r = async.putRecordsAsync(request(stream, entry("async", null, "2"))).get();
            equal(r.getFailedRecordCount().get(), 0);
            async.close();
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
            expect("DISStreamNotExistsException", () -> describe(stream));
        });
        System.exit(0);
    }

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
