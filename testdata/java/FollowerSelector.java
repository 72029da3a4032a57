import java.util.Optional;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.replica.ClientMetadata;
import org.apache.kafka.common.replica.PartitionView;
import org.apache.kafka.common.replica.ReplicaSelector;
import org.apache.kafka.common.replica.ReplicaView;

/** A {@code replica.selector.class} that sends clients named kmirror to a follower, whatever their rack: some go by name or address. */
public final class FollowerSelector implements ReplicaSelector {
    @Override
    public Optional<ReplicaView> select(TopicPartition partition, ClientMetadata client, PartitionView replicas) {
        boolean isMirror = client.clientId().startsWith("kmirror");
        return replicas.replicas().stream().filter(replica -> isMirror != replica.equals(replicas.leader())).findFirst();
    }
}
