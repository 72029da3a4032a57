//! Which topics a flow copies, and which consumer groups follow.

use std::sync::Arc;

use regex::Regex;

use crate::ground::error::ConfigError;
use crate::ground::mm2_names::is_checkpoints;

/// Topics by name or by regular expression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicSelection {
    /// Names, or regular expressions that must match the whole name. An empty list selects nothing.
    pub include: Vec<String>,
    /// The same; what it matches is left out even if it is included.
    pub exclude: Vec<String>,
}

/// Consumer groups by name or by regular expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSelection {
    /// Names, or regular expressions that must match the whole name. An empty list selects nothing. Default: all.
    pub include: Vec<String>,
    /// The same; what it matches is left out even if it is included. Default: what MirrorMaker 2 leaves out, groups of consoles, of
    /// Connect's sinks, and internal ones.
    pub exclude: Vec<String>,
    /// Those of them that return: where they have read on on the target is committed on the source, while nobody reads the source with
    /// them. Default: none, for a group of the same name may be another program on the other side.
    pub returning: Vec<String>,
}

impl Default for GroupSelection {
    fn default() -> GroupSelection {
        let owned = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        GroupSelection {
            include: owned(&[".*"]),
            exclude: owned(&["console-consumer-.*", "connect-.*", "__.*"]),
            returning: Vec::new(),
        }
    }
}

/// A selection of topics whose patterns are compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicMatcher(Patterns);

/// A selection of groups whose patterns are compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupMatcher {
    follows: Patterns,
    returns: Patterns,
}

/// Why a topic is selected, or is not: the first item of a list that matches its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection<'a> {
    /// It belongs to its own cluster.
    Internal,
    NotIncluded,
    Excluded(&'a Arc<str>),
    Included(&'a Arc<str>),
}

/// What a flow's configuration selects.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selected {
    pub(crate) topics: TopicMatcher,
    pub(crate) groups: GroupMatcher,
}

#[derive(Clone, Debug, PartialEq)]
struct Patterns {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: Arc<str>,
    expression: Expression,
}

#[derive(Clone, Debug)]
enum Expression {
    /// Matches in linear time.
    Plain(Regex),
    /// Looks around or refers back, as Java's expressions may.
    Fancy(fancy_regex::Regex),
}

impl TopicSelection {
    /// Compiles the patterns, or says which one does not compile and why.
    pub fn compile(&self) -> Result<TopicMatcher, ConfigError> {
        Patterns::compile(&self.include, &self.exclude).map(TopicMatcher)
    }
}

impl GroupSelection {
    /// No group at all.
    pub fn none() -> GroupSelection {
        GroupSelection { include: Vec::new(), exclude: Vec::new(), returning: Vec::new() }
    }

    /// Compiles the patterns, or says which one does not compile and why.
    pub fn compile(&self) -> Result<GroupMatcher, ConfigError> {
        let follows = Patterns::compile(&self.include, &self.exclude)?;
        Ok(GroupMatcher { follows, returns: Patterns::compile(&self.returning, &[])? })
    }
}

impl TopicMatcher {
    /// Whether a topic is selected. Internal topics never are: they belong to their own cluster.
    pub fn matches(&self, topic: &str) -> bool {
        matches!(self.selection(topic), Selection::Included(_))
    }

    /// Why a topic is selected, or is not.
    pub(crate) fn selection(&self, topic: &str) -> Selection<'_> {
        if is_internal(topic) {
            return Selection::Internal;
        }
        let Patterns { include, exclude } = &self.0;
        let Some(included) = include.iter().find(|pattern| pattern.matches(topic)) else {
            return Selection::NotIncluded;
        };
        match exclude.iter().find(|pattern| pattern.matches(topic)) {
            Some(excluded) => Selection::Excluded(&excluded.text),
            None => Selection::Included(&included.text),
        }
    }

    /// The included expressions that match none of these topics, each with what may have been meant. Names are told of one by one.
    pub(crate) fn unmatched<'a>(&'a self, topics: &[&str]) -> Vec<(&'a str, Option<String>)> {
        let names: Vec<_> = self.literal_names().collect();
        let expressions = self.0.include.iter().filter(|pattern| !names.contains(&&*pattern.text));
        let unmatched = expressions.filter(|pattern| !topics.iter().any(|topic| pattern.matches(topic)));
        unmatched.map(|pattern| (&*pattern.text, as_glob(&pattern.text, topics))).collect()
    }

    /// The included patterns that can only mean one topic, because they are legal names without any operator but the dot.
    pub fn literal_names(&self) -> impl Iterator<Item = &str> {
        self.0.include.iter().map(|pattern| &*pattern.text).filter(|text| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        })
    }
}

/// What an expression may have been meant to be that was written as shells write patterns, if it matches one of the topics then.
fn as_glob(text: &str, topics: &[&str]) -> Option<String> {
    let meant = text.replace(".*", "*").replace('.', "\\.").replace('*', ".*").replace('?', ".");
    let pattern = Pattern::compile(&meant).ok()?;
    (meant != text && topics.iter().any(|topic| pattern.matches(topic))).then_some(meant)
}

/// Kafka's own topics and MirrorMaker's (`ReplicationPolicy.isInternalTopic`, KIP-1074).
fn is_internal(topic: &str) -> bool {
    topic.starts_with("__")
        || topic.starts_with('.')
        || topic.starts_with("mm2") && topic.ends_with("internal")
        || is_checkpoints(topic)
}

