//! The JSON Schema of kmirror.yaml, for editors: made from the types that read it. What a key means is what the reference says of it.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::raw::RawConfig;

/// The schema (draft 7, which editors know best).
pub(crate) fn schema(reference: &str) -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<RawConfig>().to_value();
    let described = Described { meanings: meanings(reference) };
    described.keys(&mut schema, "");
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), json!("kmirror.yaml"));
        root.remove("description");
    }
    schema
}

struct Described {
    meanings: BTreeMap<String, String>,
}

impl Described {
    /// Goes down a schema: adds what keys mean, and that a scalar may be a placeholder.
    fn keys(&self, schema: &mut Value, path: &str) {
        let Some(object) = schema.as_object_mut() else { return };
        // Comments on types are for those who read the code.
        object.remove("description");
        object.remove("format");
        for (key, schema) in object.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten()
        {
            let path = format!("{path}/{key}");
            self.keys(schema, &path);
            if let (Some(meaning), Some(schema)) = (self.meanings.get(&path), schema.as_object_mut()) {
                schema.insert("description".to_owned(), json!(meaning));
            }
        }
        for alternatives in ["anyOf", "oneOf"] {
            let schemas = object.get_mut(alternatives).and_then(Value::as_array_mut);
            schemas.into_iter().flatten().for_each(|schema| self.keys(schema, path));
        }
        if let Some(items) = object.get_mut("items") {
            self.keys(items, path);
        }
        // Of what has names of its own, the reference shows one.
        let one =
            self.meanings.keys().find_map(|key| key.strip_prefix(path)?.strip_prefix('/')?.split('/').next());
        if let (Some(named), Some(one)) =
            (object.get_mut("additionalProperties").filter(|named| named.is_object()), one)
        {
            self.keys(named, &format!("{path}/{one}"));
        }
        // A section of which nothing is written is one that is left out.
        if object.get("type") == Some(&json!("object")) && !object.contains_key("required") {
            object.insert("type".to_owned(), json!(["object", "null"]));
        }
        let is_one_of_words = object.contains_key("enum") || object.contains_key("const");
        if is_one_of_words || object.get("type").is_some_and(is_number_or_switch) {
            let own: Map<String, Value> = std::mem::take(object);
            let placeholder = json!({ "type": "string", "pattern": "\\$\\{.*\\}" });
            object.insert("anyOf".to_owned(), json!([own, placeholder]));
        }
    }
}

fn is_number_or_switch(kind: &Value) -> bool {
    let is = |kind: &Value| ["boolean", "integer", "number"].iter().any(|scalar| kind == scalar);
    is(kind) || kind.as_array().is_some_and(|kinds| kinds.iter().any(is) && !kinds.contains(&json!("string")))
}

/// What each key means, by its path: the comment above it, or behind it.
fn meanings(reference: &str) -> BTreeMap<String, String> {
    let mut meanings = BTreeMap::new();
    let mut parents: Vec<(usize, String)> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in reference.lines() {
        let content = line.trim_start();
        let mut indent = line.len() - content.len();
        let said = content.strip_prefix("# ");
        // The first key of an item belongs where the others of it stand.
        let item = content.strip_prefix("- ").filter(|item| key_of(item).is_some());
        indent += if item.is_some() { 2 } else { 0 };
        // A key without a default is shown as a comment.
        let shown = said.filter(|said| !comment.is_empty() && !said.ends_with('.'));
        let found = key_of(item.unwrap_or(content)).or_else(|| shown.and_then(key_of));
        match (found, said) {
            (Some((key, rest)), _) => {
                parents.retain(|(at, _)| *at < indent);
                parents.push((indent, key.to_owned()));
                comment.extend(rest.split_once("# ").map(|(_, behind)| behind));
                if !comment.is_empty() {
                    let path = parents.iter().map(|(_, key)| format!("/{key}")).collect();
                    meanings.insert(path, std::mem::take(&mut comment).join(" "));
                }
            }
            (None, Some(said)) if !said.starts_with("--") => comment.push(said),
            _ => comment.clear(),
        }
    }
    meanings
}

