//! One cluster: where its brokers are, and a connection to each for each kind of traffic.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::ask::Askings;
use crate::config::ClientConfig;
use crate::connection::Connection;
use crate::coordinator::CoordinatorKind;
use crate::error::{Attempts, ClientError};
use crate::error_codes::Retry;
use crate::identity::ClusterIdentity;
use crate::ids::{BrokerId, TopicPartition};
use crate::metadata::{ClusterMetadata, LeaderHint, Topics};
use crate::regress::Regressions;
use crate::route::no_leader;
use crate::security::Security;
use crate::wire::Api;

/// One cluster. Clones share connections and metadata; all sockets close with the last clone and the last handle.
///
/// Calls are routed to the brokers that they concern. A call that meets a leader or a controller that moved refreshes the
/// metadata and tries once more; all other retries are the caller's, by [`ClientError::retry`].
///
/// ```no_run
/// # async fn example() -> Result<(), kmirror_client::ClientError> {
/// use kmirror_client::{Client, ClientConfig, Isolation, OffsetSpec, TopicPartition, Topics};
///
/// let client = Client::connect(ClientConfig::new("east", ["127.0.0.1:19092"])).await?;
/// let metadata = client.refresh_metadata(Topics::All).await?;
/// println!("{} brokers, {} topics", metadata.brokers.len(), metadata.topics.len());
///
/// let orders = TopicPartition::new("orders", 0);
/// for (partition, end) in client.list_offsets(&[(orders, OffsetSpec::Latest)], Isolation::ReadCommitted).await {
///     println!("{partition} ends at {:?}", end?.offset);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client(Arc<Inner>);

/// What a connection is for. Each lane is a socket of its own, so that none waits for the others: a broker answers the
/// requests of a connection one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Metadata, configurations, offsets: what is answered at once.
    Control,
    /// Changes of topics, for which a broker may wait for the controller.
    Controller,
    /// Deletions of records, for which it may wait for replicas.
    Deletions,
    /// Fetches, which wait at the broker for data.
    Fetch(u16),
    /// Single fetches ([`Client::fetch_patiently`]), which wait there as well.
    FetchOnce(u16),
    /// Control markers, whose appends others must not wait for.
    Markers(u16),
    /// Coordinators of groups and transactions.
    Coordinator(u16),
    /// Appends.
    Produce(u16),
    /// Fills the heads of logs, in large batches that others must not wait for.
    Seed(u16),
    /// Single appends ([`Client::produce_once`]), which must not queue behind those of a copy.
    ProduceOnce,
}

struct Inner {
    config: ClientConfig,
    identity: ClusterIdentity,
    security: Security,
    metadata: Mutex<Arc<ClusterMetadata>>,
    connections: Mutex<BTreeMap<(BrokerId, Lane), Slot>>,
    /// A connection to any broker, for requests that any broker answers.
    any: Mutex<Option<Connection>>,
    askings: Mutex<Askings>,
    regressions: Mutex<Regressions>,
    coordinators: Mutex<Coordinators>,
    /// When it was told last that a quota throttles reads.
    throttling_told: Mutex<Option<Instant>>,
}

/// The brokers that coordinate what has been asked for.
type Coordinators = HashMap<(CoordinatorKind, Arc<str>), BrokerId>;

#[derive(Clone)]
struct Slot {
    address: Arc<str>,
    connection: Arc<OnceCell<Connection>>,
}

