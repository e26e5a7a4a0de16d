import com.huaweicloud.dis.*;
import com.huaweicloud.dis.iface.stream.request.*;
import java.io.File;
import java.nio.file.*;
import java.util.*;
import java.util.stream.*;

/** Lets one Flume send the lines of files to a stream, and another one write those of the stream to files. Its argument is the folder of both. */
public class Main {
    static final int SECONDS = 90; // that lines may take to arrive
    static Path files;

    static Process flume(String name) throws Exception {
        return new ProcessBuilder("java", "-Xmx256m", "-cp", System.getProperty("java.class.path"), "org.apache.flume.node.Application",
            "--conf-file", files.resolve("flume.conf").toString(), "--name", name, "--no-reload-conf")
            .redirectErrorStream(true).redirectOutput(new File(files.toFile(), name + ".log")).start();
    }

    static final List<String> want = new ArrayList<>();

    static void write(String file, int lines) throws Exception {
        List<String> text = new ArrayList<>();
        for (int i = 0; i < lines; i++) text.add("line " + (want.size() + i) + " 数据");
        want.addAll(text);
        Files.write(files.resolve(file), text);
        Files.move(files.resolve(file), files.resolve("in/" + file));
    }

    static List<String> written() throws Exception {
        List<String> got = new ArrayList<>();
        try (Stream<Path> out = Files.list(files.resolve("out"))) {
            for (Path file : out.collect(Collectors.toList())) got.addAll(Files.readAllLines(file));
        }
        return got;
    }

    /** Waits until every line has arrived. Lines come twice only when a Flume is started again. */
    static void check(String name, boolean twice) throws Exception {
        for (int i = 0; i < SECONDS * 5 && !written().containsAll(want); i++) Thread.sleep(200);
        List<String> got = written();
        boolean ok = new HashSet<>(got).equals(new HashSet<>(want)) && (twice || got.size() == want.size());
        System.out.println(ok ? "ok " + name : "not ok " + name + ": " + got.size() + " lines of " + want.size());
    }

    public static void main(String[] args) throws Exception {
        files = Paths.get(args[0]);
        DIS dis = DISClientBuilder.standard().withEndpoint(System.getenv("DIS_ENDPOINT")).withRegion(System.getenv("DIS_REGION"))
            .withProjectId(System.getenv("DIS_PROJECT")).withAk(System.getenv("DIS_AK")).withSk(System.getenv("DIS_SK")).build();
        CreateStreamRequest stream = new CreateStreamRequest();
        stream.setStreamName("flume");
        stream.setPartitionCount(2);
        dis.createStream(stream);

        List<Process> running = new ArrayList<>();
        try {
            running.add(flume("up"));
            running.add(flume("down"));
            write("first", 500);
            check("sink in protobuf, source in a group", false);
            write("second", 3000);
            check("more than a batch", false);
            Process down = running.remove(1);
            down.destroy();
            down.waitFor();
            write("third", 500);
            running.add(flume("down"));
            check("a source that is started again", true);
        } finally {
            for (Process p : running) { p.destroy(); p.waitFor(); }
        }
        System.exit(0);
    }
}
