//! Copies what is there, ends, and proves that the target holds the same records at the same offsets.

use std::error::Error;
use std::sync::Arc;

use kmirror::{ClusterConfig, Flow, Mirror, VerifyOptions};
use kmirror_embedded::{Codec, EmbeddedCluster};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (east, west) = (EmbeddedCluster::builder().start().await?, EmbeddedCluster::builder().start().await?);
    east.create_topic("orders", 1, &[])?;
    east.write("orders", 0, Codec::Lz4, &[(Some(b"key"), Some(b"value")), (Some(b"key"), None)])?;
    let mirror = |once| {
        Mirror::builder()
            .cluster("east", ClusterConfig::new([east.bootstrap_servers()]))
            .cluster("west", ClusterConfig::new([west.bootstrap_servers()]))
            .flow(Flow::new("east", "west").topics(["orders"]))
            .once(once)
            .build()
    };
    let report = mirror(true)?.spawn().wait().await?;
    assert!(report.is_complete(), "{}", report.incomplete());
    let mirror = mirror(false)?;
    // One connection to each cluster serves any number of looks.
    let clusters = mirror.connect().await?;
    let verified = clusters.verify(&VerifyOptions::default(), Arc::default()).await?;
    for partition in &verified.partitions {
        println!(
            "{}-{}: {} differences",
            partition.source_topic,
            partition.partition,
            partition.differences.len()
        );
    }
    assert!(verified.is_equal());
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
