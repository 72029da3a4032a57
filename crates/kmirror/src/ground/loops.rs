//! Whether a record would come back to where it was: flows in a circle, two aliases of one cluster. Such a mirror would copy the same
//! records for ever. Pure.

use std::sync::Arc;

use crate::ground::config::Naming;
use crate::ground::selection::TopicMatcher;

/// A flow, as far as it decides where records go.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The name of the flow.
    pub(crate) name: String,
    pub(crate) source_alias: String,
    pub(crate) target_alias: String,
    /// What stands for the clusters: their ids, since two aliases may name one cluster.
    pub(crate) source: Arc<str>,
    pub(crate) target: Arc<str>,
    pub(crate) naming: Naming,
    pub(crate) topics: TopicMatcher,
}

impl Route {
    /// Whether the flow copies a topic of its source.
    pub(crate) fn takes(&self, topic: &str) -> bool {
        self.topics.matches(topic) && !self.naming.came_from(topic, &self.target_alias)
    }
}

/// The flows that a topic would pass, if it would pass one of them twice: `routes[first]` copies it.
pub(crate) fn circle_of(routes: &[Route], first: usize, topic: &str) -> Option<String> {
    let mut passed = Vec::new();
    walk(routes, first, topic, &mut passed).then(|| passed.join(", then "))
}

fn walk(routes: &[Route], index: usize, topic: &str, passed: &mut Vec<String>) -> bool {
    let Some(route) = routes.get(index) else { return false };
    let is_second_time = passed.contains(&route.name);
    passed.push(route.name.clone());
    if is_second_time {
        return true;
    }
    let name = route.naming.target_topic(&route.source_alias, topic);
    let next = (0..).zip(routes).filter(|(_, next)| next.source == route.target && next.takes(&name));
    for (index, _) in next {
        if walk(routes, index, &name, passed) {
            return true;
        }
    }
    passed.pop();
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::selection::TopicSelection;

    fn route(source: &str, target: &str, naming: Naming, include: &str, exclude: &str) -> Route {
        let list = |text: &str| text.split(' ').filter(|item| !item.is_empty()).map(str::to_owned).collect();
        let selection = TopicSelection { include: list(include), exclude: list(exclude) };
        Route {
            name: format!("{source}->{target}"),
            source_alias: source.to_owned(),
            target_alias: target.to_owned(),
            // An alias with a sign behind it is another name of the same cluster.
            source: source.trim_end_matches('\'').into(),
            target: target.trim_end_matches('\'').into(),
            naming,
            topics: selection.compile().expect("valid patterns"),
        }
    }

    #[test]
    fn circles_are_found_and_others_are_not() {
        use Naming::{Identity, Prefixed};
        let table = [
            ("one way", vec![route("a", "b", Identity, ".*", "")], None),
            (
                "one cluster by two names",
                vec![route("a", "a'", Identity, ".*", "")],
                Some("a->a', then a->a'"),
            ),
            (
                "one cluster, another name",
                vec![route("a", "a'", Naming::Template("copy-{topic}".to_owned()), "orders", "")],
                None,
            ),
            (
                "one cluster, growing names",
                vec![route("a", "a'", Naming::Template("copy-{topic}".to_owned()), ".*", "")],
                Some("a->a', then a->a'"),
            ),
            (
                "there and back",
                vec![route("a", "b", Identity, ".*", ""), route("b", "a", Identity, "orders", "")],
                Some("a->b, then b->a, then a->b"),
            ),
            (
                "there and back with other topics",
                vec![route("a", "b", Identity, "orders", ""), route("b", "a", Identity, "others", "")],
                None,
            ),
            (
                "there and back with prefixes, which tell where a topic came from",
                vec![route("a", "b", Prefixed, ".*", ""), route("b", "a", Prefixed, ".*", "")],
                None,
            ),
            (
                "around three",
                vec![
                    route("a", "b", Identity, ".*", ""),
                    route("b", "c", Identity, ".*", ""),
                    route("c", "a", Identity, ".*", ""),
                ],
                Some("a->b, then b->c, then c->a, then a->b"),
            ),
            (
                "around three, but not further than the second",
                vec![
                    route("a", "b", Identity, ".*", ""),
                    route("b", "c", Identity, ".*", "orders"),
                    route("c", "a", Identity, ".*", ""),
                ],
                None,
            ),
        ];
        for (what, routes, expected) in table {
            assert_eq!(circle_of(&routes, 0, "orders").as_deref(), expected, "{what}");
        }
    }

    #[test]
    fn a_prefix_tells_where_a_topic_came_from() {
        let came_from = |topic: &str| Naming::Prefixed.came_from(topic, "west");
        for (topic, comes) in [
            ("west.t", true),
            ("west.east.t", true),
            ("east.west.t", true),
            ("east.west.east.t", true),
            ("t", false),
            ("east.t", false),
            ("western.t", false),
        ] {
            assert_eq!(came_from(topic), comes, "{topic}");
        }
        let template = Naming::Template("{source}_{topic}".to_owned());
        assert!(template.came_from("west_t", "west") && !template.came_from("west.t", "west"));
        assert!(!Naming::Identity.came_from("west.t", "west"), "names say nothing");
    }
}
