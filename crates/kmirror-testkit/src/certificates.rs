//! Certificates for tests: they are made anew each time, and nobody else trusts them.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::TestkitError;

/// Those of a cluster and of a client. All texts are PEM.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority that has signed the two others.
    pub authority: String,
    /// The broker's certificate, for 127.0.0.1 and no other name, and its key.
    pub broker: (String, String),
    /// The client's certificate, for `CN=kmirror`, and its key.
    pub client: (String, String),
    /// Another authority, which has signed neither.
    pub stranger: String,
}

impl Certificates {
    /// New ones.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn new() -> Result<Certificates, TestkitError> {
        Certificates::make().map_err(|error| TestkitError::Certificates(error.to_string()))
    }

    fn make() -> Result<Certificates, rcgen::Error> {
        let (authority, issuer) = authority("kmirror tests")?;
        let (stranger, _) = self::authority("somebody else")?;
        let broker = signed(&issuer, "broker", &["127.0.0.1"])?;
        let client = signed(&issuer, "kmirror", &["kmirror"])?;
        Ok(Certificates { authority, broker, client, stranger })
    }

    /// Writes them into a folder: `ca.pem`, `broker.pem` (with the key), `client.pem`, `client.key`, `stranger.pem`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), TestkitError> {
        let broker = format!("{}{}", self.broker.1, self.broker.0);
        for (name, text) in [
            ("ca.pem", &self.authority),
            ("broker.pem", &broker),
            ("client.pem", &self.client.0),
            ("client.key", &self.client.1),
            ("stranger.pem", &self.stranger),
        ] {
            let path = folder.join(name);
            fs::write(&path, text).map_err(TestkitError::file(&path))?;
        }
        Ok(())
    }
}

fn authority(name: &str) -> Result<(String, Issuer<'static, KeyPair>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.self_signed(&key)?.pem();
    Ok((certificate, Issuer::new(params, key)))
}

fn signed(
    issuer: &Issuer<'static, KeyPair>,
    common_name: &str,
    names: &[&str],
) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok((params.signed_by(&key, issuer)?.pem(), key.serialize_pem()))
}
