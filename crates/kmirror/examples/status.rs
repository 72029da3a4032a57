//! Watches a mirror: what each partition does, and what is not copied.

use std::error::Error;
use std::time::Duration;

use kmirror::{ClusterConfig, Flow, Mirror, PartitionState};
use kmirror_embedded::{Codec, EmbeddedCluster};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (east, west) = (EmbeddedCluster::builder().start().await?, EmbeddedCluster::builder().start().await?);
    for topic in ["orders", "payments"] {
        east.create_topic(topic, 1, &[])?;
        east.write(topic, 0, Codec::None, &[(Some(b"key"), Some(b"value"))])?;
    }
    // Somebody else has written to one of them: it is not copied, and not touched.
    west.create_topic("payments", 1, &[])?;
    west.write("payments", 0, Codec::None, &[(Some(b"theirs"), Some(b"value"))])?;
    let mirror = Mirror::builder()
        .cluster("east", ClusterConfig::new([east.bootstrap_servers()]))
        .cluster("west", ClusterConfig::new([west.bootstrap_servers()]))
        .flow(Flow::new("east", "west").topics(["orders", "payments"]))
        .build()?;
    let handle = mirror.spawn();
    if let Err(incomplete) = handle.caught_up(Duration::from_secs(30)).await {
        println!("{incomplete}");
    }
    for flow in handle.status() {
        for partition in &flow.partitions {
            let state = match &partition.state {
                PartitionState::Parked(parked) => parked.to_string(),
                state => format!("{state:?}"),
            };
            println!("{} {}-{}: {state}", flow.name, partition.source_topic, partition.partition);
        }
        assert_eq!(flow.parked().count(), 1);
    }
    handle.shutdown(Duration::from_secs(10)).await?;
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
