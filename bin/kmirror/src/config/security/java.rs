//! The `security.protocol`, `ssl.*` and `sasl.*` keys of Kafka's Java clients. Classes are never loaded: those that mean something are known by
//! their names, all others are refused.

use std::collections::BTreeMap;

use kmirror::{Material, SaslConfig, TlsConfig};

use super::jaas::Jaas;
use super::{Property, Secured, sections};
use crate::exit::Failure;
use crate::files::client_keys::{SecurityKey, security_key, security_names};
use crate::files::problem;

/// What Java's keys say.
pub(super) struct Java {
    pub(super) secured: Secured,
    /// `SASL_PLAINTEXT` is written in so many words.
    pub(super) is_open_on_purpose: bool,
}

type Properties = BTreeMap<String, Property>;

/// Reads them. `counts`: whether they count for TLS, and for SASL, of which kmirror's own sections may say more.
pub(super) fn translated(properties: &Properties, counts: (bool, bool)) -> Result<Java, Failure> {
    let mut secured = Secured::default();
    let (is_tls, is_sasl) = protocol(properties)?;
    let is_open_on_purpose = is_sasl && !is_tls;
    let is_asked_for = |name: &str| match () {
        () if name.starts_with("ssl.") => is_tls && counts.0,
        () if name.starts_with("sasl.") => is_sasl && counts.1,
        () => true,
    };
    for property in properties.values() {
        let wrong = |problem: &str| Failure::configuration(format!("{}: {problem}", property.place));
        match security_key(&property.name) {
            Some(SecurityKey::NoEffect(reason)) if is_asked_for(&property.name) => {
                secured.without_effect.push(format!("{} ({reason})", property.name));
            }
            Some(SecurityKey::Refused(_)) if !is_asked_for(&property.name) || property.value.is_empty() => {}
            Some(SecurityKey::Refused(instead)) => {
                return Err(wrong(&format!("it is not supported: {instead}")));
            }
            Some(SecurityKey::Used | SecurityKey::NoEffect(_)) => {}
            None => {
                let names: Vec<&str> = security_names().collect();
                let suggestion = problem::suggestion(&property.name, &names);
                return Err(wrong(&format!("unknown key `{}`{suggestion}", property.name)));
            }
        }
    }
    if is_tls && counts.0 {
        secured.tls = Some(tls(properties)?);
    }
    if is_sasl && counts.1 {
        secured.sasl = Some(sasl(properties)?);
    }
    let unasked = properties.keys().filter(|name| !is_asked_for(name));
    secured.without_effect.extend(
        unasked.map(|name| format!("{name} (no `security.protocol` asks for it, or a section says more)")),
    );
    Ok(Java { secured, is_open_on_purpose })
}

/// Whether it is TLS, and whether it is SASL.
fn protocol(properties: &Properties) -> Result<(bool, bool), Failure> {
    let Some(property) = properties.get("security.protocol") else { return Ok((false, false)) };
    match property.value.to_ascii_uppercase().as_str() {
        "PLAINTEXT" => Ok((false, false)),
        "SSL" => Ok((true, false)),
        "SASL_PLAINTEXT" => Ok((false, true)),
        "SASL_SSL" => Ok((true, true)),
        other => Err(Failure::configuration(format!(
            "{}: {other:?} is none of PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL",
            property.place
        ))),
    }
}

fn value<'a>(properties: &'a Properties, name: &str) -> Option<&'a Property> {
    properties.get(name).filter(|property| !property.value.is_empty())
}

fn wrong(property: &Property, problem: &str) -> Failure {
    Failure::configuration(format!("{}: {problem}", property.place))
}

