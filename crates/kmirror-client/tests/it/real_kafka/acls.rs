//! Access control lists.

use std::collections::BTreeSet;
use std::time::Duration;

use kmirror_client::*;

/// Every kind of entry comes back as it was added, the fate of each is its own, and nothing else is removed.
pub(super) async fn adds_and_removes(client: &Client) {
    assert_eq!(client.describe_acls().await.unwrap(), []);
    let entry = |resource_type, pattern_type, name: &str, operation, permission| AclEntry {
        resource_type,
        pattern_type,
        resource_name: name.to_owned(),
        principal: "User:CN=alice,O=ä".to_owned(),
        host: "*".to_owned(),
        operation,
        permission,
    };
    use AclOperation::*;
    use AclPatternType::*;
    use AclPermission::*;
    let entries = [
        entry(AclResourceType::Topic, Literal, "orders", Read, Allow),
        entry(AclResourceType::Topic, Literal, "orders", Write, Allow),
        entry(AclResourceType::Topic, Literal, "*", All, Deny),
        entry(AclResourceType::Topic, Prefixed, "orders", Read, Allow),
        entry(AclResourceType::Group, Prefixed, "b", Describe, Allow),
        entry(AclResourceType::Cluster, Literal, "kafka-cluster", Alter, Allow),
        entry(AclResourceType::TransactionalId, Literal, "id", Write, Deny),
        AclEntry {
            host: "10.0.0.7".to_owned(),
            ..entry(AclResourceType::Topic, Literal, "orders", Read, Allow)
        },
    ];
    let nobody = AclEntry { principal: "no-colon".to_owned(), ..entries[0].clone() };
    let created = client.create_acls(&[&entries[..4], &[nobody], &entries[4..]].concat()).await.unwrap();
    let refused: Vec<usize> = (0..created.len()).filter(|index| created[*index].is_err()).collect();
    assert_eq!(refused, [4], "{created:?}");
    await_entries(client, &entries).await;
    // The same again is no error.
    assert!(client.create_acls(&entries[..1]).await.unwrap()[0].is_ok());

    let missing = entry(AclResourceType::Topic, Literal, "orders", Create, Allow);
    let removed = client.delete_acls(&[entries[0].clone(), missing, entries[2].clone()]).await.unwrap();
    assert!(removed.iter().all(Result::is_ok), "{removed:?}");
    await_entries(client, &[&entries[1..2], &entries[3..]].concat()).await;
    assert!(client.delete_acls(&entries).await.unwrap().iter().all(Result::is_ok));
    await_entries(client, &[]).await;
}

/// Brokers learn of an entry a moment after the controller has answered.
async fn await_entries(client: &Client, expected: &[AclEntry]) {
    let expected: BTreeSet<_> = expected.iter().cloned().collect();
    for _ in 0..100 {
        let found = client.describe_acls().await.unwrap().into_iter().collect::<BTreeSet<_>>();
        if found == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(client.describe_acls().await.unwrap().into_iter().collect::<BTreeSet<_>>(), expected);
}
