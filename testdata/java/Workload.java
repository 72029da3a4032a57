import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Writes records with the Java producer, the same ones every time for the same options.
 *
 * <pre>Workload BOOTSTRAP_SERVERS [together] &lt; SCRIPT</pre>
 *
 * Each line of the script is one workload: options name=value, separated by spaces. They are named and explained in
 * crates/kmirror-testkit/src/workload.rs, which writes these lines. Prints one line per workload when it is done: topic,
 * records, bytes on the wire, mean bytes of a batch, separated by tabs.
 *
 * With "together" an empty line ends the script. Then all workloads run at the same time, and stop early, though never in the
 * middle of a transaction, when the input ends.
 */
public final class Workload {
    private static final long LEADER_PATIENCE_MS = 30_000;

    private final Map<String, String> options = new HashMap<>();
    private final Map<String, String> topicConfigs = new HashMap<>();
    private final Map<String, String> producerConfigs = new HashMap<>();

    /** Set when the input of workloads that run together has ended. */
    private static volatile boolean stopping = false;

    public static void main(String[] arguments) throws Exception {
        BufferedReader script = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        if (arguments.length > 1) {
            runTogether(arguments[0], script);
            return;
        }
        for (String line = script.readLine(); line != null; line = script.readLine()) {
            if (!line.isBlank()) {
                System.out.println(new Workload(line).run(arguments[0]));
            }
        }
        System.out.flush();
    }

    private static void runTogether(String bootstrapServers, BufferedReader script) throws Exception {
        List<Future<String>> running = new ArrayList<>();
        ExecutorService threads = Executors.newCachedThreadPool();
        String line = script.readLine();
        for (; line != null && !line.isBlank(); line = script.readLine()) {
            Workload workload = new Workload(line);
            running.add(threads.submit(() -> workload.run(bootstrapServers)));
        }
        threads.shutdown();
        Thread input = new Thread(() -> awaitEnd(script));
        input.setDaemon(true);
        input.start();
        for (Future<String> workload : running) {
            System.out.println(workload.get());
        }
        System.out.flush();
    }

    private static void awaitEnd(BufferedReader script) {
        try {
            while (script.readLine() != null) {
                // Only the end counts.
            }
        } catch (IOException closed) {
            // The same as the end.
        }
        stopping = true;
    }

    Workload(String line) {
        for (String option : line.trim().split(" +")) {
            String name = option.substring(0, option.indexOf('='));
            String value = option.substring(option.indexOf('=') + 1);
            if (name.startsWith("topic.")) {
                topicConfigs.put(name.substring("topic.".length()), value);
            } else if (name.startsWith("producer.")) {
                producerConfigs.put(name.substring("producer.".length()), value);
            } else {
                options.put(name, value);
            }
        }
    }

    /** Writes the records and gives the line that is printed about them. */
    String run(String bootstrapServers) throws Exception {
        String topic = options.get("topic");
        int partitions = (int) number("partitions", 1);
        create(bootstrapServers, topic, partitions);
        long records = number("records", 0);
        return topic + "\t" + (records == 0 ? "0\t0\t0" : produce(bootstrapServers, topic, partitions, records));
    }

