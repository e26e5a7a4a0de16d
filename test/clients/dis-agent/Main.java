import com.huaweicloud.dis.*;
import com.huaweicloud.dis.iface.data.request.*;
import com.huaweicloud.dis.iface.data.response.*;
import com.huaweicloud.dis.iface.stream.request.*;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;

/** Lets the agent tail a file that grows and is rotated, and reads back what it uploaded. Its argument is the folder of the file. */
public class Main {
    static final int SECONDS = 60; // that lines may take to arrive
    static DIS dis;
    static String cursor;
    static final List<String> want = new ArrayList<>(), got = new ArrayList<>();
    static Path logs;

    static void append(int lines) throws Exception {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < lines; i++) {
            want.add("line " + want.size() + " 数据");
            text.append(want.get(want.size() - 1)).append('\n');
        }
        Files.write(logs.resolve("app.log"), text.toString().getBytes(StandardCharsets.UTF_8), StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    /**
     * Reads until all lines have arrived, and a moment longer, for those that come twice. Only what the server may have
     * stored before it could say so may do that.
     */
    static void check(String name, boolean twice) throws Exception {
        List<String> lines = got;
        for (int left = SECONDS * 10, calm = 10; left > 0 && calm > 0; left--) {
            GetRecordsRequest request = new GetRecordsRequest();
            request.setPartitionCursor(cursor);
            GetRecordsResult result = dis.getRecords(request);
            for (com.huaweicloud.dis.iface.data.response.Record r : result.getRecords()) got.add(StandardCharsets.UTF_8.decode(r.getData()).toString());
            cursor = result.getNextPartitionCursor();
            if (twice) lines = new ArrayList<>(new LinkedHashSet<>(got));
            if (lines.size() >= want.size()) calm--;
            Thread.sleep(100);
        }
        System.out.println(lines.equals(want) ? "ok " + name
            : "not ok " + name + ": " + lines.size() + " lines of " + want.size() + ", or in another order");
        if (twice) { // so that the next check knows what is new
            got.clear();
            got.addAll(lines);
        }
    }

    /** Makes the stream and begins to read it. */
    static void open(String endpoint) {
        dis = DISClientBuilder.standard().withEndpoint(endpoint).withRegion(System.getenv("DIS_REGION"))
            .withProjectId(System.getenv("DIS_PROJECT")).withAk(System.getenv("DIS_AK")).withSk(System.getenv("DIS_SK")).build();
        CreateStreamRequest stream = new CreateStreamRequest();
        stream.setStreamName("agent");
        stream.setPartitionCount(1);
        dis.createStream(stream);
        GetPartitionCursorRequest start = new GetPartitionCursorRequest();
        start.setStreamName("agent");
        start.setPartitionId("0");
        start.setCursorType("TRIM_HORIZON");
        cursor = dis.getPartitionCursor(start).getPartitionCursor();
    }

    static Process agent() throws Exception {
        return new ProcessBuilder("java", "-Xmx256m", "-Dlog4j2.level=error", "-Djava.io.tmpdir=" + logs, "-cp", System.getProperty("java.class.path"),
            "com.huaweicloud.dis.agent.Agent", "-c", logs.resolve("agent.yml").toString(), "-n", "conformance")
            .redirectErrorStream(true).redirectOutput(new File(logs.toFile(), "output")).start();
    }

    public static void main(String[] args) throws Exception {
        logs = Paths.get(args[0]);
        open(System.getenv("DIS_ENDPOINT"));

        append(100);
        Process agent = agent();
        try {
            check("a file that is there", false);
            for (int i = 0; i < 20; i++) {
                append(50);
                Thread.sleep(100);
            }
            check("a file that grows", false);
            for (int i = 3; i > 0; i--) {
                append(20);
                Files.move(logs.resolve("app.log"), logs.resolve("app.log." + i)); // the newest has the lowest number
                append(20);
                check("a file that is rotated, " + (4 - i), false);
            }
            agent.destroy();
            agent.waitFor();
            append(100);
            agent = agent();
            check("an agent that is started again", false);
        } finally {
            agent.destroy();
            agent.waitFor();
        }
        System.exit(0);
    }
}
