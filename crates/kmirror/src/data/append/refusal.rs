//! What a broker's refusal of an append means: one table.

use kmirror_client::{ClientError, KafkaError, Retry};

use super::cause::TakeOverCause;
use super::state::Refusal;
use crate::ground::park::{ParkReason, Parked};

/// Judges the refusal of a data batch.
pub(crate) fn of_data(error: KafkaError, detail: Option<&str>) -> Refusal {
    let text = describe(error, detail);
    match error {
        KafkaError::OUT_OF_ORDER_SEQUENCE_NUMBER
        | KafkaError::DUPLICATE_SEQUENCE_NUMBER
        | KafkaError::UNKNOWN_PRODUCER_ID
        | KafkaError::INVALID_PRODUCER_EPOCH => Refusal::TakeOver(TakeOverCause::OutOfOrder),
        KafkaError::MESSAGE_TOO_LARGE | KafkaError::RECORD_LIST_TOO_LARGE => Refusal::Park(Parked::new(
            ParkReason::TooLarge,
            format!("the target answers {text}; raise max.message.bytes of the target topic"),
        )),
        KafkaError::CORRUPT_MESSAGE => Refusal::Damaged(text),
        KafkaError::REQUEST_TIMED_OUT => Refusal::TakeOver(TakeOverCause::HoldsUpOthers(text)),
        KafkaError::INVALID_RECORD => Refusal::Park(Parked::new(
            ParkReason::Rejected,
            format!(
                "the target answers {text}; with compact in its cleanup.policy a topic takes no record without a key"
            ),
        )),
        KafkaError::INVALID_TIMESTAMP => Refusal::Park(Parked::new(
            ParkReason::Rejected,
            format!(
                "the target answers {text}; raise message.timestamp.before.max.ms or message.timestamp.after.max.ms of the target \
                 topic"
            ),
        )),
        KafkaError::UNSUPPORTED_COMPRESSION_TYPE => {
            Refusal::Park(Parked::new(ParkReason::Rejected, format!("the target answers {text}")))
        }
        KafkaError::UNKNOWN_TOPIC_ID | KafkaError::INCONSISTENT_TOPIC_ID => {
            Refusal::TakeOver(TakeOverCause::LeaderUnknown(text))
        }
        error if error.is_authorization() => Refusal::Park(Parked::new(
            ParkReason::Unauthorized,
            format!("the target refuses to append ({text}); kmirror needs WRITE on the topic"),
        )),
        error => by_retry(error.retry(), text),
    }
}

/// Judges the refusal of control markers, or of the request that carried them.
pub(crate) fn of_markers(error: &ClientError, token: i32) -> Refusal {
    if error.is_authorization() {
        return Refusal::Park(no_permission_for_markers(&error.to_string()));
    }
    if error.is_other_cluster() {
        return of_other_cluster(error);
    }
    // Any of the partitions of the request may be the one that was waited for.
    if matches!(error, ClientError::Timeout { .. }) {
        return Refusal::TakeOver(TakeOverCause::HoldsUpOthers(error.to_string()));
    }
    match (error.kafka_error(), error.retry()) {
        (Some(KafkaError::TRANSACTION_COORDINATOR_FENCED), _) => {
            Refusal::TakeOver(TakeOverCause::Fenced { token })
        }
        (Some(code @ KafkaError::REQUEST_TIMED_OUT), _) => {
            Refusal::TakeOver(TakeOverCause::HoldsUpOthers(code.to_string()))
        }
        (Some(code), retry) => by_retry(retry, code.to_string()),
        (None, Retry::Never) => Refusal::Park(Parked::new(
            ParkReason::Rejected,
            format!("the target does not take control markers (WriteTxnMarkers): {error}"),
        )),
        (None, _) => Refusal::TakeOver(TakeOverCause::AnswerLost(error.to_string())),
    }
}

