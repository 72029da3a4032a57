//! Access control lists where a mirror is killed, or is not answered, as it changes them.

use std::time::Duration;

use kmirror::{Acls, ClusterConfig, Flow, Mirror, MirrorBuilder};
use kmirror_embedded::{
    Acl, ApiKey, Codec, EmbeddedCluster, Fault, FaultKind, Operation, Pattern, ResourceType, ResponseError,
};
use tokio::runtime::Runtime;

struct World {
    source: EmbeddedCluster,
    target: EmbeddedCluster,
}

impl World {
    /// What these may read on the source, they are to read on the target.
    async fn readable_by(names: &[&str]) -> World {
        let cluster =
            async || EmbeddedCluster::builder().authorizer(["User:ANONYMOUS"]).start().await.unwrap();
        let world = World { source: cluster().await, target: cluster().await };
        world.source.create_topic("orders", 1, &[]).unwrap();
        world.source.write("orders", 0, Codec::None, &[(None, Some(&b"one"[..]))]).unwrap();
        names.iter().for_each(|name| world.source.add_acl(read(name)));
        world
    }

    fn builder(&self) -> MirrorBuilder {
        let cluster = |cluster: &EmbeddedCluster| ClusterConfig::new(cluster.bootstrap_servers().split(','));
        let mut flow = Flow::new("east", "west").topics(["orders"]);
        flow.acls = Acls::Full;
        flow.acls_interval = Duration::from_millis(50);
        Mirror::builder()
            .cluster("east", cluster(&self.source))
            .cluster("west", cluster(&self.target))
            .flow(flow)
    }

    async fn once(&self) {
        let handle = self.builder().once(true).build().unwrap().spawn();
        tokio::time::timeout(Duration::from_secs(30), handle.wait()).await.expect("ends").unwrap();
    }

    /// Who may read on the target.
    fn readers(&self) -> Vec<String> {
        self.target.acls().into_iter().map(|acl| acl.principal).collect()
    }

    async fn await_readers(&self, expected: &[&str]) {
        let awaited = async {
            while self.readers() != expected {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let reached = tokio::time::timeout(Duration::from_secs(30), awaited).await;
        assert!(reached.is_ok(), "{:?}", self.readers());
    }

    /// Whether something is recorded of an entry.
    fn is_recorded(&self) -> bool {
        let log = self.target.log(&Flow::new("east", "west").state_topic, 0);
        let records = log.ok().and_then(|log| log.records(kmirror_embedded::Isolation::ReadUncommitted).ok());
        let key = |record: &kmirror_embedded::LogRecord| record.key.clone().unwrap_or_default();
        records.is_some_and(|records| records.iter().any(|record| key(record).starts_with(b"acl/")))
    }
}

fn read(name: &str) -> Acl {
    Acl {
        resource_type: ResourceType::Topic,
        pattern: Pattern::Literal("orders".to_owned()),
        principal: name.to_owned(),
        host: "*".to_owned(),
        operation: Operation::Read,
        allows: true,
    }
}

/// What it is about to add is recorded before the target is asked, so it is recorded where it never was.
#[test]
fn what_somebody_adds_while_kmirror_is_down_is_his() {
    let (clusters, doomed) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let names = ["User:ann", "User:bob", "User:eve"];
    let world = clusters.block_on(World::readable_by(&names));
    world.target.inject(Fault::new(FaultKind::Silence).of(ApiKey::CreateAcls).times(u32::MAX));
    let _handle = doomed.block_on(async { world.builder().build().unwrap().spawn() });
    clusters.block_on(async {
        while !world.is_recorded() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    // It is gone before the target answers again.
    doomed.shutdown_timeout(Duration::from_secs(30));
    world.target.clear_faults();
    world.target.add_acl(read("User:ann"));
    clusters.block_on(async {
        world.once().await;
        assert_eq!(world.readers(), names);
        world.source.remove_acl(&read("User:ann"));
        world.once().await;
        assert_eq!(world.readers(), names);
        world.source.remove_acl(&read("User:bob"));
        world.once().await;
        assert_eq!(world.readers(), ["User:ann", "User:eve"], "what is known to be kmirror's goes");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_added_without_an_answer_is_removed_again() {
    let world = World::readable_by(&["User:ann", "User:bob", "User:eve"]).await;
    world.target.inject(Fault::new(FaultKind::HangUpAfter).of(ApiKey::CreateAcls).times(3));
    let handle = world.builder().build().unwrap().spawn();
    world.await_readers(&["User:ann", "User:bob", "User:eve"]).await;
    world.source.remove_acl(&read("User:ann"));
    world.await_readers(&["User:bob", "User:eve"]).await;
    handle.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_cannot_do_now_is_tried_again() {
    let world = World::readable_by(&["User:ann", "User:bob", "User:eve"]).await;
    let fails = |api| {
        let moved = FaultKind::Error(ResponseError::NotController);
        world.target.inject(Fault::new(moved).of(api).times(1));
    };
    world.source.add_acl(Acl { allows: false, ..read("User:eve") });
    fails(ApiKey::CreateAcls);
    let handle = world.builder().build().unwrap().spawn();
    let expected = ["User:ann", "User:bob", "User:eve", "User:eve"];
    // What denies fails at first, and what it limits waits for it.
    let awaited = async {
        while world.readers().len() < expected.len() {
            let entries = world.target.acls();
            let of_eve = entries.iter().filter(|acl| acl.principal == "User:eve");
            assert!(of_eve.clone().all(|acl| !acl.allows) || of_eve.count() == 2, "{entries:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), awaited).await.expect("they follow");
    assert_eq!(world.readers(), expected);
    fails(ApiKey::DeleteAcls);
    world.source.remove_acl(&read("User:ann"));
    world.await_readers(&expected[1..]).await;
    handle.shutdown(Duration::from_secs(10)).await.unwrap();
}
