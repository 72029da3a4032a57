//! Calls about many partitions: each partition goes to its leader, one request per broker, one result per partition.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::client::{Client, Lane};
use crate::connection::Connection;
use crate::error::ClientError;
use crate::error_codes::{KafkaError, Retry};
use crate::ids::{BrokerId, TopicId, TopicPartition};
use crate::metadata::Topics;

/// One partition of a call that goes to its leader.
#[derive(Clone, Debug)]
pub(crate) struct Routed<I> {
    pub(crate) partition: TopicPartition,
    pub(crate) leader_epoch: Option<i32>,
    pub(crate) leader_epoch_or_later: Option<i32>,
    pub(crate) topic_id: TopicId,
    pub(crate) input: I,
    index: usize,
}

/// What one broker answered.
pub(crate) type Answers<T> = HashMap<TopicPartition, Result<T, ClientError>>;

/// One result per partition, in the order of the call.
pub type PartitionResults<T> = Vec<(TopicPartition, Result<T, ClientError>)>;

impl Client {
    /// Sends each of `items` to the leader of its partition by `send`, which makes one request to one broker. Partitions
    /// whose leader is not known or moved are tried once more with fresh metadata.
    pub(crate) async fn route<I, T, S, F>(
        &self,
        api: &'static str,
        items: Vec<(TopicPartition, I)>,
        send: S,
    ) -> PartitionResults<T>
    where
        I: Clone + Send + Sync + 'static,
        T: Send + 'static,
        S: Fn(Connection, Vec<Routed<I>>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Answers<T>, ClientError>> + Send + 'static,
    {
        self.route_over(Lane::Control, api, items, send).await
    }

    /// The same over a lane of its own, for what waits at the broker.
    pub(crate) async fn route_over<I, T, S, F>(
        &self,
        lane: Lane,
        api: &'static str,
        items: Vec<(TopicPartition, I)>,
        send: S,
    ) -> PartitionResults<T>
    where
        I: Clone + Send + Sync + 'static,
        T: Send + 'static,
        S: Fn(Connection, Vec<Routed<I>>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Answers<T>, ClientError>> + Send + 'static,
    {
        let mut results: Vec<_> = items.iter().map(|(_, _)| None).collect();
        let mut open: Vec<usize> = (0..items.len()).collect();
        for attempt in 0..2 {
            if attempt > 0 || !self.knows_leaders(&items) {
                self.refresh_topics_of(&items, &open).await;
            }
            let (routed, lost) = self.assign(api, &items, &open);
            let answered = self.send_all(lane, api, routed, &send).await;
            for (index, result) in lost.into_iter().chain(answered) {
                if let Some(slot) = results.get_mut(index) {
                    *slot = Some(result);
                }
            }
            open = positions(&results, is_misrouted);
            if open.is_empty() {
                break;
            }
        }
        let named = items.into_iter().zip(results);
        named
            .map(|((partition, _), result)| {
                let result = result.unwrap_or_else(|| Err(no_leader(api, &partition, None)));
                (partition, result)
            })
            .collect()
    }

    fn knows_leaders<I>(&self, items: &[(TopicPartition, I)]) -> bool {
        let metadata = self.metadata();
        items.iter().all(|(partition, _)| metadata.leader(partition).is_some())
    }

    async fn refresh_topics_of<I>(&self, items: &[(TopicPartition, I)], open: &[usize]) {
        let mut topics: Vec<Arc<str>> = open
            .iter()
            .filter_map(|index| items.get(*index))
            .map(|(partition, _)| partition.topic.clone())
            .collect();
        topics.sort();
        topics.dedup();
        // Where this fails the calls below fail as well, each with its own cause.
        if let Err(error) = self.refresh_metadata(Topics::Named(topics)).await {
            tracing::debug!(cluster = self.alias(), %error, "metadata not refreshed");
        }
    }

    /// The open items by the leader of their partition; and those without one.
    #[expect(clippy::type_complexity, reason = "two lists, each used once")]
    fn assign<I: Clone, T>(
        &self,
        api: &'static str,
        items: &[(TopicPartition, I)],
        open: &[usize],
    ) -> (BTreeMap<BrokerId, Vec<Routed<I>>>, Vec<(usize, Result<T, ClientError>)>) {
        let metadata = self.metadata();
        let mut routed: BTreeMap<BrokerId, Vec<Routed<I>>> = BTreeMap::new();
        let mut lost = Vec::new();
        for &index in open {
            let Some((partition, input)) = items.get(index) else { continue };
            let topic = metadata.topic(&partition.topic);
            let known = topic.and_then(|topic| topic.partition(partition.partition));
            let (Some(topic), Some(known), Some(leader)) =
                (topic, known, known.and_then(|known| known.leader))
            else {
                let error = known.and_then(|known| known.error).or(topic.and_then(|topic| topic.error));
                lost.push((index, Err(no_leader(api, partition, error))));
                continue;
            };
            routed.entry(leader).or_default().push(Routed {
                partition: partition.clone(),
                leader_epoch: known.leader_epoch,
                leader_epoch_or_later: known.leader_epoch_or_later,
                topic_id: topic.id,
                input: input.clone(),
                index,
            });
        }
        (routed, lost)
    }

    async fn send_all<I, T, S, F>(
        &self,
        lane: Lane,
        api: &'static str,
        routed: BTreeMap<BrokerId, Vec<Routed<I>>>,
        send: &S,
    ) -> Vec<(usize, Result<T, ClientError>)>
    where
        I: Clone + Send + Sync + 'static,
        T: Send + 'static,
        S: Fn(Connection, Vec<Routed<I>>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Answers<T>, ClientError>> + Send + 'static,
    {
        let mut calls = JoinSet::new();
        for (broker, items) in routed {
            let (client, send) = (self.clone(), send.clone());
            calls.spawn(async move {
                let keys: Vec<_> = items.iter().map(|item| (item.index, item.partition.clone())).collect();
                let answers = async {
                    let connection = client.connection(broker, lane).await?;
                    let address = connection.shared_address().clone();
                    Ok((address, send(connection, items).await?))
                };
                spread(api, keys, answers.await)
            });
        }
        let mut results = Vec::new();
        while let Some(answered) = calls.join_next().await {
            match answered {
                Ok(answered) => results.extend(answered),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => {}
            }
        }
        results
    }
}

/// The answer of one broker, by the items that it is for.
fn spread<T>(
    api: &'static str,
    keys: Vec<(usize, TopicPartition)>,
    answers: Result<(Arc<str>, Answers<T>), ClientError>,
) -> Vec<(usize, Result<T, ClientError>)> {
    let (address, mut answers) = match answers {
        Ok(answers) => answers,
        Err(error) => return keys.into_iter().map(|(index, _)| (index, Err(error.clone()))).collect(),
    };
    let results = keys.into_iter().map(|(index, partition)| {
        let result = answers.remove(&partition).unwrap_or_else(|| {
            Err(ClientError::invalid_response(&address, api, format!("nothing about {partition}")))
        });
        (index, result)
    });
    results.collect()
}

fn positions<T>(results: &[Option<Result<T, ClientError>>], wanted: fn(&ClientError) -> bool) -> Vec<usize> {
    let failed = results.iter().enumerate().filter_map(|(index, result)| match result {
        Some(Err(error)) => wanted(error).then_some(index),
        _ => None,
    });
    failed.collect()
}

/// Whether the request went to the wrong broker, or to one that is gone.
fn is_misrouted(error: &ClientError) -> bool {
    matches!(error.retry(), Retry::RefreshMetadata | Retry::Reconnect)
}

pub(crate) fn no_leader(
    api: &'static str,
    partition: &TopicPartition,
    error: Option<KafkaError>,
) -> ClientError {
    ClientError::Broker {
        error: error.unwrap_or(KafkaError::UNKNOWN_TOPIC_OR_PARTITION),
        api,
        context: partition.to_string().into(),
        message: Some("no leader in the cluster's metadata".into()),
    }
}

/// The items by topic, in order of topics.
pub(crate) fn by_topic<I>(items: &[Routed<I>]) -> BTreeMap<&Arc<str>, Vec<&Routed<I>>> {
    let mut topics: BTreeMap<&Arc<str>, Vec<&Routed<I>>> = BTreeMap::new();
    for item in items {
        topics.entry(&item.partition.topic).or_default().push(item);
    }
    topics
}
