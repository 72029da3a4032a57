//! The error codes of the protocol and what a client can do about each: the one table that decides about retries.

use std::fmt;

/// An error code that a broker sent, other than 0 (`NONE`).
///
/// Codes that this release does not know are kept as they came. They may pass as well as not: what they answer is tried again after a while.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KafkaError(i16);

/// What gives a failed request a chance when it is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Nothing: the same request meets the same answer, or a retry would be unsafe.
    Never,
    /// Time.
    Backoff,
    /// Fresh metadata: the leader, the controller or the topic is not where the request went.
    RefreshMetadata,
    /// A new connection.
    Reconnect,
}

impl KafkaError {
    /// The error of a response field; `None` where the field says that there is none.
    pub fn from_code(code: i16) -> Option<Self> {
        (code != 0).then_some(Self(code))
    }

    /// The code as it is on the wire.
    pub fn code(self) -> i16 {
        self.0
    }

    /// The name in Kafka's `Errors.java`; `UNKNOWN` for a code that this release does not know.
    pub fn name(self) -> &'static str {
        self.row().map_or("UNKNOWN", |row| row.name)
    }

    /// What gives the request a chance when it is sent again.
    pub fn retry(self) -> Retry {
        self.row().map_or(Retry::Backoff, |row| row.retry)
    }

    /// Why [`retry`](Self::retry) says what it says, in a few words for a log line.
    pub fn reason(self) -> &'static str {
        self.row().map_or("unknown to this release", |row| row.reason)
    }

    /// Whether an ACL is missing.
    pub fn is_authorization(self) -> bool {
        matches!(
            self,
            Self::TOPIC_AUTHORIZATION_FAILED
                | Self::GROUP_AUTHORIZATION_FAILED
                | Self::CLUSTER_AUTHORIZATION_FAILED
                | Self::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
                | Self::DELEGATION_TOKEN_AUTHORIZATION_FAILED
        )
    }

    fn row(self) -> Option<&'static Row> {
        ROWS.binary_search_by_key(&self.0, |row| row.code).ok().and_then(|index| ROWS.get(index))
    }
}

impl fmt::Display for KafkaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl fmt::Debug for KafkaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct Row {
    code: i16,
    name: &'static str,
    retry: Retry,
    reason: &'static str,
}

