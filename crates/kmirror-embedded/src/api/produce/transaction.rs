//! The transaction that a Produce request claims to belong to.

use std::collections::BTreeSet;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ProduceRequest, TransactionalId};

use crate::coordinator::transactions::Producer;
use crate::log::Refused;
use crate::log::batch::Header;
use crate::network::Connection;
use crate::security::acl::{Operation, ResourceType};
use crate::state::{PartitionName, State};
use crate::verification::Unadded;

/// Whether the whole request is refused: by an injected error, or for the transaction that it claims to belong to.
pub(super) fn refusal_of_all(
    request: &ProduceRequest,
    state: &State,
    connection: &Connection,
    injected: Option<ResponseError>,
) -> Option<Refused> {
    if let Some(error) = injected {
        return Some(Refused::new(error, "injected"));
    }
    let data = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    let headers = data.filter_map(|data| transactional(data.records.as_ref()?)).collect::<Vec<_>>();
    let may_produce_as = |id: &TransactionalId| {
        let (principal, resource_type) = (&connection.principal, ResourceType::TransactionalId);
        state.authorizer.allows(principal, Operation::Write, resource_type, id)
    };
    if !headers.is_empty() && !request.transactional_id.as_ref().is_some_and(may_produce_as) {
        let error = ResponseError::TransactionalIdAuthorizationFailed;
        return Some(Refused::new(error, "Transactional Id authorization failed."));
    }
    let producers = headers.iter().filter(|header| header.producer_id >= 0);
    let producers: BTreeSet<_> =
        producers.map(|header| (header.producer_id, header.producer_epoch)).collect();
    let message = "Transactional records contained more than one producer ID";
    (producers.len() > 1).then(|| Refused::new(ResponseError::InvalidProducerIdMapping, message))
}

/// The header of a transactional batch.
fn transactional(records: &Bytes) -> Option<Header> {
    Header::parse(records).filter(Header::is_transactional)
}

/// Checks that the partition belongs to the transaction that a batch belongs to, where the leader does not know that yet.
pub(super) fn verify(
    state: &mut State,
    broker: i32,
    version: i16,
    transactional_id: Option<&str>,
    to: &PartitionName,
    records: &Bytes,
) -> Result<(), Refused> {
    let Some(header) = transactional(records).filter(|header| header.producer_id >= 0) else {
        return Ok(());
    };
    let is_verified = state.profile.verifies_transactions();
    let (partition, _) = state.led_by(broker, &to.0, to.1).map_err(|error| Refused::new(error, ""))?;
    let producers = &mut partition.log.producers;
    let is_open = producers.is_open(header.producer_id, header.producer_epoch);
    let Some(id) = transactional_id.filter(|_| !is_open) else { return Ok(()) };
    let unadded = Unadded::of(version, ABORTABLE_FROM, ADDED_FROM);
    if is_verified {
        producers.begin_verification(&header, unadded == Unadded::Added);
    }
    let producer = Producer { id: header.producer_id, epoch: header.producer_epoch };
    let verified = state.verify_transaction(id, producer, to.clone(), unadded);
    verified.map_err(|error| refusal(error, unadded))
}

/// What a producer is told (`ReplicaManager.handleProduceAppend`): old ones retry what is called NOT_ENOUGH_REPLICAS.
fn refusal(error: ResponseError, unadded: Unadded) -> Refused {
    match error {
        ResponseError::InvalidTxnState => Refused::new(error, "Partition was not added to the transaction"),
        ResponseError::ConcurrentTransactions if unadded == Unadded::Added => {
            Refused::new(error, error.to_string())
        }
        ResponseError::ConcurrentTransactions
        | ResponseError::CoordinatorNotAvailable
        | ResponseError::NotCoordinator => Refused::new(
            ResponseError::NotEnoughReplicas,
            format!(
                "Unable to verify the partition has been added to the transaction. Underlying error: {error:?}"
            ),
        ),
        error => Refused::new(error, error.to_string()),
    }
}

/// `AddPartitionsToTxnManager.produceRequestVersionToTransactionSupportedOperation`.
const ABORTABLE_FROM: i16 = 11;
const ADDED_FROM: i16 = 12;
