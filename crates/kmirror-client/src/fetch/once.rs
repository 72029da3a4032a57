//! Single fetches outside any session, for a look at a log.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kafka_protocol::messages as m;
use tokio::time::Instant;

use super::session::{FetchPosition, FetchSettings, VERSION_OF_REPLICAS, topic};
use super::{FetchRequest, FetchResponse, FetchedPartition};
use crate::client::{Client, Lane};
use crate::connection::{Connection, FrameOwner};
use crate::error::ClientError;
use crate::error_codes::KafkaError;
use crate::ids::{Isolation, TopicId, TopicPartition};
use crate::route::{Answers, PartitionResults, Routed, by_topic};
use crate::wire::Api;

impl Client {
    /// Reads `partition` from `offset` on: at most `bytes_max`, or one batch of any size, without waiting for data.
    ///
    /// # Errors
    /// Those of any call, an error of the partition, and [`ClientError::Throttled`].
    pub async fn fetch_once(
        &self,
        partition: &TopicPartition,
        offset: i64,
        bytes_max: i32,
        isolation: Isolation,
    ) -> Result<FetchedPartition, ClientError> {
        let fetched = self.fetch_many(&[(partition.clone(), offset)], bytes_max, isolation).await;
        only(fetched)
    }

    /// Reads `partition` from `offset` on, and waits at the broker for data as the settings say. `owner` accounts for the memory of
    /// the response.
    ///
    /// # Errors
    /// Those of [`fetch_once`](Self::fetch_once).
    pub async fn fetch_patiently(
        &self,
        partition: &TopicPartition,
        offset: i64,
        settings: FetchSettings,
        owner: Option<Box<dyn FrameOwner>>,
    ) -> Result<FetchedPartition, ClientError> {
        let (client, owner) = (self.clone(), Arc::new(Mutex::new(owner)));
        let send = move |connection, items| {
            let owner = owner.lock().unwrap_or_else(PoisonError::into_inner).take();
            fetch(client.clone(), connection, items, settings, owner)
        };
        let mut hasher = DefaultHasher::new();
        partition.hash(&mut hasher);
        // What waits at the broker must not hold others up, nor all of it each other.
        let lane = Lane::FetchOnce((hasher.finish() % LANES) as u16);
        only(self.route_over(lane, m::FetchRequest::NAME, vec![(partition.clone(), offset)], send).await)
    }

    /// Reads many partitions, one request per broker: of each at most `partition_bytes_max`, without waiting for data.
    /// Each partition at most once. Only the first partition of a request is sure to get a batch larger than that.
    pub async fn fetch_many(
        &self,
        partitions: &[(TopicPartition, i64)],
        partition_bytes_max: i32,
        isolation: Isolation,
    ) -> PartitionResults<FetchedPartition> {
        let settings = FetchSettings {
            max_wait: Duration::ZERO,
            min_bytes: 0,
            bytes_max: partition_bytes_max,
            isolation,
        };
        let client = self.clone();
        let send = move |connection, items| fetch(client.clone(), connection, items, settings, None);
        self.route(m::FetchRequest::NAME, partitions.to_vec(), send).await
    }

    /// The answer to a fetch for which the quotas of the cluster leave room. A throttled one is answered at once and without any
    /// partition (KIP-219); the connection sends nothing more for as long as that answer says.
    pub(crate) async fn fetch_unthrottled(
        &self,
        connection: &Connection,
        request: FetchRequest,
        mut owner: Option<Box<dyn FrameOwner>>,
    ) -> Result<FetchResponse, ClientError> {
        let begun = Instant::now();
        loop {
            let response = connection.submit_fetch(request.clone(), owner.take()).await?.await?;
            if !response.is_throttled() {
                return Ok(response);
            }
            let waited = begun.elapsed();
            if waited >= self.config().request_timeout * THROTTLED_TIMEOUTS_MAX {
                return Err(ClientError::Throttled {
                    address: connection.shared_address().clone(),
                    api: m::FetchRequest::NAME,
                    client_id: self.config().client_id.as_str().into(),
                    waited,
                });
            }
            self.tell_throttled(response.throttle_time());
        }
    }
}

