//! The two clusters of a measurement.

use std::error::Error;

use kmirror_testkit::{ClusterPair, KafkaCluster, KafkaEndpoint, KafkaJars, KafkaRelease};

/// Those at these addresses, source and target, or two of one node each that are started and whose code is compiled as in earnest.
pub(crate) fn pair(addresses: Option<&[String]>) -> Result<ClusterPair, Box<dyn Error>> {
    if let Some([source, target]) = addresses {
        let jars = KafkaJars::resolve(RELEASE)?;
        let endpoint = |servers: &String| KafkaEndpoint::new(jars.clone(), servers);
        return Ok(ClusterPair::at(endpoint(source), endpoint(target)));
    }
    let start = || {
        let builder = KafkaCluster::builder(RELEASE);
        builder.java_option("-Xmx1g").java_option("-XX:TieredStopAtLevel=4").start()
    };
    Ok(ClusterPair::of(start()?, start()?))
}

/// What [`pair`] starts; nobody knows what others have started.
pub(crate) fn release(addresses: Option<&[String]>) -> Option<KafkaRelease> {
    addresses.is_none().then_some(RELEASE)
}

/// What measurements are made with.
pub(crate) const RELEASE: KafkaRelease = KafkaRelease::KAFKA_4_3;
