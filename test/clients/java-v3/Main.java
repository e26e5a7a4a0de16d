import com.huaweicloud.sdk.core.SdkResponse;
import com.huaweicloud.sdk.core.auth.BasicCredentials;
import com.huaweicloud.sdk.core.exception.ServiceResponseException;
import com.huaweicloud.sdk.core.http.HttpConfig;
import com.huaweicloud.sdk.core.region.Region;
import com.huaweicloud.sdk.dis.v2.DisClient;
import com.huaweicloud.sdk.dis.v2.model.*;
import com.huaweicloud.sdk.dis.v2.model.Record;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.stream.Collectors;

/** All 33 operations of the v3 Java SDK. */
public class Main {
    interface Check { void run() throws Exception; }

    static final Set<String> checked = new HashSet<>();

    static void check(String name, Check body) {
        checked.add(name);
        try {
            body.run();
            System.out.println("ok " + name);
        } catch (Throwable t) {
            System.out.println("not ok " + name + ": " + String.valueOf(t).replaceAll("\\s+", " "));
        }
    }

    static void equal(Object got, Object want) {
        if (!Objects.equals(got, want)) throw new AssertionError("got " + got + ", want " + want);
    }

    static void fails(int status, String code, Check body) throws Exception {
        try {
            body.run();
        } catch (ServiceResponseException e) {
            equal(e.getHttpStatusCode() + " " + e.getErrorCode(), status + " " + code);
            if (e.getRequestId() == null || e.getErrorMsg() == null) throw new AssertionError(e);
            return;
        }
        throw new AssertionError("no " + code);
    }

    static DisClient client(String secret) {
        // [snippet]
        return DisClient.newBuilder()
            .withHttpConfig(HttpConfig.getDefaultHttpConfig()) // with TLS: import data_dir/tls/ca.pem into the trust store
            .withCredential(new BasicCredentials()
                .withAk(System.getenv("DIS_AK"))
                .withSk(secret)
                .withProjectId(System.getenv("DIS_PROJECT")))
            .withEndpoint(System.getenv("DIS_ENDPOINT")) // http://127.0.0.1:20004
            .build();
        // [end]
    }

    static final DisClient dis = client(System.getenv("DIS_SK"));
    static final String STREAM = "java-v3", APP = "java-v3-app", TASK = "java-v3-task", SHARD = "shardId-0000000000";
    static final String SCHEMA = "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":\"string\"}]}";
    static final String TEXT = "中文 <>&";
    static final String DATA = Base64.getEncoder().encodeToString(TEXT.getBytes(StandardCharsets.UTF_8));

    static ShowStreamResponse show() {
        return dis.showStream(new ShowStreamRequest().withStreamName(STREAM));
    }

    static ShowCursorRequest cursor(ShowCursorRequest.CursorTypeEnum type) {
        return new ShowCursorRequest().withStreamName(STREAM).withPartitionId("0").withCursorType(type);
    }

    static ConsumeRecordsResponse read(ShowCursorRequest cursor) {
        return dis.consumeRecords(new ConsumeRecordsRequest().withPartitionCursor(dis.showCursor(cursor).getPartitionCursor()));
    }

    static List<String> sequences(ConsumeRecordsResponse r) {
        return r.getRecords().stream().map(Record::getSequenceNumber).toList();
    }

    static Map<String, String> tags(List<Tag> tags) {
        return tags.stream().collect(Collectors.toMap(Tag::getKey, Tag::getValue));
    }

    static Tag tag(String key, String value) { return new Tag().withKey(key).withValue(value); }

    static ShowTransferTaskResponse task() {
        return dis.showTransferTask(new ShowTransferTaskRequest().withStreamName(STREAM).withTaskName(TASK));
    }

    static ShowCheckpointResponse checkpoint() {
        return dis.showCheckpoint(new ShowCheckpointRequest().withStreamName(STREAM).withPartitionId(SHARD).withAppName(APP)
            .withCheckpointType(ShowCheckpointRequest.CheckpointTypeEnum.LAST_READ));
    }

