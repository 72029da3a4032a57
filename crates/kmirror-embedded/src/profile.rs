//! Which release a cluster pretends to be: the versions of each API that it offers.

use kafka_protocol::messages::ApiKey;

use crate::coordinator::transactions::TransactionVersion;

/// A release of Kafka, by what its brokers offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// 2.1: the oldest release that current clients speak to. No topic ids, no flexible encodings.
    Kafka2_1,
    /// 2.8: topic ids in metadata, DescribeProducers.
    Kafka2_8,
    /// 3.9: the last release with ZooKeeper; topic ids in Fetch.
    Kafka3_9,
    /// 4.3: topic ids in Produce; the oldest versions are gone (KIP-896).
    Kafka4_3,
}

impl Profile {
    /// The versions that this release offers of an API, within those that this crate can encode. `None`: not offered.
    pub(crate) fn versions(self, api: ApiKey) -> Option<(i16, i16)> {
        let known = api.valid_versions();
        let (min, max) = match self {
            Profile::Kafka2_1 => (known.min, max_of_2_1(api)?),
            Profile::Kafka2_8 => (known.min, max_of_2_8(api)?),
            Profile::Kafka3_9 => (known.min, max_of_3_9(api)),
            Profile::Kafka4_3 => (known.min, known.max),
        };
        let max = match api {
            // In 4.1, the level of the codecs, this was unstable, and brokers do not offer it.
            ApiKey::InitProducerId => max.min(5),
            // Brokers offer 10 since 4.2, but the codecs cannot read it.
            ApiKey::OffsetCommit | ApiKey::OffsetFetch => max.min(9),
            _ => max,
        };
        (min <= max).then_some((min, max.min(known.max)))
    }

    /// Whether groups have the coordinator of 4.0: it tells commits that a group is not there, and groups have configurations.
    pub(crate) fn has_new_group_coordinator(self) -> bool {
        self == Profile::Kafka4_3
    }

    /// Whether transactions add their partitions by producing to them, and raise their producer's epoch (`transaction.version` 2,
    /// KIP-890): by default in clusters that begin with 4.0 or later.
    pub(crate) fn transaction_version(self) -> TransactionVersion {
        match self {
            Profile::Kafka4_3 => TransactionVersion::Two,
            Profile::Kafka2_1 | Profile::Kafka2_8 | Profile::Kafka3_9 => TransactionVersion::One,
        }
    }

    /// Whether `producer.id.expiration.ms` can be changed while brokers run (since 3.5).
    pub(crate) fn has_dynamic_producer_expiration(self) -> bool {
        matches!(self, Profile::Kafka3_9 | Profile::Kafka4_3)
    }

    /// Configurations of topics that this release has and 4.0 has not any more.
    pub(crate) fn old_topic_configs(self) -> &'static [&'static str] {
        match self {
            Profile::Kafka4_3 => &[],
            Profile::Kafka2_1 | Profile::Kafka2_8 | Profile::Kafka3_9 => &[
                "message.downconversion.enable",
                "message.format.version",
                "message.timestamp.difference.max.ms",
            ],
        }
    }

    /// Whether leaders ask the coordinator if a partition belongs to a transaction before they append to it
    /// (`transaction.partition.verification.enable`, by default since 3.6).
    pub(crate) fn verifies_transactions(self) -> bool {
        matches!(self, Profile::Kafka3_9 | Profile::Kafka4_3)
    }
}

fn max_of_2_1(api: ApiKey) -> Option<i16> {
    Some(match api {
        ApiKey::Produce => 7,
        ApiKey::Fetch => 10,
        ApiKey::ListOffsets => 4,
        ApiKey::Metadata => 7,
        ApiKey::OffsetCommit => 6,
        ApiKey::OffsetFetch => 5,
        ApiKey::FindCoordinator | ApiKey::ApiVersions | ApiKey::SyncGroup | ApiKey::Heartbeat => 2,
        ApiKey::JoinGroup | ApiKey::CreateTopics | ApiKey::DeleteTopics => 3,
        ApiKey::LeaveGroup | ApiKey::DescribeGroups | ApiKey::ListGroups => 2,
        ApiKey::OffsetForLeaderEpoch | ApiKey::TxnOffsetCommit | ApiKey::DescribeConfigs => 2,
        ApiKey::SaslHandshake
        | ApiKey::DeleteRecords
        | ApiKey::InitProducerId
        | ApiKey::AddPartitionsToTxn => 1,
        ApiKey::AddOffsetsToTxn | ApiKey::EndTxn | ApiKey::WriteTxnMarkers | ApiKey::DescribeAcls => 1,
        ApiKey::CreateAcls | ApiKey::DeleteAcls | ApiKey::CreatePartitions | ApiKey::DeleteGroups => 1,
        ApiKey::SaslAuthenticate => 0,
        _ => return None,
    })
}

fn max_of_2_8(api: ApiKey) -> Option<i16> {
    Some(match api {
        ApiKey::Produce => 9,
        ApiKey::Fetch => 12,
        ApiKey::ListOffsets => 6,
        ApiKey::Metadata => 11,
        ApiKey::OffsetCommit => 8,
        ApiKey::OffsetFetch | ApiKey::JoinGroup | ApiKey::CreateTopics => 7,
        ApiKey::FindCoordinator
        | ApiKey::ApiVersions
        | ApiKey::TxnOffsetCommit
        | ApiKey::CreatePartitions => 3,
        ApiKey::SyncGroup | ApiKey::DescribeGroups => 5,
        ApiKey::Heartbeat | ApiKey::LeaveGroup | ApiKey::ListGroups | ApiKey::DescribeConfigs => 4,
        ApiKey::InitProducerId | ApiKey::OffsetForLeaderEpoch => 4,
        ApiKey::DeleteTopics => 6,
        ApiKey::AddPartitionsToTxn | ApiKey::AddOffsetsToTxn | ApiKey::EndTxn => 3,
        ApiKey::DeleteRecords | ApiKey::DescribeAcls | ApiKey::CreateAcls | ApiKey::DeleteAcls => 2,
        ApiKey::SaslAuthenticate | ApiKey::DeleteGroups => 2,
        ApiKey::SaslHandshake | ApiKey::WriteTxnMarkers | ApiKey::IncrementalAlterConfigs => 1,
        ApiKey::DescribeProducers | ApiKey::DescribeCluster | ApiKey::OffsetDelete => 0,
        _ => return None,
    })
}

fn max_of_3_9(api: ApiKey) -> i16 {
    match api {
        ApiKey::Produce => 11,
        ApiKey::Fetch => 17,
        ApiKey::ListOffsets => 9,
        ApiKey::Metadata => 12,
        ApiKey::FindCoordinator => 6,
        ApiKey::EndTxn | ApiKey::TxnOffsetCommit | ApiKey::AddOffsetsToTxn => 4,
        ApiKey::DescribeAcls | ApiKey::CreateAcls | ApiKey::DeleteAcls => 3,
        ApiKey::DescribeGroups => 5,
        ApiKey::ListTransactions | ApiKey::DescribeCluster => 1,
        _ => i16::MAX,
    }
}
