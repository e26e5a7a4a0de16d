import com.huaweicloud.dis.*;
import com.huaweicloud.dis.adapter.kafka.clients.consumer.*;
import com.huaweicloud.dis.adapter.kafka.clients.producer.*;
import com.huaweicloud.dis.adapter.kafka.common.*;
import com.huaweicloud.dis.adapter.kafka.common.serialization.*;
import com.huaweicloud.dis.iface.stream.request.*;
import java.io.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.regex.Pattern;
import java.util.stream.*;

/** The demos of the Kafka adapter, and a group that lives through everything that can happen to one. */
public class Main {
    static String version;
    static DIS dis;

    interface Check { void run() throws Exception; }

    static void check(String name, Check body) {
        try {
            body.run();
            System.out.println("ok " + version + " " + name);
        } catch (Throwable t) {
            System.out.println("not ok " + version + " " + name + ": " + String.valueOf(t).replaceAll("\\s+", " "));
        }
    }

    static void equal(Object got, Object want) {
        if (!Objects.equals(got, want)) throw new AssertionError("got " + got + ", want " + want);
    }

    static Properties properties(String group) {
        // [snippet]
        Properties p = new Properties();
        p.setProperty(DISConfig.PROPERTY_ENDPOINT, System.getenv("DIS_ENDPOINT")); // http://127.0.0.1:20004; the host needs a dot
        p.setProperty(DISConfig.PROPERTY_REGION_ID, System.getenv("DIS_REGION"));
        p.setProperty(DISConfig.PROPERTY_PROJECT_ID, System.getenv("DIS_PROJECT"));
        p.setProperty(DISConfig.PROPERTY_AK, System.getenv("DIS_AK"));
        p.setProperty(DISConfig.PROPERTY_SK, System.getenv("DIS_SK"));
        // [end]
        p.setProperty("group.id", group);
        p.setProperty("key.serializer", StringSerializer.class.getName());
        p.setProperty("value.serializer", StringSerializer.class.getName());
        p.setProperty("key.deserializer", StringDeserializer.class.getName());
        p.setProperty("value.deserializer", StringDeserializer.class.getName());
        p.setProperty("enable.auto.commit", "false");
        p.setProperty("auto.offset.reset", "earliest");
        return p;
    }

    static String[] names(String... names) {
        return Arrays.stream(names).map(n -> n + "-" + version.replace('.', '-')).toArray(String[]::new);
    }

    static void makeStream(String stream, int partitions) {
        CreateStreamRequest r = new CreateStreamRequest();
        r.setStreamName(stream);
        r.setPartitionCount(partitions);
        dis.createStream(r);
    }

    static DISKafkaConsumer<String, String> consumer(Properties p) { return new DISKafkaConsumer<>(p); }

    static List<ConsumerRecord<String, String>> poll(Consumer<String, String> c, int count) {
        List<ConsumerRecord<String, String>> got = new ArrayList<>();
        for (long end = System.nanoTime() + 10_000_000_000L; got.size() < count && System.nanoTime() < end;) c.poll(500).forEach(got::add);
        return got;
    }

    static List<Long> offsets(List<ConsumerRecord<String, String>> records) { return records.stream().map(ConsumerRecord::offset).toList(); }

    static void await(String what, int seconds, Callable<Boolean> condition) throws Exception {
        for (long end = System.nanoTime() + seconds * 1_000_000_000L; !condition.call(); Thread.sleep(100))
            if (System.nanoTime() > end) throw new AssertionError("no " + what + " within " + seconds + " s: " + log);
    }

    static final StringBuffer log = new StringBuffer(); // what the members of the group went through

    public static void main(String[] args) throws Exception {
        version = args[0];
        if (args.length > 1) {
            consume(args[1], args[2], args[3]);
            System.exit(0);
        }
        DISConfig config = new DISConfig();
        properties("").forEach((k, v) -> config.set(k.toString(), v.toString()));
        dis = new DISClient(config);
        if (version.equals("1.2.17")) single(); // in later versions these calls fail inside the client
        String[] n = names("group", "pattern");
        Thread pattern = new Thread(() -> check("pattern", () -> pattern(n[1])));
        pattern.start();
        check("missing stream", () -> {
            Properties p = properties(names("missing")[0]);
            var c = consumer(p);
            c.subscribe(List.of("nowhere"));
            try {
                c.poll(1000);
                throw new AssertionError("no exception");
            } catch (IllegalArgumentException e) {
                if (!e.getMessage().contains("nowhere")) throw e;
            }
            c.close();
        });
        group(n[0]);
        pattern.join();
        System.exit(0);
    }

