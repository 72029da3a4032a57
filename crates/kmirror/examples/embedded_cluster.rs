//! A Kafka cluster in the process, for tests of programs that speak Kafka: it answers any client, and can be made to fail.

use std::error::Error;
use std::time::Duration;

use kmirror::{ClusterConfig, Flow, Mirror};
use kmirror_embedded::{ApiKey, Codec, EmbeddedCluster, Fault, FaultKind, Isolation};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let east = EmbeddedCluster::builder().brokers(3).start().await?;
    let west = EmbeddedCluster::builder().start().await?;
    east.create_topic("orders", 3, &[("cleanup.policy", "compact")])?;
    east.write("orders", 0, Codec::Gzip, &[(Some(b"key"), Some(b"value"))])?;
    let mirror = Mirror::builder()
        .cluster("east", ClusterConfig::new([east.bootstrap_servers()]))
        .cluster("west", ClusterConfig::new([west.bootstrap_servers()]))
        .flow(Flow::new("east", "west").topics(["orders"]))
        .build()?;
    let handle = mirror.spawn();
    handle.caught_up(Duration::from_secs(30)).await?;
    // The next produce request is carried out, and its answer is lost.
    west.inject(Fault::new(FaultKind::HangUpAfter).of(ApiKey::Produce));
    east.write("orders", 0, Codec::Gzip, &[(Some(b"other key"), Some(b"value"))])?;
    while west.log("orders", 0)?.end < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    handle.shutdown(Duration::from_secs(10)).await?;
    let records = west.log("orders", 0)?.records(Isolation::ReadCommitted)?;
    assert_eq!(records.len(), 2, "each once, whatever became of the answer");
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    #[test]
    fn it_runs() {
        super::main().unwrap();
    }
}
