//! Every topic of the source beside its copy: whether it is copied, by which rule, and what differs.

use std::collections::BTreeMap;
use std::sync::Arc;

use kmirror_client::{Client, ClusterMetadata, Topics};

use crate::follow::configs as follower;
use crate::ground::config::Flow;
use crate::ground::error::Error;
use crate::ground::loops::{self, Route};
use crate::ground::selection::Selected;
use crate::topics::alter;
use crate::topics::rule::{self, TopicRule};
use crate::topics::{partition_count, replication_factor};

/// A topic of the source, for one flow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicReport {
    /// The name of the flow.
    pub flow: String,
    /// The topic on the source.
    pub source_topic: String,
    /// Why it is copied, or is not.
    pub rule: TopicRule,
    /// What it is called on the target; `None` where it is not copied.
    pub target_topic: Option<String>,
    /// What is there by that name; `None` where it is not copied.
    pub on_target: Option<OnTarget>,
    /// Its partitions on the source.
    pub source_partitions: i32,
    /// The target topic's; `None` where there is none.
    pub target_partitions: Option<i32>,
    /// Its replication factor on the source.
    pub source_replication_factor: i16,
    /// The target topic's; `None` where there is none.
    pub target_replication_factor: Option<i16>,
    /// How many configurations of the target topic are not what they should be; `None` where it is not there, or cannot be read.
    pub config_differences: Option<usize>,
}

/// What is on the target for a topic that is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnTarget {
    /// A topic of that name.
    Exists,
    /// None; it would be created.
    WouldBeCreated,
    /// None; somebody else has to create it.
    Awaited,
}

/// Every topic of a flow's source, by name. `routes[route]` is the flow.
pub(crate) async fn of_flow(
    flow: &Flow,
    selected: &Selected,
    (source, target): (&Client, &Client),
    (routes, route): (&[Route], usize),
) -> Result<Vec<TopicReport>, Error> {
    let refresh = async |client: &Client| {
        client.refresh_metadata(Topics::All).await.map_err(|error| Error::cluster(client.alias(), error))
    };
    let (source_metadata, target_metadata) = (refresh(source).await?, refresh(target).await?);
    let mut reports = reports(flow, selected, &source_metadata, &target_metadata);
    for report in &mut reports {
        let circle = report.rule.selects().then(|| loops::circle_of(routes, route, &report.source_topic));
        if let Some(circle) = circle.flatten() {
            report.rule = TopicRule::Loop(circle);
        }
    }
    let on_both: Vec<(Arc<str>, Arc<str>)> = reports
        .iter()
        .filter(|report| report.on_target == Some(OnTarget::Exists))
        .filter_map(|report| {
            Some((report.source_topic.as_str().into(), report.target_topic.as_deref()?.into()))
        })
        .collect();
    let mut differences: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    for pairs in on_both.chunks(alter::TOPICS_PER_REQUEST) {
        // Whoever may not read configurations may look at the rest.
        let Ok(steps) = follower::plan(source, target, pairs, &flow.topic_configs).await else { continue };
        let counted = pairs.iter().map(|(_, name)| (Arc::clone(name), steps.get(name).map_or(0, Vec::len)));
        differences.extend(counted);
    }
    for report in &mut reports {
        let name = report.target_topic.as_deref().filter(|_| report.on_target == Some(OnTarget::Exists));
        report.config_differences = name.and_then(|name| differences.get(name).copied());
    }
    Ok(reports)
}

/// What both clusters' metadata tell.
pub(super) fn reports(
    flow: &Flow,
    selected: &Selected,
    source: &ClusterMetadata,
    target: &ClusterMetadata,
) -> Vec<TopicReport> {
    let mut topics: Vec<_> = source.topics.iter().collect();
    topics.sort_by_key(|(name, _)| *name);
    let mut first_by_target: BTreeMap<String, &str> = BTreeMap::new();
    let mut reports = Vec::new();
    for (name, topic) in topics {
        let mut rule = rule::of_topic(flow, &selected.topics, name, topic);
        let target_topic = rule.selects().then(|| flow.naming.target_topic(&flow.source, name));
        if let Some(target) = &target_topic {
            let first = *first_by_target.entry(target.clone()).or_insert(name);
            if first != &**name {
                rule = TopicRule::Collides(first.to_owned());
            }
        }
        let there = target_topic.as_deref().and_then(|name| target.topic(name));
        let there = there.filter(|topic| topic.error.is_none());
        let on_target = target_topic.as_ref().map(|_| match there {
            Some(_) => OnTarget::Exists,
            None if flow.creates_topics => OnTarget::WouldBeCreated,
            None => OnTarget::Awaited,
        });
        reports.push(TopicReport {
            flow: flow.name(),
            source_topic: name.to_string(),
            rule,
            target_topic,
            on_target,
            source_partitions: partition_count(topic),
            target_partitions: there.map(partition_count),
            source_replication_factor: replication_factor(topic),
            target_replication_factor: there.map(replication_factor),
            config_differences: None,
        });
    }
    reports
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::config::Naming;
    use crate::test_support::cluster;

    #[test]
    fn every_topic_of_the_source_has_a_rule() {
        let mut flow = Flow::new("east", "west").topics(["a|b.*", "c"]).exclude_topics([r"b.*\.tmp"]);
        flow.naming = Naming::Template("{source}.{topic}".to_owned());
        flow.creates_topics = false;
        let selected = Selected {
            topics: flow.topics.compile().expect("valid patterns"),
            groups: flow.groups.compile().expect("valid patterns"),
        };
        let names = ["a", "b.x", "b.x.tmp", "c", "d", "__state", "mm2-offsets.x.internal", "b.west.y"];
        let source = cluster(&names.map(|name| (name, 3)));
        let target = cluster(&[("east.a", 2)]);
        let shown = |flow: &Flow| {
            let reports = reports(flow, &selected, &source, &target);
            let of = |report: TopicReport| {
                (report.source_topic, report.rule.to_string(), report.on_target, report.target_partitions)
            };
            reports.into_iter().map(of).collect::<Vec<_>>()
        };
        let row = |name: &str, rule: &str, on_target| (name.to_owned(), rule.to_owned(), on_target, None);
        assert_eq!(
            shown(&flow),
            [
                row("__state", "internal topic", None),
                ("a".to_owned(), "include a|b.*".to_owned(), Some(OnTarget::Exists), Some(2)),
                row("b.west.y", "came from west", None),
                row("b.x", "include a|b.*", Some(OnTarget::Awaited)),
                row("b.x.tmp", r"exclude b.*\.tmp", None),
                row("c", "include c", Some(OnTarget::Awaited)),
                row("d", "not included", None),
                row("mm2-offsets.x.internal", "internal topic", None),
            ]
        );
        flow.naming = Naming::Template("all".to_owned());
        let rules: Vec<_> = shown(&flow).into_iter().map(|(_, rule, ..)| rule).collect();
        assert_eq!(rules[3], "refused: a has the same name on the target");
    }
}
