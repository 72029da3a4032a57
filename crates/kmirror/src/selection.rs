//! Which topics a flow copies.

use regex::Regex;

use crate::error::ConfigError;

/// Topics by name or by regular expression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicSelection {
    /// Names, or regular expressions that must match the whole name. An empty list selects nothing.
    pub include: Vec<String>,
    /// The same; what it matches is left out even if it is included.
    pub exclude: Vec<String>,
}

/// A selection whose patterns are compiled.
#[derive(Clone, Debug)]
pub struct TopicMatcher {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    regex: Regex,
}

impl TopicSelection {
    /// Compiles the patterns, or says which one does not compile and why.
    pub fn compile(&self) -> Result<TopicMatcher, ConfigError> {
        let compile = |patterns: &[String]| -> Result<Vec<Pattern>, ConfigError> {
            patterns.iter().map(|pattern| Pattern::compile(pattern)).collect()
        };
        Ok(TopicMatcher { include: compile(&self.include)?, exclude: compile(&self.exclude)? })
    }
}

impl TopicMatcher {
    /// Whether a topic is selected. Internal topics never are: those that begin with `__` belong to their own cluster.
    pub fn matches(&self, topic: &str) -> bool {
        !topic.starts_with("__")
            && self.include.iter().any(|pattern| pattern.matches(topic))
            && !self.exclude.iter().any(|pattern| pattern.matches(topic))
    }

    /// The included patterns that can only mean one topic, because they are legal names without any operator but the dot.
    pub fn literal_names(&self) -> impl Iterator<Item = &str> {
        self.include.iter().map(|pattern| pattern.text.as_str()).filter(|text| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        })
    }
}

impl Pattern {
    fn compile(text: &str) -> Result<Pattern, ConfigError> {
        // Anchored: a pattern that means `orders` must not take `orders-archive` along.
        let regex = Regex::new(&format!("^(?:{text})$"))
            .map_err(|error| ConfigError::Pattern { pattern: text.to_owned(), reason: error.to_string() })?;
        Ok(Pattern { text: text.to_owned(), regex })
    }

    fn matches(&self, topic: &str) -> bool {
        self.text == topic || self.regex.is_match(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(include: &[&str], exclude: &[&str]) -> TopicMatcher {
        let owned = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        TopicSelection { include: owned(include), exclude: owned(exclude) }.compile().expect("valid patterns")
    }

    #[test]
    fn patterns_match_whole_names_and_exclusion_wins() {
        let matcher = matcher(&["orders", r"payments\..*"], &[r".*\.tmp"]);
        assert!(matcher.matches("orders"));
        assert!(!matcher.matches("orders-archive"));
        assert!(!matcher.matches("old-orders"));
        assert!(matcher.matches("payments.eu"));
        assert!(!matcher.matches("payments.tmp"));
        assert_eq!(matcher.literal_names().collect::<Vec<_>>(), ["orders"]);
    }

    #[test]
    fn alternatives_are_anchored_as_a_whole() {
        let matcher = matcher(&["a|b"], &[]);
        assert!(matcher.matches("a") && matcher.matches("b"));
        assert!(!matcher.matches("ab") && !matcher.matches("xb"));
    }

    #[test]
    fn internal_topics_and_empty_selections_match_nothing() {
        assert!(!matcher(&[".*"], &[]).matches("__consumer_offsets"));
        assert!(!matcher(&[], &[]).matches("orders"));
    }

    #[test]
    fn a_pattern_that_does_not_compile_is_named() {
        let selection = TopicSelection { include: vec!["a(".to_owned()], exclude: Vec::new() };
        let error = selection.compile().expect_err("unbalanced").to_string();
        assert!(error.contains("a("), "{error}");
    }
}
