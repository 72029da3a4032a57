//! Why a connection could not be encrypted, and what to do about it.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, Error};

use crate::error::ClientError;

/// Why a connection could not be encrypted, or did not stay so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFailure {
    /// What answers does not speak TLS.
    #[error("what answers is not TLS: this looks like a plaintext listener")]
    NotTls,
    /// The broker has the certificate of somebody else.
    #[error(
        "the broker's certificate is for {}, not for {name}: use one of its names in bootstrap_servers and advertised.listeners, or set \
         tls.server_name",
        Names(presented)
    )]
    WrongName {
        /// The name that was dialled.
        name: String,
        /// Those in its certificate. Java falls back to the common name where there is none; nobody else does.
        presented: Vec<String>,
    },
    /// The certificate is too old.
    #[error("the broker's certificate has expired{}", Ago(*days))]
    Expired {
        /// How many days ago, where that is known.
        days: Option<u64>,
    },
    /// The certificate is not valid yet.
    #[error("the broker's certificate is not valid yet: look at both clocks")]
    NotYetValid,
    /// Nobody whom we trust has signed the certificate.
    #[error(
        "no trusted authority has signed the broker's certificate: name the authority that did in tls.ca_file"
    )]
    UnknownAuthority,
    /// The certificate is wrong in another way.
    #[error("the broker's certificate cannot be accepted: {0}")]
    BadCertificate(String),
    /// The broker ended the connection by an alert.
    #[error("the broker refused the connection ({alert}){}", Advice(*alert_is_of_certificate))]
    Refused {
        /// Its name in the standard.
        alert: String,
        /// Whether it is about our certificate.
        alert_is_of_certificate: bool,
    },
    /// Both sides have no version or cipher suite in common.
    #[error(
        "nothing in common with the broker: {0}; kmirror speaks TLS 1.2 and 1.3 without RSA key exchange"
    )]
    Incompatible(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// The error of a handshake.
pub(super) fn of_handshake(address: &Arc<str>, name: &ServerName<'_>, error: io::Error) -> ClientError {
    let failure = match inner(&error) {
        Some(inner) => classify(inner, &name.to_str()),
        None if is_end(&error) => TlsFailure::NotTls,
        None => return ClientError::network(address, "the TLS handshake", error),
    };
    ClientError::Tls { address: address.clone(), failure }
}

impl ClientError {
    /// An error of a socket, which may be one of TLS.
    pub(crate) fn of_io(address: &Arc<str>, during: &'static str, error: io::Error) -> ClientError {
        match inner(&error) {
            Some(inner) => {
                let host = super::host_of(address);
                ClientError::Tls { address: address.clone(), failure: classify(inner, host) }
            }
            None => ClientError::network(address, during, error),
        }
    }
}

fn inner(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// A plaintext listener takes a handshake for the length of an enormous request, and closes.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

fn classify(error: &Error, name: &str) -> TlsFailure {
    match error {
        Error::InvalidCertificate(problem) => of_certificate(problem, name),
        Error::AlertReceived(alert) => TlsFailure::Refused {
            alert: format!("{alert:?}"),
            alert_is_of_certificate: is_of_certificate(*alert),
        },
        Error::InvalidMessage(_) => TlsFailure::NotTls,
        Error::PeerIncompatible(problem) => TlsFailure::Incompatible(format!("{problem:?}")),
        other => TlsFailure::Other(other.to_string()),
    }
}

fn of_certificate(problem: &CertificateError, name: &str) -> TlsFailure {
    match problem {
        CertificateError::NotValidForNameContext { presented, .. } => TlsFailure::WrongName {
            name: name.to_owned(),
            presented: presented.iter().map(|name| plain_name(name)).collect(),
        },
        CertificateError::NotValidForName => {
            TlsFailure::WrongName { name: name.to_owned(), presented: Vec::new() }
        }
        CertificateError::Expired => TlsFailure::Expired { days: None },
        CertificateError::ExpiredContext { time, not_after } => {
            let seconds = time.as_secs().saturating_sub(not_after.as_secs());
            TlsFailure::Expired { days: Some(seconds / 86_400) }
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsFailure::NotYetValid
        }
        // The second is an authority of the same name with another key: one that was made anew.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsFailure::UnknownAuthority,
        other => TlsFailure::BadCertificate(other.to_string()),
    }
}

/// `DnsName("a.b")` and `IpAddress(127.0.0.1)` without what is around the name.
fn plain_name(shown: &str) -> String {
    let inside = shown.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(shown);
    inside.trim_matches('"').to_owned()
}

/// Brokers say one of these where they want a certificate and get none, or one that they do not trust.
fn is_of_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::HandshakeFailure
    )
}

struct Names<'a>(&'a [String]);

impl std::fmt::Display for Names<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            [] => formatter.write_str("no host at all (it has no subject alternative name)"),
            names => formatter.write_str(&names.join(", ")),
        }
    }
}

struct Ago(Option<u64>);

impl std::fmt::Display for Ago {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(0) => formatter.write_str(" less than a day ago"),
            Some(1) => formatter.write_str(" a day ago"),
            Some(days) => write!(formatter, " {days} days ago"),
        }
    }
}

struct Advice(bool);

impl std::fmt::Display for Advice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            true => formatter
                .write_str(": it may want a client certificate that it trusts (tls.cert_file, tls.key_file)"),
            false => Ok(()),
        }
    }
}