impl GroupMatcher {
    /// Whether a group is selected.
    pub fn matches(&self, group: &str) -> bool {
        self.follows.matches(group)
    }

    /// Whether a group is selected, and returns when it has moved to the target.
    pub fn may_return(&self, group: &str) -> bool {
        self.returns.matches(group) && self.matches(group)
    }

    /// Whether no group can be selected.
    pub fn is_empty(&self) -> bool {
        self.follows.include.is_empty()
    }

    /// Whether any group may return.
    pub(crate) fn any_returns(&self) -> bool {
        !self.returns.include.is_empty()
    }
}

/// The text says all.
impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl Patterns {
    fn compile(include: &[String], exclude: &[String]) -> Result<Patterns, ConfigError> {
        let compile = |patterns: &[String]| -> Result<Vec<Pattern>, ConfigError> {
            patterns.iter().map(|pattern| Pattern::compile(pattern)).collect()
        };
        Ok(Patterns { include: compile(include)?, exclude: compile(exclude)? })
    }

    fn matches(&self, name: &str) -> bool {
        self.include.iter().any(|pattern| pattern.matches(name))
            && !self.exclude.iter().any(|pattern| pattern.matches(name))
    }
}

impl Pattern {
    fn compile(text: &str) -> Result<Pattern, ConfigError> {
        // Anchored: a pattern that means `orders` must not take `orders-archive` along.
        let anchored = format!("^(?:{text})$");
        let failed = |reason: String| ConfigError::Pattern { pattern: text.to_owned(), reason };
        let expression = if looks_around(text) {
            let regex = fancy_regex::RegexBuilder::new(&anchored).backtrack_limit(BACKTRACKS_MAX).build();
            Expression::Fancy(regex.map_err(|error| failed(error.to_string()))?)
        } else {
            Expression::Plain(Regex::new(&anchored).map_err(|error| failed(error.to_string()))?)
        };
        Ok(Pattern { text: text.into(), expression })
    }

    fn matches(&self, name: &str) -> bool {
        *self.text == *name
            || match &self.expression {
                Expression::Plain(regex) => regex.is_match(name),
                // Beyond the limit of its work it matches nothing.
                Expression::Fancy(regex) => regex.is_match(name).unwrap_or(false),
            }
    }
}

/// Whether an expression needs what takes more than linear time: looking around, atomic groups, references to groups.
fn looks_around(text: &str) -> bool {
    let refers = text.as_bytes().windows(2).any(|pair| matches!(pair, [b'\\', b'1'..=b'9']));
    refers || ["(?=", "(?!", "(?<=", "(?<!", "(?>"].iter().any(|group| text.contains(group))
}

/// Steps back that a look-around may take for one name.
const BACKTRACKS_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(include: &[&str], exclude: &[&str]) -> TopicMatcher {
        let owned = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        TopicSelection { include: owned(include), exclude: owned(exclude) }.compile().expect("valid patterns")
    }

    #[test]
    fn expressions_that_match_nothing_are_found_and_globs_among_them() {
        let matcher = matcher(&["orders", "pay.*", "order*", "a?c", r"x\..*"], &[]);
        let topics = ["orders", "order-lines", "payments", "abc"];
        let unmatched = matcher.unmatched(&topics);
        assert_eq!(
            unmatched,
            [("order*", Some("order.*".to_owned())), ("a?c", Some("a.c".to_owned())), (r"x\..*", None)]
        );
        assert_eq!(super::TopicMatcher::unmatched(&matcher, &["order", "x.y", "ac", "pay"]), []);
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
        assert_eq!(matcher.selection("payments.eu"), Selection::Included(&r"payments\..*".into()));
        assert_eq!(matcher.selection("payments.tmp"), Selection::Excluded(&r".*\.tmp".into()));
        assert_eq!(matcher.selection("old-orders"), Selection::NotIncluded);
        assert_eq!(matcher.selection("__orders"), Selection::Internal);
    }

    #[test]
    fn alternatives_are_anchored_as_a_whole() {
        let matcher = matcher(&["a|b"], &[]);
        assert!(matcher.matches("a") && matcher.matches("b"));
        assert!(!matcher.matches("ab") && !matcher.matches("xb"));
    }

    #[test]
    fn internal_topics_and_empty_selections_match_nothing() {
        for topic in ["__consumer_offsets", ".hidden", "mm2-offsets.a.internal", "a_checkpoints_internal"] {
            assert!(!matcher(&[".*"], &[]).matches(topic), "{topic}");
        }
        assert!(matcher(&[".*"], &[]).matches("mm2.orders"));
        assert!(!matcher(&[], &[]).matches("orders"));
    }

    #[test]
    fn expressions_may_look_around_as_in_java() {
        let matcher = matcher(&["(?!secret).*"], &[]);
        assert!(matcher.matches("orders"));
        assert!(!matcher.matches("secrets"));
    }

    #[test]
    fn groups_are_selected_like_topics() {
        let groups = GroupSelection::default().compile().expect("valid patterns");
        assert!(groups.matches("billing"));
        assert!(!groups.matches("console-consumer-4711"));
        assert!(!groups.matches("connect-sink"));
        assert!(
            GroupSelection::none()
                .compile()
                .is_ok_and(|groups| groups.is_empty() && !groups.matches("billing"))
        );
    }

    #[test]
    fn a_pattern_that_does_not_compile_is_named() {
        let selection = TopicSelection { include: vec!["a(".to_owned()], exclude: Vec::new() };
        let error = selection.compile().expect_err("unbalanced").to_string();
        assert!(error.contains("a("), "{error}");
    }
}
