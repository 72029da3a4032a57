//! The names of flows. Pure.

use std::collections::BTreeSet;

use super::config::{Flow, is_of_names};
use super::error::ConfigError;

/// Gives each flow its name: its own, or the first one that is free.
///
/// # Errors
/// A name that cannot be one, or that two flows have.
pub(crate) fn give(flows: &mut [Flow]) -> Result<(), ConfigError> {
    for (second, flow) in flows.iter().enumerate() {
        let Some(name) = &flow.name else { continue };
        check(name)
            .map_err(|problem| ConfigError::Invalid { path: format!("flows[{second}].name"), problem })?;
        if let Some(first) = flows.iter().take(second).position(|flow| flow.name.as_ref() == Some(name)) {
            return Err(ConfigError::SameName { name: name.clone(), first, second });
        }
    }
    let mut taken: BTreeSet<String> = flows.iter().filter_map(|flow| flow.name.clone()).collect();
    for flow in flows.iter_mut() {
        let name = flow.name.clone().unwrap_or_else(|| free(&flow.default_name(), &taken));
        taken.insert(name.clone());
        flow.given_name = Some(name);
    }
    Ok(())
}

/// The name itself, or the first one of `name-2`, `name-3` … that nobody has.
pub(crate) fn free(name: &str, taken: &BTreeSet<String>) -> String {
    let numbered = (2_u64..).map(|number| format!("{name}-{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names.find(|name| !taken.contains(name)).unwrap_or_default()
}

fn check(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(is_of_names) {
        return Err(format!(
            "{name:?} cannot be the name of a flow: 1 to {NAME_BYTES_MAX} letters, digits, dots, underscores and dashes can"
        ));
    }
    Ok(())
}

/// As long as Kafka's names of topics may be.
const NAME_BYTES_MAX: usize = 249;

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(source: &str, target: &str, name: &str) -> Flow {
        let name = (!name.is_empty()).then(|| name.to_owned());
        Flow { name, ..Flow::new(source, target) }
    }

    #[test]
    fn every_flow_has_a_name_of_its_own() {
        let mut flows = [
            flow("a", "b", ""),
            flow("a", "b", ""),
            flow("a", "b", "nightly"),
            flow("a", "b", ""),
            flow("b", "a", ""),
            flow("c", "d", "a-to-b-2"),
            flow("new york", "b/c", ""),
        ];
        give(&mut flows).expect("names");
        let names: Vec<_> = flows.iter().map(Flow::name).collect();
        assert_eq!(
            names,
            ["a-to-b", "a-to-b-3", "nightly", "a-to-b-4", "b-to-a", "a-to-b-2", "new-york-to-b-c"]
        );
    }

    #[test]
    fn a_name_that_cannot_be_one_is_refused() {
        for name in ["east west", "a/b", "ä", &"x".repeat(250)] {
            let error = give(&mut [flow("a", "b", ""), flow("a", "b", name)]).expect_err(name).to_string();
            assert!(error.starts_with("flows[1].name: ") && error.contains("cannot be the name"), "{error}");
        }
        let error =
            give(&mut [flow("a", "b", "x"), flow("c", "d", ""), flow("e", "f", "x")]).expect_err("twice");
        assert_eq!(
            error.to_string(),
            "flows[2].name: flows[0] is called \"x\" as well; each flow needs a name of its own"
        );
    }
}
