import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.connect.mirror.RemoteClusterUtils;

/**
 * What a test does with a cluster by Java's own clients, one command after the other in one process: starting Java for each
 * would take longer than the command.
 *
 * <pre>Shell BOOTSTRAP_SERVERS</pre>
 *
 * A command is a line of words separated by tabs; crates/kmirror-testkit/src/shell.rs writes them. The answer is any number of
 * lines that begin with "|", then one line "ok" or "error" and why.
 */
public final class Shell {
    private static final Duration PATIENCE = Duration.ofSeconds(30);

    private final String bootstrapServers;
    private final Admin admin;
    private final PrintStream out;

    public static void main(String[] arguments) throws Exception {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        // What does not exist is asked for again and again for this long.
        properties.put("default.api.timeout.ms", "10000");
        properties.put("request.timeout.ms", "10000");
        try (Admin admin = Admin.create(properties)) {
            Shell shell = new Shell(arguments[0], admin);
            for (String line = commands.readLine(); line != null; line = commands.readLine()) {
                shell.answer(line);
            }
        }
    }

    private Shell(String bootstrapServers, Admin admin) {
        this.bootstrapServers = bootstrapServers;
        this.admin = admin;
        this.out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);
    }

    private void answer(String line) {
        try {
            run(List.of(line.split("\t")));
            out.println("ok");
        } catch (Exception failure) {
            out.println("error " + String.valueOf(failure).replace('\n', ' '));
        }
        out.flush();
    }

    private void run(List<String> words) throws Exception {
        switch (words.get(0)) {
            case "workload" -> out.println("|" + new Workload(words.get(1)).run(bootstrapServers));
            case "dump" -> DumpRecords.dump(bootstrapServers, words.get(1), words.subList(2, words.size()), "|", out);
            case "digest" -> DumpRecords.digest(bootstrapServers, words.get(1), "|", out);
            case "delete-topic" -> deleteTopic(words.get(1));
            case "delete-records" -> admin.deleteRecords(Map.of(
                    partition(words, 1), RecordsToDelete.beforeOffset(Long.parseLong(words.get(3))))).all().get();
            case "add-partitions" -> admin.createPartitions(Map.of(
                    words.get(1), NewPartitions.increaseTo(Integer.parseInt(words.get(2))))).all().get();
            case "alter-topic" -> alterTopic(words.get(1), words.subList(2, words.size()));
            case "offset" -> offset(partition(words, 1), words.get(3));
            case "describe" -> describe(words.get(1));
            case "reassign" -> reassign(partition(words, 1), words.subList(3, words.size()));
            case "set-group-offset" -> admin.alterConsumerGroupOffsets(words.get(1), Map.of(
                    partition(words, 2), new OffsetAndMetadata(Long.parseLong(words.get(4))))).all().get();
            case "group-offsets" -> groupOffsets(words.get(1));
            case "delete-group-offset" -> admin.deleteConsumerGroupOffsets(words.get(1), Set.of(partition(words, 2))).all().get();
            case "delete-group" -> admin.deleteConsumerGroups(List.of(words.get(1))).all().get();
            case "add-acl" -> admin.createAcls(List.of(acl(words))).all().get();
            case "remove-acl" -> admin.deleteAcls(List.of(acl(words).toFilter())).all().get();
            case "acls" -> acls();
            case "topics" -> topics(words.subList(1, words.size()));
            case "translate-offsets" -> translateOffsets(words.get(1), words.get(2), words.get(3));
            case "upstream" -> upstream(words.get(1));
            case "consume" -> consume(words.get(1), words.get(2), Integer.parseInt(words.get(3)), words.get(4));
            default -> throw new IllegalArgumentException("unknown command " + words.get(0));
        }
    }

    private static TopicPartition partition(List<String> words, int at) {
        return new TopicPartition(words.get(at), Integer.parseInt(words.get(at + 1)));
    }

    /** Waits until it is gone: a topic of the same name cannot be created before. */
    private void deleteTopic(String topic) throws Exception {
        admin.deleteTopics(List.of(topic)).all().get();
        await(topic + " is still there", () -> !admin.listTopics().names().get().contains(topic));
    }

    private void alterTopic(String topic, List<String> settings) throws Exception {
        List<AlterConfigOp> changes = new ArrayList<>();
        for (String setting : settings) {
            int equals = setting.indexOf('=');
            ConfigEntry entry = new ConfigEntry(setting.substring(0, equals), setting.substring(equals + 1));
            changes.add(new AlterConfigOp(entry, AlterConfigOp.OpType.SET));
        }
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        admin.incrementalAlterConfigs(Map.of(resource, changes)).all().get();
        // The broker applies it when it has read the metadata log so far, a moment after the controller has answered.
        await("the configuration of " + topic + " is not in force", () -> {
            var config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
            return changes.stream().allMatch(change ->
                    change.configEntry().value().equals(config.get(change.configEntry().name()).value()));
        });
    }

    private void offset(TopicPartition partition, String spec) throws Exception {
        OffsetSpec wanted = switch (spec) {
            case "earliest" -> OffsetSpec.earliest();
            case "latest" -> OffsetSpec.latest();
            default -> OffsetSpec.forTimestamp(Long.parseLong(spec));
        };
        ListOffsetsResultInfo found = admin.listOffsets(Map.of(partition, wanted)).partitionResult(partition).get();
        out.println("|" + found.offset());
    }

    /** One line per partition: leader, replicas, in-sync replicas. */
    private void describe(String topic) throws Exception {
        for (TopicPartitionInfo info : admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions()) {
            StringBuilder line = new StringBuilder("|" + info.partition() + "\t");
            line.append(info.leader() == null ? -1 : info.leader().id()).append('\t');
            info.replicas().forEach(node -> line.append(node.id()).append(' '));
            line.append('\t');
            info.isr().forEach(node -> line.append(node.id()).append(' '));
            out.println(line);
        }
    }

    private void reassign(TopicPartition partition, List<String> replicas) throws Exception {
        NewPartitionReassignment reassignment =
                new NewPartitionReassignment(replicas.stream().map(Integer::parseInt).toList());
        admin.alterPartitionReassignments(Map.of(partition, java.util.Optional.of(reassignment))).all().get();
        await(partition + " is still being moved", () ->
                admin.listPartitionReassignments(Set.of(partition)).reassignments().get().isEmpty());
    }

    private void groupOffsets(String group) throws Exception {
        Map<String, Long> lines = new TreeMap<>();
        admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().forEach((partition, offset) ->
                lines.put(partition.topic() + "\t" + partition.partition(), offset.offset()));
        lines.forEach((partition, offset) -> out.println("|" + partition + "\t" + offset));
    }

    private static AclBinding acl(List<String> words) {
        ResourcePattern pattern = new ResourcePattern(
                ResourceType.valueOf(words.get(3)), words.get(5), PatternType.valueOf(words.get(4)));
        return new AclBinding(pattern, new AccessControlEntry(
                words.get(6), words.get(7), AclOperation.valueOf(words.get(2)), AclPermissionType.valueOf(words.get(1))));
    }

    /** All access control entries, in the words by which one is added. */
    private void acls() throws Exception {
        Set<String> lines = new TreeSet<>();
        for (AclBinding acl : admin.describeAcls(AclBindingFilter.ANY).values().get()) {
            lines.add(String.join(" ", acl.entry().permissionType().name(), acl.entry().operation().name(),
                    acl.pattern().resourceType().name(), acl.pattern().patternType().name(), acl.pattern().name(),
                    acl.entry().principal(), acl.entry().host()));
        }
        lines.forEach(line -> out.println("|" + line));
    }

    /** One line per topic: how many partitions it has, and what is set on it. */
    private void topics(List<String> topics) throws Exception {
        Map<String, TopicDescription> described = admin.describeTopics(topics).allTopicNames().get();
        List<ConfigResource> resources = new ArrayList<>();
        topics.forEach(topic -> resources.add(new ConfigResource(ConfigResource.Type.TOPIC, topic)));
        Map<ConfigResource, Config> configs = admin.describeConfigs(resources).all().get();
        for (ConfigResource resource : resources) {
            Set<String> set = new TreeSet<>();
            for (ConfigEntry entry : configs.get(resource).entries()) {
                if (entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG) {
                    set.add(entry.name() + "=" + entry.value());
                }
            }
            int partitions = described.get(resource.name()).partitions().size();
            out.println("|" + resource.name() + "\t" + partitions + "\t" + String.join(" ", set));
        }
    }

    /** What MirrorMaker's own reader makes of the checkpoints on this cluster. */
    private void translateOffsets(String separator, String alias, String group) throws Exception {
        Map<String, Long> lines = new TreeMap<>();
        RemoteClusterUtils.translateOffsets(mirrorClient(separator), alias, group, PATIENCE)
                .forEach((partition, offset) -> lines.put(partition.topic() + "\t" + partition.partition(), offset.offset()));
        lines.forEach((partition, offset) -> out.println("|" + partition + "\t" + offset));
    }

    /** The clusters that are upstream of this one by its heartbeats, and how far each is. */
    private void upstream(String separator) throws Exception {
        Map<String, Object> properties = mirrorClient(separator);
        for (String alias : RemoteClusterUtils.upstreamClusters(properties)) {
            out.println("|" + alias + "\t" + RemoteClusterUtils.replicationHops(properties, alias));
        }
    }

    private Map<String, Object> mirrorClient(String separator) {
        return Map.of("bootstrap.servers", bootstrapServers, "replication.policy.separator", separator);
    }

    /** Reads records of a topic as a member of a group, from where the group stands, and commits behind the last of them. */
    private void consume(String group, String topic, int count, String protocol) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrapServers);
        properties.put("group.id", group);
        properties.put("group.protocol", protocol);
        properties.put("isolation.level", "read_committed");
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "earliest");
        properties.put("max.poll.records", "50");
        properties.put("key.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("value.deserializer", ByteArrayDeserializer.class.getName());
        Map<TopicPartition, OffsetAndMetadata> positions = new HashMap<>();
        int read = 0;
        long deadline = System.currentTimeMillis() + PATIENCE.toMillis();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties)) {
            consumer.subscribe(List.of(topic));
            while (read < count) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    if (read == count) {
                        break;
                    }
                    StringBuilder line = new StringBuilder("|");
                    DumpRecords.print(record, line);
                    out.print(line);
                    read++;
                    TopicPartition partition = new TopicPartition(record.topic(), record.partition());
                    positions.put(partition, new OffsetAndMetadata(record.offset() + 1));
                }
                if (System.currentTimeMillis() > deadline) {
                    throw new IllegalStateException("only " + read + " records came");
                }
            }
            consumer.commitSync(positions);
        }
    }

    private static void await(String otherwise, Check check) throws Exception {
        long deadline = System.currentTimeMillis() + PATIENCE.toMillis();
        while (!check.holds()) {
            if (System.currentTimeMillis() > deadline) {
                throw new IllegalStateException(otherwise);
            }
            Thread.sleep(20);
        }
    }

    private interface Check {
        boolean holds() throws Exception;
    }
}
