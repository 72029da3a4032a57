//! The two clusters of a measurement.

use std::error::Error;

use kmirror_testkit::{
    ClusterPair, KafkaCluster, KafkaClusterBuilder, KafkaEndpoint, KafkaJars, KafkaRelease,
};

/// Those at these addresses, source and target, or two of one node each that are started and whose code is compiled as in earnest.
pub(crate) fn pair(addresses: Option<&[String]>) -> Result<ClusterPair, Box<dyn Error>> {
    pair_with(addresses, |builder| builder)
}

/// The same; those that are started are to be like this.
pub(crate) fn pair_with(
    addresses: Option<&[String]>,
    like: impl Fn(KafkaClusterBuilder) -> KafkaClusterBuilder,
) -> Result<ClusterPair, Box<dyn Error>> {
    if let Some([source, target]) = addresses {
        let jars = KafkaJars::resolve(RELEASE)?;
        let endpoint = |servers: &String| KafkaEndpoint::new(jars.clone(), servers);
        return Ok(ClusterPair::at(endpoint(source), endpoint(target)));
    }
    Ok(ClusterPair::of(like(builder()).start()?, like(builder()).start()?))
}

/// One node whose code is compiled as in earnest.
pub(crate) fn builder() -> KafkaClusterBuilder {
    let builder = KafkaCluster::builder(RELEASE);
    // The cleaner is to take all keys in at once.
    let builder = builder.property("log.cleaner.dedupe.buffer.size", "134217728");
    // Kafka's default: the testkit's own would have the target clean while it is copied to.
    let builder = builder.property("log.cleaner.backoff.ms", "15000");
    builder.java_option("-Xmx1g").java_option("-XX:TieredStopAtLevel=4")
}

/// What [`pair`] starts; nobody knows what others have started.
pub(crate) fn release(addresses: Option<&[String]>) -> Option<KafkaRelease> {
    addresses.is_none().then_some(RELEASE)
}

/// What measurements are made with.
pub(crate) const RELEASE: KafkaRelease = KafkaRelease::KAFKA_4_3;
