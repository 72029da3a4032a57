//! The configuration that is in effect: what the user wrote, and the reference's default for every key that he did not write.

use serde_yaml::{Mapping, Value};

use crate::mask::is_secret;

/// Fills a document with the defaults of a reference, whose one flow and first cluster stand for each. Placeholders stay what they are, and
/// secrets are masked.
pub(crate) fn effective(mut document: Value, reference: &Value) -> Value {
    let default_cluster =
        reference.get("clusters").and_then(Value::as_mapping).and_then(|clusters| clusters.values().next());
    let default_flow = reference.get("flows").and_then(|flows| flows.get(0));
    if let (Some(clusters), Some(default)) =
        (document.get_mut("clusters").and_then(Value::as_mapping_mut), default_cluster)
    {
        clusters.values_mut().for_each(|cluster| fill(cluster, default));
    }
    if let (Some(flows), Some(default)) =
        (document.get_mut("flows").and_then(Value::as_sequence_mut), default_flow)
    {
        flows.iter_mut().for_each(|flow| fill(flow, default));
    }
    fill(&mut document, reference);
    mask(&mut document);
    document
}

/// Adds what is not written. A section is filled key by key; whatever else is written counts as a whole.
fn fill(written: &mut Value, default: &Value) {
    let Value::Mapping(defaults) = default else { return };
    if written.is_null() {
        *written = Value::Mapping(Mapping::new());
    }
    let Value::Mapping(entries) = written else { return };
    for (key, default) in defaults {
        match entries.get_mut(key) {
            // By now they are filled one by one.
            Some(_) if ["clusters", "flows"].iter().any(|name| key == name) => {}
            Some(written) => fill(written, default),
            None if default.is_null() => {}
            None => drop(entries.insert(key.clone(), default.clone())),
        }
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::Sequence(items) => items.iter_mut().for_each(mask),
        Value::Mapping(entries) => {
            for (key, value) in entries.iter_mut() {
                let is_secret = key.as_str().is_some_and(is_secret);
                match value {
                    Value::Mapping(_) | Value::Sequence(_) => mask(value),
                    // What stands behind a placeholder is not in the file.
                    Value::String(text) if text.starts_with("${") && text.ends_with('}') => {}
                    _ if is_secret && !value.is_null() => *value = Value::String(MASK.to_owned()),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

const MASK: &str = "********";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    fn shown(name: &str, text: &str) -> String {
        let mirror = Config::parse(name, text).and_then(|config| config.mirror(false));
        format!("{:?}", mirror.unwrap_or_else(|failure| panic!("{name}: {failure}")))
    }

    #[test]
    fn what_is_in_effect_means_what_was_written() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/config/valid");
        for path in std::fs::read_dir(folder).expect("there") {
            let path = path.expect("readable").path();
            let name = path.display().to_string();
            let config = Config::load(&path).expect("valid");
            let (written, effective) = (config.text.clone(), config.effective().expect("YAML"));
            assert_eq!(shown(&name, &effective), shown(&name, &written), "{effective}");
            assert!(effective.contains("metadata_refresh_interval"), "{effective}");
        }
    }

    #[test]
    fn secrets_are_masked() {
        let text = "clusters:\n  east:\n    bootstrap_servers: x:1\n    sasl: { mechanism: PLAIN, username: me, password: hunter2, password_file: /run/pw }\n    \
                    properties: { sasl.jaas.config: hunter2, ssl.keystore.key: hunter2, ssl.key.password: \"${CARGO_PKG_NAME}\", \
                    ssl.truststore.location: /run/store }\nflows: []\n";
        let effective = Config::parse("secrets", text).and_then(|config| config.effective()).expect("YAML");
        assert!(!effective.contains("hunter2"), "{effective}");
        for shown in [
            "username: me",
            "password_file: /run/pw",
            "${CARGO_PKG_NAME}",
            "/run/store",
            "password: '********'",
        ] {
            assert!(effective.contains(shown), "{shown}: {effective}");
        }
    }
}
