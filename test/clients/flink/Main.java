import com.huaweicloud.dis.*;
import com.huaweicloud.dis.adapter.kafka.clients.consumer.ConsumerConfig;
import com.huaweicloud.dis.iface.stream.request.*;
import java.util.*;
import java.util.stream.*;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.streaming.api.environment.*;
import org.apache.flink.streaming.api.functions.sink.SinkFunction;
import org.apache.flink.streaming.connectors.dis.*;

/** The demos of the connector: jobs in a local environment that write to a stream, and read it. */
public class Main {
    static final int SECONDS = 60; // that a job may take
    static final String STREAM = "flink";
    static final List<String> got = Collections.synchronizedList(new ArrayList<>());

    static DISConfig config() {
        // [snippet]
        DISConfig config = DISConfig.buildDefaultConfig();
        config.put(DISConfig.PROPERTY_ENDPOINT, System.getenv("DIS_ENDPOINT")); // http://127.0.0.1:20004; the host needs a dot
        config.put(DISConfig.PROPERTY_REGION_ID, System.getenv("DIS_REGION"));
        config.put(DISConfig.PROPERTY_PROJECT_ID, System.getenv("DIS_PROJECT"));
        config.put(DISConfig.PROPERTY_AK, System.getenv("DIS_AK"));
        config.put(DISConfig.PROPERTY_SK, System.getenv("DIS_SK"));
        // [end]
        return config;
    }

    static StreamExecutionEnvironment environment() {
        StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(2);
        env.enableCheckpointing(1000);
        return env;
    }

    static List<String> write(int from, int to) throws Exception {
        List<String> lines = IntStream.range(from, to).mapToObj(i -> "line " + i + " 数据").collect(Collectors.toList());
        StreamExecutionEnvironment env = environment();
        env.fromCollection(lines).addSink(new FlinkDisProducer<String>(STREAM, new SimpleStringSchema(), config()));
        env.execute();
        return lines;
    }

    static class Collect implements SinkFunction<String> {
        @Override public void invoke(String value, Context context) { got.add(value); }
    }

    interface Start { void from(FlinkDisConsumer<String> consumer); }

    /** Runs a job until it has read what it should, and a moment longer, so that it commits. */
    static void check(String name, String group, Start start, List<String> want) throws Exception {
        got.clear();
        DISConfig config = config();
        config.put(ConsumerConfig.GROUP_ID_CONFIG, group);
        config.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        config.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false");
        FlinkDisConsumer<String> consumer = new FlinkDisConsumer<>(Collections.singletonList(STREAM), new SimpleStringSchema(), config);
        start.from(consumer);
        StreamExecutionEnvironment env = environment();
        env.addSource(consumer).addSink(new Collect());
        JobClient job = env.executeAsync();
        for (int i = 0; i < SECONDS * 10 && got.size() < want.size(); i++) Thread.sleep(100);
        Thread.sleep(5000);
        job.cancel().get();
        List<String> sorted = new ArrayList<>(got), all = new ArrayList<>(want);
        Collections.sort(sorted);
        Collections.sort(all);
        System.out.println(sorted.equals(all) ? "ok " + name : "not ok " + name + ": " + sorted.size() + " records, want " + all.size());
    }

    public static void main(String[] args) throws Exception {
        CreateStreamRequest stream = new CreateStreamRequest();
        stream.setStreamName(STREAM);
        stream.setPartitionCount(3);
        DISClientBuilder.standard().withEndpoint(System.getenv("DIS_ENDPOINT")).withRegion(System.getenv("DIS_REGION"))
            .withProjectId(System.getenv("DIS_PROJECT")).withAk(System.getenv("DIS_AK")).withSk(System.getenv("DIS_SK")).build().createStream(stream);

        List<String> first = write(0, 1000);
        check("sink and source, from the earliest", "flink", FlinkDisConsumerBase::setStartFromGroupOffsets, first);
        Thread.sleep(1000);
        long between = System.currentTimeMillis();
        List<String> second = write(1000, 1500), all = new ArrayList<>(first);
        all.addAll(second);
        check("from the group's offsets", "flink", FlinkDisConsumerBase::setStartFromGroupOffsets, second);
        check("from a time", "by-time", c -> c.setStartFromTimestamp(between), second);
        check("from the earliest, in a group without an app", "another", FlinkDisConsumerBase::setStartFromEarliest, all);
        System.exit(0);
    }
}
