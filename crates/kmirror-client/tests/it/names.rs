//! Embedded clusters without sockets, reached by names that a test may turn.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use kmirror_client::*;
use kmirror_embedded::EmbeddedCluster;

/// Which broker of which cluster each address stands for.
#[derive(Default)]
pub(crate) struct Names {
    to: Mutex<BTreeMap<String, (Arc<EmbeddedCluster>, i32)>>,
    connected: Mutex<Vec<String>>,
}

impl Names {
    pub(crate) fn point(&self, address: &str, cluster: &Arc<EmbeddedCluster>, broker: i32) {
        self.to.lock().unwrap().insert(address.to_owned(), (Arc::clone(cluster), broker));
    }

    /// All brokers of a cluster, each by its own name.
    pub(crate) fn of(cluster: &Arc<EmbeddedCluster>) -> Arc<Names> {
        let names = Arc::new(Names::default());
        for (address, broker) in cluster.bootstrap_servers().split(',').zip(1..) {
            names.point(address, cluster, broker);
        }
        names
    }

    /// The addresses that were connected to since this was asked last.
    pub(crate) fn take_connected(&self) -> Vec<String> {
        std::mem::take(&mut self.connected.lock().unwrap())
    }

    pub(crate) fn remove(&self, address: &str) {
        self.to.lock().unwrap().remove(address);
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}

impl Connector for Names {
    fn connect<'a>(&'a self, address: &'a str) -> Connecting<'a> {
        self.connected.lock().unwrap().push(address.to_owned());
        let found = self.to.lock().unwrap().get(address).cloned();
        Box::pin(async move {
            let (cluster, broker) = found.ok_or(io::ErrorKind::ConnectionRefused)?;
            Ok(Box::new(cluster.connect(broker)) as Box<dyn Duplex>)
        })
    }
}

pub(crate) async fn cluster(brokers: u8) -> Arc<EmbeddedCluster> {
    Arc::new(EmbeddedCluster::builder().brokers(brokers).without_sockets("broker").start().await.unwrap())
}

pub(crate) fn config(names: &Arc<Names>, servers: &[&str]) -> ClientConfig {
    let mut config = ClientConfig::new("east", servers.iter().copied());
    config.connector = Some(Arc::clone(names) as Arc<dyn Connector>);
    config
}

/// Two brokers of a cluster, and a client of it.
pub(crate) async fn two_brokers() -> (Arc<Names>, Arc<EmbeddedCluster>, Client) {
    let east = cluster(2).await;
    let names = Names::of(&east);
    let client = Client::connect(config(&names, &["broker-1:9092"])).await.unwrap();
    assert_eq!(client.cluster_id(), Some(east.cluster_id()));
    (names, east, client)
}
