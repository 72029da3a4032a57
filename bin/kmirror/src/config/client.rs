//! How a cluster is reached: keys of kmirror.yaml, and those of Kafka's own clients, which platform teams hand out in files.

use std::collections::BTreeMap;

use kmirror::ClusterConfig;

use super::raw::RawCluster;
use super::security::{self, Property};
use crate::exit::Failure;
use crate::files::client_keys::{self, ClientKey, SOCKET_BUFFER_BYTES_MAX, client_key, socket_buffer};
use crate::files::problem;
use crate::files::properties::Properties;

/// What the engine is told of a cluster. What kmirror.yaml says by its own keys wins over Kafka's.
pub(super) fn cluster_config(alias: &str, raw: &RawCluster) -> Result<ClusterConfig, Failure> {
    let mut config = ClusterConfig::new(raw.bootstrap_servers.0.iter().map(|server| server.0.clone()));
    let (security, others) = properties(alias, raw)?;
    let secured = security::secured(alias, raw, &security)?;
    (config.tls, config.sasl) = (secured.tls, secured.sasl);
    let mut without_effect = secured.without_effect;
    for Property { place, name, value, .. } in others {
        let wrong = |problem: String| Failure::configuration(format!("{place}: {problem}"));
        match client_key(&name) {
            // They were taken out.
            Some(ClientKey::Security) => {}
            Some(ClientKey::NoEffect(reason)) => without_effect.push(format!("{name} ({reason})")),
            Some(ClientKey::Used) => match name.as_str() {
                "client.id" => config.client_id = value,
                "client.rack" => config.rack = Some(value).filter(|rack| !rack.is_empty()),
                "request.timeout.ms" => {
                    let milliseconds = value.parse::<u32>().ok().filter(|milliseconds| *milliseconds > 0);
                    let milliseconds = milliseconds
                        .ok_or_else(|| wrong(format!("{value:?} is no number of milliseconds")))?;
                    config.request_timeout = std::time::Duration::from_millis(milliseconds.into());
                }
                "send.buffer.bytes" => config.send_buffer_bytes = socket_buffer(&value).map_err(wrong)?,
                "receive.buffer.bytes" => {
                    config.receive_buffer_bytes = socket_buffer(&value).map_err(wrong)?
                }
                "bootstrap.servers" => without_effect.push(format!("{name} (`bootstrap_servers` is set)")),
                _ => without_effect
                    .push(format!("{name} (a flow says that: `isolation`, `start`, `commit_group`)")),
            },
            None => {
                let names: Vec<&str> = client_keys::names().collect();
                return Err(wrong(format!("unknown key `{name}`{}", problem::suggestion(&name, &names))));
            }
        }
    }
    if !without_effect.is_empty() {
        tracing::info!("clusters.{alias}: without effect are {}", without_effect.join(", "));
    }
    if let Some(client_id) = &raw.client_id {
        config.client_id.clone_from(&client_id.0);
    }
    if let Some(rack) = &raw.rack {
        config.rack = Some(rack.0.clone());
    }
    if let Some(cluster_id) = &raw.cluster_id {
        config.cluster_id = Some(cluster_id.0.clone());
    }
    if let Some(timeout) = raw.connect_timeout {
        config.connect_timeout = timeout.0;
    }
    if let Some(timeout) = raw.request_timeout {
        config.request_timeout = timeout.0;
    }
    for (key, bytes, of_client) in [
        ("send_buffer_bytes", raw.send_buffer_bytes, &mut config.send_buffer_bytes),
        ("receive_buffer_bytes", raw.receive_buffer_bytes, &mut config.receive_buffer_bytes),
    ] {
        let Some(bytes) = bytes else { continue };
        if !(1..=SOCKET_BUFFER_BYTES_MAX).contains(&bytes.0) {
            let message = format!("clusters.{alias}.{key}: a socket's buffer has 1 byte to 1GiB");
            return Err(Failure::configuration(message));
        }
        *of_client = Some(bytes.0);
    }
    Ok(config)
}

/// Those of the file, and those in kmirror.yaml, which win: first those of security, by their names.
fn properties(alias: &str, raw: &RawCluster) -> Result<(BTreeMap<String, Property>, Vec<Property>), Failure> {
    let mut properties = BTreeMap::new();
    if let Some(path) = &raw.properties_file {
        let path = &path.0;
        let failed = |error: &dyn std::fmt::Display| {
            Failure::configuration(format!("clusters.{alias}.properties_file: {path}: {error}"))
        };
        let bytes = std::fs::read(path).map_err(|error| failed(&error))?;
        let file = Properties::parse(&bytes).map_err(|error| failed(&error))?;
        properties.extend(file.values.into_iter().map(|(name, value)| {
            let place = format!("clusters.{alias}.properties_file: {path}: {name}");
            (name.clone(), Property { place, name, value: value.trim().to_owned(), is_raw: false })
        }));
    }
    properties.extend(raw.properties.iter().flatten().map(|(name, value)| {
        let place = format!("clusters.{alias}.properties.{name}");
        let value = value.0.reveal().trim().to_owned();
        (name.clone(), Property { place, name: name.clone(), value, is_raw: true })
    }));
    let (security, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
        properties.into_iter().partition(|(name, _)| client_keys::is_security(name));
    Ok((security, others.into_values().collect()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn config(cluster: &str) -> Result<ClusterConfig, Failure> {
        cluster_config("east", &serde_yaml::from_str(cluster).expect("YAML"))
    }

    #[test]
    fn kafkas_own_keys_are_taken_from_a_file_and_from_kmirror_yaml() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/config");
        let both = format!(
            "bootstrap_servers: x:1\nproperties_file: {folder}/clients/platform.properties\n\
             properties: {{ request.timeout.ms: 7000, security.protocol: Plaintext, linger.ms: 5 }}\n"
        );
        let found = config(&both).expect("known keys");
        assert_eq!((found.client_id.as_str(), found.request_timeout), ("platform", Duration::from_secs(7)));
        assert_eq!(found.bootstrap_servers, ["x:1"]);
        let found = config(&format!("{both}client_id: own\nrequest_timeout: 9s\n")).expect("known keys");
        assert_eq!((found.client_id.as_str(), found.request_timeout), ("own", Duration::from_secs(9)));
    }

    #[test]
    fn sizes_of_sockets_buffers_are_ours_or_kafkas() {
        let buffers = |cluster: &str| {
            let found = config(&format!("bootstrap_servers: x:1\n{cluster}"))?;
            Ok::<_, Failure>((found.send_buffer_bytes, found.receive_buffer_bytes))
        };
        let kafkas = "properties: { send.buffer.bytes: 131072, receive.buffer.bytes: -1 }\n";
        assert_eq!(buffers("").expect("none"), (None, None));
        assert_eq!(buffers(kafkas).expect("Kafka's"), (Some(131_072), None));
        let ours = format!("{kafkas}send_buffer_bytes: 1MiB\nreceive_buffer_bytes: 4096\n");
        assert_eq!(buffers(&ours).expect("ours"), (Some(1 << 20), Some(4096)));
        for wrong in
            ["properties: { send.buffer.bytes: 0 }", "receive_buffer_bytes: 0", "send_buffer_bytes: 2GiB"]
        {
            assert!(buffers(wrong).is_err(), "{wrong}");
        }
    }
}
