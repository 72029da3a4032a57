//! TLS of listeners: a certificate for all brokers, and whose certificates clients may have.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// What brokers show, all as PEM. Its `Debug` shows no key.
#[derive(Clone)]
pub(crate) struct TlsProfile {
    pub(crate) certificate: String,
    pub(crate) key: String,
    /// Who must have signed the certificate of a client (`ssl.client.auth=required`). `None`: clients need none.
    pub(crate) client_ca: Option<String>,
}

impl std::fmt::Debug for TlsProfile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TlsProfile").field("client_ca", &self.client_ca).finish_non_exhaustive()
    }
}

impl TlsProfile {
    /// # Errors
    /// What is no PEM, or does not fit together.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(pem)? {
                    roots.add(authority).map_err(|error| error.to_string())?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().map_err(|error| error.to_string())?)
            }
        };
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|error| error.to_string())?;
        let config = builder
            .with_single_cert(certificates(&self.certificate)?, key)
            .map_err(|error| error.to_string())?;
        Ok(Arc::new(config).into())
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    found.map_err(|error| error.to_string())
}

/// The common name of the one whom a certificate is for, as `ssl.principal.mapping.rules` would take it out: the last one in it, for the
/// issuer's comes before.
pub(crate) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let bytes = certificate.as_ref();
    let at = bytes.windows(COMMON_NAME.len()).rposition(|window| window == COMMON_NAME)?;
    let value = bytes.get(at + COMMON_NAME.len()..)?;
    // A type of text, its length, the text.
    let length = usize::from(*value.get(1)?);
    String::from_utf8(value.get(2..2 + length)?.to_vec()).ok()
}

/// The object identifier 2.5.4.3 in DER.
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
