//! Into a cluster that wants to know who comes: over TLS, with SASL, and again before the session ends.

use std::sync::Arc;
use std::time::Duration;

use kmirror_client::{
    Client, ClientConfig, ClientError, Connecting, Connector, Duplex, Material, SaslConfig, ScramHash,
    TlsConfig, TlsFailure, Topics,
};
use kmirror_embedded::{ClusterBuilder, EmbeddedCluster};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A certificate authority, and a certificate that it has signed with its key, all as PEM.
struct Signed {
    authority: String,
    certificate: String,
    key: String,
}

fn signed(authority_name: &str, name: &str) -> Signed {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, authority_name);
    let authority = params.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    Signed { authority, certificate, key: key.serialize_pem() }
}

fn scram(password: &str) -> SaslConfig {
    let (hash, password) = (ScramHash::Sha512, Material::text(password));
    SaslConfig::Scram { hash, username: "alice".to_owned(), password }
}

fn plain(password: &str) -> SaslConfig {
    SaslConfig::Plain { username: "alice".to_owned(), password: Material::text(password) }
}

async fn started(builder: ClusterBuilder) -> EmbeddedCluster {
    builder.start().await.unwrap()
}

fn config(cluster: &EmbeddedCluster) -> ClientConfig {
    ClientConfig::new("east", cluster.bootstrap_servers().split(','))
}

async fn brokers(config: ClientConfig) -> Result<usize, ClientError> {
    let client = Client::connect(config).await?;
    Ok(client.refresh_metadata(Topics::All).await?.brokers.len())
}

fn tls(authority: &str) -> Option<TlsConfig> {
    let mut tls = TlsConfig::new();
    tls.ca = Some(Material::text(authority));
    Some(tls)
}

