//! From PEM to what rustls is told.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CipherSuite, RootCertStore};

use super::TlsConfig;
use super::verifier::Verifier;
use crate::secret::{Material, Secret};

/// What the files held when they were read.
#[derive(PartialEq, Eq)]
pub(super) struct Loaded {
    ca: Option<Secret>,
    certificate: Option<Secret>,
    key: Option<Secret>,
}

impl Loaded {
    pub(super) fn read(config: &TlsConfig) -> Result<Loaded, String> {
        let read = |material: &Option<Material>| material.as_ref().map(Material::read).transpose();
        Ok(Loaded { ca: read(&config.ca)?, certificate: read(&config.certificate)?, key: read(&config.key)? })
    }
}

/// The configuration of connections.
pub(super) fn client_config(config: &TlsConfig, loaded: &Loaded) -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(provider());
    let anchors = match (&config.ca, &loaded.ca) {
        (Some(material), Some(pem)) => certificates(material, pem)?,
        _ => Vec::new(),
    };
    let roots = if config.ca.is_some() { given_roots(&anchors)? } else { system_roots() };
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| format!("the certificate authorities cannot be used: {error}"))?;
    let verifier = Verifier::new(verifier, anchors, config.verify_hostname);
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        // The only danger is that of a verifier that does not verify: ours asks rustls's own.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let (Some(material), Some(pem)) = (&config.certificate, &loaded.certificate) else {
        return match config.key {
            None => Ok(builder.with_no_client_auth()),
            Some(_) => Err("there is a key, and no certificate for it".to_owned()),
        };
    };
    let (key_material, key_pem) = match (&config.key, &loaded.key) {
        (Some(material), Some(pem)) => (material, pem),
        _ => (material, pem),
    };
    builder
        .with_client_auth_cert(certificates(material, pem)?, private_key(key_material, key_pem)?)
        .map_err(|error| format!("the certificate of {material} and the key of {key_material}: {error}"))
}

/// aws-lc-rs with AES-128 first, which costs a tenth less than AES-256 and is as safe. The server decides in the end.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => 0,
        CipherSuite::TLS13_AES_256_GCM_SHA384 => 1,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => 2,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 3,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => 4,
        _ => 5,
    });
    provider
}

fn certificates(material: &Material, pem: &Secret) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.reveal().as_bytes()).collect();
    let found = found.map_err(|error| format!("{material} is no PEM: {error}"))?;
    if found.is_empty() {
        return Err(format!("{material} holds no certificate (PEM: `-----BEGIN CERTIFICATE-----`)"));
    }
    Ok(found)
}

fn private_key(material: &Material, pem: &Secret) -> Result<PrivateKeyDer<'static>, String> {
    if pem.reveal().contains("ENCRYPTED PRIVATE KEY") || pem.reveal().contains("Proc-Type: 4,ENCRYPTED") {
        return Err(format!(
            "the key in {material} is encrypted, which is not supported: decrypt it with `openssl pkey -in KEY -out DECRYPTED`"
        ));
    }
    PrivateKeyDer::from_pem_slice(pem.reveal().as_bytes())
        .map_err(|_| format!("{material} holds no private key (PEM: `-----BEGIN PRIVATE KEY-----`)"))
}

fn given_roots(anchors: &[CertificateDer<'static>]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for anchor in anchors {
        roots
            .add(anchor.clone())
            .map_err(|error| format!("a certificate authority cannot be used: {error}"))?;
    }
    Ok(roots)
}

/// Those of the operating system, or Mozilla's where it has none: an image from scratch.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // What cannot be read, or is no certificate, is not trusted.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        tracing::info!("the system has no certificate authorities: Mozilla's are trusted");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}
