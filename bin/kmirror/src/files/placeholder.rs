//! Placeholders in the scalars of a configuration. They are replaced after the file was parsed, so that what stands behind one cannot
//! change the structure; and what stands behind one is never shown.

use std::fmt;
use std::path::Path;

use serde_yaml::Value;

use crate::files::properties::Properties;

/// What is known, for messages.
pub(crate) const KNOWN: &str = "${VAR}, ${VAR:-default}, ${VAR:?message}, ${env:VAR}, ${file:/path}, ${file:/path:key} and ${dir:/path:name}; $$ is a $";

/// A placeholder that cannot be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlaceholderError {
    /// The placeholder as it is written.
    pub(crate) placeholder: String,
    /// Why.
    pub(crate) reason: String,
}

/// A string that held a placeholder, before and after. Its value must not be shown.
pub(crate) struct Replaced {
    written: String,
    value: String,
}

impl fmt::Debug for Replaced {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.written)
    }
}

/// Replaces the placeholders in every scalar of a document, and says which scalars held one.
pub(crate) fn replace_all(value: &mut Value, replaced: &mut Vec<Replaced>) -> Result<(), PlaceholderError> {
    match value {
        Value::String(text) if text.contains('$') => {
            let resolved = resolve(text)?;
            if resolved != *text {
                let is_placeholder = text.contains("${");
                replaced.push(Replaced { written: text.clone(), value: resolved.clone() });
                *value = if is_placeholder { scalar(resolved) } else { Value::String(resolved) };
            }
            Ok(())
        }
        Value::Sequence(items) => items.iter_mut().try_for_each(|item| replace_all(item, replaced)),
        Value::Mapping(entries) => entries
            .iter_mut()
            // Its own grammar comes first: what stands behind a placeholder must not become an option.
            .filter(|(key, _)| key.as_str() != Some("sasl.jaas.config"))
            .try_for_each(|(_, entry)| replace_all(entry, replaced)),
        _ => Ok(()),
    }
}

/// A message without what stood behind placeholders. What is short is only taken out where it is quoted: it may be part of any word.
pub(crate) fn hidden(message: &str, replaced: &[Replaced]) -> String {
    replaced.iter().fold(message.to_owned(), |message, Replaced { written, value }| {
        let message = message
            .replace(&format!("`{value}`"), &format!("`{written}`"))
            .replace(&format!("{value:?}"), &format!("{written:?}"));
        if value.len() < 4 { message } else { message.replace(value, written) }
    })
}

/// What stands behind a placeholder may be a number or a switch as well.
fn scalar(text: String) -> Value {
    match serde_yaml::from_str::<Value>(&text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) if value_is_written_so(&value, &text) => value,
        _ => Value::String(text),
    }
}

/// `007` and `1e3` stay what they are where a string is expected.
fn value_is_written_so(value: &Value, text: &str) -> bool {
    match value {
        Value::Bool(yes) => yes.to_string() == text,
        Value::Number(number) => number.to_string() == text,
        _ => false,
    }
}

/// Replaces the placeholders of one string.
pub(crate) fn resolve(text: &str) -> Result<String, PlaceholderError> {
    let mut resolved = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        resolved.push_str(before);
        rest = if let Some(after) = after.strip_prefix('$') {
            resolved.push('$');
            after
        } else if let Some(after) = after.strip_prefix('{') {
            let Some((inside, after)) = after.split_once('}') else {
                // What follows may be anything, so it is not shown.
                return Err(PlaceholderError {
                    placeholder: "${".to_owned(),
                    reason: "the placeholder is not closed by }".to_owned(),
                });
            };
            let failed = |reason| PlaceholderError { placeholder: format!("${{{inside}}}"), reason };
            resolved.push_str(&value_of(inside).map_err(failed)?);
            after
        } else {
            resolved.push('$');
            after
        };
    }
    resolved.push_str(rest);
    Ok(resolved)
}

/// A text that means itself: no part of it is a placeholder.
pub(crate) fn literal(text: &str) -> String {
    if text.contains("${") || text.contains("$$") { text.replace('$', "$$") } else { text.to_owned() }
}

