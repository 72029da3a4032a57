//! The keys of Kafka's Java clients: which mean something here, and which do not.

/// What becomes of a key of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientKey {
    /// It is translated.
    Used,
    /// It belongs to TLS or SASL.
    Security,
    /// It has no effect, for this reason.
    NoEffect(&'static str),
}

/// What becomes of a key. `None`: no client of Kafka knows it.
pub(crate) fn client_key(name: &str) -> Option<ClientKey> {
    if USED.contains(&name) {
        return Some(ClientKey::Used);
    }
    if is_security(name) {
        return Some(ClientKey::Security);
    }
    let (_, reason) = NO_EFFECT.iter().find(|(names, _)| names.contains(&name))?;
    Some(ClientKey::NoEffect(reason))
}

/// Keys of TLS and SASL.
pub(crate) fn is_security(name: &str) -> bool {
    name == "security.protocol"
        || name == "security.providers"
        || name.starts_with("ssl.")
        || name.starts_with("sasl.")
}

/// Whether the value of a key is a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    name.ends_with("password")
        || name.ends_with("jaas.config")
        || name.ends_with("keystore.key")
        || name.ends_with("secret")
}

/// Every name that is known, for suggestions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let without_effect = NO_EFFECT.iter().flat_map(|(names, _)| names.iter().copied());
    USED.iter()
        .copied()
        .chain(["security.protocol", "sasl.mechanism", "sasl.jaas.config"])
        .chain(without_effect)
}

/// A size as Kafka's clients are told it: -1 is the operating system's choice.
pub(crate) fn socket_buffer(value: &str) -> Result<Option<usize>, String> {
    match value.parse::<i64>().map(usize::try_from) {
        Ok(Ok(bytes)) if (1..=SOCKET_BUFFER_BYTES_MAX).contains(&bytes) => Ok(Some(bytes)),
        _ if value == "-1" => Ok(None),
        _ => Err(format!("{value:?} is no size of a socket's buffer: bytes up to 1 GiB, or -1")),
    }
}

/// No operating system gives as much; numbers above it are mistakes.
pub(crate) const SOCKET_BUFFER_BYTES_MAX: usize = 1 << 30;

const USED: [&str; 9] = [
    "bootstrap.servers",
    "client.id",
    "client.rack",
    "request.timeout.ms",
    "send.buffer.bytes",
    "receive.buffer.bytes",
    "isolation.level",
    "auto.offset.reset",
    "group.id",
];

/// Why the others have none.
const NO_EFFECT: [(&[&str], &str); 7] = [
    (
        &["key.deserializer", "value.deserializer", "key.serializer", "value.serializer"],
        "batches are not decoded",
    ),
    (&["interceptor.classes"], "interceptors are Java, and records are not taken out of their batches"),
    (
        &[
            "metric.reporters",
            "metrics.num.samples",
            "metrics.recording.level",
            "metrics.sample.window.ms",
            "auto.include.jmx.reporter",
            "enable.metrics.push",
        ],
        "metrics have names of their own",
    ),
    (
        &[
            "enable.auto.commit",
            "auto.commit.interval.ms",
            "partition.assignment.strategy",
            "session.timeout.ms",
            "heartbeat.interval.ms",
            "max.poll.records",
            "max.poll.interval.ms",
            "group.instance.id",
            "group.protocol",
            "group.remote.assignor",
            "internal.leave.group.on.close",
            "allow.auto.create.topics",
            "exclude.internal.topics",
            "check.crcs",
            "default.api.timeout.ms",
        ],
        "partitions are read without a group",
    ),
    (
        &[
            "fetch.min.bytes",
            "fetch.max.bytes",
            "fetch.max.wait.ms",
            "max.partition.fetch.bytes",
            "compression.type",
            "compression.gzip.level",
            "compression.lz4.level",
            "compression.zstd.level",
            "batch.size",
            "linger.ms",
            "buffer.memory",
            "max.request.size",
            "max.block.ms",
            "partitioner.class",
            "partitioner.ignore.keys",
            "partitioner.adaptive.partitioning.enable",
            "partitioner.availability.timeout.ms",
        ],
        "batches pass as they are, as many as `buffer` holds",
    ),
    (
        &[
            "acks",
            "enable.idempotence",
            "max.in.flight.requests.per.connection",
            "retries",
            "delivery.timeout.ms",
            "transactional.id",
            "transaction.timeout.ms",
            "transaction.two.phase.commit.enable",
        ],
        "every batch is acknowledged by all in-sync replicas, once and in order",
    ),
    (
        &[
            "client.dns.lookup",
            "retry.backoff.ms",
            "retry.backoff.max.ms",
            "reconnect.backoff.ms",
            "reconnect.backoff.max.ms",
            "connections.max.idle.ms",
            "metadata.max.age.ms",
            "metadata.max.idle.ms",
            "metadata.recovery.strategy",
            "metadata.recovery.rebootstrap.trigger.ms",
            "socket.connection.setup.timeout.ms",
            "socket.connection.setup.timeout.max.ms",
        ],
        "connections are made, kept and tried again by rules of their own",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_a_class_each() {
        assert_eq!(client_key("client.id"), Some(ClientKey::Used));
        assert_eq!(client_key("ssl.truststore.location"), Some(ClientKey::Security));
        assert!(matches!(client_key("linger.ms"), Some(ClientKey::NoEffect(_))));
        assert_eq!(client_key("linger"), None);
        let mut all: Vec<_> = names().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "a name that is twice in the table");
    }
}
