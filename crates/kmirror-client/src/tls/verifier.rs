//! Whether a broker is who it should be: rustls's own rules, with what Java accepts beyond them where that is safe.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

#[derive(Debug)]
pub(super) struct Verifier {
    rustls: Arc<WebPkiServerVerifier>,
    /// The given certificate authorities.
    anchors: Vec<CertificateDer<'static>>,
    verify_hostname: bool,
}

impl Verifier {
    pub(super) fn new(
        rustls: Arc<WebPkiServerVerifier>,
        anchors: Vec<CertificateDer<'static>>,
        verify_hostname: bool,
    ) -> Verifier {
        Verifier { rustls, anchors, verify_hostname }
    }

    /// Whether a certificate is excused for being its own authority. Home-made set-ups put the broker's certificate itself into the
    /// truststore; it is trusted byte for byte then. rustls judges the dates before anything that is excused here.
    fn is_pinned(&self, certificate: &CertificateDer<'_>, error: &Error) -> bool {
        let excused = matches!(
            error,
            Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_))
        );
        excused && self.anchors.iter().any(|anchor| anchor.as_ref() == certificate.as_ref())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged =
            self.rustls.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let judged = match judged {
            Err(error) if self.is_pinned(end_entity, &error) => ParsedCertificate::try_from(end_entity)
                .and_then(|certificate| verify_server_name(&certificate, server_name))
                .map(|()| ServerCertVerified::assertion()),
            judged => judged,
        };
        match judged {
            // Names are looked at last: everything else is right.
            Err(error) if !self.verify_hostname && is_wrong_name(&error) => {
                Ok(ServerCertVerified::assertion())
            }
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.rustls.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.rustls.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.rustls.supported_verify_schemes()
    }
}

fn is_wrong_name(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        )
    )
}
