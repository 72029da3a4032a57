//! The cluster as its owner sees it: started, looked at, and broken on purpose.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tokio::io::DuplexStream;
use tokio::task::JoinSet;

use crate::api::metadata;
use crate::builder::{ClusterBuilder, listen};
use crate::fault::Fault;
use crate::log::Origin;
use crate::log::validator::Rules;
use crate::network;
use crate::security::TlsProfile;
use crate::security::acl::Acl;
use crate::state::{Partition, State};
use crate::watched::{Subscription, Watched};

/// A running cluster. It ends with this handle.
#[derive(Debug)]
pub struct EmbeddedCluster {
    pub(crate) shared: Arc<Shared>,
    /// Accepts connections, and serves those over TCP.
    pub(crate) tasks: JoinSet<()>,
    /// What brokers are called where there are no sockets.
    pub(crate) name: Option<String>,
    pub(crate) tls: Option<TlsProfile>,
}

/// What connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    /// Counts changes that somebody may wait for: appended, replicated, moved.
    pub(crate) changes: Watched<u64>,
    /// The brokers that are stopped: connections to them are closed.
    pub(crate) stops: Watched<Vec<i32>>,
    /// The brokers that stand still: their connections stay and nothing happens on them.
    pub(crate) paused: Watched<Vec<i32>>,
}

/// What a partition's leader has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogView {
    /// The log start offset.
    pub start: i64,
    /// The log end offset.
    pub end: i64,
    /// The high watermark.
    pub high_watermark: i64,
    /// Where the first open transaction begins, or the high watermark.
    pub last_stable_offset: i64,
    /// The batches as they lie in the log.
    pub batches: Vec<Bytes>,
}

/// Why the cluster could not do what its owner wants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// No port could be listened at.
    #[error("cannot listen on 127.0.0.1: {0}")]
    Listen(String),
    /// The certificate and the key cannot be used.
    #[error("TLS: {0}")]
    Tls(String),
    /// There is no such partition.
    #[error("there is no partition {partition} of topic {topic:?}")]
    NoPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// There is no such broker.
    #[error("there is no broker {0}")]
    NoBroker(i32),
    /// A batch in a log is not what it should be.
    #[error("the batch at offset {offset} cannot be read: {problem}")]
    Unreadable {
        /// Its base offset.
        offset: i64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A request of its kind would have been refused.
    #[error("{error:?}: {message}")]
    Refused {
        /// The error code.
        error: ResponseError,
        /// The broker's words.
        message: String,
    },
}