    private void create(String bootstrapServers, String topic, int partitions) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrapServers))) {
            NewTopic created = new NewTopic(topic, partitions, (short) -1).configs(topicConfigs);
            try {
                admin.createTopics(List.of(created)).all().get();
            } catch (ExecutionException failure) {
                if (!(failure.getCause() instanceof TopicExistsException)) {
                    throw failure;
                }
            }
            awaitLeaders(admin, topic, partitions);
        }
    }

    /**
     * Waits until every leader answers for its partition.
     *
     * A producer that comes earlier may see its first batch refused and its second accepted, since a leader takes any
     * sequence from a producer it does not know. The first is then out of order for ever.
     */
    private static void awaitLeaders(Admin admin, String topic, int partitions) throws Exception {
        Map<TopicPartition, OffsetSpec> ends = new HashMap<>();
        for (int partition = 0; partition < partitions; partition++) {
            ends.put(new TopicPartition(topic, partition), OffsetSpec.latest());
        }
        long deadline = System.currentTimeMillis() + LEADER_PATIENCE_MS;
        while (true) {
            try {
                admin.listOffsets(ends).all().get();
                return;
            } catch (ExecutionException failure) {
                if (System.currentTimeMillis() > deadline) {
                    throw failure;
                }
                Thread.sleep(50);
            }
        }
    }

    private String produce(String bootstrapServers, String topic, int partitions, long records) throws Exception {
        long transactionRecords = number("transaction_records", 0);
        long abortEvery = number("abort_every", 0);
        long recordsPerSecond = number("records_per_second", 0);
        long fixedPartition = number("partition", -1);
        long partitionRun = number("partition_run", 1);
        AtomicReference<Exception> failure = new AtomicReference<>();
        AtomicLong transactions = new AtomicLong();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties(bootstrapServers))) {
            if (transactionRecords > 0) {
                producer.initTransactions();
            }
            Content content = new Content();
            List<Future<?>> pending = new ArrayList<>();
            long began = System.nanoTime();
            long first = number("first", 0);
            long sent = 0;
            for (long i = first; i < first + records && failure.get() == null; i++) {
                long done = i - first;
                if (stopping && (transactionRecords == 0 || done % transactionRecords == 0)) {
                    break;
                }
                sent = done + 1;
                if (transactionRecords > 0 && done % transactionRecords == 0) {
                    producer.beginTransaction();
                }
                int partition = (int) (fixedPartition >= 0 ? fixedPartition : i / partitionRun % partitions);
                pending.add(producer.send(content.record(topic, partition, i), (metadata, error) -> {
                    if (error != null && abortEvery == 0) {
                        failure.compareAndSet(null, error);
                    }
                }));
                if (transactionRecords > 0 && (done % transactionRecords == transactionRecords - 1 || done == records - 1)) {
                    end(producer, pending, abortEvery > 0 && transactions.incrementAndGet() % abortEvery == 0);
                } else if (transactionRecords == 0) {
                    pending.clear();
                }
                if (recordsPerSecond > 0) {
                    long ahead = began + (done + 1) * 1_000_000_000L / recordsPerSecond - System.nanoTime();
                    if (ahead > 0) {
                        Thread.sleep(ahead / 1_000_000, (int) (ahead % 1_000_000));
                    }
                }
            }
            producer.flush();
            if (failure.get() != null) {
                throw failure.get();
            }
            long bytes = metric(producer, "producer-topic-metrics", "byte-total");
            return sent + "\t" + bytes + "\t" + metric(producer, "producer-metrics", "batch-size-avg");
        }
    }

    private static long metric(KafkaProducer<byte[], byte[]> producer, String group, String name) {
        return (long) producer.metrics().entrySet().stream()
                .filter(metric -> metric.getKey().group().equals(group) && metric.getKey().name().equals(name))
                .mapToDouble(metric -> (Double) metric.getValue().metricValue()).sum();
    }

    /** Waits for the records before an abort: one that has not left the producer would leave no trace in the log. */
    private static void end(KafkaProducer<byte[], byte[]> producer, List<Future<?>> pending, boolean abort)
            throws Exception {
        if (abort) {
            producer.flush();
            for (Future<?> future : pending) {
                future.get();
            }
            producer.abortTransaction();
        } else {
            producer.commitTransaction();
        }
        pending.clear();
    }

    private Properties properties(String bootstrapServers) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrapServers);
        properties.put("compression.type", options.getOrDefault("codec", "none"));
        properties.put("batch.size", options.getOrDefault("batch_bytes", "16384"));
        properties.put("linger.ms", options.getOrDefault("linger_ms", "5"));
        properties.put("max.request.size", "16777216");
        properties.put("key.serializer", ByteArraySerializer.class.getName());
        properties.put("value.serializer", ByteArraySerializer.class.getName());
        if (number("transaction_records", 0) > 0) {
            properties.put("transactional.id", options.getOrDefault("transactional_id", options.get("topic")));
        }
        properties.putAll(producerConfigs);
        return properties;
    }

    private long number(String name, long otherwise) {
        String value = options.get(name);
        return value == null ? otherwise : Long.parseLong(value);
    }

    /** What the records hold: a function of the options and the index of the record alone. */
    private final class Content {
        private final long seed = number("seed", 1);
        private final long keys = number("keys", 0);
        private final long keySkew = number("key_skew", 1);
        private final long nullKeyEvery = number("null_key_every", 0);
        private final long tombstoneEvery = number("tombstone_every", 0);
        private final long loneKeyEvery = number("lone_key_every", 0);
        private final int valueBytesMin = (int) number("value_bytes_min", 100);
        private final int valueBytesMax = (int) number("value_bytes_max", 100);
        private final boolean json = options.getOrDefault("values", "random").equals("json");
        private final boolean headers = number("headers", 0) > 0;
        private final long timestamp = number("timestamp", -1);
        private final long timestampStep = number("timestamp_step_ms", 1);
        private final long ageMs = number("age_ms", 0);

        ProducerRecord<byte[], byte[]> record(String topic, int partition, long index) {
            SplittableRandom random = new SplittableRandom(seed * 0x9E3779B97F4A7C15L + index);
            if (loneKeyEvery > 0) {
                boolean lone = random.nextLong(loneKeyEvery) == 0;
                byte[] key = lone ? text("lone-" + index) : text("key-" + random.nextLong(Math.max(1, keys)));
                return new ProducerRecord<>(topic, partition, time(index), key, lone ? value(random, index) : new byte[0]);
            }
            byte[] key = key(random, index);
            byte[] value = every(tombstoneEvery, index) ? null : value(random, index);
            ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic, partition, time(index), key, value);
            if (headers) {
                addHeaders(record.headers(), random, index);
            }
            return record;
        }

        private long time(long index) {
            return timestamp < 0 ? System.currentTimeMillis() - ageMs : timestamp + index * timestampStep;
        }

        private byte[] key(SplittableRandom random, long index) {
            double choice = Math.pow(random.nextDouble(), keySkew);
            if (keys == 0 || every(nullKeyEvery, index)) {
                return null;
            }
            return text("key-" + (long) (choice * keys));
        }

        private byte[] value(SplittableRandom random, long index) {
            int size = random.nextInt(valueBytesMin, valueBytesMax + 1);
            return json ? jsonValue(random, index, size) : randomValue(random, size);
        }

        private byte[] randomValue(SplittableRandom random, int size) {
            byte[] value = new byte[size];
            random.nextBytes(value);
            return value;
        }

        /** Like a service's log: field names repeat, half of the contents does not; lz4 makes it about half as long. */
        private byte[] jsonValue(SplittableRandom random, long index, int size) {
            StringBuilder json = new StringBuilder(size + 64);
            json.append("{\"index\":").append(index);
            while (json.length() < size - 1) {
                String field = FIELDS[random.nextInt(FIELDS.length)];
                json.append(",\"").append(field).append("\":");
                switch (random.nextInt(3)) {
                    case 0 -> json.append('"').append(WORDS[random.nextInt(WORDS.length)]).append('"');
                    case 1 -> json.append(random.nextInt(1_000_000));
                    default -> json.append('"').append(Long.toHexString(random.nextLong())).append('"');
                }
            }
            json.setLength(Math.max(0, size - 1));
            return text(json.append('}').toString());
        }

        /** The headers that replicators lose: a repeated key, a null, an empty value, an empty key, bytes that are no text. */
        private void addHeaders(Headers to, SplittableRandom random, long index) {
            switch ((int) (index % 4)) {
                case 0 -> to.add("trace", text("id-" + index)).add("trace", text("again")).add("trace", null);
                case 1 -> to.add("empty", new byte[0]).add("", text("key is empty")).add("null", null);
                case 2 -> to.add("bytes", new byte[] {(byte) 0xC3, 0x28, 0, (byte) 0xFF}).add("gr\u00f6\u00dfe", randomValue(random, 9));
                default -> { }
            }
        }

        private boolean every(long n, long index) {
            return n > 0 && index % n == n - 1;
        }

        private byte[] text(String text) {
            return text.getBytes(StandardCharsets.UTF_8);
        }
    }

    private static final String[] FIELDS = {"service", "level", "request_id", "user", "duration_us", "status", "region",
        "path", "trace", "bytes_sent", "host", "attempt", "cache", "tenant", "session", "query"};
    private static final String[] WORDS = {"checkout", "information", "warning", "eu-central-1", "us-east-2", "GET", "POST",
        "/api/v2/orders", "/api/v2/payments/confirm", "hit", "miss", "completed", "timeout while calling upstream", "retry"};
}
