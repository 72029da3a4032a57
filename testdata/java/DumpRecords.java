import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;
import java.util.StringJoiner;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Prints every record of some topics as the Java consumer sees it, partition by partition, from the log start offset to
 * the end offset found at the start, then exits.
 *
 * <pre>DumpRecords BOOTSTRAP_SERVERS read_committed|read_uncommitted TOPIC…</pre>
 *
 * One line per record, separated by tabs: topic, partition, offset, timestamp, timestamp type, key, headers, value.
 * Bytes are printed as "…" with everything but harmless ASCII as %XX, or as sha256:DIGEST/LENGTH when they are long; null
 * is null. Headers are name=value pairs in their order, separated by commas.
 */
public final class DumpRecords {
    /** Longer keys and values are shown by their digest. */
    private static final int BYTES_SHOWN_MAX = 200;
    /** Without a single record or step forward for this long, the dump fails. */
    private static final long PATIENCE_MS = 30_000;
    private static final int BUFFER_CHARACTERS = 1 << 20;

    public static void main(String[] arguments) throws Exception {
        List<String> topics = List.of(arguments).subList(2, arguments.length);
        dump(arguments[0], arguments[1], topics, "", System.out);
        System.out.flush();
    }

    /** Prints the records of some topics, each line with a prefix. */
    static void dump(String bootstrapServers, String isolation, List<String> topics, String prefix, PrintStream to)
            throws Exception {
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties(bootstrapServers, isolation))) {
            for (String topic : topics) {
                for (int partition : partitions(consumer, topic)) {
                    dump(consumer, new TopicPartition(topic, partition), prefix, to);
                }
            }
        }
    }

    private static Properties properties(String bootstrapServers, String isolation) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrapServers);
        properties.put("isolation.level", isolation);
        // A topic that does not exist is asked for again and again for this long.
        properties.put("default.api.timeout.ms", "10000");
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "none");
        properties.put("fetch.max.wait.ms", "50");
        properties.put("max.partition.fetch.bytes", "8388608");
        properties.put("key.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("value.deserializer", ByteArrayDeserializer.class.getName());
        return properties;
    }

    private static List<Integer> partitions(KafkaConsumer<byte[], byte[]> consumer, String topic) {
        List<Integer> partitions = new ArrayList<>();
        for (PartitionInfo partition : consumer.partitionsFor(topic)) {
            partitions.add(partition.partition());
        }
        if (partitions.isEmpty()) {
            throw new IllegalArgumentException("there is no topic " + topic);
        }
        partitions.sort(null);
        return partitions;
    }

    private static void dump(
            KafkaConsumer<byte[], byte[]> consumer, TopicPartition partition, String prefix, PrintStream to)
            throws Exception {
        StringBuilder out = new StringBuilder();
        read(consumer, partition, record -> {
            print(record, out.append(prefix));
            if (out.length() > BUFFER_CHARACTERS) {
                to.print(out);
                out.setLength(0);
            }
        });
        to.print(out);
    }

    /**
     * Prints one line for each partition of a topic, each with a prefix: partition, the number of committed records, and a
     * digest of their timestamps, keys, headers and values in their order, whatever their offsets are.
     */
    static void digest(String bootstrapServers, String topic, String prefix, PrintStream to) throws Exception {
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties(bootstrapServers, "read_committed"))) {
            for (int partition : partitions(consumer, topic)) {
                MessageDigest digest = MessageDigest.getInstance("SHA-256");
                AtomicLong records = new AtomicLong();
                read(consumer, new TopicPartition(topic, partition), record -> {
                    records.incrementAndGet();
                    digest.update(ByteBuffer.allocate(Long.BYTES).putLong(record.timestamp()).array());
                    update(digest, record.key());
                    for (Header header : record.headers()) {
                        update(digest, header.key().getBytes(StandardCharsets.UTF_8));
                        update(digest, header.value());
                    }
                    update(digest, record.value());
                });
                to.println(prefix + partition + "\t" + records + "\t" + HexFormat.of().formatHex(digest.digest()));
            }
        }
    }

    /** The length before the bytes keeps what two neighbours hold apart. */
    private static void update(MessageDigest digest, byte[] bytes) {
        digest.update(ByteBuffer.allocate(Integer.BYTES).putInt(bytes == null ? -1 : bytes.length).array());
        if (bytes != null) {
            digest.update(bytes);
        }
    }

    /** Reads a partition up to the end offset of now. */
    private static void read(KafkaConsumer<byte[], byte[]> consumer, TopicPartition partition, Visitor visitor)
            throws Exception {
        consumer.assign(List.of(partition));
        consumer.seekToBeginning(List.of(partition));
        long end = consumer.endOffsets(List.of(partition)).get(partition);
        long position = consumer.position(partition);
        long deadline = System.currentTimeMillis() + PATIENCE_MS;
        while (position < end) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                if (record.offset() < end) {
                    visitor.visit(record);
                }
            }
            // Markers, aborted records and cleaned offsets move the position without a record.
            long next = consumer.position(partition);
            if (next > position) {
                deadline = System.currentTimeMillis() + PATIENCE_MS;
            } else if (System.currentTimeMillis() > deadline) {
                throw new IllegalStateException(partition + " stands still at " + next + ", its end is " + end);
            }
            position = next;
        }
    }

    private interface Visitor {
        void visit(ConsumerRecord<byte[], byte[]> record) throws Exception;
    }

    static void print(ConsumerRecord<byte[], byte[]> record, StringBuilder out) throws Exception {
        StringJoiner headers = new StringJoiner(",");
        for (Header header : record.headers()) {
            headers.add(show(header.key().getBytes(StandardCharsets.UTF_8)) + "=" + show(header.value()));
        }
        out.append(record.topic()).append('\t').append(record.partition()).append('\t').append(record.offset());
        out.append('\t').append(record.timestamp()).append('\t').append(record.timestampType());
        out.append('\t').append(show(record.key())).append('\t').append(headers);
        out.append('\t').append(show(record.value())).append('\n');
    }

    private static String show(byte[] bytes) throws Exception {
        if (bytes == null) {
            return "null";
        }
        if (bytes.length > BYTES_SHOWN_MAX) {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(bytes);
            return "sha256:" + HexFormat.of().formatHex(digest, 0, 16) + "/" + bytes.length;
        }
        StringBuilder text = new StringBuilder("\"");
        for (byte b : bytes) {
            if (b > ' ' && b < 127 && b != '%' && b != '"' && b != ',' && b != '=') {
                text.append((char) b);
            } else {
                text.append(String.format("%%%02X", b));
            }
        }
        return text.append('"').toString();
    }
}
