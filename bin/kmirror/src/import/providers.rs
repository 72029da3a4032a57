//! Kafka's config providers (`ConfigTransformer`): `${provider:path:key}` in a value, where the file declares the provider. They become
//! kmirror's placeholders, so that what stands behind one is neither read nor printed when a file is translated.

use std::collections::{BTreeMap, BTreeSet};

use super::ImportError;
use crate::files::placeholder;

/// The providers that a file declares.
#[derive(Debug, Default)]
pub(super) struct Providers {
    kinds: BTreeMap<String, Kind>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    File,
    Directory,
    Environment,
    /// Strimzi's: `namespace/name:key` of a Secret, which has to be mounted here.
    KubernetesSecret,
    KubernetesConfigMap,
}

/// A value with kmirror's placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) text: String,
    pub(super) has_placeholder: bool,
    /// What has to be mounted for it, as sentences.
    pub(super) mounts: BTreeSet<String>,
}

impl Providers {
    /// Those of a file's `config.providers`.
    pub(super) fn of(file: &BTreeMap<String, String>) -> Result<Providers, ImportError> {
        let mut kinds = BTreeMap::new();
        for alias in super::list(file.get("config.providers").map_or("", String::as_str)) {
            let key = format!("config.providers.{alias}.class");
            let class = file.get(&key).map_or("", |class| class.trim());
            let kind = match class.rsplit('.').next() {
                Some("FileConfigProvider") => Kind::File,
                Some("DirectoryConfigProvider") => Kind::Directory,
                Some("EnvVarConfigProvider") => Kind::Environment,
                Some("KubernetesSecretConfigProvider") => Kind::KubernetesSecret,
                Some("KubernetesConfigMapConfigProvider") => Kind::KubernetesConfigMap,
                _ if class.is_empty() => {
                    let message = format!("`{key}` is missing: `config.providers` names {alias}");
                    return Err(ImportError::at("config.providers", message));
                }
                _ => {
                    let message = format!(
                        "`{key}` names the Java class {class}, which kmirror cannot run; write ${{env:…}}, ${{file:…}} or ${{dir:…}} in kmirror.yaml"
                    );
                    return Err(ImportError::at(&key, message));
                }
            };
            kinds.insert(alias, kind);
        }
        Ok(Providers { kinds })
    }

    /// A value with kmirror's placeholders in place of the file's. What no declared provider answers stays as it is.
    pub(super) fn translated(&self, value: &str) -> Translated {
        let (mut text, mut has_placeholder, mut mounts) = (String::new(), false, BTreeSet::new());
        let mut rest = value;
        while let Some((before, after)) = rest.split_once("${") {
            text.push_str(&before.replace('$', "$$"));
            let translated = after
                .split_once('}')
                .and_then(|(inside, after)| Some((self.placeholder(inside, &mut mounts)?, after)));
            match translated {
                Some((placeholder, after)) => {
                    text.push_str(&placeholder);
                    has_placeholder = true;
                    rest = after;
                }
                None => {
                    text.push_str("$${");
                    rest = after;
                }
            }
        }
        text.push_str(&rest.replace('$', "$$"));
        if !has_placeholder {
            // No dollar is doubled that need not be: expressions end in one.
            text = placeholder::literal(value);
        }
        Translated { text, has_placeholder, mounts }
    }

    fn placeholder(&self, inside: &str, mounts: &mut BTreeSet<String>) -> Option<String> {
        let (alias, rest) = inside.split_once(':')?;
        let (path, key) = rest.split_once(':').unwrap_or(("", rest));
        let mut mounted = |what: &str| {
            let name = path.rsplit('/').next().unwrap_or(path);
            mounts.insert(format!("mount the {what} {name} at /run/secrets/{name}"));
            format!("${{dir:/run/secrets/{name}:{key}}}")
        };
        match self.kinds.get(alias)? {
            Kind::Environment => Some(format!("${{env:{key}}}")),
            // Without a path Kafka finds nothing there.
            _ if path.is_empty() => None,
            Kind::File => Some(format!("${{file:{path}:{key}}}")),
            Kind::Directory => Some(format!("${{dir:{path}:{key}}}")),
            Kind::KubernetesSecret => Some(mounted("Secret")),
            Kind::KubernetesConfigMap => Some(mounted("ConfigMap")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn providers(lines: &[(&str, &str)]) -> Result<Providers, ImportError> {
        Providers::of(&lines.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn the_files_placeholders_become_kmirrors() {
        let of = "org.apache.kafka.common.config.provider.";
        let providers = providers(&[
            ("config.providers", "f, d,e,k"),
            ("config.providers.f.class", &format!("{of}FileConfigProvider")),
            ("config.providers.d.class", &format!("{of}DirectoryConfigProvider")),
            ("config.providers.e.class", &format!("{of}EnvVarConfigProvider")),
            ("config.providers.k.class", "io.strimzi.kafka.KubernetesSecretConfigProvider"),
        ])
        .expect("known classes");
        for (value, expected) in [
            ("plain$", "plain$"),
            ("${f:/run/x.properties:user.password}", "${file:/run/x.properties:user.password}"),
            ("password=\"${d:/run/secrets:pw}\";", "password=\"${dir:/run/secrets:pw}\";"),
            ("5$ ${e:PW} $", "5$$ ${env:PW} $$"),
            ("${k:kafka/user:password}", "${dir:/run/secrets/user:password}"),
            ("${other:a:b}", "$${other:a:b}"),
            ("${f:/run/x.properties}", "$${f:/run/x.properties}"),
            ("${open", "$${open"),
        ] {
            assert_eq!(providers.translated(value).text, expected, "{value}");
        }
        let mounts = providers.translated("${k:kafka/user:password}").mounts;
        assert_eq!(mounts.into_iter().collect::<Vec<_>>(), ["mount the Secret user at /run/secrets/user"]);
    }

    #[test]
    fn providers_of_others_are_refused() {
        let error =
            providers(&[("config.providers", "v"), ("config.providers.v.class", "com.example.Vault")]);
        assert!(error.expect_err("a Java class").to_string().contains("com.example.Vault"));
        let error = providers(&[("config.providers", "v")]).expect_err("no class");
        assert!(error.to_string().contains("config.providers.v.class"));
    }
}
