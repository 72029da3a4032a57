//! Who may connect, and who may do what: with the Java tools as judges, and beside a real cluster with an authorizer.

use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest, FetchRequest, MetadataRequest, ProduceRequest,
    SaslAuthenticateRequest, SaslHandshakeRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kmirror_embedded::{
    Acl, ApiKey, EmbeddedCluster, Fault, FaultKind, Operation, Pattern, Profile, ResourceType,
};
use kmirror_testkit::{KafkaCluster, KafkaEndpoint, KafkaRelease, real_kafka};

use crate::draft::Draft;
use crate::wire::Wire;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_may_do_anything_before_he_said_who_he_is() {
    let cluster = EmbeddedCluster::builder().user("alice", "wonderland").start().await.unwrap();
    tokio::task::block_in_place(|| {
        let connect = || Wire::connect(&cluster.bootstrap_servers());
        assert!(connect().try_call(9, &MetadataRequest::default()).is_none(), "hung up on");

        let mut wire = connect();
        let handshake =
            |mechanism| SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
        let answer = wire.call(1, &handshake("GSSAPI"));
        assert_eq!(answer.error_code, 33, "UNSUPPORTED_SASL_MECHANISM");
        assert_eq!(answer.mechanisms.len(), 3);

        let token = |token: &'static [u8]| SaslAuthenticateRequest::default().with_auth_bytes(token.into());
        let mut wire = connect();
        assert_eq!(wire.call(1, &handshake("PLAIN")).error_code, 0);
        let answer = wire.call(2, &token(b"\0alice\0looking glass"));
        assert_eq!(answer.error_code, 58, "SASL_AUTHENTICATION_FAILED");
        assert_eq!(
            answer.error_message.unwrap().as_str(),
            "Authentication failed: Invalid username or password"
        );
        assert!(wire.try_call(9, &MetadataRequest::default()).is_none(), "hung up on");

        let mut wire = connect();
        assert_eq!(wire.call(1, &handshake("PLAIN")).error_code, 0);
        assert_eq!(wire.call(2, &token(b"\0alice\0wonderland")).error_code, 0);
        assert_eq!(wire.call(9, &MetadataRequest::default()).brokers.len(), 1);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_entry_allows_is_refused() {
    let cluster = EmbeddedCluster::builder().authorizer([]).start().await.unwrap();
    cluster.create_topic("orders", 1, &[]).unwrap();
    let allow = |operation| {
        cluster.add_acl(Acl {
            resource_type: ResourceType::Topic,
            pattern: Pattern::Prefixed("ord".to_owned()),
            principal: "User:ANONYMOUS".to_owned(),
            host: "*".to_owned(),
            operation,
            allows: true,
        });
    };
    let produce = || {
        let data = PartitionProduceData::default().with_records(Some(Draft::new().bytes()));
        let topic = TopicProduceData::default().with_name(name("orders")).with_partition_data(vec![data]);
        ProduceRequest::default().with_acks(-1).with_timeout_ms(1_000).with_topic_data(vec![topic])
    };
    tokio::task::block_in_place(|| {
        let mut wire = Wire::connect(&cluster.bootstrap_servers());
        let produced =
            |wire: &mut Wire| wire.call(9, &produce()).responses[0].partition_responses[0].error_code;
        let fetched = |wire: &mut Wire| wire.call(12, &fetch()).responses[0].partitions[0].error_code;
        let topics =
            |wire: &mut Wire| wire.call(9, &MetadataRequest::default().with_topics(None)).topics.len();
        assert_eq!((produced(&mut wire), fetched(&mut wire), topics(&mut wire)), (29, 29, 0));
        allow(Operation::Write);
        assert_eq!((produced(&mut wire), fetched(&mut wire), topics(&mut wire)), (0, 29, 1));
        allow(Operation::Read);
        assert_eq!((produced(&mut wire), fetched(&mut wire), topics(&mut wire)), (0, 0, 1));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_over_its_quota_gets_nothing_but_the_time() {
    let cluster = EmbeddedCluster::builder().start().await.unwrap();
    cluster.create_topic("orders", 1, &[]).unwrap();
    cluster.append("orders", 0, &Draft::new().bytes()).unwrap();
    cluster.inject(Fault::new(FaultKind::Throttle(std::time::Duration::from_millis(20))).of(ApiKey::Fetch));
    tokio::task::block_in_place(|| {
        let mut wire = Wire::connect(&cluster.bootstrap_servers());
        let answer = wire.call(12, &fetch());
        assert_eq!((answer.throttle_time_ms, answer.responses.len()), (20, 0));
        let answer = wire.call(12, &fetch());
        assert_eq!((answer.throttle_time_ms, answer.responses.len()), (0, 1));
    });
}

/// What the Java tools are told of a user: each mechanism, and a wrong password.
#[tokio::test(flavor = "multi_thread")]
async fn java_clients_prove_who_they_are() {
    let Some(kafka) = real_kafka("java_clients_prove_who_they_are") else { return };
    let jars = kafka.pair().unwrap().source.jars().clone();
    let cluster = EmbeddedCluster::builder()
        .profile(Profile::Kafka4_3)
        .user("alice", "wonder,land=1")
        .authorizer(["User:alice"])
        .start()
        .await
        .unwrap();
    cluster.create_topic("orders", 1, &[]).unwrap();
    let java = KafkaEndpoint::new(jars, cluster.bootstrap_servers());
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("sasl");
    std::fs::create_dir_all(&folder).unwrap();
    let list = |mechanism: &str, login: &str, password: &str| {
        let path = folder.join(format!("{mechanism}.properties"));
        let config = format!(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism={mechanism}\n\
             sasl.jaas.config={login} required username=\"alice\" password=\"{password}\";\n"
        );
        std::fs::write(&path, config).unwrap();
        java.tool(&["topics", "--command-config", path.to_str().unwrap(), "--list"]).unwrap()
    };
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule";
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule";
    tokio::task::block_in_place(|| {
        for (mechanism, login) in [("PLAIN", plain), ("SCRAM-SHA-256", scram), ("SCRAM-SHA-512", scram)] {
            let output = list(mechanism, login, "wonder,land=1");
            assert!(output.stdout.contains("orders"), "{mechanism}: {}", output.stderr);
        }
        let output = list("SCRAM-SHA-256", scram, "wrong");
        assert!(output.stderr.contains("SaslAuthenticationException"), "{}", output.stderr);
    });
}

/// The same requests for lists, to a real authorizer and to the embedded one.
#[tokio::test(flavor = "multi_thread")]
async fn real_and_embedded_lists_answer_alike() {
    let anonymous = |operation| Acl {
        resource_type: ResourceType::Cluster,
        pattern: Pattern::Literal("kafka-cluster".to_owned()),
        principal: "User:ANONYMOUS".to_owned(),
        host: "*".to_owned(),
        operation,
        allows: true,
    };
    let embedded = EmbeddedCluster::builder().authorizer([]).start().await.unwrap();
    let address = embedded.bootstrap_servers();
    let mut answers = tokio::task::block_in_place(|| list_answers(&address));
    embedded.add_acl(anonymous(Operation::Alter));
    answers.extend(tokio::task::block_in_place(|| list_answers(&address)));
    assert_eq!(answers[0], "create: [31, 31, 31, 31, 31]");
    assert!(answers.iter().any(|answer| answer == "delete: 0 3"), "{answers:?}");

    let Some(kafka) = real_kafka("real_and_embedded_lists_answer_alike") else { return };
    let real = KafkaCluster::builder(KafkaRelease::KAFKA_4_3).authorizer().start().unwrap();
    let mut expected = list_answers(real.bootstrap_servers());
    real.allow(&["--operation", "Alter", "--cluster"]).unwrap();
    expected.extend(list_answers(real.bootstrap_servers()));
    drop(kafka);
    assert_eq!(answers, expected, "embedded, then real");
}

fn list_answers(address: &str) -> Vec<String> {
    let mut wire = Wire::connect(address.split(',').next().unwrap());
    let text = StrBytes::from_static_str;
    let topic = || {
        AclCreation::default()
            .with_resource_type(2)
            .with_resource_name(text("orders"))
            .with_resource_pattern_type(3)
            .with_principal(text("User:bob"))
            .with_host(text("*"))
            .with_operation(3)
            .with_permission_type(3)
    };
    let creations = vec![
        topic(),
        topic().with_resource_name(text("ord")).with_resource_pattern_type(4).with_operation(4),
        topic().with_resource_name(text("*")).with_permission_type(2),
        // These are refused: no such cluster, no type of principal.
        topic().with_resource_type(4).with_resource_name(text("cluster")),
        topic().with_principal(text("bob")),
    ];
    let create = |wire: &mut Wire, creations| {
        let created = wire.call(3, &CreateAclsRequest::default().with_creations(creations));
        let codes: Vec<_> = created.results.iter().map(|result| result.error_code).collect();
        format!("create: {codes:?}")
    };
    let mut answers = vec![create(&mut wire, creations)];
    // A pattern that is one for filters only, and an operation that is, cost the whole request.
    answers.push(create(&mut wire, vec![topic(), topic().with_resource_pattern_type(2)]));
    answers.push(create(&mut wire, vec![topic().with_operation(1)]));
    // Again, which changes nothing.
    answers.push(create(&mut wire, vec![topic()]));
    let filter = |name: Option<&'static str>, pattern| {
        DescribeAclsRequest::default()
            .with_resource_type_filter(2)
            .with_resource_name_filter(name.map(text))
            .with_pattern_type_filter(pattern)
            .with_principal_filter(None)
            .with_host_filter(None)
            .with_operation(1)
            .with_permission_type(1)
    };
    for (name, pattern) in [
        (None, 1),
        (Some("orders"), 1),
        (Some("orders"), 2),
        (Some("orders"), 3),
        (Some("ord"), 4),
        (None, 3),
    ] {
        let described = wire.call(3, &filter(name, pattern));
        let mut found: Vec<_> = described
            .resources
            .iter()
            .flat_map(|resource| {
                resource.acls.iter().map(|acl| {
                    (
                        resource.pattern_type,
                        resource.resource_name.to_string(),
                        acl.operation,
                        acl.permission_type,
                    )
                })
            })
            .collect();
        found.sort();
        answers.push(format!("describe: {} {found:?}", described.error_code));
    }
    let deleted = DeleteAclsFilter::default()
        .with_resource_type_filter(2)
        .with_resource_name_filter(Some(text("orders")))
        .with_pattern_type_filter(2)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(1)
        .with_permission_type(1);
    for _ in 0..2 {
        let answer = wire.call(3, &DeleteAclsRequest::default().with_filters(vec![deleted.clone()]));
        let result = &answer.filter_results[0];
        answers.push(format!("delete: {} {}", result.error_code, result.matching_acls.len()));
    }
    answers
}

fn fetch() -> FetchRequest {
    let partition = FetchPartition::default()
        .with_current_leader_epoch(-1)
        .with_last_fetched_epoch(-1)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(name("orders")).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

fn name(name: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(name))
}

/// `connections.max.reauth.ms` (KIP-368): whoever does not say once more who he is, in time and as the same, is hung up on.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_unless_it_is_renewed() {
    let lifetime = std::time::Duration::from_millis(1_200);
    let builder = EmbeddedCluster::builder().user("alice", "wonderland").user("bob", "builder");
    let cluster = builder.session_lifetime(lifetime).start().await.unwrap();
    tokio::task::block_in_place(|| {
        let plain = || SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("PLAIN"));
        let token = |token: &'static [u8]| SaslAuthenticateRequest::default().with_auth_bytes(token.into());
        let alice = || token(b"\0alice\0wonderland");
        let known = || {
            let mut wire = Wire::connect(&cluster.bootstrap_servers());
            assert_eq!(wire.call(1, &plain()).error_code, 0);
            assert_eq!(wire.call(2, &alice()).session_lifetime_ms, 1_200);
            wire
        };
        let mut late = known();
        let mut renewing = known();
        assert_eq!(cluster.authentications(), 2);
        assert_eq!(renewing.call(1, &plain()).error_code, 0);
        assert_eq!(renewing.call(2, &alice()).error_code, 0);
        assert_eq!(cluster.authentications(), 3);
        // A busy machine may let a second pass.
        while renewing.call(1, &plain()).error_code != 34 {
            assert_eq!(renewing.call(2, &alice()).error_code, 0);
        }

        let mut other = known();
        assert_eq!(other.call(1, &plain()).error_code, 0);
        assert_eq!(other.call(2, &token(b"\0bob\0builder")).error_code, 58, "another user");

        let mut interrupted = known();
        assert_eq!(interrupted.call(1, &plain()).error_code, 0);
        assert!(interrupted.try_call(9, &MetadataRequest::default()).is_none(), "hung up on in between");

        std::thread::sleep(lifetime);
        assert!(late.try_call(9, &MetadataRequest::default()).is_none(), "hung up on");
        // What is over may still be renewed, if nothing else comes before.
        assert_eq!(renewing.call(1, &plain()).error_code, 0);
        assert_eq!(renewing.call(2, &alice()).error_code, 0);
        assert_eq!(renewing.call(9, &MetadataRequest::default()).brokers.len(), 1);
    });
}
