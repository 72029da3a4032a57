import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;
import java.util.StringJoiner;
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

    public static void main(String[] arguments) throws Exception {
        List<String> topics = List.of(arguments).subList(2, arguments.length);
        dump(arguments[0], arguments[1], topics, "", System.out);
        System.out.flush();
    }

    /** Prints the records of some topics, each line with a prefix. */
    static void dump(String bootstrapServers, String isolation, List<String> topics, String prefix, PrintStream to)
            throws Exception {
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
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties)) {
            for (String topic : topics) {
                List<Integer> partitions = new ArrayList<>();
                for (PartitionInfo partition : consumer.partitionsFor(topic)) {
                    partitions.add(partition.partition());
                }
                if (partitions.isEmpty()) {
                    throw new IllegalArgumentException("there is no topic " + topic);
                }
                partitions.sort(null);
                for (int partition : partitions) {
                    dump(consumer, new TopicPartition(topic, partition), prefix, to);
                }
            }
        }
    }

    private static void dump(
            KafkaConsumer<byte[], byte[]> consumer, TopicPartition partition, String prefix, PrintStream to)
            throws Exception {
        StringBuilder out = new StringBuilder();
        consumer.assign(List.of(partition));
        consumer.seekToBeginning(List.of(partition));
        long end = consumer.endOffsets(List.of(partition)).get(partition);
        long position = consumer.position(partition);
        long deadline = System.currentTimeMillis() + PATIENCE_MS;
        while (position < end) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                if (record.offset() < end) {
                    print(record, out.append(prefix));
                }
            }
            to.print(out);
            out.setLength(0);
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
