import com.huaweicloud.dis.*;
import com.huaweicloud.dis.iface.data.request.*;
import com.huaweicloud.dis.iface.data.response.*;
import java.io.*;
import java.nio.file.*;
import java.util.*;
import java.util.function.Function;
import java.util.regex.*;

/** What the SDK does when a server refuses or is away, with a server of its own. */
public class Faults {
    static final Pattern SERVING = Pattern.compile("msg=serving address=(\\S+)");
    static Path directory;
    static String address = "127.0.0.1:0";
    static Process server;

    /** Starts the server, again on the same address. It enforces the cloud's limits: 1000 records a second in a partition. */
    static void start() throws IOException {
        ProcessBuilder b = new ProcessBuilder(System.getenv("DIS_BINARY"), "serve", "--listen", address,
            "--data-dir", directory.resolve("data").toString(), "--quota-mode", "enforce").redirectErrorStream(true);
        b.environment().keySet().removeIf(name -> name.startsWith("DISD_"));
        server = b.start();
        BufferedReader log = server.inputReader();
        for (String line; (line = log.readLine()) != null;) {
            Matcher m = SERVING.matcher(line);
            if (m.find()) {
                address = m.group(1);
                Thread drain = new Thread(() -> log.lines().forEach(l -> { }));
                drain.setDaemon(true);
                drain.start();
                return;
            }
        }
        throw new IOException("the server did not start");
    }

    static void kill() throws InterruptedException { server.destroyForcibly().waitFor(); }

    static DISConfig config() { return Main.config().setEndpoint("http://" + address); }

    static List<String> all(String stream) {
        List<String> got = new ArrayList<>();
        String cursor = Main.cursor(stream, "0", "TRIM_HORIZON", null);
        for (;;) {
            GetRecordsResult r = Main.read(cursor);
            if (r.getRecords().isEmpty()) return got;
            r.getRecords().forEach(record -> got.add(Main.text(record)));
            cursor = r.getNextPartitionCursor();
        }
    }

    /** Sends more than a partition takes in a second, without patience and then with some. */
    static void refused(String stream, Function<DISConfig, DIS> client) {
        Main.makeStream(stream, 1);
        PutRecordsRequestEntry[] many = new PutRecordsRequestEntry[1200];
        for (int i = 0; i < many.length; i++) many[i] = Main.entry("r" + i, null, "0");
        DISConfig once = config();
        once.setRecordsRetries(0);
        PutRecordsResult partial = client.apply(once).putRecords(Main.request(stream, many));
        if (partial.getFailedRecordCount().get() == 0) throw new AssertionError("nothing was refused");
        int accepted = many.length - partial.getFailedRecordCount().get();

        DISConfig patient = config();
        patient.setRecordsRetries(10_000); // ten are over in half a second, and at once in the NIO client, which does not wait
        Set<String> sequences = new HashSet<>();
        PutRecordsResult r = client.apply(patient).putRecords(Main.request(stream, many));
        Main.equal(r.getFailedRecordCount().get(), 0);
        r.getRecords().forEach(e -> sequences.add(e.getSequenceNumber()));
        Main.equal(sequences.size(), many.length);
        List<String> got = all(stream);
        Main.equal(got.size(), accepted + many.length);
        Main.equal(new HashSet<>(got.subList(accepted, got.size())).size(), many.length);
    }

    public static void main(String[] args) throws Exception {
        Main.variant = "faults";
        directory = Files.createTempDirectory("java-legacy-");
        start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            server.destroyForcibly();
            try (var files = Files.walk(directory)) {
                files.sorted(Comparator.reverseOrder()).forEach(f -> f.toFile().delete());
            } catch (IOException e) {
                System.err.println(e);
            }
        }));
        Main.dis = new DISClient(config());
        Main.makeStream("cached", 1);

        Main.check("what is refused for a while is sent again", () -> refused("throttled", DISClient::new));
        Main.check("and by the NIO client", () -> refused("throttled-nio", DISClientAsync2::new));
        Main.check("what could not be sent is kept on disk and sent later", () -> {
            DISConfig caching = config().setDataCacheEnabled(true).setDataCacheDir(directory.resolve("cache").toString());
            caching.set(DISConfig.PROPERTY_PRODUCER_EXCEPTION_RETRIES, "0");
            DIS client = new DISClient(caching);
            client.putRecords(Main.request("cached", Main.entry("before", null, "0")));
            kill();
            for (String data : List.of("while", "away")) {
                try {
                    client.putRecords(Main.request("cached", Main.entry(data, null, "0")));
                    throw new AssertionError("sent to nobody");
                } catch (RuntimeException refused) {
                    // as it should be: the record is on disk now
                }
            }
            start();
            new DISClient(caching).putRecords(Main.request("cached", Main.entry("after", null, "0"))); // it sends what is on disk at once, then every two minutes
            List<String> got = List.of();
            for (int i = 0; i < 100 && got.size() < 4; i++) {
                Thread.sleep(100);
                got = all("cached");
            }
            got = new ArrayList<>(got);
            Collections.sort(got);
            Main.equal(got, List.of("after", "away", "before", "while"));
        });
        System.exit(0);
    }
}