macro_rules! error_codes {
    ($($code:literal, $name:ident, $retry:ident, $reason:literal;)*) => {
        impl KafkaError {
            $(#[doc = concat!("Code ", $code, ": ", $reason, ".")] pub const $name: Self = Self($code);)*
        }

        /// In ascending order of codes.
        const ROWS: &[Row] =
            &[$(Row { code: $code, name: stringify!($name), retry: Retry::$retry, reason: $reason },)*];
    };
}

// Codes and names of Kafka 4.3.1 (clients/.../common/protocol/Errors.java). The class follows RetriableException and
// InvalidMetadataException there, except where the reason says otherwise.
error_codes! {
    -1, UNKNOWN_SERVER_ERROR, Backoff, "an exception that the broker did not expect, as of a disk that is full: Java does not retry it, but we have nobody to hand it to";
    1, OFFSET_OUT_OF_RANGE, Never, "below the log start or above the high watermark: two different incidents, told apart by the caller";
    2, CORRUPT_MESSAGE, Backoff, "damaged on the way to the broker: the same bytes may arrive whole the next time";
    3, UNKNOWN_TOPIC_OR_PARTITION, RefreshMetadata, "not there, not yet known to this broker, or led elsewhere";
    4, INVALID_FETCH_SIZE, Never, "the same request meets the same answer";
    5, LEADER_NOT_AVAILABLE, RefreshMetadata, "an election is under way";
    6, NOT_LEADER_OR_FOLLOWER, RefreshMetadata, "the leader moved";
    7, REQUEST_TIMED_OUT, Backoff, "the replicas did not answer the broker in time; the append may have happened";
    8, BROKER_NOT_AVAILABLE, Backoff, "not a RetriableException in Java, yet it passes when the broker is back";
    9, REPLICA_NOT_AVAILABLE, RefreshMetadata, "the replica is elsewhere";
    10, MESSAGE_TOO_LARGE, Never, "over max.message.bytes: the same batch will never fit";
    11, STALE_CONTROLLER_EPOCH, Never, "the same request meets the same answer";
    12, OFFSET_METADATA_TOO_LARGE, Never, "the same request meets the same answer";
    13, NETWORK_EXCEPTION, RefreshMetadata, "the broker lost one of its own connections";
    14, COORDINATOR_LOAD_IN_PROGRESS, Backoff, "the coordinator is reading its log";
    15, COORDINATOR_NOT_AVAILABLE, Backoff, "no coordinator yet";
    16, NOT_COORDINATOR, Backoff, "the coordinator moved: find it again, then retry";
    17, INVALID_TOPIC_EXCEPTION, Never, "the same request meets the same answer";
    18, RECORD_LIST_TOO_LARGE, Never, "the same request meets the same answer";
    19, NOT_ENOUGH_REPLICAS, Backoff, "refused before the append: too few replicas in sync";
    20, NOT_ENOUGH_REPLICAS_AFTER_APPEND, Backoff, "appended, then replicas fell out of sync: a repeat is safe only with idempotence";
    21, INVALID_REQUIRED_ACKS, Never, "the same request meets the same answer";
    22, ILLEGAL_GENERATION, Never, "the same request meets the same answer";
    23, INCONSISTENT_GROUP_PROTOCOL, Never, "the same request meets the same answer";
    24, INVALID_GROUP_ID, Never, "the same request meets the same answer";
    25, UNKNOWN_MEMBER_ID, Never, "the same request meets the same answer";
    26, INVALID_SESSION_TIMEOUT, Never, "the same request meets the same answer";
    27, REBALANCE_IN_PROGRESS, Never, "the group protocol decides: rejoin";
    28, INVALID_COMMIT_OFFSET_SIZE, Never, "the same request meets the same answer";
    29, TOPIC_AUTHORIZATION_FAILED, Never, "not authorized";
    30, GROUP_AUTHORIZATION_FAILED, Never, "not authorized";
    31, CLUSTER_AUTHORIZATION_FAILED, Never, "not authorized";
    32, INVALID_TIMESTAMP, Never, "the same request meets the same answer";
    33, UNSUPPORTED_SASL_MECHANISM, Never, "the same request meets the same answer";
    34, ILLEGAL_SASL_STATE, Never, "the same request meets the same answer";
    35, UNSUPPORTED_VERSION, Never, "the same request meets the same answer";
    36, TOPIC_ALREADY_EXISTS, Never, "the same request meets the same answer";
    37, INVALID_PARTITIONS, Never, "the same request meets the same answer";
    38, INVALID_REPLICATION_FACTOR, Never, "the same request meets the same answer";
    39, INVALID_REPLICA_ASSIGNMENT, Never, "the same request meets the same answer";
    40, INVALID_CONFIG, Never, "the same request meets the same answer";
    41, NOT_CONTROLLER, RefreshMetadata, "the controller moved";
    42, INVALID_REQUEST, Never, "the same request meets the same answer";
    43, UNSUPPORTED_FOR_MESSAGE_FORMAT, Never, "the same request meets the same answer";
    44, POLICY_VIOLATION, Never, "the same request meets the same answer";
    45, OUT_OF_ORDER_SEQUENCE_NUMBER, Never, "another writer or a wrong position: look at the log before anything is sent again";
    46, DUPLICATE_SEQUENCE_NUMBER, Never, "already appended, so long ago that the broker forgot where";
    47, INVALID_PRODUCER_EPOCH, Never, "the same request meets the same answer";
    48, INVALID_TXN_STATE, Never, "the same request meets the same answer";
    49, INVALID_PRODUCER_ID_MAPPING, Never, "the same request meets the same answer";
    50, INVALID_TRANSACTION_TIMEOUT, Never, "the same request meets the same answer";
    51, CONCURRENT_TRANSACTIONS, Backoff, "the previous transaction of this id is not finished";
    52, TRANSACTION_COORDINATOR_FENCED, Never, "a later owner wrote a marker with a higher token";
    53, TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Never, "not authorized";
    54, SECURITY_DISABLED, Never, "the same request meets the same answer";
    55, OPERATION_NOT_ATTEMPTED, Never, "the same request meets the same answer";
    56, KAFKA_STORAGE_ERROR, RefreshMetadata, "a log directory failed: the leader will move";
    57, LOG_DIR_NOT_FOUND, Never, "the same request meets the same answer";
    58, SASL_AUTHENTICATION_FAILED, Never, "the same request meets the same answer";
    59, UNKNOWN_PRODUCER_ID, Never, "the producer state expired; the caller decides how to go on";
    60, REASSIGNMENT_IN_PROGRESS, Never, "the same request meets the same answer";
    61, DELEGATION_TOKEN_AUTH_DISABLED, Never, "the same request meets the same answer";
    62, DELEGATION_TOKEN_NOT_FOUND, Never, "the same request meets the same answer";
    63, DELEGATION_TOKEN_OWNER_MISMATCH, Never, "the same request meets the same answer";
    64, DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, Never, "the same request meets the same answer";
    65, DELEGATION_TOKEN_AUTHORIZATION_FAILED, Never, "not authorized";
    66, DELEGATION_TOKEN_EXPIRED, Never, "the same request meets the same answer";
    67, INVALID_PRINCIPAL_TYPE, Never, "the same request meets the same answer";
    68, NON_EMPTY_GROUP, Never, "the same request meets the same answer";
    69, GROUP_ID_NOT_FOUND, Never, "the same request meets the same answer";
    70, FETCH_SESSION_ID_NOT_FOUND, Backoff, "the broker evicted the fetch session: start a new one";
    71, INVALID_FETCH_SESSION_EPOCH, Backoff, "the session went on without us: start a new one";
    72, LISTENER_NOT_FOUND, RefreshMetadata, "the leader has no listener of this name yet";
    73, TOPIC_DELETION_DISABLED, Never, "the same request meets the same answer";
    74, FENCED_LEADER_EPOCH, RefreshMetadata, "our leader epoch is older than the broker's";
    75, UNKNOWN_LEADER_EPOCH, Backoff, "our leader epoch is newer than the broker's: it has not caught up";
    76, UNSUPPORTED_COMPRESSION_TYPE, Never, "the same request meets the same answer";
    77, STALE_BROKER_EPOCH, Never, "the same request meets the same answer";
    78, OFFSET_NOT_AVAILABLE, Backoff, "a new leader does not know its high watermark yet";
    79, MEMBER_ID_REQUIRED, Never, "the group protocol decides: rejoin with the given id";
    80, PREFERRED_LEADER_NOT_AVAILABLE, RefreshMetadata, "the preferred leader is not available";
    81, GROUP_MAX_SIZE_REACHED, Never, "the same request meets the same answer";
    82, FENCED_INSTANCE_ID, Never, "the same request meets the same answer";
    83, ELIGIBLE_LEADERS_NOT_AVAILABLE, RefreshMetadata, "no leader can be elected now";
    84, ELECTION_NOT_NEEDED, RefreshMetadata, "the leader is elected already";
    85, NO_REASSIGNMENT_IN_PROGRESS, Never, "the same request meets the same answer";
    86, GROUP_SUBSCRIBED_TO_TOPIC, Never, "the same request meets the same answer";
    87, INVALID_RECORD, Never, "the broker's validation refused the batch";
    88, UNSTABLE_OFFSET_COMMIT, Backoff, "transactional offsets are pending";
    89, THROTTLING_QUOTA_EXCEEDED, Backoff, "the controller's quota is used up";
    90, PRODUCER_FENCED, Never, "the same request meets the same answer";
    91, RESOURCE_NOT_FOUND, Never, "the same request meets the same answer";
    92, DUPLICATE_RESOURCE, Never, "the same request meets the same answer";
    93, UNACCEPTABLE_CREDENTIAL, Never, "the same request meets the same answer";
    94, INCONSISTENT_VOTER_SET, Never, "the same request meets the same answer";
    95, INVALID_UPDATE_VERSION, Never, "the same request meets the same answer";
    96, FEATURE_UPDATE_FAILED, Never, "the same request meets the same answer";
    97, PRINCIPAL_DESERIALIZATION_FAILURE, Never, "the same request meets the same answer";
    98, SNAPSHOT_NOT_FOUND, Never, "the same request meets the same answer";
    99, POSITION_OUT_OF_RANGE, Never, "the same request meets the same answer";
    100, UNKNOWN_TOPIC_ID, RefreshMetadata, "deleted and created again, or this broker does not know the id yet";
    101, DUPLICATE_BROKER_REGISTRATION, Never, "the same request meets the same answer";
    102, BROKER_ID_NOT_REGISTERED, Never, "the same request meets the same answer";
    103, INCONSISTENT_TOPIC_ID, RefreshMetadata, "deleted and created again, or this broker is behind";
    104, INCONSISTENT_CLUSTER_ID, Never, "the same request meets the same answer";
    105, TRANSACTIONAL_ID_NOT_FOUND, Never, "the same request meets the same answer";
    106, FETCH_SESSION_TOPIC_ID_ERROR, Backoff, "the session mixed requests with and without topic ids: start a new one";
    107, INELIGIBLE_REPLICA, Never, "the same request meets the same answer";
    108, NEW_LEADER_ELECTED, RefreshMetadata, "a new leader was elected while the request was in work";
    109, OFFSET_MOVED_TO_TIERED_STORAGE, Never, "the same request meets the same answer";
    110, FENCED_MEMBER_EPOCH, Never, "the same request meets the same answer";
    111, UNRELEASED_INSTANCE_ID, Never, "the same request meets the same answer";
    112, UNSUPPORTED_ASSIGNOR, Never, "the same request meets the same answer";
    113, STALE_MEMBER_EPOCH, Never, "the same request meets the same answer";
    114, MISMATCHED_ENDPOINT_TYPE, Never, "the same request meets the same answer";
    115, UNSUPPORTED_ENDPOINT_TYPE, Never, "the same request meets the same answer";
    116, UNKNOWN_CONTROLLER_ID, Never, "the same request meets the same answer";
    117, UNKNOWN_SUBSCRIPTION_ID, Never, "the same request meets the same answer";
    118, TELEMETRY_TOO_LARGE, Never, "the same request meets the same answer";
    119, INVALID_REGISTRATION, Never, "the same request meets the same answer";
    120, TRANSACTION_ABORTABLE, Never, "abort the transaction, then begin again";
    121, INVALID_RECORD_STATE, Never, "the same request meets the same answer";
    122, SHARE_SESSION_NOT_FOUND, Backoff, "start a new share session";
    123, INVALID_SHARE_SESSION_EPOCH, Backoff, "start a new share session";
    124, FENCED_STATE_EPOCH, Never, "the same request meets the same answer";
    125, INVALID_VOTER_KEY, Never, "the same request meets the same answer";
    126, DUPLICATE_VOTER, Never, "the same request meets the same answer";
    127, VOTER_NOT_FOUND, Never, "the same request meets the same answer";
    128, INVALID_REGULAR_EXPRESSION, Never, "the same request meets the same answer";
    129, REBOOTSTRAP_REQUIRED, Reconnect, "the cluster asks clients to begin again at the bootstrap servers";
    130, STREAMS_INVALID_TOPOLOGY, Never, "the same request meets the same answer";
    131, STREAMS_INVALID_TOPOLOGY_EPOCH, Never, "the same request meets the same answer";
    132, STREAMS_TOPOLOGY_FENCED, Never, "the same request meets the same answer";
    133, SHARE_SESSION_LIMIT_REACHED, Backoff, "no share session is free";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete_and_ascending() {
        let codes: Vec<i16> = ROWS.iter().map(|row| row.code).collect();
        let expected: Vec<i16> = std::iter::once(-1).chain(1..=133).collect();
        assert_eq!(codes, expected);
    }

    #[test]
    fn codes_have_names_and_classes() {
        assert_eq!(KafkaError::from_code(0), None);
        let moved = KafkaError::from_code(6).unwrap();
        assert_eq!(moved, KafkaError::NOT_LEADER_OR_FOLLOWER);
        assert_eq!(moved.to_string(), "NOT_LEADER_OR_FOLLOWER (6)");
        assert_eq!(moved.retry(), Retry::RefreshMetadata);
        assert!(!moved.is_authorization());
        assert!(KafkaError::CLUSTER_AUTHORIZATION_FAILED.is_authorization());
        assert_eq!(KafkaError::OUT_OF_ORDER_SEQUENCE_NUMBER.retry(), Retry::Never);
    }

    #[test]
    fn a_code_of_the_future_is_kept_and_may_pass() {
        let future = KafkaError::from_code(999).unwrap();
        assert_eq!(future.to_string(), "UNKNOWN (999)");
        assert_eq!(future.retry(), Retry::Backoff);
        assert_eq!(KafkaError::UNKNOWN_SERVER_ERROR.retry(), Retry::Backoff);
    }
}
