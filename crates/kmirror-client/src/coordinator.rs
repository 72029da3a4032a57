//! Coordinators of groups and transactions: found once, asked until they are ready, found again where they moved.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages as m;
use tokio::time::Instant;

use crate::client::{Client, Lane};
use crate::connection::Connection;
use crate::error::ClientError;
use crate::error_codes::KafkaError;
use crate::ids::{BrokerId, to_wire};
use crate::wire::Api;

/// What a coordinator coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CoordinatorKind {
    /// A consumer group, by its id.
    Group,
    /// The transactions of a transactional id.
    Transaction,
}

impl Client {
    /// The broker that coordinates the group or transactional id `key`. Asked for once, then remembered until a call finds
    /// that it moved. Waits for up to `timeout` where there is none yet: the first question makes the cluster create the
    /// topic that the answer depends on.
    ///
    /// # Errors
    /// Those of any call, and those of the broker.
    pub async fn find_coordinator(
        &self,
        kind: CoordinatorKind,
        key: &str,
        timeout: Duration,
    ) -> Result<BrokerId, ClientError> {
        let patience = Patience::new(timeout);
        self.coordinator_within(kind, key, patience).await
    }

    async fn coordinator_within(
        &self,
        kind: CoordinatorKind,
        key: &str,
        mut patience: Patience,
    ) -> Result<BrokerId, ClientError> {
        if let Some(known) = self.coordinators().get(&(kind, key.into())) {
            return Ok(*known);
        }
        loop {
            match self.ask_for_coordinator(kind, key).await {
                Ok(found) => {
                    self.coordinators().insert((kind, key.into()), found);
                    return Ok(found);
                }
                Err(error) if passes(&error) && patience.wait().await => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn ask_for_coordinator(&self, kind: CoordinatorKind, key: &str) -> Result<BrokerId, ClientError> {
        let connection = self.any().await?;
        let version = connection.version::<m::FindCoordinatorRequest>()?;
        let response = connection.call_version(find_coordinator(kind, key, version), version).await?;
        let api = m::FindCoordinatorRequest::NAME;
        let (node_id, code, message) = if version >= BATCHED_SINCE {
            let found = response.coordinators.into_iter().find(|found| found.key.as_str() == key);
            let found = found.ok_or_else(|| {
                ClientError::invalid_response(
                    connection.shared_address(),
                    api,
                    format!("nothing about {key:?}"),
                )
            })?;
            (found.node_id, found.error_code, found.error_message)
        } else {
            (response.node_id, response.error_code, response.error_message)
        };
        ClientError::check(code, api, key, message.as_ref().map(|message| message.as_str()))?;
        BrokerId::from_wire(node_id.0).ok_or_else(|| {
            ClientError::invalid_response(connection.shared_address(), api, format!("no broker for {key:?}"))
        })
    }

    /// Sends what `build` makes for a version to the coordinator of `key`, again while the coordinator is loading, moves or
    /// has the id's previous transaction to finish, until `timeout`. `refused` reads the error that says so.
    pub(crate) async fn call_coordinator<A: Api>(
        &self,
        (kind, key): (CoordinatorKind, &str),
        timeout: Duration,
        build: impl Fn(i16) -> A,
        refused: impl Fn(&A::Response) -> i16,
    ) -> Result<(Connection, A::Response), ClientError> {
        let mut patience = Patience::new(timeout);
        loop {
            let coordinator = self.coordinator_within(kind, key, patience).await?;
            let answered = self.ask_coordinator(coordinator, key, &build).await;
            let error = match answered {
                Ok((connection, response)) => {
                    match ClientError::check(refused(&response), A::NAME, key, None) {
                        Ok(()) => return Ok((connection, response)),
                        Err(error) if !passes(&error) => return Ok((connection, response)),
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            if error.kafka_error() != Some(KafkaError::CONCURRENT_TRANSACTIONS) {
                self.coordinators().remove(&(kind, Arc::from(key)));
            }
            if !(passes(&error) && patience.wait().await) {
                return Err(error);
            }
        }
    }

    async fn ask_coordinator<A: Api>(
        &self,
        coordinator: BrokerId,
        key: &str,
        build: &impl Fn(i16) -> A,
    ) -> Result<(Connection, A::Response), ClientError> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let connection =
            self.connection(coordinator, Lane::Coordinator((hasher.finish() % LANES) as u16)).await?;
        let version = connection.version::<A>()?;
        let response = connection.call_version(build(version), version).await?;
        Ok((connection, response))
    }
}

/// From this version on many keys are asked for at once (KIP-699).
const BATCHED_SINCE: i16 = 4;
/// Connections to one coordinator, over all keys: what one key waits for, its neighbours need not.
const LANES: u64 = 8;

fn find_coordinator(kind: CoordinatorKind, key: &str, version: i16) -> m::FindCoordinatorRequest {
    // `FindCoordinatorRequest.CoordinatorType`.
    let key_type = match kind {
        CoordinatorKind::Group => 0,
        CoordinatorKind::Transaction => 1,
    };
    let request = m::FindCoordinatorRequest::default().with_key_type(key_type);
    if version >= BATCHED_SINCE {
        request.with_coordinator_keys(vec![to_wire(key)])
    } else {
        request.with_key(to_wire(key))
    }
}

/// Whether the same question to the coordinator, found anew, may be answered a little later.
fn passes(error: &ClientError) -> bool {
    matches!(
        error.kafka_error(),
        Some(
            KafkaError::COORDINATOR_LOAD_IN_PROGRESS
                | KafkaError::COORDINATOR_NOT_AVAILABLE
                | KafkaError::NOT_COORDINATOR
                | KafkaError::CONCURRENT_TRANSACTIONS
        )
    )
}

/// Pauses that grow, until a deadline.
#[derive(Clone, Copy)]
struct Patience {
    deadline: Instant,
    pause: Duration,
}

impl Patience {
    fn new(timeout: Duration) -> Self {
        Self { deadline: Instant::now() + timeout, pause: PAUSE_MIN }
    }

    /// Whether there was time for another pause.
    async fn wait(&mut self) -> bool {
        if Instant::now() + self.pause > self.deadline {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        true
    }
}

const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::Encodable;

    use super::*;

    #[test]
    fn every_version_can_be_written() {
        let (min, max) = m::FindCoordinatorRequest::VERSIONS;
        for version in min..=max {
            let request = find_coordinator(CoordinatorKind::Transaction, "kmirror", version);
            let mut bytes = Vec::new();
            request.encode(&mut bytes, version).unwrap();
            assert!(bytes.windows(7).any(|window| window == b"kmirror"), "version {version}");
        }
    }
}