/// One request to one broker. Of each partition at most `bytes_max` of the settings.
///
/// A leader that sends readers to a replica (KIP-392) shows no records, though it says where the log ends. It does so from version 11 on
/// (`KafkaApis.handleFetchRequest`), so what it redirects is asked for once more in an older one: a look is worth most at the leader.
async fn fetch(
    client: Client,
    connection: Connection,
    items: Vec<Routed<i64>>,
    settings: FetchSettings,
    owner: Option<Box<dyn FrameOwner>>,
) -> Result<Answers<FetchedPartition>, ClientError> {
    let (versions, mut owner) = ([i16::MAX, VERSION_OF_REPLICAS - 1], owner);
    let (mut open, mut answers) = (items, Answers::new());
    for version_max in versions {
        let asked = fetch_at(&client, &connection, &open, version_max, settings, owner.take()).await?;
        let is_redirected = |answer: &Result<FetchedPartition, ClientError>| {
            answer.as_ref().is_ok_and(|fetched| fetched.preferred_read_replica.is_some())
        };
        open.retain(|item| asked.get(&item.partition).is_some_and(is_redirected));
        answers.extend(asked);
        if open.is_empty() {
            break;
        }
    }
    Ok(answers)
}

/// The same in this version or an older one.
async fn fetch_at(
    client: &Client,
    connection: &Connection,
    items: &[Routed<i64>],
    version_max: i16,
    settings: FetchSettings,
    owner: Option<Box<dyn FrameOwner>>,
) -> Result<Answers<FetchedPartition>, ClientError> {
    let all_ids_known = items.iter().all(|item| !item.topic_id.is_none());
    let version = connection.fetch_version()?.min(version_max).min(if all_ids_known { i16::MAX } else { 12 });
    let topics = by_topic(items).into_iter().map(|(name, items)| {
        let id = items.first().map_or(TopicId::NONE, |item| item.topic_id);
        let partitions = items.into_iter().map(|item| position(item, settings.bytes_max));
        topic(version, name, id).with_partitions(
            partitions.map(|(partition, position)| position.to_wire(version, partition)).collect(),
        )
    });
    let count = i32::try_from(items.len()).unwrap_or(i32::MAX);
    let body = m::FetchRequest::default()
        .with_min_bytes(settings.min_bytes)
        .with_max_wait_ms(i32::try_from(settings.max_wait.as_millis()).unwrap_or(i32::MAX))
        .with_max_bytes(settings.bytes_max.saturating_mul(count))
        .with_isolation_level(settings.isolation.to_wire())
        .with_session_id(0)
        .with_session_epoch(-1)
        .with_topics(topics.collect());
    let response = client.fetch_unthrottled(connection, FetchRequest { version, body }, owner).await?;
    let api = m::FetchRequest::NAME;
    ClientError::check(response.body.error_code, api, connection.address(), None)?;
    let name = |name: &str, id: TopicId| -> Option<Arc<str>> {
        let named = |item: &&Routed<i64>| match id.is_none() {
            true => *item.partition.topic == *name,
            false => item.topic_id == id,
        };
        items.iter().find(named).map(|item| item.partition.topic.clone())
    };
    let answers = response.partitions(name).map(|fetched| {
        let partition = fetched.topic_partition.clone();
        let code = fetched.error.map_or(0, KafkaError::code);
        let checked = ClientError::check(code, api, &partition, None);
        let asked = items.iter().find(|item| item.partition == partition);
        let leader_epoch = asked.and_then(|item| item.leader_epoch);
        (partition, checked.map(|()| FetchedPartition { leader_epoch, ..fetched }))
    });
    Ok(answers.collect())
}

fn only(fetched: PartitionResults<FetchedPartition>) -> Result<FetchedPartition, ClientError> {
    fetched.into_iter().next().map_or_else(
        || Err(ClientError::invalid_request(m::FetchRequest::NAME, "no partition")),
        |(_, fetched)| fetched,
    )
}

fn position(item: &Routed<i64>, partition_bytes_max: i32) -> (i32, FetchPosition) {
    let position = FetchPosition {
        offset: item.input,
        leader_epoch: item.leader_epoch,
        last_fetched_epoch: None,
        topic_id: item.topic_id,
        partition_bytes_max,
    };
    (item.partition.partition, position)
}

/// How long a quota may leave no room for a fetch, in `request_timeout`s.
const THROTTLED_TIMEOUTS_MAX: u32 = 2;
/// Connections to one broker, over all fetches that wait.
const LANES: u64 = 4;
