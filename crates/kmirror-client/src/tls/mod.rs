//! TLS under a connection: whom to trust, who we are, and the handshake.

mod failure;
mod material;
#[cfg(test)]
mod tests;
mod verifier;

use std::sync::{Arc, Mutex};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::lock;
use crate::error::ClientError;
use crate::secret::Material;
use crate::work;

pub use failure::TlsFailure;
use material::Loaded;

/// How connections are encrypted, and who is believed to be the cluster. TLS 1.2 and 1.3.
///
/// The chain and the dates of a broker's certificate are always checked: there is no way to trust everything.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsConfig {
    /// The certificate authorities that are trusted, as PEM. Default: those of the system, or Mozilla's where it has none.
    pub ca: Option<Material>,
    /// Our own certificate with its chain, as PEM, for clusters that ask for one. Default: none.
    pub certificate: Option<Material>,
    /// Its private key, as PEM. Default: it lies beside the certificate.
    pub key: Option<Material>,
    /// The name that the brokers' certificates must have, in place of the one that is dialled. Default: none.
    pub server_name: Option<String>,
    /// Whether a broker's certificate must have its name. Default: yes.
    pub verify_hostname: bool,
}

impl TlsConfig {
    /// Trusts the system's certificate authorities and has no certificate of its own.
    pub fn new() -> TlsConfig {
        TlsConfig { ca: None, certificate: None, key: None, server_name: None, verify_hostname: true }
    }

    /// Reads all files and tells what is wrong with them. Blocks.
    ///
    /// # Errors
    /// What cannot be read, and what is no certificate and no key.
    pub fn check(&self) -> Result<(), String> {
        let loaded = Loaded::read(self)?;
        material::client_config(self, &loaded).map(drop)
    }
}

impl Default for TlsConfig {
    fn default() -> TlsConfig {
        TlsConfig::new()
    }
}

/// The TLS of one client: sessions are resumed over all its connections.
pub(crate) struct Tls {
    alias: Arc<str>,
    config: TlsConfig,
    built: Mutex<Option<Built>>,
}

#[derive(Clone)]
struct Built {
    loaded: Arc<Loaded>,
    connector: TlsConnector,
}

impl Tls {
    pub(crate) fn new(alias: &str, config: &TlsConfig) -> Tls {
        Tls { alias: alias.into(), config: config.clone(), built: Mutex::default() }
    }

    /// Makes the handshake over `stream`, which leads to `address`.
    pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        address: &Arc<str>,
        stream: S,
    ) -> Result<TlsStream<S>, ClientError> {
        let connector = self.connector().await?;
        let name = self.server_name(address)?;
        let mut encrypted = connector
            .connect(name.clone(), stream)
            .await
            .map_err(|error| failure::of_handshake(address, &name, error))?;
        encrypted.get_mut().1.set_buffer_limit(Some(BUFFER_BYTES_MAX));
        Ok(encrypted)
    }

    /// Reads the files again: new ones count from the next connection on, and what is wrong with them does not stop those that go on.
    async fn connector(&self) -> Result<TlsConnector, ClientError> {
        let before = lock(&self.built).clone();
        let config = self.config.clone();
        let known = before.as_ref().map(|built| built.loaded.clone());
        let building = work::run(move || {
            let loaded = Loaded::read(&config)?;
            if known.as_deref() == Some(&loaded) {
                return Ok(None);
            }
            let client_config = material::client_config(&config, &loaded)?;
            Ok(Some(Built { loaded: Arc::new(loaded), connector: Arc::new(client_config).into() }))
        });
        let built = building.await.unwrap_or_else(|_| Err("the files were not read".to_owned()));
        match (built, before) {
            (Ok(Some(built)), _) => {
                *lock(&self.built) = Some(built.clone());
                Ok(built.connector)
            }
            (Ok(None), Some(before)) => Ok(before.connector),
            (Err(problem), Some(before)) => {
                tracing::warn!(cluster = %self.alias, problem, "new TLS files cannot be used: the old ones count");
                Ok(before.connector)
            }
            (Err(problem), None) => Err(ClientError::config(&self.alias, format!("tls: {problem}"))),
            (Ok(None), None) => Err(ClientError::config(&self.alias, "tls: nothing was read")),
        }
    }

    fn server_name(&self, address: &Arc<str>) -> Result<ServerName<'static>, ClientError> {
        let name = self.config.server_name.as_deref().unwrap_or_else(|| host_of(address));
        ServerName::try_from(name.to_owned())
            .map_err(|_| ClientError::config(&self.alias, format!("tls: {name:?} is no name of a server")))
    }
}

/// The host of `host:port` or `[address]:port`.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// As much as is worth a write of its own, and little enough to be taken by a slow link before anybody believes that it stands still.
const BUFFER_BYTES_MAX: usize = 256 << 10;
