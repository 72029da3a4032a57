//! The two clusters of a measurement.

use std::error::Error;

use kmirror_testkit::{ClusterPair, KafkaCluster, KafkaEndpoint, KafkaJars, KafkaRelease};

/// Those at these addresses, source and target, or two of one node each that are started and whose code is compiled as in earnest.
pub(crate) fn pair(addresses: Option<&[String]>) -> Result<ClusterPair, Box<dyn Error>> {
    if let Some([source, target]) = addresses {
        let jars = KafkaJars::resolve(KafkaRelease::KAFKA_4_3)?;
        let endpoint = |servers: &String| KafkaEndpoint::new(jars.clone(), servers);
        return Ok(ClusterPair::at(endpoint(source), endpoint(target)));
    }
    let start = || {
        let builder = KafkaCluster::builder(KafkaRelease::KAFKA_4_3);
        builder.java_option("-Xmx1g").java_option("-XX:TieredStopAtLevel=4").start()
    };
    Ok(ClusterPair::of(start()?, start()?))
}