    public static void main(String[] args) {
        check("CreateStream", () -> {
            CreateStreamReq body = new CreateStreamReq().withStreamName(STREAM).withPartitionCount(1)
                .withStreamType(CreateStreamReq.StreamTypeEnum.COMMON).withDataType(CreateStreamReq.DataTypeEnum.JSON)
                .withDataDuration(48).withDataSchema(SCHEMA).withCompressionFormat(CreateStreamReq.CompressionFormatEnum.ZIP)
                .withCsvProperties(new CSVProperties().withDelimiter(";"))
                .withAutoScaleEnabled(true).withAutoScaleMinPartitionCount(1L).withAutoScaleMaxPartitionCount(4)
                .withTags(List.of(tag("k", "v"), tag("empty", "")))
                .withSysTags(List.of(new SysTag().withKey(SysTag.KeyEnum._SYS_ENTERPRISE_PROJECT_ID).withValue("0")));
            CreateStreamRequest r = new CreateStreamRequest().withBody(body);
            equal(dis.createStream(r).getHttpStatusCode(), 201);
            fails(400, "DIS.4307", () -> dis.createStream(r));
        });
        check("ListStreams", () -> {
            ListStreamsResponse r = dis.listStreams(new ListStreamsRequest().withLimit(100));
            equal(r.getStreamNames(), List.of(STREAM));
            equal(r.getTotalNumber(), 1L);
            equal(r.getHasMoreStreams(), false);
            StreamInfo s = r.getStreamInfoList().get(0);
            equal(List.of(s.getStreamName(), s.getPartitionCount(), s.getRetentionPeriod()), List.of(STREAM, 1, 48));
        });
        check("ShowStream", () -> {
            ShowStreamResponse r = show();
            equal(r.getStatus(), ShowStreamResponse.StatusEnum.RUNNING);
            equal(r.getDataType(), ShowStreamResponse.DataTypeEnum.JSON);
            equal(r.getDataSchema(), SCHEMA);
            equal(r.getCompressionFormat(), ShowStreamResponse.CompressionFormatEnum.ZIP);
            equal(r.getCsvProperties().getDelimiter(), ";");
            equal(r.getRetentionPeriod(), 48);
            equal(r.getAutoScaleMaxPartitionCount(), 4);
            equal(tags(r.getTags()), Map.of("k", "v", "empty", ""));
            PartitionResult p = r.getPartitions().get(0);
            equal(List.of(p.getPartitionId(), p.getStatus(), p.getHashRange(), p.getSequenceNumberRange()),
                List.of(SHARD, PartitionResult.StatusEnum.ACTIVE, "[0 : 9223372036854775807]", "[0 : 0]"));
            fails(400, "DIS.4301", () -> dis.showStream(new ShowStreamRequest().withStreamName("nowhere")));
        });
        check("UpdatePartitionCount", () -> {
            dis.updatePartitionCount(new UpdatePartitionCountRequest().withStreamName(STREAM)
                .withBody(new UpdatePartitionCountReq().withStreamName(STREAM).withTargetPartitionCount(2)));
            ShowStreamResponse r = show();
            equal(r.getWritablePartitionCount(), 2);
            UpdatePartitionCount u = r.getUpdatePartitionCounts().get(0);
            equal(List.of(u.getSrcPartitionCount(), u.getTargetPartitionCount()), List.of(1, 2));
        });
        check("UpdateStream", () -> {
            dis.updateStream(new UpdateStreamRequest().withStreamName(STREAM)
                .withBody(new UpdateStreamReq().withStreamName(STREAM).withDataDuration(72)));
            equal(show().getRetentionPeriod(), 72);
        });
        check("SendRecords", () -> {
            SendRecordsResponse r = dis.sendRecords(new SendRecordsRequest().withBody(new PutRecordsRequest().withStreamName(STREAM)
                .withRecords(List.of(
                    new PutRecordsRequestEntry().withData(DATA).withPartitionId("0"),
                    new PutRecordsRequestEntry().withData(DATA).withExplicitHashKey("0").withPartitionKey("pk"),
                    new PutRecordsRequestEntry().withData("").withPartitionId(SHARD),
                    new PutRecordsRequestEntry().withData(DATA).withPartitionId("77")))));
            equal(r.getFailedRecordCount(), 1);
            for (int i = 0; i < 3; i++) {
                PutRecordsResultEntry e = r.getRecords().get(i);
                equal(e.getPartitionId() + " " + e.getSequenceNumber(), SHARD + " " + i);
            }
            equal(r.getRecords().get(3).getErrorCode(), "DIS.4302");
        });
        check("ShowCursor", () -> {
            var type = ShowCursorRequest.CursorTypeEnum.AT_SEQUENCE_NUMBER;
            equal(sequences(read(cursor(type).withStartingSequenceNumber("1"))), List.of("1", "2"));
            equal(sequences(read(cursor(ShowCursorRequest.CursorTypeEnum.AFTER_SEQUENCE_NUMBER).withStartingSequenceNumber("1"))), List.of("2"));
            equal(sequences(read(cursor(ShowCursorRequest.CursorTypeEnum.LATEST))), List.of());
            long day = System.currentTimeMillis() + 86_400_000;
            equal(sequences(read(cursor(ShowCursorRequest.CursorTypeEnum.AT_TIMESTAMP).withTimestamp(day - 2 * 86_400_000))).size(), 3);
            fails(400, "DIS.4224", () -> dis.showCursor(cursor(type).withStartingSequenceNumber("99")));
            fails(400, "DIS.4302", () -> dis.showCursor(cursor(ShowCursorRequest.CursorTypeEnum.LATEST).withPartitionId("9")));
        });
        check("ConsumeRecords", () -> {
            ConsumeRecordsResponse r = read(cursor(ShowCursorRequest.CursorTypeEnum.TRIM_HORIZON));
            equal(sequences(r), List.of("0", "1", "2"));
            equal(r.getRecords().get(0).getData(), DATA);
            equal(r.getRecords().get(2).getData(), "");
            equal(r.getRecords().get(1).getPartitionKey(), "pk");
            equal(r.getRecords().get(0).getTimestampType(), "CreateTime");
            if (Math.abs(r.getRecords().get(0).getTimestamp() - System.currentTimeMillis()) > 60_000)
                throw new AssertionError(r.getRecords().get(0).getTimestamp());
            equal(dis.consumeRecords(new ConsumeRecordsRequest().withPartitionCursor(r.getNextPartitionCursor())
                .withMaxFetchBytes(1 << 20)).getRecords(), List.of());
            fails(400, "DIS.4217", () -> dis.consumeRecords(new ConsumeRecordsRequest().withPartitionCursor("x")));
        });
        check("CreateApp", () -> {
            CreateAppRequest r = new CreateAppRequest().withBody(new CreateAppReq().withAppName(APP));
            equal(dis.createApp(r).getHttpStatusCode(), 201);
            fails(400, "DIS.4330", () -> dis.createApp(r));
        });
        check("CommitCheckpoint", () -> {
            CommitCheckpointReq body = new CommitCheckpointReq().withAppName(APP).withStreamName(STREAM).withPartitionId("0")
                .withCheckpointType(CommitCheckpointReq.CheckpointTypeEnum.LAST_READ).withMetadata("meta").withSequenceNumber("1");
            dis.commitCheckpoint(new CommitCheckpointRequest().withBody(body));
            fails(400, "DIS.4224", () -> dis.commitCheckpoint(new CommitCheckpointRequest().withBody(body.withSequenceNumber("99"))));
        });
        check("ShowCheckpoint", () -> {
            ShowCheckpointResponse r = checkpoint();
            equal(r.getSequenceNumber() + " " + r.getMetadata(), "1 meta");
        });
        check("ShowConsumerState", () -> {
            ShowConsumerStateRequest r = new ShowConsumerStateRequest().withAppName(APP).withStreamName(STREAM)
                .withCheckpointType(ShowConsumerStateRequest.CheckpointTypeEnum.LAST_READ);
            equal(dis.showConsumerState(r).getAppName(), APP); // its model has none of the states
            fails(400, "DIS.4332", () -> dis.showConsumerState(r.withAppName("nobody")));
        });
        check("ListApp", () -> {
            ListAppResponse r = dis.listApp(new ListAppRequest().withStreamName(STREAM).withLimit(10));
            equal(r.getApps().stream().map(DescribeAppResult::getAppName).toList(), List.of(APP));
            equal(r.getHasMoreApp(), false);
            equal(r.getTotalNumber(), 1);
        });
        check("ShowApp", () -> {
            ShowAppResponse r = dis.showApp(new ShowAppRequest().withAppName(APP));
            equal(r.getAppName(), APP);
            equal(r.getCommitCheckpointStreamNames(), List.of(STREAM));
        });
        check("CreateTag", () -> dis.createTag(new CreateTagRequest().withStreamId(show().getStreamId())
            .withBody(new CreateTagReq().withTag(tag("键-1", "值")))));
        check("BatchCreateTags", () -> dis.batchCreateTags(new BatchCreateTagsRequest().withStreamId(show().getStreamId())
            .withBody(new BatchCreateTagsReq().withAction(BatchCreateTagsReq.ActionEnum.CREATE)
                .withTags(List.of(tag("two", "2"), tag("three", "3"))))));
        check("ShowStreamTags", () -> equal(
            tags(dis.showStreamTags(new ShowStreamTagsRequest().withStreamId(show().getStreamId())).getTags()),
            Map.of("k", "v", "empty", "", "键-1", "值", "two", "2", "three", "3")));
        check("ListTags", () -> {
            List<Tags> all = dis.listTags(new ListTagsRequest()).getTags();
            equal(all.stream().filter(t -> t.getKey().equals("two")).map(Tags::getValues).toList(), List.of(List.of("2")));
        });
        check("ListResourcesByTags", () -> { // its model has none of the resources
            ListResourceInstancesReq body = new ListResourceInstancesReq().withAction(ListResourceInstancesReq.ActionEnum.FILTER)
                .withLimit("10").withOffset("0").withTags(List.of(new Tags().withKey("two").withValues(List.of("2"))));
            equal(dis.listResourcesByTags(new ListResourcesByTagsRequest().withBody(body)).getHttpStatusCode(), 200);
        });
        check("DeleteTag", () -> dis.deleteTag(new DeleteTagRequest().withStreamId(show().getStreamId()).withKey("键-1")));
        check("BatchDeleteTags", () -> {
            dis.batchDeleteTags(new BatchDeleteTagsRequest().withStreamId(show().getStreamId())
                .withBody(new BatchDeleteTagsReq().withAction(BatchDeleteTagsReq.ActionEnum.DELETE)
                    .withTags(List.of(tag("two", "2"), new Tag().withKey("three")))));
            equal(tags(show().getTags()), Map.of("k", "v", "empty", ""));
        });
        check("ListPolicies", () -> {
            ListPoliciesResponse r = dis.listPolicies(new ListPoliciesRequest().withStreamName(STREAM));
            equal(r.getStreamId(), show().getStreamId());
            equal(r.getRules(), List.of());
        });
        long now = System.currentTimeMillis() / 1000;
        check("ShowStreamMetrics", () -> {
            ShowStreamMetricsResponse r = dis.showStreamMetrics(new ShowStreamMetricsRequest().withStreamName(STREAM)
                .withLabelList("total_put_records_per_stream,total_get_bytes_per_stream").withStartTime(now - 600).withEndTime(now + 60));
            equal(r.getMetricsList().stream().map(Metrics::getLabel).toList(),
                List.of("total_put_records_per_stream", "total_get_bytes_per_stream"));
            equal(r.getMetrics().getLabel(), "total_put_records_per_stream");
            equal(r.getMetrics().getDataPoints().stream().mapToLong(DataPoint::getValue).sum(), 3L);
        });
        check("ShowPartitionMetrics", () -> {
            ShowPartitionMetricsResponse r = dis.showPartitionMetrics(new ShowPartitionMetricsRequest().withStreamName(STREAM).withPartitionId("0")
                .withLabel(ShowPartitionMetricsRequest.LabelEnum.TOTAL_PUT_RECORDS_PER_PARTITION)
                .withStartTime(now - 600).withEndTime(String.valueOf(now + 60)));
            equal(r.getMetrics().getDataPoints().stream().mapToLong(DataPoint::getValue).sum(), 3L);
        });
        check("CreateObsTransferTask", () -> {
            OBSDestinationDescriptorRequest obs = new OBSDestinationDescriptorRequest().withTaskName(TASK).withAgencyName("dis_admin_agency")
                .withDeliverTimeInterval(30).withObsBucketPath("bucket").withFilePrefix("p").withRecordDelimiter("\n")
                .withConsumerStrategy(OBSDestinationDescriptorRequest.ConsumerStrategyEnum.LATEST)
                .withDestinationFileType(OBSDestinationDescriptorRequest.DestinationFileTypeEnum.TEXT)
                .withPartitionFormat(OBSDestinationDescriptorRequest.PartitionFormatEnum.YYYY_MM_DD_HH_MM);
            CreateObsTransferTaskRequest r = new CreateObsTransferTaskRequest().withStreamName(STREAM).withBody(new CreateTransferTaskReq()
                .withDestinationType(CreateTransferTaskReq.DestinationTypeEnum.OBS).withObsDestinationDescriptor(obs));
            dis.createObsTransferTask(r);
            fails(400, "DIS.4355", () -> dis.createObsTransferTask(r));
        });
        check("ListTransferTasks", () -> {
            ListTransferTasksResponse r = dis.listTransferTasks(new ListTransferTasksRequest().withStreamName(STREAM));
            equal(r.getTotalNumber(), 1);
            equal(r.getTasks().get(0).getTaskName(), TASK);
            equal(r.getTasks().get(0).getDestinationType(), TransferTask.DestinationTypeEnum.OBS);
        });
        check("ShowTransferTask", () -> {
            OBSDestinationDescriptorRequest obs = task().getObsDestinationDescription();
            equal(List.of(obs.getObsBucketPath(), obs.getFilePrefix(), obs.getDeliverTimeInterval(), obs.getPartitionFormat().getValue()),
                List.of("bucket", "p", 30, "yyyy/MM/dd/HH/mm"));
            equal(task().getPartitions().stream().map(PartitionResult::getPartitionId).toList(), List.of(SHARD, "shardId-0000000001"));
        });
        List<BatchTransferTask> tasks = List.of(new BatchTransferTask().withId(TASK));
        check("BatchStopTransferTask", () -> {
            dis.batchStopTransferTask(new BatchStopTransferTaskRequest().withStreamName(STREAM).withBody(
                new BatchStopTransferTaskReq().withAction(BatchStopTransferTaskReq.ActionEnum.STOP).withTasks(tasks)));
            equal(task().getState(), ShowTransferTaskResponse.StateEnum.PAUSED);
        });
        check("BatchStartTransferTask", () -> {
            dis.batchStartTransferTask(new BatchStartTransferTaskRequest().withStreamName(STREAM).withBody(
                new BatchStartTransferTaskReq().withAction(BatchStartTransferTaskReq.ActionEnum.START).withTasks(tasks)));
            equal(task().getState(), ShowTransferTaskResponse.StateEnum.RUNNING);
        });
        check("DeleteTransferTask", () -> {
            dis.deleteTransferTask(new DeleteTransferTaskRequest().withStreamName(STREAM).withTaskName(TASK));
            fails(400, "DIS.4354", () -> task());
        });
        check("DeleteCheckpoint", () -> {
            dis.deleteCheckpoint(new DeleteCheckpointRequest().withStreamName(STREAM).withAppName(APP)
                .withCheckpointType(DeleteCheckpointRequest.CheckpointTypeEnum.LAST_READ));
            equal(checkpoint().getSequenceNumber(), "-1");
        });
        check("DeleteStream", () -> {
            equal(dis.deleteStream(new DeleteStreamRequest().withStreamName(STREAM)).getHttpStatusCode(), 204);
            fails(400, "DIS.4301", () -> show());
        });
        check("DeleteApp", () -> {
            dis.deleteApp(new DeleteAppRequest().withAppName(APP));
            fails(400, "DIS.4332", () -> dis.showApp(new ShowAppRequest().withAppName(APP)));
        });
        check("a project found by its region, derived signatures", () -> {
            String endpoint = System.getenv("DIS_ENDPOINT");
            DisClient byRegion = DisClient.newBuilder().withHttpConfig(HttpConfig.getDefaultHttpConfig())
                .withCredential(new BasicCredentials().withAk(System.getenv("DIS_AK")).withSk(System.getenv("DIS_SK")).withIamEndpoint(endpoint)
                    .withDerivedPredicate(BasicCredentials.DEFAULT_DERIVED_PREDICATE))
                .withRegion(new Region(System.getenv("DIS_PROJECT_NAME"), endpoint)).withDerivedAuthServiceName("dis").build();
            equal(byRegion.listStreams(new ListStreamsRequest()).getHasMoreStreams(), false);
        });
        check("all operations", () -> {
            for (var method : DisClient.class.getDeclaredMethods()) {
                String name = method.getName().substring(0, 1).toUpperCase() + method.getName().substring(1);
                if (SdkResponse.class.isAssignableFrom(method.getReturnType()) && !checked.contains(name)) throw new AssertionError(name + " is not called");
            }
        });
        System.exit(0); // the HTTP library's threads would keep it for a minute
    }
}
