//! Whom metadata are asked of, and what is believed of them. A broker that is cut off from its controller goes on answering from what it
//! heard last, and does not know it. So each time another broker is asked, one that keeps silent is not waited for, and that a topic is
//! gone, or is another one, counts when a second broker says so too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::MetadataRequest;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::chance;
use crate::client::{Client, Lane, lock};
use crate::connection::Connection;
use crate::error::ClientError;
use crate::error_codes::KafkaError;
use crate::ids::BrokerId;
use crate::metadata::{ClusterMetadata, Topics};
use crate::wire::Api;

/// Who was asked before.
#[derive(Debug, Default)]
pub(crate) struct Askings {
    /// Who answered last: mostly somebody else is asked next.
    last: Option<BrokerId>,
    /// Who did not answer in time, and when that was.
    silent: BTreeMap<BrokerId, Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    Broker(BrokerId),
    /// Whoever answers first at the bootstrap servers and the known brokers' addresses, over a new connection.
    Anyone,
    /// Whoever answers first at the bootstrap servers.
    Bootstrap,
}

struct Answer {
    connection: Connection,
    /// Who answered, where that is known.
    broker: Option<BrokerId>,
    metadata: ClusterMetadata,
}

impl Client {
    /// Asks a broker for the brokers and for `topics`, each time another one. Creates no topic.
    ///
    /// # Errors
    /// What kept every broker from answering; [`ClientError::OtherCluster`] where all that answer are of another cluster. Errors of
    /// single topics are in the metadata.
    pub async fn refresh_metadata(&self, topics: Topics) -> Result<Arc<ClusterMetadata>, ClientError> {
        let known = self.candidates(&[]).into_iter().map(Whom::Broker);
        let answer = match self.first_answer(&topics, known.chain([Whom::Anyone]).collect()).await {
            Err(error) if error.kafka_error() == Some(KafkaError::REBOOTSTRAP_REQUIRED) => {
                tracing::info!(
                    cluster = self.alias(),
                    "the cluster asks to begin again at the bootstrap servers"
                );
                self.forget_connections();
                self.first_answer(&topics, vec![Whom::Bootstrap]).await?
            }
            answer => answer?,
        };
        lock(self.askings()).last = answer.broker;
        self.take_for_any(answer.connection);
        let mut fresh = answer.metadata;
        let known = self.metadata();
        let denied = known.denied_by(&topics, &fresh);
        if !denied.is_empty() {
            let others = self.others_say(denied.clone(), answer.broker).await;
            fresh.settle(&known, &denied, others.as_deref());
        }
        Ok(self.take_over_metadata(&topics, fresh, answer.broker))
    }

    /// What other brokers say of `topics`, until two have spoken or nobody is left to ask. `None` where those that are left do not answer.
    async fn others_say(
        &self,
        topics: Vec<Arc<str>>,
        first: Option<BrokerId>,
    ) -> Option<Vec<ClusterMetadata>> {
        let topics = Topics::Named(topics);
        let (mut asked, mut said): (Vec<_>, _) = (first.into_iter().collect(), Vec::new());
        while asked.len() < VOICES {
            let others = self.candidates(&asked);
            if others.is_empty() {
                break;
            }
            let others = others.into_iter().map(Whom::Broker).collect();
            let answer = self.first_answer(&topics, others).await.ok()?;
            asked.extend(answer.broker);
            said.push(answer.metadata);
        }
        Some(said)
    }

    /// The known brokers but these, in the order in which they are to be asked: mostly the one that answered last comes last. Not always,
    /// since those who ask take turns as well, and one of them would ask the same broker for ever.
    fn candidates(&self, but: &[BrokerId]) -> Vec<BrokerId> {
        let metadata = self.metadata();
        let askings = lock(self.askings());
        let is_silent =
            |broker: &BrokerId| askings.silent.get(broker).is_some_and(|at| at.elapsed() < SILENT_FOR);
        let instance = format!("{} {}", self.config().client_id, self.alias());
        let takes_turns = !chance::bits("turns of asking", &instance).is_multiple_of(TURNS_KEPT);
        let is_last = |broker: &BrokerId| takes_turns && askings.last == Some(*broker);
        let brokers = metadata.brokers.keys().filter(|broker| !but.contains(broker));
        let mut brokers: Vec<_> = brokers.copied().collect();
        brokers.sort_by_cached_key(|broker| {
            (is_silent(broker), is_last(broker), chance::bits("whom to ask", &instance))
        });
        brokers
    }

