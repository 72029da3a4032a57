import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.zip.CRC32C;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Captures golden batches: writes topics with the Java producer and copies what the broker has in its segment files,
 * each beside the view that Kafka's own reader has of it.
 *
 *   java -cp "JARS/*" Capture.java BOOTSTRAP BROKER_LOG_DIR OUTPUT_DIR
 *
 * JARS are the jars of Apache Kafka 4.3 (4.3.1 was used), BROKER_LOG_DIR is the log.dirs of a single broker on this
 * machine that runs with log.cleaner.backoff.ms=300, so that the cleaner does not let us wait. Topics that it needs
 * must not exist yet.
 */
public final class Capture {
    private static final long TIME = 1_700_000_000_000L;

    private final String bootstrap;
    private final Path logDir;
    private final Path output;
    private final Admin admin;

    private Capture(String bootstrap, Path logDir, Path output) {
        this.bootstrap = bootstrap;
        this.logDir = logDir;
        this.output = output;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    public static void main(String[] arguments) throws Exception {
        Capture capture = new Capture(arguments[0], Path.of(arguments[1]), Path.of(arguments[2]));
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            capture.plain(codec);
            capture.blocks(codec);
        }
        capture.headers("none");
        capture.headers("zstd");
        capture.transactional("lz4");
        capture.compacted("none");
        capture.compacted("zstd");
        capture.appendTime("none");
        capture.appendTime("gzip");
        capture.admin.close();
    }

    /** Three batches of small records. */
    private void plain(String codec) throws Exception {
        String topic = topic(codec, "plain", Map.of());
        try (KafkaProducer<byte[], byte[]> producer = producer(codec, Map.of())) {
            for (int i = 0; i < 30; i++) {
                send(producer, topic, i, "key-" + i % 7, "{\"id\":" + i + ",\"name\":\"customer\"}");
                if (i % 10 == 9) producer.flush();
            }
        }
        save(codec, "plain", topic, "30 records in three batches");
    }

    /** One batch of several blocks of its codec. */
    private void blocks(String codec) throws Exception {
        if (codec.equals("none")) return;
        String topic = topic(codec, "blocks", Map.of());
        try (KafkaProducer<byte[], byte[]> producer = producer(codec, Map.of())) {
            for (int i = 0; i < 150; i++) send(producer, topic, i, "key-" + i, "customer " + i + " ".repeat(1000) + i);
        }
        save(codec, "blocks", topic, "150 records of 1000 bytes, so that the payload has several blocks");
    }

    /** Everything that a record may have or lack. */
    private void headers(String codec) throws Exception {
        String topic = topic(codec, "headers", Map.of());
        List<Header> headers = List.of(
            header("trace", "one"), header("trace", "two"), header("trace", null), header("", ""), header("empty", ""),
            header("\u00fcml\u00e4ut", "\u00df"), header("null", null));
        try (KafkaProducer<byte[], byte[]> producer = producer(codec, Map.of())) {
            producer.send(new ProducerRecord<>(topic, 0, TIME, bytes("key"), bytes("value"), headers));
            producer.send(new ProducerRecord<>(topic, 0, TIME + 500, bytes("tombstone"), null, headers));
            producer.send(new ProducerRecord<>(topic, 0, TIME - 500, null, bytes("no key")));
            producer.send(new ProducerRecord<>(topic, 0, TIME, null, (byte[]) null));
            producer.send(new ProducerRecord<>(topic, 0, 0L, bytes(""), bytes("")));
            producer.send(new ProducerRecord<>(topic, 0, TIME, new byte[] {0, -1, 34, 92}, new byte[] {-128}));
        }
        save(codec, "headers", topic, "duplicate, null and empty headers; null and empty keys and values");
    }

    /** Two transactions and the markers behind them: the first is committed, the second aborted, and so on. */
    private void transactional(String codec) throws Exception {
        String topic = topic(codec, "transactional", Map.of());
        Map<String, Object> settings = Map.of("transactional.id", topic);
        try (KafkaProducer<byte[], byte[]> producer = producer(codec, settings)) {
            producer.initTransactions();
            for (int transaction = 0; transaction < 4; transaction++) {
                producer.beginTransaction();
                for (int i = 0; i < 5; i++) send(producer, topic, i, "key-" + i, "in transaction " + transaction);
                producer.flush();
                if (transaction % 2 == 0) producer.commitTransaction(); else producer.abortTransaction();
            }
        }
        Thread.sleep(1000); // the last marker is written after the answer
        save(codec, "transactional", topic, "four transactions: commit, abort, commit, abort");
    }

