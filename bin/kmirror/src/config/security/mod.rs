//! How kmirror enters a secured network: kmirror's own sections, and the keys of Kafka's Java clients, as the same settings.

mod jaas;
mod java;
mod sections;

use std::collections::BTreeMap;

use kmirror::{SaslConfig, TlsConfig};

use super::raw::RawCluster;
use crate::exit::Failure;

/// A key of Kafka's clients, and where it is written.
pub(super) struct Property {
    pub(super) place: String,
    pub(super) name: String,
    pub(super) value: String,
    /// It may hold placeholders that are still to be replaced.
    pub(super) is_raw: bool,
}

/// What is told of the security of a cluster.
#[derive(Default)]
pub(super) struct Secured {
    pub(super) tls: Option<TlsConfig>,
    pub(super) sasl: Option<SaslConfig>,
    /// Keys that were written and do nothing, each with its reason.
    pub(super) without_effect: Vec<String>,
}

/// Takes kmirror's sections, and Java's keys where there is no section. What cannot be read is refused now.
pub(super) fn secured(
    alias: &str,
    raw: &RawCluster,
    properties: &BTreeMap<String, Property>,
) -> Result<Secured, Failure> {
    let java = java::translated(properties, (raw.tls.is_none(), raw.sasl.is_none()))?;
    let mut secured = java.secured;
    if let Some(section) = &raw.tls {
        secured.tls = Some(sections::tls(section));
    }
    if let Some(section) = &raw.sasl {
        secured.sasl = Some(sections::sasl(alias, section)?);
    }
    if let Some(tls) = &secured.tls {
        tls.check().map_err(|problem| Failure::configuration(format!("clusters.{alias}.tls: {problem}")))?;
    }
    if let Some(sasl) = &secured.sasl {
        sasl.check()
            .map_err(|problem| Failure::configuration(format!("clusters.{alias}.sasl: {problem}")))?;
        refuse_openness(alias, sasl, secured.tls.is_some(), java.is_open_on_purpose)?;
    }
    Ok(secured)
}

/// A password that everybody on the way may read has to be meant.
fn refuse_openness(
    alias: &str,
    sasl: &SaslConfig,
    is_encrypted: bool,
    is_on_purpose: bool,
) -> Result<(), Failure> {
    if is_encrypted || !sasl.tells_the_secret() {
        return Ok(());
    }
    let mechanism = sasl.mechanism();
    if !is_on_purpose {
        let message = format!("clusters.{alias}.sasl: {mechanism} would send the secret without encryption");
        let help = "add `tls: {}` for a listener with TLS; if it has none, write `properties: { security.protocol: SASL_PLAINTEXT }` too";
        return Err(Failure::configuration(message).help(help));
    }
    tracing::warn!("clusters.{alias}: {mechanism} sends the secret without encryption (SASL_PLAINTEXT)");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::client::cluster_config;

    /// Nobody may see it.
    const CANARY: &str = "hunter2-canary";

    fn secured(cluster: &str) -> Result<kmirror::ClusterConfig, Failure> {
        let text = format!("bootstrap_servers: x:1\n{}", cluster.replace("CANARY", CANARY));
        let raw: RawCluster = serde_yaml::from_str(&text).expect("YAML");
        assert!(!format!("{raw:?}").contains(CANARY), "{raw:?}");
        let config = cluster_config("east", &raw).inspect_err(|failure| {
            assert!(!failure.to_string().contains(CANARY), "{failure}");
        })?;
        assert!(!format!("{config:?}").contains(CANARY), "{config:?}");
        Ok(config)
    }

    #[test]
    fn javas_keys_and_ours_mean_the_same() {
        let java = "properties: { security.protocol: SASL_SSL, sasl.mechanism: SCRAM-SHA-512, ssl.endpoint.identification.algorithm: \"\", \
                    sasl.jaas.config: 'o.ScramLoginModule required username=\"me\" password=\"CANARY\";' }";
        let ours = "tls: { verify_hostname: false }\nsasl: { mechanism: SCRAM-SHA-512, username: me, password: CANARY }";
        let (java, ours) = (secured(java).expect("Java's"), secured(ours).expect("ours"));
        assert_eq!((&java.tls, &java.sasl), (&ours.tls, &ours.sasl));
        assert!(ours.sasl.is_some_and(|sasl| sasl.mechanism() == "SCRAM-SHA-512"));
        assert!(ours.tls.is_some_and(|tls| !tls.verify_hostname));
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/config/secrets");
        let java = format!(
            "properties: {{ security.protocol: SASL_SSL, sasl.mechanism: OAUTHBEARER, sasl.oauthbearer.token.endpoint.url: \"file://{folder}/password\" }}"
        );
        let ours = format!("tls: {{}}\nsasl: {{ mechanism: OAUTHBEARER, token_file: {folder}/password }}");
        assert_eq!(secured(&java).expect("Java's").sasl, secured(&ours).expect("ours").sasl);
    }

    #[test]
    fn what_nothing_asks_for_has_no_effect() {
        let plaintext = "properties: { ssl.truststore.location: /no/such.jks, sasl.jaas.config: CANARY, ssl.key.password: CANARY }";
        let config = secured(plaintext).expect("without effect");
        assert_eq!((config.tls, config.sasl), (None, None));
        let ours_wins =
            "properties: { security.protocol: SSL, ssl.truststore.location: /no/such.jks }\ntls: {}";
        assert_eq!(secured(ours_wins).expect("ours").tls, Some(TlsConfig::new()));
    }

    #[test]
    fn what_is_wrong_is_said_without_a_secret() {
        for (cluster, said) in [
            (
                "sasl: { mechanism: PLAIN, username: me, password: CANARY }",
                "PLAIN would send the secret without encryption",
            ),
            ("tls: { ca_pem: CANARY }", "the given text holds no certificate"),
            ("tls: { key_pem: CANARY }", "there is a key, and no certificate for it"),
            ("tls: {}\nsasl: { mechanism: PLAIN, username: me, password: \"CANARY\\0\" }", "zero byte"),
            (
                "properties: { security.protocol: SASL_SSL, sasl.mechanism: PLAIN, sasl.jaas.config: CANARY }",
                "is missing",
            ),
            (
                "properties: { security.protocol: SASL_SSL, sasl.mechanism: PLAIN, sasl.jaas.config: 'M required password=\"CANARY\";' }",
                "M is not the login module",
            ),
        ] {
            let failure = secured(cluster).expect_err(cluster).to_string();
            assert!(failure.contains(said), "{failure}");
        }
        let open = "properties: { security.protocol: SASL_PLAINTEXT }\nsasl: { mechanism: PLAIN, username: me, password: CANARY }";
        assert!(secured(open).expect("meant").sasl.is_some());
    }
}
