//! Where scenarios are played: between embedded clusters, and between real ones where there are any.

use std::net::SocketAddr;
use std::rc::Rc;
use std::thread;

use kmirror_embedded::Profile;
use kmirror_testkit::{
    Certificates, KafkaCluster, KafkaClusterBuilder, KafkaRelease, PASSWORD, RealKafka, USER, real_kafka,
};

use crate::cluster::{Cluster, Embedded, Kafka};
use crate::secured::{Entrance, Secured};

/// Makes two tests of each scenario, a function of a [`Stage`]: `NAME::embedded`, and `NAME::kafka`, which is skipped where there is
/// no Kafka. Tests run in the order of their names, so that one of the first kind runs beside one of the second.
macro_rules! on_both_kinds {
    ($($scenario:ident),+ $(,)?) => {
        $(
            mod $scenario {
                #[test]
                fn embedded() {
                    super::$scenario(&crate::stage::Stage::embedded());
                }

                #[test]
                fn kafka() {
                    let Some(stage) = crate::stage::Stage::kafka(stringify!($scenario)) else { return };
                    super::$scenario(&stage);
                }
            }
        )+
    };
}
pub(crate) use on_both_kinds;

/// Clusters of one kind.
pub(crate) struct Stage {
    /// The turn with real Kafka; nothing where clusters are embedded.
    kafka: Option<RealKafka>,
}

/// A cluster that a scenario and its scene share.
pub(crate) type AnyCluster = Rc<dyn Cluster>;

impl Stage {
    pub(crate) fn embedded() -> Stage {
        Stage { kafka: None }
    }

    /// A turn with real Kafka, if there is one.
    pub(crate) fn kafka(test: &str) -> Option<Stage> {
        Some(Stage { kafka: Some(real_kafka(test)?) })
    }

    /// A number that depends on how slow clusters are.
    pub(crate) fn either<T>(&self, embedded: T, kafka: T) -> T {
        if self.kafka.is_some() { kafka } else { embedded }
    }

    /// Source and target, each of one node. Real ones are shared with other scenarios.
    pub(crate) fn pair(&self) -> (AnyCluster, AnyCluster) {
        let Some(kafka) = &self.kafka else { return (self.cluster(), self.cluster()) };
        let pair = kafka.pair().unwrap();
        let (source, target) = pair.clusters().unzip();
        (Rc::new(Kafka::shared(&pair.source, source)), Rc::new(Kafka::shared(&pair.target, target)))
    }

    /// A cluster of one node for this scenario alone.
    pub(crate) fn cluster(&self) -> AnyCluster {
        self.start(1, Profile::Kafka4_3, |builder| builder)
    }

    /// The same, whose clients are told to come to this port of a proxy, and where that leads to. Only the program goes that way.
    pub(crate) fn cluster_behind(&self, port: u16) -> (AnyCluster, SocketAddr) {
        if self.kafka.is_none() {
            let (cluster, listens_at) = Embedded::behind(port);
            return (Rc::new(cluster), listens_at);
        }
        let cluster = KafkaCluster::builder(KafkaRelease::KAFKA_4_3).far_listener(port).start().unwrap();
        let listens_at = cluster.node(1).unwrap().far_address().unwrap();
        (Rc::new(Kafka::own(cluster)), listens_at)
    }

    /// The same with access control lists. Without a name the tests and the program may do everything all the same.
    pub(crate) fn guarded_cluster(&self) -> AnyCluster {
        match self.kafka {
            Some(_) => start(
                KafkaCluster::builder(KafkaRelease::KAFKA_4_3)
                    .authorizer()
                    .property("super.users", "User:kafka;User:ANONYMOUS"),
            ),
            None => Rc::new(Embedded::guarded(true)),
        }
    }

    /// The same where they may do only what these entries say (options of `kafka-acls`, and in Kafka's words).
    pub(crate) fn closed_cluster(&self, permissions: &[(&[&str], &str)]) -> AnyCluster {
        if self.kafka.is_none() {
            let cluster = Embedded::guarded(false);
            permissions.iter().for_each(|(_, entry)| cluster.add_acl(entry));
            return Rc::new(cluster);
        }
        let cluster = KafkaCluster::builder(KafkaRelease::KAFKA_4_3).authorizer().start().unwrap();
        permissions.iter().for_each(|(options, _)| cluster.allow(options).unwrap());
        Rc::new(Kafka::own(cluster))
    }

