//! Whether the group to which a flow commits its positions is its own. It is moved whenever it has no members, and who reads with it, or
//! commits to it as well, finds it elsewhere.

use std::collections::BTreeMap;

use kmirror_client::{ClientError, TopicPartition};

use super::finding::{Finding, FindingKind, Severity};
use super::look::Look;
use crate::ground::config::Flow;
use crate::ground::selection::{Selected, TopicMatcher};

impl Look<'_> {
    /// Whether consumers have read with it.
    pub(super) async fn commit_group(&mut self) -> Result<(), ClientError> {
        let Some(group) = &self.flow.commit_group else { return Ok(()) };
        let listed = self.source.list_groups().await?;
        let Some(listed) = listed.into_iter().find(|listed| listed.id == *group) else { return Ok(()) };
        if let Some((severity, problem)) = is_read_with(&listed.protocol_type, listed.state.as_deref()) {
            let subject = subject(group);
            self.found(severity, FindingKind::Configuration, self.source.alias(), subject, problem, ADVICE);
        }
        Ok(())
    }

    /// Whether somebody has committed more than was copied. `positions`: by partition of the source, how far that is.
    pub(super) async fn commit_group_beyond(
        &mut self,
        positions: &BTreeMap<TopicPartition, i64>,
    ) -> Result<(), ClientError> {
        let Some(group) = &self.flow.commit_group else { return Ok(()) };
        let committed = self.source.all_committed_offsets(group, super::permissions::TIMEOUT).await?;
        let beyond = committed.into_iter().find(|(partition, committed)| {
            positions.get(partition).is_some_and(|position| committed.offset > *position)
        });
        if let Some((partition, committed)) = beyond {
            let problem = format!(
                "it stands at {} in {partition}, which is further than the copy: another flow, or one of another file, commits to it as well",
                committed.offset
            );
            let subject = subject(group);
            self.found(
                Severity::Warning,
                FindingKind::Configuration,
                self.source.alias(),
                subject,
                problem,
                ADVICE,
            );
        }
        Ok(())
    }
}

/// Why a group is not one that nobody else uses.
fn is_read_with(protocol_type: &str, state: Option<&str>) -> Option<(Severity, &'static str)> {
    // Positions that are committed from outside leave no protocol.
    if protocol_type.is_empty() {
        return None;
    }
    let has_members = state.is_some_and(|state| !matches!(state, "Empty" | "Dead"));
    Some(match has_members {
        true => (
            Severity::Error,
            "consumers read with it: positions are refused while they do, and move the group when they stop",
        ),
        false => (
            Severity::Warning,
            "consumers have read with it: positions are committed over theirs, so that they would go on elsewhere",
        ),
    })
}

/// Flows of this mirror that commit the positions of the same topics to the same group, by their place among `flows`. `topics`: of the source
/// of a flow. `source`: what stands for its source's cluster.
pub(crate) fn shared<'a>(
    flows: &[(Flow, Selected)],
    source: impl Fn(usize) -> Option<&'a str>,
    topics: impl Fn(&Flow) -> Vec<String>,
) -> Vec<(usize, Finding)> {
    let mut found = Vec::new();
    for (index, (flow, selected)) in flows.iter().enumerate() {
        let Some(group) = &flow.commit_group else { continue };
        let others = flows.iter().enumerate().filter(|(other, (its, _))| {
            *other != index && its.commit_group.as_ref() == Some(group) && source(*other) == source(index)
        });
        let both =
            |other: &TopicMatcher, topic: &String| other.matches(topic) && selected.topics.matches(topic);
        let other = others
            .map(|(_, other)| other)
            .find(|(_, other)| topics(flow).iter().any(|topic| both(&other.topics, topic)));
        let Some((other, _)) = other else { continue };
        let problem = format!(
            "the flow {} commits its positions to it as well: each overwrites the other's",
            other.name()
        );
        found.push((
            index,
            Finding {
                severity: Severity::Error,
                kind: FindingKind::Configuration,
                cluster: flow.source.clone(),
                subject: subject(group),
                problem,
                advice: ADVICE.to_owned(),
                command: None,
            },
        ));
    }
    found
}

fn subject(group: &str) -> String {
    format!("group {group} (commit_group)")
}

const ADVICE: &str = "give it a name that nobody else uses";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_consumers_is_none_for_positions() {
        let listed =
            |protocol: &str, state: Option<&str>| is_read_with(protocol, state).map(|(severity, _)| severity);
        assert_eq!(listed("", Some("Empty")), None, "kmirror's own");
        assert_eq!(listed("consumer", Some("Stable")), Some(Severity::Error));
        assert_eq!(listed("consumer", Some("Empty")), Some(Severity::Warning));
        assert_eq!(listed("consumer", None), Some(Severity::Warning), "an old release");
    }

    #[test]
    fn flows_that_overwrite_each_others_positions_are_found() {
        let flow = |target: &str, topic: &str, group: &str| {
            let mut flow = Flow::new("east", target).topics([topic]);
            flow.commit_group = Some(group.to_owned());
            let selected = Selected {
                topics: flow.topics.compile().expect("a pattern"),
                groups: flow.groups.compile().expect("patterns"),
            };
            (flow, selected)
        };
        let found = |flows: &[(Flow, Selected)], sources: [&'static str; 2]| {
            let topics = |_: &Flow| vec!["orders".to_owned(), "payments".to_owned()];
            let found = shared(flows, |index| sources.get(index).copied(), topics);
            found.into_iter().map(|(index, finding)| (index, finding.problem)).collect::<Vec<_>>()
        };
        let one = flow("west", "orders", "positions");
        let same = [one.clone(), flow("north", ".*", "positions")];
        let problems = found(&same, ["a", "a"]);
        assert_eq!(problems.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1]);
        assert!(problems[0].1.contains("east-to-north"), "{problems:?}");
        assert_eq!(found(&same, ["a", "b"]), [], "two clusters");
        assert_eq!(
            found(&[one.clone(), flow("north", "payments", "positions")], ["a", "a"]),
            [],
            "other topics"
        );
        assert_eq!(found(&[one, flow("north", "orders", "others")], ["a", "a"]), [], "another group");
    }
}
