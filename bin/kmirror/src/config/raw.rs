//! The configuration file as it is written. Unknown keys are errors: a key that is misspelt must not be ignored.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::Deserialize;

use super::text::{Bytes, Count, Interval, Moment, SecretText, Text, Texts};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawConfig {
    pub(crate) clusters: BTreeMap<String, RawCluster>,
    pub(crate) flows: Vec<RawFlow>,
    #[serde(default)]
    pub(crate) http: HttpSection,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpSection {
    /// Where a running mirror answers. Nowhere if not set.
    pub(crate) listen: Option<Text>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCluster {
    /// A list, or one string with commas.
    pub(crate) bootstrap_servers: Texts,
    pub(crate) client_id: Option<Text>,
    /// The rack that kmirror is in. Records are read from the leaders if not set.
    pub(crate) rack: Option<Text>,
    /// The cluster's id. The cluster that answers first counts if not set.
    pub(crate) cluster_id: Option<Text>,
    pub(crate) connect_timeout: Option<Interval>,
    pub(crate) request_timeout: Option<Interval>,
    /// What each socket may hold of what is sent. The operating system's choice if not set.
    pub(crate) send_buffer_bytes: Option<Bytes>,
    /// The same of what is received.
    pub(crate) receive_buffer_bytes: Option<Bytes>,
    pub(crate) tls: Option<TlsSection>,
    pub(crate) sasl: Option<SaslSection>,
    /// Keys of Kafka's own clients. They hold secrets.
    pub(crate) properties: Option<BTreeMap<String, SecretText>>,
    /// A file of them.
    pub(crate) properties_file: Option<Text>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsSection {
    pub(crate) ca_file: Option<Text>,
    pub(crate) ca_pem: Option<SecretText>,
    pub(crate) cert_file: Option<Text>,
    pub(crate) cert_pem: Option<SecretText>,
    pub(crate) key_file: Option<Text>,
    pub(crate) key_pem: Option<SecretText>,
    pub(crate) server_name: Option<Text>,
    pub(crate) verify_hostname: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SaslSection {
    pub(crate) mechanism: Text,
    pub(crate) username: Option<Text>,
    pub(crate) password: Option<SecretText>,
    pub(crate) password_file: Option<Text>,
    pub(crate) token: Option<SecretText>,
    pub(crate) token_file: Option<Text>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFlow {
    /// What the flow is called in logs, tables, paths and labels.
    pub(crate) name: Option<Text>,
    pub(crate) source: Text,
    pub(crate) target: Text,
    pub(crate) topics: Selection,
    #[serde(default)]
    pub(crate) naming: NamingSection,
    #[serde(default)]
    pub(crate) offsets: Offsets,
    #[serde(default)]
    pub(crate) start: Start,
    #[serde(default)]
    pub(crate) takeover: TakeoverSection,
    #[serde(default)]
    pub(crate) isolation: IsolationWord,
    #[serde(default)]
    pub(crate) on_expired: OnExpiredWord,
    #[serde(default)]
    pub(crate) on_forgotten_deletions: OnForgottenDeletionsWord,
    #[serde(default)]
    pub(crate) on_recreated: OnRecreatedWord,
    /// Has one value so far; it may be written all the same.
    #[serde(default)]
    pub(crate) on_truncated: OnTruncatedWord,
    #[serde(default)]
    pub(crate) on_diverged: OnDivergedWord,
    /// The most offsets of an expired head that are filled per partition.
    pub(crate) head_fill_max: Option<Count>,
    #[serde(default)]
    pub(crate) raise_producer_expiry: bool,
    #[serde(default)]
    pub(crate) retention: RetentionWord,
    /// The group on the source to which positions are committed.
    pub(crate) commit_group: Option<Text>,
    pub(crate) state_topic: Option<Text>,
    pub(crate) state_replication_factor: Option<i16>,
    pub(crate) parked_retry_interval: Option<Interval>,
    pub(crate) create_topics: Option<bool>,
    pub(crate) replication_factor: Option<ReplicationFactorSection>,
    #[serde(default)]
    pub(crate) topic_configs: TopicConfigsSection,
    #[serde(default)]
    pub(crate) on_deleted: OnDeletedSection,
    #[serde(default)]
    pub(crate) groups: GroupsSection,
    pub(crate) groups_interval: Option<Interval>,
    #[serde(default)]
    pub(crate) acls: AclsWord,
    pub(crate) acls_interval: Option<Interval>,
    #[serde(default)]
    pub(crate) mm2_topics: Mm2TopicsSection,
    #[serde(default)]
    pub(crate) on_group_reset: OnGroupResetWord,
    /// Memory for fetched bytes that are not acknowledged yet.
    pub(crate) buffer: Option<Bytes>,
    /// Connections to each broker in each direction; without it one, and more to brokers that are far.
    pub(crate) connections: Option<NonZeroU16>,
    pub(crate) metadata_refresh_interval: Option<Interval>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "replication_factor: expected `source`, `broker` or a number")]
pub(crate) enum ReplicationFactorSection {
    Word(ReplicationFactorWord),
    Number(i16),
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ReplicationFactorWord {
    Source,
    Broker,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TopicConfigsSection {
    pub(crate) follow: Option<bool>,
    pub(crate) exclude: Option<Vec<Text>>,
    pub(crate) defaults_from: Option<DefaultsFromWord>,
    pub(crate) interval: Option<Interval>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DefaultsFromWord {
    Target,
    Source,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "on_deleted: expected `ignore`, `park`, `{ delete_after: 1h }` or `{ delete_after: 1h, even_all: true }`"
)]
pub(crate) enum OnDeletedSection {
    Word(OnDeletedWord),
    Delete(DeleteSection),
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnDeletedWord {
    Ignore,
    Park,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteSection {
    pub(crate) delete_after: Interval,
    #[serde(default)]
    pub(crate) even_all: bool,
}

impl Default for OnDeletedSection {
    fn default() -> OnDeletedSection {
        OnDeletedSection::Word(OnDeletedWord::Ignore)
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mm2TopicsSection {
    #[serde(default)]
    pub(crate) heartbeats: bool,
    #[serde(default)]
    pub(crate) checkpoints: bool,
    #[serde(default)]
    pub(crate) offset_syncs: OffsetSyncsWord,
    pub(crate) separator: Option<Text>,
    pub(crate) internal_separator: Option<Text>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OffsetSyncsWord {
    #[default]
    None,
    Source,
    Target,
}

/// Each of the lists has a default of its own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupsSection {
    pub(crate) include: Option<Vec<Text>>,
    pub(crate) exclude: Option<Vec<Text>>,
    #[serde(rename = "return")]
    pub(crate) returning: Option<Vec<Text>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnGroupResetWord {
    #[default]
    Follow,
    Keep,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Selection {
    #[serde(default)]
    pub(crate) include: Vec<Text>,
    #[serde(default)]
    pub(crate) exclude: Vec<Text>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "naming: expected `identity`, `prefixed` or `{ template: \"{source}.{topic}\" }`"
)]
pub(crate) enum NamingSection {
    Word(NamingWord),
    Template { template: Text },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NamingWord {
    Identity,
    Prefixed,
}

impl Default for NamingSection {
    fn default() -> NamingSection {
        NamingSection::Word(NamingWord::Identity)
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Offsets {
    #[default]
    Exact,
    Shifted,
    Mapped,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "start: expected `earliest`, `latest` or `{ timestamp: … }`")]
pub(crate) enum Start {
    Word(StartWord),
    Timestamp { timestamp: Moment },
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StartWord {
    Earliest,
    Latest,
}

/// What copied the topics before.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "takeover: expected `none`, `mm2`, `{ mm2: { offsets_topic: … } }` or `{ group: … }`"
)]
pub(crate) enum TakeoverSection {
    Word(TakeoverWord),
    Mm2 { mm2: Mm2Section },
    Group { group: Text },
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TakeoverWord {
    None,
    Mm2,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mm2Section {
    pub(crate) offsets_topic: Option<Text>,
    pub(crate) source_alias: Option<Text>,
}

impl Default for TakeoverSection {
    fn default() -> TakeoverSection {
        TakeoverSection::Word(TakeoverWord::None)
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AclsWord {
    None,
    #[default]
    Safe,
    Full,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RetentionWord {
    #[default]
    Own,
    Follow,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnExpiredWord {
    #[default]
    Stop,
    Skip,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnForgottenDeletionsWord {
    #[default]
    Warn,
    Recopy,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnRecreatedWord {
    #[default]
    Stop,
    Restart,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnTruncatedWord {
    #[default]
    Stop,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnDivergedWord {
    #[default]
    Stop,
    Shift,
}

impl Default for Start {
    fn default() -> Start {
        Start::Word(StartWord::Earliest)
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IsolationWord {
    #[default]
    ReadCommitted,
    ReadUncommitted,
}