/// The key of a line and what follows it.
fn key_of(content: &str) -> Option<(&str, &str)> {
    let (key, rest) = content.split_once(':')?;
    let is_key = !key.is_empty()
        && key.chars().all(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '_');
    (is_key && (rest.is_empty() || rest.starts_with(' '))).then_some((key, rest))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::REFERENCE;

    /// As far as the schema goes: what it uses of draft 7.
    fn accepts(schema: &Value, value: &Value) -> bool {
        let Some(rules) = schema.as_object() else { return schema != &json!(false) };
        rules.iter().all(|(rule, expected)| match rule.as_str() {
            "$schema" | "title" | "description" | "default" => true,
            "type" => match expected {
                Value::Array(kinds) => kinds.iter().any(|kind| is_of(kind, value)),
                kind => is_of(kind, value),
            },
            "enum" => expected.as_array().is_some_and(|values| values.contains(value)),
            "const" => expected == value,
            "anyOf" => {
                expected.as_array().is_some_and(|schemas| schemas.iter().any(|schema| accepts(schema, value)))
            }
            "oneOf" => {
                let schemas = expected.as_array().map(Vec::as_slice).unwrap_or_default();
                schemas.iter().filter(|schema| accepts(schema, value)).count() == 1
            }
            "items" => value.as_array().is_none_or(|items| items.iter().all(|item| accepts(expected, item))),
            "required" => {
                let names = expected.as_array().map(Vec::as_slice).unwrap_or_default();
                value.is_object()
                    && names.iter().all(|name| value.get(name.as_str().unwrap_or_default()).is_some())
            }
            "properties" => value.as_object().is_none_or(|entries| {
                entries
                    .iter()
                    .all(|(key, value)| expected.get(key).is_none_or(|schema| accepts(schema, value)))
            }),
            "additionalProperties" => value.as_object().is_none_or(|entries| {
                let own = rules.get("properties");
                let others = entries.iter().filter(|(key, _)| own.and_then(|own| own.get(*key)).is_none());
                others.into_iter().all(|(_, value)| accepts(expected, value))
            }),
            "pattern" => value.as_str().is_none_or(|text| text.contains("${")),
            "minimum" => {
                value.as_f64().is_none_or(|number| expected.as_f64().is_some_and(|minimum| number >= minimum))
            }
            "maximum" => {
                value.as_f64().is_none_or(|number| expected.as_f64().is_some_and(|maximum| number <= maximum))
            }
            other => panic!("the schema uses {other:?}, which this check does not know"),
        })
    }

    fn is_of(kind: &Value, value: &Value) -> bool {
        match kind.as_str().unwrap_or_default() {
            "null" => value.is_null(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{other:?} is no type"),
        }
    }

    #[test]
    fn what_the_program_takes_the_schema_takes_and_what_is_misspelt_neither() {
        let schema = schema(REFERENCE);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/config");
        let mut counts = [0, 0];
        for path in
            ["valid", "invalid"].iter().flat_map(|kind| std::fs::read_dir(folder.join(kind)).expect("there"))
        {
            let path = path.expect("readable").path();
            let text = std::fs::read_to_string(&path).expect("readable");
            let is_ours =
                path.extension().is_some_and(|kind| kind == "yaml") && !text.contains("KafkaMirrorMaker");
            let Some(value) = serde_yaml::from_str::<Value>(&text).ok().filter(|_| is_ours) else { continue };
            // What is a duration or a moment a schema does not know, nor what Kafka's own keys are.
            if [
                "bad-on-deleted-time.yaml",
                "bad-moment.yaml",
                "properties-unknown.yaml",
                "properties-misspelt-tls.yaml",
            ]
            .iter()
            .any(|name| path.ends_with(name))
            {
                continue;
            }
            let first = text.lines().next().unwrap_or_default();
            if path.parent().is_some_and(|folder| folder.ends_with("valid")) {
                assert!(accepts(&schema, &value), "{}", path.display());
                counts[0] += 1;
            } else if ["unknown key", "unknown variant", "missing field", "expected `"]
                .iter()
                .any(|what| first.contains(what))
            {
                assert!(!accepts(&schema, &value), "{}: {first}", path.display());
                counts[1] += 1;
            }
        }
        assert!(counts[0] >= 3 && counts[1] >= 25, "{counts:?}");
        assert!(accepts(&schema, &serde_yaml::from_str(REFERENCE).expect("YAML")));
    }

    /// Every key has the meaning that the reference gives it.
    #[test]
    fn every_key_is_described() {
        let schema = schema(REFERENCE);
        let flow = &schema["properties"]["flows"]["items"]["properties"];
        let described = |schema: &Value, text: &str| {
            assert!(schema["description"].as_str().is_some_and(|has| has.contains(text)), "{text}: {schema}");
        };
        described(&flow["topics"]["properties"]["include"], "Names, or regular expressions");
        described(&flow["commit_group"], "A group on the source");
        described(&flow["offsets"], "How target offsets relate");
        described(
            &schema["properties"]["clusters"]["additionalProperties"]["properties"]["client_id"],
            "The name in the brokers'",
        );
        let missing: Vec<_> = flow
            .as_object()
            .expect("keys")
            .iter()
            .filter(|(key, schema)| schema.get("description").is_none() && !GROUPED.contains(&key.as_str()))
            .map(|(key, _)| key)
            .collect();
        assert!(missing.is_empty(), "{missing:?} mean nothing in reference.yaml");
    }

    /// Keys that the reference explains together with others.
    const GROUPED: [&str; 6] =
        ["source", "target", "topics", "topic_configs", "groups", "state_replication_factor"];
}
