//! Handshakes with a server of rustls, over a pipe.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsAcceptor;

use super::*;

const ADDRESS: &str = "broker.test:9093";

/// A certificate authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
struct Identity {
    certificate: String,
    key: String,
}

fn authority() -> Authority {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    params.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { issuer: Issuer::new(params, key), pem }
}

fn named(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
}

impl Authority {
    fn signs(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

fn self_signed(mut params: CertificateParams) -> Identity {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    Identity { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// A server with this identity, which wants a certificate of these authorities where there are some.
fn acceptor(identity: &Identity, clients: Option<&Authority>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).map(Result::unwrap);
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    Arc::new(builder.with_single_cert(chain.collect(), key).unwrap()).into()
}

/// What a server with this identity is for a client: greeted, or why not.
async fn greet(tls: &Tls, acceptor: TlsAcceptor) -> Result<String, ClientError> {
    let (ours, theirs) = duplex(1 << 16);
    let server = tokio::spawn(async move {
        let mut stream = acceptor.accept(theirs).await?;
        stream.write_all(b"hello").await?;
        stream.flush().await?;
        // Until the client has left.
        stream.read_to_end(&mut Vec::new()).await
    });
    let address = Arc::from(ADDRESS);
    let greeting = async {
        let mut stream = tls.connect(&address, ours).await?;
        let mut greeting = [0; 5];
        let read = stream.read_exact(&mut greeting).await;
        read.map_err(|error| ClientError::of_io(&address, "a greeting", error))?;
        Ok(String::from_utf8_lossy(&greeting).into_owned())
    };
    let greeting = greeting.await;
    drop(server.await);
    greeting
}

fn trusting(pem: &str) -> TlsConfig {
    TlsConfig { ca: Some(Material::text(pem)), ..TlsConfig::new() }
}

fn tls(config: &TlsConfig) -> Tls {
    Tls::new("east", config)
}

async fn failure(config: &TlsConfig, identity: &Identity) -> TlsFailure {
    match greet(&tls(config), acceptor(identity, None)).await {
        Err(ClientError::Tls { failure, .. }) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_broker_of_a_trusted_authority_is_greeted() {
    let authority = authority();
    let identity = authority.signs(&named(&["broker.test"]));
    let greeting = greet(&tls(&trusting(&authority.pem)), acceptor(&identity, None)).await;
    assert_eq!(greeting.unwrap(), "hello");
}

#[tokio::test]
async fn whoever_is_not_the_broker_is_refused_and_the_reason_is_said() {
    let (ours, other) = (authority(), authority());
    let config = trusting(&ours.pem);
    let right = named(&["broker.test"]);

    let unknown = failure(&config, &other.signs(&right)).await;
    assert_eq!(unknown, TlsFailure::UnknownAuthority);

    let wrong_name = failure(&config, &ours.signs(&named(&["other.test", "10.0.0.1"]))).await;
    assert_eq!(
        wrong_name.to_string(),
        "the broker's certificate is for other.test, 10.0.0.1, not for broker.test: use one of its names in bootstrap_servers and \
         advertised.listeners, or set tls.server_name"
    );
    let no_name = failure(&config, &ours.signs(&named(&[]))).await;
    assert!(no_name.to_string().contains("no host at all"), "{no_name}");

    let mut expired = right.clone();
    (expired.not_before, expired.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    let failed = failure(&config, &ours.signs(&expired)).await;
    assert!(matches!(failed, TlsFailure::Expired { days: Some(8_000..) }), "{failed}");

    let mut not_yet = right.clone();
    (not_yet.not_before, not_yet.not_after) = (date_time_ymd(2900, 1, 1), date_time_ymd(2901, 1, 1));
    assert_eq!(failure(&config, &ours.signs(&not_yet)).await, TlsFailure::NotYetValid);

    let mut of_a_client = right;
    of_a_client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let failed = failure(&config, &ours.signs(&of_a_client)).await;
    assert!(matches!(failed, TlsFailure::BadCertificate(_)), "{failed}");
}

/// Many set-ups put the broker's own self-signed certificate into the truststore, and Java accepts it.
#[tokio::test]
async fn a_certificate_that_is_its_own_authority_is_trusted_with_its_name_and_dates() {
    let own = self_signed(named(&["broker.test"]));
    let greeting = greet(&tls(&trusting(&own.certificate)), acceptor(&own, None)).await;
    assert_eq!(greeting.unwrap(), "hello");

    let other_name = self_signed(named(&["other.test"]));
    let failed = failure(&trusting(&other_name.certificate), &other_name).await;
    assert!(matches!(failed, TlsFailure::WrongName { .. }), "{failed}");

    let mut params = named(&["broker.test"]);
    (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    let expired = self_signed(params);
    let failed = failure(&trusting(&expired.certificate), &expired).await;
    assert!(matches!(failed, TlsFailure::Expired { .. }), "{failed}");

    let stranger = self_signed(named(&["broker.test"]));
    let failed = failure(&trusting(&own.certificate), &stranger).await;
    assert!(matches!(failed, TlsFailure::BadCertificate(_) | TlsFailure::UnknownAuthority), "{failed}");
    // One that an authority has signed may be trusted alone as well.
    let signed = authority().signs(&named(&["broker.test"]));
    let greeting = greet(&tls(&trusting(&signed.certificate)), acceptor(&signed, None)).await;
    assert_eq!(greeting.unwrap(), "hello");
}

#[tokio::test]
async fn names_may_be_given_or_left_alone_and_nothing_else_is() {
    let (ours, other) = (authority(), authority());
    let elsewhere = named(&["other.test"]);
    let given = TlsConfig { server_name: Some("other.test".to_owned()), ..trusting(&ours.pem) };
    let greeting = greet(&tls(&given), acceptor(&ours.signs(&elsewhere), None)).await;
    assert_eq!(greeting.unwrap(), "hello");

    let any_name = TlsConfig { verify_hostname: false, ..trusting(&ours.pem) };
    let greeting = greet(&tls(&any_name), acceptor(&ours.signs(&elsewhere), None)).await;
    assert_eq!(greeting.unwrap(), "hello");
    assert_eq!(failure(&any_name, &other.signs(&elsewhere)).await, TlsFailure::UnknownAuthority);
    let mut expired = elsewhere;
    (expired.not_before, expired.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    let failed = failure(&any_name, &ours.signs(&expired)).await;
    assert!(matches!(failed, TlsFailure::Expired { .. }), "{failed}");
}

#[tokio::test]
async fn who_asks_for_a_certificate_gets_ours() {
    let (brokers, clients) = (authority(), authority());
    let broker = brokers.signs(&named(&["broker.test"]));
    let client = clients.signs(&named(&["kmirror"]));
    let config = TlsConfig {
        certificate: Some(Material::text(&client.certificate)),
        key: Some(Material::text(&client.key)),
        ..trusting(&brokers.pem)
    };
    assert_eq!(greet(&tls(&config), acceptor(&broker, Some(&clients))).await.unwrap(), "hello");
    // Both in one text, as keystores of PEM are.
    let both = format!("{}{}", client.key, client.certificate);
    let in_one = TlsConfig { certificate: Some(Material::text(both)), key: None, ..config.clone() };
    assert_eq!(greet(&tls(&in_one), acceptor(&broker, Some(&clients))).await.unwrap(), "hello");

    let without = greet(&tls(&trusting(&brokers.pem)), acceptor(&broker, Some(&clients))).await.unwrap_err();
    assert_eq!(
        without.to_string(),
        "broker.test:9093: TLS: the broker refused the connection (CertificateRequired): it may want a client certificate that it \
         trusts (tls.cert_file, tls.key_file)"
    );
    let not_trusted = greet(&tls(&config), acceptor(&broker, Some(&brokers))).await.unwrap_err();
    assert!(matches!(
        not_trusted,
        ClientError::Tls { failure: TlsFailure::Refused { alert_is_of_certificate: true, .. }, .. }
    ));
}

async fn against_plaintext(answer: &'static [u8]) -> ClientError {
    let (ours, mut theirs): (DuplexStream, DuplexStream) = duplex(1 << 16);
    let server = tokio::spawn(async move {
        theirs.write_all(answer).await.unwrap();
        // It has read what it takes for the length of a request.
        drop(theirs.read(&mut [0; 4]).await);
    });
    let error = tls(&TlsConfig::new()).connect(&Arc::from(ADDRESS), ours).await.unwrap_err();
    server.await.unwrap();
    error
}

#[tokio::test]
async fn a_plaintext_listener_is_recognised() {
    for answer in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        assert_eq!(
            against_plaintext(answer).await.to_string(),
            "broker.test:9093: TLS: what answers is not TLS: this looks like a plaintext listener"
        );
    }
}

#[tokio::test]
async fn files_are_read_again_and_what_is_wrong_in_them_does_not_count() {
    let (before, after) = (authority(), authority());
    let path = std::env::temp_dir().join(format!("kmirror-ca-{}.pem", std::process::id()));
    std::fs::write(&path, &before.pem).unwrap();
    let tls = tls(&TlsConfig { ca: Some(Material::file(&path)), ..TlsConfig::new() });
    let (old, new) = (before.signs(&named(&["broker.test"])), after.signs(&named(&["broker.test"])));
    assert!(greet(&tls, acceptor(&old, None)).await.is_ok());
    assert!(greet(&tls, acceptor(&new, None)).await.is_err());
    std::fs::write(&path, &after.pem).unwrap();
    assert!(greet(&tls, acceptor(&new, None)).await.is_ok());
    std::fs::write(&path, "half a certifi").unwrap();
    assert!(greet(&tls, acceptor(&new, None)).await.is_ok(), "the last one that was right counts");
    std::fs::remove_file(&path).unwrap();
    assert!(greet(&tls, acceptor(&new, None)).await.is_ok());
}

#[test]
fn what_is_no_pem_is_said_without_showing_it() {
    let client = authority().signs(&named(&["kmirror"]));
    let other = authority().signs(&named(&["kmirror"]));
    let with = |certificate: &str, key: &str| TlsConfig {
        certificate: Some(Material::text(certificate)),
        key: Some(Material::text(key)),
        ..TlsConfig::new()
    };
    assert_eq!(with(&client.certificate, &client.key).check(), Ok(()));
    for (config, said) in [
        (
            TlsConfig { ca: Some(Material::file("/no/such/ca.pem")), ..TlsConfig::new() },
            "cannot read /no/such/ca.pem: ",
        ),
        (trusting("hunter2"), "the given text holds no certificate"),
        (with(&client.certificate, "hunter2"), "the given text holds no private key"),
        (
            with(&client.certificate, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2"),
            "decrypt it with `openssl pkey",
        ),
        (
            with(&client.certificate, &other.key),
            "the certificate of the given text and the key of the given text: ",
        ),
        (
            TlsConfig { certificate: None, ..with("", &client.key) },
            "there is a key, and no certificate for it",
        ),
    ] {
        let problem = config.check().unwrap_err();
        assert!(problem.contains(said) && !problem.contains("hunter2"), "{problem}");
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    }
}

#[test]
fn a_host_is_what_stands_before_the_port() {
    for (address, host) in [("a.b:9093", "a.b"), ("10.0.0.1:1", "10.0.0.1"), ("[::1]:9093", "::1")] {
        assert_eq!(host_of(address), host);
    }
}
