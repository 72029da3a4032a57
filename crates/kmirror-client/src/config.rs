//! How to reach one cluster.

use std::sync::Arc;
use std::time::Duration;

use crate::connector::Connector;
use crate::sasl::SaslConfig;
use crate::tls::TlsConfig;

/// How to reach one cluster, and the limits of its connections.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The name of the cluster in errors and log lines.
    pub alias: String,
    /// Where to begin, each `host:port` (`[address]:port` for IPv6). One that answers is enough.
    pub bootstrap_servers: Vec<String>,
    /// The cluster's id, where it is known: brokers of another cluster are left. Where `None`, the first one that is answered counts.
    pub cluster_id: Option<Arc<str>>,
    /// The client id that brokers see in quotas and request logs. Default `kmirror`.
    pub client_id: String,
    /// The rack that we are in: brokers with a `replica.selector.class` send fetch sessions to a replica in it (KIP-392). None where `None`.
    pub rack: Option<String>,
    /// The longest time until one connection, or [`Client::connect`](crate::Client::connect) as a whole, is ready.
    /// Default 10 s.
    pub connect_timeout: Duration,
    /// How long a broker that owes an answer may be silent before its connection is given up. The wait that a request
    /// itself asks for (a fetch's `max_wait`, a produce's `timeout`) and throttle times come on top. Default 30 s.
    pub request_timeout: Duration,
    /// The largest response that is accepted, in bytes. Default 100 MiB, the broker's own default for requests.
    pub frame_bytes_max: usize,
    /// `SO_SNDBUF` of each socket; the system's own sizing where `None`.
    pub send_buffer_bytes: Option<usize>,
    /// `SO_RCVBUF` of each socket; the system's own sizing where `None`.
    pub receive_buffer_bytes: Option<usize>,
    /// How connections are encrypted, those of a `connector` too. Not at all where `None`.
    pub tls: Option<TlsConfig>,
    /// Who we are for the cluster. Nobody, that is `User:ANONYMOUS` or the name in our certificate, where `None`.
    pub sasl: Option<SaslConfig>,
    /// What makes the byte streams to brokers. Sockets of TCP where `None`.
    pub connector: Option<Arc<dyn Connector>>,
}

impl ClientConfig {
    /// The defaults, for the cluster that `bootstrap_servers` belong to.
    pub fn new<S: Into<String>>(
        alias: impl Into<String>,
        bootstrap_servers: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            alias: alias.into(),
            bootstrap_servers: bootstrap_servers.into_iter().map(Into::into).collect(),
            cluster_id: None,
            client_id: "kmirror".to_owned(),
            rack: None,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            frame_bytes_max: 100 << 20,
            send_buffer_bytes: None,
            receive_buffer_bytes: None,
            tls: None,
            sasl: None,
            connector: None,
        }
    }
}
