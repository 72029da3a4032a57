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

/// What becomes of a key of TLS or SASL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecurityKey {
    /// It is translated.
    Used,
    /// It has no effect, for this reason.
    NoEffect(&'static str),
    /// It means something that cannot be done; what to do instead.
    Refused(&'static str),
}

/// What becomes of a key of TLS or SASL. `None`: no client of Kafka knows it.
pub(crate) fn security_key(name: &str) -> Option<SecurityKey> {
    let (_, key) = SECURITY.iter().find(|(names, _)| names.contains(&name))?;
    Some(*key)
}

/// Every key of TLS and SASL.
pub(crate) fn security_names() -> impl Iterator<Item = &'static str> {
    SECURITY.iter().flat_map(|(names, _)| names.iter().copied())
}

/// Every name that is known, for suggestions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let without_effect = NO_EFFECT.iter().flat_map(|(names, _)| names.iter().copied());
    USED.iter().copied().chain(security_names()).chain(without_effect)
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

const SECURITY: [(&[&str], SecurityKey); 9] = [
    (
        &[
            "security.protocol",
            "ssl.truststore.location",
            "ssl.truststore.type",
            "ssl.truststore.certificates",
            "ssl.keystore.location",
            "ssl.keystore.type",
            "ssl.keystore.certificate.chain",
            "ssl.keystore.key",
            "ssl.endpoint.identification.algorithm",
            "ssl.protocol",
            "ssl.enabled.protocols",
            "sasl.mechanism",
            "sasl.jaas.config",
            "sasl.oauthbearer.token.endpoint.url",
        ],
        SecurityKey::Used,
    ),
    (
        &["ssl.truststore.password", "ssl.keystore.password"],
        SecurityKey::NoEffect("PEM has no password; stores of other types are not read"),
    ),
    (
        &["ssl.key.password"],
        SecurityKey::Refused(
            "decrypt the key with `openssl pkey -in KEY -out DECRYPTED`, and leave the password out",
        ),
    ),
    (
        &["ssl.cipher.suites"],
        SecurityKey::NoEffect(
            "those of TLS 1.3, and of TLS 1.2 with forward secrecy, are offered; the broker chooses",
        ),
    ),
    (
        &[
            "ssl.provider",
            "ssl.keymanager.algorithm",
            "ssl.trustmanager.algorithm",
            "ssl.secure.random.implementation",
        ],
        SecurityKey::NoEffect("it chooses among Java's implementations"),
    ),
    (
        &["ssl.engine.factory.class", "security.providers", "sasl.login.class"],
        SecurityKey::Refused("it names a Java class, which kmirror cannot run"),
    ),
    (
        &["sasl.client.callback.handler.class", "sasl.login.callback.handler.class"],
        SecurityKey::Refused(
            "it names a Java class, which kmirror cannot run; a password stands in `sasl.jaas.config`, a token in a file that \
             `sasl.oauthbearer.token.endpoint.url` names",
        ),
    ),
    (
        &[
            "sasl.kerberos.kinit.cmd",
            "sasl.kerberos.min.time.before.relogin",
            "sasl.kerberos.service.name",
            "sasl.kerberos.ticket.renew.jitter",
            "sasl.kerberos.ticket.renew.window.factor",
        ],
        SecurityKey::NoEffect("Kerberos is not supported"),
    ),
    (
        &[
            "sasl.login.connect.timeout.ms",
            "sasl.login.read.timeout.ms",
            "sasl.login.refresh.buffer.seconds",
            "sasl.login.refresh.min.period.seconds",
            "sasl.login.refresh.window.factor",
            "sasl.login.refresh.window.jitter",
            "sasl.login.retry.backoff.max.ms",
            "sasl.login.retry.backoff.ms",
            "sasl.oauthbearer.clock.skew.seconds",
            "sasl.oauthbearer.expected.audience",
            "sasl.oauthbearer.expected.issuer",
            "sasl.oauthbearer.header.urlencode",
            "sasl.oauthbearer.jwks.endpoint.refresh.ms",
            "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
            "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms",
            "sasl.oauthbearer.jwks.endpoint.url",
            "sasl.oauthbearer.scope.claim.name",
            "sasl.oauthbearer.sub.claim.name",
        ],
        SecurityKey::NoEffect("a token is taken from its file whenever it is shown"),
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