#[tokio::test]
async fn a_secured_cluster_is_entered_by_every_mechanism() {
    let broker = signed("brokers", "broker");
    let builder = EmbeddedCluster::builder().brokers(3).user("alice", "wonder,land=1");
    let cluster = started(builder.tls(&broker.certificate, &broker.key)).await;
    let scram_256 = SaslConfig::Scram {
        hash: ScramHash::Sha256,
        username: "alice".to_owned(),
        password: Material::text("wonder,land=1"),
    };
    for sasl in [scram("wonder,land=1"), scram_256, plain("wonder,land=1")] {
        let mut config = config(&cluster);
        (config.tls, config.sasl) = (tls(&broker.authority), Some(sasl));
        assert_eq!(brokers(config).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn a_certificate_is_who_we_are_where_the_cluster_asks_for_it() {
    let (broker, client) = (signed("brokers", "broker"), signed("clients", "kmirror"));
    let builder = EmbeddedCluster::builder().authorizer(["User:kmirror"]);
    let cluster = builder.tls(&broker.certificate, &broker.key).tls_clients(&client.authority);
    let cluster = started(cluster).await;
    cluster.create_topic("orders", 1, &[]).unwrap();
    let mut config = config(&cluster);
    config.tls = tls(&broker.authority);
    let error = Client::connect(config.clone()).await.unwrap_err();
    assert!(error.to_string().contains("(CertificateRequired): it may want a client certificate"), "{error}");
    if let Some(tls) = &mut config.tls {
        tls.certificate = Some(Material::text(&client.certificate));
        tls.key = Some(Material::text(&client.key));
    }
    let known = Client::connect(config).await.unwrap().refresh_metadata(Topics::All).await.unwrap();
    assert!(known.topic("orders").is_some(), "User:kmirror may see it");
}

fn cause(error: &ClientError) -> &ClientError {
    let ClientError::Unreachable { attempts, .. } = error else { panic!("{error}") };
    attempts.iter().next().unwrap().1
}

#[tokio::test]
async fn who_does_not_belong_here_is_told_why() {
    let broker = signed("brokers", "broker");
    let secured =
        EmbeddedCluster::builder().user("alice", "wonderland").tls(&broker.certificate, &broker.key);
    let secured = started(secured).await;
    let plaintext = started(EmbeddedCluster::builder()).await;
    let with_users = started(EmbeddedCluster::builder().user("alice", "wonderland")).await;

    let refused = async |config: ClientConfig| Client::connect(config).await.unwrap_err();
    let mut wrong_password = config(&secured);
    (wrong_password.tls, wrong_password.sasl) = (tls(&broker.authority), Some(scram("looking glass")));
    let address = secured.bootstrap_servers();
    assert_eq!(
        refused(wrong_password).await.to_string(),
        format!(
            "{address}: SCRAM-SHA-512: the broker refuses user alice: Authentication failed during authentication due to invalid \
             credentials with SASL mechanism SCRAM-SHA-512"
        )
    );
    let mut unknown_authority = config(&secured);
    unknown_authority.tls = tls(&signed("others", "broker").authority);
    let error = refused(unknown_authority).await;
    assert!(
        matches!(cause(&error), ClientError::Tls { failure: TlsFailure::UnknownAuthority, .. }),
        "{error}"
    );

    let mut tls_to_plaintext = config(&plaintext);
    tls_to_plaintext.tls = Some(TlsConfig::new());
    let error = refused(tls_to_plaintext).await;
    assert!(matches!(cause(&error), ClientError::Tls { failure: TlsFailure::NotTls, .. }), "{error}");

    let error = refused(config(&secured)).await.to_string();
    assert!(error.contains("TLS"), "{error}");

    let error = refused(config(&with_users)).await.to_string();
    assert!(error.ends_with("does this listener expect SASL?"), "{error}");

    let mut sasl_to_none = config(&plaintext);
    sasl_to_none.sasl = Some(plain("wonderland"));
    let error = refused(sasl_to_none).await.to_string();
    assert!(
        error.ends_with("this listener takes no SASL: use one that does, or leave `sasl` out"),
        "{error}"
    );

    let mut not_offered = config(&with_users);
    not_offered.sasl = Some(SaslConfig::OAuthBearer { token: Material::text("token") });
    let error = refused(not_offered).await;
    assert!(error.is_authentication(), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("OAUTHBEARER: the broker does not offer it, but PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
        "{error}"
    );
}

/// Whoever sends something in the middle of it, or too late, is hung up on: that nothing is lost says that nothing did.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_busy_authenticates_again_before_its_session_ends() {
    let lifetime = Duration::from_millis(1_500);
    let cluster = EmbeddedCluster::builder().user("alice", "wonderland").session_lifetime(lifetime);
    let cluster = started(cluster).await;
    let mut config = config(&cluster);
    config.sasl = Some(scram("wonderland"));
    let client = Client::connect(config).await.unwrap();
    client.refresh_metadata(Topics::All).await.unwrap();
    let broker = *client.metadata().brokers.keys().next().unwrap();
    let connection = client.connection(broker, kmirror_client::Lane::Control).await.unwrap();
    let before = cluster.authentications();
    while cluster.authentications() < before + 3 {
        let calls = (0..8).map(|_| client.describe_broker_config(broker));
        for answer in join_all(calls).await {
            answer.expect("answered");
        }
        assert!(connection.poison().is_none(), "{:?}", connection.poison());
    }
}

async fn join_all<T: Send + 'static>(calls: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut answers = Vec::new();
    let mut calls: Vec<_> = calls.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        calls.retain_mut(|call| match call.as_mut().poll(context) {
            std::task::Poll::Ready(answer) => {
                answers.push(answer);
                false
            }
            std::task::Poll::Pending => true,
        });
        if calls.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_no_more_ends_the_connection_and_says_why() {
    let lifetime = Duration::from_millis(1_500);
    let cluster = EmbeddedCluster::builder().user("alice", "wonderland").session_lifetime(lifetime);
    let cluster = started(cluster).await;
    let mut config = config(&cluster);
    config.sasl = Some(scram("wonderland"));
    let client = Client::connect(config).await.unwrap();
    let broker = *client.metadata().brokers.keys().next().unwrap();
    let connection = client.connection(broker, kmirror_client::Lane::Control).await.unwrap();
    cluster.set_password("alice", "looking glass");
    // The broker closes at the same time, without a word.
    while !connection.poison().is_some_and(ClientError::is_authentication) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let error = client.describe_broker_config(broker).await.unwrap_err();
    assert!(error.is_authentication(), "{error}");
}

/// Leads to one address, whatever is asked for.
#[derive(Debug)]
struct Tunnel(String);

impl Connector for Tunnel {
    fn connect<'a>(&'a self, _: &'a str) -> Connecting<'a> {
        Box::pin(async move {
            let stream = tokio::net::TcpStream::connect(&self.0).await?;
            Ok(Box::new(stream) as Box<dyn Duplex>)
        })
    }
}

#[tokio::test]
async fn what_goes_through_a_connector_is_encrypted_too() {
    let broker = signed("brokers", "broker");
    let cluster = started(EmbeddedCluster::builder().tls(&broker.certificate, &broker.key)).await;
    let mut config = ClientConfig::new("east", ["far.example.com:9093"]);
    config.connector = Some(Arc::new(Tunnel(cluster.bootstrap_servers())));
    config.tls = tls(&broker.authority);
    let error = Client::connect(config.clone()).await.unwrap_err();
    assert!(
        matches!(cause(&error), ClientError::Tls { failure: TlsFailure::WrongName { .. }, .. }),
        "{error}"
    );
    if let Some(tls) = &mut config.tls {
        tls.server_name = Some("localhost".to_owned());
    }
    assert_eq!(brokers(config.clone()).await.unwrap(), 1);
    config.tls = None;
    let error = Client::connect(config).await.unwrap_err().to_string();
    assert!(error.contains("TLS"), "{error}");
}

/// Takes everything and says nothing.
#[derive(Debug)]
struct Silence;

impl Connector for Silence {
    fn connect<'a>(&'a self, _: &'a str) -> Connecting<'a> {
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            tokio::spawn(async move {
                let _theirs = theirs;
                std::future::pending::<()>().await;
            });
            Ok(Box::new(ours) as Box<dyn Duplex>)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_without_an_answer_ends_with_the_time_to_connect() {
    let mut config = ClientConfig::new("east", ["broker:9093"]);
    config.connector = Some(Arc::new(Silence));
    config.tls = tls(&signed("brokers", "broker").authority);
    config.connect_timeout = Duration::from_secs(3);
    let error = Client::connect(config).await.unwrap_err();
    assert_eq!(cause(&error).to_string(), "broker:9093: no answer to connect within 3s");
}