    /** One consumer with partitions of its own choice. */
    static void single() {
        String stream = names("single")[0], group = stream;
        TopicPartition p0 = new TopicPartition(stream, 0), p1 = new TopicPartition(stream, 1);
        List<TopicPartition> both = List.of(p0, p1);
        makeStream(stream, 2);
        long[] between = new long[1];
        check("producer with callbacks", () -> {
            DISKafkaProducer<String, String> producer = new DISKafkaProducer<>(properties(group));
            equal(producer.partitionsFor(stream).size(), 2);
            for (int i = 0; i < 5; i++) {
                RecordMetadata m = producer.send(new ProducerRecord<>(stream, 0, "k", "sync" + i)).get();
                equal(m.partition() + " " + m.offset(), "0 " + i);
            }
            Thread.sleep(50);
            between[0] = System.currentTimeMillis();
            CountDownLatch called = new CountDownLatch(5);
            Set<Long> seen = ConcurrentHashMap.newKeySet();
            for (int i = 0; i < 5; i++)
                producer.send(new ProducerRecord<>(stream, 0, "k", "async" + i), (m, e) -> {
                    if (e == null) seen.add(m.offset());
                    called.countDown();
                });
            if (!called.await(10, TimeUnit.SECONDS)) throw new AssertionError("callbacks not called");
            equal(seen, Set.of(5L, 6L, 7L, 8L, 9L));
            for (int i = 0; i < 100; i++) producer.send(new ProducerRecord<>(stream, 1, null, "drained" + i));
            producer.close();
        });
        check("assign", () -> {
            var c = consumer(properties(group));
            c.assign(both);
            List<ConsumerRecord<String, String>> got = poll(c, 110);
            equal(got.size(), 110);
            for (TopicPartition p : both) {
                var records = got.stream().filter(r -> r.partition() == p.partition()).toList();
                equal(offsets(records), LongStream.range(0, records.size()).boxed().toList());
            }
            equal(got.stream().filter(r -> r.partition() == 1).map(ConsumerRecord::value).collect(Collectors.toSet()),
                IntStream.range(0, 100).mapToObj(i -> "drained" + i).collect(Collectors.toSet()));
            if (got.get(0).timestamp() <= 0) throw new AssertionError("no timestamp");
            equal(c.position(p1), 100L);
            c.seek(p0, 7);
            equal(offsets(poll(c, 3)), List.of(7L, 8L, 9L));
            c.seekToBeginning(List.of(p0));
            equal(c.position(p0), 0L);
            c.seekToEnd(List.of(p0));
            equal(c.position(p0), 10L);
            c.pause(List.of(p0));
            c.seek(p0, 0);
            c.seek(p1, 99);
            equal(offsets(poll(c, 1)), List.of(99L));
            c.resume(List.of(p0));
            equal(poll(c, 10).size(), 10);
            c.close();
        });
        check("offsets by time and at the ends", () -> {
            var c = consumer(properties(group));
            equal(c.beginningOffsets(both), Map.of(p0, 0L, p1, 0L));
            equal(c.endOffsets(both), Map.of(p0, 10L, p1, 100L));
            equal(c.offsetsForTimes(Map.of(p0, between[0])).get(p0).offset(), 5L);
            equal(c.offsetsForTimes(Map.of(p0, between[0] + 3_600_000)).get(p0).offset(), 10L);
            equal(c.offsetsForTimes(Map.of(p0, 1L)).get(p0).offset(), 0L); // older than the retention: it asks again
            equal(c.partitionsFor(stream).size(), 2);
            equal(c.listTopics().get(stream).size(), 2);
            c.close();
        });
        check("committed offsets", () -> {
            var c = consumer(properties(group));
            c.assign(both);
            equal(c.committed(p0), null);
            c.poll(0);
            c.commitSync(Map.of(p0, new OffsetAndMetadata(4, "note")));
            CompletableFuture<Exception> called = new CompletableFuture<>();
            c.commitAsync(Map.of(p1, new OffsetAndMetadata(98)), (o, e) -> called.complete(e));
            equal(called.get(10, TimeUnit.SECONDS), null);
            c.close();
            var again = consumer(properties(group));
            again.assign(both);
            equal(again.committed(p0), new OffsetAndMetadata(4, "note"));
            List<ConsumerRecord<String, String>> got = poll(again, 8);
            equal(offsets(got.stream().filter(r -> r.partition() == 0).toList()), List.of(4L, 5L, 6L, 7L, 8L, 9L));
            equal(offsets(got.stream().filter(r -> r.partition() == 1).toList()), List.of(98L, 99L));
            again.close();
        });
        check("reset offsets", () -> {
            for (var want : Map.of("earliest", 0L, "latest", 10L).entrySet()) {
                Properties p = properties(group + "-" + want.getKey());
                p.setProperty("auto.offset.reset", want.getKey());
                var c = consumer(p);
                c.assign(List.of(p0));
                equal(c.position(p0), want.getValue());
                c.seek(p0, 999); // beyond the end
                c.poll(500);
                equal(c.position(p0), 10L);
                c.close();
            }
            Properties none = properties(group + "-none");
            none.setProperty("auto.offset.reset", "none");
            var c = consumer(none);
            c.assign(List.of(p0));
            try {
                c.poll(500);
                throw new AssertionError("no NoOffsetForPartitionException");
            } catch (RuntimeException e) {
                if (!e.getClass().getSimpleName().equals("NoOffsetForPartitionException")) throw e;
            }
            c.close();
        });
    }

