//! Copies topics from one cluster to another, and goes on until it is stopped.
//!
//! The clusters are embedded ones here; with `ClusterConfig::new(["broker.example.com:9092"])` they are yours.

use std::error::Error;
use std::time::Duration;

use kmirror::{ClusterConfig, Flow, Mirror};
use kmirror_embedded::{Codec, EmbeddedCluster};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (east, west) = (EmbeddedCluster::builder().start().await?, EmbeddedCluster::builder().start().await?);
    east.create_topic("orders", 1, &[])?;
    for _ in 0..100 {
        east.write("orders", 0, Codec::Zstd, &[(Some(b"key"), Some(b"value"))])?;
    }
    let mirror = Mirror::builder()
        .cluster("east", ClusterConfig::new([east.bootstrap_servers()]))
        .cluster("west", ClusterConfig::new([west.bootstrap_servers()]))
        .flow(Flow::new("east", "west").topics(["orders", r"payments\..*"]))
        .build()?;
    let handle = mirror.spawn();
    // An error says what is not copied, and why: partitions that are parked, topics that cannot be created.
    handle.caught_up(Duration::from_secs(30)).await?;
    let report = handle.shutdown(Duration::from_secs(10)).await?;
    for flow in &report.flows {
        println!("{} records in {}", flow.records, flow.name);
    }
    assert_eq!(west.log("orders", 0)?.end, 100);
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
