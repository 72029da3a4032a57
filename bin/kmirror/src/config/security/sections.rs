//! The sections `tls` and `sasl` of kmirror.yaml.

use kmirror::{Material, SaslConfig, ScramHash, TlsConfig};

use crate::config::raw::{SaslSection, TlsSection};
use crate::config::text::{SecretText, Text};
use crate::exit::Failure;

pub(super) fn tls(section: &TlsSection) -> TlsConfig {
    let material = |file: &Option<Text>, text: &Option<SecretText>| {
        let text = text.as_ref().map(|text| Material::text(text.0.reveal()));
        text.or_else(|| file.as_ref().map(|file| Material::file(&file.0)))
    };
    let mut tls = TlsConfig::new();
    tls.ca = material(&section.ca_file, &section.ca_pem);
    tls.certificate = material(&section.cert_file, &section.cert_pem);
    tls.key = material(&section.key_file, &section.key_pem);
    tls.server_name = section.server_name.as_ref().map(|name| name.0.clone());
    tls.verify_hostname = section.verify_hostname.unwrap_or(true);
    tls
}

pub(super) fn sasl(alias: &str, section: &SaslSection) -> Result<SaslConfig, Failure> {
    let at = |key: &str| format!("clusters.{alias}.sasl.{key}");
    let secret = |text: &Option<SecretText>, file: &Option<Text>, keys: &str| {
        let text = text.as_ref().map(|text| Material::text(text.0.reveal()));
        let material = text.or_else(|| file.as_ref().map(|file| Material::file(&file.0)));
        material.ok_or_else(|| Failure::configuration(format!("clusters.{alias}.sasl: {keys} is missing")))
    };
    let mechanism = section.mechanism.0.as_str();
    if mechanism == "OAUTHBEARER" {
        let token = secret(&section.token, &section.token_file, "`token_file`")?;
        return Ok(SaslConfig::OAuthBearer { token });
    }
    let login = || {
        let username = section.username.as_ref().map(|name| name.0.clone()).filter(|name| !name.is_empty());
        let missing = || Failure::configuration(format!("clusters.{alias}.sasl: `username` is missing"));
        let password = secret(&section.password, &section.password_file, "`password_file` or `password`");
        Ok::<_, Failure>((username.ok_or_else(missing)?, password?))
    };
    of_mechanism(mechanism, login)
        .unwrap_or_else(|problem| Err(Failure::configuration(format!("{}: {problem}", at("mechanism")))))
}

/// One that takes a user and a password.
///
/// # Errors
/// What to do about a mechanism that is not there.
pub(super) fn of_mechanism<E>(
    mechanism: &str,
    login: impl FnOnce() -> Result<(String, Material), E>,
) -> Result<Result<SaslConfig, E>, String> {
    let scram = |hash| move |(username, password)| SaslConfig::Scram { hash, username, password };
    Ok(match mechanism {
        "PLAIN" => login().map(|(username, password)| SaslConfig::Plain { username, password }),
        "SCRAM-SHA-256" => login().map(scram(ScramHash::Sha256)),
        "SCRAM-SHA-512" => login().map(scram(ScramHash::Sha512)),
        "GSSAPI" => {
            return Err(
                "Kerberos (GSSAPI) is not supported: give kmirror a user of SCRAM-SHA-512, or a client \
                        certificate, on this or another listener"
                    .to_owned(),
            );
        }
        "AWS_MSK_IAM" => {
            return Err(
                "AWS_MSK_IAM is not supported: give kmirror a user of SCRAM-SHA-512, or a client certificate"
                    .to_owned(),
            );
        }
        other => {
            return Err(format!(
                "{other:?} is no mechanism: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
            ));
        }
    })
}