    /** Streams that match, also those that come later. */
    static void pattern(String prefix) throws Exception {
        makeStream(prefix + "-1", 1);
        DISKafkaProducer<String, String> producer = new DISKafkaProducer<>(properties(prefix));
        producer.send(new ProducerRecord<>(prefix + "-1", "k", "first")).get();
        var c = consumer(properties(prefix));
        c.subscribe(Pattern.compile(prefix + "-\\d"), new ConsumerRebalanceListener() {
            public void onPartitionsAssigned(Collection<TopicPartition> partitions) { }
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) { }
        });
        equal(poll(c, 1).stream().map(r -> r.topic() + r.value()).toList(), List.of(prefix + "-1first"));
        makeStream(prefix + "-2", 1);
        producer.send(new ProducerRecord<>(prefix + "-2", "k", "second")).get();
        List<String> got = new ArrayList<>();
        await("stream that came later", 60, () -> {
            c.poll(1000).forEach(r -> got.add(r.topic() + r.value()));
            c.commitSync();
            return got.contains(prefix + "-2second");
        });
        c.unsubscribe();
        c.close();
        producer.close();
    }

    /** A member of the group, in a process of its own: tells what it reads and is told to leave by the end of its input. */
    static void consume(String stream, String group, String id) throws Exception {
        Properties p = properties(group);
        p.setProperty("client.id", id);
        var c = consumer(p);
        c.subscribe(List.of(stream), new ConsumerRebalanceListener() {
            public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                System.out.println("assigned " + partitions.stream().map(t -> "" + t.partition()).sorted().collect(Collectors.joining(" ")));
            }
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) { System.out.println("revoked"); }
        });
        CompletableFuture<Integer> leave = CompletableFuture.supplyAsync(() -> {
            try {
                return System.in.read();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
        while (!leave.isDone()) {
            Map<Integer, List<Long>> read = new TreeMap<>();
            for (var r : c.poll(500)) read.computeIfAbsent(r.partition(), x -> new ArrayList<>()).add(r.offset());
            read.forEach((partition, offsets) -> System.out.println("read " + partition + offsets.stream().map(o -> " " + o).collect(Collectors.joining())));
            c.commitSync();
        }
        c.unsubscribe();
        c.close();
        System.out.println("left");
    }

    /** What the members read, to find what is lost or read twice for no reason. */
    static class Ledger {
        final Map<Integer, Long> next = new TreeMap<>(), batch = new TreeMap<>(); // of a partition: the next record, the first one of the last batch
        final Set<String> reading = new HashSet<>(); // member and partition, since the member's last assignment
        final List<String> wrong = new ArrayList<>();
        int twice;

        synchronized boolean reads(Member m) { return m.partitions.stream().allMatch(p -> reading.contains(m.id + " " + p)); }

        synchronized void assigned(String member) { reading.removeIf(r -> r.startsWith(member + " ")); }

        synchronized void read(String member, int partition, long[] offsets) {
            long want = next.getOrDefault(partition, 0L), first = offsets[0];
            boolean fresh = reading.add(member + " " + partition);
            // After an assignment it may begin with what was read, but perhaps not committed, before.
            if (first > want || first < (fresh ? batch.getOrDefault(partition, 0L) : want))
                wrong.add(member + " reads partition " + partition + " from " + first + ", expected " + want + (fresh ? " or from " + batch.get(partition) : ""));
            for (int i = 1; i < offsets.length; i++)
                if (offsets[i] != offsets[i - 1] + 1) wrong.add("gap in partition " + partition + " after " + offsets[i - 1]);
            twice += (int) Math.max(0, want - first);
            batch.put(partition, first);
            next.put(partition, Math.max(want, offsets[offsets.length - 1] + 1));
        }
    }

    static class Member {
        final String id;
        final Process process;
        volatile Set<Integer> partitions = Set.of();
        volatile boolean left;

        Member(String id, String stream, String group, Ledger ledger) throws IOException {
            this.id = id;
            process = new ProcessBuilder(ProcessHandle.current().info().command().get(), "-XX:+UseSerialGC", "-Xmx128m",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "-cp", System.getProperty("java.class.path"), "Main", version, stream, group, id)
                .redirectError(ProcessBuilder.Redirect.INHERIT).start();
            Runtime.getRuntime().addShutdownHook(new Thread(process::destroyForcibly));
            Thread reader = new Thread(() -> process.inputReader().lines().forEach(line -> {
                String[] words = line.split(" ");
                switch (words[0]) {
                    case "assigned" -> {
                        ledger.assigned(id);
                        partitions = Arrays.stream(words).skip(1).map(Integer::valueOf).collect(Collectors.toCollection(TreeSet::new));
                    }
                    case "revoked" -> partitions = Set.of();
                    case "left" -> left = true;
                    case "read" -> {
                        ledger.read(id, Integer.parseInt(words[1]), Arrays.stream(words).skip(2).mapToLong(Long::parseLong).toArray());
                        return;
                    }
                }
                log.append(id + ": " + line + "; ");
            }));
            reader.setDaemon(true);
            reader.start();
        }
    }

    /**
     * Whether the members have n partitions, all of them, each one once, in fair shares, and read them. Until then the
     * client must be left in peace: it loses its positions when the next round comes while it looks up those of this one.
     */
    static boolean share(int n, Ledger ledger, Member... members) {
        Set<Integer> all = new TreeSet<>();
        for (Member m : members) {
            if (m.partitions.size() != n / members.length || !ledger.reads(m)) return false;
            all.addAll(m.partitions);
        }
        return all.size() == n;
    }

    static void group(String stream) throws Exception {
        Ledger ledger = new Ledger();
        makeStream(stream, 2);
        DISKafkaProducer<String, String> producer = new DISKafkaProducer<>(properties(stream));
        Map<Integer, Long> sent = new ConcurrentHashMap<>(); // records in a partition, as the callbacks say
        Set<Exception> failed = ConcurrentHashMap.newKeySet();
        Thread traffic = new Thread(() -> {
            for (int i = 0; !Thread.interrupted(); i++) {
                producer.send(new ProducerRecord<>(stream, "key" + i, "value" + i), (m, e) -> {
                    if (e == null) sent.merge(m.partition(), m.offset() + 1, Math::max);
                    else failed.add(e);
                });
                try {
                    Thread.sleep(10);
                } catch (InterruptedException e) {
                    return;
                }
            }
        });
        traffic.start();
        Member[] m = new Member[3];
        check("a member alone has all partitions", () -> {
            m[0] = new Member("a", stream, stream, ledger);
            await("assignment", 20, () -> share(2, ledger, m[0]));
        });
        check("a second member gets half of them", () -> {
            m[1] = new Member("b", stream, stream, ledger);
            await("shares", 40, () -> share(2, ledger, m[0], m[1]));
        });
        check("new partitions are handed out", () -> {
            UpdatePartitionCountRequest r = new UpdatePartitionCountRequest();
            r.setStreamName(stream);
            r.setTargetPartitionCount(4);
            dis.updatePartitionCount(r);
            await("shares", 60, () -> share(4, ledger, m[0], m[1]));
        });
        check("the partitions of a killed member go to the other", () -> {
            m[1].process.destroyForcibly().waitFor();
            await("assignment", 100, () -> share(4, ledger, m[0]));
        });
        check("a member that joins gets half of them", () -> {
            m[2] = new Member("c", stream, stream, ledger);
            await("shares", 40, () -> share(4, ledger, m[0], m[2]));
        });
        check("the partitions of a member that leaves go to the other", () -> {
            m[0].process.getOutputStream().close();
            await("assignment", 40, () -> m[0].left && share(4, ledger, m[2]));
        });
        check("no record is lost, or read twice without need", () -> {
            traffic.interrupt();
            traffic.join();
            producer.close();
            equal(failed, Set.of());
            await("last record", 20, () -> ledger.next.equals(sent));
            equal(ledger.wrong, List.of());
            if (sent.size() != 4 || ledger.twice > sent.values().stream().mapToLong(n -> n).sum() / 10)
                throw new AssertionError(sent + ", twice: " + ledger.twice);
        });
        m[2].process.getOutputStream().close();
    }
}