impl Client {
    /// Connects to one of the bootstrap servers, whichever answers first, and learns the brokers.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] with the cause of each address when none is ready within `connect_timeout`;
    /// [`ClientError::OtherCluster`] where all that answer are of another cluster than the configured one;
    /// [`ClientError::Authentication`] where one refuses who we are; [`ClientError::Config`] when there is no address, or a file of TLS or
    /// SASL cannot be used.
    pub async fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        if config.bootstrap_servers.is_empty() {
            return Err(ClientError::config(&config.alias, "no bootstrap servers"));
        }
        let client = Self(Arc::new(Inner {
            identity: ClusterIdentity::new(&config),
            security: Security::new(&config),
            config,
            metadata: Mutex::default(),
            connections: Mutex::default(),
            any: Mutex::default(),
            askings: Mutex::default(),
            regressions: Mutex::default(),
            coordinators: Mutex::default(),
            throttling_told: Mutex::default(),
        }));
        client.refresh_metadata(Topics::Named(Vec::new())).await?;
        Ok(client)
    }

    /// The cluster's name in the configuration.
    pub fn alias(&self) -> &str {
        &self.0.config.alias
    }

    /// The configuration.
    pub fn config(&self) -> &ClientConfig {
        &self.0.config
    }

    /// The cluster's id, which it keeps for life: the configured one, or the first that was answered. No other cluster is spoken to.
    pub fn cluster_id(&self) -> Option<String> {
        self.0.identity.id().map(|id| id.to_string())
    }

    /// What is known of the cluster.
    pub fn metadata(&self) -> Arc<ClusterMetadata> {
        lock(&self.0.metadata).clone()
    }

    /// Takes over who leads `partition`, from a response of another broker. Older news than the metadata's is ignored.
    pub fn leader_hint(&self, partition: &TopicPartition, hint: &LeaderHint) {
        let mut metadata = lock(&self.0.metadata);
        if metadata.is_news(partition, hint) {
            Arc::make_mut(&mut metadata).take_hint(partition, hint);
        }
    }

    /// The connection to `broker` for `lane`: the same one until it is poisoned, then a new one.
    ///
    /// # Errors
    /// [`ClientError::UnknownBroker`], or why the broker cannot be reached; [`ClientError::OtherCluster`] where its address is that of
    /// another cluster's broker.
    pub async fn connection(&self, broker: BrokerId, lane: Lane) -> Result<Connection, ClientError> {
        let slot = match self.slot(broker, lane) {
            Some(slot) => slot,
            None => self.slot_after_refresh(broker, lane).await?,
        };
        match self.open(&slot).await {
            // The broker may have moved before somebody else was given its address.
            Err(other) if other.is_other_cluster() => {
                let moved = self.slot_after_refresh(broker, lane).await?;
                if moved.address == slot.address { Err(other) } else { self.open(&moved).await }
            }
            opened => opened,
        }
    }

    /// The same for a broker that the metadata knows, without asking for them.
    pub(crate) async fn known_connection(
        &self,
        broker: BrokerId,
        lane: Lane,
    ) -> Result<Connection, ClientError> {
        let slot = self.slot(broker, lane).ok_or_else(|| self.unknown(broker))?;
        self.open(&slot).await
    }

    async fn slot_after_refresh(&self, broker: BrokerId, lane: Lane) -> Result<Slot, ClientError> {
        self.refresh_metadata(Topics::Named(Vec::new())).await?;
        self.slot(broker, lane).ok_or_else(|| self.unknown(broker))
    }

    async fn open(&self, slot: &Slot) -> Result<Connection, ClientError> {
        let open = || self.open_address(slot.address.clone());
        let opening = slot.connection.get_or_try_init(open);
        // Where it fails, those who wait for the same connection try one after the other: none waits for all of them.
        let waited = self.config().connect_timeout;
        match timeout(waited, opening).await {
            Ok(opened) => opened.cloned(),
            Err(_) => Err(ClientError::Timeout { address: slot.address.clone(), during: "connect", waited }),
        }
    }

    async fn open_address(&self, address: Arc<str>) -> Result<Connection, ClientError> {
        Connection::open(address, self.config(), &self.0.identity, &self.0.security).await
    }

    /// How long it takes to `broker` and back: the quickest answer on any of its connections that are open. `None` where none is.
    pub fn round_trip(&self, broker: BrokerId) -> Option<Duration> {
        let connections = lock(&self.0.connections);
        let open = connections.iter().filter(|((of, _), _)| *of == broker);
        open.filter_map(|(_, slot)| slot.connection.get()).map(Connection::round_trip).min()
    }

    /// The slot of a connection that is fit for use, or that can be opened. `None` when the metadata has no such broker.
    fn slot(&self, broker: BrokerId, lane: Lane) -> Option<Slot> {
        let address = self.metadata().brokers.get(&broker)?.address();
        let mut connections = lock(&self.0.connections);
        let known = connections.get(&(broker, lane)).filter(|slot| {
            let poisoned = slot.connection.get().is_some_and(|connection| connection.poison().is_some());
            *slot.address == *address && !poisoned
        });
        let slot = match known {
            Some(slot) => slot.clone(),
            None => Slot { address: address.into(), connection: Arc::default() },
        };
        connections.insert((broker, lane), slot.clone());
        Some(slot)
    }

    fn unknown(&self, broker: BrokerId) -> ClientError {
        ClientError::UnknownBroker { alias: self.alias().into(), broker }
    }

    /// The leader of `partition`, asked for where the metadata does not know it.
    ///
    /// # Errors
    /// What keeps the metadata from being refreshed, or that there is no leader.
    pub(crate) async fn leader_or_refresh(
        &self,
        api: &'static str,
        partition: &TopicPartition,
    ) -> Result<BrokerId, ClientError> {
        if let Some(leader) = self.metadata().leader(partition) {
            return Ok(leader);
        }
        let metadata = self.refresh_metadata(Topics::Named(vec![partition.topic.clone()])).await?;
        let error = metadata.topic(&partition.topic).and_then(|topic| topic.error);
        metadata.leader(partition).ok_or_else(|| no_leader(api, partition, error))
    }

    /// Sends `request` to the controller, and once more where it moved.
    pub(crate) async fn call_controller<A: Api + Clone>(
        &self,
        request: A,
        moved: impl Fn(&A::Response) -> bool,
    ) -> Result<A::Response, ClientError> {
        let response = self.call_controller_once(request.clone()).await;
        let again = match &response {
            Ok(response) => moved(response),
            Err(error) => matches!(error, ClientError::UnknownBroker { .. }),
        };
        if !again {
            return response;
        }
        self.refresh_metadata(Topics::Named(Vec::new())).await?;
        self.call_controller_once(request).await
    }

    async fn call_controller_once<A: Api>(&self, request: A) -> Result<A::Response, ClientError> {
        match self.metadata().controller {
            Some(controller) => self.connection(controller, Lane::Controller).await?.call(request).await,
            None => self.any().await?.call(request).await,
        }
    }

    /// Sends `request` to any broker, and to another one where the first is lost. Only for requests that may be repeated.
    pub(crate) async fn call_any<A: Api + Clone>(&self, request: A) -> Result<A::Response, ClientError> {
        let connection = self.any().await?;
        match connection.call(request.clone()).await {
            Err(error) if error.retry() == Retry::Reconnect => {
                tracing::debug!(cluster = self.alias(), %error, "asking another broker");
                self.any().await?.call(request).await
            }
            answer => answer,
        }
    }

    /// Tells now and then that a quota throttles reads: what waits for them would not say why it stands still.
    pub(crate) fn tell_throttled(&self, throttle_time: Duration) {
        let mut told = lock(&self.0.throttling_told);
        if told.is_none_or(|told| told.elapsed() >= THROTTLING_TOLD_INTERVAL) {
            *told = Some(Instant::now());
            let (cluster, client_id) = (self.alias(), &self.config().client_id);
            tracing::warn!(
                cluster,
                client_id,
                ?throttle_time,
                "a quota throttles what is read: it is waited for"
            );
        }
    }

    pub(crate) fn coordinators(&self) -> MutexGuard<'_, Coordinators> {
        lock(&self.0.coordinators)
    }

    /// Who was asked for metadata before.
    pub(crate) fn askings(&self) -> &Mutex<Askings> {
        &self.0.askings
    }

    pub(crate) fn identity(&self) -> &ClusterIdentity {
        &self.0.identity
    }

    /// Merges what a refresh that asked `broker` for `topics` brought into what is known.
    pub(crate) fn take_over_metadata(
        &self,
        topics: &Topics,
        fresh: ClusterMetadata,
        broker: Option<BrokerId>,
    ) -> Arc<ClusterMetadata> {
        let mut metadata = lock(&self.0.metadata);
        if let Some(broker) = broker {
            let gone_back = lock(&self.0.regressions).take_in(&metadata, &fresh, broker, Instant::now());
            for partition in gone_back {
                tracing::info!(cluster = self.alias(), %partition, "its leader epoch has gone back, all brokers say");
                Arc::make_mut(&mut metadata).forget_epoch(&partition);
            }
        }
        *metadata = Arc::new(metadata.merged(topics, fresh));
        metadata.clone()
    }

    /// What any broker may answer goes to the one that answered last.
    pub(crate) fn take_for_any(&self, connection: Connection) {
        *lock(&self.0.any) = Some(connection);
    }

    /// Uses `connection` for nothing more: the next one is another socket, and this one closes with its last clone.
    pub fn leave(&self, connection: &Connection) {
        lock(&self.0.any).take_if(|any| any.is(connection));
        let is_left = |slot: &Slot| slot.connection.get().is_some_and(|open| open.is(connection));
        lock(&self.0.connections).retain(|_, slot| !is_left(slot));
    }

    /// A connection to any broker: to another one after each refresh of the metadata.
    pub(crate) async fn any(&self) -> Result<Connection, ClientError> {
        let known = lock(&self.0.any).clone().filter(|connection| connection.poison().is_none());
        if let Some(connection) = known {
            return Ok(connection);
        }
        let connection = self.open_any().await?;
        *lock(&self.0.any) = Some(connection.clone());
        Ok(connection)
    }

    /// Closes all connections that nobody else holds: the brokers are to be found anew.
    pub(crate) fn forget_connections(&self) {
        *lock(&self.0.any) = None;
        lock(&self.0.connections).clear();
    }

    /// The first connection that is ready, of all bootstrap servers and all known brokers at once.
    pub(crate) async fn open_any(&self) -> Result<Connection, ClientError> {
        let metadata = self.metadata();
        let brokers = metadata.brokers.values().map(|broker| broker.address());
        self.open_first(self.config().bootstrap_servers.iter().cloned().chain(brokers).collect()).await
    }

    /// The first connection that is ready, of all bootstrap servers at once.
    pub(crate) async fn open_bootstrap(&self) -> Result<Connection, ClientError> {
        self.open_first(self.config().bootstrap_servers.iter().cloned().collect()).await
    }

    async fn open_first(&self, addresses: BTreeSet<String>) -> Result<Connection, ClientError> {
        let deadline = Instant::now() + self.config().connect_timeout;
        let mut opening = JoinSet::new();
        for address in &addresses {
            let address: Arc<str> = address.as_str().into();
            let client = self.clone();
            opening.spawn(async move {
                let opened = client.open_address(address.clone()).await;
                (address, opened)
            });
        }
        let mut causes = Vec::new();
        // Each attempt has a time limit of its own; this one is for a runtime too busy to keep them.
        while let Ok(Some(attempt)) =
            timeout_at(deadline + self.config().connect_timeout, opening.join_next()).await
        {
            match attempt {
                Ok((_, Ok(connection))) => return Ok(connection),
                Ok((address, Err(cause))) => causes.push((address, cause)),
                Err(_) => continue,
            }
        }
        causes.sort_by(|(one, _), (other, _)| one.cmp(other));
        // An address that does not answer says nothing of the cluster; one that does says that the others may never be back.
        let says_more = |cause: &ClientError| cause.is_other_cluster() || cause.is_authentication();
        if let Some((_, cause)) = causes.iter().find(|(_, cause)| says_more(cause)) {
            return Err(cause.clone());
        }
        Err(self.unreachable(causes))
    }

    pub(crate) fn unreachable(&self, causes: Vec<(Arc<str>, ClientError)>) -> ClientError {
        ClientError::Unreachable { alias: self.alias().into(), attempts: Attempts(causes.into()) }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("alias", &self.alias()).finish_non_exhaustive()
    }
}

const THROTTLING_TOLD_INTERVAL: Duration = Duration::from_secs(10);

/// What these locks guard is replaced as a whole, so it is whole also after a panic elsewhere.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
