//! kmirror does not go on where something of its own has failed, and says so.

use std::sync::atomic::{AtomicBool, Ordering};

use kmirror::{ConfigError, Connecting, Connector, Error};
use tokio::net::TcpStream;

use super::*;

/// Connects by TCP, until it is told to panic: a bug of whoever has written it, in a task of the flow.
#[derive(Debug, Default)]
struct Treacherous(AtomicBool);

impl Connector for Treacherous {
    fn connect<'a>(&'a self, address: &'a str) -> Connecting<'a> {
        Box::pin(async move {
            assert!(!self.0.load(Ordering::Relaxed), "a bug of the connector");
            let stream: Box<dyn kmirror::Duplex> = Box::new(TcpStream::connect(address).await?);
            Ok(stream)
        })
    }
}

#[tokio::test]
async fn a_task_that_panics_ends_the_mirror_with_a_defect() {
    let world = World::new(&[]).await;
    world.write_numbered(0..3);
    let connector = Arc::new(Treacherous::default());
    let mut source = ClusterConfig::new([world.source.bootstrap_servers()]);
    source.connector = Some(Arc::clone(&connector) as Arc<dyn Connector>);
    let handle = Mirror::builder()
        .cluster("east", source)
        .cluster("west", ClusterConfig::new([world.target.bootstrap_servers()]))
        .flow(world.flow.clone())
        .build()
        .unwrap()
        .spawn();
    world.caught_up(&handle).await;
    connector.0.store(true, Ordering::Relaxed);
    world.source.inject(Fault::new(FaultKind::HangUpBefore).times(u32::MAX));
    let ended = tokio::time::timeout(PATIENCE, handle.wait()).await.expect("it ends");
    let Err(Error::Defect(text)) = ended else { panic!("{ended:?}") };
    assert!(text.contains("a bug of the connector"), "{text}");
}

/// What would make a task panic or spin is refused before anything runs.
#[tokio::test]
async fn what_cannot_work_is_not_built() {
    let world = World::new(&[]).await;
    let mut flow = world.flow.clone();
    flow.metadata_refresh_interval = Duration::ZERO;
    let built = Mirror::builder()
        .cluster("east", ClusterConfig::new([world.source.bootstrap_servers()]))
        .cluster("west", ClusterConfig::new([world.target.bootstrap_servers()]))
        .flow(flow)
        .build();
    let Err(ConfigError::Invalid { path, .. }) = built else { panic!("{built:?}") };
    assert_eq!(path, "flows[0].metadata_refresh_interval");
}
