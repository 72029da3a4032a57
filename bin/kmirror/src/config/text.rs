//! Scalars of the configuration file: strings with placeholders, sizes and durations with units.

use std::time::Duration;

use bytesize::ByteSize;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A string in which `${env:NAME}` and `${file:/path}` have been replaced.
#[derive(Clone, Debug)]
pub(crate) struct Text(pub(crate) String);

/// A list of strings, or one string with commas.
#[derive(Clone, Debug)]
pub(crate) struct Texts(pub(crate) Vec<Text>);

/// A number of bytes: `48MiB`, `1 MB`, `4096`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(pub(crate) usize);

/// A duration: `3s`, `500ms`, `1m 30s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval(pub(crate) Duration);

/// A number, which may be written in groups or with a unit of count: `1000000`, `1_000_000`, `250M`, `1G`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count(pub(crate) i64);

/// A moment, in milliseconds since the epoch: such a number, or `2026-01-31T12:00:00Z`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(pub(crate) i64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Count, D::Error> {
        let text = scalar(deserializer)?;
        count(&text).map(Count).ok_or_else(|| {
            D::Error::custom(format!("{text:?} is no number; write it as in 1000000, 1_000_000 or 250M"))
        })
    }
}

/// A number with an optional `k`, `M`, `G` or `T`.
fn count(text: &str) -> Option<i64> {
    let plain = text.trim().replace('_', "");
    let (digits, factor) = match plain.char_indices().last()? {
        (at, unit) if unit.is_ascii_alphabetic() => {
            let factor = match unit {
                'k' | 'K' => 1_000,
                'M' => 1_000_000,
                'G' => 1_000_000_000,
                'T' => 1_000_000_000_000,
                _ => return None,
            };
            (plain.get(..at)?, factor)
        }
        _ => (plain.as_str(), 1),
    };
    digits
        .trim()
        .parse::<u32>()
        .ok()
        .map(i64::from)
        .or_else(|| digits.trim().parse().ok())?
        .checked_mul(factor)
        .filter(|count| *count >= 0)
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Moment, D::Error> {
        let text = scalar(deserializer)?;
        moment(&text).map(Moment).ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} is no moment; write it as in 2026-01-31T12:00:00Z or in milliseconds since the epoch"
            ))
        })
    }
}

fn moment(text: &str) -> Option<i64> {
    if let Ok(milliseconds) = text.parse::<i64>() {
        return (milliseconds >= 0).then_some(milliseconds);
    }
    let at = humantime::parse_rfc3339_weak(text).ok()?;
    let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        resolve(&String::deserialize(deserializer)?).map(Text).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Texts, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a list of strings, or one string with commas")]
        enum OneOrMany {
            One(String),
            Many(Vec<String>),
        }
        let written = match OneOrMany::deserialize(deserializer)? {
            OneOrMany::One(text) => text.split(',').map(str::to_owned).collect(),
            OneOrMany::Many(texts) => texts,
        };
        let resolved =
            written.iter().map(|text| resolve(text.trim())).filter(|text| *text != Ok(String::new()));
        resolved.map(|text| text.map(Text)).collect::<Result<_, _>>().map(Texts).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = scalar(deserializer)?;
        let size: ByteSize = text
            .parse()
            .map_err(|_| D::Error::custom(format!("{text:?} is no size; write it as in 48MiB or 1000000")))?;
        usize::try_from(size.as_u64()).map(Bytes).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Interval, D::Error> {
        let text = scalar(deserializer)?;
        let duration = humantime::parse_duration(&text).map_err(|error| {
            D::Error::custom(format!("{text:?} is no duration ({error}); write it as in 3s or 500ms"))
        })?;
        if duration.is_zero() {
            return Err(D::Error::custom(format!("{text:?}: a duration must be longer than nothing")));
        }
        Ok(Interval(duration))
    }
}

/// A string or a number, as text.
fn scalar<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a number with a unit")]
    enum Scalar {
        Number(u64),
        Text(String),
    }
    Ok(match Scalar::deserialize(deserializer)? {
        Scalar::Number(number) => number.to_string(),
        Scalar::Text(text) => text,
    })
}

/// Replaces placeholders. Errors name the placeholder, never a value.
fn resolve(text: &str) -> Result<String, String> {
    let mut resolved = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        resolved.push_str(before);
        let Some((placeholder, after)) = after.split_once('}') else {
            return Err(format!("the placeholder \"${{{after}\" is not closed"));
        };
        resolved.push_str(&value_of(placeholder)?);
        rest = after;
    }
    resolved.push_str(rest);
    Ok(resolved)
}

fn value_of(placeholder: &str) -> Result<String, String> {
    match placeholder.split_once(':') {
        Some(("env", name)) => {
            std::env::var(name).map_err(|_| format!("${{env:{name}}}: the environment variable is not set"))
        }
        Some(("file", path)) => std::fs::read_to_string(path)
            .map(|content| content.trim_end_matches(['\r', '\n']).to_owned())
            .map_err(|error| format!("${{file:{path}}}: {error}")),
        _ => Err(format!("${{{placeholder}}}: known are ${{env:NAME}} and ${{file:/path}}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_moments_are_read_as_people_write_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1_000", Some(1_000)),
            ("250M", Some(250_000_000)),
            ("5 G", Some(5_000_000_000)),
            ("8000000000", Some(8_000_000_000)),
            ("-1", None),
            ("", None),
            ("M", None),
            ("3X", None),
            ("99999999T", None),
        ] {
            assert_eq!(count(text), expected, "{text:?}");
        }
        for (text, expected) in [
            ("0", Some(0)),
            ("1769860800000", Some(1_769_860_800_000)),
            ("2026-01-31T12:00:00Z", Some(1_769_860_800_000)),
            ("2026-01-31 12:00:00", Some(1_769_860_800_000)),
            ("yesterday", None),
            ("-5", None),
        ] {
            assert_eq!(moment(text), expected, "{text:?}");
        }
    }

    #[test]
    fn placeholders_are_replaced_or_named() {
        assert_eq!(resolve("plain"), Ok("plain".to_owned()));
        assert_eq!(resolve("a${env:CARGO_PKG_NAME}b"), Ok("akmirror-clib".to_owned()));
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert!(resolve(&format!("${{file:{file}}}")).expect("readable").starts_with("[package]"));
        for (text, named) in [
            ("${env:KMIRROR_NO_SUCH_NAME}", "KMIRROR_NO_SUCH_NAME"),
            ("${file:/no/such/file}", "/no/such/file"),
            ("${vault:x}", "${env:NAME}"),
            ("${env:OPEN", "not closed"),
        ] {
            let error = resolve(text).expect_err(text);
            assert!(error.contains(named), "{error}");
        }
    }
}