/// Judges a refused call about the empty transactions that stand in for control markers.
pub(crate) fn of_transactions(error: &ClientError) -> Refusal {
    if error.is_authorization() {
        return Refusal::Park(no_permission_for_fillers(&error.to_string()));
    }
    if error.is_other_cluster() {
        return of_other_cluster(error);
    }
    match (error.kafka_error(), error.retry()) {
        // The token plays no part in it: whoever took the ids over is the owner.
        (Some(code), _) if is_fenced(code) => Refusal::TakeOver(TakeOverCause::Overtaken),
        (Some(KafkaError::INVALID_TXN_STATE | KafkaError::INVALID_PRODUCER_ID_MAPPING), _) => {
            Refusal::TakeOver(TakeOverCause::AnswerLost(error.to_string()))
        }
        (Some(_), retry) => by_retry(retry, error.to_string()),
        (None, Retry::Never) => Refusal::Park(no_permission_for_fillers(&error.to_string())),
        (None, _) => Refusal::TakeOver(TakeOverCause::AnswerLost(error.to_string())),
    }
}

/// Nothing was sent there, and nothing will be: the take-over says so for as long as it lasts.
fn of_other_cluster(error: &ClientError) -> Refusal {
    Refusal::TakeOver(TakeOverCause::LeaderUnknown(error.to_string()))
}

fn by_retry(retry: Retry, text: String) -> Refusal {
    match retry {
        Retry::Backoff => Refusal::Again(text),
        Retry::RefreshMetadata => Refusal::TakeOver(TakeOverCause::LeaderUnknown(text)),
        Retry::Reconnect => Refusal::TakeOver(TakeOverCause::AnswerLost(text)),
        Retry::Never => {
            Refusal::Park(Parked::new(ParkReason::Rejected, format!("the target answers {text}")))
        }
    }
}

/// Neither way to fill a hole is open.
fn no_permission_for_fillers(text: &str) -> Parked {
    Parked::new(
        ParkReason::Unauthorized,
        format!(
            "the source has offsets without records here, and the target refuses both what can fill them: control markers \
             (WriteTxnMarkers) and empty transactions ({text}). Allow one of them, for the first \
             `kafka-acls --add --allow-principal User:NAME --operation Alter --cluster` (ClusterAction before Kafka 3.8), for the second \
             `kafka-acls --add --allow-principal User:NAME --operation Write --transactional-id {} --resource-pattern-type prefixed`",
            ID_PREFIX
        ),
    )
}

fn no_permission_for_markers(text: &str) -> Parked {
    Parked::new(
        ParkReason::Unauthorized,
        format!(
            "the source has offsets without records here, and the target refuses the control markers that fill them ({text}); \
             kmirror needs ALTER on the target cluster (CLUSTER_ACTION before Kafka 3.8)"
        ),
    )
}

fn describe(error: KafkaError, detail: Option<&str>) -> String {
    match detail {
        Some(detail) => format!("{error}: {detail}"),
        None => error.to_string(),
    }
}

/// Whether a refused call means that another owner took the ids over.
pub(super) fn is_fenced(error: KafkaError) -> bool {
    matches!(error, KafkaError::PRODUCER_FENCED | KafkaError::INVALID_PRODUCER_EPOCH)
}

/// What all transactional ids of kmirror begin with: one prefixed ACL allows them all.
pub(super) const ID_PREFIX: &str = "kmirror-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_replicated_in_time_is_told_apart() {
        let code = KafkaError::REQUEST_TIMED_OUT;
        let expected = Refusal::TakeOver(TakeOverCause::HoldsUpOthers(code.to_string()));
        assert_eq!(of_data(code, None), expected);
        let error = ClientError::Broker { error: code, api: "", context: "".into(), message: None };
        assert_eq!(of_markers(&error, 1), expected);
    }

    #[test]
    fn what_nobody_expected_is_tried_again() {
        for code in [-1, 999] {
            let code = KafkaError::from_code(code).unwrap();
            let expected = Refusal::Again(code.to_string());
            assert_eq!(of_data(code, None), expected);
            let error = ClientError::Broker { error: code, api: "", context: "".into(), message: None };
            assert_eq!(of_markers(&error, 1), expected);
        }
    }

    #[test]
    fn another_cluster_has_refused_nothing() {
        let error = ClientError::OtherCluster {
            alias: "west".into(),
            address: "a:9092".into(),
            expected: "one".into(),
            found: "two".into(),
        };
        let expected = Refusal::TakeOver(TakeOverCause::LeaderUnknown(error.to_string()));
        assert_eq!([of_markers(&error, 1), of_transactions(&error)], [expected.clone(), expected]);
    }
}