    /** A log thinned by the cleaner: holes in batches, between batches, an emptied batch, delete horizons. */
    private void compacted(String codec) throws Exception {
        String topic = topic(codec, "compacted", Map.of(
            "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01", "segment.ms", "500"));
        try (KafkaProducer<byte[], byte[]> first = producer(codec, Map.of());
             KafkaProducer<byte[], byte[]> second = producer(codec, Map.of());
             KafkaProducer<byte[], byte[]> inTransaction = producer(codec, Map.of("transactional.id", topic))) {
            for (int i = 0; i < 20; i++) send(first, topic, i, "key-" + i, "first value of " + i);
            first.flush();
            for (int i = 0; i < 20; i++) send(first, topic, 20 + i, "other-" + i % 4, "value " + i);
            first.flush();
            send(first, topic, 40, "key-3", null);
            send(first, topic, 41, "kept", "between a tombstone and a hole");
            first.flush();
            for (int i = 0; i < 3; i++) send(second, topic, 50 + i, "gone-" + i, "the last batch of its producer");
            second.flush();
            inTransaction.initTransactions();
            inTransaction.beginTransaction();
            for (int i = 0; i < 5; i++) send(inTransaction, topic, 60 + i, "key-" + i * 2, "in a transaction");
            inTransaction.commitTransaction();
            for (int i = 0; i < 3; i++) send(first, topic, 70 + i, "gone-" + i, "and again");
            for (int i = 10; i < 18; i += 2) send(first, topic, 80 + i, "key-" + i, "second value of " + i);
            first.flush();
            // The cleaner leaves the active segment alone. Records with a later time, later than the broker's own on
            // the markers, begin a new one.
            for (int i = 1; i < 4; i++) {
                send(first, topic, System.currentTimeMillis() - TIME + i * 10_000, "end", "of the log");
                first.flush();
            }
        }
        for (int i = 0; !isCleaned(topic); i++) {
            if (i == 100) throw new IllegalStateException("the cleaner did not come");
            Thread.sleep(300);
        }
        save(codec, "compacted", topic, "a log that its cleaner thinned, an emptied batch and delete horizons included");
    }

    /** The broker's time on the batch, the producer's in the records. */
    private void appendTime(String codec) throws Exception {
        String topic = topic(codec, "log-append-time", Map.of("message.timestamp.type", "LogAppendTime"));
        try (KafkaProducer<byte[], byte[]> producer = producer(codec, Map.of())) {
            for (int i = 0; i < 10; i++) send(producer, topic, i * 1000, "key-" + i, "value-" + i);
        }
        save(codec, "log-append-time", topic, "message.timestamp.type=LogAppendTime");
    }

