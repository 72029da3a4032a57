//! What a cluster is to be, before it is started.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::cluster::{EmbeddedCluster, EmbeddedError, Shared};
use crate::limits::Limits;
use crate::machine::Machine;
use crate::network;
use crate::profile::Profile;
use crate::security::{Authorizer, TlsProfile, Users};
use crate::state::{Broker, State};
use crate::watched::Watched;

/// What is to be started.
#[derive(Clone, Debug)]
pub struct ClusterBuilder {
    brokers: i32,
    profile: Profile,
    pub(crate) limits: Limits,
    group_initial_rebalance_delay: Duration,
    users: Users,
    tls: Option<TlsProfile>,
    session_lifetime: Option<Duration>,
    authorizer: Authorizer,
    /// What brokers are called where there are no sockets.
    name: Option<String>,
    seed: Option<u64>,
    producer_expiry: Option<(Duration, Duration)>,
    topic_defaults: BTreeMap<String, String>,
}

impl ClusterBuilder {
    pub(crate) fn new() -> ClusterBuilder {
        ClusterBuilder {
            brokers: 1,
            profile: Profile::Kafka4_3,
            limits: Limits::default(),
            group_initial_rebalance_delay: Duration::ZERO,
            users: Users::default(),
            tls: None,
            session_lifetime: None,
            authorizer: Authorizer::default(),
            name: None,
            seed: None,
            producer_expiry: None,
            topic_defaults: BTreeMap::new(),
        }
    }

    /// How many brokers, with ids from 1 on. Default: 1.
    pub fn brokers(mut self, brokers: u8) -> ClusterBuilder {
        self.brokers = i32::from(brokers.max(1));
        self
    }

    /// Which release the cluster pretends to be. Default: 4.3.
    pub fn profile(mut self, profile: Profile) -> ClusterBuilder {
        self.profile = profile;
        self
    }

    /// Somebody who may connect, by PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512. Without any, everybody may, as `User:ANONYMOUS`.
    pub fn user(mut self, name: &str, password: &str) -> ClusterBuilder {
        self.users.0.insert(name.to_owned(), password.to_owned());
        self
    }

    /// Lets brokers speak TLS with this certificate and its key, both as PEM. Only over sockets.
    pub fn tls(mut self, certificate: &str, key: &str) -> ClusterBuilder {
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        self.tls = Some(TlsProfile { certificate, key, client_ca: None });
        self
    }

    /// With [`tls`](Self::tls), before it nothing: clients must have a certificate that this authority has signed (PEM), and are the users that
    /// their common names name.
    pub fn tls_clients(mut self, authority: &str) -> ClusterBuilder {
        if let Some(tls) = &mut self.tls {
            tls.client_ca = Some(authority.to_owned());
        }
        self
    }

    /// For how long somebody is believed to be who he is (`connections.max.reauth.ms`): whoever sends something after that without having
    /// authenticated again is hung up on. Default: for as long as his connection.
    pub fn session_lifetime(mut self, lifetime: Duration) -> ClusterBuilder {
        self.session_lifetime = Some(lifetime);
        self
    }

    /// Turns access control on, as `StandardAuthorizer` does: nothing is allowed but by an [`Acl`](crate::Acl), and to these principals
    /// (`User:name`).
    pub fn authorizer<'a>(mut self, super_users: impl IntoIterator<Item = &'a str>) -> ClusterBuilder {
        self.authorizer.is_on = true;
        self.authorizer.super_users.extend(super_users.into_iter().map(str::to_owned));
        self
    }

    /// How long the first rebalance of a group waits for more members (`group.initial.rebalance.delay.ms`). Default: not at all,
    /// where brokers wait three seconds.
    pub fn group_initial_rebalance_delay(mut self, delay: Duration) -> ClusterBuilder {
        self.group_initial_rebalance_delay = delay;
        self
    }

    /// What the brokers' configuration says of topics that have nothing set themselves, by the topics' name for it: `retention.ms`, where
    /// brokers say `log.retention.ms`.
    pub fn topic_default(mut self, key: &str, value: &str) -> ClusterBuilder {
        self.topic_defaults.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Lets partitions forget a producer when the newest record of its last batch is of this age (`producer.id.expiration.ms`), and look
    /// for that so often (`producer.id.expiration.check.interval.ms`). Default: a day, and ten minutes.
    pub fn producer_expiry(mut self, age: Duration, check_interval: Duration) -> ClusterBuilder {
        self.producer_expiry = Some((age, check_interval));
        self
    }

    /// Binds no socket: brokers are called `NAME-1:9092`, `NAME-2:9092` and so on, and are reached by
    /// [`EmbeddedCluster::connect`] alone.
    pub fn without_sockets(mut self, name: &str) -> ClusterBuilder {
        self.name = Some(name.to_owned());
        self
    }

    /// Lets nothing depend on the machine: the time begins in January 2027 and goes on by tokio's clock, which a test may pause, and
    /// all ids follow from `seed`. A test that does the same in the same order, in a runtime of one thread, replays.
    pub fn simulated(mut self, seed: u64) -> ClusterBuilder {
        self.seed = Some(seed);
        self
    }

    /// Starts the cluster in the caller's tokio runtime, each broker at a port of its own choosing on 127.0.0.1 unless it is
    /// [without sockets](ClusterBuilder::without_sockets).
    ///
    /// # Errors
    /// [`EmbeddedError::Listen`], [`EmbeddedError::Tls`].
    pub async fn start(self) -> Result<EmbeddedCluster, EmbeddedError> {
        let tls = self.tls.as_ref().map(TlsProfile::acceptor).transpose().map_err(EmbeddedError::Tls)?;
        let mut listeners = Vec::new();
        let mut brokers = BTreeMap::new();
        for id in 1..=self.brokers {
            let (listener, broker) = listen(self.name.as_deref(), id).await?;
            brokers.insert(id, broker);
            listeners.push((id, listener));
        }
        let mut machine = self.seed.map_or_else(Machine::default, Machine::simulated);
        let cluster_id = format!("embedded-{:016x}", machine.bits("cluster id"));
        let mut state = State::new(cluster_id, self.profile, brokers);
        state.machine = machine;
        state.limits = self.limits;
        if let Some((age, interval)) = self.producer_expiry {
            let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
            (state.expiry.age_ms, state.expiry.interval_ms) = (ms(age), ms(interval));
        }
        let delay_ms = self.group_initial_rebalance_delay.as_millis();
        state.groups.initial_delay_ms = i64::from(i32::try_from(delay_ms).unwrap_or(i32::MAX));
        state.topic_defaults = self.topic_defaults;
        (state.users, state.authorizer) = (self.users, self.authorizer);
        state.session_lifetime = self.session_lifetime;
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changes: Watched::default(),
            stops: Watched::default(),
            paused: Watched::default(),
        });
        let mut tasks = JoinSet::new();
        for (id, listener) in listeners {
            listener
                .map(|listener| tasks.spawn(network::accept(Arc::clone(&shared), id, listener, tls.clone())));
        }
        Ok(EmbeddedCluster { shared, tasks, name: self.name, tls: self.tls })
    }
}

/// The address of a new broker, and who listens there.
pub(crate) async fn listen(
    name: Option<&str>,
    id: i32,
) -> Result<(Option<TcpListener>, Broker), EmbeddedError> {
    if let Some(name) = name {
        return Ok((None, Broker { host: format!("{name}-{id}"), port: 9092, is_up: true }));
    }
    let failed = |error: std::io::Error| EmbeddedError::Listen(error.to_string());
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok((Some(listener), Broker { host: "127.0.0.1".to_owned(), port, is_up: true }))
}
