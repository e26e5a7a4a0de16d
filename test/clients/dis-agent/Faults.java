import com.huaweicloud.dis.*;
import com.sun.net.httpserver.*;
import java.io.*;
import java.net.*;
import java.net.http.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.regex.*;

/** Lets the agent upload through a proxy that refuses, to a server of its own that is killed. Its argument is the folder of the file. */
public class Faults {
    static final Pattern SERVING = Pattern.compile("msg=serving address=(\\S+)");
    static String address = "127.0.0.1:0";
    static Process server;
    static final Queue<Integer> refusals = new ConcurrentLinkedQueue<>(); // statuses of the next uploads

    /** Starts the server, again on the same address. */
    static void start(Path data) throws IOException {
        ProcessBuilder b = new ProcessBuilder(System.getenv("DIS_BINARY"), "serve", "--listen", address, "--data-dir", data.toString()).redirectErrorStream(true);
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

    static void answer(HttpExchange x, int status, byte[] body) throws IOException {
        x.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
        x.getResponseBody().write(body);
        x.close();
    }

    /** A proxy that hands on what it does not refuse; a connection that breaks behind it breaks before it too. */
    static HttpServer proxy() throws IOException {
        HttpClient client = HttpClient.newHttpClient();
        HttpServer s = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        s.createContext("/", x -> {
            byte[] body = x.getRequestBody().readAllBytes();
            Integer refusal = x.getRequestMethod().equals("POST") ? refusals.poll() : null;
            if (refusal != null) {
                answer(x, refusal, "{\"errorCode\":\"DIS.5000\",\"message\":\"System error.\"}".getBytes(StandardCharsets.UTF_8));
                return;
            }
            HttpRequest.Builder r = HttpRequest.newBuilder(URI.create("http://" + address + x.getRequestURI()))
                .method(x.getRequestMethod(), HttpRequest.BodyPublishers.ofByteArray(body));
            for (String name : List.of("Authorization", "Content-Type", "X-Sdk-Date"))
                if (x.getRequestHeaders().getFirst(name) != null) r.header(name, x.getRequestHeaders().getFirst(name));
            try {
                HttpResponse<byte[]> got = client.send(r.build(), HttpResponse.BodyHandlers.ofByteArray());
                got.headers().firstValue("Content-Type").ifPresent(type -> x.getResponseHeaders().set("Content-Type", type));
                answer(x, got.statusCode(), got.body());
            } catch (IOException | InterruptedException e) {
                x.close();
            }
        });
        s.setExecutor(Executors.newCachedThreadPool());
        s.start();
        return s;
    }

    public static void main(String[] args) throws Exception {
        Main.logs = Paths.get(args[0]);
        Path data = Main.logs.resolve("data");
        start(data);
        HttpServer proxy = proxy();
        String endpoint = "http://127.0.0.1:" + proxy.getAddress().getPort();
        Path config = Main.logs.resolve("agent.yml");
        Files.writeString(config, Files.readString(config).replace("endpoint: " + System.getenv("DIS_ENDPOINT"), "endpoint: " + endpoint));
        Main.open("http://" + address);

        Process agent = Main.agent();
        try {
            for (int status : new int[] {503, 500, 429}) {
                refusals.addAll(Collections.nCopies(3, status));
                Main.append(100);
                Main.check("uploads that are answered " + status, false);
                if (!refusals.isEmpty()) System.out.println("not ok uploads that are answered " + status + ": not sent again");
            }
            for (int i = 0; i < 3; i++) {
                Main.append(50);
                Thread.sleep(300);
                server.destroyForcibly().waitFor();
                Main.append(50);
                Thread.sleep(1000);
                start(data);
                Main.append(50);
                Main.check("a server that is killed and comes back, " + (i + 1), true);
            }
        } finally {
            agent.destroy();
            agent.waitFor();
            server.destroyForcibly().waitFor();
        }
        System.exit(0);
    }
}