fn tls(properties: &Properties) -> Result<TlsConfig, Failure> {
    let text = |name: &str| value(properties, name).map(|property| Material::text(&property.value));
    let mut tls = TlsConfig::new();
    tls.ca =
        store(properties, "ssl.truststore", "tls.ca_file")?.or_else(|| text("ssl.truststore.certificates"));
    tls.certificate = store(properties, "ssl.keystore", "tls.cert_file and tls.key_file")?
        .or_else(|| text("ssl.keystore.certificate.chain"));
    tls.key = text("ssl.keystore.key");
    if let Some(property) = properties.get("ssl.endpoint.identification.algorithm") {
        tls.verify_hostname = match property.value.to_ascii_lowercase().as_str() {
            "https" => true,
            "" => false,
            _ => return Err(wrong(property, "`https` or nothing is meant here")),
        };
    }
    for name in ["ssl.protocol", "ssl.enabled.protocols"] {
        let Some(property) = value(properties, name) else { continue };
        let mut versions = property.value.split(',').map(str::trim);
        if !versions.any(|version| ["TLS", "TLSv1.2", "TLSv1.3"].contains(&version)) {
            return Err(wrong(property, "only TLSv1.2 and TLSv1.3 are spoken"));
        }
    }
    Ok(tls)
}

/// A store in a file. Only PEM is read.
fn store(properties: &Properties, prefix: &str, instead: &str) -> Result<Option<Material>, Failure> {
    let Some(location) = value(properties, &format!("{prefix}.location")) else { return Ok(None) };
    let kind = value(properties, &format!("{prefix}.type"));
    let kind = kind.map_or("JKS", |kind| kind.value.as_str());
    if !kind.eq_ignore_ascii_case("PEM") {
        let problem = format!(
            "stores of type {kind} are not read: export it as PEM (`keytool -importkeystore -deststoretype PKCS12`, then \
             `openssl pkcs12 -nodes`), and name it here with `{prefix}.type=PEM`, or in {instead}"
        );
        return Err(wrong(location, &problem));
    }
    Ok(Some(Material::file(&location.value)))
}

fn sasl(properties: &Properties) -> Result<SaslConfig, Failure> {
    let protocol = || Failure::configuration("security.protocol: it is SASL without `sasl.mechanism`");
    let mechanism = value(properties, "sasl.mechanism");
    let Some(mechanism) = mechanism.or_else(|| properties.get("security.protocol")) else {
        return Err(protocol());
    };
    // Java's own default.
    let name = if mechanism.name == "sasl.mechanism" { mechanism.value.as_str() } else { "GSSAPI" };
    if name == "OAUTHBEARER" {
        return token(properties, mechanism);
    }
    let login = || login(properties, mechanism);
    sections::of_mechanism(name, login).unwrap_or_else(|problem| Err(wrong(mechanism, &problem)))
}

/// User and password of a login module.
fn login(properties: &Properties, mechanism: &Property) -> Result<(String, Material), Failure> {
    let Some(property) = value(properties, "sasl.jaas.config") else {
        return Err(wrong(mechanism, "`sasl.jaas.config` is missing, which holds user and password"));
    };
    let jaas = Jaas::parse(&property.value, property.is_raw).map_err(|problem| wrong(property, &problem))?;
    let expected = if mechanism.value == "PLAIN" { "PlainLoginModule" } else { "ScramLoginModule" };
    if jaas.module_name() != expected {
        let problem = format!("{} is not the login module of {}: {expected}", jaas.module, mechanism.value);
        return Err(wrong(property, &problem));
    }
    if jaas.option("tokenauth").is_some_and(|yes| yes.eq_ignore_ascii_case("true")) {
        return Err(wrong(property, "delegation tokens (tokenauth) are not supported: use a password"));
    }
    match (jaas.option("username"), jaas.option("password")) {
        (Some(username), Some(password)) if !username.is_empty() => {
            Ok((username.to_owned(), Material::text(password)))
        }
        _ => Err(wrong(property, "`username` or `password` is missing")),
    }
}

/// A token in a file, as Kafka's own handler takes it.
fn token(properties: &Properties, mechanism: &Property) -> Result<SaslConfig, Failure> {
    let endpoint = value(properties, "sasl.oauthbearer.token.endpoint.url");
    let path = endpoint.and_then(|endpoint| endpoint.value.strip_prefix("file:"));
    match path {
        // `file:/path` and `file:///path` are the same.
        Some(path) => {
            let path = path.strip_prefix("//").unwrap_or(path);
            Ok(SaslConfig::OAuthBearer { token: Material::file(path) })
        }
        None => Err(wrong(
            endpoint.unwrap_or(mechanism),
            "tokens are only taken from files: have one written, and name it in `sasl.token_file`, or here as file:/path",
        )),
    }
}
