//! Clusters with listeners for TLS and SASL, beside the plaintext one, where tests come as a super user.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use crate::cluster::free_port;
use crate::{KafkaEndpoint, TestkitError};

/// The user whom a secured cluster knows: by PLAIN, by [`KafkaEndpoint::add_scram_user`], and by the client's certificate.
pub const USER: &str = "kmirror";
/// Its password.
pub const PASSWORD: &str = "moonlight";

/// Where a secured cluster listens.
#[derive(Clone, Copy, Debug)]
pub struct SecuredAddresses {
    /// TLS; clients are `User:ANONYMOUS`.
    pub tls: SocketAddr,
    /// TLS with a certificate of the client, whose common name is the user.
    pub mutual_tls: SocketAddr,
    /// SASL over TLS: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512.
    pub sasl_tls: SocketAddr,
    /// The same without TLS.
    pub sasl_plaintext: SocketAddr,
}

impl SecuredAddresses {
    pub(crate) fn new() -> Result<SecuredAddresses, TestkitError> {
        let address = || free_port().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Ok(SecuredAddresses {
            tls: address()?,
            mutual_tls: address()?,
            sasl_tls: address()?,
            sasl_plaintext: address()?,
        })
    }

    /// Properties that replace those of a node without: in a properties file the last value counts. `folder` holds the certificates.
    pub(crate) fn properties(&self, broker: u16, controller: u16, folder: &Path) -> String {
        let SecuredAddresses { tls, mutual_tls, sasl_tls, sasl_plaintext } = self;
        let secured = format!(
            "TLS://{tls},MTLS://{mutual_tls},SASL_SSL://{sasl_tls},SASL_PLAINTEXT://{sasl_plaintext}"
        );
        let folder = folder.display();
        let module = "org.apache.kafka.common.security";
        let mut properties = format!(
            "listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller},{secured}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{broker},{secured}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,MTLS:SSL,SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT\n\
             ssl.keystore.type=PEM\n\
             ssl.keystore.location={folder}/broker.pem\n\
             ssl.truststore.type=PEM\n\
             ssl.truststore.location={folder}/ca.pem\n\
             listener.name.mtls.ssl.client.auth=required\n\
             listener.name.mtls.ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/,DEFAULT\n\
             sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS;User:{USER}\n"
        );
        for listener in ["sasl_ssl", "sasl_plaintext"] {
            let name = format!("listener.name.{listener}");
            properties += &format!(
                "{name}.plain.sasl.jaas.config={module}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\" user_eve=\"{PASSWORD}\";\n\
                 {name}.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
                 {name}.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;\n"
            );
        }
        properties
    }
}

impl KafkaEndpoint {
    /// Makes a user known by `SCRAM-SHA-256` or `SCRAM-SHA-512`; in the place of the password that it may have.
    ///
    /// # Errors
    /// The tool fails.
    pub fn add_scram_user(&self, user: &str, mechanism: &str, password: &str) -> Result<(), TestkitError> {
        let credentials = format!("{mechanism}=[iterations=8192,password={password}]");
        let entity = ["--entity-type", "users", "--entity-name", user, "--add-config", &credentials];
        self.tool(&[&["configs", "--alter"], &entity[..]].concat())?.success().map(drop)
    }
}
