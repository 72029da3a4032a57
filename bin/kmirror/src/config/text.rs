//! Scalars of the configuration file: sizes and durations with units. Placeholders have been replaced.

use std::borrow::Cow;
use std::time::Duration;

use bytesize::ByteSize;
use kmirror::Secret;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A string; a number or a switch that is written where one is expected counts as its text.
#[derive(Clone, Debug)]
pub(crate) struct Text(pub(crate) String);

/// The same for what nobody may see.
#[derive(Clone, Debug)]
pub(crate) struct SecretText(pub(crate) Secret);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SecretText, D::Error> {
        Text::deserialize(deserializer).map(|text| SecretText(Secret::new(text.0)))
    }
}

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
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a string")]
        enum Scalar {
            Text(String),
            Switch(bool),
            Whole(i64),
            Number(f64),
        }
        Ok(Text(match Scalar::deserialize(deserializer)? {
            Scalar::Text(text) => text,
            Scalar::Switch(value) => value.to_string(),
            Scalar::Whole(value) => value.to_string(),
            Scalar::Number(value) => value.to_string(),
        }))
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
        let texts = written.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
        Ok(Texts(texts.map(|text| Text(text.to_owned())).collect()))
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

/// What the scalars look like in the JSON Schema.
macro_rules! looks_like {
    ($($type:ident: $schema:tt),+ $(,)?) => {
        $(
            impl JsonSchema for $type {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($type).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!($schema)
                }
            }
        )+
    };
}

looks_like!(
    SecretText: { "type": ["string", "boolean", "number"] },
    Text: { "type": ["string", "boolean", "number"] },
    Texts: { "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] },
    Bytes: { "type": ["string", "integer"] },
    Count: { "type": ["string", "integer"] },
    Interval: { "type": ["string", "integer"] },
    Moment: { "type": ["string", "integer"] },
);

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
}