impl EmbeddedCluster {
    /// Says what is to be started.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::new()
    }

    /// The addresses of all brokers, with commas.
    pub fn bootstrap_servers(&self) -> String {
        let state = self.shared.lock();
        let addresses = state.brokers.values().map(|broker| format!("{}:{}", broker.host, broker.port));
        addresses.collect::<Vec<_>>().join(",")
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> String {
        self.shared.lock().cluster_id.clone().unwrap_or_default()
    }

    /// How often somebody has proved who he is, over all connections.
    pub fn authentications(&self) -> u64 {
        self.shared.lock().authentications
    }

    /// Gives somebody a password, in place of the one that he may have. Who is connected stays so.
    pub fn set_password(&self, user: &str, password: &str) {
        self.shared.lock().users.0.insert(user.to_owned(), password.to_owned());
    }

    /// Lets brokers answer with another cluster id, also over connections that are open, as if what is in between had been turned to
    /// another cluster; or with none.
    pub fn set_cluster_id(&self, id: Option<&str>) {
        self.shared.lock().cluster_id = id.map(str::to_owned);
    }

    /// A connection to a broker without a socket. It must be called within a tokio runtime.
    pub fn connect(&self, broker: i32) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(DUPLEX_BYTES);
        tokio::spawn(network::serve(Arc::clone(&self.shared), broker, ours, None));
        theirs
    }

    /// Creates a topic whose partitions are replicated to all brokers.
    ///
    /// # Errors
    /// [`EmbeddedError::Refused`], as CreateTopics would.
    pub fn create_topic(
        &self,
        name: &str,
        partitions: usize,
        configs: &[(&str, &str)],
    ) -> Result<(), EmbeddedError> {
        let mut state = self.shared.lock();
        let configs = configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let replication_factor = state.brokers.len();
        let created = state.create_topic(name, partitions, replication_factor, configs);
        created.map(|_| ()).map_err(|(error, message)| EmbeddedError::Refused { error, message })
    }

    /// Deletes a topic. Nothing happens where there is none.
    pub fn delete_topic(&self, name: &str) {
        self.change(|state| state.delete_topic(name));
    }

    /// What the leader of a partition has.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`].
    pub fn log(&self, topic: &str, partition: i32) -> Result<LogView, EmbeddedError> {
        self.with_partition(topic, partition, |partition| LogView {
            start: partition.log.start(),
            end: partition.log.end(),
            high_watermark: partition.log.high_watermark(),
            last_stable_offset: partition.log.last_stable_offset(),
            batches: partition.log.batches().cloned().collect(),
        })
    }

    /// The broker that leads a partition, if one does.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`].
    pub fn leader(&self, topic: &str, partition: i32) -> Result<Option<i32>, EmbeddedError> {
        self.with_partition(topic, partition, |partition| partition.leader)
    }

    /// Appends one batch as Produce would, and returns its base offset.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`], and what a broker would refuse.
    pub fn append(&self, topic: &str, partition: i32, batch: &Bytes) -> Result<i64, EmbeddedError> {
        self.append_by(topic, partition, |partition, rules, now_ms| {
            let origin = Origin { version: PRODUCE_VERSION, leader_epoch: partition.leader_epoch, now_ms };
            let appended = partition.log.append(batch, rules, origin);
            appended.map(|appended| appended.base_offset).map_err(|refused| (refused.error, refused.message))
        })
    }

    /// Ends a producer's transaction in a partition with a control marker, as its coordinator would; its offset.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`], and what a broker would refuse.
    pub fn end_transaction(
        &self,
        topic: &str,
        partition: i32,
        producer_id: i64,
        producer_epoch: i16,
        commit: bool,
    ) -> Result<i64, EmbeddedError> {
        self.append_by(topic, partition, |partition, _, now_ms| {
            let origin = Origin { version: PRODUCE_VERSION, leader_epoch: partition.leader_epoch, now_ms };
            let appended = partition.log.append_marker(producer_id, producer_epoch, commit, 0, origin);
            appended.map(|appended| appended.base_offset).map_err(|error| (error, String::new()))
        })
    }

    /// A producer id that nobody else has, as InitProducerId gives them.
    pub fn allocate_producer_id(&self) -> i64 {
        self.shared.lock().allocate_producer_id()
    }

    fn append_by(
        &self,
        topic: &str,
        number: i32,
        append: impl FnOnce(&mut Partition, &Rules, i64) -> Result<i64, (ResponseError, String)>,
    ) -> Result<i64, EmbeddedError> {
        let rules = self.shared.lock().rules_of(topic);
        let now_ms = self.shared.lock().now_ms();
        self.with_partition(topic, number, |partition| {
            let appended = append(partition, &rules, now_ms);
            partition.replicate();
            appended.map_err(|(error, message)| EmbeddedError::Refused { error, message })
        })?
    }

    /// Makes another broker the leader of a partition, with all that was appended.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`].
    pub fn move_leader(&self, topic: &str, partition: i32, broker: i32) -> Result<(), EmbeddedError> {
        self.with_partition(topic, partition, |partition| {
            partition.leader = Some(broker);
            partition.begin_epoch();
        })
    }

    /// A leader without the records from `offset` on takes a partition over, as after an unclean election.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`].
    pub fn truncate(&self, topic: &str, partition: i32, offset: i64) -> Result<(), EmbeddedError> {
        self.with_partition(topic, partition, |partition| {
            partition.log.truncate(offset);
            partition.begin_epoch();
        })
    }

    /// Retention, or DeleteRecords: everything below `offset` is gone.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`].
    pub fn delete_below(&self, topic: &str, partition: i32, offset: i64) -> Result<(), EmbeddedError> {
        self.with_partition(topic, partition, |partition| {
            partition.log.delete_below(offset.min(partition.log.high_watermark()));
        })
    }

    /// Undoes the last DeleteRecords of a client, as it is undone where a broker is killed within a minute. Nothing happens where the
    /// log begins elsewhere for another reason since.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`].
    pub fn undo_delete_records(&self, topic: &str, partition: i32) -> Result<(), EmbeddedError> {
        self.with_partition(topic, partition, |partition| partition.log.undo_delete_records())
    }

    /// Lets the cleaner go over a partition below `end`: only the last record of each key stays, and nothing of aborted
    /// transactions. Deletions and markers go in a run `delete.retention.ms` after the first that finds nothing else of them.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`].
    pub fn clean(&self, topic: &str, partition: i32, end: i64) -> Result<(), EmbeddedError> {
        let (now_ms, delete_retention_ms) = {
            let state = self.shared.lock();
            (state.now_ms(), state.number_of(topic, "delete.retention.ms"))
        };
        self.with_partition(topic, partition, |partition| {
            partition.log.clean(end, now_ms, delete_retention_ms);
        })
    }

    /// Lets every leader send readers to this broker, as a `replica.selector.class` does (KIP-392), or to nobody. A leader that sends a
    /// reader away shows no records to it and says truly where the log ends. The broker has what the leaders have.
    pub fn send_readers_to(&self, broker: Option<i32>) {
        self.shared.lock().readers_replica = broker;
    }

    /// Holds up replication of a partition, or lets it go on: what is appended meanwhile is not visible and not acknowledged.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`].
    pub fn hold_replication(&self, topic: &str, partition: i32, holds: bool) -> Result<(), EmbeddedError> {
        self.with_partition(topic, partition, |partition| {
            partition.holds_replication = holds;
            partition.replicate();
        })
    }

    /// Replaces all replicas of a partition by new ones, as by a reassignment: they know of producers what the log still shows.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`].
    pub fn replace_replicas(&self, topic: &str, partition: i32) -> Result<(), EmbeddedError> {
        self.with_partition(topic, partition, |partition| {
            partition.log.rebuild_producers();
            partition.begin_epoch();
        })
    }

    /// A leader takes a partition over that does not know yet how far its replicas are, and shows what is below `high_watermark` alone
    /// until replication goes on ([`EmbeddedCluster::hold_replication`]). Leaders before Kafka 2.2 answer like that (KIP-207).
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`].
    pub fn elect_behind(
        &self,
        topic: &str,
        partition: i32,
        high_watermark: i64,
    ) -> Result<(), EmbeddedError> {
        self.with_partition(topic, partition, |partition| {
            partition.holds_replication = true;
            partition.begin_epoch();
            partition.log.forget_high_watermark(high_watermark);
        })
    }

    /// Makes a partition forget its producers, as after `producer.id.expiration.ms`.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`].
    pub fn expire_producers(&self, topic: &str, partition: i32) -> Result<(), EmbeddedError> {
        self.with_partition(topic, partition, |partition| partition.log.producers.expire())
    }

    /// What is set on all brokers while they run, by `kafka-configs --entity-default` for instance.
    pub fn broker_config(&self, key: &str) -> Option<String> {
        self.shared.lock().broker_configs.get(key).cloned()
    }

    /// Sets a configuration of all brokers while they run, or takes it back: `producer.id.expiration.ms` alone.
    ///
    /// # Errors
    /// [`EmbeddedError::Refused`].
    pub fn alter_broker_config(&self, key: &str, value: Option<&str>) -> Result<(), EmbeddedError> {
        let altered = self.shared.lock().alter_broker_config(key, value);
        altered.map_err(|(error, message)| EmbeddedError::Refused { error, message })
    }

    /// Adds a broker, at a port of its own choosing; its id. It leads what is created from now on, and what is moved to it.
    ///
    /// # Errors
    /// [`EmbeddedError::Listen`].
    pub async fn add_broker(&mut self) -> Result<i32, EmbeddedError> {
        let id = self.shared.lock().next_broker_id();
        let (listener, broker) = listen(self.name.as_deref(), id).await?;
        self.change(|state| state.brokers.insert(id, broker));
        // It was one when the cluster started.
        let tls = self.tls.as_ref().and_then(|tls| tls.acceptor().ok());
        listener
            .map(|listener| self.tasks.spawn(network::accept(Arc::clone(&self.shared), id, listener, tls)));
        Ok(id)
    }

    /// Removes a broker for good: metadata does not name it any more, and its replicas are where they are besides.
    ///
    /// # Errors
    /// [`EmbeddedError::NoBroker`], also for the last one.
    pub fn remove_broker(&self, broker: i32) -> Result<(), EmbeddedError> {
        if self.shared.lock().brokers.len() < 2 {
            return Err(EmbeddedError::NoBroker(broker));
        }
        self.stop_broker(broker)?;
        self.change(|state| state.remove_broker(broker));
        Ok(())
    }

    /// Stops a broker: its connections are closed and its partitions get other leaders.
    ///
    /// # Errors
    /// [`EmbeddedError::NoBroker`].
    pub fn stop_broker(&self, broker: i32) -> Result<(), EmbeddedError> {
        self.check_broker(broker)?;
        self.change(|state| state.stop_broker(broker));
        self.shared.stops.modify(|stopped| stopped.push(broker));
        Ok(())
    }

    /// Starts a broker again, at its address.
    ///
    /// # Errors
    /// [`EmbeddedError::NoBroker`].
    pub fn start_broker(&self, broker: i32) -> Result<(), EmbeddedError> {
        self.check_broker(broker)?;
        self.shared.stops.modify(|stopped| stopped.retain(|other| *other != broker));
        self.change(|state| state.start_broker(broker));
        Ok(())
    }

    /// Lets Metadata below version 9 name leader epochs that are so far behind, as brokers before 2.4 do for as long as a reassignment is under
    /// way (KAFKA-9212).
    pub fn name_older_epochs(&self, behind: i32) {
        self.shared.lock().epochs_behind = behind;
    }

    /// Lets a partition's leader epoch go back, as in a quorum that was restored from a backup.
    ///
    /// # Errors
    /// [`EmbeddedError::NoPartition`].
    pub fn restore_leader_epoch(&self, topic: &str, partition: i32, epoch: i32) -> Result<(), EmbeddedError> {
        self.with_partition(topic, partition, |partition| partition.leader_epoch = epoch)
    }

    /// Cuts a broker off from the controller, or ends that: it goes on answering to Metadata what it has heard so far, and serves all else as
    /// before.
    ///
    /// # Errors
    /// [`EmbeddedError::NoBroker`].
    pub fn cut_off(&self, broker: i32, is_cut_off: bool) -> Result<(), EmbeddedError> {
        self.check_broker(broker)?;
        self.change(|state| {
            let heard = is_cut_off.then(|| metadata::of_all_topics(state));
            state.cut_off.remove(&broker);
            state.cut_off.extend(heard.map(|heard| (broker, heard)));
        });
        Ok(())
    }

    /// Gives a broker another host. Whoever connects to it [without a socket](EmbeddedCluster::connect) is to know it by that name.
    ///
    /// # Errors
    /// [`EmbeddedError::NoBroker`].
    pub fn move_broker(&self, broker: i32, host: &str) -> Result<(), EmbeddedError> {
        self.check_broker(broker)?;
        self.change(|state| {
            if let Some(broker) = state.brokers.get_mut(&broker) {
                host.clone_into(&mut broker.host);
            }
        });
        Ok(())
    }

    /// Adds an entry to the access control lists. It means something where [`ClusterBuilder::authorizer`] turned them on.
    pub fn add_acl(&self, acl: Acl) {
        self.change(|state| state.authorizer.acls.insert(acl));
    }

    /// Removes an entry of the access control lists.
    pub fn remove_acl(&self, acl: &Acl) {
        self.change(|state| state.authorizer.acls.remove(acl));
    }

    /// The access control lists.
    pub fn acls(&self) -> Vec<Acl> {
        self.shared.lock().authorizer.acls.iter().cloned().collect()
    }

    /// Sets the cluster's clock forward, and lets retention by time and by bytes delete what its topics' configurations say.
    pub fn advance(&self, by: Duration) {
        self.change(|state| state.advance(by));
    }

    /// Lets something go wrong.
    pub fn inject(&self, fault: Fault) {
        self.shared.lock().faults.add(fault);
    }

    /// Lets nothing go wrong any more that was injected.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    pub(crate) fn check_broker(&self, broker: i32) -> Result<(), EmbeddedError> {
        if self.shared.lock().brokers.contains_key(&broker) {
            Ok(())
        } else {
            Err(EmbeddedError::NoBroker(broker))
        }
    }

    pub(crate) fn with_partition<T>(
        &self,
        topic: &str,
        number: i32,
        work: impl FnOnce(&mut Partition) -> T,
    ) -> Result<T, EmbeddedError> {
        self.change(|state| {
            let partitions = state.topics.get_mut(topic).map(|topic| &mut topic.partitions);
            let index = usize::try_from(number).ok();
            let partition = partitions.zip(index).and_then(|(partitions, index)| partitions.get_mut(index));
            let missing = || EmbeddedError::NoPartition { topic: topic.to_owned(), partition: number };
            partition.map(work).ok_or_else(missing)
        })
    }

    pub(crate) fn change<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let done = work(&mut self.shared.lock());
        self.shared.changed();
        done
    }
}

impl Shared {
    /// The state, in which everything has happened that is due.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pass_time();
        state
    }

    /// Something happened that others may wait for.
    pub(crate) fn changed(&self) {
        self.changes.modify(|count| *count += 1);
    }

    /// What is to be subscribed to before one looks, so that nothing is missed.
    pub(crate) fn changes(&self) -> Subscription<'_> {
        self.changes.subscribe()
    }

    /// Waits until a broker is stopped.
    pub(crate) async fn stopped(&self, broker: i32) {
        self.stops.wait_for(|stopped| stopped.contains(&broker)).await;
    }

    /// Waits for as long as a broker stands still.
    pub(crate) async fn resumed(&self, broker: i32) {
        self.paused.wait_for(|paused| !paused.contains(&broker)).await;
    }
}

/// The version of Produce by whose rules batches are judged that come without a request.
const PRODUCE_VERSION: i16 = 13;
const DUPLEX_BYTES: usize = 1 << 20;
