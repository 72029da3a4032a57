//! Which cluster this is. A name, an address or a load balancer may come to stand for another one (a fail-over of DNS, an address that
//! is used again), and what answers there looks like a broker that has forgotten everything.

use std::sync::{Arc, OnceLock};

use kafka_protocol::messages::MetadataRequest;

use crate::config::ClientConfig;
use crate::connection::Connection;
use crate::error::ClientError;
use crate::metadata::Topics;

/// The id of a client's cluster: the configured one, or the first that is answered.
#[derive(Debug)]
pub(crate) struct ClusterIdentity {
    alias: Arc<str>,
    id: OnceLock<Arc<str>>,
}

impl ClusterIdentity {
    pub(crate) fn new(config: &ClientConfig) -> Self {
        let id = config.cluster_id.clone().map_or_else(OnceLock::new, OnceLock::from);
        Self { alias: config.alias.as_str().into(), id }
    }

    pub(crate) fn id(&self) -> Option<&Arc<str>> {
        self.id.get()
    }

    /// Asks the other end of a new connection, before anything else is sent to it.
    pub(crate) async fn prove(&self, connection: &Connection) -> Result<(), ClientError> {
        let version = connection.version::<MetadataRequest>()?;
        let response = connection.call_version(Topics::Named(Vec::new()).to_wire(), version).await?;
        self.check(connection.shared_address(), response.cluster_id.as_ref().map(|id| id.as_str()))
    }

    /// Judges what `address` has answered. A broker that names no id says nothing.
    pub(crate) fn check(&self, address: &Arc<str>, found: Option<&str>) -> Result<(), ClientError> {
        let Some(found) = found.filter(|id| !id.is_empty()) else { return Ok(()) };
        let expected = self.id.get_or_init(|| found.into());
        if **expected == *found {
            return Ok(());
        }
        Err(ClientError::OtherCluster {
            alias: self.alias.clone(),
            address: address.clone(),
            expected: expected.clone(),
            found: found.into(),
        })
    }
}