fn value_of(inside: &str) -> Result<String, String> {
    let Some((name, rest)) = inside.split_once(':') else {
        return if is_name(inside) { environment(inside) } else { Err(format!("known are {KNOWN}")) };
    };
    match name {
        "env" => environment(rest),
        "file" => match rest.split_once(':') {
            Some((path, key)) => of_properties(Path::new(path), key),
            None => content(Path::new(rest)),
        },
        "dir" => match rest.split_once(':') {
            Some((folder, file)) if !file.contains('/') && file != ".." => {
                content(&Path::new(folder).join(file))
            }
            _ => Err("write it as in ${dir:/run/secrets:name}".to_owned()),
        },
        _ if !is_name(name) => Err(format!("known are {KNOWN}")),
        // As in a shell, an empty variable counts as one that is not set.
        _ => match (environment(name).ok().filter(|value| !value.is_empty()), rest.split_at_checked(1)) {
            (Some(value), Some(("-" | "?", _))) => Ok(value),
            (None, Some(("-", default))) => Ok(default.to_owned()),
            (None, Some(("?", message))) => Err(message.to_owned()),
            _ => Err(format!("known are {KNOWN}")),
        },
    }
}

fn is_name(text: &str) -> bool {
    text.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
        && text.chars().next().is_some_and(|first| !first.is_ascii_digit())
}

fn environment(name: &str) -> Result<String, String> {
    match std::env::var(name) {
        Ok(value) => Ok(value),
        Err(std::env::VarError::NotPresent) => Err("the environment variable is not set".to_owned()),
        Err(std::env::VarError::NotUnicode(_)) => Err("the environment variable is not UTF-8".to_owned()),
    }
}

/// A whole file, without the blanks around it that editors leave.
fn content(path: &Path) -> Result<String, String> {
    let content = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Ok(content.trim().to_owned())
}

fn of_properties(path: &Path, key: &str) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let properties = Properties::parse(&bytes).map_err(|error| error.to_string())?;
    properties.values.get(key).cloned().ok_or_else(|| "the file has no such key".to_owned())
}

impl fmt::Display for PlaceholderError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.placeholder, self.reason)
    }
}

impl std::error::Error for PlaceholderError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_and_other_dollars_stay() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/config/secrets");
        for (text, expected) in [
            ("plain", "plain".to_owned()),
            ("a${env:CARGO_PKG_NAME}b", "akmirror-clib".to_owned()),
            ("${CARGO_PKG_NAME}", "kmirror-cli".to_owned()),
            ("${CARGO_PKG_NAME:-other}", "kmirror-cli".to_owned()),
            ("${CARGO_PKG_NAME:?needed}", "kmirror-cli".to_owned()),
            ("${KMIRROR_NO_SUCH_NAME:-other}/${KMIRROR_NO_SUCH_NAME:-}", "other/".to_owned()),
            ("orders$", "orders$".to_owned()),
            ("(a|b)$|c", "(a|b)$|c".to_owned()),
            ("$${VAR} costs 5$$", "${VAR} costs 5$".to_owned()),
            ("$", "$".to_owned()),
            (&format!("${{file:{folder}/password}}"), "s3cret".to_owned()),
            (&format!("${{dir:{folder}:password}}"), "s3cret".to_owned()),
            (&format!("${{file:{folder}/client.properties:user.password}}"), "pass:word".to_owned()),
        ] {
            assert_eq!(resolve(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_named() {
        for (text, named) in [
            (
                "${env:KMIRROR_NO_SUCH_NAME}",
                "${env:KMIRROR_NO_SUCH_NAME}: the environment variable is not set",
            ),
            ("${KMIRROR_NO_SUCH_NAME}", "${KMIRROR_NO_SUCH_NAME}: the environment variable is not set"),
            ("${KMIRROR_NO_SUCH_NAME:?set it in the unit}", "set it in the unit"),
            ("${file:/no/such/file}", "/no/such/file"),
            ("${file:/no/such/file:key}", "/no/such/file"),
            ("${dir:/run:../passwd}", "write it as in"),
            ("${vault:x}", "${VAR:-default}"),
            ("${CARGO_PKG_NAME:+other}", "known are"),
            ("${}", "known are"),
            ("${env:OPEN", "not closed"),
        ] {
            let error = resolve(text).expect_err(text).to_string();
            assert!(error.contains(named), "{error}");
        }
        assert!(!resolve("${s3cret").expect_err("open").to_string().contains("s3cret"));
    }

    #[test]
    fn literals_mean_themselves() {
        for text in ["plain", "orders$", "${VAR}", "a$$b", "$$${x}$"] {
            assert_eq!(resolve(&literal(text)).as_deref(), Ok(text));
        }
        assert_eq!(literal("orders$"), "orders$");
    }
}