    /// A cluster that may be entered in this way (a real one, in every way), and how. Sessions last for three seconds.
    pub(crate) fn secured(&self, entrance: Entrance) -> Secured {
        let certificates = Certificates::new().unwrap();
        if self.kafka.is_none() {
            let cluster = Embedded::secured(|builder| entrance.secure(builder, &certificates));
            let address = cluster.bootstrap_servers();
            return Secured::new(Rc::new(cluster), certificates, move |_| address.clone());
        }
        let builder = KafkaCluster::builder(KafkaRelease::KAFKA_4_3).secured(&certificates);
        let cluster = builder.property("connections.max.reauth.ms", "3000").start().unwrap();
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            cluster.add_scram_user(USER, mechanism, PASSWORD).unwrap();
        }
        let addresses = cluster.node(1).unwrap().secured_addresses().unwrap();
        let address = move |entrance: Entrance| entrance.address(&addresses).to_string();
        Secured::new(Rc::new(Kafka::own(cluster)), certificates, address)
    }

    /// The same of an older release.
    pub(crate) fn older_cluster(&self) -> AnyCluster {
        match self.kafka {
            Some(_) => start(KafkaCluster::builder(KafkaRelease::KAFKA_3_9)),
            None => self.start(1, Profile::Kafka3_9, |builder| builder),
        }
    }

    /// One that forgets producers after a second without a write.
    pub(crate) fn forgetful_cluster(&self) -> AnyCluster {
        self.start(1, Profile::Kafka4_3, |builder| {
            builder
                .property("producer.id.expiration.ms", "1000")
                .property("producer.id.expiration.check.interval.ms", "200")
                .property("transactional.id.expiration.ms", "1000")
        })
    }

    /// One of a node whose configuration says this of topics that have nothing set, in the words of topics.
    pub(crate) fn cluster_with_defaults(&self, defaults: &[(&str, &str)]) -> AnyCluster {
        if self.kafka.is_none() {
            return Rc::new(Embedded::with_defaults(defaults));
        }
        let builder = KafkaCluster::builder(KafkaRelease::KAFKA_4_3);
        let often = builder
            .property("log.retention.check.interval.ms", "500")
            .property("log.initial.task.delay.ms", "500");
        start(
            defaults
                .iter()
                .fold(often, |builder, (key, value)| builder.property(&format!("log.{key}"), value)),
        )
    }

    /// One that looks every second for producers whose records are a day old, and forgets them.
    pub(crate) fn often_checking_cluster(&self, nodes: u8, is_older: bool) -> AnyCluster {
        let (release, profile) = match is_older {
            true => (KafkaRelease::KAFKA_3_9, Profile::Kafka3_9),
            false => (KafkaRelease::KAFKA_4_3, Profile::Kafka4_3),
        };
        match self.kafka {
            Some(_) => start(
                KafkaCluster::builder(release)
                    .nodes(nodes.into())
                    .property("producer.id.expiration.check.interval.ms", "1000"),
            ),
            None => Rc::new(Embedded::often_checking(nodes, profile)),
        }
    }

    /// One whose retention and cleaner go over its logs all the time.
    pub(crate) fn tidy_cluster(&self) -> AnyCluster {
        self.start(1, Profile::Kafka4_3, |builder| {
            builder
                .property("log.initial.task.delay.ms", "100")
                .property("log.retention.check.interval.ms", "200")
                .property("log.cleaner.backoff.ms", "200")
        })
    }

    /// One of three nodes, whose failures are noticed soon.
    pub(crate) fn three_nodes(&self) -> AnyCluster {
        self.start(3, Profile::Kafka4_3, three_nodes)
    }

    /// A source of one node and a target of three.
    pub(crate) fn one_and_three_nodes(&self) -> (AnyCluster, AnyCluster) {
        if self.kafka.is_none() {
            return (self.cluster(), self.three_nodes());
        }
        let builder = || KafkaCluster::builder(KafkaRelease::KAFKA_4_3);
        thread::scope(|scope| {
            let source = scope.spawn(|| builder().start().unwrap());
            let target = start(three_nodes(builder().nodes(3)));
            (Rc::new(Kafka::own(source.join().unwrap())) as AnyCluster, target)
        })
    }

    fn start(
        &self,
        nodes: u8,
        profile: Profile,
        settings: impl FnOnce(KafkaClusterBuilder) -> KafkaClusterBuilder,
    ) -> AnyCluster {
        match self.kafka {
            Some(_) => start(settings(KafkaCluster::builder(KafkaRelease::KAFKA_4_3).nodes(nodes.into()))),
            None => Rc::new(Embedded::start(nodes, profile)),
        }
    }
}

fn three_nodes(builder: KafkaClusterBuilder) -> KafkaClusterBuilder {
    builder.property("broker.session.timeout.ms", "3000").property("broker.heartbeat.interval.ms", "500")
}

fn start(builder: KafkaClusterBuilder) -> AnyCluster {
    Rc::new(Kafka::own(builder.start().unwrap()))
}
