//! What a profile offers is what brokers of its release offer.

use std::collections::BTreeMap;

use kafka_protocol::messages::ApiVersionsRequest;
use kmirror_embedded::{ApiKey, EmbeddedCluster, Profile};
use kmirror_testkit::real_kafka;

use crate::wire::Wire;

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_profile_offers_what_its_release_does() {
    let cluster = EmbeddedCluster::builder().profile(Profile::Kafka4_3).start().await.unwrap();
    let embedded = offered(&cluster.bootstrap_servers());
    let Some(kafka) = real_kafka("the_newest_profile_offers_what_its_release_does") else { return };
    let real = offered(kafka.pair().unwrap().target.bootstrap_servers().split(',').next().unwrap());
    let behind = |(key, (min, max)): (&i16, &(i16, i16))| {
        let (real_min, real_max) = real[key];
        let versions = real_max - max;
        (*min != real_min || versions != 0).then(|| (ApiKey::try_from(*key).unwrap(), versions))
    };
    assert_eq!(embedded.iter().filter_map(behind).collect::<Vec<_>>(), BEHIND);
}

fn offered(address: &str) -> BTreeMap<i16, (i16, i16)> {
    let offered = Wire::connect(address).call(0, &ApiVersionsRequest::default()).api_keys;
    offered.iter().map(|offered| (offered.api_key, (offered.min_version, offered.max_version))).collect()
}

/// What the codecs cannot write or read, and how many versions that is.
const BEHIND: [(ApiKey, i16); 4] = [
    (ApiKey::ListOffsets, 1),
    (ApiKey::OffsetCommit, 1),
    (ApiKey::OffsetFetch, 1),
    (ApiKey::WriteTxnMarkers, 1),
];