    private String topic(String codec, String name, Map<String, String> settings) throws Exception {
        String topic = "capture-" + codec + "-" + name;
        admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1).configs(settings))).all().get();
        return topic;
    }

    private KafkaProducer<byte[], byte[]> producer(String codec, Map<String, Object> more) {
        Map<String, Object> settings = new HashMap<>(more);
        settings.put("bootstrap.servers", bootstrap);
        settings.put("compression.type", codec);
        settings.put("linger.ms", 2000);
        settings.put("batch.size", 1 << 20);
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static void send(KafkaProducer<byte[], byte[]> producer, String topic, long time, String key, String value) {
        producer.send(new ProducerRecord<>(topic, 0, TIME + time, bytes(key), bytes(value)));
    }

    private static Header header(String key, String value) {
        return new RecordHeader(key, bytes(value));
    }

    private static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }

    private byte[] log(String topic) throws IOException {
        List<Path> segments = new ArrayList<>();
        try (var files = Files.list(logDir.resolve(topic + "-0"))) {
            files.filter(file -> file.toString().endsWith(".log")).sorted().forEach(segments::add);
        }
        var log = new java.io.ByteArrayOutputStream();
        for (Path segment : segments) log.write(Files.readAllBytes(segment));
        return log.toByteArray();
    }

    private boolean isCleaned(String topic) throws IOException {
        boolean sparse = false, empty = false, horizon = false;
        for (RecordBatch batch : MemoryRecords.readableRecords(ByteBuffer.wrap(log(topic))).batches()) {
            empty |= batch.countOrNull() == 0;
            sparse |= batch.countOrNull() > 0 && batch.countOrNull() <= batch.lastOffset() - batch.baseOffset();
            horizon |= batch.deleteHorizonMs().isPresent();
        }
        return sparse && empty && horizon;
    }

    private void save(String codec, String name, String topic, String what) throws Exception {
        byte[] log = log(topic);
        StringBuilder view = new StringBuilder();
        view.append("# ").append(what).append(".\n# Written by the Java producer of Kafka ")
            .append(org.apache.kafka.common.utils.AppInfoParser.getVersion())
            .append(" with compression.type=").append(codec).append(", taken from the broker's segments:\n")
            .append("# java -cp \"JARS/*\" testdata/java/Capture.java BOOTSTRAP BROKER_LOG_DIR testdata/batches\n");
        for (MutableRecordBatch batch : MemoryRecords.readableRecords(ByteBuffer.wrap(log)).batches()) append(view, batch);
        Files.write(output.resolve("java-" + codec + "-" + name + ".bin"), log);
        Files.writeString(output.resolve("java-" + codec + "-" + name + ".txt"), view.toString());
    }

    private static void append(StringBuilder view, RecordBatch batch) {
        batch.ensureValid();
        view.append(String.format(Locale.ROOT,
            "batch base_offset=%d last_offset=%d count=%d bytes=%d codec=%s timestamp_type=%s transactional=%b control=%b "
                + "delete_horizon=%s max_timestamp=%d producer_id=%d producer_epoch=%d base_sequence=%d leader_epoch=%d "
                + "crc=%08x\n",
            batch.baseOffset(), batch.lastOffset(), batch.countOrNull(), batch.sizeInBytes(),
            batch.compressionType().name, batch.timestampType().name, batch.isTransactional(), batch.isControlBatch(),
            batch.deleteHorizonMs().isPresent() ? batch.deleteHorizonMs().getAsLong() : "none", batch.maxTimestamp(),
            batch.producerId(), batch.producerEpoch(), batch.baseSequence(), batch.partitionLeaderEpoch(),
            batch.checksum()));
        for (Record record : batch) {
            view.append(String.format(Locale.ROOT, "  record offset=%d timestamp=%d key=%s value=%s",
                record.offset(), record.timestamp(), text(array(record.key())), text(array(record.value()))));
            for (Header header : record.headers())
                view.append(" header ").append(text(bytes(header.key()))).append('=').append(text(header.value()));
            view.append('\n');
            if (batch.isControlBatch()) {
                EndTransactionMarker marker = EndTransactionMarker.deserialize(record);
                view.append(String.format(Locale.ROOT, "  marker commit=%b coordinator_epoch=%d\n",
                    marker.controlType() == ControlRecordType.COMMIT, marker.coordinatorEpoch()));
            }
        }
    }

    private static byte[] array(ByteBuffer buffer) {
        if (buffer == null) return null;
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }

    /** As Rust's escape_ascii, in quotes; long ones as their length and CRC-32C. */
    private static String text(byte[] bytes) {
        if (bytes == null) return "null";
        if (bytes.length > 100) {
            CRC32C crc = new CRC32C();
            crc.update(bytes);
            return String.format(Locale.ROOT, "%d:%08x", bytes.length, crc.getValue());
        }
        StringBuilder text = new StringBuilder("\"");
        for (byte b : bytes) {
            if (b == '"' || b == '\'' || b == '\\') text.append('\\').append((char) b);
            else if (b == '\t') text.append("\\t");
            else if (b == '\r') text.append("\\r");
            else if (b == '\n') text.append("\\n");
            else if (b >= 0x20 && b < 0x7f) text.append((char) b);
            else text.append(String.format(Locale.ROOT, "\\x%02x", b & 0xff));
        }
        return text.append('"').toString();
    }
}