    /// The first answer of these, asked one after the other: the next one when one fails, or keeps silent for a while. That the client is
    /// to begin again (KIP-1102) is an answer of all known brokers.
    async fn first_answer(&self, topics: &Topics, whom: Vec<Whom>) -> Result<Answer, ClientError> {
        let mut next = whom.into_iter();
        let mut asked = JoinSet::new();
        let mut failure = None;
        loop {
            let whom = next.next();
            if let Some(whom) = whom {
                let (client, topics) = (self.clone(), topics.clone());
                asked.spawn(async move { (whom, client.ask(whom, &topics).await) });
            }
            let is_last = next.len() == 0;
            let joined = match timeout(PATIENCE, asked.join_next()).await {
                Ok(joined) => joined,
                Err(_) if is_last => asked.join_next().await,
                Err(_) => {
                    self.note_silent(whom);
                    continue;
                }
            };
            match joined {
                Some(Ok((_, Ok(answer)))) => return Ok(self.note_answer(answer)),
                Some(Ok((whom, Err(error)))) => {
                    tracing::debug!(cluster = self.alias(), ?whom, %error, "asking another broker");
                    self.note_silent(Some(whom));
                    if error.kafka_error() == Some(KafkaError::REBOOTSTRAP_REQUIRED) {
                        return Err(error);
                    }
                    // Who has tried all addresses knows best.
                    if whom == Whom::Anyone || failure.is_none() {
                        failure = Some(error);
                    }
                }
                Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Some(Err(_)) => {}
                None => return Err(failure.unwrap_or_else(|| self.unreachable(Vec::new()))),
            }
        }
    }

    async fn ask(&self, whom: Whom, topics: &Topics) -> Result<Answer, ClientError> {
        let connection = match whom {
            Whom::Broker(broker) => self.known_connection(broker, Lane::Control).await?,
            Whom::Anyone => self.open_any().await?,
            Whom::Bootstrap => self.open_bootstrap().await?,
        };
        let version = connection.version::<MetadataRequest>()?;
        let response = connection.call_version(topics.to_wire(), version).await?;
        let found = response.cluster_id.as_ref().map(|id| id.as_str());
        if let Err(other) = self.identity().check(connection.shared_address(), found) {
            self.leave(&connection);
            return Err(other);
        }
        ClientError::check(response.error_code, MetadataRequest::NAME, self.alias(), None)?;
        let metadata = ClusterMetadata::of(response, version);
        let at_address = || {
            let here = metadata.brokers.iter().find(|(_, broker)| broker.address() == connection.address());
            here.map(|(id, _)| *id)
        };
        let broker = match whom {
            Whom::Broker(broker) => Some(broker),
            Whom::Anyone | Whom::Bootstrap => at_address(),
        };
        Ok(Answer { connection, broker, metadata })
    }

    fn note_answer(&self, answer: Answer) -> Answer {
        if let Some(broker) = answer.broker {
            lock(self.askings()).silent.remove(&broker);
        }
        answer
    }

    fn note_silent(&self, whom: Option<Whom>) {
        if let Some(Whom::Broker(broker)) = whom {
            lock(self.askings()).silent.insert(broker, Instant::now());
        }
    }
}

/// A topic is gone when so many brokers say so, unless there are fewer.
const VOICES: usize = 2;
/// Of so many times once the order is by chance alone.
const TURNS_KEPT: u64 = 4;
/// After so long another broker is asked as well.
const PATIENCE: Duration = Duration::from_secs(2);
/// For so long a broker that did not answer is asked after all others.
const SILENT_FOR: Duration = Duration::from_secs(30);
