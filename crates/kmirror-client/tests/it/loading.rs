//! Coordinators that have just begun.

use kmirror_client::*;
use kmirror_embedded::{ApiKey, EmbeddedCluster, Fault, FaultKind, ResponseError};

/// It reads its part of `__consumer_offsets` and does not know its groups yet.
#[tokio::test]
async fn groups_are_listed_when_a_coordinator_knows_them() {
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    let client = Client::connect(ClientConfig::new("east", [cluster.bootstrap_servers()])).await.unwrap();
    for error in [ResponseError::CoordinatorLoadInProgress, ResponseError::CoordinatorNotAvailable] {
        cluster.inject(Fault::new(FaultKind::Error(error)).of(ApiKey::ListGroups).times(3));
        assert_eq!(client.list_groups().await.unwrap().len(), 0);
    }
    let refused = FaultKind::Error(ResponseError::GroupAuthorizationFailed);
    cluster.inject(Fault::new(refused).of(ApiKey::ListGroups));
    assert!(client.list_groups().await.unwrap_err().is_authorization());
}
